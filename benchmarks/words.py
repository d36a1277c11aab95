"""ActionCLIP on made words (colour, shape, motion), combinations that were not trained among them, as Markdown tables.

    python benchmarks/words.py                         # three seeds, on two cores
    python benchmarks/words.py --seeds 0 --fusions Transf

For each seed: other clips (synth/actions.py), and a training of configs/actionclip_small.yaml from random weights with
the fusion Transf, and one with meanP, which sees a bag of frames. The best epoch on val.csv is tested on test.csv,
whose names were trained, and on unseen.csv, whose names were not, always among all names. The motion counts as right
where the answer's last words are right. Frames in a bag reach 1/6 of the motions of test.csv at most.
"""

import argparse
import resource
import shutil
import sys
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.actions import CURVE_MINUTES, ROOT, curve, run
from benchmarks.machine import machine
from benchmarks.measuring import print_table, say
from datatools.errors import UserError, run_command
from datatools.lists import read_csv
from synth.actions import CLASSES, UNSEEN, class_names, make_actions
from utils.evaluation import bootstrap_interval
from utils.run_folder import BEST, read_records

PRESET = ROOT / "configs/actionclip_small.yaml"
TRAIN = 384                        # scenes, 16 of each colour and shape
LISTS = ("test", UNSEEN)
Right = dict[str, np.ndarray]      # whether each clip's answer is right, by what is asked; "scene" is the clip's


def make_words(data: Path, seed: int) -> None:
    """Make the clips, and for each list of LISTS a folder that holds it as test.csv."""
    if make_actions(data, train=TRAIN, seed=seed, kind="words").exit_code:
        raise UserError(f"{data}: clips are missing. See the message above.")
    for name in LISTS:
        folder = data / "asked" / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / f"{name}.csv", folder / "test.csv")
        shutil.copy(data / CLASSES, folder)


def train(data: Path, folder: Path, fusion: str, seed: int) -> dict:
    """Train in a process of its own: {"seconds", "cpu", "records"}."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run([sys.executable, ROOT / "actionclip_main.py", "--preset", PRESET, "--templates",
         ROOT / "configs/plain_template.txt", "--data_root", data, "--save_prefix", folder, "--seed", str(seed),
         "--sizes", f"fusion={fusion}", "--overwrite"])
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "records": read_records(folder)}


def test(data: Path, folder: Path, name: str) -> Right:
    """What the best epoch answers for a list, among all names."""
    output = folder / name
    run([sys.executable, ROOT / "actionclip_main.py", "--weights", folder / BEST, "--data_root", data / "asked" / name,
         "--output", output])
    rows = [line.fields for line in read_csv(output / "test_answers.csv", "answers", "Run the benchmark again.")[1:]]
    return judged([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


def judged(paths: list[str], truth: list[str], found: list[str]) -> Right:
    """Compare names such as "red circle growing twice": as a whole, and word by word."""
    split = [[(*name.split(" ", 2),) for name in names] for names in (truth, found)]
    right = {word: np.array([one[place] == other[place] for one, other in zip(*split, strict=True)])
             for place, word in enumerate(("colour", "shape", "motion"))}
    scenes = np.array([int(Path(path).name.split("_")[0]) for path in paths])
    return {"name": np.array(truth) == np.array(found), **right, "scene": scenes}


def difference(one: list[Right], other: list[Right]) -> str:
    """One's share of right motions less the other's, %, with its 95% interval: bootstrap over scenes of all seeds."""
    each = [100 * (a["motion"][a["scene"] == scene].mean() - b["motion"][b["scene"] == scene].mean())
            for a, b in zip(one, other, strict=True) for scene in np.unique(a["scene"])]
    low, high = bootstrap_interval(np.array(each))
    return f"{np.mean(each):.1f} [{low:.1f}, {high:.1f}]"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of clips and weights (%(default)s)")
    parser.add_argument("--fusions", nargs="+", default=["Transf", "meanP"], help="(%(default)s)")
    parser.add_argument("--work_dir", type=Path, default=Path("work_dir/words"), help="(%(default)s)")
    args = parser.parse_args(argv)
    print(f"{machine()}\nChance among all {len(class_names('words'))} names: "
          f"{100 / len(class_names('words')):.1f} %", flush=True)
    rows, costs, answers = [], [], {}
    for seed in args.seeds:
        data = args.work_dir / f"data{seed}"
        say(f"seed {seed}: clips")
        make_words(data, seed)
        for fusion in args.fusions:
            say(f"seed {seed}: {fusion}")
            folder = args.work_dir / f"{fusion}{seed}"
            found = train(data, folder, fusion, seed)
            for name in LISTS:
                right = test(data, folder, name)
                answers.setdefault((fusion, name), []).append(right)
                rows.append([f"{fusion}, seed {seed}, {name}.csv", str(len(right["name"])),
                             *(f"{100 * right[word].mean():.1f}" for word in ("name", "colour", "shape", "motion"))])
            costs.append([f"{fusion}, seed {seed}", f"{found['seconds'] / 60:.1f}", f"{found['cpu']:.0f}",
                          *curve(found["records"])])
    print_table(["right, % among all names", "clips", "name", "colour", "shape", "motion"], rows)
    print_table(["validation top-1, % (after minutes)", "minutes of training", "CPU seconds",
                 *map(str, CURVE_MINUTES)], costs)
    if {"Transf", "meanP"} <= set(args.fusions):
        print_table(["motion", "Transf less meanP, %"],
                    [[f"{name}.csv", difference(answers["Transf", name], answers["meanP", name])] for name in LISTS])
    return 0


if __name__ == "__main__":
    run_command(main)
