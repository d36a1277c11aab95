"""The preprocessing commands on real small files: what they write, keep, refuse and survive."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from media_files import numbered_picture, read_number, tone, write_clip, write_media

from datatools.driver import extract_audio, extract_text_roi, extract_video
from datatools.errors import UserError, run_command
from datatools.media import read_frames
from datatools.stages import Pool
from utils import extract_audio as audio_command
from utils import extract_textROI
from utils import extract_video as video_command

ROOT = Path(__file__).resolve().parents[1]
LABELS = "a_start 2.5\nb_end 1\n"


@pytest.fixture(scope="module")
def made_clips(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for folder in ("data_A/train", "data_C"):
        (root / folder).mkdir(parents=True)
    write_clip(root / "data_A/train/a_start.mp4", seconds=4)
    pictures = [numbered_picture(index // 10, 127, 63) for index in range(30)]
    write_media(root / "data_A/train/b_end.mkv", pictures, fps=10, sound=tone(3, 44_100, channels=2))
    write_clip(root / "data_C/c_start.mp4", seconds=2)
    (root / "data_A/train/必选数据.txt").write_text(LABELS, encoding="utf-8")
    return root


@pytest.fixture
def raw(made_clips, tmp_path) -> Path:
    return Path(shutil.copytree(made_clips, tmp_path / "raw"))


@pytest.fixture(scope="module")
def made_out(made_clips, tmp_path_factory) -> Path:
    """What the sound's and the picture's stage give of these clips."""
    out = tmp_path_factory.mktemp("made") / "out"
    for extract in (extract_audio, extract_video):
        report = extract(made_clips, out, pool=Pool(1))
        assert (sorted(report.done), report.exit_code) == (["a_start", "b_end", "c_start"], 0)
    return out


@pytest.fixture
def out(raw, made_out, tmp_path) -> Path:
    """An own copy of them, of the clips in `raw`."""
    return Path(shutil.copytree(made_out, tmp_path / "out"))


def run_here(main, *flags) -> int:
    """Exit code of a command, in this process."""
    with pytest.raises(SystemExit) as leaving:
        run_command(lambda: main(list(map(str, flags))))
    return leaving.value.code


def run(script: str, *flags, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / script, *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def snapshot(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*")) if path.is_file()}


def test_audio_writes_mfcc_and_copies_labels(made_out):
    mfcc = np.load(made_out / "data_A/train/a_start_mfcc.npy")
    assert mfcc.dtype == np.float32
    assert mfcc.shape == (20, 1 + 4 * 22_050 // 512)
    assert (made_out / "data_A/train/必选数据.txt").read_text(encoding="utf-8") == LABELS
    assert not list(made_out.rglob(".tmp-*"))


def test_video_writes_frames_and_a_1_fps_video_of_the_same_pictures(made_out):
    for name, seconds, size in (("a_start", 4, (64, 128)), ("b_end", 3, (64, 128))):       # 63 x 127 made even
        frames = np.load(made_out / f"data_A/train/{name}_frames.npy")
        assert (frames.shape, frames.dtype) == ((200, 66, 88, 3), np.uint8)
        assert [read_number(frame[20:40]) for frame in frames[:seconds]] == list(range(seconds))
        assert frames[seconds:].max() == 0
        images = list(read_frames(made_out / f"data_A/train/{name}.mp4", range(201)))
        assert images[0].shape == (*size, 3)
        assert [read_number(image) for image in images[:seconds]] == list(range(seconds))
        assert max(image.max() for image in images[seconds:200]) == 0
        assert images[200] is None


def test_the_whole_chain_runs_as_commands_in_two_processes(raw, tmp_path, capsys):
    out = tmp_path / "out"
    for script, rest in (
        ("utils/extract_audio.py", ("--data_root", raw, "--save_root", "out", "--workers", 1)),
        ("utils/extract_video.py", ("--data_root", raw, "--save_root", "out", "--workers", 2)),
        ("datatools/text_extract.py", ("--data_root", "out", "--ocr", "rapidocr", "--workers", 1)),
        ("utils/extract_textROI.py", ("--data_root", "out")),
    ):
        done = run(script, *rest, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "3 done, 0 already there, 0 failed" in done.stdout
    assert sorted(path.stem for path in (out / "ROIs").iterdir()) == ["a_start", "b_end", "c_start"]
    before = snapshot(out)
    assert run_here(extract_textROI.main, "--data_root", out) == 0
    assert capsys.readouterr().out.startswith("text ROI: 0 done, 3 already there")
    assert snapshot(out) == before


@pytest.mark.parametrize("extract", [extract_audio, extract_video])
def test_a_second_run_does_only_what_is_missing_cut_changed_or_asked_for(raw, out, extract):
    before = snapshot(out)
    assert sorted(extract(raw, out, pool=Pool(1)).kept) == ["a_start", "b_end", "c_start"]
    assert snapshot(out) == before
    ending = "_mfcc.npy" if extract is extract_audio else "_frames.npy"
    for path in [*out.rglob(f"b_end{ending}"), *out.rglob("b_end.mp4")]:           # cut by hand
        path.write_bytes(path.read_bytes()[:-100])
    assert extract(raw, out, pool=Pool(1)).done == ["b_end"]
    next(out.rglob(f"c_start{ending}")).unlink()
    assert extract(raw, out, pool=Pool(1)).done == ["c_start"]
    future = time.time() + 10
    os.utime(raw / "data_A/train/a_start.mp4", (future, future))
    assert extract(raw, out, pool=Pool(1)).done == ["a_start"]
    assert len(extract(raw, out, pool=Pool(1), force=True, folders=["data_A/train"]).done) == 2


def test_a_cut_1_fps_video_is_made_again(raw, out):
    video = out / "data_C/c_start.mp4"
    video.write_bytes(video.read_bytes()[:-100])
    assert extract_video(raw, out, pool=Pool(1)).done == ["c_start"]


def test_an_unreadable_clip_fails_alone_with_exit_code_1(raw, tmp_path, capsys):
    (raw / "data_A/train/b_end.mkv").write_text("no video")
    write_clip(raw / "data_C/d_end.mp4", seconds=1, with_sound=False)
    flags = ("--data_root", raw, "--save_root", tmp_path / "out", "--workers", 1)
    assert run_here(audio_command.main, *flags) == 1
    told = capsys.readouterr().out
    assert "2 done, 0 already there, 2 failed" in told
    assert "failed b_end:" in told and "b_end.mkv: not a media file" in told
    assert "failed d_end:" in told and "d_end.mp4: no sound in it" in told
    report = extract_video(raw, tmp_path / "out", pool=Pool(1))
    assert [name for name, _ in report.failed] == ["b_end"]
    assert len(report.done) == 3


@pytest.mark.parametrize("extract", [extract_audio, extract_video])
def test_the_raw_clips_are_never_overwritten(raw, tmp_path, extract):
    before = snapshot(raw)
    (tmp_path / "link").symlink_to(raw)
    for save_root in (raw, tmp_path / "link", raw / "data_A/.."):
        with pytest.raises(UserError, match="--save_root is --data_root"):
            extract(raw, save_root)
    assert snapshot(raw) == before


def test_missing_folders_are_told(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        extract_audio(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match="--folders"):
        extract_video(tmp_path / "raw", tmp_path / "out")
    with pytest.raises(UserError, match="Run datatools/text_extract.py"):
        extract_text_roi(tmp_path / "raw")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [audio_command, video_command])
def test_a_save_root_that_cannot_be_written_is_one_message(raw, command, capsys):
    assert run_here(command.main, "--data_root", raw, "--save_root", "/proc/nowhere") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: /proc/nowhere")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("script", ["utils/extract_audio.py", "utils/extract_video.py"])
def test_a_full_disk_is_told_and_leaves_what_is_there(raw, out, script):
    flags = ("--data_root", raw, "--save_root", out, "--workers", 1)
    before = {path: path.read_bytes() for path in snapshot(out)}
    for limit, code in ((1_000, 2), (6_000, 1)):       # no file at all; small ones, but no result
        done = run(script, *flags, "--force", preexec_fn=lambda limit=limit: resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit, limit)))
        assert done.returncode == code
        assert "disk (or its quota) is full" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert {path: path.read_bytes() for path in snapshot(out)} == before


def test_text_rois_follow_their_json(tmp_path):
    box = [[[32, 90], [160, 90], [160, 135], [32, 135]], [180, 320], "", 1.0]
    for split, name in (("train", "a_start"), ("own", "b_end")):
        (tmp_path / f"ocr_text_{split}.json").write_text(json.dumps({name: {"4": [box]}}))
    (tmp_path / "ocr_text_detector.json").write_text(json.dumps({"name": "rapidocr"}))
    assert sorted(extract_text_roi(tmp_path).done) == ["a_start", "b_end"]
    mask = np.load(tmp_path / "ROIs/a_start.npy")
    assert mask.sum() == mask[4, 13:18, 3:18].sum() == 5 * 15
    assert sorted(extract_text_roi(tmp_path).kept) == ["a_start", "b_end"]
    future = time.time() + 10
    (tmp_path / "ocr_text_own.json").write_text(json.dumps({"b_end": {"4": []}, "c_end": {"1": ["broken"]}}))
    os.utime(tmp_path / "ocr_text_own.json", (future, future))
    report = extract_text_roi(tmp_path)
    assert (report.done, report.kept, report.exit_code) == (["b_end"], ["a_start"], 1)
    assert np.load(tmp_path / "ROIs/b_end.npy").max() == 0
