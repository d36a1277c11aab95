"""`--weights default`: found where `make weights` put them, or fetched once from a release with its SHA-256."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_accuracy_folder import SMALL

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import avt_dist_main
from benchmarks.accuracy import weights as making
from benchmarks.accuracy.clips import Sizes
from datatools.errors import UserError
from datatools.submission import read_answers
from models.avt_dist import AVTDist
from utils import default_weights
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.predict import Predictor

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Where the default weights lie; empty."""
    monkeypatch.setattr(default_weights, "FOLDER", tmp_path / "weights")
    monkeypatch.delenv(default_weights.VARIABLE, raising=False)
    return tmp_path / "weights"


@pytest.fixture
def trained(tmp_path) -> Path:
    """A checkpoint with all that a training keeps."""
    torch.manual_seed(0)
    net = AVTDist(**SMALL)
    path = tmp_path / "avnet_last.pth"
    save_checkpoint(path, {"network": "AVTDist", "sizes": SMALL, "text_detector": "rapidocr", "epoch": 3,
                           "trained": net.state_dict(), "optimizer": {"state": {}}, "model": net.state_dict()})
    return path


def release(path: Path, digest: str | None = None) -> str:
    return f"{path.as_uri()}#sha256={digest or hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_without_a_file_and_a_release_the_message_tells_both_ways_to_get_one(home, monkeypatch, shared_processed):
    with pytest.raises(UserError, match="(?s)avt_dist.pth, and no release is known. Run `make weights`.*AVTNET"):
        avt_dist_main.main(["--data_root", str(shared_processed), "--weights", "default", "--output", "x.csv"])
    monkeypatch.setenv(default_weights.VARIABLE, "https://example.org/avt_dist.pth")
    with pytest.raises(UserError, match="AVTNET_WEIGHTS: found .*expected .*#sha256=<64 hexadecimal digits>"):
        default_weights.default_weights()


def test_weights_that_were_made_answer_for_the_word_default(home, trained, tmp_path, shared_processed):
    home.mkdir()
    making.ship(trained, home / default_weights.FILE)
    output = tmp_path / "answers.csv"
    assert avt_dist_main.main(["--data_root", str(shared_processed), "--weights", "default", "--output", str(output),
                               "--gpus", "cpu", "--num_workers", "0"]) == 0
    assert len(read_answers(output)) == 3


def test_a_release_is_fetched_once_and_wins_over_a_file_made_here(home, trained, monkeypatch):
    home.mkdir()
    (home / default_weights.FILE).write_bytes(b"made here")
    monkeypatch.setenv(default_weights.VARIABLE, release(trained))
    found = default_weights.default_weights()
    assert found.read_bytes() == trained.read_bytes()
    trained.unlink()
    assert default_weights.default_weights() == found


def test_a_download_with_another_sha_256_is_refused_and_leaves_nothing(home, trained, monkeypatch):
    monkeypatch.setenv(default_weights.VARIABLE, release(trained, "0" * 64))
    with pytest.raises(UserError, match="(?s)cannot be fetched to .*invalid hash value.*Run `make weights`"):
        default_weights.default_weights()
    assert not [*home.iterdir()]


def test_what_is_shipped_is_half_as_large_and_answers_nearly_the_same(trained, tmp_path):
    making.ship(trained, tmp_path / "shipped.pth")
    content = load_checkpoint(tmp_path / "shipped.pth")
    assert set(content) >= {"network", "sizes", "text_detector", "model"} and "optimizer" not in content
    assert (tmp_path / "shipped.pth").stat().st_size < 0.7 * trained.stat().st_size
    given, before = Predictor(tmp_path / "shipped.pth", gpus="cpu").net, Predictor(trained, gpus="cpu").net
    for one, other in zip(given.state_dict().values(), before.state_dict().values(), strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-6)


def test_a_file_that_is_too_large_to_ship_is_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "MOST_BYTES", 1_000)
    with pytest.raises(UserError, match="bytes, expected at most 1,000"):
        making.ship(trained, tmp_path / "shipped.pth")


def test_the_network_of_the_preset_is_small_enough_to_ship(tmp_path):
    save_checkpoint(tmp_path / "a.pth", {"network": "AVTDist", "sizes": {}, "text_detector": None,
                                         "model": AVTDist().state_dict()})
    making.ship(tmp_path / "a.pth", tmp_path / "b.pth")


@pytest.mark.soak
def test_soak_the_weights_are_made_with_a_card_and_their_sha_256(tmp_path):
    target = making.make_weights(tmp_path, Sizes(train=3, seasons=1, height=90, duration=24.0), 0, 1)
    card = target.with_suffix(".md").read_text()
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    assert digest in card and target.with_suffix(".sha256").read_text() == f"{digest}  avt_dist.pth\n"
    for part in ("without sound", "CPU minutes", "What it does not know", "family film"):
        assert part in card, part
    done = subprocess.run(["sha256sum", "--check", "avt_dist.sha256"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
