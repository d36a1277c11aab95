"""A picture network, ready to encode: on the GPU where there is one, made fast on a CPU.

torch is imported late: the processes that only read sound and pictures need not load it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from datatools.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 4       # pictures at once on a CPU: more no longer fit its cache
GPU_BATCH = 64


class PictureNet:
    """Pictures to vectors; `mean` and `deviation` are of each colour, as shares of 255.

    A picture is scaled to the network's square without cutting: titles stand at its edges.
    """

    def __init__(self, net: nn.Module, size: int, mean: tuple[float, ...], deviation: tuple[float, ...]):
        import torch

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.batch = BATCH if self.device.type == "cpu" else GPU_BATCH
        self.size = size
        self.net = net.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)
        self.mean, self.deviation = (255 * torch.tensor(each, device=self.device)[:, None, None]
                                     for each in (mean, deviation))

    def small(self, image: np.ndarray) -> np.ndarray:
        """uint8 (size, size, 3)."""
        return cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """float32 (n, dim) of uint8 (n, size, size, 3)."""
        import torch

        found = []
        with torch.inference_mode():
            for first in range(0, len(images), self.batch):
                x = torch.from_numpy(images[first:first + self.batch]).to(self.device).permute(0, 3, 1, 2).float()
                found.append(self.net((x - self.mean) / self.deviation).float().cpu())
        return torch.cat(found).numpy()


def fold_norms(net: nn.Module) -> nn.Module:
    """The network, in eval mode, with each batch norm as a part of the convolution before it; changes `net`.

    Only for timm's EfficientNets, which register each norm after the convolution that it follows.
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in [*net.eval().modules()]:
        children = [*parent.named_children()]
        for (conv_name, conv), (norm_name, norm) in zip(children, children[1:], strict=False):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                plain = nn.BatchNorm2d(norm.num_features, norm.eps)
                plain.load_state_dict(norm.state_dict())
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, plain.eval()))
                setattr(parent, norm_name, norm.act)
    return net


def load_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a file of torch.save or safetensors; runs no code from it. Raises UserError."""
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:      # pickle, ZIP and runtime errors, and safetensors' own
        raise UserError(f"{path}: no readable weights ({' '.join(str(error).split())[:200]}). Expected a state dict by "
                        "torch.save or safetensors.") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not content or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise UserError(f"{path}: holds no state dict. Expected tensors by name, by torch.save or safetensors.")
    return content
