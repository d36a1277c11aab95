"""Train AVTNetYOLT, or infer with --weights.

    python avt_yolt_main.py --data_root data/processed --save_prefix work_dir/AVTNet_YOLT
    python avt_yolt_main.py --data_root data/processed --save_prefix work_dir/AVTNet_YOLT \\
        --weights work_dir/AVTNet_YOLT/avnet_bestmodel.pth
"""

from datatools.errors import run_command
from utils.cli import boundary_command


def main(argv: list[str] | None = None) -> int:
    # First, so that --help and mistakes answer before torch is imported.
    command = boundary_command(__doc__, argv, batch_size=21, if_normal=False)
    from models.avtnet_yolt import AVTNetYOLT
    from models.losses import yolt_loss
    from utils.boundary_command import run

    return run(AVTNetYOLT, yolt_loss, command)


if __name__ == "__main__":
    run_command(main)
