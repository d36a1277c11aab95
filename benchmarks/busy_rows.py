"""The rows of benchmarks/busy.py: trainings timed on a quiet machine and beside other programs."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.machine import machine
from benchmarks.measuring import Repeated, log_aside, print_table, say, timed_steps
from benchmarks.random_clips import labelled_folders, make_clips
from datatools.errors import UserError
from datatools.stages import number_of_cores
from models.avt_dist import AVTDist, distribution_loss
from models.avtnet import AVTNet
from models.losses import regression_loss
from utils.boundary import boundary_data, boundary_task
from utils.cli import boundary_command
from utils.devices import autocast_dtype
from utils.fit import Run, begin
from utils.step import Training
from utils.task import FitData
from utils.threads import STAT, WINDOW, FreeCores, fix_threads

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {"demo_avt": (AVTNet, regression_loss), "avt_dist": (AVTDist, distribution_loss)}
QUIET_WINDOWS, BUSY_WINDOWS = 60, 20
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"     # ends with its parent


def print_report(clips: int, beside: int, seconds: float) -> None:
    """Print the table; each row is measured in a process of its own, since the instruction set is read at its start."""
    precisions = ["float32"] if autocast_dtype(torch.device("cpu")) is None else ["bfloat16", "float32"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "clips"
        make_clips(root, clips)
        for more, kinds in (({}, precisions), (AVX2, ["float32"])):
            environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | more
            for preset in NETWORKS:
                for precision in kinds:
                    say(f"{preset}, {precision} {'AVX2' if more else ''}")
                    command = [sys.executable, str(ROOT / "benchmarks/busy.py"), "--beside", str(beside), "--seconds",
                               str(seconds), "--row", str(root), preset, precision]
                    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                    rows.append([f"{preset}, {precision}{', AVX2' if more else ''}", *json.loads(answer.stdout)])
    print(f"{machine()}, torch {torch.__version__}, beside {beside} programs that never wait")
    print_windows(beside)
    print_table(["training", "cores others used while quiet", "quiet: s a step", "beside others: s a step",
                 "times quiet", "the step when they begin, s", "threads fixed: s a step", "times quiet"], rows)


def print_windows(beside: int) -> None:
    """Print how well the free cores are known: what is measured in many windows, quietly and beside others."""
    quiet = [free_cores() for _ in range(QUIET_WINDOWS)]
    with spinning(beside):
        busy = [free_cores() for _ in range(BUSY_WINDOWS)]
    started = time.perf_counter()
    for _ in range(100):
        FreeCores()
    print(f"Free cores in {len(quiet)} windows of {WINDOW} s: {min(quiet):.2f} to {max(quiet):.2f} quietly; beside the "
          f"others, in {len(busy)} windows, {min(busy):.2f} to {max(busy):.2f}. One measurement takes "
          f"{(time.perf_counter() - started) * 1e4:.0f} us.")


def free_cores() -> float:
    """The cores that are free within one window. Raises UserError where it cannot be measured."""
    free = FreeCores()
    time.sleep(WINDOW)
    if (found := free.since_start()) is None:
        raise UserError(f"{STAT}: tells no idle time of this process's cores, so the load cannot be measured here.")
    return found


def measure_row(root: Path, preset: str, precision: str, beside: int, seconds: float) -> None:
    """Print the figures of one row as JSON."""
    run, training = prepared(root, preset, precision == "bfloat16")
    timed_steps(run, training, steps=2)      # what the first steps cost once
    free = FreeCores()
    quiet = statistics.mean(step for step, _ in timed_steps(run, training, most_seconds=seconds))
    others = max(0.0, number_of_cores() - free.since_start())
    with spinning(beside):
        started = time.perf_counter()
        steps = [step for step, _ in timed_steps(run, training, steps=1000, most_seconds=seconds)]
        first, busy = time.perf_counter() - started - sum(steps), statistics.mean(steps)
        fix_threads(0, constant=True)
        fixed = statistics.mean(step for step, _ in timed_steps(run, training, most_seconds=seconds / 4))
    print(json.dumps([f"{others:.2f}", f"{quiet:.3f}", f"{busy:.3f}", f"{busy / quiet:.2f}", f"{first:.1f}",
                      f"{fixed:.2f}", f"{fixed / quiet:.2f}"]))


def prepared(root: Path, preset: str, mixed: bool) -> tuple[Run, Training]:
    """A training of a preset before its first step; an epoch never ends."""
    network, loss = NETWORKS[preset]
    folders, label_files = labelled_folders(root)
    command = boundary_command("", [
        "--preset", str(ROOT / f"configs/{preset}.yaml"), "--data_root", str(root), "--train_folders", *folders,
        "--label_files", *label_files, "--gpus", "cpu", "--use_amp" if mixed else "--no-use_amp"])
    data = boundary_data(network, command.boundary)
    task = boundary_task(network, loss, command.boundary, command.sizes)
    with log_aside():
        return begin(task, command.fit, FitData(Repeated(data.train, 10**6), Repeated(data.val, 0)))


@contextlib.contextmanager
def spinning(count: int) -> Iterator[None]:
    """So many processes that use all the processor time they get."""
    processes = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
