"""Decoding by time: every container, rate, start and fault that a clip may come with."""

import errno
import io
import math
import shutil
import subprocess
import wave
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np
import pytest
from media_files import no_room_beyond, numbered_picture, read_number, tone, write_clip, write_media

from datatools.media import MediaError, packets, pictures, probe, read_audio, read_frames, save_video
from datatools.media.writing import ENCODE_OPTIONS, encode_images

PICTURES = [numbered_picture(index) for index in range(60)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """MP4, 6 s: ten pictures a second, and a stereo tone. Only read."""
    return write_media(tmp_path_factory.mktemp("clip") / "a.mp4", PICTURES, sound=tone(6, 44_100, channels=2))


@pytest.fixture(scope="module")
def transport_clip(tmp_path_factory):
    """MPEG-TS, 1 s. Only read."""
    return write_clip(tmp_path_factory.mktemp("transport") / "other.ts", seconds=1)


def numbers(path, times) -> list[int | None]:
    return [None if image is None else read_number(image) for image in read_frames(path, times)]


B_FRAMES = {"bf": "3", "preset": "medium"}


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {}), ("a.mp4", B_FRAMES), ("a.mkv", B_FRAMES)])
def test_constant_rate_shows_each_picture_at_its_time(tmp_path, name, options):
    path = write_media(tmp_path / name, PICTURES, fps=10, video_options=options)
    assert numbers(path, [0, 0.1, 0.15, 1, 2.99, 5.95]) == [0, 1, 1, 10, 29, 59]


@pytest.mark.parametrize("rate", [Fraction(24_000, 1001), Fraction(30_000, 1001), Fraction(60)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_sampled_picture_is_never_off_by_more_than_a_frame(tmp_path, name, rate):
    count = int(4 * rate)
    path = write_media(tmp_path / name, [numbered_picture(index) for index in range(count)], fps=float(rate),
                       video_options=B_FRAMES)
    for time, number in zip([0, 1, 2, 3], numbers(path, range(4)), strict=True):
        # The last frame at or before the time; both containers round a frame's time to 1 ms.
        assert number in {math.floor(time * rate + shift) for shift in (-0.1, 0, 0.1)}


def test_an_edit_list_is_followed(tmp_path):
    images = [numbered_picture(index) for index in range(120)]
    whole = write_media(tmp_path / "whole.mp4", images, fps=10, sound=tone(12, 22_050), sound_rate=22_050,
                        video_options={"g": "50"})
    part = tmp_path / "part.mp4"      # cut without encoding: from the key frame at 5 s, and 2.3 s of it edited out
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", "7.3", "-i", whole, "-c", "copy", part],
                   check=True)
    assert numbers(part, [0, 1, 2, 3]) == [73, 83, 93, 103]
    assert len(read_audio(part)) == pytest.approx(4.7 * 22_050, abs=0.05 * 22_050)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_variable_rate_is_read_by_presentation_time(tmp_path, name):
    times = [0, 0.04, 0.5, 0.98, 1.0, 1.02, 2.5, 2.999, 3.0, 3.001, 5.2]
    path = write_media(tmp_path / name, PICTURES[:11], times)
    asked = [0, 0.03, 0.04, 1, 1.019, 1.02, 2.4, 3, 3.0005, 5.199, 5.2]
    assert numbers(path, asked) == [0, 0, 1, 4, 4, 5, 5, 8, 8, 9, 10]


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
@pytest.mark.parametrize("rate", ["constant", "variable"])
def test_leaving_out_pictures_that_no_other_needs_changes_nothing(tmp_path, monkeypatch, name, rate):
    random = np.random.default_rng(5)
    images = [random.integers(0, 256, (32, 64, 3), np.uint8) // 4 + numbered_picture(index, 64, 32) // 2
              for index in range(60)]
    steps = np.where(random.random(60) < 0.1, 1.7, 0.04) if rate == "variable" else np.full(60, 0.04)
    path = write_media(tmp_path / name, images, list(np.cumsum(steps) - steps[0]), fps=25,
                       sound=tone(1.5, 22_050), sound_rate=22_050,
                       video_options={"bf": "3", "preset": "medium", "b_strategy": "0", "sc_threshold": "0"})
    end = float(steps.sum())
    asked = [np.arange(0, end + 2), np.sort(random.uniform(0, end, 40)), np.arange(0, end, 0.03), [end / 2]]
    decoded = []
    decode = pictures.decode

    def counting(*arguments):
        for item in decode(*arguments):
            decoded.append(item[0])
            yield item

    monkeypatch.setattr(pictures, "decode", counting)
    sparing = [list(read_frames(path, times)) for times in asked]
    spared, decoded[:] = len(decoded), []
    monkeypatch.setattr(packets, "mark_needless", lambda packets, *_: ((packet, False) for packet in packets))
    full = [list(read_frames(path, times)) for times in asked]
    assert spared < len(decoded)
    for few, all_ in zip(sparing, full, strict=True):
        assert [image is None for image in few] == [image is None for image in all_]
        assert all(np.array_equal(one, other) for one, other in zip(few, all_, strict=True) if one is not None)


def test_nothing_is_shown_after_the_last_picture_has_ended(clip):
    assert numbers(clip, [5.5, 5.9, 6, 6.5]) == [55, 59, None, None]


def test_a_picture_that_starts_late_stays_with_its_sound(tmp_path):
    times = [1.5 + index / 10 for index in range(30)]
    path = write_media(tmp_path / "late.mp4", PICTURES[:30], times, sound=tone(4, 44_100))
    assert numbers(path, [0, 1, 2, 3, 4]) == [0, 0, 5, 15, 25]


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_sound_that_starts_late_is_padded_within_25_ms(tmp_path, name):
    path = write_media(tmp_path / name, PICTURES[:30], sound=tone(1, 44_100), sound_start=1.25)
    samples = read_audio(path)
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    assert abs(loud[0] / 22_050 - 1.25) < 0.025
    assert abs(loud[-1] / 22_050 - 2.25) < 0.03


def test_a_hole_between_sound_packets_is_silence(tmp_path):
    whole = write_media(tmp_path / "whole.mkv", sound=tone(3, 44_100))
    holed = tmp_path / "holed.mkv"
    with av.open(str(whole)) as source, av.open(str(holed), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None and not 1.0 < packet.pts * packet.time_base < 2.0:
                packet.stream = stream
                target.mux(packet)
    samples = read_audio(holed)
    assert abs(len(samples) / 22_050 - 3.0) < 0.05
    assert np.abs(samples[int(1.1 * 22_050):int(1.9 * 22_050)]).max() < 0.01
    assert np.abs(samples[int(2.2 * 22_050):int(2.8 * 22_050)]).max() > 0.3


@pytest.mark.parametrize(
    ("name", "rate", "codec", "channels"),
    [
        ("a.mp4", 44_100, "aac", 2),
        ("a.mp4", 8_000, "aac", 1),
        ("a.mkv", 48_000, "libopus", 1),
        ("a.avi", 44_100, "libmp3lame", 2),
    ],
)
def test_sound_is_what_the_ffmpeg_command_line_decodes(tmp_path, name, rate, codec, channels):
    sound = tone(3.3, rate, 300, channels) * np.linspace(0, 1, round(3.3 * rate), dtype=np.float32)
    path = write_media(
        tmp_path / name, PICTURES[:33], codec="mpeg4" if name.endswith("avi") else "libx264",
        sound=sound, sound_rate=rate, sound_codec=codec,
    )
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-ac", "1", "-ar", "22050"]
    subprocess.run([*command, tmp_path / "o.wav"], check=True)
    with wave.open(str(tmp_path / "o.wav")) as file:
        expected = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    samples = read_audio(path)
    assert samples.dtype == np.float32
    assert abs(len(samples) - len(expected)) < 512
    num = min(len(samples), len(expected))
    assert np.abs(samples[:num] - expected[:num]).mean() < 0.002      # a shift by 5 samples gives 0.05


def test_mono_is_the_mean_of_the_channels(tmp_path):
    sound = np.concatenate([tone(1, 22_050), 0 * tone(1, 22_050)])
    path = write_media(tmp_path / "a.mkv", sound=sound, sound_rate=22_050, sound_codec="pcm_s16le")
    np.testing.assert_allclose(read_audio(path), sound.mean(axis=0), atol=1e-4)


def test_display_rotation_is_applied(tmp_path):
    upright = np.zeros((64, 128, 3), np.uint8)
    upright[:, :64, 0] = 255      # red on the left, black on the right
    for rotation in (90, -90):
        path = write_media(tmp_path / f"r{rotation}.mp4", [upright] * 3, rotation=rotation)
        (image,) = read_frames(path, [0])
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-frames:v", "1", "-f", "rawvideo"]
        raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], check=True, capture_output=True).stdout
        expected = np.frombuffer(raw, np.uint8).reshape(128, 64, 3)
        assert image.shape == expected.shape
        assert np.abs(image.astype(int) - expected).max() <= 4


def test_matroska_without_a_duration_is_read_to_its_end(tmp_path):
    path = write_media(tmp_path / "live.mkv", PICTURES, sound=tone(6, 44_100), container_options={"live": "1"})
    assert probe(path).duration is None
    assert numbers(path, [0, 5, 6]) == [0, 50, None]


def test_a_transport_stream_that_does_not_start_at_zero(tmp_path):
    options = {"output_ts_offset": "5"}
    path = write_media(tmp_path / "a.ts", PICTURES, sound=tone(6, 44_100), container_options=options)
    with av.open(str(path)) as container:
        assert container.start_time > 1_000_000
    assert numbers(path, [0.05, 3.15]) == [0, 31]
    assert abs(len(read_audio(path)) / 22_050 - 6) < 0.05


def test_probe_tells_what_the_file_promises(clip):
    info = probe(clip)
    assert (info.video.width, info.video.height, info.video.duration) == (128, 64, 6.0)
    assert (info.audio.sample_rate, info.audio.channels) == (44_100, 2)
    assert info.audio.duration == pytest.approx(6.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.mp4", "This is no video.\n"),
        ("empty.mp4", ""),
        ("concat.mp4", "ffconcat version 1.0\nfile {other}\n"),
        ("playlist.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n"),
        ("playlist.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:{other}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "<?xml version='1.0'?><MPD><Period><BaseURL>{other}</BaseURL></Period></MPD>\n"),
    ],
)
def test_what_is_no_media_file_opens_nothing(tmp_path, transport_clip, name, content):
    path = tmp_path / name
    path.write_text(content.format(other=transport_clip))
    for read in (probe, read_audio, lambda p: list(read_frames(p, [0]))):
        with pytest.raises(MediaError, match=name):
            read(path)


def test_a_name_that_looks_like_an_address_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "a.mp4").rename(tmp_path / "concat:a.mp4|b.mp4")
    assert numbers("concat:a.mp4|b.mp4", [0, 1]) == [0, 1]
    with pytest.raises(MediaError, match="no such file"):
        probe("http://127.0.0.1:9/a.mp4")
    with pytest.raises(MediaError, match="not a regular file"):
        probe(tmp_path)


def test_a_file_without_sound_or_picture_says_so(tmp_path):
    with pytest.raises(MediaError, match=r"silent\.mp4: no sound"):
        read_audio(write_clip(tmp_path / "silent.mp4", with_sound=False))
    with pytest.raises(MediaError, match=r"radio\.mp4: no picture"):
        list(read_frames(write_media(tmp_path / "radio.mp4", sound=tone(1, 44_100)), [0]))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv", "a.avi"])
def test_a_cut_file_fails_instead_of_ending_early(tmp_path, name):
    path = write_media(
        tmp_path / name, PICTURES, codec="mpeg4" if name.endswith("avi") else "libx264",
        sound=tone(6, 22_050), sound_rate=22_050, sound_codec="libmp3lame" if name.endswith("avi") else "aac",
        container_options={"movflags": "faststart"} if name.endswith("mp4") else None,
    )
    assert numbers(path, [0])[0] == 0
    content = path.read_bytes()
    path.write_bytes(content[:len(content) * 6 // 10])
    for read in (read_audio, lambda p: list(read_frames(p, range(6)))):
        with pytest.raises(MediaError, match=rf"{name}: .*after 3\.\d s of 6\.\d s"):
            read(path)


def damage(path, packets: slice) -> None:
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.dts is not None]
    content = bytearray(path.read_bytes())
    for position, size in places[packets]:
        content[position:position + size] = b"\xff" * size
    path.write_bytes(content)


def test_damage_at_the_start_costs_at_most_a_second(tmp_path):
    path = write_media(tmp_path / "a.mp4", PICTURES, video_options={"g": "5"})
    damage(path, slice(0, 5))
    assert numbers(path, [0, 1, 5]) == [5, 10, 50]      # before the first picture, the first
    damage(path, slice(0, 15))
    with pytest.raises(MediaError, match=r"a\.mp4: its picture cannot be decoded before 1\.5 s of 6\.0 s"):
        list(read_frames(path, range(6)))


def test_damage_in_the_middle_tells_after_how_many_seconds(tmp_path, clip):
    path = shutil.copy(clip, tmp_path / "a.mp4")
    damage(path, slice(30, None))
    with pytest.raises(MediaError, match=r"a\.mp4: decoding its picture fails after 3\.0 s of 6\.0 s"):
        list(read_frames(path, range(6)))


def test_only_sampled_pictures_are_converted(clip):
    converted = []
    frames = read_frames(clip, [0, 0.05, 3], transform=lambda image: converted.append(read_number(image)) or image)
    assert [read_number(image) for image in frames] == [0, 0, 30]
    assert converted == [0, 30]


def test_saved_video_keeps_colours_times_and_positions(tmp_path):
    image = np.zeros((63, 127, 3), np.uint8)
    image[:, :40], image[:, 40:80], image[:, 80:] = (200, 30, 60), (20, 160, 90), (90, 90, 240)
    save_video(tmp_path / "a.mp4", [image, None, image])
    first, black, last = read_frames(tmp_path / "a.mp4", range(3))
    assert first.shape == (64, 128, 3)       # even, the last row and column repeated
    assert black.max() == 0
    for x in (20, 60, 100, 127):
        assert np.abs(first[32, x].astype(int) - image[32, min(x, 126)]).max() <= 4
        assert np.abs(last[32, x].astype(int) - first[32, x]).max() <= 4
    assert probe(tmp_path / "a.mp4").video.duration == 3


def noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 64, 128, 3), np.uint8))


def test_a_video_is_written_while_its_pictures_come(tmp_path):
    on_disk = []

    def images():
        for image in noise(60):
            yield image
            on_disk.append(sum(path.stat().st_size for path in tmp_path.iterdir()))

    save_video(tmp_path / "a.mp4", images())
    size = (tmp_path / "a.mp4").stat().st_size
    assert on_disk[30] > 0.3 * size and on_disk[59] > 0.75 * size
    in_memory = io.BytesIO()
    with av.open(in_memory, "w", format="mp4") as container:
        encode_images(container, noise(60), 1, ENCODE_OPTIONS)
    assert in_memory.getvalue() == (tmp_path / "a.mp4").read_bytes()


@pytest.mark.parametrize("room", [10, 100_000])
def test_a_video_for_which_there_is_no_room_is_told_at_once_and_leaves_nothing(tmp_path, room):
    drawn = []
    with no_room_beyond(room), pytest.raises(OSError) as raised:
        save_video(tmp_path / "a.mp4", (drawn.append(1) or image for image in noise(100)))
    assert raised.value.errno == errno.EFBIG and raised.value.filename == str(tmp_path / "a.mp4")
    assert len(drawn) < 60 and not list(tmp_path.iterdir())


def test_a_video_whose_pictures_fail_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        save_video(tmp_path / "a.mp4", (image[:64 // (40 - index)] for index, image in enumerate(noise(60))))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "rate"),
    [("a.mp4", 44_100), ("a.mp4", 24_000), ("a.mkv", 24_000), ("a.avi", 24_000), ("a.ts", 24_000)],
)
def test_a_span_is_the_same_as_cut_from_the_whole(tmp_path, name, rate):
    noise = 0.3 * np.random.default_rng(0).standard_normal((1, 26 * rate)).astype(np.float32)
    images = [numbered_picture(index // 4 + 1) for index in range(104)]
    codec = {"codec": "mpeg4"} if name == "a.avi" else {"video_options": {"g": "23", "bf": "2"}}
    sound_codec = "mp3" if name == "a.avi" else "aac"
    path = write_media(tmp_path / name, images, fps=4, sound=noise, sound_rate=rate, sound_codec=sound_codec, **codec)
    assert numbers(path, range(20, 25)) == numbers(path, range(26))[20:25]
    whole, part = read_audio(path), read_audio(path, start=20.37, duration=4)
    begin, length = round(20.37 * 22_050), 4 * 22_050
    assert len(part) == length
    if name == "a.mkv":     # rounds its time stamps to 1 ms, and a span has nothing else to go by
        alike = [np.corrcoef(part, whole[begin + lag:begin + lag + length])[0, 1] for lag in range(-60, 61)]
        assert max(alike) > 0.6 and abs(int(np.argmax(alike)) - 60) <= 23
    else:
        np.testing.assert_allclose(part, whole[begin:begin + length], atol=2e-3)


def test_a_span_leaves_what_lies_before_undecoded(tmp_path, monkeypatch):
    images = [numbered_picture(index) for index in range(160)]
    path = write_media(tmp_path / "a.mp4", images, fps=4, sound=tone(40, 22_050), sound_rate=22_050)
    read = []
    real = packets.read_packets
    monkeypatch.setattr(packets, "read_packets", lambda *a: (read.append(p) or p for p in real(*a)))
    assert numbers(path, [30]) == [120]
    assert len(read_audio(path, start=30, duration=2)) == 44_100
    assert min(float(p.pts * p.time_base) for p in read if p.pts is not None) > 20


def test_a_span_behind_the_end_is_an_error_for_sound_and_nothing_for_pictures(tmp_path):
    path = write_clip(tmp_path / "a.mp4", seconds=8)
    with pytest.raises(MediaError, match="ends before 20.0 s"):
        read_audio(path, start=20, duration=5)
    assert list(read_frames(path, [20, 21])) == [None, None]
    assert len(read_audio(path, start=6, duration=5)) == pytest.approx(2 * 22_050, abs=1200)


def test_what_was_decoded_before_a_cut_can_be_salvaged(tmp_path):
    whole = write_media(tmp_path / "a.mkv", [numbered_picture(i // 4 + 1) for i in range(80)], fps=4,
                        sound=tone(20, 22_050), sound_rate=22_050)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[:int(0.6 * whole.stat().st_size)])
    messages = []
    samples = read_audio(cut, salvage=messages)
    images = list(read_frames(cut, range(20), salvage=messages))
    there = [image for image in images if image is not None]
    assert 9 * 22_050 < len(samples) < 15 * 22_050
    assert [read_number(image) for image in there] == list(range(1, len(there) + 1))
    assert 9 <= len(there) <= 15
    assert len(messages) == 2 and all("cut off or damaged" in message for message in messages)
    with pytest.raises(MediaError):
        read_audio(cut)
