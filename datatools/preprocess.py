"""Sound, picture and text of every clip in one pass: what the four single commands write, each clip decoded once.

    python datatools/preprocess.py --data_root data/raw --save_root data/processed --ocr rapidocr
    python datatools/preprocess.py --data_root data/raw --save_root data/processed --status     # what is done, what not

Text is looked for in the clip's own pictures; a 1 fps video is written only with --write_video. A clip that is damaged
or shorter in one stream gives what it holds, and counts as partial. manifest.jsonl tells of each clip and stage how it
went. A second run does what is missing, or whose clip or settings have changed; what failed only with --retry_failed.
Killed at any moment, a run loses the clips in hand. Exit code 1 where a stage failed, or with --verify is damaged.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import UserError, run_command
from datatools.files import save_array, sweep_temporaries
from datatools.layout import CLIP_SECONDS, Clip, find_raw_clips, prepare_save_root, split_of_folder
from datatools.manifest import FAILED, OK, PARTIAL, Entry, Manifest, digest_of, fingerprint, is_same_file
from datatools.stages import run_stage, stage_parser

STAGES = ("audio", "frames", "text", "roi")
VIDEO = "video"             # a fifth stage where asked for
SHORT_SECONDS = 1.5         # s; a stream that ends this much before its file is partial
PACKAGES = {"audio": ("av", "soxr", "librosa"), "frames": ("av", "opencv-python-headless"), "text": ("av",),
            "roi": ("numpy",), VIDEO: ("av",)}


def stage_settings(identity: dict) -> dict[str, dict]:
    """{stage: what decides its output}; `identity` is the text detector's."""
    from datatools.features import FRAME_HEIGHT, FRAME_WIDTH, HOP, NUM_MFCC, ROI_HEIGHT, ROI_WIDTH, SAMPLE_RATE

    detector = {key: identity[key] for key in ("name", "models", "settings")}
    return {
        "audio": {"sample_rate": SAMPLE_RATE, "hop": HOP, "n_mfcc": NUM_MFCC},
        "frames": {"height": FRAME_HEIGHT, "width": FRAME_WIDTH, "seconds": CLIP_SECONDS},
        "text": {"detector": detector},
        "roi": {"detector": detector, "height": ROI_HEIGHT, "width": ROI_WIDTH},
        VIDEO: {"rate": 1},
    }


def stage_versions(identity: dict) -> dict[str, dict[str, str]]:
    """{stage: {package: version}}."""
    from importlib.metadata import version

    found = {stage: {name: version(name) for name in names} for stage, names in PACKAGES.items()}
    found["text"][identity["name"]] = identity["version"]
    return found


def extract_all(
    source: Path, outputs: dict[str, Path], detector_arguments: tuple
) -> tuple[list, dict[str, tuple[str, str, str]]]:
    """Run the stages named in `outputs` on one clip, decoding it once.

    Returns the clip's fingerprint and {stage: (status, reason, SHA-256 of its output)}. What is wrong with the clip is
    no exception but a status. Raises OSError where nothing can be written.
    """
    from datatools.media import MediaError, probe

    identity = fingerprint(source)
    try:
        duration = probe(source).duration
    except MediaError as error:
        return identity, {stage: (FAILED, str(error), "") for stage in outputs}
    found = {}
    if "audio" in outputs:
        found["audio"] = _extract_sound(source, outputs["audio"], duration)
    if outputs.keys() - {"audio"}:
        found |= _extract_pictures(source, identity, outputs, detector_arguments, duration)
    return identity, found


def _extract_sound(source: Path, target: Path, duration: float | None) -> tuple[str, str, str]:
    from datatools.features import HOP, MOST_SECONDS, SAMPLE_RATE, extract_mfcc
    from datatools.media import MediaError

    damage: list[str] = []
    try:
        mfcc = extract_mfcc(source, damage)
    except MediaError as error:
        return FAILED, str(error), ""
    save_array(target, mfcc)
    seconds = min((mfcc.shape[1] - 0.5) * HOP / SAMPLE_RATE, MOST_SECONDS)
    return *_how_much("sound", seconds, duration, MOST_SECONDS, damage), digest_of(target)


def _extract_pictures(
    source: Path, identity: list, outputs: dict[str, Path], detector_arguments: tuple, duration: float | None
) -> dict[str, tuple[str, str, str]]:
    """All that is made of the pictures; they are decoded once, and one at a time is held."""
    import numpy as np

    from datatools.features import FRAME_HEIGHT, FRAME_WIDTH, frame_thumbnail
    from datatools.media import MediaError, read_frames, save_video
    from datatools.text_detector import shared_detector
    from datatools.text_extract import BoxFinder, save_part
    from datatools.text_roi import paint_boxes

    stages = [stage for stage in outputs if stage != "audio"]
    frames = np.zeros((CLIP_SECONDS, FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
    finder = BoxFinder(shared_detector(*detector_arguments)) if {"text", "roi"} & set(stages) else None
    boxes: dict[str, list] = {}
    damage: list[str] = []
    count = 0

    def pictures():
        nonlocal count
        for second, image in enumerate(read_frames(source, range(CLIP_SECONDS), salvage=damage)):
            if image is not None:
                count += 1
                frames[second] = frame_thumbnail(image)
            if finder:
                boxes[str(second)] = finder.find(image)
            yield image

    try:
        if VIDEO in outputs:
            save_video(outputs[VIDEO], pictures())
        else:
            for _ in pictures():
                pass
    except MediaError as error:
        return {stage: (FAILED, str(error), "") for stage in stages}
    status, reason = _how_much("picture", float(count), duration, CLIP_SECONDS, damage)
    if "frames" in outputs:
        save_array(outputs["frames"], frames)
    if "text" in outputs:
        save_part(outputs["text"], identity, boxes)
    if "roi" in outputs:
        save_array(outputs["roi"], paint_boxes(boxes))
    return {stage: (status, reason, digest_of_boxes(boxes) if stage == "text" else digest_of(outputs[stage]))
            for stage in stages}


def _how_much(what: str, seconds: float, duration: float | None, most: float, damage: list[str]) -> tuple[str, str]:
    """(status, reason) of a stream of which `seconds` could be read, in a file of `duration` (None: not told)."""
    if damage:
        return PARTIAL, f"{seconds:.0f} s of {what}: {damage[0]}"
    if duration is not None and seconds < min(duration, most) - SHORT_SECONDS:
        return PARTIAL, f"its {what} ends after {seconds:.0f} s of {duration:.0f} s"
    if duration is not None and duration > most + SHORT_SECONDS:
        return PARTIAL, f"the first {most:.0f} s of {duration:.0f} s; cut the file into clips"
    return OK, ""


def digest_of_boxes(boxes: dict[str, list]) -> str:
    """SHA-256 of one clip's text boxes, whatever file they lie in."""
    import hashlib

    return hashlib.sha256(json.dumps(boxes, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


class Plan:
    """What a run has to do: which stages of which clips, by the manifest and by what lies on the disk."""

    def __init__(self, clips: dict[Clip, Path], save_root: Path, manifest: Manifest, splits: dict, settings: dict,
                 stages: tuple[str, ...], force: bool = False, retry_failed: bool = False):
        self.clips, self.save_root, self.manifest, self.splits = clips, save_root, manifest, splits
        self.settings, self.stages, self.force, self.retry_failed = settings, stages, force, retry_failed

    def output(self, clip: Clip, stage: str) -> Path:
        """Where a stage writes; text waits there for its split's JSON."""
        root = self.save_root
        if stage == "text":
            return self.splits[split_of_folder(clip.folder)].parts / f"{clip.name}.json"
        place = {"audio": clip.mfcc, "frames": clip.frames, "roi": clip.text_roi, VIDEO: clip.video}[stage]
        return place(root)

    def entry(self, clip: Clip, stage: str) -> Entry | None:
        return self.manifest.entries.get((f"{clip.folder}/{clip.name}", stage))

    def is_there(self, clip: Clip, stage: str) -> bool:
        if stage == "text":
            return clip.name in self.splits[split_of_folder(clip.folder)].names()
        return self.output(clip, stage).is_file()

    def is_done(self, clip: Clip, stage: str) -> bool:
        """Whether nothing is to be done: finished with these settings from this file, and the output is there."""
        entry = self.entry(clip, stage)
        if self.force or entry is None or entry.settings != self.settings[stage]:
            return False
        if not is_same_file(self.clips[clip], entry.source):
            return False
        return not self.retry_failed if entry.status == FAILED else self.is_there(clip, stage)

    def to_do(self) -> dict[Clip, dict[str, Path]]:
        """{clip: {stage: where it writes}} of all that is not done."""
        wanted = {clip: [s for s in self.stages if not self.is_done(clip, s)] for clip in self.clips}
        return {clip: {s: self.output(clip, s) for s in stages} for clip, stages in wanted.items() if stages}

    def summary(self) -> str:
        """A table of stages by status, and a line for each clip that is not ok."""
        rows = [f"{'stage':<8}{OK:>8}{PARTIAL:>9}{FAILED:>8}{'to do':>8}"]
        told: dict[tuple[str, str, str], list[str]] = {}
        for stage in self.stages:
            counts = Counter()
            for clip in self.clips:
                entry = self.entry(clip, stage)
                status = entry.status if entry and self.is_done(clip, stage) else "to do"
                counts[status] += 1
                if status in (PARTIAL, FAILED):
                    told.setdefault((f"{clip.folder}/{clip.name}", status, entry.reason), []).append(stage)
            rows.append(f"{stage:<8}" + "".join(f"{counts[s]:>{w}}" for s, w in
                                                ((OK, 8), (PARTIAL, 9), (FAILED, 8), ("to do", 8))))
        rows += [f"  {status} {clip} ({', '.join(stages)}): {reason}"
                 for (clip, status, reason), stages in sorted(told.items())]
        return "\n".join(rows)

    def failed(self) -> bool:
        return any((entry := self.entry(clip, stage)) and entry.status == FAILED
                   for clip in self.clips for stage in self.stages)

    def damaged(self) -> list[str]:
        """Outputs that are not what the manifest says, each with what to do."""
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
        if stage == "text":
            return digest_of_boxes(self.splits[split_of_folder(clip.folder)].boxes.get(clip.name, {}))
        return digest_of(self.output(clip, stage))


def preprocess(
    data_root: Path,
    save_root: Path,
    ocr: str = "easyocr",
    ocr_weights: Path | None = None,
    recognize: bool = False,
    folders: list[str] | None = None,
    workers: int = 0,
    force: bool = False,
    retry_failed: bool = False,
    write_video: bool = False,
    backend: str = "processes",
    address: str = "auto",
) -> int:
    """All stages of all clips of a dataset; label files are copied beside the features. Returns the exit code.

    Raises UserError, also for boxes of another detector.
    """
    from datatools.layout import text_boxes_path
    from datatools.stages import number_of_cores
    from datatools.text_detector import detector_identity, load_detector
    from datatools.text_extract import claim_boxes, open_splits

    clips = find_raw_clips(data_root, folders)
    prepare_save_root(data_root, save_root, folders)
    (save_root / "ROIs").mkdir(exist_ok=True)
    identity = detector_identity(ocr, recognize)
    stages = (*STAGES, VIDEO) if write_video else STAGES
    with Manifest.open_for_writing(save_root) as manifest:
        sweep_temporaries(save_root)
        splits, other_detector = open_splits(save_root, clips, identity, force)
        settings, versions = stage_settings(identity), stage_versions(identity)
        plan = Plan(clips, save_root, manifest, splits, settings, stages, force, retry_failed)
        to_do = plan.to_do()
        workers = workers or number_of_cores()
        threads = 1 if min(workers, len(to_do)) > 1 or backend == "ray" else 0
        detector_arguments = (ocr, ocr_weights, recognize, ocr == "easyocr", None, threads)
        if to_do:
            # Here first: missing weights are one message then and not one a clip, and nothing is thrown away for them.
            load_detector(*detector_arguments)
            plan.splits = claim_boxes(save_root, splits, other_detector, identity)
        names = {f"{clip.folder}/{clip.name}": clip for clip in to_do}
        jobs = [(name, (clips[clip], to_do[clip], detector_arguments)) for name, clip in names.items()]

        def record(name: str, result: tuple) -> str | None:
            source, found = result
            entries = []
            for stage, (status, reason, digest) in found.items():
                path = plan.output(names[name], stage)
                if stage == "text":
                    path = text_boxes_path(save_root, split_of_folder(names[name].folder))
                output = "" if status == FAILED else path.relative_to(save_root).as_posix()
                entries.append(Entry(name, stage, status, reason, settings[stage], versions[stage], source, output,
                                     digest))
            manifest.record(entries)
            reasons = {entry.reason for entry in entries if entry.status == FAILED}
            return "; ".join(sorted(reasons)) or None

        kept = [clip.name for clip in clips if clip not in to_do]
        report = run_stage("preprocess", extract_all, jobs, kept=kept, workers=workers, on_result=record,
                           ray_address=address if backend == "ray" else None)
        for split in plan.splits.values():
            split.merge()
        plan.force = plan.retry_failed = False
        print(f"\n{plan.summary()}")
        return 1 if plan.failed() or report.failed else 0


def inspect(data_root: Path, save_root: Path, ocr: str, recognize: bool, folders: list[str] | None, write_video: bool,
            verify: bool) -> int:
    """Print what is done and what not; with `verify`, read every output again. Changes nothing. Returns the exit code.

    Raises UserError.
    """
    from datatools.text_detector import detector_identity
    from datatools.text_extract import Split

    clips = find_raw_clips(data_root, folders)
    if not save_root.is_dir():
        raise UserError(f"{save_root}: no such folder (--save_root). Nothing has been preprocessed there.")
    splits = {name: Split(save_root, name) for name in {split_of_folder(clip.folder) for clip in clips}}
    stages = (*STAGES, VIDEO) if write_video else STAGES
    settings = stage_settings(detector_identity(ocr, recognize))
    plan = Plan(clips, save_root, Manifest(save_root), splits, settings, stages)
    print(plan.summary())
    damaged = plan.damaged() if verify else []
    for line in damaged:
        print(f"  damaged {line}. Remove it and run this command again.")
    if verify and not damaged:
        print("all outputs are as they were written")
    return 1 if damaged or plan.failed() else 0


def build_parser() -> argparse.ArgumentParser:
    from datatools.text_detector import DETECTORS

    parser = stage_parser(__doc__)
    parser.add_argument("--ocr", choices=DETECTORS, default="easyocr", help="text detector (default: %(default)s)")
    help_text = "folder with EasyOCR's weights (default: it downloads them)"
    parser.add_argument("--ocr_weights", type=Path, metavar="FOLDER", help=help_text)
    parser.add_argument("--recognize", action="store_true", help="read the texts too; nothing here needs them")
    parser.add_argument("--write_video", action="store_true", help="write the 1 fps videos too")
    parser.add_argument("--retry_failed", action="store_true", help="try again what failed before")
    parser.add_argument("--backend", choices=("processes", "ray"), default="processes",
                        help="where clips are worked on (default: %(default)s)")
    parser.add_argument("--address", default="auto", help="of the Ray cluster; local starts one (default: %(default)s)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--status", action="store_true", help="tell what is done and what not, and do nothing")
    what.add_argument("--verify", action="store_true", help="the same, and compare every output with its SHA-256")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = vars(build_parser().parse_args(argv))
    status, verify = arguments.pop("status"), arguments.pop("verify")
    if status or verify:
        names = ("data_root", "save_root", "ocr", "recognize", "folders", "write_video")
        return inspect(**{name: arguments[name] for name in names}, verify=verify)
    return preprocess(**arguments)


if __name__ == "__main__":
    run_command(main)
