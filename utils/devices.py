"""What a training computes on, and in which precision.

    autocast_dtype(torch.device("cpu"))     # torch.bfloat16 where the processor computes it, else None: float32
    instruction_set()                       # "AVX2, no bfloat16 instructions", for logs and benchmarks
"""

import os

import torch

# Values of ONEDNN_MAX_CPU_ISA under which oneDNN has no bfloat16 instruction. It then emulates bfloat16, at half the
# speed of float32 (AVX-512) or a thirtieth (AVX2): https://uxlfoundation.github.io/oneDNN, "CPU Dispatcher Control".
WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")


def _isa_limit() -> str:
    """The newest instruction set that oneDNN may use, as its environment variable names it; "" without a limit."""
    return (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "").upper()


def cpu_computes_bfloat16() -> bool:
    """Whether oneDNN, with the instruction set that is in effect, multiplies bfloat16 matrices by an instruction."""
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if torch.backends.cpu.get_cpu_capability().startswith("SVE") or not torch.cpu._is_avx2_supported():
        return True      # ARM: the question above is about the instruction there
    # On x86 it is true for all of AVX-512, with or without the instruction.
    in_hardware = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return in_hardware and _isa_limit() not in WITHOUT_BFLOAT16


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The type of mixed precision on a device; None where it would be slower than float32.

    A GPU without bfloat16 takes float16; a CPU without bfloat16 instructions takes none.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        return torch.bfloat16 if cpu_computes_bfloat16() else None
    return torch.bfloat16


def precision(device: torch.device, mixed: bool) -> torch.dtype:
    """What a network computes in: the type of mixed precision where that is asked for and pays, else float32."""
    return (autocast_dtype(device) if mixed else None) or torch.float32


def autocast(device: torch.device, mixed: bool) -> torch.autocast:
    """A context of mixed precision, where that is asked for and pays; else of the network's own precision."""
    dtype = autocast_dtype(device) if mixed else None
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def instruction_set() -> str:
    """What a CPU training computes with, in words."""
    kind = torch.backends.cpu.get_cpu_capability()
    limit = f", oneDNN limited to {_isa_limit()}" if _isa_limit() else ""
    return f"{kind}{limit}, {'bfloat16' if cpu_computes_bfloat16() else 'no bfloat16'} instructions"
