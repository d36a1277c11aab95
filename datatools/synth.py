"""Make clips with exact truth: real .mp4 files in the competition's layout, to learn from, to test with, to show.

    python datatools/synth.py --save_root data/raw --train 48 --test 16

writes data_A/train and data_B (with their label files), data_C and, where asked for, data_A/test (with truth.csv).
A start clip holds an opening and asks where it ends; an end clip holds an ending and asks where it begins. Everything
follows from --seed: the same seed gives the same bytes. A second run makes only what is missing.
"""

import argparse
import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import UserError, run_command
from datatools.files import check_writable, save_text, write_atomic
from datatools.layout import TEST, TEST_B, TRAIN
from datatools.stages import StageReport, run_stage
from datatools.synth_plan import FAMILIES, ClipPlan, frame_ticks, plan_clip

__all__ = ["ClipPlan", "make_dataset", "plan_clip", "plan_dataset", "render_clip"]

VERSION = 1  # of the clips' content: clips of two versions are not mixed
RECORD = "synth.json"  # in the save_root: settings and names of the clips made there
MIN_HEIGHT = 90  # pixels; below it no letter can be read
MIN_SECONDS = 10.0  # s; below it no clip has room for two segments
TEST_INDEX = {TEST_B.folders[0]: 1_000_000, TEST.folders[0]: 2_000_000}  # so that no two folders share a clip


def render_clip(plan: ClipPlan, path: Path) -> None:
    """Paint, play and encode one clip: H.264 and AAC in an .mp4 at `path`; the same plan gives the same bytes."""
    import av
    import numpy as np

    rng = np.random.default_rng([plan.seed, 3])
    picture, sound = paint_and_play(plan)
    ticks, end_tick, time_base = frame_ticks(plan)
    exact = {"fflags": "+bitexact"}  # no time of day, no library's version in the file
    with write_atomic(Path(path)) as temporary, av.open(str(temporary), "w", options=exact) as container:
        keyint = int(rng.choice((50, 125, 250)))
        video = container.add_stream("libx264", rate=25 if plan.fps == "vfr" else 1 / time_base)
        video.width, video.height, video.pix_fmt = plan.width, plan.height, "yuv420p"
        video.codec_context.time_base = video.time_base = time_base
        video.codec_context.thread_count = 1
        video.codec_context.gop_size = keyint
        video.options = {
            "preset": "ultrafast",
            "crf": str(rng.integers(24, 30)),
            "bf": str(rng.integers(0, 3)),
            "x264-params": "threads=1:lookahead-threads=1:scenecut=40:b-adapt=0:rc-lookahead=10",
        }
        audio = container.add_stream("aac", rate=plan.sample_rate, layout="mono" if plan.channels == 1 else "stereo")
        audio.bit_rate = 64_000 * plan.channels
        audio.options = {"aac_coder": "fast"}
        audio.codec_context.flags |= av.codec.context.Flags.bitexact
        played, shown = 0, None
        for tick, following in zip(ticks, [*ticks[1:], end_tick], strict=True):
            image = picture.frame(float(tick * time_base))
            if image is not shown:  # a held drawing: the encoder gets the same frame again
                shown, frame = image, av.VideoFrame.from_ndarray(image, format="yuv420p")
            frame.pts, frame.time_base, frame.duration = tick, time_base, following - tick
            container.mux(video.encode(frame))
            until = round(following * time_base * plan.sample_rate)
            if until - played > plan.sample_rate or following == end_tick:
                until = sound.shape[1] if following == end_tick else until
                played = _encode_sound(container, audio, sound, played, until)
        container.mux(video.encode())
        container.mux(audio.encode())


def paint_and_play(plan: ClipPlan) -> tuple:
    """(picture, sound) of a plan, by its family: a `Picture`, and float32 (channels, samples)."""
    from datatools.synth_audio import render_sound

    if plan.family == "paper":
        from datatools.synth_paper_audio import PaperStudio
        from datatools.synth_paper_picture import PaperPicture

        return PaperPicture(plan), render_sound(plan, PaperStudio)
    if plan.family == "film":
        from datatools.synth_film_audio import FilmStudio
        from datatools.synth_film_picture import FilmPicture

        return FilmPicture(plan), render_sound(plan, FilmStudio)
    from datatools.synth_picture import Picture

    return Picture(plan), render_sound(plan)


def _encode_sound(container, stream, sound, start: int, end: int) -> int:
    """Encode the samples from `start` to `end` of float32 (channels, samples); returns `end`."""
    import av
    import numpy as np

    if end > start:
        samples = np.ascontiguousarray(sound[:, start:end])
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts = stream.rate, start
        container.mux(stream.encode(frame))
    return end


def plan_dataset(
    train: int,
    test: int,
    test_a: int,
    *,
    seed: int = 0,
    height: int = 180,
    duration: float | None = None,
    family: str = "drawn",
) -> dict[str, list[ClipPlan]]:
    """The plans of a dataset by folder. Kinds take turns; every third pair of training clips goes to data_B."""
    train_folder, more_folder = TRAIN.folders
    plans: dict[str, list[ClipPlan]] = {}

    def put(folder: str, index: int, i: int) -> None:
        plan = plan_clip(seed, index, "se"[i % 2], height=height, duration=duration, family=family)
        plans.setdefault(folder, []).append(plan)

    for i in range(train):
        put(more_folder if i // 2 % 3 == 2 else train_folder, i, i)
    for folder, count in ((TEST_B.folders[0], test), (TEST.folders[0], test_a)):
        for i in range(count):
            put(folder, TEST_INDEX[folder] + i, i)
    return plans


def make_dataset(
    save_root: Path,
    *,
    train: int = 48,
    test: int = 16,
    test_a: int = 0,
    seed: int = 0,
    height: int = 180,
    duration: float | None = None,
    family: str = "drawn",
    workers: int = 0,
    force: bool = False,
) -> StageReport:
    """Make what is missing of a dataset below `save_root`; label files name the clips that are there.

    `train`, `test` (data_C) and `test_a` (data_A/test) count clips; `height` in pixels; `duration` in seconds, None for
    180 to 200 s; `family` the way of painting and playing; `workers` 0 is one process a core. Raises UserError for
    settings that make no sense, and where clips
    of other settings are there already: `force` removes those (and only those that this function made).
    """
    save_root = Path(save_root)
    _check_settings(train, test, test_a, height, duration, workers)
    settings = {"version": VERSION, "seed": seed, "height": height, "duration": duration, "family": family}
    plans = plan_dataset(train, test, test_a, seed=seed, height=height, duration=duration, family=family)
    names = {folder: [p.name for p in clips] for folder, clips in plans.items()}
    old = _check_place(save_root, settings, names, force)
    check_writable(save_root)
    if force:
        for folder, old_names in old.items():
            for name in old_names:
                (save_root / folder / f"{name}.mp4").unlink(missing_ok=True)
            (save_root / _label_file(folder)).unlink(missing_ok=True)
    save_text(save_root / RECORD, json.dumps({"settings": settings, "clips": names}, indent=1) + "\n")

    jobs, kept = [], []
    for folder, clips in plans.items():
        check_writable(save_root / folder)
        for plan in clips:
            path = save_root / folder / f"{plan.name}.mp4"
            if path.exists():
                kept.append(plan.name)
            else:
                jobs.append((plan.name, (plan, path)))
    report = run_stage("synth", render_clip, jobs, kept=kept, workers=workers)
    for folder, clips in plans.items():
        there = [p for p in clips if (save_root / folder / f"{p.name}.mp4").exists()]
        save_text(save_root / _label_file(folder), _labels(folder, there))
    return report


def _label_file(folder: str) -> str:
    """Where a folder's labels lie, relative to the root."""
    return dict(zip(TRAIN.folders, TRAIN.label_files, strict=True)).get(folder, f"{folder}/truth.csv")


def _labels(folder: str, plans: list[ClipPlan]) -> str:
    if folder in TRAIN.folders:
        return "".join(f"{p.name} {p.boundary!r}\n" for p in plans)
    return "name,seconds\n" + "".join(f"{p.name},{p.boundary!r}\n" for p in plans)


def _check_settings(train: int, test: int, test_a: int, height: int, duration: float | None, workers: int) -> None:
    for flag, value in (("--train", train), ("--test", test), ("--test_a", test_a), ("--workers", workers)):
        if value < 0:
            raise UserError(f"{flag} {value}: expected 0 or more.")
    if train + test + test_a == 0:
        raise UserError("--train, --test and --test_a are all 0: nothing to make. Ask for a clip at least.")
    if height < MIN_HEIGHT or height % 2:
        raise UserError(f"--height {height}: expected an even number of pixels, {MIN_HEIGHT} or more.")
    if duration is not None and not MIN_SECONDS <= duration <= 200:
        raise UserError(f"--duration {duration:g}: expected {MIN_SECONDS:g} to 200 s.")


def _check_place(save_root: Path, settings: dict, names: dict[str, list[str]], force: bool) -> dict[str, list[str]]:
    """The names of the clips that were made here before, by folder. Raises UserError where others would be mixed in."""
    record = save_root / RECORD
    if not record.exists():
        for folder in names:
            foreign = next((p for p in (save_root / folder).glob("*") if p.suffix in (".mp4", ".txt", ".csv")), None)
            if foreign is not None:
                raise UserError(
                    f"{foreign}: this file was not made here (no {RECORD} in {save_root}). Choose another --save_root."
                )
        return {}
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        # Records from before there were families tell of drawn clips.
        before = {"family": "drawn"} | found["settings"]
        old = {str(k): [str(n) for n in v] for k, v in found["clips"].items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"{record}: not a record of made clips ({error!r}). Choose another --save_root, or remove this one."
        ) from error
    if force:
        return old
    other = [f"{k} {before.get(k)} (asked for: {settings[k]})" for k in settings if before.get(k) != settings[k]]
    if other:
        raise UserError(
            f"{save_root} holds clips made with {', '.join(other)}. Choose another --save_root, or --force to replace "
            "them."
        )
    for folder, old_names in old.items():
        if not set(old_names) <= set(names.get(folder, [])):
            raise UserError(
                f"{save_root / folder} holds {len(old_names)} made clips, asked for are {len(names.get(folder, []))}. "
                "Ask for as many or more, choose another --save_root, or --force to replace them."
            )
    return old


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save_root", type=Path, required=True, help="root of the raw data to write")
    parser.add_argument("--train", type=int, default=48, help="training clips, a third in data_B (default %(default)s)")
    parser.add_argument("--test", type=int, default=16, help="test clips in data_C (default %(default)s)")
    parser.add_argument("--test_a", type=int, default=0, help="test clips in data_A/test (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same clips (default %(default)s)")
    parser.add_argument("--height", type=int, default=180, help="smallest picture height, pixels (default %(default)s)")
    parser.add_argument("--duration", type=float, help="length of every clip in seconds (default: 180 to 200)")
    parser.add_argument("--family", choices=FAMILIES, default="drawn", help="how they look and sound (%(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one per core)")
    parser.add_argument("--force", action="store_true", help="remove the clips made here with other settings")
    return make_dataset(**vars(parser.parse_args())).exit_code


if __name__ == "__main__":
    run_command(main)
