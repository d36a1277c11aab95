"""State dicts of AVTNet, AVTNet-normalized and AVTNet_YOLT: between the reference's tensor names and ours.

    ours = from_reference("AVTNet", weights)       # {our name: tensor}
    theirs = to_reference("AVTNet", weights)       # {reference name: tensor}
"""

import re

import torch
from torch import Tensor

# (reference, ours), for the trunk that all three networks share.
TRUNK = [
    ("videoNet.front_end.0", "video_net.frame_net.conv1"),
    ("videoNet.front_end.1", "video_net.frame_net.bn1"),
    *((f"videoNet.front_end.{stage + 3}", f"video_net.frame_net.layer{stage}") for stage in (1, 2, 3, 4)),
    *((f"videoNet.rpn.conv{i + 1}.0", f"video_net.text_net.convs.{i}") for i in range(4)),
    *((f"videoNet.rpn.conv{i + 1}.1", f"video_net.text_net.norms.{i}") for i in range(4)),
    ("videoNet.back_end", "video_net.gru"),
    ("audioNet.conv.conv.0", "audio_net.stem_conv"),
    ("audioNet.conv.conv.1", "audio_net.stem_norm"),
    ("audioNet.conv.bn", "audio_net.norm"),
    *(
        (f"audioNet.conv.layer{stage + 1}.{block}.{theirs}", f"audio_net.stages.{stage}.{block}.{ours}")
        for stage in range(4)
        for block in range(2)
        for theirs, ours in (
            ("conv1", "conv1"), ("bn1", "norm1"), ("conv2", "conv2"), ("bn2", "norm2"), ("conv3", "squeeze"),
            ("conv4", "excite"), ("downsample", "shortcut"),
        )
    ),
    ("audioNet.gru", "audio_net.gru"),
    ("se.fc.0", "se.squeeze"),
    ("se.fc.2", "se.excite"),
]
HEADS = {
    "AVTNet": [("conv.0", "step_head"), ("fc.0", "time_head.fc1"), ("fc.2", "time_head.fc2")],
    "AVTNetNormalized": [
        ("conv.0", "step_head.0"), ("conv.2", "step_head.2"), ("fc.0", "time_head.fc1"), ("fc.2", "time_head.fc2"),
    ],
    "AVTNetYOLT": [
        ("conv1.0", "coarse_head"), ("fc1.0", "time_head.fc1"), ("fc1.2", "time_head.fc2"), ("conv2.0", "fine_head"),
        ("fc2.0", "cell_head"),
    ],
}
NETWORKS = tuple(HEADS)
# Four temporal convolutions that the reference defines but never calls: dropped when read, filled in when written.
UNUSED = re.compile(r"audioNet\.conv[1-4]\.")
UNUSED_CHANNELS = (20, 64, 128, 256, 512)


def network_of(weights: dict[str, Tensor]) -> str | None:
    """The network that a reference state dict belongs to, recognised by its head; None where it is none of ours."""
    if "fc2.0.weight" in weights and "conv2.0.weight" in weights:
        return "AVTNetYOLT"
    if "fc.2.weight" in weights and "conv.0.weight" in weights:
        two_layers = "conv.2.weight" in weights or weights["conv.0.weight"].shape[:1] > (1,)
        return "AVTNetNormalized" if two_layers else "AVTNet"
    return None


def sizes_of(network: str, weights: dict[str, Tensor], settings: dict) -> None:
    """None: the reference does not record its sizes, and they are the defaults."""


def from_reference(network: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reference's tensors under our names, without the unused ones; an unknown name stays as it is."""
    pairs = TRUNK + HEADS[network]
    return {_rename(name, pairs): value for name, value in weights.items() if not UNUSED.match(name)}


def to_reference(network: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the reference's names, and its unused convolutions (zeros; batch norms at initial values)."""
    pairs = [(ours, theirs) for theirs, ours in TRUNK + HEADS[network]]
    return {**{_rename(name, pairs): value for name, value in weights.items()}, **_unused_tensors()}


def _rename(name: str, pairs: list[tuple[str, str]]) -> str:
    for before, after in pairs:
        if name.startswith(before + "."):
            return after + name[len(before):]
    return name


def _unused_tensors() -> dict[str, Tensor]:
    """The reference's audioNet.conv1 to conv4, with its names and shapes."""
    tensors = {}
    for i, (before, after) in enumerate(zip(UNUSED_CHANNELS, UNUSED_CHANNELS[1:], strict=False), 1):
        shapes = {"conv1": (after, before, 3), "conv2": (after, before, 3), "conv3": (after, 2 * after, 1)}
        for conv, shape in shapes.items():
            prefix = f"audioNet.conv{i}.{conv}"
            tensors |= {
                f"{prefix}.0.weight": torch.zeros(shape), f"{prefix}.0.bias": torch.zeros(after),
                f"{prefix}.1.weight": torch.ones(after), f"{prefix}.1.bias": torch.zeros(after),
                f"{prefix}.1.running_mean": torch.zeros(after), f"{prefix}.1.running_var": torch.ones(after),
                f"{prefix}.1.num_batches_tracked": torch.zeros((), dtype=torch.int64),
            }
        tensors |= {
            f"audioNet.conv{i}.downsample.weight": torch.zeros(after, before, 1),
            f"audioNet.conv{i}.downsample.bias": torch.zeros(after),
            f"audioNet.conv{i}.se.fc.0.weight": torch.zeros(after // 4, after),
            f"audioNet.conv{i}.se.fc.2.weight": torch.zeros(after, after // 4),
        }
    return tensors
