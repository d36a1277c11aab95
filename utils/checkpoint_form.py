"""What a checkpoint must hold: its keys, their types and ranges.

    check_form(path, content, FOR_INFERENCE)
    check_form(path, content, FOR_RESUMING)       # beside the above
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from datatools.errors import UserError

FORMAT = "avtnet"   # written into every checkpoint
VERSION = 2         # 1 had no SHA-256
LARGEST = 1 << 53              # of whole numbers: up to it they are exact as floats
MOST_PLAIN = 10_000            # values within one entry of plain types
MOST_SIZES = 100               # in a list, such as the dilations of a network's blocks


def told(value, entries: int = 6) -> str:
    """A value of a file in a message: numbers, the beginnings of texts, a dict's first entries, else the type alone."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"[:100]
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value[:60] if isinstance(value, str) else value)[:80]
    if isinstance(value, dict) and entries:
        shown = ", ".join(f"{told(key, 0)}: {told(entry, 0)}" for key, entry in list(value.items())[:entries])
        return f"{{{shown}{', ...' if len(value) > entries else ''}}}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, dict | list | tuple) else "")


def is_whole(value, least: int = 0) -> bool:
    return type(value) is int and least <= value <= LARGEST


def is_number(value) -> bool:
    """An integer or a float, NaN and infinity too."""
    return type(value) is float or (type(value) is int and abs(value) <= LARGEST)


def is_finite(value) -> bool:
    return is_number(value) and math.isfinite(value)


def is_size(value) -> bool:
    """A network's size: a number, a word, a switch, None, or a short list of them."""
    values = value if isinstance(value, list | tuple) else [value]
    return len(values) <= MOST_SIZES and all(
        one is None or isinstance(one, bool | str) or (is_finite(one) and one >= 0) for one in values)


def is_plain(value) -> bool:
    """Whether a value is of plain types throughout, and small; a list may hold itself, so everything is counted."""
    left, waiting = MOST_PLAIN, [value]
    while waiting and left:
        left, value = left - 1, waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()][:left + 1]
        elif isinstance(value, list | tuple):
            waiting += value[:left + 1]
        elif not (value is None or isinstance(value, bool | int | float | str)):
            return False
    return not waiting


def tensor_problem(value) -> str:
    """Why a value is no tensor that weights can be copied from; "" where it is one."""
    if not isinstance(value, Tensor):
        return f"holds {told(value)}, expected a tensor"
    if (type(value) not in (Tensor, nn.Parameter) or value.layout is not torch.strided or value.device.type != "cpu"
            or value.is_quantized or value.is_nested or value.is_complex()):
        return f"a tensor of another kind ({value.dtype}, {value.layout}, {value.device.type}), expected a dense one"
    claimed, held = value.numel() * value.element_size(), value.untyped_storage().nbytes()
    if claimed > held:
        return f"claims {claimed} bytes, the file holds {held} of it"
    return ""


def names_with(is_right: Callable[[object], bool]) -> Callable[[object], bool]:
    """A check for dicts whose keys are names and whose values all pass `is_right`."""
    return lambda value: isinstance(value, dict) and all(
        isinstance(name, str) and is_right(entry) for name, entry in value.items())


def is_position(value) -> bool:
    return (isinstance(value, dict) and all(is_whole(value.get(name)) for name in ("epoch", "step", "num_clips"))
            and is_finite(value.get("loss_sum")))


def is_best(value) -> bool:
    return (isinstance(value, dict) and is_number(value.get("score")) and not math.isnan(value["score"])
            and is_whole(value.get("epoch"), -1))


def is_optimizer(value) -> bool:
    """The state of each weight by its number; `param_groups` follow from the settings and are not read."""
    entry = names_with(lambda one: one is None or is_number(one) or not tensor_problem(one))
    return isinstance(value, dict) and isinstance(value.get("state"), dict) and all(
        is_whole(number) and entry(state) for number, state in value["state"].items())


def is_scaler(value) -> bool:
    names = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")
    return isinstance(value, dict) and (not value or (
        all(is_finite(value.get(name)) and value[name] >= 0 for name in names) and value["scale"] > 0))


OPTIONAL = ("text_detector", "precision")      # not every task has the one, older checkpoints lack the other
are_weights = names_with(lambda value: isinstance(value, Tensor))
# {key: (what is expected, its check)}. Further keys are a task's own.
FOR_INFERENCE = {
    "version": ("a whole number from 1", lambda value: is_whole(value, 1)),
    "network": ("the name of a network's class", lambda value: isinstance(value, str) and value.isidentifier()),
    "sizes": ("the network's sizes by name, no number below zero; or None",
              lambda value: value is None or names_with(is_size)(value)),
    "text_detector": ("a name or None", lambda value: value is None or isinstance(value, str)),
    "model": ("tensors by name", are_weights),
}
FOR_RESUMING = {
    "sizes": ("the network's sizes by name", lambda value: isinstance(value, dict)),
    "data": ("plain types", lambda value: isinstance(value, dict) and is_plain(value)),
    "precision": ("the name of a type", lambda value: isinstance(value, str) and value.isidentifier()),
    "training": ("settings by name", lambda value: names_with(is_plain)(value) and is_plain(value)),
    "trained": ("tensors by name or None", lambda value: value is None or are_weights(value)),
    "num_averaged": ("a whole number", is_whole),
    "epoch": ("a whole number from -1", lambda value: is_whole(value, -1)),
    "score": ("a number or None", lambda value: value is None or is_number(value)),
    "best": ("{'score': a number, 'epoch': a whole number from -1}", is_best),
    "position": ("{'epoch', 'step', 'num_clips': whole numbers, 'loss_sum': a finite number}", is_position),
    "optimizer": ("{'state': by number of the weight, numbers and dense tensors by name}", is_optimizer),
    "scheduler": ("{'last_epoch': a whole number}",
                  lambda value: isinstance(value, dict) and is_whole(value.get("last_epoch"))),
    "scaler": ("{} or the state of torch's GradScaler", is_scaler),
}


def check_form(path: Path, content: dict, form: dict, may_lack: tuple[str, ...] = OPTIONAL) -> None:
    """Raise UserError that names the first key that is missing, or holds what is not expected."""
    for key, (expected, is_right) in form.items():
        if key not in content and key in may_lack:
            continue
        if key not in content:
            raise UserError(f"{path}: {key!r} is missing, expected {expected}. Take another checkpoint of the run.")
        if not is_right(content[key]):
            raise UserError(f"{path}: {key!r} holds {told(content[key])}, expected {expected}. "
                            "Take another checkpoint of the run.")
