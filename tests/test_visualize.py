"""Drawing on a video: its times, sound, size and colours stay; and what is drawn is to be read."""

import contextlib
import errno
import io
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from media_files import no_room_beyond, numbered_picture, read_number, tone, write_clip, write_media
from recognition_helpers import moving
from test_media import damage
from test_windows import CornerDetector, write_episode

from actionclip_main import main as actionclip_main
from batch_visualize_test import main as batch_main
from datatools.errors import UserError
from datatools.layout import END
from datatools.media import Drawing, MediaError, probe, read_audio, read_every_frame, redraw, transcode
from datatools.media.structure import is_fragmented
from datatools.text_roi import paint_boxes
from datatools.video_dataset import Sampling, SlidingVideo
from datatools.video_lists import videos_at
from datatools.windows import window
from models.actionclip import ActionCLIP
from models.timesformer import TimeSformer
from utils import drawing, visualize
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.predict import Predictor
from visualize import main as visualize_main
from visualize_predictions import main as predictions_main

PICTURES = [numbered_picture(index) for index in range(40)]
FINE = {"crf": "8", "preset": "ultrafast", "g": "10"}
RED = (200, 30, 40)


def nothing(width, height) -> Drawing:
    return Drawing(lambda picture, seconds: None, (0, 2))


def drawn(source, target, prepare=nothing, **options):
    redraw(source, target, prepare, FINE, **options)
    return target


def starts(path) -> list[float]:
    return [start for start, _, _ in read_every_frame(path)]


def shift_between(one: np.ndarray, other: np.ndarray, most: int = 60) -> int:
    """By how many samples `other` comes later."""
    length = min(len(one), len(other)) - 2 * most
    return max(range(-most, most + 1), key=lambda lag: float(np.dot(one[most:most + length],
                                                                    other[most + lag:most + lag + length])))


# ---------------------------------------------------------------- times and sound


TIMES = list(np.cumsum([0, *np.random.default_rng(3).integers(10, 400, 39)]) / 1000)


@pytest.mark.parametrize(("source", "target"), [("a.mp4", "b.mp4"), ("a.mkv", "b.mp4"), ("a.mp4", "b.mkv"),
                                                ("a.ts", "b.mp4"), ("a.mp4", "b.mov")])
def test_pictures_of_a_variable_rate_keep_their_times(tmp_path, source, target):
    options = {"output_ts_offset": "5"} if source == "a.ts" else None
    path = write_media(tmp_path / source, PICTURES, TIMES, video_options={"bf": "2"}, container_options=options)
    told = []

    def prepare(width, height):
        return Drawing(lambda picture, seconds: told.append((seconds, read_number(picture))))

    made = drawn(path, tmp_path / target, prepare)
    assert told == [(pytest.approx(time, abs=6e-6), number) for number, time in enumerate(TIMES)]
    assert starts(made) == pytest.approx(starts(path), abs=1e-9 if target == "b.mp4" else 0.0005)
    ends = [list(read_every_frame(name))[-1][1] for name in (path, made)]
    assert abs(ends[1] - ends[0]) < 0.2      # a container does not state which picture is shown last


def test_pictures_of_an_avi_file_follow_each_other_evenly(tmp_path):
    part = write_media(tmp_path / "a.mp4", PICTURES, video_options={"bf": "2", "preset": "veryfast"})
    path = tmp_path / "a.avi"      # which loses their times
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", part, "-c:v", "libx264", "-bf", "2", path],
                   check=True)
    assert sorted(starts(path)) != starts(path)
    shown = list(read_every_frame(drawn(path, tmp_path / "b.mp4")))
    assert [read_number(picture) for _, _, picture in shown] == list(range(40))
    assert np.diff([start for start, _, _ in shown]) == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("rate", [Fraction(24_000, 1001), Fraction(30_000, 1001)])
def test_a_time_base_is_kept(tmp_path, rate):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = 64, 64
        for index in range(30):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    stamps = []
    for name in (path, drawn(path, tmp_path / "b.mp4")):
        with av.open(str(name)) as container:
            stream = container.streams.video[0]
            stamps.append([packet.pts * stream.time_base for packet in container.demux(stream) if packet.size])
            assert stream.average_rate == rate
    assert sorted(stamps[0]) == sorted(stamps[1]) == [index / rate for index in range(30)]


SOUND = np.random.default_rng(0).standard_normal((2, 44_100 * 4)).astype(np.float32).cumsum(1) % 0.5


SOUNDS = [
    ("a.mp4", "aac", "b.mp4", True), ("a.mkv", "libopus", "b.mp4", True), ("a.mp4", "aac", "b.mkv", True),
    ("a.ts", "aac", "b.mp4", True), ("a.mkv", "pcm_s16le", "b.mp4", False), ("a.mp4", "libopus", "b.mov", False),
]


@pytest.mark.parametrize(("source", "codec", "target", "copied", "late"), [
    *((*sound, late) for sound in SOUNDS for late in (0.0, 0.7)),
    ("a.avi", "mp3", "b.mp4", True, 0.0),      # AVI has no times, so its sound cannot begin late
])
def test_the_sound_stays_with_the_pictures(tmp_path, source, codec, target, copied, late):
    rate = 48_000 if codec == "libopus" else 44_100
    path = write_media(tmp_path / source, PICTURES, sound=SOUND, sound_rate=rate, sound_codec=codec, sound_start=late,
                       codec="mpeg4" if source == "a.avi" else "libx264",
                       container_options={"output_ts_offset": "5"} if source == "a.ts" else None)
    made = drawn(path, tmp_path / target)
    before, after = read_audio(path), read_audio(made)
    assert abs(shift_between(before, after)) <= 22      # 1 ms, to which Matroska rounds
    assert abs(len(before) - len(after)) <= 0.05 * 22_050
    assert starts(made) == pytest.approx(starts(path), abs=0.0005 if target == "b.mkv" else 1e-4)
    assert (probe(made).audio.codec == probe(path).audio.codec) is copied
    if not copied:
        assert probe(made).audio.codec == "aac"


def test_what_ffmpeg_hears_of_a_copied_sound_is_the_same_to_the_bit(tmp_path):
    path = write_media(tmp_path / "a.mp4", PICTURES, sound=SOUND)
    heard = []
    for name in (path, drawn(path, tmp_path / "b.mp4")):
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", name, "-f", "s16le", "-"]
        heard.append(subprocess.run(command, check=True, capture_output=True).stdout)
    assert heard[0] == heard[1] and len(heard[0]) > 4 * 44_100 * 3


@pytest.mark.parametrize("source", ["a.mp4", "a.mkv"])
def test_a_long_video_is_written_in_fragments_with_the_same_times(tmp_path, monkeypatch, source):
    path = write_media(tmp_path / source, PICTURES, [0.3 + time for time in TIMES], sound=SOUND,
                       video_options={"bf": "2"})
    whole = drawn(path, tmp_path / "whole.mp4")
    monkeypatch.setattr(transcode, "LONG", 2.0)
    made = drawn(path, tmp_path / "b.mp4")
    assert is_fragmented(made) and not is_fragmented(whole)
    assert starts(made) == pytest.approx(starts(path), abs=2e-5)
    assert abs(shift_between(read_audio(path), read_audio(made))) <= 11
    assert probe(made).duration == pytest.approx(probe(path).duration, abs=0.5)      # of the picture shown last


def test_pictures_that_begin_late_begin_late(tmp_path):
    path = write_media(tmp_path / "a.mp4", PICTURES, [2 + index / 10 for index in range(40)], sound=tone(6, 44_100))
    made = drawn(path, tmp_path / "b.mp4")
    assert starts(path)[0] == starts(made)[0] == 2.0
    assert shift_between(read_audio(path), read_audio(made)) == 0


def test_a_silent_video_stays_silent(tmp_path):
    path = write_clip(tmp_path / "a.mp4", with_sound=False)
    assert probe(drawn(path, tmp_path / "b.mp4")).audio is None


# ---------------------------------------------------------------- pictures


def corners(picture: np.ndarray) -> list[list[int]]:
    """The colours near the four corners."""
    height, width = picture.shape[:2]
    places = [(0.2, 0.2), (0.2, 0.8), (0.8, 0.2), (0.8, 0.8)]
    return [picture[int(y * height), int(x * width)].astype(int).tolist() for y, x in places]


def colourful(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:height // 2, :width // 2], image[:height // 2, width // 2:] = (220, 40, 60), (30, 180, 90)
    image[height // 2:, :width // 2], image[height // 2:, width // 2:] = (60, 70, 230), (210, 200, 50)
    return image


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("size", [(64, 96), (63, 97), (63, 96), (64, 97)])
def test_pictures_are_upright_and_of_even_size(tmp_path, rotation, size):
    path = write_media(tmp_path / "a.mp4", [colourful(*size)] * 3, rotation=rotation)
    upright = list(read_every_frame(path))[0][2]
    got = []

    def prepare(width, height):
        def draw(picture, seconds):
            got.append(picture.copy())

        got.append((width, height))
        return Drawing(draw)

    made = list(read_every_frame(drawn(path, tmp_path / "b.mp4", prepare)))[0][2]
    height, width = upright.shape[:2]
    assert got[0] == (width + width % 2, height + height % 2)
    assert made.shape == got[1].shape == (got[0][1], got[0][0], 3)
    assert np.abs(made[:height, :width].astype(int) - upright).mean() < 6
    np.testing.assert_allclose(corners(made), corners(upright), atol=6)
    if height % 2:
        assert np.abs(made[-1].astype(int) - made[-2]).mean() < 3


FORMATS = {"yuv420p": "libx264", "yuv420p10le": "libx264", "yuv444p": "libx264", "yuvj420p": "libx264",
           "yuvj444p": "libx264", "bgr0": "libx264rgb", "gray": "libx264"}


@pytest.mark.parametrize("space", [1, 5])      # BT.709, BT.601
@pytest.mark.parametrize("form", FORMATS)
def test_colours_stay_in_every_format_and_drawn_ones_are_those_drawn(tmp_path, form, space):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(FORMATS[form], rate=10, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, form
        if form != "bgr0":
            stream.codec_context.colorspace = space
            stream.codec_context.color_range = 2 if "j" in form else 1
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(colourful(64, 96), format="rgb24")
            frame = frame.reformat(format=form, dst_colorspace=None if form == "bgr0" else space)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    def prepare(width, height):
        def draw(picture, seconds):
            picture[:, 20:60] = RED

        return Drawing(draw, (40, 80), below=20)

    def shown(name) -> np.ndarray:      # by ffmpeg
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", name, "-frames:v", "1", "-f", "rawvideo",
                   "-pix_fmt", "rgb24", "-"]
        raw = subprocess.run(command, check=True, capture_output=True).stdout
        return np.frombuffer(raw, np.uint8).reshape(-1, 96, 3)

    before, after = shown(path), shown(drawn(path, tmp_path / "b.mp4", prepare))
    assert after.shape == (84, 96, 3)
    assert np.abs(after[:38].astype(int) - before[:38]).mean() < 4
    assert np.abs(after[44:78, 26:54].astype(int) - RED).max() < 8
    assert after[82].max() < 8 and after[70, 80].max() < 8


def test_rows_that_are_not_drawn_on_are_those_of_a_plain_transcode(tmp_path):
    path = write_media(tmp_path / "a.mp4", [colourful(64, 96)] * 5)

    def half(width, height):
        def draw(picture, seconds):
            picture[:] = RED

        return Drawing(draw, (33, height))

    plain, marked = (list(read_every_frame(drawn(path, tmp_path / name, prepare)))[2][2]
                     for name, prepare in (("b.mp4", nothing), ("c.mp4", half)))
    assert np.abs(plain[:28].astype(int) - marked[:28]).max() <= 3
    assert np.abs(marked[36:].astype(int) - RED).max() <= 4
    assert np.abs(marked[32].astype(int) - plain[32]).max() <= 90      # shares its colour with the first drawn row


def test_rows_below_a_video_are_still_there_as_they_were_left(tmp_path):
    path = write_media(tmp_path / "a.mp4", PICTURES[:5])
    seen = []

    def prepare(width, height):
        def draw(strip, seconds):
            seen.append([read_number(strip[:10]), int(strip[10:, 0, 0].max())])
            strip[:, 0] = 255

        return Drawing(draw, (height - 10, height + 6), below=6)

    drawn(path, tmp_path / "b.mp4", prepare)
    assert seen == [[0, 0], [1, 255], [2, 255], [3, 255], [4, 255]]


def test_pixels_that_are_not_square_stay_so(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.codec_context.sample_aspect_ratio = 64, 48, Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    with av.open(str(drawn(path, tmp_path / "b.mp4"))) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_a_video_that_changes_its_size_keeps_the_first(tmp_path):
    coded, command = b"", [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i"]
    for size in ((64, 96), (128, 192)):
        part = write_media(tmp_path / "part.mp4", [colourful(*size)] * 5)
        coded += subprocess.run([*command, part, "-c", "copy", "-f", "h264", "-"], check=True,
                                capture_output=True).stdout
    (tmp_path / "a.h264").write_bytes(coded)
    subprocess.run([*command, tmp_path / "a.h264", "-c", "copy", tmp_path / "a.ts"], check=True)
    shown = [picture for _, _, picture in read_every_frame(drawn(tmp_path / "a.ts", tmp_path / "b.mp4"))]
    assert len(shown) == 10
    np.testing.assert_allclose(corners(shown[9]), corners(shown[0]), atol=12)


# ---------------------------------------------------------------- what goes wrong


def test_a_damaged_video_is_refused_or_drawn_up_to_the_damage(tmp_path):
    path = write_media(tmp_path / "a.mp4", [numbered_picture(index) for index in range(60)], sound=tone(6, 22_050),
                       sound_rate=22_050)
    damage(path, slice(30, None))
    with pytest.raises(MediaError, match=r"a\.mp4: decoding its picture fails after 3\.0 s of 6\.0 s"):
        drawn(path, tmp_path / "b.mp4")
    assert sorted(tmp_path.iterdir()) == [path]
    messages = []
    made = drawn(path, tmp_path / "b.mp4", salvage=messages)
    assert [read_number(picture) for _, _, picture in read_every_frame(made)] == list(range(30))
    assert len(messages) == 1 and "after 3.0 s of 6.0 s" in messages[0]
    assert 2.5 < len(read_audio(made)) / 22_050 < 4.5


def test_a_cut_video_is_refused_or_drawn_up_to_the_cut(tmp_path):
    path = write_media(tmp_path / "a.mkv", [numbered_picture(index) for index in range(60)], sound=tone(6, 22_050),
                       sound_rate=22_050)
    path.write_bytes(path.read_bytes()[:path.stat().st_size * 6 // 10])
    with pytest.raises(MediaError, match="cut off or damaged"):
        drawn(path, tmp_path / "b.mp4")
    messages = []
    made = drawn(path, tmp_path / "b.mp4", salvage=messages)
    assert 3 < probe(made).duration < 5 and len(messages) == 1


@pytest.mark.parametrize("copied", [True, False])
def test_a_damaged_piece_of_sound_is_refused_or_left_out(tmp_path, monkeypatch, copied):
    path = write_media(tmp_path / "a.mkv", PICTURES, sound=SOUND, sound_codec="flac")
    name = "_copy" if copied else "_encode"
    real = getattr(transcode._Sound, name)

    def failing(sound, packet):
        if packet and 1.5 < packet.pts * packet.time_base < 2:
            raise av.error.InvalidDataError(1, "Invalid data", "flac")
        real(sound, packet)

    monkeypatch.setattr(transcode._Sound, name, failing)
    if not copied:
        monkeypatch.setitem(transcode.COPIED, "mp4", set())
    told = []
    with pytest.raises(MediaError, match=r"a\.mkv: a piece of its sound after 1\.\d s cannot be carried"):
        drawn(path, tmp_path / "b.mp4")
    assert sorted(tmp_path.iterdir()) == [path]
    made = drawn(path, tmp_path / "b.mp4", salvage=told)
    assert len(told) == 1 and len(starts(made)) == 40
    before, after = read_audio(path), read_audio(made, salvage=[])
    for begin in (1.0, 3.0):
        part = slice(int(begin * 22_050), int((begin + 0.4) * 22_050))
        assert abs(shift_between(before[part], after[part])) <= 22
    assert np.abs(after[int(1.7 * 22_050):int(1.9 * 22_050)]).max() < 0.05


def test_a_video_for_which_there_is_no_room_is_told_of_by_its_own_name(tmp_path):
    images = list(np.random.default_rng(0).integers(0, 256, (40, 64, 96, 3), np.uint8))
    path = write_media(tmp_path / "a.mp4", images, sound=SOUND)
    with no_room_beyond(100_000), pytest.raises(OSError) as raised:
        drawn(path, tmp_path / "b.mp4")
    assert raised.value.errno == errno.EFBIG and raised.value.filename == str(tmp_path / "b.mp4")
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_drawing_that_fails_leaves_no_file(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    with pytest.raises(ZeroDivisionError):
        drawn(path, tmp_path / "b.mp4", lambda width, height: Drawing(lambda picture, seconds: 1 / (seconds - 1)))
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("target", "message"), [
    ("b.avi", r"b\.avi: ends in '\.avi', expected one of \.mp4, \.m4v, \.mov, \.mkv"),
    ("a.mp4", r"a\.mp4: is read and would be overwritten"),
    ("folder.mp4", r"folder\.mp4: a folder, expected the name of a file"),
])
def test_targets_that_are_refused(tmp_path, target, message):
    path = write_clip(tmp_path / "a.mp4")
    (tmp_path / "folder.mp4").mkdir()
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        drawn(path, tmp_path / target)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_sources_that_are_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError, match=r"text\.mp4: not a media file"):
        drawn(tmp_path / "text.mp4", tmp_path / "b.mp4")
    with pytest.raises(MediaError, match=r"radio\.mp4: no picture in it"):
        drawn(write_media(tmp_path / "radio.mp4", sound=tone(1, 44_100)), tmp_path / "b.mp4")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_video_is_written_while_it_is_drawn(tmp_path):
    images = list(np.random.default_rng(0).integers(0, 256, (80, 64, 96, 3), np.uint8))
    path = write_media(tmp_path / "a.mp4", images, sound=SOUND)
    sizes = []

    def prepare(width, height):
        return Drawing(lambda *_: sizes.append(sum(file.stat().st_size for file in tmp_path.glob(".tmp*"))), (0, 2))

    size = drawn(path, tmp_path / "b.mp4", prepare).stat().st_size
    assert sizes[60] > 0.3 * size and sizes[79] > 0.5 * size


# ---------------------------------------------------------------- text


LABELS = ["archery", "射箭（室内，夜间，观众很多的比赛场地中央）以及一个更长的名字，永远不会有人写在列表里",
          "a very, very long name of an action that nobody would ever put on a list, yet here it is",
          "emoji \U0001F600\U0001F3AC \U000F0000 tab\tand\nnewline\x07\u202e", "gjpqy|ÅÂ",
          "開幕の終わり 한국어", "العربية हिन्दी", "", " "]
PENS = ["opencv", "pillow"]


@pytest.fixture
def with_pen(request, monkeypatch):
    """The test's text is written by this OpenCV's own font, or as by one that has none."""
    if request.param == "pillow":
        monkeypatch.delattr(cv2, "FontFace", raising=False)
    elif not hasattr(cv2, "FontFace"):
        pytest.skip("this OpenCV has no font of its own")
    drawing.pen.cache_clear()
    yield request.param
    drawing.pen.cache_clear()


def inked(image: np.ndarray, ground: int = 0) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what was drawn."""
    rows, columns = np.nonzero((image != ground).any(2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("with_pen", PENS, indirect=True)
@pytest.mark.parametrize("label", LABELS, ids=range(len(LABELS)))
def test_text_stays_within_the_box_that_it_is_fitted_into(with_pen, label):
    for width, height in ((320, 240), (1920, 100), (360, 640)):
        size = drawing.text_size(width)
        for room in (width - 20, width // 3, 3):
            for outline in (None, (1, 1, 1)):
                image = np.zeros((height, width, 3), np.uint8)
                edge = 2 * max(1, size // 14) if outline else 0
                text = drawing.fitted(label, room - edge, size)
                left, top, right, bottom = drawing.put_text(image, text, (10, 7), size, outline=outline)
                assert (left, top) == (10, 7) and right - left <= max(room, edge) and bottom <= 7 + 2 * size
                if image.any():
                    first, above, last, below = inked(image)
                    assert first >= left and above >= top and last <= right and below <= bottom
                elif room > 3:
                    assert not label.strip()


@pytest.mark.parametrize("with_pen", PENS, indirect=True)
def test_a_text_is_shortened_no_more_than_it_must_be(with_pen):
    label = LABELS[2]
    whole = drawing.text_width(label, 20)
    assert drawing.fitted(label, whole, 20) == label
    short = drawing.fitted(label, whole // 2, 20)
    assert short.endswith("…") and label.startswith(short[:-1])
    following = label[:len(short) + 1] + "…"      # a space before the ellipsis is left out
    assert drawing.text_width(short, 20) <= whole // 2 < drawing.text_width(following, 20)
    assert drawing.fitted("one\ntwo\tthree\x1b[31m", 400, 20) == "one two three[31m"


@pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="this OpenCV has no font of its own")
def test_chinese_is_shown_not_replaced():
    drawing.pen.cache_clear()

    def shape(letter: str) -> bytes:
        image = np.zeros((60, 60, 3), np.uint8)
        drawing.put_text(image, letter, (5, 5), 30)
        return image.tobytes()

    assert len({shape(letter) for letter in "射箭片头曲结束?開あ한"}) == 11


def test_a_font_that_lacks_letters_says_so_once(monkeypatch, capsys):
    monkeypatch.delattr(cv2, "FontFace", raising=False)
    monkeypatch.setattr(drawing, "CHINESE_FONTS", ())
    drawing.pen.cache_clear()
    for _ in range(2):
        drawing.put_text(np.zeros((60, 200, 3), np.uint8), "射箭", (5, 5), 30)
    assert drawing.text_width("射箭", 30) == drawing.text_width("??", 30)
    drawing.pen.cache_clear()
    assert capsys.readouterr().err.count("no font with Chinese") == 1


# ---------------------------------------------------------------- what is drawn below the pictures


SIZES = [(320, 240), (1920, 1080), (360, 640), (64, 48)]
GREY = 90


def strip_of(width: int, height: int, prepare, seconds: float) -> np.ndarray:
    """What is drawn below a picture, which itself stays as it is."""
    image = drawing.drawn_on(np.full((height, width, 3), GREY, np.uint8), prepare, seconds)
    assert (image[:height] == GREY).all() and image.shape[1] == width and image.shape[0] % 2 == height % 2
    return image[height:]


def counts(strip: np.ndarray, colour) -> int:
    return int((strip == colour).all(2).sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [1, 3, len(LABELS)])
def test_the_true_class_is_green_where_the_best_is_right_and_red_where_not(size, classes):
    shares = np.full((2, classes), 0.1 / classes)
    shares[0, 0] += 0.9
    shares[1, -1] += 0.9
    answers = drawing.TopFive(np.array([0.0, 1.0]), shares, tuple(LABELS[:classes]), true="archery")
    first, second = (strip_of(*size, answers.prepare, time) for time in (0.5, 1.5))
    assert counts(first, drawing.GREEN) and not counts(first, drawing.RED)
    if classes > 1:
        assert counts(second, drawing.RED)
        assert counts(second, drawing.GREEN) < counts(first, drawing.GREEN)     # its bar is short now
    unknown = drawing.TopFive(answers.seconds, shares, answers.classes)
    strip = strip_of(*size, unknown.prepare, 0.5)
    assert counts(strip, drawing.BAR) and not counts(strip, drawing.GREEN) + counts(strip, drawing.RED)


def test_bars_are_as_long_as_the_shares_and_sorted():
    shares = np.array([[0.05, 0.5, 0.25, 0.2]])
    strip = strip_of(640, 360, drawing.TopFive(np.zeros(1), shares, ("a", "b", "c", "d")).prepare, 3.0)
    rows = (strip == drawing.BAR).all(2).sum(1)
    lengths = rows[np.flatnonzero(np.diff(rows, prepend=0) > 0)]
    assert len(lengths) == 4
    np.testing.assert_allclose(lengths / lengths[0], [1, 0.5, 0.4, 0.1], atol=0.01)


def test_an_answer_is_shown_until_the_next():
    answers = drawing.TopFive(np.array([1.0, 2.0]), np.eye(2), ("a", "b"), true="a")
    rights = [counts(strip_of(320, 240, answers.prepare, time), drawing.GREEN) for time in (0, 1, 1.9, 2, 9)]
    assert rights[0] == rights[1] == rights[2] > rights[3] == rights[4]


TIMELINE = drawing.Timeline(200.0, "end of the opening", 91.3, (84.2, 97.9), 60.0, np.eye(800)[400], 0.25,
                            np.linspace(0, 1, 400), np.repeat([0.0, 0.2], 100))


def column_of(strip: np.ndarray, colour) -> float:
    """The middle of a colour's columns in the plot, as a share of its width."""
    ends = np.flatnonzero((strip == drawing.SOUND).all(2).any(0))
    below = strip[strip.shape[0] // 3:]
    return float((np.flatnonzero((below == colour).all(2).any(0)).mean() - ends[0]) / (ends[-1] - ends[0]))


@pytest.mark.parametrize("size", SIZES[:3])
def test_times_stand_at_their_place(size):
    strip = strip_of(*size, TIMELINE.prepare, 150.0)
    for colour, seconds in ((drawing.RED, 91.3), (drawing.GREEN, 60), (drawing.EVIDENCE, 100.1), (drawing.BOXES, 150),
                            (drawing.INK, 150)):
        assert column_of(strip, colour) == pytest.approx(seconds / 200, abs=0.012)


@pytest.mark.parametrize("size", SIZES)
def test_only_the_cursor_and_the_time_change_with_the_moment(size):
    one, other = (strip_of(*size, TIMELINE.prepare, time) for time in (20.0, 21.5))
    changed = np.flatnonzero((one != other).any((0, 2)))
    assert 0 < len(changed) < 0.25 * size[0] + 20
    assert (strip_of(*size, TIMELINE.prepare, -5) != one).any()      # before and after the clip: at its ends
    assert (strip_of(*size, TIMELINE.prepare, 500) != one).any()


@pytest.mark.parametrize("size", SIZES)
def test_a_timeline_draws_what_there_is(size):
    bare = drawing.Timeline(24 * 60.0, "开头结束" * 30)
    strip = strip_of(*size, bare.prepare, 3.0)
    for colour in (drawing.RED, drawing.GREEN, drawing.EVIDENCE, drawing.SOUND, drawing.BOXES):
        assert not counts(strip, colour)
    silent = drawing.Timeline(10.0, "start of the ending", 3.0, evidence=np.full(40, np.nan), evidence_step=0.25,
                              loudness=np.zeros(9))
    assert not counts(strip_of(*size, silent.prepare, 3.0), drawing.EVIDENCE)


@pytest.mark.parametrize(("duration", "most", "told"), [
    (200, 10, [20 * k for k in range(11)]), (1440, 5, [0, 500, 1000]), (0.5, 5, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
    (7, 0, [0]), (7200, 4, [0, 2000, 4000, 6000]),
])
def test_an_axis_has_round_times(duration, most, told):
    assert drawing.ticks(duration, most) == pytest.approx(told)


@pytest.mark.parametrize(("count", "width"), [(800, 100), (10, 300), (7, 7), (1000, 999)])
def test_no_value_is_lost_between_columns(count, width):
    values = np.random.default_rng(0).random(count)
    found = drawing.in_columns(values, 5 / count, 5.0, width)
    assert found.shape == (width,) and set(found) == set(values if count <= width else found)
    assert found.max() == values.max()
    for place, value in enumerate(values):
        assert found[int((place + 0.5) * width / count)] >= value or count < width
    half = drawing.in_columns(values, 5 / count, 10.0, width)
    assert not half[width // 2 + 1:].any()


def test_a_sounds_level_is_counted_in_decibels():
    sound = np.repeat([1.0, 0.1, 0.001, 0.0, 2.0], 1000)[:4010]
    assert drawing.loudness(sound, 4000) == pytest.approx([1, 2 / 3, 0, 0, 1])
    assert drawing.loudness(np.zeros(0), 4000).shape == (0,)


def test_a_timeline_is_drawn_on_a_video(tmp_path):
    path = write_media(tmp_path / "a.mp4", [np.full((240, 320, 3), GREY, np.uint8)] * 20, sound=tone(2, 44_100))
    line = drawing.Timeline(2.0, "片头曲结束", 0.5, (0.3, 0.8), 1.0, np.eye(8)[2], 0.25, np.ones(20), np.ones(2))
    frames = list(read_every_frame(drawn(path, tmp_path / "b.mp4", line.prepare)))
    assert len(frames) == 20
    for start, _, picture in frames[::6]:
        expected = drawing.drawn_on(np.full((240, 320, 3), GREY, np.uint8), line.prepare, start)
        assert picture.shape == expected.shape
        assert np.abs(picture.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("size", [(320, 240), (200, 360)])
def test_text_is_outlined_where_the_network_sees_it_and_only_in_its_seconds(tmp_path, size):
    width, height = size
    box = 0.25 * width, 0.5 * height, 0.75 * width, 0.75 * height
    quad = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]]
    masks = paint_boxes({"31": [[quad, [height, width], "", 1.0]]}, 33)[30:]
    line = drawing.Timeline(33.0, "end", masks=masks, masks_from=30)
    boxes = line.prepare(width, height).boxes
    assert not boxes(0.0) and not boxes(30.99) and not boxes(32.0) and not boxes(200.0)
    place, = boxes(31.5)
    cell = max(height / 27, width / 36)      # a mask is as coarse as this
    assert place == pytest.approx(box, abs=1.01 * cell)

    at_once = drawing.Timeline(2.0, "end", masks=masks[1:2])
    path = write_media(tmp_path / "a.mp4", [np.full((height, width, 3), GREY, np.uint8)] * 20)
    frames = list(read_every_frame(drawn(path, tmp_path / "b.mp4", at_once.prepare)))
    (left, top, right, bottom), plain = place, frames[15][2].astype(int)
    first = frames[5][2].astype(int)
    changed = np.abs(first[:height] - plain[:height]).max(2) > 25
    assert changed[top, left:right].mean() > 0.9 and changed[bottom - 1, left:right].mean() > 0.9
    assert changed[top:bottom, left].mean() > 0.9 and changed[top:bottom, right - 1].mean() > 0.9
    assert not changed[top + 8:bottom - 8, left + 8:right - 8].any() and not changed[:max(0, top - 8)].any()
    expected = drawing.drawn_on(np.full((height, width, 3), GREY, np.uint8), at_once.prepare, 0.5)
    assert np.abs(first - expected).mean() < 6


# ---------------------------------------------------------------- what a model sees

SAME = Path(__file__).with_name("same")
CLIP_SIZES = {"image_size": 32, "patch_size": 16, "width": 64, "depth": 2, "embed": 32, "text_width": 64,
              "text_depth": 2, "frames": 4, "fusion": "Transf"}


@pytest.fixture(scope="module")
def finder() -> Predictor:
    """A small AVTDist."""
    return Predictor(SAME / "avt_dist.pth", gpus="cpu")


@pytest.fixture(scope="module")
def matcher(tmp_path_factory) -> Path:
    """The checkpoint of a small ActionCLIP of three classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("matcher") / "clip.pth"
    save_checkpoint(path, {"network": "ActionCLIP", "sizes": CLIP_SIZES, "text_detector": None,
                           "model": ActionCLIP(**CLIP_SIZES).state_dict(), "classes": ["running", "射箭", "a, b"],
                           "sampling": {"segments": True, "num_frames": 4, "image_size": 32, "short_side": [32, 32]}})
    return path


@pytest.fixture
def corner_texts(monkeypatch) -> list:
    """A detector that takes no time; gets what was asked for."""
    asked: list = []
    monkeypatch.setattr(visualize, "load_detector", lambda *words: (asked.append(words), CornerDetector())[1])
    return asked


@pytest.fixture
def windows_read(monkeypatch) -> list:
    """(start, batch) of each window that is read."""
    read: list = []
    monkeypatch.setattr(visualize, "window", lambda video, start, **more: (
        read.append((start, window(video, start, **more))), read[-1][1])[1])
    return read


def command(main, *words) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command that may raise nothing but a UserError."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(map(str, words)))
    return code, out.getvalue(), err.getvalue()


def small_video(path: Path, label: int = 1, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_media(path, moving(label, seed), sound=tone(1.2, 44_100))


def test_a_clips_timeline_holds_what_the_network_answers(tmp_path, finder, corner_texts, windows_read):
    clip = write_episode(tmp_path / "a_start.mkv", 12)
    (tmp_path / "truth.csv").write_text("name,seconds\na_start,7.5\n")
    look = visualize.look_of(finder, visualize.Asked(truth=tmp_path / "truth.csv"))
    damage: list[str] = []
    seen = look(clip, damage)
    line, (start, batch) = seen.prepare.__self__, windows_read[0]
    expected = finder(batch)
    assert start == 0 and batch["kind"].tolist() == [1] and batch["text_roi"].any()
    assert not damage and line.name == "end of the opening" and line.true == 7.5
    assert line.found == pytest.approx(float(expected["seconds"]), abs=1e-4)
    assert line.interval == pytest.approx((float(expected["low"]), float(expected["high"])), abs=1e-4)
    assert line.duration == max(12.0, line.found)      # a short clip is padded to 200 s, and found there
    shares = finder.net(**{name: batch[name] for name in finder.inputs})["quarters"].softmax(1)[0].detach().numpy()
    assert line.evidence == pytest.approx(shares / shares.max(), abs=1e-4) and line.evidence_step == 0.25
    assert line.boxes[:12] == pytest.approx(batch["text_roi"][0, :12].float().mean((1, 2)).numpy())
    assert line.boxes[:12].any() and not line.boxes[12:].any()
    assert np.array_equal(line.masks, batch["text_roi"][0]) and line.masks_from == 0
    step = line.duration / len(line.loudness)
    assert line.loudness[:int(11 / step)].min() > 0.5 and line.loudness[int(13 / step):].max(initial=0) == 0
    asked = visualize.look_of(finder, visualize.Asked(kind=END))(clip, damage).prepare.__self__
    assert asked.name == "start of the ending" and asked.true is None
    assert windows_read[1][1]["kind"].tolist() == [2]


def test_an_episodes_ending_is_looked_for_in_its_last_200_seconds(tmp_path, finder, corner_texts, windows_read):
    episode = write_episode(tmp_path / "episode.mkv", 230)
    seen = visualize.look_of(finder, visualize.Asked(kind=END))(episode, [])
    line, (start, batch) = seen.prepare.__self__, windows_read[0]
    assert start == 30 and batch["kind"].tolist() == [2]
    assert line.duration == pytest.approx(230, abs=0.6)
    assert line.found == pytest.approx(30 + float(finder(batch)["seconds"]), abs=1e-3)
    assert not line.evidence[:120].any() and line.evidence[120:920].min() > 0
    assert line.masks_from == 30
    assert line.boxes[30:230] == pytest.approx(batch["text_roi"][0].float().mean((1, 2)).numpy())
    step = line.duration / len(line.loudness)
    assert not line.loudness[:int(29 / step)].any() and line.loudness[int(31 / step):int(229 / step)].min() > 0.5


@pytest.mark.parametrize("shape, rows", [((1, 1, 200), 200), ((1, 2, 200), 200), ((1, 200), 200)])
def test_evidence_is_that_of_each_second_where_a_network_has_no_quarters(shape, rows):
    steps = torch.zeros(shape)
    steps.flatten(0, -2)[0, 40] = 5.0

    class Steps:
        inputs, device, mixed = (), torch.device("cpu"), False

        @staticmethod
        def net():
            return {"steps": steps}

    evidence, step = visualize.evidence_of(Steps(), {})
    assert step == 1.0 and evidence.shape == (rows,) and evidence.argmax() == 40 and evidence[40] == 1


def test_a_boundary_is_drawn_by_command_with_the_detector_of_the_training(tmp_path, corner_texts):
    """By AVTNet, which has an evidence a second, and no interval."""
    clip = write_clip(tmp_path / "b_end.mp4", seconds=3)
    code, out, err = command(visualize_main, "--weights", SAME / "avt.pth", "--video", clip, "--output",
                             tmp_path / "out", "--ocr", "rapidocr", "--gpus", "cpu")
    assert code == 0 and err == "" and "b_end.mp4: start of the ending" in out and "1 of 1 videos drawn" in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b_end_visualized.mp4"]
    made, plain = (list(read_every_frame(path)) for path in (tmp_path / "out/b_end_visualized.mp4", clip))
    assert [one[0] for one in made] == [one[0] for one in plain] and made[0][2].shape[0] > plain[0][2].shape[0]
    content = {**load_checkpoint(SAME / "avt.pth"), "text_detector": "easyocr"}
    save_checkpoint(tmp_path / "other.pth", content)
    visualize.look_of(Predictor(tmp_path / "other.pth", gpus="cpu"), visualize.Asked())
    assert corner_texts == [("rapidocr", None), ("easyocr", None)]
    with pytest.raises(UserError, match="was trained on the text boxes of easyocr"):
        command(visualize_main, "--weights", tmp_path / "other.pth", "--video", clip, "--output", tmp_path,
                "--ocr", "rapidocr", "--gpus", "cpu")


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory) -> Path:
    """Two videos of the same name, a damaged, a silent and a nameless one, and one that is none."""
    root = tmp_path_factory.mktemp("mixed")
    for folder in "ab":
        (root / folder).mkdir()
        write_clip(root / folder / "same_start.mp4", seconds=2)
    whole = write_media(root / "cut_start.mkv", PICTURES, sound=tone(4, 22_050), sound_rate=22_050)
    whole.write_bytes(whole.read_bytes()[:whole.stat().st_size * 6 // 10])
    write_clip(root / "silent_end.mp4", with_sound=False)
    write_clip(root / "nameless.mp4")
    (root / "text_start.mp4").write_text("no video")
    return root


def test_one_videos_failure_is_its_own_and_a_page_shows_the_others(
        tmp_path, mixed_folder, finder, corner_texts, capsys):
    look, output = visualize.look_of(finder, visualize.Asked()), tmp_path / "out"
    assert visualize.draw_videos(videos_at([mixed_folder]), look, output, pages=True) == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == f"3 of 6 videos drawn, in {output}; 1 of them in part; 3 failed"
    for message in ("text_start.mp4: not a media file", "silent_end.mp4: no sound in it", "nameless.mp4: its name ends",
                    "Give --kind start", "drawn in part: ", "cut_start.mkv: its sound ends after"):
        assert message in told.err
    drawn = {"same_start_visualized.mp4", "same_start-2_visualized.mp4", "cut_start_visualized.mp4"}
    assert {path.name for path in output.iterdir()} == drawn | {"contact.png", "index.html"}
    text = (output / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'src="([^"]+)"', text)) == drawn and text.count('class="failed"') == 3
    assert "http" not in text and f"{mixed_folder}/b/same_start.mp4" in text
    sheet = cv2.imread(str(output / "contact.png"))
    assert sheet.shape[1] == 2 * (480 + 8) + 8 and 2 * 270 < sheet.shape[0] < 1000
    red = (sheet[..., ::-1] == drawing.RED).all(2)      # the found boundary, on each of three
    assert red[:400, :488].any() and red[:400, 488:].any() and red[400:, :488].any() and not red[400:, 488:].any()


def test_a_page_takes_any_name(tmp_path):
    folder = tmp_path / 'a&"b<script>'
    made = visualize.Drawn(folder / "\udcff.mp4", tmp_path / "射 #1%?\udcff_visualized.mp4", "<b>", ["'&"], None)
    text = visualize.page([made], {folder: f"{folder}: {{bad}}"})
    assert text.encode() and r"\udcff.mp4" in text
    assert "<script" not in text and "<b>" not in text and "{bad}" in text
    assert 'src="%E5%B0%84%20%231%25%3F%FF_visualized.mp4"' in text


def test_a_full_disk_ends_the_run_and_a_video_that_is_read_is_not_replaced(tmp_path, matcher):
    videos = [small_video(tmp_path / f"{name}.mp4") for name in ("a", "a_visualized")]
    look = visualize.look_of(Predictor(matcher, gpus="cpu"), visualize.Asked())
    with pytest.raises(UserError, match=r"a_visualized\.mp4: is read and would be overwritten"):
        visualize.draw_videos(videos, look, tmp_path, pages=True)
    with no_room_beyond(5000), pytest.raises(OSError) as raised:
        visualize.draw_videos(videos, look, tmp_path / "out", pages=True)
    assert raised.value.errno == errno.EFBIG and not list((tmp_path / "out").iterdir())


def test_a_recognisers_answers_slide_over_the_whole_video(tmp_path, matcher):
    video = write_media(tmp_path / "run.mp4", moving(0, 0) * 3, sound=tone(3.6, 44_100))
    predictor = Predictor(matcher, gpus="cpu")
    (tmp_path / "labels.csv").write_bytes(b"id,name\r\n7,running\r\n3,\"a, b\"\r\n1,Tai Chi\r\n")
    asked = visualize.Asked(labels=tmp_path / "labels.csv", true_label=lambda video: "taichi")
    five = visualize.look_of(predictor, asked)(video, []).prepare.__self__
    assert five.classes == ("running", "a, b", "Tai Chi") and five.true == "Tai Chi"
    assert five.seconds.tolist() == [0, 1, 2, 3] and five.shares.dtype == np.float32
    np.testing.assert_allclose(five.shares.sum(1), 1, atol=1e-5)
    dataset = SlidingVideo(video, Sampling(num_frames=4, size=32, short_side=(32, 32), bicubic=True))
    logits = predictor.net(video=dataset.batch([0, 1, 2, 3])["video"])["logits"]
    np.testing.assert_allclose(five.shares, logits.softmax(1).detach().numpy(), atol=1e-4)
    assert visualize.named_class(("Tai Chi", "taichi"), "taichi") == "taichi"
    unknown = visualize.look_of(predictor, visualize.Asked(true_label=lambda video: "flying"))(video, [])
    assert unknown.prepare.__self__.true == "flying" and ", true: flying" in unknown.told


def test_a_recogniser_answers_the_seconds_of_a_damaged_video_that_can_be_decoded(tmp_path, matcher):
    video = write_media(tmp_path / "hurt.mp4", moving(0, 0) * 3)
    damage(video, slice(20, None))
    look = visualize.look_of(Predictor(matcher, gpus="cpu"), visualize.Asked())
    told: list[str] = []
    five = look(video, told).prepare.__self__
    assert 1 <= len(five.seconds) == len(five.shares) < 4 and five.seconds[0] == 0
    assert len(told) == 1 and f"{4 - len(five.seconds)} of its 4 seconds have no answer" in told[0]
    assert visualize.draw_videos([video], look, tmp_path / "out", pages=False) == 1
    assert (tmp_path / "out/hurt_visualized.mp4").exists()


def test_questions_that_do_not_suit_a_model_are_refused(tmp_path, finder, matcher):
    video = small_video(tmp_path / "a.mp4")
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    torch.manual_seed(0)
    sizes = {"classes": 3, "image_size": 16, "frames": 4, "patch_size": 8, "width": 24, "depth": 1, "heads": 2}
    save_checkpoint(tmp_path / "t.pth", {"network": "TimeSformer", "sizes": sizes, "text_detector": None,
                                         "model": TimeSformer(**sizes).state_dict()})
    timesformer = Predictor(tmp_path / "t.pth", gpus="cpu")
    for predictor, asked, message in (
            (finder, {"labels": tmp_path / "names.txt"}, "--labels: nothing that can be asked of AVTDist"),
            (Predictor(matcher, gpus="cpu"), {"kind": END}, "--kind: nothing that can be asked of ActionCLIP"),
            (timesformer, {"labels": tmp_path / "names.txt"}, r"names\.txt: 2 names, .*t\.pth knows 3 classes"),
            (timesformer, {"templates": tmp_path / "names.txt"}, "TimeSformer reads no texts")):
        with pytest.raises(UserError, match=message):
            visualize.look_of(predictor, visualize.Asked(**asked))
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    for asked, classes in (({"labels": tmp_path / "names.txt"}, ("one", "two", "three")), ({}, ("0", "1", "2"))):
        assert visualize.look_of(timesformer, visualize.Asked(**asked))(video, []).prepare.__self__.classes == classes


def test_a_checkpoint_without_its_fusion_part_is_told_of_and_drawn(tmp_path, matcher):
    weights = {name: value for name, value in load_checkpoint(matcher)["model"].items() if "fusion." not in name}
    torch.save({"model_state_dict": weights}, tmp_path / "towers.pt")
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    code, out, err = command(visualize_main, "--weights", tmp_path / "towers.pt", "--labels", tmp_path / "names.txt",
                             "--video", small_video(tmp_path / "a.mp4"), "--output", tmp_path / "out", "--gpus", "cpu")
    assert code == 0 and "1 of 1 videos drawn" in out
    assert "holds no weights of a fusion over the frames" in err


# ---------------------------------------------------------------- the commands that ActionCLIP's users know


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / "labels.csv").write_bytes(b"id,name\r\n0,running\r\n1,Tai Chi\r\n")
    (tmp_path / "test.yaml").write_text(f"data:\n  dataset: ucf101\n  num_segments: 3\n"
                                        f"  label_list: '{tmp_path}/labels.csv'\nsolver:\n  evaluate: true\n")
    return tmp_path / "test.yaml"


def test_one_video_is_drawn_as_users_of_actionclip_ask_for_it(tmp_path, matcher, config, monkeypatch):
    asked = []
    monkeypatch.setattr(visualize, "SlidingVideo", lambda video, sampling: (asked.append(sampling.num_frames),
                                                                           SlidingVideo(video, sampling))[1])
    video, output = small_video(tmp_path / "v.mp4"), tmp_path / "visualizations"
    words = ["--video", video, "--checkpoint", matcher, "--output-dir", output, "--true-label", "TaiChi"]
    code, out, _ = command(predictions_main, "--config", config, *words)
    assert code == 0 and "true: Tai Chi" in out and asked == [3]
    assert [path.name for path in output.iterdir()] == ["v_visualized.mp4"]
    for text, message in (("data: 3\n", "data: found 3"), ("data:\n  num_segments: many\n", "expected a file and a"),
                          ("data:\n  num_segments: 0\n", "num_segments 0, expected 1 to"),
                          ("data:\n  label_list: nowhere.csv\n", r"nowhere\.csv: no such list of names")):
        config.write_text(text)
        with pytest.raises(UserError, match=message):
            command(predictions_main, "--config", config, *words)


def test_some_videos_of_each_class_are_drawn_with_one_loading_of_the_model(tmp_path, matcher, config, monkeypatch):
    for label, name in enumerate(("running", "TaiChi")):
        for number in range(3):
            small_video(tmp_path / f"videos/{name}/v{number}.mp4", label, number)
    (tmp_path / "videos/TaiChi/v9.avi").write_text("no video")
    loaded = []
    monkeypatch.setattr("utils.predict.load_checkpoint", lambda path: (loaded.append(path), load_checkpoint(path))[1])
    words = ["--videos-dir", tmp_path / "videos", "--config", config, "--checkpoint", matcher, "--output-dir",
             tmp_path / "out", "--num-samples", "9"]
    code, out, err = command(batch_main, *words)
    assert code == 1 and "6 of 7 videos drawn" in out and "v9.avi: not a media file" in err and loaded == [matcher]
    assert out.count("true: Tai Chi") == out.count("true: running") == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "contact.png", "index.html", *(f"v{number}{more}_visualized.mp4" for number in range(3) for more in ("", "-2"))}
    drawn = [visualize.some_of_each(tmp_path / "videos", 1, seed) for seed in (0, 0, *range(1, 9))]
    assert drawn[0] == drawn[1] and list(drawn[0].values()) == ["TaiChi", "running"]
    assert len({tuple(one) for one in drawn}) > 3
    (tmp_path / "empty").mkdir()
    for folder, message in (("empty", "no video in it"), ("videos/running", "no video in a folder below it")):
        with pytest.raises(UserError, match=message):
            visualize.some_of_each(tmp_path / folder, 2, 0)
    with pytest.raises(UserError, match="empty: no video in it"):
        command(visualize_main, "--weights", matcher, "--video", tmp_path / "empty", "--output", tmp_path / "out")


def test_a_folder_of_frames_is_told_to_be_no_video(tmp_path, matcher, capsys):
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames/img_00001.jpg"), np.zeros((32, 32, 3), np.uint8))
    look = visualize.look_of(Predictor(matcher, gpus="cpu"), visualize.Asked())
    assert visualize.draw_videos(videos_at([tmp_path / "frames"]), look, tmp_path / "out", pages=False) == 1
    assert "frames: a folder of frames, which has neither times nor sound" in capsys.readouterr().err


def test_the_seconds_of_an_episode_are_matched_to_its_parts(tmp_path, matcher):
    root = Path(__file__).resolve().parents[1] / "configs"
    video = small_video(tmp_path / "episode.mp4")
    code, _, _ = command(actionclip_main, "--weights", matcher, "--video", video, "--per_second", "--labels",
                         root / "anime_labels.txt", "--templates", root / "anime_templates.txt", "--output",
                         tmp_path / "out", "--gpus", "cpu", "--num_workers", 0)
    lines = (tmp_path / "out/episode_per_second.csv").read_text().splitlines()
    assert code == 0 and lines[0] == "second,opening,ending,credits,title card,episode" and len(lines) == 3
    assert [sum(map(float, line.split(",")[1:])) for line in lines[1:]] == pytest.approx([1, 1], abs=1e-3)
