"""Paths that a person types, and names that come from data: what may be read, written, and put into a list.

    parser.add_argument("--truth", type=path)
    text = read_text(Path("truth.csv"), "truth", "Expected a CSV `name,seconds`.")
    check_output(Path("fused.csv"))         # before the work begins
"""

import argparse
import errno
import io
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from datatools.errors import UserError
from datatools.numbers import shortened

MOST_BYTES = 4 * 2**20       # of a text file; a list of a hundred thousand clips is smaller
LONGEST_NAME = 255           # bytes, Linux's limit
KINDS = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device",
         stat.S_ISBLK: "a device"}
# First characters of a cell that spreadsheets run as a formula, also their wide forms: OWASP, "CSV Injection". A cell
# begins a line or follows a separator of some locale; blanks and quotes before it count for nothing.
FORMULA = re.compile(r"""(^|[,;])[\s"']*[=+\-@＝＋－＠]""")
CONTROL = {"Cc", "Cs", "Zl", "Zp"}         # Unicode's categories: control, surrogate, separator of lines, of paragraphs


# ---------------------------------------------------------------- types for argparse


def path_text(text: str) -> str:
    """A type for argparse: the text of a path that can exist and be printed."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty, expected a path; for the current folder give a dot")
    try:
        text.encode("utf-8")
        os.stat(text)
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"found {shortened(text)}, expected a path in UTF-8; rename it") from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {shortened(text)}, expected a path without a NUL character") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):      # whatever else is wrong depends on what it is for
            raise argparse.ArgumentTypeError(f"found {shortened(text)}, no path ({error.strerror})") from None
    return text


def path(text: str) -> Path:
    """A type for argparse: a path."""
    return Path(path_text(text))


def folder_below(text: str) -> str:
    """A type for argparse: a folder below a data set's root, such as data_A/train. It cannot lead out of the root."""
    folder = PurePosixPath(path_text(text))
    if folder.is_absolute() or ".." in folder.parts:
        raise argparse.ArgumentTypeError(f"found {shortened(text)}, expected a folder below the data's root, relative "
                                         "to it and without ..")
    return str(folder)


# ---------------------------------------------------------------- names that come from data


def name_problem(name: str) -> str | None:
    """Why a clip's name, without its suffix, may not become part of a path or of a CSV that we write; None if it may.

    A path must not lead elsewhere; and a spreadsheet must not run a cell.
    """
    if name.strip() in ("", ".", ".."):
        return "it is empty or dots"
    if has_control(name):
        return "it has control characters"
    if "/" in name or "\\" in name:
        return "it has slashes, as if it were a path"
    if len(name.encode()) > LONGEST_NAME:
        return f"it is longer than the {LONGEST_NAME} bytes of a file's name"
    if FORMULA.search(name):
        return "a spreadsheet would run a cell that begins with = + - or @ as a formula"
    return None


def has_control(text: str) -> bool:
    """Whether `text` has characters that are no text: control characters, line ends, halves of characters."""
    return any(unicodedata.category(character) in CONTROL for character in text)


def check_name(name: str) -> None:
    """Raise UserError for a clip's name that `name_problem` refuses."""
    if problem := name_problem(name):
        raise UserError(f"clip {shortened(name)}: {problem}. Rename it.")


# ---------------------------------------------------------------- files


def kind_of_file(mode: int) -> str | None:
    """What a path holds that is no regular file, from its mode; None for a regular file."""
    return None if stat.S_ISREG(mode) else next((name for test, name in KINDS.items() if test(mode)), "no regular file")


def check_regular(path: Path, what: str) -> None:
    """Raise UserError where a file of a data set, `what` for the message, is there and is a folder, a pipe, a device.

    Whoever opens a pipe waits for ever.
    """
    if path.exists() and (kind := kind_of_file(path.stat().st_mode)):
        raise UserError(f"{path}: {kind}, expected {what}. Remove it.")


def read_text(path: Path, what: str, expected: str, most_bytes: int = MOST_BYTES) -> str:
    """The text of a regular file in UTF-8, with or without a byte-order mark; line ends become \\n.

    `what` it is and what was `expected`, with the remedy, for the messages. Raises UserError for everything else: no
    such file, a folder, a pipe or a device (which is not waited for), too large, unreadable, not UTF-8.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            kind = kind_of_file(os.fstat(handle).st_mode)
            if not kind:
                with open(handle, "rb", closefd=False) as file:
                    content = file.read(most_bytes + 1)
        finally:
            os.close(handle)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such {what}. {expected}") from None
    except OSError as error:
        if error.errno != errno.ENXIO:       # what a socket answers
            raise UserError(f"{path}: cannot be read ({error.strerror}), so no {what}. {expected}") from None
        kind = "a socket"
    except ValueError:       # a NUL character
        raise UserError(f"{shortened(path)}: no path, so no {what}. {expected}") from None
    if kind:
        raise UserError(f"{path}: {kind}, so no {what}. {expected}")
    if len(content) > most_bytes:
        raise UserError(f"{path}: more than {most_bytes / 2**20:g} MiB, too large for a {what}. {expected}")
    try:
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}), so no {what}. Save it as "
                        f"UTF-8. {expected}") from None


def check_output(path: Path, read: Iterable[Path] = (), ending: str = "") -> Path:
    """The file that is written for `path`: itself, or what it links to. Raises UserError where no file may be put.

    What exists and is no regular file (a folder, a device, a pipe) is refused and left as it is, and so is a file that
    is `read`, or that has not this `ending`: somebody else's file, such as a checkpoint where a .csv is written.
    """
    try:
        target = Path(os.path.realpath(path))
        status = os.stat(path)      # not the target's: /dev/stdout may link to a pipe, which has no name
    except FileNotFoundError:
        return target
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}). Name another file.") from None
    except ValueError:
        raise UserError(f"{shortened(path)}: no path of a file. Name another one.") from None
    if any(os.path.realpath(other) == str(target) for other in read):
        raise UserError(f"{path}: is read and would be overwritten; name another --output.")
    if kind := kind_of_file(status.st_mode):
        raise UserError(f"{path}: {kind}, expected the name of a file to write. It is left as it is; name another one.")
    if status.st_size and not target.name.lower().endswith(ending):
        raise UserError(f"{path}: is there already and does not end in {ending}, so it is something else. It is left "
                        "as it is; name another file.")
    return target
