"""Train AVTNet, or infer with --weights.

    python avt_main.py --data_root data/processed --save_prefix work_dir/AVTNet_smooth
    python avt_main.py --data_root data/processed --save_prefix work_dir/AVTNet_smooth \
        --weights work_dir/AVTNet_smooth/avnet_bestmodel.pth
"""

from datatools.errors import run_command
from utils.cli import training_parser
from utils.runner import run


def main(argv: list[str] | None = None) -> int:
    parser = training_parser(__doc__, batch_size=16, standardise=False)
    parser.parse_known_args(argv)   # --help and mistakes answer before torch is imported
    from models.avtnet import AVTNet
    from models.losses import regression_loss, step_loss

    return run(AVTNet, regression_loss, step_loss, parser, argv)


if __name__ == "__main__":
    run_command(main)
