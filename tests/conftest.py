"""A small processed data set and small networks, made once a run."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datatools import stages

os.environ.setdefault("OMP_NUM_THREADS", "1")   # the networks of the tests are too small for more

TINY = {
    "hidden": 8, "frame_channels": (4, 8), "text_channels": (4, 8), "audio_channels": (16, 16, 16, 16),
    "frame_dropout": 0.0,
}


def write_clip(root: Path, folder: str, name: str, rng: np.random.Generator, seconds: float = 200.0) -> None:
    """Features of one clip with random content, in the processed layout."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "ROIs").mkdir(exist_ok=True)
    steps = 1 + int(seconds * 22_050) // 512
    np.save(root / folder / f"{name}_mfcc.npy", rng.standard_normal((20, steps)).astype(np.float32))
    np.save(root / folder / f"{name}_frames.npy", rng.integers(0, 256, (200, 66, 88, 3), dtype=np.uint8))
    np.save(root / "ROIs" / f"{name}.npy", (rng.random((200, 27, 36)) < 0.1).astype(np.uint8))


def make_processed(root: Path, train: int = 7, test: int = 2) -> Path:
    """`train` labelled clips in data_A/train, `test` clips in data_C."""
    rng = np.random.default_rng(7)
    lines = []
    for i in range(train):
        name = f"clip{i:04d}_{'start' if i % 2 == 0 else 'end'}"
        write_clip(root, "data_A/train", name, rng)
        lines.append(f"{name} {20 + 10 * i + 0.25}\n")
    (root / "data_A/train/必选数据.txt").write_text("".join(lines), encoding="utf-8")
    for i in range(test):
        write_clip(root, "data_C", f"test{i:04d}_{'start' if i % 2 == 0 else 'end'}", rng)
    return root


@pytest.fixture
def processed(tmp_path) -> Path:
    """An own copy for tests that change it: 7 labelled clips, 2 test clips."""
    return make_processed(tmp_path / "processed")


@pytest.fixture(scope="session")
def shared_processed(tmp_path_factory) -> Path:
    """One for all tests that only read it."""
    return make_processed(tmp_path_factory.mktemp("shared") / "processed", train=14, test=3)


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory) -> Path:
    """A preset that trains in a second a network: small, and without its GRUs, whose steps take most of the time."""
    path = tmp_path_factory.mktemp("preset") / "tiny.yaml"
    path.write_text(
        "pretrained: none\ngpus: cpu\nmax_epoch: 2\nbatch_size: 4\nnum_workers: 0\n"
        "train_folders: [data_A/train]\nlabel_files: [data_A/train/必选数据.txt]\n"
        "network:\n  hidden: 8\n  frame_channels: [4, 8]\n  text_channels: [4, 8]\n"
        "  audio_channels: [16, 16, 16, 16]\n  recurrent: false\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(autouse=True)
def items_here(request, monkeypatch):
    """Items are worked on in the test's own process, which saves a second each; `workers` tests ask for real ones."""
    if "workers" not in request.keywords:
        results = stages._results
        monkeypatch.setattr(stages, "_results", lambda function, jobs, pool: results(
            function, jobs, replace(pool, here=pool.here or pool.workers == 1)))


@pytest.fixture(scope="module")
def no_pictures():
    """Pictures of a training cost more than a training of a second; one test of test_engine.py looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.boundary.draw", lambda *_: None)
        yield
