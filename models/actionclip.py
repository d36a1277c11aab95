"""ActionCLIP: a video is recognised by the text of its label, on CLIP's two towers (Wang et al., 2021).

    net = ActionCLIP()                                # CLIP's ViT-B/32, Transf over 8 frames of 224x224
    net.set_classes(["archery", "tai chi"])
    net(video)["logits"]                              # (B, 2); video (B, T, H, W, 3) uint8, RGB
    texts = net.text_features(["playing guitar", "a goal"])
    net.scores(net.video_features(video), texts)      # (B, 2), for any other names
    net(video, label)                                 # what matching_loss takes: video and text features
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

import torch
from open_clip import tokenize
from open_clip.transformer import LayerNorm, QuickGELU, TextTransformer, Transformer, VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

from models.timesformer import rollout

FUSIONS = ("meanP", "Transf", "LSTM", "Conv_1D", "Transf_cls")
TEMPLATES = (
    "a photo of action {}", "a picture of action {}", "Human action of {}", "{}, an action", "{} this is an action",
    "{}, a video of action", "Playing action of {}", "{}", "Playing a kind of action, {}", "Doing a kind of action, {}",
    "Look, the human is {}", "Can you recognize the action of {}?", "Video classification of {}", "A video of {}",
    "The man is {}", "The woman is {}",
)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)      # of CLIP, after / 255
HEAD_WIDTH = 64            # channels of an attention head in both towers
CONTEXT, VOCABULARY = 77, 49_408      # tokens of a text, and that there are
SCALE = 100.0              # of the cosines when classes are compared
SHIFTED = 8                # one in so many channels of a patch comes from the next frame, and one from the last
FUSION_LAYERS = 6
INITIAL_STD = 0.02         # of the fusion's weights and embeddings
SCRATCH_PATCHES, SCRATCH_PLACES, SCRATCH_FUSION, SCRATCH_SCALE = 3.0, 0.3, 0.08, 20.0      # see start_from_scratch
TEXTS_AT_ONCE = 256


class ShiftedBlock(nn.Module):
    """A block whose patches first take some channels from the frames beside theirs. (B * T, 1 + N, D) -> the same."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, frames: int) -> Tensor:
        return self.net(self.shifted(x, frames))

    @staticmethod
    def shifted(x: Tensor, frames: int) -> Tensor:
        patches, some = x[:, 1:].unflatten(0, (-1, frames)), x.shape[2] // SHIFTED
        shifted = patches.clone()
        shifted[..., :2 * some] = 0
        shifted[:, :-1, :, :some] = patches[:, 1:, :, :some]
        shifted[:, 1:, :, some:2 * some] = patches[:, :-1, :, some:2 * some]
        return torch.cat([x[:, :1], shifted.flatten(0, 1)], 1)


def first_token(block: nn.Module, x: Tensor) -> Tensor:
    """What a block makes of the first token, which alone is asked for after the last one. (S, L, D) -> (S, D)."""
    seen = block.ln_1(x)
    token = x[:, :1] + block.ls_1(block.attn(seen[:, :1], seen, seen, need_weights=False)[0])
    return (token + block.ls_2(block.mlp(block.ln_2(token))))[:, 0]


# ---------------------------------------------------------------- fusion: (B, T, D) -> (B, D)


class MeanFusion(nn.Module):
    """The mean over the frames."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class TransformerFusion(nn.Module):
    """The mean over the frames of themselves and of six blocks that see all frames and their positions."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.frame_position_embeddings = nn.Embedding(CONTEXT, width)
        self.transformer = Transformer(width, FUSION_LAYERS, heads, act_layer=QuickGELU,
                                       norm_layer=partial(LayerNorm, eps=1e-12))
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > CONTEXT:
            raise ValueError(f"{x.shape[1]} frames, the fusion Transf takes at most {CONTEXT}")
        return (x + self.transformer(x + self.frame_position_embeddings.weight[:x.shape[1]])).mean(1)


class LstmFusion(nn.Module):
    """The mean over the frames of themselves and of an LSTM over them."""

    def __init__(self, width: int):
        super().__init__()
        self.lstm_visual = nn.LSTM(width, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.lstm_visual(x)[0]).mean(1)


class ConvFusion(nn.Module):
    """The mean over the frames of themselves and of a convolution over them, each channel by itself.

    It begins as a shift: a quarter of the channels from the last frame, a quarter from the next. `as_reference` takes
    memory that holds (T, D) for (D, T), as the public code does; its trained weights need that.
    """

    def __init__(self, width: int, as_reference: bool):
        super().__init__()
        self.as_reference = as_reference
        self.shift = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        quarter = width // 4
        nn.init.zeros_(self.shift.weight)
        with torch.no_grad():
            for place, channels in enumerate((slice(quarter), slice(quarter, width - quarter),
                                              slice(width - quarter, None))):
                self.shift.weight[channels, 0, place] = 1

    def forward(self, x: Tensor) -> Tensor:
        by_channel = x.reshape(len(x), x.shape[2], x.shape[1]) if self.as_reference else x.transpose(1, 2)
        return (x + self.shift(by_channel).transpose(1, 2)).mean(1)


class ClassTokenFusion(nn.Module):
    """What a class token has taken from the frames after six layers of torch's transformer; of `frames` frames only."""

    def __init__(self, width: int, frames: int):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 8, batch_first=True)
        self.transformer = nn.Module()
        self.transformer.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer.pos_embed = nn.Parameter(torch.zeros(1, 1 + frames, width))
        self.transformer.transformer_enc = nn.TransformerEncoder(layer, FUSION_LAYERS, nn.LayerNorm(width),
                                                                 enable_nested_tensor=False)
        start(self)
        nn.init.trunc_normal_(self.transformer.cls_token, std=INITIAL_STD)
        nn.init.trunc_normal_(self.transformer.pos_embed, std=INITIAL_STD)

    def forward(self, x: Tensor) -> Tensor:
        token, places = self.transformer.cls_token, self.transformer.pos_embed
        if x.shape[1] != places.shape[1] - 1:
            raise ValueError(f"{x.shape[1]} frames, this Transf_cls was made for {places.shape[1] - 1}")
        return self.transformer.transformer_enc(torch.cat([token.expand(len(x), -1, -1), x], 1) + places)[:, 0]


def start(module: nn.Module, std: float = INITIAL_STD) -> None:
    """Initial weights of a fusion, by default the public code's."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=std)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)


# ---------------------------------------------------------------- prompts


def prompts(names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> tuple[Tensor, list[str]]:
    """(tokens (templates, names, L), the names of which a prompt was cut). L is that of the longest prompt.

    A prompt longer than CONTEXT tokens is cut there, as CLIP does. Raises ValueError for a template without its place.
    """
    if not names or not templates:
        raise ValueError(f"{len(names)} names and {len(templates)} templates, expected at least one of each")
    if wrong := [template for template in templates if template.count("{}") != 1]:
        raise ValueError(f"template {wrong[0]!r}, expected one {{}} in it where the name belongs")
    texts = [template.replace("{}", name) for template in templates for name in names]
    tokens = tokenize(texts, CONTEXT + 1)
    cut = tokens[:, CONTEXT] > 0
    tokens[cut, CONTEXT - 1] = VOCABULARY - 1      # the end of the text
    tokens = tokens[:, :int(tokens[:, :CONTEXT].argmax(1).max()) + 1].unflatten(0, (len(templates), len(names)))
    return tokens, [name for name, is_cut in zip(names, cut.view(len(templates), -1).any(0), strict=True) if is_cut]


# ---------------------------------------------------------------- network


class ActionCLIP(nn.Module):
    """Answers {"logits": (B, classes), "features": (B, embed)}; with labels what its loss takes, see `forward`.

    video  (B, T, H, W, 3) uint8, RGB; H = W = image_size

    `set_classes` names the classes; `classes` only records how many a training had. The towers' tensors have OpenAI's
    names. `drop_out` is the rate at which a sample leaves out the last block, rising from 0 for the first;
    `emb_dropout` drops embeddings. `tsm` shifts channels in time before each visual block. `quick_gelu` is right for
    OpenAI's weights; most of open_clip's want false. `checkpointing` computes each block a second time in the backward
    pass instead of keeping what it computed.
    """

    inputs = ("video",)
    sampling = {"segments": True, "bicubic": True}
    usual_templates = TEMPLATES

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 32,
        width: int = 768,
        depth: int = 12,
        embed: int = 512,
        text_width: int = 512,
        text_depth: int = 12,
        frames: int = 8,
        classes: int | None = None,
        fusion: str = "Transf",
        tsm: bool = False,
        drop_out: float = 0.0,
        emb_dropout: float = 0.0,
        conv_as_reference: bool = False,
        quick_gelu: bool = True,
        checkpointing: bool = False,
    ):
        super().__init__()
        if image_size % patch_size or width % HEAD_WIDTH or text_width % HEAD_WIDTH:
            raise ValueError(f"image_size {image_size} must be a multiple of patch_size {patch_size}, width {width} "
                             f"and text_width {text_width} multiples of {HEAD_WIDTH}")
        if min(depth, text_depth) < 1:
            raise ValueError(f"depth {depth} and text_depth {text_depth}, expected at least one block in each tower")
        heads, gelu = text_width // HEAD_WIDTH, QuickGELU if quick_gelu else nn.GELU
        self.image_size, self.tsm, self.checkpointing = image_size, tsm, checkpointing
        self.visual = VisionTransformer(image_size, patch_size, width, depth, width // HEAD_WIDTH, 4.0,
                                        output_dim=embed, act_layer=gelu)
        text = TextTransformer(CONTEXT, VOCABULARY, text_width, heads, text_depth, output_dim=embed, act_layer=gelu)
        self.token_embedding, self.positional_embedding = text.token_embedding, text.positional_embedding
        self.transformer, self.ln_final, self.text_projection = text.transformer, text.ln_final, text.text_projection
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.dropout = nn.Dropout(emb_dropout)
        for blocks in (self.visual.transformer.resblocks, self.transformer.resblocks):
            for number, block in enumerate(blocks):
                block.ls_1 = block.ls_2 = StochasticDepth(drop_out * number / max(1, len(blocks) - 1), "row")
        if tsm:
            blocks = self.visual.transformer.resblocks
            self.visual.transformer.resblocks = nn.ModuleList(map(ShiftedBlock, blocks))
        builders = (MeanFusion, lambda: TransformerFusion(embed, heads), lambda: LstmFusion(embed),
                    lambda: ConvFusion(embed, conv_as_reference), lambda: ClassTokenFusion(embed, frames))
        if fusion not in FUSIONS:
            raise ValueError(f"fusion {fusion!r}, expected one of {', '.join(FUSIONS)}")
        self.fusion = builders[FUSIONS.index(fusion)]()
        self.names: tuple[str, ...] = ()
        self.templates: tuple[str, ...] = TEMPLATES
        self.tokens: Tensor | None = None
        self.cached: tuple = ()      # (the text tower's tensors, their state, the features of all classes)

    def start_from_scratch(self) -> None:
        """Initial weights for a training that has no CLIP to begin from.

        The public code's values suit towers that know pictures already. Without them, the features of a clip's frames
        hardly differ from each other, and what is left of their order beside them is too small to be learnt soon. So
        the fusion's embeddings of places and its blocks begin larger. So do the patches beside their own places.
        """
        with torch.no_grad():
            self.visual.conv1.weight *= SCRATCH_PATCHES
            self.logit_scale.fill_(math.log(SCRATCH_SCALE))
        if isinstance(self.fusion, TransformerFusion):
            start(self.fusion, SCRATCH_FUSION)
            nn.init.normal_(self.fusion.frame_position_embeddings.weight, std=SCRATCH_PLACES)

    def set_classes(self, names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> list[str]:
        """Choose between these classes from now on. Returns the names of which a prompt is too long and was cut."""
        self.tokens, cut = prompts(names, templates)
        self.names, self.templates, self.cached = tuple(names), tuple(templates), ()
        return cut

    def forward(self, video: Tensor, label: Tensor | None = None, template: Tensor | None = None) -> dict[str, Tensor]:
        """`logits` are log(`scores`). With `label` (B,): {"video", "text": (B, embed), "scale": (B,)} for the loss.

        `template` (B,) chooses each sample's prompt; without it torch's generator draws them.
        """
        features = self.video_features(video)
        if label is None:
            return {"logits": log_scores(features, self.class_features()), "features": features}
        self._check_classes()
        if template is None:
            template = torch.randint(len(self.templates), label.shape, device=label.device)
        self.tokens = self.tokens.to(label.device)
        text = self.encode_text(self.tokens[template, label])
        return {"video": features, "text": text, "scale": self.logit_scale.exp().expand(len(label))}

    def video_features(self, video: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 -> (B, embed), not normalised."""
        return self.fusion(self.frame_features(self.pixels(video)))

    def pixels(self, video: Tensor) -> Tensor:
        """Standardised floats, on the device. (B, T, H, W, 3) uint8 -> (B, T, 3, H, W)."""
        mean, std = (torch.tensor(values, device=video.device).view(3, 1, 1) for values in (MEAN, STD))
        return (video.movedim(-1, -3).float() / 255 - mean) / std

    def tokens_of(self, pixels: Tensor) -> Tensor:
        """The class token and the patches with their embeddings. (B, T, 3, H, W) -> (B * T, 1 + N, D)."""
        if pixels.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(f"frames of {pixels.shape[-2]}x{pixels.shape[-1]}, expected "
                             f"{self.image_size}x{self.image_size}")
        visual = self.visual
        patches = visual.conv1(pixels.flatten(0, 1)).flatten(2).transpose(1, 2)
        token = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        return visual.ln_pre(self.dropout(torch.cat([token, patches], 1) + visual.positional_embedding))

    def frame_features(self, pixels: Tensor) -> Tensor:
        """The visual tower's answer to each frame. (B, T, 3, H, W) -> (B, T, embed)."""
        visual, x, (batch, frames) = self.visual, self.tokens_of(pixels), pixels.shape[:2]
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            arguments = (x, frames) if self.tsm else (x,)
            if self.checkpointing and self.training:
                x = checkpoint(block, *arguments, use_reentrant=False)
            else:
                x = block(*arguments)
        x = first_token(last.net, last.shifted(x, frames)) if self.tsm else first_token(last, x)
        return (visual.ln_post(x) @ visual.proj).unflatten(0, (batch, frames))

    @torch.no_grad()
    def rollout(self, video: Tensor) -> Tensor:
        """How much of each patch is in the frames' features, by attention rollout. -> (B, T, rows, columns).

        Each frame counts alike: what the fusion, or the temporal shift, makes of them is left out.
        """
        x, (batch, frames), maps = self.tokens_of(self.pixels(video)), video.shape[:2], []
        for block in self.visual.transformer.resblocks:
            if self.tsm:
                x, block = block.shifted(x, frames), block.net
            seen = block.ln_1(x)
            maps.append((None, block.attn(seen, seen, seen)[1].unflatten(0, (batch, frames))))
            x = block(x)
        return rollout(maps, frames).unflatten(2, (self.visual.grid_size[0], -1))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """The text tower's answer, at each text's end. (S, L) -> (S, embed), not normalised.

        L may be less than CONTEXT: what stands behind the end changes nothing, for a token sees only those before it.
        """
        length = tokens.shape[1]
        x = self.dropout(self.token_embedding(tokens) + self.positional_embedding[:length])      # (S, L, D)
        future = torch.full((length, length), -math.inf, device=x.device).triu(1)
        for block in self.transformer.resblocks:
            if self.checkpointing and self.training:
                x = checkpoint(block, x, attn_mask=future, use_reentrant=False)
            else:
                x = block(x, attn_mask=future)
        ends = tokens.argmax(1)      # the end has the highest number of all tokens
        return self.ln_final(x[torch.arange(len(x), device=x.device), ends]) @ self.text_projection

    @torch.no_grad()
    def text_features(self, names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Tensor:
        """The features of any names in all templates, (templates, names, embed), not normalised."""
        return self._features_of(prompts(names, templates)[0])

    def _features_of(self, tokens: Tensor) -> Tensor:
        device = self.text_projection.device
        parts = [self.encode_text(part.to(device)) for part in tokens.flatten(0, 1).split(TEXTS_AT_ONCE)]
        return torch.cat(parts).unflatten(0, tokens.shape[:2])

    @staticmethod
    def scores(video_features: Tensor, text_features: Tensor) -> Tensor:
        """How likely each class is, sums to 1. (B, embed), (templates, classes, embed) -> (B, classes).

        The mean over the templates of the softmax of 100 times the cosine.
        """
        return log_scores(video_features, text_features).exp()

    def class_features(self) -> Tensor:
        """`text_features` of the own classes, without gradients; computed again only where the weights changed."""
        self._check_classes()
        if self.cached and getattr(self, "_is_replica", False):      # its weights are copies of those of the cache
            return self.cached[2].to(self.text_projection.device)
        parts = tuple(self.text_parameters())
        if self.training or any(part.is_inference() for part in parts):      # nothing tells whether these have changed
            with torch.no_grad():
                return self._features_of(self.tokens)
        # The tensors themselves are kept, so that no other one can take their place in memory unnoticed.
        state = [(id(part), part._version, part.data_ptr(), part.dtype) for part in parts]
        if not self.cached or self.cached[1] != state:
            with torch.inference_mode(False), torch.no_grad():
                self.cached = parts, state, self._features_of(self.tokens)
        return self.cached[2]

    def train(self, mode: bool = True) -> "ActionCLIP":
        """Forgets the features of the classes, for a fused optimiser changes weights without a trace."""
        self.cached = () if mode else self.cached
        return super().train(mode)

    def text_parameters(self) -> Iterator[nn.Parameter]:
        """The text tower's weights."""
        modules = (self.token_embedding, self.transformer, self.ln_final)
        return chain((self.positional_embedding, self.text_projection), *(module.parameters() for module in modules))

    def _replicate_for_data_parallel(self) -> "ActionCLIP":
        """nn.DataParallel's copy for one GPU: shares the features of the classes, so that they are computed once."""
        if self.names and not self.training:
            self.class_features()
        return super()._replicate_for_data_parallel()

    def _check_classes(self) -> None:
        if not self.names:
            raise ValueError("the names of the classes are missing: call set_classes")


def log_scores(video_features: Tensor, text_features: Tensor) -> Tensor:
    """The logarithm of ActionCLIP.scores; float32, for 100 times a cosine needs more digits than bfloat16 has."""
    with torch.autocast(video_features.device.type, enabled=False):
        cosine = normalize(text_features.float(), dim=2) @ normalize(video_features.float(), dim=1).T      # (P, C, B)
        return ((SCALE * cosine).log_softmax(1).logsumexp(0) - math.log(len(cosine))).T
