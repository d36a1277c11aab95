"""The reference system's numbers, checkpoints and files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recipe import recipe_batch, reference_weights
from test_training import flags

import avt_main
import avt_normal_main
import avt_yolt_main
from datatools.errors import UserError
from datatools.scores import competition_score
from datatools.submission import read_submission
from models.avtnet import AVTNet, AVTNetNormalized
from models.avtnet_reference import UNUSED
from models.avtnet_yolt import AVTNetYOLT
from models.losses import regression_loss, yolt_loss
from utils.checkpoint import export, load_checkpoint, load_weights

pytestmark = pytest.mark.usefixtures("no_pictures")

GOLDEN = np.load(Path(__file__).with_name("golden_avtnet.npz"))
# reference's name: (our network, its loss, {golden array: our output}, its script)
NETWORKS = {
    "AVTNet": (AVTNet, regression_loss, {"out": "out"}, avt_main),
    "AVTNet2": (AVTNetNormalized, regression_loss, {"out": "out"}, avt_normal_main),
    "AVTNet_YOLT": (AVTNetYOLT, yolt_loss, {"coarse": "coarse", "fine": "fine"}, avt_yolt_main),
}


@pytest.fixture(scope="module")
def batch():
    return recipe_batch()


@pytest.fixture(scope="module", params=NETWORKS)
def reference_file(request, tmp_path_factory):
    """(reference's name, a checkpoint of it as the reference writes its best: {'model'}, keys behind `module.`)."""
    path = tmp_path_factory.mktemp("reference") / f"{request.param}.pth"
    weights = reference_weights(NETWORKS[request.param][0])
    torch.save({"model": {f"module.{name}": value for name, value in weights.items()}}, path)
    yield request.param, path
    path.unlink()


@torch.inference_mode()
def test_golden_numbers(reference_file, batch):
    name, path = reference_file
    network, loss, outputs, _ = NETWORKS[name]
    net = network().eval()
    load_weights(path, net, load_checkpoint(path)["model"])
    video = net.video_net(batch["frames"], batch["text_roi"]).numpy()
    audio = net.audio_net(batch["mfcc"]).numpy()
    # The golden features are 16 of 2048 channels and 10 of 200 steps.
    for feature, golden in ((video, "video_feature"), (audio, "audio_feature")):
        golden = GOLDEN[f"{name}.{golden}"]
        assert np.abs(feature[:, ::128, ::20] - golden).max() <= 1e-4 * np.abs(golden).max()
    found = net(**{k: batch[k] for k in net.inputs})
    for golden, output in outputs.items():
        np.testing.assert_allclose(found[output].numpy(), GOLDEN[f"{name}.{golden}"], rtol=1e-4)
    np.testing.assert_allclose(net.seconds(found).numpy(), GOLDEN[f"{name}.seconds"][:, 0], atol=1e-3)
    assert loss(found, batch["seconds"]).item() == pytest.approx(float(GOLDEN[f"{name}.loss"]), rel=1e-5)


def test_golden_losses_and_score():
    coarse, fine, target = (torch.from_numpy(GOLDEN[f"loss.{name}"]) for name in ("coarse", "fine", "target"))
    seconds = 200 * target[:, 0]
    assert regression_loss({"out": coarse}, seconds).item() == pytest.approx(float(GOLDEN["loss.smooth_l1"]), rel=1e-5)
    loss = yolt_loss({"coarse": coarse, "fine": fine}, seconds).item()
    assert loss == pytest.approx(float(GOLDEN["loss.yolt"]), rel=1e-5)
    score = competition_score(200 * coarse[:, 0], seconds)
    assert score == pytest.approx(float(GOLDEN["loss.score"]), rel=1e-5)


def infer(script, processed, weights, output, *more) -> np.ndarray:
    argv = ["--data_root", processed, "--weights", weights, "--output", output, "--gpus", "cpu", "--num_workers", 0,
            "--batch_size", 1, *more]
    assert script.main(list(map(str, argv))) == 0
    return np.array(list(read_submission(output).values()))


def test_a_reference_checkpoint_infers_by_its_own_script_and_no_other(reference_file, processed, tmp_path):
    name, path = reference_file
    output = tmp_path / "out.csv"
    for other, (_, _, _, script) in NETWORKS.items():
        if other != name:
            with pytest.raises(UserError, match=rf"Use {NETWORKS[name][3].__name__}\.py"):
                infer(script, processed, path, output)
    assert not output.exists()
    answers = infer(NETWORKS[name][3], processed, path, output)
    assert len(answers) == 2 and ((answers > 0) & (answers < 200)).all()


def test_exporting_gives_back_the_references_tensors(reference_file, tmp_path):
    name, path = reference_file
    export(path, tmp_path / "exported.pth")
    before = torch.load(path, weights_only=True)["model"]
    after = torch.load(tmp_path / "exported.pth", weights_only=True)
    assert after.keys() == {"model"}
    assert {f"module.{n}" for n in after["model"]} == before.keys()
    for n, value in after["model"].items():
        assert value.shape == before[f"module.{n}"].shape and value.dtype == before[f"module.{n}"].dtype
        assert UNUSED.match(n) or torch.equal(value, before[f"module.{n}"]), n


def test_the_reference_epoch_files_with_their_schedule_object_are_read(tmp_path):
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    after = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 58)
    with torch.device("meta"):
        weights = {n: torch.zeros(v.shape, dtype=v.dtype) for n, v in AVTNet(hidden=4).state_dict().items()}
    from models.avtnet_reference import to_reference

    content = {"model": to_reference("AVTNet", weights), "epoch": 63, "optimizer": optimizer.state_dict(),
               "scheduler": {"multiplier": 10, "after_scheduler": after, "last_epoch": 63}}
    path = tmp_path / "avnet_epoch63.pth"
    torch.save(content, path)
    assert load_checkpoint(path)["network"] == "AVTNet"


@pytest.mark.parametrize("change, message", [
    (lambda w: w.pop("videoNet.front_end.0.weight"), "missing: video_net.frame_net.conv1.weight"),
    (lambda w: w.update({"audioNet.conv5.weight": torch.zeros(1)}), "unexpected: audioNet.conv5.weight"),
    (lambda w: w.update({"se.fc.0.weight": torch.zeros(3, 3)}), r"se.squeeze.weight: shape \(3, 3\)"),
    (lambda w: w.pop("conv.0.weight"), "no head of theirs"),
])
def test_missing_unexpected_and_misshapen_tensors_are_named(tmp_path, change, message):
    from models.avtnet_reference import to_reference

    net = AVTNet(hidden=4)
    weights = to_reference("AVTNet", net.state_dict())
    change(weights)
    torch.save({"model": weights}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=message):
        load_weights(tmp_path / "weights.pth", net, load_checkpoint(tmp_path / "weights.pth")["model"])


def test_a_small_preset_cannot_be_exported(tmp_path):
    from utils.checkpoint import save_checkpoint

    save_checkpoint(tmp_path / "a.pth", {"network": "AVTNet", "sizes": {"frame_channels": [4, 8]}, "model": {}})
    with pytest.raises(UserError, match="ResNet-18"):
        export(tmp_path / "a.pth", tmp_path / "b.pth")
    assert not (tmp_path / "b.pth").exists()


def test_processed_data_of_the_reference_trains_and_infers_as_it_is(processed, tiny_preset, tmp_path):
    from datatools.clips import unlabelled_clips
    from datatools.dataset import ClipDataset
    from datatools.features import frame_thumbnail
    from datatools.media import save_video

    # Its layout: 1 fps videos instead of _frames.npy, masks as float64, text boxes without a record of the detector.
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (200, 6, 8, 3), dtype=np.uint8).repeat(15, 1).repeat(20, 2)   # 90 x 160
    for path in processed.glob("*/**/*_frames.npy"):
        path.unlink()
        save_video(path.with_name(path.name.replace("_frames.npy", ".mp4")), pictures)
    for path in (processed / "ROIs").iterdir():
        np.save(path, np.load(path).astype(np.float64))
    (processed / "ocr_text_train.json").write_text('{"clip0000_start": {"0": []}}')

    sample = ClipDataset(processed, unlabelled_clips(processed, "data_C"), ("frames", "text_roi")).batch([0])
    assert sample["text_roi"].dtype == torch.uint8 and set(sample["text_roi"].unique().tolist()) == {0, 1}
    expected = frame_thumbnail(pictures[100]).astype(int)
    assert np.abs(sample["frames"][0, 100].numpy() - expected).mean() < 3   # what H.264 leaves of large blocks

    argv = flags(processed, tiny_preset, tmp_path / "run", "--max_epoch", 1)
    assert avt_main.main(argv) == 0
    assert avt_main.main([*argv, "--weights", str(tmp_path / "run/avnet_bestmodel.pth")]) == 0
    assert len(read_submission(tmp_path / "run/submission.csv")) == 2


@pytest.mark.parametrize("seed", range(9))
def test_split_of_the_real_lists_length(seed, tmp_path):
    from datatools.labels import Label, split_labels

    labels = [Label(str(i), 1.0, tmp_path, i) for i in range(3399)]   # 必选数据 and 补充数据 together
    train, val = split_labels(labels, seed)
    # Every 7th of 3,399 is 486 clips; place p of the list rotated by seed % 7 holds label (p + seed % 7) mod 3,399.
    assert [int(label.name) for label in val] == [(p + seed % 7) % 3399 for p in range(0, 3399, 7)]
    assert len(val) == 486 and len(train) == 2913
    assert not {label.name for label in val} & {label.name for label in train}


def test_the_checkpoints_of_a_whole_training(tmp_path):
    from utils.run_folder import checkpoint_names, save_checkpoints

    for epoch in range(64):
        save_checkpoints(tmp_path, {"epoch": epoch, "model": {}}, checkpoint_names(epoch, 64, epoch in (0, 7, 40)), 1)
    # 0.6 x 64 = 38.4, so 39 is the first epoch that is kept.
    names = {f"avnet_epoch{n}.pth" for n in range(39, 64)} | {"avnet_bestmodel.pth", "avnet_last.pth"}
    assert {p.name for p in tmp_path.iterdir()} == names
    assert torch.load(tmp_path / "avnet_bestmodel.pth", weights_only=True)["epoch"] == 40


def test_error_txt_names_clips_off_by_more_than_ten_seconds():
    from utils.boundary import wrong_clips

    truth = {"a_start": 50.0, "b_end": 100.0, "c_end": 120.0}
    found = {"a_start": 60.0, "b_end": 111.5, "c_end": 60.25}
    assert wrong_clips(found, truth) == "c_end 120.000 60.250\nb_end 100.000 111.500\n"
