"""A stage over many clips: whatever happens to one of them, the others are done."""

import os
import signal
import time
from pathlib import Path

import pytest

from datatools.errors import UserError, describe_error, run_command
from datatools.stages import Item, Pool, run_stage

pytestmark = pytest.mark.workers


def behave(how: str, folder: Path) -> str:
    """What a clip may do to the process that works on it."""
    if how == "raises":
        return {}["片头"]
    if how == "refuses":
        raise UserError("a.mp4: empty. Copy it again.")
    if how == "full":
        raise OSError(28, "No space left on device", "a.npy")
    if how == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "leaves":
        os._exit(3)
    if how == "hangs":
        time.sleep(600)
    if how == "cannot be sent":
        return lambda: None
    (folder / how).write_text("done")
    return how


WAYS = ("raises", "refuses", "full", "crashes", "is killed", "leaves", "hangs", "cannot be sent")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The report of one stage in which clips do all of that, between clips that are well."""
    folder = tmp_path_factory.mktemp("stage")
    items: list[Item] = []
    jobs = [(how, (how, folder)) for pair in zip(WAYS, [f"well{k}" for k in range(len(WAYS))], strict=True)
            for how in pair]
    report = run_stage("test", behave, jobs, pool=Pool(workers=2, time_limit=4), on_item=items.append,
                       kept=["before"], unusable=[("pipe.mp4", "not a regular file")])
    return report, {item.name: item for item in items}, folder


def test_every_clip_that_is_well_is_done_whatever_the_others_do(outcome):
    report, items, folder = outcome
    assert sorted(report.done) == [f"well{k}" for k in range(len(WAYS))]
    assert sorted(path.name for path in folder.iterdir()) == sorted(report.done)
    assert set(items) == {*WAYS, *report.done} and items["well0"].result == "well0"
    assert report.exit_code == 1 and report.kept == ["before"]


@pytest.mark.parametrize(("how", "told"), [
    ("raises", "KeyError: '片头' (test_stages.py, line"),
    ("refuses", "a.mp4: empty. Copy it again."),
    ("full", "a.npy: cannot be written, the disk (or its quota) is full"),
    ("crashes", "its process crashed (SIGSEGV)"),
    ("is killed", "its process was killed (out of memory?)"),
    ("leaves", "its process ended without a result (exit code 3)"),
    ("hangs", "took longer than 4 s"),
    ("cannot be sent", "its process ended without a result"),
    ("pipe.mp4", "not a regular file"),
])
def test_a_failure_is_told_in_one_line(outcome, how, told):
    (reason,) = (reason for name, reason in outcome[0].failed if name == how)
    assert told in reason and "\n" not in reason


def test_only_a_fault_of_the_machine_is_not_the_clips(outcome):
    assert [name for name, item in outcome[1].items() if item.is_machines] == ["full"]


def test_debug_shows_where_an_unexpected_failure_comes_from(capfd):
    run_stage("test", behave, [("raises", ("raises", None))], pool=Pool(here=True, debug=True))
    told = capfd.readouterr().err
    assert "Traceback" in told and 'return {}["片头"]' in told
    run_stage("test", behave, [("refuses", ("refuses", None))], pool=Pool(here=True, debug=True))
    assert "Traceback" not in capfd.readouterr().err


def test_an_unexpected_error_of_a_command_is_one_line_and_exit_code_2(capsys, monkeypatch):
    monkeypatch.delenv("AVTNET_DEBUG", raising=False)
    with pytest.raises(SystemExit) as left:
        run_command(lambda: behave("raises", None))
    told = capsys.readouterr().err
    assert left.value.code == 2 and "Traceback" not in told
    assert told.startswith("error: KeyError: '片头' (test_stages.py, line") and told.count("\n") == 1
    monkeypatch.setenv("AVTNET_DEBUG", "1")
    with pytest.raises(SystemExit):
        run_command(lambda: behave("raises", None))
    assert "Traceback" in capsys.readouterr().err


def test_an_error_without_a_message_still_has_a_name():
    assert describe_error(RuntimeError()) == "RuntimeError"
