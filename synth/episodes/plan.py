"""The plan of a made season: its episodes with what is seen and heard when, and the exact truth. Nothing is drawn yet.

    season = plan_season(seed=0, index=3, family="drawn", sizes=Sizes())
    season.episodes[2].path, season.episodes[2].truth, season.episodes[2].cases

An episode is put together from made clips (synth/plan.py): its themes, stretches of story, cards. `Shown` says which
pictures of which clip are seen, one after the other, and `Heard` which sound lies where, one above the other. So the
same theme is in many episodes, a recap shows the pictures of another episode, and a song of the opening is sung
within the story. Everything follows from (seed, index, family, sizes); scenes of two episodes share nothing but what
is put there on purpose. Times are seconds.
"""

import random
from dataclasses import dataclass, field, replace
from fractions import Fraction

from synth.episodes.names import Names
from synth.plan import FAMILIES, ClipPlan, Event, Segment, episode_events, spoken

USUAL_THEME = 90.0            # s; lengths below are meant for themes of this length, and shrink with them
CHUNK = 120.0                 # s of story that are one made clip
RING = 0.4                    # s that a theme rings on
TEST_INDEX = 1_000_000        # seasons from here on are for measuring, those before for learning
# What a season may have; by its index, each is there in half of the seasons, in changing company.
SEASON_CASES = ("cold opens", "second opening", "changed credits", "no opening in the first", "insert song", "recaps",
                "previews", "after-credits scene", "opening at the end", "sponsor", "logo", "chapters",
                "useless chapters", "foreign file", "movie")
# What becomes of single episodes: another language, or a copy (copies.py).
DUBS = ("dub", "dub with themes")
COPIES = ("low bit rate", "4% faster", "4% faster, same pitch", "8 kHz mono")
VARIANTS = tuple(name for pair in zip(COPIES, (*DUBS, *DUBS), strict=True) for name in pair)


@dataclass(frozen=True)
class Sizes:
    """How large a season is: minutes an episode, episodes, pixels high, seconds a theme, frames a second, Hz."""

    minutes: float = 24.0
    episodes: int = 12
    height: int = 180
    theme: float = USUAL_THEME
    fps: str = "24000/1001"
    sample_rate: int = 44_100


SHORT = Sizes(minutes=1.5, episodes=4, height=90, theme=15.0, fps="12", sample_rate=16_000)


@dataclass(frozen=True)
class Shown:
    """`seconds` of a clip's pictures from `start` of the clip. `names`: which staff names stand in them."""

    clip: ClipPlan = field(repr=False)
    start: float
    seconds: float
    names: int = 0


@dataclass(frozen=True)
class Heard:
    """`seconds` of a clip's sound from its `start`, at `at` of the episode, `level` dB of full scale, spoken or sung in
    a `language`, 0 for the original; `fade` seconds at both ends."""

    clip: ClipPlan = field(repr=False)
    start: float
    at: float
    seconds: float
    level: float
    language: int = 0
    fade: float = 0.0


@dataclass(frozen=True)
class Truth:
    """What a marker should say. `theme`: which of the season's openings or endings, from 1; else 0."""

    type: str
    start: float
    end: float
    theme: int = 0


@dataclass(frozen=True)
class EpisodePlan:
    """A file of a season: `path` within its folder, what is seen and heard, what is true, and which cases it has.

    `number` is None for a movie. `copy`: one of COPIES, or "". `chapters`: (start, end, title). `truth` and `chapters`
    are as of the file, also where it is a faster copy.
    """

    path: str
    number: int | None
    fps: str
    seed: int
    season: int
    shown: tuple[Shown, ...] = field(repr=False)
    heard: tuple[Heard, ...] = field(repr=False)
    truth: tuple[Truth, ...]
    cases: tuple[str, ...]
    copy: str = ""
    chapters: tuple[tuple[float, float, str], ...] = ()

    @property
    def frames(self) -> int:
        """Number of pictures, before any copy is made."""
        return sum(round(piece.seconds * Fraction(self.fps)) for piece in self.shown)

    @property
    def duration(self) -> float:
        """Seconds of the file."""
        return float(self.frames / Fraction(self.fps)) / speed(self.copy, self.fps)


@dataclass(frozen=True)
class SeasonPlan:
    """The files of one folder. `split` is "train" for learning weights and thresholds, or "test" for measuring."""

    seed: int
    index: int
    family: str
    sizes: Sizes
    split: str
    title: str
    cases: tuple[str, ...]
    episodes: tuple[EpisodePlan, ...]


def speed(copy: str, fps: str) -> float:
    """How much faster a copy runs: a 4% faster one has 25 pictures a second where there were 24000/1001."""
    return float(25 * 1001 / Fraction(24_000)) if copy.startswith("4% faster") else 1.0


def season_cases(index: int) -> tuple[str, ...]:
    """The cases of a season by its index: each in every second season, in every fourth pair, ... in turn."""
    return tuple(case for i, case in enumerate(SEASON_CASES) if ((index >> i % 3) + i // 3) % 2 == 0)


def plan_season(seed: int, index: int, family: str = "drawn", sizes: Sizes = SHORT,
                cases: tuple[str, ...] | None = None) -> SeasonPlan:
    """Plan a season. `cases`: of SEASON_CASES and VARIANTS (one episode each); None: those of the index.

    Raises ValueError for a family or a case that there is not.
    """
    if family not in FAMILIES:
        raise ValueError(f"family {family!r}: expected one of {', '.join(FAMILIES)}")
    rng = random.Random(f"season/{seed}/{index}/{family}")
    if cases is None:
        num_variants = max(1, sizes.episodes // 3)
        cases = (*season_cases(index), *(VARIANTS[(index + i) % len(VARIANTS)] for i in range(num_variants)))
    unknown = [case for case in cases if case not in (*SEASON_CASES, *VARIANTS)]
    if unknown:
        raise ValueError(f"case {unknown[0]!r}: expected one of {', '.join((*SEASON_CASES, *VARIANTS))}")
    return _Season(rng, seed, index, family, sizes, cases).plan()


class _Season:
    """A season while it is planned: what all its episodes share, then its episodes."""

    def __init__(self, rng, seed: int, index: int, family: str, sizes: Sizes, cases: tuple[str, ...]):
        self.rng, self.seed, self.index, self.family, self.sizes, self.cases = rng, seed, index, family, sizes, cases
        self.rate, self.scale = Fraction(sizes.fps), sizes.theme / USUAL_THEME
        self.key = rng.getrandbits(40)
        self.names = Names(rng)
        self.channels = 2 if sizes.sample_rate > 22_050 and rng.random() < 0.3 else 1
        self.count = sizes.episodes
        self.openings = [self.theme("opening", number) for number in (0, 1)]
        self.endings = [self.theme("ending", number) for number in (0, 1)]
        self.two_endings = rng.random() < 0.5
        self.bumper = self.card("eyecatch", 5.0)
        self.logo = self.card("sponsor", rng.uniform(3, 6))
        self.sponsor = self.card("sponsor", rng.uniform(5, 10))
        self.preview_seconds = self.on_grid(rng.uniform(15, 30) * self.scale)
        self.preview_music = self.music("preview", self.preview_seconds)
        self.cue = self.music("episode", max(6.0, rng.uniform(20, 40) * self.scale))
        self.recap_first = rng.random() < 0.6        # before the opening, or after it
        self.recap_sounds = rng.random() < 0.5       # as the episode before did, or with a voice over it

    # What an episode is made of

    def on_grid(self, seconds: float) -> float:
        """The nearest whole number of pictures, at least one, in seconds."""
        return float(max(1, round(seconds * self.rate)) / self.rate)

    def clip(self, seconds: float, segments: tuple[Segment, ...], events=(), *, kind="s", theme=0) -> ClipPlan:
        """A made clip of this season's cast, with a seed of its own."""
        width = 2 * round(self.sizes.height * 16 / 9 / 2)
        seed = self.rng.getrandbits(62)
        events = tuple(sorted(events, key=lambda event: (event.start, event.end, event.type)))
        sizes = self.sizes
        return ClipPlan(f"{self.key:x}-{seed:x}", kind, seconds, sizes.fps, width, sizes.height, sizes.sample_rate,
                        self.channels, 0.0, seed, segments, events, self.family, self.key, theme)

    def theme(self, kind: str, number: int) -> ClipPlan:
        """An opening or an ending, with the second of silence into which it rings on."""
        rng = self.rng
        seconds = self.on_grid(self.sizes.theme * rng.choice((1.0, 1.0, rng.uniform(0.75, 1.1))))
        fades = [min(rng.choice((0.0, 0.4, 0.8)), seconds / 8) for _ in range(2)]
        segments = (Segment(kind, 0.0, seconds, *fades), Segment("episode", seconds, seconds + 1.0))
        return self.clip(seconds + 1.0, segments, kind="s" if kind == "opening" else "e", theme=number)

    def card(self, kind: str, seconds: float) -> ClipPlan:
        """A few seconds that are the same wherever they are shown: an eyecatch, a sponsor's card, a studio's logo."""
        seconds = self.on_grid(max(1.5, seconds * self.scale**0.5))
        segment = Segment("sponsor" if kind == "sponsor" else "episode", 0.0, seconds)
        events = [] if kind == "sponsor" else [Event("scene", 0.0, seconds), Event(kind, 0.0, seconds)]
        return self.clip(seconds, (segment,), events)

    def music(self, kind: str, seconds: float) -> ClipPlan:
        return self.clip(seconds, (Segment(kind, 0.0, seconds),), [Event("bgm", 0.0, seconds)])

    def voice(self, seconds: float) -> ClipPlan:
        """Somebody who speaks, and nothing else."""
        events = spoken(self.rng, 0.2, seconds - 0.2, 0.85)
        return self.clip(seconds, (Segment("episode", 0.0, seconds),), events)

    def story(self, seconds: float) -> list[ClipPlan]:
        """Stretches of story, together `seconds` long."""
        count = max(1, round(seconds / (CHUNK * self.scale)))
        ends = [self.on_grid(seconds * (i + 1) / count) for i in range(count)]
        return [self._chunk(end - start) for start, end in zip([0.0, *ends], ends, strict=False)]

    def _chunk(self, seconds: float) -> ClipPlan:
        rng, seconds = self.rng, self.on_grid(seconds)
        segment = Segment("episode", 0.0, seconds)
        subject = rng.choice(("calm", "calm", "lively"))
        return self.clip(seconds, (segment,), episode_events(rng, segment, -1e9, min(1.0, self.scale), subject))

    # The episodes

    def plan(self) -> SeasonPlan:
        layouts = [self._layout(number) for number in range(1, self.count + 1)]
        variants = self._variants()
        sung = self.rng.randrange(self.count) + 1
        cued = self.rng.sample(range(1, self.count + 1), min(2, self.count))
        episodes = []
        for number, layout in enumerate(layouts, 1):
            reel = _Reel(self, number, layout)
            reel.language = DUBS.index(variants[number]) + 1 if variants.get(number) in DUBS else 0
            for i, part in enumerate(layout):
                reel.add(i, part, layouts)
            if number == sung and "insert song" in self.cases:
                reel.insert_song()
            if number in cued:
                reel.play_cue()
            episodes.append(reel.episode(variants.get(number, "")))
        split = "test" if self.index >= TEST_INDEX else "train"
        return SeasonPlan(self.seed, self.index, self.family, self.sizes, split, self.names.title, self.cases,
                          tuple(episodes))

    def _variants(self) -> dict[int, str]:
        """Which episodes are in another language, or a copy."""
        wanted = [case for case in self.cases if case in VARIANTS][:self.count]
        return dict(zip(self.rng.sample(range(1, self.count + 1), len(wanted)), wanted, strict=True))

    def _layout(self, number: int) -> list["_Part"]:
        """The parts of an episode, in their order; story of what time is left."""
        rng, cases, scale = self.rng, self.cases, self.scale
        first, last = number == 1, number == self.count
        late = number > self.count // 2
        second = late and "second opening" in cases
        at_end = last and "opening at the end" in cases
        opening = self.openings[int(second)]
        ending = self.endings[int(second and self.two_endings)]
        recap = [_Part("recap", seconds=rng.uniform(25, 70) * scale)] if "recaps" in cases and not first else []
        sponsor = [_Part("sponsor", self.sponsor)] if "sponsor" in cases else []
        start = [_Part("logo", self.logo)] if "logo" in cases else []
        start += recap if self.recap_first else []
        if "cold opens" in cases and rng.random() < 0.75:
            start.append(_Part("story", seconds=rng.uniform(40, 150) * scale))
        if not (first and "no opening in the first" in cases) and not at_end:
            start += [_Part("opening", opening, theme=1 + int(second)), *sponsor]
        start += [] if self.recap_first else recap
        end = [_Part("ending", opening if at_end else ending,
                     theme=0 if at_end else 1 + int(second and self.two_endings))]
        if "after-credits scene" in cases and (last or rng.random() < 0.4):
            end.append(_Part("story", seconds=rng.uniform(20, 60) * scale, after=True))
        if "previews" in cases and not last:
            end.append(_Part("preview", seconds=self.preview_seconds))
        total = 60 * self.sizes.minutes + rng.uniform(-8, 8) * scale
        taken = self.bumper.duration + sum(part.length for part in start + end)
        rest, share = max(40 * scale, total - taken), rng.uniform(0.4, 0.6)
        parts = [*start, _Part("story", seconds=rest * share), _Part("bumper", self.bumper),
                 _Part("story", seconds=rest * (1 - share)), *end]
        for part in parts:
            part.chunks = self.story(part.seconds) if part.kind == "story" else []
        return parts


@dataclass
class _Part:
    """A part of an episode: a clip, or `seconds` of something to be put together; `chunks` of story."""

    kind: str
    clip: ClipPlan | None = None
    seconds: float = 0.0
    theme: int = 0
    after: bool = False
    chunks: list[ClipPlan] = field(default_factory=list)

    @property
    def length(self) -> float:
        """Seconds; a theme's without the second in which it rings on."""
        return self.clip.segments[0].seconds if self.clip else self.seconds


class _Reel:
    """An episode while it is put together, part after part."""

    LEVELS = {"opening": -16.0, "ending": -17.0, "bumper": -18.0, "logo": -19.0, "sponsor": -19.0}     # dB

    def __init__(self, season: _Season, number: int, layout: list[_Part]):
        self.season, self.number, self.rng = season, number, season.rng
        self.frames = 0
        self.shown: list[Shown] = []
        self.heard: list[Heard] = []
        self.truth: list[Truth] = []
        self.cases: list[str] = []
        self.stories: list[tuple[float, float]] = []     # where the story is, of some length
        self.language = 0
        changed = "changed credits" in season.cases and number > season.count // 2
        self.names = number if changed else 0
        if changed:
            self.cases.append("changed credits")
        self.cases += _layout_cases(layout, season.cases, number, season.count)

    @property
    def now(self) -> float:
        return float(self.frames / self.season.rate)

    def show(self, clip: ClipPlan, start: float, seconds: float, names: int = 0) -> None:
        self.shown.append(Shown(clip, start, seconds, names))
        self.frames += round(seconds * self.season.rate)

    def add(self, i: int, part: _Part, layouts: list[list[_Part]]) -> None:
        start, language = self.now, self.language
        if part.kind == "story":
            for clip in part.chunks:
                spoken_clip = replace(clip, seed=clip.seed ^ (0x5DB << 16) * language)
                self.heard.append(Heard(spoken_clip, 0.0, self.now, clip.duration, -21.0, language))
                self.show(clip, 0.0, clip.duration)
            if not part.after:
                self.stories.append((start, self.now))
        elif part.kind in ("recap", "preview"):
            other = self.number + (-1 if part.kind == "recap" else 1)
            self._excerpts(part, layouts[other - 1])
            self.truth.append(Truth(part.kind, start, self.now))
        else:
            seconds, sung = part.length, language if language == 2 else 0
            ring = RING if part.kind in ("opening", "ending") else 0.0
            self.heard.append(Heard(part.clip, 0.0, start, seconds + ring, self.LEVELS[part.kind], sung))
            self.show(part.clip, 0.0, seconds, self.names)
            if part.kind in ("opening", "ending"):
                self.truth.append(Truth(part.kind, start, self.now, part.theme))

    def _excerpts(self, part: _Part, layout: list[_Part]) -> None:
        """Shots of another episode's story, in their order, with its sound or with a voice and music."""
        season, rng, start = self.season, self.rng, self.now
        own = part.kind == "recap" and season.recap_sounds and not self.language
        chunks = [clip for other in layout if other.kind == "story" and not other.after for clip in other.chunks]
        chunks = [chunks[i] for i in sorted(rng.sample(range(len(chunks)), min(3, len(chunks))))]
        while self.now < start + part.seconds - 1e-6:
            clip = chunks[min(len(chunks) - 1, int(len(chunks) * (self.now - start) / part.seconds))]
            left = start + part.seconds - self.now
            seconds = season.on_grid(min(left, clip.duration / 2, rng.uniform(2.0, 5.0) * max(0.4, season.scale)))
            since = season.on_grid(rng.uniform(0.0, clip.duration - seconds))
            if own:
                self.heard.append(Heard(clip, since, self.now, seconds, -21.0, fade=0.02))
            self.show(clip, since, seconds)
        if not own:
            length = self.now - start
            music = season.preview_music if part.kind == "preview" else season.music("episode", length)
            self.heard.append(Heard(music, 0.0, start, min(length, music.duration), -26.0, fade=0.05))
            self.heard.append(Heard(season.voice(length), 0.0, start, length, -21.0, self.language))

    def insert_song(self) -> None:
        """The opening's song under the longest stretch of story, nearly whole, as loud as the opening."""
        song = self.season.openings[0]
        start, end = max(self.stories, key=lambda span: span[1] - span[0])
        seconds = min(song.segments[0].seconds * self.rng.uniform(0.6, 1.0), 0.8 * (end - start))
        at = self.rng.uniform(start, end - seconds)
        self.heard.append(Heard(song, 0.0, at, seconds, -18.0, fade=0.5))
        self.cases.append("insert song")

    def play_cue(self) -> None:
        """Music under the story that another episode has too."""
        cue = self.season.cue
        start, end = max(self.stories, key=lambda span: span[1] - span[0])
        seconds = min(cue.duration, 0.5 * (end - start))
        self.heard.append(Heard(cue, 0.0, self.rng.uniform(start, end - seconds), seconds, -25.0, fade=1.0))
        self.cases.append("shared cue")

    def episode(self, variant: str) -> EpisodePlan:
        season = self.season
        copy = variant if variant in COPIES else ""
        faster = speed(copy, season.sizes.fps)
        truth = tuple(replace(t, start=t.start / faster, end=t.end / faster) for t in self.truth)
        return EpisodePlan(season.names.file(self.number, season.sizes.height), self.number, season.sizes.fps,
                           self.rng.getrandbits(62), season.key, tuple(self.shown), tuple(self.heard), truth,
                           tuple(self.cases + [variant] * bool(variant)), copy)


def _layout_cases(layout: list[_Part], cases: tuple[str, ...], number: int, count: int) -> list[str]:
    kinds = [part.kind for part in layout]
    found = {
        "cold open": "opening" in kinds and "story" in kinds[:kinds.index("opening")],
        "no opening": "opening" not in kinds,
        "second opening": any(part.kind == "opening" and part.theme == 2 for part in layout),
        "recap": "recap" in kinds, "preview": "preview" in kinds,
        "after-credits scene": any(part.after for part in layout),
        "opening at the end": number == count and "opening at the end" in cases,
        "sponsor": "sponsor" in kinds, "logo": "logo" in kinds,
    }
    return [case for case, is_there in found.items() if is_there]
