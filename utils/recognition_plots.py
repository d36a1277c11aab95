"""Pictures of a recogniser: a training's curves, confusions of classes, and what the network looked at."""

from pathlib import Path

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy
from sklearn.metrics import confusion_matrix

from datatools.files import write_atomic
from utils.lettering import is_plain, shortened_to, write

MOST_NAMES = 60       # classes whose names fit beside a confusion matrix
MOST_FIGURES = 15     # classes whose numbers of videos fit into its cells
MOST_SHOWN = 16       # frames of a strip; of more, evenly spread ones are shown
FRAME_INCHES = 1.5
DIM = 3               # times the mean share: at least so much is as bright as can be, so that even attention stays dim


def save(figure: Figure, path: Path) -> None:
    with write_atomic(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def curves_picture(path: Path, records: list[dict]) -> None:
    """A training's curves, from the records of log.jsonl: both losses, and top-1 and top-5 accuracy in per cent."""
    epochs = [record["epoch"] for record in records]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    marker = "o" if len(records) < 40 else None
    for name, colour, label in (("train_loss", "0.2", "training"), ("val_loss", "#4575b4", "validation")):
        left.plot(epochs, [record[name] for record in records], color=colour, label=label, marker=marker, markersize=3)
    left.set(title="loss", xlabel="epoch")
    left.set_ylim(bottom=0)
    left.legend()
    for name, colour, label in (("val_top5", "0.6", "top-5"), ("val_top1", "#4575b4", "top-1")):
        right.plot(epochs, [record[name] for record in records], color=colour, label=label, marker=marker,
                   markersize=3)
    best = max(records, key=lambda record: record["val_top1"])
    right.axvline(best["epoch"], color="#1a9850", linestyle="--", linewidth=1,
                  label=f"best: {best['val_top1']:.1f} %, epoch {best['epoch']}")
    right.set(title="validation accuracy, %", xlabel="epoch", ylim=(-2, 102))
    right.legend(loc="best")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    save(figure, path)


def confusion_picture(
    path: Path, true: list[str], predicted: list[str], classes: tuple[str, ...], title: str
) -> None:
    """The confusion matrix of classes' names in the order of `classes`: a row a true class, as shares of its videos."""
    there = {*true, *predicted}
    names = [*(name for name in classes if name in there), *sorted(there.difference(classes))]
    counts = confusion_matrix(true, predicted, labels=names)
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    side = float(np.clip(0.35 * len(names), 3.5, 14))
    figure = Figure(figsize=(side + 3.2, side + 2.4), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, shrink=0.7, format=ticker.PercentFormatter(1), label="of the true class's videos")
    axis.set(xlabel="found", ylabel="true", title=title)
    if len(names) <= MOST_NAMES:
        _name_ticks(axis, names)
    if len(names) <= MOST_FIGURES:
        for row, column in np.argwhere(counts):
            axis.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8,
                      color="white" if shares[row, column] > 0.6 else "black")
    save(figure, path)


def _name_ticks(axis: Axes, names: list[str]) -> None:
    """Write the names of the classes, the end of long ones left out, below the columns and beside the rows."""
    if all(map(is_plain, names)):
        shown = [name if len(name) <= 28 else f"{name[:26]}..." for name in names]
        axis.set_xticks(range(len(names)), shown, rotation=90, fontsize=8, parse_math=False)
        axis.set_yticks(range(len(names)), shown, fontsize=8, parse_math=False)
        return
    axis.set_xticks(range(len(names)), [""] * len(names))
    axis.set_yticks(range(len(names)), [""] * len(names))
    below, beside = (offset_copy(transform, axis.figure, *shift, units="points") for transform, shift in
                     ((axis.get_xaxis_transform(), (0, -5)), (axis.get_yaxis_transform(), (-5, 0))))
    lengths = []
    for place, name in enumerate(names):
        short = shortened_to(name, 112, 8)
        lengths.append(write(axis, short, (place, 0), below, (0.5, 1), 8, turned=True))
        write(axis, short, (0, place), beside, (1, 0.5), 8)
    axis.xaxis.labelpad = axis.yaxis.labelpad = max(lengths) + 6


def attention_picture(path: Path, frames: np.ndarray, shares: np.ndarray, title: str) -> None:
    """A clip's frames in a strip; below each, the same frame lit where the network looked, and the frame's share.

    frames  uint8 (T, H, W, 3), RGB
    shares  (T, rows, columns), attention rollout: how much of each patch is in the answer
    """
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), MOST_SHOWN)).round().astype(int)
    share = shares.sum((1, 2)) / max(float(shares.sum()), 1e-12)
    brightest = max(float(shares.max()), DIM * float(shares.mean()), 1e-12)
    figure = Figure(figsize=(FRAME_INCHES * len(chosen), 2 * FRAME_INCHES + 0.9), layout="constrained")
    axes = figure.subplots(2, len(chosen), squeeze=False)
    height, width = frames.shape[1:3]
    for column, number in enumerate(chosen):
        top, bottom = axes[:, column]
        top.imshow(frames[number])
        top.set_title(f"frame {number + 1}", fontsize=8)
        bottom.imshow(frames[number].mean(2), cmap="gray", vmin=0, vmax=255)
        bottom.imshow(shares[number], cmap="inferno", vmin=0, vmax=brightest, alpha=0.6, interpolation="bilinear",
                      extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        bottom.set_title(f"{share[number]:.0%}", fontsize=8)
        for axis in (top, bottom):
            axis.set(xticks=[], yticks=[])
    if is_plain(title):
        figure.suptitle(title, fontsize=9, parse_math=False)
    else:
        figure.suptitle(" ", fontsize=9)      # keeps the room
        write(figure, title, (0.5, 0.995), "figure fraction", (0.5, 1), 9)
    save(figure, path)
