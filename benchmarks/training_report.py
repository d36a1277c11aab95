"""The output of benchmarks/training.py: the machine, then one table after the other."""

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.gpu_table import SMALL, Size, gpu_table
from benchmarks.inference_table import infer_table, trained_checkpoint
from benchmarks.machine import machine
from benchmarks.measuring import say
from benchmarks.random_clips import first_clips, make_clips
from benchmarks.training_tables import curves_table, loading_table, step_table, waiting_table
from datatools.clips import ClipSet
from datatools.errors import UserError
from utils.devices import choose_devices

TINY = {"hidden": 8, "frame_channels": (4, 8), "text_channels": (4, 8), "audio_channels": (16, 16, 16, 16)}


def print_report(tables: Iterable[str], args: argparse.Namespace) -> None:
    """Print these tables with the command's flags. Raises UserError."""
    device = choose_devices(args.device)[0]
    if args.gpu and device.type != "cuda" and args.device != "cpu":
        raise UserError("--gpu: no GPU is there. --gpu --device cpu --tiny tries the table on a CPU.")
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
            show_table(table, args, root, clip_set, device)
            say(f"{table}: {time.perf_counter() - started:.0f} s")


def show_table(table: str, args: argparse.Namespace, root: Path, clip_set: ClipSet, device: torch.device) -> None:
    """Print one table, or the reason why it is left out."""
    sizes = TINY if args.tiny else {}
    if table == "loading":
        loading_table(root, clip_set)
    elif table == "step":
        step_table(root, clip_set, device, sizes, args.steps)
    elif table == "infer" and args.weights:
        infer_table(root, clip_set, device, args.weights, f"weights of {args.weights.name}")
    elif table == "infer":
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, used = trained_checkpoint(Path(folder), root, clip_set, device, sizes, args.train_steps)
            infer_table(root, clip_set, device, checkpoint, used)
    elif table == "waiting":
        waiting_table(root, clip_set, device, sizes, args.steps)
    elif table == "curves" and args.data_root is None:
        print("\nCurves: left out, they need --data_root with labelled clips (make demo makes some).")
    elif table == "curves":
        curves_table(root, device, args.epochs, args.seeds)
    elif device.type == "cuda" or args.gpu:
        gpu_table(root, clip_set, device, sizes, SMALL if args.tiny else Size())
    else:
        print("\nGPU: left out, none is there.")
