"""A trained video recogniser as an encoder: its features of each second, before the head.

    encoder = find_checkpoint(Path("work_dir/timesformer/avnet_bestmodel.pth"))      # for datatools.driver's Options

A second's clip is the pictures that are shown in it, CUT_RATE a second, of which the checkpoint's number of frames are
taken, spread evenly; each is squeezed into the network's square.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from datatools.encoders import CUT_RATE, EVERY_FRAME, Encoder
from datatools.errors import UserError
from datatools.manifest import digest_of
from utils.predict import Predictor
from utils.recognise import trained_sampling
from utils.settings import RecognitionSettings

BATCH = 4      # clips at once


def find_checkpoint(path: Path) -> Encoder:
    """The encoder of a checkpoint of TimeSformer or ActionCLIP, ours or another system's. Raises UserError."""
    running = CheckpointEncoder(path)
    sampling = running.sampling
    dim = running.pictures(np.zeros((CUT_RATE, sampling.size, sampling.size, 3), np.uint8)).shape[1]
    return Encoder(running.predictor.network.__name__.lower(), dim, EVERY_FRAME, path.resolve(), digest_of(path),
                   "torch", load, (("frames", sampling.num_frames), ("rate", CUT_RATE), ("size", sampling.size)))


def load(encoder: Encoder) -> "CheckpointEncoder":
    return CheckpointEncoder(encoder.weights)


class CheckpointEncoder:
    """Raises UserError for a checkpoint of another kind of network."""

    def __init__(self, path: Path):
        self.predictor = Predictor(path)
        if self.predictor.inputs != ("video",):
            raise UserError(f"{path}: holds {self.predictor.network.__name__}, which finds boundaries. Expected a "
                            "video recogniser, TimeSformer or ActionCLIP.")
        self.sampling = trained_sampling(self.predictor, RecognitionSettings())

    def small(self, image: np.ndarray) -> np.ndarray:
        """uint8 (size, size, 3)."""
        return cv2.resize(image, (self.sampling.size,) * 2, interpolation=cv2.INTER_AREA)

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """float32 (n, D), a row for each CUT_RATE pictures; the last ones are repeated where they are fewer."""
        rows, net = [], self.predictor.net
        features_of = getattr(net, "video_features", None) or (lambda video: net(video)["features"])
        within = np.linspace(0, CUT_RATE - 1, self.sampling.num_frames).round().astype(int)
        firsts = np.arange(0, len(images), CUT_RATE)
        places = np.minimum(firsts[:, None] + within, len(images) - 1)                   # (n, frames)
        with torch.inference_mode():
            for part in np.array_split(places, range(BATCH, len(places), BATCH)):
                video = torch.from_numpy(images[part]).to(self.predictor.device)
                rows.append(features_of(video).float().cpu())
        return torch.cat(rows).numpy()
