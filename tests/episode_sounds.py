"""Music and story for the tests of what repeats: each song is another, no two stretches of story are alike."""

import numpy as np

RATE = 12_000      # Hz


def song(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """Chords under a melody, with a drum: float32 (n,)."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(times))
    beat = 60 / rng.uniform(100, 170)
    for voice, step in ((0.15, 4 * beat), (0.15, 4 * beat), (0.3, beat), (0.2, beat / 2)):
        for start in np.arange(0, seconds, step):
            part = slice(round(start * rate), round((start + step) * rate))
            local = times[part] - start
            hertz = 220 * 2 ** (rng.integers(0, 25) / 12)
            swell = np.minimum(1, local / 0.02) * np.exp(-local / step)
            sound[part] += sum(voice / (1 + over) * rng.uniform(0.3, 1) * np.sin(2 * np.pi * hertz * (1 + over) * local)
                               for over in range(4)) * swell
    drum = rng.standard_normal(len(times)) * np.exp(-(times % beat) / 0.04)
    return (0.5 * (sound + 0.2 * drum)).astype(np.float32)


def story(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """Syllables and pauses above faint noise: float32 (n,)."""
    rng = np.random.default_rng(10_000 + seed)
    sound = 0.003 * rng.standard_normal(round(seconds * rate))
    start = 0.0
    while start < seconds:
        lasts = rng.uniform(0.08, 0.3)
        part = slice(round(start * rate), round((start + lasts) * rate))
        local = np.arange(len(sound[part])) / rate
        tone, form = rng.uniform(110, 320), rng.uniform(300, 2400)
        for over in range(1, 12):
            weight = np.exp(-((tone * over - form) / 500) ** 2) + 0.05
            sound[part] += 0.15 * weight * np.sin(2 * np.pi * tone * over * local) * np.sin(np.pi * local / lasts)
        start += lasts + rng.choice([0.02, 0.5], p=[0.8, 0.2])
    return sound.astype(np.float32)


def joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
