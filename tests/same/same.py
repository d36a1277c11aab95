"""Does this checkout give, to the bit, what another commit gives? Weights, features, made clips, submissions, fusions.

    python tests/same/same.py --against 4b3f2a1                   # records both, and says "same" or what differs
    python tests/same/same.py --record there.json --root ../old   # records one checkout
    python tests/same/same.py --compare there.json here.json

Everything goes through the commands that users type, so that the code behind them may change. Hashes hold for one
machine and one set of packages alone: both commits are recorded on the machine at hand. changes.md lists what differs
on purpose.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {"avt": "avt_main.py", "avt_normal": "avt_normal_main.py", "avt_yolt": "avt_yolt_main.py",
           "avt_dist": "avt_dist_main.py"}
SMALL = {"avt": "demo_avt", "avt_normal": "demo_avt_normal", "avt_yolt": "demo_avt_yolt", "avt_dist": "avt_dist"}
PRESETS = {"avt": "avt", "avt_normal": "avt_normal", "avt_yolt": "avt_yolt", "fast_avt": "avt",
           "fast_avt_normal": "avt_normal", "fast_avt_yolt": "avt_yolt", "demo_avt": "avt",
           "demo_avt_normal": "avt_normal", "demo_avt_yolt": "avt_yolt", "avt_dist": "avt_dist"}
PRECISIONS = {"float32": "--no-use_amp", "bfloat16": "--use_amp"}
AUGMENTED = ("--shift 60 --vary 0.5 --damage 0.3 --borrow 0.5 --ema 0.9 --accumulation_step 2 --clip_grad 1 "
             "--batch_size 2 --max_epoch 4 --step_loss 20").split()      # 4 epochs of 3 steps
TWICE = "--batch_size 2 --max_epoch 2 --shift 60 --vary 0.5 --ema 0.9".split()      # 2 epochs of 6 steps
RECORDED = ("train_loss", "val_score", "val_mean_error", "best", "lr", "skipped_steps")


def sha(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def file_sha(path: Path) -> str:
    return sha(path.read_bytes())


def tensors_sha(value) -> str:
    """Of a nested dict or list of tensors and plain values, in its own order of keys."""
    import torch

    digest = hashlib.sha256()

    def walk(name: str, value) -> None:
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                walk(f"{name}/{key}", value[key])
        elif isinstance(value, list | tuple):
            for number, item in enumerate(value):
                walk(f"{name}/{number}", item)
        elif isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{name} {value!r}".encode())

    walk("", value)
    return digest.hexdigest()


def make_features(root: Path) -> None:
    """14 labelled clips (12 train, 2 validate) and 3 others, random but for their sound's level."""
    rng = np.random.default_rng(7)
    lines = []
    (root / "ROIs").mkdir(parents=True)
    for folder, count in (("data_A/train", 14), ("data_C", 3)):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            name = f"{folder[-1]}{i:04d}_{'end' if i % 2 else 'start'}"
            sound = 30 * rng.standard_normal((20, 1)) + 10 * rng.standard_normal((20, 8614))
            np.save(root / folder / f"{name}_mfcc.npy", sound.astype(np.float32))
            small = rng.integers(0, 256, (200, 6, 8, 3), dtype=np.uint8)
            np.save(root / folder / f"{name}_frames.npy", small.repeat(11, 1).repeat(11, 2))
            np.save(root / "ROIs" / f"{name}.npy", (rng.random((200, 27, 36)) < 0.1).astype(np.uint8))
            if count == 14:
                lines.append(f"{name} {20 + 10 * i + 0.25}\n")
    (root / "data_A/train/必选数据.txt").write_text("".join(lines), encoding="utf-8")


class Recorder:
    """Runs commands of one checkout below a work folder, and keeps the hashes of what they leave."""

    def __init__(self, root: Path, work: Path):
        self.root, self.work, self.found = root, work, {}
        self.processed = work / "processed"
        make_features(self.processed)

    def run(self, *words, allowed: tuple[int, ...] = (0,)) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(self.root)}
        done = subprocess.run([sys.executable, *map(str, words)], cwd=self.root, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode not in allowed:
            raise SystemExit(f"{self.root}: python {' '.join(map(str, words))}\n{done.stdout[-3000:]}")

    def keep(self, title: str, value: str) -> None:
        self.found[title] = value
        print(f"{title}: {value[:12]}", file=sys.stderr, flush=True)

    # ------------------------------------------------------------ trainings

    def flags(self, preset: str, folder: Path, *more) -> list:
        return [SCRIPTS[PRESETS[preset]], "--preset", f"configs/{preset}.yaml", "--data_root", self.processed,
                "--save_prefix", folder, "--pretrained", "none", "--gpus", "cpu", "--num_workers", "0",
                "--train_folders", "data_A/train", "--label_files", "data_A/train/必选数据.txt", "--seed", "3", *more]

    def keep_training(self, title: str, folder: Path) -> None:
        import torch

        content = torch.load(folder / "avnet_last.pth", weights_only=True, map_location="cpu")
        for part in ("model", "trained", "optimizer", "position"):
            self.keep(f"{title}: {part}", tensors_sha(content[part]))
        records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        self.keep(f"{title}: log", sha(repr([[r[key] for key in RECORDED] for r in records]).encode()))
        self.keep(f"{title}: validation.csv", file_sha(folder / "validation.csv"))

    def train(self, title: str, preset: str, *more) -> None:
        folder = self.work / title.replace(" ", "_")
        self.run(*self.flags(preset, folder, *more))
        self.keep_training(title, folder)

    def train_stopped(self, title: str, preset: str, *more) -> None:
        """Stop a training by a signal once its first epoch is saved, and go on with it."""
        folder = self.work / title.replace(" ", "_")
        words = list(map(str, self.flags(preset, folder, *more)))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, *words], cwd=self.root, env=environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (folder / "avnet_last.pth").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() in (0, 143), "a training that is asked to stop"
        self.run(*words, "--resume", "auto")
        self.keep_training(title, folder)

    def trainings(self) -> list:
        """Jobs: every preset in both precisions; every small network with all augmentation; stopped; two processes."""
        one = ["--batch_size", "1", "--max_epoch", "1"]        # 12 steps
        jobs = []
        for preset in PRESETS:
            for precision, flag in PRECISIONS.items():
                jobs.append((self.train, f"{preset} {precision}", preset, flag, *one))
        for name, preset in SMALL.items():
            more = AUGMENTED if name != "avt_dist" else AUGMENTED[:-2]
            for precision, flag in PRECISIONS.items():
                jobs.append((self.train, f"{name} augmented {precision}", preset, flag, *more))
            jobs.append((self.train_stopped, f"{name} stopped and resumed", preset, *TWICE))
        jobs.append((self.train, "two processes", "demo_avt", *TWICE, "--strategy", "ddp", "--processes", "2"))
        return jobs

    # ------------------------------------------------------------ inference and fusion

    def infer(self) -> None:
        answers = self.work / "answers"
        answers.mkdir()
        for name, script in SCRIPTS.items():
            weights = self.work / f"{name}_augmented_bfloat16" / "avnet_bestmodel.pth"
            common = [script, "--weights", weights, "--data_root", self.processed, "--gpus", "cpu", "--num_workers",
                      "0", "--train_folders", "data_A/train", "--label_files", "data_A/train/必选数据.txt"]
            for title, more in (("float32", []), ("bfloat16", ["--use_amp"]),
                                ("without text", ["--without", "text_roi"]), ("validation", ["--split", "val"])):
                output = answers / f"{name}_{title.replace(' ', '_')}.csv"
                self.run(*common, "--output", output, *more)
                self.keep(f"{name} submission, {title}", file_sha(output))
                details = output.with_name(f"{output.stem}_predictions.csv")
                if details.exists():
                    self.keep(f"{name} predictions, {title}", file_sha(details))

    def fuse(self) -> None:
        """All four ways, on made answers of five inputs to 90 clips."""
        folder = self.work / "fuse"
        folder.mkdir()
        rng = np.random.default_rng(1)
        names = [f"c{i:03d}_{'end' if i % 2 else 'start'}" for i in range(90)]
        truth = rng.uniform(10, 190, 90)
        (folder / "truth.csv").write_text("name,seconds\n" + "".join(
            f"{n},{s:.3f}\n" for n, s in zip(names, truth, strict=True)))
        for k in range(5):
            found = np.abs(truth + rng.laplace(0.2 * k, 0.5 + k / 3, 90) + (rng.random(90) < 0.1) * 30)
            (folder / f"in{k}.csv").write_text("".join(
                f"{n}.mp4,{'e' if 'end' in n else 's'},{s:.3f}\n" for n, s in zip(names, found, strict=True)))
        inputs = [folder / f"in{k}.csv" for k in range(5)]
        for method in ("kmeans", "median", "weighted", "stacked"):
            learnt = ["--out_of_fold", *inputs, "--truth", folder / "truth.csv"]
            output = folder / f"out_{method}.csv"
            self.run("fuse/fuse.py", "--inputs", *inputs, "--output", output, "--method", method,
                     *(learnt if method in ("weighted", "stacked") else []))
            self.keep(f"fusion by {method}", file_sha(output))
        self.run("utils/evaluate.py", "--submission", inputs[0], "--against", inputs[1], "--truth",
                 folder / "truth.csv", "--output", folder / "evaluation")
        text = (folder / "evaluation/evaluation.json").read_text().replace(str(folder), "")
        self.keep("evaluation", sha(text.encode()))

    # ------------------------------------------------------------ clips and features

    def clips(self) -> None:
        """Made clips of every family, seasons and hard cases too; the features of ten by both ways."""
        command = "synth/make.py" if (self.root / "synth/make.py").exists() else "datatools/synth.py"
        for family in ("drawn", "paper", "film"):
            raw = self.work / f"raw_{family}"
            self.run(command, "--save_root", raw, "--train", 6 if family == "drawn" else 2, "--test",
                     4 if family == "drawn" else 2, "--duration", "24", "--height", "180", "--family", family,
                     "--seed", "5", "--workers", "1")
            for path in sorted(raw.rglob("*.*")):
                self.keep(f"made {family}: {path.relative_to(raw)}", file_sha(path))
        self.run("-c", "import sys; from pathlib import Path; from benchmarks.accuracy.clips import Sizes, make_clips; "
                 "make_clips(Path(sys.argv[1]), ('drawn', 'paper', 'film'), Sizes(train=24, seasons=2, height=90, "
                 "duration=12), 3, 1)", self.work / "seasons")
        paths = sorted((self.work / "seasons").rglob("*.mp4"), key=lambda path: path.name)
        self.keep(f"seasons and hard cases: {len(paths)} files", sha(*(file_sha(p).encode() for p in paths)))
        raw = self.work / "raw_drawn"
        single, whole = self.work / "single", self.work / "whole"
        both = ["--data_root", raw, "--save_root"]
        self.run("utils/extract_audio.py", *both, single, "--workers", "1")
        self.run("utils/extract_video.py", *both, single, "--workers", "1")
        self.run("datatools/text_extract.py", "--data_root", single, "--ocr", "rapidocr", "--workers", "1")
        self.run("utils/extract_textROI.py", "--data_root", single)
        self.run("datatools/preprocess.py", *both, whole, "--ocr", "rapidocr", "--workers", "1", "--write_video")
        for way, root in (("four commands", single), ("one pass", whole)):
            for path in sorted(p for p in root.rglob("*.*") if p.suffix in (".npy", ".mp4", ".txt", ".csv")):
                self.keep(f"{way}: {path.relative_to(root)}", file_sha(path))
            for path in sorted(root.glob("ocr_text_*.json")):
                self.keep(f"{way}: {path.name}", file_sha(path))
        entries = [json.loads(line) for line in (whole / "manifest.jsonl").read_text().splitlines()]
        for entry in entries:
            entry["source"] = [entry["source"][0], entry["source"][2]]      # without the time of day
        self.keep("one pass: manifest", sha(json.dumps(entries, sort_keys=True).encode()))


def record(root: Path, only: list[str]) -> dict:
    """{title: SHA-256} of all that one checkout gives."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(root.resolve(), Path(folder))
        jobs = [(recorder.fuse,), (recorder.clips,)] if not only or "data" in only else []
        trainings = recorder.trainings() if not only or "trainings" in only else []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for future in [pool.submit(*job) for job in [*jobs, *trainings]]:
                future.result()
        if trainings:
            recorder.infer()
        return dict(sorted(recorder.found.items()))


def compare(one: dict, other: dict) -> int:
    """Say "same", or what differs; the exit code."""
    differ = [title for title in {**one, **other} if one.get(title) != other.get(title)]
    for title in differ:
        which = "differs" if title in one and title in other else "only in one"
        print(f"{which}: {title}")
    print(f"{len(one.keys() | other.keys()) - len(differ)} same, {len(differ)} not" if differ else
          f"same: all {len(one)}")
    return 1 if differ else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--against", metavar="COMMIT", help="record that commit and this checkout, and compare")
    what.add_argument("--record", type=Path, metavar="JSON", help="record one checkout")
    what.add_argument("--compare", type=Path, nargs=2, metavar="JSON", help="compare two records")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout that --record records (default: this)")
    parser.add_argument("--only", nargs="+", default=[], choices=("data", "trainings"), help="a part (default: all)")
    args = parser.parse_args(argv)
    if args.compare:
        return compare(*(json.loads(path.read_text()) for path in args.compare))
    if args.record:
        args.record.write_text(json.dumps(record(args.root, args.only), indent=1))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "there"
        made = subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", there, args.against],
                              capture_output=True, text=True)
        if made.returncode:
            raise SystemExit(f"--against {args.against}: {made.stderr.strip()}. Name a commit of this repository.")
        try:
            before = record(there, args.only)
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", there], check=True)
    return compare(before, record(ROOT, args.only))


if __name__ == "__main__":
    sys.exit(main())
