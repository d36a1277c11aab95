"""Names in matplotlib's pictures, in letters that its own font lacks."""

import cv2
import numpy as np
import pytest

from utils.lettering import is_plain
from utils.plots import predictions_picture
from utils.recognition_plots import attention_picture, confusion_picture

FRAMES = np.full((200, 66, 88, 3), 90, np.uint8)


def confusions(path, name):
    confusion_picture(path, [name, "run", "run"], ["run", "run", name], (name, "run"), "test")


def attention(path, name):
    attention_picture(path, FRAMES[:2], np.full((2, 2, 2), 0.125), f"a.mp4: {name} 72.0%")


def predictions(path, name):
    clip = f"{name}_start"
    predictions_picture(path, {clip: 90.0}, {clip: 91.0}, {clip: FRAMES}, "test")


@pytest.mark.filterwarnings("error")      # matplotlib warns of letters that it lacks, and draws equal boxes for them
@pytest.mark.parametrize("draw", [confusions, attention, predictions])
def test_chinese_names_are_drawn_in_their_own_letters(tmp_path, draw):
    pictures = []
    for place, name in enumerate(("射箭", "拳击", "射箭")):
        draw(tmp_path / f"{place}.png", name)
        pictures.append(cv2.imread(str(tmp_path / f"{place}.png")))
    one, other, again = pictures
    assert one.shape == other.shape and (one != other).any() and (one == again).all()
    rows, columns = np.nonzero((one != other).any(2))
    assert np.ptp(rows) > 8 and np.ptp(columns) > 8


@pytest.mark.filterwarnings("error")
def test_a_long_chinese_name_is_cut_and_does_not_reach_beyond_the_picture(tmp_path):
    confusions(tmp_path / "a.png", "很" * 200)
    image = cv2.imread(str(tmp_path / "a.png"))
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert image.shape[1] < 1000 and (edges == 255).all()


def test_what_matplotlib_writes_itself_is_left_to_it():
    assert is_plain("Tai Chi, für $5") and is_plain("") and not is_plain("Tai 太")
