"""The encoders that a checkpoint was trained with, found again to look at videos.

    inputs = window_inputs(predictor, ("timm:resnet18:resnet18.pth",))      # for datatools.windows

Those whose weights are in a package are found by the name in the checkpoint; the others by the words that
preprocess.py and tools/encode.py take for `--encoder`.
"""

from pathlib import Path

from datatools.encoders import PACKAGED, Encoder, find_encoder, find_encoders
from datatools.errors import UserError
from datatools.numbers import shortened
from utils.checkpoint_encoder import find_checkpoint
from utils.predict import Predictor

CHECKPOINT = "checkpoint:"


def named_encoder(text: str) -> Encoder:
    """An encoder by any word of `--encoder`, checkpoint:FILE among them. Raises UserError."""
    if text.startswith(CHECKPOINT):
        return find_checkpoint(Path(text.removeprefix(CHECKPOINT)))
    return find_encoder(text)


def encoders_found(predictor: Predictor, words: tuple[str, ...]) -> tuple[dict[str, Encoder], dict[str, str]]:
    """({name: encoder} of the checkpoint's training, {name: why it is not found}).

    `words` are those of `--encoder`. Raises UserError where one of them is no encoder, was not trained with, or has
    another size, other weights or other settings than in the training.
    """
    asked = {encoder.name: encoder for encoder in find_encoders(tuple(named_encoder(word) for word in words))}
    if more := [name for name in asked if name not in predictor.encoders]:
        raise UserError(f"--encoder: {predictor.checkpoint} was not trained with {', '.join(more)}, but with "
                        f"{', '.join(predictor.encoders) or 'no encoder'}. Leave it out.")
    found, lacking = {}, {}
    for name, then in predictor.encoders.items():
        if name not in asked and name not in PACKAGED:
            lacking[name] = (f"{predictor.checkpoint} was trained with the vectors of {shortened(name)}, whose weights "
                             f"are in a file. Give --encoder {form_of(name)}, the file with SHA-256 "
                             f"{then.get('weights')}.")
            continue
        try:
            found[name] = asked[name] if name in asked else find_encoder(name)
        except UserError as error:      # its package is not installed
            lacking[name] = str(error)
    for name, encoder in found.items():
        if differences := predictor.encoder_differences(name, encoder.settings):
            raise UserError(f"--encoder: {name} ({encoder.weights}) is not the one that {predictor.checkpoint} was "
                            f"trained with ({differences}). Give the file of that training.")
    return found, lacking


def form_of(name: str) -> str:
    """The word of `--encoder` for an encoder of this name whose weights are in a file."""
    library = next((library for library in ("timm", "open_clip") if name.startswith(f"{library}_")), None)
    return f"{library}:MODEL:FILE" if library else "checkpoint:FILE"


def encoders_for(predictor: Predictor, words: tuple[str, ...] = ()) -> dict[str, Encoder]:
    """{name: encoder}, all of the checkpoint's training. Raises UserError where one is not found or is another."""
    found, lacking = encoders_found(predictor, words)
    for reason in lacking.values():
        raise UserError(reason)
    return found


def window_inputs(predictor: Predictor, words: tuple[str, ...] = ()) -> tuple[str | Encoder, ...]:
    """What datatools.windows is to make of a video for a network: names, and the encoders themselves.

    Raises UserError as `encoders_for`.
    """
    encoders = encoders_for(predictor, words)
    return tuple(encoders.get(name, name) for name in predictor.inputs if name != "kind")
