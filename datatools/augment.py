"""Augmentation of a batch, on its device: clips shifted in time, their colours and the sound's timbre varied.

    batch = shift_in_time(batch, max_seconds=60, generator=generator)
    batch = vary_look_and_sound(batch, strength=0.5, generator=generator)
"""

import torch
from torch import Tensor

from datatools.dataset import MFCC_STEPS_PER_SECOND
from datatools.layout import CLIP_SECONDS

MARGIN = 2   # s; a label is never moved nearer than this to either end of the clip
MOST_GAIN = 0.8   # at strength 1 a colour channel is multiplied by 1 +- this
# Standard deviation of what is added to each MFCC at strength 1. A constant added to a coefficient is another
# loudness (the first) or another equaliser (the others); the sizes are about a third of the spread between clips.
MFCC_OFFSETS = (60.0, *(20.0,) * 3, *(10.0,) * 16)


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


def vary_look_and_sound(batch: dict[str, Tensor], strength: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Give every clip other colours, perhaps its mirror image (text masks too), and another loudness and timbre.

    What a boundary is does not hang on any of these. `strength` 0 to 1; silence added for padding stays zero.
    """
    varied = dict(batch)
    count, device = len(batch["index"]), batch["index"].device
    mirrored = (torch.rand(count, generator=generator) < 0.5).tolist()
    channels = torch.rand(count, 3, generator=generator).argsort(1).tolist()
    gains = (1 + strength * MOST_GAIN * (2 * torch.rand(count, 3, generator=generator) - 1)).tolist()
    if "frames" in batch:
        # Clip by clip and channel by channel: a gather over all clips needs an index of eight bytes for every byte.
        varied["frames"] = torch.empty_like(batch["frames"])
        for i, frames in enumerate(batch["frames"]):
            frames = frames.flip(2) if mirrored[i] else frames
            for c in range(3):
                varied["frames"][i, ..., c] = (frames[..., channels[i][c]] * gains[i][c]).clamp_(0, 255)
    if "text_roi" in batch:
        pairs = zip(batch["text_roi"], mirrored, strict=True)
        varied["text_roi"] = torch.stack([masks.flip(2) if mirror else masks for masks, mirror in pairs])
    if "mfcc" in batch:
        mfcc = batch["mfcc"]
        spread = torch.tensor(MFCC_OFFSETS).view(1, -1, 1)
        offset = (strength * spread * torch.randn(count, len(MFCC_OFFSETS), 1, generator=generator)).to(device)
        varied["mfcc"] = mfcc + offset * (mfcc != 0)
    return varied
