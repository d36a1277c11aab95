"""Lists of labelled videos: train.csv, val.csv and test.csv with lines `path label`, and the lists they are made from.

    lists = read_video_lists({"train": Path("data/train.csv"), "val": Path("data/val.csv")})
    lists["train"].paths[0], lists["train"].labels[0], lists["train"].classes

The label is what follows the last blank, tab or comma, so a path may hold all of these; what would be misread stands
in double quotes, as CSV writers put them. Lines `folder num_frames label` are understood too, where all of a list are
such. Labels are the numbers of classes from 0, or their names. Relative paths start at the working directory.
classes.txt, where there is one, holds the names of the classes, one a line.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.errors import UserError
from datatools.files import check_writable, save_text
from datatools.layout import VIDEO_SUFFIXES
from datatools.lists import LINES_SHOWN, Line, raise_bad_lines, read_csv
from datatools.numbers import parse_number, shortened
from datatools.paths import has_control, read_text
from datatools.video_frames import FIRST_FRAME

SPLITS = ("train", "val", "test")
CLASSES_FILE = "classes.txt"
MOST_BYTES = 256 * 2**20             # of a list; half a million videos take some 40 MiB
MOST_CLASSES = 100_000
LONGEST_LINE = 8192                  # characters; a path has at most 4096 bytes
QUOTED = r'"(?:[^"]|"")*"'
LINE = re.compile(rf'[ \t]*({QUOTED}|.*?)(?:[ \t]*,[ \t]*|[ \t]+)({QUOTED}|[^ \t,"]+)[ \t]*')
COUNTED = re.compile(r"(.*[^ \t])[ \t]+[0-9]+")
EXPECTED = "Expected lines of `path label`."


@dataclass(frozen=True)
class VideoList:
    """Videos in order: their paths, labels (N,) int64, lines in `file` (from 1), and the names of all classes."""

    file: Path
    paths: list[str]
    labels: np.ndarray
    lines: list[int]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def place(self, index: int) -> str:
        """Where a video stands, for messages."""
        return f"{self.file.name}:{self.lines[index]}"


# ---------------------------------------------------------------- reading


def read_video_lists(
    files: dict[str, Path], names: Path | tuple[str, ...] | None = None, check: bool = True, root: Path | None = None
) -> dict[str, VideoList]:
    """The lists of one data set, with the same classes: {split: list}.

    `names` are the classes, or the file with their names; without it, they are the labels' own, sorted, or numbers up
    to the largest label. `check`: all videos must exist. `root`: where relative paths start, instead of the working
    directory. Raises one UserError a list with all its bad lines.
    """
    read = {split: _read_lines(path) for split, path in files.items()}
    if root is not None:
        read = {split: {number: (str(root / video), label) for number, (video, label) in lines.items()}
                for split, lines in read.items()}
    read = {split: _without_counts(lines) for split, lines in read.items()}
    texts = [text for lines in read.values() for _, text in lines.values()]
    numbered = all(re.fullmatch("[+-]?[0-9]+", text) for text in texts)
    if isinstance(names, tuple):
        classes = names
    elif names is not None:
        classes = read_class_names(names)
    elif numbered:
        valid = [number for text in texts if (number := _number(text, MOST_CLASSES)) is not None]
        classes = tuple(map(str, range(max(valid, default=-1) + 1)))
    else:
        classes = tuple(sorted(set(texts)))
    return {split: _resolve(files[split], lines, classes, numbered, (root or Path.cwd()) if check else None)
            for split, lines in read.items()}


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names of classes, one a line, in order. Raises UserError."""
    lines = [line.strip() for line in read_text(path, "list of class names", "Expected one name a line.").split("\n")]
    names = tuple(line for line in lines if line)
    double = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if not names or double:
        found = f"twice in it: {', '.join(double[:LINES_SHOWN])}" if double else "no name in it"
        raise UserError(f"{path}: {found}. Expected the name of each class on a line of its own.")
    return names


def _read_lines(path: Path) -> dict[int, tuple[str, str]]:
    """{number of the line: (path, label as written)}. Raises UserError that lists every bad line."""
    found, problems, first = {}, [], {}
    for number, text in enumerate(read_text(path, "list of videos", EXPECTED, MOST_BYTES).split("\n"), 1):
        if not text.strip():
            continue
        match = LINE.fullmatch(text) if len(text) <= LONGEST_LINE else None
        video, label = map(_unquoted, match.groups()) if match else ("", "")
        if not video or not label:
            problems.append(Line(number, text, [text]).problem("`path label`"))
        elif has_control(video):
            problems.append(Line(number, text, [text]).problem("a path without control characters"))
        elif video in first:
            problems.append(Line(number, text, [text]).problem(f"each video once, and line {first[video]} has it too"))
        else:
            first[video] = number
            found[number] = video, label
    raise_bad_lines(f"{path}: no valid list of videos", problems)
    if not found:
        raise UserError(f"{path}: no video in it. {EXPECTED}")
    return found


def _without_counts(lines: dict[int, tuple[str, str]]) -> dict[int, tuple[str, str]]:
    """Lines `folder num_frames label` as `folder label`: all paths end in a number, and with it none of them is there.

    The folder itself tells how many frames it holds.
    """
    found = {number: (_unquoted(match[1]), text) for number, (video, text) in lines.items()
             if (match := COUNTED.fullmatch(video))}
    return lines if len(found) < len(lines) or any(os.path.exists(video) for video, _ in lines.values()) else found


def _resolve(
    file: Path, lines: dict[int, tuple[str, str]], classes: tuple[str, ...], numbered: bool, root: Path | None
) -> VideoList:
    """A list with its labels as numbers; its videos must exist unless `root`, where they start, is None."""
    places = {name: place for place, name in enumerate(classes)}
    labels, problems = [], []
    for number, (video, text) in lines.items():
        label = _number(text, len(classes)) if numbered else places.get(text)
        expected = f"a number from 0 to {len(classes) - 1}" if numbered else f"one of {len(classes)} names of classes"
        if label is None:
            problems.append(Line(number, f"{video} {text}", [text]).problem(f"{expected} as the label"))
        elif root and not os.path.exists(video):
            problems.append(f"line {number}: no such file, {video}")
        labels.append(label)
    where = f"; relative paths start at {root}" if root else ""
    raise_bad_lines(f"{file}: labels or videos are missing{where}", problems)
    return VideoList(file, [video for video, _ in lines.values()], np.array(labels, np.int64), list(lines), classes)


def _number(text: str, count: int) -> int | None:
    try:
        return parse_number(text, int, low=0, high=count - 1)
    except ValueError:
        return None


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def _quoted(text: str) -> str:
    """The text as a list can hold it."""
    plain = text == text.strip(" \t,") and not (text[:1] == text[-1:] == '"')
    return text if plain else '"' + text.replace('"', '""') + '"'


# ---------------------------------------------------------------- writing


@dataclass(frozen=True)
class Labelled:
    """A video and the name of its class; `text` is where that is stated, for messages."""

    path: str
    name: str
    text: str


def save_video_lists(
    root: Path, lists: dict[str, list[Labelled]], classes: Iterable[str], skip_missing: bool = False,
    force: bool = False, shots: int | None = None, seed: int = 0,
) -> list[str]:
    """Write <split>.csv of each list and classes.txt into `root`; returns a line for each file that was written.

    `shots`: of each class, the list train keeps so many, drawn by `seed`; a class that has fewer is told. Missing
    videos are left out with `skip_missing` before that, and told. Raises UserError that lists them otherwise, and where
    a file with other content exists, unless `force` is set.
    """
    classes = list(classes)
    places = {name: place for place, name in enumerate(classes)}
    told, contents = [], {CLASSES_FILE: "".join(f"{name}\n" for name in classes)}
    for split, videos in lists.items():
        missing = [f"{video.text}: no such video, {video.path}" for video in videos if not os.path.exists(video.path)]
        if missing and not skip_missing:
            raise_bad_lines(f"{split}: videos are missing (--skip_missing leaves them out)", missing)
        told += [f"left out, {line}" for line in missing[:LINES_SHOWN]]
        there = [video for video in videos if os.path.exists(video.path)]
        if not there:
            raise UserError(f"{split}: none of its {len(videos)} videos is there. Name the folder that holds them.")
        if shots and split == "train":
            there, short = few_shots(there, classes, shots, seed)
            told += short
        bad = [f"{video.path!r}: no list can hold this name, rename it" for video in there if has_control(video.path)]
        raise_bad_lines(f"{split}: paths that are no text", bad)
        contents[f"{split}.csv"] = "".join(f"{_quoted(video.path)} {places[video.name]}\n" for video in there)
        told.append(f"{root / split}.csv: {len(there)} videos" + (f", {len(missing)} missing" if missing else ""))
    check_writable(root)
    for name, content in contents.items():
        target = root / name
        if not force and target.exists() and (not target.is_file() or target.read_bytes() != content.encode()):
            raise UserError(f"{target}: is there already, with other content. Give another --save_root, or --force.")
    for name, content in contents.items():
        save_text(root / name, content)
    return told + [f"{root / CLASSES_FILE}: {len(classes)} classes"]


def few_shots(
    videos: list[Labelled], classes: list[str], shots: int, seed: int
) -> tuple[list[Labelled], list[str]]:
    """(`shots` videos of each class in the list's order, a line for each class that has fewer).

    Those of fewer shots with the same seed are among those of more.
    """
    kept, short = [], []
    for place, name in enumerate(classes):
        own = [index for index, video in enumerate(videos) if video.name == name]
        # Apart from the stream that divides a folder's videos.
        kept += np.random.default_rng((seed, place, 1)).permutation(own).tolist()[:shots]
        if len(own) < shots:
            short.append(f"{name}: {len(own)} training videos, fewer than {shots} shots")
    return [videos[index] for index in sorted(kept)], short


# ---------------------------------------------------------------- from what data sets ship


def videos_of_folders(root: Path, val: float, test: float, seed: int) -> tuple[dict[str, list[Labelled]], list[str]]:
    """({split: videos}, class names) of a folder of class folders, each class divided at random by `seed`.

    Shares `val` and `test` of each class are rounded. Raises UserError.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder. Expected a folder with a folder of videos for each class.")
    if val + test >= 1:
        raise UserError(f"--val {val:g} and --test {test:g} leave nothing to train on. Give shares below 1 together.")
    lists: dict[str, list[Labelled]] = {split: [] for split in SPLITS}
    classes = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    for place, name in enumerate(classes):
        videos = sorted(path for path in (root / name).iterdir() if _is_video(path))
        if not videos:
            raise UserError(f"{root / name}: no video in it. Expected {', '.join(VIDEO_SUFFIXES)} or folders of frames "
                            f"({FIRST_FRAME}); remove the folder if it is no class.")
        order = np.random.default_rng((seed, place)).permutation(len(videos))
        ends = np.cumsum([round(test * len(videos)), round(val * len(videos))])
        for split, part in zip(("test", "val", "train"), np.split(order, ends), strict=True):
            lists[split] += [Labelled(str(videos[index]), name, name) for index in sorted(part)]
    if not classes:
        raise UserError(f"{root}: no folder in it. Expected a folder of videos for each class.")
    return {split: videos for split, videos in lists.items() if videos}, classes


def _is_video(path: Path) -> bool:
    return not path.name.startswith(".") and (
        path.suffix.lower() in VIDEO_SUFFIXES or (path / FIRST_FRAME).is_file())


def videos_at(paths: Iterable[Path]) -> list[Path]:
    """The videos that paths name: files, folders of frames, and all videos below other folders. Raises UserError."""
    found = []
    for path in paths:
        if not path.is_dir() or _is_video(path):
            if not path.exists():
                raise UserError(f"{path}: no such file or folder. Expected a video, a folder of videos, or a folder of "
                                f"frames ({FIRST_FRAME}).")
            found.append(path)
            continue
        below = [Path(folder, name) for folder, folders, files in os.walk(path) for name in (*folders, *files)
                 if _is_video(Path(folder, name))]
        if not below:
            raise UserError(f"{path}: no video in it. Expected {', '.join(VIDEO_SUFFIXES)}, or frames ({FIRST_FRAME}).")
        found += sorted(below)
    return found


def _found(path: Path) -> str:
    """A video's path, or that of the folder of its frames where only that is there."""
    frames = path.with_suffix("")
    return str(frames if not path.exists() and (frames / FIRST_FRAME).is_file() else path)


def kinetics_lists(files: list[Path], root: Path) -> tuple[dict[str, list[Labelled]], list[str]]:
    """({split: videos}, class names) of CSVs with the header label,youtube_id,time_start,time_end,split.

    A video is called <id>_<start>_<end> (six digits each) or <id>, anywhere below `root`. Raises UserError.
    """
    expected = "Expected a CSV with the header label,youtube_id,time_start,time_end,split."
    stems: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted([*names, *folders]):
            if _is_video(Path(folder, name)):
                stems.setdefault(name if name in folders else Path(name).stem, os.path.join(folder, name))
    lists: dict[str, list[Labelled]] = {}
    splits = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
    for file in files:
        first, *lines = read_csv(file, "list of Kinetics", expected, MOST_BYTES) or [Line(1, "", [""])]
        columns = first.fields
        if not {"label", "youtube_id", "time_start", "time_end", "split"} <= set(columns):
            raise UserError(f"{file}: its first line is {shortened(first.text)}. {expected}")
        problems = []
        for line in lines:
            row = dict(zip(columns, line.fields, strict=False))
            start, end = (_number(row.get(name, "").removesuffix(".0"), 10**6) for name in ("time_start", "time_end"))
            split, label = splits.get(row.get("split", "").strip().lower()), row.get("label", "").strip()
            if None in (start, end, split) or not label or not row["youtube_id"]:
                problems.append(line.problem("label, id, seconds and split"))
                continue
            stem = f"{row['youtube_id']}_{start:06d}_{end:06d}"
            path = stems.get(stem) or stems.get(row["youtube_id"]) or str(root / f"{stem}.mp4")
            lists.setdefault(split, []).append(Labelled(path, label, f"{file.name}:{line.number}"))
        raise_bad_lines(f"{file}: no valid list of Kinetics", problems)
    return lists, sorted({video.name for videos in lists.values() for video in videos})


def ucf101_lists(folder: Path, root: Path, split: int) -> tuple[dict[str, list[Labelled]], list[str]]:
    """({split: videos}, class names) of trainlist0k.txt, testlist0k.txt and classInd.txt; validation is the test list.

    Raises UserError.
    """
    expected = "Expected a folder with trainlist01.txt, testlist01.txt, ... and classInd.txt."
    classes = [line.split(" ", 1)[1].strip() for line in
               read_text(folder / "classInd.txt", "list of classes", expected).split("\n") if " " in line.strip()]
    lists = {}
    for name in ("train", "test"):
        file, problems, lists[name] = folder / f"{name}list{split:02d}.txt", [], []
        for number, line in enumerate(read_text(file, "list of videos", expected).split("\n"), 1):
            if not line.strip():
                continue
            video, _, label = line.strip().partition(" ")      # the test's lines have no label
            known = video.split("/")[0] in classes
            if not known or (label and label.strip() != str(classes.index(video.split("/")[0]) + 1)):
                problems.append(Line(number, line, [line]).problem("<class>/<video>, with the class's number or none"))
            else:
                lists[name].append(Labelled(_found(root / video), video.split("/")[0], f"{file.name}:{number}"))
        raise_bad_lines(f"{file}: does not fit to classInd.txt", problems)
    return {"train": lists["train"], "val": lists["test"], "test": lists["test"]}, classes


def hmdb51_lists(folder: Path, root: Path, split: int) -> tuple[dict[str, list[Labelled]], list[str]]:
    """({split: videos}, class names) of <class>_test_split<k>.txt; validation is the test list.

    Lines are `<video> 0|1|2`: unused, training, test. Raises UserError.
    """
    ending = f"_test_split{split}.txt"
    files = sorted(folder.glob(f"*{ending}"))
    if not files:
        raise UserError(f"{folder}: no list in it. Expected a file <class>{ending} for each class.")
    lists: dict[str, list[Labelled]] = {"train": [], "test": []}
    for file in files:
        name, problems = file.name.removesuffix(ending), []
        for number, line in enumerate(read_text(file, "list of videos", "Expected `video 0|1|2`.").split("\n"), 1):
            video, _, part = line.strip().rpartition(" ")
            if part in ("1", "2") and video:
                target = lists["train" if part == "1" else "test"]
                target.append(Labelled(_found(root / name / video.strip()), name, f"{file.name}:{number}"))
            elif line.strip() and (part != "0" or not video):
                problems.append(Line(number, line, [line]).problem("`video 0|1|2`"))
        raise_bad_lines(f"{file}: no valid list of HMDB51", problems)
    return {"train": lists["train"], "val": lists["test"], "test": lists["test"]}, [
        file.name.removesuffix(ending) for file in files]


def text_lists(
    files: dict[str, Path], names: Path | None, root: Path | None
) -> tuple[dict[str, list[Labelled]], list[str]]:
    """({split: videos}, class names) of lists with lines `path label`; paths start at `root`, if given."""
    read = read_video_lists(files, names, check=False, root=root)
    lists = {split: [Labelled(path, videos.classes[label], videos.place(index))
                     for index, (path, label) in enumerate(zip(videos.paths, videos.labels, strict=True))]
             for split, videos in read.items()}
    return lists, list(next(iter(read.values())).classes)


def make_lists(
    kind: str, videos: Path | None, save_root: Path, skip_missing: bool = False, force: bool = False,
    shots: int | None = None, seed: int = 0, **more,
) -> list[str]:
    """Write the lists of a data set, as tools/make_lists.py is told; returns what was written. Raises UserError."""
    if kind == "folders":
        lists, classes = videos_of_folders(videos, seed=seed, **more)
    elif kind == "kinetics":
        lists, classes = kinetics_lists(more["lists"], videos)
    elif kind == "text":
        files = {split: more[split] for split in SPLITS if more[split] is not None}
        if not files:
            raise UserError("No list is named. Give at least one of --train, --val and --test.")
        lists, classes = text_lists(files, more["names"], videos)
    else:
        lists, classes = (ucf101_lists if kind == "ucf101" else hmdb51_lists)(more["lists"], videos, more["split"])
    if shots and "train" not in lists:
        raise UserError("--shots draws from a list for training, and there is none. Name one, or leave --shots out.")
    return save_video_lists(save_root, lists, classes, skip_missing, force, shots, seed)
