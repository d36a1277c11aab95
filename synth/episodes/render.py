"""A season's plan becomes files: its clips are painted and played, put together, encoded; the truth beside them.

    render_season(plan_season(0, 3, "drawn", SHORT), Path("library/season"))      # ..., truth.json
"""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from datatools.errors import UserError
from datatools.files import check_writable, save_text, sweep_temporaries, write_atomic
from datatools.paths import read_text
from datatools.stages import EVERY_CORE, Pool, StageReport, run_stage
from synth.episodes.copies import write_copy
from synth.episodes.plan import EpisodePlan, Heard, SeasonPlan, Truth
from synth.plan import ClipPlan
from synth.render import PAINTERS, add_picture_stream, add_sound_stream, encode_sound
from synth.scene import Picture
from synth.sound import Studio, decibel, render_sound

TRUTH = "truth.json"
VERSION = 1               # of the episodes' content
SUNG_ABROAD = 1.25        # times the original singer's formants
STREAM = 1.0              # s of sound that are mixed at once


def render_season(plan: SeasonPlan, folder: Path, pool: Pool = EVERY_CORE) -> StageReport:
    """Make the files of a season that `folder` lacks, and truth.json; the same plan gives the same bytes.

    truth.json has the form of `locate.py --output`, and beside the markers what each episode is:
    {"season": {...}, "episodes": [{"path", "duration", "markers": [{"type", "start", "end", "theme"}],
    "season", "numbers", "copy", "cases", "parts": [{"type", "start", "end", "theme"}]}]}, times in seconds.
    It is written first, and tells of all episodes, also of one that fails. Raises UserError where `folder` holds
    another season.
    """
    return render_seasons([(plan, Path(folder))], pool)


def render_seasons(seasons: list[tuple[SeasonPlan, Path]], pool: Pool = EVERY_CORE) -> StageReport:
    """`render_season` for several (plan, folder), all their episodes at once."""
    for plan, folder in seasons:
        _check_folder(plan, folder)
    jobs, kept = [], []
    for plan, folder in seasons:
        check_writable(folder)
        sweep_temporaries(folder)
        save_text(folder / TRUTH, truth_text(plan))
        for episode in plan.episodes:
            path = folder / episode.path
            check_writable(path.parent)
            if path.exists():
                kept.append(str(path))
            else:
                jobs.append((str(path), (episode, path)))
    return run_stage("episodes", render_episode, jobs, kept=kept, pool=pool)


def _check_folder(plan: SeasonPlan, folder: Path) -> None:
    """Raise UserError where a folder holds another season, or files that were not made here."""
    record = folder / TRUTH
    if record.exists():
        found = read_text(record, "truth of made episodes", "Choose another folder, or remove this one.")
        if found != truth_text(plan):
            raise UserError(f"{record}: of another season, other sizes, or another version. Choose another folder, or "
                            "remove this one.")
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: its files were not made here (no {TRUTH}). Choose another folder.")


def truth_text(plan: SeasonPlan) -> str:
    """The content of truth.json."""
    season = {"version": VERSION, "seed": plan.seed, "index": plan.index, "family": plan.family, "split": plan.split,
              "title": plan.title, "cases": list(plan.cases), "sizes": vars(plan.sizes)}
    episodes = [{
        "path": episode.path, "duration": round(episode.duration, 3), "markers": _spans(episode.truth),
        "season": episode.season, "numbers": list(episode.numbers), "copy": episode.copy, "cases": list(episode.cases),
        "parts": _spans(episode.parts),
    } for episode in plan.episodes]
    return json.dumps({"season": season, "episodes": episodes}, ensure_ascii=False, indent=1) + "\n"


def _spans(spans: tuple[Truth, ...]) -> list[dict]:
    return [{"type": span.type, "start": round(span.start, 3), "end": round(span.end, 3), "theme": span.theme}
            for span in spans]


def render_episode(plan: EpisodePlan, path: Path) -> None:
    """Paint, play and encode one file: H.264 and AAC in the container of its suffix."""
    with write_atomic(Path(path)) as temporary:
        if not plan.copy:
            _encode(plan, temporary)
            return
        original = temporary.with_name(f"{temporary.stem}-original{temporary.suffix}")
        try:
            _encode(plan, original)
            write_copy(original, temporary, plan.copy)
        finally:
            original.unlink(missing_ok=True)


def _encode(plan: EpisodePlan, path: Path) -> None:
    rng = np.random.default_rng([plan.seed, 3])
    rate = Fraction(plan.fps)
    first = plan.shown[0].clip
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        if plan.chapters:
            container.set_chapters(_chapters(plan))
        video = add_picture_stream(container, (first.width, first.height), rate, 1 / rate, rng)
        audio = add_sound_stream(container, first.sample_rate, first.channels)
        sounds = _mixed(plan)
        heard = 0
        shown = None
        for tick, image in enumerate(_pictures(plan)):
            if image is not shown:      # a held drawing: the encoder gets the same frame again
                shown, frame = image, av.VideoFrame.from_ndarray(image, format="yuv420p")
            frame.pts, frame.time_base, frame.duration = tick, 1 / rate, 1
            container.mux(video.encode(frame))
            while heard <= (tick + 1) / rate * first.sample_rate and (sound := next(sounds, None)) is not None:
                heard = encode_sound(container, audio, sound, heard)
        for sound in sounds:
            heard = encode_sound(container, audio, sound, heard)
        container.mux(video.encode())
        container.mux(audio.encode())


def _chapters(plan: EpisodePlan) -> list[dict]:
    return [{"id": i, "start": round(1000 * start), "end": round(1000 * end), "time_base": Fraction(1, 1000),
             "metadata": {"title": title}} for i, (start, end, title) in enumerate(plan.chapters, 1)]


# ---------------------------------------------------------------- pictures


def _pictures(plan: EpisodePlan) -> Iterator[np.ndarray]:
    """Every picture of an episode, uint8 (height x 3/2, width), YUV 4:2:0."""
    rate = Fraction(plan.fps)
    painted: tuple | None = None
    for piece in plan.shown:
        key = (piece.clip.name, piece.names)
        if painted is None or painted[0] != key:
            painted = key, episode_picture(piece.clip, piece.names)
        for i in range(round(piece.seconds * rate)):
            yield painted[1].frame(float(piece.start + i / rate))


def episode_picture(clip: ClipPlan, names: int) -> Picture:
    """The picture of a clip as a part of an episode: one cast, one title and one lettering throughout its season.

    `names`: 0, or another number for other staff names at the same places.
    """
    base = PAINTERS[clip.family][0]

    class EpisodePicture(base):
        def _settle(self) -> None:
            own, self.rng = self.rng, np.random.default_rng([self.plan.season, 11])
            super()._settle()
            self.rng = self.artist.rng = own
            if names:
                self._rename()

        def _rename(self) -> None:
            """Give other names, but draw the usual ones too: nothing else changes then."""
            usual, other = self.artist.name, np.random.default_rng([self.plan.season, 12, names])

            def name() -> str:
                usual()
                own, self.artist.rng = self.artist.rng, other
                try:
                    return usual()
                finally:
                    self.artist.rng = own

            self.artist.name = name

        def _station_mark(self) -> None:
            """None: it would come and go with the parts of an episode."""

    return EpisodePicture(clip)


# ---------------------------------------------------------------- sound


def _mixed(plan: EpisodePlan) -> Iterator[np.ndarray]:
    """The sound of an episode, a piece of about STREAM seconds after the other, float32 (channels, samples)."""
    first = plan.shown[0].clip
    rate, channels = first.sample_rate, first.channels
    end = round(plan.frames / Fraction(plan.fps) * rate)
    voices: dict[tuple, list] = {}
    played: dict[int, np.ndarray] = {}
    step = round(STREAM * rate)
    for start in range(0, end, step):
        track = np.zeros((channels, min(step, end - start)), np.float32)
        for i, heard in enumerate(plan.heard):
            at, stop = round(heard.at * rate), round((heard.at + heard.seconds) * rate)
            if at >= start + track.shape[1] or stop <= start:
                played.pop(i, None)
                continue
            if i not in played:
                played[i] = play(heard, voices)
            low, high = max(at, start), min(stop, start + track.shape[1], at + played[i].shape[1])
            if high > low:
                track[:, low - start:high - start] += played[i][:, low - at:high - at]
        yield np.clip(track, -1, 1, out=track)


def play(heard: Heard, voices: dict[tuple, list]) -> np.ndarray:
    """The samples of a piece of sound, float32 (channels, samples); keeps the voices of a language in `voices`."""
    clip, language = heard.clip, heard.language
    studio_type, key = PAINTERS[clip.family][1], (clip.season, language)
    if key not in voices:
        voices[key] = studio_type(np.random.default_rng([clip.season, 13, language]), clip.sample_rate).voices

    def change(studio: Studio) -> None:
        studio.voices = voices[key]
        studio.singer *= SUNG_ABROAD if language else 1.0

    sound = render_sound(clip, studio_type, change)
    sound *= np.float32(decibel(heard.level) / (np.sqrt((sound**2).mean()) + 1e-9))
    start = round(heard.start * clip.sample_rate)
    sound = sound[:, start:start + round(heard.seconds * clip.sample_rate)].copy()
    fade = min(round(heard.fade * clip.sample_rate), sound.shape[1] // 2)
    if fade:
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        sound[:, :fade] *= ramp
        sound[:, -fade:] *= ramp[::-1]
    return sound
