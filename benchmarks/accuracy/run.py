"""The accuracy benchmark: made clips of several families, plain rivals, the reference's three networks, and AVTDist.

    python benchmarks/accuracy/run.py                         # three seeds
    python benchmarks/accuracy/run.py --short                 # one seed, few clips: do the parts work?
    python benchmarks/accuracy/run.py --ablation              # and, on the first seed, what each part adds

Trains on some families (--train_families) and tests on all; prints Markdown tables and writes report.md, answers and
scores below --work_dir. What is there already (clips, features, trainings, answers) is not made again.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.accuracy import clips, rivals
from benchmarks.accuracy.clips import CLIP_CASES, SEASON_CASES, Sizes
from benchmarks.machine import machine
from datatools.errors import UserError, run_command
from datatools.files import save_text
from datatools.labels import read_truth, strip_suffix
from datatools.layout import Clip
from datatools.stages import number_of_cores
from datatools.submission import read_submission, write_submission
from datatools.synth_plan import FAMILIES
from fuse.stack import MIN_CLIPS
from utils.evaluate import compare, evaluate, markdown_table

ROOT = Path(__file__).resolve().parents[2]
SHORT = Sizes(train=12, seasons=1, damaged=2, height=90)
NEW = "AVTDist"
# name: (entry script, preset, which checkpoints answer)
NETWORKS = {
    "AVTNet": ("avt_main.py", "configs/demo_avt.yaml", ("best",)),
    "AVTNet-normalized": ("avt_normal_main.py", "configs/demo_avt_normal.yaml", ("best", "last")),
    "AVTNet_YOLT": ("avt_yolt_main.py", "configs/demo_avt_yolt.yaml", ("best", "last")),
    # On few validation clips its score is 0 from the middle of the training on, and the best one a matter of luck.
    NEW: ("avt_dist_main.py", "configs/avt_dist.yaml", ("last",)),
}
CHECKPOINTS = {"best": "avnet_bestmodel.pth", "last": "avnet_last.pth"}
WITHOUT = {"without sound": "mfcc", "without picture": "frames", "without text": "text_roi"}
# title: (method of fuse/fuse.py, networks whose answers it takes)
FUSIONS = {
    "reference, fused": ("kmeans", [name for name in NETWORKS if name != NEW]),
    "with AVTDist, fused": ("kmeans", list(NETWORKS)),
    "with AVTDist, median": ("median", list(NETWORKS)),
    "with AVTDist, weighted": ("weighted", list(NETWORKS)),
    "with AVTDist, stacked": ("stacked", list(NETWORKS)),
}
# The reference's networks get as many epochs as take at least AVTDist's time; the report tells the times.
EQUAL_TIME = ["--max_epoch", "28"]
# title: (network, further flags of the training, sizes of the network)
ABLATIONS: dict[str, tuple[str, list[str], dict]] = {
    f"{NEW} without sound": (NEW, ["--without", "mfcc"], {}),
    f"{NEW} without picture": (NEW, ["--without", "frames"], {}),
    f"{NEW} without text": (NEW, ["--without", "text_roi"], {}),
    f"{NEW} without the question": (NEW, ["--without", "kind"], {}),
    f"{NEW} without rhythm": (NEW, [], {"with_rhythm": False}),
    f"{NEW} without scenes and layout": (NEW, [], {"with_scenes": False}),
    f"{NEW} with nothing left out": (NEW, [], {"modality_dropout": 0.0}),
    f"{NEW} without borrowing": (NEW, ["--borrow", "0"], {}),
    f"{NEW} without damage": (NEW, ["--damage", "0"], {}),
    f"{NEW} without shifting": (NEW, ["--shift", "0"], {}),
    f"{NEW} with a GRU": (NEW, [], {"gru": 64}),
    "AVTNet without squeeze-and-excitation": ("AVTNet", EQUAL_TIME, {"squeeze_excite": False}),
    "AVTNet without GRU": ("AVTNet", EQUAL_TIME, {"recurrent": False}),
    "AVTNet without shifting": ("AVTNet", [*EQUAL_TIME, "--shift", "0"], {}),
}
SHARES = (0.5, 0.7, 0.8, 0.9, 1.0)     # of the clips that are answered, the surest first


# ---------------------------------------------------------------- commands


def run_all(commands: dict[Path, list[str]], cores: int) -> None:
    """Run {log: command} with one thread each, as many at once as there are cores. Raises UserError at a failure."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run_one(log: Path, words: list[str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as file:
            code = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, stdout=file,
                                  stderr=subprocess.STDOUT).returncode
        if code:
            raise UserError(f"python {' '.join(words)} ended with exit code {code}; its messages: {log}")

    with ThreadPoolExecutor(cores) as pool:
        for future in [pool.submit(run_one, log, words) for log, words in commands.items()]:
            future.result()


def training_command(
    name: str, prefix: Path, processed: Path, seed: int, more: list[str], sizes: dict
) -> list[str]:
    import yaml

    script, preset, _ = NETWORKS[name]
    if sizes:
        content = yaml.safe_load((ROOT / preset).read_text(encoding="utf-8"))
        content["network"] = content.get("network", {}) | sizes
        preset = str(prefix.with_suffix(".yaml"))
        prefix.parent.mkdir(parents=True, exist_ok=True)
        save_text(Path(preset), yaml.safe_dump(content))
    return [script, "--preset", preset, "--data_root", str(processed), "--save_prefix", str(prefix), "--train_folders",
            clips.TRAIN, "--label_files", clips.TRAIN_LABELS, "--seed", str(seed), "--gpus", "cpu", "--resume", "auto",
            *more]


def answer_command(name: str, prefix: Path, processed: Path, folder: str, output: Path, checkpoint: str,
                   more: list[str]) -> list[str]:
    return [NETWORKS[name][0], "--data_root", str(processed), "--weights", str(prefix / CHECKPOINTS[checkpoint]),
            "--folder", folder, "--output", str(output), "--gpus", "cpu", "--use_amp", "--num_workers", "0", *more]


def is_trained(prefix: Path) -> bool:
    """Whether a training has ended: its log says so."""
    log = prefix / "log.txt"
    return log.exists() and "done: best score" in log.read_text(encoding="utf-8")


def read_answers(path: Path) -> dict[str, float]:
    return {strip_suffix(name): seconds for (name, _), seconds in read_submission(path).items()}


# ---------------------------------------------------------------- one seed


class Seed:
    """One seed's clips, trainings and answers below `work`; every step leaves out what is there already."""

    def __init__(self, work: Path, families: tuple[str, ...], sizes: Sizes, seed: int, cores: int, epochs: int | None):
        self.work, self.families, self.sizes, self.seed, self.cores = work, families, sizes, seed, cores
        self.raw, self.processed, self.answers = work / "raw", work / "processed", work / "answers"
        self.more = ["--max_epoch", str(epochs)] if epochs else []
        self.record = work / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self.record.read_text()) if self.record.exists() else {}

    def took(self, title: str, started: float) -> None:
        """Note how long something took, in all runs together."""
        self.seconds[title] = self.seconds.get(title, 0.0) + time.perf_counter() - started
        save_text(self.record, json.dumps(self.seconds))

    def prepare(self) -> None:
        """Clips, damaged copies, and the features of all."""
        started = time.perf_counter()
        plans = clips.make_clips(self.raw, self.families, self.sizes, self.seed)
        self.unseen = [family for family in FAMILIES if family not in self.families]
        self.damaged_family = (self.unseen or list(FAMILIES))[0]
        self.damaged = clips.make_damaged(self.raw, self.damaged_family, plans[clips.folder_of(self.damaged_family)],
                                          self.sizes.damaged)
        self.took("clips", started)
        started = time.perf_counter()
        code = subprocess.run([sys.executable, "datatools/preprocess.py", "--data_root", self.raw, "--save_root",
                               self.processed, "--ocr", "rapidocr", "--folders", *plans, *self.damaged],
                              cwd=ROOT).returncode
        if code:
            raise UserError(f"{self.raw}: preprocessing ended with exit code {code}, its message stands above.")
        self.took("features", started)
        self.facts = json.loads((self.raw / "clips.json").read_text(encoding="utf-8"))
        self.truth = {folder: read_truth(self.processed / folder / "truth.csv")
                      for folder in (*map(clips.folder_of, FAMILIES), *self.damaged)}

    def train(self, trainings: dict[str, tuple[str, list[str], dict]]) -> None:
        """Train {title: (network, more flags, sizes)} and answer the test clips of all families."""
        commands = {}
        for title, (name, more, sizes) in trainings.items():
            prefix = self.prefix(title)
            if not is_trained(prefix):
                commands[prefix / "output.txt"] = training_command(
                    name, prefix, self.processed, self.seed, [*more, *self.more], sizes)
        started = time.perf_counter()
        run_all(commands, self.cores)
        if commands:
            self.took("trainings", started)
        commands = {}
        for title, (name, more, _) in trainings.items():
            left_out = more if more[:1] == ["--without"] else []
            folders = [*map(clips.folder_of, FAMILIES), *([clips.TRAIN] if title == name else [])]
            for folder in folders:
                for checkpoint in NETWORKS[name][2]:
                    self._add_answer(commands, name, title, folder, checkpoint, left_out)
        run_all(commands, self.cores)

    def prefix(self, title: str) -> Path:
        return self.work / "trainings" / title.replace(" ", "_")

    def path(self, title: str, folder: str, variant: str | None = None) -> Path:
        """Where the answers of a title lie; `variant` is a checkpoint or what is missing, by default the main one."""
        variant = variant or ("last" if title.startswith(NEW) else "best")
        return self.answers / title.replace(" ", "_") / f"{folder}_{variant.replace(' ', '_')}.csv"

    def _add_answer(self, commands: dict, name: str, title: str, folder: str, checkpoint: str, more: list[str],
                    variant: str = "") -> None:
        output = self.path(title, folder, variant or checkpoint)
        if not output.exists():
            commands[output.with_suffix(".txt")] = answer_command(
                name, self.prefix(title), self.processed, folder, output, checkpoint, more)

    def answer_hard_cases(self) -> None:
        """What the new network says without a modality, and to the damaged clips."""
        commands: dict = {}
        for variant, left_out in WITHOUT.items():
            for family in FAMILIES:
                self._add_answer(commands, NEW, NEW, clips.folder_of(family), "last", ["--without", left_out], variant)
        for folder in self.damaged:
            self._add_answer(commands, NEW, NEW, folder, "last", [])
        run_all(commands, self.cores)

    def fuse(self) -> None:
        """The five answers of the reference's three networks in one, as it did; and AVTDist's with them."""
        from utils.run_folder import read_validation

        _, labels = read_validation(self.prefix(NEW))
        truth = self.answers / "validation.csv"
        save_text(truth, "name,seconds\n" + "".join(f"{name},{seconds!r}\n" for name, seconds in labels.items()))
        answers = {(name, checkpoint): self.out_of_fold(name, checkpoint, labels)
                   for name, (_, _, checkpoints) in NETWORKS.items() for checkpoint in checkpoints}
        commands = {}
        self.fusions = [title for title, (method, _) in FUSIONS.items() if len(labels) >= MIN_CLIPS.get(method, 0)]
        for title in self.fusions:
            method, names = FUSIONS[title]
            inputs = [key for key in answers if key[0] in names]
            learnt = ["--truth", str(truth), "--out_of_fold", *(str(answers[key]) for key in inputs)]
            for folder in map(clips.folder_of, FAMILIES):
                output = self.path(title, folder)
                output.parent.mkdir(parents=True, exist_ok=True)
                commands[output.with_suffix(".txt")] = [
                    "fuse/fuse.py", "--method", method, "--inputs", *(str(self.path(n, folder, c)) for n, c in inputs),
                    "--output", str(output), *(learnt if method in MIN_CLIPS else [])]
        run_all(commands, self.cores)

    def out_of_fold(self, name: str, checkpoint: str, clip_names: Iterable[str]) -> Path:
        """A checkpoint's answers to the clips that all trainings kept for validation."""
        answers = read_answers(self.path(name, clips.TRAIN, checkpoint))
        path = self.path(name, "validation", checkpoint)
        write_submission(path, {clip: answers[clip] for clip in clip_names})
        return path

    def ask_rivals(self) -> None:
        """Answers of the plain ways, tuned on the training clips."""
        labels = read_truth(self.processed / clips.TRAIN_LABELS)
        ways = {"constant": rivals.tune_constant, "black and silence": rivals.tune_black,
                "change of MFCC": rivals.tune_change}
        folders = [clips.folder_of(family) for family in FAMILIES]
        if not all(self.path(title, folder).exists() for title in (*ways, "fingerprint") for folder in folders):
            examples = [rivals.read_example(self.processed, Clip(clips.TRAIN, n), s) for n, s in labels.items()]
            rules = {title: rivals.by_kind(examples, tune) for title, tune in ways.items()}
        for folder in folders:
            if all(self.path(title, folder).exists() for title in (*ways, "fingerprint")):
                continue
            tests = {n: rivals.read_example(self.processed, Clip(folder, n)) for n in self.truth[folder]}
            for title, rule in rules.items():
                self._keep(title, folder, {name: rule(test) for name, test in tests.items()})
            prints = {name: (rivals.fingerprint(self.raw / folder / f"{name}.mp4"), test.kind,
                             self.facts[name]["season"]) for name, test in tests.items()}
            constants = {kind: rules["constant"](next(t for t in tests.values() if t.kind == kind)) for kind in "se"}
            self._keep("fingerprint", folder, rivals.fingerprint_answers(prints, constants.__getitem__))

    def _keep(self, title: str, folder: str, answers: dict[str, float]) -> None:
        path = self.path(title, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_submission(path, answers)

    def answer(self, title: str, folder: str, name: str) -> float:
        return read_answers(self.path(title, folder))[name]

    def arrays(self, title: str, families: list[str], variant: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(answers, truth) of some families' test clips, (N,) each, in seconds."""
        found, truth = [], []
        for folder in map(clips.folder_of, families):
            answers = read_answers(self.path(title, folder, variant))
            found += [answers[name] for name in self.truth[folder]]
            truth += self.truth[folder].values()
        return np.array(found), np.array(truth)


# ---------------------------------------------------------------- tables


def joined(
    seeds: list[Seed], title: str, families: list[str], variant: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(answers, truth) of some families' test clips of all seeds, (N,) each, in seconds."""
    parts = [seed.arrays(title, families, variant) for seed in seeds]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def interval_text(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.2f}" if interval is None else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def score_table(seeds: list[Seed], titles: list[str], groups: dict[str, list[str]]) -> str:
    """How near each title comes, by group of families: score, with those of the single seeds, and shares of clips."""
    rows = []
    for name, families in groups.items():
        for title in titles:
            table = evaluate(*joined(seeds, title, families))
            each = [evaluate(*seed.arrays(title, families))["score"] for seed in seeds]
            rows.append([title, name, interval_text(table["score"], table["score_interval"]),
                         ", ".join(f"{score:.2f}" for score in each), f"{table['mean_error']:.2f}",
                         f"{table['median_error']:.2f}",
                         *(f"{table[f'within_{limit}s']:.0%}" for limit in ("0.5", "1", "5"))])
    heads = ["", "families", "score, s", "by seed", "mean error", "median", "in 0.5 s", "in 1 s", "in 5 s"]
    return markdown_table(heads, rows)


def comparison_table(seeds: list[Seed], others: list[str], groups: dict[str, list[str]]) -> str:
    rows = []
    for title in others:
        row = [title]
        for families in groups.values():
            ours, truth = joined(seeds, NEW, families)
            theirs, _ = joined(seeds, title, families)
            table = compare(theirs, ours, truth)
            ratio = table["score_against"] / table["score"] if table["score"] else float("nan")
            row += [interval_text(table["difference"], table["difference_interval"]), f"{ratio:.2f}"]
        rows.append(row)
    heads = ["another's score less AVTDist's"]
    for name in groups:
        heads += [name, "AVTDist's share of it"]
    return markdown_table(heads, rows)


def case_table(seeds: list[Seed], titles: list[str], groups: dict[str, list[str]]) -> str:
    """Score by hard case, of all clips of a case together."""
    rows = []
    for case in ("", *SEASON_CASES, *CLIP_CASES):
        row = [case.replace("_", " ") or "usual"]
        for families in groups.values():
            names = [(seed, clips.folder_of(family), name) for seed in seeds for family in families
                     for name in seed.truth[clips.folder_of(family)] if seed.facts[name]["case"] == case]
            row.append(str(len(names)))
            for title in titles:
                costs = [max(0.0, abs(seed.answer(title, folder, name) - seed.truth[folder][name]) - 1)
                         for seed, folder, name in names]
                row.append(f"{np.mean(costs):.2f}" if costs else "-")
        if set(row[1:]) != {"0", "-"}:
            rows.append(row)
    return markdown_table(["score, s, by case", *(f"{name}: {head}" for name in groups for head in ("clips", *titles))],
                          rows)


def missing_table(seeds: list[Seed], groups: dict[str, list[str]]) -> str:
    rows = []
    for variant in (None, *WITHOUT):
        row = [variant or "all three"]
        for families in groups.values():
            table = evaluate(*joined(seeds, NEW, families, variant))
            row += [interval_text(table["score"], table["score_interval"]), f"{table['within_1s']:.0%}"]
        rows.append(row)
    heads = ["AVTDist, modality missing in the test"]
    for name in groups:
        heads += [f"{name}: score, s", "in 1 s"]
    return markdown_table(heads, rows)


def damage_table(seeds: list[Seed]) -> str:
    rows = []
    clean: list[list[float]] = [[], []]
    for damage in clips.DAMAGES:
        folder = clips.damage_folder(damage)
        found, truth, clean_found, clean_truth = [], [], [], []
        for seed in seeds:
            answers = read_answers(seed.path(NEW, folder))
            source = clips.folder_of(seed.damaged_family)
            originals = read_answers(seed.path(NEW, source))
            by_copy = {clips.damage_name(name, damage): name for name in seed.truth[source]}
            for copy, seconds in seed.truth[folder].items():
                found.append(answers[copy])
                truth.append(seconds)
                clean_found.append(originals[by_copy[copy]])
                clean_truth.append(seed.truth[source][by_copy[copy]])
        table = evaluate(np.array(found), np.array(truth))
        clean = [clean_found, clean_truth]
        rows.append([damage, str(len(found)), interval_text(table["score"], table["score_interval"]),
                     f"{table['mean_error']:.2f}", f"{table['within_1s']:.0%}"])
    table = evaluate(np.array(clean[0]), np.array(clean[1]))
    rows.insert(0, ["the same clips, clean", str(len(clean[0])), interval_text(table["score"], table["score_interval"]),
                    f"{table['mean_error']:.2f}", f"{table['within_1s']:.0%}"])
    return markdown_table([f"{NEW}, damaged clips of {seeds[0].damaged_family}", "clips", "score, s", "mean error",
                           "in 1 s"], rows)


def read_predictions(seed: Seed, folder: str) -> dict[str, dict[str, float]]:
    path = seed.path(NEW, folder)
    with open(path.with_name(f"{path.stem}_predictions.csv"), encoding="utf-8", newline="") as file:
        return {row.pop("name"): {k: float(v) if v else float("nan") for k, v in row.items()}
                for row in csv.DictReader(file)}


def sureness_tables(seeds: list[Seed], groups: dict[str, list[str]]) -> str:
    """How often the 90% intervals hold the truth, and the score of the surest clips."""
    coverage, curve = [], []
    for title, families in groups.items():
        rows = [(row, seed.truth[folder][name]) for seed in seeds for folder in map(clips.folder_of, families)
                for name, row in read_predictions(seed, folder).items()]
        inside = np.mean([row["low"] <= truth <= row["high"] for row, truth in rows])
        width = np.median([row["high"] - row["low"] for row, _ in rows])
        coverage.append([title, str(len(rows)), f"{inside:.1%}", f"{width:.2f}"])
        rows.sort(key=lambda item: -item[0]["confidence"])
        cells = []
        for share in SHARES:
            kept = rows[:max(1, round(share * len(rows)))]
            costs = [max(0.0, abs(row["seconds"] - truth) - 1) for row, truth in kept]
            cells.append(f"{np.mean(costs):.2f} (from {kept[-1][0]['confidence']:.2f})")
        curve.append([title, *cells])
    return (markdown_table(["90% intervals", "clips", "hold the truth", "median width, s"], coverage) + "\n\n"
            + markdown_table(["score of the surest (least confidence)", *(f"{share:.0%}" for share in SHARES)], curve))


def report(seeds: list[Seed], ablations: list[str]) -> str:
    trained = list(seeds[0].families)
    groups = {f"seen ({', '.join(trained)})": trained}
    if seeds[0].unseen:
        groups[f"unseen ({', '.join(seeds[0].unseen)})"] = seeds[0].unseen
    titles = ["constant", "black and silence", "change of MFCC", "fingerprint", *(n for n in NETWORKS if n != NEW),
              *seeds[0].fusions, NEW]
    texts = [f"Machine: {machine()}. {seeds[0].sizes.train} training clips of each family seen, "
             f"{seeds[0].sizes.seasons * clips.EPISODES * 2} test clips of each family; "
             f"{len(seeds)} seeds of clips and trainings. Intervals: 95%, bootstrap over clips.",
             score_table(seeds, titles, groups), case_table(seeds, ["reference, fused", NEW], groups),
             comparison_table(seeds, titles[:-1], groups),
             missing_table(seeds, groups), damage_table(seeds), sureness_tables(seeds, groups)]
    if ablations:
        shown = [title for name in (NEW, "AVTNet") for title in (name, *ablations)
                 if title == name or ABLATIONS.get(title, [""])[0] == name]
        texts.append(f"Seed {seeds[0].seed}, each trained anew:\n\n" + score_table(seeds[:1], shown, groups))
    for seed in seeds:
        took = {name: read_seconds(seed.prefix(name)) for name in NETWORKS}
        texts.append(f"Seed {seed.seed}, minutes: " + ", ".join(f"{t} {s / 60:.1f}" for t, s in seed.seconds.items())
                     + "; each training by itself: " + ", ".join(f"{n} {s / 60:.1f}" for n, s in took.items()) + ".")
    return "\n\n".join(texts) + "\n"


def read_seconds(prefix: Path) -> float:
    """How long the epochs of a training took together, s."""
    from utils.run_folder import read_records

    return sum(record["seconds"] for record in read_records(prefix))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, default=ROOT / "work_dir/accuracy", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of clips and trainings (%(default)s)")
    parser.add_argument("--train_families", nargs="+", choices=FAMILIES, default=["drawn", "paper"],
                        help="families of the training clips; the others are unseen (%(default)s)")
    parser.add_argument("--short", action="store_true", help="one seed, few small clips, two epochs")
    parser.add_argument("--ablation", nargs="*", metavar="WORD", help="train networks without each of their parts too, "
                        "on the first seed; with words only those whose title holds one, e.g. rhythm GRU")
    parser.add_argument("--train", type=int, default=Sizes.train, help="training clips a family (%(default)s)")
    parser.add_argument("--seasons", type=int, default=Sizes.seasons, help="test seasons a family (%(default)s)")
    args = parser.parse_args(argv)
    sizes = SHORT if args.short else Sizes(train=args.train, seasons=args.seasons)
    epochs = 2 if args.short else None
    ablations = {}
    if args.ablation is not None:
        ablations = {title: training for title, training in ABLATIONS.items()
                     if not args.ablation or any(word in title for word in args.ablation)}
        if not ablations:
            raise UserError(f"--ablation {' '.join(args.ablation)}: in no title of {', '.join(ABLATIONS)}.")
    started, seeds = time.perf_counter(), []
    for number in args.seeds[:1] if args.short else args.seeds:
        work = (args.work_dir / ("short" if args.short else f"seed{number}")).resolve()
        seed = Seed(work, tuple(args.train_families), sizes, number, number_of_cores(), epochs)
        seed.prepare()
        seed.ask_rivals()
        seed.train({name: (name, [] if name == NEW else EQUAL_TIME, {}) for name in NETWORKS})
        seed.fuse()
        seed.answer_hard_cases()
        if not seeds:
            seed.train(ablations)
        seeds.append(seed)
        text = report(seeds, list(ablations))
        save_text(args.work_dir / "report.md", text)
        print(f"\n{text}\n{(time.perf_counter() - started) / 60:.1f} min so far", flush=True)
    return 0


if __name__ == "__main__":
    run_command(main)
