"""Shifting clips in time: sound, frames and text together, the label moved with them.

    batch = shift_in_time(batch, max_seconds=60, generator=generator)
"""

import torch
from torch import Tensor

from datatools.dataset import MFCC_STEPS_PER_SECOND
from datatools.layout import CLIP_SECONDS

MARGIN = 2   # s; a label is never moved nearer than this to either end of the clip


def draw_shifts(seconds: Tensor, max_seconds: int, generator: torch.Generator) -> Tensor:
    """Whole seconds to shift each clip by, uniform in what keeps its label within the clip. (B,) -> (B,) int64.

    A label that lies nearer to an end than MARGIN already may stay there, but moves no nearer.
    """
    low = torch.maximum(torch.full_like(seconds, -max_seconds), (MARGIN - seconds).clamp(max=0)).ceil()
    high = torch.minimum(torch.full_like(seconds, max_seconds), (CLIP_SECONDS - MARGIN - seconds).clamp(min=0)).floor()
    draw = torch.rand(len(seconds), generator=generator).to(seconds.device)
    return (low + (draw * (high - low + 1)).floor()).long()


def shift_in_time(batch: dict[str, Tensor], max_seconds: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Shift every clip of a batch by its own number of seconds; what comes in from outside is black and silent.

    Takes and gives the tensors of ClipDataset, batched, on any device.
    """
    shifts = draw_shifts(batch["seconds"], max_seconds, generator)
    shifted = dict(batch)
    shifted["seconds"] = batch["seconds"] + shifts
    for name in ("frames", "text_roi"):
        if name in batch:
            shifted[name] = _shift(batch[name], shifts)
    if "mfcc" in batch:
        steps = (shifts * MFCC_STEPS_PER_SECOND).round().long()
        shifted["mfcc"] = _shift(batch["mfcc"].transpose(1, 2), steps).transpose(1, 2)
    return shifted


def _shift(x: Tensor, steps: Tensor) -> Tensor:
    """Move each sample along dimension 1 by its own number of steps, zeros coming in. (B, T, ...), (B,)."""
    source = torch.arange(x.shape[1], device=x.device)[None] - steps[:, None]   # (B, T)
    inside = (source >= 0) & (source < x.shape[1])
    rows = torch.arange(len(x), device=x.device)[:, None]
    moved = x[rows, source.clamp(0, x.shape[1] - 1)]
    return moved * inside.view(*inside.shape, *[1] * (x.dim() - 2)).to(x.dtype)
