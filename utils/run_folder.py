"""The folder of a training, --save_prefix: its settings, checkpoints, log and pictures.

settings.json          flags, versions, data and commit of the training
avnet_bestmodel.pth    best validation score; avnet_last.pth the last; avnet_last-1.pth the one before
log.txt, log.jsonl     a line an epoch, for people and for programs; tensorboard/ holds the same figures as curves
validation.csv         truth and answer of every validation clip, at the best epoch; error.txt those off by > 10 s
classes.csv            of a recogniser: accuracy of each class
curves.png, validation.png, worst.png, confusion.png
.training.lock         held while a training works in the folder
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable, locked, save_text, write_atomic
from datatools.paths import check_output
from utils.checkpoint import is_whole, save_checkpoint
from utils.distributed import World
from utils.settings import plain

BEST, LAST = "avnet_bestmodel.pth", "avnet_last.pth"   # the reference's spelling, in epoch files too
LOCK = ".training.lock"
SAVING = "avnet_saving.pth"      # a new checkpoint, before it is linked to its names
KEEP_AFTER = 0.6       # share of max_epoch after which every epoch is kept
PACKAGES = ("torch", "torchvision", "numpy", "av", "librosa", "opencv-python-headless")
SETTINGS = "settings.json"
EVENTS = "tensorboard"      # a folder
OWN_FILES = ("log.txt", "log.jsonl", "error.txt", "validation.csv", "classes.csv", "curves.png", "validation.png",
             "worst.png", "confusion.png")


@contextlib.contextmanager
def held(folder: Path | None, world: World) -> Iterator[None]:
    """Hold a training's folder, which is made if needed: the first process locks it for all. None holds nothing.

    A folder that was made and into which nothing was written is removed again: the training could not begin. Raises
    UserError, in all processes, where another training holds the folder or it cannot be written.
    """
    busy = f"{folder}: another training works in it. Wait for its end, stop it, or choose another --save_prefix."

    def take() -> None:
        is_new = not folder.exists()
        check_writable(folder)
        stack.enter_context(locked(folder / LOCK, busy))
        for name in (*OWN_FILES, SETTINGS, BEST, LAST, SAVING):      # what is none of ours is told before any work
            check_output(folder / name)
        if (folder / EVENTS).exists() and not (folder / EVENTS).is_dir():
            raise UserError(f"{folder / EVENTS}: a file, expected a folder. It is left as it is; choose another "
                            "--save_prefix.")
        if is_new:
            stack.callback(leave)

    def leave() -> None:
        if folder.is_dir() and os.listdir(folder) == [LOCK]:
            shutil.rmtree(folder)

    with contextlib.ExitStack() as stack:
        if folder:
            world.lead(take)
        yield


def older(number: int) -> str:
    """File name of the checkpoint `number` saves before the last one."""
    return f"avnet_last-{number}.pth"


def begin_run(folder: Path, kept: dict, *all_settings) -> None:
    """Write settings.json, all that this training was started with, in place of an earlier training's files.

    `kept` is what each checkpoint holds of it.
    """
    for path in [*folder.glob("avnet_*.pth"), *(folder / name for name in OWN_FILES),
                 *folder.glob(f"{EVENTS}/events.*")]:
        path.unlink(missing_ok=True)
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    told = {f.name: plain(getattr(settings, f.name)) for settings in all_settings if settings is not None
            for f in fields(settings)}
    content = {"network": kept["network"], "sizes": kept["sizes"], **told, "command": sys.argv, "commit": git_commit(),
               "versions": versions, "machine": platform.platform(), "data": kept["data"]}
    save_text(folder / SETTINGS, json.dumps(content, indent=2, ensure_ascii=False))


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


def checkpoint_names(epoch: int, max_epoch: int, is_best: bool) -> list[str]:
    """The names under which an epoch's checkpoint is kept: the reference's, and LAST."""
    keeps = epoch > KEEP_AFTER * max_epoch
    return [BEST] * is_best + [f"avnet_epoch{epoch}.pth"] * keeps + [LAST]


def save_checkpoints(folder: Path, content: dict, names: list[str], keep_last: int) -> None:
    """Write one checkpoint under `names`, which end with LAST; before that, each older LAST moves to the next number.

    At any moment there is a whole checkpoint to resume from.
    """
    new = folder / SAVING
    save_checkpoint(new, content)      # first: a full disk then leaves all others as they are
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
    """Make `target` a hard link to `source`, or a copy where the file system has no hard links."""
    with write_atomic(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())


def checkpoints_by_age(folder: Path) -> list[Path]:
    """Resumable checkpoints, newest first; among the names of one save, LAST comes first."""
    found = [path for path in (folder / LAST, *folder.glob("avnet_last-*.pth"), *folder.glob("avnet_epoch*.pth"),
                               folder / BEST) if path.is_file()]
    return sorted(found, key=lambda path: (path.name != LAST, -path.stat().st_mtime_ns))


def offer_another(path: Path, error: UserError) -> UserError:
    """The error of a checkpoint that cannot be read; it also names the newest whole one of the folder."""
    for other in checkpoints_by_age(path.parent):
        if other != path and is_whole(other):
            return UserError(f"{error} The newest whole one there: {other}.")
    return error


def read_records(folder: Path) -> list[dict]:
    """The records of log.jsonl, one an epoch.

    A training that was resumed from an earlier epoch (its best checkpoint, or after a kill) repeats epochs. A record
    therefore replaces all lines before it that are of the same or a later epoch.
    """
    records: list[dict] = []
    for line in (folder / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue      # a line cut off by a kill or a full disk
        if isinstance(record, dict) and isinstance(record.get("epoch"), int):
            records = [earlier for earlier in records if earlier["epoch"] < record["epoch"]] + [record]
    return records

