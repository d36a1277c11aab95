"""What the tests of the training engine share: networks of milliseconds, and trainings of them.

    python tests/engine_helpers.py --data_root ROOT --save_prefix FOLDER ...     # trains SmallNet, as an entry script

With SAVE_EVERY_STEP in its environment it saves its position after every step.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pytest
import torch
from torch import Tensor, nn

from datatools.errors import run_command
from models.losses import CLIP_SECONDS, regression_loss
from utils import fit, step
from utils.batches import Batches
from utils.boundary_command import run
from utils.cli import boundary_command
from utils.fit import Run, train_epoch
from utils.settings import FitSettings
from utils.step import Recipe, Training
from utils.stop import Stop
from utils.task import Task, Validation

# ---------------------------------------------------------------- one epoch, without files


class Product(nn.Module):
    """x times one weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return {"out": x * self.weight}


class Numbers(Batches):
    """Batches of numbers x, whose truth is 3 x."""

    def __init__(self, values):
        self.values = torch.tensor(values)
        self.waited = 0.0
        self.dataset = self

    def __len__(self):
        return len(self.values)

    def name_of(self, index):
        return f"clip{index}"

    def __call__(self, index_lists):
        for indices in index_lists:
            x = self.values[indices]
            yield {"index": torch.tensor(indices), "x": x, "seconds": 3 * x}


def squared_error(outputs, seconds):
    return ((outputs["out"] - seconds) ** 2).mean()


def new_training(net, optimizer=None, schedule=lambda _: 1, **more):
    optimizer = optimizer or torch.optim.SGD(net.parameters(), 0.1)
    more.setdefault("scaler", torch.amp.GradScaler("cpu", enabled=False))
    return Training(net=net, parallel=net, optimizer=optimizer,
                    schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, schedule), **more)


class Told:
    """A log that keeps its lines."""

    def __init__(self):
        self.lines = []

    def line(self, message):
        self.lines.append(message)


class Bar(contextlib.nullcontext):
    """In a progress bar's place: calls a function when each step is done."""

    def __init__(self, after_step):
        super().__init__(self)
        self.update = after_step

    def set_postfix_str(self, *_, **__):
        pass


class StopWhen(Stop):
    """Asks for the end where a function says so."""

    def __init__(self, asked):
        super().__init__()
        self.asked = asked


def one_epoch(training, groups, numbers, loss=squared_error, stop=lambda: False, after_step=lambda _: None,
              told=None, **settings):
    """Train on `groups` of batches of numbers; whether the epoch was finished. `told` gets the lines of the log."""
    told = told or Told()
    task = Task("Product", ("x",), build=None, validate=lambda *_: Validation({}),
                loss=lambda outputs, batch: loss(outputs, batch["seconds"]))
    recipe = Recipe(task, tell=told.line, **settings)
    run = Run(task, FitSettings(), recipe, told, numbers, numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "epoch_groups", lambda *_: groups)
        patch.setattr(fit, "progress_bar", lambda *_: Bar(after_step))
        return train_epoch(run, training, StopWhen(stop)).finished


# ---------------------------------------------------------------- whole trainings, with files


class SmallNet(nn.Module):
    """A little of every input, with batch norm and dropout, so that all state of a training is there."""

    inputs = ("mfcc", "frames", "text_roi")

    def __init__(self, hidden: int = 6, standardise: bool = False):
        super().__init__()
        self.frame_net = nn.Linear(3, hidden)
        self.norm = nn.BatchNorm1d(20 + hidden + 1)
        self.drop = nn.Dropout(0.3)
        self.steps = nn.Conv1d(20 + hidden + 1, 1, 3, padding=1)
        self.time = nn.Linear(200, 1)

    def forward(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> dict[str, Tensor]:
        seen = self.frame_net(frames[:, :, 30, 40].float() / 255).transpose(1, 2)     # (B, hidden, 200)
        read = text_roi[:, :, 10, 10:20].float().mean(2).unsqueeze(1)                           # (B, 1, 200)
        heard = mfcc[:, :, :8600].unflatten(2, (200, 43))[..., 0]                               # (B, 20, 200)
        steps = self.steps(self.drop(self.norm(torch.cat([heard, seen, read], 1))))             # (B, 1, 200)
        return {"out": self.time(steps.squeeze(1)).sigmoid(), "steps": steps}

    @staticmethod
    def seconds(outputs: dict[str, Tensor]) -> Tensor:
        return outputs["out"].squeeze(1).float() * CLIP_SECONDS


# Of the 14 clips of `shared_processed` 12 train: six steps an epoch.
SETTINGS = ("--pretrained none --gpus cpu --max_epoch 3 --batch_size 2 --num_workers 0 --lr 0.01 "
            "--train_folders data_A/train --label_files data_A/train/必选数据.txt").split()


def small_flags(processed: Path, folder: Path, *more) -> list[str]:
    """The command line of a small training; of a flag given twice the later one counts."""
    return [*SETTINGS, "--data_root", str(processed), "--save_prefix", str(folder), *map(str, more)]


def train_small(argv: list[str] | None = None, network: type = SmallNet) -> int:
    """An entry script's main, for a small network."""
    return run(network, regression_loss, boundary_command(__doc__, argv, batch_size=2, if_normal=False))


def at_step(monkeypatch, places: dict) -> None:
    """Call a function within the steps (epoch, step) of trainings in this process, before the gradient is made."""
    seed_of = step.step_seed

    def seed_then_call(seed, epoch, number, rank):
        places.get((epoch, number), lambda: None)()
        return seed_of(seed, epoch, number, rank)

    monkeypatch.setattr(step, "step_seed", seed_then_call)


def stop_within(monkeypatch, *places: tuple[int, int]) -> None:
    """A real SIGTERM within these steps."""
    at_step(monkeypatch, dict.fromkeys(places, lambda: os.kill(os.getpid(), signal.SIGTERM)))


def equal(a, b) -> bool:
    """Whether two checkpoints' contents are the same to the bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


if __name__ == "__main__":
    if "SAVE_EVERY_STEP" in os.environ:
        fit.SAVE_MINUTES, fit.CLOCK_STEPS = 0.0, 1
    run_command(train_small)
