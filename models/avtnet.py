"""AVTNet and AVTNet-normalized: one number a clip, from sound, picture and text together."""

import torch
from torch import Tensor, nn
from torch.nn.functional import mish

from models.audio_net import AudioNet
from models.layers import STEPS, SqueezeExcite
from models.losses import CLIP_SECONDS
from models.video_net import VideoNet

RAMP_NOISE = 0.1   # of the usual start's weights, left on the ramp


class AudioVisualText(nn.Module):
    """The trunk of all three networks: both features, joined and weighed by channel. -> (B, 4 * hidden, 200).

    mfcc      (B, 20, 8616) float
    frames    (B, 200, 66, 88, 3) uint8, RGB
    text_roi  (B, 200, 27, 36) uint8, 1 inside a text box

    The sizes' defaults are the reference's.
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
        time_ramp: float = 0.0,
        step_softmax: bool = False,
    ):
        super().__init__()
        self.video_net = VideoNet(hidden, frame_channels, text_channels, frame_dropout, standardise)
        self.audio_net = AudioNet(hidden, audio_channels, normalise_mfcc)
        self.channels = 4 * hidden
        self.se = SqueezeExcite(self.channels)
        self.time_head = TimeHead(time_ramp)
        self.step_softmax = step_softmax

    def fuse(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> Tensor:
        """Both features, joined. -> (B, 4 * hidden, 200)."""
        return self.se(torch.cat([self.video_net(frames, text_roi), self.audio_net(mfcc)], 1))


def weigh_steps(steps: Tensor, softmax: bool) -> Tensor:
    """What the linear layers see of each step's evidence, (..., T) -> (..., T): Mish, as the reference; or softmax.

    Under softmax the steps share one unit of weight, so a faint boundary reads out as the same time as a plain one;
    under Mish its height counts too, and faint ones are drawn to the middle of the clip.
    """
    return steps.float().softmax(-1) if softmax else mish(steps)


class TimeHead(nn.Module):
    """One value a step to one value a clip: linear, Mish, linear, sigmoid. (B, 200) -> (B, 1) in (0, 1).

    `ramp` above zero starts every row of the first layer as a random multiple, of this deviation, of a ramp over time.
    Evidence at a step then reads out as that step's time, and what is learnt at one time holds for its neighbours.
    Zero is the reference's start: independent weights, so that every second has to be learnt by itself.
    """

    def __init__(self, ramp: float = 0.0):
        super().__init__()
        self.fc1 = nn.Linear(STEPS, 64)
        self.fc2 = nn.Linear(64, 1)
        if ramp:
            with torch.no_grad():
                rows = ramp * torch.randn(64, 1) * torch.linspace(-1, 1, STEPS)
                self.fc1.weight.mul_(RAMP_NOISE).add_(rows)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(mish(self.fc1(x))).sigmoid()


class AVTNet(AudioVisualText):
    """The first network: returns {"out": (B, 1)}, the boundary as a share of the clip, and {"steps": (B, 1, 200)}."""

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.step_head = nn.Conv1d(self.channels, 1, 1)

    def forward(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor) -> dict[str, Tensor]:
        steps = self.step_head(self.fuse(mfcc, frames, text_roi))   # (B, 1, 200)
        return {"out": self.time_head(weigh_steps(steps, self.step_softmax).squeeze(1)), "steps": steps}

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
