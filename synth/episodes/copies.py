"""Copies of a made episode as old archives hold them: of low bit rate, 4% faster, of 8 kHz; encoded by ffmpeg.

    write_copy(Path("original.mkv"), Path("copy.mkv"), "8 kHz mono")
"""

import subprocess
from pathlib import Path

import av
import imageio_ffmpeg

# ffmpeg's words for each kind of copy (plan.COPIES). 24000/1001 pictures a second become 25, and the sound as much
# faster: higher in pitch, as on a tape that runs faster, or stretched back to its pitch.
RETIMED = 25 * 1001 / 24_000
FASTER = ["-vf", f"setpts=PTS/{RETIMED!r}", "-r", "{faster}", "-af"]
WORDS = {
    "low bit rate": ["-b:v", "{tenth}", "-maxrate", "{tenth}", "-bufsize", "{tenth}", "-b:a", "24k"],
    "4% faster": [*FASTER, f"asetrate={{rate}}*{RETIMED!r},aresample={{rate}}"],
    "4% faster, same pitch": [*FASTER, f"atempo={RETIMED!r}"],
    "8 kHz mono": ["-ar", "8000", "-ac", "1", "-c:v", "copy"],
}
EXACT = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-threads", "1", "-filter_threads",
         "1"]


def write_copy(source: Path, target: Path, copy: str) -> None:
    """Write a copy of `source`. Raises ValueError with ffmpeg's first line."""
    with av.open(str(source)) as container:
        rate = container.streams.audio[0].rate
        shown = container.streams.video[0].average_rate
        bits = source.stat().st_size * 8 / (container.duration / av.time_base)
    words = [word.format(tenth=max(8_000, int(bits / 10)), rate=rate, faster=shown * 25 * 1001 / 24_000)
             for word in WORDS[copy]]
    done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(source), "-preset",
                           "veryfast", "-c:a", "aac", *words, *EXACT, str(target)], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{source}: ffmpeg: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")
