"""Write and read submissions (`name.mp4,s|e,seconds`, three decimals, no header) and predictions files.

    write_submission(Path("submission.csv"), {"0NJvw4n0_start": 65.342})

People open these files in spreadsheets, which run a cell that begins with = + - or @ as a formula. A clip whose name
would be such a cell is refused where names are read (labels, submissions, predictions, the clips of an inference) and
again where they are written; it is not written in another form, because the name must stay the clip's.
"""

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path

from datatools.errors import UserError
from datatools.files import save_text
from datatools.labels import strip_suffix
from datatools.layout import KINDS, clip_kind
from datatools.lists import Line, raise_bad_lines, read_csv
from datatools.numbers import MOST_LISTED_SECONDS, parse_number, parse_seconds, shortened
from datatools.paths import check_name, name_problem


def write_submission(path: Path, seconds: dict[str, float]) -> None:
    """Write {clip name: seconds} in the given order. Raises UserError for a name that is neither start nor end."""
    write_answers(path, ((f"{name}.mp4", clip_kind(name), value) for name, value in seconds.items()))


def write_answers(path: Path, answers: Iterable[tuple[str, str, float]]) -> None:
    """Write a submission of (name.mp4, s|e, seconds). Raises UserError for a name or number that it may not hold."""
    _write_csv(path, [[name, letter, _figure(path, name, seconds)] for name, letter, seconds in answers])


def write_predictions(path: Path, rows: dict[str, dict[str, float]]) -> None:
    """Write {name: {column: value}} as CSV with the columns `name` and each column; nan becomes an empty field."""
    columns = list(next(iter(rows.values())))
    _write_csv(path, [["name", *columns], *(
        [name, *("" if math.isnan(row[c]) else _figure(path, name, row[c]) for c in columns)]
        for name, row in rows.items())])


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    for name, *_ in rows:
        check_name(strip_suffix(name))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    save_text(Path(path), text.getvalue())


def _figure(path: Path, name: str, value: float) -> str:
    if not math.isfinite(value):
        raise UserError(f"{path}: not written, {name} would have {value}, expected a finite number.")
    return f"{value:.3f}"


def read_predictions(path: Path, columns: tuple[str, ...] = ()) -> dict[str, dict[str, float]]:
    """{clip name: {column: value}} of a file by `write_predictions`; nan for an empty field.

    Raises UserError that lists every bad or doubled line, also where one of `columns` is missing.
    """
    path = Path(path)
    heads = ", ".join(("name", *columns))
    expected = f"Expected a CSV with the columns {heads}, as a training or an inference writes it."
    first, *lines = read_csv(path, "predictions", expected) or [Line(1, "", [""])]
    heads = first.fields
    if heads[:1] != ["name"] or not set(columns) <= set(heads) or len(set(heads)) < len(heads):
        raise UserError(f"{path}: found the header {shortened(first.text)}. {expected}")
    predictions: dict[str, dict[str, float]] = {}
    problems = []
    for line in lines:
        name, figures = "".join(line.fields[:1]), _figures(line.fields[1:])
        if len(line.fields) != len(heads) or figures is None:
            problems.append(line.problem(f"a name and {len(heads) - 1} figures"))
        elif problem := name_problem(strip_suffix(name)):
            problems.append(line.problem(f"another name: {problem}"))
        elif name in predictions:
            problems.append(f"line {line.number}: {name} stands there twice")
        else:
            predictions[name] = dict(zip(heads[1:], figures, strict=True))
    raise_bad_lines(f"{path}: no valid predictions", problems)
    return predictions


def _figures(texts: list[str]) -> list[float] | None:
    """Numbers of predictions, seconds or shares; nan for an empty field. None where one is no number."""
    limits = {"low": -MOST_LISTED_SECONDS, "high": MOST_LISTED_SECONDS}
    try:
        return [parse_number(text, **limits) if text else math.nan for text in texts]
    except ValueError:
        return None


def read_submission(path: Path) -> dict[tuple[str, str], float]:
    """{(name.mp4, s|e): seconds} in the file's order. Raises UserError that lists every bad or doubled line."""
    path = Path(path)
    form = "`name.mp4,s|e,seconds`"
    answers: dict[tuple[str, str], float] = {}
    problems = []
    letters = {kind.letter for kind in KINDS}
    for line in read_csv(path, "submission", f"Expected lines of {form}."):
        seconds = parse_seconds(line.fields[2]) if len(line.fields) == 3 else None
        if seconds is None or line.fields[1] not in letters:
            problems.append(line.problem(form))
            continue
        name, letter, _ = line.fields
        if problem := name_problem(strip_suffix(name)):
            problems.append(line.problem(f"another name: {problem}"))
        elif (name, letter) in answers:
            problems.append(f"line {line.number}: {name} ({letter}) stands there twice")
        else:
            answers[name, letter] = seconds
    raise_bad_lines(f"{path}: no valid submission", problems)
    if not answers:
        raise UserError(f"{path}: an empty submission. Expected lines of {form}.")
    return answers


def read_answers(path: Path) -> dict[str, float]:
    """{clip name: seconds} of a submission, names without .mp4. Raises UserError as `read_submission`."""
    return {strip_suffix(name): seconds for (name, _), seconds in read_submission(path).items()}
