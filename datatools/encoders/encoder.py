"""What an encoder is: a pretrained network that turns pictures or sound into a vector for each second."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from datatools.errors import UserError

if TYPE_CHECKING:
    import numpy as np

PICTURES, EVERY_FRAME, SOUND = "pictures", "every frame", "sound"
CUT_RATE = 8        # pictures a second for EVERY_FRAME; a power of two, so that whole seconds are among the times


class Running(Protocol):
    """A loaded encoder. It has the method of what it takes; each returns one row a second, float32 (n, dim)."""

    def small(self, image: np.ndarray) -> np.ndarray:
        """Of pictures: the network's input from a picture of any size, uint8 (height, width, 3), RGB."""

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """PICTURES: of uint8 (n, height, width, 3), as `small` returns them. EVERY_FRAME: CUT_RATE of them a row."""

    def sound(self, samples: np.ndarray, sample_rate: int, seconds: int) -> np.ndarray:
        """SOUND: of mono samples, float32 (n,)."""


@dataclass(frozen=True)
class Encoder:
    """A pretrained network by name, not loaded; can be pickled and hashed.

    name      of its files and tensors
    dim       length of its vectors
    takes     PICTURES: one a second; EVERY_FRAME: CUT_RATE a second; or SOUND
    weights   file of its weights, `digest` is its SHA-256
    package   that it comes in or that runs it
    make      loads it
    more      further settings that determine its vectors, (name, value)
    """

    name: str
    dim: int
    takes: str
    weights: Path
    digest: str
    package: str
    make: Callable[[Encoder], Running]
    more: tuple[tuple[str, str | int | float], ...] = ()

    @property
    def settings(self) -> dict:
        """All that determines its vectors, plain types."""
        return {"name": self.name, "dim": self.dim, "weights": self.digest, **dict(self.more)}

    @property
    def versions(self) -> dict[str, str]:
        return {self.package: importlib.metadata.version(self.package)}


def package_file(package: str, module: str, inside: str, encoder: str) -> Path:
    """A file of an installed package. Raises UserError that says how to get the package."""
    remedy = f"Run `pip install {package}`, or leave `--encoder {encoder}` out."
    found = importlib.util.find_spec(module)
    if found is None:
        raise UserError(f"--encoder {encoder}: the package {package} is not installed. {remedy}")
    path = Path(found.submodule_search_locations[0]) / inside
    if not path.is_file():
        raise UserError(f"--encoder {encoder}: {path} is missing from the package {package}. {remedy}")
    return path
