"""Networks by name: their class in models/, their entry script, and their tensor names in foreign checkpoints.

    find_network("AVTNet")      # the class, from models/avtnet.py
    entry_script("AVTNet")      # avt_main.py

There is no list of networks: a search in the source text finds the class in models/ and the script in the root that
imports it, so a new network needs no change in utils. All other libraries import modules of ours at a file's top.
"""

import importlib
import re
from pathlib import Path

from torch import Tensor, nn

from datatools.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


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


def from_foreign(weights: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]] | None:
    """(network, weights under our names) of a foreign state dict; None where no module recognises it."""
    for module in foreign_modules():
        if network := module.network_of(weights):
            return network, module.from_reference(network, weights)
    return None


def to_foreign(network: str, weights: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Weights under the names of the foreign system that a network comes from; None for a network of our own."""
    for module in foreign_modules():
        if network in module.HEADS:
            return module.to_reference(network, weights)
    return None


def build_network(network: type, sizes: dict) -> nn.Module:
    """The network with these sizes. Raises UserError for a size that it does not have, or a value it cannot take."""
    try:
        return network(**{name: tuple(size) if isinstance(size, list) else size for name, size in sizes.items()})
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(f"preset, section network: {sizes}: {network.__name__} cannot be built so ({error}).") from None


def frame_network(net: nn.Module) -> nn.Module | None:
    """The submodule `frame_net` of a network, which sees single frames; None where it has none."""
    return getattr(net, "frame_net", None)
