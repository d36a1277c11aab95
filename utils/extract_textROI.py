"""Text boxes of every clip -> ROIs/<name>.npy, uint8 (200, 27, 36), 1 inside a text box.

    python utils/extract_textROI.py --data_root data/processed

Reads every ocr_text_<split>.json there. A second run does only what is missing or older than its JSON. Exit code 1
where a clip failed.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import UserError, run_command
from datatools.files import array_is_whole, check_writable, is_current, save_array, sweep_temporaries
from datatools.layout import CLIP_SECONDS, Clip, text_detector_path
from datatools.stages import StageReport, run_stage, stage_parser


def extract_clip(boxes_per_second: dict, target: Path) -> None:
    """Write the mask of one clip. Raises UserError or OSError."""
    from datatools.text_roi import paint_boxes

    save_array(target, paint_boxes(boxes_per_second))


def extract_text_roi(data_root: Path, force: bool = False) -> StageReport:
    """Masks of all clips whose text boxes lie below `data_root`. Raises UserError."""
    from datatools.features import ROI_HEIGHT, ROI_WIDTH
    from datatools.text_extract import read_boxes

    if not data_root.is_dir():
        raise UserError(f"{data_root}: no such folder (--data_root).")
    sources = sorted(path for path in data_root.glob("ocr_text_*.json") if path != text_detector_path(data_root))
    if not sources:
        command = f"datatools/text_extract.py --data_root {data_root}"
        raise UserError(f"{data_root}: no ocr_text_*.json in it. Run {command} first.")
    check_writable(data_root / "ROIs")
    sweep_temporaries(data_root / "ROIs")
    shape = (CLIP_SECONDS, ROI_HEIGHT, ROI_WIDTH)
    jobs, kept, found_in = [], [], {}
    for source in sources:
        for name, boxes_per_second in read_boxes(source).items():
            if Path(name).name != name:
                raise UserError(f"{source}: {name!r} is no name of a clip. Remove this entry.")
            other = found_in.setdefault(name, source)
            if other != source:
                raise UserError(f"clip {name!r} stands in {other} and in {source}. Remove it from one of them.")
            target = Clip("", name).text_roi(data_root)
            if not force and is_current(target, source) and array_is_whole(target, "uint8", shape):
                kept.append(name)
            else:
                jobs.append((name, (boxes_per_second, target)))
    # One process: painting a clip takes milliseconds, starting another process a second.
    return run_stage("text ROI", extract_clip, jobs, kept=kept, workers=1)


def main(argv: list[str] | None = None) -> int:
    arguments = stage_parser(__doc__, save_root=False, clips=False).parse_args(argv)
    return extract_text_roi(**vars(arguments)).exit_code


if __name__ == "__main__":
    run_command(main)
