"""The table of benchmarks/training.py --gpu: ways of training the full AVTNet, end to end."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.baseline import baseline_network, baseline_speed, loader_processes
from benchmarks.measuring import (
    MATRIX,
    begin_on,
    full_task,
    matrix_rate,
    print_table,
    say,
    settings_on,
    step_operations,
    timed_steps,
)
from datatools.clips import ClipSet
from datatools.dataset import ClipDataset
from datatools.errors import UserError
from models.avtnet import AVTNet
from utils.devices import dtype_name, precision
from utils.settings import FitSettings

EPOCH_STEPS = 2_000      # steps of an epoch that is read from files
MOST_SECONDS = 330.0     # no row is begun after this; the row of torch.compile takes up to two minutes
WARM_STEPS = 3
Measure = Callable[[int], tuple[float, float]]      # batch size -> (clips/s, share of waiting)


@dataclass(frozen=True)
class Size:
    """Batch sizes to try, the batch size at which the ways are compared, and seconds of each row after its warm-up."""

    batch_sizes: tuple[int, ...] = (4, 16, 32, 64)
    compared: int = 16
    seconds: float = 10.0


SMALL = Size((2, 4), 4, 1.0)      # of a dry run


def gpu_table(root: Path, clip_set: ClipSet, device: torch.device, sizes: dict, size: Size) -> None:
    """Clips a second in training end to end, and the share of the GPU's measured peak rate that they reach."""
    sizes, mixed = {**sizes, "standardise": True}, precision(device, True)
    operations, rate = step_operations(sizes), matrix_rate(device, mixed)
    rows, first, started = [], None, time.perf_counter()
    for title, batch_size, way in ways_to_train(root, clip_set, device, sizes, size):
        begun = time.perf_counter()
        if begun - started > MOST_SECONDS:
            rows.append([title, str(batch_size), *["not run, out of time"] * 5])
            continue
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        try:
            speed, waiting = way(batch_size)
        except (RuntimeError, UserError) as error:      # a way that fails or does not fit must not stop the others
            rows.append([title, str(batch_size), *["failed"] * 5])
            print(f"\n{title}, batch {batch_size}: {type(error).__name__}: {error}", flush=True)
            continue
        first = first or speed
        memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")
        rows.append([title, str(batch_size), f"{speed:.1f}", f"{speed / first:.1f}", f"{waiting:.1%}",
                     f"{speed * operations / rate:.1%}", f"{memory:.1f}"])
        say(f"gpu: {rows[-1]}, {time.perf_counter() - begun:.0f} s with its warm-up")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"\n{where}: a product of two {MATRIX[device.type]}x{MATRIX[device.type]} matrices in {dtype_name(mixed)} "
          f"runs at {rate / 1e12:.1f} TFLOP/s; a step is {operations / 1e9:.0f} GFLOP a clip.")
    print_table(["training end to end on a GPU: full AVTNet", "batch", "clips/s", "times baseline", "waiting for data",
                 "share of the matrix product's rate", "GiB"], rows)


def ways_to_train(
    root: Path, clip_set: ClipSet, device: torch.device, sizes: dict, size: Size
) -> list[tuple[str, int, Measure]]:
    """(title, batch size, how it is measured) of each row."""
    dataset = ClipDataset(root, clip_set, AVTNet.inputs)
    processes = loader_processes(size.compared)

    def baseline(workers: int) -> Measure:
        return lambda batch_size: baseline_speed(baseline_network(sizes, device), root, clip_set, batch_size, workers,
                                                 size.seconds)

    def ours(**changes) -> Measure:
        changes = {"use_amp": True, "channels_last": True, "num_workers": 4, **changes}
        return lambda batch_size: our_speed(dataset, settings_on(device, batch_size=batch_size, **changes), sizes,
                                            size.seconds)

    # On a CPU torch.compile would unroll bfloat16's recurrent layers step by step, for many minutes.
    traced = device.type == "cuda"
    best, name = "this project, --use_amp --channels_last --data_in_memory", "this project, --use_amp"
    ways = [("baseline, float32, plain loop", size.compared, baseline(0))]
    if processes:
        ways.append((f"baseline, float32, DataLoader of {processes} processes", size.compared, baseline(processes)))
    return [
        *ways,
        ("this project, float32", size.compared, ours(use_amp=False, channels_last=False)),
        (name, size.compared, ours(channels_last=False)),
        (f"{name} --channels_last", size.compared, ours()),
        (f"{name} --channels_last --num_workers 0", size.compared, ours(num_workers=0)),
        *((best, batch_size, ours(data_in_memory=True)) for batch_size in size.batch_sizes),
        (f"{best} --compile", size.compared, ours(use_amp=traced, data_in_memory=True, compile=True)),
        (f"{name} --channels_last --compile", size.compared, ours(use_amp=traced, compile=True)),
    ]


def our_speed(dataset: ClipDataset, settings: FitSettings, sizes: dict, most_seconds: float) -> tuple[float, float]:
    """(clips/s, share of waiting) of this project."""
    batch_size = settings.batch_size
    # With the data in memory there are few clips, so the epochs are short.
    steps = math.ceil(len(dataset) / batch_size) if settings.data_in_memory else EPOCH_STEPS
    run, training = begin_on(full_task(sizes), settings, dataset, steps * batch_size)
    found = timed_steps(run, training, warm=WARM_STEPS, most_seconds=most_seconds)
    took = sum(step for step, _ in found)
    return batch_size * len(found) / took, sum(waited for _, waited in found) / took
