"""The worst clips to look at: the seconds that strips and film show, their marks, the sound, and what is no clip."""

from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np
import pytest
from evaluation_helpers import run, write_files
from media_files import numbered_picture, read_number, tone, write_media

from datatools.media import probe, read_audio, read_frames
from datatools.submission import write_submission
from utils.previews import (
    BAR_HEIGHT,
    FOUND_COLOUR,
    MARK_HEIGHT,
    TRUE_COLOUR,
    Boundary,
    boundary_animation,
    surroundings,
    write_film,
    write_strips,
)


def small_frames() -> np.ndarray:
    """uint8 (200, 66, 88, 3); each shows its second."""
    return np.stack([numbered_picture(second, 88, 66) for second in range(200)])


def write_video(path: Path, seconds: int, sound_from: float = 0.0, size: tuple[int, int] = (128, 64)) -> Path:
    """A clip whose picture k stands from second k to k + 1, with a tone from `sound_from` on."""
    sound = tone(seconds, 22_050)
    sound[:, :round(sound_from * 22_050)] = 0
    images = [numbered_picture(index // 5, *size) for index in range(5 * seconds)]
    return write_media(path, images, fps=5, sound=sound, sound_rate=22_050)


def is_near(pixels: np.ndarray, colour: tuple[int, int, int], most: int = 40) -> bool:
    return bool(np.abs(pixels.reshape(-1, 3).mean(0) - colour).max() < most)


# ---------------------------------------------------------------- animated strips


@pytest.mark.parametrize("found, first", [(100.2, 94), (2.0, 0), (199.0, 188)])
def test_a_strip_shows_the_seconds_around_the_found_boundary_and_where_it_and_the_truth_lie(tmp_path, found, first):
    boundary_animation(tmp_path / "a.gif", small_frames(), truth=found - 1.5, found=found)
    pictures = imageio.imread(tmp_path / "a.gif", index=None)
    assert [read_number(picture[:-BAR_HEIGHT]) for picture in pictures] == list(range(first, first + 12))
    width = pictures.shape[2]
    for time, colour in ((found, FOUND_COLOUR), (found - 1.5, TRUE_COLOUR)):
        column = int((time - first) / 12 * width)
        assert is_near(pictures[5, -BAR_HEIGHT + 2:-2, column], colour), (time, colour)
    for second in (0, 11):      # of the strip: the second shown is lighter on the time line
        light = pictures[second, -3, [18, width - 4]].mean(-1) > 80
        assert light.tolist() == [second == 0, second == 11]


def test_a_clip_without_frames_or_with_bad_ones_is_named_and_the_others_are_shown(tmp_path):
    processed = tmp_path / "processed"
    (processed / "data_C").mkdir(parents=True)
    np.save(processed / "data_C/good_end_frames.npy", small_frames())
    np.save(processed / "data_C/short_end_frames.npy", small_frames()[:7])
    (processed / "data_C/torn_end_frames.npy").write_bytes(b"\x93NUMPY")
    names = ("none_start", "torn_end", "good_end", "short_end")
    problems = write_strips(tmp_path, processed, [Boundary(name, 40, 50) for name in names])
    assert [path.name for path in tmp_path.glob("*.gif")] == ["worst_good_end.gif"]
    assert [problem.split(":")[0].rsplit("/")[-1] for problem in problems] == [
        "none_start", "torn_end_frames.npy", "short_end_frames.npy"]
    assert "no none_start_frames.npy below" in problems[0] and "(7, 66, 88, 3), expected uint8 (200" in problems[2]


# ---------------------------------------------------------------- the film


@pytest.mark.parametrize("truth, found, spans", [
    (30, 80, [(25, 35), (75, 85)]), (80, 30, [(25, 35), (75, 85)]), (30, 33, [(25, 38)]), (30, 30, [(25, 35)]),
    (2, 98, [(0, 7), (93, 100)]), (40, 150, [(35, 45), (95, 100)]), (30, 40, [(25, 45)])])
def test_a_film_shows_both_boundaries_once_and_nothing_beyond_the_clip(truth, found, spans):
    assert surroundings(Boundary("a_end", truth, found), 100.0) == spans


def test_the_film_joins_picture_sound_and_marks_in_the_clips_order(tmp_path):
    raw = tmp_path / "raw"
    (raw / "data_C").mkdir(parents=True)
    write_video(raw / "data_C/a_start.mp4", 30, sound_from=20)
    write_video(raw / "data_C/b_end.mkv", 12, size=(90, 120))
    (raw / "data_C/torn_end.mp4").write_bytes(b"\0" * 3000)
    write_media(raw / "sound_end.mp4", sound=tone(3, 22_050), sound_rate=22_050)
    boundaries = [Boundary("a_start", 22.0, 6.0), Boundary("torn_end", 1, 2), Boundary("none_end", 1, 2),
                  Boundary("sound_end", 1, 2), Boundary("b_end", 4.0, 6.5)]
    rows, problems = write_film(tmp_path / "worst.mp4", raw, boundaries)
    assert rows == [["a_start", "0.0", "1.0", "11.0"], ["a_start", "10.0", "17.0", "27.0"],
                    ["b_end", "20.0", "0.0", "11.5"]]
    assert len(problems) == 3 and "torn_end.mp4: cannot be read as a video" in problems[0]
    assert "none_end: no video of this name below" in problems[1] and "sound_end.mp4: cannot be read" in problems[2]
    assert probe(tmp_path / "worst.mp4").duration == pytest.approx(31.5, abs=0.3)
    frames = [frame for frame in read_frames(tmp_path / "worst.mp4", [0, 4, 9, 12, 18, 21, 30])]
    inner = [cv2.resize(frame[2 * MARK_HEIGHT:-2 * MARK_HEIGHT], (128, 64)) for frame in frames[:5]]
    assert [read_number(picture) for picture in inner] == [1, 5, 10, 19, 25]
    height, width = frames[0].shape[:2]
    assert height == 240 and width % 2 == 0
    middle = slice(width // 2 - 20, width // 2 + 20)      # the second clip is narrower
    past = [(is_near(f[2:MARK_HEIGHT - 2, middle], FOUND_COLOUR), is_near(f[-MARK_HEIGHT + 2:-2, middle], TRUE_COLOUR))
            for f in frames]
    assert past == [(False, False), (False, False), (True, False), (True, False), (True, True), (False, False),
                    (True, True)]
    sound = np.abs(read_audio(tmp_path / "worst.mp4", 8_000))
    loud = [sound[8_000 * second + 2_000:8_000 * second + 6_000].mean() > 0.05 for second in (2, 11, 14, 18, 25)]
    assert loud == [False, False, True, True, True]
    assert not list(tmp_path.glob(".tmp-*")) and not list(tmp_path.glob("*.m4a"))


def test_without_a_clip_that_can_be_shown_no_film_is_written(tmp_path):
    rows, problems = write_film(tmp_path / "worst.mp4", tmp_path, [Boundary("a_end", 1, 2)])
    assert rows == [] and len(problems) == 1 and not list(tmp_path.iterdir())


# ---------------------------------------------------------------- the command


def test_the_command_shows_the_worst_clips_names_a_bad_one_and_ends_with_code_1(tmp_path, capsys):
    files = write_files(tmp_path)
    truth = {"a_start": 5.0, "b_end": 8.0, "c_end": 3.0}
    files["truth"].write_text("name,seconds\n" + "".join(f"{n},{s}\n" for n, s in truth.items()))
    write_submission(files["a"], {"a_start": 5.0, "b_end": 9.0, "c_end": 30.0})
    raw, output = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    write_video(raw / "b_end.mp4", 12)
    np.save(raw / "b_end_frames.npy", small_frames())
    flags = ["--worst", 2, "--clips", raw, "--raw", raw]
    assert run(files, *flags, "--output", output) == 1
    told = capsys.readouterr()
    assert "| b_end |           0.0 |                3.0 | 12.0 |" in told.out
    assert told.err.splitlines() == [f"not shown: c_end: no c_end_frames.npy below {raw}",
                                     f"not shown: c_end: no video of this name below {raw}"]
    assert sorted(path.name for path in output.iterdir()) == [
        "errors.png", "evaluation.json", "evaluation.txt", "worst.mp4", "worst_b_end.gif"]
