"""The inference table of benchmarks/training.py, and the network that it measures."""

import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.baseline import as_baseline, baseline_network
from benchmarks.measuring import (
    BATCH_SIZE,
    begin_on,
    full_task,
    gpus_of,
    print_table,
    settings_on,
    times_faster,
    train_once,
)
from benchmarks.random_clips import rotating
from datatools.clips import ClipSet
from datatools.dataset import ClipDataset
from models.avtnet import AVTNet, weigh_steps
from models.losses import regression_loss
from utils.batches import ArrayDataset, Batches
from utils.checkpoint import save_checkpoint
from utils.devices import autocast
from utils.predict import Predictor
from utils.task import Dataset, Task, Validation

HEAD_STEPS = 300      # steps of the head alone on the trunk's features, after --train_steps of the whole network
HEAD_LR = 1e-3
WAYS = {              # title: (mixed precision, channels last)
    "this project, float32": (False, False),
    "this project, float32, --channels_last": (False, True),
    "this project, --use_amp": (True, False),
    "this project, --use_amp --channels_last": (True, True),
}
EXACT = "this project, float32"


class Head(nn.Module):
    """AVTNet after its trunk: features (B, channels, 200) -> {"out": (B, 1)}. Shares AVTNet's weights."""

    def __init__(self, net: AVTNet):
        super().__init__()
        self.step_head, self.time_head, self.sharpness = net.step_head, net.time_head, net.sharpness

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {"out": self.time_head(weigh_steps(self.step_head(features), self.sharpness).squeeze(1))}


def train_a_little(dataset: Dataset, device: torch.device, sizes: dict, steps: int) -> AVTNet:
    """A network whose answers differ from clip to clip, as a trained network's do.

    A few steps of the whole network, then the head alone on the features of all clips.
    """
    task = full_task(sizes)

    def build(sizes: dict) -> nn.Module:
        net = task.build(sizes)
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = None      # cumulative mean: a moving average needs more steps
        return net

    settings = settings_on(device, use_amp=True, schedule="one_cycle", max_epoch=1)
    run, training = begin_on(replace(task, build=build), settings, dataset, steps * BATCH_SIZE)
    train_once(run, training)
    net, count = training.net.eval(), len(dataset)
    features = trunk_features(net, dataset, device)
    head = Task(network="Head", inputs=("features",), build=lambda sizes: Head(net),
                loss=lambda outputs, batch: regression_loss(outputs, batch["seconds"]),
                validate=lambda *_: Validation({}))
    settings = settings_on(device, lr=HEAD_LR, batch_size=count, schedule="one_cycle", max_epoch=1)
    train_once(*begin_on(head, settings, features, HEAD_STEPS * count))
    return net


@torch.no_grad()
def trunk_features(net: AVTNet, dataset: Dataset, device: torch.device) -> ArrayDataset:
    """The head's input for every clip, and the truth."""
    count = len(dataset)
    lists = [list(range(first, min(first + BATCH_SIZE, count))) for first in range(0, count, BATCH_SIZE)]
    features, truths = [], []
    for batch in Batches(dataset, device, 0)(lists):
        with autocast(device, True):
            features.append(net.fuse(**{name: batch[name] for name in net.inputs}).float().cpu())
        truths.append(batch["seconds"].cpu())
    return ArrayDataset({"features": torch.cat(features).numpy(), "seconds": torch.cat(truths).numpy()})


def trained_checkpoint(
    folder: Path, root: Path, clip_set: ClipSet, device: torch.device, sizes: dict, train_steps: int
) -> tuple[Path, str]:
    """(checkpoint of a network that was trained a little, its description)."""
    sizes = {**sizes, "standardise": True}
    net = train_a_little(ClipDataset(root, clip_set, AVTNet.inputs), device, sizes, train_steps)
    path = folder / "trained_a_little.pth"
    save_checkpoint(path, {"network": "AVTNet", "sizes": sizes, "text_detector": None, "model": net.state_dict()})
    return path, f"random weights, {train_steps} steps of training, {HEAD_STEPS} more of the head alone"


def infer_table(root: Path, clip_set: ClipSet, device: torch.device, checkpoint: Path, used: str) -> None:
    """Seconds a clip of inference with a checkpoint, and the difference of the answers from float32's."""
    predictors = {title: Predictor(checkpoint, AVTNet, gpus=gpus_of(device), mixed=mixed, channels_last=channels_last,
                                   sizes={"standardise": True}) for title, (mixed, channels_last) in WAYS.items()}
    exact_net = predictors[EXACT].net
    told = predictors[EXACT].content["sizes"]
    plain = baseline_network({} if told is None else told, device)
    plain.load_state_dict(exact_net.state_dict())
    plain.eval()
    lists = rotating(len(clip_set), BATCH_SIZE, max(1, len(clip_set) // BATCH_SIZE))
    dataset = ClipDataset(root, clip_set, AVTNet.inputs)
    batches = Batches(dataset, device, 0)
    inputs = [as_baseline(batch, exact_net.video_net.input.standardise)
              for batch in Batches(dataset, torch.device("cpu"), 0)(lists)]

    @torch.inference_mode()
    def baseline(turn: int) -> dict[int, float]:
        batch = {name: value.to(device) for name, value in inputs[turn].items()}
        return dict(zip(lists[turn], plain.seconds(plain(**batch)).tolist(), strict=True))

    def ours(predictor: Predictor, turn: int) -> dict[int, float]:
        return {index: row["seconds"] for index, row in predictor.rows(batches([lists[turn]])).items()}

    ways = {"baseline, float32, loading not counted": baseline}
    for title, predictor in predictors.items():
        ways[title] = lambda turn, predictor=predictor: ours(predictor, turn)
    took, answers = {title: [] for title in ways}, {title: {} for title in ways}
    for count, turn in enumerate([0, *range(len(lists))]):      # the first time is the warm-up
        for title, way in ways.items():
            started = time.perf_counter()
            answers[title] |= way(turn)
            if count:
                took[title].append((time.perf_counter() - started) / BATCH_SIZE)
    print_answers(took, answers, clip_set, device, used)


def print_answers(
    took: dict[str, list[float]], answers: dict[str, dict[int, float]], clip_set: ClipSet, device: torch.device,
    used: str,
) -> None:
    """Print the table of seconds a clip and of answers, {way: {clip: s}}, and a description of the network."""
    exact, first = answers[EXACT], next(iter(took.values()))
    rows = []
    for title, seconds in took.items():
        off = [abs(answers[title][index] - exact[index]) for index in exact]
        rows.append([title, f"{statistics.median(seconds):.3f}", f"{min(seconds):.3f}", times_faster(first, seconds),
                     f"{max(off):.4f}", f"{statistics.mean(off):.4f}"])
    print_table([f"inference: AVTNet, batch {BATCH_SIZE}, {len(exact)} clips, {device}", "s a clip", "least",
                 "times baseline", "answer off float32's by at most, s", "in the mean, s"], rows)
    error = statistics.mean(abs(exact[i] - float(clip_set.seconds[i])) for i in exact)
    print(f"\nNetwork: {used}. Its float32 answers lie between {min(exact.values()):.1f} and {max(exact.values()):.1f} "
          f"s, deviation {statistics.stdev(exact.values()):.1f} s, in the mean {error:.1f} s off the truth.")
