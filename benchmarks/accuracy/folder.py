"""Checkpoints measured on any folder of labelled clips, videos or features, in the tables of the made benchmark.

    print(measure(Path("data/processed/mine"), [Path("work_dir/avt_dist/avnet_last.pth")], Path("work_dir/accuracy")))
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.accuracy.report import SCORE_HEADS, interval_text, score_cells, sureness_tables
from benchmarks.accuracy.seed import WITHOUT
from benchmarks.machine import machine
from datatools.clips import (
    ClipSet,
    clip_length,
    clips_without,
    feature_problems,
    find_processed,
    raise_problems,
    recorded_encoders,
)
from datatools.dataset import ClipDataset
from datatools.driver import Options, preprocess
from datatools.encoders import Encoder
from datatools.errors import UserError
from datatools.files import check_writable, save_text
from datatools.labels import doubled_labels, read_labels
from datatools.layout import (
    CLIP_SECONDS,
    START,
    VIDEO_SUFFIXES,
    Clip,
    clips_of_kind,
    label_files_below,
    recorded_text_detector,
)
from datatools.scores import best_constant
from datatools.submission import write_predictions, write_submission
from datatools.tables import markdown_table
from utils.asked_encoders import encoders_found, named_encoder
from utils.batches import Batches
from utils.default_weights import or_default
from utils.evaluation import evaluate
from utils.predict import Predictor

FEATURES = ("_mfcc.npy", "_frames.npy")
DETECTOR = "rapidocr"          # for videos, where a checkpoint does not tell which one it was trained with
BATCH = 8                      # clips
Row = dict[str, float]


@dataclass(frozen=True)
class LabelledFolder:
    """Labelled clips of a processed data set, the inputs that none of them has, and what was left out, as lines."""

    root: Path
    clips: list[Clip]
    truth: dict[str, float]
    missing: tuple[str, ...]
    remarks: list[str]


def label_file(folder: Path) -> list[Path]:
    """The label files of a folder of clips: labels.csv or truth.csv, or else all its .csv and .txt files."""
    found = label_files_below(folder, ["."])
    return [path for path in found if path.name in ("labels.csv", "truth.csv")] or found


def clip_folders(top: Path) -> list[Path]:
    """`top`, or else the folders below it, that hold clips (videos or features) and labels. Raises UserError."""
    if not top.is_dir():
        raise UserError(f"{top}: no such folder (--test_folder).")
    endings = (*FEATURES, *VIDEO_SUFFIXES)
    holding = sorted({path.parent for path in top.rglob("*") if path.name.lower().endswith(endings)})
    if not holding:
        raise UserError(f"{top}: no clips in it. Expected videos ({', '.join(VIDEO_SUFFIXES)}) or features "
                        f"(<name>_mfcc.npy, <name>_frames.npy), and their labels.")
    labelled = [folder for folder in ([top] if top in holding else holding) if label_file(folder)]
    if not labelled:
        raise UserError(f"{top}: no labels. Expected labels.csv beside the clips, with the header name,seconds and a "
                        "line for each clip: <id>_start and when its opening ends, <id>_end and when its ending "
                        "begins; or a .txt of `<name> <seconds>`.")
    return labelled


def root_of(folder: Path) -> Path:
    """The root of the processed data that a folder belongs to: the nearest one with ROIs, or the folder above."""
    above = [folder, *list(folder.parents)[:3]]
    return next((root for root in above if (root / "ROIs").is_dir()), folder.parent)


def make_features(
    top: Path, folders: list[Path], save_root: Path, detector: str, encoders: tuple[Encoder, ...] = ()
) -> None:
    """Preprocess the videos of `folders`, which are `top` or lie below it. Raises UserError where no clip can be."""
    root = top.parent if folders == [top] else top
    code = preprocess(Options(root, save_root, ocr=detector, encoder=encoders,
                              folders=[str(folder.relative_to(root)) for folder in folders]))
    if code > 1:
        raise UserError(f"{top}: preprocessing ended with exit code {code}, its message stands above.")


def read_folder(
    top: Path, work: Path, detector: str = DETECTOR, encoders: tuple[Encoder, ...] = ()
) -> LabelledFolder:
    """The labelled clips of a folder; features of videos are made below `work`, vectors of `encoders` among them.

    Raises UserError where no clip is left.
    """
    top = top.resolve()
    folders = clip_folders(top)
    root = root_of(folders[0])
    if not any(path.name.endswith(FEATURES) for folder in folders for path in folder.iterdir()):
        root = work / "processed"
        make_features(top, folders, root, detector, encoders)
        base = top.parent if folders == [top] else top
        folders = [root / folder.relative_to(base) for folder in folders]
    labels = [label for folder in folders for path in label_file(folder) for label in read_labels(path)]
    raise_problems(f"{top}: clips labelled twice", doubled_labels(labels))
    truth = {label.name: label.seconds for label in labels}
    clips = [clip for folder in folders for clip in find_processed(root, str(folder.relative_to(root)))]
    problems = [f"{clip.name}: no label" for clip in clips if clip.name not in truth]
    known = {clip.name for clip in clips}
    problems += [f"{label.place}: {label.name} has a label, but no clip" for label in labels if label.name not in known]
    problems += [f"{label.place}: {label.name} is labelled {label.seconds:g} s, beyond the {CLIP_SECONDS} s of a clip"
                 for label in labels if label.seconds > CLIP_SECONDS]
    clips = [clip for clip in clips if truth.get(clip.name, CLIP_SECONDS + 1) <= CLIP_SECONDS]
    faults = {name: {clip: lines[0] for clip in clips if (lines := feature_problems(root, [clip], (name,)))}
              for name in WITHOUT.values()}
    missing = tuple(name for name, found in faults.items() if clips and len(found) == len(clips))
    broken = {clip: line for name, found in faults.items() if name not in missing for clip, line in found.items()}
    problems += broken.values()
    clips = [clip for clip in clips if clip not in broken]
    if not clips or len(missing) == len(WITHOUT):
        raise_problems(f"{top}: no clip has a label and features", problems or ["no features"])
    for clip in clips:
        _ = clip.kind
    return LabelledFolder(root, clips, {clip.name: truth[clip.name] for clip in clips}, missing, problems)


def encoders_missing(predictor: Predictor, data: LabelledFolder) -> tuple[str, ...]:
    """The encoders of a checkpoint's training that none of the clips has vectors of.

    Raises UserError where the vectors that are there are not those of the training.
    """
    there = tuple(name for name in predictor.encoders
                  if len(clips_without(data.root, data.clips, name)) < len(data.clips))
    predictor.check_encoders(recorded_encoders(data.root, data.clips, there), str(data.root))
    return tuple(name for name in predictor.encoders if name not in there)


def encoder_remarks(title: str, predictor: Predictor, data: LabelledFolder, why: dict[str, str]) -> list[str]:
    """A line for each encoder of a checkpoint that all or some of the clips lack; `why` tells what kept it out."""
    missing, lines = encoders_missing(predictor, data), []
    for name in predictor.encoders:
        lacking = len(clips_without(data.root, data.clips, name))
        if name in missing:
            lines.append(f"{name}, an encoder of {title}: none of the clips has its vectors"
                         + (f". {why[name]}" if name in why else ""))
        elif lacking:
            lines.append(f"{name}, an encoder of {title}: {lacking} of {len(data.clips)} clips have no vectors of it")
    return lines


def answer(predictor: Predictor, data: LabelledFolder, without: tuple[str, ...]) -> dict[str, Row]:
    """{clip: what the network tells} without some inputs. Raises UserError where a clip has no answer."""
    left_out = tuple(dict.fromkeys((*data.missing, *encoders_missing(predictor, data), *without)))
    dims = {name: told["dim"] for name, told in predictor.encoders.items()}
    dataset = ClipDataset(data.root, ClipSet(data.clips, None), predictor.inputs, left_out, dims)
    indices = list(range(len(dataset)))
    rows = predictor.rows(Batches(dataset, predictor.device, 0)(
        [indices[first:first + BATCH] for first in range(0, len(indices), BATCH)]))
    return {data.clips[index].name: row for index, row in rows.items()}


def load(weights: Path) -> Predictor:
    """A boundary network. Raises UserError for another one."""
    predictor = Predictor(or_default(weights))
    if not hasattr(predictor.net, "seconds"):
        raise UserError(f"{weights}: holds {predictor.network.__name__}, which finds no boundaries. Expected weights "
                        "of a boundary network.")
    return predictor


def answer_without_each(predictor: Predictor, data: LabelledFolder) -> dict[str, dict[str, Row]]:
    """{variant: answers} without each of the modalities that are there; none where only one is, or none may miss."""
    if not hasattr(predictor.net, "explain"):
        return {}
    missing = {*data.missing, *encoders_missing(predictor, data)}
    variants = {**WITHOUT, **{f"without {name}": name for name in predictor.encoders}}
    there = {variant: name for variant, name in variants.items() if name not in missing}
    return {variant: answer(predictor, data, (name,)) for variant, name in there.items()} if len(there) > 1 else {}


def encoders_of_all(
    predictors: dict[str, Predictor], words: tuple[str, ...]
) -> tuple[tuple[Encoder, ...], dict[str, dict[str, str]]]:
    """(the encoders of all checkpoints' trainings, {title: {encoder: why it is not found}}). Raises UserError.

    Each of `words` goes to the checkpoints that were trained with its encoder, and to all where there is none such.
    """
    named = {word: named_encoder(word).name for word in words}
    known = {name for predictor in predictors.values() for name in predictor.encoders}
    found, lacking = {}, {}
    for title, predictor in predictors.items():
        mine = tuple(word for word, name in named.items() if name in predictor.encoders or name not in known)
        encoders, lacking[title] = encoders_found(predictor, mine)
        if other := next((name for name, encoder in encoders.items() if found.get(name, encoder) != encoder), None):
            raise UserError(f"{title}: trained with another {other} than the checkpoints before it. Measure it alone.")
        found |= encoders
    return tuple(found.values()), lacking


def measure(top: Path, weights: list[Path], work: Path, words: tuple[str, ...] = ()) -> str:
    """The report as Markdown; `words` are those of --encoder. Answers are written below `work`. Raises UserError."""
    predictors = {str(path): load(path) for path in weights}
    trained_with = {title: predictor.content.get("text_detector") for title, predictor in predictors.items()}
    encoders, lacking = encoders_of_all(predictors, words)
    check_writable(work)
    data = read_folder(top, work, next(filter(None, trained_with.values()), DETECTOR), encoders)
    here = recorded_text_detector(data.root)
    remarks = [f"text boxes by {here}, {title} was trained on those of {then}" for title, then in trained_with.items()
               if here and then and here != then and "text_roi" not in data.missing]
    remarks += [f"{title.split()[-1]}: none of the clips has features of it" for title, name in WITHOUT.items()
                if name in data.missing]
    remarks += [line for title, predictor in predictors.items()
                for line in encoder_remarks(title, predictor, data,
                                            lacking[title] if data.root == work / "processed" else {})]
    told, alone = {}, {}
    for number, (title, predictor) in enumerate(predictors.items()):
        told[title] = answer(predictor, data, ())
        write_submission(work / f"answers{number}.csv", {name: row["seconds"] for name, row in told[title].items()})
        write_predictions(work / f"answers{number}_predictions.csv", told[title])
        alone[title] = answer_without_each(predictor, data)
    texts = [f"Machine: {machine()}. {top}: {len(data.clips)} labelled clips. Intervals: 95%, bootstrap over clips.",
             *([f"{len(remarks + data.remarks)} remarks:\n\n" + "\n".join(
                 f"- {line}" for line in [*remarks, *data.remarks])] if remarks or data.remarks else []),
             folder_scores(data, told)]
    if any(alone.values()):
        texts.append(folder_missing(data, told, alone))
    sure = {title: [(row, data.truth[name]) for name, row in rows.items()] for title, rows in told.items()
            if "confidence" in next(iter(rows.values()))}
    text = "\n\n".join([*texts, *([sureness_tables(sure)] if sure else [])]) + "\n"
    save_text(work / "report.md", text)
    return text


def folder_scores(data: LabelledFolder, told: dict[str, dict[str, Row]]) -> str:
    """Accuracy of each checkpoint, on all clips and by kind; and of the best constant for these very labels."""
    lengths = {clip.name: clip_length(data.root, clip) for clip in data.clips}
    answers = {"the best constant for these labels": best_constant(data.truth),
               **{title: {name: row["seconds"] for name, row in rows.items()} for title, rows in told.items()}}
    rows = []
    for title, found in answers.items():
        starts = clips_of_kind(found, START)
        ends = [name for name in found if name not in starts]
        for group, names in (("all", list(found)), ("start", starts), ("end", ends)):
            if names:
                rows.append([title, group, str(len(names)), *score_cells(
                    np.array([found[n] for n in names]), np.array([data.truth[n] for n in names]),
                    np.isin(names, starts), np.array([lengths[n] for n in names]))])
    return markdown_table(["", "kind", "clips", *SCORE_HEADS], rows)


def folder_missing(data: LabelledFolder, told: dict, alone: dict[str, dict[str, dict[str, Row]]]) -> str:
    rows = []
    for title, variants in ((title, variants) for title, variants in alone.items() if variants):
        for variant, answers in {"all": told[title], **variants}.items():
            table = evaluate(np.array([row["seconds"] for row in answers.values()]),
                             np.array([data.truth[name] for name in answers]))
            rows.append([title, variant, interval_text(table["score"], table["score_interval"]),
                         *(f"{table[f'within_{limit}s']:.0%}" for limit in ("0.5", "1"))])
    return markdown_table(["modality left out in the test", "", "score, s", "in 0.5 s", "in 1 s"], rows)
