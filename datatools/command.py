"""What every command shares: errors that speak to the user, safe writing, and a function run over many clips.

    from datatools.command import UserError, run_command, run_stage, write_atomic
"""

import contextlib
import errno
import os
import platform
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Set where threads of a library would abort the process in Python's own shutdown.
leave_at_once = False


class UserError(ValueError):
    """Something that a user can put right: names the file, what was found, what was expected, the remedy."""


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
    """Run `main`, turn what a user can cause into one message on stderr, and exit.

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


def _temporary(path: Path) -> Path:
    """A name beside `path` that tells which process of which machine writes it; short, even where that is long."""
    return path.with_name(f".tmp-{os.getpid()}@{platform.node()}-{uuid.uuid4().hex[:8]}{path.suffix}")


def sweep_temporaries(folder: Path) -> None:
    """Remove, anywhere below `folder`, what processes of this machine left half written when they were killed."""
    for path in folder.rglob(".tmp-*"):
        process, _, rest = path.name.removeprefix(".tmp-").partition("@")
        if process.isdigit() and rest.startswith(platform.node() + "-") and not _is_alive(int(process)):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass        # somebody else's
    return True


@contextlib.contextmanager
def write_atomic(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success rename it to `path`, on any error remove it.

    The temporary name keeps the suffix, because encoders choose the container by it.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # Name the file that the user knows, not the temporary one.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def save_array(path: Path, array) -> None:
    """Write `array` as .npy under a temporary name, then rename."""
    import io

    import numpy as np

    # Through memory: np.save into a file reports a full disk without an error number, so that nobody knows what it was.
    buffer = io.BytesIO()
    np.save(buffer, array)
    with write_atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def array_is_whole(path: Path, dtype: str, shape: tuple[int | None, ...]) -> bool:
    """Whether `path` is a readable .npy of this type and shape (None: any length above 0). Reads its header only."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    if array.dtype != dtype or array.ndim != len(shape):
        return False
    return all(have > 0 if want is None else have == want for have, want in zip(array.shape, shape, strict=True))


def is_current(result: Path, source: Path) -> bool:
    """Whether `result` exists and is not older than `source`."""
    return result.is_file() and result.stat().st_mtime_ns >= source.stat().st_mtime_ns


def save_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 under a temporary name, then rename."""
    with write_atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable(folder: Path) -> None:
    """Create `folder` where needed and prove that a file can be written in it. Raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = _temporary(folder / "probe")
        try:
            probe.write_bytes(b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(describe_os_error(OSError(error.errno, error.strerror, str(folder)))) from error


def stage_parser(description: str, *, save_root: bool = True, clips: bool = True):
    """The argument parser of a preprocessing command, with the flags that they share.

    `save_root`: raw clips go to another root. `clips`: it works clip by clip, on chosen folders, in several processes.
    """
    import argparse

    def count(text: str) -> int:
        if int(text) < 0:
            raise argparse.ArgumentTypeError("must not be negative")
        return int(text)

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = "folder of the raw dataset" if save_root else "folder of the processed dataset"
    parser.add_argument("--data_root", type=Path, required=True, help=root)
    if save_root:
        help_text = "folder of the processed dataset, one for all stages"
        parser.add_argument("--save_root", type=Path, required=True, help=help_text)
    if clips:
        help_text = "folders below --data_root (default: the competition's)"
        parser.add_argument("--folders", nargs="+", metavar="FOLDER", help=help_text)
        parser.add_argument("--workers", type=count, default=0, help="processes at once (default: one per core)")
    parser.add_argument("--force", action="store_true", help="do again what is already there")
    return parser


def number_of_cores() -> int:
    """Cores that this process may use (an affinity mask or a container may leave fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class StageReport:
    """What a stage did: names done, names left alone because they were there, and (name, reason) of failures."""

    title: str
    done: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> str:
        lines = [
            f"{self.title}: {len(self.done)} done, {len(self.kept)} already there, "
            f"{len(self.failed)} failed, {self.seconds:.1f} s"
        ]
        lines += [f"  failed {name}: {reason}" for name, reason in sorted(self.failed)]
        return "\n".join(lines)

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0


def _attempt(function: Callable, name: str, arguments: tuple) -> tuple[str, str | None, object]:
    """Run in a worker: (name, None, result) on success, (name, reason, None) where this one clip cannot be done."""
    try:
        return name, None, function(*arguments)
    except ValueError as error:
        return name, str(error), None
    except OSError as error:
        return name, describe_os_error(error), None


def run_stage(
    title: str,
    function: Callable,
    jobs: list[tuple[str, tuple]],
    *,
    kept: list[str] | None = None,
    workers: int = 0,
    on_result: Callable[[str, object], str | None] | None = None,
    ray_address: str | None = None,
) -> StageReport:
    """Call `function(*arguments)` for each (name, arguments) in `jobs`, in several processes, with a progress bar.

    A ValueError or OSError fails that clip alone and is reported with it; the others go on. Any other
    exception is a mistake of ours and ends the stage. `workers` 0 means one per core. `on_result(name, result)` is
    called here as each clip is done; it may return a reason why the clip failed nevertheless. `ray_address` spreads
    the clips over a Ray cluster instead; "local" starts one.
    Prints the summary and returns the report.
    """
    import time

    from tqdm import tqdm

    report = StageReport(title, kept=list(kept or []))
    started = time.perf_counter()
    if jobs:
        if ray_address is None:
            results = _results(function, jobs, min(workers or number_of_cores(), len(jobs)))
        else:
            results = _ray_results(function, jobs, workers, ray_address)
        bar = tqdm(total=len(jobs), desc=title, unit="clip", dynamic_ncols=True, mininterval=0.5)
        for name, reason, result in results:
            if reason is None and on_result:
                reason = on_result(name, result)
            if reason is None:
                report.done.append(name)
            else:
                report.failed.append((name, reason))
            bar.update()
        bar.close()
    report.seconds = time.perf_counter() - started
    print(report.summary())
    return report


def _results(function: Callable, jobs: list[tuple[str, tuple]], workers: int) -> Iterator[tuple]:
    if workers == 1:
        for name, arguments in jobs:
            yield _attempt(function, name, arguments)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # One library thread a worker: the clips are the parallelism, and two pools on the same cores slow each other down.
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, inner_max_num_threads=1)
    try:
        yield from parallel(delayed(_attempt)(function, name, arguments) for name, arguments in jobs)
    except TerminatedWorkerError as error:
        raise UserError(
            "a worker process was killed (out of memory?). What was finished is kept: run the command again, "
            f"with fewer --workers than {workers}."
        ) from error


def _ray_results(
    function: Callable, jobs: list[tuple[str, tuple]], workers: int, address: str
) -> Iterator[tuple]:
    """The same over a Ray cluster, whose machines must see this folder and the data under the same paths."""
    try:
        import ray
    except ImportError:
        raise UserError("--backend ray: the package ray is not installed. Run `pip install ray`.") from None

    root = str(Path(__file__).resolve().parents[1])
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {"env_vars": {"PYTHONPATH": root, **threads}}
    cluster = {"num_cpus": workers or number_of_cores()} if address == "local" else {}
    try:
        ray.init(address, runtime_env=environment, log_to_driver=False, include_dashboard=False, **cluster)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"--address {address}: no Ray cluster can be reached there ({error}). Start one with "
                        "`ray start --head`, or give --address local.") from error
    try:
        attempt = ray.remote(num_cpus=1)(_attempt)
        waiting = {attempt.remote(function, name, arguments): name for name, arguments in jobs}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            name = waiting.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from error
            except ray.exceptions.RayError as error:
                yield name, f"its worker was lost ({type(error).__name__}): out of memory, or its machine is gone", None
    finally:
        ray.shutdown()
