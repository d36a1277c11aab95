"""Draw on videos what a model sees in them, for every model of the project.

    python visualize.py --weights work_dir/AVTDist/avnet_bestmodel.pth --video clips --output drawn --truth truth.csv
    python visualize.py --weights work_dir/AVTDist/avnet_bestmodel.pth --video episode.mkv --kind end --output drawn
    python visualize.py --weights work_dir/actionclip/avnet_bestmodel.pth --video run.mp4 --labels names.txt \\
        --true_label running --output drawn

Writes <name>_visualized.mp4 for each video, with its sound; for several videos or a folder also contact.png, a contact
sheet, and index.html, a page that plays them. The checkpoint tells the model. A boundary network gets a timeline, a
recogniser its five best classes at each second. Exit code 1 where a video failed or is damaged; the others are done.
"""

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.layout import KINDS
from datatools.paths import path, path_text
from datatools.text_detector import DETECTORS
from utils.settings import devices, positive


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--weights", type=path, required=True, metavar="CHECKPOINT", help="of any model")
    parser.add_argument("--video", type=path, nargs="+", required=True, metavar="PATH", help="files, folders of videos")
    parser.add_argument("--output", type=path, required=True, metavar="FOLDER", help="where the drawn videos go")
    parser.add_argument("--gpus", type=devices, default="auto", metavar="IDS|auto|cpu", help="e.g. 0 (%(default)s)")
    parser.add_argument("--batch_size", type=positive, default=16, help="of a recogniser's clips (%(default)s)")
    boundary = parser.add_argument_group("boundary networks")
    boundary.add_argument("--truth", type=path, metavar="FILE", help="true times, CSV (`name,seconds`) or label text")
    boundary.add_argument("--kind", choices=[kind.title for kind in KINDS],
                          help="look for the opening's end or the ending's start, whatever a file's name says")
    boundary.add_argument("--ocr", choices=DETECTORS, help="text detector (default: the training's, else easyocr)")
    boundary.add_argument("--ocr_weights", type=path, metavar="FOLDER", help="EasyOCR's (default: it downloads them)")
    boundary.add_argument("--encoder", nargs="+", type=path_text, metavar="NAME",
                          help="the encoders of the training whose weights are in a file, as tools/encode.py takes "
                               "them, e.g. timm:MODEL:FILE; the others are found by themselves")
    classes = parser.add_argument_group("recognisers")
    classes.add_argument("--labels", type=path, metavar="FILE",
                         help="names of the classes, one a line or a CSV `id,name` (default: the checkpoint's)")
    classes.add_argument("--templates", type=path, metavar="FILE", help="ActionCLIP's texts with one {} for the name")
    classes.add_argument("--true_label", "--true-label", metavar="NAME", help="the true class of the videos")
    told = vars(parser.parse_args(argv))

    from datatools.video_lists import videos_at
    from utils.predict import Predictor
    from utils.visualize import Asked, draw_videos, look_of

    weights, given, output = (told.pop(name) for name in ("weights", "video", "output"))
    gpus, batch_size, label = told.pop("gpus"), told.pop("batch_size"), told.pop("true_label")
    told["true_label"] = label and (lambda video: label)
    told["encoder"] = tuple(told["encoder"]) if told["encoder"] else None
    told["kind"] = next((kind for kind in KINDS if kind.title == told["kind"]), None)
    videos = videos_at(given)
    look = look_of(Predictor(weights, gpus=gpus), Asked(**told), batch_size)
    return draw_videos(videos, look, output, pages=len(videos) > 1 or given[0].is_dir())


if __name__ == "__main__":
    run_command(main)
