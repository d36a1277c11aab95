"""Predictor: a checkpoint's answers to batches. Inference and validation share this code.

    predictor = Predictor(Path("work_dir/AVTDist/avnet_bestmodel.pth"))
    columns = predictor(batch)                # {"seconds": (B,), ...} for the tensors of a batch
    rows = predictor.rows(batches)            # {index: {"seconds": 91.3, ...}} for many batches
    rows, wrong = predictor.answers(batches)  # the same, and {index: why} of samples that cannot be answered
    predictor.quarters(batch)                 # (B, 800), the weight of each quarter of a second
    predictor.columns(batch)["logits"]        # (B, classes), of a video recogniser
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from datatools.errors import UserError
from datatools.layout import CLIP_SECONDS
from utils import run_folder
from utils.batches import Batches
from utils.checkpoint import check_fits, check_network, load_checkpoint
from utils.checkpoint_form import FOR_INFERENCE, check_form
from utils.devices import autocast, choose_devices, on_devices
from utils.distributed import World
from utils.memory import too_large
from utils.networks import build_network, find_network, frame_network
from utils.task import Batch, answer
from utils.threads import adapt_threads

Rows = dict[int, dict[str, float]]     # by a sample's place in its data set
QUARTERS = 4 * CLIP_SECONDS
QUARTERS_SPREAD = 0.4                  # s; standard deviation around an answer that has no distribution
ROUNDING = 1e-4                        # s that an answer may lie outside of the clip


class Answering(nn.Module):
    """A network whose forward returns the answers, {column: (B, ...)}, so that DataParallel can split a batch.

    The columns are those of the network's `explain`; a boundary network without it answers `seconds` alone, and any
    other network its outputs.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        if hasattr(self.net, "explain"):
            return self.net.explain(**inputs)
        outputs = self.net(**inputs)
        if not hasattr(self.net, "seconds"):
            return outputs
        with autocast(next(iter(outputs.values())).device, False):
            return {"seconds": self.net.seconds(outputs)}


class Predictor:
    """A trained network on its devices, ready to answer; `content` is the checkpoint's.

    The checkpoint rebuilds the network with its sizes and its scaling of frames. `network`: its class, needed if that
    is not in models/. `sizes`: of a reference checkpoint's network, which does not record all; they win over what it
    tells. Several `gpus` share each batch. `mixed`: mixed precision where the device has it. Raises UserError that
    names the checkpoint.
    """

    def __init__(
        self, checkpoint: Path, network: type | None = None, *, gpus: str = "auto", mixed: bool = False,
        channels_last: bool = False, sizes: dict | None = None,
    ):
        self.devices, self.mixed = choose_devices(gpus), mixed
        try:
            self.content = load_checkpoint(checkpoint)
            check_form(checkpoint, self.content, FOR_INFERENCE)
        except UserError as error:
            raise run_folder.offer_another(checkpoint, error) from None
        network = network or find_network(self.content["network"])
        if not hasattr(network, "inputs"):
            raise UserError(f"{checkpoint}: holds weights of {self.content['network']}, and no file of models/ has "
                            "such a class. Use the version of this project that made it.")
        check_network(checkpoint, self.content, network.__name__)
        self.checkpoint, self.network = checkpoint, network
        told = self.content["sizes"] or {}
        sizes = told if "format" in self.content else {**told, **(sizes or {})}
        self.sizes = sizes
        check_fits(checkpoint, lambda: build_network(network, sizes), self.content["model"])
        self.net = build_network(network, sizes)
        self.net.load_state_dict(dict(self.content["model"]))
        frame_net = frame_network(self.net)
        if channels_last and frame_net is not None:
            frame_net.to(memory_format=torch.channels_last)
        self.answering = on_devices(Answering(self.net).eval(), self.devices)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors of a batch that the network takes."""
        return self.net.inputs

    @property
    def encoders(self) -> dict[str, dict]:
        """{encoder: the settings of the vectors} that the network was trained on, beside its class's inputs."""
        return self.content.get("encoders") or {}

    def check_encoders(self, found: dict[str, dict], where: str) -> None:
        """Raise UserError where vectors were made by other weights or settings than those of the training.

        `found` is {encoder: its settings} as the manifest or `Encoder.settings` tell them, `where` the place for the
        message.
        """
        for name in self.encoders.keys() & found.keys():
            if differences := self.encoder_differences(name, found[name]):
                raise UserError(f"{where}: its vectors of {name} are not those that {self.checkpoint} was trained on "
                                f"({differences}). Run datatools/preprocess.py with that --encoder, or leave the input "
                                f"out with --without {name}.")

    def encoder_differences(self, name: str, found: dict) -> str:
        """What an encoder's settings differ in from those of the training, in words; "" where they are the same."""
        then = self.encoders[name]
        differ = sorted(key for key in {*then, *found} if then.get(key) != found.get(key))
        return ", ".join(f"{key} {then.get(key)} then, {found.get(key)} here" for key in differ)

    @property
    def device(self) -> torch.device:
        """Where batches belong."""
        return self.devices[0]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """The network's answers to a batch, {column: (B,)} float32 on the network's device.

        Raises UserError where a row has no answer that is a time of its clip.
        """
        columns = self.columns(batch)
        values = {name: column.tolist() for name, column in columns.items()}
        for row in range(len(values["seconds"])):
            if problem := self._problem(batch, row, {name: value[row] for name, value in values.items()}):
                raise UserError(f"row {row} of a batch: {problem}")
        return columns

    @torch.inference_mode()
    def columns(self, batch: Batch) -> dict[str, Tensor]:
        """The answers as the network gives them, whatever they are worth: {column: (B, ...)}, float32."""
        adapt_threads(self.net)
        with autocast(self.device, self.mixed):
            columns = answer(self.answering, {n: batch[n].to(self.device) for n in self.inputs}, self.inputs)
        return {name: column.float() for name, column in columns.items()}

    @torch.inference_mode()
    def quarters(self, batch: Batch) -> Tensor:
        """How likely the boundary lies in each quarter of a second, (B, 800) float32, 0 to 1 with the sum 1.

        A network that answers with a time alone, such as AVTNet, gives all its weight to the QUARTERS_SPREAD around it.
        """
        adapt_threads(self.net)
        with autocast(self.device, self.mixed):
            outputs = answer(self.net, {n: batch[n].to(self.device) for n in self.inputs}, self.inputs)
        if "quarters" in outputs:
            return outputs["quarters"].float().softmax(1).cpu()
        seconds = self.net.seconds(outputs).float().cpu()
        places = (torch.arange(QUARTERS) + 0.5) * (CLIP_SECONDS / QUARTERS)
        return torch.softmax(-((places - seconds[:, None]) / QUARTERS_SPREAD).square() / 2, 1)

    def rows(self, batches: Iterable[Batch]) -> Rows:
        """The answers to many batches, {index of the sample: {column: value}}. Raises UserError as `__call__`."""
        rows, wrong = self.answers(batches)
        for index, problem in wrong.items():
            raise UserError(f"sample {index}: {problem}")
        return rows

    def answers(self, batches: Iterable[Batch]) -> tuple[Rows, dict[int, str]]:
        """(the answers as `rows`, what is wrong with each sample that has none within its clip, by its index)."""
        rows: Rows = {}
        wrong: dict[int, str] = {}
        for batch in batches:
            if len(batch["index"]):
                for row, (index, values) in enumerate(as_rows(self.columns, [batch]).items()):
                    if problem := self._problem(batch, row, values):
                        wrong[index] = problem
                    else:
                        rows[index] = values
        return rows, wrong

    def _problem(self, batch: Batch, row: int, values: dict[str, float]) -> str:
        """What is wrong with the answers to a row of a batch, and why; "" where nothing is."""
        seconds = values["seconds"]
        # A further column is nan where there is nothing to tell, such as the answer from a text that a clip lacks.
        if -ROUNDING <= seconds <= CLIP_SECONDS + ROUNDING and not any(map(math.isinf, values.values())):
            return ""
        found = next((f"{name} {value}" for name, value in values.items() if math.isinf(value)), f"{seconds} s")
        answered = f"{self.checkpoint} answers with {found}, expected 0 to {CLIP_SECONDS} s"
        for name in self.inputs:
            if batch[name].is_floating_point() and not batch[name][row].isfinite().all():
                return f"{answered}: its {name} holds NaN or infinity. Make its features again."
        return (f"{answered}, although its features are finite. Look at them; or take another checkpoint, or leave "
                "--use_amp out.")


def as_rows(columns_of: Callable[[Batch], dict[str, Tensor]], batches: Iterable[Batch]) -> Rows:
    """{index: {column: value}} from the columns, {column: (B,)}, that a function returns for each batch."""
    found: Rows = {}
    for batch in batches:
        if not len(batch["index"]):
            continue
        values = {name: column.tolist() for name, column in columns_of(batch).items()}
        for row, index in enumerate(batch["index"].tolist()):
            found[index] = {name: value[row] for name, value in values.items()}
    return found


@torch.inference_mode()
def validation_rows(
    net: nn.Module, columns_of: Callable[[Batch], dict[str, Tensor]], batches: Batches, batch_size: int, world: World
) -> Rows:
    """{index: {column: value}} of the validation set, in order, from the columns that a function returns for a batch.

    The processes share the work, each sample once. What the data set leaves out is missing. Sets the network to eval
    mode. Raises UserError when out of memory.
    """
    net.eval()
    mine = list(range(len(batches.dataset)))[world.rank::world.size]
    lists = [mine[first:first + batch_size] for first in range(0, len(mine), batch_size)]

    def answers(batch: Batch) -> dict[str, Tensor]:
        adapt_threads(net)
        return columns_of(batch)

    with too_large(f"validation with {batch_size} clips a batch", "Choose a smaller --batch_size with more "
                   "--accumulation_step, or a smaller preset."):
        answered = as_rows(answers, batches(lists))
    return dict(sorted((index, row) for part in world.gather(answered) for index, row in part.items()))
