"""Memory: how much is free, and errors of running out of it, reported with a remedy."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import torch

from datatools.errors import NO_MEMORY, UserError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch's error means that a GPU, or the machine, is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or bool(NO_MEMORY.search(str(error)))


@contextlib.contextmanager
def too_large(what: str, remedy: str) -> Iterator[None]:
    """Turn out-of-memory errors in the block into a UserError that says what was too large."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"out of memory in {what} ({str(error).splitlines()[0]}). {remedy}") from None


def memory_in_use(device: torch.device) -> str:
    """Peak memory so far: the GPU's if it computes, else this process's."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


def free_memory() -> int | None:
    """Bytes that this process may still take: the machine's, and its container's where that is less; None if unknown.

    Linux's /proc/meminfo, and the limits of control groups, version 2 or 1.
    """
    free = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    for most, used in (("memory.max", "memory.current"),
                       ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        words = [*_lines(f"/sys/fs/cgroup/{most}")[:1], *_lines(f"/sys/fs/cgroup/{used}")[:1]]
        if len(words) == 2 and words[0] != "max":
            free.append(max(0, int(words[0]) - int(words[1])))
    return min(free, default=None)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
