"""Checkpoints: plain types and tensors in one file, whole or not there, and loaded with weights_only=True.

A checkpoint is torch.save's ZIP archive; its ZIP comment, at the very end, holds the SHA-256 of all before it. Any
program that reads torch.save's files reads it too; here a changed byte or a missing end is noticed before it is read.

    save_checkpoint(path, {"network": "AVTNet", "sizes": {}, "model": net.state_dict(), ...})
    checkpoint = load_checkpoint(path)      # one of ours, or of a reference system
    notes = start_from(path, net)           # fine-tuning: another head, other embeddings

    python -m utils.checkpoint export avnet_bestmodel.pth reference.pth     # in the reference's form
"""

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.overrides import TorchFunctionMode

from datatools.commands import CommandParser
from datatools.downloads import download_timeout
from datatools.errors import UserError, describe_os_error, run_command
from datatools.files import write_atomic
from datatools.paths import check_output, path
from utils.checkpoint_file import check_file
from utils.checkpoint_form import FOR_INFERENCE, FORMAT, VERSION, are_weights, check_form, tensor_problem, told
from utils.networks import (
    adapted,
    build_network,
    clip_settings,
    entry_script,
    find_network,
    from_foreign,
    remarks_on,
    sizes_told,
    to_foreign,
)
from utils.presets import read_yaml

END_OF_ZIP = b"PK\5\6"            # the last record of a ZIP archive; 22 bytes, then the comment
SHA_LABEL = b"SHA-256 "
COMMENT_BYTES = len(SHA_LABEL) + 64
HASH_BLOCK = 1 << 22               # bytes
WEIGHTS = ("model", "model_state", "state_dict", "model_state_dict")      # names of the weights in others' files
FUSION = "fusion_model_state_dict"      # ActionCLIP's second network, whose names begin with `fusion.` here
PREFIXES = ("module.", "model.")   # of all tensors' names: DataParallel's, and that of a module around the network
OWN_FLAGS = {"image_size": "--image_size", "frames": "--num_frames"}      # sizes with a flag beside --sizes
MOST_TOLD = 20_000                 # characters of a message about tensors that do not fit
MOST_SETTINGS = 1 << 16            # characters of the settings in another system's file
DEEPEST_SETTINGS = 6               # mappings and lists within each other there


def save_checkpoint(path: Path, content: dict) -> None:
    """Write a checkpoint of ours. Plain types and tensors only."""
    save_content(path, {"format": FORMAT, "version": VERSION, **content})


def save_content(path: Path, content: dict) -> None:
    """Write `content` with its SHA-256 beside `path`, flush it to the disk, and rename it (atomic)."""
    with write_atomic(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                torch.save(content, file)
            seal(temporary)
        except RuntimeError as error:
            # torch's archive writer reports a failed write (a full disk) as a RuntimeError.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise OSError(errno.EIO, f"writing the checkpoint failed ({error})", str(path)) from error


def seal(path: Path) -> None:
    """Append the SHA-256 of a ZIP archive as its comment, and flush it to the disk. It must not have a comment yet."""
    with open(path, "r+b") as file:
        file.seek(-22, os.SEEK_END)
        assert file.read(4) == END_OF_ZIP, "torch.save wrote no plain ZIP archive"
        file.seek(-2, os.SEEK_END)
        file.write(COMMENT_BYTES.to_bytes(2, "little"))
        file.flush()
        file.write(SHA_LABEL + _sha256(path, path.stat().st_size).encode())
        file.flush()
        os.fsync(file.fileno())


def _sha256(path: Path, length: int) -> str:
    """SHA-256 of the first `length` bytes, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while length > 0 and (block := file.read(min(HASH_BLOCK, length))):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()


def is_sealed(path: Path) -> bool:
    """Whether the file ends in a SHA-256. Raises UserError where it is cut off or does not match the bytes before.

    Also raises it, without reading so far, for a file larger than the memory into which it would be loaded.
    """
    length, memory = path.stat().st_size - COMMENT_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if length > memory:
        raise UserError(f"{path}: no readable checkpoint, it holds {length / 2**30:.0f} GiB and this machine's memory "
                        f"{memory / 2**30:.0f}. Take another checkpoint of the run.")
    if length < 22:
        return False
    with open(path, "rb") as file:
        file.seek(length - 22)
        end = file.read()
    comment = end[22:]
    # torch.save itself writes no comment. If the header announces one of this length, it was ours, even if it is cut.
    announced = END_OF_ZIP in end and end[end.index(END_OF_ZIP) + 20:][:2] == COMMENT_BYTES.to_bytes(2, "little")
    if not announced and not comment.startswith(SHA_LABEL):
        return False
    if comment != SHA_LABEL + _sha256(path, length).encode():
        raise UserError(f"{path}: damaged, its SHA-256 is not the one written at its end. Take another checkpoint of "
                        "the run.")
    return True


def is_whole(path: Path) -> bool:
    """Whether a file is a checkpoint of ours whose SHA-256 matches; its content is not unpickled."""
    try:
        return is_sealed(path)
    except (OSError, UserError):
        return False


def read_file(path: Path):
    """The content of a file written by torch.save, tensors on the CPU; runs no code from it. Raises UserError."""
    path = Path(path)
    if not os.path.isfile(path):      # a pipe or a device would block whoever opens it
        raise UserError(f"{path}: no such checkpoint" + (", it is no regular file." if os.path.exists(path) else "."))
    try:
        if path.stat().st_size < 22:
            raise UserError(f"{path}: no readable checkpoint, it holds {path.stat().st_size} bytes. "
                            "Take another checkpoint of the run.")
        sealed = is_sealed(path)
        content = _unpickled(path)
    except OSError as error:
        raise UserError(describe_os_error(OSError(error.errno, error.strerror or str(error), str(path)))) from error
    if not sealed and isinstance(content, dict) and content.get("format") == FORMAT and content.get("version") != 1:
        raise UserError(f"{path}: damaged, the SHA-256 at its end is missing. Take another checkpoint of the run.")
    return content


def _plain_dict(*_) -> dict:
    return {}


def _unpickled(path: Path):
    try:
        check_file(path)
        # The reference's warm-up schedule keeps the schedule that follows it in its state, as a pickled object. That
        # one keeps its optimiser, whose state is a defaultdict, and torch fills only plain dicts.
        with torch.serialization.safe_globals([CosineAnnealingLR, Adam, dict, Counter,
                                               (_plain_dict, "collections.defaultdict")]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # for damaged files torch raises pickle, zip, EOF and runtime errors
        if isinstance(error, OSError) and error.errno != errno.EINVAL:     # a truncated archive raises EINVAL
            raise
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: no readable checkpoint, it is damaged or something else ({reason}). "
                        "Take another checkpoint of the run.") from error


def load_checkpoint(path: Path) -> dict:
    """The content of a checkpoint, converted to our form if it is the reference's. Raises UserError.

    Of what inference reads, all that is there is checked, but for the weights' values (`check_weights`).
    """
    content = read_file(path)
    weights = _weights_of(content)
    if weights is None:
        found = f"there {told(content['model'])}" if isinstance(content, dict) and "model" in content else told(content)
        raise UserError(f"{path}: not a checkpoint of AVTNet: expected a dict with the weights under 'model', tensors "
                        f"by name; found {found}.")
    content = dict(content)
    if "format" not in content:
        return _reference_checkpoint(path, weights, content.get("cfg"))
    if content["format"] != FORMAT:
        raise UserError(f"{path}: not a checkpoint of this project: its form is {told(content['format'])}.")
    check_form(path, content, FOR_INFERENCE, may_lack=("network", "sizes", "text_detector"))
    if content["version"] > VERSION:
        raise UserError(f"{path}: written by a newer release (form {content['version']}, this one reads {VERSION}). "
                        "Update the project.")
    return content


def _weights_of(content) -> dict[str, Tensor] | None:
    """The weights in a file: under one of the names that are in use, or the whole content."""
    if not isinstance(content, dict):
        return None
    if "format" in content:
        return content["model"] if are_weights(content.get("model")) else None
    named = [content[name] for name in WEIGHTS if are_weights(content.get(name))]
    if named and FUSION in content:
        fusion = content[FUSION]
        return {**_bare(named[0]), **{f"fusion.{name}": value for name, value in _bare(fusion).items()}} if (
            are_weights(fusion)) else None
    return _bare(named[0]) if named else _bare(content) if content and are_weights(content) else None


def _bare(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights without what all of their names begin with."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _reference_checkpoint(path: Path, weights: dict[str, Tensor], settings) -> dict:
    """A reference checkpoint in our form. `settings`: what it holds under `cfg`, a YAML text; None where it does not.

    `sizes` is None where the reference does not record them; the defaults are its sizes.
    """
    try:
        settings = _settings_of(settings)
        found = from_foreign(weights, settings)
    except ValueError as error:
        raise UserError(f"{path}: {error}. Take another checkpoint.") from None
    if found is None:
        first = ", ".join(list(weights)[:3])[:200]
        found = f"its tensors have no head of theirs (first: {first})" if weights else "it holds no tensors"
        raise UserError(f"{path}: not a checkpoint of AVTNet, AVTNet-normalized, AVTNet_YOLT, TimeSformer or "
                        f"ActionCLIP: {found}.")
    network, sizes, weights = found
    return {"version": 1, "network": network, "sizes": sizes, "text_detector": None, "model": weights,
            "sampling": clip_settings(network, settings), "remarks": remarks_on(network, weights)}


def _settings_of(settings) -> dict:
    """A reference checkpoint's settings, from YAML; those of other forms are not read. Raises UserError."""
    if not isinstance(settings, str):
        return settings if isinstance(settings, dict) else {}
    if len(settings) > MOST_SETTINGS:
        raise UserError(f"the settings under 'cfg' have {len(settings)} characters, expected at most {MOST_SETTINGS}")
    try:
        return read_yaml(settings, DEEPEST_SETTINGS)
    except UserError as error:
        raise UserError(f"the settings under 'cfg' cannot be read: {str(error).rstrip('.')}") from None


def export(source: Path, target: Path) -> None:
    """Write a checkpoint's weights in the reference's form, with its names and its unused tensors."""
    check_output(target, [source])
    content = load_checkpoint(source)
    check_form(source, content, FOR_INFERENCE)
    sizes = content["sizes"] or {}
    if sizes.get("frame_channels") or sizes.get("normalise_mfcc"):
        raise UserError(f"{source}: a small preset's network ({told(sizes)}), the reference has no such layers to put "
                        "its weights into. Only networks with a ResNet-18 for the frames can be exported.")
    if sizes.get("fusion") == "Conv_1D" and not sizes.get("conv_as_reference"):
        raise UserError(f"{source}: its Conv_1D goes over time, the reference's over memory in another order. Train "
                        "with --sizes conv_as_reference=true where the weights shall serve there.")
    foreign = to_foreign(content["network"], content["model"])
    if foreign is None:
        raise UserError(f"{source}: weights of {content['network']}, which the reference does not have.")
    network = find_network(content["network"])
    check_fits(source, lambda: build_network(network, sizes), content["model"])
    save_content(target, foreign)


def check_network(path: Path, content: dict, network: str) -> None:
    """Raise UserError where the checkpoint belongs to another network; the message names that network's script."""
    if content["network"] != network:
        raise UserError(f"{path}: holds weights of {content['network']}, not of {network}. "
                        f"Use {entry_script(content['network'])}.")


def load_weights(path: Path, net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy `weights` into `net`, cast to its types. Raises UserError as `check_weights`."""
    check_weights(path, net.state_dict(), weights)
    net.load_state_dict(dict(weights))      # a plain dict: the one in a file may have attributes that torch reads


def start_from(path: Path, net: nn.Module, weights: dict[str, Tensor] | None = None) -> list[str]:
    """Copy a checkpoint's weights into a network that may differ from its own where `adapted` bridges the difference.

    `weights`: what the file holds, where torch does not read it. Returns a line for each tensor that is not the file's.
    Raises UserError as `check_weights`.
    """
    content = load_checkpoint(path) if weights is None else _reference_checkpoint(path, weights, None)
    check_network(path, content, type(net).__name__)
    if (content["sizes"] or {}).get("bgr") and not getattr(net, "bgr", True):
        raise UserError(f"{path}: its weights expect the channels as blue, green, red, this network has them as red, "
                        "green, blue. Give --sizes bgr=true.")
    weights, notes = adapted(content["network"], content["model"], net.state_dict())
    try:
        load_weights(path, net, weights)
    except UserError as error:
        if not (flags := flags_for(path, net, weights)):
            raise
        raise UserError(f"{error}\nThe file's network has other sizes. Give {flags}.") from None
    return notes


def flags_for(path: Path, net: nn.Module, weights: dict[str, Tensor]) -> str:
    """The flags for a network of the file's sizes instead of `net`; "" where its tensors tell none, or others differ.

    Without the number of classes, which is the lists'.
    """
    network = type(net)
    try:
        sizes, own = (sizes_told(network.__name__, tensors) for tensors in (weights, net.state_dict()))
        check_fits(path, lambda: build_network(network, sizes), weights)
    except ValueError:
        return ""
    other = {name: str(size).lower() if isinstance(size, bool) else size for name, size in sizes.items()
             if name != "classes" and own.get(name) != size}
    flags = [f"{flag} {other.pop(name)}" for name, flag in OWN_FLAGS.items() if name in other]
    if other:
        flags.append("--sizes " + " ".join(f"{name}={size}" for name, size in other.items()))
    return " ".join(flags)


def check_weights(path: Path, own: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    """Raise UserError that lists the tensors that `own`, a network's, lack, do not have, or cannot be copied from."""
    problems = [f"missing: {name}" for name in own if name not in weights]
    problems += [f"unexpected: {ascii(name[:100])[1:-1]}" for name in weights if name not in own]
    for name, tensor in own.items():
        if name in weights and (problem := _misfit(name, tensor, weights[name])):
            problems.append(f"{name}: {problem}")
    if problems:
        more = "; ".join(problems[10:])[:MOST_TOLD]
        more = f"\n  and {len(problems) - 10} more: {more}" if more else ""
        raise UserError(f"{path}: the weights do not fit the network, {len(problems)} tensors differ.\n  "
                        + "\n  ".join(problems[:10]) + more)


def _misfit(name: str, own: Tensor, given: Tensor) -> str:
    """Why a tensor of a file cannot be copied into the network's `own`; "" where it can."""
    if isinstance(given, Tensor) and own.shape != given.shape:
        return f"shape {tuple(given.shape)}, the network expects {tuple(own.shape)}"
    if problem := tensor_problem(given):
        return problem
    cast = given.detach().to(own.dtype)
    # Somebody who halves all weights halves batch norm's counters too; they are whole numbers still.
    if given.is_floating_point() != own.is_floating_point() and not (
            given.is_floating_point() and torch.equal(cast.to(given.dtype), given)):
        return f"holds {given.dtype}, the network expects {own.dtype}"
    if wrong := cast.numel() - int(cast.isfinite().sum()):
        return f"{wrong} of {cast.numel()} values are NaN or infinite"
    if name.rpartition(".")[2] == "running_var" and (cast < 0).any():
        return "a variance below zero"
    return ""


class _WithoutRandomNumbers(TorchFunctionMode):
    """Leaves tensors as they are instead of drawing their values; the meta device takes seconds to learn how."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return args[0] if function in (Tensor.normal_, Tensor.uniform_) else function(*args, **kwargs or {})


def check_fits(path: Path, build: Callable[[], nn.Module], weights: dict[str, Tensor]) -> None:
    """Raise UserError, as `check_weights`, where the network that `build` makes cannot hold the weights.

    A damaged checkpoint may ask for a network of terabytes, so it is built on the meta device, which holds no values.
    """
    try:
        with torch.device("meta"), _WithoutRandomNumbers():
            own = build().state_dict()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:      # whatever torch's layers raise for sizes that make no sense
        if "meta" in str(error):      # its constructor reads values
            return
        raise UserError(f"{path}: its sizes make no network ({type(error).__name__}: {str(error)[:200]}). Take another "
                        "checkpoint of the run.") from error
    check_weights(path, own, weights)


def load_pretrained(frame_net: nn.Module | None, choice: str) -> list[str]:
    """Start the ResNet-18 of the frames from ImageNet weights.

    `choice`: `imagenet` takes torchvision's (downloads them once), `none` leaves the network as it is, `auto` is
    imagenet for a ResNet-18 and none for any other network; anything else is a file with a ResNet-18's state dict.
    Raises UserError where that cannot be done; there is no fallback to random weights.
    """
    is_resnet = hasattr(frame_net, "layer4")
    if choice == "auto":
        choice = "imagenet" if is_resnet else "none"
    if choice == "none":
        return []
    if not is_resnet:
        raise UserError(f"--pretrained {choice}: only a ResNet-18 takes ImageNet weights, this network "
                        "looks at frames otherwise. Use --pretrained none.")
    if choice == "imagenet":
        from torchvision.models import ResNet18_Weights

        try:
            with download_timeout():
                weights = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        except Exception as error:  # network and HTTP errors; for a damaged file in the cache pickle, EOF and others
            reason = str(error).strip() or type(error).__name__
            raise UserError(
                f"ImageNet weights for ResNet-18 cannot be downloaded, or their file below {torch.hub.get_dir()} is "
                f"damaged ({reason}). Remove that file; or give one that you have with --pretrained FILE "
                "(torchvision's resnet18-f37072fd.pth), or start untrained with --pretrained none."
            ) from error
    else:
        path = Path(choice)
        if not os.path.isfile(path):
            raise UserError(f"--pretrained {choice}: no such file; expected imagenet, none, or a ResNet-18 state dict.")
        weights = read_file(path)
        if not are_weights(weights):
            raise UserError(f"{path}: holds {told(weights)}, expected a ResNet-18 state dict.")
    weights = {name: value for name, value in weights.items() if name not in ("fc.weight", "fc.bias")}
    load_weights(Path(choice), frame_net, weights)
    return [f"the ResNet-18 of the frames begins with {choice}"]


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=CommandParser)
    command = commands.add_parser("export", help="write a checkpoint's weights in the reference's form")
    command.add_argument("source", type=path)
    command.add_argument("target", type=path)
    args = parser.parse_args(argv)
    export(args.source, args.target)
    print(f"{args.source} in the reference's form: {args.target}")
    return 0


if __name__ == "__main__":
    run_command(main)
