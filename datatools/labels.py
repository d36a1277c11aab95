"""Label files: the competition's text (`name seconds`) and CSV (`name,seconds`), read with their line numbers.

    labels = read_labels(Path("data/processed/data_B/补充数据.txt"))
"""

from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.lists import Line, raise_bad_lines, read_csv
from datatools.numbers import parse_seconds
from datatools.paths import name_problem, read_text

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


def strip_suffix(name: str) -> str:
    """A clip's name without a trailing .mp4."""
    return name[:-4] if name.lower().endswith(".mp4") else name


def read_labels(path: Path, what: str = "label file", flag: str = "--label_files") -> list[Label]:
    """The labels of one file in its order: `.csv` with a header that has `name` and `seconds`, else text.

    A text line is `<name> <seconds>`, separated by white space. `what` the file is and which `flag` names it, for the
    messages. Raises UserError that lists every bad line.
    """
    path = Path(path)
    as_csv = path.suffix.lower() == ".csv"
    form = "a CSV with the columns name and seconds" if as_csv else "lines of `<name> <seconds>`"
    labels, problems = (_read_csv if as_csv else _read_text)(path, what, f"Expected {form}; name yours with {flag}.")
    raise_bad_lines(f"{path}: no valid {what}", problems)
    if not labels:
        raise UserError(f"{path}: no labels in it. Expected {form}.")
    return labels


def _read_text(path: Path, what: str, expected: str) -> tuple[list[Label], list[str]]:
    text = read_text(path, what, expected)
    lines = [Line(number, line, line.split()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _labels(path, lines, ["name", "seconds"], "`<name> <seconds>` separated by a space (a list with commas must "
                   "be named .csv and have the header name,seconds)")


def _read_csv(path: Path, what: str, expected: str) -> tuple[list[Label], list[str]]:
    first, *lines = read_csv(path, what, expected) or [Line(1, "", [""])]
    if any(first.fields.count(column) != 1 for column in ("name", "seconds")):
        return [], [first.problem("a header with name and seconds")]
    return _labels(path, lines, first.fields, "a name and seconds")


def _labels(path: Path, lines: list[Line], columns: list[str], expected: str) -> tuple[list[Label], list[str]]:
    """Labels and problems of lines with these columns; columns behind name and seconds may be missing."""
    name_at, seconds_at = columns.index("name"), columns.index("seconds")
    labels, problems = [], []
    for line in lines:
        fits = max(name_at, seconds_at) < len(line.fields) <= len(columns)
        seconds = parse_seconds(line.fields[seconds_at]) if fits else None
        if seconds is None:
            problems.append(line.problem(expected))
            continue
        name = strip_suffix(line.fields[name_at].strip())
        if problem := name_problem(name):
            problems.append(line.problem(f"another name: {problem}"))
        else:
            labels.append(Label(name, seconds, path, line.number))
    return labels, problems


def read_truth(path: Path) -> dict[str, float]:
    """{name: seconds} of a label or truth file. Raises UserError where a clip is labelled twice."""
    labels = read_labels(path, "truth", "--truth")
    raise_bad_lines(f"{path}: clips labelled twice", doubled_labels(labels))
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
