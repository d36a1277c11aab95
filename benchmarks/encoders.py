"""CPU seconds of each encoder for one clip of 200 s, beside plain torch and onnxruntime, as Markdown tables.

    python benchmarks/encoders.py                  # a made clip
    python benchmarks/encoders.py clip.mp4
    python benchmarks/encoders.py clip.mp4 --encoder transnetv2

One process, one thread a library, as in a run over many clips with one process a core. Where the package onnx is
installed, which torch needs to write its files, efficientnet_lite0 and transnetv2 are also run on onnxruntime.
"""

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

# Set before the imports below, because the libraries read it when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from benchmarks.cuts import WINDOW, package_net
from benchmarks.machine import machine
from datatools.commands import CommandParser
from datatools.encoders import CUT_RATE, Encoder, efficientnet, find_encoder, loaded, transnet
from datatools.encoders.picture_net import load_weights
from datatools.encoders.transnet_net import StretchNet
from datatools.errors import run_command
from datatools.features import encode_sound, extract_pictures
from datatools.layout import CLIP_SECONDS
from datatools.media import SAMPLE_RATE, read_audio, read_frames
from datatools.onnx_silent import import_onnxruntime
from datatools.paths import path
from datatools.tables import markdown_table
from synth.plan import plan_clip
from synth.render import render_clip

NAMES = (efficientnet.NAME, "silero", transnet.NAME)
BATCHES = (1, 4, 16)
PICTURES = 48           # that the ways of computing are compared on; the table tells of 200


def cpu_seconds(function: Callable, *arguments) -> float:
    """CPU seconds of the second call; the first one loads and sets up."""
    function(*arguments)
    begun = time.process_time()
    function(*arguments)
    return time.process_time() - begun


def as_onnx(net: torch.nn.Module, example: torch.Tensor, file: Path):
    """An onnxruntime session of a network, one thread; None where the package onnx is missing."""
    if importlib.util.find_spec("onnx") is None:
        return None
    with torch.no_grad():
        torch.onnx.export(net, (example,), str(file), dynamo=False, input_names=["x"], opset_version=17,
                          dynamic_axes={"x": {0: "batch"}} if example.dim() == 4 else None)
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def show_all(clip: Path) -> None:
    """Decode what transnetv2 sees, and make its pictures."""
    small = loaded(find_encoder(transnet.NAME)).small
    for image in read_frames(clip, [place / CUT_RATE for place in range(CLIP_SECONDS * CUT_RATE)]):
        if image is not None:
            small(image)


def clip_rows(clip: Path, encoders: list[Encoder]) -> list[list[str]]:
    """A row for each encoder: what it adds to the one pass over the clip."""
    samples = read_audio(clip)
    alone = cpu_seconds(extract_pictures, clip)
    rows = [["decoding and small frames alone", f"{alone:.1f}"],
            [f"decoding {CUT_RATE} pictures a second for transnetv2 alone", f"{cpu_seconds(show_all, clip):.1f}"]]
    for encoder in encoders:
        if encoder.takes == "sound":
            cost = cpu_seconds(encode_sound, samples, [encoder])
        else:
            cost = cpu_seconds(lambda encoder=encoder: extract_pictures(clip, encoders=[encoder])) - alone
        rows.append([encoder.name, f"{cost:.1f}"])
    return rows


def picture_rows(folder: Path) -> list[list[str]]:
    """CPU s for 200 different pictures through efficientnet_lite0, by the way of computing and the batch."""
    encoder = find_encoder(efficientnet.NAME)
    plain, running = efficientnet.network(encoder).eval(), loaded(encoder)
    session = as_onnx(efficientnet.network(encoder).eval(), torch.zeros(2, 3, 224, 224), folder / "net.onnx")
    images = np.random.default_rng(0).integers(0, 256, (PICTURES, 224, 224, 3), dtype=np.uint8)
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128
    last, fast = x.contiguous(memory_format=torch.channels_last), running.net
    ways = {"torch": lambda b: [plain(part) for part in x.split(b)],
            "torch, norms folded, channels last": lambda b: [fast(part) for part in last.split(b)]}
    if session:
        ways["onnxruntime"] = lambda b: [session.run(None, {"x": part.numpy()}) for part in x.contiguous().split(b)]
    with torch.inference_mode():
        return [[name, *(f"{cpu_seconds(way, batch) * CLIP_SECONDS / PICTURES:.1f}" for batch in BATCHES)]
                for name, way in ways.items()]


def cut_rows(folder: Path) -> list[list[str]]:
    """CPU ms a picture of transnetv2's network, and a stretch; each picture of a whole run is computed twice."""
    encoder = find_encoder(transnet.NAME)
    net, length = package_net(encoder), 2 * transnet.AROUND
    window = torch.randint(0, 256, (1, WINDOW, 27, 48, 3), dtype=torch.uint8)
    stretches = window[0, :WINDOW // length * length].unflatten(0, (-1, length))

    def row(name: str, cost: float, pictures: int) -> list[str]:
        return [name, f"{cost / pictures * 1000:.1f}", f"{cost / pictures * 1000 * (length + 2):.0f}"]

    with torch.inference_mode():
        rows = [row("the package's, float32", cpu_seconds(net, window), WINDOW)]
    if session := as_onnx(net, window.clone(), folder / "cuts.onnx"):
        cost = cpu_seconds(lambda: session.run(None, {"x": window.numpy()}))
        rows.append(row("the same by onnxruntime", cost, WINDOW))
    weights, pictures = load_weights(encoder.weights), len(stretches) * (length + 2)
    for name, dtype in (("of stretches, float32", torch.float32), ("of stretches, bfloat16", torch.bfloat16)):
        rows.append(row(name, cpu_seconds(StretchNet(weights, dtype), stretches), pictures))
    return rows


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=path, help="a clip of your own (default: a made one)")
    parser.add_argument("--encoder", nargs="+", choices=NAMES, default=NAMES, help="default: all")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        clip = args.clip
        if clip is None:
            clip = Path(folder) / "made_start.mp4"
            render_clip(plan_clip(0, 0, "s"), clip)
        print(machine(), f"\n\n{len(read_audio(clip)) / SAMPLE_RATE:.0f} s of sound\n")
        encoders = [find_encoder(name) for name in args.encoder]
        print(markdown_table(["added by", "CPU s a clip"], clip_rows(clip, encoders)), "\n")
        if efficientnet.NAME in args.encoder:
            heading = ["200 different pictures, CPU s, in batches of", *map(str, BATCHES)]
            print(markdown_table(heading, picture_rows(Path(folder))), "\n")
        if transnet.NAME in args.encoder:
            heading = ["network of transnetv2", "CPU ms a picture", "CPU ms a stretch"]
            print(markdown_table(heading, cut_rows(Path(folder))))
    return 0


if __name__ == "__main__":
    run_command(main)
