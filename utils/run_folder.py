"""The folder of a training, --save_prefix: what made it, its checkpoints, its log, and pictures of how it went.

settings.json          flags, versions, data and commit that made it
avnet_bestmodel.pth    best validation score; avnet_last.pth the last; avnet_last-1.pth the one before
log.txt, log.jsonl     a line an epoch, for people and for programs; tensorboard/ the same as curves
validation.csv         truth and answer of every validation clip, at the best epoch; error.txt those off by > 10 s
curves.png, validation.png, worst.png
"""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from datatools.errors import UserError
from datatools.files import save_text, write_atomic

BEST, LAST = "avnet_bestmodel.pth", "avnet_last.pth"   # the reference's spelling, in epoch files too
SAVING = "avnet_saving.pth"      # until it gets its names
KEEP_AFTER = 0.6       # share of max_epoch after which every epoch is kept
WRONG_SECONDS = 10.0   # s; clips that are off by more go to error.txt
WORST_CLIPS = 4        # shown as strips of frames
PACKAGES = ("torch", "torchvision", "numpy", "av", "librosa", "opencv-python-headless")
OWN_FILES = ("log.txt", "log.jsonl", "error.txt", "validation.csv", "curves.png", "validation.png", "worst.png")


def older(number: int) -> str:
    """The last checkpoint's predecessors: 1 is the one before."""
    return f"avnet_last-{number}.pth"


def clear_old_run(folder: Path) -> None:
    """Remove the files of an earlier training that the user asked to replace."""
    for path in [*folder.glob("avnet_*.pth"), *(folder / name for name in OWN_FILES),
                 *folder.glob("tensorboard/events.*")]:
        path.unlink(missing_ok=True)


def write_settings(folder: Path, network: type, sizes: dict, args, data: dict) -> None:
    """settings.json: all that this training was started with."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    content = {"network": network.__name__, "sizes": sizes, **settings, "command": sys.argv, "commit": git_commit(),
               "versions": versions, "machine": platform.platform(), "data": data}
    save_text(folder / "settings.json", json.dumps(content, indent=2, ensure_ascii=False))


def git_commit() -> str | None:
    """The commit of this code, with `+ changes` where files differ from it; None outside a repository."""
    root = Path(__file__).resolve().parents[1]

    def git(*words) -> str:
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + (" + changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def fingerprint_data(root: Path, parts: dict, inputs: tuple[str, ...]) -> dict:
    """Clips of each part, and a SHA-256 over their names, labels and the sizes of their feature files."""
    digest = hashlib.sha256()
    for part in parts.values():
        for clip, seconds in sorted(zip(part.clips, part.seconds.tolist(), strict=True)):
            sizes = [path.stat().st_size if (path := getattr(clip, name)(root)).exists() else 0 for name in inputs]
            digest.update(f"{clip.folder}/{clip.name} {seconds:.3f} {sizes}\n".encode())
    return {**{name: len(part) for name, part in parts.items()}, "sha256": digest.hexdigest()}


def checkpoint_names(epoch: int, max_epoch: int, is_best: bool) -> list[str]:
    """Under which names an epoch's checkpoint is kept: those of the reference, and LAST."""
    keeps = epoch > KEEP_AFTER * max_epoch
    return [BEST] * is_best + [f"avnet_epoch{epoch}.pth"] * keeps + [LAST]


def save_checkpoints(folder: Path, content: dict, names: list[str], keep_last: int) -> None:
    """Write one checkpoint under several names, the last of them LAST, whose predecessors move on by one.

    At any moment there is a whole checkpoint to go on from.
    """
    from utils.checkpoint import save_checkpoint

    new = folder / SAVING
    save_checkpoint(new, content)      # where the disk is full, nothing has been touched yet
    for number in range(keep_last - 1, 0, -1):
        before = folder / (older(number - 1) if number > 1 else LAST)
        if before.exists():
            _same_file(before, folder / older(number))
    for extra in folder.glob("avnet_last-*.pth"):
        number = extra.stem.removeprefix("avnet_last-")
        if number.isdigit() and int(number) >= keep_last:
            extra.unlink()
    for name in names:
        _same_file(new, folder / name)
    new.unlink()


def _same_file(source: Path, target: Path) -> None:
    """`target` becomes another name of the same file, or a copy where the file system has no such names."""
    import shutil

    with write_atomic(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())


def checkpoints_by_age(folder: Path) -> list[Path]:
    """The checkpoints that a training can go on from, the newest first; of those written at once, LAST and its like."""
    found = [path for path in (folder / LAST, *folder.glob("avnet_last-*.pth"), *folder.glob("avnet_epoch*.pth"),
                               folder / BEST) if path.exists()]
    return sorted(found, key=lambda path: (path.name != LAST, -path.stat().st_mtime_ns))


def offer_another(path: Path, error: UserError) -> UserError:
    """The error of a checkpoint that cannot be read, with the newest whole one beside it."""
    from utils.checkpoint import is_whole

    for other in checkpoints_by_age(path.parent):
        if other != path and is_whole(other):
            return UserError(f"{error} The newest whole one there: {other}.")
    return error


def wrong_clips(predicted: dict[str, float], truth: dict[str, float]) -> str:
    """Lines `name truth prediction` of the clips that are off by more than 10 s, the worst first."""
    wrong = [n for n in truth if abs(predicted[n] - truth[n]) > WRONG_SECONDS]
    wrong.sort(key=lambda n: -abs(predicted[n] - truth[n]))
    return "".join(f"{n} {truth[n]:.3f} {predicted[n]:.3f}\n" for n in wrong)


def write_validation(folder: Path, predicted: dict[str, float], truth: dict[str, float]) -> None:
    """validation.csv and error.txt of the best epoch."""
    lines = "".join(f"{name},{truth[name]:.3f},{predicted[name]:.3f}\n" for name in truth)
    save_text(folder / "validation.csv", "name,seconds,predicted\n" + lines)
    save_text(folder / "error.txt", wrong_clips(predicted, truth))


def read_validation(folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """({name: predicted}, {name: truth}) of the best epoch."""
    import csv

    with open(folder / "validation.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return ({row["name"]: float(row["predicted"]) for row in rows},
            {row["name"]: float(row["seconds"]) for row in rows})


def read_records(folder: Path) -> list[dict]:
    """The records of log.jsonl, one an epoch.

    A training that went back (to its best checkpoint, or after a kill) made some epochs again: what it had recorded
    from there on counts no more.
    """
    records: list[dict] = []
    for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue      # cut by a kill or a full disk
        records = [earlier for earlier in records if earlier["epoch"] < record["epoch"]] + [record]
    return records


def draw(folder: Path, root: Path, clips: list) -> None:
    """curves.png of the log, validation.png and worst.png of validation.csv. `clips`: those that validate."""
    import numpy as np

    from datatools.dataset import fill_frames
    from utils.plots import curves_picture, predictions_picture

    if not (folder / "log.jsonl").exists() or not (folder / "validation.csv").exists():
        return      # stopped within the first epoch
    records = read_records(folder)
    curves_picture(folder / "curves.png", records)
    predicted, truth = read_validation(folder)
    best = min(records, key=lambda record: record["val_score"])
    title = f"validation at epoch {best['epoch']}: score {best['val_score']:.3f} s, {len(truth)} clips"
    predictions_picture(folder / "validation.png", truth, predicted, {}, title)
    worst = sorted(truth, key=lambda name: -abs(predicted[name] - truth[name]))[:WORST_CLIPS]
    by_name = {clip.name: clip for clip in clips}
    frames = {}
    for name in worst:
        if name in by_name and (by_name[name].frames(root).exists() or by_name[name].video(root).exists()):
            frames[name] = np.empty((200, 66, 88, 3), np.uint8)
            fill_frames(frames[name], root, by_name[name])
    if frames:
        predictions_picture(folder / "worst.png", {n: truth[n] for n in frames}, {n: predicted[n] for n in frames},
                            frames, f"the worst of the validation clips, epoch {best['epoch']}")
