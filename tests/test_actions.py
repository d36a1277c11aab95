"""Made actions: the classes differ in the order of their frames and in nothing else."""

from collections import Counter
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datatools.errors import UserError
from datatools.media import read_frames, save_video
from synth.actions import (
    COLOURS,
    FPS,
    HOLD,
    LOOKS,
    MOTIONS,
    NUM_DRAWINGS,
    SHAPES,
    Scene,
    class_names,
    clip_of,
    drawings_of,
    make_actions,
    word_classes,
    write_clip,
)
from synth.make_actions import main

NAMES = list(MOTIONS)
PARTNERS = list(zip(NAMES[::2], NAMES[1::2], strict=True))
SCENES = [Scene(3, 0, index, LOOKS[7 * index % 24], 32) for index in range(3)]


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def bag(pictures: np.ndarray) -> Counter:
    """The pictures without their order."""
    return Counter(picture.tobytes() for picture in pictures)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three scenes to train on, one to test with, 32 x 32."""
    root = tmp_path_factory.mktemp("made") / "action set"
    report = make_actions(root, train=3, val=0, test=1, size=32, workers=1)
    assert not report.failed and len(report.done) == 4 * len(MOTIONS)
    return root


# The clips


@pytest.mark.parametrize("motion, partner", PARTNERS)
@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_a_clip_backwards_or_with_its_halves_exchanged_is_its_partners_clip(scene, motion, partner):
    clip, other = clip_of(scene, motion), clip_of(scene, partner)
    changed = np.roll(clip, len(clip) // 2, axis=0) if "then" in motion else clip[::-1]
    np.testing.assert_array_equal(changed, other)
    assert (clip != other).any()


def test_all_classes_show_the_drawings_of_a_scene_once_each():
    for scene in SCENES:
        drawings = bag(drawings_of(scene))
        assert len(drawings) == NUM_DRAWINGS
        assert all(bag(clip_of(scene, motion)[::HOLD]) == drawings for motion in MOTIONS)
        assert len({clip_of(scene, motion).tobytes() for motion in MOTIONS}) == len(MOTIONS)


def test_no_compression_tells_the_order(tmp_path):
    """Decoded, a drawing is the same to the bit in all classes and throughout its hold; not so as usually encoded."""
    bags = []
    for motion in MOTIONS:
        write_clip(SCENES[0], motion, tmp_path / "clip.mp4")
        decoded = frames(tmp_path / "clip.mp4")
        assert decoded.shape == (NUM_DRAWINGS * HOLD, 32, 32, 3)
        assert all((decoded[hold::HOLD] == decoded[::HOLD]).all() for hold in range(HOLD))
        bags.append(bag(decoded[::HOLD]))
    assert all(found == bags[0] for found in bags) and len(bags[0]) == NUM_DRAWINGS
    for name, motion in zip("ab", NAMES[:2], strict=True):
        save_video(tmp_path / f"{name}.mp4", clip_of(SCENES[0], motion), rate=FPS)
    assert bag(frames(tmp_path / "a.mp4")) != bag(frames(tmp_path / "b.mp4"))


@pytest.mark.parametrize("indices", [np.linspace(0, 23, 8).astype(int), np.round(np.linspace(0, 23, 8)).astype(int),
                                     np.arange(8) * 3 + 1, np.linspace(0, 23.9, 8).astype(int)])
def test_eight_frames_spread_over_a_clip_are_its_eight_drawings(indices, tmp_path):
    np.testing.assert_array_equal(indices // HOLD, np.arange(NUM_DRAWINGS))
    write_clip(SCENES[1], "growing", tmp_path / "clip.mp4")
    read = np.stack(list(read_frames(tmp_path / "clip.mp4", indices / FPS)))
    np.testing.assert_array_equal(read, frames(tmp_path / "clip.mp4")[::HOLD])


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_pictures_show_what_the_class_says(motion):
    """A red circle has the sizes that the motion names."""
    clip = clip_of(Scene(1, 0, 0, ("red", "circle"), 96), motion)[::HOLD].astype(int)
    sizes = [(picture[..., 0] - picture[..., 1:].max(-1) > 60).sum() for picture in clip]
    assert tuple(np.argsort(np.argsort(sizes))) == MOTIONS[motion]


def features(scenes: range, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey frames of all clips of some scenes, (clips, 8, 256), and their labels; a clip of each class in turn."""
    clips = []
    for index in scenes:
        scene = Scene(5, split, index, LOOKS[index % 24], 32)
        small = np.stack([cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (12, 12), interpolation=cv2.INTER_AREA)
                          for picture in drawings_of(scene)]).reshape(NUM_DRAWINGS, -1)
        clips += [small[list(MOTIONS[motion])] for motion in MOTIONS]
    return np.stack(clips).astype(float), np.arange(len(clips)) % len(MOTIONS)


def test_a_bag_of_frames_stays_at_chance_and_differences_do_not():
    (train, labels), (test, truth) = features(range(120), 0), features(range(40), 2)

    def accuracy(view) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
        return model.fit(view(train), labels).score(view(test), truth)

    assert accuracy(lambda clips: clips.mean(1).round(9)) == 1 / len(MOTIONS)      # rounded: a sum's order shows in it
    assert accuracy(lambda clips: np.diff(clips, axis=1).reshape(len(clips), -1)) > 0.9


# The set


def test_lists_hold_every_class_equally_often_and_their_files_are_there(dataset):
    assert (dataset / "classes.txt").read_text().split("\n")[:-1] == NAMES
    assert not (dataset / "val.csv").exists() and not (dataset / "unseen.csv").exists()
    paths = set()
    for name, scenes in (("train", 3), ("test", 1)):
        rows = [line.rsplit(" ", 1) for line in (dataset / f"{name}.csv").read_text().splitlines()]
        assert Counter(label for _, label in rows) == {str(label): scenes for label in range(len(MOTIONS))}
        assert all(NAMES[int(label)].replace(" ", "_") in path for path, label in rows)
        paths |= {Path(path) for path, _ in rows}
    assert paths == set(dataset.rglob("*.mp4"))


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(dataset, tmp_path):
    for seed in (0, 1):
        make_actions(tmp_path / str(seed), train=1, val=0, test=1, size=32, seed=seed, workers=1)
        for path in (tmp_path / str(seed)).rglob("*.mp4"):
            same = path.read_bytes() == (dataset / path.relative_to(tmp_path / str(seed))).read_bytes()
            assert same == (seed == 0)
    train, test = (next((dataset / split).glob("00000_growing.mp4")) for split in ("train", "test"))
    assert train.read_bytes() != test.read_bytes()


def test_a_second_run_makes_only_what_is_missing(tmp_path):
    settings = {"train": 1, "val": 0, "test": 0, "size": 32, "workers": 1}
    make_actions(tmp_path, **settings)
    lost = tmp_path / "train/00000_shrinking.mp4"
    before = lost.read_bytes()
    lost.unlink()
    report = make_actions(tmp_path, **settings)
    assert report.done == [str(lost)] and len(report.kept) == len(MOTIONS) - 1 and lost.read_bytes() == before
    report = make_actions(tmp_path, **{**settings, "train": 0, "test": 1})
    assert len(report.done) == len(MOTIONS) and not (tmp_path / "train.csv").exists()     # no list of an earlier run
    with pytest.raises(UserError, match='"seed": 0.*"seed": 1.*another --save_root'):
        make_actions(tmp_path, **settings, seed=1)


def test_files_from_elsewhere_are_left_alone(tmp_path):
    (tmp_path / "train.csv").write_text("a.mp4 0\n")
    with pytest.raises(UserError, match="train.csv: not made here"):
        make_actions(tmp_path, train=1, workers=1)
    assert (tmp_path / "train.csv").read_text() == "a.mp4 0\n"


@pytest.mark.parametrize("settings, message", [
    ({"train": -1}, "--train -1"), ({"train": 0, "val": 0, "test": 0}, "nothing to make"), ({"size": 30}, "--size 30"),
    ({"size": 65}, "--size 65"), ({"seed": -1}, "--seed -1"), ({"kind": "verbs"}, "--kind verbs"),
])
def test_settings_that_make_no_sense_are_refused(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        make_actions(tmp_path / "set", **settings)
    with pytest.raises(UserError, match="control characters"):
        make_actions(tmp_path / "a\nset")
    assert not list(tmp_path.iterdir())


# Words


def test_an_unseen_class_is_a_new_combination_of_seen_words():
    seen, unseen = word_classes()
    assert len(seen) == 144 and len(unseen) == 48 and len({*seen, *unseen}) == 192
    assert all({words[part] for words in seen} == {*words} for part, words in enumerate((COLOURS, SHAPES, MOTIONS)))
    for first, second in ((0, 1), (0, 2), (1, 2)):      # each pair of words is seen, only the three together are new
        assert {(c[first], c[second]) for c in unseen} <= {(c[first], c[second]) for c in seen}


def test_frames_leave_a_class_and_its_partner_among_the_unseen():
    for look in LOOKS:
        left = tuple(motion for *other, motion in word_classes()[1] if tuple(other) == look)
        assert left in PARTNERS


def test_the_command_makes_a_set_of_words(tmp_path):
    root = tmp_path / "words"
    assert main(["--save_root", str(root), "--kind", "words", "--train", "1", "--val", "1", "--test", "2",
                 "--size", "32", "--workers", "1"]) == 0
    names = (root / "classes.txt").read_text().splitlines()
    assert names == class_names("words")
    assert "red circle growing twice" in names[:144] and "red circle growing" in names[144:]
    labels = {name: [int(line.rsplit(" ", 1)[1]) for line in (root / f"{name}.csv").read_text().splitlines()]
              for name in ("train", "val", "test", "unseen")}
    assert {name: len(found) for name, found in labels.items()} == {"train": 6, "val": 6, "test": 12, "unseen": 4}
    assert min(labels["unseen"]) >= 144 > max(labels["train"] + labels["val"] + labels["test"])
    assert len(list(root.rglob("*.mp4"))) == 28
