"""Windows of an episode: the batches that ClipDataset would return if the windows were cut out as clips.

    batch = window("episode.mkv", 600.0, inputs=("mfcc", "frames"), kind=1)
    batch = windows("episode.mkv", [0.0, 100.0, 200.0], detector=load_detector("rapidocr"))

Nothing is written. Only the window's own span is decoded, wherever in the file it lies.
"""

from pathlib import Path

import torch

from datatools.dataset import encoded_tensors, input_tensors, put_mfcc
from datatools.encoders import SOUND, Encoder, find_encoders
from datatools.features import SHAPES, encode_sound, extract_pictures, mfcc
from datatools.layout import CLIP_SECONDS
from datatools.media import MediaError, read_audio
from datatools.text_roi import paint_boxes


def window(path: Path, start: float, seconds: int = CLIP_SECONDS, **options) -> dict[str, torch.Tensor]:
    """The batch of one window, as `windows` returns it."""
    return windows(path, [start], seconds, **options)


def windows(
    path: Path,
    starts: list[float],
    seconds: int = CLIP_SECONDS,
    *,
    inputs: tuple[str | Encoder, ...] = tuple(SHAPES),
    kind: int = 0,
    detector=None,
    salvage: list[str] | None = None,
) -> dict[str, torch.Tensor]:
    """A batch of B windows, each as a clip that begins at one of `starts` (s) and lasts `seconds`, at most 200.

    index     (B,) int64, indices into `starts`
    kind      (B,) int64, what is asked for: 1 the opening's end, 2 the ending's start, 0 unknown
    mfcc      (B, 20, 8616) float32
    frames    (B, 200, 66, 88, 3) uint8, RGB
    text_roi  (B, 200, 27, 36) uint8, 1 inside a text box; zeros without a `detector` of datatools.text_detector
    <encoder> (B, 200, D) float16, a vector a second, for each name of an encoder in `inputs`; an encoder whose weights
              are in a file is given itself (datatools.encoders.find_encoder)

    The batch holds only the tensors in `inputs`. After the file's end and after `seconds`, the padding is silence and
    black, as in a short clip. Raises MediaError where a window has no sound or no picture, or a damaged one. With a
    list `salvage`, a window ends at a damaged place as at the file's end, and the list gets the message.
    """
    assert 0 < seconds <= CLIP_SECONDS and all(start >= 0 for start in starts)
    batch = {"index": torch.arange(len(starts)), "kind": torch.full((len(starts),), kind)}
    encoders = find_encoders(tuple(each for each in inputs if each != "kind" and each not in SHAPES))
    batch |= input_tensors(len(starts), inputs, without=("frames", "text_roi"))
    batch |= encoded_tensors(len(starts), {encoder.name: encoder.dim for encoder in encoders})
    finder = detector if "text_roi" in inputs else None
    hears, sees = (any((encoder.takes == SOUND) == heard for encoder in encoders) for heard in (True, False))
    for row, start in enumerate(starts):
        encoded = {}
        if "mfcc" in inputs or hears:
            samples = read_audio(path, start=start, duration=seconds, salvage=salvage)
            encoded |= encode_sound(samples, encoders, seconds)
            if "mfcc" in inputs:
                put_mfcc(batch["mfcc"][row].numpy(), mfcc(samples))
        if "frames" in inputs or finder or sees:
            made = extract_pictures(path, start, seconds, detector=finder, encoders=encoders, salvage=salvage)
            if not made.count:
                raise MediaError(f"{path}: its picture ends before {start:.1f} s. Ask for an earlier span.")
            encoded |= made.encoded
            if "frames" in inputs:
                batch["frames"][row, :seconds] = torch.from_numpy(made.frames)
            if finder:
                batch["text_roi"][row, :seconds] = torch.from_numpy(paint_boxes(made.boxes, seconds))
        for name, vectors in encoded.items():
            batch[name][row, :seconds] = torch.from_numpy(vectors)
    return batch
