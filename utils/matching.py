"""The matching task: a recogniser that knows its classes by their names, such as ActionCLIP.

    task = matching_task(ActionCLIP, loss, settings, MatchingSettings(), sizes, lists)
    fit(task, FitSettings(schedule="cosine", warmup_epochs=5), recognition_data(settings, lists, sampling, seed=10))

Beside what utils/recognition.py asks of a recogniser, its network has

    set_classes(names, templates)   -> the names that were cut; what forward(video) chooses between
    templates                       the texts with a place for a name
    forward(video, label, template) -> what the loss takes, for the samples' own classes
    video_features(video)           what its answers are made of
    visual, fusion                  the submodules with learning rates of their own
    text_parameters()               the text tower's weights
"""

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from datatools.downloads import download_timeout
from datatools.errors import UserError
from datatools.lists import read_csv
from datatools.numbers import shortened
from datatools.paths import has_control, read_text
from datatools.video_dataset import Sampling
from utils.checkpoint import start_from
from utils.networks import build_network
from utils.recognition import Lists, optimizer_of, recognition_task, sampling_of, usual_sampling
from utils.settings import MatchingSettings, RecognitionSettings
from utils.task import Batch, Outputs, Task

TEMPLATE = 3            # random stream of a sample's template, apart from those of its clip
LONGEST_NAME = 2000     # characters of a name or a template; a prompt holds some 300
Loss = Callable[[Outputs, Tensor], Tensor]      # (outputs of a step's samples, their labels) -> a scalar


def matching_task(
    network: type, loss: Loss, settings: RecognitionSettings, matching: MatchingSettings, sizes: dict, lists: Lists
) -> Task:
    """The task that trains such a recogniser on the classes of these lists. Raises UserError."""
    task = recognition_task(network, settings, sizes, lists)
    check_named(lists)
    names, sampling = tuple(task.facts["classes"]), sampling_of(settings, usual_sampling(network))
    templates = read_templates(matching.templates) or network.usual_templates

    def build(sizes: dict) -> nn.Module:
        check_clips(network, sizes, sampling)
        net = task.build(sizes)
        name_classes(net, names, templates)
        for weight in net.text_parameters() if matching.fix_text else ():
            weight.requires_grad_(False)
        return net

    return replace(
        task, inputs=(*network.inputs, "label", "template"), build=build, whole_batch=True,
        loss=lambda outputs, batch: loss(outputs, batch["label"]),
        augment=lambda batch, seed, epoch: with_templates(batch, seed, epoch, len(templates)),
        start=lambda net: [*start(net, settings.pretrained), *cut_line(name_classes(net, names, templates))],
        optimizer=optimizer_of(settings, lambda net, lr: groups(net, lr, matching)),
        facts={**task.facts, "templates": list(templates)}, same=(*task.same, "templates"), settings=settings,
        more_settings=matching,
    )


def check_named(lists: Lists) -> None:
    """Raise UserError where the classes have no names, or one that no checkpoint could hold."""
    file = next(iter(lists.by_split.values())).file
    if not lists.certain:
        raise UserError(f"{file}: its labels are numbers, and the classes have no names. Put classes.txt beside it, "
                        "one name a line, or give --labels.")
    check_texts(file, lists.classes)


def check_clips(network: type, sizes: dict, sampling: Sampling) -> None:
    """Raise UserError where a network of these sizes cannot take such clips; on torch's meta device, at no cost."""
    video = torch.empty((1, sampling.num_frames, sampling.size, sampling.size, 3), dtype=torch.uint8, device="meta")
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        net = build_network(network, sizes).eval()
        try:
            net.video_features(video)
        except ValueError as error:
            raise UserError(f"{error}. See --num_frames and --image_size.") from None


def with_templates(batch: Batch, seed: int, epoch: int, count: int) -> Batch:
    """The batch with the number of each sample's template, of so many, drawn from seed, epoch and sample."""
    drawn = [int(np.random.default_rng((seed, epoch, index, TEMPLATE)).integers(count))
             for index in batch["index"].tolist()]
    return {**batch, "template": torch.tensor(drawn, device=batch["index"].device)}


def groups(net: nn.Module, lr: float, matching: MatchingSettings) -> list[dict]:
    """The optimiser's groups: text tower, visual tower and fusion, each with its learning rate."""
    visual, fusion = list(net.visual.parameters()), list(net.fusion.parameters())
    apart = {id(weight) for weight in (*visual, *fusion)}
    rest = [weight for weight in net.parameters() if id(weight) not in apart and weight.requires_grad]
    found = [{"params": rest, "lr": lr}, {"params": visual, "lr": lr * matching.ratio},
             {"params": fusion, "lr": lr * matching.f_ratio}]
    return [group for group in found if group["params"]]


def name_classes(net: nn.Module, names: tuple[str, ...], templates: tuple[str, ...]) -> list[str]:
    """Let the network choose between these names; returns those that are too long. Raises UserError."""
    try:
        with torch.device("cpu"):      # a network may be built on the meta device, which has no values
            return net.set_classes(names, templates)
    except ValueError as error:
        raise UserError(f"{error}. See --templates and the names of the classes.") from None


def cut_line(cut: list[str]) -> list[str]:
    """A line about names that are too long, if there are any."""
    return [f"too long for the text tower, and cut: {', '.join(map(shortened, cut[:5]))}"] if cut else []


# ---------------------------------------------------------------- names and templates


def read_templates(path: Path | None) -> tuple[str, ...]:
    """The lines of a file of templates, () without one. Raises UserError for a line without its one {}."""
    if path is None:
        return ()
    expected = "Expected texts with one {} where the name belongs, one a line."
    lines = [line.strip() for line in read_text(path, "list of templates", expected).split("\n") if line.strip()]
    wrong = [line for line in lines if line.count("{}") != 1]
    if wrong or not lines:
        raise UserError(f"{path}: {f'found {shortened(wrong[0])}' if wrong else 'it is empty'}. {expected}")
    check_texts(path, tuple(lines))
    return tuple(lines)


def is_text(words: str) -> bool:
    """Whether a checkpoint can hold this name or template."""
    return len(words) <= LONGEST_NAME and not has_control(words)


def check_texts(path: Path, texts: tuple[str, ...]) -> None:
    """Raise UserError where no checkpoint could hold one of a file's names or templates."""
    if wrong := [text for text in texts if not is_text(text)]:
        raise UserError(f"{path}: found {shortened(wrong[0])}, expected up to {LONGEST_NAME} characters and no control "
                        "characters.")


def read_labels(path: Path) -> tuple[str, ...]:
    """The names of classes: of a CSV with the header `id,name` its rows, whatever their ids; else one name a line.

    Names may hold commas. Raises UserError.
    """
    expected = "Expected a CSV with the header `id,name`, or one name a line."
    lines = [line.strip() for line in read_text(path, "list of names", expected).split("\n") if line.strip()]
    if lines and re.sub('[" ]', "", lines[0].lower()) == "id,name":
        lines = [",".join(line.fields[1:]).strip() for line in read_csv(path, "list of names", expected)[1:]]
    double = sorted({name for name in lines if lines.count(name) > 1}) if len(set(lines)) < len(lines) else []
    if not lines or double or not all(lines):
        found = f"twice in it: {', '.join(map(shortened, double[:5]))}" if double else \
            "a name is missing" if lines else "no name in it"
        raise UserError(f"{path}: {found}. {expected}")
    check_texts(path, tuple(lines))
    return tuple(lines)


# ---------------------------------------------------------------- where a training begins


def start(net: nn.Module, choice: str) -> list[str]:
    """Start a network as --pretrained says: a file, an open_clip name such as ViT-B-32/openai, or none.

    Returns lines for the log. Raises UserError where that cannot be done.
    """
    if choice == "none":
        if hasattr(net, "start_from_scratch"):
            net.start_from_scratch()
        return ["begins with random weights"]
    path = Path(choice)
    if path.is_file():
        return [f"begins with the weights of {path}", *start_from(path, net, tensors_of(path))]
    from open_clip import pretrained  # takes a second or more, and is needed here alone

    name, _, tag = choice.partition("/")
    if (name, tag) not in pretrained.list_pretrained():
        found = "is missing: CLIP's weights, or those of an ActionCLIP" if choice == "auto" else \
            f"{shortened(choice)}: no such file, and no weights of open_clip"
        raise UserError(f"--pretrained {found}. Expected a file (OpenAI's state dict, a checkpoint), a name such as "
                        "ViT-B-32/openai, which is downloaded, or none.")
    path = downloaded(name, tag)
    notes = [f"begins with the weights {choice}, {path}", *start_from(path, net, tensors_of(path))]
    wanted = bool(pretrained.get_pretrained_cfg(name, tag).get("quick_gelu"))
    if wanted != any(type(part).__name__ == "QuickGELU" for part in net.visual.modules()):
        notes.append(f"these weights were trained with quick_gelu={str(wanted).lower()}: give it with --sizes")
    return notes


def tensors_of(path: Path) -> dict[str, Tensor] | None:
    """What a .safetensors file holds, None of any other file. Raises UserError."""
    if path.suffix != ".safetensors":
        return None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: no readable safetensors file ({error}). Copy it again.") from None


def downloaded(name: str, tag: str) -> Path:
    """The file of open_clip's weights, from its cache or downloaded. Raises UserError."""
    from open_clip import pretrained

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)      # a dozen lines about its retries, for some 50 s
    try:
        with download_timeout():
            return Path(pretrained.download_pretrained(pretrained.get_pretrained_cfg(name, tag)))
    except Exception as error:      # network and HTTP errors of two libraries, a wrong hash, a full disk
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"--pretrained {name}/{tag}: the weights cannot be downloaded ({reason}). Give a file that you "
                        "have with --pretrained FILE, or go on without: --pretrained none.") from error
