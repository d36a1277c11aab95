"""The paths of all files of a dataset, raw and processed, in the competition's folders.

    for clip in find_clips(Path("data/raw"), "data_A/train"):
        clip.mfcc(Path("data/processed"))     # data/processed/data_A/train/<name>_mfcc.npy
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable, sweep_temporaries, write_atomic
from datatools.numbers import shortened
from datatools.paths import read_text

CLIP_SECONDS = 200                # s; a clip is at most this long; a shorter one is padded
VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".ts", ".flv", ".wmv")


@dataclass(frozen=True)
class Kind:
    """A clip's question: where its opening ends, or where its ending begins."""

    ending: str     # of the clip's name
    letter: str     # in submissions
    number: int     # in batches; 0 stands for unknown
    title: str      # in tables and messages


START = Kind("_start", "s", 1, "start")
END = Kind("_end", "e", 2, "end")
KINDS = (START, END)


@dataclass(frozen=True)
class Split:
    """A part of a dataset: its folders (relative to the root), and their label files (relative too)."""

    name: str
    folders: tuple[str, ...]
    label_files: tuple[str, ...] = ()


TRAIN = Split("train", ("data_A/train", "data_B"), ("data_A/train/必选数据.txt", "data_B/补充数据.txt"))
TEST = Split("test", ("data_A/test",))
TEST_B = Split("testB", ("data_C",))
COMPETITION = (TRAIN, TEST, TEST_B)


@dataclass(frozen=True, order=True)
class Clip:
    """One clip of a dataset: its folder below the root, and its name without a suffix."""

    folder: str
    name: str

    @property
    def kind(self) -> str:
        """`s` where the opening's end is asked for, `e` where the ending's start is. Raises UserError."""
        return clip_kind(self.name)

    def mfcc(self, root: Path) -> Path:
        """float32 (20, T)."""
        return root / self.folder / f"{self.name}_mfcc.npy"

    def frames(self, root: Path) -> Path:
        """uint8 (200, 66, 88, 3), RGB."""
        return root / self.folder / f"{self.name}_frames.npy"

    def encoded(self, root: Path, encoder: str) -> Path:
        """float16 (200, D), a vector a second of the encoder of this name."""
        return root / self.folder / f"{self.name}_{encoder}.npy"

    def video(self, root: Path) -> Path:
        """The 1 fps video of the processed data, at the source's size."""
        return root / self.folder / f"{self.name}.mp4"

    def text_roi(self, root: Path) -> Path:
        """uint8 (200, 27, 36), 1 inside a text box. One flat folder for all splits, as in the reference."""
        return root / "ROIs" / f"{self.name}.npy"


def kind_of(name: str) -> Kind | None:
    """The kind of a clip by its name's suffix; None for a name without one."""
    return next((kind for kind in KINDS if name.endswith(kind.ending)), None)


def clip_kind(name: str) -> str:
    """`s` for `<id>_start`, `e` for `<id>_end`. Raises UserError for any other name."""
    kind = kind_of(name)
    if kind is None:
        raise UserError(f"clip {name!r}: its name must end in _start (where does the opening end?) or in _end (where "
                        "does the ending begin?). Rename it.")
    return kind.letter


def kind_number(name: str) -> int:
    """1 for a clip `<id>_start`, 2 for `<id>_end`, 0 for any other name."""
    kind = kind_of(name)
    return kind.number if kind else 0


def is_ending(name: str) -> bool:
    """Whether a clip asks where the ending begins."""
    return kind_of(name) is END


def clips_of_kind(names: Iterable[str], kind: Kind) -> list[str]:
    """Those of `names` that are of this kind, in order; a name of unknown kind counts as a start."""
    return [name for name in names if is_ending(name) == (kind is END)]


def text_boxes_path(root: Path, split_name: str) -> Path:
    """JSON: {name: {"0": [[quad, [height, width], text, confidence], ...], "1": ...}}; quad in pixels, four [x, y]."""
    return root / f"ocr_text_{split_name}.json"


def text_detector_path(root: Path) -> Path:
    """JSON: which detector made every text box below this root."""
    return root / "ocr_text_detector.json"


def recorded_text_detector(root: Path) -> str | None:
    """Name of the detector that made the text boxes below `root`; None where that is not recorded."""
    path = text_detector_path(root)
    if not path.exists():
        return None
    remedy = "Run datatools/text_extract.py --force."
    try:
        name = json.loads(text := read_text(path, "record of a text detector", remedy))["name"]
        if isinstance(name, str):
            return name
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise UserError(f"{path}: found {shortened(text)}, expected a JSON object with the detector's name. {remedy}")


def split_of_folder(folder: str) -> str:
    """Name of the split that a folder's text boxes are stored under; a folder outside the layout is its own split."""
    for split in COMPETITION:
        if folder in split.folders:
            return split.name
    return folder.strip("/").replace("/", "_")


@dataclass(frozen=True)
class RawClips:
    """The clips of a raw dataset, {clip: its file}, and (name, reason) of each file that cannot be used as one."""

    files: dict[Clip, Path]
    unusable: list[tuple[str, str]]


def find_raw(root: Path, folder: str) -> list[Path]:
    """The video files in `root/folder`, sorted by name. Raises UserError where the folder is missing or holds none."""
    where = root / folder
    if not where.is_dir():
        raise UserError(f"{where}: no such folder. Expected clips (*.mp4) in it; name other folders with --folders.")
    paths = sorted(p for p in where.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise UserError(f"{where}: no clips in it. Expected files that end in {', '.join(VIDEO_SUFFIXES)}.")
    return paths


def why_unusable(path: Path) -> str | None:
    """Why a file cannot be a clip, with the remedy; None where it can. It is not opened: a pipe would wait for ever."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8, and no label file could name it. Rename it."
    if not path.name.isprintable():
        return "its name holds a control character. Rename it."
    if not path.is_file():
        return "not a regular file (a folder, a pipe, a device or a broken link). Remove it, or put the video there."
    return None


def choose_folders(root: Path, folders: list[str] | None) -> list[str]:
    """The folders asked for, or else those of the competition's layout that exist. Raises UserError if none does."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder (--data_root).")
    if folders:
        return [f.strip("/") for f in folders]
    known = [f for split in COMPETITION for f in split.folders]
    found = [f for f in known if (root / f).is_dir()]
    if not found:
        raise UserError(f"{root}: none of {', '.join(known)} is in it. Name your own folders with --folders.")
    return found


def find_raw_clips(root: Path, folders: list[str] | None) -> RawClips:
    """All raw clips of a dataset. Raises UserError where a folder is missing or empty.

    Two files of the same name are both unusable, in one folder or in two: text masks lie in one flat folder (as in the
    reference), so a name must be unique in the whole dataset.
    """
    found = [(folder, path) for folder in choose_folders(root, folders) for path in find_raw(root, folder)]
    times = Counter(path.stem for _, path in found)
    files: dict[Clip, Path] = {}
    unusable = []
    for folder, path in found:
        reason = why_unusable(path)
        if reason is None and times[path.stem] > 1:
            others = ", ".join(f"{f}/{p.name}" for f, p in found if p.stem == path.stem and p != path)
            reason = f"has the same name as {others}, and ROIs/{path.stem}.npy is shared. Rename or remove one of them."
        if reason is None:
            files[Clip(folder, path.stem)] = path
        else:
            unusable.append((as_text(f"{folder}/{path.name}"), reason))
    return RawClips(files, unusable)


def as_text(name: str) -> str:
    """A file's name as text that can be printed and saved, whatever its bytes are."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_unique(clips) -> None:
    """Raise UserError where clips of different folders have the same name."""
    folders: dict[str, str] = {}
    for clip in clips:
        other = folders.setdefault(clip.name, clip.folder)
        if other != clip.folder:
            raise UserError(
                f"clip {clip.name!r} stands in {other} and in {clip.folder}; names must be unique in a dataset, "
                "because ROIs/<name>.npy is shared by all folders. Rename one of them."
            )


def label_files_below(root: Path, folders: list[str]) -> list[Path]:
    """Label and truth files in these folders, which the preprocessing commands copy beside the features."""
    return [p for f in folders for p in sorted((root / f).iterdir()) if p.suffix in (".txt", ".csv") and p.is_file()]


def prepare_save_root(data_root: Path, save_root: Path, folders: list[str] | None) -> None:
    """Make the folders below `save_root`, check that they are writable, and copy the label and truth files there.

    Raises UserError, also where both roots are the same folder, or a link leads from one to the other: the 1 fps videos
    would overwrite the raw clips.
    """
    chosen = choose_folders(data_root, folders)
    if save_root.resolve() == data_root.resolve():
        raise UserError(
            f"{save_root}: --save_root is --data_root, and the 1 fps videos would replace the clips. "
            "Name another folder."
        )
    for folder in chosen:
        for clip in find_raw(data_root, folder):
            video = Clip(folder, clip.stem).video(save_root)
            if video.exists() and video.samefile(clip):
                raise UserError(f"{video}: is the raw clip {clip} itself, and the 1 fps video would replace it. Remove "
                                "this link, or name another --save_root.")
        check_writable(save_root / folder)
        sweep_temporaries(save_root / folder)
    for source in label_files_below(data_root, chosen):
        target = save_root / source.relative_to(data_root)
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            with write_atomic(target) as temporary:
                temporary.write_bytes(source.read_bytes())
