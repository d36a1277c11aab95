"""Text boxes of every clip -> ROIs/<name>.npy, uint8 (200, 27, 36), 1 inside a text box.

    python utils/extract_textROI.py --data_root data/processed

Reads every ocr_text_<split>.json there. A second run does only what is missing or older than its JSON. Exit code 1
where a clip failed.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.stages import stage_parser


def main(argv: list[str] | None = None) -> int:
    arguments = stage_parser(__doc__, save_root=False, clips=False).parse_args(argv)

    from datatools.driver import extract_text_roi

    return extract_text_roi(**vars(arguments)).exit_code


if __name__ == "__main__":
    run_command(main)
