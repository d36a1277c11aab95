"""The files of text boxes: one JSON a split, merged from parts of single clips, and a record of their detector.

    splits, other_detector = open_splits(root, clips, identity, force=False)
    save_part(splits["train"].parts / "abc_start.json", source, boxes)
    splits["train"].merge()

Each clip's boxes are first written to ocr_text_<split>.parts/<name>.json, so that a killed run keeps them, and at the
end merged into ocr_text_<split>.json. ocr_sources_<split>.json records their videos. ocr_text_detector.json records
their detector: boxes of two detectors are never mixed.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from datatools.errors import UserError
from datatools.files import save_text
from datatools.layout import Clip, split_of_folder, text_boxes_path, text_detector_path
from datatools.manifest import is_same_file
from datatools.paths import check_regular
from datatools.text_detector import same_detector

SPLIT_FILES = "ocr_text_*"


def parts_folder(root: Path, split_name: str) -> Path:
    """The folder of single clips' boxes, before they are merged into their split's JSON."""
    return root / f"ocr_text_{split_name}.parts"


def sources_path(root: Path, split_name: str) -> Path:
    """JSON: {name: [size in bytes, mtime in ns, SHA-256]} of the videos whose boxes are known."""
    return root / f"ocr_sources_{split_name}.json"


def read_boxes(path: Path) -> dict:
    """A JSON object written by this stage, {} where the file is missing. Raises UserError where it is not one."""
    check_regular(path, "a JSON of text boxes")
    if not path.exists():
        return {}
    try:
        boxes = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON ({error}). Remove it and run datatools/text_extract.py again.") from error
    if not isinstance(boxes, dict) or not all(isinstance(entry, dict | list | str) for entry in boxes.values()):
        raise UserError(f"{path}: expected one JSON object. Remove it and run datatools/text_extract.py again.")
    return boxes


def read_part(path: Path) -> tuple[list, dict]:
    """A part file by `save_part`: (their video's fingerprint, the boxes). Raises UserError where it is none."""
    part = read_boxes(path)
    source, boxes = part.get("source"), part.get("boxes")
    if not isinstance(source, list) or len(source) != 3 or not isinstance(boxes, dict):
        raise UserError(f"{path}: expected the text boxes of one clip. Remove it, then run datatools/text_extract.py.")
    return source, boxes


def save_part(part: Path, source: list, boxes: dict[str, list]) -> None:
    """Write one clip's boxes to its part file; `source` is their video's fingerprint."""
    save_text(part, json.dumps({"source": source, "boxes": boxes}, ensure_ascii=False))


class SplitBoxes:
    """The boxes of one split: its JSON, its parts, and the fingerprints of their videos."""

    def __init__(self, root: Path, name: str):
        self.root, self.name = root, name
        self.path = text_boxes_path(root, name)
        self.parts = parts_folder(root, name)
        self.boxes = read_boxes(self.path)
        self.sources = read_boxes(sources_path(root, name))
        self.part_sources = {part.stem: read_part(part)[0] for part in self._part_files()}

    def _part_files(self) -> list[Path]:
        return sorted(p for p in self.parts.glob("*.json") if not p.name.startswith("."))

    def names(self) -> set[str]:
        return set(self.boxes) | set(self.part_sources)

    def knows(self, clip: Clip, video: Path) -> bool:
        """Whether there are boxes of exactly this video."""
        recorded = self.part_sources.get(clip.name)
        if recorded is None and clip.name not in self.boxes:
            return False
        recorded = recorded or self.sources.get(clip.name)
        if not isinstance(recorded, list) or len(recorded) != 3:       # a JSON from elsewhere: only its age can tell
            return self.path.stat().st_mtime_ns >= video.stat().st_mtime_ns
        return is_same_file(video, recorded)

    def merge(self) -> None:
        """Merge the parts into the JSON; a kill at any point loses nothing."""
        parts = self._part_files()
        if parts:
            for part in parts:
                self.sources[part.stem], self.boxes[part.stem] = read_part(part)
            save_text(self.path, json.dumps(dict(sorted(self.boxes.items())), ensure_ascii=False))
            save_text(sources_path(self.root, self.name), json.dumps(dict(sorted(self.sources.items()))))
        self.remove_parts()

    def remove_parts(self) -> None:
        if self.parts.is_dir():
            for path in self.parts.iterdir():
                path.unlink(missing_ok=True)
            # A killed run's workers finish their clips and may have just written a part: the next run merges it.
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
    """Raise UserError that the boxes below this root come from another detector."""
    made_by = _describe(recorded) if recorded else f"an unknown detector (no {text_detector_path(data_root).name})"
    not_asked = sorted(with_boxes - asked)
    others = f" (now {len(not_asked)} of them, such as {not_asked[0]!r}, are not asked for)" if not_asked else ""
    raise UserError(
        f"{data_root}: text boxes of {len(with_boxes)} clips were made by {made_by}, but this run asks for "
        f"{_describe(identity)}, and two detectors must not be mixed. Run with --force and all folders to make all of "
        f"them again{others}, or choose the same detector, or remove {SPLIT_FILES} there."
    )


def open_splits(
    data_root: Path, clips: Iterable[Clip], identity: dict, force: bool
) -> tuple[dict[str, SplitBoxes], bool]:
    """The splits below a root, and whether another detector made their boxes, so that these have to be removed.

    Raises UserError where they must not be removed: without `force`, or if some of their clips are not in `clips`.
    """
    names = _splits_there(data_root) | {split_of_folder(clip.folder) for clip in clips}
    splits = {name: SplitBoxes(data_root, name) for name in names}
    with_boxes = set().union(*(split.names() for split in splits.values()))
    recorded = read_boxes(text_detector_path(data_root))
    # A record without boxes does not count.
    other_detector = bool(with_boxes) and not same_detector(recorded, identity)
    asked = {clip.name for clip in clips}
    if other_detector and not (force and with_boxes <= asked):
        _refuse_mixing(data_root, recorded, identity, with_boxes, asked)
    return splits, other_detector


def claim_boxes(data_root: Path, splits: dict[str, SplitBoxes], remove: bool, identity: dict) -> dict[str, SplitBoxes]:
    """Record the detector of the coming boxes; with `remove`, first remove those of another detector."""
    if remove:
        for split in splits.values():
            split.remove()
        splits = {name: SplitBoxes(data_root, name) for name in splits}
    save_text(text_detector_path(data_root), json.dumps(identity, indent=2))
    for split in splits.values():
        split.parts.mkdir(exist_ok=True)
    return splits


def digest_of_boxes(boxes: dict[str, list]) -> str:
    """SHA-256 of one clip's text boxes, independent of the file that holds them."""
    return hashlib.sha256(json.dumps(boxes, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
