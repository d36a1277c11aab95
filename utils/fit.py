"""The training loop.

    fitted = fit(task, FitSettings(max_epoch=20, save_prefix=Path("work_dir/run")), FitData(train, validation))
    fitted.best, fitted.net

A benchmark, a test or a notebook calls it without a flag; without a save_prefix it writes no file.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from datatools.errors import UserError
from datatools.files import sweep_temporaries
from datatools.stages import number_of_cores
from utils import distributed, run_folder
from utils.batches import Batches
from utils.checkpoint import check_fits, check_network, is_whole, load_checkpoint, load_weights
from utils.checkpoint_form import FOR_INFERENCE, FOR_RESUMING, check_form
from utils.devices import choose_devices, dtype_name, instruction_set, on_devices, precision, prefer_speed
from utils.log import Log
from utils.memory import memory_in_use
from utils.networks import frame_network
from utils.run_folder import BEST, LAST
from utils.settings import FitSettings, must_agree, plain
from utils.step import MOST_BAD_STEPS, Recipe, Training, share_of, train_step
from utils.stop import Stop
from utils.task import FitData, Task
from utils.threads import adapt_threads, fix_threads, usual_threads

SAVE_MINUTES = 10.0     # between saves of the position within an epoch
CLOCK_STEPS = 10        # steps between checks whether such a save is due
DRAW_SECONDS = 60.0     # after a longer epoch pictures are drawn; after shorter ones only at the training's end


@dataclass(frozen=True)
class Fitted:
    """The result of a training: the trained network, its best epoch, a record an epoch, and the exit code.

    The exit code is 0 when done, 130 or 143 when SIGINT or SIGTERM stopped the training and its position was saved.
    """

    net: nn.Module
    best: dict
    records: list[dict]
    exit_code: int


@dataclass(frozen=True)
class Run:
    """What does not change during a training. `kept` goes into each checkpoint beside the training's state."""

    task: Task
    settings: FitSettings
    recipe: Recipe
    log: Log
    train: Batches
    val: Batches
    kept: dict = field(default_factory=dict)

    @property
    def world(self) -> distributed.World:
        return self.recipe.world


@dataclass(frozen=True)
class Epoch:
    """How an epoch went: whether it finished, bad steps left out, seconds, and the share of them spent on waiting.

    `fewer_threads`: steps that computed on fewer threads, because other programs used the cores.
    """

    finished: bool
    skipped: int
    fewer_threads: int
    seconds: float
    waiting: float
    clips_per_second: float


def fit(task: Task, settings: FitSettings, data: FitData) -> Fitted:
    """Train a task's network. run_folder.py lists the files that it writes into settings.save_prefix.

    Under torchrun every process calls it with the same arguments. Raises UserError.
    """
    world = distributed.join(choose_devices(settings.gpus))
    with run_folder.held(settings.save_prefix, world):      # before anything in it is read or removed
        return train(*begin(task, settings, data))


def train(run: Run, training: Training) -> Fitted:
    """The epochs from where `training` stands up to the last one."""
    task, settings = run.task, run.settings
    started, epochs_done = time.perf_counter(), 0
    with Stop(at_once=run.world.size == 1) as stop:
        while training.epoch < settings.max_epoch:
            if settings.patience and training.epoch - 1 - training.best["epoch"] >= settings.patience:
                run.log.line(f"no better for {settings.patience} epochs")
                break
            epoch, epoch_started, rate = training.epoch, time.perf_counter(), training.schedule.get_last_lr()[0]
            with keeping_what_was_learnt(run, training):
                done = train_epoch(run, training, stop)
            if not done.finished:
                save(run, training, [LAST], epoch - 1)
                return stopped(run, training, stop)
            train_loss = training.loss_sum / max(1, training.num_clips)
            run.world.share_buffers(training.answers_with)
            with keeping_what_was_learnt(run, training):
                # In float32, without autocast: the score of inference with these weights.
                found = task.validate(training.answers_with, run.val, settings.batch_size, run.world)
            training.score = found.numbers[task.score]
            is_best = task.is_better(training.score, training.best["score"])
            if is_best:
                training.best = {"score": training.score, "epoch": epoch}
                if run.world.leads and settings.save_prefix:
                    task.keep_best(settings.save_prefix, found)
            epochs_done, took = epochs_done + 1, time.perf_counter() - epoch_started
            to_go = (time.perf_counter() - started) / epochs_done * (settings.max_epoch - 1 - epoch)
            record = {"train_loss": train_loss, "lr": rate, "seconds": took, "waiting": done.waiting,
                      "clips_per_second": done.clips_per_second, "skipped_steps": done.skipped,
                      "fewer_threads_steps": done.fewer_threads, "best": training.best["score"]}
            run.log.line(epoch_line(run, training, found.numbers, record, to_go))
            # Record before saving: a kill between the two only repeats the record; the other order could lose it.
            run.log.record(epoch=epoch, **record, **{f"val_{k}": v for k, v in found.numbers.items()})
            training.epoch, training.step, training.loss_sum, training.num_clips = epoch + 1, 0, 0.0, 0
            save(run, training, run_folder.checkpoint_names(epoch, settings.max_epoch, is_best), epoch)
            if run.world.any(stop.asked(), training.device) and training.epoch < settings.max_epoch:
                return stopped(run, training, stop)
            if took > DRAW_SECONDS:
                draw(run)
        run.log.line(f"done: best score {training.best['score']:.3f}{task.unit} at epoch {training.best['epoch']}"
                     + (f", in {settings.save_prefix / BEST}" if settings.save_prefix else ""))
    return finished(run, training, 0)


# ---------------------------------------------------------------- before the first epoch


def begin(task: Task, settings: FitSettings, data: FitData) -> tuple[Run, Training]:
    """The network on its devices with all that trains it: new, or restored from a checkpoint.

    Raises UserError before anything in the folder is changed.
    """
    devices = choose_devices(settings.gpus)
    fix_threads(settings.threads, constant=settings.compile)      # torch.compile writes the number into its code
    world = distributed.join(devices)
    if world.size > 1:
        devices = [devices[world.local_rank % len(devices)]]
    device, folder = devices[0], settings.save_prefix
    found = find_resumed(task, settings)
    begins = found.content is None or not folder or found.path.parent.resolve() != folder.resolve()
    if begins and folder and not settings.overwrite and (folder / LAST).exists():
        raise UserError(f"{folder}: holds a training already. Go on with it: --resume auto; or choose another "
                        "--save_prefix; or replace it: --overwrite.")
    world.wait()      # all processes have looked for checkpoints before the first one writes any
    torch.manual_seed(settings.seed)
    sizes = found.content["sizes"] if found.content else task.sizes
    net = task.build(sizes)
    if found.content:
        load_weights(found.path, net, found.content["model"])
    started = [] if found.content else task.start(net)
    remarks = world.lead(lambda: prepare(data, folder))
    kept = {"network": task.network, "sizes": {k: plain(v) for k, v in sizes.items()}, "data": data.fingerprint(),
            "precision": dtype_name(precision(device, settings.use_amp)),
            "training": must_agree(settings, task.settings, task.more_settings), **task.facts}
    world.agree({"data": kept["data"], "precision": kept["precision"],
                 "place": found.content["position"] if found.content else "the start",
                 **{f"--{name}": value for name, value in kept["training"].items()}})
    training = new_training(task, settings, net, devices, world, len(data.train))
    if found.content:
        training.restore(found.content, found.path)
        training.best = found.content["best"]
    if begins and folder:
        world.lead(lambda: run_folder.begin_run(folder, kept, settings, task.settings, task.more_settings))
    log = Log(folder, writes=world.leads)
    recipe = Recipe(task, world, settings.use_amp, settings.clip_grad, settings.seed, settings.halve_when_full,
                    log.line)
    for line in [*resumed_lines(found, kept, training), network_line(task, net, data, devices, world),
                 precision_line(device, settings), *started, *task.remarks, *remarks]:
        log.line(line)
    threads = min(settings.num_workers, number_of_cores())
    train, val = (Batches(part, device, threads, settings.data_in_memory) for part in (data.train, data.val))
    return Run(task, settings, recipe, log, train, val, kept), training


def prepare(data: FitData, folder: Path | None) -> list[str]:
    """Remove what killed trainings left in the folder, and prepare the data; returns lines for the log."""
    if folder:
        sweep_temporaries(folder)
    return data.prepare()


def new_training(
    task: Task, settings: FitSettings, net: nn.Module, devices: list, world: distributed.World, num_clips: int
) -> Training:
    """The network on its devices before the first step, with optimiser, schedule, loss scaling and averaged weights."""
    net = net.to(devices[0])
    prefer_speed(net, settings.use_amp)
    frame_net = frame_network(net)
    if settings.channels_last and frame_net is not None:
        frame_net.to(memory_format=torch.channels_last)
    if settings.compile:
        net.compile()
    steps = math.ceil(math.ceil(num_clips / settings.batch_size) / settings.accumulation_step)   # an epoch
    optimizer = task.optimizer(net, settings)
    ema = None
    if settings.ema:
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema)
        ema = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=average, use_buffers=True)
    return Training(
        net=net, parallel=on_devices(net, devices, world), optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: task.rate(step / steps, settings)),
        # float16 needs loss scaling; one scaler serves all epochs, and the checkpoint keeps its state.
        scaler=torch.amp.GradScaler(devices[0].type,
                                    enabled=precision(devices[0], settings.use_amp) == torch.float16),
        ema=ema, best={"score": task.worst_score, "epoch": -1},
    )


# ---------------------------------------------------------------- resuming


@dataclass(frozen=True)
class Resumed:
    """The checkpoint that a training resumes from; no content for a new training. `remark` goes into the log."""

    path: Path | None = None
    content: dict | None = None
    remark: str = ""


def find_resumed(task: Task, settings: FitSettings) -> Resumed:
    """The checkpoint that --resume asks for; `auto`: the newest whole one of the folder, or none in a new folder.

    Raises UserError where the checkpoint does not fit, or all are damaged.
    """
    if settings.resume is None:
        return Resumed()
    path, remark = Path(settings.resume), ""
    if settings.resume == "auto":
        there = run_folder.checkpoints_by_age(settings.save_prefix) if settings.save_prefix else []
        if not there:
            return Resumed()
        whole = next((number for number, path in enumerate(there) if is_whole(path)), None)
        if whole is None:
            raise UserError(f"{settings.save_prefix}: all checkpoints are damaged "
                            f"({', '.join(p.name for p in there)}). Put back a copy of one, or start anew: "
                            "--overwrite, without --resume.")
        if whole:
            remark = f" ({', '.join(p.name for p in there[:whole])} damaged, so the next newest is taken)"
        path = there[whole]
    try:
        content = load_checkpoint(path)
        check_form(path, content, FOR_INFERENCE)
    except UserError as error:
        raise run_folder.offer_another(path, error) from None
    check_resumable(path, content, task, settings)
    return Resumed(path, content, remark)


def check_resumable(path: Path, content: dict, task: Task, settings: FitSettings) -> None:
    """Raise UserError where a training cannot resume from a checkpoint."""
    check_network(path, content, task.network)
    if "position" not in content:
        raise UserError(f"{path}: holds weights alone, a training cannot go on from it.")
    check_form(path, content, FOR_RESUMING)
    then, now = content["training"], must_agree(settings, task.settings, task.more_settings)
    differ = [f"--{name}: {str(then[name])[:100]} then, {value} now" for name, value in now.items()
              if name in then and then[name] != value]
    differ += [f"{name}: {str(content.get(name))[:100]} then, {str(task.facts[name])[:100]} now" for name in task.same
               if content.get(name) != task.facts[name]]
    if differ:
        raise UserError(f"{path}: was trained with other settings.\n  " + "\n  ".join(differ)
                        + "\nResume with the same, or start a new training in another --save_prefix.")
    check_fits(path, lambda: task.build(content["sizes"]), content["model"])


# ---------------------------------------------------------------- an epoch


def epoch_batches(num_clips: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The data set's indices in each batch of an epoch, shuffled; the last batch may be smaller."""
    order = np.random.default_rng((seed, epoch)).permutation(num_clips).tolist()
    return [order[first:first + batch_size] for first in range(0, num_clips, batch_size)]


def epoch_groups(settings: FitSettings, num_clips: int, epoch: int) -> list[list[list[int]]]:
    """The batches of each step of an epoch: --accumulation_step of them, fewer in the last step."""
    batches = epoch_batches(num_clips, settings.batch_size, settings.seed, epoch)
    return [batches[i:i + settings.accumulation_step] for i in range(0, len(batches), settings.accumulation_step)]


def train_epoch(run: Run, training: Training, stop: Stop) -> Epoch:
    """Train on every clip once, from training.step on.

    When any process is asked to stop, the current step is finished first. A step that is not finite is left out and
    logged. Raises UserError after three such steps in a row, with `training` as it was before them; also when out of
    memory or when a file cannot be read.
    """
    groups = epoch_groups(run.settings, len(run.train.dataset), training.epoch)
    started, waited, clips_before = time.perf_counter(), run.train.waited, training.num_clips
    skipped, fewer, finished, saved = 0, 0, True, time.monotonic()
    training.net.train()
    if hasattr(run.train.dataset, "start_epoch"):
        run.train.dataset.start_epoch(training.epoch)
    mine = (share_of(indices, run.world) for group in groups[training.step:] for indices in group)
    try:
        with progress_bar(run, training, groups) as bar, contextlib.closing(run.train(mine)) as coming:
            for number, group in enumerate(groups[training.step:], 1):
                batches = [next(coming) for _ in group]
                fewer += choose_threads(run, training, told=fewer > 0)
                done = train_step(training, run.recipe, group, batches, stop.asked, run.train.name_of)
                training.step += 1
                if done.bad:
                    skipped += 1
                    leave_out(run, training, done.bad)
                else:
                    training.bad = []
                    training.schedule.step()
                if number % run.settings.show_freq == 0:
                    share = (run.train.waited - waited) / (time.perf_counter() - started)
                    bar.set_postfix_str(f"waiting for data {share:.0%}, {memory_in_use(training.device)}",
                                        refresh=False)
                bar.update(sum(map(len, group)))
                if number % CLOCK_STEPS == 0 and not training.bad:
                    saved = save_if_due(run, training, saved)
                if done.stop and training.step < len(groups):
                    training.forget_bad_steps()
                    finished = False
                    break
    except UserError:
        training.forget_bad_steps()
        raise
    if finished:
        training.count_bad_steps()
    seconds = time.perf_counter() - started
    return Epoch(finished, skipped, fewer, seconds, (run.train.waited - waited) / seconds,
                 (training.num_clips - clips_before) / seconds)


def choose_threads(run: Run, training: Training, told: bool) -> bool:
    """Set the next step's CPU threads; whether they are fewer than usual, which is logged unless it was `told`."""
    fewer = adapt_threads(training.net)
    if fewer and not told:
        run.log.line(f"epoch {training.epoch}, step {training.step}: other programs use the cores, so this step and "
                     f"perhaps more compute on {torch.get_num_threads()} of {usual_threads(training.net)} threads. "
                     "Their sums are rounded differently; --threads fixes the number.")
    return fewer


def leave_out(run: Run, training: Training, bad: str) -> None:
    """Log a step that was not finite. Raises UserError where it is the third in a row."""
    training.bad.append(f"epoch {training.epoch}, step {training.step - 1}: {bad}")
    run.log.line(f"left out: {training.bad[-1]}")
    if len(training.bad) == MOST_BAD_STEPS:
        raise UserError(f"{MOST_BAD_STEPS} steps in a row had a loss or gradient that is not finite:\n  "
                        + "\n  ".join(training.bad) + "\nLook at these clips' features; or lower --lr, give "
                        "--clip_grad 1, or leave --use_amp out.")


def progress_bar(run: Run, training: Training, groups: list[list[list[int]]]) -> tqdm:
    """A progress bar over the epoch's clips, in a terminal only: a file gets the log's lines alone."""
    done = sum(len(batch) for group in groups[:training.step] for batch in group)
    return tqdm(total=len(run.train.dataset), initial=done, unit="clip", leave=False, dynamic_ncols=True,
                desc=f"epoch {training.epoch}/{run.settings.max_epoch - 1}", disable=None if run.world.leads else True)


# ---------------------------------------------------------------- what it leaves


def save(run: Run, training: Training, names: list[str], epoch: int) -> None:
    """Write a checkpoint of the training under these names; `epoch` is the last finished one."""
    state = training.state()
    if run.world.leads and run.settings.save_prefix:
        content = {**run.kept, "epoch": epoch, "score": training.score, "best": training.best, **state}
        run_folder.save_checkpoints(run.settings.save_prefix, content, names, run.settings.keep_last)


def save_if_due(run: Run, training: Training, saved: float) -> float:
    """Save the position if `saved` is SAVE_MINUTES ago by the first process's clock; returns the last save's time."""
    due = run.world.leads and time.monotonic() - saved > SAVE_MINUTES * 60
    if run.world.any(due, training.device):      # all processes reach this call at the same step
        save(run, training, [LAST], training.epoch - 1)
        return time.monotonic()
    return saved


@contextlib.contextmanager
def keeping_what_was_learnt(run: Run, training: Training) -> Iterator[None]:
    """Save the position before a UserError ends the training."""
    try:
        yield
    except UserError as error:
        folder = run.settings.save_prefix
        if not run.world.leads or not folder or (not training.epoch and not training.step):
            raise
        save(run, training, [LAST], training.epoch - 1)
        raise UserError(f"{error}\nWhat was learnt up to there is kept: {folder / LAST}"
                        f"{describe_position(training)}. Go on with --resume auto.") from None


def stopped(run: Run, training: Training, stop: Stop) -> Fitted:
    """End a training that a signal has stopped."""
    saved = "; saved. Go on with --resume auto." if run.settings.save_prefix else "."
    run.log.line(f"stopped by {stop.signal.name}{describe_position(training)}{saved}")
    return finished(run, training, 128 + stop.signal)


def finished(run: Run, training: Training, exit_code: int) -> Fitted:
    draw(run)
    run.world.wait()      # no process exits while the first one still draws
    return Fitted(training.answers_with, training.best, run.log.records, exit_code)


def draw(run: Run) -> None:
    """Draw the task's pictures; only the first process does."""
    if run.world.leads and run.settings.save_prefix:
        run.task.draw(run.settings.save_prefix, run.val.dataset)


# ---------------------------------------------------------------- in words


def describe_position(training: Training) -> str:
    if training.step:
        return f" in epoch {training.epoch}, after step {training.step}"
    return f" after epoch {training.epoch - 1}" if training.epoch else " at its start"


def resumed_lines(found: Resumed, kept: dict, training: Training) -> list[str]:
    """Log lines about the checkpoint that a training resumes from."""
    if not found.content:
        return []
    lines = [f"resumed {found.path}{describe_position(training)}{found.remark}"]
    if found.content["data"] != kept["data"]:
        lines.append("the data is not what this training began with: labels, clips or feature files have changed")
    then = found.content.get("precision", kept["precision"])      # older checkpoints lack it
    if then != kept["precision"]:
        lines.append(f"was trained in {then} so far and goes on in {kept['precision']}")
    return lines


def network_line(task: Task, net: nn.Module, data: FitData, devices: list, world: distributed.World) -> str:
    count = sum(p.numel() for p in net.parameters())
    where = f"{world.size} processes, " if world.size > 1 else ""
    number = usual_threads(net)
    threads = f", {number} thread{'s' * (number > 1)}" if devices[0].type == "cpu" else ""
    return (f"{task.network} {count / 1e6:.2f} M parameters | {len(data.train)} clips train, {len(data.val)} validate "
            f"| {where}{', '.join(map(str, devices))}{threads}")


def precision_line(device: torch.device, settings: FitSettings) -> str:
    computed_in = precision(device, settings.use_amp)
    slower = ", --use_amp would be slower here" if settings.use_amp and computed_in == torch.float32 else ""
    where = f" ({instruction_set()})" if device.type == "cpu" else ""
    return f"computes in {dtype_name(computed_in)}{where}{slower}"


def epoch_line(run: Run, training: Training, numbers: dict, record: dict, to_go: float) -> str:
    task, best = run.task, training.best
    return (f"epoch {training.epoch:2d} | train {record['train_loss']:.3f} | val {task.describe(numbers)} | best "
            f"{best['score']:.3f}{task.unit} (epoch {best['epoch']}) | lr {record['lr']:.1e} | {record['seconds']:.1f} "
            f"s, {record['clips_per_second']:.1f} clips/s, waiting for data {record['waiting']:.0%}, "
            f"{memory_in_use(training.device)} | {to_go:.0f} s to go")
