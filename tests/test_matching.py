"""Training, test and answers of ActionCLIP by its entry script: classes by their names, of the training and others."""

from pathlib import Path

import pytest
from recognition_helpers import make_videos, matching_flags, train_matching

from utils import recognition
from utils.run_folder import read_records

PLAIN = ("--no-flip", "--no-multi_scale", "--jitter", 0, "--grey", 0)      # clips that are not varied


@pytest.fixture(autouse=True)
def no_pictures_here(monkeypatch):
    """Pictures cost more than these trainings."""
    monkeypatch.setattr(recognition, "draw", lambda *_: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Lists with names as labels, without classes.txt. Only read."""
    return make_videos(tmp_path_factory.mktemp("data") / "named", named=True)


def lists_of(root: Path, lines: list[str], *splits: str) -> Path:
    """A folder with lists of these lines."""
    root.mkdir(exist_ok=True)
    for split in splits:
        (root / f"{split}.csv").write_text("".join(f"{line}\n" for line in lines))
    return root


# ---------------------------------------------------------------- training


def test_a_training_learns_four_videos_by_heart(data, tmp_path):
    root = lists_of(tmp_path / "four", (data / "train.csv").read_text().splitlines()[:4], "train", "val")
    assert train_matching(matching_flags(root, tmp_path / "run", "--lr", 0.003, "--max_epoch", 12, *PLAIN)) == 0
    records = read_records(tmp_path / "run")
    assert records[-1]["val_top1"] == 100 and records[-1]["val_loss"] < records[0]["val_loss"] / 3
