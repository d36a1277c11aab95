"""A show that grows: what was read and compared before is neither read nor compared again."""

import importlib
import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from episodes import comparing, edge_notes, season_work
from episodes.comparing import kept_runs
from episodes.diagonals import Run
from episodes.edge_notes import kept_pictures, kept_sound, kept_window
from episodes.edge_signals import NUM_BANDS, SIDE, Window, steps
from episodes.evidence import EpisodeEvidence, Evidence
from episodes.fingerprint import POINT_RATE, Prints
from episodes.repeats import runs
from episodes.season_ways import season_ways

ROOT = Path(__file__).resolve().parents[1]
WINDOW = Window(61.2, 1.0, 6.0)


def forbidden(*_, **__):
    raise AssertionError("was done before")


def made_prints(number: int) -> Prints:
    """An episode of 60 s; all share 15 s of sound, each at its own time."""
    rng = np.random.default_rng(100 + number)
    theme = np.random.default_rng(1).integers(1, 2**32, 15 * POINT_RATE, np.uint32)
    sound, slowed = rng.integers(1, 2**32, (2, 60 * POINT_RATE), np.uint32)
    begin = (10 + 5 * (number % 6)) * POINT_RATE
    sound[begin:begin + len(theme)] = theme
    return Prints(sound, slowed, np.zeros(0), np.zeros(0, np.uint64), 60.0)


@pytest.fixture
def show() -> tuple[list[Prints], list[str]]:
    return [made_prints(number) for number in range(4)], [f"/show/{number}.mkv" for number in range(4)]


def told(found: list[Run]) -> list[tuple]:
    return [(run.a, run.b, run.witness, *np.round([run.start_a, run.end_a, run.start_b, run.end_b]))
            for run in found]


def test_what_was_compared_is_not_compared_again(show, monkeypatch):
    notes: dict = {}
    first = kept_runs(*show, notes)
    assert first == runs(show[0]) and len(first) == 6
    monkeypatch.setattr(comparing, "runs", forbidden)
    monkeypatch.setattr(comparing, "runs_with", forbidden)
    assert kept_runs(*show, notes) == first


def test_a_new_episode_alone_is_compared_with_the_others(show, monkeypatch):
    (prints, paths), notes = show, {}
    wanted = told(runs(prints))
    kept_runs(prints[1:], paths[1:], notes)
    before = dict(notes)
    monkeypatch.setattr(comparing, "runs", forbidden)
    assert told(kept_runs(prints, paths, notes)) == wanted      # it comes before the others, so its runs are turned
    assert {path for path, _ in notes.keys() - before.keys()} == {paths[0]}
    assert all(notes[key] == note for key, note in before.items())


def test_a_changed_episode_is_compared_again(show, monkeypatch):
    (prints, paths), notes = show, {}
    kept_runs(prints, paths, notes)
    notes.pop(next(key for key in notes if key[0] == paths[3] and key[1].startswith("runs ")))      # as its state does
    prints = [*prints[:3], replace(prints[3], sound=made_prints(9).sound)]
    monkeypatch.setattr(comparing, "runs", forbidden)
    again = kept_runs(prints, paths, notes)
    assert told(again) == told(runs(prints))
    assert kept_runs(prints, paths, notes) == again


def test_windows_are_read_once_and_serve_those_that_lie_near(monkeypatch):
    number = len(steps(WINDOW.reach))
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, SIDE, SIDE)).astype(np.float32)[np.arange(number) // 40]
    pictures[-100:] = np.nan
    sound = rng.normal(-5, 3, (number, NUM_BANDS)).astype(np.float32)
    sound[:50] = np.nan
    monkeypatch.setattr(edge_notes, "read_sound", lambda path, window: sound)
    monkeypatch.setattr(edge_notes, "read_pictures", lambda path, window: pictures)
    notes: dict = {}
    assert kept_window(notes, "a.mkv", WINDOW) == WINDOW
    read = kept_sound(notes, "a.mkv", WINDOW), kept_pictures(notes, "a.mkv", WINDOW)
    for name in ("read_sound", "read_pictures"):
        monkeypatch.setattr(edge_notes, name, forbidden)
    near = kept_window(notes, "a.mkv", replace(WINDOW, place=61.5))
    assert near == WINDOW and kept_window(notes, "a.mkv", replace(WINDOW, place=62.0)).place == 62.0
    assert kept_window(notes, "a.mkv", replace(WINDOW, rate=0.96)).rate == 0.96
    for kept, one, original in ((kept_sound(notes, "a.mkv", near), read[0], sound),
                                (kept_pictures(notes, "a.mkv", near), read[1], pictures)):
        assert np.array_equal(kept, one, equal_nan=True)
        assert np.allclose(kept, original, rtol=1e-3, equal_nan=True)
    assert np.array_equal(read[1], pictures, equal_nan=True)


def test_few_windows_of_a_file_are_kept_and_files_without_any_are_no_error(monkeypatch):
    monkeypatch.setattr(edge_notes, "read_sound", lambda path, window: np.zeros((5, NUM_BANDS), np.float32))
    monkeypatch.setattr(edge_notes, "read_pictures", lambda path, window: None)
    notes: dict = {}
    for place in range(30):
        window = Window(float(place), 1.0, 6.0)
        kept_sound(notes, "a.mkv", window)
        assert kept_pictures(notes, "a.mkv", window) is None
    assert len(notes) == edge_notes.MOST_WINDOWS + 1
    assert kept_window(notes, "a.mkv", Window(29.2, 1.0, 6.0)).place == 29.0


def test_the_second_look_is_used_again_where_it_looked_at_the_places(monkeypatch):
    looks, at = [], [10.0]

    def look(path, evidence, repeats, rules, places):
        looks.append(places)
        return evidence.plus(EpisodeEvidence(100.0, (Evidence("cut", None, 12.0, 12.0),)))

    monkeypatch.setattr(season_work, "second_look", look)
    monkeypatch.setattr(season_work, "places_to_look", lambda *_: [(at[0], at[0] + 4)])
    notes: dict = {}
    seen = EpisodeEvidence(100.0)
    for start, number in ((10.0, 1), (10.3, 1), (9.6, 1), (20.0, 2)):
        at[0] = start
        found = season_work._second(Path("a.mkv"), seen, [], season_work.USUAL_RULES, notes)
        assert len(looks) == number and found.of("cut")
    assert looks[0] == [(9.5, 14.5)]


def test_what_the_ways_name_is_there_and_takes_what_they_give():
    ways = season_ways(weights=())
    for late in (ways.look, ways.decide):
        module, name = late.func.name.split(":")
        function = getattr(importlib.import_module(module), name)
        assert late.keywords.keys() <= inspect.signature(function).parameters.keys()


def test_a_run_without_news_loads_neither_torch_nor_scipy():
    code = "import sys, episodes.command; print(sorted({'torch', 'scipy', 'librosa', 'guessit'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
