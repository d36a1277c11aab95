"""Wiring of the training scripts: flags to data, network, training or inference, and files.

    run(AVTNet, regression_loss, step_loss, parser)      # all that an entry script has to say
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable
from datatools.stages import number_of_cores
from utils.cli import Parser, parse_with_preset

NUM_FOLDS = 7    # as many as there are values of --data_seed with different validation clips


def run(network: type, loss: Callable, step_loss: Callable, parser: Parser, argv: list[str] | None = None) -> int:
    """Train, or with --weights infer, as the flags say; returns the exit code.

    Both losses take the network's outputs and the true seconds; `step_loss` is added with the weight --step_loss.
    """
    args, sizes = parse_with_preset(parser, argv)
    if args.data_root is None:
        raise UserError("--data_root is missing: the folder of processed data (save_root of the preprocessing).")
    if not args.data_root.is_dir():
        raise UserError(f"{args.data_root}: no such folder (--data_root).")
    if args.save_prefix is None and not (args.weights and args.output):
        raise UserError("--save_prefix is missing: the folder for checkpoints, logs and the submission.")
    if args.weights:
        return infer(network, args)
    from utils.distributed import run_torchrun, started_by_torchrun

    if not started_by_torchrun():
        if args.strategy == "ddp":
            script = sys.argv[0]
            return run_torchrun(number_of_processes(args), [script, *(sys.argv[1:] if argv is None else argv)])
        if args.processes:
            raise UserError(f"--processes {args.processes}: --strategy {args.strategy} is one process. Give --strategy "
                            "ddp too, or start the script by torchrun.")
    if args.folds:
        return train_folds(network, loss, step_loss, args, sizes)
    return train_one(network, loss, step_loss, args, sizes)


def number_of_processes(args) -> int:
    """How many processes --strategy ddp starts: --processes, else one a GPU. Raises UserError for want of GPUs."""
    devices = choose_devices(args.gpus)
    if devices[0].type == "cuda" and args.processes > len(devices):
        raise UserError(f"--processes {args.processes}: each takes a GPU of its own, and --gpus {args.gpus} gives "
                        f"{len(devices)}.")
    return args.processes or len(devices)


def train_one(network: type, loss: Callable, step_loss: Callable, args, sizes: dict) -> int:
    """One training, with the step loss where it is asked for."""
    from utils.distributed import told_once
    from utils.training import train

    def both_losses(outputs, truth):
        return loss(outputs, truth) + args.step_loss * step_loss(outputs, truth)

    with told_once():
        return train(network, both_losses if args.step_loss else loss, args, sizes)


def train_folds(network: type, loss: Callable, step_loss: Callable, args, sizes: dict) -> int:
    """Seven trainings, each of which validates with another seventh of the clips; then out_of_fold.csv of all.

    Folds that are done are left as they are, and one that was stopped goes on where it was.
    """
    from utils.run_folder import LAST
    from utils.training import write_out_of_fold

    prefix, folders = args.save_prefix, []
    leads = int(os.environ.get("RANK", 0)) == 0
    for fold in range(NUM_FOLDS):
        folder = prefix / f"fold{fold}"
        folders.append(folder)
        values = {**vars(args), "data_seed": fold, "save_prefix": folder, "folds": False}
        values["resume"] = "auto" if (folder / LAST).exists() and not args.overwrite else None
        if leads:
            print(f"fold {fold} of {NUM_FOLDS}: {folder}", flush=True)
        code = train_one(network, loss, step_loss, argparse.Namespace(**values), sizes)
        if code:
            return code
    if leads:
        table = write_out_of_fold(prefix, folders)
        print(f"out of fold: score {table['score']:.3f} s (start {table['score_start']:.3f}, end "
              f"{table['score_end']:.3f}; within 1 s {table['within_1s']:.0%}), in {prefix / 'out_of_fold.csv'}")
    return 0


def choose_devices(gpus: str) -> list:
    """torch devices for --gpus: ids, `auto` (every GPU there is, else the CPU) or `cpu`. Raises UserError."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus == "cpu" or (gpus == "auto" and count == 0):
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(number_of_cores())
        return [torch.device("cpu")]
    if gpus == "auto":
        return [torch.device("cuda", i) for i in range(count)]
    try:
        ids = [int(part) for part in gpus.split(",")]
    except ValueError:
        raise UserError(f"--gpus {gpus}: expected ids like 0 or 0,1, or auto, or cpu.") from None
    missing = [i for i in ids if not 0 <= i < count]
    if missing:
        there = f"only {', '.join(map(str, range(count)))}" if count else "none"
        raise UserError(f"--gpus {gpus}: GPU {', '.join(map(str, missing))} is not there ({there} found). "
                        "Use --gpus auto or --gpus cpu.")
    if len(set(ids)) != len(ids):
        raise UserError(f"--gpus {gpus}: an id stands there twice.")
    return [torch.device("cuda", i) for i in ids]


def build_network(network: type, sizes: dict):
    """The network with these sizes. Raises UserError that names a size that it does not have or cannot take."""
    try:
        return network(**{name: tuple(size) if isinstance(size, list) else size for name, size in sizes.items()})
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(f"preset, section network: {sizes}: {network.__name__} cannot be built so ({error}).") from None


def on_devices(net, devices: list, world=None):
    """The network on its device: under torchrun by DistributedDataParallel, over several GPUs by DataParallel."""
    import torch

    net = net.to(devices[0])
    if world is not None and world.size > 1:
        index = devices[0].index
        return torch.nn.parallel.DistributedDataParallel(net, device_ids=None if index is None else [index])
    if len(devices) > 1:
        return torch.nn.DataParallel(net, device_ids=[d.index for d in devices])
    return net


def inputs_read(network: type, args) -> tuple[str, ...]:
    """The network's inputs that lie in files, without those of --without. Raises UserError where none is left."""
    from datatools.features import SHAPES

    left = tuple(name for name in network.inputs if name in SHAPES and name not in args.without)
    if not left:
        raise UserError(f"--without {' '.join(args.without)}: no input is left.")
    return left


def recorded_detector(root: Path) -> str | None:
    """Name of the detector that made the text boxes below `root`; None where that is not recorded."""
    from datatools.layout import text_detector_path

    path = text_detector_path(root)
    return json.loads(path.read_text(encoding="utf-8"))["name"] if path.exists() else None


def infer(network: type, args) -> int:
    """Write the submission for one folder (or one part of the labelled clips) with a checkpoint's weights."""
    from tqdm import tqdm

    from datatools.clips import check_features, labelled_clips, unlabelled_clips
    from datatools.dataset import ClipDataset
    from datatools.layout import TEST_B
    from datatools.scores import score_table
    from datatools.submission import write_predictions, write_submission
    from utils import run_folder
    from utils.batches import Batches
    from utils.checkpoint import check_network, load_checkpoint, load_weights
    from utils.engine import explain, predict

    if args.resume:
        raise UserError("--weights infers and --resume trains; give one of them.")
    devices = choose_devices(args.gpus)
    try:
        content = load_checkpoint(args.weights)
    except UserError as error:
        raise run_folder.offer_another(args.weights, error) from None
    check_network(args.weights, content, network.__name__)
    # A reference checkpoint does not tell its sizes (they are the defaults), nor whether its frames are standardised.
    net = build_network(network, {"standardise": args.if_normal} if content["sizes"] is None else content["sizes"])
    load_weights(args.weights, net, content["model"])
    if args.channels_last:
        import torch

        net.video_net.frame_net.to(memory_format=torch.channels_last)
    if args.split:
        clip_set = labelled_clips(args.data_root, args.train_folders, args.label_files, args.data_seed)[args.split]
    else:
        clip_set = unlabelled_clips(args.data_root, args.folder or TEST_B.folders[0])
    used = inputs_read(network, args)
    check_features(args.data_root, clip_set, used)
    if "text_roi" in used:
        check_detector(args, content)
    output = args.output or args.save_prefix / "submission.csv"
    check_writable(output.parent)

    batches = Batches(ClipDataset(args.data_root, clip_set, network.inputs, tuple(args.without)), devices[0],
                      min(args.num_workers, number_of_cores()))
    lists = [list(range(first, min(first + args.batch_size, len(clip_set))))
             for first in range(0, len(clip_set), args.batch_size)]
    bar = tqdm(batches(lists), desc="infer", unit="batch", total=len(lists), dynamic_ncols=True)
    parallel = on_devices(net, devices)
    if hasattr(network, "explain"):
        rows = explain(net, network.inputs, bar, amp=args.use_amp)
        names = [clip.name for clip in clip_set.clips]
        details = output.with_name("predictions.csv" if output.name == "submission.csv" else
                                   f"{output.stem}_predictions.csv")
        write_predictions(details, {name: rows[index] for index, name in enumerate(names)})
        found = {index: row["seconds"] for index, row in rows.items()}
    else:
        found = predict(parallel, network.inputs, network.seconds, bar, amp=args.use_amp)
    answers = [found[index] for index in range(len(clip_set))]
    seconds = {clip.name: float(s) for clip, s in zip(clip_set.clips, answers, strict=True)}
    write_submission(output, seconds)
    print(f"{len(seconds)} clips: {output}" + (f" and {details}" if hasattr(network, "explain") else ""))
    if clip_set.seconds is not None:
        truth = {clip.name: float(s) for clip, s in zip(clip_set.clips, clip_set.seconds, strict=True)}
        print(f"score {score_table(seconds, truth)['score']:.3f} s on {args.split}")
    return 0


def check_detector(args, content: dict) -> None:
    """Raise UserError where the data's text boxes come from another detector than those trained on."""
    here, then = recorded_detector(args.data_root), content["text_detector"]
    if here and then and here != then:
        raise UserError(f"{args.data_root}: its text boxes were made by {here}, {args.weights} was trained on those of "
                        f"{then}. Run datatools/text_extract.py --ocr {then} --force, then utils/extract_textROI.py.")
