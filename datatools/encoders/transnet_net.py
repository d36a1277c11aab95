"""TransNet V2 on a few pictures around a change, as if a still picture stood before and after them.

    net = StretchNet(load_weights(file))
    net(stretches)          # (n, L, 27, 48, 3) uint8 -> probability of a cut after each picture, (n, L)

The network (Soucek and Lokoc, 2020, arXiv 2008.04838) looks 98 pictures back and ahead. Here what lies outside of a
stretch is replaced by what the network computes from its first or last picture standing still, which costs one picture
more on each side. Its (1, 3, 3) convolutions are those of single pictures, its (3, 1, 1) convolutions matrix products;
batch norms are folded into the latter. torch is imported late, as in picture_net.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datatools.bfloat16 import cpu_computes_bfloat16

if TYPE_CHECKING:
    from torch import Tensor

STACKS, BLOCKS = 3, 2
DILATIONS = (1, 2, 4, 8)
REACH = 50             # pictures to each side that a picture is compared with
NORM_EPSILON = 1e-3    # of the batch norms
BATCH = 4              # stretches at once on a CPU
GPU_BATCH = 64


@dataclass(frozen=True)
class Block:
    """A block's weights: of its pictures (C, in, 3, 3), of time {dilation: (3, in, out)}, and the bias (4 out,)."""

    picture: Tensor
    time: dict[int, Tensor]
    bias: Tensor


def block_of(weights: dict[str, Tensor], prefix: str) -> Block:
    """The block whose tensors begin with `prefix`, its batch norm folded into the convolutions over time."""
    import torch

    scale = weights[f"{prefix}.bn.weight"] / (weights[f"{prefix}.bn.running_var"] + NORM_EPSILON).sqrt()
    bias = weights[f"{prefix}.bn.bias"] - weights[f"{prefix}.bn.running_mean"] * scale
    layers = {d: [weights[f"{prefix}.Conv3D_{d}.layers.{k}.weight"] for k in (0, 1)] for d in DILATIONS}
    time = {d: (over_time[..., 0, 0] * part[:, None, None]).permute(2, 1, 0).contiguous()
            for (d, (_, over_time)), part in zip(layers.items(), scale.chunk(len(DILATIONS)), strict=True)}
    return Block(torch.cat([picture[:, :, 0] for picture, _ in layers.values()]), time, bias)


class StretchNet:
    """The network with the public weights, in bfloat16 where the CPU has it, and on the GPU where there is one."""

    def __init__(self, weights: dict[str, Tensor], dtype=None):
        import torch

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_cpu = self.device.type == "cpu"
        self.batch = BATCH if on_cpu else GPU_BATCH
        self.dtype = dtype or (torch.bfloat16 if on_cpu and cpu_computes_bfloat16() else torch.float32)
        blocks = [[block_of(weights, f"SDDCNN.{stack}.DDCNN.{block}") for block in range(BLOCKS)]
                  for stack in range(STACKS)]
        self.stacks = [[self._placed(block) for block in stack] for stack in blocks]
        self.heads = {name: value.float().to(self.device) for name, value in weights.items()
                      if not name.startswith("SDDCNN")}

    def _placed(self, block: Block) -> Block:
        import torch

        place = {"device": self.device, "dtype": self.dtype}
        return Block(block.picture.to(**place, memory_format=torch.channels_last),
                     {d: taps.to(**place) for d, taps in block.time.items()}, block.bias.to(**place))

    def __call__(self, stretches: Tensor) -> Tensor:
        """Float32, on the CPU."""
        import torch

        with torch.inference_mode():
            return torch.cat([self._answer(part.to(self.device)).float().cpu()
                              for part in stretches.split(self.batch)])

    def _answer(self, stretches: Tensor) -> Tensor:
        import torch
        from torch.nn.functional import avg_pool2d, normalize

        stretches = torch.cat([stretches[:, :1], stretches, stretches[:, -1:]], 1)          # and the two that stand
        count, length = stretches.shape[:2]
        x = stretches.flatten(0, 1).permute(0, 3, 1, 2).to(self.dtype) / 255                # (n L, 3, 27, 48)
        means = []
        for first, second in self.stacks:
            shortcut = self._block(x, first, length).relu_()
            x = avg_pool2d(self._block(shortcut, second, length).relu_() + shortcut, 2)
            means.append(x.float().mean((2, 3)))
        seen = x.permute(0, 2, 3, 1).reshape(count, length, -1).float()
        means = self._linear(torch.cat(means, 1), "frame_sim_layer.projection")
        alike = self._alike(normalize(means, dim=1).view(count, length, -1), "frame_sim_layer.fc")
        colours = self._alike(normalize(histograms(stretches.flatten(0, 1)), dim=1).view(count, length, -1),
                              "color_hist_layer.fc")
        hidden = self._linear(torch.cat([colours, alike, seen], 2), "fc1").relu_()
        return self._linear(hidden, "cls_layer1").sigmoid()[:, 1:-1, 0]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.heads[f"{name}.weight"].T + self.heads[f"{name}.bias"]

    def _block(self, x: Tensor, block: Block, length: int) -> Tensor:
        """(n L, in, H, W) -> (n L, out, H, W), channels last, before its activation."""
        import torch
        from torch.nn.functional import conv2d

        y = conv2d(x, block.picture, padding=1).permute(0, 2, 3, 1)
        places = torch.arange(length, device=x.device)
        found = []
        for part, bias, (d, taps) in zip(y.chunk(len(DILATIONS), 3), block.bias.chunk(len(DILATIONS)),
                                         block.time.items(), strict=True):
            rows = part.reshape(-1, part.shape[3])
            total = torch.addmm(bias, rows, taps[1]).view(-1, length, *part.shape[1:3], len(bias))
            for tap, shift in ((taps[0], -d), (taps[2], d)):
                beside = (places + shift).clamp(0, length - 1)
                beside[0], beside[-1] = 0, length - 1       # what stands has itself before and after it
                total += (rows @ tap).view(total.shape)[:, beside]
            found.append(total)
        return torch.cat(found, 4).flatten(0, 1).permute(0, 3, 1, 2)

    def _alike(self, x: Tensor, name: str) -> Tensor:
        """From each picture's likeness to those around it; (n, L, D) -> (n, L, 128)."""
        import torch

        length = x.shape[1]
        beside = torch.arange(length, device=x.device)[:, None] + torch.arange(-REACH, REACH + 1, device=x.device)
        likeness = (x @ x.mT).gather(2, beside.clamp(0, length - 1).expand(len(x), -1, -1))
        return self._linear(likeness, name).relu_()


def histograms(pictures: Tensor) -> Tensor:
    """Counts of 8 x 8 x 8 colours, (n, 27, 48, 3) uint8 -> (n, 512)."""
    import torch

    r, g, b = (pictures.flatten(1, 2).long() >> 5).unbind(2)
    colours = (r << 6) + (g << 3) + b
    counts = torch.zeros(len(pictures), 512, device=pictures.device)
    return counts.scatter_add_(1, colours, torch.ones_like(colours, dtype=counts.dtype))
