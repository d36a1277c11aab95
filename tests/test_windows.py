"""Windows of a file beside clips that are cut out of it, preprocessed and loaded; and what a window costs."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from media_files import numbered_picture, write_media

from datatools.clips import ClipSet
from datatools.dataset import ClipDataset
from datatools.extract import extract_all
from datatools.features import extract_frames, extract_mfcc, extract_text_boxes
from datatools.layout import Clip
from datatools.media import MediaError
from datatools.windows import window, windows

RATE = 20_480       # Hz; a packet of 1,024 samples lasts 0.05 s, so that sound can be cut where pictures are
FPS, KEY = 2, 12    # a key frame every 6 s


class CornerDetector:
    """Takes the bright pixels of a picture's left half for a text; no package is loaded."""

    def detect(self, image):
        rows, columns = np.nonzero(image[:, :image.shape[1] // 2, 0] > 127)
        if not len(rows):
            return []
        x1, x2, y1, y2 = (float(v) for v in (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1))
        return [([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], "", 1.0)]


def write_episode(path: Path, seconds: int) -> Path:
    """Pictures that tell their number, and a sound whose loudness and pitch change."""
    times = np.arange(seconds * RATE) / RATE
    sound = np.sin(2 * np.pi * (300 + 40 * np.sin(times)) * times) * (0.3 + 0.2 * np.sin(0.7 * times))
    images = [numbered_picture(1 + index % 255) for index in range(FPS * seconds)]
    return write_media(path, images, fps=FPS, sound=sound[None].astype(np.float32), sound_rate=RATE,
                       sound_codec="pcm_s16le", video_options={"g": str(KEY)})


@pytest.fixture(scope="module")
def episode(tmp_path_factory) -> Path:
    return write_episode(tmp_path_factory.mktemp("episode") / "long.mkv", 40)


def cut(source: Path, target: Path, start: float, seconds: float, copy: bool) -> Path:
    """The span as a file of its own; its sound as it is, its pictures as they are (`copy`) or encoded without loss."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video, audio = old.streams.video[0], old.streams.audio[0]
        new_audio = new.add_stream_from_template(audio)
        if copy:
            new_video = new.add_stream_from_template(video)
        else:
            new_video = new.add_stream("libx264", rate=FPS, options={"qp": "0", "preset": "ultrafast"})
            new_video.width, new_video.height, new_video.pix_fmt = video.width, video.height, "yuv420p"
            new_video.codec_context.time_base = Fraction(1, 1000)
        for packet in old.demux(video, audio):
            if packet.pts is None:
                continue
            second, base = float(packet.pts * packet.time_base), packet.time_base
            inside = start <= second < start + seconds
            if packet.stream is video and not copy:
                for frame in packet.decode():
                    if inside:
                        frame.pts, frame.time_base = round((second - start) * 1000), Fraction(1, 1000)
                        frame.pict_type = av.video.frame.PictureType.NONE
                        new.mux(new_video.encode(frame))
            elif inside:
                packet.pts = packet.dts = packet.pts - round(start / base)
                packet.stream = new_video if packet.stream is video else new_audio
                new.mux(packet)
        if not copy:
            new.mux(new_video.encode())
    return target


def load(clip: Path, root: Path, monkeypatch) -> dict[str, torch.Tensor]:
    """The batch that ClipDataset gives of one clip, which the one pass preprocesses."""
    monkeypatch.setattr("datatools.extract.shared_detector", lambda: CornerDetector())
    name = Clip("own", "a_end")
    (root / "own").mkdir(parents=True)
    (root / "ROIs").mkdir()
    outputs = {"audio": name.mfcc(root), "frames": name.frames(root), "roi": name.text_roi(root)}
    _, found = extract_all(clip, outputs)
    assert [status for status, _, _ in found.values()] == ["ok"] * 3
    return ClipDataset(root, ClipSet([name], None), ("mfcc", "frames", "text_roi")).batch([0])


@pytest.mark.parametrize(("start", "seconds", "copy"), [(12.0, 200, True), (18.0, 9, True), (7.5, 200, False)])
def test_a_window_is_what_the_clip_cut_out_there_is(episode, tmp_path, monkeypatch, start, seconds, copy):
    expected = load(cut(episode, tmp_path / "a_end.mkv", start, seconds, copy), tmp_path / "out", monkeypatch)
    found = window(episode, start, seconds, kind=2, detector=CornerDetector())
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
    for name in ("index", "kind", "frames", "text_roi"):
        assert torch.equal(found[name], expected[name]), name
    assert found["frames"].any() and found["text_roi"].any()
    steps = 1 + round(min(seconds, 40 - start) * 22_050) // 512
    assert not found["mfcc"][..., steps:].any() and found["mfcc"][..., steps - 1].any()
    # A clip's sound begins and ends at once, which the resampler hears in the first and last steps.
    difference = (found["mfcc"] - expected["mfcc"])[0].abs()
    assert difference[:, 2:steps - 2].max() < 0.5
    assert difference.max() < 60


def test_windows_are_rows_of_one_batch(episode):
    detector = CornerDetector()
    batch = windows(episode, [0.0, 13.5, 31.0], 8, kind=1, detector=detector)
    assert batch["index"].tolist() == [0, 1, 2] and batch["kind"].tolist() == [1, 1, 1]
    for row, start in enumerate((0.0, 13.5, 31.0)):
        one = window(episode, start, 8, detector=detector)
        assert all(torch.equal(batch[name][row], one[name][0]) for name in ("mfcc", "frames", "text_roi"))


def test_only_the_inputs_asked_for_are_there(episode):
    assert window(episode, 5.0, 4, inputs=("mfcc",)).keys() == {"index", "kind", "mfcc"}
    batch = window(episode, 5.0, 4, inputs=("frames", "text_roi"))
    assert batch.keys() == {"index", "kind", "frames", "text_roi"}
    assert batch["kind"].tolist() == [0] and not batch["text_roi"].any()      # no detector was given


def test_features_of_a_span_tell_the_span(episode):
    frames = extract_frames(episode, start=20.0, seconds=5)
    assert frames.shape == (5, 66, 88, 3)
    assert np.array_equal(frames, extract_frames(episode)[20:25])
    assert extract_mfcc(episode, start=20.0, seconds=5).shape == (20, 1 + 5 * 22_050 // 512)
    boxes, whole = (extract_text_boxes(episode, CornerDetector(), *span) for span in ((20.0, 5), (0.0, 40)))
    assert list(boxes.values()) == [whole[str(second)] for second in range(20, 25)]
    assert list(boxes) == ["0", "1", "2", "3", "4"]


def test_a_window_behind_the_end_is_told(episode):
    with pytest.raises(MediaError, match="its sound ends before 50.0 s"):
        window(episode, 50.0)
    with pytest.raises(MediaError, match="its picture ends before 50.0 s"):
        window(episode, 50.0, inputs=("frames",))


def test_a_damaged_place_ends_a_salvaged_window(episode, tmp_path):
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(episode.read_bytes()[:episode.stat().st_size // 2])
    with pytest.raises(MediaError, match="cut off or damaged"):
        window(broken, 12.0)
    damage: list[str] = []
    batch = window(broken, 12.0, salvage=damage)
    assert damage and batch["frames"][0, 2].any() and not batch["frames"][0, 15:].any()


def bytes_read() -> int:
    """Bytes that this process has read from files so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
def test_a_window_costs_its_own_span(tmp_path):
    """A file ten times as long is read as much for a window, at its end too: what lies before is not decoded."""
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 300 * 22_050)).astype(np.float32)
    sizes, costs = {}, {}
    for seconds, starts in ((30, [15.0]), (300, [15.0, 285.0])):
        path = write_media(tmp_path / f"{seconds}.mp4", [numbered_picture(1 + k % 255) for k in range(2 * seconds)],
                           fps=2, sound=noise[:, :seconds * 22_050], sound_rate=22_050)
        sizes[seconds] = path.stat().st_size
        window(path, 0.0, 1)      # modules are read at the first use
        for start in starts:
            before = bytes_read()
            window(path, start, 10)
            costs[seconds, start] = bytes_read() - before
    index = 0.1 * sizes[300]      # what tells where packets lie; it grows with the file
    assert costs[300, 15.0] < costs[30, 15.0] + index
    assert costs[300, 285.0] < costs[30, 15.0] + index
    assert max(costs.values()) < 0.5 * sizes[300]
