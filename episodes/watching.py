"""A library that is watched: a pass at the start, and again where videos are added, changed, moved or removed.

    watch([Path("Anime")], one_pass)      # until it is interrupted
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from datatools.errors import UserError, describe_error
from episodes.seasons import VIDEO_SUFFIXES

WAKE_SECONDS = 1.0        # between two looks at whether there is something to do
LONGEST_SECONDS = 3600.0  # without a pass: file systems of other machines report no changes


def watch(paths: Sequence[Path], one_pass: Callable[[], bool]) -> None:
    """Call `one_pass` now, after each change below `paths`, and once an hour; it tells whether it left files for later.

    An error that a user can fix (a disk that is full or gone) is told, and the watch goes on. Raises UserError where
    watchfiles is missing.
    """
    watchfiles = watcher()
    folders = {path if path.is_dir() else path.parent for path in paths}
    last, again = -LONGEST_SECONDS, False
    for changes in watchfiles.watch(*folders, watch_filter=matters, rust_timeout=round(WAKE_SECONDS * 1000),
                                    yield_on_timeout=True, raise_interrupt=True):
        if changes or again or time.monotonic() - last >= LONGEST_SECONDS:
            try:
                again = one_pass()
            except (UserError, OSError) as error:
                print(f"error: {describe_error(error)} Watching goes on.", file=sys.stderr)
                again = False
            last = time.monotonic()


def watcher():
    """The module watchfiles. Raises UserError where it is not installed."""
    try:
        import watchfiles
    except ImportError:
        raise UserError("--watch: the package watchfiles is not installed. Run `pip install watchfiles`.") from None
    return watchfiles


def matters(_change, path: str) -> bool:
    """Whether a change concerns a video, or a folder, which may hold some; the files beside them do not.

    What is gone may have been a folder.
    """
    name = os.path.basename(path)
    return not name.startswith(".") and (os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
                                         or not os.path.isfile(path))
