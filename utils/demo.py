"""The whole system on made clips: clips, four stages, three trainings, five submissions, fusion, score, picture.

    make demo                                  # or: python -m utils.demo --seed 0
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from datatools.command import UserError, number_of_cores, run_command, save_text

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
    parser.add_argument("--train", type=int, default=64, help="labelled clips (%(default)s)")
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
        readers = [threading.Thread(target=show_lines, args=(name, process.stdout)) for name, process in running.items()]
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

    steps.run("make clips with exact truth", "datatools/synth.py", "--save_root", raw, "--train", args.train,
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
    table = report(submissions, processed, work / "demo.png", title)
    costs = "\n".join(f"{title:<32}{seconds:8.1f} s" for title, seconds in steps.seconds)
    total = time.perf_counter() - steps.started
    text = f"{table}\n\nWhat it cost on {number_of_cores()} cores:\n{costs}\n{'in all':<32}{total:8.1f} s\n"
    save_text(work / "report.txt", text)
    print(f"\n{text}\npicture: {work / 'demo.png'}\nreport:  {work / 'report.txt'}")
    return 0


def report(submissions: dict[str, Path], processed: Path, picture: Path, title: str) -> str:
    """Draw the picture; return a table of each submission beside the best constant answer, as text."""
    import numpy as np
    import pandas as pd

    from datatools.labels import read_truth, strip_suffix
    from datatools.layout import TEST_B, Clip
    from datatools.submission import best_constant, read_submission, score_table
    from utils.plots import predictions_picture

    folder = TEST_B.folders[0]
    truth = read_truth(processed / folder / "truth.csv")
    answers = {name: {strip_suffix(clip): s for (clip, _), s in read_submission(path).items()}
               for name, path in submissions.items()}
    answers["best constant"] = best_constant(truth)
    rows = {name: score_table(found, truth) for name, found in answers.items()}
    # Both kinds of clips, the best and the worst answers among them.
    found = answers["fused"]
    by_error = sorted(truth, key=lambda n: abs(found[n] - truth[n]))
    shown = dict.fromkeys(by_error[i] for i in np.linspace(0, len(by_error) - 1, CLIPS_SHOWN).round().astype(int))
    frames = {name: np.load(Clip(folder, name).frames(processed)) for name in shown}
    predictions_picture(picture, truth, found, frames, title)

    table = pd.DataFrame.from_dict(rows, orient="index")
    shares = [c for c in table if c.startswith("within")]
    table[shares] = table[shares].map("{:.0%}".format)
    ratio = rows["fused"]["score"] / rows["best constant"]["score"]
    return (f"{len(truth)} clips of {folder}; score, mean error and score by kind in seconds\n"
            f"{table.to_string(float_format='{:.2f}'.format)}\n"
            f"fused score / best constant's score: {ratio:.2f}")


if __name__ == "__main__":
    run_command(main)
