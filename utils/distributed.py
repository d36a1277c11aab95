"""Several processes that train one network: torchrun's, on one machine or many.

    world = join()                    # alone, unless torchrun started this process
    total, anyone = world.sum([loss, stop])
    answers = world.gather({name: seconds})
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass

from datatools.command import UserError

STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"    # torchrun sets it for the processes that it starts


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
        import torch

        # float64 does not travel over every backend's devices alike; float32 holds counts and losses well enough.
        total = torch.tensor(values, dtype=torch.float32, device=device)
        torch.distributed.all_reduce(total)
        return total.tolist()

    def gather(self, value) -> list:
        """What every process has, in the order of their ranks."""
        if self.size == 1:
            return [value]
        import torch

        found = [None] * self.size
        torch.distributed.all_gather_object(found, value)
        return found

    def share_buffers(self, net) -> None:
        """Give all processes the first one's buffers (batch norm's statistics)."""
        if self.size > 1:
            import torch

            for buffer in net.buffers():
                torch.distributed.broadcast(buffer, 0)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.gather(None)


def started_by_torchrun() -> bool:
    return STARTED_BY_TORCHRUN in os.environ


def join(devices: list) -> World:
    """Join the processes that torchrun started: NCCL for GPUs, Gloo for the CPU. Alone where it did not start this one.

    Each process takes the one of `devices` that its local rank counts. Raises UserError where there are too few.
    """
    if not started_by_torchrun():
        return World()
    import torch

    world = World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    on_gpus = devices[0].type == "cuda"
    if on_gpus:
        if world.local_rank >= len(devices):
            raise UserError(f"{int(os.environ['LOCAL_WORLD_SIZE'])} processes on this machine, but {len(devices)} GPUs "
                            "(--gpus). Start one process a GPU: torchrun --nproc_per_node, or --processes.")
        torch.cuda.set_device(devices[world.local_rank])
    torch.distributed.init_process_group("nccl" if on_gpus else "gloo")
    return world


def leave() -> None:
    """Leave the processes, where they were joined."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def run_torchrun(processes: int, argv: list[str]) -> int:
    """Start torchrun on this machine with this very command; returns its exit code. Raises UserError.

    A signal that ends the training is passed on, and gives the exit code that the training alone would have: 130 for
    SIGINT, 143 for SIGTERM.
    """
    if processes < 1:
        raise UserError(f"--processes {processes}: at least one is needed.")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", *argv]
    # In a session of its own, so that Ctrl-C reaches torchrun once, from here.
    child = subprocess.Popen(command, start_new_session=True)
    received: list[int] = []

    def pass_on(number, _frame):
        received.append(number)
        child.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 + received[0] if received else code
