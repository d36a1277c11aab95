"""Layers that several networks share: squeeze-and-excitation, the recurrent layers, the scaling of frames."""

import contextlib

import torch
from torch import Tensor, nn

from models.gru import bidirectional_gru

STEPS = 200   # time steps of every feature, one a second of the clip

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def in_float32(x: Tensor):
    """A context that disables autocast, for the last layers: bfloat16's 8 bits are too few for a time within 200 s."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if kind in ("cpu", "cuda") else contextlib.nullcontext()


class SqueezeExcite(nn.Module):
    """Scale channels by weights from the clip's channel means (Hu et al., 2018). (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, reduction: int = 4):
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction, bias=False)
        self.excite = nn.Linear(channels // reduction, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.excite(self.squeeze(x.mean(-1)).relu()).sigmoid()   # (B, C)
        return x * weight.unsqueeze(-1)


class BiGRU(nn.GRU):
    """A two-layer bidirectional GRU, average-pooled to STEPS time steps. (B, T, C) -> (B, 2 * hidden, STEPS).

    On a CPU, models/gru.py computes it under autocast, and with `fast_on_cpu` in a float32 training too. That
    implementation sums in another order than torch.nn.GRU; the results agree up to rounding.
    """

    def __init__(self, channels: int, hidden: int, dropout: float = 0.3):
        super().__init__(channels, hidden, num_layers=2, batch_first=True, bidirectional=True, dropout=dropout)
        self.fast_on_cpu = False

    def forward(self, x: Tensor) -> Tensor:
        on_cpu = x.device.type == "cpu"
        mixed = on_cpu and torch.is_autocast_enabled("cpu")
        # torch.compile would unroll every step of our own loop.
        own = on_cpu and (mixed or (self.fast_on_cpu and self.training)) and not torch.compiler.is_compiling()
        with torch.autocast("cpu", enabled=False) if mixed else contextlib.nullcontext():
            if own:
                x = bidirectional_gru(x.float(), self, torch.bfloat16 if mixed else torch.float32)
            else:
                self.flatten_parameters()
                x = super().forward(x.float() if mixed else x)[0]
        x = x.transpose(1, 2)   # (B, 2 * hidden, T)
        return nn.functional.adaptive_avg_pool1d(x, STEPS)


class StepLayer(nn.Linear):
    """Replaces a BiGRU in ablations: a linear layer on each step by itself. (B, T, C) -> (B, 2 * hidden, STEPS)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__(channels, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool1d(super().forward(x).tanh().transpose(1, 2), STEPS)


class FrameInput(nn.Module):
    """Scale uint8 frames to floats, on the device. (N, H, W, 3) uint8, RGB -> (N, 3, H, W) float.

    Divides by 255; with `standardise` also subtracts ImageNet's mean and divides by its standard deviation. The
    checkpoint keeps the setting among the network's sizes, so that inference scales as training did.
    """

    def __init__(self, standardise: bool):
        super().__init__()
        self.standardise = standardise
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.permute(0, 3, 1, 2).float().div_(255)
        return (x - self.mean) / self.std if self.standardise else x
