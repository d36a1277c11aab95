"""Label files, submissions, predictions, families and presets, near to right ones and then spoilt: read them all.

    for outcome in campaign(2000, seed=0, folder=Path("work_dir/texts")):
        print(outcome)
"""

import math
import random
from collections.abc import Callable
from pathlib import Path

from benchmarks.reliability.limits import attempt
from benchmarks.reliability.outcome import Outcome
from datatools.labels import read_labels, read_truth
from datatools.numbers import MOST_LISTED_SECONDS
from datatools.submission import read_predictions
from fuse.fusion import fuse_files, write_fusion
from models.avtnet import AVTNet
from utils.cli import boundary_command
from utils.evaluation_inputs import read_families
from utils.networks import build_network

GOOD_NUMBERS = ("0", "12.5", "91.25", "199.999", "1e1", "+3", "86400")
BAD_NUMBERS = (
    "nan", "inf", "-1", "-0.0", "1e308", "1e999", "1_0", "٣٤", "0x10", "1:30", "", "86400.5", "9" * 5000, "１２",
    "1e-400", "12,5", "--1", "1 0", "infinity", "1e", ".", "+", "True",
)
GOOD_NAMES = ("a_start", "b_end", "Zq81_start", "片頭_start", "x.y_end", "[Sub] Show 01_start")
BAD_NAMES = (
    "=1+1_start", "+a_start", "-a_start", "@a_end", "'=a_end", " =a_end", "../a_start", "/etc/passwd", ".", "..", "",
    "a\0b_start", "\ta_end", "a/b_end", "a\\b_end", "＝a_end", "\x1b[31m_end", "n" * 300, "a;=1_end", '"=1_end',
)
PIECES = (
    "\0", "\r", "\n", "\r\n", ",", '"', '""', "'", ";", "\t", "\ufeff", "\u2028", "\x85", "\x1a", "é", "😀", "#", ": ",
    "- ", "&a ", "*a", "!!python/name:os.system ", "!!binary ", "<<: ", "? ", "|", "%YAML 9.9\n", "---\n", "...\n",
    "[" * 3000, "{a: " * 50, "2001-01-01", "~", "yes", "x" * 140_000, "9" * 5000, "\ud7ff",
    '"\\UFFFFFFFF"', '"\\ud800"',
)
PRESET_LINES = (
    "lr: 0.002", "lr: 1e-3", "batch_size: 4", "max_epoch: 14", "shift: 60", "vary: 0.5", "use_amp: true", "seed: 3",
    "gpus: cpu", "pretrained: none", "schedule: one_cycle", "train_folders: [data_A/train]", "without: [text_roi]",
    "label_files: [a.txt, b.csv]", "ema: 0.9", "if_normal: false", "folds: no",
    "network: {hidden: 8, recurrent: false}",
    "network:\n  frame_channels: [4, 8]\n  sharpness: 2\n  text_channels: [4]\n  audio_channels: [16, 16]\n  hidden: 8",
)
PRESET_VALUES = (
    *GOOD_NUMBERS, *BAD_NUMBERS, "true", "false", "~", "[]", "{}", "[1, 2]", "{a: 1}", "[[1]]", "2001-01-01", ".nan",
    ".inf", "100000000", "[--overwrite]", "=", "'-x'", "../x", "/", "\"a\\0b\"", "[1, true]",
)


def compose(kind: str, rng: random.Random) -> str:
    """A text of this kind, right in most of its parts."""
    if kind == "preset":
        lines = [line if rng.random() < 0.8 else f"{line.split(':')[0]}: {rng.choice(PRESET_VALUES)}"
                 for line in rng.sample(PRESET_LINES, rng.randint(1, 6))]
        return "\n".join(lines) + "\n"

    def some(good: tuple, bad: tuple) -> str:
        return rng.choice(good if rng.random() < 0.95 else bad)

    lines = {"labels.csv": ["name,seconds"], "truth.csv": ["seconds,name,more"], "families.csv": ["name,family"],
             "predictions.csv": ["name,seconds,low,high,confidence"]}.get(kind, [])
    for i in range(rng.randint(0, 8)):
        name = f"{i}{some(GOOD_NAMES, BAD_NAMES)}" if rng.random() < 0.8 else some(GOOD_NAMES, BAD_NAMES)
        numbers = [some(GOOD_NUMBERS, BAD_NUMBERS) for _ in range(4)]
        lines.append({
            "labels.txt": f"{name.replace(' ', '')} {numbers[0]}", "labels.csv": f"{name},{numbers[0]}",
            "truth.csv": f"{numbers[0]},{name},x", "families.csv": f"{name},{some(GOOD_NAMES, BAD_NAMES)}",
            "predictions.csv": ",".join([name, *numbers]),
            "submission.csv": f"{name}.mp4,{some(('s', 'e'), ('x', '', 'S'))},{numbers[0]}",
        }[kind])
    return rng.choice(("\n", "\n", "\r\n")).join(lines) + rng.choice(("", "\n"))


def spoil(text: str, rng: random.Random) -> bytes:
    """A text's bytes after some changes: pieces put in, spans cut out or doubled, bytes changed, another encoding."""
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 1, 3, 20)))
        text = text[:start] + rng.choice((rng.choice(PIECES), text[start:end] * 2, "")) + text[end:]
    content = text.encode(rng.choices(("utf-8", "utf-8-sig", "utf-16", "utf-32"), (20, 2, 1, 1))[0])
    for _ in range(rng.choices((0, 1, 5), (8, 1, 1))[0] if content else 0):
        place = rng.randrange(len(content))
        content = content[:place] + bytes([rng.randrange(256)]) + content[place + 1:]
    return content


def check_seconds(seconds, *, low: float = 0.0) -> str:
    """How many numbers there are. Raises AssertionError unless each is finite and within a day."""
    seconds = list(seconds)
    assert all(math.isnan(s) if s != s else low <= s <= MOST_LISTED_SECONDS for s in seconds), seconds
    return f"{len(seconds)} numbers"


def read_labels_file(path: Path) -> str:
    return check_seconds(label.seconds for label in read_labels(path))


def read_truth_file(path: Path) -> str:
    return check_seconds(read_truth(path).values())


def read_predictions_file(path: Path) -> str:
    rows = read_predictions(path, ("seconds",))
    return check_seconds((value for row in rows.values() for value in row.values()), low=-MOST_LISTED_SECONDS)


def read_families_file(path: Path) -> str:
    families, beyond = read_families(path, {}, path)
    return f"{len(families) + beyond} clips"


def fuse_file(path: Path) -> str:
    """Fuse a submission with itself and look at what was written."""
    other, fused = path.with_name("other.csv"), path.with_name("fused.csv")
    other.write_bytes(path.read_bytes())
    write_fusion(fuse_files([path, other]), fused)
    seconds = [float(line.rsplit(",", 1)[1]) for line in fused.read_text(encoding="utf-8").splitlines()]
    assert not any(map(math.isnan, seconds))
    return check_seconds(seconds)


def read_preset_file(path: Path) -> str:
    command = boundary_command("", ["--preset", str(path)], if_normal=False)
    numbers = [v for part in (command.fit, command.boundary) for v in vars(part).values() if isinstance(v, float)]
    assert all(map(math.isfinite, numbers)), numbers
    if command.sizes:
        build_network(AVTNet, command.sizes)
    return f"settings, {len(command.sizes)} sizes"


READERS: dict[str, Callable[[Path], str]] = {
    "labels.txt": read_labels_file, "labels.csv": read_labels_file, "truth.csv": read_truth_file,
    "submission.csv": fuse_file, "predictions.csv": read_predictions_file, "families.csv": read_families_file,
    "preset": read_preset_file,
}


def campaign(count: int, seed: int, folder: Path) -> list[Outcome]:
    """The outcomes of `count` spoilt texts, each kind in turn; `folder` keeps those that ended in a fault."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for index in range(count):
        kind = list(READERS)[index % len(READERS)]
        rng = random.Random(f"{seed}/{index}")
        path = folder / f"{seed}_{index}_{kind}"
        path.write_bytes(spoil(compose(kind, rng), rng))
        outcomes.append(attempt(path.name, lambda kind=kind, path=path: READERS[kind](path)))
        if outcomes[-1].result != "fault":
            path.unlink()
    return outcomes
