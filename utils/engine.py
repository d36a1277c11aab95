"""One epoch of training, one pass of validation, one pass of inference: flat loops over batches.

Nothing here knows files or flags.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from datatools.augment import shift_in_time, vary_look_and_sound
from datatools.command import UserError

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


def amp_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes it, else float16."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def to_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def answer(net: nn.Module, batch: dict[str, Tensor], inputs: tuple[str, ...]) -> dict[str, Tensor]:
    """The network's outputs for the inputs that it names."""
    return net(**{name: batch[name] for name in inputs})


def train_one_epoch(
    net: nn.Module,
    inputs: tuple[str, ...],
    loss_function: Callable[[dict[str, Tensor], Tensor], Tensor],
    batches: Iterable[dict[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
    *,
    device: torch.device,
    amp: bool,
    accumulation_step: int,
    max_shift: int,
    variation: float,
    generator: torch.Generator,
) -> float:
    """Train on every batch once; returns the mean loss a clip.

    The gradients of `accumulation_step` batches make one step, with and without mixed precision; what is left at
    the end of the epoch makes a last, smaller one. Raises UserError where a loss is not finite.
    """
    net.train()
    total, clips = 0.0, 0
    batches = iter(batches)
    group: list[dict[str, Tensor]] = []
    while group := _take(batches, accumulation_step):
        optimizer.zero_grad(set_to_none=True)
        group_clips = sum(len(batch["index"]) for batch in group)
        for batch in group:
            batch = to_device(batch, device)
            if max_shift:
                batch = shift_in_time(batch, max_shift, generator)
            if variation:
                batch = vary_look_and_sound(batch, variation, generator)
            with torch.autocast(device.type, amp_dtype(device), enabled=amp):
                outputs = answer(net, batch, inputs)
            loss = loss_function(outputs, batch["seconds"])   # in float32
            if not torch.isfinite(loss):
                raise UserError(f"the loss is {loss.item()} in the batch of clips {batch['index'].tolist()} (places in "
                                "the training list). Lower --lr, or train without --use_amp; --resume auto goes on "
                                "from the last whole epoch.")
            size = len(batch["index"])
            scaler.scale(loss * (size / group_clips)).backward()
            total += loss.item() * size
            clips += size
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
    return total / clips


def _take(batches, count: int) -> list:
    """Up to `count` more items of an iterator."""
    return [batch for _, batch in zip(range(count), batches, strict=False)]


@torch.inference_mode()
def predict(
    net: nn.Module,
    inputs: tuple[str, ...],
    seconds_of: Callable[[dict[str, Tensor]], Tensor],
    batches: Iterable[dict[str, Tensor]],
    *,
    device: torch.device,
    amp: bool = False,
) -> np.ndarray:
    """The answer for every clip in seconds, in the order of the data set, shape (N,) float32."""
    net.eval()
    found: dict[int, float] = {}
    for batch in batches:
        batch = to_device(batch, device)
        with torch.autocast(device.type, amp_dtype(device), enabled=amp):
            outputs = answer(net, batch, inputs)
        found |= zip(batch["index"].tolist(), seconds_of(outputs).tolist(), strict=True)
    return np.array([found[i] for i in range(len(found))], dtype=np.float32)
