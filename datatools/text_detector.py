"""Text detection in pictures: two detectors behind one interface.

    detector = load_detector("rapidocr")
    for quad, text, confidence in detector.detect(image):     # image: uint8 (height, width, 3), RGB
        ...

EasyOCR downloads its weights at the first use, or reads them from a folder. It unpickles them after an MD5 check, and
unpickling can run code: take a folder of weights only from a source you trust. RapidOCR's package includes its models
(ONNX); onnxruntime, which runs them, is kept from gathering telemetry. Nothing heavy is imported before a detector is
loaded.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from datatools.downloads import download_timeout
from datatools.errors import UserError
from datatools.onnx_silent import import_onnxruntime

if TYPE_CHECKING:
    import numpy as np

DETECTORS = ("easyocr", "rapidocr")
Box = tuple[list[list[float]], str, float]     # four [x, y] in pixels, text ("" without recognition), confidence

# Long side of the detector's input, pixels; smaller pictures are not enlarged. benchmarks/one_pass.py measures what
# RapidOCR finds and costs at other sizes.
MAX_SIDE = {"easyocr": 2560, "rapidocr": 640}
# Share of the picture. RapidOCR takes some smooth pictures without text for one letter that fills them; the largest
# line of readable text seen on made clips had 0.09. benchmarks/one_pass.py prints what it marks where there is no text.
MAX_AREA = 0.15
GPU_BATCH = 8        # pictures that CRAFT searches at once on a GPU
EASYOCR_LANGUAGES = ["ch_sim", "en"]
EASYOCR_DETECTION = "craft_mlt_25k.pth"
EASYOCR_RECOGNITION = "zh_sim_g2.pth"


def detector_identity(name: str, recognize: bool = False, max_side: int | None = None) -> dict:
    """What determines a detector's boxes: package, version, models, settings. Loads nothing. Raises UserError."""
    if name not in DETECTORS:
        raise UserError(f"text detector {name!r}: unknown. Expected one of {', '.join(DETECTORS)}.")
    if importlib.util.find_spec(name) is None:
        other = DETECTORS[1 - DETECTORS.index(name)]
        raise UserError(f"the package {name} is not installed. Run `pip install {name}`, or choose `--ocr {other}`.")
    settings = {"max_side": max_side or MAX_SIDE[name], "recognize": recognize}
    if name == "easyocr":
        models = [EASYOCR_DETECTION] + [EASYOCR_RECOGNITION] * recognize
    else:
        models = [_rapidocr_model(part).name for part in ["det"] + ["rec", "cls"] * recognize]
        settings["max_area"] = MAX_AREA
    return {
        "name": name,
        "version": importlib.metadata.version(name),
        "models": models,
        "settings": settings,
    }


def same_detector(one: dict, other: dict) -> bool:
    """Whether two identities give the same boxes; a difference in the package's version alone is ignored."""
    return all(one.get(key) == other.get(key) for key in ("name", "models", "settings"))


def load_detector(
    name: str,
    weights: Path | None = None,
    recognize: bool = False,
    gpu: bool = False,
    max_side: int | None = None,
    threads: int = 0,
) -> EasyOcrDetector | RapidOcrDetector:
    """A detector by name; `weights` is EasyOCR's folder, `max_side` the input's longest side in pixels.

    `gpu` lets EasyOCR use a GPU if there is one; `threads` is for RapidOCR, 0 means one per core. Raises UserError.
    """
    identity = detector_identity(name, recognize, max_side)
    if name == "easyocr":
        return EasyOcrDetector(identity, weights, gpu)
    if weights is not None:
        raise UserError(f"{weights}: --ocr_weights is for `--ocr easyocr`; rapidocr brings its models. Leave it out.")
    return RapidOcrDetector(identity, threads)


@functools.lru_cache(maxsize=1)
def shared_detector(*arguments) -> EasyOcrDetector | RapidOcrDetector:
    """load_detector, cached in each process by its arguments."""
    return load_detector(*arguments)


class EasyOcrDetector:
    """EasyOCR: CRAFT finds the boxes; the Chinese and English recogniser reads them on request."""

    def __init__(self, identity: dict, weights: Path | None, gpu: bool):
        self.identity = identity
        self.recognize = identity["settings"]["recognize"]
        self.max_side = identity["settings"]["max_side"]
        self.batch = 1       # a CPU gains nothing from more
        if weights is not None:
            missing = [name for name in identity["models"] if not (Path(weights) / name).is_file()]
            if missing:
                raise UserError(
                    f"{weights}: no {' and '.join(missing)} in it, which EasyOCR needs. Put the file there, "
                    "or choose `--ocr rapidocr`."
                )
        self.reader = self._reader(weights, gpu)
        if str(getattr(self.reader, "device", "cpu")).startswith("cuda"):     # a GPU that EasyOCR has found
            self.reader.detector = in_half_precision(self.reader.detector, "cuda")
            self.batch = GPU_BATCH

    def _reader(self, weights: Path | None, gpu: bool):
        import http.client
        import urllib.error
        import zipfile

        import easyocr

        remedy = (
            "Choose `--ocr rapidocr` (needs no download), or name a folder that holds "
            f"{' and '.join(self.identity['models'])} with `--ocr_weights FOLDER`."
        )
        try:
            with download_timeout():
                return easyocr.Reader(
                    EASYOCR_LANGUAGES,
                    gpu=gpu,
                    model_storage_directory=None if weights is None else str(weights),
                    # With downloads allowed, EasyOCR deletes a file with an unknown checksum.
                    download_enabled=weights is None,
                    recognizer=self.recognize,
                    verbose=False,
                )
        except FileNotFoundError as error:
            raise UserError(f"EasyOCR's weights: {error}. Replace the file. {remedy}") from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, zipfile.BadZipFile,
                AssertionError) as error:
            reason = getattr(error, "reason", None) or error
            raise UserError(f"EasyOCR's weights could not be downloaded ({reason}). {remedy}") from error

    def detect(self, image: np.ndarray) -> list[Box]:
        """Text boxes of one RGB picture, uint8 (height, width, 3): first the upright, each kind in EasyOCR's order."""
        return self.detect_many([image])[0]

    def detect_many(self, images: list[np.ndarray]) -> list[list[Box]]:
        """Text boxes of RGB pictures of one size, which go through CRAFT as one batch."""
        import numpy as np

        # Without `reformat` EasyOCR takes a batch, and leaves out the grey copy that only its recogniser needs.
        found = self.reader.detect(np.stack(images), canvas_size=self.max_side, reformat=False)
        return [self._boxes(image, *lists) for image, *lists in zip(images, *found, strict=True)]

    def _boxes(self, image: np.ndarray, horizontal: list, free: list) -> list[Box]:
        import cv2

        if self.recognize:
            if not horizontal and not free:
                return []
            read = self.reader.recognize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), horizontal, free)
            return [(_as_quad(quad), str(text), float(confidence)) for quad, text, confidence in read]
        upright = [[[x1, y1], [x2, y1], [x2, y2], [x1, y2]] for x1, x2, y1, y2 in horizontal]
        return [(_as_quad(quad), "", 1.0) for quad in [*upright, *free]]


def in_half_precision(net, device: str):
    """CRAFT with its convolutions in float16 (bfloat16 on a CPU); its outputs stay float32, as OpenCV needs them."""
    import torch

    class HalfPrecision(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, images):
            with torch.autocast(device, torch.float16 if device == "cuda" else torch.bfloat16):
                scores, features = self.net(images)
            return scores.float(), features.float()

    return HalfPrecision()


class RapidOcrDetector:
    """RapidOCR: PP-OCR models on onnxruntime's CPU provider."""

    def __init__(self, identity: dict, threads: int):
        import_onnxruntime()      # before RapidOCR imports it
        from rapidocr import RapidOCR

        self.identity = identity
        self.recognize = identity["settings"]["recognize"]
        params = {
            "Global.log_level": "error",
            "Global.use_rec": self.recognize,
            "Global.use_cls": self.recognize,
            "Det.model_path": str(_rapidocr_model("det")),
            # "max" only ever shrinks; the default "min" would enlarge a picture of 320x180 to 1309x736.
            "Det.limit_type": "max",
            "Det.limit_side_len": identity["settings"]["max_side"],
            "EngineConfig.onnxruntime.intra_op_num_threads": threads or -1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # Without it the C library's heap grows by 200 MB over a clip.
            "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,
        }
        if self.recognize:
            params |= {"Rec.model_path": str(_rapidocr_model("rec")), "Cls.model_path": str(_rapidocr_model("cls"))}
        self.engine = RapidOCR(params=params)
        self._speed_up_input()

    def _speed_up_input(self) -> None:
        """Replace RapidOCR's own preprocessing by OpenCV's blob; in float64 it takes an eighth of the time."""
        import cv2
        import numpy as np
        from rapidocr.ch_ppocr_det.utils import DetPreProcess

        class BlobInput(DetPreProcess):
            def normalize(self, image):
                return image

            def permute(self, image):
                blob = cv2.dnn.blobFromImage(image, 1 / 127.5, mean=(127.5, 127.5, 127.5))
                return blob[0]

        # The model is loaded with the first picture.
        self.engine(np.zeros((32, 32, 3), np.uint8))
        step = BlobInput(self.identity["settings"]["max_side"], "max")
        self.engine.text_det.get_preprocess = lambda *_: step

    def detect(self, image: np.ndarray) -> list[Box]:
        """Text boxes of one RGB picture, uint8 (height, width, 3)."""
        import cv2

        # BGR, as RapidOCR reads files. Calling its detector alone saves cropping lines that are not read.
        found = (self.engine if self.recognize else self.engine.text_det)(image[:, :, ::-1])
        if found.boxes is None:
            return []
        if self.recognize:
            read = [(str(text), float(confidence)) for text, confidence in zip(found.txts, found.scores, strict=True)]
        else:
            read = [("", 1.0)] * len(found.boxes)
        largest = MAX_AREA * image.shape[0] * image.shape[1]
        return [
            (_as_quad(quad), *text)
            for quad, text in zip(found.boxes, read, strict=True)
            if cv2.contourArea(quad.astype("float32")) <= largest
        ]


def _as_quad(points) -> list[list[float]]:
    return [[round(float(x), 1), round(float(y), 1)] for x, y in points]


def _rapidocr_model(part: str) -> Path:
    folder = Path(importlib.util.find_spec("rapidocr").submodule_search_locations[0]) / "models"
    found = sorted(folder.glob(f"*_{part}_*.onnx"))
    if len(found) != 1:
        raise UserError(f"{folder}: {len(found)} models *_{part}_*.onnx, expected one. Install rapidocr again.")
    return found[0]


SMALL_WIDTH, BLOCK = 160, 8       # pixels; pictures are compared as copies of this width, by blocks of this side
SAME_MEAN, SAME_BLOCK = 1.0, 3.0  # grey levels; largest mean difference of the picture, and of a single block


def same_text_boxes(previous_image: np.ndarray, image: np.ndarray) -> bool:
    """Whether `image` differs so little from `previous_image` that it must have the same text boxes.

    Both uint8 (height, width, 3). `previous_image` should be the last picture that the detector searched, not the one
    before `image`: then text that fades in over many frames is found once the sum of the changes is large enough.
    """
    import cv2

    if previous_image.shape != image.shape:
        return False
    height = max(BLOCK, round(image.shape[0] * SMALL_WIDTH / image.shape[1] / BLOCK) * BLOCK)

    def small(picture):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, (SMALL_WIDTH, height), interpolation=cv2.INTER_AREA)

    difference = cv2.absdiff(small(previous_image), small(image)).astype("float32")
    blocks = difference.reshape(height // BLOCK, BLOCK, SMALL_WIDTH // BLOCK, BLOCK).mean(axis=(1, 3))
    return bool(blocks.mean() <= SAME_MEAN and blocks.max() <= SAME_BLOCK)


class BoxFinder:
    """Text boxes of pictures in sequence; a picture that hardly differs from the last one searched gets its boxes.

    A detector with a `batch` above 1 searches that many pictures at once. Then the lists that `find` returned are
    filled later, the last of them by `finish`.
    """

    def __init__(self, detector):
        self.detector, self.searched, self.boxes = detector, None, []
        self.batch, self.waiting = getattr(detector, "batch", 1), []

    def find(self, image: np.ndarray | None) -> list:
        """[[quad, [height, width], text, confidence], ...] of an RGB picture, uint8; [] of a black one or None."""
        if image is None or not image.any():
            self.searched, self.boxes = None, []
        elif self.searched is None or not same_text_boxes(self.searched, image):
            if self.waiting and self.waiting[0][0].shape != image.shape:
                self.finish()
            self.searched, self.boxes = image, []
            self.waiting.append((image, self.boxes))
            if len(self.waiting) >= self.batch:
                self.finish()
        return self.boxes

    def finish(self) -> None:
        """Search the pictures that still wait for their batch to be full."""
        images, lists = [image for image, _ in self.waiting], [boxes for _, boxes in self.waiting]
        self.waiting = []
        if not images:
            return
        many = self.detector.detect_many(images) if self.batch > 1 else [self.detector.detect(images[0])]
        for image, boxes, found in zip(images, lists, many, strict=True):
            boxes += [[quad, list(image.shape[:2]), text, confidence] for quad, text, confidence in found]
