"""Numbers from text, for flags, presets and lists alike: ASCII digits, finite, within a range.

    parse_number("0.5", float, low=0, high=1)                       # 0.5; ValueError says what was expected
    parser.add_argument("--seed", type=number(int, low=0, high=MOST_SEED))
"""

import argparse
import re
from collections.abc import Callable

# Python's own int() and float() also take 1_0, digits of other scripts, inf and nan.
FORMS = {
    int: ("a whole number", re.compile(r"[+-]?[0-9]+")),
    float: ("a number", re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")),
}
MOST_SEED = 2**63 - 1        # torch takes no larger one, NumPy no negative one
MOST_COUNT = 1_000_000       # of clips, epochs, steps, ...
MOST_WORKERS = 1024          # processes or threads at once
MOST_LISTED_SECONDS = 86_400  # a day: no time in a list of labels or answers is larger
LONGEST = 40                 # characters of a number
SHOWN = 80                   # characters that a message shows of what was found


def shortened(found: object) -> str:
    """`found` as Python writes it, for a message: one line, control characters escaped, at most some 80 characters."""
    if isinstance(found, str) and len(found) > SHOWN:
        return f"{found[:SHOWN]!r}... ({len(found):,} characters)"
    text = repr(found)
    return text if isinstance(found, str) or len(text) <= SHOWN else f"{text[:SHOWN]}..."


def parse_number(text: str, kind: type = float, *, low=None, above=None, high=None) -> int | float:
    """The number, blanks around it aside. Raises ValueError unless it is finite, from `low` or `above` to `high`."""
    name, form = FORMS[kind]
    limits = [f"{word} {limit}" for word, limit in (("from", low), ("above", above), ("up to", high))
              if limit is not None]
    text = text.strip(" \t")
    if len(text) <= LONGEST and form.fullmatch(text):
        value = kind(text) + 0      # no -0.0
        finite = abs(value) < float("inf")
        if finite and (low is None or value >= low) and (above is None or value > above) and \
                (high is None or value <= high):
            return value
    raise ValueError(f"found {shortened(text)}, expected {' '.join([name, *limits])}")


def number(kind: type, *, low=None, above=None, high=None) -> Callable[[str], int | float]:
    """A type for argparse: `parse_number` within these limits."""

    def parse(text: str) -> int | float:
        try:
            return parse_number(text, kind, low=low, above=above, high=high)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


count = number(int, low=0, high=MOST_COUNT)


def parse_seconds(text: str) -> float | None:
    """Seconds of a list, 0 to a day; None for anything else."""
    try:
        return parse_number(text, low=0, high=MOST_LISTED_SECONDS)
    except ValueError:
        return None
