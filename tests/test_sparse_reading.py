"""Pictures at times that lie far apart: the same as from decoding all, at a fraction of the work."""

import math

import numpy as np
import pytest
from media_files import numbered_picture, read_number, tone, write_media

from datatools.media import MediaError, packets, pictures, read_frames

FPS, COUNT = 2, 100
OPEN = {"bf": "3", "preset": "veryfast", "x264-params": "open-gop=1:keyint=12:scenecut=0"}
CLOSED = {"bf": "2", "preset": "veryfast", "g": "12", "sc_threshold": "0"}


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(3)
    return [random.integers(0, 64, (32, 64, 3), np.uint8) + numbered_picture(index, 64, 32) // 2
            for index in range(COUNT)]


def read(path, times, monkeypatch, jumping: bool):
    """(pictures, number of packets decoded)."""
    decoded = []
    decode_packet = packets._Decoding._decode_packet
    with monkeypatch.context() as patch:
        patch.setattr(packets._Decoding, "_decode_packet",
                      lambda self, packet: decoded.append(packet) or decode_packet(self, packet))
        if not jumping:
            patch.setattr(pictures, "skips_pictures", lambda *_: False)
            patch.setattr(pictures, "BEGIN_BEFORE", (math.inf,))
        found = [None if image is None else image.copy() for image in read_frames(path, times)]
    return found, len(decoded)


@pytest.mark.parametrize("name, options, rate", [
    ("closed.mp4", CLOSED, "constant"), ("open.mp4", OPEN, "variable"), ("fragments.mp4", OPEN, "constant"),
    ("open.mkv", OPEN, "variable"), ("live.mkv", CLOSED, "constant"), ("open.ts", OPEN, "constant"),
    ("asp.avi", {"bf": "2", "g": "12"}, "constant"),
])
def test_pictures_at_sparse_times_are_those_of_decoding_all(tmp_path, monkeypatch, images, name, options, rate):
    random = np.random.default_rng(5)
    steps = random.choice([0.04, 0.5, 0.5, 2.5], COUNT) if rate == "variable" else np.full(COUNT, 1 / FPS)
    times = list(np.cumsum(steps) - steps[0])
    container = {"fragments.mp4": {"movflags": "frag_keyframe+empty_moov"}, "live.mkv": {"live": "1"}}.get(name)
    path = write_media(tmp_path / name, images, times, fps=FPS, codec="mpeg4" if name == "asp.avi" else "libx264",
                       video_options=options, sound=tone(times[-1], 8_000), sound_rate=8_000,
                       sound_codec="libmp3lame" if name.endswith("avi") else "aac", container_options=container)
    asked = [np.linspace(0, times[-1], 6), np.sort(random.uniform(0, times[-1] + 20, 9)), [0.7 * times[-1]]]
    sparse, full = ([read(path, list(moments), monkeypatch, jumping) for moments in asked] for jumping in (True, False))
    for (few, _), (all_, _) in zip(sparse, full, strict=True):
        assert [image is None for image in few] == [image is None for image in all_]
        assert all(np.array_equal(one, other) for one, other in zip(few, all_, strict=True) if one is not None)
    assert sum(number for _, number in sparse) < 0.7 * sum(number for _, number in full)


def test_a_picture_that_is_refreshed_strip_by_strip_is_whole(tmp_path, monkeypatch, images):
    """Such a stream has no keyframe but its first; a seek ends where the picture is not complete yet."""
    path = write_media(tmp_path / "refresh.mp4", images, fps=8, video_options={
        "preset": "veryfast", "x264-params": "intra-refresh=1:keyint=16:bframes=0:scenecut=0"})
    times = [1.0, 6.1, 11.3]
    (few, _), (full, _) = (read(path, times, monkeypatch, jumping) for jumping in (True, False))
    assert all(map(np.array_equal, few, full))


def test_pictures_whose_times_the_file_does_not_state_are_all_decoded(tmp_path, monkeypatch, images):
    """AVI has no times for B-frames, so it is not known which pictures no time shows."""
    path = write_media(tmp_path / "h264.avi", images, fps=20, video_options=CLOSED | {"bf": "3"})
    times = list(np.arange(0.02, 4.5, 0.11))
    (few, _), (full, _) = (read(path, times, monkeypatch, jumping) for jumping in (True, False))
    monkeypatch.setattr(packets, "mark_needless", lambda packets, *_: ((packet, False) for packet in packets))
    decoded, _ = read(path, times, monkeypatch, jumping=False)
    assert all(map(np.array_equal, few, full)) and all(map(np.array_equal, full, decoded))


def test_times_a_second_apart_are_read_without_a_gap_so_that_damage_shows(tmp_path, monkeypatch, images):
    path = write_media(tmp_path / "a.mp4", images, fps=FPS, video_options=CLOSED)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle - 3000] + bytes(6000) + content[middle + 3000:])
    with pytest.raises(MediaError, match="damaged"):
        list(read_frames(path, range(50)))
    assert [read_number(image) for image in read_frames(path, [0.0, 49.0])] == [0, 98]     # the damage is jumped over


def test_no_more_groups_are_decoded_than_pictures_wanted(tmp_path, monkeypatch, images):
    path = write_media(tmp_path / "a.mkv", images, fps=FPS, video_options=CLOSED | {"g": "24"})
    keyframes = []
    decode_packet = packets._Decoding._decode_packet
    monkeypatch.setattr(packets._Decoding, "_decode_packet", lambda self, packet: (
        packet.is_keyframe and keyframes.append(packet.pts)) or decode_packet(self, packet))
    assert len(list(read_frames(path, [12 * index + 8 for index in range(4)]))) == 4
    assert len(keyframes) <= 4
