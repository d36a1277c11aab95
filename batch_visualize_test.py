"""Draw on some videos of each class what a recogniser answers, by the flags that ActionCLIP's users know.

    python batch_visualize_test.py --videos-dir ./ucf101/videos --config ./configs/ucf101/ucf_test.yaml \\
        --checkpoint model_best.pt --output-dir ./visualizations/batch/ucf101 --num-samples 2

The folder holds a folder of each class, named after it. Of the configuration, data.label_list and data.num_segments
are read. Exit code 1 where a video failed; the others are done.
"""

from pathlib import Path

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.paths import path
from utils.settings import any_seed, positive


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--videos-dir", type=path, required=True, metavar="FOLDER", help="a folder of each class")
    parser.add_argument("--config", type=path, metavar="YAML", help="names the labels (default: the checkpoint's)")
    parser.add_argument("--checkpoint", type=path, required=True, metavar="FILE", help="the trained weights")
    parser.add_argument("--output-dir", type=path, default=Path("visualizations/batch"), metavar="FOLDER",
                        help="where the drawn videos go (%(default)s)")
    parser.add_argument("--num-samples", type=positive, default=2, help="most videos of a class (%(default)s)")
    parser.add_argument("--seed", type=any_seed, default=0, help="draws them (%(default)s)")
    args = parser.parse_args(argv)

    from utils.predict import Predictor
    from utils.visualize import asked_by, draw_videos, look_of, some_of_each

    classes = some_of_each(args.videos_dir, args.num_samples, args.seed)
    look = look_of(Predictor(args.checkpoint), asked_by(args.config, classes.get))
    return draw_videos(list(classes), look, args.output_dir, pages=True)


if __name__ == "__main__":
    run_command(main)
