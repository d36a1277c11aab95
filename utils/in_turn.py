"""Run several commands of this project one after the other in one process, so that torch is loaded once.

    python -m utils.in_turn avt_main.py --max_epoch 2 ... --then avt_main.py --weights ...

Each runs as if typed in a shell. The first that fails ends the run with its exit code.
"""

import runpy
import sys
from itertools import groupby

THEN = "--then"


def run_in_turn(words: list[str]) -> int:
    """The exit code of the first command that fails, or 0; `words` are commands with `--then` between them."""
    before = sys.argv
    try:
        for is_between, command in groupby(words, THEN.__eq__):
            if is_between:
                continue
            sys.argv = list(command)
            print(f"$ python {' '.join(sys.argv)}", flush=True)
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as leaving:
                if leaving.code:
                    return leaving.code if isinstance(leaving.code, int) else 1
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    sys.exit(run_in_turn(sys.argv[1:]))
