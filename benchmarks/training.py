"""Loading, steps, inference and epochs of AVTNet's training beside a straightforward baseline, as Markdown tables.

    python benchmarks/training.py                                    # on made clips
    python benchmarks/training.py --only curves --data_root data/processed
    python benchmarks/training.py --gpu                              # one GPU, under 8 minutes
    python benchmarks/training.py --gpu --device cpu --tiny          # the same as a dry run

Baseline: of every clip OpenCV decodes the 1 fps video, all 200 pictures, and each is resized to 88x66 and standardised
in float32 on the CPU; np.load for MFCC and masks; float32 NCHW tensors; a plain loop of float32 steps with Adam.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.preprocessing import machine
from datatools.errors import UserError, run_command
from datatools.layout import CLIP_SECONDS, TRAIN, Clip
from datatools.stages import number_of_cores

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("loading", "step", "infer", "waiting", "curves", "gpu")
PICTURE = (360, 640)              # pixels of the made 1 fps videos, height and width
BATCH_SIZE = 4                    # clips, of all tables but the GPU's
LR = 3e-4
LOADING_ROUNDS = 7                # over all clips, one after the other way; the median counts
MATRIX = {"cpu": 2048, "cuda": 8192}      # side of the matrices whose product is the machine's measured rate
HEAD_STEPS = 300                  # on the trunk's features, after --train_steps of the whole network
TINY = {"hidden": 8, "frame_channels": (4, 8), "text_channels": (4, 8), "audio_channels": (16, 16, 16, 16)}
GPU_BATCH_SIZES = (4, 16, 32, 64)
GPU_COMPARED = 16                 # clips a batch where the ways are compared
GPU_SECONDS = 10.0                # of each row, after its warm-up
GPU_MOST_SECONDS = 330.0          # no further row is begun after so long; torch.compile's takes up to two minutes
WARM_STEPS = 3


# ---- tables and clocks

def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """Markdown; the first column is text, the others are numbers."""
    print(f"\n| {' | '.join(heads)} |\n| --- |" + " ---: |" * (len(heads) - 1))
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def times_faster(base: list[float], other: list[float]) -> str:
    """How many times as fast as the baseline: the median over turns, since other work on the machine comes and goes."""
    return f"{statistics.median(b / o for b, o in zip(base, other, strict=True)):.2f}"


def say(text: str) -> None:
    """Progress, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def synchronise(device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device, dtype) -> float:
    """Floating point operations a second of a large matrix product: the best of several."""
    import torch

    side = MATRIX[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    took = []
    for _ in range(8):
        synchronise(device)
        started = time.perf_counter()
        a @ b
        synchronise(device)
        took.append(time.perf_counter() - started)
    return 2 * side**3 / min(took)


def step_operations(sizes: dict) -> float:
    """Floating point operations of one clip's forward and backward pass, counted without computing them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from datatools.features import SHAPES
    from models.avtnet import AVTNet

    with torch.device("meta"):      # there the recurrent layers are the single products that the counter knows
        net = AVTNet(**sizes)
        batch = {name: torch.empty(2, *shape, dtype=torch.float32 if name == "mfcc" else torch.uint8)
                 for name, shape in SHAPES.items()}
    with FlopCounterMode(display=False) as counter:
        net(**batch)["out"].sum().backward()
    return counter.get_total_flops() / 2


# ---- clips

def make_clip(root: Path, clip: Clip, seconds: float, seed: int) -> None:
    """Features of a random but plausible clip whose scenes and sound change at `seconds`, and its 1 fps video."""
    import cv2
    import numpy as np

    from datatools.features import extract_frames
    from datatools.media import save_video

    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    height, width = PICTURE
    # Soft grain: about 5 MB a video, 24 kB a picture; libx264 gives white noise many times that.
    grain = cv2.GaussianBlur(rng.normal(0, 4, (height + 64, width + 64)).astype(np.float32), (0, 0), 1.5)[..., None]
    boxes = np.zeros((CLIP_SECONDS, 27, 36), np.uint8)
    pictures, scene, left = [], None, 0
    for second in range(CLIP_SECONDS):
        if left == 0:
            colours = rng.integers(0, 200, (6, 10, 3)).astype(np.float32) + (50 if second < seconds else 0)
            scene, left = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC), int(rng.integers(1, 8))
        left -= 1
        y, x = rng.integers(0, 64, 2)
        image = np.roll(scene, 8 * left, 1) + grain[y:y + height, x:x + width]
        if rng.random() < (0.8 if second < seconds else 0.3):      # a line of text
            first, last = sorted(rng.integers(2, 35, 2))
            boxes[second, 22:25, first:last] = 1
            image[300:330, width * first // 36:width * last // 36:4] = 255
        pictures.append(image.clip(0, 255).astype(np.uint8))
    video = clip.video(root)
    video.parent.mkdir(parents=True, exist_ok=True)
    save_video(video, pictures)
    np.save(clip.frames(root), extract_frames(video))
    np.save(clip.text_roi(root), boxes)

    # Sizes as in real sound: the first coefficient is loudness, in the hundreds, the others fall off.
    steps = 8614
    scale = np.r_[80, 60 / np.sqrt(np.arange(1, 20))][:, None]
    slow = np.repeat(rng.standard_normal((20, steps // 43 + 1)), 43, 1)[:, :steps]      # one value a second
    mfcc = scale * (0.7 * slow + 0.5 * rng.standard_normal((20, steps)))
    mfcc[0] -= 150
    mfcc[:, :int(seconds * steps / CLIP_SECONDS)] += scale * rng.standard_normal((20, 1))
    np.save(clip.mfcc(root), mfcc.astype(np.float32))


def make_clips(root: Path, count: int) -> None:
    """`count` labelled clips in the processed layout."""
    import joblib
    import numpy as np

    rng = np.random.default_rng(0)
    folder = TRAIN.folders[0]
    seconds = rng.uniform(20, 180, count).round(2).tolist()
    clips = [Clip(folder, f"made{i:04d}_{'end' if i % 2 else 'start'}") for i in range(count)]
    (root / "ROIs").mkdir(parents=True)
    joblib.Parallel(number_of_cores())(joblib.delayed(make_clip)(root, clip, s, i)
                                       for i, (clip, s) in enumerate(zip(clips, seconds, strict=True)))
    lines = [f"{clip.name} {s}\n" for clip, s in zip(clips, seconds, strict=True)]
    (root / TRAIN.label_files[0]).write_text("".join(lines), encoding="utf-8")


def labelled_parts(root: Path) -> dict:
    """The training and the validation clips of those of the competition's folders that are there."""
    from datatools.clips import labelled_clips

    there = [i for i, folder in enumerate(TRAIN.folders) if (root / folder).is_dir()]
    return labelled_clips(root, [TRAIN.folders[i] for i in there], [TRAIN.label_files[i] for i in there], 0,
                          ("mfcc", "frames", "text_roi"))


def first_clips(root: Path, count: int):
    """Up to `count` labelled clips; all have the 1 fps video that the baseline reads."""
    import numpy as np

    from datatools.clips import ClipSet

    parts = labelled_parts(root).values()
    clips = [clip for part in parts for clip in part.clips][:count]
    for clip in clips:
        if not clip.video(root).exists():
            raise UserError(f"{clip.video(root)}: missing, the baseline reads it. Run utils/extract_video.py.")
    return ClipSet(clips, np.concatenate([part.seconds for part in parts])[:count])


def rotating(num_clips: int, batch_size: int, steps: int) -> list[list[int]]:
    """`steps` batches of equal size that go round and round the clips."""
    return [[(step * batch_size + i) % num_clips for i in range(batch_size)] for step in range(steps)]


# ---- the baseline

def decode_with_opencv(video: Path):
    """The pictures of a video one by one, RGB; on one thread."""
    import cv2

    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    while True:
        there, image = capture.read()
        if not there:
            break
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    capture.release()


def decode_with_imageio(video: Path):
    """The same; its ffmpeg is a process of its own, on one thread too."""
    import imageio

    with imageio.get_reader(str(video), "ffmpeg", input_params=["-threads", "1"]) as reader:
        yield from reader


def baseline_batch(root: Path, clips: list[Clip], decode=decode_with_opencv) -> dict:
    """Tensors of several clips, all float32: frames (B, 200, 3, 66, 88), mfcc (B, 20, 8616), text_roi (B, 200, 27, 36).
    """
    import cv2
    import numpy as np
    import torch

    cv2.setNumThreads(1)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
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


def as_baseline(batch: dict) -> dict:
    """A batch of this project as the baseline holds it: the same pictures, so that answers can be compared."""
    import torch

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    frames = ((batch["frames"].float() / 255 - mean) / std).permute(0, 1, 4, 2, 3).contiguous()
    return {"frames": frames, "mfcc": batch["mfcc"], "text_roi": batch["text_roi"].float()}


def baseline_network(sizes: dict, device):
    """AVTNet that takes its pictures as float32 NCHW, standardised already."""
    import torch

    from models.avtnet import AVTNet

    net = AVTNet(**sizes).to(device)
    net.video_net.input = torch.nn.Identity()
    return net


def baseline_step(net, optimizer, batch: dict, seconds) -> float:
    import torch

    device = seconds.device
    optimizer.zero_grad()
    found = net(**{name: value.to(device) for name, value in batch.items()})["out"].squeeze(1) * 200
    loss = torch.nn.functional.smooth_l1_loss(found, seconds)
    loss.backward()
    optimizer.step()
    return loss.item()


def baseline_epoch(net, device, root: Path, clip_set, groups: list[list[int]]) -> list[tuple[float, float]]:
    """(seconds, of which loading) of each batch of a plain loop."""
    import torch

    net.train()
    optimizer = torch.optim.Adam(net.parameters(), LR)
    took = []
    for indices in groups:
        started = time.perf_counter()
        batch = baseline_batch(root, [clip_set.clips[i] for i in indices])
        loaded = time.perf_counter()
        baseline_step(net, optimizer, batch, torch.from_numpy(clip_set.seconds[indices]).to(device))
        synchronise(device)
        took.append((time.perf_counter() - started, loaded - started))
    return took


# ---- this project

def start_training(net, device, *, lr: float = LR, schedule: str = "warmup_cosine", steps: int = 1_000,
                   max_epoch: int = 64, channels_last: bool = False, compiled: bool = False):
    """As utils/training.py builds it; bfloat16, where asked for, needs no loss scaling."""
    import torch
    from utils.engine import Training, learning_rate_factor
    from utils.runner import on_devices

    net = net.to(device)
    if channels_last:
        net.video_net.frame_net.to(memory_format=torch.channels_last)
    if compiled:
        net.compile()
    optimizer = torch.optim.Adam(net.parameters(), lr)
    return Training(
        net=net, parallel=on_devices(net, [device]), optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(schedule, step / steps, max_epoch)),
        scaler=torch.amp.GradScaler(device.type, enabled=False),
    )


def timed_steps(training, batches, groups: list[list[int]], settings, *, loss=None, warm: int = 0,
                most_seconds: float = float("inf")) -> list[tuple[float, float]]:
    """(seconds, of which waiting for data) of each step after the first `warm`, as far as `most_seconds` reach."""
    from utils.engine import train_epoch

    from models.avtnet import AVTNet
    from models.losses import regression_loss
    from utils.distributed import World

    marks = [(time.perf_counter(), batches.waited)]

    def after_step(_clips: int) -> None:
        synchronise(batches.device)
        marks.append((time.perf_counter(), batches.waited))

    def stop_asked() -> bool:
        return len(marks) > warm and time.perf_counter() - marks[warm][0] > most_seconds

    training.step = 0
    train_epoch(training, AVTNet.inputs, loss or regression_loss, [[group] for group in groups], batches, settings,
                World(), stop_asked, after_step)
    if training.skipped:
        raise UserError("steps were left out, so their time tells nothing:\n  " + "\n  ".join(training.skipped))
    return [(after[0] - before[0], after[1] - before[1])
            for before, after in zip(marks[warm:], marks[warm + 1:], strict=False)]


def make_batches(root: Path, clip_set, device, num_workers: int = 0, in_memory: bool = False):
    from datatools.dataset import ClipDataset
    from models.avtnet import AVTNet
    from utils.batches import Batches

    return Batches(ClipDataset(root, clip_set, AVTNet.inputs), device, num_workers, in_memory)


# ---- the tables

def loading_table(root: Path, clip_set) -> None:
    """Clips a second of one worker."""
    import torch

    from models.layers import FrameInput

    device = torch.device("cpu")
    lists = rotating(len(clip_set), BATCH_SIZE, max(1, len(clip_set) // BATCH_SIZE))
    scale = FrameInput(standardise=True)

    def baseline(decode):
        for indices in lists:
            baseline_batch(root, [clip_set.clips[i] for i in indices], decode)

    def ours(num_workers: int, scaled: bool = False):
        for batch in make_batches(root, clip_set, device, num_workers)(lists):
            if scaled:
                scale(batch["frames"].flatten(0, 1)), batch["text_roi"].float()

    ways = {
        "baseline, OpenCV": lambda: baseline(decode_with_opencv),
        "baseline, imageio": lambda: baseline(decode_with_imageio),
        "this project, --num_workers 0": lambda: ours(0),
        "this project, --num_workers 1": lambda: ours(1),
        "this project, --num_workers 0, pictures standardised in float32 too": lambda: ours(0, True),
    }
    try:
        import imageio_ffmpeg  # noqa: F401
    except ImportError:
        del ways["baseline, imageio"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    took = {title: [] for title in ways}
    for turn in range(1 + LOADING_ROUNDS):
        for title, way in ways.items():
            if title.startswith("baseline") and turn > 2:      # slow, so its figure is steady
                continue
            started = time.perf_counter()
            way()
            if turn:      # the first brings the files into the page cache
                took[title].append((time.perf_counter() - started) / (len(lists) * BATCH_SIZE))
    torch.set_num_threads(threads)
    first = statistics.median(took["baseline, OpenCV"])
    size = statistics.mean(clip.video(root).stat().st_size for clip in clip_set.clips) / 1e6
    rows = [[title, f"{1 / (s := statistics.median(t)):.1f}", f"{1000 * s:.2f}", f"{first / s:.2f}"]
            for title, t in took.items()]
    print_table([f"loading: one worker, {len(clip_set)} clips in the page cache, 1 fps videos of {size:.1f} MB",
                 "clips/s", "ms a clip", "times baseline"], rows)


def step_table(root: Path, clip_set, device, sizes: dict, steps: int) -> None:
    """Seconds a clip of a training step; the ways take turns."""
    import torch
    from utils.engine import StepSettings

    from models.avtnet import AVTNet

    operations = step_operations(sizes)
    lists = rotating(len(clip_set), BATCH_SIZE, 1 + steps)
    batches = make_batches(root, clip_set, device)
    inputs = [as_baseline(batch) for batch in make_batches(root, clip_set, torch.device("cpu"))(lists)]
    truths = [torch.from_numpy(clip_set.seconds[indices]).to(device) for indices in lists]
    net = baseline_network({**sizes, "standardise": True}, device).train()
    optimizer = torch.optim.Adam(net.parameters(), LR)
    trainings = {last: start_training(AVTNet(**sizes, standardise=True), device, channels_last=last)
                 for last in (False, True)}

    def baseline(turn: int) -> None:
        baseline_step(net, optimizer, inputs[turn], truths[turn])

    def ours(turn: int, amp: bool, channels_last: bool) -> None:
        timed_steps(trainings[channels_last], batches, [lists[turn]], StepSettings(amp=amp))

    ways = {
        "baseline, float32, loading not counted": (baseline, torch.float32),
        "this project, float32": (lambda turn: ours(turn, False, False), torch.float32),
        "this project, float32, --channels_last": (lambda turn: ours(turn, False, True), torch.float32),
        "this project, --use_amp": (lambda turn: ours(turn, True, False), torch.bfloat16),
        "this project, --use_amp --channels_last": (lambda turn: ours(turn, True, True), torch.bfloat16),
    }
    took = {title: [] for title in ways}
    for turn in range(1 + steps):
        for title, (way, _) in ways.items():
            synchronise(device)
            started = time.perf_counter()
            way(turn)
            synchronise(device)
            if turn:
                took[title].append((time.perf_counter() - started) / BATCH_SIZE)
        say(f"step: {turn} of {steps}")
    count = sum(p.numel() for p in net.parameters()) / 1e6
    rates = {dtype: matrix_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    first = next(iter(took.values()))
    rows = [[title, f"{statistics.median(took[title]):.3f}", f"{(least := min(took[title])):.3f}",
             times_faster(first, took[title]), f"{operations / least / rates[dtype]:.0%}"]
            for title, (_, dtype) in ways.items()]
    float32, bfloat16 = (rates[dtype] / 1e9 for dtype in rates)
    print_table([f"training step: AVTNet of {count:.1f} M parameters, batch {BATCH_SIZE}, median of {steps}, {device}",
                 "s a clip", "least", "times baseline", "least: share of the matrix product's rate"], rows)
    print(f"\nA step is {operations / 1e9:.0f} GFLOP a clip; a large matrix product runs at {float32:.0f} GFLOP/s in "
          f"float32 and {bfloat16:.0f} in bfloat16. This project's rows hold its loading.")


def train_a_little(net, root: Path, clip_set, device, steps: int) -> None:
    """Train so that the answers differ from clip to clip, as a trained network's do.

    A few steps of the whole network, then the head alone on the features of all clips.
    """
    import torch
    from utils.engine import StepSettings

    from models.avtnet import AVTNet, weigh_steps
    from models.losses import regression_loss

    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None      # the mean of all steps: few steps are too short for a moving average
    batches = make_batches(root, clip_set, device)
    training = start_training(net, device, schedule="one_cycle", steps=steps, max_epoch=1)
    timed_steps(training, batches, rotating(len(clip_set), BATCH_SIZE, steps), StepSettings(amp=True))
    net.eval()
    lists = rotating(len(clip_set), BATCH_SIZE, -(-len(clip_set) // BATCH_SIZE))
    features, truths = [], []
    with torch.no_grad():
        for batch in batches(lists):
            seen = {name: batch[name] for name in AVTNet.inputs}
            with torch.autocast(device.type, torch.bfloat16):
                features.append(net.fuse(**seen).float())
            truths.append(batch["seconds"])
    features, truth = torch.cat(features), torch.cat(truths)
    optimizer = torch.optim.Adam([*net.step_head.parameters(), *net.time_head.parameters()], 1e-3)
    for _ in range(HEAD_STEPS):
        optimizer.zero_grad()
        out = net.time_head(weigh_steps(net.step_head(features), net.sharpness).squeeze(1))
        regression_loss({"out": out}, truth).backward()
        optimizer.step()


def infer_table(root: Path, clip_set, device, sizes: dict, weights: Path | None, train_steps: int) -> None:
    """Seconds a clip of inference, and how far the answers are from float32's."""
    import torch
    from utils.engine import predict

    from models.avtnet import AVTNet

    torch.manual_seed(0)
    if weights:
        from utils.runner import build_network

        from utils.checkpoint import check_network, load_checkpoint, load_weights

        content = load_checkpoint(weights)
        check_network(weights, content, "AVTNet")
        sizes = {**(content["sizes"] or {}), "standardise": True}
        net = build_network(AVTNet, sizes).to(device)
        load_weights(weights, net, content["model"])
        used = f"weights of {weights.name}"
    else:
        sizes = {**sizes, "standardise": True}
        net = AVTNet(**sizes).to(device)
        train_a_little(net, root, clip_set, device, train_steps)
        used = f"random weights, {train_steps} steps of training, {HEAD_STEPS} more of the head alone"
    state = net.state_dict()
    nets = {"plain": net, "baseline": baseline_network(sizes, device), "last": AVTNet(**sizes).to(device)}
    for other in ("baseline", "last"):
        nets[other].load_state_dict(state)
        nets[other].eval()
    nets["last"].video_net.frame_net.to(memory_format=torch.channels_last)
    lists = rotating(len(clip_set), BATCH_SIZE, max(1, len(clip_set) // BATCH_SIZE))
    batches = make_batches(root, clip_set, device)
    inputs = [as_baseline(batch) for batch in make_batches(root, clip_set, torch.device("cpu"))(lists)]

    @torch.inference_mode()
    def baseline(turn: int) -> dict:
        batch = {name: value.to(device) for name, value in inputs[turn].items()}
        out = nets["baseline"](**batch)["out"].squeeze(1) * 200
        return dict(zip(lists[turn], out.tolist(), strict=True))

    def ours(turn: int, which: str, amp: bool) -> dict:
        return predict(nets[which], AVTNet.inputs, AVTNet.seconds, batches([lists[turn]]), amp=amp)

    ways = {
        "baseline, float32, loading not counted": baseline,
        "this project, float32": lambda turn: ours(turn, "plain", False),
        "this project, float32, --channels_last": lambda turn: ours(turn, "last", False),
        "this project, --use_amp": lambda turn: ours(turn, "plain", True),
        "this project, --use_amp --channels_last": lambda turn: ours(turn, "last", True),
    }
    took, answers = {title: [] for title in ways}, {title: {} for title in ways}
    for count, turn in enumerate([0, *range(len(lists))]):      # the first time is the warm-up
        for title, way in ways.items():
            started = time.perf_counter()
            answers[title] |= way(turn)
            if count:
                took[title].append((time.perf_counter() - started) / BATCH_SIZE)
    exact = answers["this project, float32"]
    first = next(iter(took.values()))
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


def demo_preset():
    """(flags, the network's sizes, loss) of the small preset."""
    from models.losses import regression_loss, step_loss
    from utils.cli import parse_with_preset, training_parser

    parser = training_parser("", batch_size=16, standardise=False)
    args, sizes = parse_with_preset(parser, ["--preset", str(ROOT / "configs/demo_avt.yaml")])
    sizes = {name: tuple(size) if isinstance(size, list) else size for name, size in sizes.items()}
    return args, sizes, lambda out, truth: regression_loss(out, truth) + args.step_loss * step_loss(out, truth)


def waiting_table(root: Path, clip_set, device, sizes: dict, steps: int) -> None:
    """Share of an epoch that waits for data, and its clips a second, end to end."""
    from utils.engine import StepSettings

    from models.avtnet import AVTNet

    args, small, small_loss = demo_preset()
    small_settings = StepSettings(args.use_amp, args.clip_grad, args.shift, args.vary)
    rows = []
    for name, network, loss, settings, rounds, length in (
            ("configs/demo_avt.yaml", small, small_loss, small_settings, 3, 8),
            ("full AVTNet, --use_amp", sizes, None, StepSettings(amp=True), 1, steps)):
        lists = rotating(len(clip_set), BATCH_SIZE, 1 + length)
        training = start_training(AVTNet(**network), device)
        baseline_net = baseline_network(network, device)
        took: dict[str, list] = {}
        for _ in range(rounds):
            found = baseline_epoch(baseline_net, device, root, clip_set, lists)[1:]
            took.setdefault("baseline, float32, neither shifted nor varied", []).extend(found)
            for workers in (0, 1):
                batches = make_batches(root, clip_set, device, workers)
                found = timed_steps(training, batches, lists, settings, loss=loss, warm=1)
                took.setdefault(f"this project, --num_workers {workers}", []).extend(found)
        say(f"waiting: {name} done")
        first = statistics.median(step for step, _ in next(iter(took.values())))
        for title, found in took.items():
            s = statistics.median(step for step, _ in found)
            share = sum(waited for _, waited in found) / sum(step for step, _ in found)
            rows.append([f"{name}: {title}", f"{BATCH_SIZE / s:.2f}", f"{s / BATCH_SIZE:.3f}", f"{first / s:.2f}",
                         f"{share:.2%}"])
    print_table([f"training end to end, batch {BATCH_SIZE}, {device}; 24 steps of the small network, {steps} of the "
                 "full", "clips/s", "s a clip", "times baseline", "waiting for data"], rows)


def curves_table(root: Path, device, epochs: int, seeds: list[int]) -> None:
    """Training loss of the small preset, epoch by epoch, in float32 and in bfloat16."""
    import math

    import torch
    from utils.engine import StepSettings, epoch_batches, predict_all, train_epoch

    from models.avtnet import AVTNet
    from utils.distributed import World

    args, sizes, loss = demo_preset()
    parts = labelled_parts(root)
    batches = {name: make_batches(root, part, device, in_memory=True) for name, part in parts.items()}
    count = len(parts["train"])
    truth = torch.from_numpy(parts["val"].seconds)
    curves: dict[tuple[bool, int], list[float]] = {}
    scores: dict[tuple[bool, int], float] = {}
    for seed in seeds:
        for amp in (False, True):
            torch.manual_seed(seed)
            training = start_training(AVTNet(**sizes), device, lr=args.lr, schedule=args.schedule,
                                      steps=math.ceil(count / args.batch_size), max_epoch=epochs)
            settings = StepSettings(amp, args.clip_grad, args.shift, args.vary, seed)
            curve = curves.setdefault((amp, seed), [])
            for epoch in range(epochs):
                groups = [[group] for group in epoch_batches(count, args.batch_size, seed, epoch)]
                training.epoch, training.step, training.loss_sum, training.num_clips = epoch, 0, 0.0, 0
                train_epoch(training, AVTNet.inputs, loss, groups, batches["train"], settings, World(), lambda: False)
                curve.append(training.loss_sum / training.num_clips)
            found = predict_all(training.net, AVTNet.inputs, AVTNet.seconds, batches["val"], args.batch_size, World())
            scores[amp, seed] = float(((torch.from_numpy(found) - truth).abs() - 1).clamp(min=0).mean())
            say(f"curves: seed {seed}, {'bfloat16' if amp else 'float32'}: {' '.join(f'{x:.1f}' for x in curve)}")

    def spread(values: list[float]) -> str:
        return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    rows = [[str(epoch), *(spread([curves[amp, seed][epoch] for seed in seeds]) for amp in (False, True))]
            for epoch in range(epochs)]
    rows += [[f"last epoch, seed {seed}", *(f"{curves[amp, seed][-1]:.2f}" for amp in (False, True))] for seed in seeds]
    rows.append(["validation score, s", *(spread([scores[amp, seed] for seed in seeds]) for amp in (False, True))])
    print_table([f"training loss of configs/demo_avt.yaml, {count} clips; of an epoch: mean (least to most) of "
                 f"{len(seeds)} seeds", "float32 (baseline)", "bfloat16"], rows)
    last = {amp: [curves[amp, seed][-1] for seed in seeds] for amp in (False, True)}
    if len(seeds) > 1:
        difference = statistics.mean(last[True]) - statistics.mean(last[False])
        deviations = [statistics.stdev(last[amp]) for amp in (False, True)]
        print(f"\nLast epoch: bfloat16 less float32 {difference:+.2f}; deviation over seeds {deviations[0]:.2f} in "
              f"float32, {deviations[1]:.2f} in bfloat16.")


# ---- a GPU

def baseline_speed(
    root: Path, clip_set, net, batch_size: int, workers: int, most_seconds: float
) -> tuple[float, float]:
    """(clips/s, share of waiting) of the plain loop, its batches by torch's DataLoader with so many processes."""
    import functools

    import torch

    device = next(net.parameters()).device
    optimizer = torch.optim.Adam(net.train().parameters(), LR)
    order = [index for group in rotating(len(clip_set), batch_size, 400) for index in group]
    # The clip goes along with its label, so that no class is needed: collating reads the files.
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


def collate_baseline(root: Path, samples: list) -> tuple[dict, object]:
    import torch

    clips, seconds = zip(*samples, strict=True)
    return baseline_batch(root, list(clips)), torch.tensor(seconds)


def loader_processes(batch_size: int) -> int:
    """As many as cores, and as their finished batches fit into shared memory (three each: PyTorch holds two ready)."""
    free = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else 0
    return min(number_of_cores(), free // (3 * batch_size * 16_000_000))


def our_speed(training, batches, batch_size: int, amp: bool, most_seconds: float) -> tuple[float, float]:
    """(clips/s, share of waiting) of this project."""
    from utils.engine import StepSettings

    lists = rotating(len(batches.dataset), batch_size, 10_000)
    found = timed_steps(training, batches, lists, StepSettings(amp=amp), warm=WARM_STEPS, most_seconds=most_seconds)
    took = sum(step for step, _ in found)
    return batch_size * len(found) / took, sum(waited for _, waited in found) / took


def gpu_table(root: Path, clip_set, device, sizes: dict, tiny: bool) -> None:
    """Clips a second in training end to end, and the share of the card's measured rate that they are."""
    import torch

    from models.avtnet import AVTNet

    batch_sizes, compared, most_seconds = ((2, 4), 4, 1.0) if tiny else (GPU_BATCH_SIZES, GPU_COMPARED, GPU_SECONDS)
    sizes = {**sizes, "standardise": True}
    operations, rate = step_operations(sizes), matrix_rate(device, torch.bfloat16)
    processes = loader_processes(compared)

    def baseline(batch_size: int, workers: int) -> tuple[float, float]:
        return baseline_speed(root, clip_set, baseline_network(sizes, device), batch_size, workers, most_seconds)

    def ours(batch_size: int, amp=True, last=True, workers=4, in_memory=False, compiled=False) -> tuple[float, float]:
        training = start_training(AVTNet(**sizes), device, channels_last=last, compiled=compiled)
        batches = make_batches(root, clip_set, device, workers, in_memory)
        return our_speed(training, batches, batch_size, amp, most_seconds)

    # On a CPU torch.compile would follow bfloat16's recurrent layers step by step, for many minutes.
    traced = device.type == "cuda"
    best = "this project, --use_amp --channels_last --data_in_memory"
    ways = [("baseline, float32, plain loop", compared, lambda b: baseline(b, 0))]
    if processes:
        ways.append((f"baseline, float32, DataLoader of {processes} processes", compared,
                     lambda b: baseline(b, processes)))
    ways += [
        ("this project, float32", compared, lambda b: ours(b, amp=False, last=False)),
        ("this project, --use_amp", compared, lambda b: ours(b, last=False)),
        ("this project, --use_amp --channels_last", compared, ours),
        ("this project, --use_amp --channels_last --num_workers 0", compared, lambda b: ours(b, workers=0)),
        *((best, size, lambda b: ours(b, in_memory=True)) for size in batch_sizes),
        (f"{best} --compile", compared, lambda b: ours(b, traced, in_memory=True, compiled=True)),
        ("this project, --use_amp --channels_last --compile", compared, lambda b: ours(b, traced, compiled=True)),
    ]
    rows, first, started = [], None, time.perf_counter()
    for title, batch_size, way in ways:
        begun = time.perf_counter()
        if begun - started > GPU_MOST_SECONDS:
            rows.append([title, str(batch_size), *["not run, out of time"] * 5])
            continue
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        try:
            speed, waiting = way(batch_size)
        except (RuntimeError, UserError) as error:      # one way that fails, or does not fit, must not cost the others
            rows.append([title, str(batch_size), *["failed"] * 5])
            print(f"\n{title}, batch {batch_size}: {type(error).__name__}: {error}", flush=True)
            continue
        first = first or speed
        memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")
        rows.append([title, str(batch_size), f"{speed:.1f}", f"{speed / first:.1f}", f"{waiting:.1%}",
                     f"{speed * operations / rate:.1%}", f"{memory:.1f}"])
        say(f"gpu: {rows[-1]}, {time.perf_counter() - begun:.0f} s with its warm-up")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"\n{where}: a product of two {MATRIX[device.type]}x{MATRIX[device.type]} matrices in bfloat16 runs at "
          f"{rate / 1e12:.1f} TFLOP/s; a step is {operations / 1e9:.0f} GFLOP a clip.")
    print_table(["training end to end on a GPU: full AVTNet", "batch", "clips/s", "times baseline", "waiting for data",
                 "share of the matrix product's rate", "GiB"], rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TABLES, metavar="TABLE", help=f"of {', '.join(TABLES)}")
    parser.add_argument("--gpu", action="store_true", help="short for --only gpu")
    parser.add_argument("--data_root", type=Path, help="processed, labelled clips with their 1 fps videos (default: "
                        "clips are made, and the table of curves is left out)")
    parser.add_argument("--clips", type=int, default=16, help="of all tables but the curves (%(default)s)")
    parser.add_argument("--steps", type=int, default=5, help="of each way through the full network (%(default)s)")
    parser.add_argument("--weights", type=Path, help="checkpoint of an AVTNet for the table of inference")
    parser.add_argument("--train_steps", type=int, default=8, help="without --weights: steps before it (%(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="of the curves (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the curves (%(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU where there is one")
    parser.add_argument("--tiny", action="store_true", help="a tiny network in place of the full one")
    args = parser.parse_args(argv)

    import torch
    from utils.runner import choose_devices

    tables = ["gpu"] if args.gpu else args.only or TABLES
    device = choose_devices(args.device)[0]
    if args.gpu and device.type != "cuda" and args.device != "cpu":
        raise UserError("--gpu: no GPU is there. --gpu --device cpu --tiny tries the table on a CPU.")
    sizes = TINY if args.tiny else {}
    print(f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads"
          + (f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else "")
          + (f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = args.data_root
        if root is None:
            started = time.perf_counter()
            root = Path(folder) / "made"
            make_clips(root, args.clips)
            say(f"{args.clips} clips made in {time.perf_counter() - started:.0f} s")
        clip_set = first_clips(root, args.clips)
        for table in tables:
            started = time.perf_counter()
            if table == "loading":
                loading_table(root, clip_set)
            elif table == "step":
                step_table(root, clip_set, device, sizes, args.steps)
            elif table == "infer":
                infer_table(root, clip_set, device, sizes, args.weights, args.train_steps)
            elif table == "waiting":
                waiting_table(root, clip_set, device, sizes, args.steps)
            elif table == "curves" and args.data_root is None:
                print("\nCurves: left out, they need --data_root with labelled clips (make demo makes some).")
            elif table == "curves":
                curves_table(root, device, args.epochs, args.seeds)
            elif device.type == "cuda" or args.gpu:
                gpu_table(root, clip_set, device, sizes, args.tiny)
            else:
                print("\nGPU: left out, none is there.")
            say(f"{table}: {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    run_command(main)
