"""Checkpoints: plain types and tensors in one file, whole or not there, and loaded with weights_only=True.

    save_checkpoint(path, {"network": "AVTNet", "sizes": {}, "model": net.state_dict(), ...})
    checkpoint = load_checkpoint(path)      # one of ours, or of the reference system

    python -m utils.checkpoint export avnet_bestmodel.pth reference.pth     # in the reference's form
"""

from collections import Counter, defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn

from datatools.command import UserError, run_command, write_atomic
from utils.reference_names import from_reference, network_of, strip_module, to_reference

FORMAT = "avtnet"   # written into every checkpoint
VERSION = 1
SCRIPTS = {
    "AVTNet": "avt_main.py",
    "AVTNetNormalized": "avt_normal_main.py",
    "AVTNetYOLT": "avt_yolt_main.py",
}


def save_checkpoint(path: Path, content: dict) -> None:
    """Write a checkpoint of ours. Plain types and tensors only."""
    save_content(path, {"format": FORMAT, "version": VERSION, **content})


def save_content(path: Path, content: dict) -> None:
    """Write `content` beside `path`, flush it to the disk, rename."""
    import os

    with write_atomic(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
        except RuntimeError as error:
            # torch reports a failed write (a full disk) as a RuntimeError of its archive writer.
            import errno

            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise OSError(errno.EIO, f"writing the checkpoint failed ({error})", str(path)) from error


def read_file(path: Path):
    """What a file written by torch.save holds, tensors on the CPU, nothing in it run. Raises UserError."""
    from torch.optim import Adam
    from torch.optim.lr_scheduler import CosineAnnealingLR

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint.")
    try:
        # The reference's warm-up schedule puts the schedule that follows it into its state, as an object.
        with torch.serialization.safe_globals([CosineAnnealingLR, Adam, defaultdict, dict, Counter]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises pickle, zip, EOF and runtime errors for damaged files; all mean one thing
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: no readable checkpoint, it is damaged or something else ({reason}). "
                        "Take another checkpoint of the run.") from error


def load_checkpoint(path: Path) -> dict:
    """The content of a checkpoint of ours, or of one of the reference's in our form. Raises UserError."""
    content = read_file(path)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not all(isinstance(value, Tensor) for value in model.values()):
        raise UserError(f"{path}: not a checkpoint of AVTNet: expected a dict with the weights under 'model'.")
    if "format" not in content:
        return _reference_checkpoint(path, model)
    if content["format"] != FORMAT:
        raise UserError(f"{path}: not a checkpoint of this project: its form is {content['format']!r}.")
    if content["version"] > VERSION:
        raise UserError(f"{path}: written by a newer release (form {content['version']}, this one reads {VERSION}). "
                        "Update the project.")
    return content


def _reference_checkpoint(path: Path, model: dict[str, Tensor]) -> dict:
    """A reference checkpoint in our form; `sizes` is None, since it does not tell them: they are the defaults."""
    weights = strip_module(model)
    network = network_of(weights)
    if network is None:
        raise UserError(f"{path}: not a checkpoint of AVTNet, AVTNet-normalized or AVTNet_YOLT: its tensors have no "
                        f"head of theirs (first: {', '.join(list(weights)[:3])}).")
    return {"network": network, "sizes": None, "text_detector": None, "model": from_reference(network, weights)}


def export(source: Path, target: Path) -> None:
    """Write a checkpoint's weights in the reference's form: {'model': ...}, its names, its unused tensors too."""
    content = load_checkpoint(source)
    sizes = content["sizes"] or {}
    if sizes.get("frame_channels") or sizes.get("normalise_mfcc"):
        raise UserError(f"{source}: a small preset's network ({sizes}), the reference has no such layers to put its "
                        "weights into. Only networks with a ResNet-18 for the frames can be exported.")
    save_content(target, {"model": to_reference(content["network"], content["model"])})


def check_network(path: Path, content: dict, network: str) -> None:
    """Raise UserError where the checkpoint belongs to another network, naming the script that takes it."""
    if content["network"] != network:
        script = SCRIPTS.get(content["network"], "another script")
        raise UserError(f"{path}: holds weights of {content['network']}, not of {network}. Use {script}.")


def load_weights(path: Path, net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy `weights` into `net`. Raises UserError that lists missing, unexpected and misshapen tensors."""
    own = net.state_dict()
    problems = [f"missing: {name}" for name in own if name not in weights]
    problems += [f"unexpected: {name}" for name in weights if name not in own]
    problems += [f"{name}: shape {tuple(weights[name].shape)}, the network expects {tuple(own[name].shape)}"
                 for name in own if name in weights and own[name].shape != weights[name].shape]
    if problems:
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise UserError(f"{path}: the weights do not fit the network, {len(problems)} tensors differ.\n  "
                        + "\n  ".join(problems[:10]) + more)
    net.load_state_dict(weights)


def load_pretrained(frame_net: nn.Module, choice: str) -> None:
    """Start the ResNet-18 of the frames from ImageNet weights.

    `choice`: `imagenet` takes torchvision's (downloads them once), `none` leaves the network as it is, anything
    else is a file with a ResNet-18's state dict. Raises UserError; never falls back to something else silently.
    """
    from urllib.error import URLError

    if choice == "none":
        return
    if not hasattr(frame_net, "layer4"):
        raise UserError(f"--pretrained {choice}: only a ResNet-18 takes ImageNet weights, this preset's frame network "
                        "is another. Use --pretrained none.")
    if choice == "imagenet":
        from torchvision.models import ResNet18_Weights

        try:
            weights = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            raise UserError(
                f"ImageNet weights for ResNet-18 cannot be downloaded ({error}). Give a file that you have with "
                "--pretrained FILE (torchvision's resnet18-f37072fd.pth), or start untrained with --pretrained none."
            ) from error
    else:
        path = Path(choice)
        if not path.is_file():
            raise UserError(f"--pretrained {choice}: no such file; expected imagenet, none, or a ResNet-18 state dict.")
        weights = read_file(path)
        if not isinstance(weights, dict):
            raise UserError(f"{path}: holds {type(weights).__name__}, expected a ResNet-18 state dict.")
    weights = {name: value for name, value in weights.items() if name not in ("fc.weight", "fc.bias")}
    load_weights(Path(choice), frame_net, weights)


def main(argv: list[str] | None = None) -> int:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("export", help="write a checkpoint's weights in the reference's form")
    command.add_argument("source", type=Path)
    command.add_argument("target", type=Path)
    args = parser.parse_args(argv)
    export(args.source, args.target)
    print(f"{args.source} in the reference's form: {args.target}")
    return 0


if __name__ == "__main__":
    run_command(main)
