"""Train ActionCLIP, or test, also zero-shot, and infer with --weights.

    python actionclip_main.py --data_root data/ucf101 --save_prefix work_dir/actionclip --pretrained ViT-B-32.pt
    python actionclip_main.py --data_root data/ucf101 --save_prefix work_dir/actionclip \\
        --weights work_dir/actionclip/avnet_bestmodel.pth --crops 1
    python actionclip_main.py --weights work_dir/actionclip/avnet_bestmodel.pth --video holiday.mp4 --labels names.txt

data_root holds train.csv, val.csv and test.csv, lines of `path label`, and classes.txt, the names of the classes;
tools/make_lists.py makes them. --labels with other names than those of the training is zero-shot.
"""

from datatools.errors import run_command
from utils.cli import MATCHING_PARTS, recognition_command


def main(argv: list[str] | None = None) -> int:
    # First, so that --help and mistakes answer before torch is imported. Defaults: the published training.
    command = recognition_command(
        __doc__, argv, MATCHING_PARTS, lr=5e-6, batch_size=64, max_epoch=50, schedule="cosine", warmup_epochs=5,
        optimizer="adamw", betas=(0.9, 0.98), weight_decay=0.2, multi_scale=True, jitter=0.8, grey=0.2, crops=1)
    from models.actionclip import ActionCLIP
    from models.losses import actionclip_loss
    from utils.recognition_command import run

    return run(ActionCLIP, command, actionclip_loss)


if __name__ == "__main__":
    run_command(main)
