"""datatools/preprocess.py with trained video recognisers among its encoders: features of each second.

    python tools/encode.py --data_root data/raw --save_root data/processed --ocr rapidocr \\
        --encoder checkpoint:work_dir/timesformer/avnet_bestmodel.pth

Takes the flags of datatools/preprocess.py. `checkpoint:FILE` is TimeSformer or ActionCLIP, ours or another system's;
the vectors are in <name>_timesformer.npy and <name>_actionclip.npy.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.preprocess import build_parser


def main(argv: list[str] | None = None) -> int:
    arguments = vars(build_parser(__doc__).parse_args(argv))
    status, verify = arguments.pop("status"), arguments.pop("verify")

    from datatools.driver import Options, inspect, preprocess
    from utils.asked_encoders import named_encoder

    arguments["encoder"] = tuple(named_encoder(text) for text in arguments["encoder"])
    options = Options(**arguments)
    return inspect(options, verify) if status or verify else preprocess(options)


if __name__ == "__main__":
    run_command(main)
