"""Picture and text: one frame and one text mask a second, to a feature vector per second."""

import torch
from torch import Tensor, nn

from models.layers import BiGRU, FrameInput, StepLayer


class TextNet(nn.Module):
    """A text mask to one vector: conv 3x3, batch norm, ReLU, max-pool for each of `channels`; then a spatial mean.

    (N, 27, 36) -> (N, channels[-1])
    """

    def __init__(self, channels: tuple[int, ...] = (32, 64, 96, 128)):
        super().__init__()
        if len(channels) > 4:
            raise ValueError(f"text channels {channels}: a mask of 27 x 36 can be halved four times")
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for before, after in zip((1, *channels), channels, strict=False):
            self.convs.append(nn.Conv2d(before, after, 3, padding=1))
            self.norms.append(nn.BatchNorm2d(after))

    def forward(self, text_roi: Tensor) -> Tensor:
        x = text_roi.unsqueeze(1).float()   # (N, 1, 27, 36)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            # Max-pooling and ReLU commute; pooling first leaves ReLU a quarter of the work.
            x = nn.functional.max_pool2d(norm(conv(x)), 2).relu()
        return x.mean((2, 3))


class StridedFrameNet(nn.Sequential):
    """A frame network small enough for two cores: patches of 4x4, strided convolutions, global average pooling.

    (N, 3, 66, 88) -> (N, channels[-1])
    """

    def __init__(self, channels: tuple[int, ...]):
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip((3, *channels), channels, strict=False)):
            kernel, stride, padding = (4, 4, 0) if i == 0 else (3, 2, 1)
            layers += [nn.Conv2d(before, after, kernel, stride, padding, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def resnet18_frame_net() -> nn.Module:
    """torchvision's ResNet-18 without its last layer, untrained. (N, 3, 66, 88) -> (N, 512)."""
    from torchvision.models import resnet18

    net = resnet18(weights=None)
    net.fc = nn.Identity()
    return net


class VideoNet(nn.Module):
    """Frames and text masks to a feature vector per second. -> (B, 2 * hidden, 200).

    frames    (B, 200, 66, 88, 3) uint8, RGB
    text_roi  (B, 200, 27, 36) uint8, 1 inside a text box

    `frame_channels`: None builds a ResNet-18, the reference's choice; a tuple builds a StridedFrameNet.
    """

    def __init__(
        self,
        hidden: int = 1024,
        frame_channels: tuple[int, ...] | None = None,
        text_channels: tuple[int, ...] = (32, 64, 96, 128),
        dropout: float = 0.5,
        standardise: bool = False,
        recurrent: bool = True,
    ):
        super().__init__()
        self.input = FrameInput(standardise)
        self.frame_net = StridedFrameNet(frame_channels) if frame_channels else resnet18_frame_net()
        self.dropout = nn.Dropout(dropout)
        self.text_net = TextNet(text_channels)
        channels = (frame_channels[-1] if frame_channels else 512) + text_channels[-1]
        self.gru = (BiGRU if recurrent else StepLayer)(channels, hidden)

    def forward(self, frames: Tensor, text_roi: Tensor) -> Tensor:
        b, t = frames.shape[:2]
        seen = self.dropout(self.frame_net(self.input(frames.flatten(0, 1))))   # (B*T, F)
        read = self.text_net(text_roi.flatten(0, 1))                            # (B*T, R)
        return self.gru(torch.cat([seen, read], 1).unflatten(0, (b, t)))
