"""How a wide picture should become a picture network's square: squeezed, letterboxed or cut, as a Markdown table.

    python benchmarks/squares.py

scikit-image's real pictures, cut to 16:9 as a video has them. efficientnet_lite0 names each in three forms; its answer
to the square in the middle of the whole picture, as the network was trained, is what they are compared with.
"""

import os
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

# Set before the imports below, because the libraries read it when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from skimage import data

from datatools.commands import CommandParser
from datatools.encoders import efficientnet, find_encoder
from datatools.errors import run_command
from datatools.features import letterbox
from datatools.tables import markdown_table

PICTURES = ("astronaut", "camera", "chelsea", "coffee", "coins", "hubble_deep_field", "immunohistochemistry", "moon",
            "page", "retina", "rocket")
SIDE = efficientnet.SIZE


def coloured(image: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) of a picture in colours or greys."""
    return np.ascontiguousarray((image if image.ndim == 3 else image[..., None].repeat(3, 2))[..., :3])


def middle(image: np.ndarray, ratio: float) -> np.ndarray:
    """The largest part around the middle whose width is `ratio` times its height."""
    height, width = image.shape[:2]
    high, wide = (round(width / ratio), width) if width < ratio * height else (height, round(height * ratio))
    top, left = (height - high) // 2, (width - wide) // 2
    return image[top:top + high, left:left + wide]


def squeezed(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


FORMS = {"squeezed": squeezed, "letterboxed": lambda image: letterbox(image, (SIDE, SIDE)),
         "cut to the square in its middle": lambda image: squeezed(middle(image, 1.0))}


def answers(net: torch.nn.Module, images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(classes (n,), vectors of length 1 (n, 1280)) of pictures of the network's size."""
    x = (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        vectors = net.forward_head(net.forward_features(x), pre_logits=True)
        classes = net.get_classifier()(vectors).argmax(1)
    return classes.numpy(), torch.nn.functional.normalize(vectors, dim=1).numpy()


def main(argv: list[str] | None = None) -> int:
    CommandParser(description=__doc__).parse_args(argv)
    torch.set_num_threads(1)
    net = efficientnet.network(find_encoder(efficientnet.NAME), 1000).eval()
    pictures = [coloured(getattr(data, name)()) for name in PICTURES]
    classes, vectors = answers(net, [squeezed(middle(image, 1.0)) for image in pictures])
    rows = []
    for name, form in FORMS.items():
        found, near = answers(net, [form(middle(image, 16 / 9)) for image in pictures])
        rows.append([name, f"{(found == classes).sum()} of {len(PICTURES)}", f"{(near * vectors).sum(1).mean():.2f}"])
    print(markdown_table(["a picture of 16:9", "the same class", "cosine of the vectors, mean"], rows))
    return 0


if __name__ == "__main__":
    run_command(main)
