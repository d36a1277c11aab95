"""The sound of a made clip of the family "film": synthesizers, struck metal and a choir.

    sound = render_sound(plan, FilmStudio)       # its song() is a FilmSong

Sounds are filtered noise and moving filters over saw teeth.
"""

import math

import numpy as np
from scipy.fft import irfft, next_fast_len
from scipy.signal import lfilter

from synth.plan import ClipPlan, Event
from synth.sound import LEVEL, Song, Studio, add

METERS = {"4/4": (8, (0, 4)), "5/4": (10, (0, 6)), "7/8": (7, (0, 4))}  # eighths in a bar, where it is struck
SCALES = (
    (0, 2, 3, 5, 7, 8, 10),
    (0, 1, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 8, 11),
    (0, 2, 4, 6, 7, 9, 11),
    (0, 2, 3, 5, 7, 9, 10),
)
ROOTS = (0, 0, 0, 1, 2, 3, 4, 5, 5, 6)  # scale degrees that a bar may stand on
# Struck metal and glass: ratio of each mode to the first, its strength, and how fast it falls (1/s).
MODES_OF = {
    "gamelan": ((1, 1.0, 1.6), (2.76, 0.6, 3.0), (5.4, 0.35, 5.0), (8.93, 0.2, 9.0)),
    "glass": ((1, 1.0, 3.5), (2.32, 0.35, 6.0), (4.25, 0.3, 9.0), (6.63, 0.12, 14.0)),
    "gong": ((1, 1.0, 0.7), (1.47, 0.9, 0.9), (2.09, 0.8, 1.2), (2.56, 0.5, 1.6), (3.39, 0.4, 2.5), (4.9, 0.2, 4.0)),
}
CHOIR = ((640, 1090, 2700), (430, 870, 2600), (330, 780, 2500))  # Hz: formants of ah, oh, oo
TILE = 1 << 16  # samples of a sound that is made periodic, to be repeated


def shaped_noise(rng: np.random.Generator, size: int, rate: int, strength) -> np.ndarray:
    """Periodic noise, float32 (size,), root mean square 1; `strength` gives the spectrum's amplitude for hertz."""
    hertz = np.arange(size // 2 + 1, dtype=np.float32) * np.float32(rate / size)
    bins = rng.standard_normal((2, hertz.size), dtype=np.float32) * strength(hertz).astype(np.float32)
    sound = irfft(bins[0] + 1j * bins[1], size)
    return (sound / (np.sqrt((sound**2).mean()) + 1e-12)).astype(np.float32)


def comb(hertz: np.ndarray, first: float, width: float) -> np.ndarray:
    """Peaks at the multiples of `first` (Hz), `width` (share of it) wide."""
    return np.exp(-((((hertz / first + 0.5) % 1 - 0.5) / width) ** 2)) * (hertz > 0.5 * first)


class FilmStudio(Studio):
    """The instruments, drums and voices of one clip of the family "film"."""

    def _make_note(self, instrument: str, midi: int, seconds: float) -> np.ndarray:
        """Instruments: strings, choir0 to choir2, brass, bass, pulse, and those of MODES_OF."""
        rate, hertz = self.sample_rate, 440 * 2 ** ((midi - 69) / 12)
        kind = instrument.rstrip("012")
        attack, release = {
            "strings": (0.25, 0.5),
            "choir": (0.15, 0.35),
            "brass": (0.08, 0.3),
            "bass": (0.01, 0.08),
            "pulse": (0.01, 0.1),
        }.get(kind, (0.002, 1.6 if instrument == "gong" else 0.6))
        size = self.samples(seconds + release)
        time = np.arange(size, dtype=np.float32) / np.float32(rate)
        if kind in ("strings", "choir"):
            sound = np.resize(self._tile(instrument, midi), size)
        elif kind == "brass":
            phase = hertz * time
            sound = phase % 1 - 0.5 + (1.006 * phase) % 1 - 0.5
            sound = self._swept(sound, hertz, seconds)
        elif kind == "bass":
            sound = np.tanh(2.5 * (np.sin(2 * np.pi * hertz * time) + 0.4 * ((hertz * time) % 1 - 0.5)))
        elif kind == "pulse":
            phase = hertz * time
            sound = np.where(phase % 1 < 0.3 + 0.15 * np.sin(3 * time), 1.0, -1.0) * np.exp(-4 * time)
            sound = _ring(sound, min(9 * hertz, 0.3 * rate), 500.0, rate) + 0.4 * _ring(sound, 2 * hertz, 300.0, rate)
        else:
            sound = sum(
                strength * np.exp(-fall * time) * np.sin(2 * np.pi * hertz * ratio * time)
                for ratio, strength, fall in MODES_OF[instrument]
                if hertz * ratio < 0.45 * rate
            )
        sound = sound / (np.sqrt((sound[: max(1, self.samples(seconds))] ** 2).mean()) + 1e-9)
        envelope = np.minimum(1, time / attack) * np.clip((seconds + release - time) / release, 0, 1)
        return (0.5 * sound * envelope).astype(np.float32)

    def _tile(self, instrument: str, midi: int) -> np.ndarray:
        """Periodic noise of strings or of a choir at a pitch."""
        key = (instrument, midi, -1)
        if key not in self.notes:
            first = 440 * 2 ** ((midi - 69) / 12)

            def bowed(hertz: np.ndarray) -> np.ndarray:
                body = 1 + 1.5 * np.exp(-(((hertz - 480) / 180) ** 2)) + np.exp(-(((hertz - 1900) / 600) ** 2))
                return comb(hertz, first, 0.012 + 0.00001 * hertz) * body / (1 + (hertz / 1500) ** 2)

            def sung(hertz: np.ndarray) -> np.ndarray:
                formants = CHOIR[int(instrument[-1])]
                mouth = sum(
                    np.exp(-(((hertz - self.singer * f) / (90 + 0.05 * f)) ** 2)) / (1 + i)
                    for i, f in enumerate(formants)
                )
                return (comb(hertz, first, 0.02 + 0.000008 * hertz) + 0.01) * (mouth + 0.03 / (1 + hertz / 800))

            shape = bowed if instrument == "strings" else sung
            self.notes[key] = shaped_noise(self.rng, TILE, self.sample_rate, shape)
        return self.notes[key]

    def _swept(self, sound: np.ndarray, hertz: float, seconds: float) -> np.ndarray:
        """A low-pass that opens and closes again, in blocks of 25 ms."""
        block, state, out = self.samples(0.025), np.zeros(2), []
        for i in range(0, sound.size, block):
            share = i / self.sample_rate / max(seconds, 0.05)
            edge = min(hertz * (1.5 + 7 * min(1, 3 * share) * max(0.15, 1 - 0.6 * share)), 0.2 * self.sample_rate)
            keep = math.exp(-2 * math.pi * edge / self.sample_rate)
            part, state = lfilter([(1 - keep) ** 2], [1, -2 * keep, keep * keep], sound[i : i + block], zi=state)
            out.append(part)
        return np.concatenate(out)

    def _make_drums(self) -> dict[str, np.ndarray]:
        """Electronic and big drums: boom, clap, ride, taiko, tick, rim; float32, peaks near 1."""
        rng, rate = self.rng, self.sample_rate

        def time(seconds: float) -> np.ndarray:
            return np.arange(self.samples(seconds)) / rate

        t = time(0.9)
        boom = np.sin(2 * np.pi * (rng.uniform(38, 52) * t + 3.5 * (1 - np.exp(-22 * t)))) * np.exp(
            -rng.uniform(3.5, 7) * t
        )
        t = time(0.3)
        bursts = sum(np.exp(-90 * np.abs(t - d)) for d in (0.0, 0.011, 0.023)) + 0.7 * np.exp(-16 * t) * (t > 0.023)
        clap = _ring(self.noise(0.3), rng.uniform(1000, 1700), 900, rate) * bursts
        t = time(0.7)
        metal = sum(np.sign(np.sin(2 * np.pi * f * t)) for f in rng.uniform(2500, 7500, 5))
        ride = np.diff(metal + 2 * self.noise(0.7), prepend=0) * np.exp(-rng.uniform(5, 9) * t)
        t = time(0.8)
        skin = np.sin(2 * np.pi * (rng.uniform(62, 85) * t + 1.2 * (1 - np.exp(-40 * t)))) * np.exp(-6 * t)
        taiko = skin + 0.8 * _ring(self.noise(0.8), rng.uniform(180, 320), 160, rate) * np.exp(-14 * t) * 6
        t = time(0.05)
        tick = np.diff(self.noise(0.05), prepend=0) * np.exp(-120 * t)
        t = time(0.12)
        rim = np.sin(2 * np.pi * rng.uniform(700, 1100) * t) * np.sin(2 * np.pi * 1730 * t) * np.exp(-40 * t)
        sounds = {"boom": boom, "clap": clap, "ride": ride, "taiko": taiko, "tick": tick, "rim": rim}
        return {name: (sound / (np.abs(sound).max() + 1e-9)).astype(np.float32) for name, sound in sounds.items()}

    def _make_voice(self) -> list[list[np.ndarray]]:
        """Three rows (high, middle, low) of 14 syllables: narrow pulses through two formants, now and then by radio."""
        rng, rate = self.rng, self.sample_rate
        pitch = float(rng.choice((rng.uniform(62, 105), rng.uniform(150, 220), rng.uniform(250, 340))))
        size, breath, radio = rng.uniform(0.8, 1.3), rng.uniform(0.02, 0.15), rng.random() < 0.35
        rows = []
        for height in (1.12, 1.0, 0.9):
            row = []
            for _ in range(14):
                seconds = rng.uniform(0.13, 0.28)
                count = self.samples(seconds)
                share = np.arange(count) / count
                phase = np.pi * np.cumsum(pitch * height * (1 + rng.uniform(-0.05, 0.05) * share)) / rate
                partials = 2 * max(2, int(3500 / pitch / height / 2)) + 1
                pulses = np.sin(partials * phase) / (partials * np.sin(phase) + 1e-6) + breath * rng.standard_normal(
                    count
                )
                first, second = rng.uniform(260, 780) * size, rng.uniform(880, 2250) * size
                sound = _ring(pulses, first, 90, rate) + 0.7 * _ring(pulses, second, 130, rate)
                if rng.random() < 0.5:  # it glides into another vowel
                    other = _ring(pulses, rng.uniform(260, 780) * size, 90, rate)
                    sound = sound * (1 - share) + other * share
                sound *= np.clip(np.minimum(share / rng.uniform(0.08, 0.3), (1 - share) / 0.25), 0, 1)
                if rng.random() < 0.6:  # a consonant before it
                    start = self.samples(rng.uniform(0.02, 0.07))
                    hiss = _ring(rng.standard_normal(start), rng.uniform(1800, 5200), 900, rate) * np.hanning(start)
                    sound[:start] += rng.uniform(0.3, 1.0) * hiss / (np.abs(hiss).max() + 1e-9) * np.abs(sound).max()
                if radio:
                    sound = np.tanh(2 * _ring(sound, 1500, 1900, rate) / (np.abs(sound).max() + 1e-9))
                row.append((LEVEL * sound / (np.sqrt((sound**2).mean()) + 1e-9)).astype(np.float32))
            rows.append(row)
        return rows

    def song(self, style: str, channels: int) -> "FilmSong":
        return FilmSong(self, style, channels)

    def room_tone(self, seconds: float) -> np.ndarray:
        """float32 (samples,): an engine, rain, air from a duct or a city far away, root mean square LEVEL."""
        rng = self.rng
        kind, a, b = str(rng.choice(("engine", "rain", "duct", "city"))), rng.uniform(0.7, 1.4), rng.random()
        size = next_fast_len(max(16, self.samples(seconds)), real=True)

        def strength(hertz: np.ndarray) -> np.ndarray:
            if kind == "engine":
                return (comb(hertz, 48 * a, 0.012) + 0.015) / (1 + (hertz / 160) ** 2) + 2e-4
            if kind == "rain":
                return np.exp(-(((hertz - 5200 * a) / 4200) ** 2)) + 0.2 / (1 + hertz / 300)
            if kind == "duct":
                return np.exp(-(((hertz - 420 * a) / 160) ** 2)) + 0.4 / (1 + (hertz / 700) ** 2)
            return 1 / (1 + (hertz / 70 / a) ** 2) + b * 0.03 * np.exp(-(((hertz - 420) / 4) ** 2)) + 0.002

        sound = shaped_noise(rng, size, self.sample_rate, strength)
        if kind == "rain":
            drops = rng.integers(0, size, size // 900)
            sound[drops] += rng.normal(0, 4, drops.size).astype(np.float32)
        return sound * np.float32(LEVEL / (np.sqrt((sound**2).mean()) + 1e-9))

    def accent(self) -> np.ndarray:
        """float32 (samples,): a stroke under a quick cut."""
        return self.drums[str(self.rng.choice(("taiko", "boom", "clap")))]

    def _rush(self, seconds: float, falls: bool) -> np.ndarray:
        """Air that swells, or falls away."""
        sound = _ring(self.noise(seconds), self.rng.uniform(300, 1500), 500, self.sample_rate)
        shape = np.linspace(0, 1, sound.size) ** 2.5
        return (sound * (shape[::-1] if falls else shape) / (np.abs(sound).max() + 1e-9)).astype(np.float32)

    def add_chime(self, track: np.ndarray, start: float) -> None:
        """Add the sting of an eyecatch: a swell, then metal."""
        add(track, self.samples(start), self._rush(0.7, False), 0.2)
        for midi in self.rng.integers(40, 76, 3):
            add(track, self.samples(start + 0.7), self.note("gong" if midi < 56 else "gamelan", int(midi), 1.5), 0.1)

    def add_thing(self, track: np.ndarray, start: float, plan: ClipPlan) -> None:
        """Add the noise of a thing: consoles, a sliding door, steps on a grating, a thud, a machine passing."""
        rng, now, sounds = self.rng, 0.0, []
        thing = str(rng.choice(("console", "door", "steps", "thud", "thunder", "pass", "alarm")))
        if thing in ("console", "alarm"):
            for _ in range(int(rng.integers(2, 7))):
                midi = 74 if thing == "alarm" else int(rng.integers(84, 100))
                sounds.append((now, self.note("pulse", midi, 0.35 if thing == "alarm" else 0.05), 0.05))
                now += 0.5 if thing == "alarm" else rng.uniform(0.07, 0.3)
        elif thing == "steps":
            sounds = [(0.55 * i + rng.uniform(0, 0.05), self.note("glass", 50 + i % 2, 0.08), 0.08) for i in range(6)]
        elif thing == "door":
            sounds = [(0.0, self._rush(0.8, True), 0.15), (0.75, self.drums["rim"], 0.2)]
        elif thing == "pass":
            sounds = [(0.0, self._rush(1.2, False), 0.2), (1.2, self._rush(1.0, True), 0.2)]
        else:
            sounds = [(0.0, self.drums["taiko" if thing == "thud" else "boom"], 0.4)]
            sounds += [(0.1, self._rush(2.5, True), 0.2)] if thing == "thunder" else []
        at, gain = self.samples(start), 10 ** (rng.uniform(-14, 0) / 20)
        room = self.samples(plan.segment_at(start).end) - at  # nothing of an episode sounds in the next segment
        for later, sound, strength in sounds:
            offset = self.samples(later)
            add(track, at + offset, sound[: max(0, room - offset)], strength * gain)

    def add_line(self, track: np.ndarray, event: Event) -> None:
        """Add one sentence: words of some syllables with a breath between them; the pitch goes down in each word."""
        rng, voice = self.rng, self.voices[int(self.rng.integers(3))]
        gain, now = 10 ** (rng.uniform(-3, 3) / 20), event.start
        while now < event.end - 0.12:
            count = int(rng.integers(1, 5))
            for k in range(count):
                row = voice[min(2, 3 * k // count)]
                sound = row[int(rng.integers(len(row)))]
                if now > event.end - 0.06:
                    break
                add(
                    track, self.samples(now), sound, gain * (rng.uniform(1.0, 1.3) if k == 0 else rng.uniform(0.6, 1.0))
                )
                now += sound.size / self.sample_rate * rng.uniform(0.62, 0.9)
            now += rng.uniform(0.02, 0.14)


def _ring(sound: np.ndarray, hertz: float, width: float, rate: int) -> np.ndarray:
    """Two poles at `hertz`, `width` Hz wide, and a zero at 0 Hz and at half the sample rate."""
    radius = math.exp(-math.pi * width / rate)
    return lfilter(
        [1 - radius, 0, radius - 1], [1, -2 * radius * math.cos(2 * math.pi * hertz / rate), radius**2], sound
    )


class FilmSong(Song):
    """A score: metre, tempo, scale, layers. Styles are those of Song."""

    def __init__(self, studio: FilmStudio, style: str, channels: int):
        super().__init__(studio, style, channels)
        rng = self.rng
        self.kind = str(rng.choice(("orchestra", "machines", "trip-hop")))
        self.meter = str(rng.choice(list(METERS), p=(0.5, 0.3, 0.2))) if self.kind != "trip-hop" else "4/4"
        self.steps, self.strokes = METERS[self.meter]
        low, high = {
            "opening": (78, 150),
            "ending": (46, 84),
            "song": (62, 120),
            "calm": (42, 66),
            "tense": (84, 130),
        }.get(style, (84, 132))
        self.step = 30 / rng.uniform(low, high) * (1.2 if self.kind == "trip-hop" else 1.0)  # s an eighth
        self.swing = rng.uniform(0.12, 0.3) if self.kind == "trip-hop" else 0.0
        self.key, self.scale = int(rng.integers(36, 48)), SCALES[int(rng.integers(len(SCALES)))]
        self.roots = {part: [int(r) for r in rng.choice(ROOTS, 4)] for part in ("still", "main", "peak")}
        self.drone = rng.random() < 0.4
        chance = {"opening": 0.9, "ending": 0.55, "song": 0.65, "calm": 0.05, "tense": 0.6, "lively": 0.7}[style]
        self.drummed = rng.random() < chance
        self.sung = rng.random() < {"opening": 0.85, "ending": 0.8, "song": 0.8}.get(style, 0.12)
        self.pad = str(
            rng.choice(
                {"orchestra": ("strings", "brass"), "machines": ("pulse", "strings")}.get(
                    self.kind, ("strings", "choir2")
                )
            )
        )
        self.figure = str(
            rng.choice(("gamelan", "glass", "pulse", "strings") if style != "calm" else ("glass", "gamelan"))
        )
        self.lead = str(rng.choice(("brass", "gamelan", "strings", "glass")))
        self.pattern = [int(d) for d in rng.choice((0, 2, 4, 7, 9, 1), self.steps)]
        self.beats = rng.random((3, self.steps))
        self.loudness = {"still": rng.uniform(-10, -2), "main": rng.uniform(-5, 0), "peak": 0.0}  # dB

    @property
    def bar(self) -> float:
        """Seconds."""
        return self.steps * self.step

    def _make_block(self, part: str) -> np.ndarray:
        """Four bars and their ring, float32 (channels, samples); parts: still, main, peak."""
        rng, studio = self.rng, self.studio
        track = np.zeros((self.channels, studio.samples(4 * self.bar + 1.5)), np.float32)
        sides = {}

        def play(instrument: str, degree: int, step: float, steps: float, gain: float) -> None:
            if instrument not in sides:
                side = rng.uniform(-0.5, 0.5) if self.channels == 2 and instrument != "bass" else 0.0
                sides[instrument] = (1 - side, 1 + side)[: self.channels]
            late = self.swing * self.step * (int(step) % 2)
            sound = studio.note(instrument, self.pitch(degree), steps * self.step)
            add(track, studio.samples(step * self.step + late), sound, tuple(gain * s for s in sides[instrument]))

        for bar in range(4):
            root, now = (0 if self.drone else self.roots[part][bar]), bar * self.steps
            if bar % 2 == 0 or not self.drone:
                length = self.steps * (2 if self.drone else 1)
                for degree in (14, 16, 18):
                    play(self.pad, root + degree, now, length, {"pulse": 0.25}.get(self.pad, 0.2))
                play("brass" if self.kind == "orchestra" else "bass", root, now, length * 0.95, 0.3)
            if part != "still" and self.kind != "orchestra":
                for i in range(self.steps):
                    if self.beats[0, i] < (0.35 if self.kind == "trip-hop" else 0.6):
                        play("bass", root, now + i, 0.8, 0.28)
            if part != "still" or self.style == "calm":
                for i in range(0, self.steps, 2 if self.style == "calm" else 1):
                    if self.beats[1, i] < 0.8:
                        play(self.figure, root + 21 + self.pattern[i], now + i, 1.0, 0.17 * rng.uniform(0.6, 1.2))
            if part == "peak" and self.kind == "orchestra":
                for at in self.strokes:
                    play("brass", root + 9, now + at, 2.5, 0.25)
        self._sing(play, part)
        if self.drummed and part != "still":
            self._drum(track, part)
        delay = studio.samples(self.step * 3)  # an echo stands for the hall
        for gain in (0.3, 0.12):
            track[:, delay:] += np.float32(gain) * track[:, :-delay].copy()
        return track

    def _sing(self, play, part: str) -> None:
        """A choir without words, or a leading instrument: long notes, some across the bar."""
        rng, degree, at = self.rng, 21 + int(self.rng.integers(-2, 4)), 0.0
        if part == "still" and rng.random() < 0.5:
            return
        busy = {"opening": 0.5, "song": 0.4, "lively": 0.5}.get(self.style, 0.15)
        while at < 4 * self.steps - 1:
            length = float(rng.choice((1, 2, 3, 4, 6))) if rng.random() < busy else float(rng.choice((4, 6, 8)))
            degree = min(26, max(17, degree + int(rng.choice((-3, -2, -1, -1, 1, 1, 2, 4)))))
            if self.sung:
                for lower in (0, 2, 7)[: 3 if part == "peak" else 1]:
                    play(f"choir{rng.integers(3)}", degree - lower, at, length, 0.5 if lower == 0 else 0.25)
            elif rng.random() < 0.75:
                play(self.lead, degree, at, length, 0.3)
            at += length

    def _drum(self, track: np.ndarray, part: str) -> None:
        studio, full = self.studio, part == "peak"
        big, gain = self.kind == "orchestra", {"calm": 0.4, "ending": 0.6}.get(self.style, 1.0)
        for bar in range(4):
            for i in range(self.steps):
                hits = []
                if i in self.strokes[:1] or (self.beats[2, i] < 0.22):
                    hits.append(("taiko" if big else "boom", 0.6))
                if i == self.strokes[1] or (self.kind == "trip-hop" and i == 6 and self.beats[2, i] > 0.5):
                    hits.append(("taiko" if big else "clap", 0.4))
                if not big and (full or i % 2 == 0):
                    hits.append(("tick" if self.kind == "machines" else "ride", 0.12 if i % 2 else 0.18))
                if full and bar == 3 and i >= self.steps - 3:
                    hits.append(("taiko" if big else "rim", 0.3))
                for drum, strength in hits:
                    at = (bar * self.steps + i + self.swing * (i % 2)) * self.step
                    add(track, studio.samples(at), studio.drums[drum], gain * strength * self.rng.uniform(0.8, 1.1))

    def parts(self, count: int) -> list[tuple[str, int]]:
        """Names and variants of `count` blocks: the whole grows, with a still place within, or goes to and fro."""
        if self.style in ("calm", "tense", "lively"):
            return [("still" if i % 4 == 3 and self.rng.random() < 0.5 else "main", i % 2) for i in range(count)]
        names = ["main" if i < 0.55 * count else "peak" for i in range(count)]
        if count > 2 and self.rng.random() < 0.6:
            names[0] = "still"
        if count > 4 and self.rng.random() < 0.5:
            names[int(0.6 * count)] = "still"
        if self.style == "ending" and count > 2 and self.rng.random() < 0.5:
            names[-1] = "still"
        return [(name, i % 2) for i, name in enumerate(names)]

    def render(self, seconds: float, *, closes: bool, tail: float = 0.0, running: bool = False) -> np.ndarray:
        """`seconds` of the song and its `tail`, float32 (channels, samples), root mean square near LEVEL.

        A song that closes runs towards a last stroke, or breaks off into its echo, shortly before `seconds`; another is
        cut off there. One that is `running` has begun before; another may wait a moment.
        """
        studio, rng = self.studio, self.rng
        length = studio.samples(seconds + tail)
        track = np.zeros((self.channels, length + 1), np.float32)
        ring = min(rng.uniform(0.4, 3.0), seconds / 4) if closes else 0.0
        wait = 0.0 if running else rng.uniform(0.0, 0.35)
        body = max(0.5, seconds - ring - wait)
        count = max(1, round(body / (4 * self.bar))) if closes else math.ceil(body / (4 * self.bar))
        if closes and 0.7 < body / (4 * self.bar * count) < 1.4:
            self.step = body / (4 * count * self.steps)
        skip = rng.uniform(0, 4 * self.bar) if running and not closes else 0.0
        for i, (part, variant) in enumerate(self.parts(count + (1 if skip else 0))):
            at = wait - skip + i * 4 * self.bar
            gain = 10 ** ((self.loudness[part] + rng.uniform(-1.5, 1.5)) / 20)
            add(track, studio.samples(at), self.block(part, variant), gain)
        if closes:
            at, breaks = studio.samples(seconds - ring), rng.random() < 0.3
            track[:, at:] *= np.linspace(0.5, 0.0, track.shape[1] - at, dtype=np.float32) ** (1 if breaks else 2)
            for degree in (0, 7, 14, 16) if not breaks else ():
                add(track, at, studio.note(self.pad if degree > 7 else "brass", self.pitch(degree), ring + 0.1), 0.3)
            add(track, at, studio.note("gong", self.pitch(7), ring + 0.1), 0.0 if breaks else 0.35)
            if self.drummed:
                add(track, at, studio.drums["taiko" if self.kind == "orchestra" else "boom"], 0.7)
        track = track[:, :length]
        fade = studio.samples(tail + 0.05)
        track[:, -fade:] *= (np.linspace(1, 0, fade, dtype=np.float32) ** 2)[-track.shape[1] :]
        return track * np.float32(LEVEL / (np.sqrt((track**2).mean()) + 1e-6))
