"""Start a training in as many processes as its flags ask for.

    launched("auto", LaunchSettings(strategy="ddp"), words, train)      # the exit code
"""

import sys
from collections.abc import Callable

from datatools.errors import UserError
from datatools.stages import number_of_cores
from utils.devices import choose_devices
from utils.distributed import World, join, run_torchrun, started_by_torchrun, told_once
from utils.settings import LaunchSettings

MOST_A_CORE = 4  # processes on a CPU: more only wait for each other, and each takes some hundred megabytes


def launched(gpus: str, launch: LaunchSettings, words: tuple[str, ...], train: Callable[[World], int]) -> int:
    """The exit code of `train(world)`, called in this process, or in all that torchrun has started.

    With --strategy ddp this process starts torchrun, which runs the same script with the flags `words`. An error of
    the user's is told once, not by every process. Raises UserError.
    """
    if not started_by_torchrun():
        if launch.strategy == "ddp":
            return run_torchrun(number_of_processes(gpus, launch.processes), [sys.argv[0], *words])
        if launch.processes:
            raise UserError(f"--processes {launch.processes}: --strategy {launch.strategy} is one process. Give "
                            "--strategy ddp too, or start the script by torchrun.")
    world = join(choose_devices(gpus))
    with told_once():
        return train(world)


def number_of_processes(gpus: str, processes: int) -> int:
    """Processes that --strategy ddp starts: --processes, else one a GPU. Raises UserError if they are too many."""
    devices = choose_devices(gpus)
    if devices[0].type == "cuda" and processes > len(devices):
        raise UserError(f"--processes {processes}: each takes a GPU of its own, and --gpus {gpus} gives "
                        f"{len(devices)}.")
    if devices[0].type == "cpu" and processes > (most := MOST_A_CORE * number_of_cores()):
        raise UserError(f"--processes {processes}: expected at most {most}, {MOST_A_CORE} for each CPU core "
                        f"({number_of_cores()} here).")
    return processes or len(devices)
