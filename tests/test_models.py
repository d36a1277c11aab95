"""The networks' shapes, sizes and rules, and the losses, on numbers worked out by hand."""

import pytest
import torch
from conftest import TINY
from torch import nn

from models import layers
from models.avtnet import AVTNet, AVTNetNormalized, TimeHead, weigh_steps
from models.avtnet_yolt import AVTNetYOLT
from models.gru import bidirectional_gru
from models.layers import BiGRU, FrameInput, SqueezeExcite
from models.losses import cell_of, regression_loss, yolt_loss
from utils.boundary import step_loss

NETWORKS = [AVTNet, AVTNetNormalized, AVTNetYOLT]


def random_batch(size: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "mfcc": torch.randn(size, 20, 8616, generator=generator),
        "frames": torch.randint(0, 256, (size, 200, 66, 88, 3), generator=generator, dtype=torch.uint8),
        "text_roi": (torch.rand(size, 200, 27, 36, generator=generator) < 0.1).to(torch.uint8),
    }


# Counted from the reference's tensors, without the running statistics and the four convolutions that take part in
# nothing.
@pytest.mark.parametrize("network, parameters", [
    (AVTNet, 81_163_866), (AVTNetNormalized, 85_356_122), (AVTNetYOLT, 81_167_974)])
def test_default_sizes_are_the_references(network, parameters):
    with torch.device("meta"):
        net = network()
    assert net.channels == 4096
    assert net.audio_net.gru.hidden_size == net.video_net.gru.hidden_size == 1024
    assert net.video_net.gru.input_size == 640
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_a_share_of_the_clip_is_answered_in_seconds_even_where_it_was_told_in_half_precision():
    out = torch.tensor([[0.25], [0.50390625]], dtype=torch.bfloat16)
    seconds = AVTNet.seconds({"out": out})
    assert seconds.dtype == torch.float32 and seconds.tolist() == [50.0, 100.78125]   # bfloat16 would say 101


@pytest.mark.parametrize("network", NETWORKS)
def test_a_clips_answer_does_not_depend_on_its_batch(network):
    torch.manual_seed(0)
    net = network(**TINY).eval()
    batch = random_batch(3)
    together = net.seconds(net(**batch))
    alone = torch.cat([net.seconds(net(**{k: v[i : i + 1] for k, v in batch.items()})) for i in range(3)])
    torch.testing.assert_close(alone, together, atol=1e-3, rtol=0)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_parameter_of_a_network_learns(network):
    torch.manual_seed(0)
    net = network(**TINY).train()
    outputs = net(**random_batch(4))
    seconds = (net.seconds(outputs).detach() + 1).clamp(0, 199)   # in most cases in the cell that was answered
    loss = yolt_loss if network is AVTNetYOLT else regression_loss
    loss(outputs, seconds).backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None]
    assert not idle


def test_frames_are_standardised_only_where_the_network_says_so():
    frames = torch.full((1, 2, 2, 3), 255, dtype=torch.uint8)
    assert FrameInput(False)(frames).unique().tolist() == [1.0]
    red, green, blue = FrameInput(True)(frames)[0, :, 0, 0].tolist()
    assert red == pytest.approx((1 - 0.485) / 0.229)
    assert green == pytest.approx((1 - 0.456) / 0.224)
    assert blue == pytest.approx((1 - 0.406) / 0.225)
    assert AVTNetNormalized(**TINY).video_net.input.standardise
    assert not AVTNet(**TINY).video_net.input.standardise


def test_cells_are_ten_seconds_and_the_end_belongs_to_the_last():
    assert cell_of(torch.tensor([0.0, 0.049, 0.05, 0.999, 1.0])).tolist() == [0, 0, 1, 19, 19]


def test_yolt_answers_with_the_fine_place_in_the_coarse_cell():
    outputs = {"coarse": torch.tensor([[0.52], [1.0]]), "fine": torch.tensor([[0.25], [0.5]])}
    # 0.52 is cell 10: (10 + 0.25) x 10 s; 1.0 is cell 19: (19 + 0.5) x 10 s.
    assert AVTNetYOLT.seconds(outputs).tolist() == pytest.approx([102.5, 195.0])


def test_yolt_loss_counts_the_fine_part_only_where_the_cell_is_right():
    seconds = torch.tensor([103.0, 55.0])
    outputs = {"coarse": torch.tensor([[0.52], [0.9]]), "fine": torch.tensor([[0.5], [0.0]])}
    # Coarse: |104 - 103| and |180 - 55|, mean 63. Fine, first clip alone: |10 x 0.5 - 3| = 2.
    assert yolt_loss(outputs, seconds).item() == pytest.approx(65.0, abs=1e-4)
    outputs["coarse"] = torch.tensor([[0.1], [0.9]])
    assert yolt_loss(outputs, seconds).item() == pytest.approx((83 + 125) / 2, abs=1e-4)


def test_regression_loss_is_smooth_l1_in_seconds():
    # Errors 0.5 s and 10 s: 0.5 x 0.25 = 0.125 and 10 - 0.5 = 9.5.
    outputs = {"out": torch.tensor([[0.5025], [0.25]])}
    assert regression_loss(outputs, torch.tensor([100.0, 40.0])).item() == pytest.approx((0.125 + 9.5) / 2, abs=1e-4)


def test_step_loss_is_smallest_where_the_evidence_is_a_bell_around_the_boundary():
    centres = torch.arange(200) + 0.5
    bell = -(((centres - 70.3) / 1.5) ** 2) / 2
    right = step_loss({"steps": bell.view(1, 1, 200)}, torch.tensor([70.3])).item()
    # The entropy of a bell of 1.5 s: log(1.5 x sqrt(2 pi e)).
    assert right == pytest.approx(1.8244, abs=1e-3)
    assert step_loss({"steps": bell.roll(5).view(1, 1, 200)}, torch.tensor([70.3])).item() > right + 1
    two = torch.stack([bell, torch.zeros(200)])[None]                      # the mean over the branches
    flat = step_loss({"steps": torch.zeros(1, 1, 200)}, torch.tensor([70.3])).item()
    assert flat == pytest.approx(5.2983, abs=1e-3)                         # log 200
    assert step_loss({"steps": two}, torch.tensor([70.3])).item() == pytest.approx((right + flat) / 2, abs=1e-4)


def test_a_head_that_starts_as_a_clock_reads_a_place_out_as_its_time():
    evidence = torch.eye(200)                         # one clip a second: evidence at that second alone
    seconds = torch.arange(200) + 0.5
    off = (200 * TimeHead(reads_time=True)(evidence).squeeze(1) - seconds).abs()
    assert off.mean() < 0.5 and off.max() < 4         # the ends of a sigmoid are its worst
    torch.manual_seed(0)
    assert (200 * TimeHead()(evidence).squeeze(1) - seconds).abs().mean() > 20


def test_sharp_networks_start_by_reading_the_place_within_a_cell():
    net = NETWORKS[2](sharpness=2.0, **TINY)
    answers = net.cell_head(torch.eye(10)).sigmoid().squeeze(1)
    torch.testing.assert_close(answers, (torch.arange(10) + 0.5) / 10)


def test_under_softmax_a_faint_boundary_reads_out_as_a_plain_one():
    bell = -(((torch.arange(200) - 150) / 2.0) ** 2)
    plain, faint = bell + 12, bell + 3
    assert torch.allclose(weigh_steps(plain, 1.0), weigh_steps(faint, 1.0))
    assert weigh_steps(plain, 1.0).sum().item() == pytest.approx(1)
    assert weigh_steps(plain, 3.0).max() > weigh_steps(plain, 1.0).max()
    assert weigh_steps(plain, 0.0).sum() > 2 * weigh_steps(faint, 0.0).sum()
    torch.testing.assert_close(weigh_steps(plain, 0.0), torch.nn.functional.mish(plain))


@pytest.mark.parametrize("network, heads", [
    (AVTNet, ["step_head"]), (AVTNetNormalized, ["step_head.2"]), (AVTNetYOLT, ["coarse_head", "fine_head"])])
@pytest.mark.parametrize("sharpness", [0.0, 2.0])
def test_evidence_that_is_higher_everywhere_is_the_same_answer_under_sharpness_alone(network, heads, sharpness):
    torch.manual_seed(0)
    net, batch = network(sharpness=sharpness, **TINY).eval(), random_batch(1)
    found = []
    with torch.inference_mode():
        for _ in range(2):
            found.append({name: value for name, value in net(**batch).items() if name != "steps"})
            for head in heads:
                net.get_submodule(head).bias += 3
    same = [torch.allclose(found[0][name], found[1][name], atol=1e-6) for name in found[0]]
    assert same == [sharpness > 0] * len(heads)


@pytest.mark.parametrize("normalise", [True, False])
def test_all_clips_with_other_mfcc_scales_sound_the_same_where_they_are_normalised(normalise):
    torch.manual_seed(0)
    net = AVTNet(normalise_mfcc=normalise, **TINY).audio_net.train()
    mfcc = random_batch(2)["mfcc"]
    scales = torch.linspace(1, 30, 20)[:, None]
    heard = []
    for each in (mfcc, scales * mfcc - 200):
        torch.manual_seed(1)     # of the dropout
        heard.append(net(each))
    assert torch.allclose(*heard, atol=1e-2) == normalise


def test_feature_dropout_takes_a_feature_from_the_whole_clip_in_training_alone():
    torch.manual_seed(0)
    net, batch = AVTNet(feature_dropout=0.5, **TINY), random_batch(2)
    with torch.inference_mode():
        seen, whole = net.train().fuse(**batch), net.eval().fuse(**batch)
    gone = (seen == 0).all(2)                                          # (2, 32)
    assert 0.25 < gone.float().mean() < 0.75 and not torch.equal(gone[0], gone[1])
    assert (seen[~gone] != 0).all() and (whole != 0).all()


@pytest.mark.parametrize("precision, tolerance", [(torch.float32, 1e-6), (torch.bfloat16, 0.01)])
def test_the_fast_gru_is_torchs_gru_outputs_and_gradients_alike(precision, tolerance):
    torch.manual_seed(0)
    net = BiGRU(12, 16, dropout=0.0)
    x, weight = torch.randn(3, 23, 12, requires_grad=True), torch.randn(3, 23, 32)
    results = []
    for forward in (lambda: torch.nn.GRU.forward(net, x)[0], lambda: bidirectional_gru(x, net, precision)):
        net.zero_grad()
        x.grad = None
        out = forward()
        (out * weight).sum().backward()
        results.append([out.detach(), x.grad.clone(), *(p.grad.clone() for p in net.parameters())])
    for expected, found in zip(*results, strict=True):
        assert (found - expected).norm() <= tolerance * expected.norm()


def test_a_float32_training_takes_the_fast_gru_only_where_it_is_asked_for(monkeypatch):
    calls = []
    monkeypatch.setattr(layers, "bidirectional_gru", lambda *given: calls.append(given[2]) or bidirectional_gru(*given))
    net, x = BiGRU(4, 3), torch.randn(2, 5, 4)
    net.train()(x)
    assert not calls
    net.fast_on_cpu = True
    net.train()(x)
    net.eval()(x)
    assert calls == [torch.float32]
    with torch.autocast("cpu", torch.bfloat16):
        net.eval()(x)
    assert calls == [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("switch, gone", [("recurrent", nn.GRU), ("squeeze_excite", SqueezeExcite)])
@pytest.mark.parametrize("network", [AVTNet, AVTNetNormalized, AVTNetYOLT])
def test_a_part_that_is_switched_off_is_not_there_and_the_answer_keeps_its_form(network, switch, gone):
    whole, without = network(**TINY), network(**TINY, **{switch: False})
    assert any(isinstance(part, gone) for part in whole.modules())
    assert not any(isinstance(part, gone) for part in without.modules())
    shapes = [{name: value.shape for name, value in net(**random_batch()).items()} for net in (whole, without)]
    assert shapes[0] == shapes[1]
