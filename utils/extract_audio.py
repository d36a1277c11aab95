"""Sound of every clip -> <folder>/<name>_mfcc.npy, float32 (20, T).

    python utils/extract_audio.py --data_root data/raw --save_root data/processed

A second run does only what is missing or older than its clip. Exit code 1 where a clip failed.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.files import array_is_whole, is_current, save_array
from datatools.layout import find_raw_clips, prepare_save_root
from datatools.stages import StageReport, run_stage, stage_parser


def extract_clip(source: Path, target: Path) -> None:
    """Write the MFCC of one clip. Raises MediaError or OSError."""
    from datatools.features import extract_mfcc

    save_array(target, extract_mfcc(source))


def extract_audio(
    data_root: Path, save_root: Path, folders: list[str] | None = None, workers: int = 0, force: bool = False
) -> StageReport:
    """MFCC of all clips of a dataset; label files are copied beside them. Raises UserError."""
    from datatools.features import NUM_MFCC

    clips = find_raw_clips(data_root, folders)
    prepare_save_root(data_root, save_root, folders)
    jobs, kept = [], []
    for clip, source in clips.items():
        target = clip.mfcc(save_root)
        if not force and is_current(target, source) and array_is_whole(target, "float32", (NUM_MFCC, None)):
            kept.append(clip.name)
        else:
            jobs.append((clip.name, (source, target)))
    return run_stage("audio", extract_clip, jobs, kept=kept, workers=workers)


def main(argv: list[str] | None = None) -> int:
    arguments = stage_parser(__doc__).parse_args(argv)
    return extract_audio(**vars(arguments)).exit_code


if __name__ == "__main__":
    run_command(main)
