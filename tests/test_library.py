"""The state of a library: what it knows of files, and that processes do not disturb each other."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from datatools.errors import UserError
from datatools.stages import Pool
from episodes import library as library_module
from episodes.library import Library, LibraryNotes
from episodes.placing import Places
from episodes.scan import find_file, groups_of
from episodes.seasons import read_name
from episodes.ways import Facts
from tests.locate_helpers import OLD, WAYS, lines, locate, look, write_episode

ROOT = Path(__file__).resolve().parents[1]


def show(root: Path, *names: str, content: dict | None = None) -> list[Path]:
    """Episodes whose times differ, so that none is taken for another's copy."""
    return [write_episode(root / "show" / name, content, OLD + 100 * index) for index, name in enumerate(names)]


# ---------------------------------------------------------------- what is looked at, and when


def test_a_second_pass_looks_at_nothing_and_decides_nothing(tmp_path):
    show(tmp_path, "A - 01.mkv", "A - 02.mkv")
    first = locate(tmp_path)
    assert sorted(lines(tmp_path / "looks")) == ["A - 01.mkv", "A - 02.mkv"]
    assert len(lines(tmp_path / "decisions")) == 1
    second = locate(tmp_path)
    assert not lines(tmp_path / "looks") and not lines(tmp_path / "decisions")
    assert second.episodes == first.episodes and (first.looked, second.looked) == (2, 0)


def test_a_new_episode_is_decided_with_what_is_stored_of_the_others(tmp_path):
    show(tmp_path, "A - 01.mkv", "A - 02.mkv")
    locate(tmp_path)
    lines(tmp_path / "looks"), lines(tmp_path / "decisions")
    new = write_episode(tmp_path / "show/A - 03.mkv", {"opening": [20.0, 110.0]})
    report = locate(tmp_path, folder="show/A - 03.mkv")
    assert lines(tmp_path / "looks") == ["A - 03.mkv"]
    assert lines(tmp_path / "decisions") == ['[["A - 01.mkv", "A - 02.mkv", "A - 03.mkv"], []]']
    assert [episode.path for episode in report.episodes] == [str(new)]


def test_notes_about_a_file_are_kept_until_it_changes(tmp_path):
    first, second = show(tmp_path, "A - 01.mkv", "A - 02.mkv")
    locate(tmp_path)
    os.utime(first, (OLD + 7, OLD + 7))
    locate(tmp_path)
    with Library(tmp_path / "state.sqlite") as library:
        notes = LibraryNotes(library)
        assert dict(notes) == {(str(first), "decided"): b"1", (str(second), "decided"): b"2"}
        del notes[str(first), "decided"]
        assert list(notes) == [(str(second), "decided")] and (str(first), "decided") not in notes


@pytest.mark.parametrize("change", ["content", "time", "way"])
def test_what_changes_is_looked_at_again(tmp_path, change):
    path, _ = show(tmp_path, "A - 01.mkv", "A - 02.mkv")
    locate(tmp_path)
    lines(tmp_path / "looks")
    ways = WAYS
    if change == "content":
        write_episode(path, {"opening": [30.0, 120.0], "ending": [1300.0, 1390.0]}, OLD)
    elif change == "time":
        os.utime(path, (OLD + 7, OLD + 7))
    else:
        ways = type(WAYS)("test 2", look, WAYS.rule, WAYS.decide)
    report = locate(tmp_path, ways=ways)
    assert lines(tmp_path / "looks") == ["A - 01.mkv", "A - 02.mkv"][:2 if change == "way" else 1]
    assert len(report.episodes[0].markers) == (2 if change == "content" else 1)


def test_a_moved_file_is_known_again_with_its_corrections(tmp_path):
    path, _ = show(tmp_path, "A - 01.mkv", "A - 02.mkv")
    locate(tmp_path)
    lines(tmp_path / "looks")
    with Library(tmp_path / "state.sqlite") as library:
        library.save_corrections(str(path), {"opening": ()})
    (tmp_path / "show/Season 1").mkdir()
    moved = shutil.move(path, tmp_path / "show/Season 1/A - 01 v2.mkv")
    report = locate(tmp_path)
    assert not lines(tmp_path / "looks")
    assert [(episode.path, len(episode.markers)) for episode in report.episodes] == [
        (str(tmp_path / "show/A - 02.mkv"), 1), (str(moved), 0)]


def test_a_copy_is_known_but_a_file_that_only_has_the_size_is_not(tmp_path):
    path, = show(tmp_path, "A - 01.mkv")
    locate(tmp_path)
    lines(tmp_path / "looks")
    shutil.copy2(path, tmp_path / "show/A - 02.mkv")
    write_episode(tmp_path / "show/A - 03.mkv", {"opening": [11.0, 100.0]})
    assert os.path.getsize(tmp_path / "show/A - 03.mkv") == os.path.getsize(path)
    report = locate(tmp_path)
    assert lines(tmp_path / "looks") == ["A - 03.mkv"]
    assert [episode.markers[0].start for episode in report.episodes] == [10.0, 10.0, 11.0]


def test_a_bad_file_fails_alone_and_is_tried_again_only_when_it_changes_or_when_asked(tmp_path):
    _, bad = show(tmp_path, "A - 01.mkv", "A - 02 broken.mkv")
    for retry, looks in ((False, 2), (False, 0), (True, 1)):
        report = locate(tmp_path, retry_failed=retry)
        assert len(lines(tmp_path / "looks")) == looks
        assert len(report.episodes) == 1
        (name, reason), = report.failed
        assert name == str(bad) and reason.startswith("broken. Copy it again.")
    os.utime(bad, (OLD + 9, OLD + 9))
    locate(tmp_path)
    assert lines(tmp_path / "looks") == ["A - 02 broken.mkv"]


@pytest.mark.workers
def test_a_hung_and_a_killed_worker_end_their_episode_alone(tmp_path):
    show(tmp_path, "A - 01.mkv", "A - 02 killed.mkv", "A - 03 hung.mkv", "A - 04.mkv")
    report = locate(tmp_path, pool=Pool(workers=2, time_limit=10))
    assert [Path(episode.path).name for episode in report.episodes] == ["A - 01.mkv", "A - 04.mkv"]
    told = {Path(name).name: reason for name, reason in report.failed}
    assert "was killed" in told["A - 02 killed.mkv"] and "longer than 10 s" in told["A - 03 hung.mkv"]
    lines(tmp_path / "looks")
    assert len(locate(tmp_path).failed) == 2 and not lines(tmp_path / "looks")


def test_a_file_that_is_still_copied_is_left_until_it_is_quiet(tmp_path, monkeypatch):
    quiet, growing = show(tmp_path, "A - 01.mkv", "A - 02.mkv")
    for path in (quiet, growing):
        os.utime(path)

    def grow(seconds):
        with open(growing, "a") as file:
            file.write(" ")

    monkeypatch.setattr("episodes.scan.time.sleep", grow)
    report = locate(tmp_path)
    assert lines(tmp_path / "looks") == ["A - 01.mkv"]
    assert report.left == [(str(growing), "is still being written; it is left until it is quiet. Run this again then.")]
    assert not report.failed
    os.utime(growing, (OLD, OLD))
    assert len(locate(tmp_path).episodes) == 2


def test_a_file_that_changes_or_vanishes_while_it_is_looked_at_is_no_failure(tmp_path, monkeypatch):
    changing, vanishing = show(tmp_path, "A - 01.mkv", "A - 02.mkv")

    def disturbed(path: Path) -> Facts:
        if path == vanishing:
            path.unlink()
        facts = look(path)
        write_episode(path, {"opening": [5.0, 95.0]}, OLD + 50)
        return facts

    report = locate(tmp_path, ways=type(WAYS)("test 1", disturbed, "test 1", WAYS.decide))
    assert [name for name, _ in report.left] == [str(changing)] and not report.failed and not report.episodes
    assert locate(tmp_path).episodes[0].markers[0].start == 5.0


def test_a_file_that_vanishes_while_its_show_is_decided_about_has_no_part_in_the_answer(tmp_path):
    staying, vanishing = show(tmp_path, "A - 01.mkv", "A - 02.mkv")

    def disturbed(episodes, persons, notes) -> dict:
        if vanishing.exists():
            vanishing.unlink()
            notes[str(vanishing), "what could not be read"] = b""
        return WAYS.decide(episodes, persons, notes)

    report = locate(tmp_path, ways=replace(WAYS, decide=disturbed), places=Places(("edl",)))
    assert lines(tmp_path / "decisions") == ['[["A - 01.mkv", "A - 02.mkv"], []]', '[["A - 01.mkv"], []]']
    assert [episode.path for episode in report.episodes] == [str(staying)] and not report.failed
    assert [path.name for path in (tmp_path / "show").glob("*.edl")] == ["A - 01.edl"]
    with Library(tmp_path / "state.sqlite") as library:
        assert {path for path, _ in LibraryNotes(library)} == {str(staying)}


# ---------------------------------------------------------------- which files belong together


def groups(*names: str):
    found, silent = groups_of([f"/library/{name}" for name in names], read_name)
    return {tuple(Path(member.path).name for member in group.members): [Path(path).name for path in group.keeps]
            for group in found}, [Path(path).name for path in silent]


def test_seasons_of_a_show_are_decided_together_and_a_movie_alone():
    names = ["Show/Season 1/Show S01E01.mkv", "Show/Season 2/Show S02E01.mkv", "Show/Show Movie.mkv",
             "Show/Show NCOP.mkv", "Zeta/Zeta - 01.mkv"]
    found, silent = groups(*names)
    assert set(found) == {("Show S01E01.mkv", "Show S02E01.mkv"), ("Show Movie.mkv",), ("Zeta - 01.mkv",)}
    assert silent == ["Show NCOP.mkv"]


def test_two_versions_of_an_episode_are_never_compared_with_each_other():
    found, _ = groups("A/A - 01.mkv", "A/A - 02.mkv", "A/A - 02v2.mkv", "A/A - 01-02.mkv")
    assert found == {("A - 01.mkv", "A - 02v2.mkv"): ["A - 01.mkv", "A - 02v2.mkv"],
                     ("A - 02.mkv", "A - 01.mkv"): ["A - 02.mkv"], ("A - 01-02.mkv",): ["A - 01-02.mkv"]}


# ---------------------------------------------------------------- the file of the state


@pytest.mark.parametrize(("content", "told"), [
    (b"no data base, but some text of a person" * 9, "no state of locate.py"), ("CREATE TABLE a (b)", "format 0")])
def test_a_file_that_is_no_state_is_refused_and_left_as_it_is(tmp_path, content, told):
    path = tmp_path / "state.sqlite"
    if isinstance(content, str):
        subprocess.run([sys.executable, "-c", "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); "
                        "base.execute(sys.argv[2]); base.commit()", path, content], check=True)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(UserError, match=told):
        Library(path)
    assert path.read_bytes() == before


def test_a_full_disk_is_told_and_what_was_stored_stays(tmp_path):
    path, = show(tmp_path, "A - 01.mkv")
    locate(tmp_path)
    with Library(tmp_path / "state.sqlite") as library:
        pages = library._read("PRAGMA page_count")[0][0]
        library._read(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match="No space left"):
            library.save_facts(find_file(path, path.parent), "test 1", Facts(1.0, bytes(2**20)), "sample")
        assert library.facts(1) == b'{"opening": [10.0, 100.0]}'


def test_the_log_beside_the_state_is_left_out_on_other_machines_file_systems(tmp_path, monkeypatch):
    monkeypatch.setattr(library_module, "is_remote", lambda path: True)
    with Library(tmp_path / "a.sqlite") as library:
        assert library._read("PRAGMA journal_mode") == [("delete",)]
    monkeypatch.setattr(library_module, "is_remote", lambda path: False)
    with Library(tmp_path / "b.sqlite") as library:
        assert library._read("PRAGMA journal_mode") == [("wal",)]


PASS = """
import sys
from pathlib import Path
from tests.locate_helpers import locate
if __name__ == "__main__":
    print(len(locate(Path(sys.argv[1])).episodes))
"""


def test_two_runs_at_once_look_at_each_file_once(tmp_path):
    show(tmp_path, *(f"A - {number:02d} slow.mkv" for number in range(1, 9)))
    runs = [subprocess.Popen([sys.executable, "-c", PASS, tmp_path], cwd=ROOT, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    told = [run.communicate(timeout=120)[0].splitlines()[-1] for run in runs]
    assert told == ["8", "8"]
    looks = lines(tmp_path / "looks")
    assert len(looks) == len(set(looks)) == 8


def test_places_name_the_same_file_once(tmp_path):
    found = [find_file(path, path.parent) for path in show(tmp_path, "A - 01.mkv", "A - 01.mp4")]
    places = Places(("edl",))
    assert places.check(found) == {str(tmp_path / "show/A - 01.edl"): found[0].path}
