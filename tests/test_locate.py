"""locate.py: from files to markers beside them, and back; corrections; kills; what a user does wrong."""

import contextlib
import errno
import json
import os
import random
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import pytest

import locate as command
from datatools.errors import UserError
from episodes.candidates import USUAL_RULES
from episodes.chapters import read_chapters
from episodes.corrections import corrected, taught, tidied
from episodes.kept import record_path
from episodes.library import Library
from episodes.markers import Marker, read_csv_markers, read_edl, read_json
from synth.episodes.plan import SHORT, plan_season
from synth.episodes.render import render_season
from tests.locate_helpers import HERE, OLD, lines, locate, real_episode, write_episode
from tests.media_files import no_room_beyond
from tests.test_readme import commands_of

ROOT = Path(__file__).resolve().parents[1]
MKVTOOLNIX = pytest.mark.skipif(not shutil.which("mkvpropedit"), reason="mkvtoolnix is not installed (Debian's package "
                                "mkvtoolnix): chapters in Matroska files are not proved here")
CHAPTERS = [(0, 2, "Prologue"), (2, 7, "OP"), (7, 15, "Part A"), (15, 19, "Ending")]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """A season of three small videos with chapters, one of them an MP4, and a file that is none."""
    root = tmp_path_factory.mktemp("videos")
    for name, shift in (("Show - 01.mkv", 0), ("Show - 02.mkv", 1), ("Show - 03.mp4", 0)):
        real_episode(root / "Show" / name, [(start and start + shift, min(20, end + shift), title)
                                            for start, end, title in CHAPTERS])
    write_episode(root / "Show/Show - 04.mkv")
    return root


@pytest.fixture
def library(videos, tmp_path, monkeypatch) -> Path:
    """A copy of the videos, in the current folder, with a state of its own, one process, and rules for such lengths."""
    shutil.copytree(videos / "Show", tmp_path / "Show")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("episodes.season_ways.USUAL_RULES", replace(USUAL_RULES, lengths=(3.0, 10.0)))
    monkeypatch.setattr("episodes.command.pool_of", lambda told: HERE)
    monkeypatch.setattr("episodes.command.end_on_sigterm", lambda: None)
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


# ---------------------------------------------------------------- the command


def test_a_folder_gets_its_markers_and_a_bad_file_its_reason(library, capsys):
    assert command.main(["Show", "--output", "markers.json"]) == 1
    told = capsys.readouterr().out
    assert "Show/Show - 02.mkv  0:03.0-0:08.0  0:16.0-0:20.0  -" in told
    assert "failed Show/Show - 04.mkv: not a media file" in told
    assert "4 episodes: 3 with an opening, 3 with an ending, 0 not sure, 1 failed" in told
    first, *_ = read_json(Path("markers.json"))
    assert [(marker.type, marker.start, marker.end) for marker in first.markers] == [
        ("opening", 2.0, 7.0), ("ending", 15.0, 19.0)]
    assert set(os.listdir("Show")) == {f"Show - 0{n}.{s}" for n, s in ((1, "mkv"), (2, "mkv"), (3, "mp4"), (4, "mkv"))}
    os.remove("Show/Show - 04.mkv")
    assert command.main(["Show", "--output", "markers.csv"]) == 0
    assert read_csv_markers(Path("markers.csv")) == read_json(Path("markers.json"))
    assert "3 unchanged" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["edl", "edl-jellyfin", "ffmetadata", "aniskip"])
def test_what_is_written_is_the_same_the_second_time_and_can_be_taken_back(library, capsys, form):
    before = files(library / "Show")
    assert command.main(["Show", "--write", form, "--dry_run"]) == 1
    assert "opening" in capsys.readouterr().out and files(library / "Show") == before
    command.main(["Show", "--write", form])
    written = files(library / "Show")
    assert len(written) == len(before) + 6      # a file and a record for each of three episodes
    times = {path: os.stat(path).st_mtime_ns for path in Path("Show").iterdir()}
    command.main(["Show", "--write", form])
    assert times == {path: os.stat(path).st_mtime_ns for path in Path("Show").iterdir()}
    assert command.main(["Show", "--undo"]) == 0
    assert files(library / "Show") == before


def test_a_read_only_library_has_its_markers_elsewhere(library):
    before = files(library / "Show")
    command.main(["Show", "--write", "edl-jellyfin", "chapters", "--markers_folder", "markers"])
    assert files(library / "Show") == before
    assert [(edit.start, edit.type) for edit in read_edl(Path("markers/Show - 02.edl"))] == [
        (3.0, "opening"), (16.0, "ending")]
    copies = ["markers/Show - 03.mp4"] + ["markers/Show - 01.mkv"] * bool(shutil.which("mkvpropedit"))
    for copy in copies:
        titles = [chapter.title for chapter in read_chapters(Path(copy))]
        assert titles == ["Prologue", "OP", "Part A", "Ending", "Episode"]
    command.main([".", "--output", "markers.json"])      # a copy is no episode
    assert len(read_json(Path("markers.json"))) == 3
    assert command.main(["Show", "--undo", "--markers_folder", "markers"]) == 0
    assert not files(library / "markers") and files(library / "Show") == before


@MKVTOOLNIX
def test_chapters_written_into_a_file_do_not_make_it_a_new_one(library, monkeypatch, capsys):
    monkeypatch.setattr("episodes.scan.QUIET_SECONDS", 0.0)      # no need to wait whether they are still copied
    command.main(["Show", "--correct", "Show/Show - 01.mkv", "preview", "19", "20", "--write", "chapters"])
    titles = [chapter.title for chapter in read_chapters(Path("Show/Show - 01.mkv"))]
    assert titles == ["Prologue", "OP", "Part A", "Ending", "Preview"]
    capsys.readouterr()
    command.main(["Show", "--write", "chapters"])
    assert "3 unchanged" in capsys.readouterr().out
    os.rename("data", "elsewhere")      # without the state, our own chapters are still no evidence
    command.main(["Show", "--output", "markers.json"])
    assert [marker.type for marker in read_json(Path("markers.json"))[0].markers] == ["opening", "ending"]
    shutil.rmtree("data")
    os.rename("elsewhere", "data")
    os.rename("Show/Show - 02.mkv", "Show/Show S01E02.mkv")      # the state knows that chapters are in it
    shutil.copy("Show/Show - 03.mp4", "Show/Show - 02.mkv")
    os.utime("Show/Show - 02.mkv", (OLD + 5, OLD + 5))
    capsys.readouterr()
    command.main(["Show"])
    assert "5 episodes: 4 with an opening" in capsys.readouterr().out
    command.main(["Show", "--undo"])
    assert "Show/Show S01E02.mkv:\n" in capsys.readouterr().out
    assert [chapter.title for chapter in read_chapters(Path("Show/Show - 01.mkv"))] == titles[:-1]


def test_what_lacks_sound_pictures_or_its_second_half_is_answered_and_what_is_no_video_is_told(
        library, monkeypatch, capsys):
    whole = real_episode(library / "Whole - 01.mkv", CHAPTERS, with_sound=True)
    Path("Odd/empty").mkdir(parents=True)
    Path("Odd/locked").mkdir()
    for name, stream in (("Silent", "v"), ("Blind", "a")):
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", whole, "-map", f"0:{stream}", "-c",
                        "copy", f"Odd/{name} - 01.mkv"], check=True)
    content = whole.read_bytes()
    Path("Odd/Half - 01.mkv").write_bytes(content[:len(content) // 2])
    Path("Odd/Noise - 01.mkv").write_bytes(content[:len(content) // 2] + random.Random(0).randbytes(len(content) // 2))
    Path("Odd/Text - 01.mkv").write_text("a text")
    Path("Odd/Nothing - 01.mkv").touch()
    for path in Path("Odd").glob("*.mkv"):
        os.utime(path, (OLD, OLD))
    listed = os.scandir

    def scandir(path):      # root may read every folder
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert command.main(["Odd", "--output", "odd.json"]) == 1
    told = capsys.readouterr().out
    assert "failed Odd/Text - 01.mkv: not a media file" in told and "failed Odd/Nothing - 01.mkv: not a media" in told
    assert "failed Odd/locked: the folder cannot be read" in told and "7 episodes: 4 with an opening" in told
    assert {Path(episode.path).name: [(marker.type, marker.start) for marker in episode.markers]
            for episode in read_json(Path("odd.json"))} == {
        f"{name} - 01.mkv": [("opening", 2.0), ("ending", 15.0)] for name in ("Blind", "Half", "Noise", "Silent")}
    with pytest.raises(UserError, match="no videos"):
        command.main(["Odd/empty"])
    command.main(["Odd", "--cost_of_story_second", "100000"])      # decided again, with what was seen before
    assert "0 with an opening, 0 with an ending, 4 not sure" in capsys.readouterr().out


def test_a_file_that_a_person_edited_is_left_unless_told_otherwise(library, capsys):
    command.main(["Show", "--write", "edl"])
    edited = Path("Show/Show - 01.edl")
    edited.write_text("1 6 0\n")
    command.main(["Show", "--write", "edl", "--correct", "Show/Show - 01.mkv", "opening", "2.5", "7"])
    assert edited.read_text() == "1 6 0\n"
    assert "left Show/Show - 01.mkv: Show/Show - 01.edl: made or changed by someone else" in capsys.readouterr().out
    command.main(["Show", "--write", "edl", "--replace"])
    assert edited.read_text().startswith("2.500\t7.000")
    command.main(["Show", "--undo"])
    assert edited.read_text() == "1 6 0\n"


def test_two_videos_that_want_the_same_file_do_not_overwrite_each_other(library, capsys):
    shutil.copy2("Show/Show - 02.mkv", "Show/Show - 01.mov")
    command.main(["Show", "--write", "edl"])
    assert "Show - 01.edl: would also be the file of" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "told"), [
    (["nowhere"], "no such file"), (["data"], "no videos"), (["Show", "--output", "a.txt"], ".json or .csv"),
    (["Show", "--write", "edl", "edl-jellyfin"], "both"), (["Show", "--undo", "--watch"], "--undo"),
    (["Show", "--correct", "a.mkv", "opening", "1", "2"], "no such"),
    (["Show", "--markers_folder", "m"], "--write edl"),
    (["Show", "--correct", "Show/Show - 01.mkv", "opening", "1"], "without an end"),
    (["Show", "--correct", "Show/Show - 01.mkv", "intro", "1", "2"], "expected one of opening"),
    (["Show", "--correct", "Show/Show - 01.mkv", "opening", "2", "1"], "expected an end"),
    (["Show", "--correct", "Show/Show - 01.mkv", "opening", "nan", "1"], "expected a number"),
    (["Show", "--correct", "other/Film.mkv", "opening", "0", "1"], "not among the episodes"),
    (["Show", "--correct", "Show"], "no file of markers"), (["Show", "--state", "Show/Show - 04.mkv"], "no state"),
    (["Show", "--watch", "--dry_run"], "--dry_run"), (["Show", "--watch"], "pip install watchfiles"),
    (["Show", "--output", "persons.json"], "made or changed by someone else"),
    (["Show", "--weights", "no.pth"], "no.pth"), (["Show", "--weights", "persons.json"], "no readable checkpoint"),
])
def test_what_a_user_does_wrong_is_told_and_changes_nothing(library, monkeypatch, words, told):
    (library / "data").mkdir()
    write_episode(library / "other/Film.mkv")
    (library / "persons.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    before = files(library / "Show")
    with pytest.raises(UserError, match=told):
        command.main(words)
    assert files(library / "Show") == before and (library / "persons.json").read_text() == "{}"


@pytest.mark.parametrize("text", ["README.md", "docs/locate.md", "locate.py"])
def test_every_command_line_that_is_shown_runs(library, text):
    os.rename("Show", "Anime")
    os.rename("Anime/Show - 01.mkv", "Anime/01.mkv")
    shown = (ROOT / text).read_text(encoding="utf-8")
    commands = [line for line in commands_of(shown) if "locate.py Anime" in line] or [
        line.strip() for line in shown.splitlines() if line.startswith("    python locate.py")]
    assert len(commands) >= 4
    for line in commands:
        words = shlex.split(line.partition("#")[0])[2:]
        if "chapters" not in words or "--dry_run" in words and shutil.which("mkvpropedit"):
            if "1301" in words:
                words[words.index("1301"):] = ["13", "17"]
            assert command.main(words) == (0 if "--undo" in words else 1), line      # 1: the file that is no video


# ---------------------------------------------------------------- disks and watches


def test_a_full_disk_is_told_leaves_nothing_half_written_and_is_no_episodes_fault(library, monkeypatch, capsys):
    with no_room_beyond(16), pytest.raises((UserError, OSError), match="Is its disk full"):
        command.main(["Show"])

    def write_half(path, text, **_):
        path.write_bytes(text.encode()[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", write_half)
        assert command.main(["Show", "--write", "edl"]) == 1
    assert capsys.readouterr().out.count("the disk (or its quota) is full") == 3
    assert not [name for name in os.listdir("Show") if not name.startswith("Show")]
    assert command.main(["Show", "--write", "edl"]) == 1      # the file that is no video
    assert len(list(Path("Show").glob("*.edl"))) == 3


class Watched:
    """Stands in for watchfiles: each step changes the library, and tells of the change as watchfiles does."""

    def __init__(self, *steps):
        self.steps = steps

    def watch(self, *folders, watch_filter, **_):
        yield set()
        for step in self.steps:
            changed = [(1, str(path)) for path in step() or ()]
            yield {change for change in changed if watch_filter(*change)}
        raise KeyboardInterrupt


def test_a_watch_looks_at_what_is_added_and_goes_on_after_an_error(library, monkeypatch, capsys):
    def add():
        new = Path(shutil.copy2("Show/Show - 02.mkv", "Show/Show - 05.mkv"))
        os.utime(new, (OLD + 70, OLD + 70))
        return [new]

    def write_beside():
        shutil.rmtree("data")      # another pass would look at all of them again, and tell of it
        Path("Show/Show - 01.nfo").write_text("a person's")
        return [Path("Show/Show - 01.nfo"), Path("Show/.hidden.mkv")]

    def take_away():
        os.rename("Show", "Away")
        return [Path("Show")]

    def bring_back():
        os.rename("Away", "Show")
        return [Path("Show")]

    monkeypatch.setitem(sys.modules, "watchfiles", Watched(add, write_beside, take_away, bring_back))
    with pytest.raises(KeyboardInterrupt):
        command.main(["Show", "--watch", "--output", "markers.json"])
    told, errors = capsys.readouterr()
    tables = [[line.split()[2] for line in table.splitlines() if line.startswith("Show/")]
              for table in told.split("episode ")[1:]]
    assert tables == [["01.mkv", "02.mkv", "03.mp4"], ["05.mkv"]]
    assert len(read_json(Path("markers.json"))) == 4
    assert "no such file or folder" in errors and "Watching goes on." in errors


# ---------------------------------------------------------------- corrections


def test_an_edited_file_of_markers_is_taken_in_and_only_what_was_changed_is_a_correction(library):
    command.main(["Show", "--output", "markers.json"])
    content = json.loads(Path("markers.json").read_text())
    content["episodes"][0]["markers"][0]["end"] = 7.5
    del content["episodes"][1]["markers"][1]
    Path("markers.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="made or changed"):
        command.main(["Show", "--output", "markers.json"])
    edited = Path("markers.json").read_bytes()
    command.main(["Show", "--output", "markers.json", "--replace"])
    assert Path("markers.json.before").read_bytes() == edited
    Path("markers.json").write_bytes(edited)
    shutil.rmtree("data")      # also where the state was lost
    command.main(["Show", "--output", "markers.json", "--correct", "markers.json"])
    with Library(Path("data/avtnet/locate.sqlite")) as state:
        assert {Path(path).name: {kind: len(markers) for kind, markers in corrections.items()}
                for path, corrections in state.corrections().items()} == {
            "Show - 01.mkv": {"opening": 1}, "Show - 02.mkv": {"ending": 0}}
    first, second, third = read_json(Path("markers.json"))
    assert (first.markers[0].end, first.markers[0].evidence, first.markers[0].confidence) == (7.5, ("person",), 1.0)
    assert [marker.type for marker in second.markers] == ["opening"]
    assert third.markers[0].end == 7.5      # one corrected episode teaches its season
    command.main(["Show", "--output", "markers.json", "--forget_corrections"])
    assert [episode.markers[0].end for episode in read_json(Path("markers.json"))] == [7.0, 8.0, 7.0]


def test_people_are_handed_to_the_decision_of_the_whole_season(tmp_path):
    paths = [write_episode(tmp_path / f"show/A - 0{number}.mkv", mtime=OLD + 9 * number) for number in (1, 2)]
    locate(tmp_path)
    lines(tmp_path / "decisions")
    with Library(tmp_path / "state.sqlite") as state:
        state.save_corrections(str(paths[0]), {"opening": (Marker("opening", 11.0, 100.5, evidence=("person",)),)})
    report = locate(tmp_path)
    assert json.loads(lines(tmp_path / "decisions")[0])[1] == [str(paths[0])]
    assert [(episode.markers[0].start, episode.markers[0].end) for episode in report.episodes] == [(11.0, 100.5)] * 2
    assert "sound" in report.episodes[1].markers[0].evidence


def test_a_correction_moves_only_the_same_song():
    opening = Marker("opening", 60.0, 150.0)
    answers = {"a": (opening,), "b": (Marker("opening", 0.2, 90.3), Marker("ending", 1300.0, 1390.0)),
               "c": (Marker("opening", 60.0, 120.0),)}
    moved = taught(answers, {"a": {"opening": (Marker("opening", 59.0, 150.5),)}})
    assert [(marker.start, round(marker.end, 3)) for marker in moved["b"]] == [(0.0, 90.8), (1300.0, 1390.0)]
    assert moved["c"] == answers["c"]
    known = {**answers, "b": (replace(answers["b"][0], evidence=("sound", "person")),)}      # by its theme
    assert taught(known, {"a": {"opening": (Marker("opening", 59.0, 150.5),)}})["b"] == known["b"]
    far = taught(answers, {"a": {"opening": (Marker("opening", 70.0, 160.0),)}})
    assert far == answers      # another scene was meant


def test_a_persons_markers_stand_whatever_else_was_found():
    found = (Marker("recap", 0.0, 30.0), Marker("opening", 60.0, 150.0), Marker("ending", 1300.0, 1390.0))
    person = Marker("opening", 20.0, 110.0)
    assert corrected(found, {"opening": (person,)}) == (person, found[2])
    assert corrected(found, {"recap": (), "ending": ()}) == (found[1],)
    assert [(m.start, m.end) for m in tidied([found[1], replace(found[0], end=70.0)], 140.0)] == [(0.0, 70.0),
                                                                                                 (70.0, 140.0)]


# ---------------------------------------------------------------- ends at any moment

RUN = """
import sys
from pathlib import Path
from datatools.errors import run_command
from datatools.stages import Pool
from episodes.command import end_on_sigterm
from episodes.placing import Places
from synth.episodes.plan import SHORT, plan_season
from synth.episodes.render import render_season
from tests.locate_helpers import locate
def main():
    end_on_sigterm()
    return len(locate(Path(sys.argv[1]), pool=Pool(workers=2), places=Places(("edl",))).failed)
if __name__ == "__main__":
    run_command(main)
"""


def begin(root: Path) -> subprocess.Popen:
    # Whoever runs the tests in the background may ignore SIGINT, and a child would inherit that.
    return subprocess.Popen([sys.executable, "-c", RUN, root], cwd=ROOT, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def check_kills(root: Path, kills: int, seed: int) -> None:
    """All is there after so many kills, and each cost at most what its two workers were looking at."""
    for number in range(12):
        write_episode(root / f"show/A - {number:02d} slow.mkv", mtime=OLD + 10 * number)
    rng = random.Random(seed)
    for _ in range(kills):
        run = begin(root)
        time.sleep(rng.uniform(0.5, 4.0))
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        for edl in root.glob("show/*.edl"):
            assert edl.read_text() == "10.000\t100.000\t3\n"
    assert begin(root).wait(60) == 0
    assert len(list(root.glob("show/*.edl"))) == 12 and not list(root.glob("show/.tmp-*"))
    assert len(lines(root / "looks")) <= 12 + 2 * kills
    assert len(locate(root).episodes) == 12 and not lines(root / "looks")


@pytest.mark.workers
def test_a_kill_loses_at_most_the_episodes_at_hand(tmp_path):
    check_kills(tmp_path, kills=2, seed=0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_thirty_kills_lose_at_most_the_episodes_at_hand(tmp_path, seed):
    check_kills(tmp_path, kills=10, seed=seed)


def check_command_kills(root: Path, kills: int, seed: int) -> None:
    """locate.py over the videos in `root/Anime`, killed at random moments: the same markers as of one whole run."""
    words = [sys.executable, ROOT / "locate.py", "Anime", "--write", "edl", "--output", "markers.json",
             "--workers", "2", "--cost_of_story_second", "0.5", "--state"]

    def begin_command(state: str) -> subprocess.Popen:
        return subprocess.Popen([*words, state], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                start_new_session=True)

    def written() -> dict[str, bytes]:
        found = {name: content for name, content in files(root).items() if name.endswith((".edl", ".json"))}
        return {name: content for name, content in found.items() if not Path(name).name.startswith(".")}

    started = time.monotonic()
    assert begin_command("whole.sqlite").wait() == 0
    longest, whole = time.monotonic() - started, written()
    assert len(whole) > 2 and any(read_json(root / "markers.json")[0].markers)

    def forget() -> None:
        for path in [*map(root.joinpath, whole), *(record_path(root / name) for name in whole)]:
            path.unlink(missing_ok=True)

    forget()
    rng, state = random.Random(seed), "killed.sqlite"
    for kill in range(kills):
        run = begin_command(state)
        time.sleep(rng.uniform(0.0, longest))
        if run.poll() == 0:      # it was done already: once more from the start
            assert written() == whole
            state = f"killed {kill}.sqlite"
            forget()
            continue
        (os.killpg if rng.random() < 0.5 else os.kill)(run.pid, signal.SIGKILL)      # without its workers, too
        run.wait()
        # Markers may be decided about before the last episode was looked at: not the same ones, but whole ones.
        assert all(read_edl(root / name) for name in written() if name.endswith(".edl"))
        assert not (root / "markers.json").exists() or read_json(root / "markers.json")
        if (root / state).exists():
            with contextlib.closing(sqlite3.connect(root / state)) as base:
                assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert begin_command(state).wait() == 0
    assert written() == whole
    assert not list(root.rglob(".tmp-*"))


@pytest.mark.soak
def test_a_command_killed_thirty_times_on_a_made_season_ends_with_the_same_markers(tmp_path):
    plan = plan_season(0, 0, "drawn", replace(SHORT, minutes=2.5, theme=30.0), cases=())
    assert render_season(plan, tmp_path / "Anime", HERE).exit_code == 0
    (tmp_path / "Anime/truth.json").unlink()
    check_command_kills(tmp_path, kills=30, seed=1)


@pytest.mark.workers
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_leaves_no_process_behind(tmp_path, number, code):
    write_episode(tmp_path / "show/A - 01 hung.mkv")
    run = begin(tmp_path)
    while not (tmp_path / "looks").exists():
        time.sleep(0.05)
    os.kill(run.pid, number)
    assert run.wait(30) == code
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    raise AssertionError("its workers go on")
