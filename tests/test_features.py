"""MFCC and small frames, against librosa and by hand."""

import librosa
import numpy as np
import pytest
from media_files import read_number, tone, write_clip

from datatools.features import extract_frames, extract_mfcc, fit, letterbox, mfcc
from datatools.media import read_audio


def test_mfcc_is_librosas_own():
    samples = tone(2, 22_050)[0] + 0.1 * np.random.default_rng(0).standard_normal(44_100).astype(np.float32)
    expected = librosa.feature.mfcc(y=samples, sr=22_050, n_mfcc=20)
    assert mfcc(samples, 22_050).dtype == np.float32
    np.testing.assert_allclose(mfcc(samples, 22_050), expected, atol=1e-3)


def test_mfcc_of_200_s_has_8614_steps():
    assert mfcc(np.zeros(200 * 22_050, np.float32)).shape == (20, 8614)


def test_mfcc_of_a_file_is_that_of_what_librosa_loads(tmp_path):
    import av

    path = tmp_path / "a.wav"
    sound = tone(2, 44_100, channels=2) * np.array([[1.0], [0.3]], np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        samples = (sound * 32767).astype(np.int16).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    loaded, _ = librosa.load(path)
    np.testing.assert_allclose(read_audio(path), loaded, atol=1e-5)
    np.testing.assert_allclose(extract_mfcc(path), librosa.feature.mfcc(y=loaded, n_mfcc=20), atol=0.02)


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((180, 320), (66, 88), (8, 0, 49, 88)),      # scale 0.275: 49.5 rows cut to 49, 17 spare ones: 8 above, 9 below
        ((240, 320), (66, 88), (0, 0, 66, 88)),
        ((320, 180), (66, 88), (0, 25, 66, 37)),     # scale 0.20625: 37.1 columns
        ((180, 320), (27, 36), (3, 0, 20, 36)),      # scale 0.1125: 20.25 rows
        ((10, 69), (66, 88), (27, 0, 12, 88)),       # 69 * (88 / 69) is a little below 88
    ],
)
def test_letterbox_geometry_by_hand(size, box, expected):
    assert fit(size, box)[1:] == expected


def test_letterbox_pixels_by_hand():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, :4] = (200, 100, 50)
    boxed = letterbox(image, (5, 4))                 # half size: 2 rows of 4; 3 spare rows: 1 above, 2 below
    assert boxed.shape == (5, 4, 3)
    assert boxed[[0, 3, 4]].max() == 0
    assert (boxed[1:3, :2] == (200, 100, 50)).all()
    assert boxed[1:3, 2:].max() == 0


def test_letterbox_interpolates_linearly_between_pixel_centres():
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], 90, axis=0).repeat(3, axis=2)    # 90 x 120
    boxed = letterbox(ramp, (66, 88))
    centres = (np.arange(88) + 0.5) * 120 / 88 - 0.5
    assert np.abs(boxed[33, :, 0] - 2 * centres).max() <= 2


def test_frames_are_one_a_second_and_black_after_the_end(tmp_path):
    frames = extract_frames(write_clip(tmp_path / "a.mp4", seconds=5))
    assert frames.shape == (200, 66, 88, 3)
    assert frames.dtype == np.uint8
    assert [read_number(frame[20:40]) for frame in frames[:5]] == [0, 1, 2, 3, 4]
    assert frames[5:].max() == 0
