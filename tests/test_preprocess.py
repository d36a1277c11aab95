"""The one pass over real small files: what it writes, records, does again, refuses and survives."""

import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from media_files import numbered_picture, tone, write_clip, write_media

from datatools import driver, preprocess, text_detector
from datatools.driver import STAGES, extract_audio, extract_video
from datatools.errors import UserError
from datatools.files import sweep_temporaries
from datatools.manifest import NAME, Entry, Manifest
from datatools.stages import Pool
from synth.plan import plan_clip
from synth.render import render_clip

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def made_raw(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for folder in ("data_A/train", "data_C"):
        (root / folder).mkdir(parents=True)
    render_clip(plan_clip(3, 0, "s", duration=8), root / "data_A/train/a_start.mp4")
    render_clip(plan_clip(3, 1, "e", duration=8), root / "data_C/b_end.mp4")
    (root / "data_A/train/必选数据.txt").write_text("a_start 9\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def made_out(made_raw, tmp_path_factory) -> Path:
    """What one undisturbed run gives, 1 fps videos too."""
    out = tmp_path_factory.mktemp("made") / "out"
    assert run(made_raw, out, "--write_video") == 0
    return out


@pytest.fixture
def raw(made_raw, tmp_path) -> Path:
    return Path(shutil.copytree(made_raw, tmp_path / "raw"))


@pytest.fixture
def out(raw, made_out, tmp_path) -> Path:
    """An own copy of what that run gives, of the clips in `raw`."""
    return Path(shutil.copytree(made_out, tmp_path / "out"))


def run(raw: Path, out: Path, *flags) -> int:
    """Exit code of the command, in this process."""
    words = ["--data_root", raw, "--save_root", out, "--ocr", "rapidocr", "--workers", 1, *flags]
    return preprocess.main(list(map(str, words)))


def entries(out: Path) -> dict:
    return Manifest(out).entries


def content(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*"))
            if p.is_file() and p.name != ".manifest.lock"}


def test_one_pass_writes_what_the_single_commands_write(made_raw, made_out, tmp_path):
    extract_audio(made_raw, tmp_path / "four", pool=Pool(1))
    extract_video(made_raw, tmp_path / "four", pool=Pool(1))
    one, four = content(made_out), content(tmp_path / "four")
    assert set(four) <= set(one) and len(four) == 7
    assert all(one[name] == four[name] for name in four)
    masks = np.load(made_out / "ROIs/a_start.npy", mmap_mode="r")
    assert (masks.dtype, masks.shape) == (np.uint8, (200, 27, 36)) and masks.any()
    boxes = json.loads((made_out / "ocr_text_train.json").read_text(encoding="utf-8"))
    assert list(boxes) == ["a_start"] and len(boxes["a_start"]) == 200
    assert not list(made_out.rglob("*.parts"))


def test_without_asking_there_is_no_video(made_raw, tmp_path):
    assert run(made_raw, tmp_path / "out", "--folders", "data_C") == 0
    assert not list((tmp_path / "out").rglob("*.mp4"))
    found = entries(tmp_path / "out")
    assert list(found) == sorted(("data_C/b_end", stage) for stage in STAGES)
    assert all(entry.status == "ok" and len(entry.digest) == 64 for entry in found.values())
    assert found["data_C/b_end", "audio"].versions["librosa"]
    assert found["data_C/b_end", "text"].settings["detector"]["name"] == "rapidocr"


def test_a_second_run_does_only_what_is_missing_or_changed(raw, out, monkeypatch):
    done = []
    real = driver.extract_all
    monkeypatch.setattr(driver, "extract_all", lambda source, outputs, *more: done.append(
        (source.stem, *sorted(outputs))) or real(source, outputs, *more))
    first = content(out)
    assert run(raw, out, "--write_video") == 0
    assert done == [] and content(out) == first
    (out / "data_C/b_end_mfcc.npy").unlink()                                # an output is missing
    assert run(raw, out) == 0
    assert done == [("b_end", "audio")] and content(out) == first
    done.clear()
    source = raw / "data_A/train/a_start.mp4"
    source.touch()                                                          # another time, the same content
    assert run(raw, out) == 0
    assert done == []
    shutil.copy(raw / "data_C/b_end.mp4", source)                           # another clip
    assert run(raw, out) == 0
    assert done == [("a_start", *sorted(STAGES))]
    done.clear()
    monkeypatch.setattr(driver, "stage_settings", changed_settings(driver.stage_settings))
    assert run(raw, out) == 0                                               # another setting of one stage
    assert done == [("a_start", "frames"), ("b_end", "frames")]


def changed_settings(real):
    return lambda identity: real(identity) | {"frames": {"height": 1}}


def test_boxes_of_another_detector_are_refused_and_kept(raw, out, monkeypatch):
    before = content(out)
    monkeypatch.setitem(text_detector.MAX_SIDE, "rapidocr", 224)
    with pytest.raises(UserError, match="two detectors must not be mixed"):
        run(raw, out)
    assert content(out) == before
    assert run(raw, out, "--force") == 0
    assert entries(out)["data_C/b_end", "text"].settings["detector"]["settings"]["max_side"] == 224


def test_failures_are_told_kept_and_tried_again_when_asked(raw, out, capsys):
    (raw / "data_C/bad_start.mp4").write_text("no film")
    assert run(raw, out) == 1
    told = capsys.readouterr().out
    assert "failed data_C/bad_start (audio, frames, text, roi)" in told and "not a media file" in told
    assert run(raw, out) == 1
    assert "0 done, 3 already there" in capsys.readouterr().out
    assert run(raw, out, "--retry_failed") == 1
    assert "0 done, 2 already there, 1 failed" in capsys.readouterr().out
    write_clip(raw / "data_C/bad_start.mp4", seconds=3)
    assert run(raw, out) == 0


def test_status_and_verify_change_nothing_and_find_damage(raw, out, capsys):
    before = content(out)
    write_clip(raw / "data_C/new_start.mp4", seconds=2)
    assert run(raw, out, "--status") == 0
    heads, *rows = [line.split() for line in capsys.readouterr().out.splitlines()[-len(STAGES) - 1:]]
    assert heads == ["stage", "ok", "partial", "failed", "to", "do"]
    assert rows == [[stage, "2", "0", "0", "1"] for stage in STAGES]
    assert run(raw, out, "--verify") == 0
    frames = out / "data_C/b_end_frames.npy"
    frames.write_bytes(frames.read_bytes()[:-1] + b"\1")
    (out / "ROIs/a_start.npy").unlink()
    capsys.readouterr()
    assert run(raw, out, "--verify") == 1
    told = capsys.readouterr().out
    assert "data_C/b_end_frames.npy (b_end, frames): its content has changed" in told
    assert "ROIs/a_start.npy (a_start, roi): missing" in told
    after = content(out)
    assert set(before) - set(after) == {"ROIs/a_start.npy"}


def test_a_torn_line_counts_as_not_written(raw, out):
    whole = content(out)
    path = out / NAME
    path.write_bytes(path.read_bytes()[:-20])
    assert len(entries(out)) == 2 * len((*STAGES, "video")) - 1
    assert run(raw, out, "--write_video") == 0
    assert content(out) == whole
    path.write_text("{}\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(UserError, match=r"manifest.jsonl, line 1: no entry"):
        run(raw, out)


def test_two_runs_at_once_are_refused(raw, tmp_path):
    (tmp_path / "out").mkdir()
    with Manifest.open_for_writing(tmp_path / "out"), pytest.raises(UserError, match="another preprocessing run"):
        run(raw, tmp_path / "out")


def test_the_manifest_keeps_the_last_word_and_sorts(tmp_path):
    with Manifest.open_for_writing(tmp_path) as manifest:
        manifest.record([Entry("d/b", "roi", "failed", "why"), Entry("d/a", "roi", "ok")])
        manifest.record([Entry("d/b", "roi", "ok")])
    lines = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    assert [(line["clip"], line["status"], line["reason"]) for line in lines] == [("d/a", "ok", ""), ("d/b", "ok", "")]


def test_only_what_dead_processes_left_is_swept(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "x").mkdir()
    for name in (f".tmp-{dead.pid}@{platform.node()}-0-a.npy", f".tmp-{os.getpid()}@{platform.node()}-0-a.npy",
                 f".tmp-{dead.pid}@elsewhere-0-a.npy"):
        (tmp_path / "x" / name).touch()
    sweep_temporaries(tmp_path)
    assert sorted(p.name.partition("@")[0] for p in tmp_path.rglob(".tmp-*")) == sorted(
        [f".tmp-{os.getpid()}", f".tmp-{dead.pid}"])
    assert not list(tmp_path.rglob(f".tmp-{dead.pid}@{platform.node()}-*"))


def test_a_killed_run_lets_go_of_its_lock(tmp_path):
    """And a run that lives is refused, whichever process holds the lock."""
    code = ("import sys, time; from pathlib import Path; from datatools.manifest import Manifest\n"
            "with Manifest.open_for_writing(Path(sys.argv[1])): print(flush=True); time.sleep(600)")
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE)
    holder.stdout.readline()
    with pytest.raises(UserError, match="another preprocessing run works on it"), Manifest.open_for_writing(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with Manifest.open_for_writing(tmp_path):
        pass


def listing(folder: Path) -> list[str]:
    return sorted(os.path.join(parent, name) for parent, *inside in os.walk(folder) for name in sum(inside, []))


def kill_at_change(words: list[str], folder: Path, change: int) -> None:
    """Run a command and kill it with all its workers when so many changes were seen among the files in `folder`."""
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    seen, changes = listing(folder), 0
    while process.poll() is None and changes < change:
        time.sleep(0.01)
        now = listing(folder)
        changes += now != seen
        seen = now
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check_kills(raw: Path, whole: Path, folder: Path, rounds: int, seed: int) -> None:
    """Begun anew, killed with all its workers at two random moments, and run again: the bytes of an undisturbed run."""
    words = [sys.executable, "datatools/preprocess.py", "--data_root", raw, "--ocr", "rapidocr", "--write_video",
             "--workers", 2, "--save_root", folder / "killed"]
    words = list(map(str, words))
    rng = random.Random(seed)
    for _ in range(rounds):
        shutil.rmtree(folder / "killed", ignore_errors=True)
        for moments in ((1, 7), (4, 11)):       # an undisturbed run over two clips shows some ten changes
            kill_at_change(words, folder / "killed", rng.randint(*moments))
        assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 0
        assert content(folder / "killed") == content(whole)      # no temporary file is left either


def test_killed_runs_lose_at_most_the_clip_in_hand(made_raw, made_out, tmp_path):
    check_kills(made_raw, made_out, tmp_path, rounds=1, seed=0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 6))
def test_runs_killed_many_times(raw, tmp_path, seed):
    render_clip(plan_clip(5, seed, "e", duration=25), raw / "data_C/more_end.mp4")
    assert run(raw, tmp_path / "whole", "--write_video") == 0
    check_kills(raw, tmp_path / "whole", tmp_path, rounds=10, seed=seed)


def test_a_ray_cluster_gives_the_same(made_raw, made_out, tmp_path):
    pytest.importorskip("ray")
    words = ["--data_root", made_raw, "--save_root", tmp_path / "ray", "--ocr", "rapidocr", "--workers", 2,
             "--write_video", "--backend", "ray", "--address", "local"]
    done = subprocess.run([sys.executable, "datatools/preprocess.py", *map(str, words)], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "ray") == content(made_out)


# --- 24 bad or odd inputs: what each stage says of them -----------------------------------------------------------

OK4 = ("ok",) * 4
FAILED4 = ("failed",) * 4


def sized(width: int, height: int) -> list[np.ndarray]:
    """Pictures for 20 s at two frames a second, none of them black."""
    return [numbered_picture(index // 2 + 1, width, height) for index in range(40)]


PICTURES = sized(128, 64)


def normal(path: Path, **settings) -> Path:
    defaults = {"fps": 2, "sound": tone(20, 44_100)}
    return write_media(path, settings.pop("images", PICTURES), **defaults | settings)


def damaged(path: Path, how) -> Path:
    normal(path, container_options={"movflags": "faststart"} if path.suffix == ".mp4" else None)
    path.write_bytes(how(path.read_bytes()))
    return path


def holed(data: bytes) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, len(data) // 5, dtype=np.uint8).tobytes()
    middle = len(data) // 2
    return data[:middle] + noise + data[middle + len(noise):]


def linked(path: Path) -> Path:
    outside = path.parents[2] / "elsewhere.mp4"
    normal(outside)
    path.symlink_to(outside)
    return path


def ten_bit(path: Path) -> Path:
    return encode_with_ffmpeg(path, "-c:v", "libx264", "-pix_fmt", "yuv420p10le")


def encode_with_ffmpeg(path: Path, *options: str, sound: tuple[str, ...] = ("-c:a", "aac")) -> Path:
    """The normal clip again, by the ffmpeg binary with other options."""
    import imageio_ffmpeg

    source = path.with_name("source.avi")
    normal(source, codec="mpeg4", sound_codec="mp3")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", source, *options, *sound, "-f",
               FORMATS[path.suffix], "-y", f"file:{path.absolute()}"]
    subprocess.run(list(map(str, command)), check=True)
    source.unlink()
    return path


FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
INPUTS = {   # file name: (how it is made, outcome of audio, frames, text, roi, a word of the reason)
    "empty_start.mp4": (lambda p: p.write_bytes(b""), FAILED4, "not a media file"),
    "text_start.mp4": (lambda p: p.write_text("hello"), FAILED4, "not a media file"),
    "cut_start.mkv": (lambda p: damaged(p, lambda d: d[:int(0.6 * len(d))]), ("partial",) * 4, "cut off"),
    "cutfast_start.mp4": (lambda p: damaged(p, lambda d: d[:int(0.6 * len(d))]), ("partial",) * 4, "cut off"),
    "holed_start.mkv": (lambda p: damaged(p, holed), ("partial",) * 4, "nothing of it could be read between"),
    "holedfast_start.mp4": (lambda p: damaged(p, holed), ("partial",) * 4, "fails after"),
    "mute_start.mp4": (lambda p: normal(p, sound=None), ("failed", "ok", "ok", "ok"), "no sound"),
    "radio_start.mp4": (lambda p: write_media(p, sound=tone(20, 44_100)), ("ok", "failed", "failed", "failed"),
                        "no picture"),
    "shortsound_start.mp4": (lambda p: normal(p, sound=tone(8, 44_100)), ("partial", "ok", "ok", "ok"), "8 s of 20 s"),
    "shortpicture_start.mp4": (lambda p: normal(p, images=PICTURES[:16]), ("ok", "partial", "partial", "partial"),
                               "8 s of 20 s"),
    "oneframe_start.mp4": (lambda p: normal(p, images=PICTURES[:1]), ("ok", "partial", "partial", "partial"),
                           "1 s of 20 s"),
    "tenbit_start.mp4": (ten_bit, OK4, ""),
    "oddsize_start.mkv": (lambda p: normal(p, images=sized(127, 63)), OK4, ""),
    "rotated_start.mp4": (lambda p: normal(p, rotation=90), OK4, ""),
    "portrait_start.mp4": (lambda p: normal(p, images=sized(64, 128)), OK4, ""),
    "surround_start.mp4": (lambda p: encode_with_ffmpeg(p, sound=("-c:a", "aac", "-ac", "6")), OK4, ""),
    "telephone_start.mp4": (lambda p: normal(p, sound=tone(20, 8_000), sound_rate=8_000), OK4, ""),
    "twosounds_start.mkv": (lambda p: encode_with_ffmpeg(p, "-map", "0:v", "-map", "0:a", "-map", "0:a"), OK4, ""),
    "hevc_start.mp4": (lambda p: encode_with_ffmpeg(p, "-c:v", "libx265", "-x265-params", "log-level=error"), OK4, ""),
    "av1_start.mkv": (lambda p: encode_with_ffmpeg(p, "-c:v", "libsvtav1", "-preset", "12"), OK4, ""),
    "noduration_start.mkv": (lambda p: encode_with_ffmpeg(p, "-live", "1"), OK4, ""),
    "late_start.mp4": (lambda p: normal(p, times=[2 + i / 2 for i in range(36)], images=PICTURES[4:]), OK4, ""),
    "ffconcat_start.mp4": (lambda p: p.write_text("ffconcat version 1.0\nfile /etc/passwd\n"), FAILED4, "media file"),
    "playlist_start.mp4": (lambda p: p.write_text("#EXTM3U\n#EXTINF:10,\nhttp://localhost:9/a.ts\n"), FAILED4,
                           "playlist"),
    "-it's \"片头\" a_start.mp4": (normal, OK4, ""),
    "link_start.mp4": (linked, OK4, ""),
}


@pytest.fixture(scope="module")
def odd_outputs(tmp_path_factory) -> dict[bool, Path]:
    """{whether stages failed: where the outputs of those clips lie}; exit code 1 where one did."""
    outputs = {}
    for fails in (False, True):
        root = tmp_path_factory.mktemp("odd")
        (root / "raw/data_C").mkdir(parents=True)
        for name, (make, outcome, _) in INPUTS.items():
            if ("failed" in outcome) is fails:
                make(root / "raw/data_C" / name)
        assert run(root / "raw", root / "out") == int(fails)
        outputs[fails] = root / "out"
    return outputs


@pytest.mark.parametrize("name", INPUTS)
def test_bad_and_odd_inputs_end_as_stated(odd_outputs, name):
    _, outcome, reason = INPUTS[name]
    out, stem = odd_outputs["failed" in outcome], Path(name).stem
    found = [entries(out)[f"data_C/{stem}", stage] for stage in STAGES]
    assert tuple(entry.status for entry in found) == outcome, [entry.reason for entry in found]
    assert any(reason in entry.reason for entry in found)
    for entry in found:
        assert bool(entry.output) == (entry.status != "failed")
    if outcome[1] == "ok":
        frames = np.load(out / "data_C" / f"{stem}_frames.npy")
        assert frames[:20].any((1, 2, 3)).all() and not frames[21:].any()
    if outcome[0] == "ok":
        assert np.load(out / "data_C" / f"{stem}_mfcc.npy").shape[1] == pytest.approx(862, abs=3)
