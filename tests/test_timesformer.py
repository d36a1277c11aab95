"""TimeSformer: the reference's numbers, equal ways to compute them, and weights from elsewhere."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe import recipe_tensor
from torch import nn

from datatools.errors import UserError
from models import timesformer
from models.timesformer import ATTENTIONS, TimeSformer, rollout
from models.timesformer_reference import from_reference
from utils.checkpoint import export, load_checkpoint, load_weights, start_from
from utils.networks import build_network

SIZES = {"image_size": 32, "patch_size": 16, "width": 48, "depth": 3, "heads": 4, "frames": 4, "classes": 7}
# The reference's answers, on weights and inputs that follow from seed 0; of the second size embeddings are resized.
GOLDEN = {
    "divided_space_time.4x32x32": [
        [-0.740256, -1.621876, -0.769133, 0.924852, -1.881153, 1.05281, -1.669819],
        [1.215513, -1.526758, 0.729343, 1.070649, -1.519081, 1.024045, -1.438635]],
    "divided_space_time.6x48x48": [
        [0.783799, -2.091429, 0.188193, 1.203148, -1.901479, 0.267729, -0.638545],
        [0.81618, -1.433753, -0.15562, 0.682154, -1.494097, 0.047447, -1.380055]],
    "space_only.4x32x32": [
        [0.137652, -1.593439, -0.902802, 0.663237, -1.5991, 1.607186, -0.422118],
        [0.885181, -1.345857, 0.660206, 0.446455, -2.68103, 0.318028, -0.490236]],
    "space_only.6x48x48": [
        [1.215308, -1.784537, -0.001039, 1.221127, -1.673746, 0.838649, 0.210968],
        [0.795489, -1.1973, 0.280264, 0.5727, -2.577637, -0.410896, -0.227737]],
    "joint_space_time.4x32x32": [
        [0.202174, -1.770205, -1.261032, 0.632438, -1.787263, 1.345445, 0.105638],
        [0.559076, -1.194402, 0.554624, -0.084769, -2.970846, -0.004819, 0.043802]],
    "joint_space_time.6x48x48": [
        [1.053601, -1.777632, -0.711462, 0.832602, -1.984561, 0.862996, 0.40196],
        [0.795092, -1.716968, -0.584575, 0.660558, -3.398841, 0.214486, 0.317824]],
}


def network(attention: str = "divided_space_time", **sizes) -> TimeSformer:
    """A tiny network in eval mode, with the weights of seed 0."""
    net = TimeSformer(**{**SIZES, "attention": attention, **sizes}).eval()
    net.load_state_dict({name: recipe_tensor(name, tuple(value.shape), 0) for name, value in net.state_dict().items()})
    return net


def random_clip(frames: int, height: int, width: int) -> torch.Tensor:
    values = np.random.default_rng([0, 2, frames]).standard_normal((2, 3, frames, height, width))
    return torch.from_numpy(values.astype(np.float32))


def random_video(frames: int = 4, size: int = 32) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, frames, size, size, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", GOLDEN)
@torch.inference_mode()
def test_golden_numbers(name):
    attention, size = name.split(".")
    logits = network(attention).forward_clip(random_clip(*map(int, size.split("x"))))["logits"]
    np.testing.assert_allclose(logits.numpy(), GOLDEN[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("attention, tensors, parameters", [
    ("divided_space_time", 249, 121_566_352), ("joint_space_time", 153, 86_112_400), ("space_only", 152, 86_106_256)])
def test_the_base_network_has_the_references_number_of_weights(attention, tensors, parameters):
    with torch.device("meta"):
        weights = TimeSformer(attention=attention).state_dict()
    assert (len(weights), sum(weight.numel() for weight in weights.values())) == (tensors, parameters)


@torch.inference_mode()
def test_a_video_is_standardised_in_the_network_and_its_channels_turned_round_where_asked():
    video = random_video()
    clip = (video.permute(0, 4, 1, 2, 3) / 255 - 0.45) / 0.225
    net, turned = network(), network(bgr=True)
    torch.testing.assert_close(net(video)["logits"], net.forward_clip(clip)["logits"])
    torch.testing.assert_close(turned(video)["logits"], net(video.flip(-1))["logits"])
    with pytest.raises(ValueError, match="frames of 40x32, expected multiples of the patches' 16"):
        net(torch.zeros(1, 4, 40, 32, 3, dtype=torch.uint8))


def peer_of(net: TimeSformer):
    """transformers' network with the same weights."""
    transformers = pytest.importorskip("transformers")
    peer = transformers.TimesformerForVideoClassification(transformers.TimesformerConfig(
        image_size=32, patch_size=16, num_frames=4, hidden_size=48, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=192, attention_type=net.attention, num_labels=7)).eval()
    names, weights = from_reference("TimeSformer", {name: name for name in peer.state_dict()}), net.state_dict()
    peer.load_state_dict({theirs: weights[ours] for ours, theirs in names.items()})
    return peer


@pytest.mark.parametrize("attention", ATTENTIONS)
@torch.inference_mode()
def test_the_peer_computes_the_same(attention):
    """But for space_only, which answers for each frame there; so ours is asked for each frame by itself."""
    net, clip = network(attention), random_clip(4, 32, 32)
    theirs = peer_of(net)(clip.transpose(1, 2)).logits
    if attention == "space_only":
        clip = clip.transpose(1, 2).flatten(0, 1).unsqueeze(2)      # (B * T, 3, 1, H, W)
    torch.testing.assert_close(net.forward_clip(clip)["logits"], theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_checkpointing_changes_neither_the_answer_nor_the_gradients(attention):
    """With dropout and drop path, whose draws are made again."""
    found = []
    for checkpointing in (False, True):
        net = network(attention, checkpointing=checkpointing, dropout=0.1, drop_path=0.3).train()
        torch.manual_seed(0)
        loss = net(random_video())["logits"].square().sum()
        loss.backward()
        found.append([loss, *(weight.grad for weight in net.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert all(grad is not None and grad.isfinite().all() for grad in found[0])


def test_merged_layers_answer_as_the_two_did_also_after_the_weights_change():
    net, video = network(), random_video()
    names = set(net.state_dict())

    def check() -> None:
        with torch.no_grad():
            merged = net(video)["logits"]
        torch.testing.assert_close(merged, net(video)["logits"].detach(), atol=1e-5, rtol=0)      # with gradients

    check()
    with torch.no_grad():
        net.blocks[1].temporal_fc.weight.mul_(-3)
    check()
    net.load_state_dict({name: weight / 2 for name, weight in net.state_dict().items()})
    check()
    net.blocks[0].temporal_attn.proj = nn.Linear(48, 48)
    check()
    net = copy.deepcopy(net)
    net.blocks[2].temporal_fc.bias.data = torch.full((48,), 2.0)
    check()
    assert set(net.state_dict()) == names


def test_drop_path_rises_with_depth_and_attention_over_time_adds_nothing_at_first():
    net, video = TimeSformer(**SIZES, drop_path=0.4).eval(), random_video()
    assert [block.drop_path.p for block in net.blocks] == pytest.approx([0, 0.2, 0.4])
    with torch.no_grad():
        before = net(video)["logits"]
        assert not net.time_embed.any()
        for block in net.blocks:
            block.temporal_attn.qkv.weight.normal_()
        torch.testing.assert_close(net(video)["logits"], before)
        torch.testing.assert_close(net(video.flip(1))["logits"], before)


@pytest.mark.parametrize("attention", ATTENTIONS)
@torch.inference_mode()
def test_only_attention_over_time_sees_the_order_of_the_frames(attention):
    net, video = network(attention), random_video()
    same = torch.allclose(net(video)["logits"], net(video.flip(1))["logits"], atol=1e-4)
    assert same == (attention == "space_only")


# ---------------------------------------------------------------- rollout


def whole_matrices(maps, frames: int, divided: bool) -> torch.Tensor:
    """Rollout by its definition, on matrices of all tokens. (B, T, N)."""
    batch, places = len(maps[0][1]), (maps[0][1].shape[2] - 1) // (1 if divided else frames)
    total = 1 + frames * places
    at = torch.arange(1, total).view(frames, places)
    result = torch.eye(total).expand(batch, -1, -1)
    for time, space in maps:
        layers = [space[:, 0]] if not divided else [torch.eye(total).repeat(batch, 1, 1) for _ in range(2)]
        if divided:
            layers[1][:, 0] = 0
            for place in range(places):
                layers[0][:, at[:, place, None], at[:, place]] = time[:, place]
            for frame in range(frames):
                layers[1][:, at[frame, :, None], at[frame]] = space[:, frame, 1:, 1:]
                layers[1][:, at[frame], 0] = space[:, frame, 1:, 0]
                layers[1][:, 0, at[frame]] = space[:, frame, 0, 1:] / frames
                layers[1][:, 0, 0] += space[:, frame, 0, 0] / frames
        for layer in layers:
            result = (layer + torch.eye(total)) / 2 @ result
    return result[:, 0, 1:].unflatten(1, (frames, places))


@pytest.mark.parametrize("attention", ATTENTIONS)
@torch.inference_mode()
def test_rollout_is_the_product_of_all_layers(attention):
    net, clip = network(attention), random_clip(4, 32, 32)
    maps = net.maps(clip)
    for _, space in maps:
        torch.testing.assert_close(space.sum(-1), torch.ones(space.shape[:-1]))
    if attention == "space_only":      # the mean over frames, each a joint attention of one frame
        expected = torch.cat([whole_matrices([(None, space[:, i:i + 1]) for _, space in maps], 1, False)
                              for i in range(4)], 1) / 4
    else:
        expected = whole_matrices(maps, 4, attention == "divided_space_time")
    torch.testing.assert_close(rollout(maps, 4), expected)
    assert net.rollout(random_video(6, 48)).shape == (2, 6, 3, 3)


@torch.inference_mode()
def test_the_maps_are_those_that_the_forward_pass_computes_with(monkeypatch):
    """Every attention of the forward pass is noted; the last block's is of the class token alone."""
    net, clip, noted = network(), random_clip(4, 32, 32), []
    plain = timesformer.scaled_dot_product_attention

    def noting(query, key, value):
        noted.append((query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(3).mean(1))
        return plain(query, key, value)

    maps = [part.flatten(0, 1) for pair in net.maps(clip) for part in pair]
    monkeypatch.setattr(timesformer, "scaled_dot_product_attention", noting)
    net.forward_clip(clip)
    for one, other in zip(maps, noted, strict=True):
        torch.testing.assert_close(one[:, :other.shape[1]], other)


# ---------------------------------------------------------------- weights from elsewhere


CFG = ("TIMESFORMER:\n  ATTENTION_TYPE: {attention}\nDATA:\n  NUM_FRAMES: 4\n  TRAIN_CROP_SIZE: 32\n  MEAN:\n  - 0.45\n"
       "MODEL:\n  NUM_CLASSES: 7\nTRAIN:\n  DATASET: {dataset}\nNONLOCAL:\n  LOCATION:\n  - - - 1\n")
HEADS = {"width": 128, "heads": 2, "depth": 2}      # heads of 64 channels, as every published network has


def peers_names(weights: dict) -> dict:
    """The names of `transformers`, from its own network where it is installed."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.TimesformerForVideoClassification(transformers.TimesformerConfig(
        image_size=32, num_frames=4, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512,
        num_labels=7)).state_dict()
    names = from_reference("TimeSformer", {name: name for name in theirs})
    return {name: weights[ours] for ours, name in names.items()}


FORMS = {
    "model_state": lambda weights: {"model_state": {f"model.{name}": value for name, value in weights.items()},
                                    "epoch": 3, "optimizer_state": {"state": {}, "param_groups": []}},
    "state_dict": lambda weights: {"state_dict": {f"module.{name}": value for name, value in weights.items()}},
    "model": lambda weights: {"model": weights},
    "plain": dict,
    "transformers": peers_names,
}


def saved(path: Path, content: dict) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_a_checkpoint_in_each_published_form_makes_the_network_that_it_came_from(form, tmp_path):
    net = network(**HEADS)
    path = saved(tmp_path / "a.pyth", FORMS[form](net.state_dict()))
    content = load_checkpoint(path)
    assert content["network"] == "TimeSformer"
    read = build_network(TimeSformer, content["sizes"]).eval()
    load_weights(path, read, content["model"])
    assert torch.equal(read(random_video())["logits"], net(random_video())["logits"])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_settings_in_a_checkpoint_are_read(attention, tmp_path):
    weights = {"model_state": network(attention, **HEADS).state_dict()}
    for dataset, bgr in (("kinetics", False), ("ssv2", True)):
        cfg = CFG.format(attention=attention, dataset=dataset)
        path = saved(tmp_path / "a.pyth", {**weights, "cfg": cfg})
        assert load_checkpoint(path)["sizes"] == {**SIZES, **HEADS, "attention": attention, "mlp_ratio": 4, "bgr": bgr}
    for found, other in ((attention, "none"), ("CLASSES: 7", "CLASSES: 8"), ("SIZE: 32", "SIZE: 48")):
        saved(path, {**weights, "cfg": cfg.replace(found, other)})
        with pytest.raises(UserError, match=f"a.pyth: its settings say .*{other.split()[-1]}.*, its tensors "):
            load_checkpoint(path)
    saved(path, {**weights, "cfg": "a: &x [1]\nb: *x\n"})
    with pytest.raises(UserError, match="a.pyth: the settings under 'cfg' cannot be read: line 1: found an anchor"):
        load_checkpoint(path)


@torch.inference_mode()
def test_a_plain_vit_starts_a_divided_network_that_answers_as_it_does(tmp_path):
    vit = network("space_only", classes=1000, image_size=48)
    path = saved(tmp_path / "vit.pth", vit.state_dict())
    net = TimeSformer(**SIZES).eval()
    head = net.head.weight.clone()
    told = start_from(path, net)
    for block, source in zip(net.blocks, vit.blocks, strict=True):
        assert torch.equal(block.temporal_attn.qkv.weight, source.attn.qkv.weight)
        assert torch.equal(block.temporal_norm1.bias, source.norm1.bias)
        assert not block.temporal_fc.weight.any() and not block.temporal_fc.bias.any()
    assert not net.time_embed.any() and torch.equal(net.head.weight, head)
    places = vit.pos_embed[:, 1:].view(3, 3, 48)
    assert torch.equal(net.pos_embed[0, 1:].view(2, 2, 48), places[[0, 0, 1, 1], [0, 1, 0, 1]].view(2, 2, 48))
    vit.head = net.head
    still = random_video(1).expand(-1, 4, -1, -1, -1)      # every frame the same
    torch.testing.assert_close(net(still)["logits"], TimeSformer.forward(vit_at(vit, net), still)["logits"], atol=1e-5,
                               rtol=0)
    named = {line.split(":")[0] for line in told}
    assert named == {"head.weight", "head.bias", "time_embed", "pos_embed",
                     *(name for name in net.state_dict() if ".temporal_" in name)}
    assert "head.bias: left out, the file's is for 1000 classes and the network has 7; begins anew" in told


def vit_at(vit: TimeSformer, net: TimeSformer) -> TimeSformer:
    """The ViT at another network's size."""
    other = TimeSformer(**{**SIZES, "attention": "space_only"}).eval()
    other.load_state_dict({**vit.state_dict(), "pos_embed": net.pos_embed})
    return other


@torch.inference_mode()
def test_fine_tuning_on_more_frames_resizes_the_time_embedding_and_says_so(tmp_path):
    source = network()
    path = saved(tmp_path / "a.pyth", source.state_dict())
    net = TimeSformer(**{**SIZES, "frames": 6}).eval()
    told = start_from(path, net)
    assert told == ["time_embed: resized from (1, 4, 48) to (1, 6, 48) by nearest neighbour"]
    assert torch.equal(net.time_embed, source.time_embed[:, [0, 0, 1, 2, 2, 3]])
    torch.testing.assert_close(net(random_video(6))["logits"], source(random_video(6))["logits"])
    assert start_from(path, TimeSformer(**SIZES)) == []


@pytest.mark.parametrize("change, message", [
    (lambda w: w.update({"head.weight": torch.zeros(9, 40), "head.bias": torch.zeros(9)}),
     r"head.weight: shape \(9, 40\)"),
    (lambda w: w.pop("head.bias"), "missing: head.bias"),
    (lambda w: w.pop("blocks.1.temporal_fc.weight"), "missing: blocks.1.temporal_fc.weight"),
    (lambda w: w.update({"blocks.0.ls1.gamma": torch.zeros(48)}), "unexpected: blocks.0.ls1.gamma"),
    (lambda w: w.update({"pos_embed": torch.zeros(1, 4, 48)}), r"pos_embed: shape \(1, 4, 48\)"),
    (lambda w: w.update({"norm.weight": torch.full((48,), torch.nan)}), "norm.weight: 48 of 48 values are NaN"),
    (lambda w: w.update({"pos_embed": torch.zeros(48)}), r"pos_embed: shape \(48,\), expected a tensor of 3 dim"),
    (lambda w: [w.pop(name) for name in list(w) if name.startswith("blocks.2.")], "missing: blocks.2.mlp.fc2.bias"),
])
def test_every_tensor_that_does_not_fit_is_named(tmp_path, change, message):
    weights = network().state_dict()
    change(weights)
    net = TimeSformer(**SIZES)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(UserError, match=message):
        start_from(saved(tmp_path / "a.pyth", weights), net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_an_exported_checkpoint_has_the_public_codes_names(tmp_path):
    net = network(**HEADS)
    export(saved(tmp_path / "a.pyth", net.state_dict()), tmp_path / "b.pyth")
    written = torch.load(tmp_path / "b.pyth", weights_only=True)["model"]
    assert all(torch.equal(value, written[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("sizes, message", [
    ({"attention": 3}, "attention: 3, expected a word"), ({"attention": "none"}, "'none', expected one of divided"),
    ({"width": "wide"}, "width: 'wide', expected a number"), ({"width": 50}, "width 50 one of heads 4"),
])
def test_sizes_of_which_no_network_can_be_made_are_refused(sizes, message):
    with pytest.raises(UserError, match=message):
        build_network(TimeSformer, {**SIZES, **sizes})


def test_a_training_from_scratch_begins_with_embeddings_as_large_as_the_patches_and_with_attention_over_time():
    torch.manual_seed(0)
    net = TimeSformer(**SIZES)
    x = torch.rand(1, 4, 32, 32, 3).mul(255).to(torch.uint8)
    assert not net.time_embed.any() and not any(block.temporal_fc.weight.any() for block in net.blocks)
    patches = net.patch_embed(net.clip(x)[:, :, 0]).std()
    net.start_from_scratch()
    for embedding in (net.pos_embed, net.time_embed):
        assert patches / 3 < embedding.std() < 3 * patches
    assert all(block.temporal_fc.weight.any() for block in net.blocks)


def test_an_optimiser_that_leaves_no_trace_does_not_leave_old_merged_layers():
    net, video = network(), random_video()
    with torch.no_grad():
        before = net(video)["logits"]
        net.train()
        net.blocks[0].temporal_fc.weight.data.copy_(torch.ones(48, 48))      # .data does not count as a change
        net.eval()
        assert not torch.equal(net(video)["logits"], before)
