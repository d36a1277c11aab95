"""Errors for the user, and how a command exits.

    if __name__ == "__main__":
        run_command(main)
"""

import errno
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What libraries say where there is no memory for an array, a thread or their own code.
NO_MEMORY = re.compile("out of memory|(can't|cannot|unable to) allocate|failed to map segment|bad_alloc", re.IGNORECASE)

# Set where a library's threads would abort the process while Python shuts down.
leave_at_once = False
_interrupted = False      # by Ctrl-C; a library that catches it may go on to fail with an error of its own


def _interrupt(*_) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


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


class Outlet(io.FileIO):
    """A standard stream that loses what cannot be written and keeps the reason: no run ends for what it prints."""

    lost: OSError | None = None

    def write(self, data) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            self.lost = error
            return len(data)


def open_standard_streams() -> Outlet | None:
    """Put an `Outlet` under stdout and stderr; returns stdout's. Streams that a test has replaced stay as they are.

    A stream that the caller has closed becomes /dev/null: the next file that is opened would take its number, and get
    what a library prints. For stdout it is open for reading only, so what is printed counts as lost.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)      # takes the lowest free number, which is this one
    outlets = {}
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or stream is getattr(sys, f"__{name}__"):
            outlets[name] = Outlet(number, "w", closefd=False)
            lines = stream is not None and (stream.line_buffering or stream.write_through)
            # A file's name may be no text at all.
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(outlets[name]), getattr(stream, "encoding", "utf-8"),
                                                "backslashreplace", line_buffering=lines or number == 2))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return outlets.get("stdout")


def run_command(main: Callable[[], int | None]) -> None:
    """Run `main`, print errors as one message on stderr, and exit.

    Exit codes: what `main` returns (None is 0), 2 for an error, also where stdout could not be written, 130 for Ctrl-C.
    The traceback of an error that is no UserError is shown where the environment has AVTNET_DEBUG.
    """
    outlet = open_standard_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    code = exit_code_of(main)
    sys.stdout.flush()
    lost = outlet and outlet.lost
    if lost and lost.errno not in (errno.EPIPE, errno.EBADF):      # nobody reads on, or nobody ever did
        print(f"error: stdout: cannot be written ({lost.strerror}); what this command prints is lost.", file=sys.stderr)
    if lost and code == 0:
        code = 2
    sys.stderr.flush()
    if leave_at_once:
        os._exit(code)
    sys.exit(code)


def exit_code_of(main: Callable[[], int | None]) -> int:
    """Run `main`, print its error as one message on stderr, and return the exit code."""
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {describe_os_error(error)}", file=sys.stderr)
        return 2
    except Exception as error:
        if _interrupted:
            return tell_interrupted()
        if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
            print("error: out of memory. Close other programs, or give this one more (ulimit -v, the container's "
                  "limit).", file=sys.stderr)
            return 2
        if os.environ.get("AVTNET_DEBUG"):
            traceback.print_exc()
        print(f"error: {describe_error(error)}. This should not happen: please report it, with what AVTNET_DEBUG=1 "
              "shows.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return tell_interrupted()
    except SystemExit as leaving:
        if not isinstance(leaving.code, int | None):
            raise
        return leaving.code or 0


def tell_interrupted() -> int:
    print("interrupted; what was finished is kept", file=sys.stderr)
    return 130
