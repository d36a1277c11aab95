"""What locate.py's looks at one episode cost, as a Markdown table.

    python benchmarks/locate_cost.py episode.mkv                     # with an untrained AVTDist
    python benchmarks/locate_cost.py episode.mkv --weights default

CPU seconds, with one thread where a library asks; each row is measured once, but for those of sound, of which the best
of three counts. The second look is that of an opening's end at a tenth and an ending's start at nine tenths.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import yaml

from benchmarks.machine import machine
from datatools.commands import CommandParser
from datatools.errors import UserError, run_command
from datatools.media.probe import audio_stream, open_media, probe
from datatools.paths import path
from datatools.tables import markdown_table
from episodes.evidence import EpisodeEvidence, Evidence
from episodes.fingerprint import make_prints
from episodes.gathering import second_look
from episodes.network_evidence import needed_encoders, network_evidence
from episodes.reading import duration_of, read_parts
from models.avt_dist import AVTDist
from utils.checkpoint import save_checkpoint
from utils.default_weights import or_default
from utils.predict import Predictor

PRESET = Path(__file__).resolve().parents[1] / "configs/avt_dist.yaml"
SOUND_RUNS = 3


def cpu_seconds(work: Callable, runs: int = 1) -> tuple[object, float]:
    """(what it returned, the least CPU seconds of so many runs)."""
    best = float("inf")
    for _ in range(runs):
        started = time.process_time()
        found = work()
        best = min(best, time.process_time() - started)
    return found, best


def predictor_of(weights: Path | None) -> Predictor:
    """The checkpoint's, or that of an untrained AVTDist of the preset's sizes, which costs as much."""
    if weights is not None:
        return Predictor(or_default(weights), gpus="cpu")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "untrained.pth")
        sizes = yaml.safe_load(PRESET.read_text(encoding="utf-8"))["network"]
        save_checkpoint(file, {"network": "AVTDist", "sizes": sizes, "text_detector": None,
                               "model": AVTDist(**sizes).state_dict()})
        return Predictor(file, gpus="cpu")


def decode_sound(video: Path) -> None:
    """PyAV's own loop: the least that decoding the sound can cost here."""
    with open_media(video) as container:
        stream = audio_stream(container)
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def measure(video: Path, predictor: Predictor) -> list[list[str]]:
    duration, encoders = duration_of(video), needed_encoders([predictor])
    _, decoding = cpu_seconds(lambda: decode_sound(video), SOUND_RUNS)
    _, sound = cpu_seconds(lambda: make_prints(video, pictures=False), SOUND_RUNS)
    _, prints = cpu_seconds(lambda: make_prints(video))
    parts, reading = cpu_seconds(lambda: read_parts(video, duration, encoders=encoders))
    found, networks = cpu_seconds(lambda: network_evidence(parts, duration, [predictor], encoders))
    edges = (Evidence("networks", "opening", None, duration / 10), Evidence("networks", "ending", 0.9 * duration, None))
    asked = replace(EpisodeEvidence(duration), spans=edges)
    _, second = cpu_seconds(lambda: second_look(video, asked))
    rows = [("decoding the sound, PyAV's own loop", decoding), ("prints of the sound", sound),
            ("prints of sound and keyframes", prints), ("head and tail, sound and a picture a second", reading),
            ("the network on their windows", networks), ("the second look", second),
            ("all with the network", prints + reading + networks + second)]
    return [[name, f"{seconds:.2f}", f"{seconds / decoding:.2f}"] for name, seconds in rows]


def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument("video", type=path, help="an episode with sound")
    parser.add_argument("--weights", type=path, metavar="CHECKPOINT", help="a boundary network's, or `default`")
    arguments = parser.parse_args(argv)
    with open_media(arguments.video) as container:
        if audio_stream(container) is None:
            raise UserError(f"{arguments.video}: no sound in it. Give a video with sound.")
    torch.set_num_threads(1)
    told = probe(arguments.video)
    rows = measure(arguments.video, predictor_of(arguments.weights))
    print(f"{told.duration or 0:.0f} s of video; {machine()}\n")
    print(markdown_table(["what", "CPU seconds", "times decoding the sound"], rows))


if __name__ == "__main__":
    run_command(main)
