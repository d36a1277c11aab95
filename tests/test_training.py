"""Training and inference by the entry scripts' own main functions, on tiny networks and random features."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_clip
from engine_helpers import Numbers, Product, new_training, one_epoch

import avt_main
import avt_normal_main
import avt_yolt_main
from datatools.clips import find_processed, unlabelled_clips
from datatools.dataset import ClipDataset, fill_mfcc
from datatools.errors import UserError
from datatools.scores import best_constant, clip_costs, score_table
from datatools.submission import read_submission
from utils.checkpoint import load_checkpoint, load_pretrained
from utils.devices import autocast_dtype
from utils.task import learning_rate_factor

pytestmark = pytest.mark.usefixtures("no_pictures")

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {"avt": avt_main, "avt_normal": avt_normal_main, "avt_yolt": avt_yolt_main}


def flags(processed, preset, prefix, *more) -> list[str]:
    return ["--preset", str(preset), "--data_root", str(processed), "--save_prefix", str(prefix), *map(str, more)]


@pytest.fixture(scope="module")
def trained(shared_processed, tiny_preset, tmp_path_factory):
    """{name: save_prefix} of the three networks, two epochs each."""
    prefixes = {}
    for name, script in SCRIPTS.items():
        prefixes[name] = tmp_path_factory.mktemp("trained") / name
        assert script.main(flags(shared_processed, tiny_preset, prefixes[name])) == 0
    return prefixes


@pytest.mark.parametrize("name", SCRIPTS)
def test_training_leaves_the_references_files(trained, name):
    folder = trained[name]
    # Two epochs: 1 > 0.6 x 2 is false, so no epoch file is kept.
    assert {p.name for p in folder.iterdir()} >= {
        "avnet_bestmodel.pth", "avnet_last.pth", "log.txt", "log.jsonl", "error.txt", "settings.json"}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert load_checkpoint(folder / "avnet_last.pth")["score"] == lines[1]["val_score"]
    assert "epoch  1 | train" in (folder / "log.txt").read_text()


def test_epochs_after_three_fifths_are_kept(shared_processed, tiny_preset, tmp_path):
    avt_main.main(flags(shared_processed, tiny_preset, tmp_path / "run", "--max_epoch", 5))
    # epoch > 3.0, counted from 0: epoch 4 alone.
    assert [p.name for p in (tmp_path / "run").glob("avnet_epoch*.pth")] == ["avnet_epoch4.pth"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_inference_gives_the_score_that_training_printed(trained, shared_processed, tiny_preset, tmp_path, name):
    weights, output = trained[name] / "avnet_bestmodel.pth", tmp_path / "val.csv"
    argv = flags(shared_processed, tiny_preset, tmp_path, "--weights", weights, "--split", "val", "--output", output)
    assert SCRIPTS[name].main(argv) == 0
    answers = {clip.removesuffix(".mp4"): s for (clip, _), s in read_submission(output).items()}
    # 14 clips, every 7th from the first: clips 0 and 7, at 20.25 s and 90.25 s.
    truth = {"clip0000_start": 20.25, "clip0007_end": 90.25}
    assert score_table(answers, truth)["score"] == pytest.approx(load_checkpoint(weights)["score"], abs=1e-3)


def test_submission_holds_every_test_clip_in_the_right_form(trained, shared_processed, tiny_preset, tmp_path):
    avt_main.main(flags(shared_processed, tiny_preset, tmp_path, "--weights", trained["avt"] / "avnet_last.pth"))
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["test0000_start.mp4", "s"], ["test0001_end.mp4", "e"], ["test0002_start.mp4", "s"]]
    assert all(len(line.split(".")[-1]) == 3 for line in lines)


def test_normalized_network_standardises_without_being_told_again(trained, shared_processed, tiny_preset, tmp_path):
    assert load_checkpoint(trained["avt_normal"] / "avnet_bestmodel.pth")["sizes"]["standardise"] is True
    answers = []
    for more in ([], ["--if_normal"]):
        avt_normal_main.main(flags(shared_processed, tiny_preset, tmp_path, "--weights",
                                   trained["avt_normal"] / "avnet_bestmodel.pth", *more))
        answers.append((tmp_path / "submission.csv").read_bytes())
    assert answers[0] == answers[1]


def stop_after_epoch(monkeypatch, epoch: int) -> None:
    """Ctrl-C right after the checkpoints of an epoch are written."""
    from utils import run_folder

    saved = run_folder.save_checkpoints

    def save_then_stop(folder, content, *rest):
        saved(folder, content, *rest)
        if content["epoch"] == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_folder, "save_checkpoints", save_then_stop)


@pytest.mark.parametrize("more", [[], ["--shift", "30", "--vary", "0.5", "--step_loss", "20", "--use_amp",
                                       "--accumulation_step", "2"]])
def test_a_resumed_training_ends_with_the_same_weights(shared_processed, tiny_preset, tmp_path, monkeypatch, more):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    argv = ["--max_epoch", 4, *more]
    avt_main.main(flags(shared_processed, tiny_preset, whole, *argv))

    stop_after_epoch(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        avt_main.main(flags(shared_processed, tiny_preset, broken, *argv))
    monkeypatch.undo()
    avt_main.main(flags(shared_processed, tiny_preset, broken, *argv, "--resume", "auto"))
    a, b = load_checkpoint(whole / "avnet_last.pth"), load_checkpoint(broken / "avnet_last.pth")
    assert a["epoch"] == b["epoch"] == 3
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    assert a["best"] == b["best"]


AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def test_on_a_processor_without_bfloat16_mixed_precision_computes_in_float32_and_says_so(
    shared_processed, tiny_preset, tmp_path
):
    argv = flags(shared_processed, tiny_preset, tmp_path / "run", "--use_amp", "--max_epoch", 1)
    result = subprocess.run([sys.executable, "avt_main.py", *argv], cwd=ROOT, env={**os.environ, **AVX2}, text=True,
                            capture_output=True)
    assert result.returncode == 0, result.stderr
    assert "computes in float32 (AVX2, oneDNN limited to AVX2, no bfloat16 instructions), --use_amp would be slower" \
        in result.stdout
    assert load_checkpoint(tmp_path / "run/avnet_last.pth")["precision"] == "float32"


@pytest.mark.parametrize("limit, in_hardware, computes", [
    ("", True, True), ("AVX512_CORE_BF16", True, True), ("AVX512_CORE", True, False), ("", False, False)])
def test_bfloat16_is_used_only_where_an_instruction_computes_it(monkeypatch, limit, in_hardware, computes):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: in_hardware)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)     # true for all of AVX-512
    expected = torch.bfloat16 if computes else None
    assert autocast_dtype(torch.device("cpu")) == expected


def test_the_command_line_switches_a_presets_mixed_precision_off(shared_processed, tiny_preset, tmp_path):
    preset = tmp_path / "amp.yaml"
    preset.write_text(tiny_preset.read_text(encoding="utf-8") + "use_amp: true\n", encoding="utf-8")
    avt_main.main(flags(shared_processed, preset, tmp_path / "run", "--no-use_amp", "--max_epoch", 1))
    content = load_checkpoint(tmp_path / "run/avnet_last.pth")
    assert content["precision"] == "float32" and content["training"]["use_amp"] is False


def test_accumulated_batches_make_the_same_step_as_one_large_batch():
    weights = []
    for groups in ([[[0, 1, 2]]], [[[0, 1], [2]]]):
        training = new_training(Product())
        assert one_epoch(training, groups, Numbers([1.0, 2.0, 3.0]))
        weights.append(training.net.weight.item())
    # Gradient of mean (w x - 3 x)^2 at w = 1: 2 (1 - 3) mean(x^2) = -4 x 14/3; step 0.1.
    assert weights == pytest.approx([1 + 0.1 * 4 * 14 / 3] * 2)


def test_learning_rates_of_the_references_schedule():
    rates = [3e-4 * learning_rate_factor("warmup_cosine", epoch, 64) for epoch in range(64)]
    assert rates[:6] == pytest.approx([3e-5, 8.4e-5, 1.38e-4, 1.92e-4, 2.46e-4, 3e-4])
    assert rates[34] == pytest.approx(1.5e-4)    # half way: 29 of 58 epochs after the warm-up
    assert rates[63] == pytest.approx(0, abs=1e-12)
    assert all(a > b for a, b in zip(rates[5:], rates[6:], strict=False))


def test_one_cycle_rises_to_the_highest_rate_and_falls_to_zero():
    rates = [learning_rate_factor("one_cycle", step / 10, 40) for step in range(401)]
    assert rates[0] == pytest.approx(0.04) and rates[100] == pytest.approx(1) and rates[400] == pytest.approx(0)
    assert max(rates) == rates[100]


def test_mfcc_is_padded_with_zeros_on_the_right(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((20, 8614), np.float32))
    mfcc = np.full((20, 8616), 7, np.float32)
    fill_mfcc(mfcc, tmp_path / "a.npy")
    assert mfcc.shape == (20, 8616) and mfcc[:, :8614].all() and not mfcc[:, 8614:].any()


def test_a_dataset_loads_only_what_is_asked_for(processed):
    clips = unlabelled_clips(processed, "data_C")
    (processed / "data_C" / f"{clips.clips[0].name}_mfcc.npy").unlink()
    assert set(ClipDataset(processed, clips, ("frames",)).batch([0])) == {"index", "kind", "frames"}


def test_best_constant_beats_every_other_constant():
    truth = {"a_start": 10.0, "b_start": 20.0, "c_start": 90.0, "a_end": 150.0}
    answer = best_constant(truth)
    times = np.array([10.0, 20.0, 90.0])
    best = clip_costs(answer["a_start"] - times).sum()
    assert all(best <= clip_costs(x - times).sum() + 1e-9 for x in np.arange(0, 200, 0.25))
    assert clip_costs(np.array([answer["a_end"] - 150.0])) == 0


# What users will sooner or later give: one clear message, and nothing that existed is harmed.

@pytest.mark.parametrize("spoil, message", [
    (lambda p: (p / "data_A/train/必选数据.txt").unlink(), "no such label file"),
    (lambda p: (p / "data_A/train/clip0001_end_mfcc.npy").unlink(), r"clip0001_end_mfcc\.npy: missing.*extract_audio"),
    (lambda p: (p / "ROIs/clip0002_start.npy").unlink(), r"clip0002_start\.npy: missing.*text_extract"),
    (lambda p: np.save(p / "data_A/train/clip0001_end_mfcc.npy", np.zeros((13, 8614))),
     r"clip0001_end_mfcc\.npy: shape \(13, 8614\), expected \(20, steps\)"),
    (lambda p: np.save(p / "data_A/train/clip0001_end_frames.npy", np.zeros((66, 88, 3))), r"shape \(66, 88, 3\)"),
    (lambda p: (p / "data_A/train/clip0001_end_frames.npy").write_bytes(b"no array"), "no readable .npy"),
    (lambda p: write_clip(p, "data_A/train", "clip0006_start", np.random.default_rng(0), seconds=60),
     "必选数据.txt:7: clip0006_start is labelled 80.25 s, but its sound ends at 60"),
    (lambda p: write_clip(p, "data_A/train", "clip0006_start", np.random.default_rng(0), seconds=260), "Cut the clip"),
])
def test_damaged_data_is_told_before_training(processed, tiny_preset, tmp_path, spoil, message):
    spoil(processed)
    with pytest.raises(UserError, match=message):
        avt_main.main(flags(processed, tiny_preset, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_name_the_right_script(trained, shared_processed, tiny_preset, tmp_path):
    argv = flags(shared_processed, tiny_preset, tmp_path / "out", "--weights", trained["avt"] / "avnet_last.pth")
    with pytest.raises(UserError, match=r"weights of AVTNet, not of AVTNetYOLT. Use avt_main\.py"):
        avt_yolt_main.main(argv)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"some text"])
def test_a_file_that_is_no_checkpoint_is_refused(shared_processed, tiny_preset, tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.pth: no readable checkpoint"):
        avt_main.main(flags(shared_processed, tiny_preset, tmp_path, "--weights", path))


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"model": {}, "code": print}, path)
    with pytest.raises(UserError, match="no readable checkpoint"):
        load_checkpoint(path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
@pytest.mark.parametrize("gpus", ["3", "0,1"])
def test_gpus_that_are_not_there_are_an_error(shared_processed, tiny_preset, tmp_path, gpus):
    with pytest.raises(UserError, match=f"--gpus {gpus}: GPU .* not there"):
        avt_main.main(flags(shared_processed, tiny_preset, tmp_path / "run", "--gpus", gpus))


def test_a_finished_training_is_not_overwritten(trained, shared_processed, tiny_preset):
    before = (trained["avt"] / "avnet_last.pth").read_bytes()
    with pytest.raises(UserError, match="holds a training already"):
        avt_main.main(flags(shared_processed, tiny_preset, trained["avt"]))
    assert (trained["avt"] / "avnet_last.pth").read_bytes() == before


def test_resuming_with_other_settings_is_refused(trained, shared_processed, tiny_preset):
    with pytest.raises(UserError, match="--lr: 0.0003 then, 0.5 now"):
        avt_main.main(flags(shared_processed, tiny_preset, trained["avt"], "--resume", "auto", "--lr", 0.5))


@pytest.mark.parametrize("line, message", [
    ("learning_rate: 3", "learning_rate"), ("lr: fast", "lr"), ("batch_size: 0", "expected a whole number from 1"),
    ("network: {hiden: 3}", "hiden"), ("lr: [", "no valid YAML"), ("- lr", "expected `flag: value`"),
])
def test_a_wrong_preset_is_named(shared_processed, tiny_preset, tmp_path, line, message):
    preset = tmp_path / "wrong.yaml"
    base = tiny_preset.read_text(encoding="utf-8") if ":" in line and "[" not in line else ""
    if line.startswith("network"):
        base = base.split("network:")[0]
    base = base.replace("batch_size: 4\n", "")      # no key may stand there twice
    preset.write_text(base + line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        avt_main.main(flags(shared_processed, preset, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_text_boxes_of_another_detector_are_refused(processed, tiny_preset, tmp_path):
    record = processed / "ocr_text_detector.json"
    record.write_text('{"name": "rapidocr"}')
    avt_main.main(flags(processed, tiny_preset, tmp_path / "run", "--max_epoch", 1))
    record.write_text('{"name": "easyocr"}')
    with pytest.raises(UserError, match="made by easyocr, .* trained on those of rapidocr"):
        avt_main.main(flags(processed, tiny_preset, tmp_path, "--weights", tmp_path / "run/avnet_last.pth"))


def test_pretrained_weights_come_from_a_file_or_are_an_error(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(1)
    source, net = resnet18(), resnet18()
    net.fc = torch.nn.Identity()
    path = tmp_path / "resnet18.pth"
    torch.save(source.state_dict(), path)
    load_pretrained(net, str(path))
    assert torch.equal(net.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    torch.save({"conv1.weight": source.conv1.weight}, path)
    with pytest.raises(UserError, match="missing: bn1.weight"):
        load_pretrained(net, str(path))
    with pytest.raises(UserError, match="no such file"):
        load_pretrained(net, str(tmp_path / "none.pth"))
    with pytest.raises(UserError, match="only a ResNet-18"):
        load_pretrained(torch.nn.Identity(), "imagenet")


def test_missing_and_empty_folders_say_what_to_do(tmp_path, shared_processed, tiny_preset):
    with pytest.raises(UserError, match="no such folder"):
        avt_main.main(flags(tmp_path / "none", tiny_preset, tmp_path))
    (tmp_path / "data_C").mkdir()
    with pytest.raises(UserError, match="no processed clips"):
        find_processed(tmp_path, "data_C")
    write_clip(tmp_path, "data_C", "unnamed", np.random.default_rng(0))
    with pytest.raises(UserError, match="must end in _start"):
        unlabelled_clips(tmp_path, "data_C")


def run_limited(argv: list[str], most_bytes: int) -> subprocess.CompletedProcess:
    """An entry script in a process that may write files of at most this size: what a full disk looks like."""
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); " \
            "sys.path.insert(0, '.'); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.run([sys.executable, "-c", limit.format(most_bytes), "avt_main.py", *argv], cwd=ROOT,
                          capture_output=True, text=True)


def test_a_full_disk_ends_training_with_a_message_and_harms_no_checkpoint(
    shared_processed, tiny_preset, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    argv = flags(shared_processed, tiny_preset, folder, "--max_epoch", 4)
    stop_after_epoch(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        avt_main.main(argv)
    before = {p.name: p.read_bytes() for p in folder.glob("*.pth")}
    result = run_limited([*argv, "--resume", "auto"], len(before["avnet_last.pth"]) - 1000)
    assert result.returncode == 2
    assert "the disk (or its quota) is full" in result.stderr and "Traceback" not in result.stderr
    assert {p.name: p.read_bytes() for p in folder.glob("*.pth")} == before
    assert not list(folder.glob(".tmp-*"))


def test_a_save_prefix_that_cannot_be_written_is_one_message(shared_processed, tiny_preset):
    result = subprocess.run([sys.executable, "avt_main.py", *flags(shared_processed, tiny_preset, "/proc/none")],
                            cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: /proc/none") and "Traceback" not in result.stderr


def test_a_feature_file_that_changes_its_shape_after_the_check_is_named(processed):
    clips = unlabelled_clips(processed, "data_C")
    dataset = ClipDataset(processed, clips, ("mfcc", "frames"))
    np.save(clips.clips[0].frames(processed), np.zeros((100, 66, 88, 3), np.uint8))
    with pytest.raises(UserError, match=r"test0000_start_frames\.npy: shape \(100, 66, 88, 3\), expected"):
        dataset.batch([1, 0])
