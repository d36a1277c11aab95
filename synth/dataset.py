"""A dataset of made clips: which there are, what is missing, label files; clips of other settings are refused.

    report = make_dataset(Path("data/raw"), train=48, test=16, seed=0)
"""

import json
from dataclasses import replace
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable, save_text
from datatools.layout import TEST, TEST_B, TRAIN
from datatools.numbers import MOST_SEED, MOST_WORKERS
from datatools.paths import name_problem, read_text
from datatools.stages import Pool, StageReport, run_stage
from synth.plan import ClipPlan, plan_clip
from synth.render import render_clip

VERSION = 1  # of the clips' content: clips of two versions are not mixed
RECORD = "synth.json"  # in the save_root: settings and names of the clips made there
MIN_HEIGHT = 90  # pixels; below it no letter can be read
MAX_HEIGHT = 2160  # pixels; the largest clips are 4 / 3 of it, 5120 x 2880, which H.264's levels still hold
MIN_SECONDS = 10.0  # s; below it no clip has room for two segments
MOST_CLIPS = 100_000  # of one kind
TEST_INDEX = {TEST_B.folders[0]: 1_000_000, TEST.folders[0]: 2_000_000}  # so that no two folders share a clip


def plan_dataset(
    train: int,
    test: int,
    test_a: int,
    *,
    seed: int = 0,
    height: int = 180,
    duration: float | None = None,
    family: str = "drawn",
    fps: int | None = None,
) -> dict[str, list[ClipPlan]]:
    """The plans of a dataset by folder. Kinds take turns; every third pair of training clips goes to data_B."""
    train_folder, more_folder = TRAIN.folders
    plans: dict[str, list[ClipPlan]] = {}

    def put(folder: str, index: int, i: int) -> None:
        plan = plan_clip(seed, index, "se"[i % 2], height=height, duration=duration, family=family)
        plans.setdefault(folder, []).append(plan if fps is None else replace(plan, fps=str(fps)))

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
    fps: int | None = None,
    workers: int = 0,
    force: bool = False,
) -> StageReport:
    """Make what is missing of a dataset below `save_root`; label files name the clips that are there.

    `train`, `test` (data_C) and `test_a` (data_A/test) count clips; `height` in pixels; `duration` in seconds, None for
    180 to 200 s; `family` the way of painting and playing; `fps` frames a second, None for usual ones (features take
    one a second, so few cost less and change little); `workers` 0 is one process a core. Raises UserError for settings
    that make no sense, and where clips of other settings are there already: `force` removes those (and only
    those that this function made).
    """
    save_root = Path(save_root)
    _check_settings(train, test, test_a, seed, height, duration, fps, workers)
    settings = {"version": VERSION, "seed": seed, "height": height, "duration": duration, "family": family}
    if fps is not None:
        settings["fps"] = fps
    plans = plan_dataset(train, test, test_a, seed=seed, height=height, duration=duration, family=family, fps=fps)
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
    report = run_stage("synth", render_clip, jobs, kept=kept, pool=Pool(workers))
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


def _check_settings(
    train: int, test: int, test_a: int, seed: int, height: int, duration: float | None, fps: int | None, workers: int
) -> None:
    for flag, value, most in (("--train", train, MOST_CLIPS), ("--test", test, MOST_CLIPS),
                              ("--test_a", test_a, MOST_CLIPS), ("--workers", workers, MOST_WORKERS),
                              ("--seed", seed, MOST_SEED)):
        if not 0 <= value <= most:
            raise UserError(f"{flag} {value}: expected 0 to {most}.")
    if train + test + test_a == 0:
        raise UserError("--train, --test and --test_a are all 0: nothing to make. Ask for a clip at least.")
    if not MIN_HEIGHT <= height <= MAX_HEIGHT or height % 2:
        raise UserError(f"--height {height}: expected an even number of pixels, {MIN_HEIGHT} to {MAX_HEIGHT}.")
    if duration is not None and not MIN_SECONDS <= duration <= 200:
        raise UserError(f"--duration {duration:g}: expected {MIN_SECONDS:g} to 200 s.")
    if fps is not None and not 1 <= fps <= 60:
        raise UserError(f"--fps {fps}: expected 1 to 60.")


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
        found = json.loads(read_text(record, "record of made clips", "Choose another --save_root."))
        # Records from before there were families tell of drawn clips.
        before = {"family": "drawn"} | found["settings"]
        old = {str(k): [str(n) for n in v] for k, v in found["clips"].items()}
        # --force removes these clips: none of them may lie outside.
        if not old.keys() <= {*TRAIN.folders, *TEST_INDEX} or any(map(name_problem, sum(old.values(), []))):
            raise ValueError("its folders or clips are not those of made clips")
    except UserError:
        raise
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(
            f"{record}: not a record of made clips ({error!r}). Choose another --save_root, or remove this one."
        ) from error
    if force:
        return old
    other = [f"{k} {before.get(k)} (asked for: {settings.get(k)})" for k in {**settings, **before}
             if before.get(k) != settings.get(k)]
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
