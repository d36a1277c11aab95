"""Presets: YAML reduced to what a preset needs, so that no file can hang or fill the memory.

    read_preset(Path("configs/demo_avt.yaml"))     # {"lr": 0.002, "use_amp": True, "network": {"hidden": 64, ...}}

Left out of YAML: anchors and aliases (a few lines of them stand for gigabytes), tags, dates, deep nesting, several
documents, keys that stand twice. Numbers are read as those on the command line: 1_000 or 0x10 is none.
"""

from pathlib import Path

from datatools.errors import UserError
from datatools.numbers import parse_number, shortened
from datatools.paths import read_text

MOST_BYTES = 2**16      # of a preset; those of the project hold less than a kilobyte
DEEPEST = 4             # mappings and lists within each other; a network's list of sizes is the third
TAG = "tag:yaml.org,2002:"


def read_preset(path: Path) -> dict:
    """The content of a preset as plain types. Raises UserError unless it is a mapping of text to plain values."""
    text = read_text(path, "preset", "Those of the project lie in configs/.", MOST_BYTES)
    try:
        return read_yaml(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def read_yaml(text: str, deepest: int = DEEPEST) -> dict:
    """The content of a YAML text, reduced as a preset's. The UserError that it raises names no file."""
    import yaml

    try:
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader), deepest)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = {} if root is None else _value(root)
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:     # the last two for impossible characters
        raise UserError(f"no valid YAML ({' '.join(str(error).split())[:300]}).") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise UserError(f"found {shortened(content)}, expected `flag: value` lines.")
    return content


def _check_events(events, deepest: int) -> None:
    """Raise UserError for what is left out of YAML. The parser yields events one by one and builds nothing."""
    depth = 0
    for event in events:
        name = type(event).__name__
        if name == "AliasEvent" or getattr(event, "anchor", None):
            raise _refusal(event, f"an anchor or alias ({shortened(event.anchor)})", "the values themselves")
        if getattr(event, "tag", None):
            raise _refusal(event, f"the tag {shortened(event.tag)}", "a plain value")
        depth += name.endswith("StartEvent") and name[:1] in "MS" and name != "StreamStartEvent"
        depth -= name in ("MappingEndEvent", "SequenceEndEvent")
        if depth > deepest:
            raise _refusal(event, f"more than {deepest} mappings and lists within each other", "`flag: value` lines")


def _refusal(place, found: str, expected: str) -> UserError:
    return UserError(f"line {place.start_mark.line + 1}: found {found}, expected {expected}.")


def _value(node):
    """A node as a plain value: dict, list, bool, int, float, str or None."""
    if node.id == "sequence":
        return [_value(item) for item in node.value]
    if node.id == "mapping":
        return _mapping(node)
    kind, text = node.tag.removeprefix(TAG), node.value
    if kind in ("int", "float"):
        try:
            return parse_number(text, int if kind == "int" else float)
        except ValueError as error:
            raise UserError(f"line {node.start_mark.line + 1}: {error}.") from None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if kind == "null":
        return None
    if kind != "str":       # a date, <<, =
        raise _refusal(node, f"{shortened(text)} ({kind})", "text, a number, true or false; put text into quotes")
    text.encode()           # half a character, which no file can hold, raises ValueError
    return text


def _mapping(node) -> dict:
    values = {}
    for key_node, value_node in node.value:
        key = _value(key_node) if key_node.id == "scalar" else None
        if not isinstance(key, str):
            raise _refusal(key_node, f"the key {shortened(key_node.value)}", "a name")
        if key in values:
            raise _refusal(key_node, f"{shortened(key)} a second time", "each key once")
        values[key] = _value(value_node)
    return values
