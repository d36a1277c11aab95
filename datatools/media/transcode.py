"""Draw on a video: its pictures get a function's drawing, its times and its sound stay.

    def prepare(width, height):                                      # of the upright picture
        return Drawing(draw, rows=(height, height + 90), below=90)
    redraw("episode.mkv", "drawn.mp4", prepare)                       # draw(picture, seconds) for each picture

A picture is converted to RGB and back only in the rows that are drawn on; the others are copied as they were decoded.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from datatools.errors import UserError
from datatools.media.packets import decode
from datatools.media.pictures import ONE_THREAD, until_damage
from datatools.media.probe import (
    MediaError,
    audio_stream,
    error_reason,
    file_duration,
    has_format,
    open_media,
    time_zero,
    video_stream,
)
from datatools.media.writing import open_output
from datatools.paths import check_output

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}     # by the target's ending
# What players play in them, of what libav would put there.
COPIED = {"mp4": {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}, "mov": {"aac", "mp3", "ac3", "eac3", "alac"},
          "matroska": {"aac", "mp3", "mp2", "ac3", "eac3", "dts", "opus", "vorbis", "flac", "alac", "pcm_s16le"}}
MP4_OPTIONS = {"movie_timescale": "90000"}      # parts of a second in which a stream's start is stated; else 1 ms
# MP4's list of all packets is in memory until the file's end. A long file gets many short ones, as streaming does.
LONG = 1800.0           # s
LONG_OPTIONS = {**MP4_OPTIONS, "movflags": "frag_keyframe+delay_moov+default_base_moof"}
DRAW_OPTIONS = {"crf": "20", "preset": "veryfast"}      # libx264's
OUTLINE = 320                                           # parts of a picture's width that an outline is thick
SOUND_RATES = (44_100, 48_000)                          # Hz; others become the last one where sound is encoded
SOUND_LAYOUTS = ("mono", "stereo", "5.1", "7.1")        # others become stereo
PLANAR = ("yuv420p", "yuvj420p")                        # formats whose planes are those of H.264
# What red and blue add to the light, by the number of the colour space; standard television's where it is not told.
STANDARD_SHARES = 0.299, 0.114
LIGHT_SHARES = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}


@dataclass(frozen=True)
class Drawing:
    """What `redraw` draws.

    draw    (picture, seconds from time zero) -> None; changes `picture`, uint8 (rows, width, 3), RGB. Rows that lie
            below the video's own are still there as it left them the time before
    rows    (first, end) of the rows that `draw` gets, of the picture with `below`; None: all
    below   number of black rows that the picture gets at its bottom; they make its height even
    boxes   (seconds from time zero) -> rectangles (left, top, right, bottom), in pixels, half open, within the video's
            own picture, that are outlined in `colour` (R, G, B)
    """

    draw: Callable[[np.ndarray, float], None]
    rows: tuple[int, int] | None = None
    below: int = 0
    boxes: Callable[[float], Sequence[tuple[int, int, int, int]]] | None = None
    colour: tuple[int, int, int] = (255, 255, 255)


Prepare = Callable[[int, int], Drawing]      # (width, height) of the upright picture, even


def redraw(
    source: Path, target: Path, prepare: Prepare, options: dict[str, str] = DRAW_OPTIONS,
    salvage: list[str] | None = None,
) -> None:
    """Write `source` with a drawing on each of its pictures: H.264 in MP4, MOV or Matroska, as `target` ends.

    `prepare(width, height)` is asked once. The size is that of the upright picture, rotated as the file says; an odd
    width or height is made even by repeating the last column or row. All pictures get the first one's size.
    Each picture keeps its time from time zero, in the source's time base, which Matroska rounds to 1 ms. Of two at the
    same time the first is kept. The sound that `read_audio` reads is copied, or encoded as AAC where players do not
    take its codec in the target's container; it keeps its time too. Other streams are left out.
    Raises MediaError where the source is damaged, UserError for a target that cannot be written, OSError as
    `open_output`; then there is no target. With a list `salvage` the target ends at a damaged place of the picture,
    damaged sound is left out, and the list gets the messages.
    """
    form = CONTAINERS.get(Path(target).suffix.lower())
    if form is None:
        raise UserError(f"{target}: ends in {Path(target).suffix!r}, expected one of {', '.join(CONTAINERS)}.")
    check_output(target, [source])
    with contextlib.ExitStack() as opened:
        container = opened.enter_context(open_media(source))
        long = (file_duration(container) or math.inf) > LONG
        told = {} if form == "matroska" else LONG_OPTIONS if long else MP4_OPTIONS
        output = opened.enter_context(open_output(target, form, told))
        opened.enter_context(_errors_name(target))
        # A picture's few rows are converted faster than OpenCV's threads wake up.
        opened.callback(cv2.setNumThreads, cv2.getNumThreads())
        cv2.setNumThreads(1)
        stream, heard = video_stream(container), audio_stream(container)
        if stream is None:
            raise MediaError(f"{source}: no picture in it (no video stream). Give a video, or remove it.")
        stream.codec_context.thread_count, stream.codec_context.thread_type = 0, "AUTO"      # 0: one a core
        sound = heard and _Sound(source, heard, output, form, salvage)
        pictures = _Pictures(stream, output, prepare, options)
        decoded = decode(source, stream, salvage=salvage, others=sound and sound.take)
        for start, lasts, frame in until_damage(decoded, salvage):
            packets = pictures.add(start, lasts, frame)
            if sound and sound.waiting is not None:
                sound.begin()
            output.mux(packets)
        if sound:
            sound.end()
        output.mux(pictures.stream.encode())


@contextlib.contextmanager
def _errors_name(target: Path) -> Iterator[None]:
    """Have an error of libav's within name the target. The source's are told where they arise."""
    try:
        yield
    except av.FFmpegError as error:
        raise UserError(f"{target}: cannot be written as {Path(target).suffix[1:]} ({error_reason(error)}). Name a "
                        "file of another kind (.mkv takes most), or encode the video again.") from error


class _Pictures:
    """The pictures of a target, drawn on and encoded. The first one sets everything up."""

    def __init__(self, source: av.VideoStream, output, prepare: Prepare, options: dict[str, str]):
        self.source, self.output, self.prepare, self.options = source, output, prepare, options
        self.base = source.time_base
        # AVI states no presentation times, and libav guesses at B-frames. Its decoding times count the pictures.
        self.is_counted = has_format(source.container, "avi")
        self.zero = round(time_zero(source.container) / self.base)
        self.stream = None
        self.last = -math.inf       # time of the last picture, in the time base
        self.converter = VideoReformatter()

    def add(self, start: float, lasts: float, frame: av.VideoFrame) -> list[av.Packet]:
        """The packets that are ready once a frame is drawn on and encoded; it is shown from `start` for `lasts` s."""
        stamp = round(start / self.base)
        if self.is_counted:
            stamp = max(stamp if frame.dts is None else frame.dts - self.zero, self.last + 1)
            start = float(stamp * self.base)
        if stamp <= self.last:
            return []      # a damaged file may show two at one time, which encoders refuse
        self.last = stamp
        if self.stream is None:
            self.size = frame.width, frame.height
        # NumPy and the file both count turns counter-clockwise.
        planes = [np.rot90(plane, round(frame.rotation / 90)) for plane in _planes(self._plain(frame))]
        if self.stream is None:
            self._begin(frame, *planes[0].shape)
        canvas = av.VideoFrame(self.width, self.full_height, "yuv420p")
        places = _planes(canvas)
        for place, plane, black in zip(places, planes, self.matrix[:, 3], strict=True):
            height, width = np.minimum(plane.shape, place.shape)
            place[:height, :width] = plane[:height, :width]
            place[:height, width:] = place[:height, width - 1:width]
            place[height:] = place[height - 1]
            place[self.height * len(place) // self.full_height:] = black
        for box in self.boxes(start) if self.boxes else ():
            for place, value in zip(places, self.colour, strict=True):
                outline(place, np.array(box) * place.shape[1] // self.width, value)
        self._draw_on(places, start)
        canvas.pts, canvas.time_base, canvas.duration = stamp, self.base, round(lasts / self.base)
        return self.stream.encode(canvas)

    def _plain(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in H.264's usual format, of the first one's size."""
        if frame.format.name in PLANAR and (frame.width, frame.height) == self.size:
            return frame
        told = {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.MPEG} if frame.format.is_rgb else {}
        return self.converter.reformat(frame, *self.size, format="yuv420p", **ONE_THREAD, **told)

    def _begin(self, frame: av.VideoFrame, height: int, width: int) -> None:
        """Ask what is drawn on pictures of this size, and set the encoder up."""
        self.width, self.height = width + width % 2, height + height % 2
        drawing = self.prepare(self.width, self.height)
        self.draw, self.full_height = drawing.draw, self.height + drawing.below + drawing.below % 2
        first, end = drawing.rows or (0, self.full_height)
        assert 0 <= first < end <= self.full_height, drawing.rows
        self.first, self.end_row = first - first % 2, end + end % 2      # colours are stored for pairs of rows
        self.strip = np.zeros((self.end_row - self.first, self.width, 3), np.uint8)
        self.converted = self.coded = None      # the strip as it was last, and the planes made of it
        self.drawn = self.strip[first - self.first:end - self.first]
        self.stream = self.output.add_stream("libx264", rate=self.source.average_rate or 25, options=self.options)
        self.stream.width, self.stream.height, self.stream.pix_fmt = self.width, self.full_height, "yuv420p"
        coded, decoded = self.stream.codec_context, self.source.codec_context
        coded.time_base = self.base
        coded.flags |= Flags.frame_duration      # else a variable rate's last picture is shown for one tick
        coded.colorspace, coded.color_range = decoded.colorspace, decoded.color_range
        coded.color_primaries, coded.color_trc = decoded.color_primaries, decoded.color_trc
        if frame.format.is_rgb:
            coded.colorspace, coded.color_range = Colorspace.SMPTE170M, ColorRange.MPEG
        self.matrix = yuv_matrix(coded.colorspace, coded.color_range == ColorRange.JPEG)
        self.boxes, self.colour = drawing.boxes, np.round(self.matrix @ (*drawing.colour, 1)).astype(np.uint8)
        self.inverse = np.linalg.inv(np.vstack([self.matrix, [0, 0, 0, 1]]))[:3]
        ratio = decoded.sample_aspect_ratio
        if ratio:
            coded.sample_aspect_ratio = 1 / ratio if round(frame.rotation / 90) % 2 else ratio

    def _draw_on(self, planes: list[np.ndarray], start: float) -> None:
        """Have the rows of a picture, as its planes, drawn on that `draw` gets."""
        own = max(0, min(self.end_row, self.height) - self.first)      # rows of the strip that the video's picture has
        rows = [plane[self.first * len(plane) // self.full_height:self.end_row * len(plane) // self.full_height]
                for plane in planes]
        if own:
            light, *colours = (plane[:own * len(plane) // len(self.strip)] for plane in rows)
            # A colour for 2 x 2 pixels is repeated here and averaged again below, so that it stays where none is drawn.
            colours = [cv2.merge([plane, plane]).reshape(len(plane), -1).repeat(2, 0) for plane in colours]
            self.strip[:own] = cv2.transform(cv2.merge([light, *colours]), self.inverse)
        self.draw(self.drawn, start)
        if own or not np.array_equal(self.strip, self.converted):      # a timeline changes less often than the picture
            self.converted = None if own else self.strip.copy()
            half = cv2.resize(self.strip, (self.width // 2, len(self.strip) // 2), interpolation=cv2.INTER_AREA)
            # All three of both, although some are not needed: OpenCV is fastest with three.
            full, half = (cv2.split(cv2.transform(image, self.matrix)) for image in (self.strip, half))
            self.coded = full[0], half[1], half[2]
        for place, plane in zip(rows, self.coded, strict=True):
            place[:] = plane


def yuv_matrix(space: int, full_range: bool) -> np.ndarray:
    """The matrix (3, 4) from R, G, B, 1 to Y, U, V, all of 0 to 255, for a colour space as ITU-T H.273 numbers them."""
    red, blue = LIGHT_SHARES.get(space, STANDARD_SHARES)
    light = np.array([red, 1 - red - blue, blue])
    matrix = np.zeros((3, 4))
    matrix[0, :3] = light
    matrix[1, :3] = (np.array([0, 0, 1]) - light) / (2 * (1 - blue))
    matrix[2, :3] = (np.array([1, 0, 0]) - light) / (2 * (1 - red))
    if not full_range:
        matrix *= np.array([[219], [224], [224]]) / 255
    matrix[:, 3] = 0 if full_range else 16, 128, 128
    return matrix


def outline(image: np.ndarray, box: Sequence[int], value) -> None:
    """Draw a rectangle (left, top, right, bottom), half open, on an image (H, W) or (H, W, C), in its own memory."""
    left, top, right, bottom = box
    thick = max(1, image.shape[1] // OUTLINE)
    for rows, columns in ((slice(top, top + thick), slice(left, right)),
                          (slice(max(top, bottom - thick), bottom), slice(left, right)),
                          (slice(top, bottom), slice(left, left + thick)),
                          (slice(top, bottom), slice(max(left, right - thick), right))):
        image[rows, columns] = value


def _planes(frame: av.VideoFrame) -> list[np.ndarray]:
    """Y, U and V of a frame in its own memory, uint8 (height, width) and (height / 2, width / 2), rounded up."""
    return [np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, :plane.width]
            for plane in frame.planes]


class _Sound:
    """The sound of a target: packets as they are, or encoded as AAC where `stream` is of a codec that is not copied.

    Packets that come before the target's first picture wait for it, since a container lists its streams before all
    packets.
    """

    def __init__(self, source: Path, stream, output, form: str, salvage: list[str] | None):
        self.source, self.stream, self.output, self.salvage = source, stream, output, salvage
        self.zero = round(time_zero(stream.container) / stream.time_base)
        self.last = -math.inf       # decoding time of the last packet, in the stream's time base
        self.reached = 0.0          # s from time zero
        self.waiting: list[av.Packet] | None = []
        self.is_told = False        # of damage
        # Matroska has no times before zero, where an encoder's first, silent packet may lie: it would move all others.
        self.earliest = 0 if form == "matroska" else -math.inf
        self.is_copied = stream.codec_context.codec.canonical_name in COPIED[form]

    def take(self, packet: av.Packet) -> None:
        """Write a packet of the source, if it is of this stream. Raises MediaError as `_fail`."""
        if packet.stream.index != self.stream.index or not packet.size:
            return
        if self.waiting is not None:
            self.waiting.append(packet)
            return
        try:
            if self.is_copied:
                self._copy(packet)
            else:
                self._encode(packet)
        except av.FFmpegError as error:
            self._fail(error)

    def begin(self) -> None:
        """Set the target's stream up, after that of the pictures, and write what has waited."""
        if self.is_copied:
            self.target = self.output.add_stream_from_template(self.stream)
        else:
            rate, layout = self.stream.codec_context.sample_rate, self.stream.codec_context.layout.name
            self.target = self.output.add_stream("aac", rate=rate if rate in SOUND_RATES else SOUND_RATES[-1],
                                                 layout=layout if layout in SOUND_LAYOUTS else "stereo")
        waiting, self.waiting = self.waiting, None
        for packet in waiting:
            self.take(packet)

    def end(self) -> None:
        if self.is_copied:
            return
        try:
            self._encode(None)
            self.output.mux(self.target.encode())
        except av.FFmpegError as error:
            self._fail(error)

    def _fail(self, error: av.FFmpegError) -> None:
        """Tell of a packet that is left out, the first time. Raises MediaError without `salvage`."""
        message = (f"{self.source}: a piece of its sound after {self.reached:.1f} s cannot be carried over "
                   f"({error_reason(error)}). The file is damaged: copy or encode it again, or remove it.")
        if self.salvage is None:
            raise MediaError(message) from error
        if not self.is_told:
            self.is_told = True
            self.salvage.append(message)

    def _copy(self, packet: av.Packet) -> None:
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or stamp <= self.last or stamp - self.zero < self.earliest:
            return      # a container takes no packet without a time, and none that goes back
        self.last, self.reached = stamp, float((stamp - self.zero) * self.stream.time_base)
        packet.pts = (packet.pts if packet.pts is not None else stamp) - self.zero
        packet.dts = stamp - self.zero
        packet.stream = self.target
        self.output.mux(packet)

    def _encode(self, packet: av.Packet | None) -> None:
        for frame in self.stream.codec_context.decode(packet):
            if frame.pts is not None:
                frame.pts -= round(self.zero * self.stream.time_base / frame.time_base)
                self.reached = float(frame.pts * frame.time_base)
            self.output.mux(self.target.encode(frame))
