"""The devices a network computes on, and their precision.

    devices = choose_devices("auto")        # every GPU that is there, else the CPU
    autocast_dtype(devices[0])              # torch.bfloat16 where the device has instructions for it
    instruction_set()                       # "AVX2, no bfloat16 instructions", for logs and benchmarks
"""

import torch
from torch import nn

from datatools.bfloat16 import cpu_computes_bfloat16, isa_limit
from datatools.errors import UserError
from utils.distributed import World


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The dtype of mixed precision on a device; None where it would be slower than float32.

    A GPU without bfloat16 falls back to float16, a CPU without bfloat16 instructions to None.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        return torch.bfloat16 if cpu_computes_bfloat16() else None
    return torch.bfloat16


def precision(device: torch.device, mixed: bool) -> torch.dtype:
    """The dtype that a network computes in: that of mixed precision if asked for and faster, else float32."""
    return (autocast_dtype(device) if mixed else None) or torch.float32


def autocast(device: torch.device, mixed: bool) -> torch.autocast:
    """An autocast context, enabled where mixed precision is asked for and faster than float32."""
    dtype = autocast_dtype(device) if mixed else None
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def prefer_speed(net: nn.Module, mixed: bool) -> None:
    """Under mixed precision, let layers with a faster implementation on a CPU (`fast_on_cpu`) use it.

    It rounds differently from torch's, which mixed precision allows, even where the CPU falls back to float32.
    """
    for module in net.modules():
        if hasattr(module, "fast_on_cpu"):
            module.fast_on_cpu = mixed


def instruction_set() -> str:
    """The CPU's instruction set and whether it has bfloat16 instructions, in words."""
    kind = torch.backends.cpu.get_cpu_capability()
    limit = f", oneDNN limited to {isa_limit()}" if isa_limit() else ""
    return f"{kind}{limit}, {'bfloat16' if cpu_computes_bfloat16() else 'no bfloat16'} instructions"


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a dtype: `float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")


def choose_devices(gpus: str) -> list[torch.device]:
    """Devices for --gpus: ids, `auto` (every GPU there is, else the CPU) or `cpu`. Raises UserError."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus == "cpu" or (gpus == "auto" and count == 0):
        return [torch.device("cpu")]
    if gpus == "auto":
        return [torch.device("cuda", i) for i in range(count)]
    try:
        ids = [int(part) for part in gpus.split(",")]
    except ValueError:
        raise UserError(f"--gpus {gpus}: expected ids like 0 or 0,1, or auto, or cpu.") from None
    missing = [i for i in ids if not 0 <= i < count]
    if missing:
        there = f"only {', '.join(map(str, range(count)))}" if count else "none"
        raise UserError(f"--gpus {gpus}: GPU {', '.join(map(str, missing))} is not there ({there} found). "
                        "Use --gpus auto or --gpus cpu.")
    if len(set(ids)) != len(ids):
        raise UserError(f"--gpus {gpus}: an id stands there twice.")
    return [torch.device("cuda", i) for i in ids]


def on_devices(net: nn.Module, devices: list[torch.device], world: World | None = None) -> nn.Module:
    """The network on its device; in DistributedDataParallel for several processes, DataParallel for several GPUs."""
    net = net.to(devices[0])
    if world is not None and world.size > 1:
        index = devices[0].index
        return nn.parallel.DistributedDataParallel(net, device_ids=None if index is None else [index])
    if len(devices) > 1:
        return nn.DataParallel(net, device_ids=[d.index for d in devices])
    return net
