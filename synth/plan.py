"""The plan of a made clip: what happens when, with the exact time that is asked for. No picture, no sound yet.

    plan = plan_clip(seed=0, index=3, kind="s")
    plan.boundary, plan.segments, plan.lines      # seconds

Everything follows from (seed, index, kind); sound and picture are painted after the same plan, so that lips,
subtitles and voices, or fades and music, belong together as in a real episode. Only the standard library is used:
a plan costs a fraction of a millisecond.
"""

import bisect
import random
import string
from dataclasses import dataclass, field, replace
from fractions import Fraction

# Percentiles of the labels in the competition's lists, in seconds; between them the inverse CDF is a straight line.
PERCENTS = (0, 5, 25, 50, 75, 95, 100)
LABEL_SECONDS = {"s": (3, 14, 42, 77, 92, 165, 200), "e": (5, 66, 108, 136, 165, 178, 180)}
FULL_SECONDS = 200.0  # s; the label table is meant for clips of this length
GOLDEN = 0.6180339887498949  # steps of the golden ratio spread any run of indices evenly over the percentiles
SUFFIX = {"s": "start", "e": "end"}
# Hard cases: a scene before the opening; no names; a song under the episode next to the boundary; an opening or ending
# of unusual length; a sponsor's card after the opening.
CASES = ("cold_open", "no_credits", "song", "short", "long", "sponsor")
FAMILIES = ("drawn", "paper", "film")
VFR_TIME_BASE = Fraction(1, 90_000)
VFR_RATES = (12.5, 15.0, 20.0, 24.0, 25.0, 30.0)  # frames a second


@dataclass(frozen=True)
class Segment:
    """A part of the clip: `episode`, `opening`, `ending`, `sponsor` or `preview`. All figures in seconds.

    `fade_in` and `fade_out` lie inside the segment; `colour` is what it fades out to, and the next one in from; `tail`
    is how long its music rings on after its end. `before` and `after` are how much of it lies outside the clip: the
    same opening begins before one clip of a season and within another.
    """

    type: str
    start: float
    end: float
    fade_in: float = 0.0
    fade_out: float = 0.0
    colour: str = "black"
    tail: float = 0.0
    before: float = 0.0
    after: float = 0.0

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Event:
    """Something that happens during a segment, in seconds.

    Types: `scene` (one place of an episode), `line` (somebody speaks), `bgm` and `song` (music under an episode),
    `black`, `white` (nothing to see), `silence` (nothing to hear), `eyecatch`, `sign`, `montage` (quick cuts),
    `credits` (staff names over an episode).
    """

    type: str
    start: float
    end: float


@dataclass(frozen=True)
class ClipPlan:
    """What a clip shows and says. `boundary` (s) is the label; `fps` is "25", "24000/1001", "30" or "vfr".

    `family` names the way of painting and playing. Clips of one `season` share cast, letters, opening and ending; their
    `theme` tells which ones. `case` is what was asked for beyond the usual, one of CASES.
    """

    name: str
    kind: str
    duration: float
    fps: str
    width: int
    height: int
    sample_rate: int
    channels: int
    boundary: float
    seed: int
    segments: tuple[Segment, ...]
    events: tuple[Event, ...] = field(repr=False, default=())
    family: str = "drawn"
    season: int | None = None
    theme: int = 0
    case: str = ""

    def rng_key(self, number: int, *, shared: bool = False) -> list[int]:
        """Seed of a random stream: of this clip, or of what its season's clips of one theme share."""
        if shared and self.season is not None:
            return [self.season, self.theme, ord(self.kind), number]
        return [self.seed, number]

    def segment_at(self, seconds: float) -> Segment:
        """The segment that is shown at a time; a boundary belongs to what follows it."""
        starts = [s.start for s in self.segments]
        return self.segments[max(0, bisect.bisect_right(starts, seconds) - 1)]

    def all(self, *types: str) -> list[Event]:
        """Events of these types, in the order of time."""
        return [e for e in self.events if e.type in types]

    @property
    def lines(self) -> list[Event]:
        return self.all("line")


def frame_ticks(plan: ClipPlan) -> tuple[list[int], int, Fraction]:
    """Presentation times of all frames and the time of the clip's end, in ticks, and the time base (s a tick)."""
    if plan.fps != "vfr":
        rate = Fraction(plan.fps)
        count = round(plan.duration * rate)
        return list(range(count)), count, 1 / rate
    rng = random.Random(f"vfr/{plan.seed}")
    end = round(plan.duration / VFR_TIME_BASE)
    ticks, now = [], 0
    while now < end:
        step = round(1 / VFR_TIME_BASE / Fraction(rng.choice(VFR_RATES)))
        stop = min(end, now + round(rng.uniform(2, 10) / VFR_TIME_BASE))
        while now < stop:
            ticks.append(now)
            now += step
    return ticks, end, VFR_TIME_BASE


def label_quantile(kind: str, u: float) -> float:
    """Inverse CDF of the labels of real clips: u in [0, 1] to seconds."""
    seconds = LABEL_SECONDS[kind]
    i = min(bisect.bisect_right(PERCENTS, 100 * u) - 1, len(PERCENTS) - 2)
    share = (100 * u - PERCENTS[i]) / (PERCENTS[i + 1] - PERCENTS[i])
    return seconds[i] + share * (seconds[i + 1] - seconds[i])


def plan_clip(
    seed: int,
    index: int,
    kind: str,
    *,
    height: int = 180,
    duration: float | None = None,
    family: str = "drawn",
    season: int | None = None,
    theme: int = 0,
    case: str = "",
) -> ClipPlan:
    """Plan one clip: `kind` "s" (where does the opening end?) or "e" (where does the ending begin?).

    `height` is the smallest picture height in pixels (some clips are 1.2 or 1.33 times larger). `duration` in seconds
    makes a clip of that length with everything scaled to it; None draws 180 to 200 s. `family`, `season`, `theme` and
    `case` are those of ClipPlan.
    """
    if kind not in LABEL_SECONDS:
        raise ValueError(f"kind {kind!r}: expected 's' or 'e'")
    if family not in FAMILIES:
        raise ValueError(f"family {family!r}: expected one of {', '.join(FAMILIES)}")
    if case and case not in CASES:
        raise ValueError(f"case {case!r}: expected one of {', '.join(CASES)}")
    kin = "" if family == "drawn" else f"/{family}"
    rng = random.Random(f"{seed}/{index}/{kind}{kin}")
    name = "".join(rng.choices(string.ascii_letters + string.digits, k=8)) + "_" + SUFFIX[kind]
    # What all clips of a season have in common comes from its own stream.
    common = rng if season is None else random.Random(f"season/{season}/{theme}/{kind}{kin}")
    full = common.choices((200.0, 180.0, round(common.uniform(180, 200), 2)), (0.76, 0.12, 0.12))[0]
    scale = 1.0 if duration is None else duration / FULL_SECONDS
    duration = full if duration is None else float(duration)
    offset = random.Random(f"{seed}/{kind}{kin}").random()
    label = label_quantile(kind, (offset + index * GOLDEN) % 1.0) * scale
    if case == "cold_open" and kind == "s":
        label = max(label, 110 * scale)
    label = max(min(label, duration - (0.5 if kind == "s" else 4.0 * scale)), 2.0 * scale)
    times = height * common.choices((1, 1.2, 4 / 3), (0.76, 0.14, 0.1))[0]
    size = (2 * round(times * 16 / 9 / 2), 2 * round(times / 2))
    sample_rate, channels = common.choices(((44_100, 1), (44_100, 2), (48_000, 2)), (0.65, 0.25, 0.1))[0]
    fps = common.choices(("25", "24000/1001", "30", "vfr"), (0.7, 0.1, 0.1, 0.1))[0]
    length = _theme_seconds(common, kind, case) * scale
    # A theme stretches over a short rest of the clip, but not where it must be the same in other clips.
    short = 6 * scale if season is None else 0.0
    parts = (_start_parts if kind == "s" else _end_parts)(rng, label, duration, scale, length, case, short)
    segments = _join(rng, parts, label)
    if season is not None:
        segments = tuple(_with_its_rest(s, length) for s in segments)
    return ClipPlan(
        name,
        kind,
        duration,
        fps,
        *size,
        sample_rate,
        channels,
        label,
        rng.getrandbits(62),
        segments,
        tuple(sorted(_events(rng, segments, label, scale, case), key=lambda e: (e.start, e.end, e.type))),
        family,
        season,
        theme,
        case,
    )


def _theme_seconds(rng: random.Random, kind: str, case: str) -> float:
    """How long an opening or an ending is, s."""
    if case in ("short", "long"):
        return rng.uniform(30, 45) if case == "short" else rng.uniform(100, 120)
    if kind == "s":
        return rng.choices((rng.uniform(85, 95), rng.uniform(30, 60), rng.uniform(60, 85)), (0.75, 0.15, 0.1))[0]
    return rng.choices((rng.uniform(85, 95), rng.uniform(60, 85)), (0.6, 0.4))[0]


def _with_its_rest(segment: Segment, length: float) -> Segment:
    """An opening that begins before the clip, or an ending that ends after it, with what lies outside."""
    outside = length - segment.seconds
    if outside < 1e-6 or segment.type not in ("opening", "ending"):
        return segment
    return replace(segment, **{"before" if segment.type == "opening" else "after": outside})


def _start_parts(
    rng: random.Random, label: float, duration: float, scale: float, length: float, case: str, short: float
) -> list[tuple[str, float, float]]:
    """(type, start, end) of a start clip: [cold open] opening [sponsor] episode."""
    start = label - length
    if start < short or start <= 0:  # no room for a cold open: the clip begins while the opening runs
        start = 0.0
    parts = [("episode", 0.0, start)] if start else []
    parts.append(("opening", start, label))
    now = label
    if (rng.random() < 0.4 or case == "sponsor") and duration - label > 20 * scale:
        now = label + rng.uniform(5, 10) * scale
        parts.append(("sponsor", label, now))
    parts.append(("episode", now, duration))
    return parts


def _end_parts(
    rng: random.Random, label: float, duration: float, scale: float, length: float, case: str, short: float
) -> list[tuple[str, float, float]]:
    """(type, start, end) of an end clip: episode ending [episode] [preview]."""
    end = label + length
    parts = [("episode", 0.0, label)]
    if end > duration - short or end >= duration:
        return [*parts, ("ending", label, duration)]
    parts.append(("ending", label, end))
    preview = duration - min(duration - end, scale * rng.uniform(12, 30)) if rng.random() < 0.75 else duration
    if preview - end < 5 * scale:
        preview = end
    if preview > end:
        parts.append(("episode", end, preview))
    if preview < duration:
        parts.append(("preview", preview, duration))
    return parts


def _join(rng: random.Random, parts: list[tuple[str, float, float]], label: float) -> tuple[Segment, ...]:
    """Decide how each part passes into the next: hard cut, fade, a moment of black; and how long its music rings on."""
    fades_in, fades_out, colours, tails = {0: 0.0}, {}, {}, {}
    for i in range(len(parts) - 1):
        room = min(parts[i][2] - parts[i][1], parts[i + 1][2] - parts[i + 1][1]) / 4
        way = rng.choices(("cut", "out", "in", "both"), (0.45, 0.2, 0.12, 0.23))[0]
        fades_out[i] = min(room, rng.uniform(0.4, 1.0)) if way in ("out", "both") else 0.0
        fades_in[i + 1] = min(room, rng.uniform(0.4, 1.0)) if way in ("in", "both") else 0.0
        colours[i] = rng.choices(("black", "white"), (0.8, 0.2))[0]
        tails[i] = rng.uniform(0.0, 0.7) if rng.random() < 0.6 else 0.0
    return tuple(
        Segment(
            kind, start, end, fades_in.get(i, 0.0), fades_out.get(i, 0.0), colours.get(i, "black"), tails.get(i, 0.0)
        )
        for i, (kind, start, end) in enumerate(parts)
    )


def _events(rng: random.Random, segments: tuple[Segment, ...], label: float, scale: float, case: str) -> list[Event]:
    events: list[Event] = []
    subject = rng.choices(("calm", "lively"), (0.6, 0.4))[0]
    for i, segment in enumerate(segments):
        if segment.type == "episode":
            events += episode_events(rng, segment, label, scale, subject)
        elif segment.type == "preview":
            events += [Event("scene", segment.start, segment.end), Event("bgm", segment.start, segment.end)]
            events += spoken(rng, segment.start + 0.4, segment.end - 0.5, 0.85)
        elif segment.type == "sponsor" and rng.random() < 0.6:
            events += spoken(rng, segment.start + 0.6, segment.end - 0.6, 0.9)
        elif segment.type in ("opening", "ending") and i and rng.random() < 0.25:
            # The last sentence of the scene goes on over the first seconds of the music.
            seconds = min(rng.uniform(1.2, 3.5), segment.seconds / 3)
            events.append(Event("line", segment.start + 0.2, segment.start + seconds))
    if case == "song":
        events += _song_beside(rng, segments, label, scale)
    return events


def _song_beside(rng: random.Random, segments: tuple[Segment, ...], label: float, scale: float) -> list[Event]:
    """A song under the episode that lies nearest to the boundary, a few seconds away from it."""
    found = [s for s in segments if s.type == "episode" and s.seconds > 20 * scale]
    if not found:
        return []
    nearest = min(found, key=lambda s: min(abs(s.start - label), abs(s.end - label)))
    gap, seconds = rng.uniform(3, 8) * scale, min(nearest.seconds / 2, rng.uniform(20, 45) * scale)
    if nearest.start >= label - 1e-6:
        return [Event("song", nearest.start + gap, nearest.start + gap + seconds)]
    return [Event("song", nearest.end - gap - seconds, nearest.end - gap)]


def spoken(rng: random.Random, start: float, end: float, density: float) -> list[Event]:
    """Sentences of 0.7 to 3.8 s with pauses between them; `density` in 0..1 is about the share of time with speech."""
    lines, now = [], start + rng.uniform(0, 1.5)
    while now < end - 0.7:
        stop = min(end, now + rng.uniform(0.7, 3.8))
        if stop - now > 0.4:
            lines.append(Event("line", now, stop))
        pause = rng.uniform(0.15, 0.7) if rng.random() < density else rng.uniform(1.0, 7.0)
        now = stop + pause
    return lines


def episode_events(rng: random.Random, segment: Segment, label: float, scale: float, subject: str) -> list[Event]:
    """Scenes of 12 to 45 s with speech and music; now and then black, silence, a song, quick cuts, staff names."""
    events: list[Event] = []
    start, end = segment.start, segment.end
    cuts = [start]
    while cuts[-1] < end:
        cuts.append(cuts[-1] + max(3.0, rng.uniform(12, 45) * scale))
    cuts = [*(c for c in cuts if c < end - 3.0 * scale), end] if end - start > 3 * scale else [start, end]
    song = None
    if end - start > 45 * scale and rng.random() < 0.3:
        song = _away_from(label, _placed(rng, start, end, rng.uniform(14, 40) * scale), 10 * scale)
    for a, b in zip(cuts, cuts[1:], strict=False):
        events.append(Event("scene", a, b))
        if b < end and rng.random() < 0.45:  # a scene's own end looks like a segment's end
            gap = min(rng.uniform(0.3, 1.6), (b - a) / 4)
            events.append(Event(rng.choices(("black", "white"), (0.85, 0.15))[0], b - gap, b))
            if rng.random() < 0.6:
                events.append(Event("silence", b - gap, b + rng.uniform(0, 0.3)))
        elif b < end - 8 * scale and b - a > 12 * scale and rng.random() < 0.12:
            events.append(Event("eyecatch", b - rng.uniform(3, 5) * scale, b))
        if rng.random() < 0.72:
            lead = rng.uniform(-0.2, 0.35) * (b - a)
            events.append(
                Event("bgm", max(a, a + lead), b if rng.random() < 0.6 else b - rng.uniform(0, 0.3) * (b - a))
            )
        if rng.random() < 0.2 and b - a > 8 * scale:
            events.append(Event("sign", *_placed(rng, a, b, rng.uniform(2, 5) * min(1, scale * 2))))
        if rng.random() < (0.3 if subject == "lively" else 0.12):
            events.append(Event("montage", *_placed(rng, a, b, min(b - a, rng.uniform(5, 18) * scale))))
        events += spoken(rng, a + 0.2, b - 0.3, rng.choice((0.35, 0.6, 0.8)))
    for _ in range(rng.choice((0, 0, 1, 2))):
        events.append(Event("silence", *_placed(rng, start, end, min(end - start, rng.uniform(0.4, 2.0)))))
    if song:
        events.append(Event("song", *song))
        if rng.random() < 0.4:
            events.append(Event("montage", *song))
    if start > 0 and end - start > 30 * scale and rng.random() < 0.2:
        begin = start + rng.uniform(5, 10) * scale
        events.append(Event("credits", begin, min(end, begin + rng.uniform(8, 25) * scale)))
    return [e for e in events if e.end > e.start]


def _placed(rng: random.Random, start: float, end: float, seconds: float) -> tuple[float, float]:
    begin = rng.uniform(start, max(start, end - seconds))
    return begin, min(end, begin + seconds)


def _away_from(label: float, span: tuple[float, float], distance: float) -> tuple[float, float] | None:
    """A song close to the boundary would hide it from a human too: none then."""
    near = span[0] - distance < label < span[1] + distance
    return None if near else span
