"""Hand-made features of a clip's sound, pictures and text, second by second and relative to the clip itself.

They have no weights, so they do not depend on how the training clips look or sound.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from models.layers import STEPS, in_float32

BEAT_RATE, BEAT_WINDOW = 40, 8     # steps a second and length (s) of the window in which a beat is looked for
BEAT_BANDS = (0.375, 0.75, 1.25, 2.0, 3.0, 4.5, 6.5, 10.0, 16.0)     # Hz; edges of the bands
REACHES = (1, 3, 9, 27)        # s; spans before and after a second whose means its novelty compares
RETURNS = (20, 80)             # s; how far before and after a second the most similar one is looked for
SAME_SHOT = 4                  # s; seconds nearer than this count as the same shot and are not compared
LEVELS = (-0.8, 0.0, 0.8)      # standard deviations from the clip's mean colour; edges of the colour histogram's bins
LEAST_DISTANCE = 0.05          # share of a clip's mean distance; added before the logarithm
LEAST_TEXT = 0.01              # share of a cell; added before the logarithm
NUM_RHYTHM, NUM_SCENES, NUM_LAYOUT, NUM_LIKENESS = 27, 18, 16, 10      # facts a second
EPSILON = 1e-4                 # added under square roots, whose gradient at 0 is infinite, and to divisors


def relative(x: Tensor, valid: Tensor) -> Tensor:
    """Standardise each clip's channels over its valid steps; 0 elsewhere. x (B, C, T), valid (B, 1, T) -> (B, C, T)."""
    count = valid.sum(2, keepdim=True).clamp(min=1)
    mean = (x * valid).sum(2, keepdim=True) / count
    centred = (x - mean) * valid
    return centred / (centred.square().sum(2, keepdim=True) / count + EPSILON).sqrt()


def novelty(x: Tensor) -> Tensor:
    """Root mean square difference, over channels, between the means of the REACHES steps after and before each step.

    (B, C, T) -> (B, len(REACHES), T). Foote's novelty (2000), with means in place of the self-similarity matrix.
    """
    total = pad(x.cumsum(2), (1, 0))                                              # (B, C, T + 1)
    edges = torch.arange(x.shape[2], device=x.device)
    found = []
    for reach in REACHES:
        low, high = (edges - reach).clamp(min=0), (edges + reach).clamp(max=x.shape[2])
        before = (total[:, :, edges] - total[:, :, low]) / (edges - low).clamp(min=1)
        after = (total[:, :, high] - total[:, :, edges]) / (high - edges)
        # Near the clip's ends a mean covers few steps and differs by chance alone, so it counts less.
        trust = torch.minimum(edges - low, high - edges) / reach
        found.append(((after - before).square().mean(1) * trust + EPSILON).sqrt())
    return torch.stack(found, 1)


def rhythm(x: Tensor) -> Tensor:
    """How strong and how regular the beat of the sound is around each second. (B, 20, T) -> (B, 27, 200).

    Taken from the modulation spectrum, the magnitude spectrum of each coefficient over BEAT_WINDOW s: the log of its
    bands, and of its peak between 1 and 6 Hz over its mean there; each averaged over three groups of coefficients. A
    song keeps time whatever the instruments; speech does not.
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
    """1 for each second, 0 for black frames at the clip's start and end. (B, 200, 66, 88, 3) -> (B, 1, 200)."""
    black = (frames.flatten(2).amax(2) == 0).float()
    ends = black.cumprod(1) + black.flip(1).cumprod(1).flip(1)
    return (ends == 0).float().unsqueeze(1)


def scenes(scaled: Tensor, small: Tensor, valid: Tensor) -> Tensor:
    """Features of a clip's pictures that do not depend on the style of its drawing. -> (B, 18, 200).

    scaled (B, 200, 3, 66, 88), colours relative to the clip; small (B, 144, 200), the same frames averaged to 6x8

    Brightness, contrast, saturation and sharpness of each second; its distance from the seconds before and after; and
    its distance from the most similar one on both sides (`returns`): an opening's shots come once, a scene's return.
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
            # Not by matrix products: their rounding errors exceed the distance of similar pictures.
            distance = torch.cdist(each, each, compute_mode="donot_use_mm_for_euclid_dist")
            distance = distance / (distance.mean((1, 2), keepdim=True) + EPSILON)
            step = distance.diagonal(1, 1, 2)
            facts.append(torch.log(pad(step, (1, 0)) + LEAST_DISTANCE))
            facts.append(torch.log(pad(step, (0, 1)) + LEAST_DISTANCE))
            facts += [torch.log(found + LEAST_DISTANCE) for found in returns(distance, valid)]
        return relative(torch.stack(facts, 1), valid)


def returns(distance: Tensor, valid: Tensor) -> list[Tensor]:
    """Distance from each second to the most similar one within RETURNS before and after: four (B, T); 1 if none."""
    time = torch.arange(distance.shape[1], device=distance.device)
    gap = time[None, :] - time[:, None]                       # (T, T), s, from this second (row) to the other (column)
    found = []
    for reach in RETURNS:
        for side in (-gap, gap):
            counts = ((side >= SAME_SHOT) & (side <= reach)) & (valid > 0)                         # (B, T, T)
            near = distance.masked_fill(~counts, float("inf")).amin(2)
            found.append(near.nan_to_num(posinf=1.0))
    return found


def likeness(x: Tensor, valid: Tensor) -> Tensor:
    """How like a second's vector is to those near it: x (B, D, 200), valid (B, 1, 200) -> (B, 10, 200).

    Its distance from the seconds before and after, from the most similar one on both sides (`returns`), and novelty.
    None of these depends on what single numbers of the vectors stand for.
    """
    with torch.no_grad(), in_float32(x):
        x = x.float()
        products = x.transpose(1, 2) @ x                                                            # (B, 200, 200)
        squares = products.diagonal(0, 1, 2)
        distance = (squares[:, :, None] + squares[:, None] - 2 * products).clamp(min=0).sqrt()
        distance = distance / (distance.mean((1, 2), keepdim=True) + EPSILON)
        step = distance.diagonal(1, 1, 2)
        facts = [pad(step, (1, 0)), pad(step, (0, 1)), *returns(distance, valid)]
        facts = torch.log(torch.stack(facts, 1) + LEAST_DISTANCE)
        return relative(torch.cat([facts, novelty_of_products(products / x.shape[1])], 1), valid)


def novelty_of_products(products: Tensor) -> Tensor:
    """`novelty` of long vectors, from the mean products of each two of them, (B, T, T) -> (B, len(REACHES), T)."""
    total = pad(products.double().cumsum(1).cumsum(2), (1, 0, 1, 0))                               # (B, T + 1, T + 1)
    edges = torch.arange(products.shape[1], device=products.device)
    found = []
    for reach in REACHES:
        low, high = (edges - reach).clamp(min=0), (edges + reach).clamp(max=products.shape[1])
        before, after = (edges - low).clamp(min=1), high - edges
        at, lower, higher = total[:, edges, edges], total[:, low, low], total[:, high, high]
        past = (at - 2 * total[:, low, edges] + lower) / before.square()
        future = (higher - 2 * total[:, edges, high] + at) / after.square()
        both = (total[:, edges, high] - at - total[:, low, high] + total[:, low, edges]) / (before * after)
        trust = torch.minimum(edges - low, after) / reach
        found.append(((past + future - 2 * both).clamp(min=0) * trust + EPSILON).sqrt())
    return torch.stack(found, 1).to(products.dtype)


def layout(text_roi: Tensor) -> Tensor:
    """Share of text in each ninth of the picture and in all of it, and how it changes. -> (B, 16, 200)."""
    with torch.no_grad():
        x = text_roi.float()
        cells = nn.functional.avg_pool2d(x, (9, 12)).flatten(2)                                     # (B, 200, 9)
        step = x.diff(dim=1).abs().mean((2, 3))
        facts = torch.cat([cells, x.mean((2, 3))[..., None], pad(step, (1, 0))[..., None],
                           pad(step, (0, 1))[..., None]], 2)
        told = relative(torch.log(facts + LEAST_TEXT).transpose(1, 2), torch.ones_like(facts[:, None, :, 0]))
        return torch.cat([told, novelty(told[:, :9])], 1)
