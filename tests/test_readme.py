"""Every command line of the README, taken from its own text and run in its order on small data."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("avt_main.py", "avt_normal_main.py", "avt_yolt_main.py", "avt_dist_main.py", "models", "datatools", "utils",
         "fuse", "synth", "configs")
# What is appended so that a command runs on small data and without a GPU or a download.
SMALL = {
    "synth/make.py": ["--train", "8", "--test", "4", "--duration", "30"],
    "_main.py": ["--gpus", "cpu", "--pretrained", "none", "--max_epoch", "1", "--num_workers", "0"],
}


def readme_commands() -> list[str]:
    """Every script that the README runs, in its order: lines of its code blocks, and code within its sentences.

    Without the benchmarks, which take their time; `python -m utils.checkpoint export` needs a network at full size and
    has its test beside the reference's checkpoints.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?:^|`)((?:cd \w+ && )?python \S+\.py[^`\n]*)", text, flags=re.MULTILINE)
    return [command for command in commands if "benchmarks/" not in command]


def small(command: str, preset: Path) -> str:
    """The command as it stands, with what makes it small behind it; --gpus=0,1 gives way to the appended flag."""
    for name, flags in SMALL.items():
        if name in command:
            command = f"{command} {shlex.join(flags)}"
    if "_main.py" in command and "--weights" not in command and "--preset" not in command:
        command += f" --preset {shlex.quote(str(preset))}"
    return command


def test_the_readme_shows_every_entry_script_and_stage():
    shown = " ".join(readme_commands())
    for script in ("avt_main.py", "avt_normal_main.py", "avt_yolt_main.py", "avt_dist_main.py", "extract_audio.py",
                   "extract_video.py", "text_extract.py", "extract_textROI.py", "fuse.py", "synth/make.py"):
        assert script in shown, script
    assert "--weights" in shown


@pytest.mark.chain
def test_every_command_of_the_readme_runs(tmp_path, tiny_preset):
    house = tmp_path / "house"
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        house.mkdir(exist_ok=True)
        copy(ROOT / name, house / name)
    preset = tmp_path / "preset.yaml"
    preset.write_text("".join(
        line for line in tiny_preset.read_text(encoding="utf-8").splitlines(True)
        if not line.startswith(("train_folders", "label_files"))   # the competition's layout is what the README means
    ), encoding="utf-8")
    # `python` is the interpreter that runs the tests.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    for command in readme_commands():
        if "fuse.py" in command:   # the user puts five submissions there; one copied under five names will do
            (house / "fuse/submission_B_3").mkdir()
            for i in range(5):
                shutil.copy(house / "work_dir/AVTNet_smooth/submission.csv", house / f"fuse/submission_B_3/{i}.csv")
        if "evaluate.py" in command:   # two submissions that differ
            answers = (house / "work_dir/AVTNet_smooth/submission.csv").read_text()
            (house / "work_dir/submission_a.csv").write_text(answers)
            (house / "work_dir/submission_b.csv").write_text(re.sub(r"[\d.]+$", "100.0", answers, flags=re.MULTILINE))
        result = subprocess.run(["bash", "-c", small(command, preset)], cwd=house, env=environment, text=True,
                                capture_output=True)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    assert (house / "fuse/submission_fused.csv").exists()
