"""Processed data as batches: which clips there are, whether all is well with them, and tensors of several clips.

    clip_set = labelled_clips(root, folders, label_files, data_seed=0)["train"]
    batch = ClipDataset(root, clip_set, inputs=("mfcc", "frames", "text_roi")).batch([0, 5, 2])
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from datatools.command import UserError, number_of_cores, save_array
from datatools.features import FRAME_HEIGHT, FRAME_WIDTH, HOP, MOST_SECONDS, NUM_MFCC, SAMPLE_RATE, extract_frames
from datatools.labels import Label, doubled_labels, read_labels, split_labels
from datatools.layout import CLIP_SECONDS, KINDS, Clip, check_unique
from datatools.text_roi import ROI_HEIGHT, ROI_WIDTH

MFCC_STEPS = math.ceil((CLIP_SECONDS * SAMPLE_RATE / HOP) / 8) * 8   # 8616: AudioNet halves the steps several times
MFCC_STEPS_PER_SECOND = SAMPLE_RATE / HOP
MOST_PROBLEMS = 40       # lines shown at once

SHAPES = {
    "mfcc": (NUM_MFCC, MFCC_STEPS),
    "frames": (CLIP_SECONDS, FRAME_HEIGHT, FRAME_WIDTH, 3),
    "text_roi": (CLIP_SECONDS, ROI_HEIGHT, ROI_WIDTH),
}
REMEDIES = {
    "mfcc": "Run utils/extract_audio.py",
    "frames": "Run utils/extract_video.py",
    "text_roi": "Run datatools/text_extract.py, then utils/extract_textROI.py",
}


@dataclass(frozen=True)
class ClipSet:
    """Clips in order, and the boundary of each in seconds, shape (N,); None where no truth is known."""

    clips: list[Clip]
    seconds: np.ndarray | None

    def __len__(self) -> int:
        return len(self.clips)


def find_processed(root: Path, folder: str) -> list[Clip]:
    """Clips of which anything processed lies in `root/folder`, sorted by name. Raises UserError where none does."""
    where = root / folder
    if not where.is_dir():
        raise UserError(f"{where}: no such folder. Run the preprocessing commands with --save_root {root}, or name "
                        "another folder.")
    names = set()
    for path in where.iterdir():
        for ending in ("_mfcc.npy", "_frames.npy", ".mp4"):
            if path.name.endswith(ending) and not path.name.startswith("."):
                names.add(path.name.removesuffix(ending))
    if not names:
        raise UserError(f"{where}: no processed clips in it (<name>_mfcc.npy, <name>_frames.npy). Run the "
                        "preprocessing commands first.")
    return [Clip(folder, name) for name in sorted(names)]


def unlabelled_clips(root: Path, folder: str) -> ClipSet:
    """All clips of one folder, for inference. Raises UserError where a name tells neither start nor end."""
    clips = find_processed(root, folder)
    for clip in clips:
        _ = clip.kind   # raises before any work is done
    return ClipSet(clips, None)


def resolve_label_file(root: Path, path: str) -> Path:
    """A label file as given: below the processed root, or a path of its own."""
    below = root / path
    return below if below.exists() or not Path(path).exists() else Path(path)


def labelled_clips(
    root: Path, folders: list[str], label_files: list[str], data_seed: int, inputs: tuple[str, ...] = ()
) -> dict[str, ClipSet]:
    """{"train": ..., "val": ...} of the clips that the label files name, split as the reference splits.

    Raises UserError that tells everything that does not fit at once: bad label lines, labels without a clip, clips
    without a label or with two, labels beyond the clip, and of the `inputs` every missing or damaged file.
    """
    problems: list[str] = []
    labels: list[Label] = []
    for path in label_files:
        try:
            labels += read_labels(resolve_label_file(root, path))
        except UserError as error:
            problems.append(str(error))
    clips = [clip for folder in folders for clip in find_processed(root, folder)]
    check_unique(clips)
    by_name = {clip.name: clip for clip in clips}
    problems += doubled_labels(labels)
    problems += [f"{lab.place}: {lab.name} has a label, but no such clip is in {', '.join(folders)}"
                 for lab in labels if lab.name not in by_name]
    problems += [f"{lab.place}: {lab.name} is labelled {lab.seconds:g} s, beyond the {CLIP_SECONDS} s of a clip"
                 for lab in labels if lab.seconds > CLIP_SECONDS]
    if labels:   # else every clip would be told as unlabelled, behind the one real cause
        known = {label.name for label in labels}
        problems += [f"{clip.folder}/{clip.name}: no label in {', '.join(label_files)}"
                     for clip in clips if clip.name not in known]
    there = [label for label in labels if label.name in by_name]
    problems += feature_problems(root, [by_name[label.name] for label in there], inputs, there)
    raise_problems(f"{root}: labels and clips do not fit together", problems)
    parts = split_labels(labels, data_seed)
    return {
        name: ClipSet([by_name[lab.name] for lab in part], np.array([lab.seconds for lab in part], dtype=np.float32))
        for name, part in zip(("train", "val"), parts, strict=True)
    }


def raise_problems(title: str, problems: list[str]) -> None:
    """Raise one UserError that lists `problems`, if there are any."""
    if problems:
        more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        lines = "\n  ".join(problems[:MOST_PROBLEMS] + more)
        raise UserError(f"{title}, {len(problems)} problems:\n  {lines}")


def check_features(root: Path, clip_set: ClipSet, inputs: tuple[str, ...]) -> None:
    """Raise UserError that lists every missing, unreadable or misshapen feature file that a network wants."""
    raise_problems(f"{root}: features are missing or damaged", feature_problems(root, clip_set.clips, inputs))


def feature_problems(
    root: Path, clips: list[Clip], inputs: tuple[str, ...], labels: list[Label] | None = None
) -> list[str]:
    """One line for every feature file whose header is not as expected, and for every label beyond its clip's sound."""
    problems = []
    for i, clip in enumerate(clips):
        for name in inputs:
            problem = _check_one(root, clip, name)
            if problem:
                problems.append(problem)
            elif name == "mfcc" and labels:
                duration = np.load(clip.mfcc(root), mmap_mode="r").shape[1] / MFCC_STEPS_PER_SECOND
                if labels[i].seconds > duration:
                    problems.append(f"{labels[i].place}: {clip.name} is labelled {labels[i].seconds:.2f} s, but its "
                                    f"sound ends at {duration:.2f} s. Correct the label.")
    return problems


def _check_one(root: Path, clip: Clip, name: str) -> str | None:
    path = getattr(clip, name)(root)
    if name == "frames" and not path.exists() and clip.video(root).exists():
        return None   # the 1 fps video is read instead
    if not path.exists():
        return f"{path}: missing. {REMEDIES[name]}."
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        return f"{path}: no readable .npy file ({error}). Delete it, then: {REMEDIES[name]}."
    if name == "mfcc":
        most = MOST_SECONDS * MFCC_STEPS_PER_SECOND + 1
        if array.ndim != 2 or array.shape[0] != NUM_MFCC or array.shape[1] == 0:
            return f"{path}: shape {array.shape}, expected ({NUM_MFCC}, steps). Delete it, then: {REMEDIES[name]}."
        if array.shape[1] > most:
            return (f"{path}: {array.shape[1] / MFCC_STEPS_PER_SECOND:.1f} s of sound, a clip has at most "
                    f"{CLIP_SECONDS} s. Cut the clip.")
    elif array.shape != SHAPES[name]:
        return f"{path}: shape {array.shape}, expected {SHAPES[name]}. Delete it, then: {REMEDIES[name]}."
    if array.dtype.kind not in "fiub":
        return f"{path}: holds {array.dtype}, expected numbers. Delete it, then: {REMEDIES[name]}."
    return None


def decode_missing_frames(root: Path, clips: list[Clip]) -> int:
    """Write _frames.npy for the clips that have a 1 fps video alone, so that no epoch decodes it; returns how many.

    Raises UserError where a video cannot be decoded, OSError where the folder cannot be written.
    """
    import joblib

    missing = [clip for clip in clips if not clip.frames(root).exists() and clip.video(root).exists()]
    jobs = (joblib.delayed(_decode_frames)(clip.video(root), clip.frames(root)) for clip in missing)
    joblib.Parallel(n_jobs=min(number_of_cores(), max(1, len(missing))))(jobs)
    return len(missing)


def _decode_frames(video: Path, target: Path) -> None:
    save_array(target, extract_frames(video))


def _open(path: Path, remedy: str) -> np.ndarray:
    """A .npy file, memory-mapped. Raises UserError where it cannot be read (any more)."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}). {remedy} again, then --resume auto.") from error


def fill_mfcc(target: np.ndarray, path: Path) -> None:
    """A clip's MFCC into `target`, float32 (20, 8616): zeros on the right, what is over 200 s left out."""
    mfcc = _open(path, REMEDIES["mfcc"])[:, :MFCC_STEPS]
    np.copyto(target[:, :mfcc.shape[1]], mfcc, casting="unsafe")
    target[:, mfcc.shape[1]:] = 0


def fill_frames(target: np.ndarray, root: Path, clip: Clip) -> None:
    """A clip's frames into `target`, uint8 (200, 66, 88, 3), RGB; from the 1 fps video where there is no .npy."""
    path = clip.frames(root)
    np.copyto(target, _open(path, REMEDIES["frames"]) if path.exists() else extract_frames(clip.video(root)),
              casting="unsafe")


def fill_text_roi(target: np.ndarray, path: Path) -> None:
    """A clip's text masks into `target`, uint8 (200, 27, 36), 1 inside a box; the reference's float64 files too."""
    np.greater(_open(path, REMEDIES["text_roi"]), 0, out=target.view(bool))


def kind_number(name: str) -> int:
    """1 for a clip `<id>_start`, 2 for `<id>_end`, 0 for any other name."""
    return next((1 + number for number, ending in enumerate(KINDS) if name.endswith(ending)), 0)


class ClipDataset:
    """Clips as batches: a dict of tensors, the inputs asked for, `index`, and `seconds` where the truth is known.

    index     (B,) int64, places in the clip set
    kind      (B,) int64, what is asked for: 1 the opening's end, 2 the ending's start, 0 where the name does not tell
    seconds   (B,) float32
    mfcc      (B, 20, 8616) float32
    frames    (B, 200, 66, 88, 3) uint8, RGB
    text_roi  (B, 200, 27, 36) uint8

    Files are memory-mapped and copied once, into the batch; nothing is decoded and nothing computed. The inputs in
    `without` are zeros instead: their files are not read.
    """

    def __init__(self, root: Path, clip_set: ClipSet, inputs: tuple[str, ...], without: tuple[str, ...] = ()):
        self.root, self.clip_set, self.inputs, self.without = root, clip_set, inputs, without

    def __len__(self) -> int:
        return len(self.clip_set)

    def batch(self, indices: list[int], pinned: bool = False) -> dict[str, torch.Tensor]:
        """The clips at these places; `pinned` memory is copied to a GPU while it computes. Raises UserError."""
        clips = [self.clip_set.clips[index] for index in indices]
        kinds = [0 if "kind" in self.without else kind_number(clip.name) for clip in clips]
        batch = {"index": torch.tensor(indices), "kind": torch.tensor(kinds)}
        if self.clip_set.seconds is not None:
            batch["seconds"] = torch.from_numpy(self.clip_set.seconds[indices])
        for name in self.inputs:
            if name not in SHAPES:
                continue
            dtype = torch.float32 if name == "mfcc" else torch.uint8
            make = torch.zeros if name in self.without else torch.empty
            batch[name] = make((len(indices), *SHAPES[name]), dtype=dtype, pin_memory=pinned)
        read = {name for name in self.inputs if name not in self.without}
        for row in range(len(indices)):
            clip = clips[row]
            try:
                if "mfcc" in read:
                    fill_mfcc(batch["mfcc"][row].numpy(), clip.mfcc(self.root))
                if "frames" in read:
                    fill_frames(batch["frames"][row].numpy(), self.root, clip)
                if "text_roi" in read:
                    fill_text_roi(batch["text_roi"][row].numpy(), clip.text_roi(self.root))
            except UserError:
                raise
            except ValueError as error:
                # Replaced since it was checked: tell it as that check would.
                problems = feature_problems(self.root, [clip], tuple(read))
                raise_problems(f"{self.root}: features have changed", problems)
                raise UserError(f"{clip.folder}/{clip.name}: its features cannot be read ({error}).") from error
        return batch
