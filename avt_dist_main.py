"""Train AVTDist, or infer with --weights.

    python avt_dist_main.py --data_root data/processed --save_prefix work_dir/avt_dist
    python avt_dist_main.py --data_root data/processed --save_prefix work_dir/avt_dist \\
        --weights work_dir/avt_dist/avnet_bestmodel.pth
"""

from datatools.errors import run_command
from utils.cli import boundary_command


def main(argv: list[str] | None = None) -> int:
    # First, so that --help and mistakes answer before torch is imported.
    command = boundary_command(__doc__, argv, batch_size=16)
    from models.avt_dist import AVTDist, distribution_loss
    from utils.boundary_command import run

    return run(AVTDist, distribution_loss, command)


if __name__ == "__main__":
    run_command(main)
