"""Predictor: the one way from weights to answers, for clips on disk and for windows of an episode."""

from pathlib import Path

import pytest
import torch
from test_windows import CornerDetector, cut, load, write_episode
from torch import Tensor, nn

from datatools.errors import UserError
from datatools.windows import window, windows
from utils.checkpoint import save_checkpoint
from utils.predict import Answering, Predictor

SAME = Path(__file__).parent / "same"


class Moment(nn.Module):
    """The middle of what is heard, seen and read, in seconds: an answer that hangs on every second of every input."""

    inputs = ("mfcc", "frames", "text_roi")

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> dict[str, Tensor]:
        heard = nn.functional.adaptive_avg_pool1d((mfcc[:, 1:2] / 100).tanh() + 1, 200).squeeze(1)
        steps = torch.stack([heard, frames.float().mean((2, 3, 4)) / 255, text_roi.float().mean((2, 3))], 2)
        return {"steps": (steps * self.weight).sum(2)}                                  # (B, 200)

    @staticmethod
    def seconds(outputs: dict[str, Tensor]) -> Tensor:
        steps = outputs["steps"]
        return (steps * torch.arange(200)).sum(1) / steps.sum(1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("predict") / "moment.pth"
    save_checkpoint(path, {"network": "Moment", "sizes": {}, "text_detector": None, "model": Moment().state_dict()})
    return path


@pytest.fixture(scope="module")
def episode(tmp_path_factory) -> Path:
    return write_episode(tmp_path_factory.mktemp("predict") / "episode.mkv", 60)


def test_a_window_of_an_episode_is_answered_as_the_clip_cut_out_there(episode, checkpoint, tmp_path, monkeypatch):
    for predictor in (Predictor(checkpoint, Moment, gpus="cpu"), Predictor(SAME / "avt_dist.pth", gpus="cpu")):
        for number, (start, seconds) in enumerate(((6.0, 18), (24.0, 30))):
            clip = cut(episode, tmp_path / f"{number}.mkv", start, seconds, copy=True)
            batch = load(clip, tmp_path / f"{predictor.network.__name__}{number}", monkeypatch)
            batch["kind"] = torch.tensor([2])
            there = predictor(batch)
            here = predictor(window(episode, start, seconds, kind=2, detector=CornerDetector()))
            assert there.keys() == here.keys()
            for name in there:
                torch.testing.assert_close(here[name], there[name], rtol=0, atol=0.05, equal_nan=True)


def test_other_windows_are_answered_otherwise(episode, checkpoint):
    predictor = Predictor(checkpoint, Moment, gpus="cpu")
    batch = windows(episode, [0.0, 9.0, 31.0], 20, detector=CornerDetector())
    seconds = predictor(batch)["seconds"]
    assert seconds.shape == (3,) and (seconds.diff().abs() > 0.1).all()
    rows = predictor.rows([{name: value[[2, 0]] for name, value in batch.items()}])
    assert rows == {2: {"seconds": pytest.approx(seconds[2].item())}, 0: {"seconds": pytest.approx(seconds[0].item())}}


def test_what_several_gpus_share_is_all_that_a_network_tells(shared_processed):
    """DataParallel splits what it calls; it calls Answering, so AVTDist's explanations are shared as answers are."""
    predictor = Predictor(SAME / "avt_dist.pth", gpus="cpu")
    assert isinstance(predictor.answering, Answering)
    batch = {"mfcc": torch.randn(2, 20, 8616), "frames": torch.randint(0, 256, (2, 200, 66, 88, 3), dtype=torch.uint8),
             "text_roi": torch.zeros(2, 200, 27, 36, dtype=torch.uint8), "kind": torch.tensor([1, 2])}
    together = predictor({"index": torch.arange(2), **batch})
    assert {"seconds", "low", "high", "confidence", "sound", "frames", "text"} == together.keys()
    for row in range(2):
        alone = predictor({"index": torch.tensor([0]), **{name: value[row:row + 1] for name, value in batch.items()}})
        for name in together:
            torch.testing.assert_close(together[name][row:row + 1], alone[name], rtol=1e-3, atol=1e-3, equal_nan=True)
    assert together["text"].isnan().all()      # no text anywhere: it says nothing


@pytest.mark.parametrize("content, message", [
    ({"network": "Nowhere"}, "no file of models/ has such a class"),
    ({"network": "AVTNet", "sizes": {"hiden": 3}}, "AVTNet cannot be built so"),
])
def test_a_checkpoint_that_no_network_fits_is_named(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    save_checkpoint(path, {"sizes": {}, "text_detector": None, "model": {"w": torch.ones(1)}, **content})
    with pytest.raises(UserError, match=message):
        Predictor(path, gpus="cpu")
