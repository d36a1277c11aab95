"""Previews of clips around their found and true boundaries: an animated strip each, and one film with sound.

    problems = write_strips(Path("out"), Path("data/processed"), [Boundary("a_start", truth=64.2, found=70.1)])
    parts, problems = write_film(Path("out/worst.mp4"), Path("data/raw"), [Boundary("a_start", truth=64.2, found=70.1)])

A clip that cannot be shown adds a line to `problems`; the others are shown.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np
from moviepy import VideoClip, VideoFileClip, concatenate_videoclips

from datatools.features import SHAPES
from datatools.files import write_atomic
from datatools.layout import VIDEO_SUFFIXES
from datatools.tables import markdown_table

TRUE_COLOUR, FOUND_COLOUR = (26, 152, 80), (215, 48, 39)    # RGB, those of utils/plots.py
STRIP_SECONDS = 6      # s on both sides of the found boundary
STRIP_SCALE = 3        # factor of enlargement of a frame
FRAME_MS = 500         # ms that each frame (one second of the clip) is shown
BAR_HEIGHT = 18        # pixels of the time line below a strip's frame
FILM_SECONDS = 5.0     # s on both sides of a boundary
FILM_HEIGHT = 240      # pixels
MARK_HEIGHT = 8        # pixels of the bars that appear once a boundary is past


@dataclass(frozen=True)
class Boundary:
    """A clip's name, and its true and found boundary in seconds."""

    name: str
    truth: float
    found: float


def show_worst(output: Path, worst: list[dict], processed: Path | None, raw: Path | None) -> list[str]:
    """Write the worst clips of an evaluation as strips and as a film, with the first submission's answers.

    `worst` comes from `evaluate_inputs` (utils/evaluation_report.py). Prints the film's contents; returns the problems.
    """
    boundaries = [Boundary(clip["name"], clip["truth"], clip["found"][0]) for clip in worst]
    problems = []
    if processed is not None:
        problems += write_strips(output, processed, boundaries)
    if raw is not None:
        path = output / "worst.mp4"
        rows, more = write_film(path, raw, boundaries)
        problems += more
        if rows:
            print(f"\n{path}:\n\n" + markdown_table(["clip", "s of the film", "from s of the clip", "to"], rows))
    return problems


# ---------------------------------------------------------------- animated strips


def write_strips(output: Path, processed: Path, boundaries: list[Boundary]) -> list[str]:
    """Write worst_<name>.gif of each clip from its frames below `processed`; returns the problems."""
    frames_files = _by_stem(processed, (".npy",))
    problems = []
    for boundary in boundaries:
        path = frames_files.get(f"{boundary.name}_frames")
        if path is None:
            problems.append(f"{boundary.name}: no {boundary.name}_frames.npy below {processed}")
            continue
        try:
            frames = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            problems.append(f"{path}: no readable .npy file ({error})")
            continue
        if frames.shape != SHAPES["frames"] or frames.dtype != np.uint8:
            problems.append(f"{path}: {frames.dtype} {frames.shape}, expected uint8 {SHAPES['frames']}")
            continue
        boundary_animation(output / f"worst_{boundary.name}.gif", frames, boundary.truth, boundary.found)
    return problems


def boundary_animation(path: Path, frames: np.ndarray, truth: float, found: float) -> None:
    """Write a GIF of the seconds around `found`, with a time line: `found` red, `truth` green, the second shown grey.

    `frames` uint8 (200, 66, 88, 3), RGB, one a second; both times in seconds.
    """
    first = int(np.clip(round(found) - STRIP_SECONDS, 0, len(frames) - 2 * STRIP_SECONDS))
    seconds = range(first, first + 2 * STRIP_SECONDS)
    pictures = [_strip_picture(frames[second], second - first, truth - first, found - first) for second in seconds]
    with write_atomic(path) as temporary:
        imageio.imwrite(temporary, np.stack(pictures), duration=FRAME_MS, loop=0)


def _strip_picture(frame: np.ndarray, second: int, truth: float, found: float) -> np.ndarray:
    """One frame, enlarged, above its time line; times are in seconds from the line's left end."""
    large = cv2.resize(frame, None, fx=STRIP_SCALE, fy=STRIP_SCALE, interpolation=cv2.INTER_CUBIC)
    width, length = large.shape[1], 2 * STRIP_SECONDS
    bar = np.full((BAR_HEIGHT, width, 3), 40, np.uint8)
    bar[:, second * width // length:(second + 1) * width // length] = 120
    for time, colour in ((truth, TRUE_COLOUR), (found, FOUND_COLOUR)):
        if 0 <= time <= length:
            middle = min(int(time / length * width), width - 1)
            bar[:, max(0, middle - 1):middle + 2] = colour
    return np.concatenate([large, bar])


# ---------------------------------------------------------------- a film with sound


def write_film(path: Path, raw: Path, boundaries: list[Boundary]) -> tuple[list[list[str]], list[str]]:
    """Join the surroundings of each clip's found and true boundary, from the videos below `raw`, into one MP4.

    A red bar at the top appears once the found boundary is past, a green one at the bottom once the true one is.
    Returns rows (clip, second of the film, from, to) and the problems. Without a clip to show, nothing is written.
    """
    videos = _by_stem(raw, VIDEO_SUFFIXES)
    parts: list[VideoClip] = []
    rows, problems, second = [], [], 0.0
    with contextlib.ExitStack() as opened:
        for boundary in boundaries:
            video = videos.get(boundary.name)
            if video is None:
                problems.append(f"{boundary.name}: no video of this name below {raw}")
                continue
            try:
                source = opened.enter_context(contextlib.closing(VideoFileClip(str(video))))
                spans = surroundings(boundary, source.duration)
                cut = [_cut(source, boundary, span) for span in spans]
            except (OSError, ValueError, KeyError, IndexError, AttributeError) as error:   # MoviePy raises all of them
                problems.append(f"{video}: cannot be read as a video ({_first_line(error)})")
                continue
            parts += cut
            for start, end in spans:
                rows.append([boundary.name, f"{second:.1f}", f"{start:.1f}", f"{end:.1f}"])
                second += end - start
        if parts:
            film = concatenate_videoclips(parts, method="compose")
            with write_atomic(path) as temporary:
                film.write_videofile(str(temporary), codec="libx264", audio_codec="aac", preset="veryfast",
                                     temp_audiofile=str(temporary.with_suffix(".m4a")), logger=None)
    return rows, problems


def surroundings(boundary: Boundary, duration: float) -> list[tuple[float, float]]:
    """(start, end) in seconds of the parts to show, in order of time: two, or one where they overlap or touch."""
    spans = []
    for time in sorted({boundary.found, boundary.truth}):
        middle = min(time, duration)
        start, end = max(0.0, middle - FILM_SECONDS), min(duration, middle + FILM_SECONDS)
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _cut(source: VideoFileClip, boundary: Boundary, span: tuple[float, float]) -> VideoClip:
    """A part of a video at the film's height, with the bars. Raises OSError where the video has no picture there."""
    width = 2 * round(source.w * FILM_HEIGHT / source.h / 2)      # even, as H.264 requires
    part = source.subclipped(*span).resized((width, FILM_HEIGHT))
    part.get_frame(0)

    def marked(get_frame, time: float) -> np.ndarray:
        image = get_frame(time).copy()
        if span[0] + time >= boundary.found:
            image[:MARK_HEIGHT] = FOUND_COLOUR
        if span[0] + time >= boundary.truth:
            image[-MARK_HEIGHT:] = TRUE_COLOUR
        return image

    return part.transform(marked)


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """{name without suffix: path} of files with these suffixes anywhere below `folder`; of several, the last path."""
    return {path.stem: path for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in suffixes and not path.name.startswith(".")}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
