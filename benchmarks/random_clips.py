"""Random but plausible clips in the processed layout, with labels; or the first labelled clips of a processed root.

    make_clips(root, 16)
    clip_set = first_clips(root, 16)
"""

from pathlib import Path

import cv2
import joblib
import numpy as np

from datatools.clips import ClipSet, labelled_clips
from datatools.errors import UserError
from datatools.features import extract_frames
from datatools.layout import CLIP_SECONDS, TRAIN, Clip
from datatools.media import save_video
from datatools.stages import number_of_cores
from models.avtnet import AVTNet

PICTURE = (360, 640)     # pixels of the 1 fps videos, height and width
MFCC_STEPS = 8614        # that librosa makes of 200 s


def make_clips(root: Path, count: int) -> None:
    """Write `count` labelled clips below `root`."""
    rng = np.random.default_rng(0)
    folder = TRAIN.folders[0]
    seconds = rng.uniform(20, 180, count).round(2).tolist()
    clips = [Clip(folder, f"made{i:04d}_{'end' if i % 2 else 'start'}") for i in range(count)]
    (root / "ROIs").mkdir(parents=True)
    joblib.Parallel(number_of_cores())(joblib.delayed(make_clip)(root, clip, s, i)
                                       for i, (clip, s) in enumerate(zip(clips, seconds, strict=True)))
    lines = [f"{clip.name} {s}\n" for clip, s in zip(clips, seconds, strict=True)]
    (root / TRAIN.label_files[0]).write_text("".join(lines), encoding="utf-8")


def make_clip(root: Path, clip: Clip, seconds: float, seed: int) -> None:
    """Features of a clip whose scenes and sound change at `seconds`, and its 1 fps video."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    pictures, boxes = random_pictures(rng, seconds)
    video = clip.video(root)
    video.parent.mkdir(parents=True, exist_ok=True)
    save_video(video, pictures)
    np.save(clip.frames(root), extract_frames(video))
    np.save(clip.text_roi(root), boxes)
    np.save(clip.mfcc(root), random_mfcc(rng, seconds))


def random_pictures(rng: np.random.Generator, seconds: float) -> tuple[list[np.ndarray], np.ndarray]:
    """A picture a second, uint8 (360, 640, 3), and the text masks, uint8 (200, 27, 36)."""
    height, width = PICTURE
    # Soft grain: about 5 MB a video, 24 kB a picture; white noise would take many times that in H.264.
    grain = cv2.GaussianBlur(rng.normal(0, 4, (height + 64, width + 64)).astype(np.float32), (0, 0), 1.5)[..., None]
    boxes = np.zeros((CLIP_SECONDS, 27, 36), np.uint8)
    pictures, scene, left = [], None, 0
    for second in range(CLIP_SECONDS):
        if left == 0:
            colours = rng.integers(0, 200, (6, 10, 3)).astype(np.float32) + (50 if second < seconds else 0)
            scene, left = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC), int(rng.integers(1, 8))
        left -= 1
        y, x = rng.integers(0, 64, 2)
        image = np.roll(scene, 8 * left, 1) + grain[y:y + height, x:x + width]
        if rng.random() < (0.8 if second < seconds else 0.3):      # a line of text
            first, last = sorted(rng.integers(2, 35, 2))
            boxes[second, 22:25, first:last] = 1
            image[300:330, width * first // 36:width * last // 36:4] = 255
        pictures.append(image.clip(0, 255).astype(np.uint8))
    return pictures, boxes


def random_mfcc(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """float32 (20, 8614) in the range of real sound: the first coefficient is loudness, the others get smaller."""
    scale = np.r_[80, 60 / np.sqrt(np.arange(1, 20))][:, None]
    slow = np.repeat(rng.standard_normal((20, MFCC_STEPS // 43 + 1)), 43, 1)[:, :MFCC_STEPS]      # one value a second
    mfcc = scale * (0.7 * slow + 0.5 * rng.standard_normal((20, MFCC_STEPS)))
    mfcc[0] -= 150
    mfcc[:, :int(seconds * MFCC_STEPS / CLIP_SECONDS)] += scale * rng.standard_normal((20, 1))
    return mfcc.astype(np.float32)


def labelled_folders(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(folders, label files) of the competition's labelled folders that exist."""
    there = [i for i, folder in enumerate(TRAIN.folders) if (root / folder).is_dir()]
    return tuple(TRAIN.folders[i] for i in there), tuple(TRAIN.label_files[i] for i in there)


def first_clips(root: Path, count: int) -> ClipSet:
    """Up to `count` labelled clips. Raises UserError where one has no 1 fps video, which the baseline reads."""
    parts = labelled_clips(root, *labelled_folders(root), 0, AVTNet.inputs).values()
    clips = [clip for part in parts for clip in part.clips][:count]
    for clip in clips:
        if not clip.video(root).exists():
            raise UserError(f"{clip.video(root)}: missing, the baseline reads it. Run utils/extract_video.py.")
    return ClipSet(clips, np.concatenate([part.seconds for part in parts])[:count])


def rotating(num_clips: int, batch_size: int, steps: int) -> list[list[int]]:
    """`steps` batches of equal size that cycle through the clips."""
    return [[(step * batch_size + i) % num_clips for i in range(batch_size)] for step in range(steps)]
