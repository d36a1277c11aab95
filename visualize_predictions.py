"""Draw on one video what a recogniser answers, by the flags that ActionCLIP's users know.

    python visualize_predictions.py --video run.mp4 --config ./configs/ucf101/ucf_test.yaml \\
        --checkpoint model_best.pt --output-dir ./visualizations --true-label running

Of the configuration, data.label_list and data.num_segments are read. visualize.py does the same for every model.
"""

from pathlib import Path

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.paths import path


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--video", type=path, required=True, metavar="FILE", help="the video")
    parser.add_argument("--config", type=path, metavar="YAML", help="names the labels (default: the checkpoint's)")
    parser.add_argument("--checkpoint", type=path, required=True, metavar="FILE", help="the trained weights")
    parser.add_argument("--output-dir", type=path, default=Path("visualizations"), metavar="FOLDER",
                        help="where <name>_visualized.mp4 goes (%(default)s)")
    parser.add_argument("--true-label", "--true_label", metavar="NAME", help="the video's true class")
    args = parser.parse_args(argv)

    from datatools.video_lists import videos_at
    from utils.predict import Predictor
    from utils.visualize import asked_by, draw_videos, look_of

    asked = asked_by(args.config, args.true_label and (lambda video: args.true_label))
    videos = videos_at([args.video])
    return draw_videos(videos, look_of(Predictor(args.checkpoint), asked), args.output_dir, pages=len(videos) > 1)


if __name__ == "__main__":
    run_command(main)
