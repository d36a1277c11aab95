"""The preprocessing stages of one clip, from its file to feature files; the clip is decoded once for all stages.

    extract_clip(source, {"audio": mfcc_path, "frames": frames_path})       # a damaged clip is an error
    extract_all(source, {"audio": mfcc_path, "frames": frames_path})        # takes what a damaged clip holds

`outputs` is {stage: where it writes}. The stages:

    audio   the MFCC of the sound           frames  one small picture a second
    text    the text boxes, as JSON         roi     the text boxes, as masks
    video   a video of 1 fps

and one for each encoder, of its name: a vector a second.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from datatools.encoders import SOUND, Encoder
from datatools.errors import describe_error
from datatools.features import (
    FRAME_HEIGHT,
    FRAME_WIDTH,
    HOP,
    MOST_SECONDS,
    NUM_MFCC,
    ROI_HEIGHT,
    ROI_WIDTH,
    SAMPLE_RATE,
    encode_sound,
    extract_mfcc,
    extract_pictures,
    mfcc,
)
from datatools.files import save_array
from datatools.layout import CLIP_SECONDS
from datatools.manifest import FAILED, OK, PARTIAL, digest_of, fingerprint
from datatools.media import MediaError, probe, read_audio
from datatools.text_boxes import digest_of_boxes, save_part
from datatools.text_detector import shared_detector
from datatools.text_roi import paint_boxes

AUDIO, FRAMES, TEXT, ROI, VIDEO = "audio", "frames", "text", "roi", "video"
PACKAGES = {AUDIO: ("av", "soxr", "librosa"), FRAMES: ("av", "opencv-python-headless"), TEXT: ("av",),
            ROI: ("numpy",), VIDEO: ("av",)}
SHORT_SECONDS = 1.5         # s; a stream that ends this much before its file counts as partial

Outcome = tuple[str, str, str]      # status, reason, SHA-256 of the output


def stage_settings(identity: dict) -> dict[str, dict]:
    """{stage: settings that determine its output}; `identity` is the text detector's."""
    detector = {key: identity[key] for key in ("name", "models", "settings")}
    return {
        AUDIO: {"sample_rate": SAMPLE_RATE, "hop": HOP, "n_mfcc": NUM_MFCC},
        FRAMES: {"height": FRAME_HEIGHT, "width": FRAME_WIDTH, "seconds": CLIP_SECONDS},
        TEXT: {"detector": detector},
        ROI: {"detector": detector, "height": ROI_HEIGHT, "width": ROI_WIDTH},
        VIDEO: {"rate": 1},
    }


def stage_versions(identity: dict) -> dict[str, dict[str, str]]:
    """{stage: {package: version}}."""
    found = {stage: {name: version(name) for name in names} for stage, names in PACKAGES.items()}
    found[TEXT][identity["name"]] = identity["version"]
    return found


def extract_clip(source: Path, outputs: dict[str, Path], detector_arguments: tuple = ()) -> None:
    """Run the stages named in `outputs` on one clip, decoding it once.

    Raises MediaError where any part of the clip is damaged, UserError where the detector cannot be loaded, OSError
    where an output cannot be written. An output is whole or does not exist.
    """
    if AUDIO in outputs:
        save_array(outputs[AUDIO], extract_mfcc(source))
    if outputs.keys() - {AUDIO}:
        write_pictures(source, outputs, detector_arguments)


def extract_roi(boxes_per_second: dict[str, list], target: Path) -> None:
    """Write the mask of one clip whose text boxes are known. Raises UserError or OSError."""
    save_array(target, paint_boxes(boxes_per_second))


def write_pictures(
    source: Path,
    outputs: dict[str, Path],
    detector_arguments: tuple,
    identity: list | None = None,
    salvage: list[str] | None = None,
    encoders: tuple[Encoder, ...] = (),
) -> tuple[int, dict[str, list]]:
    """Run all stages but the sound's; returns the number of seconds with a picture, and the text boxes.

    `identity`: the clip's fingerprint, if known. `encoders`: as for `extract_all`. Raises as `extract_clip`; `salvage`
    as for read_frames.
    """
    detector = shared_detector(*detector_arguments) if {TEXT, ROI} & outputs.keys() else None
    if TEXT in outputs and identity is None:
        identity = fingerprint(source)      # first: the file may be replaced while it is read
    made = extract_pictures(
        source, detector=detector, encoders=encoders, video=outputs.get(VIDEO), salvage=salvage
    )
    if FRAMES in outputs:
        save_array(outputs[FRAMES], made.frames)
    if TEXT in outputs:
        save_part(outputs[TEXT], identity, made.boxes)
    if ROI in outputs:
        save_array(outputs[ROI], paint_boxes(made.boxes))
    for name, vectors in made.encoded.items():
        save_array(outputs[name], vectors)
    return made.count, made.boxes


@dataclass
class Taken:
    """What could be read of a clip's sound or of its picture.

    stages    what is made of it, of which at most `most` seconds count
    seconds   how much could be read
    digests   {stage: SHA-256 of its output}
    damage    messages about parts that could not be read
    failure   why nothing could be read
    """

    what: str
    stages: list[str]
    most: float
    seconds: float = 0.0
    digests: dict[str, str] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    failure: str = ""


def extract_all(
    source: Path, outputs: dict[str, Path], detector_arguments: tuple = (), encoders: tuple[Encoder, ...] = ()
) -> tuple[list, dict[str, Outcome]]:
    """Run the stages named in `outputs` on one clip, decoding it once, and take what a damaged clip holds.

    `encoders`: those that `outputs` may name.

    Returns the clip's fingerprint and {stage: (status, reason, SHA-256 of its output)}. Whatever is wrong with the clip
    gives a status, not an exception. Raises OSError where an output cannot be written.
    """
    identity = fingerprint(source)
    try:
        duration = probe(source).duration
    except MediaError as error:
        return identity, {stage: (FAILED, str(error), "") for stage in outputs}
    encoders = tuple(encoder for encoder in encoders if encoder.name in outputs)
    of_sound = {AUDIO, *(encoder.name for encoder in encoders if encoder.takes == SOUND)}
    sound = Taken("sound", [stage for stage in outputs if stage in of_sound], MOST_SECONDS)
    picture = Taken("picture", [stage for stage in outputs if stage not in of_sound], CLIP_SECONDS)
    _take(sound, lambda: _take_sound(sound, source, outputs, encoders))
    _take(picture, lambda: _take_pictures(picture, source, outputs, detector_arguments, identity, encoders))
    lasts = max(duration or 0.0, sound.seconds, picture.seconds - 1)      # the last picture may end at once
    found = {}
    for taken in (sound, picture):
        status, reason = _how_much(taken, duration, lasts)
        found |= {stage: (status, reason, taken.digests.get(stage, "")) for stage in taken.stages}
    return identity, found


def _take(taken: Taken, take: Callable[[], None]) -> None:
    """Call `take`; whatever goes wrong with the clip becomes the failure of `taken`. Raises OSError."""
    try:
        if taken.stages:
            take()
    except OSError:
        raise       # an output cannot be written, or the file is gone
    except Exception as error:
        taken.failure = describe_error(error)


def _take_sound(taken: Taken, source: Path, outputs: dict[str, Path], encoders: tuple[Encoder, ...]) -> None:
    samples = read_audio(source, duration=MOST_SECONDS, salvage=taken.damage)
    made = encode_sound(samples, encoders)
    if AUDIO in outputs:
        made[AUDIO] = mfcc(samples)
    for stage, array in made.items():
        save_array(outputs[stage], array)
        taken.digests[stage] = digest_of(outputs[stage])
    taken.seconds = min((len(samples) // HOP + 0.5) * HOP / SAMPLE_RATE, MOST_SECONDS)


def _take_pictures(
    taken: Taken, source: Path, outputs: dict[str, Path], detector_arguments: tuple, identity: list,
    encoders: tuple[Encoder, ...],
) -> None:
    count, boxes = write_pictures(source, outputs, detector_arguments, identity, taken.damage, encoders)
    taken.seconds = float(count)
    for stage in taken.stages:
        taken.digests[stage] = digest_of_boxes(boxes) if stage == TEXT else digest_of(outputs[stage])


def _how_much(taken: Taken, duration: float | None, lasts: float) -> tuple[str, str]:
    """(status, reason): ok only where nothing is damaged, and sound, picture and file agree on how long they last.

    `duration`: that the file states, in seconds; None where it states none. `lasts`: the longest of the three.
    """
    what, seconds, most = taken.what, taken.seconds, taken.most
    if taken.failure:
        return FAILED, taken.failure
    if taken.damage:
        return PARTIAL, f"{seconds:.0f} s of {what}: {taken.damage[0]}"
    if seconds < min(lasts, most) - SHORT_SECONDS:
        return PARTIAL, f"its {what} ends after {seconds:.0f} s of {lasts:.0f} s"
    if duration is not None and duration > most + SHORT_SECONDS:
        return PARTIAL, f"the first {most:.0f} s of {duration:.0f} s; cut the file into clips"
    if duration is not None and seconds > duration + SHORT_SECONDS:
        return PARTIAL, f"its {what} lasts {seconds:.0f} s, but the file states {duration:.0f} s. Encode it again"
    return OK, ""
