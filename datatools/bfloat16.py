"""Whether this CPU computes in bfloat16; torch is imported only where it is asked."""

import os

# Values of ONEDNN_MAX_CPU_ISA under which oneDNN has no bfloat16 instruction. It then emulates bfloat16, at half the
# speed of float32 (AVX-512) or a thirtieth (AVX2): https://uxlfoundation.github.io/oneDNN, "CPU Dispatcher Control".
WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")


def isa_limit() -> str:
    """The newest instruction set that oneDNN may use, from its environment variable; "" without a limit."""
    return (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "").upper()


def cpu_computes_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 matrices in hardware, with the instruction set that it may use."""
    import torch

    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if torch.backends.cpu.get_cpu_capability().startswith("SVE") or not torch.cpu._is_avx2_supported():
        return True      # on ARM, oneDNN's answer above means a hardware instruction
    # On x86, oneDNN says yes for every AVX-512 processor, even where it emulates bfloat16.
    in_hardware = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return in_hardware and isa_limit() not in WITHOUT_BFLOAT16
