"""Pretrained networks that give a vector for each second of a clip.

    encoder = find_encoder("efficientnet_lite0")      # its name, size and weights; nothing is loaded
    running = loaded(encoder)                         # the network, once a process
"""

from __future__ import annotations

import functools

from datatools.encoders import efficientnet, picture_file, silero, transnet
from datatools.encoders.encoder import CUT_RATE, EVERY_FRAME, PICTURES, SOUND, Encoder, Running
from datatools.errors import UserError
from datatools.numbers import shortened

PACKAGED = {"efficientnet_lite0": efficientnet.find, "silero": silero.find, "transnetv2": transnet.find}
HEARING = ("silero",)       # those that take SOUND; the others see
FROM_FILE = picture_file.LIBRARIES
EXPECTED = f"{', '.join(PACKAGED)}, or {' or '.join(f'{library}:MODEL:FILE' for library in FROM_FILE)}"

__all__ = ["CUT_RATE", "EVERY_FRAME", "EXPECTED", "PICTURES", "SOUND", "Encoder", "Running", "find_encoder",
           "find_encoders", "hears", "loaded"]


def hears(name: str) -> bool:
    """Whether the encoder of this name takes the sound; a name that is not known is one of pictures."""
    return name in HEARING


def find_encoder(text: str) -> Encoder:
    """An encoder by its name, or by library, model and file of weights. Raises UserError."""
    library, *rest = text.split(":", 2)
    if library in PACKAGED and not rest:
        return PACKAGED[library]()
    if library in FROM_FILE and len(rest) == 2 and all(rest):
        return picture_file.find(library, *rest)
    raise UserError(f"--encoder {shortened(text)}: unknown. Expected {EXPECTED}.")


def find_encoders(asked: tuple[str | Encoder, ...]) -> tuple[Encoder, ...]:
    """The encoders of these names, each once, and those that are given themselves.

    Raises UserError, also where two would write the same files.
    """
    found: dict[str, Encoder] = {}
    for each in dict.fromkeys(asked):
        encoder = find_encoder(each) if isinstance(each, str) else each
        if encoder.name in found:
            raise UserError(f"--encoder: two would write <clip>_{encoder.name}.npy. Leave one of them out.")
        found[encoder.name] = encoder
    return tuple(found.values())


@functools.lru_cache(maxsize=8)
def loaded(encoder: Encoder) -> Running:
    """The network of an encoder, loaded once in each process. Raises UserError."""
    return encoder.make(encoder)
