"""The weights that join evidence: learnt from known seasons, calibrated, and measured on others."""

import numpy as np
import pytest

from datatools.errors import UserError
from episodes.candidates import FEATURES
from episodes.evidence import EpisodeEvidence, Evidence, Repeat
from episodes.joining import GROUPS, Model, load_model
from episodes.judging import Verdict
from episodes.learning import (
    EITHER_WAY,
    PRIOR,
    KnownSeason,
    Measured,
    examples,
    learn,
    measure,
    prior_model,
    save_model,
)
from episodes.markers import Marker
from tools.known_seasons import Seasons, is_better, learn_from

DURATION = 1440.0


def made_season(seed: int, episodes: int = 6) -> KnownSeason:
    """Evidence with the errors that real evidence has: songs within the story, missed themes, themes cut wrongly."""
    rng = np.random.default_rng(seed)
    found, repeats, truth = {}, {}, {}
    start, late = rng.uniform(0, 150), rng.uniform(1250, 1330)
    wrong = rng.random() < 0.02      # the whole season's edges are off, as where a card follows each opening
    for number in range(episodes):
        name = f"{number:02}"
        times = {"opening": start + rng.uniform(-20, 20) + 20, "ending": late + rng.uniform(-5, 5)}
        truth[name] = tuple(Marker(kind, time, time + 90.0) for kind, time in times.items())
        known = [Repeat(index, time + rng.laplace(0, 0.03), time + 90.0 + 3.0 * wrong, 0.05, episodes, 1.0,
                        float(np.clip(time / DURATION, 0, 1)), 0.95, 0.9)
                 for index, time in enumerate(times.values()) if rng.random() < 0.95]
        if rng.random() < 0.4:
            song = rng.uniform(300, 1100)
            known.append(Repeat(7, song, song + rng.uniform(25, 90), 0.05, 2, 2 / episodes, 0.5, 0.9, 0.02))
        spans = [Evidence("chapters", kind, time + rng.normal(0, 0.2), time + 90.0, 0.95)
                 for kind, time in times.items() if seed % 3 == 0]
        found[name], repeats[name] = EpisodeEvidence(DURATION, tuple(spans)), known
    return KnownSeason(found, repeats, truth)


@pytest.fixture(scope="module")
def learnt():
    return learn([made_season(seed) for seed in range(150)], "made seasons of a test")


def test_a_learnt_model_finds_most_markers_and_hardly_a_wrong_one(learnt):
    found = measure([made_season(seed) for seed in range(1000, 1040)], learnt)
    whole = found.total
    assert whole.known == 480
    assert whole.right >= 0.8 * whole.known and whole.wrong <= 0.15 * whole.given
    assert "true markers" in found.text() and np.median(whole.errors) < 0.1


def test_its_probabilities_are_those_of_what_is_right(learnt):
    """Of the candidates that it gives p, a share of p is right, on seasons that it has not seen."""
    found, told, right = examples([made_season(seed) for seed in range(2000, 2060)])
    sure = np.array([learnt.probability(*each) for each in zip(found, told, strict=True)])
    for low, high in ((0.0, 0.5), (0.5, 1.0)):
        held = (sure >= low) & (sure <= high)
        assert abs(sure[held].mean() - right[held].mean()) < 0.05, (low, high)
    assert np.mean((sure - right) ** 2) < 0.5 * right.mean() * (1 - right.mean())


def test_a_model_survives_being_saved(learnt, tmp_path):
    save_model(tmp_path / "weights.json", learnt)
    again = load_model(tmp_path / "weights.json")
    assert again.origin == learnt.origin
    assert all(np.allclose(again.weights[group], learnt.weights[group], atol=1e-3) for group in GROUPS)


def test_what_the_seasons_do_not_show_keeps_the_weight_that_it_had(learnt):
    """No networks and no text were there."""
    for name in ("networks' weight", "credits"):
        assert learnt.weights["sound"][FEATURES.index(name)] == pytest.approx(PRIOR[name], abs=1e-3)


def test_nothing_can_be_learnt_from_seasons_without_any_right_candidate():
    season = made_season(0)
    with pytest.raises(UserError, match="nothing to learn from"):
        learn([KnownSeason(season.episodes, season.repeats, {})], "none")


def test_what_is_measured_is_told_by_hand():
    """One right marker; one that skips 30 s of story; one missed."""
    evidence = EpisodeEvidence(DURATION, (Evidence("chapters", "opening", 60.5, 150.0, 0.95),
                                          Evidence("chapters", "preview", 1380.0, 1440.0, 0.95)))
    truth = {"a": (Marker("opening", 60.0, 150.0), Marker("preview", 1410.0, 1440.0), Marker("ending", 1300.0, 1390.0))}
    measured = measure([KnownSeason({"a": evidence}, {}, truth)], prior_model())
    found = measured.total
    assert (found.known, found.given, found.right, found.useful, found.wrong) == (3, 2, 1, 1, 1)
    assert found.story == pytest.approx(30.0) and sorted(found.errors) == [0.0, 0.0, 0.5, 30.0]
    assert {kind: each.missed for kind, each in measured.kinds.items() if each.known} == {
        "opening": 0, "preview": 1, "ending": 1}


def test_learnt_weights_are_written_only_where_they_are_better_on_seasons_held_out(tmp_path, monkeypatch):
    output = tmp_path / "weights.json"
    told = learn_from(Seasons(planned=10), Seasons(), (), 0, output)
    assert "held out" in told and output.exists() == ("written" in told)
    unsure = Model({group: np.zeros(len(FEATURES)) for group in GROUPS}, "unsure")
    monkeypatch.setattr("tools.known_seasons.load_model", lambda: unsure)
    assert "written" in learn_from(Seasons(planned=10), Seasons(), (), 0, output)
    assert "but for every 5th" in load_model(output).origin
    with pytest.raises(UserError, match="expected 5 at least"):
        learn_from(Seasons(planned=3), Seasons(), (), 0, output)


@pytest.mark.parametrize(("after", "better"), [
    (Verdict(known=9, useful=8, given=8), True), (Verdict(known=9, useful=7, given=7), False),
    (Verdict(known=9, useful=9, given=9, wrong=2), False)])
def test_a_better_price_is_not_bought_with_wrong_or_missing_markers(after, better):
    before = Measured({**Measured().kinds, "opening": Verdict(known=9, useful=8, given=8, wrong=1)}, price=9.0)
    assert is_better(Measured({**Measured().kinds, "opening": after}, price=5.0), before) is better


def test_evidence_never_comes_to_speak_the_other_way_round(learnt):
    for name, was in PRIOR.items():
        assert name in EITHER_WAY or all(learnt.weights[group][FEATURES.index(name)] * was >= 0 for group in GROUPS)
