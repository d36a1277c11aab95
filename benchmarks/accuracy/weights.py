"""One small AVTDist trained on made clips of all families: the file that is shipped, its model card, its SHA-256.

    make_weights(Path("work_dir/weights"), Sizes(train=80, seasons=1), seed=0, epochs=None)
"""

import hashlib
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.accuracy import clips
from benchmarks.accuracy.clips import Sizes
from benchmarks.accuracy.folder import measure
from benchmarks.accuracy.seed import CHECKPOINTS, NEW, ROOT, is_trained, training_command
from benchmarks.machine import machine
from datatools.errors import UserError
from datatools.files import check_writable, save_text
from synth.plan import FAMILIES
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.checkpoint_form import FOR_INFERENCE
from utils.default_weights import FILE, MOST_BYTES

DETECTOR = "rapidocr"
SEED = 1_000      # added to the seed of its clips, so that they are none of the benchmark's

CARD = """# {name}: AVTDist, trained on made clips

It answers where an anime episode's opening ends (clips `<id>_start`) and where its ending begins (`<id>_end`), in
seconds, from sound, picture and text boxes; any of the three may be missing.

    python avt_dist_main.py --data_root data/processed --folder mine --weights default --output mine.csv

- SHA-256: {digest}
- {size:,} bytes, {count:,} numbers; {half} of them in float16, the rest in float32.
- Made by `python tools/make_weights.py {words}`.

## Data

{train} made clips of each of the families {families}, {height} pixels high, of {length}, every second pair with a hard
case; a seventh of them validated. No real episode, no picture, sound or text of one. Text boxes by {detector}.

## Cost

{minutes:.1f} minutes and {cpu:.1f} CPU minutes of the last run, without what was there before it. Machine:
{machine}.

## Figures

{figures}

## What it does not know

- Real episodes. It was trained and measured on clips that a program drew and played; how well it does on yours, tells
  `python benchmarks/accuracy/run.py --test_folder FOLDER --weights default` with some labelled clips.
- Whether there is an opening or an ending at all: it names a time for every clip. The confidence is the only sign.
- Clips of more than 200 s, and other questions than the two that a clip's name asks.
- Text: it sees where text stands, not what it says. Boxes of another detector than {detector} are other boxes.
- 90% intervals are set on the validation clips. They hold as often only for clips like those; for another look or sound
  nothing is promised.
"""


def make_weights(output: Path, sizes: Sizes, seed: int, epochs: int | None) -> Path:
    """Make the clips and features that are missing, train, and write FILE, its card and its .sha256 to `output`.

    `epochs`: by default the preset's. Raises UserError where a step fails or the file would be too large.
    """
    started, work = time.perf_counter(), output / "made"
    raw, processed, prefix = work / "raw", work / "processed", work / "training"
    check_writable(output)
    plans = clips.make_clips(raw, FAMILIES, sizes, SEED + seed)
    step("preprocessing", ["datatools/preprocess.py", "--data_root", raw, "--save_root", processed, "--ocr", DETECTOR,
                           "--folders", *(folder for folder, each in plans.items() if each)])
    if not is_trained(prefix):
        more = ["--max_epoch", str(epochs)] if epochs else []
        step("training", training_command(NEW, prefix, processed, seed, FAMILIES, more, {}))
    target = output / FILE
    ship(prefix / CHECKPOINTS["last"], target)
    figures = [f"Test seasons of the family {family}, which was trained on, with other episodes and themes:\n\n"
               + measure(processed / clips.folder_of(family), [target], work / "figures" / family)
               for family in FAMILIES if plans[clips.folder_of(family)]]
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    weights = load_checkpoint(target)["model"].values()
    given = {"clips": sizes.train, "seasons": sizes.seasons, "seed": seed, **({"epochs": epochs} if epochs else {})}
    save_text(target.with_suffix(".md"), CARD.format(
        name=FILE, digest=digest, size=target.stat().st_size, count=sum(w.numel() for w in weights),
        half=f"{sum(w.numel() for w in weights if w.dtype == torch.float16):,}",
        words=" ".join(f"--{name} {value}" for name, value in given.items()), train=sizes.train,
        families=", ".join(FAMILIES), height=sizes.height, detector=DETECTOR, machine=machine(),
        length=f"{sizes.duration:g} s" if sizes.duration else "180 to 200 s",
        minutes=(time.perf_counter() - started) / 60, cpu=sum(u.ru_utime + u.ru_stime for u in used) / 60,
        figures="\n".join(figures).replace(f"{output}/", "") or "None: no test season was made (--seasons)."))
    save_text(target.with_suffix(".sha256"), f"{digest}  {FILE}\n")
    return target


def step(title: str, words: list) -> None:
    """Run one command of the project; its output is shown. Raises UserError where it fails."""
    code = subprocess.run([sys.executable, *map(str, words)], cwd=ROOT).returncode
    if code:
        raise UserError(f"{title}: ended with exit code {code}, its message stands above.")


def ship(source: Path, target: Path) -> None:
    """Write what an inference needs of a checkpoint. Raises UserError where that is more than MOST_BYTES.

    Matrices and kernels become float16, which halves the file; vectors, such as batch norm's variances, do not: these
    may be larger than float16 can hold.
    """
    content = load_checkpoint(source)
    content = {key: content[key] for key in FOR_INFERENCE if key in content}
    content["model"] = {name: weight.half() if weight.dim() > 1 else weight
                        for name, weight in content["model"].items()}
    save_checkpoint(target, content)
    if target.stat().st_size > MOST_BYTES:
        raise UserError(f"{target}: {target.stat().st_size:,} bytes, expected at most {MOST_BYTES:,}. Choose smaller "
                        "sizes in the preset's `network`.")
