"""locate.py's own ways on a made season: prints, themes, edges and chapters, joined over its episodes."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from episodes.evidence import EpisodeEvidence, pack
from episodes.fingerprint import Prints
from episodes.locating import Asked, run_pass
from episodes.markers import EpisodeMarkers, Marker, read_json
from episodes.season_ways import LENGTH, decide, season_ways
from episodes.seasons import find_videos
from episodes.ways import Looked
from synth.episodes.plan import SHORT, plan_season
from synth.episodes.render import render_season
from tests.locate_helpers import HERE, OLD
from tools.known_seasons import TRUTH, season_rules

RULES = season_rules(SHORT.theme)
CASES = ("cold opens", "second opening", "insert song", "changed credits", "opening at the end", "4% faster",
         "8 kHz mono", "dub")
EXACT = 0.25      # s


@pytest.fixture(scope="module")
def season(tmp_path_factory) -> tuple[dict[str, EpisodeMarkers], dict[str, EpisodeMarkers], dict[str, list[str]]]:
    """A made season of six short episodes: {name: what locate.py finds}, {name: the truth}, and {name: its cases}."""
    folder = tmp_path_factory.mktemp("library")
    state = tmp_path_factory.mktemp("state") / "locate.sqlite"
    sizes = replace(SHORT, episodes=6, minutes=1.25)
    assert render_season(plan_season(2, 0, "drawn", sizes, CASES), folder, HERE).exit_code == 0
    for video in find_videos([folder]):
        os.utime(video, (OLD, OLD))
    report = run_pass(Asked((folder,), state, pool=HERE), season_ways(rules=RULES))
    told = json.loads((folder / TRUTH).read_text(encoding="utf-8"))["episodes"]
    return ({Path(each.path).name: each for each in report.episodes},
            {Path(each.path).name: each for each in read_json(folder / TRUTH)},
            {Path(each["path"]).name: each["cases"] for each in told})


def test_nothing_but_openings_and_endings_is_skipped(season):
    """Not the song of the opening that is sung within the story, and no card beside a theme."""
    found, truth, cases = season
    assert any("insert song" in each for each in cases.values())
    for name, episode in found.items():
        for marker in episode.markers:
            true = next(each for each in truth[name].markers if each.type == marker.type)
            assert true.start - EXACT < marker.start and marker.end < true.end + EXACT, (name, cases[name])


@pytest.mark.parametrize("case", ["cold open", "second opening", "changed credits", "4% faster", "8 kHz mono", "dub"])
def test_themes_are_found_exactly_in_every_kind_of_episode(season, case):
    found, truth, cases = season
    names = [name for name in found if case in cases[name]]
    assert names
    for name in names:
        wanted = [(each.type, pytest.approx(each.start, abs=EXACT), pytest.approx(each.end, abs=EXACT))
                  for each in truth[name].markers]
        assert [(each.type, each.start, each.end) for each in found[name].markers] == wanted, name


def test_markers_tell_what_they_were_found_by_and_how_surely(season):
    found, truth, _ = season
    for name, episode in found.items():
        for marker in episode.markers:
            true = next(each for each in truth[name].markers if each.type == marker.type)
            assert {"sound", "pictures"} & {*marker.evidence} and marker.confidence > 0.9
            for time, (low, high) in zip((true.start, true.end), marker.interval, strict=True):
                assert low - 0.1 <= time <= high + 0.1, name      # a picture of 12 a second lasts 0.08 s


def test_a_person_decides_about_one_episode_and_nothing_is_made_up_for_the_others():
    """Of two files that are gone meanwhile and share nothing, only what a person says is answered."""
    none = np.zeros(0, np.uint32)
    prints = Prints(none, none, none.astype(np.float64), none.astype(np.uint64), 1440.0).to_bytes()
    facts = LENGTH.pack(len(prints)) + prints + pack(EpisodeEvidence(1440.0))
    episodes = [Looked(f"/gone/{number}.mkv", 1, (float(number),), "episode", 1440.0, facts) for number in (1, 2)]
    told = {"/gone/1.mkv": {"opening": (Marker("opening", 60.0, 150.0),), "ending": ()}}
    found = decide(episodes, told, {})
    assert [(each.type, each.start, each.end) for each in found["/gone/1.mkv"]] == [("opening", 60.0, 150.0)]
    assert found["/gone/2.mkv"] == ()
