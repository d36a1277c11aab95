"""Every flag of every command with ten wrong values each, called in this process as the command line would.

    for outcome in campaign(100, seed=0, folder=Path("work_dir/flags")):      # None: all of them
        print(outcome)
"""

import argparse
import contextlib
import hashlib
import importlib
import os
import random
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.limits import attempt
from benchmarks.reliability.outcome import Outcome
from datatools.errors import UserError, run_command

# One row a command: its module (and its first word, where that chooses the flags), and what else it is given so that
# only the flag in question is wrong. DATA is a folder without clips, so that nothing long begins should a value be
# accepted.
LISTS = ("--truth", "TRUTH")
COMMANDS = {
    "avt_main": ("--data_root", "DATA", "--save_prefix", "NEW"),
    "avt_normal_main": ("--data_root", "DATA", "--save_prefix", "NEW"),
    "avt_yolt_main": ("--data_root", "DATA", "--save_prefix", "NEW"),
    "avt_dist_main": ("--data_root", "DATA", "--save_prefix", "NEW"),
    "timesformer_main": ("--data_root", "DATA", "--save_prefix", "NEW"),
    "actionclip_main": ("--data_root", "DATA", "--save_prefix", "NEW", "--pretrained", "none"),
    "fuse.fuse": ("--inputs", "ONE", "TWO", "--output", "NEW", "--report", *LISTS),
    "utils.evaluate": ("--submission", "ONE", *LISTS),
    "utils.demo": ("--work_dir", "NEW", "--train", "1", "--duration", "0.5"),     # too short: refused by the first step
    "synth.make": ("--save_root", "NEW", "--train", "0", "--test", "0"),          # nothing to make
    "datatools.preprocess": ("--data_root", "DATA", "--save_root", "NEW"),
    "datatools.text_extract": ("--data_root", "DATA"),
    "utils.extract_audio": ("--data_root", "DATA", "--save_root", "NEW"),
    "utils.extract_video": ("--data_root", "DATA", "--save_root", "NEW"),
    "utils.extract_textROI": ("--data_root", "DATA"),
    "synth.make_actions": ("--save_root", "NEW", "--train", "0", "--val", "0", "--test", "0"),
    "synth.make_episodes": ("--save_root", "NEW", "--train", "0", "--test", "0"),
    "visualize": ("--weights", "ONE", "--video", "DATA", "--output", "NEW"),
    "visualize_predictions": ("--checkpoint", "ONE", "--video", "DATA", "--output-dir", "NEW"),
    "batch_visualize_test": ("--checkpoint", "ONE", "--videos-dir", "DATA", "--output-dir", "NEW"),
    "locate": ("DATA",),                                                          # no videos: nothing to look at
    "tools.learn_joining": ("--planned", "0", "--output", "NEW"),                  # nothing to learn from
    "tools.encode": ("--data_root", "DATA", "--save_root", "NEW"),
    "tools.run_net": (),
    "tools.run_actionclip": (),
    "tools.extract_frames": ("--lists", "TRUTH", "--save_root", "NEW"),
    "tools.make_lists folders": ("--videos", "DATA", "--save_root", "NEW"),
    "tools.make_lists kinetics": ("--videos", "DATA", "--save_root", "NEW", "--lists", "TRUTH"),
    "tools.make_lists ucf101": ("--videos", "DATA", "--save_root", "NEW", "--lists", "DATA"),
    "tools.make_lists hmdb51": ("--videos", "DATA", "--save_root", "NEW", "--lists", "DATA"),
    "tools.make_lists text": ("--save_root", "NEW"),
}
WRONG_NUMBERS = ("", " ", "nan", "-1", "1e300", "9" * 20, "1_0", "٣", "0x10", "two")
WRONG_WORDS = ("", " ", "nan", "-", "--", "a\0b", "\udcff", "x" * 5000, "=1", "None")
WRONG_SWITCHES = ("", "0", "1", "true", "no", "nan", "a\0b", "\udcff", "x" * 5000, "=")
WRONG_PATHS = ("", " ", "a\0b", "\udcff", "x" * 300, "PIPE", "/dev/full", "LOOP", "BYTES", "ONE/below")


@dataclass(frozen=True)
class Flag:
    """A flag of a command, and the wrong values that suit it."""

    command: str
    word: str
    values: tuple[str, ...]


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser that a command builds, caught as it is asked to parse."""
    module, _, kind = command.partition(" ")
    caught: list[argparse.ArgumentParser] = []

    class Caught(Exception):
        pass

    def catch(parser, *_):
        caught.append(parser)
        raise Caught

    before = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = catch
    try:
        with contextlib.suppress(Caught):
            importlib.import_module(module).main([])
    finally:
        argparse.ArgumentParser.parse_args = before
    return caught[0]._subparsers._group_actions[0].choices[kind] if kind else caught[0]


def flags_of(command: str) -> list[Flag]:
    """Every option of a command but --help."""
    flags = []
    for action in parser_of(command)._actions:
        if action.dest != "help":
            values = wrong_values(action)
            if (command, action.dest) == ("fuse.fuse", "output"):      # it may well write a file that exists
                values = tuple("/" if value == "BYTES" else value for value in values)
            flags += [Flag(command, word, values) for word in action.option_strings]
    return flags


def wrong_values(action: argparse.Action) -> tuple[str, ...]:
    if action.nargs == 0:
        return WRONG_SWITCHES
    name = getattr(action.type, "__name__", "")
    if name.startswith(("path", "folder")):
        return WRONG_PATHS
    return WRONG_NUMBERS if name == "parse" else WRONG_WORDS


def make_places(folder: Path) -> dict[str, Path]:
    """The files that the values and the commands name."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {name: folder / name.lower() for name in ("DATA", "NEW", "PIPE", "LOOP", "BYTES", "ONE", "TWO", "TRUTH")}
    (places["DATA"] / "data_C").mkdir(parents=True, exist_ok=True)
    if not places["PIPE"].exists():
        os.mkfifo(places["PIPE"])
        places["LOOP"].symlink_to(places["LOOP"])
    places["BYTES"].write_bytes(bytes(range(256)) * 8)
    for name, seconds in (("ONE", 3), ("TWO", 4)):
        places[name].write_text(f"a_start.mp4,s,{seconds}\nb_end.mp4,e,70\n")
    places["TRUTH"].write_text("a_start 3\nb_end 71\n")
    return places


def state_of(folder: Path) -> dict[str, str]:
    """{path: kind and content} of all that lies in a folder."""
    state = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
        state[str(path)] = f"{stat.S_IFMT(mode)} {content}"
    return state


@contextlib.contextmanager
def everything_into(file) -> Iterator[None]:
    """Let `file` take what this process and the ones that it starts print."""
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            yield
        file.flush()
    finally:
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)


def call(command: str, words: list[str]) -> str:
    """Run a command as its script would. Raises UserError where it ends with 1 or 2, AssertionError for a fault."""
    module, *kind = command.split()
    main: Callable = importlib.import_module(module).main
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as told:
        with everything_into(told):
            try:
                run_command(lambda: main([*kind, *words]))
            except SystemExit as end:
                code = end.code
        told.seek(0)
        text = told.read()
    assert "Traceback" not in text, text[-500:]
    assert code in (0, 1, 2), f"exit code {code}"
    if code:
        assert text.strip(), f"exit code {code} without a word"
        raise UserError(text.strip().splitlines()[-1])
    return text.strip()[-200:]


def campaign(count: int | None, seed: int, folder: Path) -> list[Outcome]:
    """The outcomes of `count` flags with a wrong value, drawn by `seed`; None: of all. Works below `folder`."""
    folder = folder.resolve()
    places, empty = make_places(folder / "places"), folder / "here"
    empty.mkdir(exist_ok=True)
    before, started_in = state_of(folder), Path.cwd()
    cases = [(flag, value) for command in COMMANDS for flag in flags_of(command) for value in flag.values]
    random.Random(seed).shuffle(cases)
    outcomes = []
    os.chdir(empty)
    try:
        for flag, value in cases[:count]:
            first, *below = value.split("/", 1)
            value = "/".join([str(places.get(first, first)), *below])
            rest = [str(places.get(word, word)) for word in COMMANDS[flag.command]]
            name = f"{flag.command} {flag.word}={value[:40]!r}"
            outcome = attempt(name, lambda flag=flag, value=value, rest=rest:
                              call(flag.command, [*rest, f"{flag.word}={value}"]))
            if (after := state_of(folder)) != before:
                changed = sorted(set(after.items()) ^ set(before.items()))
                outcome = Outcome(name, "fault", f"{outcome.told[:200]}; changed: {changed[:3]}")
                before = after
            outcomes.append(outcome)
    finally:
        os.chdir(started_in)
    return outcomes
