"""The whole system on made clips: clips, four stages, three trainings, five submissions, fusion, score, picture.

    make demo                                  # or: python -m utils.demo --seed 0
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from datatools.errors import UserError, run_command
from datatools.files import save_text
from datatools.layout import TEST_B
from datatools.stages import number_of_cores

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINTS = {"best": "avnet_bestmodel.pth", "last": "avnet_last.pth"}
TRAININGS = {   # name: (entry script, preset, the checkpoints that infer: best and last, as the reference fused)
    "avt": ("avt_main.py", "configs/demo_avt.yaml", ("best",)),
    "avt_normal": ("avt_normal_main.py", "configs/demo_avt_normal.yaml", ("best", "last")),
    "avt_yolt": ("avt_yolt_main.py", "configs/demo_avt_yolt.yaml", ("best", "last")),
}
CLIPS_SHOWN = 4   # strips of frames in the picture


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of clips and trainings (%(default)s)")
    parser.add_argument("--train", type=int, default=96, help="labelled clips (%(default)s)")
    parser.add_argument("--test", type=int, default=16, help="test clips (%(default)s)")
    parser.add_argument("--max_epoch", type=int, help="default: the presets'")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="length of the clips (default: 180 to 200)")
    parser.add_argument("--work_dir", type=Path, help="default: work_dir/demo_seed<SEED>")
    return parser


class Steps:
    """Runs the commands of the demo one after the other, and says how far it is."""

    def __init__(self, count: int):
        self.count, self.number, self.started = count, 0, time.perf_counter()
        self.seconds: list[tuple[str, float]] = []

    def run(self, title: str, script: str, *arguments) -> None:
        self.number += 1
        words = [script, *map(str, arguments)]
        elapsed = time.perf_counter() - self.started
        print(f"\n[{self.number}/{self.count}, {elapsed / 60:.1f} min] {title}\n$ python {' '.join(words)}", flush=True)
        begun = time.perf_counter()
        code = subprocess.run([sys.executable, *words], cwd=ROOT).returncode
        if code:
            raise UserError(f"{title}: python {script} ended with exit code {code}, its message stands above.")
        self.seconds.append((title, time.perf_counter() - begun))


    def run_together(self, title: str, commands: dict[str, list]) -> None:
        """Run several commands at once, one thread each: small networks gain more from it than from two threads.

        Every line that they print is shown behind its command's name.
        """
        self.number += 1
        elapsed = time.perf_counter() - self.started
        print(f"\n[{self.number}/{self.count}, {elapsed / 60:.1f} min] {title}", flush=True)
        begun = time.perf_counter()
        threads = max(1, number_of_cores() // len(commands))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        running = {}
        for name, words in commands.items():
            words = list(map(str, words))
            print(f"$ python {' '.join(words)}", flush=True)
            running[name] = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, text=True,
                                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        readers = [threading.Thread(target=show_lines, args=(n, process.stdout)) for n, process in running.items()]
        try:
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        finally:
            for process in running.values():
                process.terminate()   # nothing where it has ended already
        failed = [name for name, process in running.items() if process.wait()]
        if failed:
            raise UserError(f"{title}: {', '.join(failed)} failed, the message stands above.")
        self.seconds.append((title, time.perf_counter() - begun))


def show_lines(name: str, lines) -> None:
    """Print lines as they come, each behind a name."""
    for line in lines:
        print(f"{name:>10} | {line}", end="", flush=True)


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    work = (args.work_dir or ROOT / "work_dir" / f"demo_seed{args.seed}").resolve()
    raw, processed = work / "raw", work / "processed"
    inferences = sum(len(which) for *_, which in TRAININGS.values())
    steps = Steps(5 + 1 + inferences + 1)
    epochs = ["--max_epoch", args.max_epoch] if args.max_epoch else []
    length = ["--duration", args.duration] if args.duration else []

    steps.run("make clips with exact truth", "synth/make.py", "--save_root", raw, "--train", args.train,
              "--test", args.test, "--seed", args.seed, *length)
    steps.run("sound: MFCC", "utils/extract_audio.py", "--data_root", raw, "--save_root", processed)
    steps.run("picture: one frame a second", "utils/extract_video.py", "--data_root", raw, "--save_root", processed)
    steps.run("text: boxes", "datatools/text_extract.py", "--data_root", processed, "--ocr", "rapidocr")
    steps.run("text: masks", "utils/extract_textROI.py", "--data_root", processed)
    steps.run_together("train the three networks", {
        name: [script, "--preset", preset, "--data_root", processed, "--save_prefix", work / name,
               "--seed", 10 + args.seed, "--resume", "auto", *epochs]
        for name, (script, preset, _) in TRAININGS.items()
    })
    submissions = {}
    for name, (script, _, checkpoints) in TRAININGS.items():
        for which in checkpoints:
            weights = work / name / CHECKPOINTS[which]
            output = work / "submissions" / f"{name}_{which}.csv"
            steps.run(f"infer {name}, {which}", script, "--weights", weights, "--data_root", processed,
                      "--num_workers", 0, "--output", output)
            submissions[f"{name} {which}"] = output
    fused = work / "submission_fused.csv"
    steps.run("fuse", "fuse/fuse.py", "--inputs", *submissions.values(), "--output", fused)
    submissions["fused"] = fused

    title = f"Fused answer on {args.test} made clips, seed {args.seed}"
    rows = score_rows(submissions, processed)
    draw(submissions["fused"], processed, work / "demo.png", title)
    table = as_table(rows)
    costs = "\n".join(f"{title:<32}{seconds:8.1f} s" for title, seconds in steps.seconds)
    total = time.perf_counter() - steps.started
    text = f"{table}\n\nWhat it cost on {number_of_cores()} cores:\n{costs}\n{'in all':<32}{total:8.1f} s\n"
    save_text(work / "report.txt", text)
    content = {"seed": args.seed, "train": args.train, "test": args.test, "scores": rows,
               "seconds": [*steps.seconds, ("in all", total)]}
    save_text(work / "report.json", json.dumps(content, indent=2))
    print(f"\n{text}\npicture: {work / 'demo.png'}\nreport:  {work / 'report.txt'}")
    return 0


def read_answers(path: Path) -> dict[str, float]:
    """{clip name: seconds} of a submission."""
    from datatools.labels import strip_suffix
    from datatools.submission import read_submission

    return {strip_suffix(clip): seconds for (clip, _), seconds in read_submission(path).items()}


def score_rows(submissions: dict[str, Path], processed: Path) -> dict[str, dict[str, dict[str, float]]]:
    """{"all" | "start" | "end": {submission: its scores}}, with the best constant answer's beside them."""
    from datatools.labels import read_truth
    from datatools.scores import best_constant, score_table

    truth = read_truth(processed / TEST_B.folders[0] / "truth.csv")
    answers = {name: read_answers(path) for name, path in submissions.items()}
    answers["best constant"] = best_constant(truth)
    rows = {}
    for part, ending in (("all", ""), ("start", "_start"), ("end", "_end")):
        names = [name for name in truth if name.endswith(ending)]
        rows[part] = {title: score_table({n: found[n] for n in names}, {n: truth[n] for n in names})
                      for title, found in answers.items()}
    return rows


def as_table(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """The scores as text for people: all clips, then start and end clips apart."""
    import pandas as pd

    columns = {"score": "score", "mean_error": "mean error", "within_1s": "within 1 s", "within_2s": "2 s",
               "within_5s": "5 s"}
    texts = []
    for part, title in (("all", "all clips"), ("start", "start clips"), ("end", "end clips")):
        table = pd.DataFrame.from_dict(rows[part], orient="index")[list(columns)]
        shares = [c for c in table if c.startswith("within")]
        table[shares] = table[shares].map("{:.0%}".format)
        texts.append(f"{title} of {TEST_B.folders[0]}; score and mean error in seconds, then shares of clips\n"
                     + table.rename(columns=columns).to_string(float_format="{:.2f}".format))
    ratio = rows["all"]["fused"]["score"] / rows["all"]["best constant"]["score"]
    return "\n\n".join([*texts, f"fused score / best constant's score: {ratio:.2f}"])


def draw(submission: Path, processed: Path, picture: Path, title: str) -> None:
    """The picture of one submission: clips from the best to the worst answer among the strips."""
    import numpy as np

    from datatools.labels import read_truth
    from datatools.layout import Clip
    from utils.plots import predictions_picture

    folder = TEST_B.folders[0]
    truth, found = read_truth(processed / folder / "truth.csv"), read_answers(submission)
    by_error = sorted(truth, key=lambda n: abs(found[n] - truth[n]))
    shown = dict.fromkeys(by_error[i] for i in np.linspace(0, len(by_error) - 1, CLIPS_SHOWN).round().astype(int))
    frames = {name: np.load(Clip(folder, name).frames(processed)) for name in shown}
    predictions_picture(picture, truth, found, frames, title)


if __name__ == "__main__":
    run_command(main)
