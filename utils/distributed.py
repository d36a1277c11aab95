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
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch

from datatools import errors
from datatools.errors import UserError
from datatools.stages import number_of_cores

STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"    # torchrun sets it for the processes that it starts
PATIENCE = timedelta(hours=1)    # timeout of collectives: the first process decodes videos while the others wait
SECONDS_TO_SAVE = 120            # from SIGTERM to SIGKILL, for finishing a step or validation and saving (torchrun: 30)
ENDED = "ended with an error of the user's"      # counts in the store the processes that have
PR_SET_PDEATHSIG = 1             # of Linux's prctl

_store = None                    # the key-value store of the process group, once joined


@dataclass(frozen=True)
class World:
    """This process's place among all. `rank` counts over all machines, `local_rank` over this machine."""

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
        # Not every device has float64; float32 is exact enough for counts and losses.
        total = torch.tensor(values, dtype=torch.float32, device=device)
        torch.distributed.all_reduce(total)
        return total.tolist()

    def any(self, value: bool, device) -> bool:
        """Whether `value` is true in any process."""
        return bool(self.sum([float(value)], device)[0])

    def gather(self, value) -> list:
        """Every process's `value`, in the order of their ranks."""
        if self.size == 1:
            return [value]
        found = [None] * self.size
        torch.distributed.all_gather_object(found, value)
        return found

    def share_buffers(self, net) -> None:
        """Broadcast the first process's buffers (batch norm's statistics) to all."""
        if self.size > 1:
            for buffer in net.buffers():
                torch.distributed.broadcast(buffer, 0)

    def wait(self) -> None:
        """A barrier: return when all processes have called it."""
        self.gather(None)

    def lead(self, function: Callable):
        """What `function()` returns in the first process, in all of them; its UserError or OSError is raised in all."""
        result = error = None
        if self.leads:
            try:
                result = function()
            except (UserError, OSError) as failed:
                error = failed
        result, error = self.gather((result, error))[0]
        if error is not None:
            raise error
        return result

    def agree(self, facts: dict) -> None:
        """Raise UserError, in all processes, unless all pass the same {name: value}."""
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
    """Join the process group of torchrun, NCCL for GPUs, Gloo for the CPU; without torchrun, a World of one process.

    Each process takes devices[local_rank]. The group lasts until the processes end, through all trainings of a
    command. Raises UserError where there are fewer GPUs than processes.
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
    # DistributedDataParallel keeps the group and Gloo's threads alive even when Python has released both. A thread that
    # frees a tensor while the interpreter shuts down aborts the process (pytorch pull request 179291).
    errors.leave_at_once = True
    return world


@contextlib.contextmanager
def told_once():
    """Let only one process of a machine print an error of the user's, also where it breaks off the others' collectives.
    """
    try:
        yield
    except (UserError, OSError) as error:
        if _store is not None:
            _store.add(ENDED, 1)
            if _store.add(f"{os.environ['GROUP_RANK']}: {error}", 1) > 1:
                raise SystemExit(2) from None
        raise
    except RuntimeError:      # what a collective raises whose other end is gone
        if _store is not None and _store.add(ENDED, 0):
            raise SystemExit(2) from None
        raise


def _end_with_torchrun() -> None:
    """Have Linux send SIGTERM to this process when torchrun is killed; otherwise it would train on as an orphan."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def run_torchrun(processes: int, argv: list[str]) -> int:
    """Start `argv`, a script and its flags, in so many processes on this machine; returns the exit code.

    torchrun runs within this process, which lives as long as the training. The exit code is that of the process that
    failed first: 2 for a UserError, 128 + number for a signal that killed it. It is 130 or 143 where SIGINT or SIGTERM
    ended this process; torchrun passes those signals on.
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
