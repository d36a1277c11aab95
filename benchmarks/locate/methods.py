"""Answers of a method for a season, each in a process of its own, so that its CPU seconds and memory can be told.

    answered = ask("needle", season, work)
    answered.markers["Show/01.mkv"], answered.cpu, answered.peak

Fingerprints are made once by fpcalc and kept below `work` with what they cost.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.locate.rivals import ANSWERERS
from benchmarks.locate.seasons import Episode, Season
from datatools.errors import UserError
from datatools.files import check_writable, is_current, save_text
from episodes.judging import Told
from episodes.markers import read_json
from synth.episodes.render import TRUTH

OURS = "locate.py"
METHODS = (OURS, *ANSWERERS)
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NO_FPCALC = ("fpcalc is not installed, which makes the rivals' fingerprints. It is in Debian's package "
             "libchromaprint-tools: apt install libchromaprint-tools")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Answered:
    """A season's markers by the episode's path, CPU seconds that they took in all, and the most memory, in bytes."""

    markers: dict[str, list[Told]]
    cpu: float
    peak: int


def run_measured(words: Sequence) -> tuple[str, str, int, float, int]:
    """Run a program: what it printed, its errors, exit code, CPU seconds, and peak memory of its largest process."""
    with tempfile.TemporaryDirectory() as place:
        cost = Path(place, "cost.json")
        done = subprocess.run([sys.executable, "-I", "-S", HERE / "cost.py", cost, *map(str, words)], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, env=os.environ | ONE_THREAD)
        return done.stdout, done.stderr, *json.loads(cost.read_text())


def print_path(work: Path, path: Path) -> Path:
    """Where an episode's fingerprint is kept."""
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return work / "fingerprints" / f"{name}.json"


def make_print(path: Path, work: Path) -> dict:
    """{"duration", "fingerprint", "cpu", "peak"} of an episode's sound, made now or before. Raises UserError."""
    kept = print_path(work, path)
    if kept.exists() and is_current(kept, path):
        return json.loads(kept.read_text())
    if not shutil.which("fpcalc"):
        raise UserError(NO_FPCALC)
    out, err, code, cpu, peak = run_measured(["fpcalc", "-raw", "-json", "-length", "0", path])
    try:      # by its answer: some versions exit with an error at the end of every file
        content = json.loads(out)
        content = {"duration": content["duration"], "fingerprint": content["fingerprint"], "cpu": cpu, "peak": peak}
    except (ValueError, KeyError):
        raise UserError(f"{path}: fpcalc found no fingerprint (exit code {code}: {err.strip()[:200]})") from None
    check_writable(kept.parent)
    save_text(kept, json.dumps(content))
    return content


def ask(method: str, season: Season, work: Path) -> Answered:
    """A method's markers for a season, asked now, or before by the same code. Raises UserError with what it said."""
    kept = work / "answers" / f"{_key(method, season)}.json"
    if kept.exists():
        content = json.loads(kept.read_text())
        return Answered(content["markers"], content["cpu"], content["peak"])
    with tempfile.TemporaryDirectory() as place:
        output = Path(place, "answers.json")
        answered = _ask_ours(season, output) if method == OURS else _ask_rival(method, season, work, output)
    check_writable(kept.parent)
    save_text(kept, json.dumps(vars(answered), indent=1) + "\n")
    return answered


def _key(method: str, season: Season) -> str:
    """A checksum of what an answer depends on: the season, the method and its code."""
    rooms = ("datatools", "episodes", "utils", "tools") if method == OURS else ()
    files = [file for room in rooms for file in sorted((ROOT / room).rglob("*.py"))]
    files += [*(ROOT / "episodes").glob("*.json")] if method == OURS else [HERE / "rivals.py"]
    content = [method, str(season.folder.resolve()), *(file.read_text() for file in [season.folder / TRUTH, *files])]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _ask_ours(season: Season, output: Path) -> Answered:
    cpu, peak = _run(OURS, season, [HERE / "ours.py", season.theme, output, season.folder])
    told = {str(Path(each.path).relative_to(season.folder)): [(m.type, m.start, m.end) for m in each.markers]
            for each in read_json(output)}
    return Answered(told, cpu, peak)


def _ask_rival(method: str, season: Season, work: Path, output: Path) -> Answered:
    """Another version of an episode gets the episode's answer."""
    episodes = compared(season)
    prints = [make_print(season.folder / each.path, work) for each in episodes]
    paths = [print_path(work, season.folder / each.path) for each in episodes]
    cpu, peak = _run(method, season, [HERE / "answer.py", method, season.theme, output, *paths])
    told = {each.numbers: [(kind, start, end) for kind, (start, end) in answer.items()]
            for each, answer in zip(episodes, json.loads(output.read_text()), strict=True)}
    return Answered({each.path: told.get(each.numbers, []) for each in season.episodes},
                    cpu + sum(each["cpu"] for each in prints), max([peak, *(each["peak"] for each in prints)]))


def _run(method: str, season: Season, words: list) -> tuple[float, int]:
    """CPU seconds and peak memory of a script that answers."""
    _, err, code, cpu, peak = run_measured([sys.executable, *words])
    if code:
        raise UserError(f"{method} failed for {season.folder} (exit code {code}): {err.strip()[-500:]}")
    return cpu, peak


def compared(season: Season) -> list[Episode]:
    """The files that the rivals compare, by number: servers keep movies apart, and join versions of an episode."""
    first = [each for each in season.episodes if each.numbers and "second version" not in each.cases]
    return sorted(first, key=lambda each: each.numbers)
