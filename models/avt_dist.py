"""AVTDist: a distribution over the clip's time instead of one number, from temporal convolutions instead of GRUs.

Every quarter of a second gets a probability; the answer is the expected time around the most probable two seconds.
Sound and picture are standardised within their clip, so that another series' loudness, timbre or palette changes
little. A clip that lacks a modality still gets an answer, because training leaves modalities out of every clip.
"""

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from models.clip_facts import (
    NUM_LAYOUT,
    NUM_LIKENESS,
    NUM_RHYTHM,
    NUM_SCENES,
    REACHES,
    inside,
    layout,
    likeness,
    novelty,
    relative,
    rhythm,
    scenes,
)
from models.layers import STEPS, BiGRU, in_float32
from models.losses import CLIP_SECONDS
from models.video_net import StridedFrameNet, TextNet

MODALITIES = ("sound", "frames", "text")
NUM_MFCC = 20
MOST_ENCODERS = 16
MOST_MEMBERS = 32
HEARD = "sound"                # ends an encoder's word in `encoders` if it hears; the others see
THINNED = 0.3                  # share of a long vector's numbers left out of a training clip
QUARTERS = 4                   # steps a second of the sound's features, before a strided convolution to seconds
WINDOW = 1.0                   # s; how far to both sides of the most probable place the expectation is taken
SPREAD, SHARP = 0.8, 0.25      # s; standard deviations of the Gaussian targets of the seconds and of the quarters
SHARPEST = 0.3                 # s; the least spread
UNASKED = 0.1                  # share of the training clips whose `kind` is set to 0
ALL_COUNT = 2                  # weight of the answer from all modalities in the mean with those that leave one out
ANSWER_WEIGHT = 0.2            # of the smooth L1 in seconds, beside the cross-entropies


class TemporalBlock(nn.Module):
    """A residual block over time: dilated convolution, norm, GELU, 1x1 convolution. (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, dilation: int, dropout: float):
        super().__init__()
        if dilation < 1:
            raise ValueError(f"dilation {dilation}: expected 1 or more")
        self.conv = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(channels)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.mix(nn.functional.gelu(self.norm(self.conv(x)))))


def from_facts(facts: int, channels: int) -> nn.Sequential:
    """Layers that embed hand-made features (clip_facts.py), (B, facts, T) -> (B, channels, T)."""
    return nn.Sequential(nn.Conv1d(facts, channels, 3, padding=1), nn.BatchNorm1d(channels), nn.GELU(),
                         nn.Conv1d(channels, channels, 1))


class SoundSteps(nn.Module):
    """The sound to a feature vector for each second, and one for each quarter of a second.

    -> (B, channels, 200), (B, inner + 20, 800)
    """

    def __init__(self, channels: int, inner: int, with_rhythm: bool = True):
        super().__init__()
        self.rhythm = None
        if with_rhythm:
            self.rhythm = nn.Sequential(nn.BatchNorm1d(NUM_RHYTHM), nn.Conv1d(NUM_RHYTHM, channels, 3, padding=1))
        self.stem = nn.Sequential(
            nn.Conv1d(NUM_MFCC, inner, 5, stride=2, padding=2), nn.BatchNorm1d(inner), nn.GELU(),
            nn.Conv1d(inner, inner, 5, stride=2, padding=2), nn.BatchNorm1d(inner), nn.GELU(),
        )
        self.blocks = nn.Sequential(*(TemporalBlock(inner, dilation, 0.0) for dilation in (1, 2, 4)))
        self.join = nn.Conv1d(inner + NUM_MFCC, channels, QUARTERS, stride=QUARTERS)
        self.compare = nn.Conv1d(len(REACHES), channels, 1)

    def forward(self, facts: "Facts") -> tuple[Tensor, Tensor]:
        x = facts.sound
        # Plain means beside the learnt features: they still help where the sound is unlike all of the training's.
        plain = nn.functional.adaptive_avg_pool1d(x, QUARTERS * STEPS)
        learnt = nn.functional.adaptive_avg_pool1d(self.blocks(self.stem(x)), QUARTERS * STEPS)
        a_second = nn.functional.avg_pool1d(plain, QUARTERS)
        quarters = torch.cat([learnt, plain], 1)
        told = self.join(quarters) + self.compare(novelty(a_second))
        if self.rhythm:
            told = told + self.rhythm(facts.rhythm)
        return told, quarters


class FrameSteps(nn.Module):
    """Frames and their changes to a feature vector per second. -> (B, channels, 200)."""

    def __init__(self, channels: int, frame_channels: tuple[int, ...], with_scenes: bool = True):
        super().__init__()
        self.frame_net = StridedFrameNet(frame_channels)
        self.see = nn.Conv1d(2 * frame_channels[-1], channels, 1)
        self.compare = nn.Conv1d(2 * len(REACHES), channels, 1)
        self.scenes = None
        if with_scenes:
            self.scenes = from_facts(NUM_SCENES, channels)

    def forward(self, facts: "Facts") -> Tensor:
        seen = self.frame_net(facts.scaled).unflatten(0, (len(facts.valid), -1)).transpose(1, 2).float()  # (B, F, 200)
        seen = relative(seen, facts.valid)
        change = torch.diff(seen, dim=2, prepend=seen[:, :, :1])
        new = torch.cat([novelty(seen), facts.small_novelty], 1)
        told = self.see(torch.cat([seen, change], 1)) + self.compare(new)
        if self.scenes:
            told = told + self.scenes(facts.scenes)
        return told

    @staticmethod
    def relative_colours(frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames with colours standardised by clip, (B*200, 3, 66, 88), and averaged to 6x8, (B, 144, 200)."""
        sample = frames[:, ::4, ::3, ::4].float()
        mean, deviation = sample.mean((1, 2, 3)), sample.std((1, 2, 3)) + 8.0                           # (B, 3)
        kind = torch.get_autocast_dtype(frames.device.type) if torch.is_autocast_enabled(frames.device.type) \
            else torch.float32
        # On rows of interleaved colours, as they lie in memory: an innermost dimension of 3 is slow.
        factor, offset = (each.repeat(1, frames.shape[3])[:, None, None].to(kind)
                          for each in (1 / deviation, -mean / deviation))
        x = torch.addcmul(offset, frames.flatten(3).to(kind), factor)
        x = x.unflatten(3, (-1, 3)).permute(0, 1, 4, 2, 3)
        small = nn.functional.avg_pool2d(x.flatten(0, 1), 11).unflatten(0, frames.shape[:2])       # (B, 200, 3, 6, 8)
        return x.flatten(0, 1), small.flatten(2).transpose(1, 2).float()


class EncodedSteps(nn.Module):
    """An encoder's vectors, (B, dim, 200) relative to the clip, and their `likeness` to a feature vector per second.

    -> (B, channels, 200)
    """

    def __init__(self, dim: int, channels: int):
        super().__init__()
        inner = min(dim, channels)
        # Few clips and many numbers a second: without this the network knows its training clips by single ones.
        self.thin = nn.Dropout1d(THINNED if dim > channels else 0.0)
        self.narrow = nn.Conv1d(dim, inner, 1)
        self.see = nn.Conv1d(2 * inner, channels, 1)
        self.compare = from_facts(NUM_LIKENESS, channels)

    def forward(self, x: Tensor, alike: Tensor) -> Tensor:
        seen = self.narrow(self.thin(x))
        change = torch.diff(seen, dim=2, prepend=seen[:, :, :1])
        return self.see(torch.cat([seen, change], 1)) + self.compare(alike)


class Facts(NamedTuple):
    """What all members take from a batch, without weights.

    sound          (B, 20, 8616) relative to the clip;  rhythm (B, 27, 200) or None
    scaled         (B*200, 3, 66, 88) frames relative to the clip;  valid (B, 1, 200), 0 outside the clip
    small_novelty  (B, 4, 200), of frames averaged to 6x8;  scenes (B, 18, 200) or None
    text           (B, 200, 27, 36);  layout (B, 16, 200) or None
    encoded        {encoder: (vectors (B, dim, 200) relative to the clip, likeness (B, 10, 200))}
    """

    sound: Tensor
    rhythm: Tensor | None
    scaled: Tensor
    valid: Tensor
    small_novelty: Tensor
    scenes: Tensor | None
    text: Tensor
    layout: Tensor | None
    encoded: dict[str, tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, mfcc: Tensor, frames: Tensor, text_roi: Tensor, encoded: dict[str, Tensor], with_rhythm: bool = True,
           with_scenes: bool = True) -> "Facts":
        """From the tensors of a batch, as AVTDist takes them."""
        sound, valid = relative(mfcc, (mfcc != 0).any(1, keepdim=True).float()), inside(frames)
        scaled, small = FrameSteps.relative_colours(frames)
        vectors = {}
        for name, x in encoded.items():
            x = x.float().transpose(1, 2)
            there = (x != 0).any(1, keepdim=True).float()
            x = relative(x, there)
            vectors[name] = (x, likeness(x, there))
        return cls(sound, rhythm(sound) if with_rhythm else None, scaled, valid, novelty(small),
                   scenes(scaled.unflatten(0, frames.shape[:2]), small, valid) if with_scenes else None, text_roi,
                   layout(text_roi) if with_scenes else None, vectors)


class AVTDist(nn.Module):
    """Returns {"steps": (B, 1, 200), "quarters": (B, 800)}: logits over seconds and over quarters of a second.

    mfcc      (B, 20, 8616) float
    frames    (B, 200, 66, 88, 3) uint8, RGB
    text_roi  (B, 200, 27, 36) uint8, 1 inside a text box
    kind      (B,) int64: 1 asks where the opening ends, 2 where the ending begins, 0 is unknown
    <encoder> (B, 200, D) float, for each of `encoders`, "name:D,name:D:sound": a pretrained network's vector a second
              from the pictures, or from the sound

    A modality that is constant throughout a clip (no sound track, no picture, no box) counts as missing. Modalities of
    one source (sound, picture, text) go missing together. In training a clip's loss is a weighted mean: from all its
    modalities, and with the total weight `modality_dropout` from all but one source's and from one modality alone.
    clip_facts.py: `with_rhythm` adds features of the sound, `with_scenes` of frames and text.

    `members` networks, each with its own start, are trained side by side and answer by the mean of their probabilities
    (Lakshminarayanan and others, Simple and scalable predictive uncertainty estimation using deep ensembles, 2017):
    where one looks in a wrong place, the others seldom look in the same one.
    """

    inputs = ("mfcc", "frames", "text_roi", "kind")

    def __init__(
        self,
        channels: int = 128,
        frame_channels: tuple[int, ...] = (16, 32, 64),
        text_channels: tuple[int, ...] = (4, 8, 16, 32),
        sound_channels: int = 64,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 1, 2, 4),
        dropout: float = 0.1,
        feature_dropout: float = 0.2,
        modality_dropout: float = 0.3,
        gru: int = 0,
        with_rhythm: bool = True,
        with_scenes: bool = True,
        standardise: bool = True,
        encoders: str = "",
        members: int = 1,
    ):
        super().__init__()
        if members not in range(1, MOST_MEMBERS + 1):
            raise ValueError(f"members {members}: expected a whole number from 1 to {MOST_MEMBERS}")
        if not standardise:
            raise ValueError("standardise: its colours are always relative to their clip")
        if modality_dropout > 1:
            raise ValueError(f"modality_dropout {modality_dropout}: expected a share from 0 to 1")
        dims = self.encoder_dims(encoders)
        self.inputs = (*AVTDist.inputs, *dims)
        self.modalities = (*MODALITIES, *dims)
        heard = [word.endswith(f":{HEARD}") for word in encoders.split(",")] if dims else []
        of = torch.tensor([0, 1, 2, *(0 if hears else 1 for hears in heard)])
        self.register_buffer("sources", (of == torch.arange(3)[:, None]).float(), persistent=False)      # (3, M)
        self.sound_net = SoundSteps(channels, sound_channels, with_rhythm)
        self.video_net = FrameSteps(channels, frame_channels, with_scenes)
        self.text_net = TextNet(text_channels)
        self.text_norm = nn.BatchNorm1d(text_channels[-1])
        self.read = nn.Conv1d(text_channels[-1], channels, 1)
        self.layout = None
        if with_scenes:
            self.layout = from_facts(NUM_LAYOUT, channels)
        self.encoded = nn.ModuleDict({name: EncodedSteps(dim, channels) for name, dim in dims.items()})
        self.modality_dropout = modality_dropout
        self.question = nn.Embedding(3, channels)
        self.feature_dropout = nn.Dropout1d(feature_dropout)
        self.join = nn.Conv1d(len(self.modalities) * channels, channels, 1)
        self.blocks = nn.Sequential(*(TemporalBlock(channels, dilation, dropout) for dilation in dilations))
        self.gru = BiGRU(channels, gru) if gru else None
        if gru:
            self.after = nn.Conv1d(2 * gru, channels, 1)
        self.step_head = nn.Conv1d(channels, 1, 1)
        half = channels // 2
        self.context = nn.Conv1d(channels, half, 1)
        self.fine = nn.Sequential(
            nn.Conv1d(half + sound_channels + NUM_MFCC, half, 9, padding=4), nn.BatchNorm1d(half), nn.GELU(),
            nn.Conv1d(half, 1, 9, padding=4),
        )
        self.register_buffer("interval_scale", torch.ones(()))     # answer +- this * spread; validation sets it
        self.others = nn.ModuleList(
            AVTDist(channels, frame_channels, text_channels, sound_channels, dilations, dropout, feature_dropout,
                    modality_dropout, gru, with_rhythm, with_scenes, standardise, encoders)
            for _ in range(members - 1))

    @staticmethod
    def encoder_dims(encoders: str) -> dict[str, int]:
        """{name: length of its vectors} of "name:D,name:D:sound". Raises ValueError."""
        dims = {}
        for word in encoders.split(",") if encoders else ():
            name, _, dim = word.removesuffix(f":{HEARD}").partition(":")
            if (not name.isidentifier() or not re.fullmatch("[1-9][0-9]{0,4}", dim) or len(dims) >= MOST_ENCODERS
                    or name in (*AVTDist.inputs, *MODALITIES, *dims)):
                raise ValueError(f"encoders {encoders[:100]!r}: expected name:D,name:D:{HEARD}, each name once")
            dims[name] = int(dim)
        return dims

    @property
    def frame_net(self) -> nn.Module:
        """The submodule that sees single frames."""
        return self.video_net.frame_net

    def forward(
        self, mfcc: Tensor, frames: Tensor, text_roi: Tensor, kind: Tensor | None = None, **encoded: Tensor
    ) -> dict[str, Tensor]:
        present = torch.stack([varies(each) for each in (mfcc, frames, text_roi, *encoded.values())], 1)    # (B, M)
        if kind is None:
            kind = torch.zeros(len(mfcc), dtype=torch.long, device=mfcc.device)
        if self.training:
            kind = kind * (torch.rand(len(kind), device=kind.device) >= UNASKED)
        facts = self.facts(mfcc, frames, text_roi, encoded)
        looked = [(net, net.look(facts, kind)) for net in (self, *self.others)]
        if self.training:
            each = [net.views(parts, present) for net, parts in looked]
            told = {name: torch.cat([outputs[name] for outputs in each], 1) for name in each[0]}
            return told | {"shares": told["shares"] / len(each)}
        return mean_of([net.agree(parts, present) for net, parts in looked])

    def views(self, parts: list[Tensor], present: Tensor) -> dict[str, Tensor]:
        """The outputs from all of `present` (B, M), from all but a random source's, and from a random one alone.

        {"steps": (B, 3, 200), "quarters": (B, 3, 800), "shares": (B, 3)}. `shares` are the weights of the three in the
        loss, repeated for each clip because DataParallel joins outputs along the batch.
        """
        count, m = 3 if self.modality_dropout else 1, len(self.modalities)
        left_out = self.sources[torch.randint(len(self.sources), (len(present),), device=present.device)]     # (B, M)
        alone = nn.functional.one_hot(torch.randint(m, (len(present),), device=present.device), m)
        kept = torch.stack([present, present * (1 - left_out), present * alone])[:count]               # (3, B, M)
        kept = torch.where(kept.any(2, keepdim=True), kept, present)
        outputs = self.weigh([part.repeat(count, *[1] * (part.dim() - 1)) for part in parts], kept.flatten(0, 1))
        shares = [1 - self.modality_dropout, *[self.modality_dropout / 2] * 2][:count]
        return {"steps": outputs["steps"].squeeze(1).unflatten(0, (count, -1)).transpose(0, 1),
                "quarters": outputs["quarters"].unflatten(0, (count, -1)).transpose(0, 1),
                "shares": torch.tensor(shares, device=present.device).expand(len(present), -1)}

    def agree(self, parts: list[Tensor], present: Tensor) -> dict[str, Tensor]:
        """The outputs from all of `present` (B, M); `quarters` averaged with those from all but each source in turn.

        The mean is taken over probabilities. A source that misleads has no part in one of the answers.
        """
        outputs = self.weigh(parts, present)
        weights = [outputs["quarters"].softmax(1)] * ALL_COUNT
        for source in self.sources:
            others = present * (1 - source)
            others = torch.where(others.any(1, keepdim=True), others, present)
            weights.append(self.weigh(parts, others)["quarters"].softmax(1))
        return {**outputs, "quarters": torch.stack(weights).mean(0).clamp(min=1e-12).log()}

    def facts(self, mfcc: Tensor, frames: Tensor, text_roi: Tensor, encoded: dict[str, Tensor]) -> Facts:
        return Facts.of(mfcc, frames, text_roi, encoded, self.sound_net.rhythm is not None, self.layout is not None)

    def look(self, facts: Facts, kind: Tensor) -> list[Tensor]:
        """Features of each of M modalities, (B, channels, 200); the sound's quarters; `kind` embedded."""
        b, t = facts.text.shape[:2]
        read = self.text_net(facts.text.flatten(0, 1)).unflatten(0, (b, t)).transpose(1, 2)              # (B, R, 200)
        sound, quarters = self.sound_net(facts)
        text = self.read(self.text_norm(read))
        if self.layout:
            text = text + self.layout(facts.layout)
        more = [net(*facts.encoded[name]) for name, net in self.encoded.items()]
        return [sound, self.video_net(facts), text, *more, quarters, self.question(kind)]

    def weigh(self, parts: list[Tensor], present: Tensor) -> dict[str, Tensor]:
        """The outputs from `parts`, what `look` returns, without the modalities whose `present` (B, M) is 0."""
        *parts, quarters, question = parts
        quarters = quarters * present[:, :1, None].to(quarters.dtype)
        parts = [part * present[:, i, None, None].to(part.dtype) for i, part in enumerate(parts)]
        x = self.join(self.feature_dropout(torch.cat(parts, 1))) + question.unsqueeze(2)
        x = self.blocks(x)
        if self.gru:
            x = x + self.after(self.gru(x.transpose(1, 2)))
        context = self.context(x).repeat_interleave(QUARTERS, 2)                                         # (B, C/2, 800)
        fine = self.fine(torch.cat([context, quarters], 1)).float().squeeze(1)                           # (B, 800)
        with in_float32(x):
            steps = self.step_head(x.float())
        return {"steps": steps, "quarters": steps.squeeze(1).repeat_interleave(QUARTERS, 1) + fine}

    def explain(
        self, mfcc: Tensor, frames: Tensor, text_roi: Tensor, kind: Tensor, **encoded: Tensor
    ) -> dict[str, Tensor]:
        """The answers and how certain they are, (B,) each, in seconds but for the confidence.

        `low` to `high` holds 9 of 10 truths of clips like the validation clips; `confidence` is the probability within
        a second of the answer; `sound`, `frames`, `text` and the encoders' names hold each modality's answer alone, nan
        where it is missing.
        """
        present = torch.stack([varies(each) for each in (mfcc, frames, text_roi, *encoded.values())], 1)
        facts = self.facts(mfcc, frames, text_roi, encoded)
        looked = [(net, net.look(facts, kind)) for net in (self, *self.others)]
        outputs = mean_of([net.agree(parts, present) for net, parts in looked])
        answer = self.seconds(outputs)
        reach = self.interval_scale * self.spread(outputs)
        low, high = (answer - reach).clamp(min=0), (answer + reach).clamp(max=CLIP_SECONDS)
        told = {"seconds": answer, "low": low, "high": high, "confidence": weight_near(outputs, answer)}
        for i, name in enumerate(self.modalities):
            alone = torch.zeros_like(present)
            alone[:, i] = present[:, i]
            said = self.seconds(mean_of([net.weigh(parts, alone) for net, parts in looked]))
            told[name] = said.masked_fill(present[:, i] == 0, float("nan"))
        return told

    @staticmethod
    def seconds(outputs: dict[str, Tensor]) -> Tensor:
        """The answer in seconds, (B,): the expectation within WINDOW of the most probable place."""
        return expected_seconds(outputs["quarters"])

    @staticmethod
    def spread(outputs: dict[str, Tensor]) -> Tensor:
        """Root mean square distance of the distribution from the answer, (B,) s; SHARPEST at least."""
        weights = outputs["quarters"].softmax(1)
        distance = places(weights) - AVTDist.seconds(outputs)[:, None]
        return ((weights * distance.square()).sum(1) + SHARPEST**2).sqrt()


def mean_of(outputs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The outputs of several networks as one: the mean of their probabilities, as logits."""
    if len(outputs) == 1:
        return outputs[0]
    return {"steps": torch.stack([each["steps"].softmax(2) for each in outputs]).mean(0).clamp(min=1e-12).log(),
            "quarters": torch.stack([each["quarters"].softmax(1) for each in outputs]).mean(0).clamp(min=1e-12).log()}


def weight_near(outputs: dict[str, Tensor], seconds: Tensor, reach: float = 1.0) -> Tensor:
    """The probability within `reach` s of `seconds`, (B,)."""
    weights = outputs["quarters"].softmax(1)
    return (weights * ((places(weights) - seconds[:, None]).abs() <= reach)).sum(1)


def places(weights: Tensor) -> Tensor:
    """The middles of N equal parts of the clip, s. (B, N) -> (N,)."""
    count = weights.shape[1]
    return (torch.arange(count, device=weights.device) + 0.5) * (CLIP_SECONDS / count)


def varies(x: Tensor) -> Tensor:
    """1 for each clip whose values are not all equal, (B,)."""
    flat = x.flatten(1)
    return (flat.amax(1) != flat.amin(1)).float()


def expected_seconds(quarters: Tensor) -> Tensor:
    """The expected time within WINDOW of the most probable place; `quarters` are logits. (B, 800) -> (B,) s."""
    weights = quarters.softmax(1)
    reach = round(WINDOW * QUARTERS)
    around = nn.functional.avg_pool1d(weights[:, None], 2 * reach + 1, 1, reach, count_include_pad=True).squeeze(1)
    heaviest = around.argmax(1, keepdim=True)
    index = torch.arange(weights.shape[1], device=weights.device)
    near = weights * ((index - heaviest).abs() <= reach)
    return (near * places(weights)).sum(1) / near.sum(1)


def bell(seconds: Tensor, weights: Tensor, spread: float) -> Tensor:
    """A Gaussian around each of `seconds` (B,), `spread` s wide, with the sum 1 over the places of `weights` (B, N)."""
    return torch.softmax(-((places(weights) - seconds[:, None]) / spread) ** 2 / 2, 1)


def distribution_loss(outputs: dict[str, Tensor], seconds: Tensor) -> Tensor:
    """Cross-entropies of seconds and quarters against Gaussians around the boundary, plus smooth L1 of the mean time.

    outputs["steps"] (B, V, 200), outputs["quarters"] (B, 800) or (B, V, 800); seconds (B,). outputs["shares"] (B, V)
    are the weights of the V `views`, where there are several.
    """
    steps = outputs["steps"].float()
    views = steps.shape[1]
    quarters = outputs["quarters"].float().reshape(len(seconds) * views, -1)
    seconds = seconds.repeat_interleave(views)
    steps = steps.flatten(0, 1)
    # The expectation over the whole clip: the further away probability lies, the more it costs, as in the score.
    mean = (quarters.softmax(1) * places(quarters)).sum(1)
    loss = (cross_entropy(steps, bell(seconds, steps, SPREAD), reduction="none")
            + cross_entropy(quarters, bell(seconds, quarters, SHARP), reduction="none")
            + ANSWER_WEIGHT * smooth_l1_loss(mean, seconds, reduction="none"))
    shares = outputs.get("shares", loss.new_ones(1))
    return (loss.unflatten(0, (-1, views)) * shares).sum(1).mean()
