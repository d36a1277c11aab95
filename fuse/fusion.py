"""Submissions fused into one, from files to files.

    fusion = fuse_files([Path("a.csv"), Path("b.csv"), Path("c.csv")])
    write_fusion(fusion, Path("fused.csv"))
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.errors import UserError
from datatools.files import check_writable
from datatools.labels import read_truth
from datatools.layout import KINDS
from datatools.submission import write_answers
from fuse.choices import LEARNT, MIN_CLIPS
from fuse.inputs import NAMES_SHOWN, read_answers, read_examples
from fuse.stack import Examples, fuse_learnt
from fuse.vote import majority, majority_spread, median_vote, two_means_vote

KIND_TITLES = {kind.letter: kind.title for kind in KINDS}


@dataclass(frozen=True)
class Fusion:
    """A fusion: clips (name.mp4, s|e), answers (N, K) and fused answers (N,), both in seconds.

    `examples` are the out-of-fold answers, `truth` is {clip: seconds} of all known true times; each is None where its
    file was not given.
    """

    paths: list[Path]
    method: str
    clips: list[tuple[str, str]]
    seconds: np.ndarray
    fused: np.ndarray
    examples: Examples | None = None
    truth: dict[str, float] | None = None
    truth_path: Path | None = None


def fuse_files(
    paths: list[Path], method: str = "kmeans", out_of_fold: list[Path] | None = None, truth: Path | None = None
) -> Fusion:
    """Fuse the submissions in `paths`, joined by clip. `out_of_fold` holds a file for each of them. Raises UserError.

    Under kmeans and median the order of the files changes nothing.
    """
    clips, seconds = read_answers(paths)
    known = read_truth(truth) if truth else None
    examples = read_examples(out_of_fold, truth, known) if out_of_fold else None
    if reason := why_not(method, clips, examples):
        raise UserError(f"--method {method}: {reason}.")
    fused = fuse_answers(method, clips, seconds, examples)
    return Fusion(paths, method, clips, seconds, fused, examples, known, truth)


def write_fusion(fusion: Fusion, output: Path) -> None:
    """Write a submission with rows sorted by clip, so that equal inputs give equal bytes. Raises UserError."""
    check_writable(output.parent)
    write_answers(output, ((*clip, seconds) for clip, seconds in zip(fusion.clips, fusion.fused, strict=True)))


def fuse_answers(
    method: str, clips: list[tuple[str, str]], seconds: np.ndarray, examples: Examples | None
) -> np.ndarray:
    """Fuse the answers (N, K) into one a clip, (N,), in seconds; a learnt method needs `examples`."""
    if method in LEARNT:
        return fuse_learnt(method, clips, seconds, examples)
    # Both votes sort first, so neither the order of their sums nor the rounding depends on the order of the files.
    return {"kmeans": two_means_vote, "median": median_vote}[method](seconds)


def why_not(method: str, clips: list[tuple[str, str]], examples: Examples | None) -> str | None:
    """Why `method` cannot fuse `clips`, with the remedy; None where it can."""
    if method not in LEARNT:
        return None
    if examples is None:
        return "needs --out_of_fold and --truth"
    if len(examples.clips) < MIN_CLIPS[method]:
        return (f"{len(examples.clips)} out-of-fold clips, at least {MIN_CLIPS[method]} are needed; give more, or take "
                "--method median")
    if missing := sorted({kind for _, kind in clips} - {kind for _, kind in examples.clips}):
        return (f"no {KIND_TITLES[missing[0]]} clips among the out-of-fold clips, but in the inputs; add some, or take "
                "--method median")
    return None


def spread_warning(fusion: Fusion, limit: float) -> str | None:
    """A warning that names the clips on which no majority agrees within `limit` seconds, the largest spread first."""
    spread = majority_spread(fusion.seconds)
    wide = [i for i in np.argsort(-spread, kind="stable") if spread[i] > limit]
    if not wide:
        return None
    count = fusion.seconds.shape[1]
    lines = [f"warning: {len(wide)} of {len(spread)} clips: no {majority(count)} of the {count} inputs agree within "
             f"{limit:g} s."]
    for i in wide[:NAMES_SHOWN]:
        name, kind = fusion.clips[i]
        answers = ", ".join(f"{s:.1f}" for s in np.sort(fusion.seconds[i]))
        lines.append(f"  {name} ({kind}): {answers} s, fused {fusion.fused[i]:.1f} s")
    if len(wide) > NAMES_SHOWN:
        lines.append(f"  and {len(wide) - NAMES_SHOWN} more")
    return "\n".join(lines)
