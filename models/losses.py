"""The losses; the one place that divides seconds by the clip's length."""

from torch import Tensor
from torch.nn.functional import kl_div, l1_loss, normalize, smooth_l1_loss

CLIP_SECONDS = 200   # s; the networks answer with a share of this
CELLS = 20           # AVTNet_YOLT cuts a clip into this many cells
SAME_LABEL = 10      # ActionCLIP's targets are the softmax of this where two labels are the same, and of 0 elsewhere


def cell_of(share: Tensor) -> Tensor:
    """Index of the cell that a share of the clip lies in, as float; 1.0 itself belongs to the last cell."""
    return (share * CELLS).floor().clamp(0, CELLS - 1)


def regression_loss(outputs: dict[str, Tensor], seconds: Tensor) -> Tensor:
    """Smooth L1 in seconds, for AVTNet and AVTNet-normalized. outputs["out"] (B, 1), seconds (B,)."""
    return smooth_l1_loss(outputs["out"].float().squeeze(1) * CLIP_SECONDS, seconds)


def yolt_loss(outputs: dict[str, Tensor], seconds: Tensor) -> Tensor:
    """L1 of the coarse answer, plus L1 of the place within the cell over the clips whose cell is right; in seconds.

    outputs["coarse"], outputs["fine"] (B, 1); seconds (B,). Without a clip whose cell is right, the first term alone.
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


def actionclip_loss(outputs: dict[str, Tensor], label: Tensor) -> Tensor:
    """`matching_loss` of ActionCLIP's outputs. outputs["video"], outputs["text"] (B, D), outputs["scale"] (B,)."""
    return matching_loss(outputs["video"], outputs["text"], label, outputs["scale"].mean())


def matching_loss(video: Tensor, text: Tensor, label: Tensor, scale: Tensor) -> Tensor:
    """ActionCLIP's loss: how far the similarities of videos and texts are from those of their labels.

    video, text (B, D), not normalised; label (B,); scale, a number, multiplies the cosines. KL divergence, summed over
    the batch and divided by its size, from video to text and from text to video, averaged. Its value depends on who
    else is in the batch.
    """
    similar = scale.float() * normalize(video.float(), dim=1) @ normalize(text.float(), dim=1).T
    target = (SAME_LABEL * (label[:, None] == label).float()).softmax(1)      # the same in both directions
    return sum(kl_div(one.log_softmax(1), target, reduction="batchmean") for one in (similar, similar.T)) / 2
