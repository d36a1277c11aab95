"""The processed clips of a data set, their labels, and checks of their feature files.

    clip_set = labelled_clips(root, folders, label_files, data_seed=0)["train"]
"""

from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np

from datatools.errors import UserError
from datatools.features import MFCC_STEPS_PER_SECOND, MOST_SECONDS, NUM_MFCC, SHAPES, extract_frames
from datatools.files import NUMBERS, open_array, save_array
from datatools.labels import Label, doubled_labels, read_labels, split_labels
from datatools.layout import CLIP_SECONDS, Clip, check_unique
from datatools.manifest import FAILED, Manifest
from datatools.paths import check_name
from datatools.stages import number_of_cores

MOST_PROBLEMS = 40       # lines shown at once
REMEDIES = {
    "encoder": "Run datatools/preprocess.py with --encoder",
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
    """Clips with any processed file in `root/folder`, sorted by name. Raises UserError where there is none."""
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


def clip_length(root: Path, clip: Clip) -> float:
    """A clip's length in s by its sound, at most 200; 200 where it has no sound."""
    path = clip.mfcc(root)
    steps = open_array(path).shape[1] / MFCC_STEPS_PER_SECOND if path.exists() else CLIP_SECONDS
    return min(float(CLIP_SECONDS), steps)


def unlabelled_clips(root: Path, folder: str) -> ClipSet:
    """All clips of one folder, for inference. Raises UserError where a submission can hold the name of none."""
    clips = find_processed(root, folder)
    problems = [unfit_name(clip) for clip in clips]
    if all(problems):
        raise_problems(f"{root / folder}: no clip can stand in a submission", problems)
    return ClipSet(clips, None)


def unfit_name(clip: Clip) -> str | None:
    """Why a submission cannot hold a clip, by its name; None where it can."""
    try:
        check_name(clip.name)
        _ = clip.kind
    except UserError as error:
        return str(error)
    return None


def resolve_label_file(root: Path, path: str) -> Path:
    """The path of a label file, given relative to the processed root or as a path of its own."""
    below = root / path
    return below if below.exists() or not Path(path).exists() else Path(path)


def labelled_clips(
    root: Path, folders: list[str], label_files: list[str], data_seed: int, inputs: tuple[str, ...] = ()
) -> dict[str, ClipSet]:
    """{"train": ..., "val": ...} of the clips that the label files name, split by the reference's rule.

    Raises one UserError that lists all problems: bad label lines, labels without a clip, clips without a label or with
    two, labels beyond the clip, and every missing or damaged file of the `inputs`.
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
    if labels:   # without labels, a message for each clip would hide the real cause
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


def check_features(root: Path, clip_set: ClipSet, inputs: tuple[str, ...]) -> dict[int, str]:
    """Why clips cannot be answered, by their index: their names, or their feature files, missing or unreadable.

    Raises UserError that lists it all where no clip can be.
    """
    problems = {index: found for index, clip in enumerate(clip_set.clips)
                if (found := [*filter(None, [unfit_name(clip)]), *feature_problems(root, [clip], inputs)])}
    if len(problems) == len(clip_set):
        raise_problems(f"{root}: no clip can be answered", [line for found in problems.values() for line in found])
    return {index: " ".join(found) for index, found in problems.items()}


def feature_problems(
    root: Path, clips: list[Clip], inputs: tuple[str, ...], labels: list[Label] | None = None
) -> list[str]:
    """A line for each feature file whose header is not as expected, and for each label beyond its clip's sound."""
    problems = []
    for i, clip in enumerate(clips):
        for name in inputs:
            problem = _check_one(root, clip, name)
            if problem:
                problems.append(problem)
            elif name == "mfcc" and labels:
                duration = open_array(clip.mfcc(root)).shape[1] / MFCC_STEPS_PER_SECOND
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
        array = open_array(path)
    except (ValueError, OSError) as error:
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
    if array.dtype.kind not in NUMBERS:
        return f"{path}: holds {array.dtype}, expected numbers. Delete it, then: {REMEDIES[name]}."
    return None


def recorded_encoders(root: Path, clips: list[Clip], names: tuple[str, ...]) -> dict[str, dict]:
    """{encoder: the settings that its vectors of these clips were made with}, by the manifest.

    Clips without vectors are allowed, but not all of them. Raises UserError, also where clips differ in their settings.
    """
    if not names:
        return {}
    entries = Manifest(root).entries
    found = {}
    for name in names:
        remedy = f"Run datatools/preprocess.py --encoder {name}"
        made = {}
        for clip in clips:
            if clip.encoded(root, name).exists():
                entry = entries.get((f"{clip.folder}/{clip.name}", name))
                if entry is None or entry.status == FAILED:
                    raise UserError(f"{clip.encoded(root, name)}: the manifest does not tell what made it. {remedy}.")
                made[clip] = entry.settings
        if not made:
            raise UserError(f"{root}: none of its {len(clips)} clips has vectors of {name} (<name>_{name}.npy, and a "
                            f"line of the manifest). {remedy}, or leave it out with --without {name}.")
        found[name] = next(iter(made.values()))
        if other := next((clip for clip, settings in made.items() if settings != found[name]), None):
            raise UserError(f"{other.encoded(root, name)}: made with {made[other]}, other clips' with {found[name]}. "
                            f"{remedy} again for all of them.")
        if type(found[name].get("dim")) is not int:
            raise UserError(f"{root}: the manifest does not tell how long the vectors of {name} are. {remedy} --force.")
    return found


def clips_without(root: Path, clips: list[Clip], encoder: str) -> list[Clip]:
    """The clips that have no vectors of an encoder."""
    return [clip for clip in clips if not clip.encoded(root, encoder).exists()]


def decode_missing_frames(root: Path, clips: list[Clip]) -> int:
    """Write _frames.npy for clips that only have a 1 fps video, so that no epoch decodes it; returns how many.

    Raises UserError where a video cannot be decoded, OSError where the folder cannot be written.
    """
    missing = [clip for clip in clips if not clip.frames(root).exists() and clip.video(root).exists()]
    jobs = (joblib.delayed(_decode_frames)(clip.video(root), clip.frames(root)) for clip in missing)
    joblib.Parallel(n_jobs=min(number_of_cores(), max(1, len(missing))))(jobs)
    return len(missing)


def _decode_frames(video: Path, target: Path) -> None:
    save_array(target, extract_frames(video))
