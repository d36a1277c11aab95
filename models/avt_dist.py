"""AVTDist: a distribution over the clip's seconds instead of one number, from temporal convolutions instead of GRUs.

Every second gets a weight and a place within it; the answer is the expectation around the strongest second. A clip that
lacks a modality still gets an answer, because in training whole modalities are left out.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from models.layers import STEPS
from models.losses import CLIP_SECONDS
from models.video_net import StridedFrameNet, TextNet, VideoNet

MFCC_STEPS = 8616              # of a clip, 43.07 a second
NUM_MFCC = 20
QUARTERS = 4                   # steps a second of the sound's features, before they are joined to whole seconds
REACH = 3                      # s; how far around the strongest second the expectation is taken
SPREAD = 0.8                   # s; deviation of the bell that is the target of the weights
OFFSET_REACH = 2.0             # s; a second's place may lie this far from its middle
OFFSET_WEIGHT, ANSWER_WEIGHT = 1.0, 0.2    # of the losses in seconds, beside the cross-entropy


class TemporalBlock(nn.Module):
    """A residual block over time: dilated convolution, norm, GELU, mixing of channels. (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, dilation: int, dropout: float):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(channels)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.mix(nn.functional.gelu(self.norm(self.conv(x)))))


class SoundSteps(nn.Module):
    """MFCC to a feature a second that keeps what happens within it. (B, 20, 8616) -> (B, channels, 200)."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(NUM_MFCC, affine=False)
        self.stem = nn.Sequential(
            nn.Conv1d(NUM_MFCC, inner, 5, stride=2, padding=2), nn.BatchNorm1d(inner), nn.GELU(),
            nn.Conv1d(inner, inner, 5, stride=2, padding=2), nn.BatchNorm1d(inner), nn.GELU(),
        )
        self.blocks = nn.Sequential(*(TemporalBlock(inner, dilation, 0.0) for dilation in (1, 2, 4)))
        self.join = nn.Conv1d(inner, channels, QUARTERS, stride=QUARTERS)

    def forward(self, mfcc: Tensor) -> Tensor:
        x = self.blocks(self.stem(self.norm(mfcc)))
        return self.join(nn.functional.adaptive_avg_pool1d(x, QUARTERS * STEPS))


class AVTDist(nn.Module):
    """Returns {"steps": (B, 1, 200), "offsets": (B, 200)}: what speaks for each second, and the place within it, s.

    mfcc      (B, 20, 8616) float
    frames    (B, 200, 66, 88, 3) uint8, RGB
    text_roi  (B, 200, 27, 36) uint8, 1 inside a text box

    `modality_dropout` is the chance with which each of the three is left out of a training clip (never all of them).
    """

    inputs = ("mfcc", "frames", "text_roi")

    def __init__(
        self,
        channels: int = 128,
        frame_channels: tuple[int, ...] = (16, 32, 64),
        text_channels: tuple[int, ...] = (4, 8, 16, 32),
        sound_channels: int = 64,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 1, 2, 4),
        dropout: float = 0.1,
        feature_dropout: float = 0.2,
        modality_dropout: float = 0.1,
        standardise: bool = True,
    ):
        super().__init__()
        # The picture's part is VideoNet's without its GRU, under the same names.
        self.video_net = VideoNet(1, frame_channels, text_channels, 0.0, standardise)
        del self.video_net.gru, self.video_net.dropout
        assert isinstance(self.video_net.frame_net, StridedFrameNet) and isinstance(self.video_net.text_net, TextNet)
        self.frame_norm = nn.BatchNorm1d(frame_channels[-1])
        self.text_norm = nn.BatchNorm1d(text_channels[-1])
        self.sound_net = SoundSteps(channels, sound_channels)
        # Each second sees what is shown now and what differs from the second before: a cut is a difference.
        self.see = nn.Conv1d(2 * frame_channels[-1], channels, 1)
        self.read = nn.Conv1d(text_channels[-1], channels, 1)
        self.modality_dropout = modality_dropout
        self.feature_dropout = nn.Dropout1d(feature_dropout)
        self.join = nn.Conv1d(3 * channels, channels, 1)
        self.blocks = nn.Sequential(*(TemporalBlock(channels, dilation, dropout) for dilation in dilations))
        self.step_head = nn.Conv1d(channels, 1, 1)
        self.offset_head = nn.Conv1d(channels, 1, 1)

    def forward(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> dict[str, Tensor]:
        b, t = frames.shape[:2]
        seen = self.video_net.frame_net(self.video_net.input(frames.flatten(0, 1))).unflatten(0, (b, t))   # (B, 200, F)
        read = self.video_net.text_net(text_roi.flatten(0, 1)).unflatten(0, (b, t))                        # (B, 200, R)
        seen, read = self.frame_norm(seen.transpose(1, 2)), self.text_norm(read.transpose(1, 2))
        change = torch.diff(seen, dim=2, prepend=seen[:, :, :1])
        parts = [self.see(torch.cat([seen, change], 1)), self.read(read), self.sound_net(mfcc)]            # (B, C, 200)
        if self.training and self.modality_dropout:
            kept = self._kept(b, mfcc.device).to(parts[0].dtype)
            parts = [part * kept[:, i, None, None] for i, part in enumerate(parts)]
        x = self.blocks(self.join(self.feature_dropout(torch.cat(parts, 1))))
        offsets = OFFSET_REACH * torch.tanh(self.offset_head(x).float().squeeze(1))
        return {"steps": self.step_head(x), "offsets": offsets}

    def _kept(self, count: int, device) -> Tensor:
        """1 for each modality of each clip that is kept, (B, 3); a clip that would lose all keeps one."""
        kept = torch.rand(count, 3, device=device) >= self.modality_dropout
        lone = torch.nn.functional.one_hot(torch.randint(3, (count,), device=device), 3).bool()
        return torch.where(kept.any(1, keepdim=True), kept, lone)

    @staticmethod
    def seconds(outputs: dict[str, Tensor]) -> Tensor:
        """The answer in seconds, (B,): the expectation within REACH of the strongest second."""
        return expected_seconds(outputs["steps"].float().squeeze(1), outputs["offsets"])


def expected_seconds(steps: Tensor, offsets: Tensor) -> Tensor:
    """The mean place of the seconds around the strongest one, each with its weight. (B, 200), (B, 200) s -> (B,) s."""
    place = torch.arange(STEPS, device=steps.device)
    strongest = steps.argmax(1, keepdim=True)
    near = steps.masked_fill((place - strongest).abs() > REACH, float("-inf")).softmax(1)
    return (near * (place + 0.5 + offsets)).sum(1).clamp(0, CLIP_SECONDS)


def distribution_loss(outputs: dict[str, Tensor], seconds: Tensor) -> Tensor:
    """Cross-entropy against a bell around the boundary, and smooth L1 in seconds of the places and of the answer.

    outputs["steps"] (B, 1, 200), outputs["offsets"] (B, 200); seconds (B,).
    """
    steps, offsets = outputs["steps"].float().squeeze(1), outputs["offsets"]
    middles = torch.arange(STEPS, device=steps.device) + 0.5
    distance = seconds[:, None] - middles                                             # (B, 200), s
    target = torch.softmax(-(distance / SPREAD) ** 2 / 2, 1)
    near = (distance.abs() < OFFSET_REACH).float()
    places = smooth_l1_loss(offsets, distance.clamp(-OFFSET_REACH, OFFSET_REACH), reduction="none", beta=0.1)
    # The expectation over all seconds pulls on weights far away too, as the score does.
    answer = (steps.softmax(1) * (middles + offsets)).sum(1)
    return (cross_entropy(steps, target) + OFFSET_WEIGHT * (places * near).sum() / near.sum()
            + ANSWER_WEIGHT * smooth_l1_loss(answer, seconds))
