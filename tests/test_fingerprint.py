"""An episode's prints: what they bear, and what they tell nothing of."""

import av
import cv2
import numpy as np
import pytest
import soxr

from datatools.media import MediaError
from episodes.fingerprint import (
    POINT_RATE,
    RETIMED,
    SOUND_RATE,
    Prints,
    _Sound,
    make_prints,
    picture_hash,
    sound_points,
)
from tests.episode_sounds import RATE, song, story
from tests.media_files import numbered_picture, write_media

SECONDS = 20


def wrong_bits(one: np.ndarray, other: np.ndarray) -> float:
    """Share of bits that differ where both tell something, without the edges."""
    length = min(len(one), len(other))
    one, other = one[8:length - 8], other[8:length - 8]
    told = (one != 0) & (other != 0)
    assert told.mean() > 0.7
    return float(np.bitwise_count(one ^ other)[told].mean() / 32)


@pytest.fixture(scope="module")
def original() -> np.ndarray:
    return song(1, SECONDS)


@pytest.fixture(scope="module")
def points(original) -> np.ndarray:
    return sound_points(soxr.resample(original, RATE, SOUND_RATE))[0]


@pytest.mark.parametrize("rate", [48_000, 24_000, 8_000])
def test_a_copy_at_another_rate_has_the_same_points(tmp_path, original, points, rate):
    sound = soxr.resample(original, RATE, rate)[None] * np.float32(0.3)      # quieter too
    copy = make_prints(write_media(tmp_path / "copy.mkv", sound=sound, sound_rate=rate))
    assert wrong_bits(points, copy.sound) < 0.2
    assert copy.duration == pytest.approx(SECONDS, abs=0.2)
    assert len(copy.pictures) == 0


def test_another_song_has_other_points(points):
    assert wrong_bits(points, sound_points(soxr.resample(song(2, SECONDS), RATE, SOUND_RATE))[0]) > 0.4


def test_a_copy_played_faster_has_the_points_of_the_slowed_one(original, points):
    faster, slowed = sound_points(soxr.resample(original, RATE * RETIMED, SOUND_RATE))
    places = np.round(np.arange(len(slowed)) * RETIMED).astype(int)
    places = places[places < len(points)]
    assert wrong_bits(points[places], slowed[:len(places)]) < 0.15
    assert wrong_bits(points[places], faster[:len(places)]) > 0.2


def test_silence_and_what_stands_still_tell_nothing(original):
    silent = np.zeros(5 * SOUND_RATE, np.float32)
    tone = np.sin(2 * np.pi * 440 * np.arange(5 * SOUND_RATE) / SOUND_RATE).astype(np.float32)
    middle = slice(POINT_RATE, -POINT_RATE)
    assert not sound_points(silent)[0].any()
    assert not sound_points(tone)[0][middle].any()
    assert sound_points(soxr.resample(original, RATE, SOUND_RATE))[0][middle].all()


def test_sound_of_no_length_has_no_points():
    assert len(sound_points(np.zeros(0, np.float32))[0]) == 0
    assert not sound_points(np.ones(2000, np.float32))[0].any()


def test_sound_that_begins_late_keeps_its_time(tmp_path, original):
    images = [numbered_picture(5)] * 20
    late = write_media(tmp_path / "late.mkv", images, sound=original[None, :10 * RATE], sound_rate=RATE,
                       sound_start=4.0)
    prints = make_prints(late)
    told = np.flatnonzero(prints.sound)
    assert told[0] / POINT_RATE == pytest.approx(4.0, abs=0.5)


def test_keyframes_are_hashed_at_their_times_and_look_alike_in_another_copy(tmp_path):
    looks = np.random.default_rng(0).integers(0, 255, (4, 5, 8, 3), np.uint8)
    images = [cv2.resize(look, (320, 180), interpolation=cv2.INTER_CUBIC) for look in looks for _ in range(10)]
    small = [cv2.resize(image, (128, 72), interpolation=cv2.INTER_AREA) for image in images]
    one = make_prints(write_media(tmp_path / "one.mkv", images, video_options={"g": "10", "crf": "20"}))
    two = make_prints(write_media(tmp_path / "two.mkv", small, video_options={"g": "10", "crf": "38"}))
    assert one.picture_times == pytest.approx([0, 1, 2, 3], abs=0.01)
    apart = np.bitwise_count(one.pictures[:, None] ^ two.pictures)
    assert (np.diag(apart) <= 6).all()
    assert apart[~np.eye(4, dtype=bool)].min() > 12
    assert len(one.sound) == 0


def test_a_picture_without_waves_in_one_direction_keeps_its_hash_under_noise():
    stripes = np.tile(np.repeat(np.array([0, 200, 90, 30, 250, 10, 120, 60], np.uint8), 4), (32, 1))
    noisy = np.clip(stripes + np.random.default_rng(0).normal(0, 1.0, (32, 32)), 0, 255).astype(np.uint8)
    assert (picture_hash(stripes) ^ picture_hash(noisy)).bit_count() <= 2


def test_a_picture_of_one_colour_has_no_hash():
    assert picture_hash(np.full((32, 32), 17, np.uint8)) is None


def test_prints_come_back_from_bytes_and_damage_is_told():
    prints = Prints(np.arange(5, dtype=np.uint32), np.arange(5, dtype=np.uint32), np.array([1.5]),
                    np.array([2**63 + 1], np.uint64), 12.25)
    data = prints.to_bytes()
    assert Prints.from_bytes(data) == prints
    for bad in (data[:-1], data[:10], data[:-1] + b"\xff", b"XXXX" + data[4:]):
        with pytest.raises(ValueError, match=r"prints"):
            Prints.from_bytes(bad)


def test_what_is_no_media_file_is_told(tmp_path):
    (tmp_path / "text.mkv").write_text("no film")
    with pytest.raises(MediaError, match=r"text\.mkv"):
        make_prints(tmp_path / "text.mkv")


def test_story_has_points_too():
    assert (sound_points(soxr.resample(story(1, 10), RATE, SOUND_RATE))[0] != 0).mean() > 0.5


def sound_frame(samples: np.ndarray, milliseconds: int | None, rate: int = 8000) -> av.AudioFrame:
    """Mono, or a row a channel."""
    planes = np.atleast_2d(samples).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(planes, "fltp", "mono" if len(planes) == 1 else "stereo")
    frame.sample_rate, frame.pts = rate, milliseconds
    return frame


def gathered(*frames: av.AudioFrame) -> np.ndarray:
    sound = _Sound(None, 0.0)
    sound.base = 0.001
    for frame in frames:
        sound._place(frame)
    return sound.samples()


@pytest.mark.parametrize(("seconds", "length"), [(2.0, 2.01), (1e9, 0.01)])
def test_sound_that_starts_late_keeps_its_time_and_a_broken_one_asks_for_no_memory(seconds, length):
    samples = gathered(sound_frame(np.ones(80), round(seconds * 1000)))
    assert len(samples) / SOUND_RATE == pytest.approx(length, abs=0.001)


def test_gaps_overlaps_and_changes_of_form_within_a_file_keep_the_times(monkeypatch):
    wave = np.sin(2 * np.pi * 300 * np.arange(16_000) / 8000)

    def frames(begin: int = 0, end: int = 16_000, length: int = 800, channels: int = 1, times: int = 1):
        return [sound_frame(np.repeat([wave[first:first + length]] * channels, times, 1) / channels, first // 8,
                            8000 * times) for first in range(begin, end, 800)]

    whole = gathered(*frames())
    for chunk in (1, 24_000):
        monkeypatch.setattr("episodes.fingerprint.CHUNK", chunk)
        assert gathered(*frames(length=1600))[:11_900] == pytest.approx(whole[:11_900], abs=0.01)      # they overlap
        gap = gathered(*frames(end=4000), *frames(begin=6400))
        assert len(gap) == len(whole) and np.abs(gap[3300:4500]).max() < 0.01
        assert gap[6000:] == pytest.approx(whole[6000:], abs=0.01)
        assert gathered(*frames(end=8000), *frames(begin=8000, channels=2)) == pytest.approx(whole, abs=0.01)
        other_rate = gathered(*frames(end=8000), *frames(begin=8000, times=2))
        assert len(other_rate) == pytest.approx(len(whole), abs=50)
