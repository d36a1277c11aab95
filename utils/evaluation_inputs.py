"""The inputs of an evaluation: the truth, submissions, and the families of the clips.

    inputs = read_inputs([Path("submission.csv")], Path("truth.csv"))
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.errors import UserError
from datatools.labels import read_truth, strip_suffix
from datatools.layout import kind_of
from datatools.lists import Line, raise_bad_lines, read_csv
from datatools.numbers import SHOWN, shortened
from datatools.paths import has_control, name_problem
from datatools.submission import read_submission

NAMES_SHOWN = 10                # clips' names in one error message


@dataclass(frozen=True)
class Inputs:
    """Clips' names, their truth (N,) and the answers (N,) of one or two submissions, in seconds."""

    names: list[str]
    truth: np.ndarray
    found: dict[Path, np.ndarray]
    truth_path: Path
    families: dict[str, str] | None = None     # {clip: family}
    families_path: Path | None = None
    families_beyond: int = 0                   # clips of the family file that are not in the truth


def read_inputs(submissions: list[Path], truth_path: Path, families_path: Path | None = None) -> Inputs:
    """Read the files. Raises UserError where one is bad, or a submission's clips differ from the truth's."""
    if len(submissions) == 2 and submissions[0].resolve() == submissions[1].resolve():
        raise UserError(f"{submissions[1]}: is --submission too. Name another one with --against.")
    truth = read_truth_file(truth_path)
    found = {path: np.array(list(read_answers(path, truth, truth_path).values())) for path in submissions}
    families, beyond = read_families(families_path, truth, truth_path) if families_path else (None, 0)
    return Inputs(list(truth), np.array(list(truth.values())), found, truth_path, families, families_path, beyond)


def read_truth_file(path: Path) -> dict[str, float]:
    """{clip: seconds}, sorted by name. Raises UserError, also for names that are neither start nor end."""
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path}: an empty file, so no truth. Expected a CSV `name,seconds` or text lines "
                        "`<name> <seconds>`. Name another file with --truth.")
    truth = read_truth(path)
    if nameless := sorted(name for name in truth if kind_of(name) is None):
        raise UserError(f"{path}: {listed(nameless)} not named as start or end clips. Expected names that end in "
                        "_start or _end. Rename them.")
    return dict(sorted(truth.items()))


def read_answers(path: Path, truth: dict[str, float], truth_path: Path) -> dict[str, float]:
    """{clip: seconds} of a submission in the truth's order.

    Raises one UserError that lists every mismatch with the truth: missing, unknown and doubled clips, wrong letters.
    """
    answers: dict[str, float] = {}
    doubled, wrong = [], []
    for (file_name, letter), seconds in read_submission(path).items():
        name = strip_suffix(file_name)
        if (kind := kind_of(name)) and letter != kind.letter:
            wrong.append(f"{name} ({letter})")
        elif name in answers:
            doubled.append(name)
        answers[name] = seconds
    problems = [f"{text}: {listed(clips)}" for text, clips in (
        ("missing in the submission", sorted(truth.keys() - answers.keys())),
        ("unknown to the truth", sorted(answers.keys() - truth.keys())),
        ("with the other kind's letter", sorted(wrong)),
        ("standing there twice", sorted(doubled)),
    ) if clips]
    if problems:
        raise UserError(f"{path}: does not fit {truth_path}.\n  " + "\n  ".join(problems) + "\nExpected one answer for "
                        f"each of the truth's {len(truth)} clips and no other. Infer the same clips again, or name the "
                        "--truth that belongs to this submission.")
    return {name: answers[name] for name in truth}


def read_families(path: Path, truth: dict[str, float], truth_path: Path) -> tuple[dict[str, str], int]:
    """({clip of the truth: family}, number of the file's other clips) of a CSV with the columns name and family.

    Clips that are not in the truth are allowed, because one such file may serve several sets of clips.
    Raises UserError that lists every bad line, or the clips missing from the file.
    """
    first, *lines = read_csv(path, "family file", "Expected a CSV `name,family`.") or [Line(1, "", [""])]
    if any(first.fields.count(column) != 1 for column in ("name", "family")):
        raise UserError(f"{path}: found the header {shortened(first.text)}, expected one with name and family. Put it "
                        "into the first line.")
    name_at, family_at = first.fields.index("name"), first.fields.index("family")
    families: dict[str, str] = {}
    problems = []
    for line in lines:
        fits = max(name_at, family_at) < len(line.fields) <= len(first.fields)
        name = strip_suffix(line.fields[name_at].strip()) if fits else ""
        family = " ".join(line.fields[family_at].split()) if fits else ""
        if not name or not family or has_control(family) or len(family) > SHOWN:
            problems.append(line.problem("a name and a family"))
        elif problem := name_problem(name):
            problems.append(line.problem(f"another name: {problem}"))
        elif name in families:
            problems.append(f"line {line.number}: {name} stands there twice")
        else:
            families[name] = family
    raise_bad_lines(f"{path}: no valid families", problems)
    if missing := [name for name in truth if name not in families]:
        raise UserError(f"{path}: misses {listed(missing)} of {truth_path}. Expected a family for each of its "
                        f"{len(truth)} clips. Add them, or leave out --families.")
    return {name: families[name] for name in truth}, len(families.keys() - truth.keys())


def listed(names: list[str]) -> str:
    """`12 clips (a, b, ...)` with the first few names."""
    shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
    return f"{len(names)} clip{'s' if len(names) > 1 else ''} ({shown})"
