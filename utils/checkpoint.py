"""Checkpoints: plain types and tensors in one file, whole or not there, and loaded with weights_only=True.

    save_checkpoint(path, {"network": "AVTNet", "sizes": {}, "model": net.state_dict(), ...})
    checkpoint = load_checkpoint(path)
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from datatools.command import UserError, write_atomic

FORMAT = "avtnet"   # written into every checkpoint
VERSION = 1
SCRIPTS = {
    "AVTNet": "avt_main.py",
    "AVTNetNormalized": "avt_normal_main.py",
    "AVTNetYOLT": "avt_yolt_main.py",
}


def save_checkpoint(path: Path, content: dict) -> None:
    """Write `content` beside `path`, flush it to the disk, rename. Plain types and tensors only."""
    import os

    with write_atomic(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                torch.save({"format": FORMAT, "version": VERSION, **content}, file)
                file.flush()
                os.fsync(file.fileno())
        except RuntimeError as error:
            # torch reports a failed write (a full disk) as a RuntimeError of its archive writer.
            import errno

            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise OSError(errno.EIO, f"writing the checkpoint failed ({error})", str(path)) from error


def load_checkpoint(path: Path) -> dict:
    """The content of a checkpoint, tensors on the CPU. Raises UserError where it is no whole checkpoint of ours."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises pickle, zip, EOF and runtime errors for damaged files; all mean one thing
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: no readable checkpoint, it is damaged or something else ({reason}). "
                        "Take another checkpoint of the run.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("model"), dict):
        raise UserError(f"{path}: not a checkpoint of this project: expected one that a training here has written.")
    if content["version"] > VERSION:
        raise UserError(f"{path}: written by a newer release (form {content['version']}, this one reads {VERSION}). "
                        "Update the project.")
    return content


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
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # as in load_checkpoint
            raise UserError(f"{path}: no readable weights ({error}). Expected a ResNet-18 state dict.") from error
        if not isinstance(weights, dict):
            raise UserError(f"{path}: holds {type(weights).__name__}, expected a ResNet-18 state dict.")
    weights = {name: value for name, value in weights.items() if name not in ("fc.weight", "fc.bias")}
    load_weights(Path(choice), frame_net, weights)
