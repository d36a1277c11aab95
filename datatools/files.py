"""Atomic writing: a file is written under a temporary name, then renamed, so it is whole or does not exist.

    with write_atomic(Path("clip_mfcc.npy")) as temporary:
        ...
"""

import contextlib
import errno
import io
import os
import platform
import uuid
from collections.abc import Iterator
from pathlib import Path

from datatools.errors import UserError, describe_os_error
from datatools.paths import check_output, kind_of_file

NUMBERS = "fiub"      # NumPy's kinds of types that hold them


def _temporary(path: Path) -> Path:
    """A temporary name beside `path` with this machine and process; short even if the name of `path` is long."""
    return path.with_name(f".tmp-{os.getpid()}@{platform.node()}-{uuid.uuid4().hex[:8]}{path.suffix}")


def sweep_temporaries(folder: Path) -> None:
    """Remove temporary files anywhere below `folder` that killed processes of this machine left behind."""
    for parent, _, names in os.walk(folder):      # not rglob: it fails where another run removes a folder meanwhile
        for name in names:
            process, _, rest = name.removeprefix(".tmp-").partition("@")
            if (name.startswith(".tmp-") and process.isdigit() and rest.startswith(platform.node() + "-")
                    and not _is_alive(int(process))):
                Path(parent, name).unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass        # another user's
    return True


@contextlib.contextmanager
def write_atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success rename it to `path`, on any error remove the file.

    The temporary name keeps the suffix, because encoders choose the container by it. A link stays: what it links to is
    written. Raises UserError where `path` is a folder, a device or a pipe.
    """
    target = check_output(path)
    temporary = _temporary(target)
    with errors_name(Path(path)):
        try:
            yield temporary
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Have an OSError within name `path`, which the user knows: a full disk's names none, others a temporary file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def append(path: Path, content: bytes) -> None:
    """Append to a file, which is made if needed. Raises UserError where `path` is a folder, a device or a pipe."""
    with errors_name(path), open(check_output(path), "ab") as file:
        file.write(content)


def save_array(path: Path, array) -> None:
    """Write `array` as .npy under a temporary name, then rename."""
    import numpy as np

    # Through memory: np.save into a file reports a full disk without an error number.
    buffer = io.BytesIO()
    np.save(buffer, array)
    with write_atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def open_array(path: Path):
    """A .npy file, memory-mapped. Raises OSError; ValueError for a damaged header or no regular file."""
    import numpy as np

    if path.exists() and not path.is_file():       # a pipe would be waited for
        raise ValueError("no regular file")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except ValueError as error:
        if "pickle" in str(error):      # NumPy takes whatever it does not know for a pickle, and says how to run it
            raise ValueError("no array of numbers") from None
        raise
    except Exception as error:      # a damaged header is parsed as Python, and raises what Python's parser does
        raise ValueError(f"damaged header, {type(error).__name__}") from None


def read_array(path: Path, shape: tuple[int | None, ...]):
    """Numbers of this shape (None: any length above 0) from a .npy file, read into memory.

    Not mapped: where a mapped file is cut off while it is read, the system kills the process (SIGBUS). Raises OSError
    and ValueError as `open_array`, and UserError for another shape or no numbers.
    """
    import numpy as np

    mapped = open_array(path)
    if not _has_shape(mapped, shape) or mapped.dtype.kind not in NUMBERS:
        raise UserError(f"{path}: shape {mapped.shape}, expected {shape} of numbers; it holds {mapped.dtype}. Make it "
                        "again.")
    order = "C" if mapped.flags.c_contiguous else "F"
    return np.fromfile(path, mapped.dtype, mapped.size, offset=mapped.offset).reshape(mapped.shape, order=order)


def array_is_whole(path: Path, dtype: str, shape: tuple[int | None, ...]) -> bool:
    """Whether `path` is a readable .npy of this type and shape (None: any length above 0). Reads its header only."""
    try:
        array = open_array(path)
    except (OSError, ValueError):
        return False
    return array.dtype == dtype and _has_shape(array, shape)


def _has_shape(array, shape: tuple[int | None, ...]) -> bool:
    return array.ndim == len(shape) and all(
        have > 0 if want is None else have == want for have, want in zip(array.shape, shape, strict=True))


def is_current(result: Path, source: Path) -> bool:
    """Whether `result` exists and is not older than `source`."""
    return result.is_file() and result.stat().st_mtime_ns >= source.stat().st_mtime_ns


def save_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 under a temporary name, then rename."""
    with write_atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable(folder: Path) -> None:
    """Create `folder` if needed and check that a file can be written in it. Raises UserError."""
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: a file, expected a folder. It is left as it is; name another one.")
        folder.mkdir(parents=True, exist_ok=True)
        probe = _temporary(folder / "probe")
        try:
            probe.write_bytes(b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(describe_os_error(OSError(error.errno, error.strerror, str(folder)))) from error


@contextlib.contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when the process ends, even after a kill.

    The file stays; while it is held it tells by whom. Raises UserError with `message` where it is held; also where
    `path` is no regular file: a link's target would be emptied, and a pipe would be waited for.
    """
    from filelock import FileLock, Timeout

    if os.path.lexists(path) and (kind := kind_of_file(path.lstat().st_mode)):
        raise UserError(f"{path}: {kind}, expected the lock file of a run. Remove it.")
    try:
        lock = FileLock(path, timeout=0).acquire()
    except Timeout:
        holder = path.read_text(errors="replace") or "a process that has just started"
        raise UserError(f"{message} It is {holder}.") from None
    except (OSError, NotImplementedError) as error:      # filelock raises the latter where there is no flock at all
        number = getattr(error, "errno", errno.ENOSYS)
        if number not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise OSError(number, os.strerror(number), str(path)) from error
        raise UserError(f"{path}: its file system cannot lock files ({os.strerror(number)}), so two runs at once could "
                        "mix their results. Choose a folder on another file system.") from error
    with lock:
        with contextlib.suppress(OSError):      # a full disk: what the run itself writes there will tell
            path.write_text(f"process {os.getpid()} of {platform.node()}")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.truncate(path, 0)
