"""Files that libraries hold and nobody expects: each costs at most itself, and no wrong array is called ok.

The campaigns of benchmarks/reliability make, damage and examine the files; make soak runs them at length.
"""

import os
import shutil
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from media_files import numbered_picture, read_number, tone, write_clip, write_media

from benchmarks.reliability import media
from datatools import preprocess
from datatools.extract import AUDIO, FRAMES, extract_all
from datatools.manifest import Manifest
from datatools.media import MediaError, probe, read_audio, read_frames
from datatools.media.sound import _Span
from datatools.media.structure import boxes, broken_structure
from datatools.stages import Pool

ROOT = Path(__file__).resolve().parents[1]
HERE = Pool(here=True)


def ffmpeg(*words) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, words)], check=True)


def statuses(path: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """{stage: (status, reason)} of a file, sound and frames only."""
    folder.mkdir(exist_ok=True)
    outputs = {AUDIO: folder / f"{path.name}_mfcc.npy", FRAMES: folder / f"{path.name}_frames.npy"}
    return {stage: outcome[:2] for stage, outcome in extract_all(path, outputs)[1].items()}


@pytest.fixture(scope="module")
def episode(tmp_path_factory) -> Path:
    """12 s in Matroska: four pictures a second, each random but for its number, and a tone. Only read."""
    random = np.random.default_rng(1)
    images = [random.integers(0, 256, (64, 128, 3), np.uint8) // 4 + numbered_picture(index) // 2
              for index in range(48)]
    return write_media(tmp_path_factory.mktemp("episode") / "a.mkv", images, fps=4, sound=tone(12, 44_100))


# ---------------------------------------------------------------- what a library holds


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> tuple[Path, str, int]:
    """A library with one clip that is well among files that are not: its outputs, what was told, the exit code."""
    root = tmp_path_factory.mktemp("library")
    folder = root / "raw/data_C"
    folder.mkdir(parents=True)
    write_clip(folder / "well_start.mp4", seconds=3)
    os.mkfifo(folder / "pipe_start.mp4")
    if os.geteuid() == 0:
        os.mknod(folder / "device_start.mp4", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    (folder / "folder_start.mp4").mkdir()
    (folder / "gone_start.mp4").symlink_to("nowhere.mp4")
    shutil.copy(folder / "well_start.mp4", os.fsencode(folder) + b"/\xff\xfe_start.mp4")
    shutil.copy(folder / "well_start.mp4", folder / "two\nlines_start.mp4")
    shutil.copy(folder / "well_start.mp4", folder / "twice_end.mp4")
    shutil.copy(folder / "well_start.mp4", folder / "twice_end.mkv")
    os.mkfifo(folder / "labels.txt")
    command = [sys.executable, ROOT / "datatools/preprocess.py", "--data_root", root / "raw", "--save_root",
               root / "out", "--ocr", "rapidocr"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return root, done.stdout + done.stderr, done.returncode


def test_a_clip_among_pipes_devices_and_odd_names_is_done(library):
    root, told, code = library
    assert code == 1 and "Traceback" not in told
    entries = Manifest(root / "out").entries
    assert {clip for clip, _ in entries} == {"data_C/well_start"}
    assert {entry.status for entry in entries.values()} == {"ok"}


@pytest.mark.parametrize(("name", "reason"), [
    ("pipe_start.mp4", "not a regular file"), ("folder_start.mp4", "not a regular file"),
    ("gone_start.mp4", "not a regular file"), (r"\udcff\udcfe_start.mp4", "its name is not UTF-8"),
    ("two", "control character"), ("twice_end.mp4", "same name as data_C/twice_end.mkv"),
    ("twice_end.mkv", "same name as data_C/twice_end.mp4"),
])
def test_a_file_that_is_no_clip_is_named_with_the_reason(library, name, reason):
    _, told, _ = library
    assert any(f"failed data_C/{name}" in line and reason in line for line in told.replace("\n", " ").split("  "))


def test_status_names_them_too(library, capsys):
    root, _, _ = library
    words = ["--data_root", root / "raw", "--save_root", root / "out", "--ocr", "rapidocr", "--status"]
    assert preprocess.main(list(map(str, words))) == 1
    assert "failed data_C/pipe_start.mp4: not a regular file" in capsys.readouterr().out


# ---------------------------------------------------------------- what a file may hold besides


def test_fonts_in_a_matroska_file_change_nothing(episode, tmp_path):
    font = tmp_path / "f.ttf"
    font.write_bytes(np.random.default_rng(0).bytes(50_000))
    ffmpeg("-i", episode, "-c", "copy", "-attach", font, "-metadata:s:t", "mimetype=font/ttf", tmp_path / "font.mkv")
    assert np.array_equal(read_audio(tmp_path / "font.mkv"), read_audio(episode))
    for one, other in zip(read_frames(tmp_path / "font.mkv", range(14)), read_frames(episode, range(14)), strict=True):
        assert one is other is None or np.array_equal(one, other)
    assert statuses(tmp_path / "font.mkv", tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


def test_a_sound_track_that_no_decoder_exists_for_leaves_the_picture(tmp_path):
    path = write_media(tmp_path / "a.mkv", [numbered_picture(k) for k in range(40)], sound=tone(4, 44_100),
                       container_options={"write_crc32": "0"})
    content = path.read_bytes()
    assert content.count(b"A_AAC") == 1
    path.write_bytes(content.replace(b"A_AAC", b"A_???"))
    found = statuses(path, tmp_path)
    assert found[FRAMES] == ("ok", "") and found[AUDIO][0] == "failed" and "no sound in it" in found[AUDIO][1]


def test_another_sound_track_without_a_decoder_is_passed_over(episode, tmp_path):
    path = tmp_path / "two.mkv"
    ffmpeg("-i", episode, "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", "-c:a:0", "libmp3lame",
           "-write_crc32", "0", path)
    content = path.read_bytes()
    assert content.count(b"A_MPEG/L3") == 1
    path.write_bytes(content.replace(b"A_MPEG/L3", b"A_UNKNOWN"))
    assert statuses(path, tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


def test_a_subtitle_that_outlasts_the_film_is_no_missing_end(episode, tmp_path):
    (tmp_path / "a.srt").write_text("1\n00:00:02,000 --> 00:05:00,000\nstill there\n")
    ffmpeg("-i", episode, "-i", tmp_path / "a.srt", "-map", "0", "-map", "1", "-c", "copy", "-c:s", "srt",
           tmp_path / "sub.mkv")
    assert probe(tmp_path / "sub.mkv").duration == pytest.approx(12, abs=0.1)
    assert statuses(tmp_path / "sub.mkv", tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
def test_a_recording_that_begins_an_hour_after_its_clocks_zero_is_whole(episode, tmp_path, suffix):
    path = tmp_path / f"late{suffix}"
    ffmpeg("-i", episode, "-c", "copy", "-output_ts_offset", "3600", path)
    assert probe(path).duration == pytest.approx(12, abs=0.2)
    assert statuses(path, tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


@pytest.mark.parametrize("sound", [None, tone(50, 22_050)])
def test_a_picture_held_for_40_seconds_is_no_damage(tmp_path, sound):
    times = [0, 1, 2, 3, 4, 45, 46, 47, 48, 49]
    path = write_media(tmp_path / "held.mkv", [numbered_picture(k) for k in times], [float(t) for t in times], fps=1,
                       sound=sound, sound_rate=22_050)
    shown = [read_number(image) for image in read_frames(path, [4, 20, 44.9, 45, 49])]
    assert shown == [4, 4, 4, 45, 49]
    assert statuses(path, tmp_path)[FRAMES] == ("ok", "")


def made(path: Path, *options, seconds: float = 5, sound_start: float = 0.0) -> Path:
    """Pictures that change and a tone, written by ffmpeg with these options."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=96x64:r=10:d={seconds}", "-itsoffset", sound_start,
           "-f", "lavfi", "-i", f"sine=d={seconds}", *options, path)
    return path


@pytest.mark.parametrize(("name", "options"), [
    ("live.avi", ("-c:v", "mpeg4", "-c:a", "mp3")), ("live.mkv", ("-c:v", "mpeg4", "-c:a", "aac")),
    ("live.flv", ("-c:v", "flv1", "-c:a", "mp3")), ("live.wmv", ("-c:v", "wmv2", "-c:a", "wmav2")),
])
def test_a_file_written_live_states_no_length_and_is_whole(tmp_path, name, options):
    path = made(tmp_path / f"whole{Path(name).suffix}", *options)
    form = {".mkv": "matroska", ".wmv": "asf"}.get(path.suffix, path.suffix[1:])
    live = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-c", "copy", "-f", form, "-"],
                          capture_output=True, check=True).stdout
    (tmp_path / name).write_bytes(live)
    assert statuses(tmp_path / name, tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


def test_pictures_that_repeat_the_one_before_are_no_damage(tmp_path):
    path = tmp_path / "held.ogg"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=96x64:r=10:d=5", "-f", "lavfi", "-i", "sine=d=5", "-c:v", "libtheora",
           "-c:a", "libvorbis", path)
    with av.open(str(path)) as container:
        assert sum(not packet.size for packet in container.demux(video=0)) > 10
    assert statuses(path, tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}
    assert np.load(tmp_path / "held.ogg_frames.npy")[:5].any((1, 2, 3)).all()


def test_sound_that_begins_late_in_a_wmv_file_is_no_missing_end(tmp_path):
    path = made(tmp_path / "late.wmv", "-c:v", "wmv2", "-c:a", "wmav2", sound_start=1.2)
    assert probe(path).duration == pytest.approx(6.2, abs=0.2)
    assert statuses(path, tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


def test_a_stream_that_ends_a_second_before_the_other_is_whole(tmp_path):
    path = write_media(tmp_path / "a.mkv", [numbered_picture(k) for k in range(52)], sound=tone(4, 44_100))
    assert statuses(path, tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


def test_times_before_zero_in_a_matroska_file_are_no_damage(tmp_path):
    path = made(tmp_path / "a.mkv", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "1", "-c:a", "aac")
    ffmpeg("-i", path, "-c", "copy", "-avoid_negative_ts", "disabled", "-output_ts_offset", "-0.5",
           tmp_path / "before.mkv")
    assert statuses(tmp_path / "before.mkv", tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


CLUSTER, UNKNOWN_SIZE = bytes.fromhex("1f43b675"), b"\x01" + b"\xff" * 7


def clusters(path: Path) -> list[bytes]:
    """A Matroska file's head, with a segment of unknown size, and its clusters of 1 s each."""
    made(path, "-c:v", "mpeg4", "-q:v", "2", "-c:a", "aac", "-cluster_time_limit", "1000", "-write_crc32", "0",
         seconds=9)
    head, *parts = path.read_bytes().split(CLUSTER)
    segment = head.index(bytes.fromhex("18538067")) + 4
    return [head[:segment] + UNKNOWN_SIZE + head[segment + 8:], *(CLUSTER + part for part in parts)]


@pytest.mark.parametrize("size", [3_000, 300_000])
def test_padding_and_junk_that_matroska_allows_are_no_damage(tmp_path, size):
    parts = clusters(tmp_path / "a.mkv")
    padding = b"\xec" + (0x10000000 | size).to_bytes(4, "big") + bytes(size)
    parts.insert(4, padding)
    (tmp_path / "padded.mkv").write_bytes(b"".join(parts))
    assert statuses(tmp_path / "padded.mkv", tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}
    after = tmp_path / "after.mkv"
    after.write_bytes((tmp_path / "a.mkv").read_bytes() + np.random.default_rng(0).bytes(500))
    assert statuses(after, tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("size", [500, 5_000, 20_000])
def test_bytes_cut_out_of_a_matroska_file_are_told(episode, tmp_path, size):
    content = episode.read_bytes()
    start = len(content) // 3
    path = tmp_path / "cut.mkv"
    path.write_bytes(content[:start] + content[start + size:])
    found = statuses(path, tmp_path)
    assert {status for status, _ in found.values()} == {"partial"}
    for read in (read_audio, lambda p: list(read_frames(p, range(13)))):
        with pytest.raises(MediaError, match="damaged"):
            read(path)


def test_a_flipped_bit_is_told_where_the_file_has_checksums(episode, tmp_path):
    content = bytearray(episode.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flip.mkv").write_bytes(content)
    assert "checksum" in broken_structure(tmp_path / "flip.mkv")
    assert {status for status, _ in statuses(tmp_path / "flip.mkv", tmp_path).values()} == {"partial"}


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_times_that_begin_anew_end_the_clip_there(episode, tmp_path, suffix):
    one = tmp_path / "one.ts"
    ffmpeg("-i", episode, "-c", "copy", one)
    twice = tmp_path / f"twice{suffix}"
    twice.write_bytes(one.read_bytes() * 2 if suffix == ".ts" else episode.read_bytes() * 2)
    found = statuses(twice, tmp_path)
    if suffix == ".ts":
        assert {status for status, _ in found.values()} == {"partial"}
        with pytest.raises(MediaError, match=r"begin anew after 1[12]\.\d s|packets of it are missing"):
            read_audio(twice)
    mfcc = np.load(tmp_path / f"twice{suffix}_mfcc.npy", mmap_mode="r")
    assert mfcc.shape[1] * 512 / 22_050 == pytest.approx(12, abs=0.3)


def test_sound_that_overlaps_itself_is_not_repeated(tmp_path):
    span = _Span(tmp_path / "a.mkv", 0.0, 10.0, 0.0, 22_050)
    ramp = np.arange(44_100, dtype=np.float32)[None] / 44_100
    for second in (0.0, 0.5):           # the second frame begins half a second before the first one ends
        frame = av.AudioFrame.from_ndarray(ramp + second, format="fltp", layout="mono")
        frame.sample_rate = 44_100
        span.add(second, frame)
    np.testing.assert_allclose(np.concatenate(span.chunks), np.arange(66_150) / 44_100, atol=1e-6)


def test_sound_much_longer_than_the_picture_leaves_the_picture_partial(tmp_path):
    path = write_media(tmp_path / "a.ts", [numbered_picture(k) for k in range(30)], sound=tone(9, 44_100))
    found = statuses(path, tmp_path)
    assert found[AUDIO] == ("ok", "") and found[FRAMES][0] == "partial" and " of 9 s" in found[FRAMES][1]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".avi", ".flv", ".wmv", ".ts"])
def test_the_structure_of_a_file_tells_of_bytes_cut_out_or_off(tmp_path, suffix):
    codecs = {".avi": ("-c:v", "mpeg4", "-c:a", "mp3"), ".wmv": ("-c:v", "wmv2", "-c:a", "wmav2")}
    path = tmp_path / f"a{suffix}"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:d=3", "-f", "lavfi", "-i", "sine=d=3",
           *codecs.get(suffix, ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")), path)
    assert broken_structure(path) is None
    content = path.read_bytes()
    middle = len(content) // 2
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(content[:middle] + content[middle + 1_001:])
    assert broken_structure(cut)
    cut.write_bytes(content[:-1_001])
    assert broken_structure(cut)


def test_frames_that_a_decoder_drops_in_silence_are_told(tmp_path):
    path = tmp_path / "a.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:r=8:d=10", "-c:v", "libx265", "-x265-params",
           "log-level=error:keyint=24:min-keyint=24:no-open-gop=1", path)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.dts is not None and p.is_keyframe]
    content = bytearray(path.read_bytes())
    place, size = packets[1]
    content[place + 8:place + size] = b"\0" * (size - 8)      # the key frame of seconds 3 to 6
    path.write_bytes(content)
    messages: list[str] = []
    try:
        list(read_frames(path, range(10), salvage=messages))
    except MediaError as error:
        messages.append(str(error))
    assert messages and "damaged" in messages[0]


def test_whole_clusters_cut_out_of_a_matroska_file_are_told(tmp_path):
    parts = clusters(tmp_path / "a.mkv")
    (tmp_path / "cut.mkv").write_bytes(b"".join(parts[:3] + parts[6:]))
    assert {status for status, _ in statuses(tmp_path / "cut.mkv", tmp_path).values()} == {"partial"}


@pytest.mark.parametrize("flags", ["frag_keyframe+dash", "frag_keyframe+empty_moov+default_base_moof",
                                   "frag_every_frame+empty_moov+default_base_moof"])
def test_whole_fragments_cut_out_of_an_mp4_file_are_told(tmp_path, flags):
    path = made(tmp_path / "a.mp4", "-c:v", "mpeg4", "-g", "10", "-c:a", "aac", "-movflags", flags, seconds=9)
    assert statuses(path, tmp_path) == {AUDIO: ("ok", ""), FRAMES: ("ok", "")}
    with open(path, "rb") as file:
        starts = [place for kind, place, _ in boxes(file, path.stat().st_size) if kind == b"moof"]
    content, third = path.read_bytes(), len(starts) // 3
    (tmp_path / "cut.mp4").write_bytes(content[:starts[third]] + content[starts[2 * third]:])
    assert {status for status, _ in statuses(tmp_path / "cut.mp4", tmp_path).values()} == {"partial"}


def test_pages_cut_out_of_or_off_an_ogg_file_are_told(tmp_path):
    path = made(tmp_path / "a.ogg", "-c:v", "libtheora", "-c:a", "libvorbis")
    assert broken_structure(path) is None
    pages = path.read_bytes().split(b"OggS")[1:]
    for name, kept in (("out", pages[:12] + pages[16:]), ("off", pages[:-6])):
        cut = tmp_path / f"{name}.ogg"
        cut.write_bytes(b"".join(b"OggS" + page for page in kept))
        assert broken_structure(cut)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_seconds_without_sound_are_told_and_are_silence(tmp_path, suffix):
    whole = made(tmp_path / "whole.mkv", "-c:v", "mpeg2video", "-r", "25", "-c:a", "aac", seconds=9)
    path = tmp_path / f"pause{suffix}"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:a", "noise=drop='between(pts*tb,3,6)'", path)
    found = statuses(path, tmp_path)
    assert found[FRAMES] == ("ok", "")
    assert found[AUDIO][0] == "partial" and "holds no sound between 3.0 and 6.0 s" in found[AUDIO][1]
    samples = read_audio(path)
    assert not samples[round(3.2 * 22_050):round(5.8 * 22_050)].any() and samples[round(6.5 * 22_050):].any()


def test_sizes_that_no_file_can_have_are_no_fault_of_the_machine(tmp_path):
    asf = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(8) + b"\x63\0\0\0\1\2" + b"\xff" * 200
    ebml = bytes.fromhex("1a45dfa3") + b"\x01" + b"\xf0" * 7 + bytes(100)
    for name, content in (("a.wmv", asf), ("a.mkv", ebml)):
        (tmp_path / name).write_bytes(content)
        assert broken_structure(tmp_path / name) is None


# ---------------------------------------------------------------- campaigns


def check(outcomes: list) -> Counter:
    faults = [f"{outcome.name}: {outcome.told}" for outcome in outcomes if outcome.result == "fault"]
    assert not faults, "\n".join(faults)
    return Counter(outcome.result for outcome in outcomes)


def test_composed_files_are_read_right(tmp_path):
    assert check(media.composed(6, 3, tmp_path, HERE))["answer"] == 6


def test_damaged_files_are_refused_told_or_read_right(tmp_path):
    assert check(media.mutated(30, 3, tmp_path, HERE, bases=3))["refused"] > 10


def test_the_campaign_notices_a_wrong_array(tmp_path):
    frames, mfcc = np.full((200, 66, 88, 3), 100, np.uint8), np.zeros((20, 517), np.float32)
    frames[12:] = 0
    assert "show something else" in media.wrong_pictures(frames, 12)
    assert "has 12 pictures for 9 s" in media.wrong_pictures(frames, 9)
    assert "sound otherwise" in media.wrong_sound(mfcc, 12)
    assert "instead of 12 s" in media.wrong_sound(mfcc[:, :400], 12)


@pytest.mark.soak
@pytest.mark.workers
@pytest.mark.parametrize("seed", range(10, 13))
def test_soak_of_media_files(tmp_path, seed):
    check(media.composed(150, seed, tmp_path / "composed"))
    check(media.mutated(500, seed, tmp_path / "mutated"))
