"""The losses; the one place that divides seconds by the clip's length."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, l1_loss, smooth_l1_loss

CLIP_SECONDS = 200   # s; the networks answer with a share of this
CELLS = 20           # AVTNet_YOLT cuts a clip into this many cells
STEP_SPREAD = 1.5    # s; deviation of the bell that step_loss puts around the boundary


def cell_of(share: Tensor) -> Tensor:
    """Index of the cell that a share of the clip lies in, as float; 1.0 itself belongs to the last cell."""
    return (share * CELLS).floor().clamp(0, CELLS - 1)


def regression_loss(outputs: dict[str, Tensor], seconds: Tensor) -> Tensor:
    """Smooth L1 in seconds, for AVTNet and AVTNet-normalized. outputs["out"] (B, 1), seconds (B,)."""
    return smooth_l1_loss(outputs["out"].float().squeeze(1) * CLIP_SECONDS, seconds)


def yolt_loss(outputs: dict[str, Tensor], seconds: Tensor) -> Tensor:
    """L1 of the coarse answer in seconds, plus, over clips whose cell is right, L1 of the place within the cell.

    outputs["coarse"], outputs["fine"] (B, 1); seconds (B,). No second term where no cell is right.
    """
    coarse, fine = outputs["coarse"].float().squeeze(1), outputs["fine"].float().squeeze(1)
    share = seconds / CLIP_SECONDS
    loss = l1_loss(coarse * CLIP_SECONDS, seconds)
    cell = cell_of(share)
    right = cell_of(coarse.detach()) == cell
    if right.any():
        cell_seconds = CLIP_SECONDS / CELLS
        loss = loss + l1_loss(cell_seconds * fine[right], cell_seconds * (CELLS * share - cell)[right])
    return loss


def step_loss(outputs: dict[str, Tensor], seconds: Tensor) -> Tensor:
    """How far the evidence of the steps points from the boundary: an addition for small data sets, not the reference's.

    outputs["steps"] (B, K, 200), what a head sees of each second before its linear layers; seconds (B,). Cross-entropy
    between their softmax over time and a bell around the boundary. One number a clip tells a network little about
    where to look; this tells it.
    """
    steps = outputs["steps"].float()
    centres = torch.arange(steps.shape[2], device=steps.device) + 0.5                     # s
    target = torch.softmax(-((centres - seconds[:, None]) / STEP_SPREAD) ** 2 / 2, 1)     # (B, 200)
    return cross_entropy(steps.flatten(0, 1), target.repeat_interleave(steps.shape[1], 0))
