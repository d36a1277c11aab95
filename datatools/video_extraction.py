"""The frames of all videos of some lists, extracted in several processes, and the lists of their folders.

    report = extract_lists([Path("data/train.csv")], Path("data/frames"), rate=None, short_side=256, quality=95)
"""

import json
import shutil
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable, is_current, locked, save_text
from datatools.paths import read_text
from datatools.stages import EVERY_CORE, Pool, StageReport, run_stage
from datatools.video_frames import PART, TIMES_FILE, extract_frames
from datatools.video_lists import Labelled, read_video_lists, save_video_lists


def extract_lists(
    lists: list[Path], save_root: Path, names: Path | None = None, force: bool = False, pool: Pool = EVERY_CORE,
    **how,
) -> StageReport:
    """Extract the frames of all videos of `lists` into save_root/<video name>, and write the lists of these folders.

    What is done and not older than its video is kept. `how`: as for extract_frames, the same for all of a folder.
    Raises UserError.
    """
    read = read_video_lists({path.stem: path for path in lists}, names)
    targets: dict[Path, Path] = {}
    for video in dict.fromkeys(Path(path) for videos in read.values() for path in videos.paths):
        other = targets.setdefault(save_root / video.stem, video)
        if other != video:
            raise UserError(f"{video} and {other}: frames of both would be put into {save_root / video.stem}. "
                            "Rename one of them.")
    if len(read) < len(lists) or any(path.resolve().parent == save_root.resolve() for path in lists):
        raise UserError(f"{save_root}: lists of the same names are written there. Give lists with different names, and "
                        "another --save_root than their folder.")
    check_writable(save_root)
    with locked(save_root / ".frames.lock", f"{save_root}: another run extracts frames there."):
        for left in save_root.glob(f"{PART}*"):
            shutil.rmtree(left, ignore_errors=True)
        settings = save_root / "frames.json"
        now = json.dumps(how, sort_keys=True)
        if not force and settings.exists() and (then := read_text(settings, "settings", "Remove it.")) != now:
            raise UserError(f"{settings}: the frames there were extracted with {then}, now {now} is asked for. Give "
                            "another --save_root, or --force to do all again.")
        save_text(settings, now)
        kept = [folder for folder, video in targets.items() if not force and is_current(folder / TIMES_FILE, video)]
        jobs = [(str(video), (video, folder, *how.values())) for folder, video in targets.items() if folder not in kept]
        report = run_stage("frames", extract_frames, jobs, kept=[str(folder) for folder in kept], pool=pool)
        made = {split: [Labelled(str(save_root / Path(path).stem), videos.classes[label], videos.place(index))
                        for index, (path, label) in enumerate(zip(videos.paths, videos.labels, strict=True))]
                for split, videos in read.items()}
        classes = next(iter(read.values())).classes
        print("\n".join(save_video_lists(save_root, made, classes, skip_missing=True, force=True)))
    return report
