"""Text boxes: found, kept over kills, never mixed, and painted into masks worked out by hand."""

import importlib
import importlib.machinery
import json
import os
import signal
import subprocess
import sys
import time
import types
import urllib.error
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from media_files import numbered_picture
from PIL import Image, ImageDraw, ImageFont

from datatools import driver, extract, text_detector, text_extract
from datatools.errors import UserError, run_command
from datatools.features import extract_text_boxes
from datatools.media import save_video
from datatools.stages import Pool
from datatools.text_detector import detector_identity, load_detector, same_detector, same_text_boxes
from datatools.text_roi import paint_boxes

ROOT = Path(__file__).resolve().parents[1]
FONT = Path(matplotlib.__file__).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"


def background(seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 200, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((320, 180), Image.BICUBIC))


def with_text(image: np.ndarray, text: str, x: int, y: int, pixels: int, colour=(255, 255, 255)) -> np.ndarray:
    drawn = Image.fromarray(image)
    ImageDraw.Draw(drawn).text((x, y), text, font=ImageFont.truetype(str(FONT), pixels), fill=colour)
    return np.asarray(drawn)


# masks -------------------------------------------------------------------------------------------------------------

def box(x1, y1, x2, y2, size=(180, 320)) -> list:
    return [[[x1, y1], [x2, y1], [x2, y2], [x1, y2]], list(size), "", 1.0]


def painted(entry: list) -> tuple[int, int, int, int] | None:
    """(top, bottom, left, right) of what one box paints, half open."""
    mask = paint_boxes({"7": [entry]})
    assert mask.shape == (200, 27, 36)
    assert mask.dtype == np.uint8
    assert np.delete(mask, 7, axis=0).max() == 0
    rows, columns = np.nonzero(mask[7])
    if not len(rows):
        return None
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    assert mask[7, top:bottom, left:right].all()
    return top, bottom, left, right


def test_a_box_is_painted_where_its_letterboxed_corners_are():
    # 320 x 180 into 36 x 27: scale 0.1125, 20 rows, 3 above. x 32..160 -> 3.6..18; y 90..135 -> 13.125..18.1875.
    assert painted(box(32, 90, 160, 135)) == (13, 18, 3, 18)


def test_a_tall_picture_has_its_bars_at_the_sides():
    # 180 x 320 into 36 x 27: scale 0.084375, 15 columns, 10 to the left. x 60..120 -> 15.06..20.1; y 160 -> 13.5.
    assert painted(box(60, 160, 120, 320, size=(320, 180))) == (13, 27, 15, 20)


def test_a_tilted_box_counts_by_its_first_and_third_corner():
    quad = [[10, 20], [100, 40], [95, 80], [5, 60]]      # x 10..95 -> 1.1..10.7; y 20..80 -> 5.25..12
    assert painted([quad, [180, 320], "", 1.0]) == (5, 12, 1, 10)
    turned = [[95, 80], [5, 60], [10, 20], [100, 40]]
    assert painted([turned, [180, 320], "", 1.0]) == (5, 12, 1, 10)


def test_a_box_that_overhangs_the_picture_is_cut_at_its_edge():
    assert painted(box(-50, 160, 400, 220)) == (21, 23, 0, 36)     # y 160..180 -> 21..23.25
    assert painted(box(330, 10, 400, 60)) is None                  # wholly outside


def test_a_box_without_width_or_height_in_cells_paints_nothing():
    assert painted(box(10, 20, 12, 90)) is None      # x 10..12 -> 1.1..1.35
    assert painted(box(10, 20, 90, 20)) is None


def test_seconds_beyond_the_clip_and_missing_ones_are_no_text():
    assert paint_boxes({"200": [box(0, 0, 300, 170)], "5000": [box(0, 0, 300, 170)], "3": []}).max() == 0


@pytest.mark.parametrize(
    "entry", [[[[1, 2]], [180, 320]], [[[1, 2], [3, 4], [None, 5]], [180, 320]], "text", box(1, 2, 3, 4, (0, 0))]
)
def test_an_entry_of_another_form_is_told(entry):
    with pytest.raises(UserError, match="second '3': a text box"):
        paint_boxes({"3": [entry]})


# detectors ---------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def rapidocr():
    return load_detector("rapidocr", threads=1)


def test_rapidocr_finds_subtitles_and_small_credits(rapidocr):
    image = with_text(background(), "What are you doing here?", 80, 150, 10)
    image = with_text(image, "Key Animation", 190, 30, 8)
    (credit, *unread), (subtitle, *_) = rapidocr.detect(image)
    assert unread == ["", 1.0]
    for quad, (text, x, y, pixels) in (
        (credit, ("Key Animation", 190, 30, 8)), (subtitle, ("What are you doing here?", 80, 150, 10))
    ):
        left, top, right, bottom = ImageFont.truetype(str(FONT), pixels).getbbox(text)
        expected = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) + (x, y)
        np.testing.assert_allclose(quad, expected, atol=7)


def test_rapidocr_finds_nothing_in_an_empty_picture(rapidocr):
    assert rapidocr.detect(np.zeros((180, 320, 3), np.uint8)) == []


@pytest.mark.parametrize("seed", range(6))
def test_rapidocr_takes_no_smooth_picture_for_text(rapidocr, seed):
    assert rapidocr.detect(background(seed)) == []


def test_rapidocr_reads_when_asked_to():
    detector = load_detector("rapidocr", recognize=True, threads=1)
    read = detector.detect(with_text(np.zeros((180, 320, 3), np.uint8), "OPENING SONG", 60, 80, 24))
    assert [text.replace(" ", "") for _, text, _ in read] == ["OPENINGSONG"]
    assert 0.5 < read[0][2] <= 1


def test_identity_counts_models_and_settings_but_not_the_version():
    one = detector_identity("rapidocr")
    assert same_detector(one, one | {"version": "0.0"})
    assert not same_detector(one, detector_identity("rapidocr", recognize=True))
    assert not same_detector(one, detector_identity("easyocr"))
    assert not same_detector({}, one)


def fake_easyocr(monkeypatch, reader) -> None:
    module = types.ModuleType("easyocr")
    module.__spec__ = importlib.machinery.ModuleSpec("easyocr", None)
    module.Reader = reader
    monkeypatch.setitem(sys.modules, "easyocr", module)


def test_easyocr_boxes_become_quads(monkeypatch):
    class Reader:
        def __init__(self, languages, **settings):
            assert settings["recognizer"] is False

        def detect(self, images, canvas_size, reformat):
            assert images.shape == (1, 180, 320, 3)
            return [[[10, 100, 20, 40]]], [[[[10, 60], [100, 90], [95, 110], [5, 80]]]]

    fake_easyocr(monkeypatch, Reader)
    assert load_detector("easyocr").detect(background()) == [
        ([[10, 20], [100, 20], [100, 40], [10, 40]], "", 1.0),
        ([[10, 60], [100, 90], [95, 110], [5, 80]], "", 1.0),
    ]


@pytest.mark.parametrize("error", [urllib.error.URLError("no route"), TimeoutError("late"), ConnectionResetError()])
def test_easyocr_without_weights_and_network_names_the_other_choices(monkeypatch, error):
    def reader(*arguments, **settings):
        raise error

    fake_easyocr(monkeypatch, reader)
    with pytest.raises(UserError, match=r"--ocr rapidocr.*craft_mlt_25k\.pth.*--ocr_weights"):
        load_detector("easyocr")


def test_half_precision_computes_so_and_answers_in_float32():
    import torch
    from easyocr.craft import CRAFT

    torch.manual_seed(0)
    net = CRAFT(pretrained=False).eval()
    kinds = []
    net.conv_cls.register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        exact, (scores, features) = net(image)[0], text_detector.in_half_precision(net, "cpu")(image)
    assert kinds == [torch.float32, torch.bfloat16]
    assert scores.dtype == features.dtype == torch.float32
    torch.testing.assert_close(scores, exact, atol=0.05, rtol=0.1)


def test_easyocrs_weights_folder_must_hold_the_file(tmp_path):
    with pytest.raises(UserError, match=r"craft_mlt_25k\.pth .*--ocr rapidocr"):
        load_detector("easyocr", weights=tmp_path)
    with pytest.raises(UserError, match="--ocr_weights is for"):
        load_detector("rapidocr", weights=tmp_path)


# CRAFT with its own weights, from a package that only tests and benchmarks use -------------------------------------

def drawn_picture(seed: int) -> np.ndarray:
    """A picture with lines of text, upright and tilted; sizes and places by seed."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(background(seed)).resize((224, 128))
    for line in range(random.integers(1, 4)):
        words = " ".join(random.choice(["Key Animation", "Sound", "Who is there?", "Episode 12", "Director"], 2))
        font = ImageFont.truetype(str(FONT), int(random.integers(9, 22)))
        patch = Image.new("L", (256, 40))
        ImageDraw.Draw(patch).text((4, 4), words, font=font, fill=255)
        patch = patch.rotate(int(random.choice([0, 0, 14, -18])), expand=True)
        image.paste((255, 240, 200), (int(random.integers(-20, 80)), 40 * line), patch)
    return np.asarray(image)


@pytest.fixture(scope="module")
def easyocr_weights() -> Path:
    return Path(pytest.importorskip("easyocr_en_models").model_dir())


@pytest.fixture(scope="module")
def easyocr_detector(easyocr_weights):
    return load_detector("easyocr", weights=easyocr_weights)


def assert_equal_to_easyocrs_own(detector, weights: Path, images: list[np.ndarray]) -> tuple[int, int]:
    """How many (upright, tilted) boxes there were; fails where a box or the order of the boxes differs."""
    import easyocr

    reader = easyocr.Reader(["en"], gpu=False, model_storage_directory=str(weights), download_enabled=False,
                            recognizer=False, verbose=False)
    numbers = np.zeros(2, int)
    for image in images:
        (upright,), (tilted,) = reader.detect(image)
        quads = [[[x1, y1], [x2, y1], [x2, y2], [x1, y2]] for x1, x2, y1, y2 in upright] + list(tilted)
        found = detector.detect(image)
        assert [box[1:] for box in found] == [("", 1.0)] * len(quads)
        np.testing.assert_allclose([quad for quad, *_ in found], quads, atol=0.05)      # rounded to 0.1 pixel
        numbers += len(upright), len(tilted)
    return tuple(numbers)


def test_easyocrs_boxes_are_those_of_its_own_reader(easyocr_detector, easyocr_weights):
    upright, tilted = assert_equal_to_easyocrs_own(
        easyocr_detector, easyocr_weights, [drawn_picture(seed) for seed in range(5)]
    )
    assert upright > 3 and tilted > 1


@pytest.mark.soak
def test_easyocrs_boxes_are_those_of_its_own_reader_on_200_pictures(easyocr_detector, easyocr_weights):
    upright, tilted = assert_equal_to_easyocrs_own(
        easyocr_detector, easyocr_weights, [drawn_picture(seed) for seed in range(200)]
    )
    assert upright > 120 and tilted > 40


def test_a_batch_of_pictures_gives_each_its_own_boxes(easyocr_detector):
    images = [drawn_picture(seed) for seed in (2, 3)]
    assert easyocr_detector.detect_many(images) == [easyocr_detector.detect(image) for image in images]


def test_easyocr_reads_no_weights_that_were_changed(easyocr_weights, tmp_path):
    weights = bytearray((easyocr_weights / "craft_mlt_25k.pth").read_bytes())
    weights[1_000_000] ^= 1
    (tmp_path / "craft_mlt_25k.pth").write_bytes(weights)
    with pytest.raises(UserError, match="MD5"):
        load_detector("easyocr", weights=tmp_path)


def test_half_precision_on_a_gpu_finds_the_same_text(easyocr_detector, easyocr_weights):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    on_gpu = load_detector("easyocr", weights=easyocr_weights, gpu=True)
    for image in map(drawn_picture, range(5)):
        one, other = ([[quad, image.shape[:2], "", 1.0] for quad, *_ in d.detect(image)]
                      for d in (easyocr_detector, on_gpu))
        painted_here, painted_there = paint_boxes({"0": one}) > 0, paint_boxes({"0": other}) > 0
        assert (painted_here ^ painted_there).sum() <= 0.1 * painted_here.sum()


@pytest.mark.parametrize("batch", [2, 3, 100])
def test_batches_change_neither_boxes_nor_their_seconds(batch):
    class OneAtATime:
        """One box a picture, as wide as the picture's first grey level."""

        def detect(self, image):
            return [([[0, 0], [int(image[0, 0, 0]), 0], [9, 9], [0, 9]], "", 1.0)]

    class InBatches(OneAtATime):
        def __init__(self):
            self.batch, self.sizes = batch, []

        def detect_many(self, images):
            self.sizes.append(len(images))
            assert len({image.shape for image in images}) == 1
            return [self.detect(image) for image in images]

    grey = [10, 60, 60, 110, 0, 60, 160, 210, 10]
    images = [np.full((90 if k < 7 else 45, 160, 3), level, np.uint8) for k, level in enumerate(grey)] + [None]
    finders = [text_detector.BoxFinder(OneAtATime()), text_detector.BoxFinder(InBatches())]
    single, batched = ([finder.find(image) for image in images] for finder in finders)
    finders[1].finish()
    assert batched == single
    assert sum(finders[1].detector.sizes) == 7
    assert max(finders[1].detector.sizes) == min(batch, 5)


# pictures that hardly differ ---------------------------------------------------------------------------------------

def test_a_picture_with_coding_noise_takes_over_the_boxes():
    noise = np.random.default_rng(1).integers(-2, 3, (180, 320, 3))
    assert same_text_boxes(background(), np.clip(background().astype(int) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pixels", [8, 10, 14])
def test_an_appearing_text_is_never_taken_for_the_same(pixels, seed):
    image = background(seed)
    for x, y in ((5, 5), (113, 83), (200, 160)):
        assert not same_text_boxes(image, with_text(image, "Yes.", x, y, pixels))
        faint = with_text(image, "Director", x, y, pixels, tuple(int(v) + 40 for v in image[y + 4, x + 10]))
        assert not same_text_boxes(image, faint)


def test_a_text_that_fades_in_slowly_is_searched_for(rapidocr, tmp_path):
    clear = with_text(background(), "What are you doing here?", 80, 150, 12)
    images = [(background() * (1 - k / 40) + clear * (k / 40)).astype(np.uint8) for k in range(41)]
    save_video(tmp_path / "a.mp4", images)
    boxes = extract_text_boxes(tmp_path / "a.mp4", rapidocr)
    assert boxes["0"] == []
    assert len(boxes["40"]) == 1
    assert boxes["41"] == []       # the clip is over


# the stage ---------------------------------------------------------------------------------------------------------

NAMES = ["a_start", "b_end", "c_start"]


class CountingDetector:
    """Finds one box in every picture, and counts pictures; `stop_at` is the picture at which the power fails."""

    def __init__(self, stop_at: int | None = None):
        self.pictures, self.stop_at = 0, stop_at

    def detect(self, image):
        self.pictures += 1
        if self.pictures == self.stop_at:
            raise KeyboardInterrupt
        return [([[1.0, 2.0], [30.0, 2.0], [30.0, 12.0], [1.0, 12.0]], "", 1.0)]


@pytest.fixture
def dataset(tmp_path) -> Path:
    """Three 1 fps clips, of two folders of one split and one of another; five pictures each."""
    for folder, name in zip(["data_A/train", "data_B", "data_C"], NAMES, strict=True):
        (tmp_path / folder).mkdir(parents=True)
        save_video(tmp_path / folder / f"{name}.mp4", [numbered_picture(37 * k + 1) for k in range(5)])
    return tmp_path


@pytest.fixture
def use(monkeypatch):
    def install(detector):
        monkeypatch.setattr(driver, "load_detector", lambda *settings: detector)
        monkeypatch.setattr(extract, "shared_detector", lambda *settings: detector)
        return detector

    return install


def extract_text(root: Path, **settings):
    return driver.extract_text(root, **({"ocr": "rapidocr", "pool": Pool(1)} | settings))


def test_the_json_has_every_second_of_every_clip(dataset, use):
    detector = use(CountingDetector())
    assert extract_text(dataset).exit_code == 0
    assert detector.pictures == 15
    train = json.loads((dataset / "ocr_text_train.json").read_text())
    assert sorted(train) == ["a_start", "b_end"]
    assert list(json.loads((dataset / "ocr_text_testB.json").read_text())) == ["c_start"]
    assert list(train["b_end"]) == [str(second) for second in range(200)]
    assert train["b_end"]["4"] == [[[[1.0, 2.0], [30.0, 2.0], [30.0, 12.0], [1.0, 12.0]], [64, 128], "", 1.0]]
    assert train["b_end"]["5"] == []
    assert json.loads((dataset / "ocr_text_detector.json").read_text())["name"] == "rapidocr"
    assert not list(dataset.glob("*.parts"))


def test_a_second_run_keeps_everything_and_a_changed_clip_is_done_again(dataset, use):
    use(CountingDetector())
    extract_text(dataset)
    again = use(CountingDetector())
    assert extract_text(dataset).kept == NAMES
    os.utime(dataset / "data_B/b_end.mp4")             # a copy: new time, same content
    assert extract_text(dataset).kept == NAMES
    save_video(dataset / "data_B/b_end.mp4", [numbered_picture(3)])
    assert extract_text(dataset).done == ["b_end"]
    assert again.pictures == 1
    assert json.loads((dataset / "ocr_text_train.json").read_text())["b_end"]["1"] == []


def test_an_interrupted_run_goes_on_where_it_was(dataset, use):
    use(CountingDetector(stop_at=12))
    with pytest.raises(KeyboardInterrupt):
        extract_text(dataset)
    rest = use(CountingDetector())
    report = extract_text(dataset)
    assert (report.kept, report.done, rest.pictures) == (["a_start", "b_end"], ["c_start"], 5)
    assert sorted(json.loads((dataset / "ocr_text_train.json").read_text())) == ["a_start", "b_end"]


def test_a_killed_command_goes_on_where_it_was(tmp_path, capsys):
    (tmp_path / "own").mkdir()
    for index in range(5):
        save_video(tmp_path / "own" / f"c{index}_end.mp4", [numbered_picture(k, 320, 180) for k in range(1, 25)])
    command = [sys.executable, ROOT / "datatools/text_extract.py", "--data_root", tmp_path, "--folders", "own"]
    command += ["--ocr", "rapidocr", "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("ocr_text_own.parts/c*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list(tmp_path.glob("ocr_text_own.parts/c*.json")))
    assert 2 <= finished < 5
    assert driver.extract_text(tmp_path, "rapidocr", folders=["own"], pool=Pool(1)).exit_code == 0
    assert f"text: {5 - finished} done, {finished} already there, 0 failed" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "ocr_text_own.json").read_text())) == 5
    assert not list(tmp_path.glob("*.parts")) and not list(tmp_path.rglob(".tmp-*"))


def test_boxes_of_two_detectors_are_never_mixed(dataset, use):
    detector = use(CountingDetector())
    extract_text(dataset, folders=["data_A/train", "data_C"])
    for settings in ({"ocr": "easyocr"}, {"recognize": True}, {"ocr": "easyocr", "force": True, "folders": ["data_B"]}):
        with pytest.raises(UserError, match="2 clips were made by rapidocr .* --force"):
            extract_text(dataset, **settings)
    assert detector.pictures == 10
    assert extract_text(dataset, ocr="easyocr", force=True).done == NAMES
    assert json.loads((dataset / "ocr_text_detector.json").read_text())["name"] == "easyocr"


def test_boxes_of_an_unknown_detector_are_not_added_to(dataset, use):
    use(CountingDetector())
    (dataset / "ocr_text_train.json").write_text(json.dumps({"a_start": {"0": []}}))
    with pytest.raises(UserError, match="unknown detector"):
        extract_text(dataset)
    assert json.loads((dataset / "ocr_text_train.json").read_text()) == {"a_start": {"0": []}}


def test_a_detector_that_cannot_be_loaded_costs_no_boxes(dataset, use, monkeypatch):
    use(CountingDetector())
    extract_text(dataset)
    before = (dataset / "ocr_text_train.json").read_bytes()

    def fail(*settings):
        raise UserError("no weights")

    monkeypatch.setattr(driver, "load_detector", fail)
    with pytest.raises(UserError, match="no weights"):
        extract_text(dataset, ocr="easyocr", force=True)
    assert (dataset / "ocr_text_train.json").read_bytes() == before


def test_an_unreadable_clip_fails_alone(dataset, use):
    use(CountingDetector())
    (dataset / "data_B/b_end.mp4").write_bytes(b"no video")
    report = extract_text(dataset)
    assert report.exit_code == 1
    assert [name for name, _ in report.failed] == ["b_end"]
    assert sorted(report.done) == ["a_start", "c_start"]
    assert list(json.loads((dataset / "ocr_text_train.json").read_text())) == ["a_start"]


def test_a_cut_json_is_told_and_left_alone(dataset, use):
    use(CountingDetector())
    (dataset / "ocr_text_train.json").write_text('{"a_start": {"0": [')
    with pytest.raises(UserError, match=r"ocr_text_train\.json: no JSON"):
        extract_text(dataset)


def test_the_command_without_easyocrs_weights_ends_with_one_message(dataset, monkeypatch, capsys):
    reader_module = importlib.import_module("easyocr.easyocr")
    monkeypatch.setattr(reader_module, "MODULE_PATH", str(dataset / "nowhere"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(SystemExit) as leaving:
        run_command(lambda: text_extract.main(["--data_root", str(dataset)]))
    assert leaving.value.code == 2
    assert "--ocr rapidocr" in capsys.readouterr().err.splitlines()[-1]
    assert not (dataset / "ocr_text_detector.json").exists()
