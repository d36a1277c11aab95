"""Media files of every kind, whole and damaged, through preprocessing: is an array called ok also right?

    outcomes = composed(150, seed=0, folder=Path("work_dir/media"))     # containers x codecs x what else a file holds
    outcomes = mutated(500, seed=0, folder=Path("work_dir/media"))      # bytes changed, cut out, put in, cut off

Each file shows in every second another brightness, and sounds in every second at another pitch. So of each array it is
known what it must hold. A fault is an unexpected exception, a crash, more than TIME_LIMIT seconds, or an array that is
called ok and holds something else. A few bytes that are changed within a compressed picture or sound can show as
something else with nothing to tell of it, where neither codec nor container has a checksum; that is "unseen", not a
fault.
"""

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from benchmarks.reliability.outcome import Outcome
from datatools.extract import AUDIO, FRAMES, extract_all
from datatools.features import HOP, SAMPLE_RATE
from datatools.manifest import FAILED, OK
from datatools.stages import Item, Pool, run_stage

TIME_LIMIT = 30.0               # s for one file
POOL = Pool(time_limit=TIME_LIMIT)
SECONDS = 12                    # of a file
WIDTH, HEIGHT = 96, 64
BRIGHTNESS_STEP, BRIGHTNESS_RANGE = 53, 200     # a second's brightness is 24 + (53 k modulo 200)
PITCHES = (300, 700, 1100, 1500, 1900)          # Hz, in turn; below the 4 kHz of a telephone
BRIGHTNESS_ERROR = 20.0         # of 255; lossy codecs and colour ranges stay below 10
SOUND_ERROR = 0.6               # s of its length; a codec's first and last packets, and 0.5 s that an end may be off
TOUCHED = 200                   # bytes
WRONG_SECONDS = 1               # seconds of an array that may differ: one at a damaged place can pass unnoticed

VIDEO = {
    "h264": ("-c:v", "libx264", "-preset", "veryfast", "-g", "24"),
    "h264_intra": ("-c:v", "libx264", "-preset", "veryfast", "-g", "1"),
    "h264_10bit": ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p10le"),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"),
    "av1": ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1"),
    "vp8": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
    "vp9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "4"),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", "4"),
    "mjpeg": ("-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p"),
    "wmv2": ("-c:v", "wmv2", "-q:v", "4"),
    "theora": ("-c:v", "libtheora", "-q:v", "6"),
    "flv1": ("-c:v", "flv1", "-q:v", "4"),
    "none": ("-vn",),
}
AUDIO_CODECS = {
    "aac": ("-c:a", "aac"),
    "mp3": ("-c:a", "libmp3lame"),
    "opus": ("-c:a", "libopus"),
    "vorbis": ("-c:a", "libvorbis"),
    "flac": ("-c:a", "flac"),
    "ac3": ("-c:a", "ac3"),
    "pcm": ("-c:a", "pcm_s16le"),
    "wma": ("-c:a", "wmav2"),
    "none": ("-an",),
}
CONTAINERS = {      # suffix: (format, video codecs, audio codecs)
    ".mkv": ("matroska", "h264 h264_intra h264_10bit hevc av1 vp8 vp9 mpeg4 mpeg2 mjpeg none",
             "aac mp3 opus vorbis flac ac3 pcm none"),
    ".mp4": ("mp4", "h264 h264_intra h264_10bit hevc av1 vp9 mpeg4 none", "aac mp3 opus flac ac3 none"),
    ".mov": ("mov", "h264 hevc mpeg4 mjpeg none", "aac mp3 pcm ac3 none"),
    ".webm": ("webm", "vp8 vp9 av1 none", "opus vorbis none"),
    ".avi": ("avi", "mpeg4 mjpeg none", "mp3 ac3 pcm none"),
    ".ts": ("mpegts", "h264 hevc mpeg2 none", "aac mp3 ac3 opus none"),
    ".flv": ("flv", "h264 flv1 none", "aac mp3 none"),
    ".wmv": ("asf", "wmv2 none", "wma mp3 none"),
    ".ogg": ("ogg", "theora none", "vorbis opus flac none"),
}
RATES = ("24", "24000/1001", "25", "30000/1001", "12", "10", "60")
SOUND_RATES = ("22050", "44100", "48000", "8000", "32000")


@dataclass(frozen=True)
class Made:
    """A media file and what its arrays must hold: seconds of sound and of picture, 0 where it has none."""

    path: Path
    sound: float
    picture: float
    told: str
    is_touched: bool = False      # at most TOUCHED bytes are changed, the others stand where they stood


# ---------------------------------------------------------------- making files


def compose(path: Path, rng: random.Random) -> Made:
    """Write one file of a random combination below the name `path`, whose suffix it chooses."""
    suffix = rng.choice(list(CONTAINERS))
    path = path.with_suffix(suffix)
    name, videos, sounds = CONTAINERS[suffix]
    video, sound = rng.choice(videos.split()), rng.choice(sounds.split())
    if video == sound == "none":
        video = videos.split()[0]
    seconds = {"sound": float(SECONDS), "picture": float(SECONDS)}
    inputs, options, told = sources(rng, seconds), [], [name, video, sound]
    extras = rng.sample(EXTRAS, rng.choice((0, 1, 1, 2, 3)))
    for extra in sorted(extras, key=EXTRAS.index):
        if extra(path, rng, inputs, options):
            told.append(extra.__name__)
    channels = rng.choice(("1", "2", "2", "6")) if sound in ("aac", "ac3", "flac", "pcm") else "2"
    rate = "48000" if sound in ("opus", "ac3") else "44100" if sound in ("mp3", "wma") else rng.choice(SOUND_RATES)
    maps = [*(("-map", "0:v") if video != "none" else ()), *(("-map", "1:a") if sound != "none" else ())]
    command = [*inputs, *maps, *VIDEO[video], *AUDIO_CODECS[sound], "-ac", channels, "-ar", rate, *options]
    ffmpeg(*command, "-f", name, path)
    return Made(path, seconds["sound"] * (sound != "none"), seconds["picture"] * (video != "none"), " ".join(told))


def sources(rng: random.Random, seconds: dict[str, float]) -> list[str]:
    """ffmpeg's inputs 0 and 1: pictures whose brightness, and sound whose pitch tells the second."""
    # It changes in the middle of a second: a picture at a second's start may begin just before it.
    light = f"24+mod(floor(T+0.5)*{BRIGHTNESS_STEP},{BRIGHTNESS_RANGE})"
    pitches = "+".join(f"sin(2*PI*{pitch}*t)*eq(mod(floor(t),{len(PITCHES)}),{k})" for k, pitch in enumerate(PITCHES))
    source = f"nullsrc=s={WIDTH}x{HEIGHT}:r={rng.choice(RATES)}:d={seconds['picture']}"
    return ["-f", "lavfi", "-i", f"{source},geq=lum='{light}':cb=128:cr=128,noise=alls=12:allf=t,format=yuv420p",
            "-f", "lavfi", "-i", f"aevalsrc='0.4*({pitches})':s=48000:d={seconds['sound']}"]


def ffmpeg(*words) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-threads", "1", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)


# Each adds to the inputs or options of ffmpeg what a file may hold besides, and returns whether it fits the format.


def font(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    attachment = path.with_name(f"{path.stem}.ttf")
    attachment.write_bytes(rng.randbytes(rng.choice((10, 5_000, 300_000))))
    if path.suffix == ".mkv":
        options += ["-attach", attachment, "-metadata:s:t", "mimetype=application/x-truetype-font"]
    return path.suffix == ".mkv"


def subtitles(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    codec = {".mkv": "srt", ".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt"}.get(path.suffix)
    if codec:
        text = path.with_name(f"{path.stem}.srt")
        text.write_text("1\n00:00:01,000 --> 00:00:03,000\n片头\n\n2\n00:00:09,000 --> 00:01:30,000\nlong after\n")
        inputs += ["-i", text]
        options += ["-map", f"{inputs.count('-i') - 1}:s", "-c:s", codec]
    return codec is not None


def chapters(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    text = path.with_name(f"{path.stem}.ffmeta")
    text.write_text(";FFMETADATA1\ntitle=\xff第1話\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=5000\ntitle=Opening\n",
                    encoding="utf-8")
    if path.suffix in (".mkv", ".mp4", ".mov", ".webm"):
        inputs += ["-i", text]
        options += ["-map_metadata", str(inputs.count("-i") - 1)]
    return path.suffix in (".mkv", ".mp4", ".mov", ".webm")


def cover(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    if path.suffix not in (".mkv", ".mp4"):
        return False
    picture = path.with_name(f"{path.stem}.png")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=200x300:d=1", "-frames:v", 1, picture)
    if path.suffix == ".mkv":
        options += ["-attach", picture, "-metadata:s:t", "mimetype=image/png"]
    else:
        inputs += ["-i", picture]
        options += ["-map", f"{inputs.count('-i') - 1}:v", "-c:v:1", "png", "-disposition:v:1", "attached_pic"]
    return True


def second_sound(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    if path.suffix in (".flv", ".wmv"):
        return False
    inputs += ["-f", "lavfi", "-i", f"sine=100:d={rng.choice((2, SECONDS))}"]
    options += ["-map", f"{inputs.count('-i') - 1}:a", "-disposition:a:0", "default"]
    return True


def data_stream(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    if path.suffix == ".mov":
        options += ["-timecode", "01:00:00:00"]
    return path.suffix == ".mov"


def fragmented(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    if path.suffix in (".mp4", ".mov"):
        options += ["-movflags", rng.choice(("frag_keyframe+empty_moov", "frag_every_frame+empty_moov",
                                             "+faststart", "frag_keyframe+default_base_moof"))]
    elif path.suffix in (".mkv", ".webm"):
        options += rng.choice((["-live", "1"], ["-cluster_time_limit", "200"], ["-reserve_index_space", "60000"]))
    return path.suffix in (".mp4", ".mov", ".mkv", ".webm")


def b_frames(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    options += ["-bf", "2"]
    return True


def sparse(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    """Of the pictures of seconds 3 to 9 only those around the middle of each second stay: they are held."""
    if path.suffix not in (".mkv", ".mp4", ".mov"):
        return False
    held = "select='not(between(t,3,9))+lt(mod(t+0.5,1),0.1)'"
    inputs[3] = inputs[3].replace(",format=yuv420p", f",{held},format=yuv420p")
    options += ["-fps_mode", "vfr"]
    return True


def late(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    """All times begin at another number. In MP4, subtitles and covers would still begin at zero, and so the file."""
    if path.suffix in (".ts", ".mkv", ".wmv") or (path.suffix in (".mp4", ".mov") and inputs.count("-i") == 2):
        options += ["-output_ts_offset", rng.choice(("0.5", "3", "1000", "95000"))]
        return True
    return False


def padded(path: Path, rng: random.Random, inputs: list, options: list) -> bool:
    """Room for an index before the packets (Matroska), or packets without content (MPEG-TS)."""
    choices = {".ts": ["-muxrate", "3M"], ".mkv": ["-cues_to_front", "1"], ".flv": ["-flvflags", "no_metadata"],
               ".wmv": ["-packet_size", "800"], ".avi": ["-reserve_index_space", "4096"]}
    options += choices.get(path.suffix, [])
    return path.suffix in choices


EXTRAS = (font, subtitles, chapters, cover, second_sound, data_stream, fragmented, b_frames, sparse, late, padded)


# ---------------------------------------------------------------- damage


def damage(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """The bytes damaged in one way, and which."""
    kind = rng.choice(("flip", "flip in the head", "overwrite", "cut out", "cut off", "put in", "swap", "zeros",
                       "repeat", "joined"))
    data = bytearray(content)
    span = rng.choice((1, 4, 200, 5_000, 20_000, 60_000))
    start = rng.randrange(max(1, len(data) - span))
    if kind.startswith("flip"):
        for _ in range(rng.choice((1, 6, 60))):
            place = rng.randrange(min(len(data), 2_000) if "head" in kind else len(data))
            data[place] ^= 1 << rng.randrange(8)
    elif kind == "overwrite":
        data[start:start + span] = rng.randbytes(min(span, len(data) - start))
    elif kind == "cut out":
        del data[start:start + span]
    elif kind == "cut off":
        del data[rng.randrange(1, len(data)):]
    elif kind == "put in":
        data[start:start] = rng.randbytes(span)
    elif kind == "swap":
        other = rng.randrange(max(1, len(data) - span))
        data[start:start + span], data[other:other + span] = data[other:other + span], data[start:start + span]
    elif kind == "zeros":
        data[start:start + span] = bytes(min(span, len(data) - start))
    elif kind == "repeat":
        data[start:start] = data[start:start + span]
    else:
        data += content
    return bytes(data), f"{kind} {span} at {start}"


def is_touched(how: str) -> bool:
    """Whether a damage, as `damage` tells it, changes a few bytes in their places."""
    *kind, span, _, _ = how.split()
    return kind[0] == "flip" or (kind[0] in ("overwrite", "zeros") and int(span) <= TOUCHED)


# ---------------------------------------------------------------- campaigns


def composed(count: int, seed: int, folder: Path, pool: Pool = POOL) -> list[Outcome]:
    """`count` whole files of random combinations."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    while len(made) < count:
        made += _composed(folder / f"composed{len(made):04d}", rng)
    return examined(made, pool, must_be_ok=True)


def _composed(path: Path, rng: random.Random) -> list[Made]:
    """One file; none where ffmpeg does not write the combination that was drawn."""
    try:
        return [compose(path, rng)]
    except subprocess.CalledProcessError:
        return []


def mutated(count: int, seed: int, folder: Path, pool: Pool = POOL, bases: int = 10) -> list[Outcome]:
    """`count` damaged copies of `bases` files."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    originals: list[Made] = []
    while len(originals) < bases:
        originals += [made for made in _composed(folder / f"base{len(originals):02d}", rng)
                      if made.sound and made.picture]
    copies = []
    for index in range(count):
        original = originals[index % bases]
        content, how = damage(original.path.read_bytes(), rng)
        path = folder / f"mutated{index:04d}{original.path.suffix}"
        path.write_bytes(content)
        copies.append(Made(path, original.sound, original.picture, f"{original.told}, {how}", is_touched(how)))
    return examined(copies, pool, must_be_ok=False)


def examined(made: list[Made], pool: Pool, must_be_ok: bool) -> list[Outcome]:
    """Preprocess the files and compare what is called ok with what it must hold."""
    outcomes = {}
    jobs = [(one.path.name, (one.path, outputs_of(one.path))) for one in made]
    by_name = {one.path.name: one for one in made}

    def examine(item: Item) -> None:
        outcomes[item.name] = verdict(by_name[item.name], item, must_be_ok)

    run_stage("files", extract_all, jobs, pool=pool, on_item=examine)
    return [outcomes[one.path.name] for one in made]


def outputs_of(path: Path) -> dict[str, Path]:
    return {AUDIO: path.with_name(f"{path.name}_mfcc.npy"), FRAMES: path.with_name(f"{path.name}_frames.npy")}


def verdict(made: Made, item: Item, must_be_ok: bool) -> Outcome:
    name = f"{made.path.name} ({made.told})"
    if item.reason:
        return Outcome(name, "fault", item.reason)
    outputs = outputs_of(made.path)
    told, result = [], "refused"
    for stage, (status, reason, _) in item.result[1].items():
        expected = made.sound if stage == AUDIO else made.picture
        if status == OK:
            wrong = (wrong_sound if stage == AUDIO else wrong_pictures)(np.load(outputs[stage]), expected)
            if wrong:
                unseen = made.is_touched and wrong.startswith("seconds")
                return Outcome(name, "unseen" if unseen else "fault", f"{stage} is called ok, but {wrong}")
            result = "answer"
        elif status == FAILED and "Error" in reason.split(":")[0]:
            return Outcome(name, "fault", reason)
        elif must_be_ok and expected:
            return Outcome(name, "fault", f"{stage} is {status}, but nothing is wrong with it: {reason}")
        told.append(f"{stage} {status} {reason}".strip())
    return Outcome(name, result, "; ".join(told))


def wrong_pictures(frames: np.ndarray, seconds: float) -> str | None:
    """In what the frames differ from what they must show; None where they are right."""
    there = frames[:, 26:40, 20:68].mean((1, 2, 3))                         # (200,)
    count = int(frames.any((1, 2, 3)).sum())
    if abs(count - seconds) > 1:
        return f"has {count} pictures for {seconds:g} s"
    expected = 24 + np.arange(count) * BRIGHTNESS_STEP % BRIGHTNESS_RANGE
    wrong = np.flatnonzero(np.abs(there[:count] - (expected - 16) * 255 / 219) > BRIGHTNESS_ERROR)
    return f"seconds {wrong.tolist()} show something else" if len(wrong) > WRONG_SECONDS else None


def wrong_sound(mfcc: np.ndarray, seconds: float) -> str | None:
    """In what the MFCC differs from what it must hold; None where it is right.

    Seconds of the same pitch must be alike, those of different pitches must not.
    """
    lasts = mfcc.shape[1] * HOP / SAMPLE_RATE
    if abs(lasts - seconds) > SOUND_ERROR:
        return f"lasts {lasts:.2f} s instead of {seconds:g} s"
    steps = (np.arange(int(seconds)) + 0.5) * SAMPLE_RATE / HOP
    middles = np.stack([mfcc[1:13, int(step) - 8:int(step) + 8].mean(1) for step in steps])          # (S, 12)
    pitches = np.arange(int(seconds)) % len(PITCHES)
    means = np.stack([np.median(middles[pitches == pitch], axis=0) for pitch in range(len(PITCHES))])
    nearest = np.linalg.norm(middles[:, None] - means[None], axis=2).argmin(1)
    wrong = np.flatnonzero(nearest != pitches)
    return f"seconds {wrong.tolist()} sound otherwise" if len(wrong) > WRONG_SECONDS else None
