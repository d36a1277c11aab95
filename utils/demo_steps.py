"""The steps of the demo, as commands that a user could type: run in turn or at once, with what they cost."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.stages import number_of_cores
from utils.in_turn import THEN

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINTS = {"best": "avnet_bestmodel.pth", "last": "avnet_last.pth"}
TRAININGS = {   # name: (entry script, preset, the checkpoints that infer: best and last, as the reference fused)
    "avt": ("avt_main.py", "configs/demo_avt.yaml", ("best",)),
    "avt_normal": ("avt_normal_main.py", "configs/demo_avt_normal.yaml", ("best", "last")),
    "avt_yolt": ("avt_yolt_main.py", "configs/demo_avt_yolt.yaml", ("best", "last")),
}
FPS = 5      # of the clips: features use one frame a second, and encoding 25 would take a third of the rendering time


@dataclass(frozen=True)
class Cost:
    """What one step took: wall-clock seconds, and CPU seconds of all cores together."""

    title: str
    seconds: float
    cpu_seconds: float


class Steps:
    """Runs the commands of the demo, prints the progress, and keeps the cost of each step."""

    def __init__(self, count: int):
        self.count, self.started = count, time.perf_counter()
        self.costs: list[Cost] = []

    def run(self, title: str, *words) -> None:
        """Run one command; its output is shown as it comes. Raises UserError where it fails."""
        words = list(map(str, words))
        with self._step(title):
            print(f"$ python {' '.join(words)}", flush=True)
            code = subprocess.run([sys.executable, *words], cwd=ROOT).returncode
            if code:
                raise UserError(f"{title}: python {words[0]} ended with exit code {code}, its message stands above.")

    def run_together(self, title: str, lanes: dict[str, list[list]]) -> None:
        """Run the lanes {name: commands in turn} at once and share the cores: small networks gain little from threads.

        Each line that a lane prints is shown behind its name. Raises UserError where one fails.
        """
        threads = max(1, number_of_cores() // len(lanes))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        running = {}
        with self._step(title):
            for name, commands in lanes.items():
                words = [str(word) for command in commands for word in (THEN, *command)][1:]
                running[name] = subprocess.Popen([sys.executable, "-m", "utils.in_turn", *words], cwd=ROOT,
                                                 env=environment, text=True, stdout=subprocess.PIPE,
                                                 stderr=subprocess.STDOUT)
            readers = [threading.Thread(target=show_lines, args=(n, p.stdout)) for n, p in running.items()]
            try:
                for reader in readers:
                    reader.start()
                for reader in readers:
                    reader.join()
            finally:
                for process in running.values():
                    process.terminate()   # no effect on one that has ended
            if failed := [name for name, process in running.items() if process.wait()]:
                raise UserError(f"{title}: {', '.join(failed)} failed, the message stands above.")

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        begun, cpu = time.perf_counter(), cpu_of_children()
        number = len(self.costs) + 1
        print(f"\n[{number}/{self.count}, {(begun - self.started) / 60:.1f} min] {title}", flush=True)
        yield
        self.costs.append(Cost(title, time.perf_counter() - begun, cpu_of_children() - cpu))

    def total(self) -> Cost:
        return Cost("in all", time.perf_counter() - self.started, sum(cost.cpu_seconds for cost in self.costs))


def cpu_of_children() -> float:
    """CPU seconds of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show_lines(name: str, lines) -> None:
    """Print lines as they come, each behind a name."""
    for line in lines:
        print(f"{name:>10} | {line}", end="", flush=True)


def network_commands(name: str, work: Path, processed: Path, more: list) -> list[list]:
    """The commands of one network: its training, with the flags `more`, then its inferences."""
    script, preset, checkpoints = TRAININGS[name]
    training = [script, "--preset", preset, "--data_root", processed, "--save_prefix", work / name, "--resume", "auto"]
    inferences = [[script, "--weights", work / name / CHECKPOINTS[which], "--data_root", processed, "--num_workers", 0,
                   "--output", submission_path(work, name, which)] for which in checkpoints]
    return [[*training, *more], *inferences]


def submission_path(work: Path, name: str, which: str) -> Path:
    return work / "submissions" / f"{name}_{which}.csv"


def run_demo(
    work: Path, seed: int, train: int, test: int, max_epoch: int | None = None, duration: float | None = None
) -> tuple[dict[str, Path], Steps]:
    """Make clips, features, trainings, inferences and a fusion below `work`; returns {title: submission} and the steps.

    `train` and `test` count clips; `duration` of a clip in seconds, None for 180 to 200 s; `max_epoch` None for the
    presets'. What exists already is not made again. Raises UserError where a step fails.
    """
    raw, processed = work / "raw", work / "processed"
    steps = Steps(4)
    length = ["--duration", duration] if duration else []
    steps.run("make clips with exact truth", "synth/make.py", "--save_root", raw, "--train", train, "--test", test,
              "--seed", seed, "--fps", FPS, *length)
    steps.run("sound, picture and text to features", "datatools/preprocess.py", "--data_root", raw, "--save_root",
              processed, "--ocr", "rapidocr")
    more = ["--seed", 10 + seed, *(["--max_epoch", max_epoch] if max_epoch else [])]
    steps.run_together("train the three networks, and infer",
                       {name: network_commands(name, work, processed, more) for name in TRAININGS})
    submissions = {f"{name} {which}": submission_path(work, name, which)
                   for name, (*_, checkpoints) in TRAININGS.items() for which in checkpoints}
    fused = work / "submission_fused.csv"
    steps.run("fuse", "fuse/fuse.py", "--inputs", *submissions.values(), "--output", fused)
    return submissions | {"fused": fused}, steps
