"""Every flag of the training scripts, and the one home of its default and its help."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from datatools.errors import UserError
from utils.cli import MATCHING_PARTS, PARTS, RECOGNITION_PARTS, boundary_command, flag_parser, recognition_command
from utils.settings import (
    BoundarySettings,
    FitSettings,
    InferSettings,
    LaunchSettings,
    MatchingSettings,
    RecogniseSettings,
    RecognitionSettings,
    must_agree,
)

ROOT = Path(__file__).resolve().parents[1]
# A flag more is a decision: it goes here, too.
HOMES = {
    FitSettings: "num_workers data_in_memory lr batch_size max_epoch schedule decay_epochs warmup_epochs "
                 "accumulation_step use_amp clip_grad ema channels_last compile halve_when_full patience seed "
                 "show_freq gpus threads keep_last save_prefix resume overwrite",
    BoundarySettings: "data_root train_folders label_files data_seed without encoders shift vary damage borrow "
                      "step_loss pretrained if_normal folds",
    LaunchSettings: "strategy processes",
    InferSettings: "weights folder split output",
}
RECOGNITION_HOMES = {
    FitSettings: HOMES[FitSettings],
    RecognitionSettings: "data_root videos_root skip_broken num_frames sampling_rate segments image_size short_side "
                         "bicubic flip multi_scale jitter grey optimizer momentum betas eps weight_decay pretrained",
    LaunchSettings: HOMES[LaunchSettings],
    RecogniseSettings: "weights split video views crops features per_second attention output",
}
MATCHING_HOMES = {**RECOGNITION_HOMES, MatchingSettings: "labels templates ratio f_ratio fix_text random_shift"}
BESIDE = {"--help", "-h", "--preset", "--test", "--testB"}      # --test and --testB are values of --folder


@pytest.mark.parametrize("homes, parts, beside", [
    (HOMES, PARTS, BESIDE), (RECOGNITION_HOMES, RECOGNITION_PARTS, BESIDE - {"--test", "--testB"}),
    (MATCHING_HOMES, MATCHING_PARTS, BESIDE - {"--test", "--testB"})])
def test_every_flag_has_one_home(homes, parts, beside):
    for kind, names in homes.items():
        assert [field.name for field in dataclasses.fields(kind)] == names.split()
    names = [name for names in homes.values() for name in names.split()]
    assert len(set(names)) == len(names)
    parser = flag_parser("", parts.values(), {})
    flags = {word for action in parser._actions for word in action.option_strings if not word.startswith("--no-")}
    assert flags == {f"--{name}" for name in names} | beside
    assert all(action.help for action in parser._actions)


def test_flags_become_settings_and_a_scripts_own_defaults_count():
    command = boundary_command("", ["--lr", "0.5", "--train_folders", "a", "b", "--test", "--no-use_amp"],
                               batch_size=21, if_normal=True)
    assert command.fit == FitSettings(lr=0.5, batch_size=21)
    assert command.boundary == BoundarySettings(train_folders=("a", "b"), if_normal=True)
    assert command.infer == InferSettings(folder="data_A/test")


def test_settings_that_a_resumed_training_must_share():
    agreed = must_agree(FitSettings(), BoundarySettings(without=("mfcc",)), None)
    assert set(agreed) == {"lr", "batch_size", "max_epoch", "schedule", "decay_epochs", "warmup_epochs",
                           "accumulation_step", "use_amp", "clip_grad",
                           "ema", "seed", "data_seed", "without", "encoders", "shift", "vary", "damage", "borrow",
                           "step_loss"}
    assert agreed["without"] == ["mfcc"]      # plain types, as in a checkpoint


def test_a_resumed_recogniser_must_share_what_becomes_a_clip_and_the_learning_rates_of_its_towers():
    agreed = must_agree(RecognitionSettings(), MatchingSettings())
    assert set(agreed) == {"num_frames", "sampling_rate", "segments", "image_size", "short_side", "bicubic", "flip",
                           "multi_scale", "jitter", "grey", "optimizer", "momentum", "betas", "eps", "weight_decay",
                           "ratio", "f_ratio", "fix_text", "random_shift"}


def test_names_and_towers_have_flags_only_where_a_recogniser_knows_its_classes_by_their_names():
    command = recognition_command("", ["--f_ratio", "2", "--labels", "a.txt"], MATCHING_PARTS, jitter=0.8)
    assert command.matching == MatchingSettings(labels=Path("a.txt"), f_ratio=2.0)
    assert command.recognition == RecognitionSettings(jitter=0.8)
    assert recognition_command("", []).matching is None
    with pytest.raises(UserError, match="--labels"):
        recognition_command("", ["--labels", "a.txt"])


def test_if_normal_is_a_flag_only_where_a_network_standardises_by_choice():
    assert boundary_command("", ["--no-if_normal"], if_normal=True).boundary.if_normal is False
    with pytest.raises(UserError, match="--if_normal"):
        boundary_command("", ["--if_normal"])


@pytest.mark.parametrize("flag, value", [("use_amp", True), ("overwrite", True), ("if_normal", True)])
def test_the_command_line_wins_over_a_preset_in_both_directions(tmp_path, flag, value):
    for in_preset, word in ((True, f"--no-{flag}"), (False, f"--{flag}")):
        preset = tmp_path / "preset.yaml"
        preset.write_text(f"{flag}: {str(in_preset).lower()}\n")
        for words, expected in (([], in_preset), ([word], not in_preset)):
            command = boundary_command("", ["--preset", str(preset), *words], if_normal=False)
            found = {**vars(command.fit), **vars(command.boundary)}
            assert found[flag] is expected


@pytest.mark.parametrize("line, message", [("lr: false", "lr"), ("weights: [", "no valid YAML"),
                                           ("gpus: {a: 1}", "nothing that a preset can set")])
def test_a_preset_that_sets_no_value_is_refused(tmp_path, line, message):
    preset = tmp_path / "preset.yaml"
    preset.write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        boundary_command("", ["--preset", str(preset)])


def test_settings_cannot_be_changed_on_the_way():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FitSettings().lr = 1.0


def test_an_example_trains_on_arrays_without_a_flag_or_a_folder(tmp_path):
    example = ROOT / "docs/train_on_arrays.py"
    body = example.read_text(encoding="utf-8").split("\n\n", 1)[1]
    assert len([line for line in body.splitlines() if line.strip()]) <= 30
    result = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    first, last = (float(line.split("val error ")[1].split()[0]) for line in result.stdout.splitlines()
                   if line.startswith(("epoch  0", "epoch 14")))
    assert last < first / 5
    assert not list(tmp_path.iterdir())
