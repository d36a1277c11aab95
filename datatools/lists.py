"""Lists that people and programs write as CSV or text: their lines, and one message for all the bad ones.

    for line in read_csv(Path("a.csv"), "submission", "Expected lines of `name.mp4,s|e,seconds`."):
        line.number, line.fields
    raise_bad_lines("a.csv: no valid submission", ["line 3: found ..."])
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.numbers import shortened
from datatools.paths import MOST_BYTES, read_text

LINES_SHOWN = 20   # bad lines in one error message


@dataclass(frozen=True)
class Line:
    """A line of a list, counted from 1, as it stands there, and its fields; no fields where it is no CSV."""

    number: int
    text: str
    fields: list[str]

    def problem(self, expected: str) -> str:
        broken = "" if self.fields else " (which is no CSV, or too long for one)"
        return f"line {self.number}: found {shortened(self.text)}{broken}, expected {expected}"


def read_csv(path: Path, what: str, expected: str, most_bytes: int = MOST_BYTES) -> list[Line]:
    """The lines of a CSV that are not blank; for the arguments, and UserError, see `read_text`.

    Strict: a quote that is never closed would otherwise swallow the lines behind it.
    """
    text = read_text(path, what, expected, most_bytes)
    as_written = text.split("\n")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, number = [], 1
    while number <= len(as_written):
        try:
            fields = next(reader, None)
        except csv.Error:
            fields = []
        if fields is None:
            break
        if fields or as_written[number - 1].strip():
            lines.append(Line(number, as_written[number - 1], fields))
        number = reader.line_num + 1
    return lines


def raise_bad_lines(title: str, problems: list[str]) -> None:
    """Raise one UserError of `title` that shows the first of `problems`, if there are any."""
    if problems:
        more = [f"and {len(problems) - LINES_SHOWN} more"] if len(problems) > LINES_SHOWN else []
        raise UserError(f"{title}, {len(problems)} bad lines.\n  " + "\n  ".join(problems[:LINES_SHOWN] + more))
