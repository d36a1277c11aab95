"""Preprocessing of whole datasets: decide which stages of which clips are due, and run them.

    extract_audio(Path("data/raw"), Path("data/processed"))                                # one stage
    preprocess(Options(Path("data/raw"), Path("data/processed"), ocr="rapidocr"))          # all of them in one pass

A stage run alone fails on a damaged clip, and takes what is done from the dates and shapes of existing files; several
may run at once, but for text. The one pass takes what a damaged clip holds, and what is done from its manifest. `Plan`
decides both.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from datatools.encoders import Encoder, find_encoders
from datatools.errors import UserError
from datatools.extract import (
    AUDIO,
    FRAMES,
    ROI,
    TEXT,
    VIDEO,
    extract_all,
    extract_clip,
    extract_roi,
    stage_settings,
    stage_versions,
)
from datatools.features import NUM_MFCC, SHAPES
from datatools.files import array_is_whole, check_writable, is_current, sweep_temporaries
from datatools.layout import (
    CLIP_SECONDS,
    Clip,
    find_raw_clips,
    prepare_save_root,
    split_of_folder,
    text_boxes_path,
    text_detector_path,
)
from datatools.manifest import FAILED, OK, PARTIAL, Entry, Manifest, digest_of, fingerprint, held, is_same_file
from datatools.media import MediaError, probe
from datatools.stages import EVERY_CORE, TIME_LIMIT, Item, Pool, StageReport, number_of_cores, run_stage
from datatools.tables import text_table
from datatools.text_boxes import SplitBoxes, claim_boxes, digest_of_boxes, open_splits, read_boxes
from datatools.text_detector import detector_identity, load_detector

STAGES = (AUDIO, FRAMES, TEXT, ROI)         # of the one pass; VIDEO only on request
STATUSES = (OK, PARTIAL, FAILED, "to do")   # columns of the summary


@dataclass(frozen=True)
class Options:
    """The options of the one pass; each is a flag of datatools/preprocess.py."""

    data_root: Path
    save_root: Path
    ocr: str = "easyocr"
    ocr_weights: Path | None = None
    recognize: bool = False
    folders: list[str] | None = None
    workers: int = 0
    time_limit: float = TIME_LIMIT
    debug: bool = False
    force: bool = False
    retry_failed: bool = False
    write_video: bool = False
    encoder: tuple[str | Encoder, ...] = ()      # an Encoder: one that this package does not know
    backend: str = "processes"
    address: str = "auto"

    def stages(self, encoders: tuple[Encoder, ...]) -> tuple[str, ...]:
        return (*STAGES, *(VIDEO,) * self.write_video, *(encoder.name for encoder in encoders))

    @property
    def pool(self) -> Pool:
        return Pool(self.workers, self.time_limit, self.address if self.backend == "ray" else None, self.debug)


def is_whole(path: Path, stage: str) -> bool:
    """Whether a stage's output has the expected type and shape; reads only the header of an array."""
    if stage == VIDEO:
        try:
            video = probe(path).video
        except MediaError:
            return False       # truncated or overwritten: to be made again
        return video is not None and video.rate == 1 and video.duration == CLIP_SECONDS
    forms = {AUDIO: ("float32", (NUM_MFCC, None)), FRAMES: ("uint8", SHAPES["frames"]),
             ROI: ("uint8", SHAPES["text_roi"])}
    return array_is_whole(path, *forms[stage])


@dataclass
class Plan:
    """What a run has to do: which of `stages` of which clips. Only this class decides what counts as done.

    clips         {clip: the file that it is made from}
    root          folder of the outputs
    splits        {name: the text boxes of a split}, where text is among the stages
    manifest      of the one pass; without one, dates and shapes of the outputs tell what is done
    settings      {stage: settings that determine its output}, to compare with the manifest's
    force         nothing counts as done
    retry_failed  what has failed does not count as done
    unusable      (name, reason) of files that cannot be clips
    """

    clips: dict[Clip, Path]
    root: Path
    stages: tuple[str, ...]
    splits: dict[str, SplitBoxes] = field(default_factory=dict)
    manifest: Manifest | None = None
    settings: dict[str, dict] = field(default_factory=dict)
    force: bool = False
    retry_failed: bool = False
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def is_done(self, clip: Clip, stage: str) -> bool:
        """Whether a clip's stage is done.

        In the one pass: the manifest has this stage with these settings and this file, and the output exists. Text
        alone: the JSON has boxes of this video. Any other stage alone: the output is whole and not older than the clip.
        """
        if self.force:
            return False
        if self.manifest is not None:
            entry = self.entry(clip, stage)
            if entry is None or entry.settings != self.settings[stage]:
                return False
            if not is_same_file(self.clips[clip], entry.source):
                return False
            return not self.retry_failed if entry.status == FAILED else self.is_there(clip, stage)
        if stage == TEXT:
            return self.boxes_of(clip).knows(clip, self.clips[clip])
        output = self.output(clip, stage)
        return is_current(output, self.clips[clip]) and is_whole(output, stage)

    def output(self, clip: Clip, stage: str) -> Path:
        """The file that a stage writes; for text, the part that is later merged into its split's JSON."""
        if stage == TEXT:
            return self.boxes_of(clip).parts / f"{clip.name}.json"
        paths = {AUDIO: clip.mfcc, FRAMES: clip.frames, ROI: clip.text_roi, VIDEO: clip.video}
        return paths[stage](self.root) if stage in paths else clip.encoded(self.root, stage)

    def boxes_of(self, clip: Clip) -> SplitBoxes:
        return self.splits[split_of_folder(clip.folder)]

    def entry(self, clip: Clip, stage: str) -> Entry | None:
        return self.manifest.entries.get((f"{clip.folder}/{clip.name}", stage))

    def is_there(self, clip: Clip, stage: str) -> bool:
        return clip.name in self.boxes_of(clip).names() if stage == TEXT else self.output(clip, stage).is_file()

    def to_do(self) -> dict[Clip, dict[str, Path]]:
        """{clip: {stage: where it writes}} of all that is not done."""
        wanted = {clip: [s for s in self.stages if not self.is_done(clip, s)] for clip in self.clips}
        return {clip: {s: self.output(clip, s) for s in stages} for clip, stages in wanted.items() if stages}

    def kept(self, to_do: dict[Clip, dict[str, Path]]) -> list[str]:
        """Names of the clips that have nothing to do."""
        return [clip.name for clip in self.clips if clip not in to_do]

    def merge_boxes(self) -> None:
        for split in self.splits.values():
            split.merge()

    def summary(self) -> str:
        """A table of stages by status, and a line for each clip that is not ok; from the manifest."""
        rows = []
        told: dict[tuple[str, str, str], list[str]] = {}
        for stage in self.stages:
            counts = Counter()
            for clip in self.clips:
                entry = self.entry(clip, stage)
                status = entry.status if entry and self.is_done(clip, stage) else "to do"
                counts[status] += 1
                if status in (PARTIAL, FAILED):
                    told.setdefault((f"{clip.folder}/{clip.name}", status, entry.reason), []).append(stage)
            rows.append([stage, *(str(counts[status]) for status in STATUSES)])
        lines = [f"  {status} {clip} ({', '.join(stages)}): {reason}"
                 for (clip, status, reason), stages in sorted(told.items())]
        lines += [f"  {FAILED} {name}: {reason}" for name, reason in self.unusable]
        return "\n".join([text_table(["stage", *STATUSES], rows), *lines])

    def failed(self) -> bool:
        return bool(self.unusable) or any((entry := self.entry(clip, stage)) and entry.status == FAILED
                                          for clip in self.clips for stage in self.stages)

    def damaged(self) -> list[str]:
        """Outputs that differ from the manifest, each with the remedy."""
        lines = []
        for clip in self.clips:
            for stage in self.stages:
                entry = self.entry(clip, stage)
                if entry is None or entry.status == FAILED:
                    continue
                if not self.is_there(clip, stage):
                    lines.append(f"{entry.output} ({clip.name}, {stage}): missing")
                elif self._digest(clip, stage) != entry.digest:
                    lines.append(f"{entry.output} ({clip.name}, {stage}): its content has changed since it was written")
        return lines

    def _digest(self, clip: Clip, stage: str) -> str:
        if stage == TEXT:
            return digest_of_boxes(self.boxes_of(clip).boxes.get(clip.name, {}))
        return digest_of(self.output(clip, stage))


# ---------------------------------------------------------------- one stage


def extract_audio(
    data_root: Path, save_root: Path, folders: list[str] | None = None, pool: Pool = EVERY_CORE, force: bool = False
) -> StageReport:
    """MFCC of all clips of a dataset; label files are copied beside them. Raises UserError."""
    raw = find_raw_clips(data_root, folders)
    prepare_save_root(data_root, save_root, folders)
    return _run_alone("audio", Plan(raw.files, save_root, (AUDIO,), force=force, unusable=raw.unusable), pool)


def extract_video(
    data_root: Path, save_root: Path, folders: list[str] | None = None, pool: Pool = EVERY_CORE, force: bool = False
) -> StageReport:
    """Frames and 1 fps videos of all clips of a dataset; label files are copied beside them. Raises UserError."""
    raw = find_raw_clips(data_root, folders)
    prepare_save_root(data_root, save_root, folders)
    return _run_alone("video", Plan(raw.files, save_root, (FRAMES, VIDEO), force=force, unusable=raw.unusable), pool)


def _run_alone(title: str, plan: Plan, pool: Pool) -> StageReport:
    """Run a plan without a manifest: a clip with anything missing is done again as a whole."""
    to_do = plan.to_do()
    jobs = [(clip.name, (plan.clips[clip], {stage: plan.output(clip, stage) for stage in plan.stages}))
            for clip in to_do]
    return run_stage(title, extract_clip, jobs, kept=plan.kept(to_do), unusable=plan.unusable, pool=pool)


def extract_text(
    data_root: Path,
    ocr: str = "easyocr",
    ocr_weights: Path | None = None,
    recognize: bool = False,
    folders: list[str] | None = None,
    pool: Pool = EVERY_CORE,
    force: bool = False,
) -> StageReport:
    """Text boxes of all clips of a processed dataset. Raises UserError, also for boxes of another detector."""
    raw = find_raw_clips(data_root, folders)
    check_writable(data_root)
    sweep_temporaries(data_root)
    identity = detector_identity(ocr, recognize)
    with held(data_root):      # all runs share the files of the boxes
        splits, other_detector = open_splits(data_root, raw.files, identity, force)
        plan = Plan(raw.files, data_root, (TEXT,), splits, force=force, unusable=raw.unusable)
        to_do = plan.to_do()
        detector_arguments = _detector_arguments(ocr, ocr_weights, recognize, _is_alone(pool, len(to_do)))
        if to_do:
            _claim_boxes(plan, detector_arguments, other_detector, identity)
        jobs = [(clip.name, (raw.files[clip], outputs, detector_arguments)) for clip, outputs in to_do.items()]
        report = run_stage("text", extract_clip, jobs, kept=plan.kept(to_do), unusable=plan.unusable, pool=pool)
        plan.merge_boxes()
        return report


def _is_alone(pool: Pool, num_clips: int) -> bool:
    """Whether one clip is worked on at a time, so that its text detector may take all cores."""
    return pool.ray_address is None and min(pool.workers or number_of_cores(), num_clips) <= 1


def _detector_arguments(ocr: str, ocr_weights: Path | None, recognize: bool, alone: bool) -> tuple:
    """Arguments of load_detector. EasyOCR uses a GPU if there is one; `alone`: one clip at a time, on all cores."""
    return ocr, ocr_weights, recognize, ocr == "easyocr", None, 0 if alone else 1


def _claim_boxes(plan: Plan, detector_arguments: tuple, other_detector: bool, identity: dict) -> None:
    # Load it here first: missing weights then give one message, not one a clip, and before any box is removed.
    load_detector(*detector_arguments)
    plan.splits = claim_boxes(plan.root, plan.splits, other_detector, identity)


def extract_text_roi(data_root: Path, force: bool = False) -> StageReport:
    """Masks of all clips whose text boxes lie below `data_root`. Raises UserError."""
    if not data_root.is_dir():
        raise UserError(f"{data_root}: no such folder (--data_root).")
    sources = sorted(path for path in data_root.glob("ocr_text_*.json") if path != text_detector_path(data_root))
    if not sources:
        command = f"datatools/text_extract.py --data_root {data_root}"
        raise UserError(f"{data_root}: no ocr_text_*.json in it. Run {command} first.")
    check_writable(data_root / "ROIs")
    sweep_temporaries(data_root / "ROIs")
    boxes: dict[Clip, dict] = {}
    found_in: dict[Clip, Path] = {}
    for source in sources:
        for name, boxes_per_second in read_boxes(source).items():
            if Path(name).name != name:
                raise UserError(f"{source}: {name!r} is no name of a clip. Remove this entry.")
            clip = Clip("", name)
            other = found_in.setdefault(clip, source)
            if other != source:
                raise UserError(f"clip {name!r} stands in {other} and in {source}. Remove it from one of them.")
            boxes[clip] = boxes_per_second
    plan = Plan(found_in, data_root, (ROI,), force=force)
    to_do = plan.to_do()
    jobs = [(clip.name, (boxes[clip], outputs[ROI])) for clip, outputs in to_do.items()]
    # One process: painting a clip takes milliseconds, starting another process a second.
    return run_stage("text ROI", extract_roi, jobs, kept=plan.kept(to_do), pool=Pool(here=True))


# ---------------------------------------------------------------- all stages in one pass


def preprocess(options: Options) -> int:
    """All stages of all clips of a dataset; label files are copied beside the features. Returns the exit code.

    Raises UserError, also for boxes of another detector.
    """
    save_root = options.save_root
    raw = find_raw_clips(options.data_root, options.folders)
    prepare_save_root(options.data_root, save_root, options.folders)
    check_writable(save_root / "ROIs")
    identity = detector_identity(options.ocr, options.recognize)
    encoders = find_encoders(options.encoder)
    with Manifest.open_for_writing(save_root) as manifest:
        sweep_temporaries(save_root)
        splits, other_detector = open_splits(save_root, raw.files, identity, options.force)
        plan = Plan(raw.files, save_root, options.stages(encoders), splits, manifest,
                    settings_of(identity, encoders), options.force, options.retry_failed, raw.unusable)
        to_do = plan.to_do()
        detector_arguments = _detector_arguments(options.ocr, options.ocr_weights, options.recognize,
                                                 _is_alone(options.pool, len(to_do)))
        if to_do:
            _claim_boxes(plan, detector_arguments, other_detector, identity)
        names = {f"{clip.folder}/{clip.name}": clip for clip in to_do}
        jobs = [(name, (raw.files[clip], to_do[clip], detector_arguments, encoders)) for name, clip in names.items()]
        versions = stage_versions(identity) | {encoder.name: encoder.versions for encoder in encoders}

        def record(item: Item) -> str | None:
            if item.is_machines:
                return None      # the next run tries it again
            clip = names[item.name]
            result = item.result or _all_failed(raw.files[clip], to_do[clip], item.reason)
            entries = _entries(plan, clip, result, versions)
            manifest.record(entries)
            reasons = {entry.reason for entry in entries if entry.status == FAILED}
            return "; ".join(sorted(reasons)) or None

        report = run_stage("preprocess", extract_all, jobs, kept=plan.kept(to_do), unusable=raw.unusable,
                           pool=options.pool, on_item=record)
        plan.merge_boxes()
        plan.force = plan.retry_failed = False
        print(f"\n{plan.summary()}")
        return 1 if plan.failed() or report.failed else 0


def settings_of(identity: dict, encoders: tuple[Encoder, ...]) -> dict[str, dict]:
    """{stage: settings that determine its output}; `identity` is the text detector's."""
    return stage_settings(identity) | {encoder.name: encoder.settings for encoder in encoders}


def _all_failed(source: Path, outputs: dict[str, Path], reason: str) -> tuple:
    """What extract_all would return where no stage has an output. A vanished file has no fingerprint: it is new."""
    try:
        identity = fingerprint(source)
    except OSError:
        identity = []
    return identity, {stage: (FAILED, reason, "") for stage in outputs}


def _entries(plan: Plan, clip: Clip, result: tuple, versions: dict[str, dict[str, str]]) -> list[Entry]:
    """The manifest's entries for a clip; `result` is extract_all's."""
    source, found = result
    entries = []
    for stage, (status, reason, digest) in found.items():
        if stage == TEXT:
            path = text_boxes_path(plan.root, split_of_folder(clip.folder))
        else:
            path = plan.output(clip, stage)
        output = "" if status == FAILED else path.relative_to(plan.root).as_posix()
        entries.append(Entry(f"{clip.folder}/{clip.name}", stage, status, reason, plan.settings[stage],
                             versions[stage], source, output, digest))
    return entries


def inspect(options: Options, verify: bool) -> int:
    """Print what is done and what is not; with `verify`, check every output. Changes nothing. Returns the exit code.

    Raises UserError.
    """
    save_root = options.save_root
    raw = find_raw_clips(options.data_root, options.folders)
    if not save_root.is_dir():
        raise UserError(f"{save_root}: no such folder (--save_root). Nothing has been preprocessed there.")
    splits = {name: SplitBoxes(save_root, name) for name in {split_of_folder(clip.folder) for clip in raw.files}}
    encoders = find_encoders(options.encoder)
    settings = settings_of(detector_identity(options.ocr, options.recognize), encoders)
    plan = Plan(raw.files, save_root, options.stages(encoders), splits, Manifest(save_root), settings,
                unusable=raw.unusable)
    print(plan.summary())
    damaged = plan.damaged() if verify else []
    for line in damaged:
        print(f"  damaged {line}. Remove it and run this command again.")
    if verify and not damaged:
        print("all outputs are as they were written")
    return 1 if damaged or plan.failed() else 0
