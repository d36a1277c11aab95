"""What a training learns, as plain functions: all that `fit` knows about a network and its data.

    task = boundary_task(AVTNet, regression_loss, settings)      # utils/boundary.py
    fit(task, FitSettings(max_epoch=20), FitData(train, validation))
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from utils.batches import Batches
from utils.distributed import World
from utils.settings import FitSettings

WARMUP_EPOCHS = 5
WARMUP_START = 0.1         # of the highest learning rate
ONE_CYCLE_RISE = 0.25      # share of a one-cycle training in which the rate rises
ONE_CYCLE_START = 0.04     # of the highest learning rate

Batch = dict[str, Tensor]
Outputs = dict[str, Tensor]


class Dataset(Protocol):
    """The data set interface that `fit` reads; ClipDataset (files) and ArrayDataset (arrays) implement it.

    Where there is a method `start_epoch(epoch)` too, `fit` calls it before each epoch. A data set may leave samples out
    of a validation batch: batch["index"] tells which ones are there.
    """

    def __len__(self) -> int: ...
    def batch(self, indices: list[int], pinned: bool = False) -> Batch: ...
    def name_of(self, index: int) -> str: ...


@dataclass(frozen=True)
class FitData:
    """What a network is trained and validated on.

    `prepare` is called once, by the first process, before the first batch is read; it returns lines for the log.
    `fingerprint` returns plain data; a resumed training compares it to see whether its data has changed.
    """

    train: Dataset
    val: Dataset
    prepare: Callable[[], list[str]] = list
    fingerprint: Callable[[], dict] = dict


@dataclass(frozen=True)
class Validation:
    """The result on the validation set: `numbers` for the log, and `found` for Task.keep_best to write."""

    numbers: dict[str, float]
    found: Any = None


def adam(net: nn.Module, settings: FitSettings) -> torch.optim.Optimizer:
    """Adam over all weights, the reference's optimiser."""
    return torch.optim.Adam(net.parameters(), settings.lr)


def learning_rate_factor(schedule: str, epoch: float, max_epoch: int) -> float:
    """The learning rate at `epoch` (0 is the start; may be fractional), as a share of the highest.

    warmup_cosine, the reference's, changes once an epoch: linear from a tenth over 5 epochs, then a cosine over
    max_epoch - 1 - 5 epochs down to zero. one_cycle changes every step: a cosine up, a cosine down to zero.
    """
    if schedule == "one_cycle":
        share = epoch / max_epoch
        if share < ONE_CYCLE_RISE:
            rise = (1 - math.cos(math.pi * share / ONE_CYCLE_RISE)) / 2
            return ONE_CYCLE_START + (1 - ONE_CYCLE_START) * rise
        return (1 + math.cos(math.pi * (share - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))) / 2
    whole = math.floor(epoch)
    if whole <= WARMUP_EPOCHS:
        return WARMUP_START + (1 - WARMUP_START) * whole / WARMUP_EPOCHS
    length = max(1, max_epoch - 1 - WARMUP_EPOCHS)
    return (1 + math.cos(math.pi * (whole - WARMUP_EPOCHS) / length)) / 2


def scheduled_rate(epoch: float, settings: FitSettings) -> float:
    """The learning rate's factor that --schedule asks for, at `epoch`, which may be fractional.

    steps and cosine change every step: linear from 0 over `warmup_epochs`; then steps is a tenth less from each of
    `decay_epochs` on, and cosine falls to zero at max_epoch.
    """
    if settings.schedule not in ("steps", "cosine"):
        return learning_rate_factor(settings.schedule, epoch, settings.max_epoch)
    warmup = settings.warmup_epochs
    if epoch < warmup:
        return epoch / warmup
    if settings.schedule == "steps":
        return 0.1 ** sum(epoch >= decay for decay in settings.decay_epochs)
    return (1 + math.cos(math.pi * (epoch - warmup) / max(1, settings.max_epoch - warmup))) / 2


@dataclass(frozen=True)
class Task:
    """A network, and everything about it that `fit` needs.

    network      the class's name; checkpoints hold it, and a checkpoint of another network is refused
    inputs       names of the batch's tensors that the network's forward takes
    sizes        arguments that rebuild the network; plain types, kept in the checkpoint
    build        sizes -> an untrained network
    loss         (outputs, batch) -> the mean loss of the batch's samples, a scalar
    whole_batch  the loss depends on who else is in the batch: it gets the outputs of a step's samples in all processes
                 together, and of their batches the tensors with one number a sample
    validate     (network, batches, batch size, world) -> Validation, the same in every process
    score        the key in the validation's numbers that decides which epoch is best; `unit` is its unit in the log
    describe     numbers of a validation -> words for the log
    start        puts pretrained weights into a new network; returns lines for the log
    augment      (batch, seed, epoch) -> the augmented batch; may depend on these and batch["index"] alone
    optimizer    (network, settings) -> an optimiser with its parameter groups
    rate         (epoch, settings) -> factor of every group's learning rate; epoch may be fractional
    facts        extra entries of every checkpoint, {name: value}
    same         names of facts that a resumed training must share
    settings     a dataclass of the task's own settings (settings.py); on resume those marked `agree` must be unchanged
    more_settings   a second one
    remarks      lines for the beginning of the log
    keep_best    (folder, validation) writes Validation.found after a new best epoch
    draw         (folder, validation set) draws pictures into the folder
    """

    network: str
    inputs: tuple[str, ...]
    build: Callable[[dict], nn.Module]
    loss: Callable[[Outputs, Batch], Tensor]
    validate: Callable[[nn.Module, Batches, int, World], Validation]
    sizes: dict = field(default_factory=dict)
    whole_batch: bool = False
    score: str = "score"
    higher_is_better: bool = False
    unit: str = ""
    describe: Callable[[dict], str] = lambda numbers: ", ".join(f"{k} {v:.3f}" for k, v in numbers.items())
    start: Callable[[nn.Module], list[str]] = lambda net: []
    augment: Callable[[Batch, int, int], Batch] = lambda batch, seed, epoch: batch
    optimizer: Callable[[nn.Module, FitSettings], torch.optim.Optimizer] = adam
    rate: Callable[[float, FitSettings], float] = scheduled_rate
    facts: dict = field(default_factory=dict)
    same: tuple[str, ...] = ()
    settings: Any = None
    more_settings: Any = None
    remarks: tuple[str, ...] = ()
    keep_best: Callable[[Path, Validation], None] = lambda folder, validation: None
    draw: Callable[[Path, Dataset], None] = lambda folder, dataset: None

    @property
    def worst_score(self) -> float:
        """Every score is better than this."""
        return -math.inf if self.higher_is_better else math.inf

    def is_better(self, score: float, best: float) -> bool:
        return score > best if self.higher_is_better else score < best


def answer(net: nn.Module, batch: Batch, inputs: tuple[str, ...]) -> Outputs:
    """The network's outputs for the inputs that it names."""
    return net(**{name: batch[name] for name in inputs})
