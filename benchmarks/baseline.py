"""The baseline that this project's training is compared with: a plain loop, all work in Python and float32.

For every sample it decodes the 1 fps video, and resizes and standardises every picture on the CPU.
"""

import functools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import imageio
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measuring import LR, synchronise
from benchmarks.random_clips import rotating
from datatools.clips import ClipSet
from datatools.layout import Clip
from datatools.stages import number_of_cores
from models.avtnet import AVTNet
from models.layers import IMAGENET_MEAN, IMAGENET_STD, FrameInput
from utils.networks import build_network
from utils.task import Batch

LOADER_STEPS = 400       # most batches that the DataLoader gives
READY_BATCHES = 3        # batches of each worker process in shared memory: PyTorch prefetches two
CLIP_BYTES = 16_000_000  # size of a clip's float32 tensors
Decode = Callable[[Path], Iterator[np.ndarray]]


# ---------------------------------------------------------------- clips to tensors


def decode_with_opencv(video: Path) -> Iterator[np.ndarray]:
    """The pictures of a video one by one, RGB, decoded on one thread."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    while True:
        there, image = capture.read()
        if not there:
            break
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    capture.release()


def decode_with_imageio(video: Path) -> Iterator[np.ndarray]:
    """The pictures of a video one by one, RGB, decoded by imageio's ffmpeg process on one thread."""
    with imageio.get_reader(str(video), "ffmpeg", input_params=["-threads", "1"]) as reader:
        yield from reader


def baseline_batch(root: Path, clips: list[Clip], decode: Decode = decode_with_opencv) -> Batch:
    """Tensors of several clips, all float32: frames (B, 200, 3, 66, 88), mfcc (B, 20, 8616), text_roi (B, 200, 27, 36).
    """
    cv2.setNumThreads(1)
    mean, std = (np.array(values, np.float32) for values in (IMAGENET_MEAN, IMAGENET_STD))
    samples = {"frames": [], "mfcc": [], "text_roi": []}
    for clip in clips:
        frames = np.zeros((200, 3, 66, 88), np.float32)
        for second, image in zip(range(200), decode(clip.video(root)), strict=False):
            image = cv2.resize(image, (88, 66)).astype(np.float32) / 255
            frames[second] = ((image - mean) / std).transpose(2, 0, 1)
        mfcc = np.load(clip.mfcc(root))[:, :8616]
        samples["frames"].append(frames)
        samples["mfcc"].append(np.pad(mfcc, ((0, 0), (0, 8616 - mfcc.shape[1]))).astype(np.float32))
        samples["text_roi"].append((np.load(clip.text_roi(root)) > 0).astype(np.float32))
    return {name: torch.from_numpy(np.stack(arrays)) for name, arrays in samples.items()}


def as_baseline(batch: Batch, standardise: bool = True) -> Batch:
    """A batch of this project, on the CPU, in the baseline's form: equal pictures make the answers comparable."""
    frames = FrameInput(standardise)(batch["frames"].flatten(0, 1)).unflatten(0, batch["frames"].shape[:2])
    return {"frames": frames.contiguous(), "mfcc": batch["mfcc"], "text_roi": batch["text_roi"].float()}


# ---------------------------------------------------------------- training


def baseline_network(sizes: dict, device: torch.device) -> AVTNet:
    """AVTNet that takes its pictures as float32 NCHW, already scaled."""
    net = build_network(AVTNet, sizes).to(device)
    net.video_net.input = nn.Identity()
    return net


def baseline_optimizer(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), LR)


def baseline_step(net: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, seconds: Tensor) -> float:
    """Make one step; returns its loss."""
    device = seconds.device
    optimizer.zero_grad()
    found = net(**{name: value.to(device) for name, value in batch.items()})["out"].squeeze(1) * 200
    loss = nn.functional.smooth_l1_loss(found, seconds)
    loss.backward()
    optimizer.step()
    return loss.item()


def baseline_epoch(
    net: nn.Module, device: torch.device, root: Path, clip_set: ClipSet, groups: list[list[int]]
) -> list[tuple[float, float]]:
    """(seconds, of which loading) of each batch of a plain loop."""
    optimizer = baseline_optimizer(net.train())
    took = []
    for indices in groups:
        started = time.perf_counter()
        batch = baseline_batch(root, [clip_set.clips[i] for i in indices])
        loaded = time.perf_counter()
        baseline_step(net, optimizer, batch, torch.from_numpy(clip_set.seconds[indices]).to(device))
        synchronise(device)
        took.append((time.perf_counter() - started, loaded - started))
    return took


def baseline_speed(
    net: nn.Module, root: Path, clip_set: ClipSet, batch_size: int, workers: int, most_seconds: float
) -> tuple[float, float]:
    """(clips/s, share of waiting) of the plain loop, with torch's DataLoader and so many worker processes."""
    device = next(net.parameters()).device
    optimizer = baseline_optimizer(net.train())
    order = [index for group in rotating(len(clip_set), batch_size, LOADER_STEPS) for index in group]
    # The samples are (clip, label) pairs and collate_fn reads the files, so no Dataset class is needed.
    samples = [(clip_set.clips[i], clip_set.seconds[i]) for i in order]
    loader = torch.utils.data.DataLoader(samples, batch_size, num_workers=workers, pin_memory=device.type == "cuda",
                                         collate_fn=functools.partial(collate_baseline, root))
    waiting, marks = 0.0, []
    asked = time.perf_counter()
    for batch, seconds in loader:
        came = time.perf_counter()
        waiting += came - asked if marks else 0.0
        baseline_step(net, optimizer, batch, seconds.to(device))
        synchronise(device)
        asked = time.perf_counter()
        marks.append(asked)
        if asked - marks[0] > most_seconds:
            break
    took = marks[-1] - marks[0]
    return batch_size * (len(marks) - 1) / took, waiting / took


def collate_baseline(root: Path, samples: list) -> tuple[Batch, Tensor]:
    clips, seconds = zip(*samples, strict=True)
    return baseline_batch(root, list(clips)), torch.tensor(seconds)


def loader_processes(batch_size: int) -> int:
    """Worker processes: one a core, or fewer if their prefetched batches would not fit into shared memory."""
    free = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else 0
    return min(number_of_cores(), free // (READY_BATCHES * batch_size * CLIP_BYTES))
