"""One seed of the accuracy benchmark: clips, features, trainings, answers, rivals and fusions below one folder.

    seed = Seed(Path("work"), ("drawn", "paper"), Sizes(), 0, epochs=None)
    seed.prepare()
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import yaml

from benchmarks.accuracy import attention, clips, rivals
from benchmarks.accuracy.clips import Sizes
from datatools.clips import clip_length
from datatools.encoders import hears
from datatools.errors import UserError
from datatools.files import check_writable, save_text
from datatools.labels import read_truth
from datatools.layout import KINDS, START, Clip
from datatools.stages import number_of_cores
from datatools.submission import read_answers, write_submission
from fuse.choices import MIN_CLIPS
from synth.plan import FAMILIES
from utils.boundary import read_validation

ROOT = Path(__file__).resolve().parents[2]
NEW = "AVTDist"
ATTENTION = "attention over seconds"
PLAIN = ("constant", "black and silence", "change of MFCC", "fingerprint")      # rivals without any chance in them
# name: (entry script, preset, which checkpoints answer)
NETWORKS = {
    "AVTNet": ("avt_main.py", "configs/demo_avt.yaml", ("best",)),
    "AVTNet-normalized": ("avt_normal_main.py", "configs/demo_avt_normal.yaml", ("best", "last")),
    "AVTNet_YOLT": ("avt_yolt_main.py", "configs/demo_avt_yolt.yaml", ("best", "last")),
    # With few validation clips its score is 0 from the middle of the training on, so the best epoch would be chance.
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
# The reference's networks get enough epochs to take at least AVTDist's time; the report shows the times.
EQUAL_TIME = ["--max_epoch", "44"]
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


# ---------------------------------------------------------------- commands


def run_all(commands: dict[Path, list[str]], cores: int) -> None:
    """Run {log: command} with one thread each, one a core at once. Raises UserError where a command fails."""
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
    name: str, prefix: Path, processed: Path, seed: int, families: tuple[str, ...], more: list[str], sizes: dict
) -> list[str]:
    script, preset, _ = NETWORKS[name]
    if sizes:
        content = yaml.safe_load((ROOT / preset).read_text(encoding="utf-8"))
        content["network"] = content.get("network", {}) | sizes
        preset = str(prefix.with_suffix(".yaml"))
        prefix.parent.mkdir(parents=True, exist_ok=True)
        save_text(Path(preset), yaml.safe_dump(content))
    return [script, "--preset", preset, "--data_root", str(processed), "--save_prefix", str(prefix), "--train_folders",
            *map(clips.train_folder, families), "--label_files", *map(clips.train_labels, families), "--seed",
            str(seed), "--gpus", "cpu", "--resume", "auto", *more]


def answer_command(name: str, prefix: Path, processed: Path, folder: str, output: Path, checkpoint: str,
                   more: list[str]) -> list[str]:
    return [NETWORKS[name][0], "--data_root", str(processed), "--weights", str(prefix / CHECKPOINTS[checkpoint]),
            "--folder", folder, "--output", str(output), "--gpus", "cpu", "--use_amp", "--num_workers", "0", *more]


def without(encoders: Iterable[str]) -> dict[str, list[str]]:
    """{what is missing: the inputs to leave out}; encoders go with the sound or the picture that they take."""
    return {variant: [left_out, *(name for name in encoders if left_out == ("mfcc" if hears(name) else "frames"))]
            for variant, left_out in WITHOUT.items()}


def is_trained(prefix: Path) -> bool:
    """Whether a training has ended: its log says so."""
    log = prefix / "log.txt"
    return log.exists() and "done: best score" in log.read_text(encoding="utf-8")


# ---------------------------------------------------------------- one seed


class Seed:
    """One seed's clips, trainings and answers below `work`; every step skips what exists already.

    Trainings and answers lie in a folder named by the families trained on, and by the encoders whose vectors AVTDist
    takes as further modalities, {name: word of preprocess.py's --encoder}; the clips and features are shared. Where the
    trainings have another seed than the clips (`training`), the folder is named by it too.
    """

    def __init__(self, work: Path, families: tuple[str, ...], sizes: Sizes, seed: int, epochs: int | None,
                 encoders: dict[str, str] | None = None, training: int | None = None):
        self.families, self.sizes, self.seed = families, sizes, seed
        self.training = seed if training is None else training
        self.encoders = encoders or {}
        self.raw, self.processed = work / "raw", work / "processed"
        folder = work / "_".join([*families, *self.encoders])
        self.work = folder if self.training == seed else folder.with_name(f"{folder.name}_training{self.training}")
        self.answers, self.plain_answers = self.work / "answers", folder / "answers"
        self.more = ["--max_epoch", str(epochs)] if epochs else []
        self.networks: list[str] = []       # those of NETWORKS that were trained, and fusions of them
        self.fusions: list[str] = []
        self.rivals: list[str] = []
        self.record = self.work / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self.record.read_text()) if self.record.exists() else {}

    def took(self, title: str, started: float) -> None:
        """Add to the time that something took, over all runs."""
        self.seconds[title] = self.seconds.get(title, 0.0) + time.perf_counter() - started
        check_writable(self.work)
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
                               self.processed, "--ocr", "rapidocr", "--folders", *plans, *self.damaged,
                               *(["--encoder", *self.encoders.values()] if self.encoders else [])], cwd=ROOT).returncode
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
                    name, prefix, self.processed, self.training, self.families, [*more, *self.more], sizes)
        started = time.perf_counter()
        run_all(commands, number_of_cores())
        if commands:
            self.took("trainings", started)
        commands = {}
        for title, (name, more, _) in trainings.items():
            left_out = more if more[:1] == ["--without"] else []
            folders = [*map(clips.folder_of, FAMILIES)]
            if title == name:
                self.networks.append(name)
                folders += map(clips.train_folder, self.families)
            for folder in folders:
                for checkpoint in NETWORKS[name][2]:
                    self._add_answer(commands, name, title, folder, checkpoint, left_out)
        run_all(commands, number_of_cores())

    def prefix(self, title: str) -> Path:
        return self.work / "trainings" / title.replace(" ", "_")

    def path(self, title: str, folder: str, variant: str | None = None) -> Path:
        """Where the answers of a title lie; `variant` is a checkpoint or what is missing, by default the main one."""
        variant = variant or ("last" if title.startswith(NEW) else "best")
        answers = self.plain_answers if title in PLAIN else self.answers
        return answers / title.replace(" ", "_") / f"{folder}_{variant.replace(' ', '_')}.csv"

    def _add_answer(self, commands: dict, name: str, title: str, folder: str, checkpoint: str, more: list[str],
                    variant: str = "") -> None:
        output = self.path(title, folder, variant or checkpoint)
        if not output.exists():
            commands[output.with_suffix(".txt")] = answer_command(
                name, self.prefix(title), self.processed, folder, output, checkpoint, more)

    def answer_hard_cases(self) -> None:
        """The new network's answers without each modality, and to the damaged clips."""
        commands: dict = {}
        for variant, left_out in without(self.encoders).items():
            for family in FAMILIES:
                self._add_answer(commands, NEW, NEW, clips.folder_of(family), "last", ["--without", *left_out], variant)
        for folder in self.damaged:
            self._add_answer(commands, NEW, NEW, folder, "last", [])
        run_all(commands, number_of_cores())

    def fuse(self) -> None:
        """Fuse the five answers of the reference's three networks, as the reference did; and these with AVTDist's."""
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
        run_all(commands, number_of_cores())

    def out_of_fold(self, name: str, checkpoint: str, clip_names: Iterable[str]) -> Path:
        """A checkpoint's answers to the validation clips, which are the same in all trainings."""
        answers = {clip: seconds for folder in map(clips.train_folder, self.families)
                   for clip, seconds in read_answers(self.path(name, folder, checkpoint)).items()}
        path = self.path(name, "validation", checkpoint)
        write_submission(path, {clip: answers[clip] for clip in clip_names})
        return path

    def ask_rivals(self) -> None:
        """Answer by the plain methods, tuned on the training clips."""
        labels = {Clip(clips.train_folder(family), name): seconds for family in self.families
                  for name, seconds in read_truth(self.processed / clips.train_labels(family)).items()}
        ways = dict(zip(PLAIN, (rivals.tune_constant, rivals.tune_black, rivals.tune_change), strict=False))
        self.rivals += PLAIN
        folders = [clips.folder_of(family) for family in FAMILIES]
        if not all(self.path(title, folder).exists() for title in (*ways, "fingerprint") for folder in folders):
            examples = [rivals.read_example(self.processed, clip, s) for clip, s in labels.items()]
            rules = {title: rivals.by_kind(examples, tune) for title, tune in ways.items()}
        for folder in folders:
            if all(self.path(title, folder).exists() for title in (*ways, "fingerprint")):
                continue
            tests = {n: rivals.read_example(self.processed, Clip(folder, n)) for n in self.truth[folder]}
            for title, rule in rules.items():
                self._keep(title, folder, {name: rule(test) for name, test in tests.items()})
            prints = {name: (rivals.fingerprint(self.raw / folder / f"{name}.mp4"), test.kind,
                             self.facts[name]["season"]) for name, test in tests.items()}
            constants = {kind.letter: rules["constant"](next(t for t in tests.values() if t.kind == kind.letter))
                         for kind in KINDS}
            self._keep("fingerprint", folder, rivals.fingerprint_answers(prints, constants.__getitem__))

    def ask_attention(self) -> None:
        """Answer by self-attention over a pretrained network's vectors, trained on the training clips."""
        self.rivals.append(ATTENTION)
        folders = [clips.folder_of(family) for family in FAMILIES]
        if all(self.path(ATTENTION, folder).exists() for folder in folders):
            return
        started = time.perf_counter()
        labels = {Clip(clips.train_folder(family), name): seconds for family in self.families
                  for name, seconds in read_truth(self.processed / clips.train_labels(family)).items()}
        tests = {folder: [Clip(folder, name) for name in self.truth[folder]] for folder in folders}
        for clip in [*labels, *(clip for folder in folders for clip in tests[folder])]:
            target = clip.encoded(self.processed, attention.ENCODER)
            if not target.exists():
                attention.make_vectors(self.raw / clip.folder / f"{clip.name}.mp4", target)
        model = attention.train(*self._vectors([*labels], np.array([*labels.values()])), seed=self.training)
        for folder, asked in tests.items():
            features, kinds, _, lengths = self._vectors(asked, np.zeros(len(asked)))
            found = attention.boundaries(model, features, kinds, lengths)
            self._keep(ATTENTION, folder, {clip.name: float(s) for clip, s in zip(asked, found, strict=True)})
        self.took("attention over seconds", started)

    def _vectors(self, asked: list[Clip], seconds: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
        """(vectors (N, 200, D), kinds, seconds, lengths) of clips, as attention.py takes them."""
        return (np.stack([np.load(clip.encoded(self.processed, attention.ENCODER)) for clip in asked]),
                [clip.kind for clip in asked], seconds, np.array([clip_length(self.processed, c) for c in asked]))

    def _keep(self, title: str, folder: str, answers: dict[str, float]) -> None:
        path = self.path(title, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_submission(path, answers)

    def answer(self, title: str, folder: str, name: str) -> float:
        return read_answers(self.path(title, folder))[name]

    def arrays(self, title: str, families: list[str], variant: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(answers, truth) of the families' test clips, (N,) each, in seconds."""
        found, truth = [], []
        for folder in map(clips.folder_of, families):
            answers = read_answers(self.path(title, folder, variant))
            found += [answers[name] for name in self.truth[folder]]
            truth += self.truth[folder].values()
        return np.array(found), np.array(truth)

    def marks(self, families: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """(whether it is a start clip, its length in s) of the families' test clips, (N,) each."""
        chosen = [Clip(folder, name) for folder in map(clips.folder_of, families) for name in self.truth[folder]]
        return (np.array([clip.kind == START.letter for clip in chosen]),
                np.array([clip_length(self.processed, clip) for clip in chosen]))
