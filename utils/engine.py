"""One epoch of training, one pass of validation, one pass of inference: flat loops over batches.

Nothing here knows files or flags.
"""

import contextlib
import math
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from datatools.augment import borrow, clip_generators, damage, shift_in_time, vary_look_and_sound
from datatools.errors import UserError
from utils.batches import Batches
from utils.devices import autocast, autocast_dtype
from utils.distributed import World

MOST_BAD_STEPS = 3         # in a row, whose loss or gradient is not finite
WARMUP_EPOCHS = 5
WARMUP_START = 0.1         # of the highest learning rate
ONE_CYCLE_RISE = 0.25      # share of a one-cycle training in which the rate rises
ONE_CYCLE_START = 0.04     # of the highest learning rate


def learning_rate_factor(schedule: str, epoch: float, max_epoch: int) -> float:
    """The learning rate at `epoch` (0 is the start; a fraction tells the place within), as a share of the highest.

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


@dataclass(frozen=True)
class StepSettings:
    """How a step is made: mixed precision, clipping (0: none), augmentation, and the seed of all that is random."""

    amp: bool = False
    clip_grad: float = 0.0
    max_shift: int = 0
    variation: float = 0.0
    seed: int = 0
    damaged: float = 0.0
    borrowed: float = 0.0
    halve_when_full: bool = False    # out of memory: make each batch's gradient in halves, instead of an error


@dataclass
class Training:
    """What changes while a network is trained, and how far it is: `step` steps of `epoch` are done.

    What is random in a step follows from the seed, the epoch and the step alone, so this is all that going on needs.
    """

    net: nn.Module                                   # the network itself
    parallel: nn.Module                              # the same, over several GPUs or processes
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    ema: torch.optim.swa_utils.AveragedModel | None = None
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0                            # over the clips of this epoch, so far
    num_clips: int = 0
    pieces: int = 1                                  # that a batch is cut into, for want of memory
    bad_steps: int = 0                               # in a row, also over the end of an epoch
    skipped: list[str] = field(default_factory=list)     # what was wrong in each step that was left out
    remarks: list[str] = field(default_factory=list)     # what else a log should tell

    @property
    def answers_with(self) -> nn.Module:
        """The network that is validated and saved: the average of the weights, where one is kept."""
        return self.ema.module if self.ema else self.net

    def state(self) -> dict:
        """Plain types and tensors, for `restore`."""
        schedule = {k: v for k, v in self.schedule.state_dict().items() if k != "lr_lambdas"}
        return {
            "model": self.answers_with.state_dict(),
            "trained": self.net.state_dict() if self.ema else None,
            "num_averaged": int(self.ema.n_averaged) if self.ema else 0,
            "optimizer": self.optimizer.state_dict(), "scheduler": schedule, "scaler": self.scaler.state_dict(),
            "position": {"epoch": self.epoch, "step": self.step, "loss_sum": self.loss_sum,
                         "num_clips": self.num_clips},
        }

    def restore(self, state: dict) -> None:
        """Go on from what `state` gave."""
        if self.ema:
            self.ema.module.load_state_dict(state["model"])
            self.ema.n_averaged.fill_(state["num_averaged"])
        self.net.load_state_dict(state["trained"] if self.ema else state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        groups = len(self.optimizer.param_groups)
        self.schedule.load_state_dict({**state["scheduler"], "lr_lambdas": [None] * groups})
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        for name, value in state["position"].items():
            setattr(self, name, value)


def epoch_batches(num_clips: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The clips of each batch of an epoch, shuffled; the last batch may be smaller."""
    order = np.random.default_rng((seed, epoch)).permutation(num_clips).tolist()
    return [order[first:first + batch_size] for first in range(0, num_clips, batch_size)]


def step_seed(seed: int, epoch: int, step: int, rank: int) -> int:
    """The seed of what torch draws within a step (dropout)."""
    return int(np.random.SeedSequence((seed, epoch, step, rank)).generate_state(1, np.uint64)[0] >> 1)


def answer(net: nn.Module, batch: dict[str, Tensor], inputs: tuple[str, ...]) -> dict[str, Tensor]:
    """The network's outputs for the inputs that it names."""
    return net(**{name: batch[name] for name in inputs})


def share_of(indices: list[int], world: World) -> list[int]:
    """This process's clips of a batch. One without any computes the first, which then counts nothing."""
    return indices[world.rank::world.size] or indices[:1]


def train_epoch(
    training: Training,
    inputs: tuple[str, ...],
    loss_function: Callable[[dict[str, Tensor], Tensor], Tensor],
    groups: list[list[list[int]]],
    batches: Batches,
    settings: StepSettings,
    world: World,
    stop_asked: Callable[[], bool],
    after_step: Callable[[int], None] = lambda num_clips: None,
) -> bool:
    """Train on every group of batches once, from training.step on; whether the epoch was finished.

    The gradients of a group make one step, with and without mixed precision. False where `stop_asked()` is true in
    any process: the step in hand is finished then. A step whose loss or gradient is not finite is left out, and told in
    training.skipped. Raises UserError after three of them in a row, with `training` as it was before them, and where
    the memory is too small.
    """
    training.net.train()
    mine = (share_of(indices, world) for group in groups[training.step:] for indices in group)
    try:
        with contextlib.closing(batches(mine)) as coming:
            for group in groups[training.step:]:
                stop, bad = _train_step(training, inputs, loss_function, group, coming, settings, world, stop_asked,
                                        batches.name_of)
                training.step += 1
                if bad:
                    training.bad_steps += 1
                    training.skipped.append(f"epoch {training.epoch}, step {training.step - 1}: {bad}")
                    if training.bad_steps == MOST_BAD_STEPS:
                        raise UserError(
                            f"{MOST_BAD_STEPS} steps in a row had a loss or gradient that is not finite:\n  "
                            + "\n  ".join(training.skipped[-MOST_BAD_STEPS:]) + "\nLook at these clips' features; or "
                            "lower --lr, give --clip_grad 1, or leave --use_amp out.")
                else:
                    training.bad_steps = 0
                    training.schedule.step()
                after_step(sum(map(len, group)))
                if stop and training.step < len(groups):
                    _forget_bad_steps(training)
                    return False
    except UserError:
        _forget_bad_steps(training)
        raise
    _count_bad_steps(training)
    return True


def _count_bad_steps(training: Training) -> None:
    """Bad steps count in the schedule when a good one follows or the epoch ends; until then they can be forgotten."""
    for _ in range(min(training.bad_steps, training.step)):
        training.schedule.step()


def _forget_bad_steps(training: Training) -> None:
    """Stand after the epoch's last good step again; those that were left out changed nothing but the place."""
    training.step -= min(training.bad_steps, training.step)
    training.bad_steps = 0


def _train_step(
    training, inputs, loss_function, group, coming: Iterator[dict[str, Tensor]], settings, world, stop_asked, name_of
) -> tuple[bool, str]:
    """One step over a group of batches: (whether to stop, what was not finite or "")."""
    device = next(training.net.parameters()).device
    in_group = sum(map(len, group))
    batches = [next(coming) for _ in group]
    weights = [len(share) / in_group * world.size if (share := indices[world.rank::world.size]) else 0.0
               for indices in group]
    # Batch norm takes what it sees into its statistics, also from a step that is then left out.
    buffers = [buffer.clone() for buffer in training.net.buffers()]
    with _named_when_full(training, inputs, loss_function, batches, buffers, settings, world):
        while True:
            try:
                losses = _gradients(training, inputs, loss_function, batches, weights, settings, world)
                break
            except RuntimeError as error:
                most = max(len(batch["index"]) for batch in batches)
                if not (settings.halve_when_full and is_out_of_memory(error) and training.pieces < most
                        and world.size == 1):
                    raise
                traceback.clear_frames(error.__traceback__)      # they hold what did not fit
            training.pieces *= 2
            training.remarks.append(f"epoch {training.epoch}, step {training.step}: out of memory, a batch is cut into "
                                    f"{training.pieces} pieces from here on")
            _restore(training.net, buffers)
            if device.type == "cuda":
                torch.cuda.empty_cache()
    training.scaler.unscale_(training.optimizer)
    parameters = [p for p in training.net.parameters() if p.grad is not None]
    if settings.clip_grad:
        norm = nn.utils.clip_grad_norm_(parameters, settings.clip_grad)
    else:
        norm = nn.utils.get_total_norm([p.grad for p in parameters])
    total, norm = torch.stack([losses, norm.to(losses.device)]).tolist()
    # Under float16's loss scaling a gradient beyond its range is no fault: the scaler leaves the step out and scales
    # less. Where it does not scale up any more, the gradient itself is wrong.
    scales = training.scaler.is_enabled() and training.scaler.get_scale() > 1
    bad = not math.isfinite(total) or not (math.isfinite(norm) or scales)
    counted = sum(bool(weight) * len(batch["index"]) for weight, batch in zip(weights, batches, strict=True))
    all_loss, all_clips, all_bad, all_stop = world.sum(
        [total if math.isfinite(total) else 0.0, counted, float(bad), float(stop_asked())], device)
    if all_bad:
        _restore(training.net, buffers)
        training.scaler.update(training.scaler.get_scale())      # done with this step, at the same scale
        what = "loss" if not math.isfinite(total) else "gradient"
        value = total if what == "loss" else norm
        names = [f"{what} {value}: {_suspects(batch, name_of)}" for batch in batches] if bad else []
        return bool(all_stop), "; ".join(line for lines in world.gather(names) for line in lines)
    _count_bad_steps(training)       # this one has its own place in the schedule
    if training.optimizer.state:
        training.scaler.step(training.optimizer)
    else:     # Adam's two moments of every weight are made in its first step
        with too_large("the optimiser's first step", "Choose a smaller preset, or a smaller --batch_size with more "
                       "--accumulation_step."):
            training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.ema:
        training.ema.update_parameters(training.net)
    training.loss_sum += all_loss
    training.num_clips += round(all_clips)
    return bool(all_stop), ""


def _gradients(training, inputs, loss_function, batches, weights, settings, world) -> Tensor:
    """Add up the gradients of the weighted batches; the sum of the clips' losses."""
    training.optimizer.zero_grad(set_to_none=True)
    torch.manual_seed(step_seed(settings.seed, training.epoch, training.step, world.rank))
    total = torch.zeros((), device=batches[0]["index"].device)
    for number, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
        generators = clip_generators(settings.seed, training.epoch, batch["index"].tolist())
        if settings.borrowed:
            batch = borrow(batch, settings.borrowed, generators)
        if settings.max_shift:
            batch = shift_in_time(batch, settings.max_shift, generators)
        if settings.variation:
            batch = vary_look_and_sound(batch, settings.variation, generators)
        if settings.damaged:
            batch = damage(batch, settings.damaged, generators)
        size = len(batch["index"])
        pieces = list(zip(*(value.chunk(training.pieces) for value in batch.values()), strict=True))
        for place, values in enumerate(pieces):
            piece = dict(zip(batch, values, strict=True))
            # Processes add their gradients up once a step.
            waits = world.size > 1 and not (number == len(batches) - 1 and place == len(pieces) - 1)
            with training.parallel.no_sync() if waits else contextlib.nullcontext():
                loss = _loss(training.parallel, inputs, loss_function, piece, settings.amp)
                part = len(piece["index"])
                training.scaler.scale(loss * (weight * part / size)).backward()
            total += loss.detach() * part * bool(weight)
    return total


def _loss(net, inputs, loss_function, batch, amp: bool) -> Tensor:
    device = batch["index"].device
    with autocast(device, amp):
        outputs = answer(net, batch, inputs)
    loss = loss_function(outputs, batch["seconds"])      # in float32
    if isinstance(net, nn.parallel.DistributedDataParallel):
        # It waits for a gradient from every output, and AVTNet_YOLT's fine one has none where no cell is right.
        loss = loss + 0 * sum(output.float().sum() for output in outputs.values())
    return loss


def _restore(net: nn.Module, buffers: list[Tensor]) -> None:
    for buffer, kept in zip(net.buffers(), buffers, strict=True):
        buffer.copy_(kept)


def _suspects(batch: dict[str, Tensor], name_of: Callable[[int], str]) -> str:
    """The clips of a batch by name; those alone whose features are not finite, where there are such."""
    wrong = torch.zeros(len(batch["index"]), dtype=torch.bool, device=batch["index"].device)
    for value in batch.values():
        if value.is_floating_point():
            wrong |= ~value.isfinite().reshape(len(wrong), -1).all(1)
    chosen = batch["index"][wrong] if wrong.any() else batch["index"]
    names = ", ".join(map(name_of, chosen.tolist()))
    return f"{names} (features that are not finite)" if wrong.any() else names


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that the memory of a GPU, or of the machine, is too small."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextlib.contextmanager
def too_large(what: str, remedy: str):
    """Turn out-of-memory within into a UserError that says what was too large."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"out of memory in {what} ({str(error).splitlines()[0]}). {remedy}") from None


@contextlib.contextmanager
def _named_when_full(training, inputs, loss_function, batches, buffers, settings, world):
    """Turn out-of-memory into a UserError that says what would have fitted, found by trying."""
    try:
        yield
        return
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        traceback.clear_frames(error.__traceback__)      # they hold what did not fit
    size = len(batches[0]["index"])
    device = batches[0]["index"].device
    training.optimizer.zero_grad(set_to_none=True)
    fits = None
    precisions = sorted({settings.amp, autocast_dtype(device) is not None})
    tries = [(part, amp) for amp in precisions for part in _halves(size)]
    if world.size == 1:      # the other processes would wait for a step that is none
        for part, amp in tries:
            try:
                if device.type == "cuda":
                    torch.cuda.empty_cache()
                piece = {name: value[:part] for name, value in batches[0].items()}
                _loss(training.parallel, inputs, loss_function, piece, amp).backward()
                fits = (part, amp)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            finally:
                training.optimizer.zero_grad(set_to_none=True)
    _restore(training.net, buffers)
    if fits:
        part, amp = fits
        remedy = (f"Tried just now: {part} clips fit{' with --use_amp' if amp and not settings.amp else ''}. Give "
                  f"--batch_size {part} --accumulation_step {len(batches) * math.ceil(size / part)}, or "
                  "--halve_when_full, which does that by itself.")
    else:
        remedy = "Choose a smaller --batch_size with more --accumulation_step, --use_amp, or a smaller preset."
    raise UserError(f"out of memory with {size} clips a batch ({reason}). {remedy}")


def _halves(size: int) -> Iterator[int]:
    while size > 1:
        size = math.ceil(size / 2)
        yield size


@torch.inference_mode()
def predict(
    net: nn.Module,
    inputs: tuple[str, ...],
    seconds_of: Callable[[dict[str, Tensor]], Tensor],
    batches: Iterable[dict[str, Tensor]],
    *,
    amp: bool = False,
) -> dict[int, float]:
    """The answer for every clip in seconds, by its place in the data set."""
    net.eval()
    found: dict[int, float] = {}
    for batch in batches:
        device = batch["index"].device
        with autocast(device, amp):
            outputs = answer(net, batch, inputs)
        found |= zip(batch["index"].tolist(), seconds_of(outputs).tolist(), strict=True)
    return found


@torch.inference_mode()
def explain(
    net: nn.Module, inputs: tuple[str, ...], batches: Iterable[dict[str, Tensor]], *, amp: bool = False
) -> dict[int, dict[str, float]]:
    """All that a network with `explain` tells of every clip, {column: figure}, by its place in the data set."""
    net.eval()
    found: dict[int, dict[str, float]] = {}
    for batch in batches:
        device = batch["index"].device
        with autocast(device, amp):
            columns = net.explain(**{name: batch[name] for name in inputs})
        values = {name: column.float().tolist() for name, column in columns.items()}
        for row, index in enumerate(batch["index"].tolist()):
            found[index] = {name: value[row] for name, value in values.items()}
    return found


def predict_all(net, inputs, seconds_of, batches: Batches, batch_size: int, world: World, *, amp=False) -> np.ndarray:
    """The answers for all clips in order, seconds, (N,) float32; each clip counted once, however many processes.

    Where `seconds_of` gives several figures a clip, (B, K), the answers are (N, K).
    """
    count = len(batches.dataset)
    mine = list(range(count))[world.rank::world.size]
    lists = [mine[first:first + batch_size] for first in range(0, len(mine), batch_size)]
    with too_large(f"validation with {batch_size} clips a batch", "Choose a smaller --batch_size with more "
                   "--accumulation_step, or a smaller preset."):
        mine_answered = predict(net, inputs, seconds_of, batches(lists), amp=amp)
    parts = world.gather(mine_answered)
    found = {index: second for part in parts for index, second in part.items()}
    return np.array([found[index] for index in range(count)], np.float32)
