"""Any picture network of timm or open_clip, with the weights in a file: `timm:MODEL:FILE`, `open_clip:MODEL:FILE`.

Its vectors are what stands before the classifier, or CLIP's picture embeddings; size, mean and deviation of its input
are those that the library has for the model.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from datatools.encoders.encoder import PICTURES, Encoder
from datatools.encoders.picture_net import PictureNet, load_weights
from datatools.errors import UserError
from datatools.manifest import digest_of
from datatools.numbers import shortened

if TYPE_CHECKING:
    from torch import nn

LIBRARIES = {"timm": "timm", "open_clip": "open_clip_torch"}      # and their packages
FEW = 5           # tensors that a message names
HEADS = ("fc.", "head.", "classifier.", "head_dist.")     # of classifiers; a file may hold one


def find(library: str, model: str, file: str) -> Encoder:
    """Raises UserError where library, model or file are not there."""
    given, package, path = f"--encoder {library}:{shortened(model)}:{file}", LIBRARIES[library], Path(file)
    if importlib.util.find_spec(library) is None:
        raise UserError(f"{given}: the package {package} is not installed. Run `pip install {package}`.")
    if not path.is_file():
        raise UserError(f"{given}: {path} is no file. Expected the weights of {shortened(model)}.")
    import torch

    with torch.device("meta"):      # takes no memory
        _, dim, size, _, _ = build(library, model)
    name = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")
    return Encoder(f"{library}_{name}", dim, PICTURES, path.resolve(), digest_of(path), package, load,
                   (("library", library), ("model", model), ("size", size)))


def build(library: str, model: str) -> tuple[nn.Module, int, int, tuple, tuple]:
    """(network, length of its vectors, side of its input, mean and deviation of each colour). Raises UserError."""
    try:
        if library == "timm":
            import timm
            from timm.data import resolve_model_data_config

            net = timm.create_model(model, num_classes=0)
            data = resolve_model_data_config(net)
            return net, net.num_features, max(data["input_size"][1:]), data["mean"], data["std"]
        import open_clip
        import torch

        net = open_clip.create_model(model, device=torch.get_default_device()).visual
        return net, net.output_dim, max(net.image_size), net.image_mean, net.image_std
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"--encoder {library}:{shortened(model)}: {library} cannot build it "
                        f"({' '.join(str(error).split())[:200]}). Give one of its models' names.") from error


def load(encoder: Encoder) -> PictureNet:
    """Raises UserError where the weights are not the model's."""
    settings = dict(encoder.more)
    net, _, size, mean, deviation = build(settings["library"], settings["model"])
    weights = load_weights(encoder.weights)
    if settings["library"] == "open_clip":
        weights = {name.removeprefix("visual."): value for name, value in weights.items() if name.startswith("visual.")}
    else:
        weights = {name: value for name, value in weights.items() if not name.startswith(HEADS)}
    own = net.state_dict()
    wrong = [name for name in own.keys() | weights.keys()
             if name not in own or name not in weights or own[name].shape != weights[name].shape]
    if wrong:
        raise UserError(f"{encoder.weights}: {len(wrong)} tensors are not those of {settings['model']} "
                        f"({', '.join(sorted(wrong)[:FEW])}). Give this model's weights, or another model.")
    net.load_state_dict(weights)
    return PictureNet(net, size, mean, deviation)
