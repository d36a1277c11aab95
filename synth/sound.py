"""What all families of made clips share of sound: a studio that keeps its notes, a song, and how a clip is mixed.

    sound = render_sound(plan, DrawnStudio)     # float32 (channels, samples), -1 to 1, exactly plan.duration long

Everything is built of short sounds that are made once a clip (a note of an instrument, a drum stroke, a syllable of a
voice, some bars of a song) and added where they belong: 200 s cost well under a second.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from synth.plan import ClipPlan, Event, Segment

LEVEL = 0.1  # root mean square that songs and speech are brought to before they are mixed


class Studio(ABC):
    """The instruments, drums and voices of one clip; makes every short sound once and keeps it."""

    def __init__(self, rng: np.random.Generator, sample_rate: int):
        self.rng = rng
        self.sample_rate = sample_rate
        self.notes: dict[tuple, np.ndarray] = {}
        self.drums = self._make_drums()
        self.voices = [self._make_voice() for _ in range(3)]
        self.singer = rng.uniform(1.0, 1.2)  # formants of the clip's singing voice

    def samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def noise(self, seconds: float) -> np.ndarray:
        return self.rng.standard_normal(self.samples(seconds), dtype=np.float32)

    def note(self, instrument: str, midi: int, seconds: float) -> np.ndarray:
        """One note, float32 (samples,), longer than `seconds` by its release. "sing0" to "sing4" are sung vowels."""
        key = (instrument, midi, round(seconds, 3))
        if key not in self.notes:
            self.notes[key] = self._make_note(instrument, midi, seconds)
        return self.notes[key]

    # What a family gives

    @abstractmethod
    def _make_note(self, instrument: str, midi: int, seconds: float) -> np.ndarray:
        """One note as `note` gives it, made anew."""

    @abstractmethod
    def _make_drums(self) -> dict[str, np.ndarray]:
        """Strokes by name, float32 (samples,)."""

    @abstractmethod
    def _make_voice(self) -> list[list[np.ndarray]]:
        """Three rows (high, middle, low pitch) of syllables, float32 (samples,)."""

    @abstractmethod
    def song(self, style: str, channels: int) -> "Song":
        """A new piece of music of this studio's kind."""

    @abstractmethod
    def room_tone(self, seconds: float) -> np.ndarray:
        """float32 (samples,): what a place sounds like when nothing happens, root mean square LEVEL."""

    @abstractmethod
    def accent(self) -> np.ndarray:
        """float32 (samples,): a stroke under a quick cut."""

    @abstractmethod
    def add_chime(self, track: np.ndarray, start: float) -> None:
        """Add the short tune of an eyecatch."""

    @abstractmethod
    def add_thing(self, track: np.ndarray, start: float, plan: ClipPlan) -> None:
        """Add the noise of a thing, cut where its segment ends."""

    @abstractmethod
    def add_line(self, track: np.ndarray, event: Event) -> None:
        """Add one sentence."""


class Song(ABC):
    """A piece of music, put together from blocks of some bars. `style`: opening, ending, song, calm, tense, lively."""

    key: int                  # MIDI number of degree 0
    scale: tuple[int, ...]    # semitones above it, seven

    def __init__(self, studio: Studio, style: str, channels: int):
        self.studio, self.style, self.channels = studio, style, channels
        self.rng = studio.rng
        self.blocks: dict[tuple[str, int], np.ndarray] = {}

    @property
    @abstractmethod
    def bar(self) -> float:
        """Seconds."""

    @abstractmethod
    def _make_block(self, part: str) -> np.ndarray:
        """One block and its ring, float32 (channels, samples), made anew."""

    @abstractmethod
    def render(self, seconds: float, *, closes: bool, tail: float = 0.0, running: bool = False) -> np.ndarray:
        """`seconds` of the song and its `tail`, float32 (channels, samples), root mean square near LEVEL.

        A song that closes comes to its end shortly before `seconds`; another is cut off there. One that is `running`
        has begun before; another may wait a moment.
        """

    def pitch(self, degree: int) -> int:
        octave, step = divmod(int(degree), 7)
        return self.key + 12 * octave + self.scale[step]

    def _pan(self, spread: float) -> tuple[float, ...]:
        if self.channels == 1:
            return (1.0,)
        side = self.rng.uniform(-spread, spread)
        return (1.0 - side, 1.0 + side)

    def block(self, part: str, variant: int) -> np.ndarray:
        """Some bars and their ring, float32 (channels, samples), made at the first call."""
        if (part, variant) not in self.blocks:
            self.blocks[part, variant] = self._make_block(part)
        return self.blocks[part, variant]


def render_sound(plan: ClipPlan, studio_type: type[Studio],
                 change: Callable[[Studio], None] | None = None) -> np.ndarray:
    """float32 (channels, samples) in -1..1, of exactly round(duration x sample_rate) samples.

    `change` is called with every studio that plays, before its first sound: to give it other voices, or another singer.
    """
    rng = np.random.default_rng(plan.rng_key(2))
    studio = shared = studio_type(rng, plan.sample_rate)
    # The opening and the ending sound the same in all clips of a season.
    if plan.season is not None and any(segment.type in ("opening", "ending") for segment in plan.segments):
        shared = studio_type(np.random.default_rng(plan.rng_key(2, shared=True)), plan.sample_rate)
    for player in {id(player): player for player in (studio, shared)}.values() if change else ():
        change(player)
    size = round(plan.duration * plan.sample_rate)
    floor = np.resize(studio.noise(min(5.0, plan.duration)), size) * np.float32(LEVEL * decibel(rng.uniform(-60, -45)))
    track = np.repeat(floor[None], plan.channels, axis=0)
    for segment in plan.segments:
        if segment.type in ("opening", "ending", "sponsor"):
            _add_music(track, studio if segment.type == "sponsor" else shared, segment, plan)
    _add_places(track, studio, plan)
    _add_background_music(track, studio, plan)
    for event in plan.all("silence"):
        _mute(track, studio, event)
    for event in plan.lines:
        studio.add_line(track, event)
    return _finish(track, rng)


def decibel(value: float) -> float:
    """The factor of an amplitude that so many decibels are."""
    return 10 ** (value / 20)


def _add_music(track: np.ndarray, studio: Studio, segment: Segment, plan: ClipPlan) -> None:
    rng = studio.rng
    if segment.type == "sponsor":
        if rng.random() < 0.35:
            return  # quiet, or only a voice
        style = str(rng.choice(("lively", "calm", "opening")))
    else:
        style = segment.type
    song = studio.song(style, plan.channels)
    whole = segment.before + segment.seconds + segment.after
    if plan.season is None:
        closes = segment.end < plan.duration and (segment.type == "opening" or rng.random() < 0.5)
        sound = song.render(whole, closes=closes, tail=segment.tail, running=segment.start == 0)
    else:
        closes = segment.type == "opening" or rng.random() < 0.5
        sound = song.render(whole, closes=closes, tail=0.5, running=False)
        sound = sound[:, studio.samples(segment.before):]
    if segment.type == "ending" and rng.random() < 0.3:
        size = studio.samples(min(rng.uniform(0.3, 1.2), segment.seconds / 2))
        sound[:, :size] *= np.linspace(0.1, 1, size, dtype=np.float32)
    gain = rng.uniform(-3, 3) - (4 if segment.type == "sponsor" else 0)
    add(track, studio.samples(segment.start), sound, decibel(gain))


def _add_background_music(track: np.ndarray, studio: Studio, plan: ClipPlan) -> None:
    rng = studio.rng
    tails = {s.end: s.tail for s in plan.segments}
    for event in plan.all("bgm", "song"):
        preview = plan.segment_at(event.start).type == "preview"
        style = (
            "song" if event.type == "song" else str(rng.choice(("lively",) if preview else ("calm", "tense", "lively")))
        )
        song = studio.song(style, plan.channels)
        tail = tails.get(event.end, 0.3)
        sound = song.render(event.end - event.start, closes=rng.random() < 0.4, tail=tail)
        for end in (1, -1):  # fades at both ends, often so short that they are cuts
            size = studio.samples(min(rng.choice((0.02, 0.5, 2.0)), (event.end - event.start) / 3))
            sound[:, ::end][:, :size] *= np.linspace(0, 1, size, dtype=np.float32)
        gain = rng.uniform(-4, 2) if event.type == "song" else rng.uniform(-13, -3)
        add(track, studio.samples(event.start), sound, decibel(gain))


def _add_places(track: np.ndarray, studio: Studio, plan: ClipPlan) -> None:
    """Room tone of every scene, and the noises of things."""
    rng = studio.rng
    for scene in plan.all("scene"):
        tile = studio.room_tone(min(6.0, scene.end - scene.start))
        size = studio.samples(scene.end) - studio.samples(scene.start)
        tone = np.resize(tile, size)
        slow = np.interp(np.arange(size), np.linspace(0, size, 12), rng.uniform(0.6, 1.3, 12)).astype(np.float32)
        add(track, studio.samples(scene.start), tone * slow, decibel(rng.uniform(-34, -16)))
        for _ in range(int(rng.integers(0, 5))):
            studio.add_thing(track, rng.uniform(scene.start, max(scene.start, scene.end - 0.8)), plan)
    for event in plan.all("montage"):
        for at in np.arange(event.start, event.end - 1.0, rng.uniform(0.8, 2.0)):
            if rng.random() < 0.6:
                add(track, studio.samples(at), studio.accent(), 0.25)
    for event in plan.all("eyecatch"):
        studio.add_chime(track, event.start)


def _mute(track: np.ndarray, studio: Studio, event: Event) -> None:
    """Everything but the noise floor and voices falls away, within 20 ms at each side."""
    start, end = studio.samples(event.start), min(track.shape[1], studio.samples(event.end))
    size = end - start
    ramp = np.minimum(np.arange(size), np.arange(size)[::-1]) / (0.02 * studio.sample_rate)
    track[:, start:end] *= np.clip(1 - ramp, 0.003, 1).astype(np.float32)


def _finish(track: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random loudness for the whole clip; the few peaks beyond full scale are cut."""
    loud = np.sqrt((track**2).mean()) + 1e-9
    gain = decibel(rng.uniform(-25, -15)) / loud
    peak = np.quantile(np.abs(track[:, ::37]), 0.9995) + 1e-9
    track *= np.float32(min(gain, 0.97 / peak))
    return np.clip(track, -1, 1, out=track)


def add(track: np.ndarray, start: int, sound: np.ndarray, gain: float | tuple[float, ...] = 1.0) -> None:
    """Add `sound` (samples,) or (channels, samples) to `track` (channels, samples); what sticks out is cut."""
    first, last = max(0, -start), min(sound.shape[-1], track.shape[-1] - start)
    if last <= first:
        return
    gains = gain if isinstance(gain, tuple) else (gain,) * len(track)
    for c, row in enumerate(track):
        part = sound[c, first:last] if sound.ndim == 2 else sound[first:last]
        row[start + first : start + last] += np.float32(gains[c % len(gains)]) * part
