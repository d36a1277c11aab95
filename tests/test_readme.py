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
FILES = ("avt_main.py", "avt_normal_main.py", "avt_yolt_main.py", "avt_dist_main.py", "timesformer_main.py",
         "actionclip_main.py", "visualize.py", "models", "datatools", "utils", "fuse", "synth", "tools", "configs")
# What is appended so that a command runs on few and short clips, for one epoch, and without a GPU. A network of the
# reference gets small sizes, too; nothing else that the text leaves out.
SMALL = {
    "synth/make.py": "--train 8 --test 4 --duration 12",
    "synth/make_actions.py": "--train 1 --val 1 --test 1 --size 32 --workers 1",
    "_main.py": "--gpus cpu --max_epoch 1",
    "level_main.py": "--gpus cpu --max_epoch 2",
}
SIZES = ("network:\n  hidden: 8\n  frame_channels: [4, 8]\n  text_channels: [4, 8]\n"
         "  audio_channels: [16, 16, 16, 16]\n  recurrent: false\n")
# Of the recognisers' chapter. The made videos stand for the user's; the network is that of the small preset.
WORDS = ("data/words", "work_dir/words")
ACTIONS = ("timesformer_main.py", "make_actions.py", "make_lists.py", *WORDS)
SMALL_ACTIONS = {"data/mine": "--preset configs/timesformer_small.yaml --batch_size 2"}
REFERENCE = ("avt_main.py", "avt_normal_main.py", "avt_yolt_main.py")


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def commands_of(text: str) -> list[str]:
    """Every script that a text runs, in its order: lines of code blocks, and code within sentences.

    Without the benchmarks, which take their time.
    """
    text = re.sub(r"```(?:python|yaml)\n.*?```", "", text, flags=re.DOTALL)      # files, not commands
    commands = re.findall(r"(?:^ *|`)((?:cd \w+ && )?python \S+\.py(?:[^`\n\\]|\\\n)*)", text, flags=re.MULTILINE)
    return [command.replace("\\\n", " ") for command in commands if "benchmarks/" not in command]


def files_of(text: str) -> dict[str, str]:
    """{path: content} of the code blocks whose first line is a comment with their path."""
    found = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", text, flags=re.DOTALL)
    return dict(found)


def small(command: str, preset: Path) -> str:
    """The command as it stands, with what makes it small behind it; of a flag given twice the later one counts."""
    for name, flags in {**SMALL, **(SMALL_ACTIONS if "timesformer_main.py" in command else {})}.items():
        if name in command:
            command = f"{command} {flags}"
    if any(script in command for script in REFERENCE) and "--weights" not in command and "--preset" not in command:
        command += f" --preset {shlex.quote(str(preset))}"
    return command


def test_the_readme_shows_every_entry_script_and_stage():
    shown = " ".join(commands_of(readme()))
    for script in ("avt_main.py", "avt_normal_main.py", "avt_yolt_main.py", "avt_dist_main.py", "extract_audio.py",
                   "extract_video.py", "text_extract.py", "extract_textROI.py", "fuse.py", "make.py", "level_main.py"):
        assert script in shown, script
    assert "--weights" in shown


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of what a user has, with the files that the README has them write."""
    house = tmp_path_factory.mktemp("readme") / "house"
    house.mkdir()
    for name in FILES:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, house / name)
    for path, content in files_of(readme()).items():
        assert not (house / path).exists()
        (house / path).write_text(content, encoding="utf-8")
    (house.parent / "sizes.yaml").write_text(SIZES, encoding="utf-8")
    return house


def run_in(house: Path, commands: list[str]) -> str:
    """What the commands print, run in their order in one process, so that torch is imported once."""
    words = [word for command in commands for word in ("--then", *shlex.split(
        small(command, house.parent / "sizes.yaml").removeprefix("python "), comments=True))][1:]
    result = subprocess.run([sys.executable, "-m", "utils.in_turn", *words], cwd=house, text=True, capture_output=True)
    assert result.returncode == 0, f"{result.stdout}{result.stderr}"
    return result.stdout


def run_as_typed(house: Path, command: str) -> str:
    # `python` is the interpreter that runs the tests.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    result = subprocess.run(["bash", "-c", command], cwd=house, env=environment, text=True, capture_output=True)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.mark.chain
def test_every_command_of_the_readme_runs(house):
    commands = [command for command in commands_of(readme()) if not is_of_actions(command)
                and "locate.py" not in command]      # those are run in test_locate
    # Before these, the user puts files there that the README tells of.
    evaluates, fuses = (next(i for i, command in enumerate(commands) if name in command)
                        for name in ("evaluate.py", "python fuse.py"))
    assert evaluates < fuses
    run_in(house, commands[:evaluates])
    answers = (house / "work_dir/AVTNet_smooth/submission.csv").read_text()
    (house / "work_dir/submission_a.csv").write_text(answers)      # two submissions that differ
    (house / "work_dir/submission_b.csv").write_text(re.sub(r"[\d.]+$", "100.0", answers, flags=re.MULTILINE))
    run_in(house, commands[evaluates:fuses])
    (house / "fuse/submission_B_3").mkdir()
    for i in range(5):      # five submissions; one under five names will do
        shutil.copy(house / "work_dir/AVTNet_smooth/submission.csv", house / f"fuse/submission_B_3/{i}.csv")
    run_as_typed(house, commands[fuses])
    assert (house / "fuse/submission_fused.csv").exists()

    # The network of "Add a network" was trained, resumed, asked and fused like any other.
    train, resume, infer, fuse = commands[fuses + 1:]
    assert "--resume" in resume and "--weights" in infer and "fuse.py" in fuse
    printed = run_in(house, [train, resume, infer, fuse])
    for said in ("Level 0.", "epoch  1 | train", "resumed work_dir/Level/avnet_last.pth after epoch 1",
                 "4 clips: work_dir/Level/submission.csv", "fused 3 submissions"):
        assert said in printed, said
    mine, fused = ((house / "work_dir" / name).read_text().splitlines()
                   for name in ("Level/submission.csv", "submission_with_level.csv"))
    assert len(mine) == 4 and {line.split(",")[0] for line in mine} == {line.split(",")[0] for line in fused}


def is_of_actions(command: str) -> bool:
    return any(name in command for name in ACTIONS)


def is_of_words(command: str) -> bool:
    return any(name in command for name in WORDS)


@pytest.mark.chain
def test_every_command_of_the_readme_about_actions_runs(house):
    commands = [command for command in commands_of(readme()) if is_of_actions(command) and not is_of_words(command)]
    lists = next(i for i, command in enumerate(commands) if "make_lists.py" in command)
    run_in(house, commands[:lists])
    assert (house / "work_dir/actions/answers/00000_growing_attention.png").exists()
    assert (house / "work_dir/actions/test_confusion.png").exists()
    for video in (house / "data/actions").rglob("*.mp4"):      # three videos a class
        target = house / "data/videos" / video.stem.partition("_")[2] / f"{video.parent.name}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, target)
    shares = commands[lists].replace("0.1", "0.34")
    shutil.copy(house / "work_dir/actions/avnet_bestmodel.pth", house / "TimeSformer_divST_8x32_224_K400.pyth")
    run_in(house, [shares, *commands[lists + 1:]])
    assert "head.weight" not in (house / "work_dir/mine/log.txt").read_text()      # as many classes


@pytest.mark.chain
def test_every_command_of_the_readme_about_words_runs(house):
    run_in(house, list(filter(is_of_words, commands_of(readme()))))
    drawn = house / "work_dir/words/drawn"
    assert len(list(drawn.glob("*_visualized.mp4"))) == 8 and (drawn / "contact.png").exists()
    assert (house / "work_dir/words/answers/answers.csv").exists()


@pytest.mark.chain
def test_the_entry_scripts_own_first_commands_are_whole(house):
    """Those of the docstrings. AVTDist's, which no preset helps, are run; the others' networks are of full size."""
    for script in sorted(ROOT.glob("*_main.py")):
        train, infer, *_ = commands_of(script.read_text(encoding="utf-8").split('"""')[1].replace("\\\\\n", "\\\n"))
        assert script.name in train and "--weights" in infer and "--preset" not in train
        if script.name == "avt_dist_main.py":
            run_in(house, [train, infer])


@pytest.mark.chain
def test_the_readmes_python_answers_a_window_of_a_video(house):
    code, = [code for code in re.findall(r"```python\n(.*?)```", readme(), flags=re.DOTALL) if "Predictor(" in code]
    video = next((house / "data/raw/data_C").glob("*.mp4"))
    printed = run_as_typed(house, f"python -c {shlex.quote(code.replace('episode.mkv', str(video)))}")
    assert re.fullmatch(r"tensor\(\[[\d.]+\]\)\n", printed)
