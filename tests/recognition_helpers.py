"""What the tests of the video recogniser share: a handful of small videos with lists, and trainings of milliseconds."""

import contextlib
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from media_files import write_media

import actionclip_main
import timesformer_main

COUNTS = {"train": 12, "val": 5, "test": 7}     # videos of each list: with batches of two, six steps an epoch
CLASSES = ("dark", "green", "blue", "grey", "purple", "white", "red")
COLOURS = ((20, 20, 20), (40, 200, 40), (40, 40, 200), (110, 110, 110), (160, 40, 160), (235, 235, 235), (200, 40, 40))
# Four frames that span 0.53 s of 1.2 s, so that their place is drawn; every second picture is mirrored.
SETTINGS = ("--pretrained none --gpus cpu --max_epoch 3 --batch_size 2 --accumulation_step 1 --num_workers 0 --lr 0.05 "
            "--schedule one_cycle --num_frames 4 --sampling_rate 4 --image_size 16").split()
SIZES = ("patch_size=8", "width=24", "depth=2", "heads=2", "mlp_ratio=2")
NOISE = ("--sizes", *SIZES, "dropout=0.2", "drop_path=0.3")
STEADY = ("--sizes", *SIZES, "drop_path=0")
# ActionCLIP's narrowest towers; of its vocabulary every word has its weights, so a step takes some 50 ms.
TOWERS = ("patch_size=8", "width=64", "depth=1", "embed=32", "text_width=64", "text_depth=1", "fusion=Transf")
MATCHING_NOISE = ("--sizes", *TOWERS, "drop_out=0.2", "emb_dropout=0.1")
MATCHING = ("--pretrained none --gpus cpu --max_epoch 2 --batch_size 4 --num_workers 0 --lr 0.001 --f_ratio 1 "
            "--weight_decay 0 --schedule one_cycle --num_frames 4 --image_size 16").split()


def moving(label: int, seed: int, count: int = 12) -> list[np.ndarray]:
    """`count` pictures of a class's colour with a bright bar that moves, so that each frame is its own."""
    rng = np.random.default_rng(seed)
    pictures = []
    for number in range(count):
        picture = np.clip(np.array(COLOURS[label]) + rng.normal(0, 12, (24, 32, 3)), 0, 255).astype(np.uint8)
        picture[:, 2 * number:2 * number + 4] = 255
        pictures.append(picture)
    return pictures


def make_videos(root: Path, named: bool = False) -> Path:
    """train.csv, val.csv and test.csv of .mp4 and .mkv files of 1.2 s; `named`: their labels are words."""
    root.mkdir(parents=True, exist_ok=True)
    for split, count in COUNTS.items():
        lines = []
        for number in range(count):
            label = number % len(CLASSES)
            video = write_media(root / f"{split}{number}{'.mkv' if number % 2 else '.mp4'}",
                                moving(label, 100 * len(split) + number))
            lines.append(f"{video} {CLASSES[label] if named else label}\n")
        (root / f"{split}.csv").write_text("".join(lines))
    return root


def recognition_flags(data: Path, folder: Path, *more) -> list[str]:
    """The command line of a small training; of a flag given twice the later one counts."""
    return [*SETTINGS, "--sizes", *SIZES, "--data_root", str(data), "--save_prefix", str(folder), *map(str, more)]


def train_recogniser(argv: list[str]) -> int:
    """timesformer_main.py, without its lines on stderr."""
    with contextlib.redirect_stderr(io.StringIO()):
        return timesformer_main.main(argv)


def matching_flags(data: Path, folder: Path, *more) -> list[str]:
    """The same for ActionCLIP."""
    return [*MATCHING, "--sizes", *TOWERS, "--data_root", str(data), "--save_prefix", str(folder), *map(str, more)]


def train_matching(argv: list[str]) -> int:
    """actionclip_main.py, without its lines on stderr."""
    with contextlib.redirect_stderr(io.StringIO()):
        return actionclip_main.main(argv)
