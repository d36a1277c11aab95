"""Run a program and write [exit code, CPU seconds, peak memory in bytes] of it into a file; methods.py uses this.

    python -I -S benchmarks/locate/cost.py COST.json PROGRAM WORD ...

A process of its own, which is small: on Linux, a program's peak memory is at least that of the process that started it.
"""

import json
import resource
import subprocess
import sys

if __name__ == "__main__":
    code = subprocess.call(sys.argv[2:])
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(sys.argv[1], "w") as file:
        json.dump([code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024], file)
