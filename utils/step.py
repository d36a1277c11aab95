"""One training step: accumulate the gradients of a group of batches, check them, and update the weights.

    done = train_step(training, recipe, group, batches, stop_asked, name_of)
"""

import contextlib
import copy
import math
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from datatools.errors import UserError
from utils.checkpoint import load_weights
from utils.devices import autocast
from utils.distributed import World
from utils.memory import is_out_of_memory, too_large
from utils.task import Batch, Outputs, Task, answer

MOST_BAD_STEPS = 3         # steps in a row with a loss or gradient that is not finite end the training


@dataclass(frozen=True)
class Recipe:
    """How a step is made. `clip_grad` 0 clips nothing; `seed` seeds all that is random; `tell` writes a log line.

    `halve_when_full`: when out of memory, accumulate each batch's gradient over smaller pieces instead of failing.
    """

    task: Task
    world: World = World()
    mixed: bool = False
    clip_grad: float = 0.0
    seed: int = 0
    halve_when_full: bool = False
    tell: Callable[[str], None] = print


@dataclass
class Training:
    """What changes during a training, and its position: `step` steps of `epoch` are done.

    Randomness within a step depends on seed, epoch, step and rank alone, so resuming needs no random state.
    """

    net: nn.Module                                   # the network itself
    parallel: nn.Module                              # `net` wrapped for several GPUs or processes
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    ema: torch.optim.swa_utils.AveragedModel | None = None
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0                            # over this epoch's samples so far
    num_clips: int = 0
    pieces: int = 1                                  # number of parts that a batch is split into to fit into memory
    score: float | None = None                       # of the last validation
    best: dict = field(default_factory=dict)         # {"score": ..., "epoch": ...}
    bad: list[str] = field(default_factory=list)     # a description of each of the latest bad steps in a row

    @property
    def answers_with(self) -> nn.Module:
        """The network that is validated and saved: with the averaged weights under --ema, else `net`."""
        return self.ema.module if self.ema else self.net

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    def state(self) -> dict:
        """What a checkpoint holds of the training, as plain types and tensors; `restore` reads it."""
        schedule = {k: v for k, v in self.schedule.state_dict().items() if k != "lr_lambdas"}
        return {
            "model": self.answers_with.state_dict(),
            "trained": self.net.state_dict() if self.ema else None,
            "num_averaged": int(self.ema.n_averaged) if self.ema else 0,
            "optimizer": self.optimizer.state_dict(), "scheduler": schedule, "scaler": self.scaler.state_dict(),
            "position": {"epoch": self.epoch, "step": self.step, "loss_sum": self.loss_sum,
                         "num_clips": self.num_clips},
        }

    def restore(self, state: dict, path: Path) -> None:
        """Load what `state` returned, from the checkpoint `path`. Raises UserError where a training cannot go on so.

        The optimiser's groups and its learning rates follow from the settings and the number of steps.
        """
        self._restore_optimizer(state["optimizer"]["state"], path)
        if self.ema:
            load_weights(path, self.ema.module, state["model"])
            self.ema.n_averaged.fill_(state["num_averaged"])
        load_weights(path, self.net, (state["trained"] or {}) if self.ema else state["model"])
        steps = state["scheduler"]["last_epoch"]
        rates = [rate * factor(steps) for rate, factor in
                 zip(self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.schedule.load_state_dict({**self.schedule.state_dict(), "last_epoch": steps, "_step_count": steps + 1,
                                       "_last_lr": rates, "lr_lambdas": [None] * len(rates)})
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        for name in ("epoch", "step", "loss_sum", "num_clips"):
            setattr(self, name, state["position"][name])

    def _restore_optimizer(self, state: dict, path: Path) -> None:
        """Load the optimiser's state once a step with it, without a gradient, was seen to work; spoils the weights."""
        groups = self.optimizer.state_dict()["param_groups"]
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        try:
            if unknown := [number for number in state if number >= len(weights)]:
                raise ValueError(f"weight {unknown[0]} of {len(weights)}")
            self.optimizer.load_state_dict({"state": copy.deepcopy(state), "param_groups": groups})
            for weight in weights:
                weight.grad = torch.zeros_like(weight)
            with too_large("the optimiser's first step", "Choose a smaller preset."):
                self.optimizer.step()
            if not all(weight.isfinite().all() for weight in weights):
                raise ValueError("a step gives weights that are not finite")
        except Exception as error:      # whatever an optimiser raises for moments that are not its weights'
            raise UserError(f"{path}: 'optimizer' does not fit the network ({type(error).__name__}: "
                            f"{str(error)[:200]}). Take another checkpoint of the run.") from error
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def count_bad_steps(self) -> None:
        """Advance the learning-rate schedule by the latest bad steps. Called once they can no longer be undone."""
        for _ in range(min(len(self.bad), self.step)):
            self.schedule.step()

    def forget_bad_steps(self) -> None:
        """Move the position back to the last good step of the epoch. Bad steps have changed nothing else."""
        self.step -= min(len(self.bad), self.step)
        self.bad = []


@dataclass(frozen=True)
class StepDone:
    """`bad`: what was not finite, "" for a good step; `stop`: whether any process was asked to stop."""

    bad: str
    stop: bool


def step_seed(seed: int, epoch: int, step: int, rank: int) -> int:
    """The seed of torch's random numbers within a step (dropout)."""
    return int(np.random.SeedSequence((seed, epoch, step, rank)).generate_state(1, np.uint64)[0] >> 1)


def share_of(indices: list[int], world: World) -> list[int]:
    """This process's samples of a batch. A process that gets none computes the first sample with weight 0."""
    return indices[world.rank::world.size] or indices[:1]


def train_step(
    training: Training, recipe: Recipe, group: list[list[int]], batches: list[Batch],
    stop_asked: Callable[[], bool], name_of: Callable[[int], str],
) -> StepDone:
    """One step over a `group` of batches (gradient accumulation); `batches` are this process's shares of them.

    Where the loss or the gradient is not finite in any process, the step changes nothing. Raises UserError when out of
    memory.
    """
    in_group = sum(map(len, group))
    shares = [indices[recipe.world.rank::recipe.world.size] for indices in group]
    weights = [len(share) / in_group * recipe.world.size if share else 0.0 for share in shares]
    # Batch norm updates its running statistics in the forward pass, even if the step is left out afterwards.
    buffers = [buffer.clone() for buffer in training.net.buffers()]
    with _named_when_full(training, batches, buffers):
        losses = _gradients_that_fit(training, recipe, batches, weights, buffers)
    total, norm, bad = _checked(training, recipe, losses)
    counted = sum(bool(weight) * len(batch["index"]) for weight, batch in zip(weights, batches, strict=True))
    all_loss, all_clips, all_bad, all_stop = recipe.world.sum(
        [total if math.isfinite(total) else 0.0, counted, float(bad), float(stop_asked())], training.device)
    if all_bad:
        _restore(training.net, buffers)
        training.scaler.update(training.scaler.get_scale())      # end the scaler's step, scale unchanged
        what, value = ("gradient", norm) if math.isfinite(total) else ("loss", total)
        names = [f"{what} {value}: {_suspects(batch, name_of)}" for batch in batches] if bad else []
        return StepDone("; ".join(line for lines in recipe.world.gather(names) for line in lines), bool(all_stop))
    training.count_bad_steps()       # this step itself advances it in train_epoch
    if training.optimizer.state:
        training.scaler.step(training.optimizer)
    else:     # the first step allocates Adam's two moments of every weight
        with too_large("the optimiser's first step", "Choose a smaller preset, or a smaller --batch_size with more "
                       "--accumulation_step."):
            training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.ema:
        training.ema.update_parameters(training.net)
    training.loss_sum += all_loss
    training.num_clips += round(all_clips)
    return StepDone("", bool(all_stop))


def _checked(training: Training, recipe: Recipe, losses: Tensor) -> tuple[float, float, bool]:
    """Clip the gradient. (sum of the losses, norm of the gradient before clipping, whether the step is bad)."""
    training.scaler.unscale_(training.optimizer)
    parameters = [p for p in training.net.parameters() if p.grad is not None]
    if recipe.clip_grad:
        norm = nn.utils.clip_grad_norm_(parameters, recipe.clip_grad)
    else:
        norm = nn.utils.get_total_norm([p.grad for p in parameters])
    total, norm = torch.stack([losses, norm.to(losses.device)]).tolist()
    # Under float16's loss scaling an infinite gradient is normal: the scaler skips the step and lowers its scale. At a
    # scale of 1 or below, the gradient itself is wrong.
    scales = training.scaler.is_enabled() and training.scaler.get_scale() > 1
    return total, norm, not math.isfinite(total) or not (math.isfinite(norm) or scales)


def _gradients_that_fit(training: Training, recipe: Recipe, batches, weights, buffers) -> Tensor:
    """`_gradients`, with batches split into more pieces when out of memory, if the recipe allows it."""
    while True:
        try:
            return _gradients(training, recipe, batches, weights)
        except RuntimeError as error:
            most = max(len(batch["index"]) for batch in batches)
            if not (recipe.halve_when_full and is_out_of_memory(error) and training.pieces < most
                    and recipe.world.size == 1):
                raise
            traceback.clear_frames(error.__traceback__)      # they keep the tensors alive
        training.pieces *= 2
        recipe.tell(f"epoch {training.epoch}, step {training.step}: out of memory, a batch is cut into "
                    f"{training.pieces} pieces from here on")
        _restore(training.net, buffers)
        _empty_cache(training.device)


def _gradients(training: Training, recipe: Recipe, batches: list[Batch], weights: list[float]) -> Tensor:
    """Accumulate the gradients of the weighted batches; returns the sum of the samples' losses."""
    training.optimizer.zero_grad(set_to_none=True)
    torch.manual_seed(step_seed(recipe.seed, training.epoch, training.step, recipe.world.rank))
    if recipe.task.whole_batch:
        return _gradients_of_whole(training, recipe, batches, weights)
    total = torch.zeros((), device=batches[0]["index"].device)
    for number, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
        pieces, size = _pieces(training, recipe, batch), len(batch["index"])
        for place, piece in enumerate(pieces):
            with _summed_last(training, recipe, number == len(batches) - 1 and place == len(pieces) - 1):
                loss = _loss(training.parallel, recipe.task, piece, recipe.mixed)
                part = len(piece["index"])
                training.scaler.scale(loss * (weight * part / size)).backward()
            total += loss.detach() * part * bool(weight)
    return total


def _pieces(training: Training, recipe: Recipe, batch: Batch) -> list[Batch]:
    """The augmented batch, in as many pieces as fit into the memory one by one."""
    batch = recipe.task.augment(batch, recipe.seed, training.epoch)
    return [dict(zip(batch, values, strict=True))
            for values in zip(*(value.chunk(training.pieces) for value in batch.values()), strict=True)]


def _summed_last(training: Training, recipe: Recipe, last: bool) -> contextlib.AbstractContextManager:
    """Processes sum their gradients once a step, in its last backward pass."""
    return training.parallel.no_sync() if recipe.world.size > 1 and not last else contextlib.nullcontext()


def _gradients_of_whole(training: Training, recipe: Recipe, batches: list[Batch], weights: list[float]) -> Tensor:
    """`_gradients` of a loss over all samples of the step, in the way of GradCache (Gao et al., 2021).

    The loss's gradient of the outputs needs all outputs, but no network. So they are computed without gradients, piece
    by piece, and a second time, with the same random numbers, to pass the gradient on. One piece is computed once.
    """
    cut = [_pieces(training, recipe, batch) for batch in batches]
    pieces = [piece for each in cut for piece in each]
    counts = torch.cat([torch.full((len(piece["index"]),), bool(weight))
                        for each, weight in zip(cut, weights, strict=True) for piece in each])
    buffers = [buffer.clone() for buffer in training.net.buffers()]

    def outputs_of(place: int) -> Outputs:
        torch.manual_seed(step_seed(recipe.seed, training.epoch, training.step, recipe.world.rank) + place)
        with autocast(pieces[place]["index"].device, recipe.mixed):
            return answer(training.parallel, pieces[place], recipe.task.inputs)

    with torch.set_grad_enabled(len(pieces) == 1):
        found = [outputs_of(place) for place in range(len(pieces))]
    own = {name: torch.cat([outputs[name].detach().float() for outputs in found]) for name in found[0]}
    total, slopes = _slopes(training, recipe, own, pieces, counts)
    if len(pieces) > 1:
        found = []
        _restore(training.net, buffers)
    first = 0
    for place, piece in enumerate(pieces):
        with _summed_last(training, recipe, place == len(pieces) - 1):
            outputs = found[place] if found else outputs_of(place)
            rows = slice(first, first := first + len(piece["index"]))
            learnt = [(output, slopes[name][rows].to(output.dtype)) for name, output in outputs.items()
                      if output.requires_grad]
            torch.autograd.backward(*map(list, zip(*learnt, strict=True)))
    return total


def _slopes(
    training: Training, recipe: Recipe, own: Outputs, pieces: list[Batch], counts: Tensor
) -> tuple[Tensor, Outputs]:
    """(the loss times this process's samples, its scaled gradient of their outputs, zero for those that do not count).

    `own`: the outputs for all `pieces`; `counts` (N,) tells which of these samples count.
    """
    told = {name: torch.cat([piece[name] for piece in pieces]) for name, value in pieces[0].items() if value.dim() == 1}
    mine = [{name: value.cpu() if recipe.world.size > 1 else value for name, value in values.items()}
            for values in (own, told)]
    everyone = recipe.world.gather((counts, *mine))
    device, which = training.device, torch.cat([theirs[0] for theirs in everyone])
    outputs, batch = ({name: torch.cat([theirs[kind][name] for theirs in everyone]).to(device)[which.to(device)]
                       for name in everyone[0][kind]} for kind in (1, 2))
    for output in outputs.values():
        output.requires_grad_()
    loss = recipe.task.loss(outputs, batch)
    training.scaler.scale(loss).backward()
    before = sum(int(theirs[0].sum()) for theirs in everyone[:recipe.world.rank])
    rows = slice(before, before + int(counts.sum()))
    slopes = {name: torch.zeros_like(value) for name, value in own.items()}
    for name, output in outputs.items():
        if output.grad is not None:      # times the number of processes, for their gradients are averaged
            slopes[name][counts.to(device)] = output.grad[rows] * recipe.world.size
    return loss.detach() * int(counts.sum()), slopes


def _loss(net: nn.Module, task: Task, batch: Batch, mixed: bool) -> Tensor:
    with autocast(batch["index"].device, mixed):
        outputs = answer(net, batch, task.inputs)
    loss = task.loss(outputs, batch)      # in float32
    if isinstance(net, nn.parallel.DistributedDataParallel):
        # DDP waits for a gradient of every parameter. AVTNet_YOLT's fine branch gets none where no cell is right.
        loss = loss + 0 * sum(output.float().sum() for output in outputs.values())
    return loss


def _restore(net: nn.Module, buffers: list[Tensor]) -> None:
    for buffer, kept in zip(net.buffers(), buffers, strict=True):
        buffer.copy_(kept)


def _empty_cache(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _suspects(batch: Batch, name_of: Callable[[int], str]) -> str:
    """The names of a batch's samples; if some have features that are not finite, only those."""
    wrong = torch.zeros(len(batch["index"]), dtype=torch.bool, device=batch["index"].device)
    for value in batch.values():
        if value.is_floating_point():
            wrong |= ~value.isfinite().reshape(len(wrong), -1).all(1)
    chosen = batch["index"][wrong] if wrong.any() else batch["index"]
    names = ", ".join(map(name_of, chosen.tolist()))
    return f"{names} (features that are not finite)" if wrong.any() else names


@contextlib.contextmanager
def _named_when_full(training: Training, batches: list[Batch], buffers: list[Tensor]) -> Iterator[None]:
    """Turn out-of-memory into a UserError that says what takes less; the network is as it was before the step."""
    try:
        yield
        return
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        traceback.clear_frames(error.__traceback__)      # they hold what did not fit
    training.optimizer.zero_grad(set_to_none=True)
    _restore(training.net, buffers)
    size = len(batches[0]["index"])
    halved = (f"Give --batch_size {math.ceil(size / 2)} --accumulation_step {2 * len(batches)}, or --halve_when_full, "
              "which halves as often as needed; or choose" if size > 1 else "Choose")
    raise UserError(f"out of memory with {size} clips a batch ({reason}). {halved} --use_amp or a smaller preset.")
