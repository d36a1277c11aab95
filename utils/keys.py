"""Configurations in the forms that users of published code know: YAML sections, and KEY VALUE pairs behind the file.

    FORM = Form(KEYS, FIXED, UNUSED, command="tools/run_net.py", example="TRAIN.BATCH_SIZE 6", files="configs/SSv2")
    found = FORM.read(Path("a.yaml"), ["TRAIN.BATCH_SIZE", "6"])
    found.values["TRAIN.BATCH_SIZE"]      # 6

Each key of a form stands in one of its tables. KEYS: what it sets. FIXED: the only value that is there. UNUSED: it
changes no result. A value that a flag takes too is checked as the flag's.
"""

import difflib
import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

from datatools.errors import UserError
from datatools.numbers import MOST_COUNT, number, shortened
from datatools.paths import folder_below, path, path_text, read_text
from utils.cli import MATCHING_PARTS, RecognitionCommand
from utils.presets import MOST_BYTES, read_yaml
from utils.settings import LaunchSettings

DEEPEST = 6                        # mappings and lists within each other, in complete published configurations
LARGEST_SIZE = 16_384              # of a network's numbers
ANY_NUMBER = number(float, low=0, high=MOST_COUNT)
SETTINGS = {f"{part}.{f.name}": f for part, kind in MATCHING_PARTS.items() for f in fields(kind)}


# ---------------------------------------------------------------- readers of values: ValueError says what is expected


def as_switch(value) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"found {shortened(value)}, expected True or False")
    return value


def as_text(value) -> str:
    """Text without the blanks around it, which the published files for SSv2 have; nothing is empty text."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"found {shortened(value)}, expected text; put it into quotes")
    return (value or "").strip()


def as_path(value, kind: Callable = path_text) -> str:
    """A path by a flag's own type; nothing is empty text."""
    return kind(as_text(value)) if as_text(value) else ""


as_folder = partial(as_path, kind=folder_below)


def as_number(value, kind: Callable = ANY_NUMBER):
    """A number of YAML, whose version 1.1 takes 1e-4 for text, by a flag's own type."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"found {shortened(value)}, expected a number")
    return kind(str(int(value) if isinstance(value, float) and value.is_integer() else value))


def as_list(value, kind: Callable, length: int | None = None) -> tuple:
    if not isinstance(value, list) or (length and len(value) != length):
        raise ValueError(f"found {shortened(value)}, expected a list" + (f" of {length} numbers" if length else ""))
    return tuple(as_number(item, kind) for item in value)


def one_of(value, **words):
    """What a word stands for, whatever its capitals."""
    if (word := as_text(value).lower()) not in words:
        raise ValueError(f"found {shortened(value)}, expected {' or '.join(words)}")
    return words[word]


def as_setting(setting, value):
    """A value as the setting's flag takes it; None, where the text of a path is empty, leaves the default."""
    flag = setting.metadata["flag"]
    kind = flag.get("type")
    if setting.type in (bool, bool | None):
        return as_switch(value)
    if kind in (path, path_text):
        return kind(as_text(value)) if as_text(value) else None
    if "nargs" in flag:
        return as_list(value, kind, flag["nargs"])
    found = as_number(value, kind)
    if found not in flag.get("choices", (found,)):
        raise ValueError(f"found {found}, expected {' or '.join(map(str, flag['choices']))}")
    return found


as_size = partial(as_number, kind=number(int, low=1, high=LARGEST_SIZE))


# ---------------------------------------------------------------- keys and forms


@dataclass(frozen=True)
class Key:
    """What a key sets: `to` is `part.setting` or `sizes.name`, "" where the form's own code works it out.

    `phase` train or test: it counts there alone. `read` turns the YAML's value into the setting's; without it the
    flag's own type does.
    """

    help: str
    to: str = ""
    phase: str = ""
    read: Callable | None = None

    @property
    def is_text(self) -> bool:
        """Whether a word of the command line is the value as it stands, whatever YAML would make of it."""
        if self.read:
            return self.read in (as_text, as_path, as_folder)
        return SETTINGS[self.to].metadata["flag"].get("type") in (path, path_text)

    def value(self, raw):
        return self.read(raw) if self.read else as_setting(SETTINGS[self.to], raw)


@dataclass(frozen=True)
class Configuration:
    """A YAML with the pairs of the command line, which win. `values`: what the keys read as, without empty ones.

    `typed`: the keys given on the command line. `unused`: words for each key that changes nothing here.
    """

    file: Path
    values: dict
    typed: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Form:
    """The keys of a form of configurations.

    keys, unused    {key: what it sets}, {key: why it changes nothing, or ""}
    fixed           {key: (the value that is there, what a user can do)}
    sections        of other programs, which change nothing as a whole but for keys in the tables
    command         whose --help shows the keys; `example` a pair for it; `files` where ready-made YAMLs lie
    said            {what messages call by a flag: the form's words}, where no single key sets it
    """

    keys: dict[str, Key]
    fixed: dict[str, tuple]
    unused: dict[str, str]
    command: str
    example: str
    files: str
    sections: tuple[str, ...] = ()
    said: dict[str, str] = field(default_factory=dict)

    def described(self) -> str:
        """The keys that count, a line each, for --help."""
        lines = "".join(f"  {name:<30}{key.help}\n" for name, key in self.keys.items())
        return f"keys (and what holds without them):\n{lines}"

    def read(self, file: Path, pairs: list[str], words: tuple[str, ...] = ()) -> Configuration:
        """The configuration of a YAML file and of KEY VALUE pairs; `words` start the same command again.

        Raises UserError with the file's name, or "command line", and the key.
        """
        text = read_text(file, "configuration", f"Those of the project lie in {self.files}.", MOST_BYTES)
        try:
            content = read_yaml(text, DEEPEST)
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        values, unused = {}, {}
        typed = list(self._typed_pairs(pairs))
        for place, name, raw in [*((str(file), *pair) for pair in flat(content)),
                                 *(("command line", *pair) for pair in typed)]:
            name = self._known(place, name)
            if name not in self.keys:
                if name in self.fixed:
                    self._check_fixed(place, name, raw)
                else:
                    unused[name] = self.unused.get(name, "")
                continue
            try:
                values[name] = self.keys[name].value(raw)
            except (ValueError, ArgumentTypeError) as error:
                raise UserError(f"{place}: {name}: {error}.") from None
        told = [f"{name} ({reason})" if reason else name for name, reason in unused.items()]
        return Configuration(file, {name: value for name, value in values.items() if value not in (None, "")},
                             frozenset(name for name, _ in typed), tuple(told), words)

    def settings_of(self, asked: Configuration, phase: str) -> dict:
        """{part.setting: value} of the keys that count in a phase, in the order of their table."""
        return {key.to: asked.values[name] for name, key in self.keys.items()
                if name in asked.values and key.to and key.phase in ("", phase)}

    def in_keys(self, message: str, phase: str = "train") -> str:
        """A message that names flags, with the keys that set the same in this phase; other flags stay."""
        for said, instead in self.said.items():
            message = re.sub(rf"{re.escape(said)}(?![\w/]|\.\w)", instead, message)
        keys = {key.to.split(".")[1]: name for name, key in reversed(self.keys.items())
                if key.to and key.phase in ("", phase)}
        message = re.sub(r"--sizes (\w+)=(\w+)", lambda found: f"{keys.get(found[1], found[1])} {found[2]}", message)
        return re.sub(r"--([a-z][a-z_]+)", lambda found: keys.get(found[1], found[0]), message)

    def _typed_pairs(self, words: list[str]) -> Iterator[tuple[str, object]]:
        """(key, value) of the command line's words. A value is read as YAML; a path or a name is taken as it stands."""
        for place in range(0, len(words), 2):
            name = self._known("command line", words[place])
            if place + 1 == len(words) or words[place + 1] in self.keys:
                raise UserError(f"command line: {name} has no value. Expected pairs KEY VALUE, such as {self.example}.")
            word = words[place + 1]
            if (name in self.keys and self.keys[name].is_text) or isinstance(self.fixed.get(name, [0])[0], str):
                yield name, word
                continue
            try:
                yield name, read_yaml(f"value: {word}", DEEPEST)["value"]
            except UserError as error:
                raise UserError(f"command line: {name}: found {shortened(word)}, {error}") from None

    def _known(self, place: str, name: str) -> str:
        """The key, or the section that is not used as a whole. Raises UserError for a key that is not known."""
        known = {each.upper(): each for each in (*self.keys, *self.fixed, *self.unused)}
        if name in known.values():
            return name
        if (section := name.split(".")[0]) in self.sections and "." in name:
            return section
        near = difflib.get_close_matches(name.upper(), known, 1)
        meant = f" Did you mean {known[near[0]]}?" if near else ""
        raise UserError(f"{place}: {shortened(name)} is no key of a configuration.{meant} (The keys that count: "
                        f"{self.command} --help)")

    def _check_fixed(self, place: str, name: str, raw) -> None:
        """Raise UserError where a key asks for what is not there."""
        wanted, remedy = self.fixed[name]
        try:
            is_number = isinstance(wanted, int) and not isinstance(wanted, bool)
            found = (list(as_list(raw, number(float))) if isinstance(wanted, list) else as_number(raw) if is_number
                     else raw)
        except (ValueError, ArgumentTypeError):
            found = raw
        if found != wanted and not (raw is None and wanted == ""):
            raise UserError(f"{place}: {name}: found {shortened(raw)}, expected {wanted!r}: {remedy}.")


def flat(content: dict, above: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) of sections within each other; an empty section has none."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        elif above or value is not None:
            yield above + name, value


def command_of(
    settings: dict, launch: LaunchSettings, words: tuple[str, ...], parts: dict[str, type], **more
) -> RecognitionCommand:
    """The command with these settings, {part.setting: value}, of the classes `parts`; `more`: its other fields."""

    def part(name: str) -> dict:
        return {to.removeprefix(f"{name}."): value for to, value in settings.items() if to.startswith(f"{name}.")}

    found = {name: kind(**part(name)) for name, kind in parts.items() if name != "launch"}
    return RecognitionCommand(**found, launch=launch, sizes=part("sizes"), words=words, **more)
