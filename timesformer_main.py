"""Train TimeSformer, or test and infer with --weights.

    python timesformer_main.py --data_root data/k400 --save_prefix work_dir/timesformer
    python timesformer_main.py --data_root data/k400 --save_prefix work_dir/timesformer \\
        --weights work_dir/timesformer/avnet_bestmodel.pth --views 1 --crops 3
    python timesformer_main.py --weights TimeSformer_divST_8x32_224_K400.pyth --video holiday.mp4

data_root holds train.csv, val.csv and test.csv, lines of `path label`; tools/make_lists.py makes them. --pretrained
FILE fine-tunes a checkpoint. With --video: the five best classes, --attention, or --per_second for long videos.
"""

from datatools.errors import run_command
from utils.cli import recognition_command


def main(argv: list[str] | None = None) -> int:
    # First, so that --help and mistakes answer before torch is imported. Defaults: the published divST 8x32 training.
    command = recognition_command(__doc__, argv, batch_size=8, accumulation_step=8, lr=0.005, max_epoch=15,
                                  schedule="steps")
    from models.timesformer import TimeSformer
    from utils.recognition_command import run

    return run(TimeSformer, command)


if __name__ == "__main__":
    run_command(main)
