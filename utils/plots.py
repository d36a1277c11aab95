"""Pictures: found against true boundaries, strips of frames that show both, and a training's curves."""

from pathlib import Path

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from datatools.files import write_atomic
from datatools.layout import END, KINDS, START, clips_of_kind
from utils.lettering import is_plain, write

TRUE_COLOUR, FOUND_COLOUR = "#1a9850", "#d73027"
LOOKS = {START: ("#4575b4", "end of the opening"), END: ("#f46d43", "start of the ending")}   # colour and label
STRIP_STEP = 8     # s between the frames of an overview strip
SCORE_TICKS = (0, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)   # s
ZOOM_SECONDS = 6   # s on both sides of the true boundary in a close strip


def predictions_picture(
    path: Path, truth: dict[str, float], found: dict[str, float], frames: dict[str, np.ndarray], title: str
) -> None:
    """Found against true boundary of all clips; for the clips in `frames` also an overview strip and a close-up.

    `truth` and `found` are {clip name: seconds}; `frames` {clip name: uint8 (200, 66, 88, 3), RGB, one a second}.
    """
    rows = len(frames)
    figure = Figure(figsize=(14, 5.2 + 2.3 * rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[5.2, 2.3 * max(rows, 0.1)])
    figure.suptitle(title, fontsize=13)
    _scatter(top, truth, found)
    if rows:
        axes = bottom.subplots(2 * rows, 1)
        for i, (name, pictures) in enumerate(frames.items()):
            title = f"{name}: true {truth[name]:.2f} s (green), found {found[name]:.2f} s (red, dashed)"
            _strip(axes[2 * i], title, pictures, truth[name], found[name], range(0, len(pictures), STRIP_STEP))
            first = int(np.clip(round(truth[name]) - ZOOM_SECONDS, 0, len(pictures) - 2 * ZOOM_SECONDS))
            _strip(axes[2 * i + 1], None, pictures, truth[name], found[name], range(first, first + 2 * ZOOM_SECONDS))
    with write_atomic(path) as temporary:
        figure.savefig(temporary, dpi=110)


def curves_picture(path: Path, records: list[dict]) -> None:
    """A training's curves, from the records of log.jsonl: loss, validation score, shares of clips within limits."""
    epochs = [record["epoch"] for record in records]
    figure = Figure(figsize=(15, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    marker = "o" if len(records) < 40 else None
    left.plot(epochs, [record["train_loss"] for record in records], color="0.2", marker=marker, markersize=3)
    left.set(title="training loss", xlabel="epoch", yscale="log")
    left.margins(y=0.15)
    left.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
    rates = left.twinx()
    rates.plot(epochs, [record["lr"] for record in records], color="0.7", linestyle=":")
    rates.set_ylabel("learning rate (dotted)", color="0.5")
    rates.set_ylim(bottom=0)
    rates.ticklabel_format(axis="y", scilimits=(0, 0))
    kinds = [("val_score", "0.2", "all"), *((f"val_score_{kind.title}", *LOOKS[kind]) for kind in KINDS)]
    for name, colour, label in kinds:
        if any(record[name] is None for record in records):
            continue      # no validation clip is of this kind
        middle.plot(epochs, [record[name] for record in records], color=colour, label=label, marker=marker,
                    markersize=3)
    best = min(records, key=lambda record: record["val_score"])
    middle.axvline(best["epoch"], color=TRUE_COLOUR, linestyle="--", linewidth=1,
                   label=f"best: {best['val_score']:.2f} s, epoch {best['epoch']}")
    middle.set(title="validation score, s", xlabel="epoch")
    middle.set_yscale("symlog", linthresh=1)
    middle.set_ylim(0, 1.3 * max(1, middle.dataLim.y1))
    middle.yaxis.set_major_locator(ticker.FixedLocator(SCORE_TICKS))
    for axis in (left, middle):      # ticks as 20, not as 2 x 10^1
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(ticker.NullLocator())
    middle.legend()
    for limit, shade in ((1, "0.1"), (2, "0.4"), (5, "0.7")):
        right.plot(epochs, [record[f"val_within_{limit}s"] for record in records], color=shade,
                   label=f"within {limit} s", marker=marker, markersize=3)
    right.set(title="share of the validation clips", xlabel="epoch", ylim=(-0.02, 1.02))
    right.legend()
    for axis in (left, middle, right):
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    with write_atomic(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _scatter(figure, truth: dict[str, float], found: dict[str, float]) -> None:
    left, right = figure.subplots(1, 2)
    left.plot([0, 200], [0, 200], color="0.7", linewidth=1)
    errors = {}
    for kind in KINDS:
        names, (colour, label) = clips_of_kind(truth, kind), LOOKS[kind]
        x, y = [truth[n] for n in names], [found[n] for n in names]
        left.scatter(x, y, s=28, color=colour, alpha=0.8, label=label)
        errors[label] = (np.subtract(y, x), colour)
    left.set(xlim=(0, 200), ylim=(0, 200), xlabel="true boundary, s", ylabel="found boundary, s", aspect="equal")
    left.legend(loc="upper left")
    most = max(5.0, max((np.abs(e).max() for e, _ in errors.values() if len(e)), default=5.0))
    right.hist([e for e, _ in errors.values()], bins=np.linspace(-most, most, 31), stacked=True,
               color=[c for _, c in errors.values()], label=list(errors))
    right.axvspan(-1, 1, color="0.9", zorder=0, label="within 1 s: costs nothing")
    right.set(xlabel="found minus true, s", ylabel="clips")
    right.yaxis.get_major_locator().set_params(integer=True)
    right.legend(loc="upper left")


def _strip(axis, title: str | None, pictures, true: float, found: float, shown: range) -> None:
    """The frames of the seconds `shown` side by side on a time axis in seconds; each is as wide as the range's step."""
    strip = np.concatenate([pictures[second] for second in shown], axis=1)
    first, end = shown.start, shown.start + shown.step * len(shown)
    axis.imshow(strip, extent=(first, end, 0, 1), aspect="auto")
    for seconds, colour, style in ((true, TRUE_COLOUR, "-"), (found, FOUND_COLOUR, "--")):
        if first <= seconds <= end:
            axis.axvline(seconds, color=colour, linestyle=style, linewidth=3)
    axis.set(xlim=(first, end), yticks=[])
    axis.tick_params(labelsize=8)
    if title and is_plain(title):
        axis.set_title(title, loc="left", fontsize=10, parse_math=False)
    elif title:
        axis.set_title(" ", fontsize=10)      # keeps the room
        write(axis, title, (0, 1.02), "axes fraction", (0, 0), 10)
