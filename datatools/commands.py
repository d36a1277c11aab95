"""The argument parser of all commands."""

import argparse
import sys

MOST_TOLD = 300     # characters of an error message; argparse repeats what was typed as a whole


class CommandParser(argparse.ArgumentParser):
    """An argument parser that shows a docstring as it is typed and that takes no flag without its value."""

    def __init__(self, **arguments):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **arguments)

    def parse_known_args(self, args=None, namespace=None):
        for word in sys.argv[1:] if args is None else args:
            if word.startswith("--") and word.endswith("=--"):      # argparse would drop the value
                self.error(f"argument {word[:-3]}: found '--', expected a value")
        return super().parse_known_args(args, namespace)

    def error(self, message: str):
        super().error(shortened_message(message))


def shortened_message(message: str) -> str:
    """A message without its middle where it is long."""
    return message if len(message) <= MOST_TOLD else f"{message[:MOST_TOLD // 2]} ... {message[-MOST_TOLD // 2:]}"
