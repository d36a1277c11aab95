"""The demo's way to run commands: in turn in one process, several at once, and what happens where one fails."""

import sys
from pathlib import Path

import numpy as np
import pytest

from datatools.errors import UserError
from datatools.features import extract_frames, extract_mfcc
from datatools.layout import TEST_B
from datatools.media import probe
from synth.dataset import make_dataset
from utils.demo_steps import FPS, Steps
from utils.in_turn import run_in_turn


@pytest.fixture
def script(tmp_path) -> str:
    """A command that prints its flags, uses some CPU time, and ends with the code that --code gives."""
    path = tmp_path / "script.py"
    path.write_text("import sys\nprint('told', *sys.argv[1:], sum(range(300_000)) > 0, __name__)\n"
                    "sys.exit(int(sys.argv[2]) if sys.argv[1] == '--code' else 0)\n")
    return str(path)


def test_commands_run_in_turn_with_their_own_flags_until_one_fails(script, capsys):
    before = list(sys.argv)
    assert run_in_turn([script, "a", "b", "--then", script, "--code", "0"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "told" in line] == [
        "told a b True __main__", "told --code 0 True __main__"]
    assert run_in_turn([script, "--code", "3", "--then", script, "c"]) == 3
    printed = capsys.readouterr().out
    assert f"$ python {script} --code 3" in printed and "told c" not in printed
    assert sys.argv == before


def test_commands_that_run_at_once_are_told_apart_and_cost_is_kept(script, capsys):
    steps = Steps(2)
    steps.run("one", script, "a")
    steps.run_together("several", {"left": [[script, "b"], [script, "c"]], "right": [[script, "d"]]})
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[1/2, 0.0 min] one", "[2/2, 0.0 min] several"]
    assert "      left | told b True __main__" in lines and "     right | told d True __main__" in lines
    assert lines.index("      left | told b True __main__") < lines.index("      left | told c True __main__")
    one, several = steps.costs
    assert (one.title, several.title) == ("one", "several") and 0 < one.cpu_seconds < several.cpu_seconds + 1
    assert steps.total().cpu_seconds == pytest.approx(one.cpu_seconds + several.cpu_seconds)


def test_a_step_that_fails_is_named(script):
    steps = Steps(2)
    with pytest.raises(UserError, match=r"one: python .*script\.py ended with exit code 4, its message stands above"):
        steps.run("one", script, "--code", 4)
    with pytest.raises(UserError, match="several: right failed"):
        steps.run_together("several", {"left": [[script, "b"]], "right": [[script, "--code", 1], [script, "d"]]})
    assert steps.costs == [] and Path(script).exists()


def test_clips_of_few_frames_a_second_give_the_features_of_usual_ones(tmp_path):
    usual, few = (make_dataset(tmp_path / str(fps), train=0, test=1, height=90, duration=12, fps=fps, workers=1)
                  for fps in (None, FPS))
    (name,) = usual.done
    assert few.done == [name]
    paths = [tmp_path / str(fps) / TEST_B.folders[0] for fps in (None, FPS)]
    videos = [path / f"{name}.mp4" for path in paths]
    assert (paths[0] / "truth.csv").read_bytes() == (paths[1] / "truth.csv").read_bytes()
    assert np.array_equal(*map(extract_mfcc, videos))
    frames = [extract_frames(video).astype(int) for video in videos]
    assert np.abs(frames[0] - frames[1]).mean((1, 2, 3)).max() < 5 < frames[0][:12].std()
    assert probe(videos[1]).video.rate == FPS
    with pytest.raises(UserError, match=r"made with fps 5 \(asked for: None\)"):
        make_dataset(tmp_path / str(FPS), train=0, test=1, height=90, duration=12)
    with pytest.raises(UserError, match="--fps 0: expected 1 to 60"):
        make_dataset(tmp_path / "none", train=0, test=1, fps=0)
