"""A rival's answers for one season, from fingerprints that are there; methods.py runs this in a process of its own.

    python benchmarks/locate/answer.py needle 90 OUTPUT.json PRINT.json ...      # usual length of a theme, s
"""

import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from benchmarks.locate.rivals import ANSWERERS, Sound, limits_for


def main(words: list[str]) -> None:
    method, theme, output, *prints = words
    sounds = []
    for name in prints:
        content = json.loads(Path(name).read_text())
        sounds.append(Sound(np.array(content["fingerprint"], np.uint32), content["duration"]))
    Path(output).write_text(json.dumps(ANSWERERS[method](sounds, limits_for(float(theme)))))


if __name__ == "__main__":
    main(sys.argv[1:])
