"""Picture of every clip -> <folder>/<name>_frames.npy, uint8 (200, 66, 88, 3), and <folder>/<name>.mp4 at 1 fps.

    python utils/extract_video.py --data_root data/raw --save_root data/processed

The 1 fps video has the clip's size (made even where it is odd) and 200 frames, black after the clip's end; text_extract
reads it. Each clip is decoded once for both. A second run does only what is missing or older than its clip. Exit code 1
where a clip failed.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.stages import pool_of, stage_parser


def main(argv: list[str] | None = None) -> int:
    arguments = vars(stage_parser(__doc__).parse_args(argv))

    from datatools.driver import extract_video

    return extract_video(pool=pool_of(arguments), **arguments).exit_code


if __name__ == "__main__":
    run_command(main)
