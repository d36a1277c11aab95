"""Train SmallNet, or infer with --weights: an entry script like avt_main.py, of a network that takes milliseconds.

    python tests/small_main.py FLAGS                    # FLAGS as for avt_main.py
    python tests/small_main.py FLAGS --then FLAGS       # one training after the other, in the same processes
    python tests/small_main.py recognition FLAGS        # trains a video recogniser; FLAGS as for timesformer_main.py
    python tests/small_main.py matching FLAGS           # or ActionCLIP; FLAGS as for actionclip_main.py
    python tests/small_main.py recognition stopped FLAGS     # and is stopped by a SIGTERM within its second epoch
"""

import os
import signal
import sys
import time
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn

import actionclip_main
import timesformer_main
from datatools.errors import run_command
from models.losses import regression_loss
from utils import recognition, step
from utils.boundary_command import run
from utils.cli import boundary_command

PAUSE = float(os.environ.get("SMALL_PAUSE", 0))     # s that each batch of the training takes longer: time to be stopped


class SmallNet(nn.Module):
    """One convolution over time and one linear layer; with `noisy`, batch norm and dropout between them.

    The output `spare` has weights of its own, and the loss leaves it out.
    """

    inputs = ("mfcc", "frames", "text_roi")

    def __init__(self, standardise: bool = False, noisy: bool = False):
        super().__init__()
        self.conv = nn.Conv1d(24, 8, 5, padding=2)
        self.noise = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.3)) if noisy else nn.Identity()
        self.head = nn.Linear(8 * 200, 1)
        self.spare = nn.Linear(8 * 200, 1)

    def forward(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> dict[str, Tensor]:
        if self.training:
            time.sleep(PAUSE)
        sound = nn.functional.adaptive_avg_pool1d(mfcc, 200) / 10                          # (B, 20, 200)
        picture = frames[:, :, ::11, :44:11].float().mean((2, 3)).transpose(1, 2) / 255    # (B, 3, 200), the left half
        text = text_roi[..., :18].float().mean((2, 3)).unsqueeze(1)                        # (B, 1, 200)
        x = self.noise(self.conv(torch.cat([sound, picture, text], 1))).tanh().flatten(1)  # (B, 1600)
        return {"out": self.head(x).sigmoid(), "spare": self.spare(x)}

    @staticmethod
    def seconds(outputs: dict[str, Tensor]) -> Tensor:
        return outputs["out"].float().squeeze(1) * 200


def train_recogniser(script, words: list[str]) -> int:
    """An entry script's training; with `stopped` a SIGTERM ends that of the first process, and 0 says that it did."""
    stopped, seed_of = words[0] == "stopped", step.step_seed

    def seed_then_stop(seed: int, epoch: int, number: int, rank: int) -> int:
        if stopped and (epoch, number, rank) == (1, 1, 0):
            os.kill(os.getpid(), signal.SIGTERM)
        return seed_of(seed, epoch, number, rank)

    # Pictures cost more than these trainings.
    with patch.object(recognition, "draw"), patch.object(step, "step_seed", seed_then_stop):
        code = script.main(words[stopped:])
    return code - (128 + signal.SIGTERM) * stopped


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    while argv:
        end = argv.index("--then") if "--then" in argv else len(argv)
        words, argv = argv[:end], argv[end + 1:]
        if words[0] in ("recognition", "matching"):
            script = timesformer_main if words[0] == "recognition" else actionclip_main
            code = train_recogniser(script, words[1:])
        else:
            code = run(SmallNet, regression_loss, boundary_command(__doc__, words, batch_size=5, if_normal=False))
        if code:
            return code
    return 0


if __name__ == "__main__":
    run_command(main)
