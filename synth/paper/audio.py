"""The sound of a made clip of the family "paper": waltzes on plucked strings, reeds and bells, mumbling puppets.

    sound = render_sound(plan, PaperStudio)      # its song() is a PaperSong

Only the machinery is shared (a studio that keeps its notes); instruments, voices and rooms are this
family's own.
"""

import math

import numpy as np

from synth.plan import ClipPlan, Event
from synth.sound import LEVEL, Song, Studio, add, decibel

STEPS = 6  # eighths a bar: three beats of two, or two beats of three
PHRASE_BARS = 8
SCALES = {"mixolydian": (0, 2, 4, 5, 7, 9, 10), "harmonic": (0, 2, 3, 5, 7, 8, 11), "lydian": (0, 2, 4, 6, 7, 9, 11)}
PHRASES = ((0, 0, 3, 3, 4, 4, 0, 0), (0, 4, 4, 0, 0, 4, 4, 0), (5, 1, 4, 0, 5, 1, 4, 4), (0, 0, 6, 6, 3, 3, 4, 4))
PHRASES += ((0, 5, 3, 4, 0, 5, 4, 0), (3, 3, 0, 0, 4, 4, 0, 4), (0, 6, 5, 4, 0, 6, 4, 0))
# Plucked strings: share of the brightest sound, decay 1/s.
STRINGS = {"lute": (1.0, 2.0), "harp": (0.4, 1.0), "dulcimer": (0.85, 3.5), "gut bass": (0.15, 1.2)}
# Two operators: ratio of the second, index at the stroke and after it, its fall 1/s, attack s, decay 1/s.
OPERATORS = {
    "celesta": (4.0, 1.6, 0.1, 9.0, 0.003, 3.0),
    "keys": (1.0, 2.4, 0.3, 4.0, 0.004, 1.8),
    "cornet": (1.0, 0.3, 2.6, 14.0, 0.05, 0.1),
    "horn": (1.0, 0.2, 1.3, 8.0, 0.09, 0.1),
    "ocarina": (2.0, 0.25, 0.08, 6.0, 0.06, 0.1),
    "music box": (3.53, 1.1, 0.0, 12.0, 0.002, 4.0),
}
REEDS = {"accordion": (0.006, 0.04), "harmonium": (0.002, 0.22), "bandoneon": (0.0, 0.03)}  # detuning, attack s
MOUTHS = ((620, 1050), (330, 760), (420, 1750), (700, 1250), (280, 900))  # Hz


class PaperStudio(Studio):
    """Strings that are plucked, two-operator keys and brass, reeds, hand percussion, mumbling puppets."""

    def _make_note(self, instrument: str, midi: int, seconds: float) -> np.ndarray:
        hertz, release = 440 * 2 ** ((midi - 69) / 12), 0.12
        time = np.arange(self.samples(seconds + release), dtype=np.float32) / np.float32(self.sample_rate)
        turn = np.float32(2 * np.pi * hertz) * time
        attack, fall = 0.002, 0.0
        if instrument in STRINGS:
            bright, fall = STRINGS[instrument]
            sound = self._pluck(hertz, time.size, bright)
        elif instrument in OPERATORS:
            ratio, first, later, speed, attack, fall = OPERATORS[instrument]
            index = later + (first - later) * np.exp(-speed * time)
            sound = np.sin(turn + index * np.sin(np.float32(ratio) * turn))
        elif instrument in REEDS:
            detune, attack = REEDS[instrument]
            table = np.tanh(4 * (np.sin(2 * np.pi * np.arange(1024) / 1024) + 0.35)).astype(np.float32)
            table = np.convolve(np.tile(table - table.mean(), 3), np.hanning(24) / 12, "same")[1024:2048]
            cycles = 1024 * hertz * time.astype(np.float64)
            sound = sum(table[(cycles * pitch).astype(np.int64) & 1023] for pitch in (1 - detune, 1 + detune))
        else:  # hummed and sung: each formant is a carrier on the nearest partial, modulated by the pitch
            attack = 0.05
            turn = turn + 0.03 * np.float32(hertz / 100) * np.sin(34 * time) - 0.3 * np.exp(-22 * time)
            shape = [f * self.singer for f in MOUTHS[int(instrument[4])]]
            sound = 0.8 * np.sin(turn + 0.4 * np.sin(turn))
            for i, formant in enumerate((*shape, 2600 * self.singer)):
                partial = max(1, round(formant / hertz))
                sound += (0.7, 0.4, 0.2)[i] * np.sin(partial * turn + 0.9 * np.sin(turn))
        sound = sound / (np.sqrt((sound[: self.samples(0.15)] ** 2).mean()) + 1e-9)
        shape = np.minimum(1, time / attack) * np.clip((seconds + release - time) / release, 0, 1)
        return (sound * shape * np.exp(-fall * time)).astype(np.float32)

    def _pluck(self, hertz: float, size: int, bright: float) -> np.ndarray:
        """Karplus and Strong's string: a burst of noise goes round and loses its treble."""
        period = max(8, int(self.sample_rate / hertz))
        now = self.rng.uniform(-1, 1, period).astype(np.float32)
        dull = np.convolve(np.concatenate((now[-12:], now)), np.ones(12) / 12, "valid")[:period]
        now = (bright * now + (1 - bright) * 2.5 * dull).astype(np.float32)
        now -= now.mean()
        rounds = np.empty((math.ceil(size * hertz / self.sample_rate) + 2, period), np.float32)
        for row in rounds:
            row[:] = now
            now[1:] += row[:-1]
            now[0] += row[-1]
            now *= 0.5
        at = np.arange(size) * (hertz * (period + 0.5) / self.sample_rate)
        return np.interp(at, np.arange(rounds.size), rounds.reshape(-1))

    def _make_drums(self) -> dict[str, np.ndarray]:
        rng = self.rng

        def stroke(seconds: float, decay: float) -> tuple[np.ndarray, np.ndarray]:
            time = np.arange(self.samples(seconds)) / self.sample_rate
            return time, np.exp(-decay * time)

        time, fall = stroke(0.4, rng.uniform(8, 14))
        low = rng.uniform(75, 110)
        frame = np.sin(2 * np.pi * low * (time + 0.006 * (1 - np.exp(-40 * time)))) * fall
        frame += 0.5 * np.sin(2 * np.pi * 2.3 * low * time) * fall**2 + 0.1 * self.noise(0.4) * fall**4
        time, fall = stroke(0.12, 55)
        block = (np.sin(2 * np.pi * rng.uniform(700, 1100) * time) + 0.5 * np.sin(2 * np.pi * 1720 * time)) * fall
        time, fall = stroke(0.16, 38)
        band = np.sin(2 * np.pi * rng.uniform(1000, 1500) * time + 3 * self.noise(0.16))
        clap = band * (fall + 0.8 * np.roll(fall, self.samples(0.011)) * (time > 0.011))
        time, fall = stroke(0.1, 30)
        shaker = np.diff(self.noise(0.1), prepend=0) * fall * np.minimum(1, time / 0.025)
        time, fall = stroke(0.9, 6)
        jingle = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(3800, 9000, 9)) / 3 * fall
        jingle *= 0.4 + 0.6 * np.abs(np.sin(2 * np.pi * rng.uniform(7, 13) * time))
        sounds = {"frame": 1.3 * frame, "block": 0.6 * block, "clap": 0.8 * clap, "shaker": 0.6 * shaker}
        return {name: sound.astype(np.float32) for name, sound in (*sounds.items(), ("jingle", 0.35 * jingle))}

    def _make_voice(self) -> list[list[np.ndarray]]:
        """Three rows (high, middle, low) of 12 syllables: formant tones, ring-modulated by the pitch or by breath."""
        rng = self.rng
        pitch, size_of_head, breath = rng.uniform(80, 260), rng.uniform(0.85, 1.35), rng.choice((0.05, 0.2, 0.5, 1.0))
        third = rng.uniform(0.02, 0.08)
        rows = []
        for height in (1.22, 1.0, 0.86):
            row = []
            for _ in range(12):
                seconds = rng.uniform(0.08, 0.24)
                time = np.arange(self.samples(seconds)) / self.sample_rate
                share = time / seconds
                bend = np.cumsum(pitch * height * (1 + rng.uniform(-0.15, 0.15) * share)) / self.sample_rate
                puffs = (0.5 + 0.5 * np.cos(2 * np.pi * bend)) ** rng.uniform(2, 5)
                slow = np.interp(np.arange(time.size), np.arange(0, time.size + 60, 60), self._knots(time.size))
                source = (1 - breath) * puffs + breath * slow
                first, second = (MOUTHS[i] for i in rng.integers(5, size=2))
                sound = np.zeros(time.size)
                for i, strength in enumerate((1.0, 0.5)):  # the mouth moves from one vowel to the next
                    way = np.cumsum(first[i] + (second[i] - first[i]) * share) * size_of_head / self.sample_rate
                    sound += strength * np.sin(2 * np.pi * way)
                sound += third * np.sin(2 * np.pi * 2700 * size_of_head * time)
                shape = np.sin(np.pi * np.clip(share, 0, 1) ** rng.uniform(0.4, 0.9)) ** 0.7
                sound *= source * shape
                if rng.random() < 0.4:  # a consonant: a tick of tongue or a hiss
                    hiss = np.diff(self.noise(0.04)) * np.hanning(self.samples(0.04) - 1)
                    sound[: hiss.size] += rng.uniform(0.04, 0.14) * hiss[: sound.size]
                row.append((LEVEL * sound / (np.sqrt((sound**2).mean()) + 1e-9)).astype(np.float32))
            rows.append(row)
        return rows

    def _knots(self, size: int) -> np.ndarray:
        return self.rng.standard_normal(len(range(0, size + 60, 60)))

    def song(self, style: str, channels: int) -> "PaperSong":
        return PaperSong(self, style, channels)

    def room_tone(self, seconds: float) -> np.ndarray:
        """float32 (samples,): wind, a hum, a clock or the crackle of an old record, root mean square LEVEL."""
        rng = self.rng
        size = self.samples(seconds)
        time = np.arange(size) / self.sample_rate
        knots = rng.standard_normal(max(4, int(seconds * rng.uniform(300, 1500))))
        bed = np.interp(np.linspace(0, len(knots) - 1, size), np.arange(len(knots)), knots)
        kind = str(rng.choice(("wind", "crackle", "clock", "hum")))
        if kind == "wind":
            tone = rng.uniform(280, 700)
            wander = np.interp(time, np.linspace(0, seconds, 9), rng.uniform(0.7, 1.4, 9))
            tile = bed * np.sin(2 * np.pi * tone * np.cumsum(wander) / self.sample_rate) * wander**2
        elif kind == "hum":
            tile = 0.25 * bed + np.sin(2 * np.pi * 50 * time) + 0.5 * np.sin(2 * np.pi * 150 * time)
        else:
            tile = 0.35 * bed
            every = rng.uniform(0.4, 1.0)
            ticks = np.arange(0.1, seconds, every) if kind == "clock" else rng.uniform(0, seconds, int(14 * seconds))
            tick = self.drums["block"][:: 2 if kind == "clock" else 7]
            for at in ticks:
                add(tile[None], self.samples(at), tick, rng.uniform(2, 4) if kind == "clock" else rng.exponential(2.0))
        return (tile * (LEVEL / (np.sqrt((tile**2).mean()) + 1e-9))).astype(np.float32)

    def accent(self) -> np.ndarray:
        return self.drums[str(self.rng.choice(("frame", "clap", "jingle", "block")))]

    def add_chime(self, track: np.ndarray, start: float) -> None:
        for i, step in enumerate(self.rng.choice((0, 4, 7, 9, 12, 16), 6)):
            add(track, self.samples(start + 0.17 * i), self.note("music box", 72 + int(step), 0.8), 0.1)

    def add_thing(self, track: np.ndarray, start: float, plan: ClipPlan) -> None:
        """Add the noise of a thing: knocks, a creak, rustling paper, a cuckoo, steps, a string that snaps, a rattle."""
        rng = self.rng
        at, gain = self.samples(start), decibel(rng.uniform(-14, 0))
        room = self.samples(plan.segment_at(start).end) - at  # nothing of an episode sounds in the next segment
        thing = str(rng.choice(("knocks", "creak", "paper", "cuckoo", "steps", "snap", "rattle")))
        if thing == "creak":
            time = np.arange(self.samples(0.7)) / self.sample_rate
            grind = np.sin(2 * np.pi * (rng.uniform(200, 400) * time + 8 * np.sin(4 * time)))
            sounds = [(0.0, grind * np.sin(2 * np.pi * 35 * time) ** 2 * np.sin(np.pi * time / 0.7), 0.08)]
        elif thing == "paper":
            rustle = (
                np.diff(self.noise(0.8))
                * np.repeat(rng.random(200) ** 3, self.samples(0.8) // 200 + 1)[: self.samples(0.8) - 1]
            )
            sounds = [(0.0, rustle, 0.15)]
        elif thing == "cuckoo":
            sounds = [(0.32 * i, self.note("ocarina", 81 - 4 * (i % 2), 0.22), 0.06) for i in range(4)]
        elif thing == "snap":
            sounds = [(0.0, self.note("gut bass", int(rng.integers(40, 60)), 0.5), 0.3)]
        else:
            drum, count, gap, strength = {
                "knocks": ("block", 3, 0.2, 0.2), "steps": ("frame", 6, 0.37, 0.08), "rattle": ("jingle", 3, 0.12, 0.12)
            }[thing]  # fmt: skip
            sounds = [(gap * i * rng.uniform(0.9, 1.1), self.drums[drum], strength) for i in range(count)]
        for later, sound, strength in sounds:
            offset = self.samples(later)
            add(track, at + offset, sound[: max(0, room - offset)], strength * gain)

    def add_line(self, track: np.ndarray, event: Event) -> None:
        """Add one sentence: words of one to four syllables that begin high and fall, with small gaps between them."""
        rng = self.rng
        voice, gain = self.voices[rng.integers(3)], decibel(rng.uniform(-3, 3))
        now, left = event.start, 0
        while now < event.end - 0.1:
            if not left:
                left = word = int(rng.integers(1, 5))
            row = voice[min(2, 3 * (word - left) // word + int(rng.random() < 0.3))]
            sound = row[rng.integers(len(row))][: self.samples(event.end - now)]
            add(track, self.samples(now), sound, gain * rng.uniform(0.6, 1.2))
            now += sound.size / self.sample_rate * rng.uniform(0.75, 0.95)
            left -= 1
            if not left:
                now += rng.uniform(0.02, 0.14)


class PaperSong(Song):
    """A waltz or a jig: key, tempo, phrases of eight bars, instruments. Styles are those of Song."""

    def __init__(self, studio: PaperStudio, style: str, channels: int):
        super().__init__(studio, style, channels)
        rng = self.rng
        slow, fast = {
            "opening": (0.82, 1.4),
            "ending": (1.1, 2.3),
            "song": (0.9, 2.0),
            "calm": (1.5, 2.8),
            "tense": (1.0, 1.9),
            "lively": (0.8, 1.4),
        }[style]
        self.beat = rng.uniform(slow, fast) / STEPS  # s of an eighth; the pair above is s of a bar
        self.jig = rng.random() < 0.35  # two beats of three eighths
        self.key = int(rng.integers(50, 62))
        self.scale = SCALES[str(rng.choice(list(SCALES), p=(0.35, 0.45, 0.2)))]
        self.turns = {part: PHRASES[rng.integers(len(PHRASES))] for part in ("couplet", "refrain")}
        self.sung = style in ("opening", "ending", "song") and rng.random() < 0.8
        leads, chords = {
            "opening": (("accordion", "cornet", "dulcimer"), ("accordion", "keys", "lute", "bandoneon")),
            "ending": (("celesta", "lute", "ocarina", "bandoneon"), ("harp", "harmonium", "keys", "lute")),
            "song": (("accordion", "horn", "lute"), ("harp", "bandoneon", "keys")),
            "calm": (("music box", "ocarina", "harp", "celesta"), ("harmonium", "harp")),
            "tense": (("horn", "gut bass", "bandoneon"), ("harmonium", "dulcimer")),
            "lively": (("dulcimer", "cornet", "accordion", "ocarina"), ("lute", "bandoneon", "keys")),
        }[style]
        self.lead, self.chord = str(rng.choice(leads)), str(rng.choice(chords))
        beaten = {"opening": 0.88, "ending": 0.5, "song": 0.6, "calm": 0.1, "tense": 0.45, "lively": 0.65}[style]
        self.beaten = rng.random() < beaten
        self.hand = str(rng.choice(("clap", "block", "jingle")))
        self.rolled = rng.random() < (0.7 if self.chord in STRINGS else 0.15)  # broken chords instead of oom-pah-pah
        self.loudness = {  # dB
            "intro": rng.uniform(-9, 0),
            "couplet": rng.uniform(-7, 0),
            "refrain": 0.0,
            "interlude": rng.uniform(-11, -3),
        }

    @property
    def bar(self) -> float:
        return STEPS * self.beat

    def _make_block(self, part: str) -> np.ndarray:
        """Eight bars and their ring, float32 (channels, samples)."""
        rng, studio = self.rng, self.studio
        track = np.zeros((self.channels, studio.samples(PHRASE_BARS * self.bar + 0.8)), np.float32)
        turn = self.turns["refrain" if part in ("refrain", "intro") else "couplet"]
        pans = {"chord": self._pan(0.4), "lead": self._pan(0.25), "middle": (1.0,)}

        def play(instrument: str, degree: int, step: float, steps: float, gain: float, pan: str = "middle") -> None:
            sound = studio.note(instrument, self.pitch(degree), steps * self.beat)
            add(track, studio.samples(step * self.beat), sound, tuple(gain * p for p in pans[pan]))

        strong = 1.0 if part in ("refrain", "intro") else 0.8
        held = self.chord in ("harmonium",) or self.style in ("calm", "tense") and not self.rolled
        weak = (2, 5) if self.jig else (2, 4)
        order = rng.permutation((0, 2, 4, 7, 9, 4))
        for b, root in enumerate(turn):
            now = b * STEPS
            if self.rolled:
                for i in range(STEPS):
                    play(self.chord, root + int(order[i]), now + i, 2, 0.34 * strong, "chord")
            elif held:
                for third in (0, 2, 4):
                    play(self.chord, root + third, now, STEPS, 0.17 * strong, "chord")
            else:
                for at in weak:
                    for third in (0, 2, 4):
                        play(self.chord, root + third, now + at, 1.2, 0.22 * strong, "chord")
            if part != "interlude" or b % 2 == 0:
                play("gut bass", root - 14, now, 3, 0.6 * strong)
            if self.style in ("opening", "lively", "song") and part != "interlude":
                play("gut bass", root - 10, now + (3 if self.jig else 4), 2, 0.4 * strong)
            if self.beaten and part != "interlude":
                self._beat(track, now, b, part)
        self._tune(play, turn, part)
        return track

    def _beat(self, track: np.ndarray, now: int, b: int, part: str) -> None:
        rng, studio = self.rng, self.studio
        strong = {"opening": 1.0, "lively": 0.8, "tense": 0.8}.get(self.style, 0.55)
        hits = [("frame", 0, 0.55), (self.hand, 3, 0.3)] if self.jig else [("frame", 0, 0.55), (self.hand, 2, 0.25)]
        hits += [(self.hand, 4, 0.25)] if not self.jig and part == "refrain" else []
        hits += [("frame", 5, 0.3), ("frame", 4, 0.25)] if b % 4 == 3 else []
        hits += [("shaker", i, rng.uniform(0.25, 0.6)) for i in range(0, STEPS, 1 if part == "refrain" else 2)]
        for drum, step, gain in hits:
            late = rng.normal(0, 0.006)  # hands are not machines
            add(track, studio.samples((now + step) * self.beat + late), studio.drums[drum], gain * strong)

    def _tune(self, play, turn: tuple[int, ...], part: str) -> None:
        """A melody of two-bar motifs: the first rhythm comes again, the second answers."""
        rng = self.rng
        sung = self.sung and part in ("couplet", "refrain")
        busy = {"opening": 0.62, "song": 0.5, "ending": 0.42, "calm": 0.22, "tense": 0.25, "lively": 0.6}[self.style]
        motifs = [np.flatnonzero(np.append(True, rng.random(2 * STEPS - 1) < busy)) for _ in range(2)]
        degree = 7 + int(rng.integers(-1, 4))
        for pair in range(PHRASE_BARS // 2):
            starts = motifs[(0, 1, 0, 1)[pair]]
            if self.style in ("calm", "tense") and rng.random() < 0.3:
                continue
            for at, after in zip(starts, [*starts[1:], 2 * STEPS], strict=True):
                degree = min(12, max(3, degree + int(rng.choice((-3, -1, -1, 0, 1, 1, 2)))))
                if at % STEPS == 0:
                    root = turn[2 * pair + int(at) // STEPS]
                    degree = root + min((0, 2, 4, 7, 9), key=lambda d, root=root: abs(root + d - degree))
                steps, step = min(5, int(after - at)), 2 * STEPS * pair + int(at)
                if sung:
                    play(f"sing{rng.integers(5)}", degree, step, 0.92 * steps, 0.6)
                else:
                    play(self.lead, degree, step, steps, 0.45, "lead")

    def parts(self, count: int) -> list[tuple[str, int]]:
        """Names and variants of `count` phrases in their order: couplets and refrains take turns."""
        if self.style not in ("opening", "ending", "song"):
            return [("refrain" if i % 4 == 3 else "couplet", i % 2) for i in range(count)]
        body = [("refrain" if i % 3 == 2 else "couplet", i % 2) for i in range(count)]
        if count > 4 and self.rng.random() < 0.5:
            body[count // 2] = ("interlude", 0)
        return [("intro", 0), *body[:-2], ("refrain", 0)] if count > 2 else [("refrain", 0)] * count

    def render(self, seconds: float, *, closes: bool, tail: float = 0.0, running: bool = False) -> np.ndarray:
        """`seconds` of the song and its `tail`, float32 (channels, samples), root mean square near LEVEL.

        A song that closes slows into a rolled last chord shortly before `seconds`; another is cut off there. One that
        is `running` has begun before; another may wait a moment.
        """
        studio, rng = self.studio, self.rng
        length = studio.samples(seconds + tail)
        track = np.zeros((self.channels, length + 1), np.float32)
        ring = min(rng.uniform(0.4, 2.4), seconds / 4) if closes else 0.0
        lead_in = 0.0 if running else rng.uniform(0.0, 0.3)
        body = max(0.5, seconds - ring - lead_in)
        if closes:  # a whole number of bars, by a slight change of tempo
            self.beat = body / max(1, round(body / self.bar)) / STEPS
        bars = body / self.bar
        count = max(1, math.ceil(bars / PHRASE_BARS - 1e-6))
        first = bars - count * PHRASE_BARS if closes else -float(rng.integers(PHRASE_BARS)) if running else 0.0
        for i, (part, variant) in enumerate(self.parts(count + (0 if closes else 1))):
            at = lead_in + (first + i * PHRASE_BARS) * self.bar
            gain = decibel(self.loudness[part] + rng.uniform(-1.5, 1.5))
            add(track, studio.samples(at), self.block(part, variant), gain)
        track[:, : studio.samples(lead_in)] = 0  # a first phrase may have begun earlier
        if closes:
            at = studio.samples(seconds - ring)
            track[:, at:] *= np.float32(0.2)
            for i, degree in enumerate((-14, -7, 0, 2, 4, 7)):
                instrument = "gut bass" if degree < -7 else self.chord
                add(track, at + studio.samples(0.03 * i), studio.note(instrument, self.pitch(degree), ring + 0.2), 0.32)
            if self.beaten:
                add(track, at, studio.drums["frame"], 0.7)
                add(track, at, studio.drums[self.hand], 0.4)
        fade = studio.samples(tail + 0.05)
        track = track[:, :length]
        track[:, -fade:] *= (np.linspace(1, 0, fade, dtype=np.float32) ** 2)[-track.shape[1] :]
        return track * np.float32(LEVEL / (np.sqrt((track**2).mean()) + 1e-6))
