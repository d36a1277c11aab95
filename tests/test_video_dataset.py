"""Clips of labelled videos: which frames and parts of pictures they hold, and what broken and short videos lead to."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import numbered_picture, read_number, tone, write_media
from PIL import Image

from datatools.errors import UserError
from datatools.media import read_frames
from datatools.stages import Pool
from datatools.video_dataset import JITTER, SCALES, Sampling, VideoDataset
from datatools.video_extraction import extract_lists
from datatools.video_frames import extract_frames, frame_times
from datatools.video_lists import VideoList, read_video_lists

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"size": 32, "short_side": (32, 40), "crops": 1}


def listed(*paths: Path) -> VideoList:
    count = len(paths)
    return VideoList(Path("train.csv"), list(map(str, paths)), np.arange(count), list(range(1, count + 1)),
                     tuple(map(str, range(count))))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """MP4, 12 s, 20 pictures a second, 64x64: the number of each as stripes. Only read."""
    images = [numbered_picture(index, 64, 64) for index in range(240)]
    return write_media(tmp_path_factory.mktemp("video") / "numbers 番.mp4", images, fps=20)


@pytest.fixture(scope="module")
def broken(video, tmp_path_factory):
    path = tmp_path_factory.mktemp("broken") / "broken.mp4"
    path.write_bytes(video.read_bytes()[:2000])
    return path


def numbers(dataset: VideoDataset, index: int = 0) -> list[int]:
    """The numbers of a clip's pictures, all of which are seen whole."""
    (clip,) = dataset.batch([index])["video"].numpy()
    return [read_number(picture) for picture in clip]


def whole(**settings) -> Sampling:
    return Sampling(**{"size": 32, "short_side": (32, 32), "crops": 1, "flip": False} | settings)


def test_frames_are_counted_at_30_a_second_by_the_videos_own_times(video):
    """4 frames, 30 apart at 30 fps: 119/3/30 s from each to the next, whatever the video's rate."""
    seconds = np.arange(4) * 119 / 3 / 30
    middle = numbers(VideoDataset(listed(video), "val", whole(num_frames=4, sampling_rate=30)))
    assert middle == [int((4 + second) * 20) for second in seconds]
    test = VideoDataset(listed(video), "test", whole(num_frames=4, sampling_rate=30, views=3))
    assert [numbers(test, view)[0] for view in range(len(test))] == [0, 80, 160]
    train = VideoDataset(listed(video), "train", whole(num_frames=4, sampling_rate=30))
    begins = []
    for epoch in range(12):
        train.start_epoch(epoch)
        found = numbers(train)
        assert np.abs(np.diff(found) - 119 / 3 / 30 * 20).max() <= 1 and 0 <= found[0] <= 160
        begins.append(found[0])
    assert len(set(begins)) > 8 and max(begins) - min(begins) > 60


def test_segments_give_the_middle_of_each_and_in_training_any_place(video):
    sampling = whole(num_frames=6, segments=True)
    assert numbers(VideoDataset(listed(video), "val", sampling)) == [20, 60, 100, 140, 180, 220]
    found = np.array(numbers(VideoDataset(listed(video), "train", sampling)))
    assert (found // 40 == np.arange(6)).all() and (found % 40 != 20).any()


def test_a_video_shorter_than_its_frames_repeats_the_last(tmp_path):
    path = write_media(tmp_path / "short.mp4", [numbered_picture(index, 64, 64) for index in range(1, 4)], fps=10)
    sampling = whole(num_frames=8, sampling_rate=3)
    for mode in ("train", "val", "test"):
        assert numbers(VideoDataset(listed(path), mode, sampling)) == [1, 2, 3, 3, 3, 3, 3, 3]


def test_a_video_that_ends_long_before_its_file_does_is_still_read(tmp_path):
    """The file states only the length of its sound."""
    path = write_media(tmp_path / "a.ts", [numbered_picture(index, 64, 64) for index in range(20)], fps=10,
                       sound=tone(20, 8_000), sound_rate=8_000)
    found = numbers(VideoDataset(listed(path), "val", whole(num_frames=2, sampling_rate=15)))
    assert found[0] in (4, 5) and found[1] == 14


def test_one_draw_holds_for_all_frames_and_depends_on_seed_epoch_and_clip_alone(tmp_path):
    random = np.random.default_rng(0)
    still = random.integers(0, 256, (48, 80, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    paths = [write_media(tmp_path / f"{name}.mp4", [still] * 20, fps=10, video_options={"crf": "5"}) for name in "ab"]
    sampling = Sampling(num_frames=4, sampling_rate=8, size=64, short_side=(72, 120))

    def clips(indices, epoch, seed=0):
        dataset = VideoDataset(listed(*paths), "train", sampling, seed)
        dataset.start_epoch(epoch)
        return dataset.batch(indices)["video"].int()

    first = clips([0, 1], 0)
    assert (first - first[:, :1]).abs().max() < 12
    assert torch.equal(clips([1, 0], 0).flip(0), first) and torch.equal(clips([1], 0)[0], first[1])
    for other in (clips([0], 1), clips([0], 0, seed=1), first[1:]):
        assert (other - first[:1]).abs().float().mean() > 20


def test_mirroring_turns_half_of_the_clips_and_can_be_left_out(video):
    for flip, low, high in ((True, 4, 20), (False, 24, 24)):
        dataset, upright = VideoDataset(listed(video), "train", whole(num_frames=1, segments=True, flip=flip)), 0
        for epoch in range(24):
            dataset.start_epoch(epoch)
            place = dataset._draw(0, 0).place
            upright += numbers(dataset)[0] == int(place[0] * 240)
        assert low <= upright <= high


@pytest.mark.parametrize("portrait", [False, True])
def test_three_crops_lie_along_the_long_side(tmp_path, portrait):
    picture = np.zeros((64, 192, 3), np.uint8)
    picture[:, :64, 0] = picture[:, 64:128, 1] = picture[:, 128:, 2] = 255
    if portrait:
        picture = np.ascontiguousarray(picture.transpose(1, 0, 2))
    path = write_media(tmp_path / "wide.mp4", [picture] * 3)
    dataset = VideoDataset(listed(path), "test", Sampling(num_frames=2, size=32, short_side=(40, 40)))
    batch = dataset.batch([0, 1, 2])
    assert batch["video"].shape == (3, 2, 32, 32, 3) and batch["video"].dtype == torch.uint8
    colours = batch["video"][:, :, 8:24, 8:24].float().mean((1, 2, 3))
    assert colours.argmax(1).tolist() == [0, 1, 2] and colours.max(1).values.min() > 200
    centre = VideoDataset(listed(path), "val", Sampling(num_frames=2, size=32, short_side=(32, 40))).batch([0])["video"]
    assert centre[0, :, 8:24, 8:24].float().mean((0, 1, 2)).argmax() == 1


def test_pictures_are_scaled_bilinearly_without_antialiasing(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (128, 192, 1), np.uint8).repeat(3, 2)
    path = write_media(tmp_path / "a.mkv", [picture] * 2, codec="ffv1", fps=10)
    found = VideoDataset(listed(path), "val", Sampling(num_frames=1, size=48, short_side=(48, 48))).batch([0])["video"]
    scaled = torch.nn.functional.interpolate(torch.from_numpy(picture).permute(2, 0, 1)[None].float(), (48, 72),
                                             mode="bilinear", align_corners=False)[0, :, :, 12:60].permute(1, 2, 0)
    assert (found[0, 0].float() - scaled).abs().mean() < 6      # antialiasing changes it by more than 30


@pytest.mark.parametrize("shape", [(128, 192), (20, 30), (150, 100)])
def test_bicubic_pictures_are_pillows_within_a_grey_level(tmp_path, shape):
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 1), np.uint8).repeat(3, 2)
    path = write_media(tmp_path / "a.mkv", [picture] * 2, codec="ffv1", fps=10)
    sampling = Sampling(num_frames=1, size=48, short_side=(48, 48), bicubic=True)
    found = VideoDataset(listed(path), "val", sampling).batch([0])["video"][0, 0]
    height, width = (round(48 * side / min(shape)) for side in shape)
    (shown,) = read_frames(path, np.array([0.0]))
    scaled = np.asarray(Image.fromarray(shown).resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - 48) // 2, (width - 48) // 2
    assert np.abs(found.numpy().astype(int) - scaled[top:top + 48, left:left + 48]).max() <= 1


VARIED = {"multi_scale": True, "jitter": 0.5, "grey": 0.25}


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> Path:
    """A video of one picture, without loss: each pixel's red and green tell where it is, and blue is even. Only read.
    """
    rows, columns = np.mgrid[:64, :96]
    picture = np.stack([40 + 2 * columns, 40 + 3 * rows, np.full((64, 96), 120)], 2).clip(0, 255).astype(np.uint8)
    return write_media(tmp_path_factory.mktemp("still") / "still.mkv", [picture] * 12, codec="ffv1", fps=10)


def drawn(dataset: VideoDataset, count: int) -> list:
    """What is drawn for so many clips."""
    found = []
    for epoch in range(count):
        dataset.start_epoch(epoch)
        found.append(dataset._draw(0, 0))
    return found


def test_scales_colours_and_grey_are_drawn_in_their_ranges_and_shares(still):
    found = drawn(VideoDataset(listed(still), "train", Sampling(**VARIED)), 600)
    places = [tuple(map(SCALES.index, one.part)) for one in found]
    assert set(places) == {(a, b) for a in range(4) for b in range(4) if abs(a - b) <= 1}
    colours = np.array([one.colours for one in found if one.colours])
    assert 0.42 < len(colours) / 600 < 0.58 and 0.18 < np.mean([one.grey for one in found]) < 0.32
    assert 0.4 < np.mean([one.mirrored for one in found]) < 0.6
    for values, (low, high) in zip(colours.T, JITTER, strict=True):
        assert low <= values.min() < low + 0.05 * (high - low) and high - 0.05 * (high - low) < values.max() <= high
    plain = drawn(VideoDataset(listed(still), "train", Sampling()), 50)
    assert not any(one.part or one.colours or one.grey for one in plain)
    # What was drawn before these were there is drawn as it was.
    assert [(one.place, one.short_side, one.corners, one.mirrored) for one in plain] == [
        (one.place, one.short_side, one.corners, one.mirrored) for one in found[:50]]


def test_a_varied_clip_is_varied_alike_in_all_its_frames_and_by_seed_epoch_and_clip_alone(still):
    def clips(epoch, seed=0, **more):
        dataset = VideoDataset(listed(still, still), "train", whole(num_frames=4, flip=True, **VARIED, **more), seed)
        dataset.start_epoch(epoch)
        return dataset.batch([0, 1])["video"].int()

    first = clips(0)
    assert torch.equal(clips(0), first) and not torch.equal(first[0], first[1])
    for other in (clips(1), clips(0, seed=1)):
        assert (other - first).abs().float().mean() > 3
    for epoch in range(8):
        found = clips(epoch, segments=True)      # each frame has a time of its own
        assert torch.equal(found, found[:, :1].expand_as(found))


def test_the_drawn_part_is_cropped_where_it_was_drawn_and_scaled_to_the_clips_size(still):
    dataset = VideoDataset(listed(still), "train", whole(num_frames=1, multi_scale=True))
    for epoch, one in enumerate(drawn(dataset, 12)):
        dataset.start_epoch(epoch)
        picture = dataset.batch([0])["video"][0, 0].float()
        (top, left), (height, width) = one.corners[0], (round(64 * share) for share in one.part)
        x, y = round(left * (96 - width)) + width / 2 - 0.5, round(top * (64 - height)) + height / 2 - 0.5
        assert float(picture[..., 0].mean() - 40) / 2 == pytest.approx(x, abs=1.5)
        assert float(picture[..., 1].mean() - 40) / 3 == pytest.approx(y, abs=1.5)
        spread = float(picture[0, -1, 0] - picture[0, 0, 0]) / 2
        assert spread == pytest.approx(width * 31 / 32, abs=3)


def test_grey_clips_are_grey_and_jittered_ones_have_other_colours(still):
    grey = VideoDataset(listed(still), "train", whole(num_frames=2, grey=1.0)).batch([0])["video"].int()
    assert (grey - grey[..., :1]).abs().max() == 0 and grey.float().std() > 10
    plain, jittered = (VideoDataset(listed(still), "train", whole(num_frames=2, jitter=share)).batch([0])["video"].int()
                       for share in (0.0, 1.0))
    assert (plain - jittered).abs().float().mean() > 3 and (jittered - jittered[..., :1]).abs().max() > 20


@pytest.mark.parametrize("mode", ["val", "test"])
def test_validation_and_test_are_not_varied(still, mode):
    both = [VideoDataset(listed(still), mode, Sampling(num_frames=2, **SMALL, **more)).batch([0])["video"]
            for more in ({}, {**VARIED, "jitter": 1.0, "grey": 1.0})]
    assert torch.equal(*both)


def test_in_training_another_clip_takes_a_broken_ones_place_and_it_is_told_once(video, broken, tmp_path):
    told = []
    paths = [broken, video, tmp_path / "gone.mp4", video]

    def batch(epoch):
        dataset = VideoDataset(listed(*paths), "train", Sampling(num_frames=2, **SMALL), tell=told.append)
        dataset.start_epoch(epoch)
        return dataset, dataset.batch([0, 1, 2, 3])

    dataset, first = batch(0)
    assert len(told) == len(dataset.broken) == 2 and set(dataset.broken) == {0, 2}
    assert str(broken) in told[0] and "train.csv:1" in told[0] and "gone.mp4" in told[1] and "so far: 2" in told[1]
    assert torch.equal(first["label"], first["index"]) and set(first["label"].tolist()) <= {1, 3}
    assert torch.equal(batch(0)[1]["video"], first["video"])
    replaced = {tuple(batch(epoch)[1]["index"].tolist()) for epoch in range(8)}
    assert len(replaced) > 1
    dataset.batch([0, 2])
    assert "so far: 2" in told[1] and len(dataset.broken) == 2


def test_a_list_of_broken_videos_ends_a_training(broken):
    with pytest.raises(UserError, match="train.csv: 1 videos cannot be read.*broken.mp4"):
        VideoDataset(listed(broken), "train", Sampling(num_frames=2, **SMALL), tell=lambda text: None).batch([0])


@pytest.mark.parametrize("mode", ["val", "test"])
def test_elsewhere_a_broken_video_is_an_error_unless_it_may_be_skipped(video, broken, mode):
    told, sampling = [], Sampling(num_frames=2, **SMALL)
    with pytest.raises(UserError, match="train.csv:1: .*broken.mp4.*skip_broken"):
        VideoDataset(listed(broken, video), mode, sampling).batch([1, 0])
    dataset = VideoDataset(listed(broken, video), mode, sampling, skip_broken=True, tell=told.append)
    batch = dataset.batch([0, 1])
    assert batch["index"].tolist() == batch["label"].tolist() == [1] and len(batch["video"]) == 1
    assert len(told) == 1 and "left out" in told[0]
    assert dataset.batch([0])["video"].shape == (0, 2, 32, 32, 3)


def test_a_picture_cut_off_in_a_folder_of_frames_is_a_broken_video(video, tmp_path):
    assert extract_frames(video, tmp_path / "a", rate=2) == 24
    file = tmp_path / "a/img_00011.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match="train.csv:1: .*Truncated File Read"):
        VideoDataset(listed(tmp_path / "a"), "val", Sampling(num_frames=1, **SMALL)).batch([0])


def test_extracted_frames_give_the_clips_of_the_video(video, tmp_path):
    assert extract_frames(video, tmp_path / "all") == 240
    assert frame_times(tmp_path / "all") == pytest.approx(np.arange(240) / 20)
    for mode in ("train", "val"):
        sampling = whole(num_frames=4, sampling_rate=30)
        assert numbers(VideoDataset(listed(tmp_path / "all"), mode, sampling)) == numbers(
            VideoDataset(listed(video), mode, sampling))
    extract_frames(video, tmp_path / "few", rate=2.5, short_side=16)
    times = frame_times(tmp_path / "few")
    assert times == pytest.approx(np.arange(30) / 2.5)
    (tmp_path / "few/times.txt").unlink()      # as other programs write such folders
    assert frame_times(tmp_path / "few") == pytest.approx(np.arange(30) / 30)


def test_frames_of_lists_are_extracted_once_and_listed(video, broken, tmp_path, capsys):
    source = tmp_path / "in/train.csv"
    source.parent.mkdir()
    for path in (video, broken):
        shutil.copy(path, tmp_path / path.name)
    source.write_text(f"{tmp_path / video.name} 1\n{tmp_path / broken.name} 0\n", encoding="utf-8")
    leftover = tmp_path / "out/.part-x"
    leftover.mkdir(parents=True)
    how = {"rate": 1.0, "short_side": None, "quality": 90}
    for kept in (0, 1):
        report = extract_lists([source], tmp_path / "out", pool=Pool(here=True), **how)
        assert [len(report.kept), len(report.done), len(report.failed)] == [kept, 1 - kept, 1]
    assert "left out, train.csv:2" in capsys.readouterr().out and not leftover.exists()
    videos = read_video_lists({"train": tmp_path / "out/train.csv"})["train"]
    assert videos.paths == [str(tmp_path / "out" / video.stem)] and videos.labels.tolist() == [1]
    with pytest.raises(UserError, match="frames.json.*--force"):
        extract_lists([source], tmp_path / "out", pool=Pool(here=True), **how | {"quality": 80})
    with pytest.raises(UserError, match="another --save_root"):
        extract_lists([source], source.parent, pool=Pool(here=True), **how)


def test_the_command_names_a_missing_list(tmp_path):
    result = subprocess.run([sys.executable, ROOT / "tools/extract_frames.py", "--lists", "no.csv", "--save_root", "f"],
                            cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2 and "no.csv: no such list of videos" in result.stderr


@pytest.mark.parametrize("wrong", [{"num_frames": 0}, {"crops": 2}, {"size": 300}, {"short_side": (320, 256)}])
def test_sizes_that_do_not_fit_are_refused(wrong):
    with pytest.raises(UserError):
        Sampling(**wrong)
