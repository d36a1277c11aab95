"""Sound, picture and text of every clip in one pass: what the four single commands write, each clip decoded once.

    python datatools/preprocess.py --data_root data/raw --save_root data/processed --ocr rapidocr
    python datatools/preprocess.py --data_root data/raw --save_root data/processed --encoder efficientnet_lite0 silero
    python datatools/preprocess.py --data_root data/raw --save_root data/processed --status     # what is done, what not

Text is looked for in the clip's own pictures; a 1 fps video is written only with --write_video. A clip that is damaged
or shorter in one stream gives what it holds, and counts as partial. manifest.jsonl tells of each clip and stage how it
went. A second run does what is missing, or whose clip or settings have changed; what failed only with --retry_failed.
Killed at any moment, a run loses the clips in hand. Exit code 1 where a stage failed, or with --verify is damaged.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.paths import path, path_text
from datatools.stages import stage_parser
from datatools.text_detector import DETECTORS


def build_parser(description: str = __doc__) -> ArgumentParser:
    parser = stage_parser(description)
    parser.add_argument("--ocr", choices=DETECTORS, default="easyocr", help="text detector (default: %(default)s)")
    help_text = "folder with EasyOCR's weights (default: it downloads them)"
    parser.add_argument("--ocr_weights", type=path, metavar="FOLDER", help=help_text)
    parser.add_argument("--recognize", action="store_true", help="read the texts too; nothing here needs them")
    parser.add_argument("--write_video", action="store_true", help="write the 1 fps videos too")
    parser.add_argument("--encoder", nargs="+", type=path_text, default=(), metavar="NAME",
                        help="write a vector a second of these pretrained networks too: efficientnet_lite0, silero, "
                             "transnetv2, timm:MODEL:FILE or open_clip:MODEL:FILE")
    parser.add_argument("--retry_failed", action="store_true", help="try again what failed before")
    parser.add_argument("--backend", choices=("processes", "ray"), default="processes",
                        help="where clips are worked on (default: %(default)s)")
    parser.add_argument("--address", type=path_text, default="auto",
                        help="of the Ray cluster; local starts one (default: %(default)s)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--status", action="store_true", help="tell what is done and what not, and do nothing")
    what.add_argument("--verify", action="store_true", help="the same, and compare every output with its SHA-256")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = vars(build_parser().parse_args(argv))
    status, verify = arguments.pop("status"), arguments.pop("verify")

    from datatools.driver import Options, inspect, preprocess

    options = Options(**arguments | {"encoder": tuple(arguments["encoder"])})
    return inspect(options, verify) if status or verify else preprocess(options)


if __name__ == "__main__":
    run_command(main)
