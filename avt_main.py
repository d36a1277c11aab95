"""Train AVTNet, or infer with --weights.

    python avt_main.py --data_root data/processed --save_prefix work_dir/AVTNet_smooth
    python avt_main.py --data_root data/processed --save_prefix work_dir/AVTNet_smooth \\
        --weights work_dir/AVTNet_smooth/avnet_bestmodel.pth
"""

from datatools.errors import run_command
from utils.cli import boundary_command


def main(argv: list[str] | None = None) -> int:
    # First, so that --help and mistakes answer before torch is imported.
    command = boundary_command(__doc__, argv, batch_size=16, if_normal=False)
    from models.avtnet import AVTNet
    from models.losses import regression_loss
    from utils.boundary_command import run

    return run(AVTNet, regression_loss, command)


if __name__ == "__main__":
    run_command(main)
