"""What an entry script of a boundary network does: train, or with --weights infer.

    run(AVTNet, regression_loss, boundary_command(__doc__, argv))      # all that an entry script calls
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from datatools.clips import (
    ClipSet,
    check_features,
    labelled_clips,
    raise_problems,
    recorded_encoders,
    resolve_label_file,
    unlabelled_clips,
)
from datatools.dataset import ClipDataset
from datatools.errors import UserError, describe_error
from datatools.files import check_writable, save_text
from datatools.layout import TEST_B, recorded_text_detector
from datatools.paths import check_output
from datatools.scores import score_table
from datatools.stages import number_of_cores
from datatools.submission import write_predictions, write_submission
from utils.batches import Batches
from utils.boundary import Loss, boundary_data, boundary_task, inputs_read, read_validation
from utils.cli import BoundaryCommand
from utils.default_weights import or_default
from utils.distributed import World
from utils.fit import fit
from utils.launch import launched
from utils.predict import Predictor
from utils.run_folder import LAST, held
from utils.task import Batch, Dataset
from utils.threads import fix_threads

NUM_FOLDS = 7    # values of --data_seed whose validation clips differ


def run(network: type, loss: Loss, command: BoundaryCommand) -> int:
    """Train, or with --weights infer, as the command says; returns the exit code. Raises UserError."""
    root, fit_settings = command.boundary.data_root, command.fit
    if root is None:
        raise UserError("--data_root is missing: the folder of processed data (save_root of the preprocessing).")
    if not root.is_dir():
        raise UserError(f"{root}: no such folder (--data_root).")
    if fit_settings.save_prefix is None and not (command.infer.weights and command.infer.output):
        raise UserError("--save_prefix is missing: the folder for checkpoints, logs and the submission.")
    if command.infer.weights:
        return infer(network, replace(command, infer=replace(command.infer,
                                                             weights=or_default(command.infer.weights))))

    def trained(world: World) -> int:
        if not command.boundary.folds:
            return train(network, loss, command)
        with held(fit_settings.save_prefix, world):
            return train_folds(network, loss, command)

    return launched(fit_settings.gpus, command.launch, command.words, trained)


def train(network: type, loss: Loss, command: BoundaryCommand) -> int:
    """Run one training; returns its exit code."""
    data = boundary_data(network, command.boundary)
    task = boundary_task(network, loss, command.boundary, command.sizes)
    return fit(task, command.fit, data).exit_code


def train_folds(network: type, loss: Loss, command: BoundaryCommand) -> int:
    """Train seven times, each time with another seventh of the clips for validation; then write out_of_fold.csv.

    Finished folds are kept, a stopped one is resumed.
    """
    prefix, folders = command.fit.save_prefix, []
    leads = int(os.environ.get("RANK", 0)) == 0
    for fold in range(NUM_FOLDS):
        folder = prefix / f"fold{fold}"
        folders.append(folder)
        resume = "auto" if (folder / LAST).exists() and not command.fit.overwrite else None
        if leads:
            print(f"fold {fold} of {NUM_FOLDS}: {folder}", flush=True)
        one = replace(command, fit=replace(command.fit, save_prefix=folder, resume=resume),
                      boundary=replace(command.boundary, data_seed=fold, folds=False))
        code = train(network, loss, one)
        if code:
            return code
    if leads:
        table = write_out_of_fold(prefix, folders)
        print(f"out of fold: score {table['score']:.3f} s (start {table['score_start']:.3f}, end "
              f"{table['score_end']:.3f}; within 1 s {table['within_1s']:.0%}), in {prefix / 'out_of_fold.csv'}")
    return 0


def write_out_of_fold(prefix: Path, folders: list[Path]) -> dict[str, float]:
    """Write out_of_fold.csv (a submission) from the validation answers of every fold; returns its score table."""
    predicted: dict[str, float] = {}
    truth: dict[str, float] = {}
    for folder in folders:
        answers, seconds = read_validation(folder)
        predicted |= answers
        truth |= seconds
    write_submission(prefix / "out_of_fold.csv", predicted)
    table = score_table(predicted, truth)
    save_text(prefix / "out_of_fold.json", json.dumps(table, indent=2) + "\n")
    return table


# ---------------------------------------------------------------- inference


class Readable:
    """A data set whose batches leave out the samples that cannot be read; `failed` tells why, {index: reason}.

    The samples that are in `failed` from the beginning are not read.
    """

    def __init__(self, dataset: Dataset, failed: dict[int, str] | None = None):
        self.dataset, self.failed = dataset, dict(failed or {})

    def batch(self, indices: list[int], pinned: bool = False) -> Batch:
        indices = [index for index in indices if index not in self.failed]
        if not indices:
            return {"index": torch.empty(0, dtype=torch.long)}
        try:
            return self.dataset.batch(indices, pinned)
        except Exception:      # whatever a library raises for a file that it cannot read
            good = [index for index in indices if self._can_be_read(index)]
            if len(good) == len(indices):
                raise
            return self.batch(good, pinned)

    def _can_be_read(self, index: int) -> bool:
        try:
            self.dataset.batch([index])
        except Exception as error:
            self.failed[index] = describe_error(error)
        return index not in self.failed


def infer(network: type, command: BoundaryCommand) -> int:
    """Write the submission for one folder (or one part of the labelled clips) with a checkpoint's weights.

    Clips that cannot be answered are named and left out; the exit code is then 1. Raises UserError if none can be.
    """
    fit_settings, boundary, asked = command.fit, command.boundary, command.infer
    if fit_settings.resume:
        raise UserError("--weights infers and --resume trains; give one of them.")
    # A reference checkpoint does not record whether its frames are standardised.
    sizes = {} if boundary.if_normal is None else {"standardise": boundary.if_normal}
    fix_threads(fit_settings.threads)
    predictor = Predictor(asked.weights, network, gpus=fit_settings.gpus, mixed=fit_settings.use_amp,
                          channels_last=fit_settings.channels_last, sizes=sizes)
    clip_set = clips_asked_for(command)
    encoders = tuple(name for name in predictor.encoders if name not in boundary.without)
    used = inputs_read(network, boundary.without, tuple(predictor.encoders))
    failed = check_features(boundary.data_root, clip_set, used)
    if "text_roi" in used:
        check_detector(command, predictor.content.get("text_detector"))
    predictor.check_encoders(recorded_encoders(boundary.data_root, clip_set.clips, encoders), str(boundary.data_root))
    output, details = outputs(command)

    dims = {name: told["dim"] for name, told in predictor.encoders.items()}
    dataset = Readable(ClipDataset(boundary.data_root, clip_set, network.inputs, boundary.without, dims), failed)
    batches = Batches(dataset, predictor.device, min(fit_settings.num_workers, number_of_cores()))
    size = fit_settings.batch_size
    lists = [list(range(first, min(first + size, len(clip_set)))) for first in range(0, len(clip_set), size)]
    rows, wrong = predictor.answers(
        tqdm(batches(lists), desc="infer", unit="batch", total=len(lists), dynamic_ncols=True))
    problems = [f"{clip_set.clips[index].folder}/{clip_set.clips[index].name}: {reason}"
                for index, reason in sorted({**dataset.failed, **wrong}.items())]
    if not rows:
        raise_problems(f"{asked.weights}: answers none of the {len(clip_set)} clips", problems)
    answered = {clip.name: rows[index] for index, clip in enumerate(clip_set.clips) if index in rows}
    seconds = {name: row["seconds"] for name, row in answered.items()}
    tells_more = any(len(row) > 1 for row in answered.values())
    if tells_more:
        write_predictions(details, answered)
    write_submission(output, seconds)
    print(f"{len(seconds)} clips: {output}" + (f" and {details}" if tells_more else ""))
    if clip_set.seconds is not None:
        truth = {clip.name: float(s) for clip, s in zip(clip_set.clips, clip_set.seconds, strict=True)
                 if clip.name in seconds}
        print(f"score {score_table(seconds, truth)['score']:.3f} s on {asked.split}")
    if problems:
        print("\n".join([f"{len(problems)} clips have no answer and no line in {output}:", *problems]), file=sys.stderr)
    return 1 if problems else 0


def outputs(command: BoundaryCommand) -> tuple[Path, Path]:
    """The files of an inference, submission and predictions. Raises UserError where one cannot be written.

    Neither replaces a file that is read, or one that is no CSV.
    """
    asked, boundary = command.infer, command.boundary
    output = asked.output or command.fit.save_prefix / "submission.csv"
    details = output.with_name("predictions.csv" if output.name == "submission.csv" else
                               f"{output.stem}_predictions.csv")
    for path in (output, details):
        check_output(path, [asked.weights, *(resolve_label_file(boundary.data_root, f) for f in boundary.label_files)],
                     ".csv")
    check_writable(output.parent)
    return output, details


def clips_asked_for(command: BoundaryCommand) -> ClipSet:
    """The clips of a folder, or of a part of the labelled ones. Raises UserError."""
    boundary, asked = command.boundary, command.infer
    if asked.split:
        return labelled_clips(boundary.data_root, boundary.train_folders, boundary.label_files,
                              boundary.data_seed)[asked.split]
    return unlabelled_clips(boundary.data_root, asked.folder or TEST_B.folders[0])


def check_detector(command: BoundaryCommand, then: str | None) -> None:
    """Raise UserError where the data's text boxes come from another detector than those of the training."""
    root = command.boundary.data_root
    here = recorded_text_detector(root)
    if here and then and here != then:
        raise UserError(f"{root}: its text boxes were made by {here}, {command.infer.weights} was trained on those of "
                        f"{then}. Run datatools/text_extract.py --ocr {then} --force, then utils/extract_textROI.py.")
