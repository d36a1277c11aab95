"""Run a function over many clips: in several processes or on a Ray cluster, with a progress bar and a summary.

    report = run_stage("audio", extract_clip, [("abc_start", (source, target)), ...])
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datatools.errors import UserError, describe_os_error


def stage_parser(description: str, *, save_root: bool = True, clips: bool = True) -> argparse.ArgumentParser:
    """The argument parser of a preprocessing command, with the flags that these commands share.

    `save_root`: the command writes to another root. `clips`: it works clip by clip on chosen folders, in processes.
    """
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


def _attempt(function: Callable, name: str, arguments: tuple) -> tuple[str, str | None, object]:
    """Runs in a worker: (name, None, result) on success, (name, reason, None) where the clip fails."""
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

    A ValueError or OSError fails that clip alone and is reported; the others go on. Any other exception is a bug of
    ours and ends the stage. `workers` 0 means one per core. `on_result(name, result)` is called in this process as
    each clip finishes; it may return a reason why the clip failed after all. `ray_address` spreads the clips over a
    Ray cluster instead; "local" starts one.
    Prints the summary and returns the report.
    """
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

    # One library thread a worker: the workers fill all cores, and threads of libraries would only compete with them.
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
    """The workers' results from a Ray cluster; its machines must see this folder and the data under the same paths."""
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
