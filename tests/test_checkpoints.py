"""Whatever stands in a checkpoint's place gives answers within the clip, or a message; a bad clip fails alone."""

import copy
import os
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_helpers import SmallNet, equal, small_flags, train_small
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reliability import checkpoints
from benchmarks.reliability.checkpoints import Tiny, memory_limit, tiny_checkpoint, tiny_data, write_changed
from benchmarks.reliability.limits import attempt, time_limit
from datatools.clips import labelled_clips
from datatools.errors import UserError
from datatools.submission import read_answers
from models.avtnet import AVTNet
from models.avtnet_yolt import AVTNetYOLT
from utils import checkpoint_file
from utils.boundary import read_validation
from utils.checkpoint import export, load_checkpoint, load_pretrained, load_weights, read_file, save_content
from utils.predict import Predictor
from utils.run_folder import read_records

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict:
    """The content of a small checkpoint with everything that a training may have."""
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"), ema=True)


@pytest.fixture
def content(whole) -> dict:
    return copy.deepcopy(whole)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "changed.pth"


def refusal(path: Path, content: dict | None = None, ways=("infer", "resume")) -> str:
    """What is told about a checkpoint that is refused, quickly and in little memory, each way it is used."""
    if content is not None:
        save_content(path, content)
    told = []
    for way in ways:
        with pytest.raises(UserError, match=path.name) as raised, time_limit(), memory_limit(1 << 30):
            checkpoints.infer(path) if way == "infer" else checkpoints.resume(path, True)
        told.append(str(raised.value))
    return " and ".join(told)


def check_any_change(content: dict, path: Path, seed: int) -> None:
    done = write_changed(path, content, random.Random(seed))
    with memory_limit():
        for way in (checkpoints.infer, lambda path: checkpoints.resume(path, True)):
            outcome = attempt(done, lambda way=way: way(path))
            assert outcome.result != "fault", outcome


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=50, derandomize=True, deadline=None, database=None)
@given(seed=st.integers(0, 2**32))
def test_any_change_gives_answers_or_a_message(whole, tmp_path_factory, seed):
    check_any_change(whole, tmp_path_factory.getbasetemp() / "any.pth", seed)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=5000, deadline=None, database=None)
@given(seed=st.integers(0, 2**32))
def test_any_of_many_changes_gives_answers_or_a_message(whole, tmp_path_factory, seed):
    check_any_change(whole, tmp_path_factory.getbasetemp() / "any.pth", seed)


def test_an_unchanged_checkpoint_answers_and_trains_on(content, path):
    save_content(path, content)
    assert checkpoints.infer(path).startswith("answers")
    assert checkpoints.resume(path, True).startswith("trains on")


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("key", ["network", "sizes", "version", "model"])
@pytest.mark.parametrize("value", ["missing", 1.5, ["a"], None, torch.ones(2), -1, 2**80, {7: 8}, True, {"a": [[{}]]}])
def test_what_inference_needs_is_asked_for_by_name(content, path, key, value):
    content[key] = value
    if value == "missing":
        del content[key]
    if key == "sizes" and value is None:      # the reference's: its defaults fit the weights
        return
    assert f"'{key}'" in refusal(path, content)


@pytest.mark.parametrize("key", ["data", "training", "trained", "num_averaged", "epoch", "best", "position",
                                 "optimizer", "scheduler", "scaler"])
@pytest.mark.parametrize("value", ["missing", "text", [1], torch.ones(2), -2, {7: torch.ones(1)}])
def test_what_resuming_needs_is_asked_for_by_name_and_inference_does_without(content, path, key, value):
    content[key] = value
    if isinstance(value, str) and value == "missing":
        del content[key]
    told = refusal(path, content, ["resume"])
    assert f"'{key}'" in told or (key == "position" and "weights alone" in told)
    assert checkpoints.infer(path)


def test_the_references_epoch_file_with_its_trained_optimiser_within_the_schedule_is_read(path):
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    weights = {"conv.0.weight": torch.ones(1, 2, 1), "fc.2.weight": torch.ones(1, 2)}
    after = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 58)
    torch.save({"model": weights, "epoch": 63, "optimizer": optimizer.state_dict(),
                "scheduler": {"multiplier": 10, "after_scheduler": after, "last_epoch": 63}}, path)
    assert load_checkpoint(path)["network"] == "AVTNet"


def test_an_older_checkpoint_without_detector_and_precision_is_read(content, path):
    for key in ("text_detector", "precision"):
        content.pop(key, None)
    content["version"] = 1
    torch.save(content, path, _use_new_zipfile_serialization=False)      # torch's form before 1.6
    assert checkpoints.infer(path) and checkpoints.resume(path, True)


def test_only_a_position_is_set_from_a_position(content, path, monkeypatch):
    content["position"]["train_step"] = content["position"]["net"] = 5
    save_content(path, content)
    assert checkpoints.resume(path, True)


@pytest.mark.parametrize("change", [
    {"exp_avg": torch.ones(7)}, {"exp_avg_sq": None}, {"step": torch.tensor(-1.0)},
    {"exp_avg": 5.0}, "empty", "another weight",
])
def test_an_optimiser_whose_state_is_not_its_weights_is_refused(content, path, change):
    state = content["optimizer"]["state"]
    if change == "empty":
        state[0] = {"step": torch.tensor(5.0)}
    elif change == "another weight":
        state[99] = state[0]
    else:
        state[0].update(change)
    assert "'optimizer'" in refusal(path, content, ["resume"])


def test_a_second_moment_below_zero_is_refused(content, path):
    content["optimizer"]["state"][0]["exp_avg_sq"].fill_(-1)
    assert "'optimizer'" in refusal(path, content, ["resume"])


# ---------------------------------------------------------------- tensors


@pytest.mark.parametrize("change, told", [
    (lambda w: w.fill_(float("nan")), "values are NaN or infinite"),
    (lambda w: w.index_fill_(0, torch.tensor(0), float("inf")), "values are NaN or infinite"),
    (lambda w: w.double() * 1e300, "values are NaN or infinite"),
    (lambda w: w.int(), r"holds torch.int32, the network expects torch.float32"),
    (lambda w: w.bool(), "holds torch.bool"),
    (lambda w: w.to(torch.complex64), "of another kind"),
    (lambda w: w.to("meta"), "of another kind"),
    (lambda w: w[None], "shape"),
    (lambda w: torch.zeros(1).as_strided((10**6, 10**6, 3), (0, 0, 0)), "shape"),
    (lambda w: torch.zeros(1).expand(w.shape), "claims"),
])
def test_a_tensor_that_is_no_weight_is_named(content, path, change, told):
    content["model"]["convs.0.weight"] = change(content["model"]["convs.0.weight"])
    message = refusal(path, content)
    assert "convs.0.weight" in message and told in message


@pytest.mark.parametrize("change", [
    lambda w: w.to_sparse(), lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8),
    lambda w: torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.long).expand(1, 10**12),
                                      torch.zeros(1).expand(10**12), (5,), check_invariants=False),
])
@pytest.mark.filterwarnings("ignore")
def test_a_tensor_that_is_not_dense_is_named_before_it_is_built(content, path, change):
    content["model"]["convs.0.weight"] = change(content["model"]["convs.0.weight"])
    assert "convs.0.weight" in refusal(path, content)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_float_type_are_cast(content, path, dtype):
    before = Tiny().eval()
    before.load_state_dict(content["model"])
    content["model"] = {name: value.to(dtype) for name, value in content["model"].items()}
    save_content(path, content)
    found = Predictor(path, Tiny, gpus="cpu")(tiny_data().batch([0, 1]))["seconds"]
    expected = Tiny.seconds(before(mfcc=tiny_data().batch([0, 1])["mfcc"]))
    torch.testing.assert_close(found, expected, atol=1.0, rtol=0)


def test_a_negative_variance_is_named(content, path):
    content["model"]["norm.running_var"][1] = -1
    assert "norm.running_var: a variance below zero" in refusal(path, content)


def test_weights_that_overflow_are_told_with_the_checkpoint(content, path):
    for name, value in content["model"].items():
        if value.is_floating_point() and "running" not in name:
            value.fill_(3e38)
    content["model"]["head.weight"][:, 0] = -3e38
    assert "changed.pth answers with nan s, expected 0 to 200 s, although its features are finite" in refusal(
        path, content, ["infer"])


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("sizes", [{"hidden": 10**12}, {"hidden": 10**6}, {"kernels": [10**6] * 99}, {"hidden": 0},
                                   {"hidden": "many"}, {"hidden": 1.5}, {"kernels": []}, {"more": 1}])
def test_sizes_that_are_not_the_weights_take_no_memory(content, path, sizes):
    content["sizes"].update(sizes)
    refusal(path, content)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "link to itself", "long name", "zero byte"])
def test_what_is_no_regular_file_is_refused_without_opening_it(tmp_path, kind):
    path = tmp_path / "a.pth"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path)
    path = {"device": Path("/dev/zero"), "nothing": Path(""), "long name": tmp_path / ("x" * 5000),
            "zero byte": Path("a\0b.pth")}.get(kind, path)
    with time_limit(10):
        for read in (read_file, lambda p: Predictor(p, Tiny, gpus="cpu"), lambda p: export(p, tmp_path / "b.pth"),
                     lambda p: checkpoints.resume(p, False)):
            with pytest.raises(UserError, match="no such checkpoint"):
                read(path)


def test_a_pipe_beside_the_checkpoints_does_not_block(content, tmp_path):
    os.mkfifo(tmp_path / "avnet_last-1.pth")
    (tmp_path / "avnet_last.pth").write_bytes(b"damaged" * 100)
    with time_limit(10), pytest.raises(UserError, match="no readable checkpoint"):
        Predictor(tmp_path / "avnet_last.pth", Tiny, gpus="cpu")


def rewrite(path: Path, content: dict, change, compression=zipfile.ZIP_STORED) -> None:
    """Write a checkpoint of the version before the SHA-256, with `change` made to its records, {name: bytes}."""
    torch.save({**content, "version": 1}, path)
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    change(records)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in records.items():
            archive.writestr(name, data)


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused_before_it_is_unpacked(content, path, monkeypatch):
    rewrite(path, content, lambda records: records.update({"changed/data/0": bytes(10**8)}), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**6
    monkeypatch.setattr(torch, "load", None)      # not even asked
    assert "would unpack to 1000" in refusal(path)


@pytest.mark.parametrize("number", range(len(checkpoints.PICKLES)))
@pytest.mark.filterwarnings("ignore")
def test_a_pickle_that_asks_for_too_much_is_refused(content, path, number):
    rewrite(path, content, lambda records: records.update({"changed/data.pkl": checkpoints.PICKLES[number]}))
    refusal(path, ways=["infer"])


def test_a_file_larger_than_the_memory_is_refused_unread(path):
    with open(path, "wb") as file:
        file.truncate(1 << 42)      # 4 TiB, all holes
    with time_limit(10), pytest.raises(UserError, match=r"changed\.pth: .*this machine's memory"):
        read_file(path)


def test_records_that_share_their_bytes_are_refused(content, path):
    torch.save({**content, "version": 1}, path)
    data = path.read_bytes()
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 1)
    path.write_bytes(data[:second + 42] + data[first + 42:first + 46] + data[second + 46:])
    with pytest.raises(ValueError, match="overlap|unlike|File name"):
        checkpoint_file.check_file(path)


@pytest.mark.parametrize("written", [torch.ones(3), [1], {"a": 1}, {5: torch.ones(1)}, {"conv1.weight": "text"}])
def test_pretrained_weights_that_are_none_are_refused(tmp_path, written):
    net = torch.nn.Module()
    net.layer4 = net.conv1 = torch.nn.Conv2d(3, 4, 1)
    torch.save(written, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"resnet\.pth"):
        load_pretrained(net, str(tmp_path / "resnet.pth"))


@pytest.mark.parametrize("change", [
    lambda w: w.update({"fc.0.weight": torch.tensor(float("nan"))}),
    lambda w: w.update({"conv.0.weight": torch.ones(())}),
    lambda w: w.pop("se.fc.0.weight"), lambda w: w.update({"se.fc.0.weight": w["se.fc.0.weight"].to_sparse()}),
])
def test_export_refuses_what_inference_refuses(tmp_path, change):
    from models.avtnet_reference import to_reference

    with torch.device("meta"):
        shapes = to_reference("AVTNet", AVTNet().state_dict())
    weights = {name: torch.zeros(value.shape if name.startswith(("fc", "conv.", "se")) else (1,), dtype=value.dtype)
               for name, value in shapes.items()}
    change(weights)
    torch.save({"model": weights}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth"):
        export(tmp_path / "a.pth", tmp_path / "b.pth")
    assert not (tmp_path / "b.pth").exists()


# ---------------------------------------------------------------- whole commands


@pytest.fixture(scope="module")
def trained(shared_processed, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.boundary.draw", lambda *_: None)
        assert train_small(small_flags(shared_processed, folder, "--max_epoch", 1)) == 0
    return folder


def test_a_checkpoint_that_cannot_be_resumed_harms_no_training_that_is_there(shared_processed, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    content = load_checkpoint(folder / "avnet_last.pth")
    content["optimizer"]["state"][0]["exp_avg"] = torch.ones(77)
    save_content(tmp_path / "bad.pth", content)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=r"bad\.pth: 'optimizer' does not fit"):
        train_small(small_flags(shared_processed, folder, "--max_epoch", 1, "--resume", tmp_path / "bad.pth",
                                "--overwrite"))
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def spoil(processed: Path, name: str, value: float = np.nan) -> None:
    path = processed / f"{name}_mfcc.npy"
    mfcc = np.load(path)
    mfcc[:] = value
    np.save(path, mfcc)


def test_a_clip_whose_features_are_not_finite_costs_its_answer_alone(processed, trained, tmp_path, capsys):
    words = small_flags(processed, tmp_path, "--weights", trained / "avnet_last.pth", "--split", "train", "--output")
    assert train_small([*words, str(tmp_path / "good.csv")]) == 0
    spoil(processed, "data_A/train/clip0003_end")
    assert train_small([*words, str(tmp_path / "one.csv")]) == 1
    told = capsys.readouterr().err
    assert "data_A/train/clip0003_end: " in told and "its mfcc holds NaN or infinity" in told and "answers with" in told
    good, left = read_answers(tmp_path / "good.csv"), read_answers(tmp_path / "one.csv")
    assert left == {name: seconds for name, seconds in good.items() if name != "clip0003_end"} and len(left) > 2


@pytest.mark.parametrize("threads", [0, 2])
def test_features_that_vanish_or_are_cut_off_after_the_check_cost_their_clips_answers(
    processed, trained, tmp_path, capsys, monkeypatch, threads
):
    names = [f"test{number:04d}_start" for number in (2, 4)]
    for name in names:
        for path in processed.rglob("test0000_start*.npy"):
            shutil.copy(path, path.with_name(path.name.replace("test0000_start", name)))

    def check_then_spoil(*_):
        (processed / f"data_C/{names[0]}_mfcc.npy").unlink()
        path = processed / f"ROIs/{names[1]}.npy"
        path.write_bytes(path.read_bytes()[:5000])

    monkeypatch.setattr("utils.boundary_command.check_features", check_then_spoil)
    assert train_small(small_flags(processed, tmp_path, "--weights", trained / "avnet_last.pth", "--batch_size", 3,
                                   "--num_workers", threads)) == 1
    told = capsys.readouterr().err
    assert all(f"data_C/{name}: " in told for name in names)
    assert set(read_answers(tmp_path / "submission.csv")) == {"test0000_start", "test0001_end"}


def test_where_no_clip_can_be_answered_one_message_says_so(processed, trained, tmp_path):
    for name in ("test0000_start", "test0001_end"):
        spoil(processed, f"data_C/{name}", np.inf)
    with pytest.raises(UserError, match=r"avnet_last\.pth: answers none of the 2 clips(.|\n)*test0001_end: .*its mfcc"):
        train_small(small_flags(processed, tmp_path, "--weights", trained / "avnet_last.pth"))
    assert not (tmp_path / "submission.csv").exists()


def test_a_validation_clip_whose_answer_is_not_finite_is_named(processed, tmp_path):
    parts = labelled_clips(processed, ["data_A/train"], ["data_A/train/必选数据.txt"], 0)
    name = parts["val"].clips[0].name
    spoil(processed, f"data_A/train/{name}")
    with pytest.raises(UserError, match=rf"answers for 1 validation clips are not finite \({name}\)"):
        train_small(small_flags(processed, tmp_path / "run", "--max_epoch", 1))


def test_features_that_are_not_finite_choose_no_cell(monkeypatch):
    net = AVTNetYOLT(hidden=4, frame_channels=(4,), text_channels=(4, 4), audio_channels=(16, 16, 16, 16)).eval()
    monkeypatch.setattr(net, "fuse", lambda *_: torch.full((2, net.channels, 200), float("nan")))
    assert net.seconds(net(None, None, None)).isnan().all()


@pytest.mark.parametrize("text", ["", "name,seconds\na,1\n", "name,seconds,predicted\na,x,1\n", "\xff\xfe",
                                  "name,seconds,predicted\na,1\n", "name,seconds,predicted\na,1,nan\n",
                                  "name,seconds,predicted\na,1,\n"])
def test_a_changed_validation_csv_is_told(tmp_path, text):
    (tmp_path / "validation.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"validation\.csv: "):
        read_validation(tmp_path)


def test_lines_of_a_log_that_are_no_records_are_left_out(tmp_path):
    lines = ['{"epoch": 0}', "5", "[]", '{"epoch": "x"}', '{"other": 1}', "[" * 100_000,
             '{"epoch": ' + "9" * 5000 + "}", "\udcff", '{"epoch": 1}']
    (tmp_path / "log.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    assert read_records(tmp_path) == [{"epoch": 0}, {"epoch": 1}]


def test_what_is_loaded_is_what_was_saved(content, path):
    save_content(path, content)
    assert equal(load_checkpoint(path), content)
    net = SmallNet()
    load_weights(path, net, {name: value.half() for name, value in net.state_dict().items()})
