"""A truth of 24 clips and two submissions that answer it, for the tests of the evaluation."""

from pathlib import Path

from datatools.submission import write_submission
from utils.evaluate import main

TRUTH = {f"c{i:02d}_{kind}": 20.0 + 5 * i + (3 if kind == "end" else 0) for i in range(12) for kind in ("start", "end")}
FAMILIES = {name: "fade" if i < 5 else "hard | cut" for i, name in enumerate(TRUTH)}


def found_with(start: float, end: float) -> dict[str, float]:
    """Answers that are off by `start` and `end` seconds, and by 40 s more in one clip."""
    found = {name: seconds + (end if name.endswith("_end") else start) for name, seconds in TRUTH.items()}
    found["c07_end"] += 40
    return found


def write_files(folder: Path) -> dict[str, Path]:
    """A truth, its families, and the submissions a and b."""
    paths = {key: folder / name for key, name in (
        ("truth", "truth.csv"), ("families", "families.csv"), ("a", "a.csv"), ("b", "b.csv"))}
    paths["truth"].write_text("name,seconds\n" + "".join(f"{n},{s}\n" for n, s in TRUTH.items()))
    paths["families"].write_text("name,family\n" + "".join(f"{n},{f}\n" for n, f in FAMILIES.items()))
    write_submission(paths["a"], found_with(0.5, -2))
    write_submission(paths["b"], found_with(3, -2))
    return paths


def run(files: dict[str, Path], *flags: object) -> int:
    """The command, on submission a where no other is named."""
    return main(["--submission", str(files["a"]), "--truth", str(files["truth"]), "--resamples", "50",
                 *map(str, flags)])
