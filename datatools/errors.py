"""Errors for the user, and how a command exits.

    if __name__ == "__main__":
        run_command(main)
"""

import errno
import os
import sys
from collections.abc import Callable

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


def run_command(main: Callable[[], int | None]) -> None:
    """Run `main`, print errors that a user can cause as one message on stderr, and exit.

    Exit codes: what `main` returns (None is 0), 2 for a UserError or an OSError, 130 for Ctrl-C.
    """
    try:
        code = main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except OSError as error:
        print(f"error: {describe_os_error(error)}", file=sys.stderr)
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
