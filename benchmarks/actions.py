"""TimeSformer on made actions, which only the order of their frames tells apart, as Markdown tables.

    python benchmarks/actions.py                       # three seeds, about 40 minutes on two cores
    python benchmarks/actions.py --seeds 0 --ways divided

For each seed: other clips (synth/actions.py), and a training of configs/timesformer_small.yaml from random weights with
divided attention, and one with space_only, which sees a bag of frames. The best epoch on val.csv is tested on test.csv.
Beside them a logistic regression on the mean of a clip's frames. Frames in a bag can reach 12.5 % at most.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import machine
from benchmarks.measuring import print_table, say
from datatools.errors import UserError, run_command
from datatools.video_dataset import Sampling, VideoDataset
from datatools.video_lists import CLASSES_FILE, read_video_lists
from synth.actions import MOTIONS, make_actions
from utils.run_folder import BEST, read_records

ROOT = Path(__file__).resolve().parents[1]
PRESET = ROOT / "configs/timesformer_small.yaml"
WAYS = {"divided": "divided_space_time", "space_only": "space_only"}
BASELINE = Sampling(num_frames=8, segments=True, size=32, short_side=(32, 32), crops=1)
CURVE_MINUTES = (1, 2, 3, 4, 5, 6, 8, 10)


def train_and_test(data: Path, folder: Path, attention: str, seed: int) -> dict:
    """Train and test in processes of their own: {"seconds", "cpu", "top1", "records"}."""
    words = [sys.executable, ROOT / "timesformer_main.py", "--preset", PRESET, "--data_root", data]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run([*words, "--save_prefix", folder, "--seed", str(seed), "--sizes", f"attention={attention}", "--overwrite"])
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    run([*words[:2], "--data_root", data, "--save_prefix", folder, "--weights", folder / BEST, "--crops", "1"])
    return {"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "top1": json.loads((folder / "test.json").read_text())["top1"], "records": read_records(folder)}


def run(words: list) -> None:
    if subprocess.run(list(map(str, words)), stdout=sys.stderr).returncode:
        raise UserError(f"{' '.join(map(str, words))} failed. See its message above.")


def baseline(data: Path) -> float:
    """Top-1 accuracy (per cent) of a logistic regression on the mean of each clip's frames."""
    lists = read_video_lists({split: data / f"{split}.csv" for split in ("train", "test")}, data / CLASSES_FILE)
    means = {}
    for split, videos in lists.items():
        dataset = VideoDataset(videos, "val", BASELINE)
        means[split] = np.stack([dataset.batch([index])["video"].numpy().mean((0, 1)).ravel()
                                 for index in range(len(dataset))])
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    regression.fit(means["train"], lists["train"].labels)
    return 100 * regression.score(means["test"], lists["test"].labels)


def curve(records: list[dict]) -> list[str]:
    """The validation's top-1 after so many minutes of the training, "" after its end."""
    ends = np.cumsum([record["seconds"] for record in records]) / 60
    shown = []
    for minutes in CURVE_MINUTES:
        done = int(np.searchsorted(ends, minutes, side="right"))
        over = done == len(records) and minutes >= ends[-1] + 1
        shown.append("" if over or not done else f"{records[done - 1]['val_top1']:.1f}")
    return shown


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of clips and weights (%(default)s)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="(%(default)s)")
    parser.add_argument("--work_dir", type=Path, default=Path("work_dir/actions"), help="(%(default)s)")
    args = parser.parse_args(argv)
    print(machine())
    rows, curves = [], []
    for seed in args.seeds:
        data = args.work_dir / f"data{seed}"
        say(f"seed {seed}: clips")
        if make_actions(data, seed=seed).exit_code:
            raise UserError(f"{data}: clips are missing. See the message above.")
        lines = len((data / "test.csv").read_text().splitlines())
        noise = 100 * math.sqrt(1 / len(MOTIONS) * (1 - 1 / len(MOTIONS)) / lines)
        for way in args.ways:
            say(f"seed {seed}: {way}")
            found = train_and_test(data, args.work_dir / f"{way}{seed}", WAYS[way], seed)
            best = max(record["val_top1"] for record in found["records"])
            rows.append([f"{way}, seed {seed}", f"{found['top1']:.1f}", f"{best:.1f}", f"{found['seconds'] / 60:.1f}",
                         f"{found['cpu']:.0f}"])
            curves.append([f"{way}, seed {seed}", *curve(found["records"])])
        rows.append([f"mean of frames, seed {seed}", f"{baseline(data):.1f}", "", "", ""])
        print(f"seed {seed}: {lines} test clips; chance 12.5 %, its standard deviation {noise:.1f} %", flush=True)
    print_table(["top-1, %", "test", "validation, best", "minutes of training", "CPU seconds"], rows)
    print_table(["validation top-1, % after minutes", *map(str, CURVE_MINUTES)], curves)
    return 0


if __name__ == "__main__":
    run_command(main)
