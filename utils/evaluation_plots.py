"""Pictures of an evaluation: errors of one or two submissions, and a reliability diagram of confidences."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from datatools.layout import CLIP_SECONDS, KINDS
from datatools.scores import TOLERANCE, clip_errors
from utils.evaluation import group_clips
from utils.plots import LOOKS

SMALLEST_SHOWN = 0.01           # s; left end of the logarithmic axis; smaller errors are drawn there
ERROR_TICKS = (0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)   # s


def errors_figure(names: list[str], truth: np.ndarray, found: dict[str, np.ndarray]) -> Figure:
    """Cumulative share of clips against |error|, and found against true; start and end clips have their own colours.

    `truth` is (N,), `found` {title: (N,)} with one or two submissions; all in seconds.
    """
    groups = group_clips(names)["kinds"]
    kinds = [(groups[kind.title], *LOOKS[kind]) for kind in KINDS if kind.title in groups]
    longest = max(float(CLIP_SECONDS), truth.max(), *(seconds.max() for seconds in found.values()))
    figure = Figure(figsize=(6.4 + 5.2 * len(found), 5.6), layout="constrained")
    left, *others = figure.subplots(1, 1 + len(found), width_ratios=[1.25, *[1] * len(found)])
    _draw_curves(left, kinds, truth, found, longest)
    # One scatter for both kinds: in the clips' order neither colour hides the other.
    colours = np.empty(len(names), dtype=object)
    for mask, colour, _ in kinds:
        colours[mask] = colour
    for axis, (title, seconds) in zip(others, found.items(), strict=True):
        axis.plot([0, longest], [0, longest], color="0.7", linewidth=1, zorder=0)
        axis.scatter(truth, seconds, s=22 if len(names) < 500 else 8, color=list(colours), alpha=0.6, linewidths=0,
                     clip_on=False)
        # matplotlib would read a dollar sign in a file's name as the start of a formula.
        axis.set(xlim=(0, longest), ylim=(0, longest), aspect="equal", xlabel="true boundary, s",
                 ylabel="found boundary, s", title=title.replace("$", r"\$"))
    # Below the axes, so that no curve runs under it.
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
    return figure


def _draw_curves(
    axis: Axes, kinds: list[tuple], truth: np.ndarray, found: dict[str, np.ndarray], longest: float
) -> None:
    """The cumulative curves of each submission and kind; `kinds` are (mask, colour, label)."""
    axis.axvspan(SMALLEST_SHOWN, TOLERANCE, color="0.93", zorder=0, label="up to 1 s: costs nothing")
    for letter, style, seconds in zip("AB", ("-", (0, (4, 2))), found.values(), strict=False):
        error = np.abs(clip_errors(seconds, truth))
        for mask, colour, label in kinds:
            steps = np.append(np.maximum(np.sort(error[mask]), SMALLEST_SHOWN), longest)
            share = np.append(np.arange(1, mask.sum() + 1) / mask.sum(), 1)
            axis.step(steps, share, where="post", color=colour, linestyle=style, linewidth=1.8,
                      label=label if len(found) == 1 else f"{letter}, {label}")
    axis.set(xscale="log", xlim=(SMALLEST_SHOWN, longest), ylim=(0, 1.01), title="cumulative share of clips",
             xlabel="|error|, s", ylabel="clips with at most this |error|")
    ticks = [tick for tick in ERROR_TICKS if tick <= longest]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.grid(color="0.88", linewidth=0.6)


def reliability_figure(calibration: dict) -> Figure:
    """Share of clips within 1 s against confidence, by bin and as the isotonic fit; below, the clips in each bin.

    `calibration` is what `calibrate` of utils/calibration.py returns.
    """
    bins, curve = calibration["bins"], calibration["curve"]
    told = [b["confidence"] for b in bins]
    figure = Figure(figsize=(6.4, 6.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    top.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="a confidence that can be taken at its word")
    top.plot([0, *curve["confidence"], 1], [curve["within_1s"][0], *curve["within_1s"], curve["within_1s"][-1]],
             color="#4575b4", linewidth=1.8, label="isotonic regression over all clips")
    top.plot(told, [b["within_1s"] for b in bins], "o", color="#d73027", label="counted")
    top.set(ylabel="clips answered within 1 s", xlim=(0, 1), ylim=(-0.02, 1.02),
            title=f"{calibration['clips']} clips; {calibration['inside']:.0%} of the intervals hold the truth")
    top.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    top.legend(loc="best", fontsize=9)
    bottom.vlines(told, 0, [b["clips"] for b in bins], color="0.4", linewidth=6)
    bottom.set(xlabel="confidence (mean of the bin)", ylabel="clips", ylim=(0, None))
    for axis in (top, bottom):
        axis.grid(color="0.88", linewidth=0.6)
    return figure
