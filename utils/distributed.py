"""Several processes that train one network: torchrun's, on one machine or many.

    world = join()                    # alone, unless torchrun started this process
    total, anyone = world.sum([loss, stop])
    answers = world.gather({name: seconds})
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta

import torch

from datatools import errors
from datatools.errors import UserError
from datatools.stages import number_of_cores

STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"    # torchrun sets it for the processes that it starts
PATIENCE = timedelta(hours=1)    # with a process that is behind: the first one decodes videos while the others wait
SECONDS_TO_SAVE = 120            # after a signal, for a step or a validation to end and to be saved; torchrun's own: 30
PR_SET_PDEATHSIG = 1             # of Linux's prctl

_store = None                    # where the processes leave each other notes, once they are joined


@dataclass(frozen=True)
class World:
    """Which of how many processes this is. `rank` counts over all machines, `local_rank` over this one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes."""
        return self.rank == 0

    def sum(self, values: list[float], device) -> list[float]:
        """Each value added up over all processes."""
        if self.size == 1:
            return values
        # float64 does not travel over every backend's devices alike; float32 holds counts and losses well enough.
        total = torch.tensor(values, dtype=torch.float32, device=device)
        torch.distributed.all_reduce(total)
        return total.tolist()

    def any(self, value: bool, device) -> bool:
        """Whether it is true in any process."""
        return bool(self.sum([float(value)], device)[0])

    def gather(self, value) -> list:
        """What every process has, in the order of their ranks."""
        if self.size == 1:
            return [value]
        found = [None] * self.size
        torch.distributed.all_gather_object(found, value)
        return found

    def share_buffers(self, net) -> None:
        """Give all processes the first one's buffers (batch norm's statistics)."""
        if self.size > 1:
            for buffer in net.buffers():
                torch.distributed.broadcast(buffer, 0)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.gather(None)

    def agree(self, facts: dict) -> None:
        """Raise UserError, in all processes, where they do not hold the same {name: value}."""
        all_facts = self.gather(facts)
        for name in facts:
            first = all_facts[0][name]
            for rank, other in enumerate(all_facts):
                if other[name] != first:
                    raise UserError(
                        f"The processes differ in {name}: {first} in the first, {other[name]} in that of rank {rank}. "
                        "Start all machines with the same flags; --data_root and --save_prefix must hold the same "
                        "files on each.")


def started_by_torchrun() -> bool:
    return STARTED_BY_TORCHRUN in os.environ


def join(devices: list) -> World:
    """Join the processes that torchrun started: NCCL for GPUs, Gloo for the CPU. Alone where it did not start this one.

    Each process takes the one of `devices` that its local rank counts. They stay together until they end, through all
    trainings that one command makes. Raises UserError where there are too few.
    """
    if not started_by_torchrun():
        return World()
    global _store
    world = World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    if _store is not None:
        return world
    on_gpus = devices[0].type == "cuda"
    if on_gpus:
        if world.local_rank >= len(devices):
            raise UserError(f"{os.environ['LOCAL_WORLD_SIZE']} processes on this machine, but {len(devices)} GPUs "
                            "(--gpus). Start one process a GPU: torchrun --nproc_per_node, or --processes.")
        torch.cuda.set_device(devices[world.local_rank])
    _end_with_torchrun()
    _store, *_ = next(torch.distributed.rendezvous("env://", timeout=PATIENCE))
    torch.distributed.init_process_group("nccl" if on_gpus else "gloo", store=_store, rank=world.rank,
                                         world_size=world.size, timeout=PATIENCE)
    # DistributedDataParallel keeps the group, and with it Gloo's threads, even when both are gone for Python; a thread
    # that then gives back a tensor while the interpreter ends aborts the process (pytorch pull request 179291).
    errors.leave_at_once = True
    return world


@contextlib.contextmanager
def told_once():
    """Where several processes of a machine end with the same UserError, let one of them alone tell it."""
    try:
        yield
    except UserError as error:
        if _store is not None and _store.add(f"{os.environ['GROUP_RANK']}: {error}", 1) > 1:
            raise SystemExit(2) from None
        raise


def _end_with_torchrun() -> None:
    """Have Linux send SIGTERM to this process when torchrun is killed: it would train on with nobody above it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def run_torchrun(processes: int, argv: list[str]) -> int:
    """Start `argv`, a script and its flags, in so many processes on this machine; returns the exit code.

    torchrun runs within this process, which lives as long as the training. The exit code is the one of the process that
    failed first (2 for a UserError, 128 + number for a signal that killed it); 130 or 143 where SIGINT or SIGTERM ended
    this one, which torchrun passes on.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, number_of_cores() // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SECONDS_TO_SAVE))
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(["--standalone", f"--nproc_per_node={processes}", *argv])
    except SignalException as stopped:
        return 128 + stopped.sigval
    except ChildFailedError as failed:
        code = failed.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    return 0
