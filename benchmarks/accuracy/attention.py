"""The rival of the field: a pretrained network's vector of one picture a second, and self-attention over the seconds.

    make_vectors(video, target)
    model = train(features, kinds, seconds, lengths, seed=0)
    answers = boundaries(model, features, kinds, lengths)

In the manner of arXiv 2504.09738 (CLIP at 1 fps, multi-head attention, each second told inside or outside), with
efficientnet_lite0's vectors in CLIP's place. It sees no sound and no more of time than whole seconds. What is inside is
`frame_f1`'s rule of scores.py; the boundary is the split of the clip that its seconds' probabilities like best.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from datatools.encoders import find_encoder
from datatools.features import extract_pictures
from datatools.files import save_array
from datatools.layout import CLIP_SECONDS, KINDS, START

ENCODER = "efficientnet_lite0"
WIDTH, HEADS, LAYERS = 128, 4, 2
EPOCHS, BATCH, RATE = 60, 16, 1e-3
MOST_SHIFT = 60                # s, to either side, in training


def make_vectors(video: Path, target: Path) -> None:
    """Write a clip's vectors as preprocessing does: float16 (200, 1280). Raises MediaError, UserError."""
    save_array(target, extract_pictures(video, encoders=[find_encoder(ENCODER)]).encoded[ENCODER])


class SecondsNet(nn.Module):
    """Logits of each second being inside. (B, 200, D), kind (B,) -> (B, 200)."""

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))
        self.enter = nn.Sequential(nn.Dropout1d(0.2), nn.Linear(dim, WIDTH))
        self.place = nn.Parameter(0.02 * torch.randn(CLIP_SECONDS, WIDTH))
        self.kind = nn.Embedding(len(KINDS), WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, 0.2, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.leave = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor, kind: Tensor) -> Tensor:
        x = (x.float() - self.mean) / self.deviation
        x = self.enter(x) + self.place + self.kind(kind)[:, None]
        return self.leave(self.layers(x)).squeeze(2)


def inside(seconds: Tensor, kind: Tensor) -> Tensor:
    """1 for each second of the clip that is inside, (B, 200)."""
    before = torch.arange(CLIP_SECONDS) + 0.5 < seconds[:, None]
    return (before == (kind == 0)[:, None]).float()


def shifted(x: Tensor, seconds: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """Clips and boundaries later by whole `shifts`; the first or last second stands for what comes in."""
    index = (torch.arange(CLIP_SECONDS) - shifts[:, None]).clamp(0, CLIP_SECONDS - 1)
    return x.gather(1, index[:, :, None].expand_as(x)), seconds + shifts


def train(features: np.ndarray, kinds: list[str], seconds: np.ndarray, lengths: np.ndarray, seed: int,
          epochs: int = EPOCHS) -> SecondsNet:
    """Train on clips: features (N, 200, D), kinds `s` or `e`, true seconds and lengths (N,)."""
    torch.manual_seed(seed)
    x, truth, kind = torch.from_numpy(features), torch.from_numpy(seconds).float(), as_numbers(kinds)
    net = SecondsNet(x.shape[2])
    flat = x[torch.arange(CLIP_SECONDS) < torch.from_numpy(lengths)[:, None]].float()
    net.mean.copy_(flat.mean(0))
    net.deviation.copy_(flat.std(0) + 1e-2)
    steps = math.ceil(len(x) / BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            # No shift moves a boundary out of its clip.
            low, high = (-truth[rows]).clamp(min=-MOST_SHIFT), (CLIP_SECONDS - truth[rows]).clamp(max=MOST_SHIFT)
            moves = (low + (high - low) * torch.rand(len(rows))).round().long()
            part, times = shifted(x[rows], truth[rows], moves)
            loss = nn.functional.binary_cross_entropy_with_logits(net(part, kind[rows]), inside(times, kind[rows]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.inference_mode()
def boundaries(net: SecondsNet, features: np.ndarray, kinds: list[str], lengths: np.ndarray) -> np.ndarray:
    """The best split of each clip within its length, (N,) whole seconds."""
    logits = net(torch.from_numpy(features), as_numbers(kinds)).double().numpy()
    return np.array([best_split(row[:max(1, round(length))], kind)
                     for row, kind, length in zip(logits, kinds, lengths, strict=True)])


def best_split(logits: np.ndarray, kind: str) -> float:
    """The whole second that most probably parts inside from outside; `logits` (T,) of each second being inside.

    The log likelihood of a split is, but for a constant, the sum of the logits on the inside.
    """
    before = np.concatenate([[0.0], np.cumsum(logits)])
    return float(np.argmax(before if kind == START.letter else -before))


def as_numbers(kinds: list[str]) -> Tensor:
    return torch.tensor([int(kind != START.letter) for kind in kinds])
