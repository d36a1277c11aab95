"""Train AVTDist, or infer with --weights.

    python avt_dist_main.py --data_root data/processed --save_prefix work_dir/avt_dist
    python avt_dist_main.py --data_root data/processed --save_prefix work_dir/avt_dist \
        --weights work_dir/avt_dist/avnet_bestmodel.pth
"""

from datatools.errors import run_command
from utils.cli import training_parser
from utils.runner import run


def main(argv: list[str] | None = None) -> int:
    parser = training_parser(__doc__, batch_size=16, standardise=True)
    parser.parse_known_args(argv)   # --help and mistakes answer before torch is imported
    from models.avt_dist import AVTDist, distribution_loss
    from models.losses import step_loss

    return run(AVTDist, distribution_loss, step_loss, parser, argv)


if __name__ == "__main__":
    run_command(main)
