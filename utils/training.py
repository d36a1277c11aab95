"""A training from its flags to its last checkpoint: data, network, epochs, validation, files.

    train(AVTNet, loss, args, sizes)      # what utils/runner.py calls
"""

import contextlib
import json
import math
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable, sweep_temporaries
from datatools.stages import number_of_cores
from utils import run_folder
from utils.run_folder import BEST, LAST

SAVE_MINUTES = 10.0     # within a longer epoch the position is saved this often,
CLOCK_STEPS = 10        # looked at after so many steps
INTERVAL = 0.9          # of the truths lie in the intervals that a network tells
DRAW_SECONDS = 60.0     # pictures are drawn after every epoch that takes longer, else at the end
MUST_AGREE = ("lr", "batch_size", "max_epoch", "schedule", "accumulation_step", "shift", "vary", "damage", "borrow",
              "step_loss", "use_amp", "clip_grad", "ema", "seed", "data_seed", "without")


class Stop:
    """Whether SIGINT or SIGTERM asked for the end; the step in hand is finished and saved first.

    With `at_once` a second Ctrl-C does not wait for that. Not under torchrun: the terminal and torchrun both send one.
    """

    def __init__(self, at_once: bool = True):
        self.at_once = at_once
        self.number = 0
        self.before: dict = {}

    def __enter__(self):
        import threading

        # Handlers belong to the main thread; a training inside another one is ended from outside.
        if threading.current_thread() is threading.main_thread():
            self.before = {n: signal.signal(n, self._note) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _frame):
        if self.number == number == signal.SIGINT and self.at_once:
            raise KeyboardInterrupt
        self.number = self.number or number

    def asked(self) -> bool:
        return bool(self.number)


def train(network: type, loss: Callable, args, sizes: dict) -> int:
    """Train `network` and write checkpoints, logs and settings into args.save_prefix; returns the exit code.

    0 when done, 130 or 143 where SIGINT or SIGTERM ended it after its position was saved. Raises UserError.
    """
    import torch

    from datatools.clips import decode_missing_frames
    from datatools.dataset import ClipDataset
    from utils import distributed
    from utils.batches import Batches
    from utils.devices import instruction_set, precision
    from utils.engine import Training, learning_rate_factor
    from utils.log import Log
    from utils.runner import choose_devices, inputs_read, on_devices, recorded_detector

    devices = choose_devices(args.gpus)
    world = distributed.join(devices)
    if world.size > 1:
        devices = [devices[world.local_rank % len(devices)]]
    device = devices[0]
    folder = args.save_prefix
    resumed, remark = load_resumed(network, args)
    begins = resumed is None or args.resume.parent.resolve() != folder.resolve()     # in this folder
    if begins and not args.overwrite and (folder / LAST).exists():
        raise UserError(f"{folder}: holds a training already. Go on with it: --resume auto; or choose another "
                        "--save_prefix; or replace it: --overwrite.")
    world.wait()      # no process may look for a checkpoint that the first one has just written
    used = inputs_read(network, args)
    parts = checked_parts(args, used)
    detector = recorded_detector(args.data_root) if "text_roi" in used else None
    torch.manual_seed(args.seed)
    sizes = resumed["sizes"] if resumed else {**sizes, "standardise": args.if_normal}
    net = start_network(network, sizes, args, resumed)
    decoded = 0
    if world.leads:
        check_writable(folder)
        sweep_temporaries(folder)
        if "frames" in used:
            decoded = decode_missing_frames(args.data_root, [*parts["train"].clips, *parts["val"].clips])
    world.wait()
    data = run_folder.fingerprint_data(args.data_root, parts, used)
    computed_in = precision(device, args.use_amp)
    world.agree({"data": data, "precision": computed_in, "place": resumed["position"] if resumed else "the start",
                 **{f"--{name}": getattr(args, name) for name in MUST_AGREE}})
    if world.leads and begins:
        run_folder.clear_old_run(folder)
        run_folder.write_settings(folder, network, plain(sizes), args, data)
    log = Log(folder, writes=world.leads)
    steps = math.ceil(math.ceil(len(parts["train"]) / args.batch_size) / args.accumulation_step)   # an epoch

    net = net.to(device)
    if args.channels_last:
        net.video_net.frame_net.to(memory_format=torch.channels_last)
    if args.compile:
        net.compile()
    optimizer = torch.optim.Adam(net.parameters(), args.lr)
    ema = None
    if args.ema:
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(args.ema)
        ema = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=average, use_buffers=True)
    training = Training(
        net=net, parallel=on_devices(net, devices, world), optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(args.schedule, step / steps, args.max_epoch)),
        # float16 needs loss scaling; the scaler lives through all epochs, and in the checkpoint.
        scaler=torch.amp.GradScaler(device.type, enabled=computed_in == torch.float16),
        ema=ema,
    )
    best = {"score": float("inf"), "epoch": -1}
    if resumed:
        training.restore(resumed)
        best = resumed["best"]
        log.line(f"resumed {args.resume}{describe_position(training)}{remark}")
        if resumed["data"] != data:
            log.line("the data is not what this training began with: labels, clips or feature files have changed")
    count = sum(p.numel() for p in net.parameters())
    where = f"{world.size} processes, " if world.size > 1 else ""
    log.line(f"{network.__name__} {count / 1e6:.2f} M parameters | {len(parts['train'])} clips train, "
             f"{len(parts['val'])} validate | {where}{', '.join(map(str, devices))}")
    where = f" ({instruction_set()})" if device.type == "cpu" else ""
    log.line(f"computes in {dtype_name(computed_in)}{where}"
             + (", --use_amp would be slower here" if args.use_amp and computed_in == torch.float32 else ""))
    if resumed and resumed.get("precision", dtype_name(computed_in)) != dtype_name(computed_in):
        log.line(f"was trained in {resumed['precision']} so far: from here on its steps are not those of one machine")
    if detector is None and "text_roi" in used:
        log.line("which detector made the text boxes is not recorded with this data")
    if decoded:
        log.line(f"decoded the 1 fps videos of {decoded} clips into _frames.npy")

    threads = min(args.num_workers, number_of_cores())
    without = tuple(args.without)
    loaders = {name: Batches(ClipDataset(args.data_root, part, network.inputs, without), device, threads,
                             args.data_in_memory) for name, part in parts.items()}
    fixed = {"network": network.__name__, "sizes": plain(sizes), "text_detector": detector, "data": data,
             "precision": dtype_name(computed_in),
             "training": {name: getattr(args, name) for name in MUST_AGREE}}
    with Stop(at_once=world.size == 1) as stop:
        code = run_epochs(network, loss, args, training, best, loaders, fixed, log, world, stop)
    if world.leads:
        run_folder.draw(folder, args.data_root, parts["val"].clips)
        log.close()
    world.wait()      # none leaves while the first still draws
    return code


def run_epochs(network, loss, args, training, best, loaders, fixed, log, world, stop) -> int:
    """The epochs that are left; the exit code."""
    import torch
    from tqdm import tqdm

    from datatools.scores import score_table
    from utils.engine import StepSettings, epoch_batches, predict_all, train_epoch

    folder = args.save_prefix
    clip_set = loaders["val"].dataset.clip_set
    truth = {clip.name: float(s) for clip, s in zip(clip_set.clips, clip_set.seconds, strict=True)}
    settings = StepSettings(amp=args.use_amp, clip_grad=args.clip_grad, max_shift=args.shift, variation=args.vary,
                            damaged=args.damage, borrowed=args.borrow, seed=args.seed,
                            halve_when_full=args.halve_when_full)
    spread_of = getattr(network, "spread", None)      # of a network that tells how sure it is
    num_clips = len(loaders["train"].dataset)
    device = loaders["train"].device
    score = None
    started, epochs_done = time.perf_counter(), 0
    saved = time.monotonic()

    def save(names: list[str], epoch: int) -> None:
        nonlocal saved
        state = training.state()
        if world.leads:
            run_folder.save_checkpoints(folder, {**fixed, "epoch": epoch, "score": score, "best": best, **state}, names,
                                        args.keep_last)
        saved = time.monotonic()

    def answers_of(outputs):
        found = network.seconds(outputs)
        return torch.stack([found, spread_of(outputs)], 1) if spread_of else found

    @contextlib.contextmanager
    def keeping_what_was_learnt():
        """Save the position before a UserError ends the training."""
        try:
            yield
        except UserError as error:
            if not world.leads or (not training.epoch and not training.step):
                raise
            save([LAST], training.epoch - 1)
            raise UserError(f"{error}\nWhat was learnt up to there is kept: {folder / LAST}"
                            f"{describe_position(training)}.") from None

    while training.epoch < args.max_epoch:
        epoch = training.epoch
        if args.patience and epoch - 1 - best["epoch"] >= args.patience:
            log.line(f"no better for {args.patience} epochs")
            break
        epoch_started, waited = time.perf_counter(), loaders["train"].waited
        clips_before, skipped_before, remarks_before = training.num_clips, len(training.skipped), len(training.remarks)
        batches = epoch_batches(num_clips, args.batch_size, args.seed, epoch)
        groups = [batches[i:i + args.accumulation_step] for i in range(0, len(batches), args.accumulation_step)]
        rate = training.schedule.get_last_lr()[0]
        bar = tqdm(total=num_clips, initial=sum(len(b) for g in groups[:training.step] for b in g), unit="clip",
                   desc=f"epoch {epoch}/{args.max_epoch - 1}", leave=False, dynamic_ncols=True,
                   disable=None if world.leads else True)   # no bar in a file, the lines of the log are there
        shown = 0

        def after_step(clips: int, bar=bar, epoch_started=epoch_started, waited=waited) -> None:
            nonlocal shown
            shown += 1
            if shown % args.show_freq == 0:
                waiting = (loaders["train"].waited - waited) / (time.perf_counter() - epoch_started)
                bar.set_postfix_str(f"waiting for data {waiting:.0%}, {memory_in_use(training)}", refresh=False)
            bar.update(clips)
            # All processes take the same steps, so all come here together; the first one's clock decides.
            if shown % CLOCK_STEPS == 0 and not training.bad_steps:
                due = world.leads and time.monotonic() - saved > SAVE_MINUTES * 60
                if world.sum([float(due)], device)[0]:
                    save([LAST], training.epoch - 1)

        try:
            with keeping_what_was_learnt():
                finished = train_epoch(training, network.inputs, loss, groups, loaders["train"], settings, world,
                                       stop.asked, after_step)
        finally:
            bar.close()
            for line in training.remarks[remarks_before:]:
                log.line(line)
            for line in training.skipped[skipped_before:]:
                log.line(f"left out: {line}")
        if not finished:
            save([LAST], epoch - 1)
            return say_stopped(log, stop, training)
        train_seconds = time.perf_counter() - epoch_started
        waiting = (loaders["train"].waited - waited) / train_seconds
        train_loss = training.loss_sum / max(1, training.num_clips)
        speed = (training.num_clips - clips_before) / train_seconds
        # Validation in float32, so that it is the score that inference with these weights reaches.
        world.share_buffers(training.answers_with)
        with keeping_what_was_learnt():
            answers = predict_all(training.answers_with, network.inputs, answers_of, loaders["val"], args.batch_size,
                                  world)
        if spread_of:
            answers, spreads = answers.T
            calibrate(training.answers_with, answers, spreads, loaders["val"].dataset.clip_set.seconds)
        predicted = dict(zip(truth, answers.tolist(), strict=True))
        table = score_table(predicted, truth)
        score = table["score"]
        is_best = score < best["score"]
        if is_best:
            best = {"score": score, "epoch": epoch}
            if world.leads:
                run_folder.write_validation(folder, predicted, truth)
        epochs_done += 1
        took = time.perf_counter() - epoch_started
        left = (time.perf_counter() - started) / epochs_done * (args.max_epoch - 1 - epoch)
        log.line(f"epoch {epoch:2d} | train {train_loss:.3f} | val {score:.3f} s (start {table['score_start']:.3f}, "
                 f"end {table['score_end']:.3f}; within 1 s {table['within_1s']:.0%}) | best {best['score']:.3f} s "
                 f"(epoch {best['epoch']}) | lr {rate:.1e} | {took:.1f} s, {speed:.1f} clips/s, waiting for data "
                 f"{waiting:.0%}, {memory_in_use(training)} | {left:.0f} s to go")
        # Recorded first: an epoch that a kill makes again stands there twice, else it might be missing.
        log.record(epoch=epoch, train_loss=train_loss, lr=rate, seconds=took, clips_per_second=speed,
                   waiting=waiting, skipped_steps=len(training.skipped) - skipped_before, best=best["score"],
                   **{f"val_{k}": v for k, v in table.items()})
        training.epoch, training.step, training.loss_sum, training.num_clips = epoch + 1, 0, 0.0, 0
        save(run_folder.checkpoint_names(epoch, args.max_epoch, is_best), epoch)
        if world.sum([float(stop.asked())], device)[0] and training.epoch < args.max_epoch:
            return say_stopped(log, stop, training)
        if world.leads and took > DRAW_SECONDS:
            run_folder.draw(folder, args.data_root, clip_set.clips)
    log.line(f"done: best score {best['score']:.3f} s at epoch {best['epoch']}, in {folder / BEST}")
    return 0


def calibrate(net, found, spreads, truth) -> None:
    """Set net.interval_scale so that `found` +- scale x `spreads` holds INTERVAL of the truths; arrays (N,), s.

    Split conformal prediction with a normalised error (Papadopoulos and others, 2002): the quantile is taken a little
    higher, by (N + 1) / N, as the theorem asks for.
    """
    import numpy as np

    level = min(1.0, INTERVAL * (len(truth) + 1) / len(truth))
    net.interval_scale.fill_(float(np.quantile(np.abs(found - truth) / spreads, level, method="higher")))


def say_stopped(log, stop: Stop, training) -> int:
    """The exit code of a training that a signal has ended; another process than this one may have got it."""
    number = signal.Signals(stop.number or signal.SIGTERM)
    log.line(f"stopped by {number.name}{describe_position(training)}; saved. Go on with --resume auto.")
    return 128 + number


def dtype_name(dtype) -> str:
    """`float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")


def memory_in_use(training) -> str:
    """The most memory so far: the GPU's where one computes, else this process's."""
    import torch

    device = next(training.net.parameters()).device
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


def describe_position(training) -> str:
    if training.step:
        return f" in epoch {training.epoch}, after step {training.step}"
    return f" after epoch {training.epoch - 1}" if training.epoch else " at its start"


def checked_parts(args, inputs: tuple[str, ...]) -> dict:
    """The training and the validation clips, after every label and feature file was checked."""
    from datatools.clips import labelled_clips

    parts = labelled_clips(args.data_root, args.train_folders, args.label_files, args.data_seed, inputs)
    for name, part in parts.items():
        if not len(part):
            raise UserError(f"{', '.join(args.label_files)}: too few clips, none is left for the {name} part.")
    return parts


def start_network(network: type, sizes: dict, args, resumed: dict | None):
    """The network with the weights of the resumed checkpoint, or else as --pretrained says."""
    from utils.checkpoint import load_pretrained, load_weights
    from utils.runner import build_network

    net = build_network(network, sizes)
    if resumed:
        load_weights(args.resume, net, resumed["model"])
    elif args.pretrained != "none":
        load_pretrained(net.video_net.frame_net, args.pretrained)
    return net


def plain(sizes: dict) -> dict:
    """Sizes as plain types that a checkpoint may hold."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in sizes.items()}


def load_resumed(network: type, args) -> tuple[dict | None, str]:
    """(the checkpoint to go on from or None, a remark for the log); sets args.resume to its path.

    `auto` takes the newest whole one of the folder. Raises UserError where one does not fit, or none is whole.
    """
    from utils.checkpoint import is_whole

    if not args.resume:
        return None, ""
    remark = ""
    if args.resume == "auto":
        found = run_folder.checkpoints_by_age(args.save_prefix)
        if not found:
            args.resume = None
            return None, ""
        whole = next((number for number, path in enumerate(found) if is_whole(path)), None)
        if whole is None:
            raise UserError(f"{args.save_prefix}: all checkpoints are damaged ({', '.join(p.name for p in found)}). "
                            "Put back a copy of one, or start anew: --overwrite, without --resume.")
        if whole:
            remark = f" ({', '.join(p.name for p in found[:whole])} damaged, so the next newest is taken)"
        args.resume = found[whole]
    args.resume = Path(args.resume)
    return read_resumable(args.resume, network, args), remark


def read_resumable(path: Path, network: type, args) -> dict:
    """A checkpoint that this training can go on from. Raises UserError, with another one where it is damaged."""
    from utils.checkpoint import check_network, load_checkpoint

    try:
        content = load_checkpoint(path)
    except UserError as error:
        raise run_folder.offer_another(path, error) from None
    check_network(path, content, network.__name__)
    if "position" not in content:
        raise UserError(f"{path}: holds weights alone, a training cannot go on from it.")
    then = content["training"]
    differ = [f"--{name}: {then[name]} then, {getattr(args, name)} now" for name in MUST_AGREE
              if name in then and then[name] != getattr(args, name)]
    if differ:
        raise UserError(f"{path}: was trained with other settings.\n  " + "\n  ".join(differ)
                        + "\nResume with the same, or start a new training in another --save_prefix.")
    return content


def write_out_of_fold(prefix: Path, folders: list[Path]) -> dict[str, float]:
    """out_of_fold.csv (a submission) and its score table, from the validation answers of every fold."""
    from datatools.scores import score_table
    from datatools.submission import write_submission

    predicted: dict[str, float] = {}
    truth: dict[str, float] = {}
    for folder in folders:
        answers, seconds = run_folder.read_validation(folder)
        predicted |= answers
        truth |= seconds
    write_submission(prefix / "out_of_fold.csv", predicted)
    table = score_table(predicted, truth)
    (prefix / "out_of_fold.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    return table
