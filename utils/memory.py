"""Out of memory: recognise the errors, and report them with a remedy."""

import contextlib
import resource
from collections.abc import Iterator

import torch

from datatools.errors import UserError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch's error means that a GPU, or the machine, is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


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
