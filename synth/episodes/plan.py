"""The plan of a made season: its episodes with what is seen and heard when, and the exact truth. Nothing is drawn yet.

    season = plan_season(seed=0, index=3, family="drawn", sizes=Sizes())
    season.episodes[2].path, season.episodes[2].truth, season.episodes[2].cases

An episode is put together from made clips (synth/plan.py): its themes, stretches of story, cards. `Shown` says which
pictures of which clip are seen, one after the other, and `Heard` which sound lies where, one above the other. So the
same theme is in many episodes, a recap shows the pictures of another episode, and a song of the opening is sung
within the story. Everything follows from (seed, index, family, sizes); scenes of two episodes share nothing but what
is put there on purpose. Times are seconds.
"""

import math
import random
import string
from dataclasses import dataclass, field, replace
from fractions import Fraction

from synth.episodes.names import Names
from synth.plan import FAMILIES, ClipPlan, Event, Segment, episode_events, spoken

USUAL_THEME = 90.0            # s; lengths below are meant for themes of this length, and shrink with them
CHUNK = 120.0                 # s of story that are one made clip
CARD_SHARE = 0.7              # of the episodes that show a sponsor's card or a logo, where there is one
RING = 0.4                    # s that a theme rings on
MOVIE_THEME, FOREIGN_THEME = 99, 100
TEST_INDEX = 1_000_000        # seasons from here on are for measuring, those before for learning
# What a season may have; by its index, each is there in half of the seasons, in changing company.
SEASON_CASES = ("cold opens", "second opening", "changed credits", "no opening in the first", "insert song", "recaps",
                "previews", "after-credits scene", "opening at the end", "sponsor", "logo", "chapters",
                "useless chapters", "foreign file", "movie", "double episode", "two versions")
# What becomes of single episodes: another language, or a copy (copies.py).
DUBS = ("dub", "dub with themes")
COPIES = ("low bit rate", "4% faster", "4% faster, same pitch", "8 kHz mono")
VARIANTS = tuple(name for pair in zip(COPIES, (*DUBS, *DUBS), strict=True) for name in pair)

# dB of full scale, root mean square of what is heard.
LEVELS = {"opening": -16.0, "ending": -17.0, "bumper": -18.0, "logo": -19.0, "sponsor": -19.0, "story": -21.0,
          "song": -18.0, "cue": -25.0, "music": -26.0}
CHAPTER_WORDS = (
    {"recap": "Recap", "opening": "Opening", "ending": "Ending", "preview": "Preview", "story": "Part {}",
     "after": "Epilogue"},
    {"recap": "Previously", "opening": "OP", "ending": "ED", "preview": "Next Episode", "story": "{}",
     "after": "C-Part"},
    {"opening": "Intro", "ending": "Credits", "story": "Episode ({})", "after": "After Credits"},
)


@dataclass(frozen=True)
class Sizes:
    """How large a season is: minutes an episode, episodes, pixels high, seconds a theme, frames a second, Hz.

    `seasons` of one series lie in one folder: they share cast, cards and the first ending, but no opening.
    """

    minutes: float = 24.0
    episodes: int = 12
    seasons: int = 1
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
    """What a marker should say. `theme`: which of the series' openings or endings, from 1.

    0 for a recap, a preview, and an opening that is played as the ending; MOVIE_THEME and FOREIGN_THEME + 1 are those
    of a movie and of a foreign file.
    """

    type: str
    start: float
    end: float
    theme: int = 0


@dataclass(frozen=True)
class EpisodePlan:
    """A file of a season: `path` within its folder, what is seen and heard, what is true, and which cases it has.

    `season` is None and `numbers` are () for a movie. `copy`: one of COPIES, or "". `chapters`: (start, end, title).
    `parts`: all that the episode is made of, and the insert song and the shared cue, which repeat but are to be kept.
    `truth` and `parts` have the file's times, also where it is a faster copy.
    """

    path: str
    season: int | None
    numbers: tuple[int, ...]
    fps: str
    seed: int
    shown: tuple[Shown, ...] = field(repr=False)
    heard: tuple[Heard, ...] = field(repr=False)
    truth: tuple[Truth, ...]
    parts: tuple[Truth, ...] = field(repr=False)
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
    """The files of one series. `split` is "train" for learning weights and thresholds, or "test" for measuring."""

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
    series = _Series(rng, family, sizes)
    episodes = [episode for number in range(1, sizes.seasons + 1)
                for episode in _Season(series, cases, number).plan()]
    episodes += [_foreign(series, f"{seed}/{index}/{family}")] if "foreign file" in cases else []
    episodes += [_movie(series)] if "movie" in cases else []
    split = "test" if index >= TEST_INDEX else "train"
    return SeasonPlan(seed, index, family, sizes, split, series.names.title, cases, tuple(episodes))


class _Series:
    """What all seasons of a series share: cast, names, the channels of its sound, cards."""

    def __init__(self, rng: random.Random, family: str, sizes: Sizes):
        self.rng, self.family, self.sizes = rng, family, sizes
        self.rate, self.scale = Fraction(sizes.fps), sizes.theme / USUAL_THEME
        self.key = rng.getrandbits(40)
        self.names = Names(rng)
        self.channels = 2 if sizes.sample_rate > 22_050 and rng.random() < 0.3 else 1
        self.bumper = self.card("eyecatch", 5.0)
        self.logo = self.card("sponsor", rng.uniform(3, 6))
        self.sponsor = self.card("sponsor", rng.uniform(5, 10))

    def on_grid(self, seconds: float) -> float:
        """The nearest whole number of pictures, at least one, in seconds."""
        return float(max(1, round(seconds * self.rate)) / self.rate)

    def clip(self, seconds: float, segments: tuple[Segment, ...], events=(), *, kind="s", theme=0) -> ClipPlan:
        """A made clip of this series' cast, with a seed of its own."""
        width = 2 * round(self.sizes.height * 16 / 9 / 2)
        seed = self.rng.getrandbits(62)
        events = tuple(sorted(events, key=lambda event: (event.start, event.end, event.type)))
        sizes = self.sizes
        return ClipPlan(f"{self.key:x}-{seed:x}", kind, seconds, sizes.fps, width, sizes.height, sizes.sample_rate,
                        self.channels, 0.0, seed, segments, events, self.family, self.key, theme)

    def theme(self, kind: str, number: int, longer: float = 1.0) -> ClipPlan:
        """Opening or ending `number` of the series, from 1, with the second of silence into which it rings on."""
        rng = random.Random(f"theme/{self.key}/{kind}/{number}")
        seconds = self.on_grid(longer * self.sizes.theme * rng.choice((1.0, 1.0, rng.uniform(0.75, 1.1))))
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
        events = episode_events(rng, segment, -math.inf, min(1.0, self.scale), rng.choice(("calm", "calm", "lively")))
        # A clip of 200 s may well have a song; in nine stretches of an episode each they would be too many.
        events = [event for event in events if event.type not in ("song", "eyecatch") or rng.random() < 0.25]
        return self.clip(seconds, (segment,), events)


class _Season:
    """A season while it is planned: what its episodes share, then the episodes."""

    def __init__(self, series: _Series, cases: tuple[str, ...], number: int = 1):
        self.series, self.cases, self.number = series, cases, number
        self.rng = rng = series.rng
        self.scale, self.count = series.scale, series.sizes.episodes
        self.openings = [series.theme("opening", 2 * number - 1), series.theme("opening", 2 * number)]
        # A later season ends as the first one did.
        self.endings = [series.theme("ending", 1), series.theme("ending", 2 * number)]
        self.two_endings = rng.random() < 0.5
        self.preview_seconds = series.on_grid(rng.uniform(15, 30) * self.scale)
        self.preview_music = series.music("preview", self.preview_seconds)
        self.cue = series.music("episode", max(6.0, rng.uniform(20, 40) * self.scale))
        self.recap_first = rng.random() < 0.6        # before the opening, or after it
        self.recap_sounds = rng.random() < 0.5       # as the episode before did, or with a voice over it

    def plan(self) -> list[EpisodePlan]:
        """The files of the season, in the order of their episodes."""
        rng, cases = self.rng, self.cases
        layouts = [self.layout(number) for number in range(1, self.count + 1)]
        files = [(number,) for number in range(1, self.count + 1)]
        if "double episode" in cases and self.count > 3:
            middle = self.count // 2
            files[middle - 1:middle + 1] = [(middle, middle + 1)]
        wanted = [case for case in cases if case in VARIANTS][:len(files)]
        variants = dict(zip(rng.sample(files, len(wanted)), wanted, strict=True))
        sung, cued = rng.choice(files), rng.sample(files, min(2, len(files)))
        episodes = []
        for numbers in files:
            variant = variants.get(numbers, "")
            reel = self._reel(numbers, variant, layouts)
            if numbers == sung and "insert song" in cases:
                reel.insert_song(self.openings[0])
            if numbers in cued:
                reel.play_cue(self.cue)
            titles = ("useless chapters", "chapters")[numbers[0] % 2]
            path = self.series.names.episode(self.number, numbers, self.series.sizes.height)
            episodes.append(reel.episode(path, self.number, numbers, variant if variant in COPIES else "",
                                         titles if titles in cases else ""))
        if "two versions" in cases:
            episodes.append(self._second_version(rng.choice(episodes)))
        return episodes

    def _reel(self, numbers: tuple[int, ...], variant: str, layouts: list[list["_Part"]]) -> "_Reel":
        """One episode, or several after each other."""
        reel = _Reel(self.series, DUBS.index(variant) + 1 if variant in DUBS else 0)
        found = [case for number in numbers for case in _layout_cases(layouts[number - 1], self.openings[1])]
        reel.cases += [*dict.fromkeys(found), *[variant] * bool(variant), *["double episode"] * (len(numbers) > 1)]
        if "changed credits" in self.cases and numbers[0] > self.count // 2:
            reel.names, reel.cases = numbers[0], [*reel.cases, "changed credits"]
        for number in numbers:
            for part in layouts[number - 1]:
                self._add(reel, part, number, layouts)
        return reel

    def _second_version(self, episode: EpisodePlan) -> EpisodePlan:
        """The same once more, encoded anew, as groups correct their releases."""
        path = self.series.names.episode(self.number, episode.numbers, self.series.sizes.height, version=2)
        return replace(episode, path=path, seed=self.rng.getrandbits(62), cases=(*episode.cases, "second version"))

    def _add(self, reel: "_Reel", part: "_Part", number: int, layouts: list[list["_Part"]]) -> None:
        if part.kind == "recap":
            reel.add_excerpts(part, layouts[number - 2], None, own_sound=self.recap_sounds and not reel.language)
        elif part.kind == "preview":
            reel.add_excerpts(part, layouts[number], self.preview_music)
        else:
            reel.add(part)

    def layout(self, number: int) -> list["_Part"]:
        """The parts of an episode, in their order; story of what time is left."""
        rng, cases, scale, series = self.rng, self.cases, self.scale, self.series
        first, last = number == 1, number == self.count
        second = number > self.count // 2 and "second opening" in cases
        at_end = last and "opening at the end" in cases
        opening, ending = self.openings[second], self.endings[second and self.two_endings]
        recap = [_Part("recap", seconds=rng.uniform(25, 70) * scale)] if "recaps" in cases and not first else []
        # Where a card stood beside all openings, no repeat would tell them apart.
        sponsor = [_Part("sponsor", series.sponsor)] if "sponsor" in cases and rng.random() < CARD_SHARE else []
        start = [_Part("logo", series.logo)] if "logo" in cases and rng.random() < CARD_SHARE else []
        start += recap if self.recap_first else []
        if "cold opens" in cases and rng.random() < 0.75:
            start.append(_Part("story", seconds=rng.uniform(40, 150) * scale))
        if not (first and "no opening in the first" in cases) and not at_end:
            start += [_Part("opening", opening), *sponsor]
        start += [] if self.recap_first else recap
        end = [_Part("ending", opening if at_end else ending)]
        if "after-credits scene" in cases and (last or rng.random() < 0.4):
            end.append(_Part("story", seconds=rng.uniform(20, 60) * scale, after=True))
        if "previews" in cases and not last:
            end.append(_Part("preview", seconds=self.preview_seconds))
        total = 60 * series.sizes.minutes + rng.uniform(-8, 8) * scale
        taken = series.bumper.duration + sum(part.length for part in start + end)
        rest, share = max(40 * scale, total - taken), rng.uniform(0.4, 0.6)
        return _with_story(series, [*start, _Part("story", seconds=rest * share), _Part("bumper", series.bumper),
                                    _Part("story", seconds=rest * (1 - share)), *end])


def _with_story(series: _Series, parts: list["_Part"]) -> list["_Part"]:
    """Fill the parts that are story. Without an opening, the staff's names stand over the first of it."""
    for part in parts:
        part.chunks = series.story(part.seconds) if part.kind == "story" else []
    if not any(part.kind == "opening" for part in parts):
        chunks = next(part.chunks for part in parts if part.kind == "story")
        end = min(chunks[0].duration, 40 * series.scale)
        chunks[0] = replace(chunks[0], events=(*chunks[0].events, Event("credits", 5 * series.scale, end)))
    return parts


def _movie(series: _Series) -> EpisodePlan:
    """A film of the series: half as long again as an episode, with an ending that is longer and its own."""
    parts = [_Part("logo", series.logo), _Part("story", seconds=90 * series.sizes.minutes),
             _Part("ending", series.theme("ending", MOVIE_THEME, longer=1.5)),
             _Part("story", seconds=30 * series.scale, after=True)]
    reel = _Reel(series)
    reel.cases += ["movie", "after-credits scene", "logo"]
    for part in _with_story(series, parts):
        reel.add(part)
    return reel.episode(series.names.movie(), None, ())


def _foreign(series: _Series, seed: str) -> EpisodePlan:
    """An episode of another series, of any family, that is called as if it were the season's next."""
    rng = random.Random(f"foreign/{seed}")
    other = _Season(_Series(rng, rng.choice(FAMILIES), series.sizes), ("cold opens",))
    reel = _Reel(other.series)
    reel.cases.append("foreign file")
    for part in other.layout(1):
        reel.add(part)
    reel.truth = [replace(t, theme=FOREIGN_THEME + t.theme) for t in reel.truth]
    numbers = (series.sizes.episodes + 1,)
    return reel.episode(series.names.episode(1, numbers, series.sizes.height), 1, numbers)


@dataclass
class _Part:
    """A part of an episode: a clip, or `seconds` of something to be put together; `chunks` of story.

    `kind`: logo, recap, story, opening, sponsor, bumper, ending or preview; `after`: story after the ending.
    """

    kind: str
    clip: ClipPlan | None = None
    seconds: float = 0.0
    after: bool = False
    chunks: list[ClipPlan] = field(default_factory=list)

    @property
    def length(self) -> float:
        """Seconds; a theme's without the second in which it rings on."""
        return self.clip.segments[0].seconds if self.clip else self.seconds


class _Reel:
    """An episode while it is put together, part after part."""

    def __init__(self, series: _Series, language: int = 0):
        self.series, self.rng, self.language = series, series.rng, language
        self.names = 0
        self.frames = 0
        self.shown: list[Shown] = []
        self.heard: list[Heard] = []
        self.truth: list[Truth] = []
        self.cases: list[str] = []
        self.parts: list[tuple[_Part, float, float]] = []     # with start and end, s
        self.traps: list[Truth] = []                          # what repeats but is to be kept

    @property
    def now(self) -> float:
        return float(self.frames / self.series.rate)

    def show(self, clip: ClipPlan, start: float, seconds: float, names: int = 0) -> None:
        self.shown.append(Shown(clip, start, seconds, names))
        self.frames += round(seconds * self.series.rate)

    def add(self, part: _Part) -> None:
        """Story, a theme or a card."""
        start, language = self.now, self.language
        for clip in part.chunks:
            heard = replace(clip, seed=clip.seed ^ (0x5DB << 16) * language)      # other voices, steps, music
            self.heard.append(Heard(heard, 0.0, self.now, clip.duration, LEVELS["story"], language))
            self.show(clip, 0.0, clip.duration)
        if part.clip:
            is_theme = part.kind in ("opening", "ending")
            sung = language if language and DUBS[language - 1] == "dub with themes" else 0
            seconds = part.length
            self.heard.append(Heard(part.clip, 0.0, start, seconds + RING * is_theme, LEVELS[part.kind], sung))
            self.show(part.clip, 0.0, seconds, self.names if is_theme else 0)
            if is_theme:
                theme = part.clip.theme if part.kind == part.clip.segments[0].type else 0
                self.truth.append(Truth(part.kind, start, self.now, theme))
        self.parts.append((part, start, self.now))

    def add_excerpts(self, part: _Part, layout: list[_Part], music: ClipPlan | None, own_sound: bool = False) -> None:
        """Shots of another episode's story, in their order, with its sound or with a voice over `music`."""
        series, rng, start = self.series, self.rng, self.now
        chunks = [clip for other in layout if other.kind == "story" and not other.after for clip in other.chunks]
        chunks = [chunks[i] for i in sorted(rng.sample(range(len(chunks)), min(3, len(chunks))))]
        end = start + series.on_grid(part.seconds)
        while end - self.now > 1e-6:
            clip = chunks[min(len(chunks) - 1, int(len(chunks) * (self.now - start) / (end - start)))]
            left = end - self.now
            seconds = series.on_grid(min(left, clip.duration / 2, rng.uniform(2.0, 5.0) * max(0.4, series.scale)))
            since = series.on_grid(rng.uniform(0.0, clip.duration - seconds))
            if own_sound:
                self.heard.append(Heard(clip, since, self.now, seconds, LEVELS["story"], fade=0.02))
            self.show(clip, since, seconds)
        if not own_sound:
            length = self.now - start
            music = music or series.music("episode", length)
            self.heard.append(Heard(music, 0.0, start, min(length, music.duration), LEVELS["music"], fade=0.05))
            self.heard.append(Heard(series.voice(length), 0.0, start, length, LEVELS["story"], self.language))
        self.truth.append(Truth(part.kind, start, self.now))
        self.parts.append((part, start, self.now))

    def insert_song(self, song: ClipPlan) -> None:
        """A theme's song under the longest stretch of story, most of it or all, nearly as loud as the theme."""
        start, end = self._longest_story()
        seconds = min(song.segments[0].seconds * self.rng.uniform(0.6, 1.0), 0.8 * (end - start))
        at = self.rng.uniform(start, end - seconds)
        self.heard.append(Heard(song, 0.0, at, seconds, LEVELS["song"], fade=0.5))
        self.traps.append(Truth("insert song", at, at + seconds, song.theme))
        self.cases.append("insert song")

    def play_cue(self, cue: ClipPlan) -> None:
        """Music under the story that another episode has too."""
        start, end = self._longest_story()
        seconds = min(cue.duration, 0.5 * (end - start))
        at = self.rng.uniform(start, end - seconds)
        self.heard.append(Heard(cue, 0.0, at, seconds, LEVELS["cue"], fade=1.0))
        self.traps.append(Truth("shared cue", at, at + seconds))
        self.cases.append("shared cue")

    def _longest_story(self) -> tuple[float, float]:
        spans = [(start, end) for part, start, end in self.parts if part.kind == "story" and not part.after]
        return max(spans, key=lambda span: span[1] - span[0])

    def episode(self, path: str, season: int | None, numbers: tuple[int, ...], copy: str = "", titles: str = ""
                ) -> EpisodePlan:
        """The plan of the file. `titles`: chapters, useless chapters, or none; a copy has none."""
        fps = self.series.sizes.fps
        chapters = self._chapters(titles) if titles and not copy else ()
        faster = speed(copy, fps)
        parts = [Truth("after-credits scene" if part.after else part.kind, *span) for part, *span in self.parts]
        truth, parts = (tuple(replace(t, start=t.start / faster, end=t.end / faster) for t in spans)
                        for spans in (self.truth, parts + self.traps))
        cases = tuple(self.cases + [titles] * bool(chapters))
        return EpisodePlan(path, season, numbers, fps, self.rng.getrandbits(62), tuple(self.shown), tuple(self.heard),
                           truth, parts, cases, copy, chapters)

    def _chapters(self, titles: str) -> tuple[tuple[float, float, str], ...]:
        """(start, end, title) of the parts by their names; or by number, at regular times."""
        if titles == "useless chapters":
            step = 300.0 * self.series.scale
            starts = [i * step for i in range(math.ceil(self.now / step))]
            ends = [*starts[1:], self.now]
            return tuple((a, b, f"Chapter {i}") for i, (a, b) in enumerate(zip(starts, ends, strict=True), 1))
        words = self.rng.choice(CHAPTER_WORDS)
        letters = iter(string.ascii_uppercase)
        found: list[tuple[float, float, str]] = []
        for part, start, end in self.parts:
            title = words.get(part.kind, "")
            if part.kind == "story":
                title = words["after"] if part.after else words["story"].format(next(letters))
            if title:
                found.append((start, end, title))
            else:      # a card belongs to what is before it; the first one, to nothing
                found[-1:] = [(found[-1][0], end, found[-1][2])] if found else []
        return tuple(found)


def _layout_cases(layout: list[_Part], second: ClipPlan) -> list[str]:
    kinds = [part.kind for part in layout]
    found = {
        "cold open": "opening" in kinds and "story" in kinds[:kinds.index("opening")],
        "no opening": "opening" not in kinds,
        "second opening": any(part.kind == "opening" and part.clip is second for part in layout),
        "recap": "recap" in kinds, "preview": "preview" in kinds,
        "after-credits scene": any(part.after for part in layout),
        "opening at the end": any(part.kind == "ending" and part.clip.kind == "s" for part in layout),
        "sponsor": "sponsor" in kinds, "logo": "logo" in kinds,
    }
    return [case for case, is_there in found.items() if is_there]
