"""Campaigns of hostile inputs, as one Markdown table: what became of each, and every fault by name.

    python benchmarks/reliability/run.py                          # all campaigns at full length
    python benchmarks/reliability/run.py --only mutated flags     # some of them
    python benchmarks/reliability/run.py --share 0.05             # a twentieth of each

Exit code 1 where there was a fault. docs/reliability.md holds the figures.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from datatools.errors import run_command

CAMPAIGNS = {       # name: (what is tried, how many)
    "composed": ("media files: containers x codecs x what else a file holds", 150),
    "mutated": ("media files: bytes flipped, cut out, put in, cut off, joined", 500),
    "checkpoints": ("checkpoints, each inferred with and trained on", 300),
    "texts": ("submissions, labels, predictions, families, presets", 2000),
    "flags": ("every flag of every command with ten wrong values", None),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CAMPAIGNS, default=list(CAMPAIGNS))
    parser.add_argument("--share", type=float, default=1.0, help="of each campaign's length (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    args = parser.parse_args(argv)
    from benchmarks.machine import machine
    from benchmarks.reliability import checkpoints, flags, media, texts
    from benchmarks.reliability.outcome import RESULTS
    from datatools.tables import markdown_table

    functions = {"composed": media.composed, "mutated": media.mutated, "checkpoints": checkpoints.campaign,
                 "texts": texts.campaign, "flags": flags.campaign}
    rows, faults = [], []
    for name in args.only:
        what, count = CAMPAIGNS[name]
        count = None if count is None and args.share == 1 else max(1, round((count or 4000) * args.share))
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            outcomes = functions[name](count, args.seed, Path(folder) / name)
        found = Counter(outcome.result for outcome in outcomes)
        faults += [f"{name}: {outcome.name}: {outcome.told}" for outcome in outcomes if outcome.result == "fault"]
        rows.append([what, str(len(outcomes)), *(str(found[result]) for result in RESULTS),
                     f"{time.perf_counter() - started:.0f} s"])
    print(f"\n{machine()}; seed {args.seed}\n")
    print(markdown_table(["tried", "number", *RESULTS, "time"], rows))
    print("".join(f"\nfault {line}" for line in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    run_command(main)
