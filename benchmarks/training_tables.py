"""Tables of benchmarks/training.py: loading, single steps, epochs end to end, and learning in mixed precision."""

import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.baseline import (
    as_baseline,
    baseline_batch,
    baseline_epoch,
    baseline_network,
    baseline_optimizer,
    baseline_step,
    decode_with_imageio,
    decode_with_opencv,
)
from benchmarks.measuring import (
    BATCH_SIZE,
    begin_on,
    full_task,
    gpus_of,
    log_aside,
    matrix_rate,
    print_table,
    say,
    settings_on,
    step_operations,
    synchronise,
    timed_steps,
    times_faster,
    train_once,
)
from benchmarks.random_clips import labelled_folders, rotating
from datatools.clips import ClipSet
from datatools.dataset import ClipDataset
from models.avtnet import AVTNet
from models.layers import FrameInput
from models.losses import regression_loss
from utils.batches import Batches
from utils.boundary import boundary_data, boundary_task
from utils.cli import BoundaryCommand, boundary_command
from utils.devices import dtype_name, precision
from utils.fit import fit
from utils.settings import FitSettings
from utils.task import Task

PRESET = "configs/demo_avt.yaml"
ROOT = Path(__file__).resolve().parents[1]
LOADING_ROUNDS = 7       # rounds over all clips, in which the ways take turns; the median counts
BASELINE_ROUNDS = 2      # rounds of the baseline: it is slow, so its figure varies little
SMALL_ROUNDS = 3         # rounds of the small network, SMALL_STEPS each
SMALL_STEPS = 8


def demo_preset() -> BoundaryCommand:
    """The small preset, read as avt_main.py reads it."""
    return boundary_command("", ["--preset", str(ROOT / PRESET)], batch_size=16, if_normal=False)


# ---------------------------------------------------------------- loading


def loading_table(root: Path, clip_set: ClipSet) -> None:
    """Print the clips a second that one worker loads."""
    lists = rotating(len(clip_set), BATCH_SIZE, max(1, len(clip_set) // BATCH_SIZE))
    dataset, scale = ClipDataset(root, clip_set, AVTNet.inputs), FrameInput(standardise=True)

    def baseline(decode) -> None:
        for indices in lists:
            baseline_batch(root, [clip_set.clips[i] for i in indices], decode)

    def ours(num_workers: int, scaled: bool = False) -> None:
        for batch in Batches(dataset, torch.device("cpu"), num_workers)(lists):
            if scaled:
                scale(batch["frames"].flatten(0, 1)), batch["text_roi"].float()

    ways = {
        "baseline, OpenCV": lambda: baseline(decode_with_opencv),
        "baseline, imageio": lambda: baseline(decode_with_imageio),
        "this project, --num_workers 0": lambda: ours(0),
        "this project, --num_workers 1": lambda: ours(1),
        "this project, --num_workers 0, pictures standardised in float32 too": lambda: ours(0, True),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    took = {title: [] for title in ways}
    for turn in range(1 + LOADING_ROUNDS):
        for title, way in ways.items():
            if title.startswith("baseline") and turn > BASELINE_ROUNDS:
                continue
            started = time.perf_counter()
            way()
            if turn:      # the first turn fills the page cache
                took[title].append((time.perf_counter() - started) / (len(lists) * BATCH_SIZE))
    torch.set_num_threads(threads)
    first = statistics.median(took["baseline, OpenCV"])
    size = statistics.mean(clip.video(root).stat().st_size for clip in clip_set.clips) / 1e6
    rows = [[title, f"{1 / (s := statistics.median(t)):.1f}", f"{1000 * s:.2f}", f"{first / s:.2f}"]
            for title, t in took.items()]
    print_table([f"loading: one worker, {len(clip_set)} clips in the page cache, 1 fps videos of {size:.1f} MB",
                 "clips/s", "ms a clip", "times baseline"], rows)


# ---------------------------------------------------------------- single steps


def step_table(root: Path, clip_set: ClipSet, device: torch.device, sizes: dict, steps: int) -> None:
    """Seconds a clip of a training step; the ways take turns."""
    sizes = {**sizes, "standardise": True}
    dataset = ClipDataset(root, clip_set, AVTNet.inputs)
    lists = rotating(len(clip_set), BATCH_SIZE, 1 + steps)
    inputs = [as_baseline(batch) for batch in Batches(dataset, torch.device("cpu"), 0)(lists)]
    truths = [torch.from_numpy(clip_set.seconds[indices]).to(device) for indices in lists]
    net = baseline_network(sizes, device).train()
    optimizer = baseline_optimizer(net)
    # An epoch is one step. Both precisions train the same network, so memory holds two networks, not four.
    trainings = {last: begin_on(full_task(sizes), settings_on(device, channels_last=last), dataset, BATCH_SIZE)
                 for last in (False, True)}

    def baseline(turn: int) -> None:
        baseline_step(net, optimizer, inputs[turn], truths[turn])

    def ours(mixed: bool, channels_last: bool) -> None:
        run, training = trainings[channels_last]
        train_once(replace(run, recipe=replace(run.recipe, mixed=mixed)), training)

    ways = {
        "baseline, float32, loading not counted": (baseline, False),
        "this project, float32": (lambda turn: ours(False, False), False),
        "this project, float32, --channels_last": (lambda turn: ours(False, True), False),
        "this project, --use_amp": (lambda turn: ours(True, False), True),
        "this project, --use_amp --channels_last": (lambda turn: ours(True, True), True),
    }
    took = take_turns({title: way for title, (way, _) in ways.items()}, steps, device)
    rates = {dtype: matrix_rate(device, dtype) for dtype in (precision(device, mixed) for mixed in (False, True))}
    operations, first = step_operations(sizes), next(iter(took.values()))
    rows = [[title, f"{statistics.median(took[title]):.3f}", f"{(least := min(took[title])):.3f}",
             times_faster(first, took[title]), f"{operations / least / rates[precision(device, mixed)]:.0%}"]
            for title, (_, mixed) in ways.items()]
    count = sum(p.numel() for p in net.parameters()) / 1e6
    print_table([f"training step: AVTNet of {count:.1f} M parameters, batch {BATCH_SIZE}, median of {steps}, {device}",
                 "s a clip", "least", "times baseline", "least: share of the matrix product's rate"], rows)
    fast = " and ".join(f"{rate / 1e9:.0f} GFLOP/s in {dtype_name(dtype)}" for dtype, rate in rates.items())
    print(f"\nA step is {operations / 1e9:.0f} GFLOP a clip; a large matrix product runs at {fast}. This project's "
          "rows hold its loading.")


def take_turns(ways: dict, steps: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds a clip of each way's steps. A way is called with the number of its turn; the first turn is a warm-up."""
    took = {title: [] for title in ways}
    for turn in range(1 + steps):
        for title, way in ways.items():
            synchronise(device)
            started = time.perf_counter()
            way(turn)
            synchronise(device)
            if turn:
                took[title].append((time.perf_counter() - started) / BATCH_SIZE)
        say(f"step: {turn} of {steps}")
    return took


# ---------------------------------------------------------------- epochs end to end


def waiting_table(root: Path, clip_set: ClipSet, device: torch.device, sizes: dict, steps: int) -> None:
    """Print the share of an epoch spent on waiting for data, and its clips a second, end to end."""
    preset = demo_preset()
    small = boundary_task(AVTNet, regression_loss, preset.boundary, preset.sizes)
    small_settings = replace(preset.fit, gpus=gpus_of(device), batch_size=BATCH_SIZE)
    rows = []
    for name, task, settings, rounds, length in (
            (PRESET, small, small_settings, SMALL_ROUNDS, SMALL_STEPS),
            ("full AVTNet, --use_amp", full_task(sizes), settings_on(device, use_amp=True), 1, steps)):
        took = seconds_end_to_end(root, clip_set, task, settings, rounds, length)
        say(f"waiting: {name} done")
        first = statistics.median(step for step, _ in next(iter(took.values())))
        for title, found in took.items():
            s = statistics.median(step for step, _ in found)
            share = sum(waited for _, waited in found) / sum(step for step, _ in found)
            rows.append([f"{name}: {title}", f"{BATCH_SIZE / s:.2f}", f"{s / BATCH_SIZE:.3f}", f"{first / s:.2f}",
                         f"{share:.2%}"])
    print_table([f"training end to end, batch {BATCH_SIZE}, {device}; {SMALL_ROUNDS * SMALL_STEPS} steps of the small "
                 f"network, {steps} of the full", "clips/s", "s a clip", "times baseline", "waiting for data"], rows)


def seconds_end_to_end(
    root: Path, clip_set: ClipSet, task: Task, settings: FitSettings, rounds: int, steps: int
) -> dict[str, list[tuple[float, float]]]:
    """{way: (seconds, of which waiting) of each of `rounds` rounds of `steps` steps}; the ways take turns."""
    dataset = ClipDataset(root, clip_set, AVTNet.inputs)
    lists = rotating(len(clip_set), BATCH_SIZE, 1 + steps)
    trainings = {workers: begin_on(task, replace(settings, num_workers=workers), dataset, BATCH_SIZE * (1 + steps))
                 for workers in (0, 1)}
    device = trainings[0][1].device
    net = baseline_network(task.sizes, device)
    took: dict[str, list] = {}
    for _ in range(rounds):
        found = baseline_epoch(net, device, root, clip_set, lists)[1:]
        took.setdefault("baseline, float32, neither shifted nor varied", []).extend(found)
        for workers, (run, training) in trainings.items():
            found = timed_steps(run, training, steps=steps)
            took.setdefault(f"this project, --num_workers {workers}", []).extend(found)
    return took


# ---------------------------------------------------------------- learning in mixed precision


def curves_table(root: Path, device: torch.device, epochs: int, seeds: list[int]) -> None:
    """Print the small preset's training loss by epoch, in float32 and in mixed precision."""
    preset = demo_preset()
    folders, label_files = labelled_folders(root)
    boundary = replace(preset.boundary, data_root=root, train_folders=folders, label_files=label_files)
    task = boundary_task(AVTNet, regression_loss, boundary, preset.sizes)
    data = boundary_data(AVTNet, boundary)
    curves: dict[tuple[bool, int], list[float]] = {}
    scores: dict[tuple[bool, int], float] = {}
    for seed in seeds:
        for mixed in (False, True):
            settings = replace(preset.fit, gpus=gpus_of(device), seed=seed, use_amp=mixed, max_epoch=epochs,
                               data_in_memory=True)
            with log_aside():
                fitted = fit(task, settings, data)
            if fitted.exit_code:
                raise SystemExit(fitted.exit_code)
            curves[mixed, seed] = [record["train_loss"] for record in fitted.records]
            scores[mixed, seed] = fitted.records[-1]["val_score"]
            say(f"curves: seed {seed}, {dtype_name(precision(device, mixed))}: "
                + " ".join(f"{loss:.1f}" for loss in curves[mixed, seed]))
    print_curves(curves, scores, seeds, len(data.train), dtype_name(precision(device, True)))


def print_curves(
    curves: dict[tuple[bool, int], list[float]], scores: dict[tuple[bool, int], float], seeds: list[int],
    num_clips: int, mixed_name: str,
) -> None:
    """Print curves and scores by (mixed precision, seed), and the difference between the two precisions."""

    def spread(values: list[float]) -> str:
        return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    rows = [[str(epoch), *(spread([curves[mixed, seed][epoch] for seed in seeds]) for mixed in (False, True))]
            for epoch in range(len(curves[False, seeds[0]]))]
    rows += [[f"last epoch, seed {seed}", *(f"{curves[mixed, seed][-1]:.2f}" for mixed in (False, True))]
             for seed in seeds]
    rows.append(["validation score, s",
                 *(spread([scores[mixed, seed] for seed in seeds]) for mixed in (False, True))])
    print_table([f"training loss of {PRESET}, {num_clips} clips; of an epoch: mean (least to most) of {len(seeds)} "
                 "seeds", "float32 (baseline)", mixed_name], rows)
    if len(seeds) > 1:
        last = {mixed: [curves[mixed, seed][-1] for seed in seeds] for mixed in (False, True)}
        difference = statistics.mean(last[True]) - statistics.mean(last[False])
        deviations = [statistics.stdev(last[mixed]) for mixed in (False, True)]
        print(f"\nLast epoch: {mixed_name} less float32 {difference:+.2f}; deviation over seeds {deviations[0]:.2f} in "
              f"float32, {deviations[1]:.2f} in {mixed_name}.")
