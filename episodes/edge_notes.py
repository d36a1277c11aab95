"""What edges.py reads around an edge of a file, kept as notes: the file is read once, also where its season grows.

    window = kept_window(notes, path, Window(61.2, 1.0, 6.0))      # one that was read near there, or this one
    sound, pictures = kept_sound(notes, path, window), kept_pictures(notes, path, window)

A window takes some 100 kB: sound in half precision, pictures as the differences from one to the next, compressed.
"""

import json
import zlib
from collections.abc import MutableMapping
from pathlib import Path

import numpy as np

from episodes.edge_signals import NUM_BANDS, SIDE, Window, read_pictures, read_sound, steps
from episodes.versions import EDGES

NEAR = 0.5           # s; a new episode moves the rough edges of the others' themes by less
MOST_WINDOWS = 12    # kept of one file; older ones are forgotten
NAME = f"edges {EDGES}"

Notes = MutableMapping[tuple[str, str], bytes]


def kept_window(notes: Notes, path: str, wanted: Window) -> Window:
    """The nearest window that was read within NEAR of the wanted one; that itself where there is none."""
    near = [each for each in _windows(notes, path) if (each.rate, each.reach) == (wanted.rate, wanted.reach)
            and abs(each.place - wanted.place) <= NEAR]
    return min(near, key=lambda each: abs(each.place - wanted.place), default=wanted)


def kept_sound(notes: Notes, path: str, window: Window) -> np.ndarray | None:
    """As edge_signals.read_sound, in half precision."""
    key = (path, _name("sound", window))
    if key not in notes:
        found = read_sound(Path(path), window)
        if found is None:
            return None
        _keep(notes, key, window, found.astype("<f2").tobytes())
    values = np.frombuffer(zlib.decompress(notes[key]), "<f2")
    return values.reshape(-1, NUM_BANDS).astype(np.float32)


def kept_pictures(notes: Notes, path: str, window: Window) -> np.ndarray | None:
    """As edge_signals.read_pictures."""
    key = (path, _name("pictures", window))
    if key not in notes:
        found = read_pictures(Path(path), window)
        if found is None:
            return None
        _keep(notes, key, window, _packed(found))
    return _unpacked(zlib.decompress(notes[key]), len(steps(window.reach)))


def _name(kind: str, window: Window) -> str:
    return f"{NAME} {kind} {window.place!r} {window.rate!r} {window.reach!r}"


def _windows(notes: Notes, path: str) -> list[Window]:
    return [Window(*each) for each in json.loads(notes.get((path, NAME), b"[]"))]


def _keep(notes: Notes, key: tuple[str, str], window: Window, content: bytes) -> None:
    path, _ = key
    notes[key] = zlib.compress(content)
    known = _windows(notes, path)
    if window in known:
        return
    for old in known[:-(MOST_WINDOWS - 1)]:
        for kind in ("sound", "pictures"):
            notes.pop((path, _name(kind, old)), None)
    kept = [*known[-(MOST_WINDOWS - 1):], window]
    notes[path, NAME] = json.dumps([[each.place, each.rate, each.reach] for each in kept]).encode()


def _packed(pictures: np.ndarray) -> bytes:
    """Pictures of whole grey levels, float32 (steps, SIDE, SIDE); NaN where there are none."""
    there = np.isfinite(pictures[:, 0, 0])
    levels = np.nan_to_num(pictures).astype(np.uint8)
    is_new = np.append(True, (levels[1:] != levels[:-1]).any(axis=(1, 2)))
    changes = np.diff(levels[is_new], axis=0, prepend=np.zeros((1, SIDE, SIDE), np.uint8))      # modulo 256
    return np.packbits(there).tobytes() + np.packbits(is_new).tobytes() + changes.tobytes()


def _unpacked(content: bytes, number: int) -> np.ndarray:
    """What `_packed` got, of so many steps."""
    values = np.frombuffer(content, np.uint8)
    size = -(-number // 8)
    there, is_new = (np.unpackbits(values[begin:begin + size], count=number).astype(bool) for begin in (0, size))
    levels = np.cumsum(values[2 * size:].reshape(-1, SIDE, SIDE), axis=0, dtype=np.uint8)
    found = levels[np.cumsum(is_new) - 1].astype(np.float32)
    found[~there] = np.nan
    return found
