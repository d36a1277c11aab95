"""Text boxes of every clip -> ocr_text_<split>.json: {name: {"0": [[quad, [height, width], text, confidence], ...]}}.

    python datatools/text_extract.py --data_root data/processed                   # EasyOCR, downloads its weights
    python datatools/text_extract.py --data_root data/processed --ocr rapidocr    # needs no download

Reads the 1 fps videos that extract_video wrote. What is finished of a killed run is kept: each clip's boxes go to
ocr_text_<split>.parts/<name>.json, and into the JSON at the end. ocr_text_detector.json tells which detector made them;
boxes of two detectors are never mixed. ocr_sources_<split>.json tells of which video they are, so that a changed one is
done again. Exit code 1 where a clip failed.
"""

import contextlib
import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import UserError, run_command
from datatools.files import check_writable, save_text, sweep_temporaries
from datatools.layout import CLIP_SECONDS, Clip, find_raw_clips, split_of_folder, text_boxes_path, text_detector_path
from datatools.manifest import fingerprint, is_same_file
from datatools.stages import StageReport, run_stage, stage_parser

SPLIT_FILES = "ocr_text_*"


def parts_folder(root: Path, split_name: str) -> Path:
    """Where the boxes of single clips wait until their split's JSON is written."""
    return root / f"ocr_text_{split_name}.parts"


def sources_path(root: Path, split_name: str) -> Path:
    """JSON: {name: [size in bytes, mtime in ns, SHA-256]} of the videos whose boxes are known."""
    return root / f"ocr_sources_{split_name}.json"


def read_boxes(path: Path) -> dict:
    """A JSON object of this stage, {} where the file is missing. Raises UserError where it is no such thing."""
    if not path.exists():
        return {}
    try:
        boxes = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: no JSON ({error}). Remove it and run datatools/text_extract.py again.") from error
    if not isinstance(boxes, dict) or not all(isinstance(entry, dict | list | str) for entry in boxes.values()):
        raise UserError(f"{path}: expected one JSON object. Remove it and run datatools/text_extract.py again.")
    return boxes


class BoxFinder:
    """Text boxes of one picture after the other; a picture that hardly differs takes over those found last."""

    def __init__(self, detector):
        self.detector, self.searched, self.boxes = detector, None, []

    def find(self, image) -> list:
        """[[quad, [height, width], text, confidence], ...] of an RGB picture, uint8; [] of a black one or None."""
        import numpy as np

        from datatools.text_detector import same_text_boxes

        if image is None or not np.any(image):
            self.searched, self.boxes = None, []
        elif self.searched is None or not same_text_boxes(self.searched, image):
            self.searched, size = image, list(image.shape[:2])
            self.boxes = [[quad, size, text, confidence] for quad, text, confidence in self.detector.detect(image)]
        return self.boxes


def detect_boxes(video: Path, detector) -> dict[str, list]:
    """{"0": [[quad, [height, width], text, confidence], ...], ...} of a clip at 0 to 199 s; [] where it is black.

    Raises MediaError.
    """
    from datatools.media import read_frames

    finder = BoxFinder(detector)
    return {str(second): finder.find(image) for second, image in enumerate(read_frames(video, range(CLIP_SECONDS)))}


def extract_clip(video: Path, part: Path, detector_arguments: tuple) -> None:
    """Write one clip's boxes, and of which video they are. Raises UserError or OSError."""
    from datatools.text_detector import shared_detector

    source = fingerprint(video)
    save_part(part, source, detect_boxes(video, shared_detector(*detector_arguments)))


def save_part(part: Path, source: list, boxes: dict[str, list]) -> None:
    """Write one clip's boxes where they wait for their split's JSON; `source` is their video's fingerprint."""
    save_text(part, json.dumps({"source": source, "boxes": boxes}, ensure_ascii=False))


class Split:
    """What is known of one split's boxes: its JSON, its parts, and of which videos they are."""

    def __init__(self, root: Path, name: str):
        self.root, self.name = root, name
        self.path = text_boxes_path(root, name)
        self.parts = parts_folder(root, name)
        self.boxes = read_boxes(self.path)
        self.sources = read_boxes(sources_path(root, name))
        self.part_sources = {part.stem: read_boxes(part)["source"] for part in self._part_files()}

    def _part_files(self) -> list[Path]:
        return sorted(p for p in self.parts.glob("*.json") if not p.name.startswith("."))

    def names(self) -> set[str]:
        return set(self.boxes) | set(self.part_sources)

    def knows(self, clip: Clip, video: Path) -> bool:
        """Whether there are boxes of just this video."""
        recorded = self.part_sources.get(clip.name)
        if recorded is None and clip.name not in self.boxes:
            return False
        recorded = recorded or self.sources.get(clip.name)
        if recorded is None:       # a JSON from elsewhere: nothing but its age tells
            return self.path.stat().st_mtime_ns >= video.stat().st_mtime_ns
        return is_same_file(video, recorded)

    def merge(self) -> None:
        """Move what lies in parts into the JSON; a kill at any point loses nothing."""
        parts = self._part_files()
        if parts:
            for part in parts:
                entry = read_boxes(part)
                self.boxes[part.stem], self.sources[part.stem] = entry["boxes"], entry["source"]
            save_text(self.path, json.dumps(dict(sorted(self.boxes.items())), ensure_ascii=False))
            save_text(sources_path(self.root, self.name), json.dumps(dict(sorted(self.sources.items()))))
        self.remove_parts()

    def remove_parts(self) -> None:
        if self.parts.is_dir():
            for path in self.parts.iterdir():
                path.unlink(missing_ok=True)
            # Workers of a killed run finish their clips, and may just have written a part: the next run takes it.
            with contextlib.suppress(OSError):
                self.parts.rmdir()

    def remove(self) -> None:
        self.remove_parts()
        self.path.unlink(missing_ok=True)
        sources_path(self.root, self.name).unlink(missing_ok=True)


def _splits_there(root: Path) -> set[str]:
    found = {path.stem for path in root.glob(SPLIT_FILES) if path.suffix in (".json", ".parts")}
    return {stem.removeprefix("ocr_text_") for stem in found - {text_detector_path(root).stem}}


def _describe(identity: dict) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in identity.get("settings", {}).items())
    return f"{identity.get('name')} {identity.get('version')} ({', '.join(identity.get('models', []))}; {settings})"


def _refuse_mixing(data_root: Path, recorded: dict, identity: dict, with_boxes: set[str], asked: set[str]) -> None:
    """Raise UserError: the boxes below this root are of another detector."""
    made_by = _describe(recorded) if recorded else f"an unknown detector (no {text_detector_path(data_root).name})"
    not_asked = sorted(with_boxes - asked)
    others = f" (now {len(not_asked)} of them, such as {not_asked[0]!r}, are not asked for)" if not_asked else ""
    raise UserError(
        f"{data_root}: text boxes of {len(with_boxes)} clips were made by {made_by}, but this run asks for "
        f"{_describe(identity)}, and two detectors must not be mixed. Run with --force and all folders to make all of "
        f"them again{others}, or choose the same detector, or remove {SPLIT_FILES} there."
    )


def open_splits(data_root: Path, clips, identity: dict, force: bool) -> tuple[dict[str, Split], bool]:
    """The splits below a root, and whether another detector made their boxes, which are then to be removed.

    Raises UserError where they may not be: without `force`, or where some of their clips are not among `clips`.
    """
    from datatools.text_detector import same_detector

    names = _splits_there(data_root) | {split_of_folder(clip.folder) for clip in clips}
    splits = {name: Split(data_root, name) for name in names}
    with_boxes = set().union(*(split.names() for split in splits.values()))
    recorded = read_boxes(text_detector_path(data_root))
    # Without boxes a record binds nothing.
    other_detector = bool(with_boxes) and not same_detector(recorded, identity)
    asked = {clip.name for clip in clips}
    if other_detector and not (force and with_boxes <= asked):
        _refuse_mixing(data_root, recorded, identity, with_boxes, asked)
    return splits, other_detector


def claim_boxes(data_root: Path, splits: dict[str, Split], remove: bool, identity: dict) -> dict[str, Split]:
    """Record the detector whose boxes are to come; with `remove` those of another are removed first."""
    if remove:
        for split in splits.values():
            split.remove()
        splits = {name: Split(data_root, name) for name in splits}
    save_text(text_detector_path(data_root), json.dumps(identity, indent=2))
    for split in splits.values():
        split.parts.mkdir(exist_ok=True)
    return splits


def extract_text(
    data_root: Path,
    ocr: str = "easyocr",
    ocr_weights: Path | None = None,
    recognize: bool = False,
    folders: list[str] | None = None,
    workers: int = 0,
    force: bool = False,
) -> StageReport:
    """Text boxes of all clips of a processed dataset. Raises UserError, also for boxes of another detector."""
    from datatools.stages import number_of_cores
    from datatools.text_detector import detector_identity, load_detector

    videos = find_raw_clips(data_root, folders)
    check_writable(data_root)
    sweep_temporaries(data_root)
    identity = detector_identity(ocr, recognize)
    splits, other_detector = open_splits(data_root, videos, identity, force)
    jobs, kept = [], []
    workers = workers or number_of_cores()
    for clip, video in videos.items():
        split = splits[split_of_folder(clip.folder)]
        if not force and split.knows(clip, video):
            kept.append(clip.name)
        else:
            jobs.append((clip.name, (video, split.parts / f"{clip.name}.json")))
    if jobs:
        # Several clips at once leave one thread to each; EasyOCR takes a GPU where there is one.
        threads = 1 if min(workers, len(jobs)) > 1 else 0
        settings = (ocr, ocr_weights, recognize, ocr == "easyocr", None, threads)
        # Here first: missing weights are one message then and not one a clip, and no box is thrown away for them.
        load_detector(*settings)
        splits = claim_boxes(data_root, splits, other_detector, identity)
        jobs = [(name, (*arguments, settings)) for name, arguments in jobs]
    report = run_stage("text", extract_clip, jobs, kept=kept, workers=workers)
    for split in splits.values():
        split.merge()
    return report


def main(argv: list[str] | None = None) -> int:
    from datatools.text_detector import DETECTORS

    parser = stage_parser(__doc__, save_root=False)
    parser.add_argument("--ocr", choices=DETECTORS, default="easyocr", help="text detector (default: %(default)s)")
    help_text = "folder with EasyOCR's weights (default: it downloads them)"
    parser.add_argument("--ocr_weights", type=Path, metavar="FOLDER", help=help_text)
    parser.add_argument("--recognize", action="store_true", help="read the texts too; nothing here needs them")
    return extract_text(**vars(parser.parse_args(argv))).exit_code


if __name__ == "__main__":
    run_command(main)
