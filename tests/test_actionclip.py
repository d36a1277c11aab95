"""ActionCLIP: the reference's numbers, towers and fusions against other code, any labels, weights from elsewhere."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from recipe import recipe_tensor
from torch import Tensor, nn
from whole_batch_steps import TASK, training_of

from datatools.errors import UserError
from models.actionclip import FUSIONS, TEMPLATES, ActionCLIP, prompts
from models.actionclip_reference import file_of, to_reference
from models.losses import matching_loss
from utils.checkpoint import export, load_checkpoint, save_checkpoint, start_from
from utils.matching import start
from utils.networks import build_network
from utils.predict import Predictor
from utils.step import Recipe, train_step

GOLDEN = np.load(Path(__file__).with_name("golden_actionclip.npz"))
LABELS = ["archery", "playing guitar", "ApplyEyeMakeup", "baby crawling", "tai chi"]
SIZES = {"image_size": 32, "patch_size": 16, "width": 64, "depth": 2, "embed": 32, "text_width": 64, "text_depth": 2,
         "frames": 4}
END = 49407      # the token that ends a text


def network(fusion: str = "Transf", seed: int = 0, **sizes) -> ActionCLIP:
    """A tiny network in eval mode with the recipe's weights."""
    sizes = {"conv_as_reference": fusion == "Conv_1D", **SIZES, **sizes}
    net = ActionCLIP(**sizes, fusion=fusion).eval()
    net.load_state_dict({name: recipe_tensor(name.replace("fusion.", f"{fusion}."), tuple(value.shape), seed)
                         for name, value in net.state_dict().items()})
    return net


def random_pixels(seed: int = 0) -> Tensor:
    """(3, 4, 3, 32, 32), of seed 0 the golden outputs' input."""
    values = np.random.default_rng([seed, 3]).standard_normal((12, 3, 32, 32))
    return torch.from_numpy(values.astype(np.float32)).view(3, 4, 3, 32, 32)


def random_video(seed: int = 0, batch: int = 2) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (batch, 4, 32, 32, 3), dtype=np.uint8))


def close(found: Tensor, expected, atol: float = 1e-4) -> None:
    torch.testing.assert_close(found.detach(), torch.as_tensor(expected).detach().to(found.dtype), atol=atol, rtol=0)


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.inference_mode()
def test_golden_numbers(fusion):
    net = network(fusion)
    frames, texts = net.frame_features(random_pixels()), net.text_features(LABELS)
    features = net.fusion(frames)
    close(frames.flatten(0, 1), GOLDEN["image_features"])
    close(texts.flatten(0, 1), GOLDEN["text_features"])
    close(features, GOLDEN[f"{fusion}.video_features"])
    close(net.scores(features, texts), GOLDEN[f"{fusion}.class_probability"])


def test_golden_tokens_template_by_template():
    tokens, cut = prompts(LABELS)
    assert cut == [] and tokens.shape == (16, 5, 14)
    assert torch.equal(tokens.flatten(0, 1), torch.from_numpy(GOLDEN["tokens"][:, :14]).long())
    assert not GOLDEN["tokens"][:, 14:].any()


def test_golden_loss_and_its_definition():
    r, label = np.random.default_rng([0, 4]), torch.from_numpy(GOLDEN["loss.labels"]).long()
    video, text = (torch.from_numpy(r.standard_normal((4, 32)).astype(np.float32)) for _ in range(2))
    scale = torch.tensor(1 / 0.07)
    close(matching_loss(video, text, label, scale), GOLDEN["loss.value"], 1e-5)
    cosine = nn.functional.cosine_similarity(video[:, None], text[None], dim=2)
    total = 0.0
    for similar in (scale * cosine, scale * cosine.T):
        for row in range(4):
            weights = [math.exp(10 * int(label[row] == label[column])) for column in range(4)]
            for column in range(4):
                target = weights[column] / sum(weights)
                total += target * (math.log(target) - similar[row].log_softmax(0)[column].item())
    assert matching_loss(video, text, label, scale).item() == pytest.approx(total / 4 / 2, abs=1e-5)


@pytest.mark.parametrize("patch_size, parameters", [(32, 151_277_313), (16, 149_620_737)])
def test_the_base_networks_have_openais_number_of_weights(patch_size, parameters):
    with torch.device("meta"):
        net = ActionCLIP(patch_size=patch_size, fusion="meanP")
    assert sum(weight.numel() for weight in net.parameters()) == parameters
    assert not list(net.buffers())      # an average over the steps would make NaN of a mask's infinities


@pytest.mark.parametrize("quick_gelu", [True, False])
@torch.inference_mode()
def test_the_towers_answer_as_open_clips_do(quick_gelu):
    net, pixels = network("meanP", seed=5, quick_gelu=quick_gelu), random_pixels(5)
    peer = open_clip.CLIP(32, open_clip.CLIPVisionCfg(layers=2, width=64, patch_size=16, image_size=32),
                          open_clip.CLIPTextCfg(width=64, heads=1, layers=2), quick_gelu=quick_gelu).eval()
    peer.load_state_dict(net.state_dict())
    close(net.frame_features(pixels).flatten(0, 1), peer.encode_image(pixels.flatten(0, 1)), 1e-5)
    texts = ["a man, running", "x", "waves at the sea " * 10]      # computed no further than the longest one's end
    for some in (texts, texts[:2]):
        close(net.text_features(some, ["{}"])[0], peer.encode_text(open_clip.tokenize(some)), 1e-5)


@torch.inference_mode()
def test_a_video_is_standardised_in_the_network():
    net, video = network(), random_video()
    picture = open_clip.transform.Normalize(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    pixels = picture((video / 255).permute(0, 1, 4, 2, 3).flatten(0, 1)).unflatten(0, (2, 4))
    close(net.video_features(video), net.fusion(net.frame_features(pixels)), 1e-5)
    with pytest.raises(ValueError, match="frames of 32x48, expected 32x32"):
        net.video_features(torch.zeros(1, 4, 32, 48, 3, dtype=torch.uint8))


@torch.inference_mode()
def test_transf_is_torchs_transformer_with_positions_and_a_shortcut():
    net, frames = network("Transf", seed=5), torch.randn(3, 6, 32)
    weights = net.fusion.state_dict()
    x = frames + weights["frame_position_embeddings.weight"][:6]
    for number in range(6):
        layer = nn.TransformerEncoderLayer(32, 1, 128, 0, lambda x: x * (1.702 * x).sigmoid(), 1e-12, True, True)
        names = {"self_attn": "attn", "linear1": "mlp.c_fc", "linear2": "mlp.c_proj", "norm1": "ln_1", "norm2": "ln_2"}
        layer.load_state_dict({
            name: weights[f"transformer.resblocks.{number}.{names[name.split('.')[0]]}.{name.split('.', 1)[1]}"]
            for name in layer.state_dict()})
        x = layer.eval()(x)
    close(net.fusion(frames), (frames + x).mean(1), 1e-5)


@torch.inference_mode()
def test_the_convolution_goes_over_time_or_as_the_reference_over_memory_and_begins_as_a_shift():
    frames = torch.randn(2, 4, 32)
    over_time, as_reference = network("Conv_1D", conv_as_reference=False), network("Conv_1D")
    for net, turned in ((over_time, frames.transpose(1, 2)), (as_reference, frames.reshape(2, 32, 4))):
        seen, kernel = np.pad(turned.numpy(), ((0, 0), (0, 0), (1, 1))), net.fusion.shift.weight.numpy()
        added = sum(seen[:, :, place:place + 4] * kernel[:, 0, place, None] for place in range(3))
        close(net.fusion(frames), (frames.numpy() + added.transpose(0, 2, 1)).mean(1), 1e-5)
    new = ActionCLIP(**SIZES, fusion="Conv_1D").fusion.shift(frames.transpose(1, 2)).transpose(1, 2)
    assert torch.equal(new[:, 1:, :8], frames[:, :-1, :8]) and torch.equal(new[:, :, 8:24], frames[:, :, 8:24])
    assert torch.equal(new[:, :-1, 24:], frames[:, 1:, 24:]) and not new[:, 0, :8].any()


@torch.inference_mode()
def test_the_lstm_goes_through_the_frames_in_order():
    net, frames = network("LSTM", seed=5), torch.randn(2, 5, 32)
    cell = nn.LSTMCell(32, 32)
    cell.load_state_dict({name.removeprefix("lstm_visual.").removesuffix("_l0"): value
                          for name, value in net.fusion.state_dict().items()})
    state, found = None, []
    for step in range(5):
        state = cell(frames[:, step], state)
        found.append(frames[:, step] + state[0])
    close(net.fusion(frames), torch.stack(found).mean(0), 1e-5)


@torch.inference_mode()
def test_the_temporal_shift_moves_an_eighth_of_the_patches_channels_each_way():
    plain, shifting = network("meanP", depth=3), network("meanP", depth=3, tsm=True)
    shifting.load_state_dict({name: plain.state_dict()[name.replace(".net.", ".")] for name in shifting.state_dict()})
    kept = {}
    for number, block in enumerate(shifting.visual.transformer.resblocks):
        block.net.register_forward_pre_hook(lambda _, given, number=number: kept.update({number: given[0]}))
    shifting.frame_features(random_pixels())
    visual = plain.visual
    tokens = visual.conv1(random_pixels().flatten(0, 1)).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(12, 1, -1), tokens], 1) + visual.positional_embedding
    x = visual.ln_pre(x).numpy()
    expected = x.copy()
    for frame in range(12):
        later, earlier = frame % 4 < 3, frame % 4 > 0
        expected[frame, 1:, :8] = x[frame + 1, 1:, :8] if later else 0
        expected[frame, 1:, 8:16] = x[frame - 1, 1:, 8:16] if earlier else 0
    close(kept[0], expected, 1e-5)
    between = plain.visual.transformer.resblocks[0](kept[0])
    close(kept[1][1:2, :, 16:], between[1:2, :, 16:], 1e-5)
    close(kept[1][1, 1:, :8], between[2, 1:, :8], 1e-5)


@torch.inference_mode()
def test_the_rollout_shows_the_patches_that_the_frames_features_are_made_of():
    for more in ({}, {"tsm": True}):
        net, video = network(**more), random_video()
        shares = net.rollout(video)
        x, expected = net.tokens_of(net.pixels(video)), torch.zeros(8, 1, 5)
        expected[:, :, 0], maps = 1, []
        for block in net.visual.transformer.resblocks:
            plain, before = (block.net, block.shifted(x, 4)) if more else (block, x)
            layer, seen = plain.attn, plain.ln_1(before)
            query, key, _ = (seen @ layer.in_proj_weight.T + layer.in_proj_bias).chunk(3, 2)
            maps.append((query @ key.transpose(1, 2) / 8).softmax(2))      # one head of 64 channels
            x = plain(before)
        for attention in reversed(maps):
            expected = (expected + expected @ attention) / 2
        close(shares.flatten(0, 1).flatten(1), expected[:, 0, 1:] / 4, 1e-6)


def test_what_no_network_can_be_is_refused():
    for sizes, words in (({"fusion": "Transfer"}, "fusion 'Transfer', expected one of meanP, Transf"),
                         ({"width": 96}, "width 96 and text_width 64 multiples of 64"),
                         ({"depth": 0}, "depth 0 and text_depth 2, expected at least one block in each tower"),
                         ({"image_size": 40}, "image_size 40 must be a multiple of patch_size 16")):
        with pytest.raises(UserError, match=words):
            build_network(ActionCLIP, {**SIZES, **sizes})
    for fusion, words in (("Transf", "78 frames, the fusion Transf takes at most 77"),
                          ("Transf_cls", "78 frames, this Transf_cls was made for 4")):
        with pytest.raises(ValueError, match=words):
            ActionCLIP(**SIZES, fusion=fusion).fusion(torch.zeros(1, 78, 32))


# ---------------------------------------------------------------- classes


@torch.inference_mode()
def test_classes_and_any_other_names_are_scored_alike():
    net, video = network(), random_video()
    net.set_classes(LABELS)
    outputs, features = net(video), net.video_features(video)
    scores = net.scores(features, net.text_features(LABELS))
    close(outputs["logits"].softmax(1), scores, 1e-6)
    close(outputs["logits"].exp().sum(1), [1, 1], 1e-5)
    close(outputs["features"], features, 1e-6)
    by_template = [net.scores(features, net.text_features(LABELS, [template])) for template in TEMPLATES]
    close(scores, torch.stack(by_template).mean(0), 1e-6)
    reverse = net.scores(features, net.text_features(LABELS[::-1]))
    close(reverse.flip(1), scores, 1e-6)
    close(net.scores(features, net.text_features(["juggling"])), [[1], [1]], 1e-6)


def test_the_features_of_the_classes_are_computed_once_for_each_state_of_the_weights(monkeypatch):
    net, video, times = network(), random_video(), []
    encode = ActionCLIP.encode_text
    monkeypatch.setattr(ActionCLIP, "encode_text", lambda self, tokens: times.append(1) or encode(self, tokens))

    def check(computed: int, net=net) -> None:
        with torch.inference_mode():
            logits = net(video)["logits"]
        assert len(times) == computed
        with torch.no_grad():
            other = net.scores(net.video_features(video), net.text_features(net.names, net.templates))
        close(logits.exp(), other, 1e-6)
        times.clear()

    net.set_classes(LABELS)
    check(1)
    check(0)
    with torch.no_grad():
        net.text_projection.mul_(torch.linspace(-1, 2, 32))
    check(1)
    net.load_state_dict(network(seed=5).state_dict())
    check(1)
    check(0)
    net.set_classes(["tai chi", "yoga"], ["a {} b"])
    check(1)
    check(1, copy.deepcopy(net))
    with torch.no_grad():
        net.visual.proj.mul_(2)
    check(0)
    replica = net._replicate_for_data_parallel()      # what nn.DataParallel gives to another GPU
    replica._former_parameters, replica.text_projection = {}, net.text_projection.detach().clone()
    assert torch.equal(replica.class_features(), net.class_features()) and not times
    net.train()(video)
    assert len(times) == 1
    times.clear()
    optimizer = torch.optim.AdamW(net.text_parameters(), 0.1, fused=True)      # counts no change of a weight
    sum(weight.sum() for weight in net.text_parameters()).backward()
    optimizer.step()
    net.eval()
    check(1)
    with torch.enable_grad():      # and they serve with gradients, too
        net.eval()(video)["logits"].sum().backward()


@pytest.mark.parametrize("name, words", [
    ("run, then jump", "run, then jump"), ("太极拳", "太极拳"), ("a {} in {braces}", "a { } in { braces }")])
def test_a_name_is_put_in_as_it_is(name, words):
    tokens, cut = prompts([name], ["see {}"])
    text = open_clip.decode(tokens[0, 0]).replace("<start_of_text>", "").replace("<end_of_text>", "").strip()
    assert cut == [] and text.replace(" ", "") == f"see {words}".replace(" ", "")


def test_a_prompt_of_more_than_77_tokens_is_cut_and_its_name_told():
    long, longest = "very " * 60, "very " * 75      # a template takes up to 9 tokens more
    net = network()
    assert net.set_classes(["yoga", long, "very " * 100]) == ["very " * 100]
    assert net.set_classes([longest, "yoga"]) == [longest]
    ends = (net.tokens == END).nonzero()[:, 2]
    assert net.tokens.shape == (16, 2, 77) and len(ends) == 32 and ends.max() == 76
    close(net.text_features([longest + "zebra"]), net.text_features([longest]), 1e-5)      # of both the same is left
    with torch.inference_mode():
        assert net(random_video())["logits"].isfinite().all()


@pytest.mark.parametrize("names, templates, words", [
    ([], TEMPLATES, "0 names and 16 templates, expected at least one"), (["yoga"], [], "1 names and 0 templates"),
    (["yoga"], ["a photo"], "template 'a photo', expected one {} in it"), (["yoga"], ["{}{}"], "expected one {}")])
def test_prompts_that_say_nothing_are_refused(names, templates, words):
    with pytest.raises(ValueError, match=words):
        network("meanP").set_classes(names, templates)


def test_without_classes_a_network_says_so():
    for more in ({}, {"label": torch.zeros(2, dtype=torch.long)}):
        with pytest.raises(ValueError, match="the names of the classes are missing: call set_classes"):
            network("meanP")(random_video(), **more)


# ---------------------------------------------------------------- training


def test_a_sample_is_matched_with_one_template_the_given_or_a_drawn_one():
    net, video = network().train(), random_video()
    net.set_classes(LABELS)
    label, template = torch.tensor([4, 1]), torch.tensor([3, 15])
    outputs = net(video, label, template)
    close(outputs["text"], net.text_features(LABELS)[template, label], 1e-5)
    close(outputs["video"], net.video_features(video), 1e-6)
    close(outputs["scale"], [math.exp(net.logit_scale.item())] * 2, 1e-6)
    many = torch.zeros(400, dtype=torch.long)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            drawn.append(net(video[:1], many)["text"])
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert len(drawn[0].unique(dim=0)) == 16


@pytest.mark.parametrize("fusion, more", [("Transf", {}), ("Transf", {"tsm": True}), ("Transf_cls", {}), ("LSTM", {}),
                                          ("Conv_1D", {}), ("meanP", {})])
def test_every_weight_learns_and_checkpointing_changes_nothing(fusion, more):
    """With dropout of both kinds, whose draws are made again."""
    found = []
    for checkpointing in (False, True):
        net = network(fusion, **more, checkpointing=checkpointing, drop_out=0.3, emb_dropout=0.1).train()
        net.set_classes(LABELS)
        torch.manual_seed(0)
        outputs = net(random_video(batch=4), torch.tensor([3, 1, 3, 0]))
        matching_loss(outputs["video"], outputs["text"], torch.tensor([3, 1, 3, 0]), outputs["scale"].mean()).backward()
        found.append([weight.grad for weight in net.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert all(grad is not None and grad.isfinite().all() for grad in found[0])


def test_samples_leave_out_more_of_the_later_blocks_and_none_in_eval_mode():
    net = ActionCLIP(**{**SIZES, "depth": 3}, drop_out=0.4)
    assert [block.ls_2.p for block in net.visual.transformer.resblocks] == pytest.approx([0, 0.2, 0.4])
    assert [block.ls_1.p for block in net.transformer.resblocks] == pytest.approx([0, 0.4])
    with torch.no_grad():
        same = [network(drop_out=rate, emb_dropout=rate).video_features(random_video()) for rate in (0.0, 0.5)]
    assert torch.equal(*same)


def test_four_batches_of_8_make_the_step_of_32():
    found = []
    for size in (8, 32):
        net = network(drop_out=0).train()
        net.set_classes(LABELS)
        training = training_of(net, rate=1e-3)
        batch = {"index": torch.arange(32), "video": random_video(batch=32), "label": torch.arange(32) % 5,
                 "template": torch.arange(32) % 16}
        batches = [{name: value[first:first + size] for name, value in batch.items()} for first in range(0, 32, size)]
        task = replace(TASK, inputs=("video", "label", "template"))
        group = [each["index"].tolist() for each in batches]
        assert not train_step(training, Recipe(task), group, batches, lambda: False, str).bad
        found.append([torch.tensor(training.loss_sum / 32), *(weight.grad for weight in net.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- weights from elsewhere


HALF = ("conv1.weight", "c_fc.weight", "c_fc.bias", "c_proj.weight", "c_proj.bias", "in_proj_weight", "in_proj_bias",
        "out_proj.weight", "out_proj.bias", "visual.proj", "text_projection")      # float16 in published files


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half() if name.endswith(HALF) else value for name, value in weights.items()}


def published(net: ActionCLIP) -> dict:
    """A checkpoint as the public code writes it."""
    content = file_of(to_reference("ActionCLIP", net.state_dict()))
    optimizer = torch.optim.AdamW(net.parameters(), 5e-6, (0.9, 0.98))
    return {**content, "epoch": 49, "model_state_dict": halved(content["model_state_dict"]),
            "optimizer_state_dict": optimizer.state_dict()}


def saved(path: Path, content: dict) -> Path:
    torch.save(content, path)
    return path


def scores_from(path: Path) -> np.ndarray:
    """The scores of a video by the network that a file holds."""
    net = Predictor(path, gpus="cpu").net
    return scores_of(net)


def scores_of(net: ActionCLIP) -> np.ndarray:
    net.set_classes(LABELS)
    with torch.inference_mode():
        return net.eval()(random_video())["logits"].exp().numpy()


@pytest.mark.parametrize("fusion, more", [*((fusion, {}) for fusion in FUSIONS), ("Transf", {"tsm": True})])
def test_a_published_checkpoint_answers_with_its_fusion(tmp_path, fusion, more):
    net = network(fusion, **more)
    net.load_state_dict(halved(net.state_dict()))
    content = load_checkpoint(path := saved(tmp_path / "model_best.pt", published(net)))
    assert content["network"] == "ActionCLIP" and content["sampling"] == {"segments": True}
    assert content["sizes"].pop("frames", None) == (4 if fusion == "Transf_cls" else None)
    assert {"frames": 4, **content["sizes"]} == {
        **SIZES, "fusion": fusion, "tsm": False, "conv_as_reference": fusion == "Conv_1D", **more}
    np.testing.assert_allclose(scores_from(path), scores_of(net), atol=1e-6, rtol=0)
    assert bool(content["remarks"]) == (fusion == "meanP")


def test_without_its_fusion_a_checkpoint_averages_the_frames_and_says_so(tmp_path):
    net = network("Transf")
    content = published(net)
    del content["fusion_model_state_dict"]
    found = load_checkpoint(path := saved(tmp_path / "model_best.pt", content))
    assert found["sizes"]["fusion"] == "meanP"
    assert found["remarks"] == ["the file holds no weights of a fusion over the frames (fusion_model_state_dict): "
                                "their features are averaged, as with meanP"]
    mean, trained = network("meanP"), scores_of(net)
    np.testing.assert_allclose(scores_from(path), scores_of(mean), atol=1e-3, rtol=0)
    assert np.abs(scores_from(path) - trained).max() > 0.1
    with pytest.raises(UserError, match="expected a dict with the weights under 'model'"):
        load_checkpoint(saved(path, {**content, "fusion_model_state_dict": "lost"}))


def test_clips_own_weights_start_any_network_and_what_begins_anew_is_told(tmp_path):
    clip = network("meanP")
    plain = {**halved(clip.state_dict()), "input_resolution": torch.tensor(32), "context_length": torch.tensor(77),
             "vocab_size": torch.tensor(49408)}
    path = saved(tmp_path / "ViT.pt", plain)
    np.testing.assert_allclose(scores_from(path), scores_of(clip), atol=1e-3, rtol=0)
    shifting, before = ActionCLIP(**SIZES, fusion="Transf", tsm=True), copy.deepcopy(clip)
    fusion = copy.deepcopy(shifting.fusion.state_dict())
    assert start_from(path, shifting) == [
        "visual.*: trained without temporal shift",
        "fusion.*: the file's is meanP and the network's Transf, which begins anew"]
    close(shifting.text_features(LABELS), before.text_features(LABELS), 1e-2)
    assert all(torch.equal(value, fusion[name]) for name, value in shifting.fusion.state_dict().items())
    path = saved(path, published(shifting))
    back = ActionCLIP(**SIZES, fusion="LSTM")
    assert start_from(path, back) == [
        "visual.*: trained with temporal shift, which the network leaves out",
        "fusion.*: the file's is Transf and the network's LSTM, which begins anew"]
    close(back.frame_features(random_pixels()), clip.frame_features(random_pixels()), 1e-2)
    assert start_from(path, ActionCLIP(**SIZES, fusion="Transf", tsm=True)) == []


@pytest.mark.parametrize("other, flags", [
    ({"patch_size": 8}, "--sizes patch_size=8"),
    ({"patch_size": 8, "image_size": 48, "fusion": "meanP"}, "--image_size 48 --sizes patch_size=8"),
    ({"width": 128, "depth": 3, "text_width": 128, "embed": 48}, "--sizes width=128 depth=3 embed=48 text_width=128"),
])
def test_weights_of_a_network_of_other_sizes_name_the_flags_that_fit(tmp_path, other, flags):
    given = ActionCLIP(**{**SIZES, "fusion": "Transf", **other})
    path = saved(tmp_path / "clip.pt", halved(given.state_dict()))
    net = ActionCLIP(**SIZES, fusion="Transf")
    with pytest.raises(UserError, match=rf"visual.conv1.weight: shape (?s:.*)other sizes\. Give {flags}\.$"):
        start_from(path, net)
    sizes = {name: int(size) for name, _, size in (word.partition("=") for word in flags.split() if "=" in word)}
    sizes["image_size"] = other.get("image_size", SIZES["image_size"])
    notes = start_from(path, ActionCLIP(**{**SIZES, "fusion": "Transf", **sizes}))
    assert len(notes) == ("fusion" in other)      # another fusion begins anew


def test_flags_are_named_only_where_they_would_help(tmp_path):
    weights = ActionCLIP(**{**SIZES, "fusion": "Transf", "patch_size": 8}).state_dict()
    weights["ln_final.weight"] = torch.zeros(5)
    with pytest.raises(UserError, match="ln_final.weight: shape") as refused:
        start_from(saved(tmp_path / "clip.pt", weights), ActionCLIP(**SIZES, fusion="Transf"))
    assert "Give" not in str(refused.value)


@pytest.mark.parametrize("fusion", ["Conv_1D", "Transf_cls"])
def test_an_exported_checkpoint_has_the_references_form_and_answers_as_before(tmp_path, fusion):
    net = network(fusion)
    sizes = {**SIZES, "fusion": fusion, "conv_as_reference": fusion == "Conv_1D"}
    content = {"network": "ActionCLIP", "sizes": sizes, "text_detector": None, "model": net.state_dict()}
    save_checkpoint(own := tmp_path / "own.pth", content)
    export(own, theirs := tmp_path / "theirs.pt")
    content = torch.load(theirs, weights_only=True)
    assert set(content["fusion_model_state_dict"]) >= {"module.frame_position_embeddings.weight"}
    assert set(content["model_state_dict"]) == set(network("meanP").state_dict())
    np.testing.assert_allclose(scores_from(theirs), scores_from(own), atol=1e-6, rtol=0)
    if fusion == "Conv_1D":
        save_checkpoint(own, {"network": "ActionCLIP", "sizes": {**sizes, "conv_as_reference": False},
                              "text_detector": None, "model": net.state_dict()})
        with pytest.raises(UserError, match="Conv_1D goes over time, the reference's over memory in another order"):
            export(own, tmp_path / "other.pt")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_torchscript_archive_is_refused_with_a_script_that_helps(tmp_path, monkeypatch):
    class Holder(nn.Module):
        """Something that can be scripted, with CLIP's tensors in it."""

        def forward(self, x: Tensor) -> Tensor:
            return x

    holder, clip = Holder(), network("meanP")
    for name in ("visual", "transformer", "token_embedding", "ln_final"):
        module = getattr(clip, name)
        module.forward = lambda x: x
        setattr(holder, name, module)
    for name in ("positional_embedding", "text_projection", "logit_scale"):
        setattr(holder, name, getattr(clip, name))
    path = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.trace(holder, torch.zeros(1)), path)
    with pytest.raises(UserError, match="a TorchScript archive, which holds a program") as refused:
        load_checkpoint(path)
    monkeypatch.chdir(tmp_path)
    exec("\n".join(line.strip() for line in str(refused.value).splitlines()[1:]))
    np.testing.assert_allclose(scores_from(tmp_path / "weights.pt"), scores_of(network("meanP")), atol=1e-6, rtol=0)


@pytest.mark.parametrize("damage, words", [
    ({"visual.conv1.weight": torch.zeros(64, 3)}, r"visual.conv1.weight: shape \(64, 3\), expected a tensor of 4 dim"),
    ({"visual.positional_embedding": None}, "visual.positional_embedding: missing, .* is a vision transformer"),
    ({"fusion.shift.weight": torch.zeros(5)}, r"fusion.shift.weight: shape \(5,\), the network expects \(32, 1, 3\)"),
    ({"ln_final.weight": torch.full((64,), math.nan)}, "ln_final.weight: 64 of 64 values are NaN"),
    ({"visual.proj": torch.zeros(64, 48)}, r"visual.proj: shape \(64, 48\), the network expects \(64, 32\)"),
])
def test_damaged_weights_are_named(tmp_path, damage, words):
    weights = {name: value for name, value in {**network("meanP").state_dict(), **damage}.items() if value is not None}
    with pytest.raises(UserError, match=words):
        Predictor(saved(tmp_path / "clip.pt", weights), gpus="cpu")


# ---------------------------------------------------------------- from random weights


def test_a_training_from_scratch_begins_with_places_as_large_as_the_difference_between_frames():
    torch.manual_seed(0)
    net, video = ActionCLIP(**SIZES), random_video()

    def sizes() -> tuple[float, float]:
        """(places, what tells the frames of a clip apart)"""
        frames = net.frame_features(net.pixels(video)).detach()
        return net.fusion.frame_position_embeddings.weight.std().item(), (frames - frames.mean(1, True)).std().item()

    places, frames = sizes()
    assert places < frames / 3
    start(net, "none")
    places, frames = sizes()
    assert frames / 3 < places < 3 * frames


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_network_of_any_fusion_starts_from_scratch(fusion):
    net = ActionCLIP(**SIZES, fusion=fusion)
    assert start(net, "none") == ["begins with random weights"]
    assert net.video_features(random_video()).isfinite().all()
