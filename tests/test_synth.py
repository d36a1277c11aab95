"""Made clips: exact truth, real files, the same bytes for the same seed."""

import csv
import json
import runpy
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from datatools.errors import UserError
from datatools.layout import TRAIN, clip_kind, find_raw_clips
from synth.dataset import make_dataset, plan_dataset
from synth.drawn.audio import DrawnStudio
from synth.drawn.picture import DrawnPicture
from synth.plan import LABEL_SECONDS, PERCENTS, Event, Segment, frame_ticks, plan_clip
from synth.render import render_clip
from synth.sound import render_sound

ROOT = Path(__file__).resolve().parents[1]
SHORT = {"height": 90, "duration": 10.0}
COUNTS = {"train": 5, "test": 1, "test_a": 1}     # of which one lies in data_B


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Five training clips, a test clip on each board, 10 s each."""
    root = tmp_path_factory.mktemp("raw")
    report = make_dataset(root, workers=1, **COUNTS, **SHORT)
    assert not report.failed and len(report.done) == 7
    return root


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A start clip with nothing but an opening and an episode, joined by a hard cut at 5.3 s."""
    plan = plan_clip(3, 0, "s", height=90, duration=8.0)
    parts = (Segment("opening", 0.0, 5.3), Segment("episode", 5.3, 8.0))
    plan = replace(plan, fps="25", boundary=5.3, segments=parts, events=(Event("scene", 5.3, 8.0),))
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    render_clip(plan, path)
    return plan, path


def pictures(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (frames,) in seconds and luma (frames, height, width), as a player shows them."""
    with av.open(str(path)) as container:
        frames = [(f.time, f.to_ndarray()[: f.height, : f.width]) for f in container.decode(video=0)]
    return np.array([t for t, _ in frames]), np.stack([y for _, y in frames]).astype(np.int16)


def sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)


# Plans


@pytest.mark.parametrize("kind", ["s", "e"])
def test_labels_are_spread_as_in_the_real_lists(kind):
    labels = [plan_clip(0, i, kind).boundary for i in range(400)]
    found = np.percentile(labels, PERCENTS[1:-1])
    np.testing.assert_allclose(found, LABEL_SECONDS[kind][1:-1], atol=2.0)
    assert LABEL_SECONDS[kind][0] <= min(labels) and max(labels) <= LABEL_SECONDS[kind][-1]


@pytest.mark.parametrize("kind, asked", [("s", "opening"), ("e", "ending")])
def test_the_label_is_the_end_of_the_opening_or_the_start_of_the_ending(kind, asked):
    for i in range(300):
        plan = plan_clip(1, i, kind)
        (part,) = [s for s in plan.segments if s.type == asked]
        assert plan.boundary == (part.end if kind == "s" else part.start)
        assert plan.segments[0].start == 0 and plan.segments[-1].end == plan.duration
        assert all(a.end == b.start and a.seconds > 0 for a, b in zip(plan.segments, plan.segments[1:], strict=False))
        assert 180 <= plan.duration <= 200
        assert plan.segment_at(plan.boundary) is not plan.segment_at(plan.boundary - 1e-6)
        assert all(0 <= e.start < e.end <= plan.duration + 0.5 for e in plan.events)


def test_a_short_clip_is_scaled_down():
    plans = [plan_clip(0, i, "e", duration=20.0) for i in range(60)]
    assert all(p.duration == 20.0 and 0 < p.boundary < 18.5 for p in plans)
    assert np.median([p.boundary for p in plans]) == pytest.approx(13.6, abs=1.0)


def test_every_folder_holds_both_kinds_and_no_name_twice():
    plans = plan_dataset(48, 16, 4)
    assert {f: len(c) for f, c in plans.items()} == {"data_A/train": 32, "data_B": 16, "data_C": 16, "data_A/test": 4}
    for clips in plans.values():
        assert sum(p.kind == "s" for p in clips) * 2 == len(clips)
        assert all(clip_kind(p.name) == p.kind and len(p.name.split("_")[0]) == 8 for p in clips)
    names = [p.name for clips in plans.values() for p in clips]
    assert len(set(names)) == len(names)


def test_frame_times_follow_the_rate():
    plan = plan_clip(0, 0, "s", **SHORT)
    ticks, end, base = frame_ticks(replace(plan, fps="24000/1001"))
    assert base == Fraction(1001, 24000) and ticks == list(range(240)) and end == 240
    ticks, end, base = frame_ticks(replace(plan, fps="vfr"))
    steps = np.diff([*ticks, end]) * float(base)
    assert steps.min() > 0 and len(set(steps.round(4))) > 1 and steps.sum() == pytest.approx(10.0, abs=1e-4)


# Files


def test_files_are_h264_and_aac_and_as_long_as_planned(dataset):
    for folder, plans in plan_dataset(*COUNTS.values(), **SHORT).items():
        for plan in plans:
            with av.open(str(dataset / folder / f"{plan.name}.mp4")) as container:
                video, audio = container.streams.video[0], container.streams.audio[0]
                assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
                assert (video.width, video.height) == (plan.width, plan.height)
                assert (audio.rate, audio.channels) == (plan.sample_rate, plan.channels)
                assert video.start_time == 0
                assert float(video.duration * video.time_base) == pytest.approx(10.0, abs=0.09)
                assert float(audio.duration * audio.time_base) == pytest.approx(10.0, abs=0.03)


@pytest.mark.parametrize("fps", ["vfr", "24000/1001", "30"])
def test_frames_are_shown_at_the_planned_times(tmp_path, fps):
    plan = replace(plan_clip(5, 4, "e", height=90, duration=4.0), fps=fps, sample_rate=22_050)
    render_clip(plan, tmp_path / "clip.mp4")
    times, _ = pictures(tmp_path / "clip.mp4")
    ticks, _, base = frame_ticks(plan)
    assert np.all(np.diff(times) > 0)
    np.testing.assert_allclose(times, np.array(ticks) * float(base), atol=1e-4)
    if fps == "vfr":
        assert len(set(np.diff(times).round(3))) > 1


def test_the_picture_changes_at_the_label_and_shows_what_was_painted(plain):
    plan, path = plain
    times, luma = pictures(path)
    k = int(np.argmax(times >= plan.boundary))
    assert times[k] == pytest.approx(5.32) and times[k - 1] == pytest.approx(5.28)
    picture = DrawnPicture(plan)
    before, after = (picture.frame(t)[: plan.height].astype(np.int16) for t in (5.28, 5.32))
    assert np.abs(luma[k - 1] - before).mean() < 4 and np.abs(luma[k] - after).mean() < 4
    assert np.abs(luma[k] - luma[k - 1]).mean() > 8


def test_the_music_stops_at_the_label(plain):
    plan, path = plain
    heard = sound(path)[0]

    def level(start: float, end: float) -> float:
        return float(np.sqrt((heard[round(start * plan.sample_rate) : round(end * plan.sample_rate)] ** 2).mean()))

    # An opening may ring for its last second or two; it is over within the encoder's 50 ms at the label.
    assert level(1.0, 3.5) > 5 * level(5.36, 5.6)
    assert level(4.9, 5.28) > 1.5 * level(5.36, 5.6)


def test_sound_keeps_its_place_to_the_sample(plain):
    plan, path = plain
    heard, made = sound(path)[0], render_sound(plan, DrawnStudio)[0]
    assert made.size == 8 * plan.sample_rate and 0 <= heard.size - made.size < 1024
    start, size = plan.sample_rate, 2**16
    a, b = np.fft.rfft(heard[start : start + size]), np.fft.rfft(made[start : start + size])
    assert np.argmax(np.fft.irfft(a * b.conj())) == 0
    assert np.abs(made).max() <= 1


def test_a_fade_ends_dark_at_the_boundary():
    plan = plan_clip(3, 0, "s", height=90, duration=4.0)
    parts = (
        Segment("opening", 0.0, 2.0, fade_out=1.0, colour="white"),
        Segment("episode", 2.0, 4.0, fade_in=0.5, colour="black"),
    )
    picture = DrawnPicture(replace(plan, boundary=2.0, segments=parts, events=(Event("scene", 2.0, 4.0),)))
    level = {t: picture.frame(t)[: plan.height].mean() for t in (0.9, 1.99, 2.0, 2.6)}
    assert level[1.99] == level[2.0] == 235 and level[0.9] < 220 and level[2.6] < 220


# The command


def test_label_files_name_every_clip_with_its_exact_time(dataset):
    plans = plan_dataset(*COUNTS.values(), **SHORT)
    truth = {p.name: p.boundary for clips in plans.values() for p in clips}
    found = {}
    for file in TRAIN.label_files:
        for line in (dataset / file).read_text(encoding="utf-8").splitlines():
            name, seconds = line.split(" ")
            found[name] = float(seconds)
    for folder in ("data_C", "data_A/test"):
        with open(dataset / folder / "truth.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["name", "seconds"]
        found |= {name: float(seconds) for name, seconds in rows[1:]}
    assert found == truth
    assert {c.name for c in find_raw_clips(dataset, None).files} == set(truth)


def test_a_second_run_makes_only_what_is_missing_and_the_same_bytes(dataset):
    clips = sorted(dataset.rglob("*.mp4"))
    before = {p: p.stat().st_mtime_ns for p in clips}
    bytes_before = clips[0].read_bytes()
    clips[0].unlink()
    report = make_dataset(dataset, workers=1, **COUNTS, **SHORT)
    assert report.done == [clips[0].stem] and len(report.kept) == 6
    assert clips[0].read_bytes() == bytes_before
    assert all(p.stat().st_mtime_ns == before[p] for p in clips[1:])
    assert not list(dataset.rglob(".tmp-*"))


def test_clips_of_two_seeds_are_not_mixed_unless_forced(tmp_path, monkeypatch):
    monkeypatch.setattr("synth.dataset.render_clip", lambda plan, path: path.write_text(plan.name))
    make_dataset(tmp_path, train=2, test=0, workers=1, **SHORT)
    old = set(tmp_path.rglob("*.mp4"))
    labels = (tmp_path / "data_A/train/必选数据.txt").read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"seed 0 \(asked for: 1\)"):
        make_dataset(tmp_path, train=2, test=0, seed=1, workers=1, **SHORT)
    with pytest.raises(UserError, match="2 made clips, asked for are 1"):
        make_dataset(tmp_path, train=1, test=0, workers=1, **SHORT)
    assert set(tmp_path.rglob("*.mp4")) == old
    assert (tmp_path / "data_A/train/必选数据.txt").read_text(encoding="utf-8") == labels
    make_dataset(tmp_path, train=1, test=0, seed=1, workers=1, force=True, **SHORT)
    assert len(set(tmp_path.rglob("*.mp4"))) == 1 and not old & set(tmp_path.rglob("*.mp4"))
    assert json.loads((tmp_path / "synth.json").read_text())["settings"]["seed"] == 1


def test_clips_from_elsewhere_are_left_alone(tmp_path):
    (tmp_path / "data_A/train").mkdir(parents=True)
    labels = tmp_path / "data_A/train/必选数据.txt"
    labels.write_text("LvrN2l3L_start 77.5\n", encoding="utf-8")
    with pytest.raises(UserError, match="not made here"):
        make_dataset(tmp_path, train=1, test=0, workers=1, force=True, **SHORT)
    assert labels.read_text(encoding="utf-8") == "LvrN2l3L_start 77.5\n"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"train": -1}, "--train -1"),
        ({"train": 0, "test": 0}, "nothing to make"),
        ({"height": 88}, "--height 88"),
        ({"height": 181}, "--height 181"),
        ({"duration": 3.0}, "--duration 3"),
        ({"duration": 201.0}, "--duration 201"),
        ({"workers": -2}, "--workers -2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        make_dataset(tmp_path / "raw", **settings)
    assert not (tmp_path / "raw").exists()


def test_the_command_reports_errors(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["synth/make.py", "--save_root", str(tmp_path / "file/raw"), "--train", "1"])
    monkeypatch.setattr(sys, "path", [*sys.path])     # the command sets its first entry
    with pytest.raises(SystemExit) as leaving:
        runpy.run_path(str(ROOT / "synth/make.py"), run_name="__main__")
    printed = capsys.readouterr().err
    assert leaving.value.code == 2 and printed.startswith("error: ") and str(tmp_path / "file") in printed
