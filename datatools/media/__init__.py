"""Video and sound out of a media file, by the time at which they are shown and heard; and pictures into a video.

    samples = read_audio("episode.mkv")                      # float32 (n,), 22,050 Hz, mono
    for image in read_frames("episode.mkv", range(200)):     # uint8 (height, width, 3), RGB, or None after the end
        ...

Time zero is the container's start (the earliest of its streams), so that picture and sound stay together.

    probe.py      opens a file, and tells what it promises
    packets.py    packets to decoded frames: seeking, leaving out what is not asked for, telling a damaged file
    sound.py      frames of sound to samples
    pictures.py   frames of video to the pictures at given times
    writing.py    pictures to a video
"""

from datatools.media.pictures import read_frames
from datatools.media.probe import MediaError, MediaInfo, probe
from datatools.media.sound import SAMPLE_RATE, read_audio
from datatools.media.writing import save_video

__all__ = ["SAMPLE_RATE", "MediaError", "MediaInfo", "probe", "read_audio", "read_frames", "save_video"]
