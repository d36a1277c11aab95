"""TimeSformer beside transformers' and beside plain attention, as two Markdown tables: about five minutes, 12 GB.

    python benchmarks/timesformer.py                     # the base network on a CPU
    python benchmarks/timesformer.py --only memory --frames 16

Speed: one clip of 8x224x224 through both networks with the same weights in float32, in turn. Memory: one training step
on one clip, forward and backward pass, each row in a process of its own. Plain attention computes all attention
weights as one tensor, and keeps them for the backward pass.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.machine import machine
from benchmarks.measuring import print_table, say, times_faster
from datatools.errors import UserError, run_command
from models import timesformer
from models.timesformer import ATTENTIONS, TimeSformer
from models.timesformer_reference import from_reference

TABLES = ("speed", "memory")
WAYS = ("plain attention", "fused attention", "fused attention, checkpointing")


def print_speed(turns: int) -> None:
    """Print the seconds of a forward pass of both networks, and how far their answers differ."""
    try:
        from transformers import TimesformerConfig, TimesformerForVideoClassification
    except ImportError:
        raise UserError("transformers is not installed, which the speed is compared with. Install "
                        "requirements-dev.txt, or take --only memory.") from None
    torch.manual_seed(0)
    net = TimeSformer().eval()
    peer = TimesformerForVideoClassification(TimesformerConfig(num_labels=400)).eval()
    names = from_reference("TimeSformer", {name: name for name in peer.state_dict()})
    weights = net.state_dict()
    for name, weight in weights.items():
        if "temporal_fc.weight" in name or name == "time_embed":      # zeros at first
            torch.nn.init.trunc_normal_(weight, std=0.02)
    peer.load_state_dict({theirs: weights[ours] for ours, theirs in names.items()})
    clip = torch.randn(1, 3, 8, 224, 224)
    ways = {"transformers": lambda: peer(clip.transpose(1, 2)).logits, "ours": lambda: net.forward_clip(clip)["logits"]}
    seconds = {way: [] for way in ways}
    with torch.inference_mode():
        answers = {way: forward() for way, forward in ways.items()}
        for turn in range(turns):
            say(f"turn {turn + 1} of {turns}")
            for way, forward in ways.items():
                started = time.perf_counter()
                forward()
                seconds[way].append(time.perf_counter() - started)
    print_table(["forward pass", "s, median", "s, least", "times faster"], [
        [way, f"{statistics.median(took):.2f}", f"{min(took):.2f}", times_faster(seconds["transformers"], took)]
        for way, took in seconds.items()])
    difference = (answers["ours"] - answers["transformers"]).abs().max()
    print(f"\nLargest difference of the logits: {difference:.1e}, of logits up to "
          f"{answers['transformers'].abs().max():.1f}.")


def print_memory(attention: str, frames: int) -> None:
    """Print the peak memory of a training step in each way."""
    peaks, rows = [], []
    for way in WAYS:
        command = [sys.executable, __file__, "--row", attention, str(frames), way]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        peak, seconds = map(float, answer.split())
        say(f"{way}: {peak:.2f} GiB, {seconds:.0f} s")
        peaks.append(peak)
        rows.append([way, f"{peak:.2f}", f"{peak / peaks[0]:.2f}", f"{seconds:.0f}"])
    print_table([f"a step of {attention}, {frames} frames", "GiB beside the weights", "of plain", "s"], rows)


def measure_row(attention: str, frames: int, way: str) -> None:
    """Print the GiB that a training step takes beside the weights, its gradients among them, and its seconds."""
    torch.manual_seed(0)
    net = TimeSformer(frames=frames, attention=attention, checkpointing=way == WAYS[2]).train()
    if way == WAYS[0]:
        timesformer.scaled_dot_product_attention = plain_attention
    video = torch.randint(0, 256, (1, frames, 224, 224, 3), dtype=torch.uint8)
    Path("/proc/self/clear_refs").write_text("5")      # sets the kernel's mark to what is held now
    before, started = peak_memory(), time.perf_counter()
    cross_entropy(net(video)["logits"], torch.zeros(1, dtype=torch.long)).backward()
    print(peak_memory() - before, time.perf_counter() - started)


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(3) @ value


def peak_memory() -> float:
    """The most memory that this process has held, GiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=TABLES, help=f"one of {', '.join(TABLES)}")
    parser.add_argument("--turns", type=int, default=10, help="of the speed (%(default)s)")
    parser.add_argument("--attention", choices=ATTENTIONS, default=ATTENTIONS[0], help="of the memory (%(default)s)")
    parser.add_argument("--frames", type=int, default=32, help="of the memory (%(default)s)")
    parser.add_argument("--row", nargs=3, metavar=("ATTENTION", "FRAMES", "WAY"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.row:
        measure_row(args.row[0], int(args.row[1]), args.row[2])
        return 0
    print(f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    if args.only != "memory":
        print_speed(args.turns)
    if args.only != "speed":
        print_memory(args.attention, args.frames)
    return 0


if __name__ == "__main__":
    run_command(main)
