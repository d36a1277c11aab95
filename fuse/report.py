"""The report on a fusion, as Markdown: scores of inputs and methods, and the contribution of each input.

    print(report_text(fuse_files(paths, truth=Path("truth.csv"))))
"""

import numpy as np

from datatools.errors import UserError
from datatools.scores import competition_score
from datatools.tables import markdown_table
from fuse.choices import METHODS
from fuse.fusion import KIND_TITLES, Fusion, fuse_answers, why_not
from fuse.inputs import listed_clips, true_seconds
from fuse.stack import Examples, learn_weights, learnt_together


def report_text(fusion: Fusion) -> str:
    """Scores on the inputs' clips if their truth is known, else on the out-of-fold clips; without truth, distances.

    Raises UserError where the truth has only some of the inputs' clips, or neither theirs nor the out-of-fold clips.
    """
    names = [path.name for path in fusion.paths]
    labels = names if len(set(names)) == len(names) else [str(path) for path in fusion.paths]
    true, missing = true_seconds(fusion.clips, fusion.truth or {})
    count, examples = len(fusion.clips), fusion.examples
    if not missing:
        scored = Examples(fusion.clips, fusion.seconds, true)
        return score_report(f"the {count} clips of the inputs", labels, fusion.method, scored, examples)
    if len(missing) < count:
        raise UserError(f"{fusion.truth_path}: lacks {len(missing)} of {count} clips of the inputs: "
                        f"{listed_clips(missing)}. Add them, or leave out the truth of the others.")
    if examples:
        what = f"the {len(examples.clips)} out-of-fold clips, each fused by what the others teach"
        return score_report(what, labels, fusion.method, examples, examples)
    if fusion.truth is not None:
        raise UserError(f"{fusion.truth_path}: holds none of the {count} clips of the inputs: {listed_clips(missing)}. "
                        "Name their truth with --truth, or ask for the report without it.")
    return disagreement_report(labels, fusion.method, fusion.seconds, fusion.fused)


def score_report(what: str, labels: list[str], method: str, scored: Examples, examples: Examples | None) -> str:
    """Markdown: the score of every input and method on `scored`, and what each input contributes to `method`.

    A contribution is the score of the fusion without the input minus the score with it: above 0, the input helps.
    """
    clips, seconds, truth = scored.clips, scored.seconds, scored.truth
    inputs = [competition_score(seconds[:, k], truth) for k in range(len(labels))]
    reasons = {m: why_not(m, clips, examples) for m in METHODS}
    fusions = {m: competition_score(fuse_answers(m, clips, seconds, examples), truth)
               for m, reason in reasons.items() if reason is None}
    weights = input_weights(clips, examples)
    rows = []
    for k, label in enumerate(labels):
        rest = examples.without_input(k) if examples else None
        without = fuse_answers(method, clips, np.delete(seconds, k, axis=1), rest)
        contribution = competition_score(without, truth) - fusions[method]
        # Adding 0 turns a rounded -0.0 into 0.0.
        rows.append([label, f"{inputs[k]:.3f}", f"{round(contribution, 3) + 0.0:+.3f}",
                     *(f"{values[k]:.3f}" for _, values in weights)])
    for m in METHODS:
        told = f"{fusions[m]:.3f}" if m in fusions else f"not computed: {reasons[m]}"
        rows.append([f"{m} (written)" if m == method else m, told, "", *("" for _ in weights)])
    best = int(np.argmin(inputs))
    heads = ["", "score, s", "contribution, s", *(f"weight{title}" for title, _ in weights)]
    return "\n".join([
        f"Score on {what}: mean of max(0, |error| - 1 s).", "", markdown_table(heads, rows), "",
        f"Best single input: {labels[best]}, {inputs[best]:.3f} s.",
        f"Contribution: score of {method} without the input minus score with it; above 0, the input helps.",
    ])


def input_weights(clips: list[tuple[str, str]], examples: Examples | None) -> list[tuple[str, np.ndarray]]:
    """Columns (title, (K,)) of the weights learnt from all examples; [] where there are too few."""
    if examples is None or why_not("weighted", clips, examples):
        return []
    columns = []
    for group in learnt_together("weighted", examples):
        rows = np.isin(examples.kinds, group)
        title = f", {KIND_TITLES[group[0]]}" if len(group) == 1 else ""
        columns.append((title, learn_weights(examples.seconds[rows], examples.truth[rows])))
    return columns


def disagreement_report(labels: list[str], method: str, seconds: np.ndarray, fused: np.ndarray) -> str:
    """Markdown: how far each input is from the fused answer on average."""
    rows = [[label, f"{np.abs(seconds[:, k] - fused).mean():.3f}"] for k, label in enumerate(labels)]
    return "\n".join([
        f"Mean distance from the fused answer ({method}) over {len(fused)} clips; no truth was given.", "",
        markdown_table(["", "mean distance, s"], rows),
    ])
