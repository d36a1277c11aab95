"""Write and read submissions (`name.mp4,s|e,seconds`, three decimals, no header) and predictions files.

    write_submission(Path("submission.csv"), {"0NJvw4n0_start": 65.342})
"""

import csv
import io
import math
from pathlib import Path

from datatools.errors import UserError
from datatools.files import save_text
from datatools.labels import parse_seconds, strip_suffix
from datatools.layout import KINDS, clip_kind

LINES_SHOWN = 20   # bad lines in one error message


def write_submission(path: Path, seconds: dict[str, float]) -> None:
    """Write {clip name: seconds} in the given order. Raises UserError for a name that is neither start nor end."""
    rows = [f"{name}.mp4,{clip_kind(name)},{value:.3f}\n" for name, value in seconds.items()]
    save_text(Path(path), "".join(rows))


def write_predictions(path: Path, rows: dict[str, dict[str, float]]) -> None:
    """Write {name: {column: value}} as CSV with the columns `name` and each column; nan becomes an empty field."""
    text = io.StringIO()
    columns = list(next(iter(rows.values())))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *columns])
    for name, row in rows.items():
        writer.writerow([name, *("" if row[c] != row[c] else f"{row[c]:.3f}" for c in columns)])
    save_text(path, text.getvalue())


def read_predictions(path: Path, columns: tuple[str, ...] = ()) -> dict[str, dict[str, float]]:
    """{clip name: {column: value}} of a file by `write_predictions`; nan for an empty field.

    Raises UserError that lists every bad or doubled line, also where one of `columns` is missing.
    """
    path = Path(path)
    heads = ", ".join(("name", *columns))
    expected = f"Expected a CSV with the columns {heads}, as AVTDist writes it beside a submission."
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such predictions. {expected}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text, so no predictions. {expected}") from None
    heads, *rows = list(csv.reader(lines)) or [[]]
    if heads[:1] != ["name"] or not set(columns) <= set(heads):
        raise UserError(f"{path}: found the header {','.join(heads)!r}. {expected}")
    predictions: dict[str, dict[str, float]] = {}
    problems = []
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        name, *texts = row
        try:
            figures = [float(text) if text else math.nan for text in texts]
        except ValueError:
            figures = []
        if len(figures) != len(heads) - 1:
            problems.append(f"line {number}: found {','.join(row)!r}, expected a name and {len(heads) - 1} figures")
        elif name in predictions:
            problems.append(f"line {number}: {name} stands there twice")
        else:
            predictions[name] = dict(zip(heads[1:], figures, strict=True))
    if problems:
        raise UserError(f"{path}: no valid predictions, {len(problems)} bad lines.\n  " + _first_lines(problems))
    return predictions


def read_submission(path: Path) -> dict[tuple[str, str], float]:
    """{(name.mp4, s|e): seconds} in the file's order. Raises UserError that lists every bad or doubled line."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such submission.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text, so no submission.") from None
    answers: dict[tuple[str, str], float] = {}
    problems = []
    letters = {kind.letter for kind in KINDS}
    for number, row in enumerate(csv.reader(lines), 1):
        if not row:
            continue
        seconds = parse_seconds(row[2]) if len(row) == 3 else None
        if seconds is None or row[1] not in letters:
            problems.append(f"line {number}: found {','.join(row)!r}, expected `name.mp4,s|e,seconds`")
        elif (row[0], row[1]) in answers:
            problems.append(f"line {number}: {row[0]} ({row[1]}) stands there twice")
        else:
            answers[row[0], row[1]] = seconds
    if problems:
        raise UserError(f"{path}: no valid submission, {len(problems)} bad lines.\n  " + _first_lines(problems))
    if not answers:
        raise UserError(f"{path}: an empty submission. Expected lines of `name.mp4,s|e,seconds`.")
    return answers


def read_answers(path: Path) -> dict[str, float]:
    """{clip name: seconds} of a submission, names without .mp4. Raises UserError as `read_submission`."""
    return {strip_suffix(name): seconds for (name, _), seconds in read_submission(path).items()}


def _first_lines(problems: list[str]) -> str:
    more = len(problems) - LINES_SHOWN
    return "\n  ".join(problems[:LINES_SHOWN]) + (f"\n  and {more} more" if more > 0 else "")
