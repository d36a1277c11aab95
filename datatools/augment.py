"""Augmentation of a batch, on its device: clips shifted in time, their colours and the sound's timbre varied.

    generators = clip_generators(seed, epoch, batch["index"].tolist())
    batch = shift_in_time(batch, max_seconds=60, generators=generators)
    batch = vary_look_and_sound(batch, strength=0.5, generators=generators)

Every clip has its own generator, so what happens to it does not hang on which clips share its batch: not on where a
training was interrupted, nor on how many processes divide the batch.
"""

import numpy as np
import torch
from torch import Tensor

from datatools.dataset import MFCC_STEPS_PER_SECOND
from datatools.layout import CLIP_SECONDS

MARGIN = 2   # s; a label is never moved nearer than this to either end of the clip
MOST_GAIN = 0.8   # at strength 1 a colour channel is multiplied by 1 +- this
# Standard deviation of what is added to each MFCC at strength 1. A constant added to a coefficient is another
# loudness (the first) or another equaliser (the others); the sizes are about a third of the spread between clips.
MFCC_OFFSETS = (60.0, *(20.0,) * 3, *(10.0,) * 16)


def clip_generators(seed: int, epoch: int, indices: list[int]) -> list[np.random.Generator]:
    """A random generator for each clip of a batch."""
    return [np.random.default_rng((seed, epoch, index)) for index in indices]


def draw_shifts(seconds: Tensor, max_seconds: int, generators: list[np.random.Generator]) -> Tensor:
    """Whole seconds to shift each clip by, uniform in what keeps its label within the clip. (B,) -> (B,) int64.

    A label that lies nearer to an end than MARGIN already may stay there, but moves no nearer.
    """
    low = torch.maximum(torch.full_like(seconds, -max_seconds), (MARGIN - seconds).clamp(max=0)).ceil()
    high = torch.minimum(torch.full_like(seconds, max_seconds), (CLIP_SECONDS - MARGIN - seconds).clamp(min=0)).floor()
    draw = torch.tensor([generator.random() for generator in generators], device=seconds.device)
    return (low + (draw * (high - low + 1)).floor()).long()


def shift_in_time(
    batch: dict[str, Tensor], max_seconds: int, generators: list[np.random.Generator]
) -> dict[str, Tensor]:
    """Shift every clip of a batch by its own number of seconds; what comes in from outside is black and silent.

    Takes and gives the tensors of ClipDataset, on any device.
    """
    shifts = draw_shifts(batch["seconds"], max_seconds, generators)
    shifted = dict(batch)
    shifted["seconds"] = batch["seconds"] + shifts
    for name in ("frames", "text_roi"):
        if name in batch:
            shifted[name] = _shift(batch[name], shifts, 0)
    if "mfcc" in batch:
        shifted["mfcc"] = _shift(batch["mfcc"], (shifts * MFCC_STEPS_PER_SECOND).round().long(), 1)
    return shifted


def _shift(x: Tensor, steps: Tensor, dimension: int) -> Tensor:
    """Move each sample along one of its dimensions by its own number of steps, zeros coming in. (B, ...), (B,)."""
    moved = torch.zeros_like(x)
    length = x.shape[dimension + 1]
    for row, step in enumerate(steps.tolist()):
        kept = length - abs(step)
        if kept > 0:
            part = x[row].narrow(dimension, max(0, -step), kept)
            moved[row].narrow(dimension, max(0, step), kept).copy_(part)
    return moved


def vary_look_and_sound(
    batch: dict[str, Tensor], strength: float, generators: list[np.random.Generator]
) -> dict[str, Tensor]:
    """Give every clip other colours, perhaps its mirror image (text masks too), and another loudness and timbre.

    What a boundary is does not hang on any of these. `strength` 0 to 1; silence added for padding stays zero.
    """
    varied = dict(batch)
    mirrored = [generator.random() < 0.5 for generator in generators]
    channels = [generator.permutation(3).tolist() for generator in generators]
    gains = [(1 + strength * MOST_GAIN * generator.uniform(-1, 1, 3)).tolist() for generator in generators]
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
        draws = np.stack([generator.standard_normal(len(MFCC_OFFSETS)) for generator in generators])
        offset = torch.from_numpy(strength * draws * MFCC_OFFSETS).to(mfcc.device, mfcc.dtype).unsqueeze(2)
        varied["mfcc"] = mfcc + offset * (mfcc != 0)
    return varied
