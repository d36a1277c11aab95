"""Flags made from settings, and presets: a YAML file whose keys are the flags' names.

    python avt_main.py --preset configs/demo_avt.yaml --lr 1e-3     # the command line wins over the preset
"""

import argparse
import difflib
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path

from datatools.commands import CommandParser, shortened_message
from datatools.errors import UserError
from datatools.numbers import parse_number, shortened
from datatools.paths import path
from utils.presets import read_preset
from utils.settings import (
    BoundarySettings,
    FitSettings,
    InferSettings,
    LaunchSettings,
    MatchingSettings,
    RecogniseSettings,
    RecognitionSettings,
)

NETWORK_KEY = "network"   # the only section of a preset that is not a flag: the network's sizes


class Parser(CommandParser):
    """An argument parser that raises UserError for a mistake, on the command line and in a preset alike."""

    def error(self, message: str):
        raise UserError(f"{shortened_message(message)} (all flags: {self.prog} --help)")


@dataclass(frozen=True)
class BoundaryCommand:
    """What one call of an entry script asks for. `sizes`: the network's, from the preset; `words`: the command line."""

    fit: FitSettings = FitSettings()
    boundary: BoundarySettings = BoundarySettings()
    launch: LaunchSettings = LaunchSettings()
    infer: InferSettings = InferSettings()
    sizes: dict = field(default_factory=dict)
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecognitionCommand:
    """What one call of a video recogniser's script asks for; as BoundaryCommand.

    `matching`: only of a recogniser that knows its classes by their names. `lists`: {split: file}, in place of
    data_root's.
    """

    fit: FitSettings = FitSettings()
    recognition: RecognitionSettings = RecognitionSettings()
    matching: MatchingSettings | None = None
    launch: LaunchSettings = LaunchSettings()
    recognise: RecogniseSettings = RecogniseSettings()
    lists: dict[str, Path] = field(default_factory=dict)
    sizes: dict = field(default_factory=dict)
    words: tuple[str, ...] = ()


PARTS = {"fit": FitSettings, "boundary": BoundarySettings, "launch": LaunchSettings, "infer": InferSettings}
RECOGNITION_PARTS = {"fit": FitSettings, "recognition": RecognitionSettings, "launch": LaunchSettings,
                     "recognise": RecogniseSettings}
MATCHING_PARTS = {**RECOGNITION_PARTS, "matching": MatchingSettings}
# Clips are drawn anew each epoch, so they cannot stay in memory; and there is no network of frames alone.
NOT_FOR_RECOGNITION = ("data_in_memory", "channels_last")


def boundary_command(description: str, argv: list[str] | None = None, **defaults) -> BoundaryCommand:
    """Read an entry script's flags. Raises UserError; --help prints and exits.

    `defaults` are this script's own, {setting: value}. --if_normal exists only where its default is given, for a
    network whose standardisation of frames is optional.
    """
    words = tuple(sys.argv[1:] if argv is None else map(str, argv))
    leave_out = () if "if_normal" in defaults else ("if_normal",)
    parser = flag_parser(description, PARTS.values(), defaults, leave_out)
    args, sizes = parse_with_preset(parser, words)
    parts = {name: settings_of(kind, args) for name, kind in PARTS.items()}
    return BoundaryCommand(**parts, sizes=sizes, words=words)


def recognition_command(
    description: str, argv: list[str] | None = None, parts: dict[str, type] = RECOGNITION_PARTS, **defaults
) -> RecognitionCommand:
    """Read the flags of a video recogniser's script. Raises UserError; --help prints and exits.

    `parts`: the classes of its settings. `defaults` are this script's own, {setting: value}.
    """
    words = tuple(sys.argv[1:] if argv is None else map(str, argv))
    parser = flag_parser(description, parts.values(), defaults, NOT_FOR_RECOGNITION)
    parser.add_argument("--sizes", nargs="+", default=[], metavar="NAME=VALUE",
                        help="sizes of the network, such as depth=4 width=384; they win over a preset's")
    args, sizes = parse_with_preset(parser, words)
    told = {name: settings_of(kind, args) for name, kind in parts.items()}
    return RecognitionCommand(**told, sizes={**sizes, **dict(map(size_from, args.sizes))}, words=words)


def size_from(word: str) -> tuple[str, bool | int | float | str]:
    """(name, value) of `NAME=VALUE`: true or false, a number, or a word. Raises UserError."""
    name, equals, text = word.partition("=")
    if not name.isidentifier() or not equals or not text:
        raise UserError(f"--sizes: found {shortened(word)}, expected NAME=VALUE, such as depth=4.")
    if text in ("true", "false"):
        return name, text == "true"
    for kind in (int, float):
        try:
            return name, parse_number(text, kind)
        except ValueError:
            pass
    return name, text


# ---------------------------------------------------------------- settings to flags, and back


def flag_parser(description: str, kinds, defaults: dict, leave_out: tuple[str, ...] = ()) -> Parser:
    """A parser with a flag for every field of the settings classes `kinds`, and --preset."""
    parser = Parser(description=description, allow_abbrev=False)
    parser.add_argument("--preset", type=path, metavar="YAML", help="a file of settings; flags given here win over it")
    settings = [f for kind in kinds for f in fields(kind) if f.name not in leave_out]
    groups = {title: parser.add_argument_group(title) for title in ("data", "training", "run", "inference")}
    one_of: dict[str, argparse._MutuallyExclusiveGroup] = {}
    for title, group in groups.items():
        for each in settings:
            if each.metadata["group"] == title:
                flag = dict(each.metadata["flag"])
                place = group
                if which := flag.pop("one_of", None):
                    one_of[which] = place = one_of.get(which) or group.add_mutually_exclusive_group()
                _add_flag(place, each, flag, defaults.get(each.name, each.default))
    return parser


def _add_flag(place, setting, flag: dict, default) -> None:
    for name, (value, help_text) in flag.pop("constants", {}).items():
        place.add_argument(name, dest=setting.name, action="store_const", const=value, help=help_text)
    if setting.type in (bool, bool | None):
        flag["action"] = argparse.BooleanOptionalAction
    default = list(default) if isinstance(default, tuple) else default
    action = place.add_argument(f"--{setting.name}", default=default, **flag)
    action.help = setting.metadata["help"]      # without the default that BooleanOptionalAction appends


def settings_of(kind: type, args: argparse.Namespace):
    """One class of settings from parsed flags; a setting without a flag in this command keeps its default."""
    values = {f.name: getattr(args, f.name, f.default) for f in fields(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


# ---------------------------------------------------------------- presets


def preset_arguments(parser: Parser, preset: Path) -> tuple[list[str], dict]:
    """A preset as command-line arguments, and its network's sizes. Raises UserError unless it is a flat mapping."""
    content = read_preset(preset)
    sizes = content.pop(NETWORK_KEY, {})
    if not isinstance(sizes, dict):
        raise UserError(f"{preset}: {NETWORK_KEY}: found {shortened(sizes)}, expected `size: value` lines.")
    flags = {word.removeprefix("--"): action for action in parser._actions for word in action.option_strings
             if action.dest not in ("help", "preset") and not word.startswith("--no-")}
    arguments: list[str] = []
    for key, value in content.items():
        if key not in flags:
            near = difflib.get_close_matches(key, [*flags, NETWORK_KEY], 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise UserError(f"{preset}: {shortened(key)} is no flag that a preset can set.{meant}")
        try:
            arguments += _flag_words(key, value, flags[key])
        except ValueError as error:
            raise UserError(f"{preset}: {key}: found {shortened(value)}, {error}.") from None
    return arguments, sizes


def _flag_words(key: str, value, action: argparse.Action) -> list[str]:
    """One setting of a preset as words of the command line. Raises ValueError that tells what was expected."""
    if value is None or isinstance(value, dict):
        raise ValueError("which is nothing that a preset can set")
    takes_no = isinstance(action, argparse.BooleanOptionalAction)
    if isinstance(value, bool) != (action.nargs == 0) or (value is False and not takes_no):
        raise ValueError("expected true or false" if takes_no else "expected true, or the line left out"
                         if action.nargs == 0 else "a switch, expected a value")
    if isinstance(value, bool):
        return [f"--{key}" if value else f"--no-{key}"]
    if not isinstance(value, list):
        return [f"--{key}={value}"]
    words = [str(item) for item in value]
    if action.nargs not in ("+", len(words)) or not words:
        expected = f"{action.nargs} values" if isinstance(action.nargs, int) else "one value"
        raise ValueError(f"a list, expected {expected}" if words else "expected a value at least")
    if any(isinstance(item, (bool, list, dict, type(None))) for item in value) or \
            any(word.startswith("-") for word in words):
        raise ValueError("expected a list of plain values, none with a dash before it")
    return [f"--{key}", *words]


def parse_with_preset(parser: Parser, argv: tuple[str, ...]) -> tuple[argparse.Namespace, dict]:
    """Parsed flags, and the preset's network sizes ({} without a preset). Raises UserError."""
    args = parser.parse_args(argv)
    if args.preset is None:
        return args, {}
    arguments, sizes = preset_arguments(parser, args.preset)
    try:
        parser.parse_args(arguments)
    except UserError as error:
        raise UserError(f"{args.preset}: {error}") from None
    return parser.parse_args([*arguments, *argv]), sizes
