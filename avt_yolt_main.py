"""Train AVTNetYOLT, or infer with --weights.

    python avt_yolt_main.py --data_root data/processed --save_prefix work_dir/AVTNet_YOLT
    python avt_yolt_main.py --data_root data/processed --save_prefix work_dir/AVTNet_YOLT \
        --weights work_dir/AVTNet_YOLT/avnet_bestmodel.pth
"""

from datatools.errors import run_command
from utils.cli import training_parser
from utils.runner import run


def main(argv: list[str] | None = None) -> int:
    parser = training_parser(__doc__, batch_size=21, standardise=False)
    parser.parse_known_args(argv)   # --help and mistakes answer before torch is imported
    from models.avtnet_yolt import AVTNetYOLT
    from models.losses import step_loss, yolt_loss

    return run(AVTNetYOLT, yolt_loss, step_loss, parser, argv)


if __name__ == "__main__":
    run_command(main)
