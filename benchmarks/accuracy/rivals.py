"""Plain methods to find the boundary, each tuned on the training clips, that a network has to beat.

    constant      the best constant answer on the training labels, for start and end clips apart
    black         a black picture or silence near the usual time
    change        the strongest change of the MFCC's mean, weighted by how usual its time is
    fingerprint   the stretch of sound that the episodes of a season share (Haitsma and Kalker, 2002); needs siblings

`tune_...` makes a rival from training clips; it answers one clip, or all clips of a season. Times in seconds.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np

from datatools.layout import CLIP_SECONDS, KINDS, START, Clip
from datatools.media import read_audio
from datatools.scores import best_constant, competition_score

MFCC_RATE = 22_050 / 512       # steps a second
FINGERPRINT_RATE = 5_512       # Hz; its bands lie below 2 kHz
FINGERPRINT_WINDOW, FINGERPRINT_HOP = 2_048, 512      # samples: 0.37 s every 0.093 s
NUM_BITS = 32
MEAN_OVER = 3.0                # s; window over which the share of differing bits is averaged
SHORTEST_THEME = 15.0          # s; a shorter stretch is neither an opening nor an ending


@dataclass
class Example:
    """A training clip: its features, its kind (`s` or `e`), and the truth in seconds."""

    loudness: np.ndarray      # (200,) mean of the first coefficient
    quiet: np.ndarray         # (200,) minimum of the first coefficient within each second
    light: np.ndarray         # (200,) mean brightness, 0 to 255
    mfcc: np.ndarray          # (20, 800), four steps a second, each coefficient with standard deviation 1
    kind: str
    seconds: float | None = None


def read_example(root: Path, clip: Clip, seconds: float | None = None) -> Example:
    """The features of one clip, for the rules below."""
    mfcc = np.load(clip.mfcc(root))
    steps = int(CLIP_SECONDS * MFCC_RATE)
    padded = np.full((mfcc.shape[0], steps), mfcc.min(1, keepdims=True))
    padded[:, :mfcc.shape[1]] = mfcc[:, :steps]
    edges = np.linspace(0, steps, 4 * CLIP_SECONDS + 1).astype(int)
    quarters = np.add.reduceat(padded, edges[:-1], axis=1) / np.diff(edges)            # (20, 800)
    quiet = np.minimum.reduceat(padded[0], edges[:-1:4])
    frames = np.load(clip.frames(root), mmap_mode="r")
    light = frames[:, ::4, ::4].mean((1, 2, 3))
    spread = quarters.std(1, keepdims=True) + 1e-6
    scaled = (quarters - quarters.mean(1, keepdims=True)) / spread
    return Example(quarters[0].reshape(-1, 4).mean(1), quiet, light, scaled, clip.kind, seconds)


def cost(answers: list[float], examples: list[Example]) -> float:
    return competition_score(np.array(answers), np.array([e.seconds for e in examples]))


def by_kind(examples: list[Example], tune: Callable) -> Callable[[Example], float]:
    """A rule tuned for start and end clips apart."""
    rules = {kind.letter: tune([e for e in examples if e.kind == kind.letter]) for kind in KINDS}
    return lambda example: rules[example.kind](example)


def tune_constant(examples: list[Example]) -> Callable[[Example], float]:
    # All examples here are of one kind, so all names may end in _start.
    answer = best_constant({f"{i}_start": e.seconds for i, e in enumerate(examples)})["0_start"]
    return lambda _: answer


def usual_times(examples: list[Example]) -> np.ndarray:
    """Log density of the true times at each quarter second, (800,): a kernel estimate with a bandwidth of 10 s."""
    times = (np.arange(4 * CLIP_SECONDS) + 0.5) / 4
    truth = np.array([e.seconds for e in examples])
    density = np.exp(-((times[:, None] - truth) / 10) ** 2 / 2).mean(1)
    return np.log(density + 1e-4)


def tune_black(examples: list[Example]) -> Callable[[Example], float]:
    """Black picture and silence: of all such stretches, answer with the end of the one at the most usual time."""
    usual, constant = usual_times(examples), tune_constant(examples)

    def rule(dark: float, hush: float, both: bool, late: bool) -> Callable[[Example], float]:
        def answer(example: Example) -> float:
            black = example.light < dark
            silent = example.quiet < np.quantile(example.loudness, 0.05) - hush
            found = black & silent if both else black | silent
            if not found.any():
                return constant(example)
            edges = np.flatnonzero(np.diff(np.concatenate([[0], found.astype(int), [0]])))
            starts, ends = edges[::2], edges[1::2]
            places = (ends if late else starts).astype(float)
            places = places[(places > 1) & (places < CLIP_SECONDS - 1)]
            if not len(places):
                return constant(example)
            return float(places[np.argmax(usual[(4 * places).astype(int)])])
        return answer

    rules = [rule(*choice) for choice in itertools.product((8, 16, 30), (0, 30, 80), (False, True), (False, True))]
    return min(rules, key=lambda r: cost([r(e) for e in examples], examples))


def change_curve(mfcc: np.ndarray, reach: int) -> np.ndarray:
    """Distance between the means of the next and of the last `reach` steps. (C, T) -> (T,)."""
    total = np.concatenate([np.zeros((len(mfcc), 1)), mfcc.cumsum(1)], 1)
    t = np.arange(mfcc.shape[1])
    low, high = np.maximum(t - reach, 0), np.minimum(t + reach, mfcc.shape[1])
    before = (total[:, t] - total[:, low]) / np.maximum(t - low, 1)
    after = (total[:, high] - total[:, t]) / (high - t)
    return np.sqrt(((after - before) ** 2).mean(0)) * (t > 4)


def tune_change(examples: list[Example]) -> Callable[[Example], float]:
    """Change point: the maximum of the change of the MFCC's mean plus a weight times `usual_times`."""
    usual = usual_times(examples)

    def rule(reach: int, weight: float) -> Callable[[Example], float]:
        return lambda example: (float(np.argmax(change_curve(example.mfcc, 4 * reach) + weight * usual)) + 0.5) / 4

    rules = [rule(*choice) for choice in itertools.product((4, 8, 16, 30), (0.0, 0.02, 0.05, 0.1, 0.2, 0.4))]
    return min(rules, key=lambda r: cost([r(e) for e in examples], examples))


def fingerprint(video: Path) -> np.ndarray:
    """Bits that tell which of 33 bands (300 to 2000 Hz) grow relative to their neighbour, by window, (T,) uint32."""
    sound = read_audio(video, FINGERPRINT_RATE)
    spectrum = np.abs(librosa.stft(sound, n_fft=FINGERPRINT_WINDOW, hop_length=FINGERPRINT_HOP)) ** 2
    hertz = librosa.fft_frequencies(sr=FINGERPRINT_RATE, n_fft=FINGERPRINT_WINDOW)
    edges = np.searchsorted(hertz, np.geomspace(300, 2000, NUM_BITS + 2))
    energy = np.log(np.add.reduceat(spectrum, edges, axis=0)[:-1] + 1e-9)             # (33, T)
    slope = energy[:-1] - energy[1:]
    bits = np.diff(slope, axis=1, prepend=slope[:, :1]) > 0
    return (bits.T * (1 << np.arange(NUM_BITS, dtype=np.uint64))).sum(1).astype(np.uint32)


def shared_stretch(one: np.ndarray, other: np.ndarray, most_different: float) -> tuple[float, float] | None:
    """(start, end) in seconds, in `one`, of the longest stretch of sound that is in `other` too; None without one."""
    per_second = FINGERPRINT_RATE / FINGERPRINT_HOP
    width = round(MEAN_OVER * per_second)
    longest: tuple[int, int] = (0, 0)
    best_offset = 0
    for offset in range(-len(other) + width, len(one) - width):
        a, b = max(0, offset), min(len(one), offset + len(other))
        different = np.bitwise_count(one[a:b] ^ other[a - offset:b - offset]).astype(np.float32) / NUM_BITS
        total = np.concatenate([[0], different.cumsum()])
        mean = (total[width:] - total[:-width]) / width
        if mean.min(initial=1) > most_different:
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (mean < most_different).astype(int), [0]])))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            if last - first + width > longest[1] - longest[0]:
                longest, best_offset = (a + first, a + last + width), offset
    if longest[1] - longest[0] < SHORTEST_THEME * per_second:
        return None
    # The mean over MEAN_OVER s blurs the edges: put them where the difference of the bits itself changes most.
    a, b = max(0, best_offset), min(len(one), best_offset + len(other))
    different = np.bitwise_count(one[a:b] ^ other[a - best_offset:b - best_offset]).astype(np.float32) / NUM_BITS
    start, end = (a + _sharpest(different, edge - a, width, sign) for edge, sign in zip(longest, (-1, 1), strict=True))
    return start / per_second, end / per_second


def _sharpest(different: np.ndarray, edge: int, width: int, sign: int) -> int:
    """The index near `edge` with the largest (sign 1) or smallest (sign -1) mean after it minus mean before it.

    The clip's own end, where the stretch reaches it.
    """
    if edge <= width // 2 or edge >= len(different) - width // 2:
        return edge
    places = np.arange(max(1, edge - width), min(len(different) - 1, edge + width))
    total = np.concatenate([[0], different.cumsum()])
    after = np.minimum(places + width, len(different))
    before = np.maximum(places - width, 0)
    step = (total[after] - total[places]) / (after - places) - (total[places] - total[before]) / (places - before)
    return int(places[np.argmax(sign * step)])


def fingerprint_answers(
    clips: dict[str, tuple[np.ndarray, str, object]], constant: Callable[[str], float], most_different: float = 0.35
) -> dict[str, float]:
    """{name: seconds} from {name: (fingerprint, kind, season)}: where the stretch shared with most siblings ends (`s`)
    or begins (`e`), in the median over the siblings; the constant where nothing is shared.
    """
    answers = {}
    for name, (bits, kind, season) in clips.items():
        found = [shared_stretch(bits, other, most_different) for sibling, (other, its_kind, its_season) in clips.items()
                 if sibling != name and its_kind == kind and its_season == season]
        edges = [stretch[kind == START.letter] for stretch in found if stretch]
        answers[name] = float(np.median(edges)) if edges else constant(kind)
    return answers
