"""Sound of every clip -> <folder>/<name>_mfcc.npy, float32 (20, T).

    python utils/extract_audio.py --data_root data/raw --save_root data/processed

A second run does only what is missing or older than its clip. Exit code 1 where a clip failed.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.stages import pool_of, stage_parser


def main(argv: list[str] | None = None) -> int:
    arguments = vars(stage_parser(__doc__).parse_args(argv))

    from datatools.driver import extract_audio

    return extract_audio(pool=pool_of(arguments), **arguments).exit_code


if __name__ == "__main__":
    run_command(main)
