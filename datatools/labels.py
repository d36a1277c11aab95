"""Label files: the competition's text (`name seconds`) and CSV (`name,seconds`), read with their line numbers.

    labels = read_labels(Path("data/processed/data_B/补充数据.txt"))
"""

import math
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError

VALIDATION_EVERY = 7   # every 7th clip of the list is for validation, the others for training


@dataclass(frozen=True)
class Label:
    """The boundary of one clip in seconds, and the file and line that state it (line numbers from 1)."""

    name: str
    seconds: float
    file: Path
    line: int

    @property
    def place(self) -> str:
        return f"{self.file.name}:{self.line}"


def parse_seconds(text: str) -> float | None:
    """Seconds as a finite, non-negative number, else None."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def strip_suffix(name: str) -> str:
    """A clip's name without a trailing .mp4."""
    return name[:-4] if name.lower().endswith(".mp4") else name


def read_labels(path: Path) -> list[Label]:
    """The labels of one file in its order: `.csv` with a header that has `name` and `seconds`, else text.

    A text line is `<name> <seconds>`, separated by white space. Raises UserError that lists every bad line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such label file. Name yours with --label_files (text or CSV).") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8.") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, expected a label file (text or CSV).") from None
    labels, problems = (_read_csv if path.suffix.lower() == ".csv" else _read_text)(path, text)
    if problems:
        raise UserError(f"{path}: {len(problems)} bad lines.\n  " + "\n  ".join(problems))
    if not labels:
        raise UserError(f"{path}: no labels in it. Expected lines of `<name> <seconds>`.")
    return labels


def _read_text(path: Path, text: str) -> tuple[list[Label], list[str]]:
    labels, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split()
        seconds = parse_seconds(fields[1]) if len(fields) == 2 else None
        if seconds is None:
            hint = " (a list with commas must be named .csv and have the header name,seconds)" if "," in line else ""
            problems.append(f"line {number}: found {line!r}, expected `<name> <seconds>` separated by a space{hint}")
        else:
            labels.append(Label(strip_suffix(fields[0]), seconds, path, number))
    return labels, problems


def _read_csv(path: Path, text: str) -> tuple[list[Label], list[str]]:
    import csv

    reader = csv.DictReader(text.splitlines())
    if not {"name", "seconds"} <= set(reader.fieldnames or ()):
        return [], [f"line 1: found {','.join(reader.fieldnames or ())!r}, expected a header with name and seconds"]
    labels, problems = [], []
    for row in reader:
        name, seconds = (row["name"] or "").strip(), parse_seconds(row["seconds"] or "")
        if not name or seconds is None or None in row:
            problems.append(f"line {reader.line_num}: found {list(row.values())}, expected a name and seconds")
        else:
            labels.append(Label(strip_suffix(name), seconds, path, reader.line_num))
    return labels, problems


def read_truth(path: Path) -> dict[str, float]:
    """{name: seconds} of a label or truth file. Raises UserError where a clip is labelled twice."""
    labels = read_labels(path)
    if doubled := doubled_labels(labels):
        raise UserError(f"{path}: {len(doubled)} clips labelled twice.\n  " + "\n  ".join(doubled))
    return {label.name: label.seconds for label in labels}


def doubled_labels(labels: list[Label]) -> list[str]:
    """One line for every clip with more than one label."""
    places: dict[str, list[str]] = {}
    for label in labels:
        places.setdefault(label.name, []).append(label.place)
    return [f"{name}: labelled {len(p)} times, {', '.join(p)}" for name, p in places.items() if len(p) > 1]


def split_labels(labels: list[Label], data_seed: int) -> tuple[list[Label], list[Label]]:
    """(training, validation), the reference's rule.

    The list is rotated left by `data_seed % 7`; indices 0, 7, 14, ... are for validation, the rest for training.
    """
    shift = data_seed % VALIDATION_EVERY
    rotated = labels[shift:] + labels[:shift]
    return (
        [label for i, label in enumerate(rotated) if i % VALIDATION_EVERY],
        rotated[::VALIDATION_EVERY],
    )
