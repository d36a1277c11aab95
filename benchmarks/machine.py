"""The machine on which figures are measured."""

import os
import platform
from pathlib import Path

from datatools.stages import number_of_cores
from utils.devices import instruction_set


def machine() -> str:
    """Cores, processor, memory and instruction set of this machine in one line."""
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{number_of_cores()} cores, {processor}, {memory:.0f} GiB, {instruction_set()}"
