"""Plain facts of a clip's sound, pictures and text, second by second and relative to the clip itself.

There are no weights in here, so what these tell does not hang on how the training clips look or sound.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from models.layers import STEPS, in_float32

BEAT_RATE, BEAT_WINDOW = 40, 8     # steps a second and s of the courses in which a beat is looked for
BEAT_BANDS = (0.375, 0.75, 1.25, 2.0, 3.0, 4.5, 6.5, 10.0, 16.0)     # Hz; edges
REACHES = (1, 3, 9, 27)        # s; how far to both sides the novelty of a second is looked for
RETURNS = (20, 80)             # s; how far to both sides a shot is looked for again,
SAME_SHOT = 4                  # from so many seconds away on
LEVELS = (-0.8, 0.0, 0.8)      # deviations of a colour from the clip's mean, between which colours are counted
LEAST_DISTANCE = 0.05          # of a clip's mean distance; before the logarithm, as is
LEAST_TEXT = 0.01              # share of a cell
NUM_RHYTHM, NUM_SCENES, NUM_LAYOUT = 27, 18, 16      # facts a second
EPSILON = 1e-4                 # under a square root: its slope at 0 is not finite


def relative(x: Tensor, valid: Tensor) -> Tensor:
    """Each channel of each clip with mean 0 and deviation 1 over its valid steps, 0 elsewhere. (B, C, T), (B, 1, T)."""
    count = valid.sum(2, keepdim=True).clamp(min=1)
    mean = (x * valid).sum(2, keepdim=True) / count
    centred = (x - mean) * valid
    return centred / (centred.square().sum(2, keepdim=True) / count + EPSILON).sqrt()


def novelty(x: Tensor) -> Tensor:
    """How much a step's next REACHES steps differ from its last ones, in the root mean square of the channels.

    (B, C, T) -> (B, len(REACHES), T). Foote's novelty of a self-similarity (2000), with means in place of the matrix.
    """
    total = pad(x.cumsum(2), (1, 0))                                              # (B, C, T + 1)
    edges = torch.arange(x.shape[2], device=x.device)
    found = []
    for reach in REACHES:
        low, high = (edges - reach).clamp(min=0), (edges + reach).clamp(max=x.shape[2])
        before = (total[:, :, edges] - total[:, :, low]) / (edges - low).clamp(min=1)
        after = (total[:, :, high] - total[:, :, edges]) / (high - edges)
        # A mean over few steps at an end of the clip is unlike any other by chance alone.
        trust = torch.minimum(edges - low, high - edges) / reach
        found.append(((after - before).square().mean(1) * trust + EPSILON).sqrt())
    return torch.stack(found, 1)


def rhythm(x: Tensor) -> Tensor:
    """How strong and how regular the pulse of the sound is around each second. (B, 20, T) -> (B, 27, 200).

    The magnitudes of each coefficient's course over BEAT_WINDOW s, its modulation spectrum: for three groups of
    coefficients the log of its bands, and how far its peak between 1 and 6 Hz stands out. A song keeps time, whatever
    plays it; talk does not.
    """
    with torch.no_grad(), in_float32(x):
        b, c, _ = x.shape
        course = nn.functional.adaptive_avg_pool1d(x.float(), BEAT_RATE * STEPS).flatten(0, 1)
        size = BEAT_WINDOW * BEAT_RATE
        spectrum = torch.stft(course, size, BEAT_RATE, window=torch.hann_window(size, device=x.device),
                              return_complex=True, pad_mode="constant").abs()[:, :, :STEPS]
        spectrum = spectrum.unflatten(0, (b, c)) + 1e-2                                   # (B, 20, F, 200)
        edges = [round(hertz * BEAT_WINDOW) for hertz in BEAT_BANDS]
        bands = torch.stack([spectrum[:, :, low:high].mean(2) for low, high in zip(edges, edges[1:], strict=False)], 2)
        beat = spectrum[:, :, BEAT_WINDOW:6 * BEAT_WINDOW]
        peak = (beat.amax(2) / beat.mean(2)).unsqueeze(2)
        told = torch.cat([bands, peak], 2).log()                                          # (B, 20, 9, 200)
        return torch.cat([told[:, first:last].mean(1) for first, last in ((0, 1), (1, 5), (5, c))], 1)


def inside(frames: Tensor) -> Tensor:
    """1 for each second of a clip but those of black frames at its ends. (B, 200, 66, 88, 3) -> (B, 1, 200)."""
    black = (frames.flatten(2).amax(2) == 0).float()
    ends = black.cumprod(1) + black.flip(1).cumprod(1).flip(1)
    return (ends == 0).float().unsqueeze(1)


def scenes(scaled: Tensor, small: Tensor, valid: Tensor) -> Tensor:
    """Plain facts of a clip's pictures that hang on no family's look. -> (B, 18, 200).

    scaled  (B, 200, 3, 66, 88), colours relative to the clip; small (B, 144, 200), the same as 6x8 pictures

    Light, contrast, saturation and sharpness of each second; how far it differs from the second before; and how far it
    is from the likest one further back and further on: an opening's shots come once, a scene's come back.
    """
    with torch.no_grad(), in_float32(scaled):
        x = scaled[:, :, :, ::3, ::3].float()
        light = x.mean(2)                                                                           # (B, 200, 22, 30)
        facts = [light.mean((2, 3)), light.std((2, 3)), (x.amax(2) - x.amin(2)).mean((2, 3)),
                 light.diff(dim=2).abs().mean((2, 3)), light.diff(dim=3).abs().mean((2, 3)), light.amax((2, 3))]
        levels = sum((x > level).long() for level in LEVELS)                                    # (B, 200, 3, 22, 30)
        bins = (levels[:, :, 0] * 16 + levels[:, :, 1] * 4 + levels[:, :, 2]).flatten(2)
        counts = torch.zeros(*bins.shape[:2], 64, device=x.device)
        counts.scatter_add_(2, bins, torch.ones_like(bins, dtype=counts.dtype))
        root = (counts / bins.shape[2]).sqrt()
        pictures = small.transpose(1, 2).contiguous()
        for each in (pictures, root):
            # Not by matrix products: of like pictures only their rounding would be left.
            distance = torch.cdist(each, each, compute_mode="donot_use_mm_for_euclid_dist")
            distance = distance / (distance.mean((1, 2), keepdim=True) + EPSILON)
            step = distance.diagonal(1, 1, 2)
            facts.append(torch.log(pad(step, (1, 0)) + LEAST_DISTANCE))
            facts.append(torch.log(pad(step, (0, 1)) + LEAST_DISTANCE))
            facts += [torch.log(found + LEAST_DISTANCE) for found in returns(distance, valid)]
        return relative(torch.stack(facts, 1), valid)


def returns(distance: Tensor, valid: Tensor) -> list[Tensor]:
    """How far the likest second lies within RETURNS before and after each one, four times (B, T); 1 where none is."""
    time = torch.arange(distance.shape[1], device=distance.device)
    gap = time[None, :] - time[:, None]                       # of the other second, seen from this one
    found = []
    for reach in RETURNS:
        for side in (-gap, gap):
            counts = ((side >= SAME_SHOT) & (side <= reach)) & (valid > 0)                         # (B, T, T)
            near = distance.masked_fill(~counts, float("inf")).amin(2)
            found.append(near.nan_to_num(posinf=1.0))
    return found


def layout(text_roi: Tensor) -> Tensor:
    """How much text each ninth of the picture holds, and how much comes and goes. (B, 200, 27, 36) -> (B, 16, 200)."""
    with torch.no_grad():
        x = text_roi.float()
        cells = nn.functional.avg_pool2d(x, (9, 12)).flatten(2)                                     # (B, 200, 9)
        step = x.diff(dim=1).abs().mean((2, 3))
        facts = torch.cat([cells, x.mean((2, 3))[..., None], pad(step, (1, 0))[..., None],
                           pad(step, (0, 1))[..., None]], 2)
        told = relative(torch.log(facts + LEAST_TEXT).transpose(1, 2), torch.ones_like(facts[:, None, :, 0]))
        return torch.cat([told, novelty(told[:, :9])], 1)
