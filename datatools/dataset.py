"""Processed clips as batches of tensors, read from files.

    batch = ClipDataset(root, clip_set, inputs=("mfcc", "frames", "text_roi")).batch([0, 5, 2])
"""

from pathlib import Path

import numpy as np
import torch

from datatools.clips import REMEDIES, ClipSet
from datatools.errors import UserError
from datatools.features import MFCC_STEPS, NUM_MFCC, SHAPES, extract_frames
from datatools.files import read_array
from datatools.layout import CLIP_SECONDS, Clip, kind_number


def _read(path: Path, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The file of the input `name`. Raises UserError where it cannot be read or has another shape."""
    try:
        return read_array(path, shape)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}). {REMEDIES[name]} again.") from error


def put_mfcc(target: np.ndarray, mfcc: np.ndarray) -> None:
    """Copy an MFCC (20, T) into `target`, float32 (20, 8616), with zero padding on the right or cut at 200 s."""
    mfcc = mfcc[:, :MFCC_STEPS]
    np.copyto(target[:, :mfcc.shape[1]], mfcc, casting="unsafe")
    target[:, mfcc.shape[1]:] = 0


def fill_mfcc(target: np.ndarray, path: Path) -> None:
    """Copy a clip's MFCC file into `target`, as `put_mfcc`. Raises UserError."""
    put_mfcc(target, _read(path, "mfcc", (NUM_MFCC, None)))


def fill_frames(target: np.ndarray, root: Path, clip: Clip) -> None:
    """Copy a clip's frames into `target`, uint8 (200, 66, 88, 3), RGB; from the 1 fps video where there is no .npy."""
    path, video = clip.frames(root), clip.video(root)
    decodes = not path.exists() and video.exists()
    frames = extract_frames(video) if decodes else _read(path, "frames", target.shape)
    np.copyto(target, frames, casting="unsafe")


def fill_text_roi(target: np.ndarray, path: Path) -> None:
    """Copy a clip's text masks into `target`, uint8 (200, 27, 36), 1 inside a box; reads the reference's float64."""
    np.greater(_read(path, "text_roi", target.shape), 0, out=target.view(bool))


def fill_encoded(target: np.ndarray, path: Path) -> None:
    """Copy an encoder's vectors of a clip into `target`, float16 (200, D); zeros where there is no file."""
    target[:] = _read(path, "encoder", target.shape) if path.exists() else 0


def encoded_tensors(count: int, dims: dict[str, int], pinned: bool = False) -> dict[str, torch.Tensor]:
    """Zeros for the vectors of `count` clips, {encoder: (count, 200, D)}; `dims` is {encoder: D}."""
    return {name: torch.zeros((count, CLIP_SECONDS, dim), dtype=torch.float16, pin_memory=pinned)
            for name, dim in dims.items()}


def input_tensors(
    count: int, inputs: tuple[str, ...], without: tuple[str, ...] = (), pinned: bool = False
) -> dict[str, torch.Tensor]:
    """Tensors for the inputs of `count` clips, {input: (count, ...)}; zeros for those in `without`, others not set."""
    batch = {}
    for name in inputs:
        if name in SHAPES:
            dtype = torch.float32 if name == "mfcc" else torch.uint8
            make = torch.zeros if name in without else torch.empty
            batch[name] = make((count, *SHAPES[name]), dtype=dtype, pin_memory=pinned)
    return batch


class ClipDataset:
    """Clips as batches: a dict of tensors with the inputs asked for, `index`, and `seconds` where the truth is known.

    index     (B,) int64, indices into the clip set
    kind      (B,) int64, what is asked for: 1 the opening's end, 2 the ending's start, 0 where the name is neither
    seconds   (B,) float32
    mfcc      (B, 20, 8616) float32
    frames    (B, 200, 66, 88, 3) uint8, RGB
    text_roi  (B, 200, 27, 36) uint8
    <encoder> (B, 200, D) float16, for each of `encoders`, {encoder: D}; zeros for a clip without its file

    Files are read and copied into the batch; nothing is decoded and nothing computed. The inputs in
    `without` are zeros instead: their files are not read.
    """

    def __init__(
        self, root: Path, clip_set: ClipSet, inputs: tuple[str, ...], without: tuple[str, ...] = (),
        encoders: dict[str, int] | None = None,
    ):
        self.root, self.clip_set, self.inputs, self.without = root, clip_set, inputs, without
        self.encoders = encoders or {}

    def __len__(self) -> int:
        return len(self.clip_set)

    def name_of(self, index: int) -> str:
        """The name of the clip at an index."""
        return self.clip_set.clips[index].name

    def batch(self, indices: list[int], pinned: bool = False) -> dict[str, torch.Tensor]:
        """The batch of these clips; `pinned` memory can be copied to a GPU while it computes. Raises UserError."""
        clips = [self.clip_set.clips[index] for index in indices]
        kinds = [0 if "kind" in self.without else kind_number(clip.name) for clip in clips]
        batch = {"index": torch.tensor(indices), "kind": torch.tensor(kinds)}
        if self.clip_set.seconds is not None:
            batch["seconds"] = torch.from_numpy(self.clip_set.seconds[indices])
        batch |= input_tensors(len(indices), self.inputs, self.without, pinned)
        batch |= encoded_tensors(len(indices), self.encoders, pinned)
        read = {name for name in self.inputs if name not in self.without}
        for row in range(len(indices)):
            clip = clips[row]
            if "mfcc" in read:
                fill_mfcc(batch["mfcc"][row].numpy(), clip.mfcc(self.root))
            if "frames" in read:
                fill_frames(batch["frames"][row].numpy(), self.root, clip)
            if "text_roi" in read:
                fill_text_roi(batch["text_roi"][row].numpy(), clip.text_roi(self.root))
            for name in self.encoders.keys() - {*self.without}:
                fill_encoded(batch[name][row].numpy(), clip.encoded(self.root, name))
        return batch
