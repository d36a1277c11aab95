"""Augmentation of a batch, on its device: clips shifted in time, their colours and the sound's timbre varied.

    generators = clip_generators(seed, epoch, batch["index"].tolist())
    batch = shift_in_time(batch, max_seconds=60, generators=generators)
    batch = vary_look_and_sound(batch, strength=0.5, generators=generators)
    batch = damage(batch, share=0.3, generators=generators)      # degraded like re-encoded copies

Each clip has its own generator, so its augmentation does not depend on the other clips of its batch, on where a
training was interrupted, or on how many processes divide the batch.
"""

import math

import numpy as np
import torch
from torch import Tensor

from datatools.features import MFCC_STEPS_PER_SECOND
from datatools.layout import CLIP_SECONDS

MARGIN = 2   # s; a label is never moved nearer than this to either end of the clip
MOST_GAIN = 0.8   # at strength 1 a colour channel is multiplied by 1 +- this
# Standard deviation of the constant added to each MFCC at strength 1. It changes the loudness (first coefficient) or
# the equalisation (the others); the sizes are about a third of the standard deviation between clips.
MFCC_OFFSETS = (60.0, *(20.0,) * 3, *(10.0,) * 16)
MOST_MOVED = 60.0       # s; borrowed frames and masks are shifted by at most this
BANDS = 32              # bands that MFCC are turned back into; 20 coefficients cannot resolve librosa's 128
DECIBEL = math.log(10) / 10     # one decibel of power, as a natural logarithm
LOUDEST_RANGE = 80.0    # dB below a clip's loudest band, at which librosa's power_to_db clips
MOST_SPEED = 0.05       # a clip's speed changes by up to this share


def clip_generators(seed: int, epoch: int, indices: list[int]) -> list[np.random.Generator]:
    """A random generator for each clip of a batch."""
    return [np.random.default_rng((seed, epoch, index)) for index in indices]


def draw_shifts(seconds: Tensor, max_seconds: int, generators: list[np.random.Generator]) -> Tensor:
    """Whole seconds to shift each clip by, uniform over shifts that keep its label within the clip. (B,) -> (B,) int64.

    A label that is already nearer to an end than MARGIN may stay there, but moves no nearer.
    """
    low = torch.maximum(torch.full_like(seconds, -max_seconds), (MARGIN - seconds).clamp(max=0)).ceil()
    high = torch.minimum(torch.full_like(seconds, max_seconds), (CLIP_SECONDS - MARGIN - seconds).clamp(min=0)).floor()
    draw = torch.tensor([generator.random() for generator in generators], device=seconds.device)
    return (low + (draw * (high - low + 1)).floor()).long()


def shift_in_time(
    batch: dict[str, Tensor], max_seconds: int, generators: list[np.random.Generator]
) -> dict[str, Tensor]:
    """Shift every clip of a batch by its own number of seconds; padding is black and silent.

    Takes and returns the tensors of ClipDataset, on any device.
    """
    shifts = draw_shifts(batch["seconds"], max_seconds, generators)
    shifted = dict(batch)
    shifted["seconds"] = batch["seconds"] + shifts
    for name in by_second(batch):
        shifted[name] = _shift(batch[name], shifts, 0)
    if "mfcc" in batch:
        shifted["mfcc"] = _shift(batch["mfcc"], (shifts * MFCC_STEPS_PER_SECOND).round().long(), 1)
    return shifted


def by_second(batch: dict[str, Tensor]) -> list[str]:
    """The tensors that hold one entry a second, (B, 200, ...): frames, text masks and encoders' vectors."""
    return [name for name, tensor in batch.items() if tensor.dim() > 2 and tensor.shape[1] == CLIP_SECONDS]


def _shift(x: Tensor, steps: Tensor, dimension: int) -> Tensor:
    """Shift each sample along one of its dimensions by its own number of steps, with zero padding. (B, ...), (B,)."""
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
    """Change every clip's colours, loudness and timbre, and mirror half of the clips (text masks too).

    None of these changes where the boundary is. `strength` 0 to 1; silence added for padding stays zero.
    """
    varied = dict(batch)
    mirrored = [generator.random() < 0.5 for generator in generators]
    channels = [generator.permutation(3).tolist() for generator in generators]
    gains = [(1 + strength * MOST_GAIN * generator.uniform(-1, 1, 3)).tolist() for generator in generators]
    if "frames" in batch:
        # Clip by clip and channel by channel: a gather over all clips needs an 8-byte index for each byte of frames.
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


def borrow(batch: dict[str, Tensor], share: float, generators: list[np.random.Generator]) -> dict[str, Tensor]:
    """Give a `share` of the clips the frames, the text masks or both of another clip of the batch and of their kind.

    They are shifted by whole seconds so that the boundaries coincide. Nothing is cut. Sound and picture then belong to
    different clips, so each modality must find the boundary by itself, and few clips make many combinations.
    """
    borrowed = dict(batch)
    for name in ("frames", "text_roi"):
        if name in batch:
            borrowed[name] = batch[name].clone()
    seconds, kind = batch["seconds"].floor(), batch["kind"]
    for i, generator in enumerate(generators):
        if generator.random() >= share:
            continue
        fits = (kind == kind[i]) & ((seconds - seconds[i]).abs() <= MOST_MOVED)
        fits[i] = False
        others = fits.nonzero().flatten().tolist()
        which = generator.integers(3)
        if not others:
            continue
        j = others[int(generator.integers(len(others)))]
        shift = (seconds[i] - seconds[j]).long()[None]
        for name in (("frames",), ("text_roi",), ("frames", "text_roi"))[which]:
            if name in batch:
                borrowed[name][i] = _shift(batch[name][j:j + 1], shift, 0)[0]
    return borrowed


def _cosines(device) -> Tensor:
    """The DCT matrix C of librosa's MFCC, for BANDS bands, (20, BANDS); C C^T * 128 / BANDS is the identity."""
    k, m = torch.arange(len(MFCC_OFFSETS), device=device)[:, None], torch.arange(BANDS, device=device)
    rows = torch.cos(torch.pi * k * (2 * m + 1) / (2 * BANDS)) * (2 / 128) ** 0.5          # (20, BANDS)
    rows[0] /= 2 ** 0.5
    return rows


def damage(batch: dict[str, Tensor], share: float, generators: list[np.random.Generator]) -> dict[str, Tensor]:
    """Degrade clips like old or re-encoded copies: each kind of damage hits a `share` of them, drawn independently.

    Another speed (the label moves with it), a low-pass filter, noise with a changed dynamic range, frequency bands
    moved, a blurred picture, a mark in its corner, missing text boxes, another gamma or a negative. Takes and returns
    the tensors of ClipDataset, on any device.
    """
    changed = {"seconds", "mfcc", *by_second(batch)}
    damaged = {name: value.clone() if name in changed else value
               for name, value in batch.items()}
    for i, generator in enumerate(generators):
        hit = generator.random(8) < share
        speed, sound, look = (np.random.default_rng(generator.integers(2 ** 62)) for _ in range(3))
        if hit[0]:
            _change_speed(damaged, i, speed)
        if "mfcc" in batch and hit[[1, 2, 6]].any():
            damaged["mfcc"][i] = _damage_sound(damaged["mfcc"][i], hit[1], hit[2], hit[6], sound)
        if "frames" in batch and hit[3]:
            damaged["frames"][i] = _blur(damaged["frames"][i], int(look.integers(2, 4)))
        if "frames" in batch and hit[7]:
            damaged["frames"][i] = _recolour(damaged["frames"][i], look)
        if "frames" in batch and hit[4]:
            _mark_corner(damaged["frames"][i], look)
        if "text_roi" in batch and hit[5]:
            _lose_text(damaged["text_roi"][i], look)
    return damaged


def _change_speed(batch: dict[str, Tensor], i: int, generator: np.random.Generator) -> None:
    seconds = float(batch["seconds"][i])
    factor = max(1 + MOST_SPEED * generator.uniform(-1, 1), seconds / (CLIP_SECONDS - MARGIN))
    if factor > 1 + MOST_SPEED:     # its label is already beyond the clip
        return
    batch["seconds"][i] = seconds / factor
    for name, dimension in (("mfcc", 1), *((name, 0) for name in by_second(batch))):
        if name in batch:
            x = batch[name][i]
            length = x.shape[dimension]
            place = torch.arange(length, device=x.device) * factor
            source = (place + factor / 2).floor().long()
            if dimension == 0:     # one a second: the nearest one on the same side of the boundary
                source = torch.where(place < seconds, source.clamp(max=math.ceil(seconds) - 1),
                                     source.clamp(min=math.ceil(seconds)))
            played = x.index_select(dimension, source.clamp(max=length - 1))
            num_played = int((source < length).sum())
            played.narrow(dimension, num_played, length - num_played).zero_()
            batch[name][i] = played


def _damage_sound(
    mfcc: Tensor, low_pass: bool, soften: bool, warp: bool, generator: np.random.Generator
) -> Tensor:
    """Damage the MFCC of one clip, (20, T) -> (20, T); steps of zeros (padding) stay zero."""
    rows = _cosines(mfcc.device).to(mfcc.dtype)
    played = (mfcc != 0).any(0)
    before = rows.T @ mfcc                                                    # (BANDS, T), dB, smoothed
    bands = before
    if warp:        # bands move as with another voice or tuning
        source = torch.arange(BANDS, device=mfcc.device) * generator.uniform(0.85, 1.15)
        low = source.floor().long().clamp(max=BANDS - 1)
        part = (source - low).clamp(0, 1).to(bands.dtype)[:, None]
        bands = bands[low] * (1 - part) + bands[(low + 1).clamp(max=BANDS - 1)] * part
    loudest = bands[:, played].amax() if played.any() else bands.new_zeros(())
    if soften:
        level = loudest - generator.uniform(25, 60)
        bands = torch.logaddexp(bands * DECIBEL, level * DECIBEL) / DECIBEL
        mean = bands[:, played].mean()
        bands = mean + generator.uniform(0.6, 1.1) * (bands - mean)
    if low_pass:
        bands = bands.clone()
        bands[int(BANDS * generator.uniform(0.55, 0.95)):] = loudest - LOUDEST_RANGE
    return torch.where(played, mfcc + (128 / BANDS) * (rows @ (bands - before)), mfcc)


def _recolour(frames: Tensor, generator: np.random.Generator) -> Tensor:
    """Frames (200, 66, 88, 3) uint8 with another gamma; one clip in three as a negative."""
    table = 255 * (torch.arange(256) / 255) ** float(generator.uniform(0.5, 2))
    if generator.random() < 1 / 3:
        table = table.flip(0)
    return table.round().to(torch.uint8).to(frames.device)[frames.int()]


def _blur(frames: Tensor, factor: int) -> Tensor:
    """Frames (200, 66, 88, 3) uint8, downscaled by `factor` and upscaled again."""
    x = frames.permute(0, 3, 1, 2).float()
    small = torch.nn.functional.avg_pool2d(x, factor, ceil_mode=True)
    back = torch.nn.functional.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False)
    return back.round().to(torch.uint8).permute(0, 2, 3, 1)


def _lose_text(masks: Tensor, generator: np.random.Generator) -> None:
    """Empty the masks of single seconds or of a stretch, as for a script that the detector does not know. In place."""
    share = generator.uniform(0.1, 0.6)
    seconds = np.arange(len(masks))
    lost = generator.random(len(masks)) < share
    if generator.random() < 0.5:
        lost = (seconds - generator.integers(len(masks))) % len(masks) < share * len(masks)
    masks[torch.from_numpy(lost).to(masks.device)] = 0


def _mark_corner(frames: Tensor, generator: np.random.Generator) -> None:
    """Put a station's mark over all frames, in place."""
    height, width = frames.shape[1:3]
    h, w = (int(generator.uniform(0.06, 0.14) * size) + 1 for size in (height, width))
    top = 2 if generator.random() < 0.7 else height - h - 2
    left = 2 if generator.random() < 0.5 else width - w - 2
    mark = torch.from_numpy(generator.integers(0, 256, (1, (h + 1) // 2, (w + 1) // 2, 3)).astype(np.uint8))
    mark = mark.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :h, :w].to(frames.device)
    place = frames[:, top:top + h, left:left + w]
    opacity = generator.uniform(0.4, 1.0)
    place.copy_((place.float() * (1 - opacity) + mark.float() * opacity).to(torch.uint8))
