"""AVTDist: where it looks, what it says when something is missing, and how sure it claims to be."""

import csv

import numpy as np
import pytest
import torch
from conftest import make_processed

import avt_dist_main
from datatools.clips import unlabelled_clips
from datatools.dataset import ClipDataset, kind_number
from datatools.errors import UserError
from datatools.submission import read_submission
from models.avt_dist import AVTDist, FrameSteps, bell, distribution_loss, expected_seconds, places, varies, weight_near
from models.clip_facts import inside, layout, novelty, relative, returns, rhythm, scenes
from utils.boundary import calibrate
from utils.checkpoint import save_checkpoint
from utils.networks import build_network
from utils.predict import Predictor

pytestmark = pytest.mark.usefixtures("no_pictures")

SMALL = {"channels": 16, "frame_channels": (4, 8), "text_channels": (4, 8), "sound_channels": 8, "dilations": (1, 2)}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return {
        "mfcc": torch.randn(2, 20, 8616, generator=generator),
        "frames": torch.randint(0, 256, (2, 200, 66, 88, 3), generator=generator, dtype=torch.uint8),
        "text_roi": torch.randint(0, 2, (2, 200, 27, 36), generator=generator, dtype=torch.uint8),
    }


def small_net(**more) -> AVTDist:
    torch.manual_seed(1)
    return AVTDist(**SMALL, **more).eval()


def test_outputs_are_weights_of_seconds_and_of_quarters(batch):
    outputs = small_net()(**batch)
    assert outputs["steps"].shape == (2, 1, 200) and outputs["quarters"].shape == (2, 800)
    seconds = AVTDist.seconds(outputs)
    assert seconds.shape == (2,) and ((seconds >= 0) & (seconds <= 200)).all()


@pytest.mark.parametrize("name, values", [("mfcc", (0.0, -300.0)), ("frames", (0, 128)), ("text_roi", (0, 1))])
def test_what_is_the_same_throughout_counts_as_missing_whatever_its_value(batch, name, values):
    net = small_net()
    with torch.inference_mode():
        full = net(**batch)["quarters"]
        found = [net(**{**batch, name: torch.full_like(batch[name], value)})["quarters"] for value in values]
    torch.testing.assert_close(found[0], found[1])
    assert not torch.allclose(found[0], full)


def test_another_loudness_and_other_colours_of_a_whole_clip_change_little(batch):
    net = small_net()
    dim = batch["frames"] // 2
    with torch.inference_mode():
        one = net(**batch)["quarters"]
        quieter = net(**{**batch, "mfcc": batch["mfcc"] * 0.5 - 40})["quarters"]
        darker = net(**{**batch, "frames": dim})["quarters"]
        other = net(**{**batch, "mfcc": batch["mfcc"].flip(2)})["quarters"]
    spread = (one - other).abs().mean()
    assert (one - quieter).abs().mean() < 0.02 * spread
    assert (one - darker).abs().mean() < 0.5 * spread


def test_the_answer_is_the_mean_around_the_heaviest_place_not_of_the_whole_clip():
    quarters = torch.full((1, 800), -30.0)
    quarters[0, 400:402] = 2.0                       # 100.0 to 100.5 s
    quarters[0, 700] = 2.2                           # one heavier quarter, but lighter than the two together
    assert expected_seconds(quarters).item() == pytest.approx(100.25, abs=1e-3)
    quarters[0, 700] = 5.0
    assert expected_seconds(quarters).item() == pytest.approx(175.125, abs=1e-3)


@pytest.mark.parametrize("index", [0, 799])
def test_the_answer_may_lie_at_either_end_of_the_clip(index):
    quarters = torch.full((1, 800), -30.0)
    quarters[0, index] = 0
    assert expected_seconds(quarters).item() == pytest.approx((index + 0.5) / 4, abs=1e-3)


def test_the_loss_is_least_where_the_weights_are_the_bell():
    seconds = torch.tensor([57.3])
    steps, quarters = torch.zeros(1, 200), torch.zeros(1, 800)

    def loss(at: float) -> float:
        outputs = {"steps": bell(torch.tensor([at]), steps, 0.8).log().clamp(min=-50)[:, None],
                   "quarters": bell(torch.tensor([at]), quarters, 0.25).log().clamp(min=-50)}
        return distribution_loss(outputs, seconds).item()

    assert loss(57.3) < min(loss(56.8), loss(57.8)) < loss(70.0) < loss(150.0)


def test_places_are_the_middles_of_equal_parts():
    assert places(torch.zeros(1, 800))[:2].tolist() == [0.125, 0.375]
    assert places(torch.zeros(1, 200))[-1].item() == 199.5


def test_relative_features_do_not_hang_on_scale_offset_or_padding():
    x = torch.randn(1, 3, 50)
    valid = torch.ones(1, 1, 50)
    valid[..., 40:] = 0
    found = relative(x, valid)
    torch.testing.assert_close(relative((7 * x + 30) * valid, valid), found, atol=2e-3, rtol=0)
    assert (found[..., 40:] == 0).all()
    assert found[..., :40].mean().abs() < 1e-6 and found[..., :40].std() == pytest.approx(1, abs=0.05)


def test_novelty_is_highest_where_something_new_begins():
    x = torch.zeros(1, 4, 100)
    x[..., 60:] = 1
    found = novelty(x)[0]                            # (4, 100)
    assert (found.argmax(1) == 60).all() and found.amax() == pytest.approx(1, abs=0.01)
    assert found[0, 58] < 0.02 and found[1, 58] > 0.1      # the wider reach sees it coming


def test_a_steady_beat_stands_out_of_the_modulation_spectrum_and_noise_does_not():
    time = torch.arange(8616) * 512 / 22_050
    noise = torch.randn(1, 20, 8616, generator=torch.Generator().manual_seed(0))
    beat = noise + 3 * ((time % 0.5) < 0.1).float()                    # two strokes a second
    told, other = rhythm(beat)[0], rhythm(noise)[0]
    assert told.shape == (27, 200)
    for group in range(3):
        peak = 9 * group + 8
        assert told[peak, 10:190].min() > other[peak, 10:190].max() + 0.3
        assert told[9 * group + 2, 100] > other[9 * group + 2, 100] + 0.5          # 1.25 to 2 Hz and its edge


def test_an_answer_of_two_thirds_of_the_modalities_stands_against_one_that_is_misled():
    net = small_net()
    peaks = {(1, 1, 1): 300, (0, 1, 1): 500, (1, 0, 1): 500, (1, 1, 0): 300}

    def weigh(_, present):
        quarters = torch.full((1, 800), -20.0)
        quarters[0, peaks[tuple(present[0].int().tolist())]] = 0
        return {"quarters": quarters}

    net.weigh = weigh
    weights = net.agree([], torch.ones(1, 3))["quarters"].exp()[0]
    assert weights[300].item() == pytest.approx(0.6, abs=0.01) and weights[500].item() == pytest.approx(0.4, abs=0.01)


def test_varies_tells_clips_with_nothing_in_them():
    x = torch.zeros(3, 4, 5)
    x[1, 2, 3] = 1
    x[2] = 7
    assert varies(x).tolist() == [0, 1, 0]


def test_in_training_each_clip_counts_whole_with_one_modality_left_out_and_with_one_alone(batch):
    net = small_net(modality_dropout=0.4)
    batch["text_roi"][1] = 0
    assert net.train()(**batch)["steps"].shape == (2, 3, 200)
    net.eval()                                                        # no chance but that of the views
    present = torch.tensor([[1.0, 1, 1], [1, 1, 0]])
    counted, weigh = [], net.weigh
    with torch.inference_mode():
        parts = net.look(net.facts(**batch, encoded={}), torch.zeros(2, dtype=torch.long))
        net.weigh = lambda parts, present: counted.append(present) or weigh(parts, present)
        for _ in range(20):
            outputs = net.views(parts, present)
        counted = torch.stack(counted).unflatten(1, (3, 2))                           # (20, 3, 2, 3)
        for view in range(3):
            for clip in range(2):
                alone = weigh([part[clip:clip + 1] for part in parts], counted[-1, view, clip][None])
                torch.testing.assert_close(outputs["steps"][clip, view], alone["steps"][0, 0])
                torch.testing.assert_close(outputs["quarters"][clip, view], alone["quarters"][0])
    assert outputs["shares"].flatten().tolist() == pytest.approx([0.6, 0.2, 0.2] * 2)
    assert (counted[:, 0] == present).all()
    assert (counted[:, 1, 0].sum(1) == 2).all() and (counted[:, 2, 0].sum(1) == 1).all()
    assert (counted[:, :, 1, 2] == 0).all() and (counted.sum(3) >= 1).all()           # what is missing stays so
    assert len(counted[:, 1, 0].unique(dim=0)) == len(counted[:, 2, 0].unique(dim=0)) == 3


def test_the_loss_counts_each_view_by_its_share():
    seconds = torch.tensor([57.3, 120.0])
    generator = torch.Generator().manual_seed(0)
    steps, quarters = (torch.randn(2, 2, n, generator=generator) for n in (200, 800))
    each = [distribution_loss({"steps": steps[:, i:i + 1], "quarters": quarters[:, i]}, seconds) for i in range(2)]
    shares = torch.tensor([[0.75, 0.25]] * 2)
    both = distribution_loss({"steps": steps, "quarters": quarters, "shares": shares}, seconds)
    torch.testing.assert_close(both, 0.75 * each[0] + 0.25 * each[1])


def test_outputs_in_training_go_by_clips_as_dataparallel_joins_them(batch):
    net = small_net(modality_dropout=0.4).train()
    parts = [net(**{name: value[i:i + 1] for name, value in batch.items()}) for i in range(2)]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    seconds = torch.tensor([57.3, 120.0])
    each = [distribution_loss(part, seconds[i:i + 1]) for i, part in enumerate(parts)]
    torch.testing.assert_close(distribution_loss(joined, seconds), (each[0] + each[1]) / 2)


# ---------------------------------------------------------------- members


def by_member(net: AVTDist, of_net: dict) -> list[dict]:
    """{name: value} of a network's tensors, for each of its members, by the names of a network of one member."""
    names = [name for name in of_net if not name.startswith("others.")]
    return [{name: of_net[prefix + name] for name in names}
            for prefix in ("", *(f"others.{index}." for index in range(len(net.others))))]


def test_a_network_of_one_member_has_the_names_and_the_start_that_the_first_of_several_has():
    one, several = small_net().state_dict(), small_net(members=3)
    assert not [name for name in one if "others" in name]
    first, second, third = by_member(several, several.state_dict())
    assert len(several.state_dict()) == 3 * len(one)
    for name, weight in one.items():
        torch.testing.assert_close(first[name], weight, rtol=0, atol=0)
    assert not torch.equal(first["join.weight"], second["join.weight"])
    assert not torch.equal(second["join.weight"], third["join.weight"])


def test_in_training_every_members_views_count_alike_and_every_member_learns(batch):
    net = small_net(members=2, modality_dropout=0.4).train()
    outputs = net(**batch)
    assert outputs["steps"].shape == (2, 6, 200) and outputs["quarters"].shape == (2, 6, 800)
    assert outputs["shares"].flatten().tolist() == pytest.approx([0.3, 0.1, 0.1] * 4)
    seconds = torch.tensor([57.3, 120.0])
    halves = [{name: value[:, half] for name, value in outputs.items()} for half in (slice(3), slice(3, 6))]
    loss = distribution_loss(outputs, seconds)
    torch.testing.assert_close(loss, sum(distribution_loss(half, seconds) for half in halves))
    loss.backward()
    for member in by_member(net, {name: weight.grad for name, weight in net.named_parameters()}):
        assert all(gradient is not None for gradient in member.values())
        assert member["step_head.weight"].abs().sum() > 0 and member["sound_net.join.weight"].abs().sum() > 0


def test_members_answer_by_the_mean_of_their_probabilities_also_from_a_checkpoint(batch, tmp_path):
    net = small_net(members=3)
    net.interval_scale.fill_(2.0)
    batch["kind"] = torch.tensor([1, 2])
    alone = [small_net() for _ in range(3)]
    for one, weights in zip(alone, by_member(net, net.state_dict()), strict=True):
        one.load_state_dict(weights)
    with torch.inference_mode():
        together, each = net(**batch), [one(**batch) for one in alone]
    for name, along in (("steps", 2), ("quarters", 1)):
        mean = sum(outputs[name].softmax(along) for outputs in each) / 3
        torch.testing.assert_close(together[name].softmax(along), mean, rtol=1e-3, atol=1e-7)
        assert not torch.allclose(mean, each[0][name].softmax(along), rtol=0.01)
    save_checkpoint(tmp_path / "members.pth", {"network": "AVTDist", "sizes": {**SMALL, "members": 3},
                                               "text_detector": None, "model": net.state_dict()})
    predictor = Predictor(tmp_path / "members.pth", gpus="cpu")
    torch.testing.assert_close(predictor(batch)["seconds"], AVTDist.seconds(together), rtol=0, atol=0.01)
    torch.testing.assert_close(predictor.quarters(batch), together["quarters"].softmax(1), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("members", [0, 33, 1.5])
def test_a_senseless_number_of_members_is_refused(members):
    with pytest.raises(UserError, match=rf"cannot be built so \(members {members}: expected a whole number from 1"):
        build_network(AVTDist, {**SMALL, "members": members})


# ---------------------------------------------------------------- hand-made features, certainty


def moving_pictures() -> torch.Tensor:
    """A clip that shows one picture in its first 60 s and its last 40 s, and between them one of its own each 4 s."""
    pictures = torch.randint(0, 256, (26, 6, 8, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    which = torch.tensor([0] * 60 + [1 + i // 4 for i in range(100)] + [0] * 40)
    return pictures.repeat_interleave(11, 1).repeat_interleave(11, 2)[which][None]


def test_scenes_tell_shots_that_come_back_from_those_that_come_once():
    frames = moving_pictures()
    scaled, small = FrameSteps.relative_colours(frames)
    told = scenes(scaled.unflatten(0, (1, 200)), small, inside(frames))
    assert told.shape == (1, 18, 200)
    cuts = [i for i in range(1, 200) if not torch.equal(frames[0, i], frames[0, i - 1])]
    for first in (6, 12):       # by small pictures, and by colours
        step, ahead, *likest = told[0, first:first + 6]
        assert sorted(step.topk(len(cuts)).indices.tolist()) == cuts
        assert sorted((ahead.topk(len(cuts)).indices + 1).tolist()) == cuts
        for found in likest:       # back and on, within 20 s and 80 s
            assert found[70:140].min() > found[24:36].max() + 1


def test_black_seconds_at_the_ends_alone_lie_outside_the_clip():
    frames = moving_pictures()
    frames[0, :20], frames[0, 100:103], frames[0, 195:] = 0, 0, 0
    valid = inside(frames)[0, 0]
    assert valid.nonzero().flatten().tolist() == list(range(20, 195))
    distance = torch.rand(1, 200, 200)
    distance[:, :20], distance[:, :, :20] = 0, 0        # black is like black; that is no return of a shot
    assert all((found[0, 20:] > 0).all() for found in returns(distance, valid[None, None]))


def test_layout_tells_where_text_stands_and_when_it_changes():
    masks = torch.zeros(1, 200, 27, 36, dtype=torch.uint8)
    masks[0, 50:80, 20:24, 14:22] = 1
    told = layout(masks)[0]                             # (16, 200)
    assert told.shape == (16, 200)
    bottom = 7                                          # the middle one of the lowest three
    assert told[bottom, 50:80].min() > told[bottom, :50].max() + 1
    assert (told[[0, 1, 2, 3, 4, 5, 6, 8]].abs() < 1e-3).all()
    assert sorted(told[10].topk(2).indices.tolist()) == [50, 80]
    assert sorted(told[11].topk(2).indices.tolist()) == [49, 79]


def test_explain_tells_an_interval_a_confidence_and_what_each_modality_says_alone(batch):
    net = small_net()
    net.interval_scale.fill_(2.0)
    batch["text_roi"][1] = 0
    with torch.inference_mode():
        told = net.explain(**batch, kind=torch.zeros(2, dtype=torch.long))
        empty = {name: torch.zeros_like(batch[name]) for name in ("frames", "text_roi")}
        alone = AVTDist.seconds(net(batch["mfcc"], **empty))
        answer = AVTDist.seconds(net(**batch))
    assert list(told) == ["seconds", "low", "high", "confidence", "sound", "frames", "text"]
    torch.testing.assert_close(told["seconds"], answer)
    assert (told["low"] <= answer).all() and (answer <= told["high"]).all()
    torch.testing.assert_close(told["sound"], alone)
    assert torch.isnan(told["text"]).tolist() == [False, True]
    assert ((told["confidence"] > 0) & (told["confidence"] <= 1)).all()


def test_the_question_is_heard_and_may_be_withheld(batch):
    net = small_net()
    with torch.inference_mode():
        found = [net(**batch, kind=torch.full((2,), kind))["quarters"] for kind in range(3)]
        withheld = net(**batch)["quarters"]
    torch.testing.assert_close(withheld, found[0])
    assert not torch.allclose(found[1], found[2]) and not torch.allclose(found[1], found[0])


def test_confidence_is_the_weight_within_a_second():
    quarters = torch.full((1, 800), -30.0)
    quarters[0, [400, 404, 600]] = torch.tensor([0.5, 0.3, 0.2]).log()
    assert weight_near({"quarters": quarters}, torch.tensor([100.125])).item() == pytest.approx(0.8, abs=1e-3)


def test_calibrated_intervals_hold_nine_of_ten_of_other_clips_too():
    rng = np.random.default_rng(0)
    spreads = rng.uniform(0.3, 5, 400)
    errors = spreads * rng.standard_normal(400)
    net = small_net()
    calibrate(net, errors[:200], spreads[:200], np.zeros(200))
    inside = np.abs(errors[200:]) <= net.interval_scale.item() * spreads[200:]
    assert 0.85 < inside.mean() < 0.95


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(flags, processed data, save_prefix) of a small AVTDist after two epochs."""
    root = tmp_path_factory.mktemp("dist")
    processed = make_processed(root / "processed", train=14, test=3)
    preset = root / "tiny.yaml"
    preset.write_text("pretrained: none\ngpus: cpu\nmax_epoch: 2\nbatch_size: 4\nnum_workers: 0\nshift: 10\nvary: 0.3\n"
                      "damage: 0.5\ntrain_folders: [data_A/train]\nlabel_files: [data_A/train/必选数据.txt]\nnetwork:\n"
                      + "".join(f"  {k}: {list(v) if isinstance(v, tuple) else v}\n" for k, v in SMALL.items()),
                      encoding="utf-8")
    argv = ["--preset", str(preset), "--data_root", str(processed), "--save_prefix", str(root / "run")]
    assert avt_dist_main.main(argv) == 0
    return argv, processed, root / "run"


def read_rows(path) -> dict[str, dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_inference_writes_what_is_known_about_each_answer_beside_the_submission(trained):
    argv, _, run = trained
    assert avt_dist_main.main([*argv, "--weights", str(run / "avnet_bestmodel.pth")]) == 0
    submission = read_submission(run / "submission.csv")
    answers = {name.removesuffix(".mp4"): seconds for (name, _), seconds in submission.items()}
    rows = read_rows(run / "predictions.csv")
    assert rows.keys() == answers.keys()
    for name, row in rows.items():
        assert float(row["seconds"]) == pytest.approx(answers[name], abs=1e-3)
        assert float(row["low"]) <= float(row["seconds"]) <= float(row["high"])


def test_an_input_that_is_left_out_needs_no_files(trained, tmp_path):
    argv, processed, run = trained
    for path in (processed / "data_C").glob("*_frames.npy"):
        path.rename(tmp_path / path.name)
    words = [*argv, "--weights", str(run / "avnet_bestmodel.pth"), "--output"]
    try:
        with pytest.raises(UserError, match="test0000_start_frames.npy: missing"):
            avt_dist_main.main([*words, str(tmp_path / "no.csv")])
        assert avt_dist_main.main([*words, str(tmp_path / "blind.csv"), "--without", "frames"]) == 0
    finally:
        for path in tmp_path.glob("*_frames.npy"):
            path.rename(processed / "data_C" / path.name)
    rows = read_rows(tmp_path / "blind_predictions.csv")
    assert all(row["frames"] == "" and row["sound"] for row in rows.values())
    assert not (tmp_path / "no.csv").exists()


def test_clips_carry_the_question_that_their_name_asks(trained):
    _, processed, _ = trained
    clips = unlabelled_clips(processed, "data_C")
    for without, expected in (((), [1, 2]), (("kind",), [0, 0])):
        batch = ClipDataset(processed, clips, AVTDist.inputs, without).batch([0, 1])
        assert batch["kind"].tolist() == expected
    assert kind_number("A1-end") == 0


def test_a_network_without_any_input_is_refused(trained):
    argv, _, run = trained
    with pytest.raises(UserError, match="--without mfcc frames text_roi: no input is left"):
        avt_dist_main.main([*argv, "--weights", str(run / "avnet_bestmodel.pth"), "--without", "mfcc", "frames",
                            "text_roi"])


def test_a_training_without_an_input_cannot_be_resumed_with_it(trained, tmp_path):
    argv, _, _ = trained
    argv = [*argv[:-1], str(tmp_path / "run"), "--max_epoch", "1"]
    assert avt_dist_main.main([*argv, "--without", "text_roi"]) == 0
    with pytest.raises(UserError, match=r"--without: \['text_roi'\] then, \[\] now"):
        avt_dist_main.main([*argv, "--resume", "auto"])
