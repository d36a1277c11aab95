"""AVTNet and AVTNet-normalized: one number a clip, from sound, picture and text together."""

import torch
from torch import Tensor, nn
from torch.nn.functional import mish

from models.audio_net import AudioNet
from models.layers import STEPS, SqueezeExcite, in_float32
from models.losses import CLIP_SECONDS
from models.video_net import VideoNet

CLOCK_SLOPE = 8.0    # of the time head's first layer over half a clip, where the head is initialised to read time
CLOCK_RIDGE = 1e-3   # ridge penalty: keeps the second layer's initial weights small, so that training can change them


class AudioVisualText(nn.Module):
    """The trunk of all three networks: video and audio joined, weighted by channel. -> (B, 4 * hidden, 200).

    mfcc      (B, 20, 8616) float
    frames    (B, 200, 66, 88, 3) uint8, RGB
    text_roi  (B, 200, 27, 36) uint8, 1 inside a text box

    The sizes' defaults are the reference's. `squeeze_excite` and `recurrent` can be switched off for ablations.
    """

    inputs = ("mfcc", "frames", "text_roi")

    def __init__(
        self,
        hidden: int = 1024,
        frame_channels: tuple[int, ...] | None = None,
        text_channels: tuple[int, ...] = (32, 64, 96, 128),
        audio_channels: tuple[int, ...] = (64, 128, 256, 512),
        frame_dropout: float = 0.5,
        standardise: bool = False,
        normalise_mfcc: bool = False,
        sharpness: float = 0.0,
        feature_dropout: float = 0.0,
        squeeze_excite: bool = True,
        recurrent: bool = True,
    ):
        super().__init__()
        self.video_net = VideoNet(hidden, frame_channels, text_channels, frame_dropout, standardise, recurrent)
        self.audio_net = AudioNet(hidden, audio_channels, normalise_mfcc, recurrent)
        self.channels = 4 * hidden
        self.se = SqueezeExcite(self.channels) if squeeze_excite else nn.Identity()
        self.dropout = nn.Dropout1d(feature_dropout)   # drops a channel for the whole clip
        self.time_head = TimeHead(reads_time=sharpness > 0)
        self.sharpness = sharpness

    @property
    def frame_net(self) -> nn.Module:
        """The submodule that sees single frames."""
        return self.video_net.frame_net

    def fuse(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> Tensor:
        """Video and audio features, joined and weighted by channel. -> (B, 4 * hidden, 200)."""
        return self.dropout(self.se(torch.cat([self.video_net(frames, text_roi), self.audio_net(mfcc)], 1)))


def weigh_steps(steps: Tensor, sharpness: float) -> Tensor:
    """The activation between each step's evidence and the linear layers, (..., T) -> (..., T): Mish or softmax.

    `sharpness` 0 takes Mish, the reference's: the height of the evidence counts, so a faint boundary is answered with
    a time too near the clip's middle. Above 0 it is the factor within a softmax: the weights sum to 1, so a faint
    boundary and a plain one give the same time. The sharper, the less other places like a boundary pull on the answer.
    """
    return (sharpness * steps.float()).softmax(-1) if sharpness else mish(steps)


class TimeHead(nn.Module):
    """One value a step to one value a clip: linear, Mish, linear, sigmoid. (B, 200) -> (B, 1) in (0, 1).

    The reference starts from random weights, so it has to learn the time of every second. With `reads_time` the
    initial weights answer evidence at a single step with that step's time: the first layer's rows are ramps over time,
    rising and falling, with different offsets; the second layer is fitted to them by least squares. Both are trained.
    """

    def __init__(self, reads_time: bool = False):
        super().__init__()
        self.fc1 = nn.Linear(STEPS, 64)
        self.fc2 = nn.Linear(64, 1)
        if reads_time:
            self._start_as_clock()

    @torch.no_grad()
    def _start_as_clock(self) -> None:
        rows = len(self.fc1.weight)
        slopes = CLOCK_SLOPE * torch.tensor([1.0, -1.0]).repeat(rows // 2)
        self.fc1.weight.copy_(slopes[:, None] * torch.linspace(-1, 1, STEPS))
        self.fc1.bias.copy_(-slopes * torch.linspace(-1, 1, rows))
        features = mish(self.fc1(torch.eye(STEPS)))                                    # (200, 64), step by step
        features = torch.cat([features, torch.ones(STEPS, 1)], 1).double()
        wanted = step_logits(STEPS).double()
        weight = (wanted.sigmoid() * (1 - wanted.sigmoid()))[:, None]                  # errors in seconds, not logits
        left = (features * weight).T @ (features * weight) + CLOCK_RIDGE * torch.eye(rows + 1).double()
        solved = torch.linalg.solve(left, (features * weight).T @ (wanted * weight[:, 0]))
        self.fc2.weight.copy_(solved[None, :-1])
        self.fc2.bias.copy_(solved[-1:])

    def forward(self, x: Tensor) -> Tensor:
        with in_float32(x):
            return self.fc2(mish(self.fc1(x.float()))).sigmoid()


def step_logits(count: int) -> Tensor:
    """The logits whose sigmoids are the middles of `count` equal parts of the range 0 to 1. (count,)."""
    return torch.logit((torch.arange(count) + 0.5) / count)


class AVTNet(AudioVisualText):
    """The first network: returns {"out": (B, 1)}, the boundary as a share of the clip, and {"steps": (B, 1, 200)}."""

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.step_head = nn.Conv1d(self.channels, 1, 1)

    def forward(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> dict[str, Tensor]:
        steps = self.step_head(self.fuse(mfcc, frames, text_roi))   # (B, 1, 200)
        return {"out": self.time_head(weigh_steps(steps, self.sharpness).squeeze(1)), "steps": steps}

    @staticmethod
    def seconds(outputs: dict[str, Tensor]) -> Tensor:
        """The answer in seconds, (B,)."""
        return outputs["out"].squeeze(1).float() * CLIP_SECONDS


class AVTNetNormalized(AVTNet):
    """The second network: standardised frames, and one more layer over the channels of each step."""

    def __init__(self, standardise: bool = True, step_channels: int = 1024, **sizes):
        super().__init__(standardise=standardise, **sizes)
        self.step_head = nn.Sequential(
            nn.Conv1d(self.channels, step_channels, 1), nn.Mish(), nn.Conv1d(step_channels, 1, 1)
        )
