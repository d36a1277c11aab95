"""Run a function over many clips: in several processes or on a Ray cluster, with a progress bar and a summary.

    report = run_stage("audio", extract_clip, [("abc_start", (source, target)), ...], pool=Pool(workers=4))

Whatever happens to a clip is that clip's failure: any exception, a crash of its process, too long a time.
"""

import argparse
import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path

from datatools.commands import CommandParser
from datatools.errors import UserError, describe_error
from datatools.numbers import MOST_WORKERS, number
from datatools.paths import folder_below, path

TIME_LIMIT = 3600.0      # s for one clip; text detection on a slow core takes some minutes
PARENT_SECONDS = 1.0     # between two looks of a worker at whether its main process lives
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def stage_parser(description: str, *, save_root: bool = True, clips: bool = True) -> argparse.ArgumentParser:
    """The argument parser of a preprocessing command, with the flags that these commands share.

    `save_root`: the command writes to another root. `clips`: it works clip by clip on chosen folders, in processes.
    """
    parser = CommandParser(description=description)
    root = "folder of the raw dataset" if save_root else "folder of the processed dataset"
    parser.add_argument("--data_root", type=path, required=True, help=root)
    if save_root:
        help_text = "folder of the processed dataset, one for all stages"
        parser.add_argument("--save_root", type=path, required=True, help=help_text)
    if clips:
        help_text = "folders below --data_root (default: the competition's)"
        parser.add_argument("--folders", nargs="+", type=folder_below, metavar="FOLDER", help=help_text)
        add_pool_flags(parser, "clip")
    parser.add_argument("--force", action="store_true", help="do again what is already there")
    return parser


def add_pool_flags(parser: argparse.ArgumentParser, item: str) -> None:
    """Add the flags that `pool_of` reads; an `item` is what a worker works on."""
    parser.add_argument("--workers", type=number(int, low=0, high=MOST_WORKERS), default=0,
                        help="processes at once (default: one per core)")
    parser.add_argument("--time_limit", type=number(float, low=1, high=1e6), default=TIME_LIMIT, metavar="SECONDS",
                        help=f"a {item} that takes longer counts as failed (default: %(default)g)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of unexpected failures")


def number_of_cores() -> int:
    """Cores that this process may use; an affinity mask or a container's quota may leave fewer than there are."""
    from joblib import cpu_count

    return cpu_count()


@dataclass
class StageReport:
    """The result of a stage: names done, names kept because they were done before, and (name, reason) of failures."""

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


@dataclass(frozen=True)
class Pool:
    """How the clips of a stage are spread.

    workers      processes at once; 0: one per core
    time_limit   seconds; a clip that takes longer fails, and its process is ended (not on a Ray cluster)
    ray_address  of a Ray cluster to use instead; "local" starts one
    debug        print the traceback of an unexpected exception
    here         call the function in this process, which a crash would end
    """

    workers: int = 0
    time_limit: float = TIME_LIMIT
    ray_address: str | None = None
    debug: bool = False
    here: bool = False


EVERY_CORE = Pool()


def pool_of(arguments: dict) -> Pool:
    """The pool that the flags of `add_pool_flags` ask for; takes them out of `arguments`."""
    return Pool(**{name: arguments.pop(name) for name in ("workers", "time_limit", "debug")})


@dataclass(frozen=True)
class Item:
    """What became of a clip: the function's result, or the reason why it failed.

    `is_machines`: the failure is the machine's (a full disk, no permission), not the clip's.
    """

    name: str
    result: object = None
    reason: str | None = None
    is_machines: bool = False


def _attempt(function: Callable, name: str, arguments: tuple, debug: bool = False) -> Item:
    """Call the function for one clip. Runs in a worker."""
    try:
        return Item(name, function(*arguments))
    except Exception as error:
        if debug and not isinstance(error, UserError):
            traceback.print_exc()
        return Item(name, None, describe_error(error), is_machines=isinstance(error, OSError))


def run_stage(
    title: str,
    function: Callable,
    jobs: list[tuple[str, tuple]],
    *,
    kept: list[str] | None = None,
    unusable: list[tuple[str, str]] | None = None,
    pool: Pool = EVERY_CORE,
    on_item: Callable[[Item], str | None] | None = None,
) -> StageReport:
    """Call `function(*arguments)` for each (name, arguments) in `jobs`, in several processes, with a progress bar.

    An exception fails that clip alone and is reported with its place in the code; so does a worker that dies or takes
    too long; the others go on. `kept` and `unusable` (name, reason) are reported too. `on_item` is called in this
    process as each clip finishes, also where it failed; it may return a reason why it failed after all.
    Prints the summary and returns the report.
    """
    report = StageReport(title, kept=list(kept or []), failed=list(unusable or []))
    started = time.perf_counter()
    with contextlib.closing(finished_items(title, function, jobs, pool)) as items:
        for item in items:
            reason = (on_item(item) if on_item else None) or item.reason
            if reason is None:
                report.done.append(item.name)
            else:
                report.failed.append((item.name, reason))
    report.seconds = time.perf_counter() - started
    print(report.summary())
    return report


def finished_items(
    title: str, function: Callable, jobs: list[tuple[str, tuple]], pool: Pool = EVERY_CORE, unit: str = "clip",
) -> Iterator[Item]:
    """What becomes of each of `jobs` as in `run_stage`, in the order in which they end, with a progress bar.

    Close the iterator where you leave it early: that ends the processes.
    """
    from tqdm import tqdm

    if jobs:
        results = _results(function, jobs, pool) if pool.ray_address is None else _ray_results(function, jobs, pool)
        with contextlib.closing(results), tqdm(total=len(jobs), desc=title, unit=unit, dynamic_ncols=True,
                                               mininterval=0.5) as bar:
            for item in results:
                yield item
                bar.update()


def _results(function: Callable, jobs: list[tuple[str, tuple]], pool: Pool) -> Iterator[Item]:
    if pool.here:
        yield from (_attempt(function, name, arguments, pool.debug) for name, arguments in jobs)
        return
    from pebble import ProcessExpired, ProcessPool

    workers = min(pool.workers or number_of_cores(), len(jobs))
    # One library thread a worker: the workers fill all cores, and threads of libraries would only compete with them.
    with _environment(dict.fromkeys(THREAD_VARIABLES, "1") if workers > 1 else {}):
        processes = ProcessPool(workers, initializer=_begin_worker,
                                context=multiprocessing.get_context("spawn"))
        try:
            futures = {
                processes.schedule(_attempt, (function, name, arguments, pool.debug), timeout=pool.time_limit): name
                for name, arguments in jobs
            }
            for future in as_completed(futures):
                try:
                    yield future.result()
                except TimeoutError:
                    yield Item(futures[future], None, f"took longer than {pool.time_limit:g} s. Look at it alone, or "
                               "give a higher --time_limit.")
                except ProcessExpired as error:
                    yield Item(futures[future], None, _death(error.exitcode))
                except Exception as error:      # its result cannot be sent
                    yield Item(futures[future], None, describe_error(error))
        finally:
            processes.stop()
            processes.join()


def _death(exit_code: int) -> str:
    """Why a worker process ended in the middle of a clip."""
    if exit_code == -signal.SIGKILL:
        return "its process was killed (out of memory?). Run it again with --retry_failed, or with fewer --workers."
    if -exit_code in set(signal.Signals):
        return (f"its process crashed ({signal.Signals(-exit_code).name}). The file is damaged in a way that a library "
                "cannot take: encode it again.")
    return f"its process ended without a result (exit code {exit_code})."


def _begin_worker() -> None:
    """Leave it to the main process to end this one, and end by itself where that one was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:      # an orphan has another parent
        time.sleep(PARENT_SECONDS)
    os._exit(1)


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables that processes started meanwhile get."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _ray_results(function: Callable, jobs: list[tuple[str, tuple]], pool: Pool) -> Iterator[Item]:
    """The items from a Ray cluster; its machines must see this folder and the data under the same paths."""
    try:
        import ray
    except ImportError:
        raise UserError("--backend ray: the package ray is not installed. Run `pip install ray`.") from None

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"      # a cluster started here sends no usage statistics
    root = str(Path(__file__).resolve().parents[1])
    environment = {"env_vars": {"PYTHONPATH": root, **dict.fromkeys(THREAD_VARIABLES, "1")}}
    cluster = {"num_cpus": pool.workers or number_of_cores()} if pool.ray_address == "local" else {}
    try:
        ray.init(pool.ray_address, runtime_env=environment, log_to_driver=False, include_dashboard=False, **cluster)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"--address {pool.ray_address}: no Ray cluster can be reached there ({error}). Start one with "
                        "`ray start --head`, or give --address local.") from error
    try:
        attempt = ray.remote(num_cpus=1)(_attempt)
        waiting = {attempt.remote(function, name, arguments, pool.debug): name for name, arguments in jobs}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            name = waiting.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError as error:
                reason = f"its worker was lost ({type(error).__name__}): out of memory, or its machine is gone"
                yield Item(name, None, reason, is_machines=True)
    finally:
        ray.shutdown()
