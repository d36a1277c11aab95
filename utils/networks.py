"""Networks by name: their class in models/, their entry script, and their tensor names in foreign checkpoints.

    find_network("AVTNet")      # the class, from models/avtnet.py
    entry_script("AVTNet")      # avt_main.py

There is no list of networks: a search in the source text finds the class in models/ and the script in the root that
imports it, so a new network needs no change in utils. All other libraries import modules of ours at a file's top.
"""

import importlib
import re
import reprlib
import warnings
from inspect import signature
from pathlib import Path

import torch
from torch import Tensor, nn

from datatools.errors import UserError
from datatools.numbers import shortened
from utils.memory import free_memory

ROOT = Path(__file__).resolve().parents[1]
LARGEST_SIZE = 16_384      # of a layer, 16 times the reference's largest; also of any count of layers
MOST_LAYERS = 256          # numbers in one list of sizes
MOST_OF_MEMORY = 1 / 4     # share of the free memory for the weights; gradients and Adam's two averages take three more


def find_network(name: str) -> type | None:
    """The class of this name in a file of models/; None where there is none."""
    for path in sorted((ROOT / "models").glob("*.py")):
        if re.search(rf"^class {re.escape(name)}\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            return getattr(importlib.import_module(f"models.{path.stem}"), name)
    return None


def entry_script(name: str) -> str:
    """The script in the root that imports the network of this name; "another script" where none does."""
    for path in sorted(ROOT.glob("*_main.py")):
        if re.search(rf"^ *from models\.\w+ import .*\b{re.escape(name)}\b", path.read_text(encoding="utf-8"),
                     flags=re.MULTILINE):
            return path.name
    return "another script"


def foreign_modules() -> list:
    """The modules models/*_reference.py; each knows the tensor names of one foreign system."""
    return [importlib.import_module(f"models.{path.stem}") for path in sorted((ROOT / "models").glob("*_reference.py"))]


def from_foreign(weights: dict[str, Tensor], settings: dict) -> tuple[str, dict | None, dict[str, Tensor]] | None:
    """(network, sizes, weights under our names) of a foreign state dict; None where no module recognises it.

    `settings` are those in the file, sizes are None where they are the defaults. Raises ValueError where the settings
    and the tensors do not belong together.
    """
    for module in foreign_modules():
        if network := module.network_of(weights):
            weights = module.from_reference(network, weights)
            return network, module.sizes_of(network, weights, settings), weights
    return None


def sizes_told(network: str, weights: dict[str, Tensor]) -> dict:
    """The sizes that tensors under our names tell; {} where they do not. Raises ValueError where no network fits."""
    for module in foreign_modules():
        if network in module.NETWORKS:
            return module.sizes_of(network, weights, {}) or {}
    return {}


def to_foreign(network: str, weights: dict[str, Tensor]) -> dict | None:
    """What the foreign system that a network comes from saves of these weights; None for a network of our own."""
    for module in foreign_modules():
        if network in module.NETWORKS:
            weights = module.to_reference(network, weights)
            return module.file_of(weights) if hasattr(module, "file_of") else {"model": weights}
    return None


def remarks_on(network: str, weights: dict[str, Tensor]) -> list[str]:
    """What a user should know of a foreign state dict, under our names."""
    for module in foreign_modules():
        if network in module.NETWORKS and hasattr(module, "remarks"):
            return module.remarks(weights)
    return []


def adapted(network: str, weights: dict[str, Tensor], own: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Weights that start a network with the state dict `own`, and a line for each tensor that is not the given one."""
    for module in foreign_modules():
        if network in module.NETWORKS and hasattr(module, "adapted"):
            return module.adapted(weights, own)
    return weights, []


def imagenet_start(network: type, sizes: dict) -> str | None:
    """The URL of ImageNet weights that start a network of these sizes; None where no module knows any."""
    for module in foreign_modules():
        if network.__name__ in module.NETWORKS and hasattr(module, "imagenet_start"):
            return module.imagenet_start(sizes_with_defaults(network, sizes))
    return None


def sizes_with_defaults(network: type, sizes: dict) -> dict:
    """All sizes of a network: those given, the others as its class has them."""
    return {**{name: one.default for name, one in signature(network.__init__).parameters.items() if name != "self"},
            **sizes}


def clip_settings(network: str, settings: dict) -> dict:
    """What becomes a clip, {setting: value}, by the settings in a foreign checkpoint; {} where they do not tell."""
    for module in foreign_modules():
        if network in module.NETWORKS and hasattr(module, "clip_settings"):
            return module.clip_settings(settings)
    return {}


def build_network(network: type, sizes: dict) -> nn.Module:
    """The network with these sizes, a preset's or a checkpoint's.

    Raises UserError for a size that it does not have, a value it cannot take, and where its weights would not fit into
    the memory; before any memory is taken, and before a large number of layers is made.
    """
    try:
        check_sizes(network, sizes)
        sizes = {name: tuple(size) if isinstance(size, list) else size for name, size in sizes.items()}
        check_memory(network, sizes)
        return network(**sizes)
    except Exception as error:      # whatever a network raises for a size that it has not reckoned with
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{reprlib.repr(sizes)}: {network.__name__} cannot be built so ({reason}). These sizes come "
                        "from the section `network` of the preset, from --sizes, or from the checkpoint.") from None


def check_sizes(network: type, sizes: dict) -> None:
    """Raise ValueError unless all sizes are numbers of a sensible magnitude, short lists of them, or None.

    A size whose default is true or false takes nothing else, and no other size takes true or false. A size whose
    default is a word takes words; the network refuses those that it does not know.
    """
    defaults = {parameter.name: parameter.default for each in network.__mro__
                for parameter in signature(each.__init__).parameters.values()}
    switches = {name for name, default in defaults.items() if isinstance(default, bool)}
    for name, size in sizes.items():
        if isinstance(defaults.get(name), str):
            if not isinstance(size, str):
                raise ValueError(f"{name}: {shortened(size)}, expected a word")
            continue
        if isinstance(size, bool) != (name in switches):
            expected = "true or false" if name in switches else "numbers"
            raise ValueError(f"{name}: {shortened(size)}, expected {expected}")
        many = isinstance(size, (list, tuple))
        if many and not 0 < len(size) <= MOST_LAYERS:
            raise ValueError(f"{name}: {len(size)} numbers, expected 1 to {MOST_LAYERS}")
        for value in size if many else [size]:
            is_number = isinstance(value, (int, float)) and (many is False or not isinstance(value, bool))
            if not (value is None and not many) and not (is_number and 0 <= value <= LARGEST_SIZE):      # nan neither
                raise ValueError(f"{name}: {shortened(value)}, expected {'numbers' if many else 'a number'} from 0 to "
                                 f"{LARGEST_SIZE}")


def check_memory(network: type, sizes: dict) -> None:
    """Raise ValueError where the weights would take more than their share of the free memory, or one has no elements.

    Built on torch's meta device, which takes no memory, and with a random state of its own.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.device("meta"):
        warnings.simplefilter("ignore")      # about tensors without elements
        net = network(**sizes)
    weights = [*net.named_parameters(), *net.named_buffers()]
    if empty := [name for name, weight in weights if weight.numel() == 0]:
        raise ValueError(f"{empty[0]} would have no elements")
    needed, free = sum(weight.numel() * weight.element_size() for _, weight in weights), free_memory()
    if free is not None and needed > free * MOST_OF_MEMORY:
        raise ValueError(f"its weights take {needed / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB of memory are free, "
                         f"of which they may take {MOST_OF_MEMORY:.0%}: gradients and averages are as large again")


def frame_network(net: nn.Module) -> nn.Module | None:
    """The submodule `frame_net` of a network, which sees single frames; None where it has none."""
    return getattr(net, "frame_net", None)
