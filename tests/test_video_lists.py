"""Lists `path label`: what they may hold, what is refused, and how they are made from what data sets ship."""

import subprocess
import sys
from pathlib import Path

import pytest

from datatools.errors import UserError
from datatools.video_frames import FIRST_FRAME
from datatools.video_lists import make_lists, read_video_lists

ROOT = Path(__file__).resolve().parents[1]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, **options):
    return read_video_lists({"train": path}, **{"check": False} | options)["train"]


@pytest.mark.parametrize("line, video, label", [
    ("a.mp4 3", "a.mp4", 3), ("a b c.mp4 3", "a b c.mp4", 3), ("a,b.mp4,3", "a,b.mp4", 3), ("a.mp4, 3", "a.mp4", 3),
    ("a.mp4\t3  ", "a.mp4", 3), ("  a.mp4 3", "a.mp4", 3), ("番組 第1話,完.mkv 3", "番組 第1話,完.mkv", 3),
    ('"a b.mp4" 3', "a b.mp4", 3), ('" a ""b"".mp4",3', ' a "b".mp4', 3), ("a 7 3", "a 7", 3), ("a.mp4 +3", "a.mp4", 3),
])
def test_the_label_is_what_follows_the_last_separator(tmp_path, line, video, label):
    found = read(written(tmp_path / "train.csv", f"\ufeff{line}\r\n\r\n  \r\nlast.mp4 0\r\n"))
    assert found.paths == [video, "last.mp4"]
    assert found.labels.tolist() == [label, 0]
    assert found.lines == [1, 4]
    assert len(found.classes) == 4


def test_names_of_classes_are_sorted_over_all_lists_or_taken_from_a_file(tmp_path):
    files = {"train": written(tmp_path / "train.csv", 'a.mp4 run\nb.mp4 "brush hair"\n'),
             "val": written(tmp_path / "val.csv", "c.mp4 jump\n")}
    lists = read_video_lists(files, check=False)
    assert lists["train"].classes == lists["val"].classes == ("brush hair", "jump", "run")
    assert lists["train"].labels.tolist() == [2, 0]
    names = written(tmp_path / "classes.txt", "run\njump\nbrush hair\nwalk\n")
    lists = read_video_lists(files, names, check=False)
    assert lists["train"].labels.tolist() == [0, 2] and len(lists["val"].classes) == 4
    with pytest.raises(UserError, match="(?s)line 1: .*jump.*expected one of 2 names"):
        read_video_lists({"val": files["val"]}, written(names, "run\nwalk\n"), check=False)


def test_all_bad_lines_are_told_at_once(tmp_path):
    path = written(tmp_path / "train.csv", "a.mp4 1\nlonely.mp4\n 1\na.mp4 0\nb\x00.mp4 1\n" + "x" * 9000 + " 1\n")
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert "5 bad lines" in message and "line 1:" not in message
    assert all(f"line {number}:" in message for number in (2, 3, 4, 5, 6))
    assert "each video once, and line 1 has it too" in message


@pytest.mark.parametrize("content, message", [
    ("", "no video in it"), ("a.mp4 -1\n", "expected a number from 0"), ("a.mp4 999999999999\nb.mp4 0\n", "line 1"),
    (b"\xff\xfea\x00", "not UTF-8"),
])
def test_no_label_out_of_range_and_no_empty_list(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read(written(tmp_path / "train.csv", content))


def test_labels_of_more_classes_than_names_are_refused(tmp_path):
    names = written(tmp_path / "classes.txt", "run\njump\n")
    with pytest.raises(UserError, match="line 2: found 'b.mp4 2', expected a number from 0 to 1"):
        read(written(tmp_path / "train.csv", "a.mp4 1\nb.mp4 2\n"), names=names)


def test_a_missing_video_is_named_and_paths_start_at_the_working_directory(tmp_path, monkeypatch):
    touch(tmp_path / "v/a.mp4")
    path = written(tmp_path / "lists/train.csv", "v/a.mp4 0\nv/b.mp4 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="(?s)line 2: no such file, v/b.mp4") as caught:
        read(path, check=True)
    assert "v/a.mp4" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_folder_of_class_folders_is_divided_by_its_seed(tmp_path):
    touch(*(tmp_path / f"v/{name}/clip {i}.mp4" for name in ("run", "jump") for i in range(10)),
          tmp_path / "v/run/notes.txt", tmp_path / "v/jump" / "framed" / FIRST_FRAME)
    for seed, folder in ((0, "a"), (0, "b"), (1, "c")):
        make_lists("folders", tmp_path / "v", tmp_path / folder, val=0.2, test=0.1, seed=seed)
    texts = [(tmp_path / folder / "train.csv").read_text() for folder in "abc"]
    assert texts[0] == texts[1] != texts[2]
    lists = read_video_lists({split: tmp_path / f"a/{split}.csv" for split in ("train", "val", "test")},
                             tmp_path / "a/classes.txt")
    assert lists["train"].classes == ("jump", "run")
    assert [len(part) for part in lists.values()] == [15, 4, 2]
    assert len({path for part in lists.values() for path in part.paths}) == 21
    assert all(Path(path).parent.name == part.classes[label]
               for part in lists.values() for path, label in zip(part.paths, part.labels, strict=True))


def test_shots_are_drawn_by_class_and_seed_from_the_training_list_alone(tmp_path):
    videos = tmp_path / "v"
    train = [f"{name} {i}.mp4 {name}\n" for i in range(8) for name in ("jump", "run")] + ["one.mp4 walk\n"]
    touch(*(videos / line.rsplit(" ", 1)[0] for line in train), videos / "val.mp4")
    lists = {"train": written(tmp_path / "t.txt", "".join(train)), "val": None, "test": None, "names": None}

    def drawn(shots, seed):
        told = make_lists("text", videos, tmp_path / f"{shots}-{seed}", shots=shots, seed=seed, **lists)
        found = read_video_lists({"train": tmp_path / f"{shots}-{seed}/train.csv"})["train"]
        return found, [line for line in told if "fewer" in line]

    (two, short), (same, _), (other, _), (four, _) = drawn(2, 0), drawn(2, 0), drawn(2, 1), drawn(4, 0)
    assert [two.labels.tolist().count(label) for label in range(3)] == [2, 2, 1]
    assert short == ["walk: 1 training videos, fewer than 2 shots"]
    assert two.paths == same.paths != other.paths and set(two.paths) < set(four.paths)
    assert [path for path in (str(videos / line.rsplit(" ", 1)[0]) for line in train) if path in two.paths] == two.paths
    lists["val"] = written(tmp_path / "val.txt", "val.mp4 run\njump 1.mp4 jump\nrun 1.mp4 run\n")
    drawn(1, 0)
    assert len((tmp_path / "1-0/val.csv").read_text().splitlines()) == 3
    lists["train"] = None
    with pytest.raises(UserError, match="--shots draws from a list for training"):
        drawn(3, 0)


def test_shots_are_drawn_among_the_videos_that_are_there(tmp_path):
    touch(*(tmp_path / f"{i}.mp4" for i in (1, 4)))
    train = written(tmp_path / "t.txt", "".join(f"{i}.mp4 run\n" for i in range(6)))
    told = make_lists("text", tmp_path, tmp_path / "out", skip_missing=True, shots=2, train=train, val=None, test=None,
                      names=None)
    assert (tmp_path / "out/train.csv").read_text() == f"{tmp_path}/1.mp4 0\n{tmp_path}/4.mp4 0\n"
    assert any("4 missing" in line for line in told) and not any("fewer" in line for line in told)


def test_the_lists_of_kinetics(tmp_path):
    head = "label,youtube_id,time_start,time_end,split\n"
    train = written(tmp_path / "train.csv", head + '"playing ""air"" guitar",-a_1,3,13,train\nclay,bb,0,10,train\n')
    val = written(tmp_path / "validate.csv", head + "clay,cc,100,110,validate\nclay,gone,1,11,validate\n")
    touch(tmp_path / "v/x/-a_1_000003_000013.mp4", tmp_path / "v/bb.mkv", tmp_path / "v/val/cc_000100_000110.mp4")
    with pytest.raises(UserError, match="(?s)val: videos are missing.*validate.csv:3: .*gone_000001_000011.mp4"):
        make_lists("kinetics", tmp_path / "v", tmp_path / "lists", lists=[train, val])
    assert not (tmp_path / "lists").exists()
    told = make_lists("kinetics", tmp_path / "v", tmp_path / "lists", skip_missing=True, lists=[train, val])
    assert any("gone" in line for line in told) and any("1 missing" in line for line in told)
    assert (tmp_path / "lists/train.csv").read_text() == (
        f"{tmp_path}/v/x/-a_1_000003_000013.mp4 1\n{tmp_path}/v/bb.mkv 0\n")
    assert (tmp_path / "lists/classes.txt").read_text() == 'clay\nplaying "air" guitar\n'
    with pytest.raises(UserError, match="header label,youtube_id"):
        make_lists("kinetics", tmp_path / "v", tmp_path / "lists", lists=[written(train, "a.mp4 1\n")])
    written(train, head + "clay,bb,0,10,train\nclay,bb,x,10,train\nclay\n")
    with pytest.raises(UserError, match="(?s)2 bad lines.*line 3.*line 4"):
        make_lists("kinetics", tmp_path / "v", tmp_path / "lists", lists=[train])


def test_the_lists_of_ucf101(tmp_path):
    lists, videos = tmp_path / "lists", tmp_path / "v"
    written(lists / "classInd.txt", "1 Archery\r\n2 Biking\r\n")
    written(lists / "trainlist02.txt", "Archery/v_a.avi 1\r\nBiking/v_b.avi 2\r\n")
    written(lists / "testlist02.txt", "Biking/v_c.avi\n")
    touch(videos / "Archery/v_a.avi", videos / "Biking/v_b" / FIRST_FRAME, videos / "Biking/v_c.avi")
    make_lists("ucf101", videos, tmp_path / "out", lists=lists, split=2)
    assert (tmp_path / "out/train.csv").read_text() == f"{videos}/Archery/v_a.avi 0\n{videos}/Biking/v_b 1\n"
    assert (tmp_path / "out/val.csv").read_text() == (tmp_path / "out/test.csv").read_text() == (
        f"{videos}/Biking/v_c.avi 1\n")
    written(lists / "trainlist02.txt", "Archery/v_a.avi 2\nRunning/v_b.avi 3\n")
    with pytest.raises(UserError, match="(?s)2 bad lines.*line 1.*line 2"):
        make_lists("ucf101", videos, tmp_path / "out", lists=lists, split=2)


def test_the_lists_of_hmdb51(tmp_path):
    lists, videos = tmp_path / "lists", tmp_path / "v"
    written(lists / "brush_hair_test_split1.txt", "a b.avi 1 \nc.avi 2 \nd.avi 0 \n")
    written(lists / "walk_test_split1.txt", "e.avi 1 \n")
    touch(videos / "brush_hair/a b.avi", videos / "brush_hair/c.avi", videos / "walk/e.avi")
    make_lists("hmdb51", videos, tmp_path / "out", lists=lists, split=1)
    assert (tmp_path / "out/train.csv").read_text() == f"{videos}/brush_hair/a b.avi 0\n{videos}/walk/e.avi 1\n"
    assert (tmp_path / "out/test.csv").read_text() == f"{videos}/brush_hair/c.avi 0\n"


def test_one_command_turns_text_lists_into_csv_and_spares_what_exists(tmp_path):
    touch(tmp_path / "v/a b.mp4", tmp_path / "v/c.mp4", tmp_path / "v/d, 1")
    written(tmp_path / "train.txt", "a b.mp4 run\n\"d, 1\" jump\n")
    written(tmp_path / "val.txt", "c.mp4 run\n")
    command = [sys.executable, ROOT / "tools/make_lists.py", "text", "--train", "train.txt", "--val", "val.txt",
               "--videos", "v", "--save_root", "."]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "train.csv").read_text() == "v/a b.mp4 1\nv/d, 1 0\n"
    assert (tmp_path / "classes.txt").read_text() == "jump\nrun\n"
    written(tmp_path / "train.csv", "mine")
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2 and "train.csv: is there already" in result.stderr
    assert (tmp_path / "train.csv").read_text() == "mine"
