"""The sound of a made clip of the family "drawn": pop songs with verse and chorus, voices of vowels, a noisy street.

    sound = render_sound(plan, DrawnStudio)      # its song() is a DrawnSong
"""

import numpy as np
from scipy.signal import lfilter

from synth.plan import ClipPlan, Event
from synth.sound import LEVEL, Song, Studio, add, decibel

TABLE = 2048  # samples of one period of a tone
BAR_BEATS = 4
BLOCK_BARS = 4  # a song is put together from pieces of four bars

# Scale degrees (0 is the tonic's chord) of usual four-bar turns.
TURNS = ((3, 4, 2, 5), (0, 4, 5, 3), (5, 3, 4, 0), (0, 5, 3, 4), (3, 4, 5, 5), (5, 4, 3, 4), (0, 2, 3, 4), (0, 3, 0, 4))
MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
# name: (strength of partial k falls with k**-power, odd partials only, attack s, decay 1/s, release s, vibrato)
INSTRUMENTS = {
    "saw": (1.0, False, 0.01, 0.5, 0.06, 0.002),
    "square": (1.0, True, 0.005, 0.8, 0.05, 0.0),
    "flute": (2.6, False, 0.05, 0.2, 0.08, 0.004),
    "guitar": (0.9, False, 0.004, 2.5, 0.08, 0.0),
    "pluck": (1.4, False, 0.003, 6.0, 0.1, 0.0),
    "piano": (1.7, False, 0.004, 2.0, 0.25, 0.0),
    "bell": (2.0, True, 0.002, 3.0, 0.5, 0.0),
    "organ": (1.8, True, 0.02, 0.0, 0.05, 0.001),
    "strings": (1.2, False, 0.18, 0.0, 0.25, 0.003),
    "pad": (2.0, False, 0.35, 0.0, 0.5, 0.001),
    "bass": (1.5, False, 0.006, 1.5, 0.04, 0.0),
}
VOWELS = ((800, 1200, 2500), (300, 2300, 3000), (350, 1300, 2400), (500, 1900, 2600), (500, 900, 2500))  # Hz: a i u e o


class DrawnStudio(Studio):
    """Instruments of one period that is repeated, a drum kit, and voices through three formants."""

    def _make_note(self, instrument: str, midi: int, seconds: float) -> np.ndarray:
        hertz = 440 * 2 ** ((midi - 69) / 12)
        count = max(1, min(24, int(0.4 * self.sample_rate / hertz)))
        k = np.arange(1, count + 1)
        if instrument.startswith("sing"):
            strength = sum(
                np.exp(-(((k * hertz - f * self.singer) / (90 + 0.06 * f)) ** 2)) / (1 + i)
                for i, f in enumerate(VOWELS[int(instrument[4])])
            )
            strength = (strength + 0.04) / k**0.3
            attack, decay, release, vibrato = 0.04, 0.2, 0.08, 0.008
        else:
            power, odd, attack, decay, release, vibrato = INSTRUMENTS[instrument]
            strength = k**-power * np.where(odd & (k % 2 == 0), 0.05, 1.0)
        period = 2 * np.pi * np.arange(TABLE) / TABLE
        table = (strength[:, None] * np.sin(k[:, None] * period + k[:, None] ** 2)).sum(0)
        table = (table / np.sqrt((table**2).mean())).astype(np.float32)
        size = self.samples(seconds + release)
        time = np.arange(size) / self.sample_rate
        cycles = hertz * time
        if vibrato:
            cycles = cycles + vibrato * hertz / 33 * np.sin(33 * time)
        sound = table[(cycles * TABLE).astype(np.int64) & (TABLE - 1)]
        if instrument in ("strings", "pad", "saw"):  # a second, detuned voice beside the first
            sound = 0.7 * (sound + table[(cycles * (1.004 * TABLE)).astype(np.int64) & (TABLE - 1)])
        envelope = np.exp(-decay * time) * np.minimum(1, time / attack)
        envelope *= np.clip((seconds + release - time) / release, 0, 1)
        return (sound * envelope).astype(np.float32)

    def _make_drums(self) -> dict[str, np.ndarray]:
        rng, rate = self.rng, self.sample_rate

        def stroke(seconds: float, decay: float) -> tuple[np.ndarray, np.ndarray]:
            time = np.arange(self.samples(seconds)) / rate
            return time, np.exp(-decay * time)

        time, fall = stroke(0.25, 14)
        kick = np.sin(2 * np.pi * (rng.uniform(42, 60) * time + 6 * (1 - np.exp(-30 * time)))) * fall
        time, fall = stroke(0.22, rng.uniform(16, 26))
        snare = (0.6 * self.noise(0.22) + 0.5 * np.sin(2 * np.pi * rng.uniform(170, 230) * time)) * fall
        _, fall = stroke(0.07, rng.uniform(50, 90))
        hat = np.diff(self.noise(0.07), prepend=0) * fall
        _, fall = stroke(1.6, 2.6)
        crash = np.diff(self.noise(1.6), prepend=0) * fall
        time, fall = stroke(0.3, 10)
        tom = np.sin(2 * np.pi * (rng.uniform(90, 130) * time + 3 * (1 - np.exp(-15 * time)))) * fall
        gains = {"kick": 1.6, "snare": 1.0, "hat": 0.35, "crash": 0.4, "tom": 1.2}
        sounds = {"kick": kick, "snare": snare, "hat": hat, "crash": crash, "tom": tom}
        return {name: (sound * gains[name]).astype(np.float32) for name, sound in sounds.items()}

    def _make_voice(self) -> list[list[np.ndarray]]:
        """Three rows (high, middle, low pitch) of 14 syllables each: a buzz or a hiss through three formants."""
        rng, rate = self.rng, self.sample_rate
        pitch, formants = rng.uniform(95, 290), rng.uniform(0.95, 1.25)
        rows = []
        for height in (1.18, 1.0, 0.84):
            row = []
            for _ in range(14):
                seconds = rng.uniform(0.1, 0.21)
                size = self.samples(seconds)
                time = np.arange(size) / rate
                bend = pitch * height * (1 + rng.uniform(-0.08, 0.08) * time / seconds)
                phase = np.cumsum(bend) / rate
                vowel = VOWELS[rng.integers(5)]
                onset = self.samples(rng.choice((0.0, 0.02, 0.045, 0.07)))  # consonant
                glottis = (phase % 1.0) ** 2 - 1 / 3 + 0.02 * rng.standard_normal(size)
                glottis[:onset] = 0
                sound = sum(
                    _resonator(glottis, f * formants, 60 + 0.05 * f, rate) / (1 + i) for i, f in enumerate(vowel)
                )
                sound *= np.minimum(1, np.maximum(0, np.arange(size) - onset) / (0.012 * rate))
                sound *= np.minimum(1, (size - np.arange(size)) / (0.03 * rate))
                sound /= np.sqrt((sound**2).mean()) + 1e-9
                if onset:
                    hiss = _resonator(rng.standard_normal(onset), rng.uniform(2500, 7000), 1500, rate)
                    sound[:onset] += rng.uniform(0.2, 0.6) * hiss / (np.abs(hiss).max() + 1e-9) * np.hanning(onset)
                row.append((LEVEL * sound).astype(np.float32))
            rows.append(row)
        return rows

    def song(self, style: str, channels: int) -> "DrawnSong":
        return DrawnSong(self, style, channels)

    def room_tone(self, seconds: float) -> np.ndarray:
        """float32 (samples,): what a place sounds like when nothing happens, root mean square LEVEL."""
        rng = self.rng
        tile = self.noise(seconds)
        low = np.exp(-2 * np.pi * rng.uniform(150, 4000) / self.sample_rate)
        tile = lfilter([1 - low], [1, -low], tile).astype(np.float32)
        return tile * np.float32(LEVEL / (np.sqrt((tile**2).mean()) + 1e-9))

    def accent(self) -> np.ndarray:
        """float32 (samples,): a stroke under a quick cut."""
        return self.drums[str(self.rng.choice(("tom", "snare", "crash")))]

    def add_chime(self, track: np.ndarray, start: float) -> None:
        """Add the short tune of an eyecatch."""
        degrees = np.cumsum(self.rng.integers(-2, 5, size=4)) + 72
        for i, midi in enumerate(degrees):
            add(track, self.samples(start + 0.25 * i), self.note("bell", int(midi), 1.0), 0.1)

    def add_thing(self, track: np.ndarray, start: float, plan: ClipPlan) -> None:
        """Add the noise of a thing: steps, a door, a bird."""
        rng, studio = self.rng, self
        thing = rng.choice(("steps", "door", "chime", "whoosh", "bird", "boom"))
        at, gain = studio.samples(start), decibel(rng.uniform(-14, 0))
        room = studio.samples(plan.segment_at(start).end) - at  # nothing of an episode sounds in the next segment
        sounds = []
        if thing == "steps":
            sounds = [(i * rng.uniform(0.3, 0.5), studio.drums["tom"][::2], 0.1) for i in range(5)]
        elif thing == "door":
            sounds = [(0.0, studio.drums["kick"], 0.25), (0.08, studio.drums["snare"], 0.1)]
        elif thing == "chime":
            sounds = [(0.35 * i, studio.note("bell", int(m), 1.2), 0.07) for i, m in enumerate((76, 72, 74, 67))]
        elif thing == "bird":
            for _ in range(5):
                sounds.append((rng.uniform(0, 0.7), studio.note("flute", int(rng.integers(98, 105)), 0.06), 0.04))
        elif thing == "boom":
            sounds = [(0.0, studio.drums["crash"], 0.2), (0.0, studio.drums["kick"], 0.4)]
        elif thing == "whoosh":
            noise = studio.noise(0.6)
            sounds = [(0.0, np.cumsum(noise - noise.mean()) * np.hanning(noise.size).astype(np.float32) / 60, 0.15)]
        for later, sound, strength in sounds:
            offset = studio.samples(later)
            add(track, at + offset, sound[: max(0, room - offset)], strength * gain)

    def add_line(self, track: np.ndarray, event: Event) -> None:
        """Add one sentence: syllables one after the other, the pitch falling from its beginning to its end."""
        rng, studio = self.rng, self
        voice = studio.voices[rng.integers(3)]
        gain = decibel(rng.uniform(-3, 3))
        rise = rng.random() < 0.2  # a question
        now = event.start
        while now < event.end - 0.1:
            share = (now - event.start) / (event.end - event.start)
            row = voice[min(2, int((1 - share if rise else share) * 3))]
            sound = row[rng.integers(len(row))]
            add(track, studio.samples(now), sound, gain * rng.uniform(0.6, 1.2))
            now += sound.size / studio.sample_rate * rng.uniform(0.8, 1.0)
            if rng.random() < 0.08:
                now += rng.uniform(0.05, 0.2)


def _resonator(sound: np.ndarray, hertz: float, width: float, rate: int) -> np.ndarray:
    radius = np.exp(-np.pi * width / rate)
    return lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hertz / rate), radius**2], sound)


class DrawnSong(Song):
    """A pop song: key, tempo, chords, instruments. Styles are those of Song."""

    def __init__(self, studio: DrawnStudio, style: str, channels: int):
        super().__init__(studio, style, channels)
        rng = self.rng
        tempos = {
            "opening": (118, 188),
            "ending": (62, 104),
            "song": (76, 150),
            "calm": (60, 92),
            "tense": (88, 140),
            "lively": (100, 150),
        }
        tempo = rng.uniform(*tempos[style])
        if style == "ending" and rng.random() < 0.2:
            tempo = rng.uniform(104, 136)
        self.beat = 60 / tempo
        self.key = int(rng.integers(52, 64))
        self.scale = MODES[str(rng.choice(("major", "minor", "dorian"), p=(0.5, 0.4, 0.1)))]
        self.turns = {part: TURNS[rng.integers(len(TURNS))] for part in ("verse", "chorus")}
        self.sung = style in ("opening", "ending", "song") and rng.random() < 0.85
        choices = {
            "opening": (("saw", "square", "guitar"), ("guitar", "saw", "strings", "organ")),
            "ending": (("piano", "flute", "bell", "strings", "guitar"), ("pad", "strings", "piano", "pluck")),
            "song": (("saw", "piano", "flute"), ("strings", "guitar", "pad", "piano")),
            "calm": (("piano", "flute", "bell", "pluck"), ("pad", "strings")),
            "tense": (("strings", "bell"), ("strings", "pad", "saw")),
            "lively": (("pluck", "flute", "square", "piano"), ("pluck", "guitar", "organ")),
        }[style]
        self.lead, self.chord = str(rng.choice(choices[0])), str(rng.choice(choices[1]))
        drums = {"opening": 0.97, "ending": 0.55, "song": 0.6, "calm": 0.08, "tense": 0.5, "lively": 0.55}[style]
        self.drummed = rng.random() < drums
        self.four_on_floor = rng.random() < 0.4
        self.loudness = {  # dB: songs breathe, a steady level would give them away
            "intro": rng.uniform(-5, 1),
            "verse": rng.uniform(-8, -1),
            "break": rng.uniform(-12, -4),
            "chorus": 0.0,
        }

    @property
    def bar(self) -> float:
        """Seconds."""
        return BAR_BEATS * self.beat

    def _make_block(self, part: str) -> np.ndarray:
        """Four bars and their ring, float32 (channels, samples)."""
        rng, studio, beat = self.rng, self.studio, self.beat
        track = np.zeros((self.channels, studio.samples(BLOCK_BARS * self.bar + 1.0)), np.float32)
        turn = self.turns["chorus" if part in ("chorus", "intro") else "verse"]
        full = part in ("chorus", "intro")
        chord_gain = {"opening": 0.2, "ending": 0.3, "song": 0.24}.get(self.style, 0.3) * (1.0 if full else 0.75)
        chord_pan, lead_pan = self._pan(0.4), self._pan(0.2)

        def play(instrument: str, degree: int, at: float, beats: float, gain: float, pan: tuple[float, ...], octave=0):
            sound = studio.note(instrument, self.pitch(degree) + 12 * octave, beats * beat)
            add(track, studio.samples(at * beat), sound, tuple(gain * p for p in pan))

        arpeggio = self.chord in ("piano", "pluck", "guitar") and rng.random() < 0.6
        order = rng.permutation((0, 2, 4, 7, 4, 2, 9, 4))
        for b, root in enumerate(turn):
            now = b * BAR_BEATS
            if arpeggio:
                for i in range(8):
                    play(self.chord, root + order[i], now + i / 2, 1.0, chord_gain * 1.5, chord_pan)
            else:
                hits = (0.0, 1.5, 3.0) if self.style in ("opening", "lively", "tense") and full else (0.0,)
                for i, at in enumerate(hits):
                    length = (*hits, 4.0)[i + 1] - at
                    for third in (0, 2, 4):
                        play(self.chord, root + third, now + at, length, chord_gain, chord_pan)
            if part != "break" and self.style != "calm":
                for i in range(8 if self.style in ("opening", "tense") else 2):
                    step = 0.5 if self.style in ("opening", "tense") else 2.0
                    play("bass", root, now + i * step, step * 0.9, 0.45, (1.0,), octave=-2)
            else:
                play("bass", root, now, 3.8, 0.3, (1.0,), octave=-2)
        self._play_melody(play, turn, part, lead_pan)
        if self.drummed and part != "break":
            self._play_drums(track, part)
        return track

    def _play_melody(self, play, turn: tuple[int, ...], part: str, pan: tuple[float, ...]) -> None:
        rng = self.rng
        sung = self.sung and part != "intro"
        busy = {"opening": 0.75, "song": 0.6, "ending": 0.5, "calm": 0.3, "tense": 0.3, "lively": 0.6}[self.style]
        rhythm = rng.random(8) < busy  # one rhythm for all four bars, as tunes go
        rhythm[0] = rng.random() < 0.8
        degree = 7 + int(rng.integers(-2, 5))
        for b, root in enumerate(turn):
            starts = [i / 2 for i in range(8) if rhythm[i] and rng.random() < 0.92]
            for i, at in enumerate(starts):
                length = min(2.5, (*starts, 4.0)[i + 1] - at)
                degree += int(rng.choice((-2, -1, -1, 0, 1, 1, 2)))
                degree = min(12, max(3, degree))
                if i == 0:  # the first note of a bar belongs to its chord
                    degree = root + min((0, 2, 4, 7, 9), key=lambda d: abs(root + d - degree))
                if sung:
                    play(f"sing{rng.integers(5)}", degree, b * 4 + at, length * 0.95, 0.62, (1.0,))
                elif self.style != "tense" or rng.random() < 0.5:
                    play(self.lead, degree, b * 4 + at, length, 0.4, pan, octave=1 if self.lead == "bell" else 0)

    def _play_drums(self, track: np.ndarray, part: str) -> None:
        rng, studio = self.rng, self.studio
        light = self.style in ("ending", "song", "lively", "calm") and rng.random() < 0.7

        def hit(drum: str, beats: float, gain: float) -> None:
            add(track, studio.samples(beats * self.beat), studio.drums[drum], gain * (0.55 if light else 1.0))

        if part in ("chorus", "intro") and not light:
            hit("crash", 0, 0.8)
        for b in range(BLOCK_BARS):
            now = b * BAR_BEATS
            for i in range(4):
                if self.four_on_floor or i in (0, 2):
                    hit("kick", now + i, 0.5)
                if i in (1, 3):
                    hit("tom" if self.style == "tense" else "snare", now + i, 0.5)
            if rng.random() < 0.5:
                hit("kick", now + 2.5, 0.4)
            for i in range(8 if part != "verse" or not light else 4):
                hit("hat", now + i * (0.5 if part != "verse" or not light else 1.0), rng.uniform(0.35, 0.7))
            if b == BLOCK_BARS - 1 and not light:
                for i in range(4):
                    hit("snare" if i % 2 else "tom", now + 3 + i / 4, 0.45)

    def parts(self, count: int) -> list[tuple[str, int]]:
        """Names and variants of `count` blocks, in their order: intro, verses, choruses, now and then a break."""
        if self.style not in ("opening", "ending", "song"):
            return [("chorus" if i % 3 == 2 else "verse", i % 2) for i in range(count)]
        late = [("break", 0)] if count > 6 and self.rng.random() < 0.4 else []
        choruses = [("chorus", i % 2) for i in range(max(1, round(count * 0.4)) - len(late))]
        intro = [("intro", 0)] if count > 3 else []
        verses = [("verse", i % 2) for i in range(max(0, count - len(choruses) - len(late) - len(intro)))]
        return (intro + verses + late + choruses)[-count:]

    def render(self, seconds: float, *, closes: bool, tail: float = 0.0, running: bool = False) -> np.ndarray:
        """`seconds` of the song and its `tail`, float32 (channels, samples), root mean square near LEVEL.

        A song that closes runs towards a last stroke shortly before `seconds`; another is cut off there. One that is
        `running` has begun before; another may wait a moment.
        """
        studio, rng = self.studio, self.rng
        length = studio.samples(seconds + tail)
        track = np.zeros((self.channels, length + 1), np.float32)
        ring = min(rng.uniform(0.25, 2.2), seconds / 4) if closes else 0.0
        lead_in = 0.0 if running else rng.uniform(0.0, 0.3)
        body = max(0.5, seconds - ring - lead_in)
        if closes:  # a whole number of bars, by a slight change of tempo
            self.beat = body / max(1, round(body / self.bar)) / BAR_BEATS
        bars = body / self.bar
        count = int(np.ceil(bars / BLOCK_BARS - 1e-6))
        first = bars - count * BLOCK_BARS if closes else 0.0
        for i, (part, variant) in enumerate(self.parts(count)):
            at = lead_in + (first + i * BLOCK_BARS) * self.bar
            gain = decibel(self.loudness[part] + rng.uniform(-1.5, 1.5))
            add(track, studio.samples(at), self.block(part, variant), gain)
        if lead_in and closes:
            track[:, : studio.samples(lead_in)] = 0  # the first, cut block began earlier
        if closes:
            at = studio.samples(seconds - ring)
            track[:, at:] *= np.float32(0.25)
            for degree in (0, 2, 4, 7):
                add(track, at, studio.note(self.chord, self.pitch(degree), ring + 0.3), 0.35)
            add(track, at, studio.note("bass", self.pitch(0) - 24, ring), 0.5)
            if self.drummed:
                add(track, at, studio.drums["crash"], 0.7)
                add(track, at, studio.drums["kick"], 0.7)
        fade = studio.samples(tail + 0.05)
        track = track[:, :length]
        track[:, -fade:] *= (np.linspace(1, 0, fade, dtype=np.float32) ** 2)[-track.shape[1] :]
        return track * np.float32(LEVEL / (np.sqrt((track**2).mean()) + 1e-6))
