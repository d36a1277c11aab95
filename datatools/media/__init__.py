"""Read a media file's pictures and sound by their presentation time, and write pictures into a video.

    samples = read_audio("episode.mkv")                      # float32 (n,), 22,050 Hz, mono
    for image in read_frames("episode.mkv", range(200)):     # uint8 (height, width, 3), RGB, or None after the end
        ...

Time zero is the container's start (the earliest of its streams), so that picture and sound stay in sync.

    probe.py      opens a file and reads what its header states
    structure.py  what the container's own sizes and checksums tell
    gaps.py       what is missing between packets, in time and in bytes
    packets.py    packets to decoded frames: seeks, skips frames that are not needed, detects damage
    sound.py      audio frames to samples
    pictures.py   frames of video to the pictures at given times
    writing.py    pictures to a video
    transcode.py  a video to one with a drawing on its pictures
"""

from datatools.media.pictures import read_every_frame, read_frames
from datatools.media.probe import MediaError, MediaInfo, probe
from datatools.media.sound import SAMPLE_RATE, read_audio
from datatools.media.transcode import Drawing, redraw
from datatools.media.writing import save_video

__all__ = [
    "SAMPLE_RATE", "Drawing", "MediaError", "MediaInfo", "probe", "read_audio", "read_every_frame", "read_frames",
    "redraw", "save_video",
]
