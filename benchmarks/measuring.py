"""Clocks, and trainings whose steps are timed one by one.

    run, training = begin_on(full_task({}), settings_on(device, use_amp=True), dataset, length=400)
    for seconds, waited in timed_steps(run, training, steps=20):
        ...

The trainings use the functions of utils/fit.py: `begin` to start, `train_epoch` for the steps.
"""

import contextlib
import math
import statistics
import sys
import time
from itertools import pairwise

import torch
from torch.utils.flop_counter import FlopCounterMode

from datatools.errors import UserError
from datatools.features import SHAPES
from datatools.tables import markdown_table
from models.avtnet import AVTNet
from models.losses import regression_loss
from utils.batches import Batches
from utils.boundary import boundary_task
from utils.fit import Epoch, Run, begin, train_epoch
from utils.settings import BoundarySettings, FitSettings
from utils.step import Training
from utils.stop import Stop
from utils.task import Batch, Dataset, FitData, Task

BATCH_SIZE = 4                            # clips, in all tables but the GPU's
LR = 3e-4
MATRIX = {"cpu": 2048, "cuda": 8192}      # side of the matrices whose product measures the machine's rate


# ---------------------------------------------------------------- words and clocks


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table; the first column is text, the others are numbers."""
    print(f"\n{markdown_table(heads, rows)}", flush=True)


def say(text: str) -> None:
    """Print progress, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def log_aside() -> contextlib.AbstractContextManager:
    """A context that sends a training's log to stderr, so that stdout holds the tables alone."""
    return contextlib.redirect_stdout(sys.stderr)


def times_faster(base: list[float], other: list[float]) -> str:
    """Speed-up over the baseline: the median over turns, since other work on the machine comes and goes."""
    return f"{statistics.median(b / o for b, o in zip(base, other, strict=True)):.2f}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating point operations a second of a large matrix product: the best of several."""
    side = MATRIX[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    took = []
    for _ in range(8):
        synchronise(device)
        started = time.perf_counter()
        a @ b
        synchronise(device)
        took.append(time.perf_counter() - started)
    return 2 * side**3 / min(took)


def step_operations(sizes: dict) -> float:
    """Floating point operations of one clip's forward and backward pass, counted without computing them."""
    with torch.device("meta"):      # on meta, recurrent layers become matrix products that the counter knows
        net = AVTNet(**sizes)
        batch = {name: torch.empty(2, *shape, dtype=torch.float32 if name == "mfcc" else torch.uint8)
                 for name, shape in SHAPES.items()}
    with FlopCounterMode(display=False) as counter:
        net(**batch)["out"].sum().backward()
    return counter.get_total_flops() / 2


# ---------------------------------------------------------------- trainings


class Repeated:
    """A data set of any length that repeats the samples of a smaller one."""

    def __init__(self, dataset: Dataset, length: int):
        self.dataset, self.length = dataset, length

    def __len__(self) -> int:
        return self.length

    def name_of(self, index: int) -> str:
        return self.dataset.name_of(index % len(self.dataset))

    def batch(self, indices: list[int], pinned: bool = False) -> Batch:
        return self.dataset.batch([index % len(self.dataset) for index in indices], pinned)


def full_task(sizes: dict) -> Task:
    """AVTNet from random weights, as the reference trains it."""
    return boundary_task(AVTNet, regression_loss, BoundarySettings(pretrained="none"), sizes)


def gpus_of(device: torch.device) -> str:
    """A device as --gpus names it."""
    return str(device.index) if device.type == "cuda" else "cpu"


def settings_on(device: torch.device, **changes) -> FitSettings:
    """Settings of a training on one device that writes no file; each batch is read when it is needed."""
    settings = {"gpus": gpus_of(device), "lr": LR, "batch_size": BATCH_SIZE, "num_workers": 0, "seed": 0, **changes}
    return FitSettings(**settings)


def begin_on(task: Task, settings: FitSettings, dataset: Dataset, length: int) -> tuple[Run, Training]:
    """A training before its first step; an epoch is `length` samples long and repeats the data set."""
    with log_aside():
        return begin(task, settings, FitData(Repeated(dataset, length), Repeated(dataset, 0)))


def train_once(run: Run, training: Training, stop: Stop | None = None) -> Epoch:
    """Train for one epoch and move to the next. Raises UserError where a step was left out: its time does not count."""
    with log_aside():
        done = train_epoch(run, training, stop or Stop())
    if done.skipped:
        raise UserError(f"{done.skipped} steps were left out, so their time tells nothing. The log above says why.")
    training.epoch, training.step = training.epoch + 1, 0
    return done


class StepClock(Stop):
    """Notes the time of each step, and stops the training after so many steps or seconds, after `warm` warm-up steps.

    A training calls `asked` once a step, when the step's gradient is computed; two calls are one step apart.
    """

    def __init__(self, batches: Batches, warm: int, steps: float, most_seconds: float):
        super().__init__()
        self.batches, self.warm, self.steps, self.most_seconds = batches, warm, steps, most_seconds
        self.marks: list[tuple[float, float]] = []      # (time, seconds waited for data so far) of each step

    def asked(self) -> bool:
        self.marks.append((time.perf_counter(), self.batches.waited))
        return super().asked() or self.done

    @property
    def counted(self) -> list[tuple[float, float]]:
        return self.marks[self.warm - 1:]

    @property
    def done(self) -> bool:
        counted = self.counted
        return len(counted) > self.steps or (len(counted) > 1 and counted[-1][0] - counted[0][0] > self.most_seconds)


def timed_steps(
    run: Run, training: Training, *, warm: int = 1, steps: float = math.inf, most_seconds: float = math.inf
) -> list[tuple[float, float]]:
    """(seconds, of which waiting for data) of each step after the first `warm`, over as many epochs as needed."""
    clock = StepClock(run.train, warm, steps, most_seconds)
    while not clock.done:
        train_once(run, training, clock)
    return [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(clock.counted)]
