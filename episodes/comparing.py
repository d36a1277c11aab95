"""Runs of a show's episodes; those of two episodes that were compared before are kept as notes.

    found = kept_runs(prints, paths, notes)      # what repeats.runs(prints) finds

A note of an episode holds its runs with others, each of these by a checksum of its prints. So a new episode is compared
with the others, and these are not compared with each other again.
"""

import hashlib
import json
import zlib
from collections.abc import MutableMapping, Sequence
from dataclasses import replace

import numpy as np

from episodes.diagonals import Run
from episodes.fingerprint import Prints
from episodes.repeats import LEAST_SECONDS, runs, runs_with
from episodes.versions import RUNS

MOST_NEW = 1 / 8      # of the episodes; with more, all are compared, which costs less a pair

Notes = MutableMapping[tuple[str, str], bytes]
Pairs = dict[tuple[int, int], list[Run]]      # every run as (a, b) of its key, in either order


def kept_runs(
    prints: Sequence[Prints], paths: Sequence[str], notes: Notes, least: float = LEAST_SECONDS,
) -> list[Run]:
    """The runs of all pairs that are at least `least` s long, by pair and time, in the order of `repeats.runs`.

    Notes are of `paths`, and of this `least` alone.
    """
    name = f"runs {RUNS} {least:g}"
    checksums = [hashlib.sha256(one.to_bytes()).hexdigest()[:16] for one in prints]
    known = _read(checksums, paths, notes, name)
    new = _new(len(prints), known)
    if not known or len(new) > 1 + MOST_NEW * len(prints):
        known = {(a, b): [] for b in range(len(prints)) for a in range(b)}
        for run in runs(prints, least):
            known[run.a, run.b].append(run)
        for b in range(1, len(prints)):
            _write(b, {pair: found for pair, found in known.items() if pair[1] == b}, checksums, paths, notes, name)
        new = []
    for one, others in new:
        found: Pairs = {(other, one): [] for other in others}
        for run in runs_with(prints[one], [prints[other] for other in others], least):
            found[others[run.a], one].append(replace(run, a=others[run.a], b=one))
        _write(one, found, checksums, paths, notes, name)
        known |= _in_order(found)
    return sorted((run for found in known.values() for run in found),
                  key=lambda run: (run.a, run.b, run.start_a, run.start_b))


def _new(number: int, known: Pairs) -> list[tuple[int, list[int]]]:
    """(episode, others that it is to be compared with), those with the most first, until no pair is left."""
    missing = ~np.eye(number, dtype=bool)
    for a, b in known:
        missing[a, b] = missing[b, a] = False
    found = []
    while missing.any():
        # Of equals the last one: it is the newest of most shows.
        one = number - 1 - int(np.argmax(missing.sum(axis=0)[::-1]))
        found.append((one, np.flatnonzero(missing[one]).tolist()))
        missing[one] = missing[:, one] = False
    return found


def _in_order(found: Pairs) -> Pairs:
    """The same with a < b."""
    return {(a, b) if a < b else (b, a): those if a < b else [_swapped(run) for run in those]
            for (a, b), those in found.items()}


def _swapped(run: Run) -> Run:
    return Run(run.b, run.a, run.start_b, run.end_b, run.start_a, run.end_a, 1 / run.rate, run.score, run.witness)


# ---------------------------------------------------------------- notes


def _read(checksums: Sequence[str], paths: Sequence[str], notes: Notes, name: str) -> Pairs:
    """What is known, with a < b."""
    places: dict[str, list[int]] = {}
    for place, checksum in enumerate(checksums):
        places.setdefault(checksum, []).append(place)
    known: Pairs = {}
    for b, path in enumerate(paths):
        for checksum, rows in _content(notes.get((path, name))).items():
            for a in places.get(checksum, ()):
                if a != b:
                    known |= _in_order({(a, b): [Run(a, b, *row) for row in rows]})
    return known


def _write(
    b: int, found: Pairs, checksums: Sequence[str], paths: Sequence[str], notes: Notes, name: str,
) -> None:
    """Add the pairs (a, b) to the note of b; what it holds of prints that are no longer there is left out."""
    rows = {checksums[a]: [list(vars(run).values())[2:] for run in those] for (a, _), those in found.items()}
    kept = {checksum: old for checksum, old in _content(notes.get((paths[b], name))).items() if checksum in checksums}
    notes[paths[b], name] = zlib.compress(json.dumps(kept | rows).encode())


def _content(note: bytes | None) -> dict[str, list[list]]:
    return json.loads(zlib.decompress(note)) if note else {}
