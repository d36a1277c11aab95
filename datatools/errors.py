"""Errors for the user, and how a command exits.

    if __name__ == "__main__":
        run_command(main)
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Set where a library's threads would abort the process while Python shuts down.
leave_at_once = False


class UserError(ValueError):
    """An error that a user can fix: names the file, what was found, what was expected, and the remedy."""


def describe_os_error(error: OSError) -> str:
    """One sentence for an operating-system error, with its file and what to do about it."""
    where = error.filename2 or error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{where}: cannot be written, the disk (or its quota) is full. Free some space, then run it again."
    if error.errno == errno.EROFS:
        return f"{where}: cannot be written, its file system is read-only. Choose another folder."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where}: permission denied. Choose another folder or change its permissions."
    return f"{where}: {error.strerror or error}."


def describe_error(error: BaseException) -> str:
    """One line about an exception: a UserError's message, else its type, message and place in this project."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return describe_os_error(error)
    places = traceback.extract_tb(error.__traceback__)
    ours = [place for place in places if Path(place.filename).is_relative_to(ROOT)] or places
    where = f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
    lines = str(error).strip().splitlines()
    told = f": {lines[0][:200]}" if lines else ""
    return f"{type(error).__name__}{told}{where}"


def run_command(main: Callable[[], int | None]) -> None:
    """Run `main`, print errors as one message on stderr, and exit.

    Exit codes: what `main` returns (None is 0), 2 for an error, 130 for Ctrl-C. The traceback of an error that is no
    UserError is shown where the environment has AVTNET_DEBUG.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")      # a file's name may be no text at all
    try:
        code = main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except OSError as error:
        print(f"error: {describe_os_error(error)}", file=sys.stderr)
        code = 2
    except Exception as error:
        if os.environ.get("AVTNET_DEBUG"):
            traceback.print_exc()
        print(f"error: {describe_error(error)}. This should not happen: please report it, with what AVTNET_DEBUG=1 "
              "shows.", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        code = 130
    except SystemExit as leaving:
        if not isinstance(leaving.code, int):
            raise
        code = leaving.code
    if leave_at_once:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
