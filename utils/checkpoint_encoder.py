"""A trained video recogniser as an encoder: its features of each second, before the head, or its classes' scores.

    encoder = find_checkpoint(Path("work_dir/timesformer/avnet_bestmodel.pth"))      # for datatools.driver's Options
    encoder, classes = find_scores(Path("work_dir/timesformer/avnet_bestmodel.pth"))

A second's clip is the pictures that are shown in it, CUT_RATE a second, of which the checkpoint's number of frames are
taken, spread evenly; each is squeezed into the network's square.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from datatools.encoders import CUT_RATE, EVERY_FRAME, Encoder, Running
from datatools.errors import UserError
from datatools.manifest import digest_of
from utils.matching import name_classes
from utils.predict import Predictor
from utils.recognise import classes_told, names_told, trained_sampling
from utils.settings import RecognitionSettings

BATCH = 4      # clips at once


def find_checkpoint(path: Path) -> Encoder:
    """The encoder of a checkpoint of TimeSformer or ActionCLIP, ours or another system's. Raises UserError."""
    running = CheckpointEncoder(path)
    return _encoder(running, running.predictor.network.__name__.lower(), path, load)


def find_scores(path: Path) -> tuple[Encoder, tuple[str, ...]]:
    """An encoder whose vectors are the scores of a checkpoint's classes, which sum to 1, and the classes' names.

    Its name is of this checkpoint alone. Raises UserError, also where the checkpoint names no classes.
    """
    running = ScoreEncoder(path)
    name = f"{running.predictor.network.__name__.lower()}_{digest_of(path)[:16]}"
    encoder = _encoder(running, name, path, ScoreEncoder.of)
    return encoder, running.classes[:encoder.dim]


def _encoder(running: "CheckpointEncoder", name: str, path: Path, make: Callable[[Encoder], Running]) -> Encoder:
    sampling = running.sampling
    dim = running.pictures(np.zeros((CUT_RATE, sampling.size, sampling.size, 3), np.uint8)).shape[1]
    return Encoder(name, dim, EVERY_FRAME, path.resolve(), digest_of(path),
                   "torch", make, (("frames", sampling.num_frames), ("rate", CUT_RATE), ("size", sampling.size)))


def load(encoder: Encoder) -> "CheckpointEncoder":
    return CheckpointEncoder(encoder.weights)


class CheckpointEncoder:
    """Raises UserError for a checkpoint of another kind of network."""

    def __init__(self, path: Path, gpus: str = "auto"):
        self.predictor = Predictor(path, gpus=gpus)
        if self.predictor.inputs != ("video",):
            raise UserError(f"{path}: holds {self.predictor.network.__name__}, which finds boundaries. Expected a "
                            "video recogniser, TimeSformer or ActionCLIP.")
        self.sampling = trained_sampling(self.predictor, RecognitionSettings())

    def small(self, image: np.ndarray) -> np.ndarray:
        """uint8 (size, size, 3)."""
        return cv2.resize(image, (self.sampling.size,) * 2, interpolation=cv2.INTER_AREA)

    def answers(self, video: torch.Tensor) -> torch.Tensor:
        """The vectors (n, D) of clips, uint8 (n, frames, size, size, 3)."""
        net = self.predictor.net
        return net.video_features(video) if hasattr(net, "video_features") else net(video)["features"]

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """float32 (n, D), a row for each CUT_RATE pictures; the last ones are repeated where they are fewer."""
        rows = []
        within = np.linspace(0, CUT_RATE - 1, self.sampling.num_frames).round().astype(int)
        firsts = np.arange(0, len(images), CUT_RATE)
        places = np.minimum(firsts[:, None] + within, len(images) - 1)                   # (n, frames)
        with torch.inference_mode():
            for part in np.array_split(places, range(BATCH, len(places), BATCH)):
                video = torch.from_numpy(images[part]).to(self.predictor.device)
                rows.append(self.answers(video).float().cpu())
        return torch.cat(rows).numpy()


class ScoreEncoder(CheckpointEncoder):
    """Gives the softmax of a recogniser's logits. It runs on the CPU, as it may be loaded in several processes.

    Raises UserError for a checkpoint of another kind of network, or one that names no classes.
    """

    def __init__(self, path: Path):
        super().__init__(path, gpus="cpu")
        content, net = self.predictor.content, self.predictor.net
        self.classes = classes_told(content)
        if not self.classes:
            raise UserError(f"{path}: holds no names of classes. Expected a recogniser that was trained here, with a "
                            "classes.txt or names in its lists; train it again with them.")
        if hasattr(net, "set_classes"):
            name_classes(net, self.classes, names_told(content, "templates") or self.predictor.network.usual_templates)

    @classmethod
    def of(cls, encoder: Encoder) -> "ScoreEncoder":
        return cls(encoder.weights)

    def answers(self, video: torch.Tensor) -> torch.Tensor:
        logits = self.predictor.columns({"video": video})["logits"]
        if not logits.isfinite().all():
            raise UserError(f"{self.predictor.checkpoint}: its logits are not finite. Take another checkpoint.")
        return logits.softmax(1)
