"""Wiring of the training scripts: flags to data, network, training or inference, and files.

    run(AVTNet, regression_loss, step_loss, parser)      # all that an entry script has to say
"""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from datatools.command import UserError, check_writable, number_of_cores, save_text, sweep_temporaries
from utils.cli import Parser, parse_with_preset

BEST, LAST = "avnet_bestmodel.pth", "avnet_last.pth"   # the reference's spelling, in epoch files too
KEEP_AFTER = 0.6       # share of max_epoch after which every epoch is kept
WRONG_SECONDS = 10.0   # s; clips that are off by more go to error.txt
EPOCH_SEED_STEP = 1000   # between the seeds of two epochs


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
    if args.step_loss:
        return train(network, lambda out, truth: loss(out, truth) + args.step_loss * step_loss(out, truth), args, sizes)
    return train(network, loss, args, sizes)


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


def on_devices(net, devices: list):
    """The network on its device; over several GPUs by DataParallel."""
    import torch

    net = net.to(devices[0])
    if len(devices) > 1:
        return torch.nn.DataParallel(net, device_ids=[d.index for d in devices])
    return net


def make_loader(dataset, args, devices, *, shuffle_seed: int | None = None):
    """Batches of a data set: in order, or shuffled by a seed."""
    import torch

    generator = None
    if shuffle_seed is not None:
        generator = torch.Generator().manual_seed(shuffle_seed)
    return torch.utils.data.DataLoader(
        dataset, args.batch_size, shuffle=shuffle_seed is not None, generator=generator,
        num_workers=min(args.num_workers, number_of_cores()), pin_memory=devices[0].type == "cuda",
    )


def recorded_detector(root: Path) -> str | None:
    """Name of the detector that made the text boxes below `root`; None where that is not recorded."""
    from datatools.layout import text_detector_path

    path = text_detector_path(root)
    return json.loads(path.read_text(encoding="utf-8"))["name"] if path.exists() else None


def train(network: type, loss: Callable, args, sizes: dict) -> int:
    """Train `network` and write checkpoints, logs and settings into args.save_prefix."""
    import torch
    from tqdm import tqdm

    from datatools.dataset import ClipDataset
    from datatools.submission import score_table
    from utils.engine import amp_dtype, learning_rate_factor, predict, train_one_epoch
    from utils.log import Log

    devices = choose_devices(args.gpus)
    device = devices[0]
    folder = args.save_prefix
    resumed = load_resumed(network, args)
    if resumed is None and not args.overwrite and (folder / LAST).exists():
        raise UserError(f"{folder}: holds a training already. Go on with it: --resume auto; or choose another "
                        "--save_prefix; or replace it: --overwrite.")
    parts = checked_parts(args, network.inputs)
    detector = recorded_detector(args.data_root) if "text_roi" in network.inputs else None
    torch.manual_seed(args.seed)
    sizes = resumed["sizes"] if resumed else {**sizes, "standardise": args.if_normal}
    net = start_network(network, sizes, args, resumed)
    check_writable(folder)
    sweep_temporaries(folder)
    if resumed is None:
        clear_old_run(folder)
        write_settings(folder, network, sizes, args)

    optimizer = torch.optim.Adam(net.parameters(), args.lr)
    steps = math.ceil(math.ceil(len(parts["train"]) / args.batch_size) / args.accumulation_step)   # an epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(args.schedule, step / steps, args.max_epoch)
    )
    # float16 needs loss scaling; the scaler lives through all epochs, and in the checkpoint.
    scaler = torch.amp.GradScaler(device.type, enabled=args.use_amp and amp_dtype(device) == torch.float16)
    first_epoch, best = 0, {"score": float("inf"), "epoch": -1}
    log = Log(folder)
    if resumed:
        restore(resumed, optimizer, schedule, scaler)
        first_epoch, best = resumed["epoch"] + 1, resumed["best"]
        log.line(f"resumed {args.resume} after epoch {resumed['epoch']}")
    count = sum(p.numel() for p in net.parameters())
    log.line(f"{network.__name__} {count / 1e6:.2f} M parameters | {len(parts['train'])} clips train, "
             f"{len(parts['val'])} validate | {', '.join(map(str, devices))}")
    if detector is None and "text_roi" in network.inputs:
        log.line("which detector made the text boxes is not recorded with this data")

    parallel = on_devices(net, devices)
    datasets = {part: ClipDataset(args.data_root, parts[part], network.inputs) for part in parts}
    val = parts["val"]
    truth = {clip.name: float(s) for clip, s in zip(val.clips, val.seconds, strict=True)}
    started = time.perf_counter()
    for epoch in range(first_epoch, args.max_epoch):
        epoch_started = time.perf_counter()
        # Order, shifts and dropout follow from the seed and the epoch alone, so a resumed training goes the same way.
        epoch_seed = args.seed + EPOCH_SEED_STEP * (epoch + 1)
        torch.manual_seed(epoch_seed)
        rate = schedule.get_last_lr()[0]
        loader = make_loader(datasets["train"], args, devices, shuffle_seed=epoch_seed)
        bar = tqdm(loader, desc=f"epoch {epoch}/{args.max_epoch - 1}", unit="batch", leave=False, dynamic_ncols=True,
                   miniters=args.show_freq, disable=None)   # no bar in a file, the lines of the log are there
        train_loss = train_one_epoch(
            parallel, network.inputs, loss, bar, optimizer, schedule, scaler, device=device, amp=args.use_amp,
            accumulation_step=args.accumulation_step, max_shift=args.shift, variation=args.vary,
            generator=torch.Generator().manual_seed(epoch_seed),
        )
        # Validation in float32, so that it is the score that inference with these weights reaches.
        answers = predict(parallel, network.inputs, network.seconds, make_loader(datasets["val"], args, devices),
                          device=device)
        predicted = dict(zip(truth, answers.tolist(), strict=True))
        table = score_table(predicted, truth)
        is_best = table["score"] < best["score"]
        if is_best:
            best = {"score": table["score"], "epoch": epoch}
            save_text(folder / "error.txt", wrong_clips(predicted, truth))
        save_epoch(folder, args.max_epoch, is_best, {
            "network": network.__name__, "sizes": plain(sizes), "text_detector": detector, "model": net.state_dict(),
            "epoch": epoch, "score": table["score"], "best": best, "training": training_settings(args),
            "optimizer": optimizer.state_dict(), "scheduler": plain_schedule(schedule), "scaler": scaler.state_dict(),
        })
        took = time.perf_counter() - epoch_started
        left = (time.perf_counter() - started) / (epoch - first_epoch + 1) * (args.max_epoch - 1 - epoch)
        log.line(f"epoch {epoch:2d} | train {train_loss:.3f} | val {table['score']:.3f} s | best {best['score']:.3f} s "
                 f"(epoch {best['epoch']}) | lr {rate:.1e} | {took:.1f} s, {left:.0f} s to go")
        log.record(epoch=epoch, train_loss=train_loss, lr=rate, seconds=took, best=best["score"],
                   **{f"val_{k}": v for k, v in table.items()})
    log.line(f"done: best score {best['score']:.3f} s at epoch {best['epoch']}, in {folder / BEST}")
    return 0


def checked_parts(args, inputs: tuple[str, ...]) -> dict:
    """The training and the validation clips, after every label and feature file was checked."""
    from datatools.dataset import labelled_clips

    parts = labelled_clips(args.data_root, args.train_folders, args.label_files, args.data_seed, inputs)
    for name, part in parts.items():
        if not len(part):
            raise UserError(f"{', '.join(args.label_files)}: too few clips, none is left for the {name} part.")
    return parts


def start_network(network: type, sizes: dict, args, resumed: dict | None):
    """The network with the weights of the resumed checkpoint, or else as --pretrained says."""
    from utils.checkpoint import load_pretrained, load_weights

    net = build_network(network, sizes)
    if resumed:
        load_weights(args.resume, net, resumed["model"])
    else:
        load_pretrained(net.video_net.frame_net, args.pretrained)
    return net


def write_settings(folder: Path, network: type, sizes: dict, args) -> None:
    """settings.json: all that this training was started with."""
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    content = {"network": network.__name__, "sizes": plain(sizes), **settings}
    save_text(folder / "settings.json", json.dumps(content, indent=2, ensure_ascii=False))


def save_epoch(folder: Path, max_epoch: int, is_best: bool, content: dict) -> None:
    """The best so far, every epoch of the last two fifths, and the last: the files of the reference, and one more."""
    from utils.checkpoint import save_checkpoint

    if is_best:
        save_checkpoint(folder / BEST, content)
    if content["epoch"] > KEEP_AFTER * max_epoch:
        save_checkpoint(folder / f"avnet_epoch{content['epoch']}.pth", content)
    save_checkpoint(folder / LAST, content)


def plain(sizes: dict) -> dict:
    """Sizes as plain types that a checkpoint may hold."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in sizes.items()}


def plain_schedule(schedule) -> dict:
    """A schedule's state without its function."""
    return {k: v for k, v in schedule.state_dict().items() if k != "lr_lambdas"}


def training_settings(args) -> dict:
    """The settings that a resumed training must share, as plain types."""
    names = ("lr", "batch_size", "max_epoch", "schedule", "accumulation_step", "shift", "vary", "step_loss", "use_amp",
             "seed", "data_seed")
    return {name: getattr(args, name) for name in names}


def clear_old_run(folder: Path) -> None:
    """Remove the files of an earlier training that the user asked to replace."""
    for path in [*folder.glob("avnet_*.pth"), folder / "log.txt", folder / "log.jsonl", folder / "error.txt"]:
        path.unlink(missing_ok=True)


def load_resumed(network: type, args) -> dict | None:
    """The checkpoint to go on from, or None; sets args.resume to its path. Raises UserError where it does not fit."""
    from utils.checkpoint import check_network, load_checkpoint

    if not args.resume:
        return None
    path = args.save_prefix / LAST if args.resume == "auto" else Path(args.resume)
    if args.resume == "auto" and not path.exists():
        args.resume = None
        return None
    content = load_checkpoint(path)
    check_network(path, content, network.__name__)
    if "optimizer" not in content:
        raise UserError(f"{path}: holds weights alone, a training cannot go on from it.")
    ours = training_settings(args)
    differ = [f"--{k}: {v} then, {ours[k]} now" for k, v in content["training"].items() if ours[k] != v]
    if differ:
        raise UserError(f"{path}: was trained with other settings.\n  " + "\n  ".join(differ)
                        + "\nResume with the same, or start a new training in another --save_prefix.")
    args.resume = path
    return content


def restore(content: dict, optimizer, schedule, scaler) -> None:
    optimizer.load_state_dict(content["optimizer"])
    schedule.load_state_dict({**content["scheduler"], "lr_lambdas": [None] * len(optimizer.param_groups)})
    if content["scaler"]:
        scaler.load_state_dict(content["scaler"])


def wrong_clips(predicted: dict[str, float], truth: dict[str, float]) -> str:
    """Lines `name truth prediction` of the clips that are off by more than 10 s, the worst first."""
    wrong = [n for n in truth if abs(predicted[n] - truth[n]) > WRONG_SECONDS]
    wrong.sort(key=lambda n: -abs(predicted[n] - truth[n]))
    return "".join(f"{n} {truth[n]:.3f} {predicted[n]:.3f}\n" for n in wrong)


def infer(network: type, args) -> int:
    """Write the submission for one folder (or one part of the labelled clips) with a checkpoint's weights."""
    from tqdm import tqdm

    from datatools.dataset import ClipDataset, check_features, labelled_clips, unlabelled_clips
    from datatools.layout import TEST_B
    from datatools.submission import score_table, write_submission
    from utils.checkpoint import check_network, load_checkpoint, load_weights
    from utils.engine import predict

    if args.resume:
        raise UserError("--weights infers and --resume trains; give one of them.")
    devices = choose_devices(args.gpus)
    content = load_checkpoint(args.weights)
    check_network(args.weights, content, network.__name__)
    # A reference checkpoint does not tell its sizes (they are the defaults), nor whether its frames are standardised.
    net = build_network(network, {"standardise": args.if_normal} if content["sizes"] is None else content["sizes"])
    load_weights(args.weights, net, content["model"])
    if args.split:
        clip_set = labelled_clips(args.data_root, args.train_folders, args.label_files, args.data_seed)[args.split]
    else:
        clip_set = unlabelled_clips(args.data_root, args.folder or TEST_B.folders[0])
    check_features(args.data_root, clip_set, network.inputs)
    check_detector(args, content)
    output = args.output or args.save_prefix / "submission.csv"
    check_writable(output.parent)

    loader = make_loader(ClipDataset(args.data_root, clip_set, network.inputs), args, devices)
    bar = tqdm(loader, desc="infer", unit="batch", dynamic_ncols=True)
    answers = predict(on_devices(net, devices), network.inputs, network.seconds, bar, device=devices[0],
                      amp=args.use_amp)
    seconds = {clip.name: float(s) for clip, s in zip(clip_set.clips, answers, strict=True)}
    write_submission(output, seconds)
    print(f"{len(seconds)} clips: {output}")
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
