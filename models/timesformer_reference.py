"""State dicts of TimeSformer: other systems' tensor names, and weights that start a network of another shape.

The public code's names are ours; those of `transformers` are not. A plain ViT of timm has the names of `space_only`.

    ours = from_reference("TimeSformer", weights)          # {our name: tensor}
    sizes = sizes_of("TimeSformer", ours, settings)        # settings: the `cfg` of a published checkpoint, as a dict
    ours, notes = adapted(ours, net.state_dict())          # notes say what was left out, filled in or resized
"""

import math
import re

import torch
from torch import Tensor
from torch.nn.functional import interpolate

NETWORKS = ("TimeSformer",)
HEAD_WIDTH = 64      # channels of an attention head in every published size; no tensor tells it
# (`transformers`, ours), the first match counts.
PAIRS = [
    ("classifier.", "head."),
    ("layernorm.", "norm."),
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.time_embeddings", "time_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
]
PAIRS_IN_BLOCK = [
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("attention.attention.qkv.", "attn.qkv."),
    ("attention.output.dense.", "attn.proj."),
    ("temporal_layernorm.", "temporal_norm1."),
    ("temporal_attention.attention.qkv.", "temporal_attn.qkv."),
    ("temporal_attention.output.dense.", "temporal_attn.proj."),
    ("temporal_dense.", "temporal_fc."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
]
IN_BLOCK = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
TEMPORAL = re.compile(r"(blocks\.\d+\.)temporal_(.+)")
VIT_BASE = {"patch_size": 16, "width": 768, "depth": 12, "heads": 12, "mlp_ratio": 4.0}
# timm's file of that ViT; its name ends in the beginning of its SHA-256.
IMAGENET = ("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-vitjx/"
            "jx_vit_base_p16_224-80ecf9dd.pth")
BGR_DATA = ("ssv2", "something")      # beginnings of the data sets' names whose published weights expect BGR


def network_of(weights: dict[str, Tensor]) -> str | None:
    """TimeSformer where the tensors have the names of a vision transformer, else None."""
    names = {_ours(name) for name in weights}
    return "TimeSformer" if {"cls_token", "pos_embed", "blocks.0.attn.qkv.weight"} <= names else None


def from_reference(network: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under our names; an unknown name stays as it is."""
    return {_ours(name): value for name, value in weights.items()}


def to_reference(network: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the public code's names, which are ours."""
    return dict(weights)


def _ours(name: str) -> str:
    bare = name.removeprefix("timesformer.")
    if block := IN_BLOCK.fullmatch(bare):
        return f"blocks.{block[1]}.{_renamed(block[2], PAIRS_IN_BLOCK)}"
    return _renamed(bare, PAIRS)


def _renamed(name: str, pairs: list[tuple[str, str]]) -> str:
    return next((ours + name[len(theirs):] for theirs, ours in pairs if name.startswith(theirs)), name)


def sizes_of(network: str, weights: dict[str, Tensor], settings: dict) -> dict:
    """The sizes of the network that these weights, under our names, belong to.

    `settings` are the public code's, {} where the file holds none. They must agree with the tensors; they alone tell
    the number of frames of space_only, and the order of the channels. Raises ValueError where no network fits.
    """
    patches, places = _shape(weights, "patch_embed.proj.weight", 4), _shape(weights, "pos_embed", 3)[1] - 1
    width, hidden = patches[0], _shape(weights, "blocks.0.mlp.fc1.weight", 2)[0]
    attention = "space_only"
    if "time_embed" in weights:
        divided = any(TEMPORAL.fullmatch(name) for name in weights)
        attention = "divided_space_time" if divided else "joint_space_time"
    sizes = {"image_size": math.isqrt(max(0, places)) * patches[2], "patch_size": patches[2], "width": width,
             "depth": len({name.split(".")[1] for name in weights if name.startswith("blocks.")}),
             "heads": max(1, width // HEAD_WIDTH), "mlp_ratio": hidden / max(1, width), "attention": attention}
    if "time_embed" in weights:
        sizes["frames"] = _shape(weights, "time_embed", 3)[1]
    if "head.weight" in weights:
        sizes["classes"] = _shape(weights, "head.weight", 2)[0]
    told = {"attention": ("TIMESFORMER", "ATTENTION_TYPE"), "frames": ("DATA", "NUM_FRAMES"),
            "image_size": ("DATA", "TRAIN_CROP_SIZE"), "classes": ("MODEL", "NUM_CLASSES")}
    for size, (section, key) in told.items():
        value = _setting(settings, section, key)
        if value is not None and value != sizes.setdefault(size, value):
            raise ValueError(f"its settings say {section}.{key} {str(value)[:40]!r}, its tensors {sizes[size]!r}")
    dataset = str(_setting(settings, "TRAIN", "DATASET") or "").lower()
    return {**sizes, "bgr": dataset.startswith(BGR_DATA)}


def clip_settings(settings: dict) -> dict:
    """What became a clip, {num_frames, sampling_rate, image_size, segments, flip}, as far as the settings tell."""
    names = {"num_frames": "NUM_FRAMES", "sampling_rate": "SAMPLING_RATE", "image_size": "TEST_CROP_SIZE"}
    found = {name: _setting(settings, "DATA", key) for name, key in names.items()}
    if str(_setting(settings, "TRAIN", "DATASET") or "").lower().startswith(BGR_DATA):
        found |= {"segments": True, "flip": False}
    return {name: value for name, value in found.items() if type(value) in (int, bool)}


def imagenet_start(sizes: dict) -> str | None:
    """The URL of a ViT-B/16 trained on ImageNet, the start of the published trainings; None for other sizes."""
    return IMAGENET if all(sizes[name] == size for name, size in VIT_BASE.items()) else None


def _shape(weights: dict[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    shape = tuple(weights[name].shape) if name in weights else None
    if shape is None or len(shape) != dimensions:
        found = "missing" if shape is None else f"shape {shape}"
        raise ValueError(f"{name}: {found}, expected a tensor of {dimensions} dimensions")
    return shape


def _setting(settings: dict, section: str, key: str) -> str | int | float | None:
    values = settings.get(section)
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, str | int | float) else None


def adapted(weights: dict[str, Tensor], own: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Weights that start the network with the state dict `own`, and a line for each tensor that is not the file's own.

    A head of another number of classes is left out. Embeddings of another size are resized. Attention over time that
    the file lacks altogether begins as a copy of that over space, and with zeros behind it, so that it adds nothing
    yet. Whatever else differs stays as it is.
    """
    weights, notes = dict(weights), []
    _leave_out_head(weights, own, notes)
    _resize_embeddings(weights, own, notes)
    if "time_embed" in own and "time_embed" not in weights:
        weights["time_embed"] = torch.zeros_like(own["time_embed"])
        notes.append("time_embed: not in the file, begins as zeros")
    if not any(TEMPORAL.fullmatch(name) for name in weights):
        _fill_in_time(weights, own, notes)
    return weights, notes


def _leave_out_head(weights: dict[str, Tensor], own: dict[str, Tensor], notes: list[str]) -> None:
    names = ("head.weight", "head.bias")
    given = [weights.get(name) for name in names]
    classes = len(own["head.bias"])
    if given == [None, None]:
        reason = "not in the file"
    elif all(tensor is not None for tensor in given) and (count := given[1].numel()) != classes and (
            given[0].shape == (count, own["head.weight"].shape[1]) and given[1].shape == (count,)):
        reason = f"left out, the file's is for {count} classes and the network has {classes}"
    else:
        return
    for name in names:
        weights[name] = own[name]
        notes.append(f"{name}: {reason}; begins anew")


def _resize_embeddings(weights: dict[str, Tensor], own: dict[str, Tensor], notes: list[str]) -> None:
    """Resize the embeddings of places in 2-D and of times in 1-D, both by nearest neighbour."""
    for name in ("pos_embed", "time_embed"):
        given, wanted = weights.get(name), own.get(name)
        if given is None or wanted is None or given.shape == wanted.shape:
            continue
        if given.dim() != 3 or given.shape[::2] != wanted.shape[::2] or given.shape[1] < 2 - (name == "time_embed"):
            continue      # check_weights names it
        if name == "time_embed":
            resized = interpolate(given.transpose(1, 2), wanted.shape[1]).transpose(1, 2)
        else:
            before, after = (math.isqrt(tensor.shape[1] - 1) for tensor in (given, wanted))
            if before**2 != given.shape[1] - 1:
                continue
            places = given[:, 1:].unflatten(1, (before, before)).permute(0, 3, 1, 2)
            places = interpolate(places, (after, after)).flatten(2).transpose(1, 2)
            resized = torch.cat([given[:, :1], places], 1)
        weights[name] = resized
        notes.append(f"{name}: resized from {tuple(given.shape)} to {tuple(wanted.shape)} by nearest neighbour")


def _fill_in_time(weights: dict[str, Tensor], own: dict[str, Tensor], notes: list[str]) -> None:
    """Copy attention over space to attention over time, for all blocks of `own` that have the latter."""
    for name in own:
        if found := TEMPORAL.fullmatch(name):
            source = found[1] + found[2]      # temporal_attn.qkv.weight -> attn.qkv.weight
            if found[2].startswith("fc."):
                weights[name] = torch.zeros_like(own[name])
                notes.append(f"{name}: not in the file, begins as zeros")
            elif source in weights:
                weights[name] = weights[source]
                notes.append(f"{name}: not in the file, a copy of {source}")
