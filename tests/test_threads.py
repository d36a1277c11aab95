"""How many CPU threads a step computes with, on a quiet machine and beside other programs."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from engine_helpers import Product, SmallNet, at_step, equal, small_flags, train_small
from torch import nn

from datatools.errors import UserError
from datatools.stages import number_of_cores
from utils import threads
from utils.checkpoint import load_checkpoint
from utils.run_folder import LAST, read_records
from utils.threads import QUIET, WINDOW, FreeCores, Watch, adapt_threads, fix_threads

LARGE = nn.Linear(400, 400)      # more than FEWEST_PARAMETERS
SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


class Machine:
    """A clock and cores of which other programs use `others`; this process uses what it is given."""

    def __init__(self, cores: int):
        self.cores, self.others, self.now, self.idle, self.used = cores, 0.0, 1000.0, 5000.0, 0.0

    def run(self, seconds: float, threads: float = 0.0) -> None:
        """Let time pass in which this process has so many threads to run."""
        mine = min(threads, max(self.cores - self.others, self.cores * threads / max(1e-9, threads + self.others)))
        self.now, self.used = self.now + seconds, self.used + mine * seconds
        self.idle += max(0.0, self.cores - self.others - mine) * seconds


@pytest.fixture
def machine(monkeypatch) -> Machine:
    """Eight cores in place of this machine's, and no fixed number of threads."""
    eight = Machine(8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_watch", None)
    monkeypatch.setattr(threads, "number_of_cores", lambda: eight.cores)
    monkeypatch.setattr(threads, "idle_seconds", lambda _: int(eight.idle * 100) / 100)      # as the kernel rounds it
    monkeypatch.setattr(threads, "time", SimpleNamespace(
        perf_counter=lambda: eight.now, process_time=lambda: eight.used, sleep=eight.run))
    before = torch.get_num_threads()
    yield eight
    torch.set_num_threads(before)


def test_a_quiet_machine_gets_all_cores_each_time(machine):
    watch = Watch(8)
    for step in range(10_000):
        machine.others = 0.3 * (step % 2)      # small programs come and go
        assert watch.choose() == 8
        machine.run(0.05 + 0.01 * (step % 60), watch.number)


@pytest.mark.parametrize("others, number", [(0.0, 8), (0.4, 8), (1.0, 4), (4.0, 4), (5.0, 2), (6.6, 1), (30, 1)])
def test_no_more_threads_than_cores_that_others_leave(machine, others, number):
    machine.others = others
    assert Watch(8).choose() == number


def test_the_step_after_others_begin_has_fewer_threads_and_a_quiet_machine_gets_them_back(machine):
    watch = Watch(8)
    assert watch.choose() == 8
    machine.others = 30
    machine.run(1.0, 8)
    assert watch.choose() == 2      # by its fair share of the cores
    for _ in range(3):
        machine.run(1.0, watch.number)
        watch.choose()
    assert watch.number == 1
    machine.others, since = 0, machine.now
    while watch.choose() == 1:
        machine.run(0.1, 1)
    assert QUIET <= machine.now - since < QUIET + 1
    assert watch.number == 8


def test_short_quiet_moments_beside_others_do_not_bring_all_threads_back(machine):
    watch = Watch(8)
    machine.others = 8
    for _ in range(300):
        assert watch.choose() == 1
        machine.others = 8 - machine.others      # half a second each
        machine.run(0.5, 1)


@pytest.mark.parametrize("content", [None, "", "cpu  0 0 0 0 0 0\ncpu0 0 0 0 0 0 0\n", "cpu  1 1 1 1\ncpu0 1 1\n",
                                     "cpu  1 1 1 9 9 1\ncpu4096 1 1 1 9 9 1\n", "cpux 1 2 3 4 5 6\n", "\0\xff"])
def test_where_the_load_cannot_be_read_the_number_stays(tmp_path, monkeypatch, content):
    monkeypatch.setattr(threads, "STAT", tmp_path / "stat")
    if content is not None:
        (tmp_path / "stat").write_text(content, encoding="latin-1")
    monkeypatch.setattr(threads, "time", SimpleNamespace(
        perf_counter=time.perf_counter, process_time=time.process_time, sleep=lambda _: pytest.fail("waits in vain")))
    watch = Watch(4)
    for _ in range(3):
        watch.free = watch.free or FreeCores()
        watch.free.started -= 10
        assert watch.choose() == 4


@pytest.mark.skipif(threads.idle_seconds(FreeCores().cores) is None, reason="the kernel does not tell idle time")
def test_programs_that_spin_leave_no_core_free():
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(number_of_cores())]
    try:
        free = FreeCores()
        while free.seconds < 2 * WINDOW:
            pass
        assert free.since_start() < number_of_cores() - threads.SLACK
    finally:
        for other in others:
            other.kill()
            other.wait()


# ---------------------------------------------------------------- which number holds


def test_a_large_network_gets_the_free_cores_and_a_small_one_a_single_thread(machine):
    assert not adapt_threads(LARGE)
    assert torch.get_num_threads() == 8
    assert not adapt_threads(Product())
    assert torch.get_num_threads() == 1
    machine.others = 8
    machine.run(1.0)
    assert adapt_threads(LARGE)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("given, environment", [(3, None), (0, "3"), (3, "5")])
def test_a_given_number_holds_whatever_the_load_and_the_network(machine, monkeypatch, given, environment):
    torch.set_num_threads(3)      # as OpenMP does at the process's start
    if environment:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    fix_threads(given)
    machine.others = 8
    for net in (LARGE, Product(), LARGE):
        assert not adapt_threads(net)
        assert torch.get_num_threads() == 3
        machine.run(5.0)


def test_a_network_on_another_device_and_one_without_weights_change_nothing(machine):
    adapt_threads(LARGE)
    machine.others = 8
    machine.run(5.0)
    assert not adapt_threads(nn.Linear(400, 400, device="meta"))
    assert not adapt_threads(nn.ReLU())
    assert torch.get_num_threads() == 8


def test_compiled_code_keeps_its_number(machine):
    fix_threads(0, constant=True)
    machine.others = 8
    assert not adapt_threads(LARGE)
    assert torch.get_num_threads() == 8


@pytest.mark.parametrize("words", ["--threads=-1", "--threads=1.5", "--threads=1025", "--threads=" + "9" * 20,
                                   "--threads=two", "--threads="])
def test_an_impossible_number_is_refused(shared_processed, tmp_path, words):
    with pytest.raises(UserError, match="threads"):
        train_small(small_flags(shared_processed, tmp_path / "run", words))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity masks")
def test_one_core_by_affinity_is_one_core():
    code = ("import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
            "from datatools.stages import number_of_cores; print(number_of_cores())")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert result.stdout == "1\n", result.stderr


# ---------------------------------------------------------------- what a training makes of it


@pytest.fixture
def two_cores(machine, monkeypatch, no_pictures) -> Machine:
    """Two cores for trainings of a network that counts as large."""
    monkeypatch.setattr(threads, "FEWEST_PARAMETERS", 0)
    machine.cores = 2
    return machine


def test_the_log_tells_once_an_epoch_and_records_how_many_steps(two_cores, shared_processed, tmp_path, monkeypatch):
    at_step(monkeypatch, {(1, 2): lambda: begin_others(two_cores)})      # of six steps
    assert train_small(small_flags(shared_processed, tmp_path)) == 0
    told = [line for line in (tmp_path / "log.txt").read_text().splitlines() if "other programs" in line]
    assert [("epoch 1, step 3" in line, "epoch 2, step 0" in line, "1 of 2 threads" in line) for line in told] == [
        (True, False, True), (False, True, True)]
    assert [record["fewer_threads_steps"] for record in read_records(tmp_path)] == [0, 3, 6]


def test_with_a_fixed_number_the_weights_are_the_same_beside_others(two_cores, shared_processed, tmp_path, monkeypatch):
    assert train_small(small_flags(shared_processed, tmp_path / "quiet", "--threads", 2, "--max_epoch", 2)) == 0
    at_step(monkeypatch, {(1, 2): lambda: begin_others(two_cores)})
    assert train_small(small_flags(shared_processed, tmp_path / "busy", "--threads", 2, "--max_epoch", 2)) == 0
    assert torch.get_num_threads() == 2
    quiet, busy = (load_checkpoint(tmp_path / name / LAST) for name in ("quiet", "busy"))
    assert equal(quiet["model"], busy["model"])
    assert all(record["fewer_threads_steps"] == 0 for record in read_records(tmp_path / "busy"))


def test_validation_and_inference_adapt_each_batch(two_cores, shared_processed, tmp_path, monkeypatch):
    seen = []
    forward = SmallNet.forward

    def counting(self, *args, **kwargs):
        if not self.training:
            seen.append(torch.get_num_threads())
            begin_others(two_cores)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(SmallNet, "forward", counting)
    flags = small_flags(shared_processed, tmp_path, "--max_epoch", 1, "--batch_size", 1)
    assert train_small(flags) == 0
    assert seen == [2, 1]
    two_cores.others = 0
    seen.clear()
    assert train_small([*flags, "--weights", str(tmp_path / LAST), "--folder", "data_C"]) == 0
    assert seen == [2, 1, 1]


def begin_others(machine: Machine) -> None:
    machine.others = 4
    machine.run(1.0, 2)
