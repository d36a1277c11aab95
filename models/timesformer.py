"""TimeSformer: a video classifier of attention alone (Bertasius et al., 2021), in its three kinds.

    net = TimeSformer(classes=400)                # base: ViT-B/16, divided attention, 8 frames of 224x224
    net(video)["logits"]                          # (B, 400); video (B, T, H, W, 3) uint8, RGB
    net.rollout(video)                            # (B, T, H / 16, W / 16), what the answer looked at
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

ATTENTIONS = ("divided_space_time", "joint_space_time", "space_only")
MEAN, STD = 0.45, 0.225      # of all channels, after division by 255
INITIAL_STD = 0.02           # of weights and embeddings, as in ViT
SCRATCH_STD = 0.3            # about that of the patches' own values at the start
Maps = list[tuple[Tensor | None, Tensor]]      # of each block: over time, and over space


class Attention(nn.Module):
    """Multi-head self-attention. (S, L, D) -> (S, L, D), or with `first_only` the first token's answer, (S, 1, D)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, first_only: bool = False) -> Tensor:
        return self.dropout(self.proj(self.mixed(x, first_only)))

    def mixed(self, x: Tensor, first_only: bool = False) -> Tensor:
        """The heads' answers side by side, before the projection."""
        return scaled_dot_product_attention(*self.heads_of(x, first_only)).transpose(1, 2).flatten(2)

    def heads_of(self, x: Tensor, first_only: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (S, heads, L, D / heads); with `first_only` the queries are (S, heads, 1, ...)."""
        if not first_only:
            return self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        width, (weight, bias) = x.shape[2], (self.qkv.weight, self.qkv.bias)
        query = linear(x[:, :1], weight[:width], bias[:width]).unflatten(2, (self.heads, -1)).transpose(1, 2)
        keys = linear(x, weight[width:], bias[width:]).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, *keys.unbind(0)

    def map_of(self, x: Tensor) -> Tensor:
        """How much each token takes from each other, averaged over the heads. (S, L, D) -> (S, L, L), rows sum to 1."""
        query, key, _ = self.heads_of(x)
        return (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(3).mean(1)


class Block(nn.Module):
    """ViT's block: attention, then two layers on each token. (S, L, D) -> (S, L, D); `first_only` as in Attention."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float, drop_path: float):
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(OrderedDict(
            fc1=nn.Linear(width, hidden), gelu=nn.GELU(), dropout1=nn.Dropout(dropout),
            fc2=nn.Linear(hidden, width), dropout2=nn.Dropout(dropout)))
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x: Tensor, frames: int, first_only: bool = False) -> Tensor:
        kept = x[:, :1] if first_only else x
        return self.finish(kept + self.drop_path(self.attn(self.norm1(x), first_only)))

    def finish(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def maps(self, x: Tensor, frames: int) -> tuple[Tensor | None, Tensor]:
        """The attention maps of the block: none over time, and over space (S, L, L)."""
        return None, self.attn.map_of(self.norm1(x))


class DividedBlock(Block):
    """Attention over time at each place, then over space in each frame. (B, 1 + T * N, D) -> (B, 1 + T * N, D).

    The class token takes no part over time. Over space it stands in every frame; the frames' answers are averaged.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float, drop_path: float):
        super().__init__(width, heads, mlp_ratio, dropout, drop_path)
        self.temporal_norm1 = nn.LayerNorm(width, eps=1e-6)
        self.temporal_attn = Attention(width, heads, dropout)
        self.temporal_fc = nn.Linear(width, width)
        self.merged: tuple = ()      # (the four tensors, their state, (weight, bias))

    def forward(self, x: Tensor, frames: int, first_only: bool = False) -> Tensor:
        token, x = x[:, :1], x[:, 1:].unflatten(1, (frames, -1))                    # (B, T, N, D)
        x = x + self.over_time(self.places(x)).unflatten(0, (len(x), -1)).transpose(1, 2)
        seen = self.drop_path(self.attn(self.norm1(self.frames(token, x)), first_only))
        seen = seen.unflatten(0, (len(x), frames))                                  # (B, T, 1 + N, D)
        token = token + seen[:, :, 0].mean(1, keepdim=True)
        if first_only:
            return self.finish(token)
        return self.finish(torch.cat([token, (x + seen[:, :, 1:]).flatten(1, 2)], 1))

    def places(self, x: Tensor) -> Tensor:
        """The tokens of each place over time, normalised. (B, T, N, D) -> (B * N, T, D)."""
        return self.temporal_norm1(x.transpose(1, 2).flatten(0, 1))

    @staticmethod
    def frames(token: Tensor, x: Tensor) -> Tensor:
        """The tokens of each frame, behind the class token. (B, 1, D), (B, T, N, D) -> (B * T, 1 + N, D)."""
        return torch.cat([token.unsqueeze(1).expand(-1, x.shape[1], -1, -1), x], 2).flatten(0, 1)

    def over_time(self, x: Tensor) -> Tensor:
        """What attention over time adds to each token. (B * N, T, D) -> (B * N, T, D)."""
        if self.training or torch.is_grad_enabled():
            return self.temporal_fc(self.drop_path(self.temporal_attn(x)))
        return linear(self.temporal_attn.mixed(x), *self.merged_layers())

    def train(self, mode: bool = True) -> "DividedBlock":
        """Forgets the merged layers, for a fused optimiser changes weights without a trace."""
        self.merged = () if mode else self.merged
        return super().train(mode)

    def merged_layers(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the projection and temporal_fc as one layer, multiplied out again when they change."""
        proj, fc = self.temporal_attn.proj, self.temporal_fc
        parts = (proj.weight, proj.bias, fc.weight, fc.bias)
        if any(part.is_inference() for part in parts):      # nothing tells whether these have changed
            return self.multiplied(*parts)
        # The tensors themselves are kept, so that no other one can take their place in memory unnoticed.
        state = [(id(part), part._version, part.data_ptr(), part.dtype) for part in parts]
        if not self.merged or self.merged[1] != state:
            self.merged = parts, state, self.multiplied(*parts)
        return self.merged[2]

    @staticmethod
    def multiplied(proj_weight: Tensor, proj_bias: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(weight.device.type, enabled=False):
            return weight @ proj_weight, weight @ proj_bias + bias

    def maps(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """The attention maps of the block: over time (B, N, T, T), and over space (B, T, 1 + N, 1 + N)."""
        token, x = x[:, :1], x[:, 1:].unflatten(1, (frames, -1))
        places = self.places(x)
        time = self.temporal_attn.map_of(places).unflatten(0, (len(x), -1))
        x = x + self.over_time(places).unflatten(0, (len(x), -1)).transpose(1, 2)
        return time, self.attn.map_of(self.norm1(self.frames(token, x))).unflatten(0, (len(x), frames))


class PatchEmbed(nn.Module):
    """A picture's patches as tokens. (S, 3, H, W) -> (S, H / patch * W / patch, D)."""

    def __init__(self, patch_size: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, patch_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class TimeSformer(nn.Module):
    """Returns {"logits": (B, classes), "features": (B, width)}; the features are the class token.

    video  (B, T, H, W, 3) uint8, RGB; height and width are multiples of `patch_size`

    Another number of frames or another size than the network's takes resized embeddings. `bgr` gives the channels to
    the network in the order of the published weights for Something-Something. `checkpointing` computes each block a
    second time in the backward pass instead of keeping what it computed.
    """

    inputs = ("video",)

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        frames: int = 8,
        classes: int = 400,
        attention: str = "divided_space_time",
        drop_path: float = 0.1,
        dropout: float = 0.0,
        bgr: bool = False,
        checkpointing: bool = False,
    ):
        super().__init__()
        if attention not in ATTENTIONS:
            raise ValueError(f"attention {attention!r}, expected one of {', '.join(ATTENTIONS)}")
        if image_size % patch_size or width % heads:
            raise ValueError(f"image_size {image_size} must be a multiple of patch_size {patch_size}, and width "
                             f"{width} one of heads {heads}")
        self.attention, self.patch_size, self.bgr, self.checkpointing = attention, patch_size, bgr, checkpointing
        self.grid = image_size // patch_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, width))
        if attention != "space_only":
            self.time_embed = nn.Parameter(torch.zeros(1, frames, width))
        self.patch_embed = PatchEmbed(patch_size, width)
        self.dropout = nn.Dropout(dropout)
        block = DividedBlock if attention == "divided_space_time" else Block
        self.blocks = nn.ModuleList(
            block(width, heads, mlp_ratio, dropout, drop_path * i / max(1, depth - 1)) for i in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        self._start()

    def _start(self) -> None:
        """ViT's initial weights; attention over time adds nothing yet."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INITIAL_STD)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.cls_token, std=INITIAL_STD)
        nn.init.trunc_normal_(self.pos_embed, std=INITIAL_STD)
        for block in self.blocks:
            if isinstance(block, DividedBlock):
                nn.init.zeros_(block.temporal_fc.weight)

    def start_from_scratch(self) -> None:
        """Initial weights for a training that has no ViT to begin from.

        ViT's small embeddings of places, and zeros for those of times and behind attention over time, suit weights that
        know pictures already. Without them, where and when a patch was is drowned out by what it shows, for many
        epochs. So the embeddings are as large as the patches' values, and attention over time counts from the start.
        """
        nn.init.normal_(self.pos_embed, std=SCRATCH_STD)
        if self.attention != "space_only":
            nn.init.normal_(self.time_embed, std=SCRATCH_STD)
        for block in self.blocks:
            if isinstance(block, DividedBlock):
                nn.init.trunc_normal_(block.temporal_fc.weight, std=INITIAL_STD)

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        return self.forward_clip(self.clip(video))

    def clip(self, video: Tensor) -> Tensor:
        """Standardised floats, on the device. (B, T, H, W, 3) uint8 -> (B, 3, T, H, W)."""
        video = video.flip(-1) if self.bgr else video
        return ((video.permute(0, 4, 1, 2, 3).float() / 255) - MEAN) / STD

    def forward_clip(self, clip: Tensor) -> dict[str, Tensor]:
        """`forward` for standardised floats, (B, 3, T, H, W)."""
        x, frames = self.tokens(clip), clip.shape[2]
        for i, block in enumerate(self.blocks, 1):
            arguments = x, frames, i == len(self.blocks)      # only the class token is asked for after the last block
            if self.checkpointing and self.training:
                x = checkpoint(block, *arguments, use_reentrant=False)
            else:
                x = block(*arguments)
        x = x[:, 0]
        if self.attention == "space_only":
            x = x.unflatten(0, (-1, frames)).mean(1)
        features = self.norm(x)
        return {"logits": self.head(features), "features": features}

    def tokens(self, clip: Tensor) -> Tensor:
        """The class token and the patches with their embeddings. (B, 3, T, H, W) -> (B, 1 + T * N, D).

        N is the number of patches of a frame, T * N runs frame by frame. For space_only (B * T, 1 + N, D).
        """
        b, _, t, height, width = clip.shape
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(f"frames of {height}x{width}, expected multiples of the patches' {self.patch_size}")
        x = self.patch_embed(clip.transpose(1, 2).flatten(0, 1))                    # (B * T, N, D)
        place = self.pos_embed[:, 1:]
        if (grid := (height // self.patch_size, width // self.patch_size)) != (self.grid, self.grid):
            place = place.unflatten(1, (self.grid, -1)).permute(0, 3, 1, 2)
            place = interpolate(place, grid, mode="nearest").flatten(2).transpose(1, 2)
        token = self.dropout(self.cls_token + self.pos_embed[:, :1])
        x = self.dropout(x + place)
        if self.attention == "space_only":
            return torch.cat([token.expand(b * t, -1, -1), x], 1)
        time = interpolate(self.time_embed.transpose(1, 2), t, mode="nearest").transpose(1, 2)      # (1, T, D)
        x = self.dropout(x.unflatten(0, (b, t)) + time.unsqueeze(2)).flatten(1, 2)
        return torch.cat([token.expand(b, -1, -1), x], 1)

    @torch.no_grad()
    def rollout(self, video: Tensor) -> Tensor:
        """How much of each patch is in the class token at the end, by attention rollout. -> (B, T, rows, columns)."""
        b, t, height, width, _ = video.shape
        maps = self.maps(self.clip(video))
        return rollout(maps, t).view(b, t, height // self.patch_size, width // self.patch_size)

    def maps(self, clip: Tensor) -> Maps:
        """The attention maps of all blocks, averaged over the heads: over time (B, N, T, T) or None, and over space.

        Over space (B, T, 1 + N, 1 + N); for joint_space_time, which has one map for both, (B, 1, 1 + T * N, 1 + T * N).
        Slower than the forward pass, and larger.
        """
        x, (b, _, t, _, _), found = self.tokens(clip), clip.shape, []
        for block in self.blocks:
            time, space = block.maps(x, t)
            found.append((time, space if time is not None else space.unflatten(0, (b, -1))))
            x = block(x, t)
        return found


def rollout(maps: Maps, frames: int) -> Tensor:
    """Attention rollout (Abnar and Zuidema, 2020): the shares of the patches in the class token. -> (B, T, N).

    `maps` as TimeSformer.maps. Each layer counts half as attention and half as its shortcut. It goes back from the
    class token's row of the last block, so no matrix of all tokens is multiplied. The shares of patches and class
    token add up to 1. In divided attention the class token's share lies in all frames alike, as the token does.
    """
    _, space = maps[-1]
    shares = torch.zeros_like(space[:, :, 0])      # (B, frames, 1 + N); for joint_space_time (B, 1, 1 + T * N)
    shares[:, :, 0] = 1 / shares.shape[1]
    for time, space in reversed(maps):
        shares = (shares + (shares.unsqueeze(2) @ space).squeeze(2)) / 2
        if time is not None:
            token, patches = shares[:, :, :1].mean(1, keepdim=True), shares[:, :, 1:].transpose(1, 2)       # (B, N, T)
            patches = (patches + (patches.unsqueeze(2) @ time).squeeze(2)) / 2
            shares = torch.cat([token.expand(-1, frames, -1), patches.transpose(1, 2)], 2)
    return shares[:, :, 1:].reshape(len(shares), frames, -1)
