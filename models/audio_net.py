"""Sound: MFCC to a feature vector per second, by a 1-D ResNet with squeeze-and-excitation and a GRU."""

from torch import Tensor, nn
from torch.nn.functional import max_pool1d, mish

from models.layers import BiGRU, StepLayer

NUM_MFCC = 20


class AudioBlock(nn.Module):
    """A 1-D basic residual block, with squeeze-and-excitation after the second norm. (B, C, T) -> (B, C', T/s)."""

    def __init__(self, before: int, after: int, stride: int = 1, reduction: int = 16):
        super().__init__()
        self.conv1 = nn.Conv1d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm1d(after)
        self.conv2 = nn.Conv1d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm1d(after)
        self.squeeze = nn.Conv1d(after, after // reduction, 1)
        self.excite = nn.Conv1d(after // reduction, after, 1)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv1d(before, after, 1, stride, bias=False), nn.BatchNorm1d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = mish(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        weight = self.excite(mish(self.squeeze(y.mean(-1, keepdim=True)))).sigmoid()   # (B, C', 1)
        return mish(y * weight + self.shortcut(x))


class AudioNet(nn.Module):
    """MFCC to a feature vector per second. (B, 20, 8616) -> (B, 2 * hidden, 200); the GRU reads 270 time steps.

    `normalise` puts a batch norm before the stem, which brings all coefficients to one scale. The reference has none:
    its first coefficient (loudness, in the hundreds) dominates the others in the first epochs, and a short training has
    no epochs to lose.
    """

    def __init__(
        self,
        hidden: int = 1024,
        channels: tuple[int, ...] = (64, 128, 256, 512),
        normalise: bool = False,
        recurrent: bool = True,
    ):
        super().__init__()
        self.input_norm = nn.BatchNorm1d(NUM_MFCC, affine=False) if normalise else nn.Identity()
        self.stem_conv = nn.Conv1d(NUM_MFCC, channels[0], 3, stride=2, padding=1)
        self.stem_norm = nn.BatchNorm1d(channels[0])
        self.stages = nn.ModuleList()
        before = channels[0]
        for i, after in enumerate(channels):
            stride = 1 if i == 0 else 2
            self.stages.append(nn.Sequential(AudioBlock(before, after, stride), AudioBlock(after, after)))
            before = after
        self.norm = nn.BatchNorm1d(before)
        self.gru = (BiGRU if recurrent else StepLayer)(before, hidden)

    def forward(self, mfcc: Tensor) -> Tensor:
        x = max_pool1d(mish(self.stem_norm(self.stem_conv(self.input_norm(mfcc)))), 2)
        for stage in self.stages:
            x = stage(x)
        return self.gru(self.norm(x).transpose(1, 2))
