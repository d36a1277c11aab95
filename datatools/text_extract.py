"""Text boxes of every clip -> ocr_text_<split>.json: {name: {"0": [[quad, [height, width], text, confidence], ...]}}.

    python datatools/text_extract.py --data_root data/processed                   # EasyOCR, downloads its weights
    python datatools/text_extract.py --data_root data/processed --ocr rapidocr    # needs no download

Reads the 1 fps videos that extract_video wrote. What is finished of a killed run is kept: each clip's boxes go to
ocr_text_<split>.parts/<name>.json, and into the JSON at the end. ocr_text_detector.json tells which detector made them;
boxes of two detectors are never mixed. ocr_sources_<split>.json tells of which video they are, so that a changed one is
done again. Exit code 1 where a clip failed.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.paths import path
from datatools.stages import pool_of, stage_parser
from datatools.text_detector import DETECTORS


def main(argv: list[str] | None = None) -> int:
    parser = stage_parser(__doc__, save_root=False)
    parser.add_argument("--ocr", choices=DETECTORS, default="easyocr", help="text detector (default: %(default)s)")
    help_text = "folder with EasyOCR's weights (default: it downloads them)"
    parser.add_argument("--ocr_weights", type=path, metavar="FOLDER", help=help_text)
    parser.add_argument("--recognize", action="store_true", help="read the texts too; nothing here needs them")
    arguments = vars(parser.parse_args(argv))

    from datatools.driver import extract_text

    return extract_text(pool=pool_of(arguments), **arguments).exit_code


if __name__ == "__main__":
    run_command(main)
