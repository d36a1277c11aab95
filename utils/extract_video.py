"""Picture of every clip -> <folder>/<name>_frames.npy, uint8 (200, 66, 88, 3), and <folder>/<name>.mp4 at 1 fps.

    python utils/extract_video.py --data_root data/raw --save_root data/processed

The 1 fps video has the clip's size (made even where it is odd) and 200 frames, black after the clip's end; text_extract
reads it. Each clip is decoded once for both. A second run does only what is missing or older than its clip. Exit code 1
where a clip failed.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.files import array_is_whole, is_current, save_array
from datatools.layout import CLIP_SECONDS, find_raw_clips, prepare_save_root
from datatools.stages import StageReport, run_stage, stage_parser


def extract_clip(source: Path, frames_path: Path, video_path: Path) -> None:
    """Write the small frames and the 1 fps video of one clip. Raises MediaError or OSError."""
    import numpy as np

    from datatools.features import FRAME_HEIGHT, FRAME_WIDTH, frame_thumbnail
    from datatools.media import read_frames, save_video

    frames = np.zeros((CLIP_SECONDS, FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)

    def pictures():
        for second, image in enumerate(read_frames(source, range(CLIP_SECONDS))):
            if image is not None:
                frames[second] = frame_thumbnail(image)
            yield image

    save_video(video_path, pictures())
    save_array(frames_path, frames)


def _video_is_whole(path: Path) -> bool:
    from datatools.media import MediaError, probe

    try:
        video = probe(path).video
    except MediaError:
        return False       # cut or overwritten: made again
    return video is not None and video.rate == 1 and video.duration == CLIP_SECONDS


def extract_video(
    data_root: Path, save_root: Path, folders: list[str] | None = None, workers: int = 0, force: bool = False
) -> StageReport:
    """Frames and 1 fps videos of all clips of a dataset; label files are copied beside them. Raises UserError."""
    from datatools.features import FRAME_HEIGHT, FRAME_WIDTH

    clips = find_raw_clips(data_root, folders)
    prepare_save_root(data_root, save_root, folders)
    shape = (CLIP_SECONDS, FRAME_HEIGHT, FRAME_WIDTH, 3)
    jobs, kept = [], []
    for clip, source in clips.items():
        frames, video = clip.frames(save_root), clip.video(save_root)
        current = is_current(frames, source) and is_current(video, source)
        if not force and current and array_is_whole(frames, "uint8", shape) and _video_is_whole(video):
            kept.append(clip.name)
        else:
            jobs.append((clip.name, (source, frames, video)))
    return run_stage("video", extract_clip, jobs, kept=kept, workers=workers)


def main(argv: list[str] | None = None) -> int:
    arguments = stage_parser(__doc__).parse_args(argv)
    return extract_video(**vars(arguments)).exit_code


if __name__ == "__main__":
    run_command(main)
