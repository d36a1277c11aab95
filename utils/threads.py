"""How many CPU threads a network computes with: all cores, and fewer while other programs use them.

    fix_threads(0)               # 0: the number is chosen from here on; a number: always that many
    few = adapt_threads(net)     # before each step or batch; whether other programs keep it below the usual number

The threads of a step wait for each other thousands of times, and oneDNN's spin while they wait. Where other programs
keep the cores busy, one thread often has to wait for its turn, and all others with it: two threads can then take many
times as long as one (benchmarks/busy.py). One thread alone slows down as its share of the cores does.

The number of threads decides the order of sums, and so the last bits of the weights. It therefore stays the same while
the machine is not overloaded, and always where --threads or OMP_NUM_THREADS fixes it.
"""

import os
import time
from pathlib import Path

import torch
from torch import nn

from datatools.errors import UserError
from datatools.stages import number_of_cores

# A network of fewer parameters always computes on one thread, so its weights do not depend on the load. Threads save
# little there: torch divides an operation only from 32,768 elements on (at::internal::GRAIN_SIZE).
FEWEST_PARAMETERS = 100_000
MOST_THREADS = 1024     # for --threads: each thread takes memory, and the C library ends the process where it has none
WINDOW = 0.3            # s over which free cores are measured; a single short program does not count
QUIET = 3.0             # s over which the cores must be free before more threads are taken again
SLACK = 0.5             # cores that other programs may use before threads are given up
STAT = Path("/proc/stat")


def idle_seconds(cores: set[int]) -> float | None:
    """Seconds that these cores have been idle since the machine's start, added up; None where Linux does not tell.

    Containers may show other cores than their own, or zeros.
    """
    try:
        lines = [line.split() for line in STAT.read_text().splitlines() if line.startswith("cpu")]
        ticks = [int(idle) + int(disk) for name, _, _, _, idle, disk, *_ in lines
                 if name != "cpu" and int(name[3:]) in cores]
    except (OSError, ValueError):
        return None
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if len(ticks) == len(cores) and any(ticks) else None


class FreeCores:
    """Measures how many cores other programs leave to this process: what it used, and what was idle.

    Measured by the clock, so what a hypervisor takes away is not free either.
    """

    def __init__(self):
        self.cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        self.start()

    def start(self) -> None:
        """Begin to measure."""
        self.started, self.used, self.idle = time.perf_counter(), time.process_time(), idle_seconds(self.cores)

    @property
    def seconds(self) -> float:
        """Time since `start`."""
        return time.perf_counter() - self.started

    def since_start(self) -> float | None:
        """The free cores in the mean since `start`; None where it cannot be measured."""
        idle = idle_seconds(self.cores)
        if idle is None or self.idle is None:
            return None
        return (idle - self.idle + time.process_time() - self.used) / self.seconds


class Watch:
    """Chooses the number of threads of each step: `most`, and fewer where so many cores are not free."""

    def __init__(self, most: int, fixed: bool = False):
        self.most, self.number, self.fixed = most, most, fixed
        self.free: FreeCores | None = None      # measures from the first choice on
        self.enough_since = 0.0                 # since when more cores are free than are used

    def choose(self) -> int:
        """The number for the next step. The first call takes WINDOW seconds where the load can be measured."""
        if self.free is None:
            self.free = FreeCores()
            if self.free.idle is not None:
                time.sleep(WINDOW)
        elif self.free.seconds < WINDOW:
            return self.number
        free, now = self.free.since_start(), time.perf_counter()
        self.free.start()
        fitting = self.most
        while free is not None and fitting > 1 and fitting > free + SLACK:
            fitting //= 2      # halves: few numbers, and so few orders of sums
        # Too many threads cost far more than too few, so the way back takes longer.
        if fitting <= self.number:
            self.number, self.enough_since = fitting, now
        elif now - self.enough_since > QUIET:
            self.number = fitting
        return self.number


_watch: Watch | None = None      # for the whole process, as torch's number of threads is


def fix_threads(number: int, constant: bool = False) -> None:
    """Compute with `number` threads from here on; 0: with OMP_NUM_THREADS, or else a number that is chosen each step.

    `constant`: it is not chosen each step; where neither gives a number, it is that of the cores. Raises UserError.
    """
    global _watch
    if number > MOST_THREADS:
        raise UserError(f"--threads {number}: expected at most {MOST_THREADS}. More threads than cores "
                        f"({number_of_cores()} here) only slow a step down.")
    given = os.environ.get("OMP_NUM_THREADS")
    if number or (constant and not given):
        torch.set_num_threads(number or number_of_cores())
    _watch = Watch(number or number_of_cores(), fixed=bool(number or given or constant))


def usual_threads(net: nn.Module) -> int:
    """The CPU threads that a network computes with while other programs leave the cores free."""
    if _watch is None:
        fix_threads(0)
    if _watch.fixed:
        return torch.get_num_threads()
    return 1 if sum(p.numel() for p in net.parameters()) < FEWEST_PARAMETERS else _watch.most


def adapt_threads(net: nn.Module) -> bool:
    """Set the number of threads for the next step or batch; whether other programs keep it below the usual number.

    Changes nothing where the number is fixed, nor for a network on a GPU.
    """
    usual, first = usual_threads(net), next(net.parameters(), None)
    if _watch.fixed or first is None or first.device.type != "cpu":
        return False
    number = _watch.choose() if usual > 1 else 1
    if number != torch.get_num_threads():
        torch.set_num_threads(number)
    return number < usual
