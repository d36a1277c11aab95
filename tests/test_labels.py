"""Label files and splits, against lists worked out by hand."""

import pytest

from datatools.clips import labelled_clips
from datatools.errors import UserError
from datatools.labels import Label, read_labels, split_labels


def test_text_labels_are_read_with_their_line_numbers(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a_start 12.5\n\nb_end.mp4 100\n", encoding="utf-8")
    assert [(x.name, x.seconds, x.line) for x in read_labels(path)] == [("a_start", 12.5, 1), ("b_end", 100.0, 3)]


def test_csv_labels_are_read_by_their_header(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("seconds,name,comment\n12.5,a_start,\"x, y\"\n", encoding="utf-8")
    assert [(x.name, x.seconds) for x in read_labels(path)] == [("a_start", 12.5)]


def test_every_bad_line_is_named_at_once(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a_start,12.5\nb_end 3\nc_end nan\nd_end -1\ne_end\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_labels(path)
    text = str(caught.value)
    assert "4 bad lines" in text
    assert all(f"line {n}:" in text for n in (1, 3, 4, 5)) and "line 2:" not in text
    assert "named .csv" in text


@pytest.mark.parametrize("content, expected", [(b"", "no labels"), (b"\xff\xfe\x00a", "not UTF-8"),
                                               (b"name,time\n", "header")])
def test_files_that_are_no_label_lists_are_refused(tmp_path, content, expected):
    path = tmp_path / ("labels.csv" if expected == "header" else "labels.txt")
    path.write_bytes(content)
    with pytest.raises(UserError, match=expected):
        read_labels(path)


@pytest.mark.parametrize("seed, val", [(0, [0, 7]), (2, [2, 9]), (6, [6, 3]), (9, [2, 9])])
def test_split_rotates_left_and_takes_every_seventh(tmp_path, seed, val):
    # Ten labels 0..9. Rotated left by 6 the list is 6 7 8 9 0 1 2 3 4 5: places 0 and 7 hold 6 and 3.
    labels = [Label(str(i), 1.0, tmp_path, i) for i in range(10)]
    train_part, val_part = split_labels(labels, seed)
    assert [int(x.name) for x in val_part] == val
    assert sorted(int(x.name) for x in train_part) == sorted(set(range(10)) - set(val))


def test_all_that_does_not_fit_is_told_at_once(processed):
    path = processed / "data_A/train/必选数据.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[0] = "clip0000_start 250"         # beyond the clip
    lines[1] = lines[2]                     # clip0002 twice, clip0001 not at all
    lines.append("ghost_end 10")            # no such clip
    path.write_text("\n".join(lines), encoding="utf-8")
    (processed / "data_A/train/clip0004_start_mfcc.npy").unlink()
    (processed / "ROIs/clip0005_end.npy").write_bytes(b"cut")
    with pytest.raises(UserError) as caught:
        labelled_clips(processed, ["data_A/train"], ["data_A/train/必选数据.txt"], 0, ("mfcc", "text_roi"))
    text = str(caught.value)
    # The label of 250 s is beyond the 200 s of any clip, and beyond the sound of this one.
    assert "7 problems" in text
    assert "clip0004_start_mfcc.npy: missing" in text and "clip0005_end.npy: no readable .npy" in text
    assert "必选数据.txt:1: clip0000_start is labelled 250 s" in text
    assert "clip0002_start: labelled 2 times, 必选数据.txt:2, 必选数据.txt:3" in text
    assert "data_A/train/clip0001_end: no label" in text
    assert "必选数据.txt:8: ghost_end has a label, but no such clip" in text
