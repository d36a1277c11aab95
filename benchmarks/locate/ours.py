"""locate.py's answers for one season; methods.py runs this in a process of its own.

    python benchmarks/locate/ours.py 90 OUTPUT.json SEASON      # usual length of a theme, s

It is the pass that locate.py makes, in this process, with a state that knows nothing yet.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.locate.rivals import USUAL_THEME
from datatools.stages import Pool
from episodes.candidates import USUAL_RULES
from episodes.locating import Asked, run_pass
from episodes.markers import save_json
from episodes.season_ways import season_ways
from tools.known_seasons import season_rules


def main(words: list[str]) -> int:
    theme, output, folder = float(words[0]), Path(words[1]), Path(words[2])
    ways = season_ways(rules=season_rules(theme) if theme < USUAL_THEME else USUAL_RULES)
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(sys.stderr):
        report = run_pass(Asked((folder,), Path(place, "state.sqlite"), pool=Pool(here=True)), ways)
    save_json(output, report.episodes)
    for path, reason in report.failed + report.left:
        print(f"{path}: {reason}", file=sys.stderr)
    return 1 if report.failed or report.left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
