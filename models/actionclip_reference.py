"""State dicts of ActionCLIP and of CLIP: what differs from our names, and weights that start another network.

CLIP's own names, which OpenAI's files, ActionCLIP's and open_clip's have, are ours too; those of ActionCLIP's second
network, the fusion, begin with `fusion.` here.

    ours = from_reference("ActionCLIP", weights)           # {our name: tensor}
    sizes = sizes_of("ActionCLIP", ours, {})
    ours, notes = adapted(ours, net.state_dict())          # notes say what begins anew
"""

import math
import re

import torch
from torch import Tensor

NETWORKS = ("ActionCLIP",)
FUSION, POSITIONS = "fusion.", "fusion.frame_position_embeddings.weight"
# A tensor that one fusion alone has; without any of them the frames are averaged.
FUSIONS = {"Transf_cls": "fusion.transformer.cls_token", "Transf": "fusion.transformer.resblocks.0.ln_1.weight",
           "LSTM": "fusion.lstm_visual.weight_ih_l0", "Conv_1D": "fusion.shift.weight"}
NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size")      # numbers among OpenAI's tensors
SHIFTED = re.compile(r"(visual\.transformer\.resblocks\.\d+\.)net\.(.+)")
PLAIN = re.compile(r"(visual\.transformer\.resblocks\.\d+\.)(?!net\.)(.+)")
TEXTS = 77      # rows of the positions


def network_of(weights: dict[str, Tensor]) -> str | None:
    """ActionCLIP where the tensors have the names of CLIP's towers, else None."""
    towers = {"visual.conv1.weight", "token_embedding.weight", "text_projection"}
    return "ActionCLIP" if towers <= set(weights) else None


def from_reference(network: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under our names, without those that take no part; an unknown name stays as it is."""
    unused = (*NO_WEIGHTS, *([] if fusion_of(weights) == "Transf" else [POSITIONS]))
    return {name: value for name, value in weights.items() if name not in unused}


def to_reference(network: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors, and the frame positions that every fusion but meanP has in the public code (zeros)."""
    if fusion_of(weights) == "meanP" or POSITIONS in weights:
        return dict(weights)
    return {**weights, POSITIONS: torch.zeros(TEXTS, weights["text_projection"].shape[1])}


def file_of(weights: dict[str, Tensor]) -> dict:
    """What the public code saves, of weights under its names: two networks, the second behind DataParallel."""
    fusion = {f"module.{name.removeprefix(FUSION)}": value for name, value in weights.items()
              if name.startswith(FUSION)}
    return {"epoch": 0, "model_state_dict": {n: v for n, v in weights.items() if not n.startswith(FUSION)},
            "fusion_model_state_dict": fusion}


def fusion_of(weights: dict[str, Tensor]) -> str:
    return next((fusion for fusion, name in FUSIONS.items() if name in weights), "meanP")


def sizes_of(network: str, weights: dict[str, Tensor], settings: dict) -> dict:
    """The sizes of the network that these weights belong to. Raises ValueError where no network fits.

    `frames` is known for Transf_cls alone; the others take any number of them.
    """
    patches, places = _shape(weights, "visual.conv1.weight", 4), _shape(weights, "visual.positional_embedding", 2)[0]
    text_width, embed = _shape(weights, "text_projection", 2)
    fusion = fusion_of(weights)
    sizes = {"image_size": math.isqrt(max(0, places - 1)) * patches[2], "patch_size": patches[2], "width": patches[0],
             "depth": _blocks(weights, "visual.transformer."), "embed": embed, "text_width": text_width,
             "text_depth": _blocks(weights, "transformer."), "fusion": fusion,
             "tsm": any(SHIFTED.fullmatch(name) for name in weights), "conv_as_reference": fusion == "Conv_1D"}
    if fusion == "Transf_cls":
        sizes["frames"] = _shape(weights, "fusion.transformer.pos_embed", 3)[1] - 1
    return sizes


def clip_settings(settings: dict) -> dict:
    """What becomes a clip: the middle pictures of equal segments."""
    return {"segments": True}


def remarks(weights: dict[str, Tensor]) -> list[str]:
    """What a user should know of these weights."""
    if fusion_of(weights) != "meanP":
        return []
    return ["the file holds no weights of a fusion over the frames (fusion_model_state_dict): their features are "
            "averaged, as with meanP"]


def adapted(weights: dict[str, Tensor], own: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Weights that start the network with the state dict `own`, and a line for what is not the file's own.

    A fusion that the file does not have begins anew. The towers' weights serve with and without temporal shift.
    Whatever else differs stays as it is.
    """
    weights, notes = dict(weights), []
    shifts = [any(SHIFTED.fullmatch(name) for name in names) for names in (weights, own)]
    if shifts == [False, True]:
        weights = {PLAIN.sub(r"\1net.\2", name): value for name, value in weights.items()}
        notes.append("visual.*: trained without temporal shift")
    elif shifts == [True, False]:
        weights = {SHIFTED.sub(r"\1\2", name): value for name, value in weights.items()}
        notes.append("visual.*: trained with temporal shift, which the network leaves out")
    given, wanted = fusion_of(weights), fusion_of(own)
    if given != wanted:
        weights = {name: value for name, value in weights.items() if not name.startswith(FUSION)}
        weights |= {name: value for name, value in own.items() if name.startswith(FUSION)}
        notes.append(f"fusion.*: the file's is {given} and the network's {wanted}, which begins anew")
    return weights, notes


def _blocks(weights: dict[str, Tensor], tower: str) -> int:
    """The number of blocks of a tower."""
    found = re.compile(re.escape(tower) + r"resblocks\.(\d+)\.")
    return len({block[1] for name in weights if (block := found.match(name))})


def _shape(weights: dict[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    shape = tuple(weights[name].shape) if name in weights else None
    if shape is None or len(shape) != dimensions:
        found = "missing" if shape is None else f"shape {shape}"
        raise ValueError(f"{name}: {found}, expected a tensor of {dimensions} dimensions, as in a CLIP whose visual "
                         "tower is a vision transformer")
    return shape
