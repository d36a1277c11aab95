"""Cost and score of whole demos on several seeds, as Markdown; a demo that has run already is not run again.

    python benchmarks/demo.py --seeds 0 1 2
"""

import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import count
from datatools.paths import path
from datatools.tables import markdown_table
from utils import demo


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--seeds", type=count, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work_dir", type=path, default=demo.ROOT / "work_dir", help="default: %(default)s")
    args = parser.parse_args(argv)

    from benchmarks.machine import machine

    reports = []
    for seed in args.seeds:
        work = args.work_dir / f"demo_seed{seed}"
        if not (work / "report.json").exists():
            demo.main(["--seed", str(seed), "--work_dir", str(work)])
        reports.append(json.loads((work / "report.json").read_text(encoding="utf-8")))
    print(f"\nMachine: {machine()}. {reports[0]['train']} training clips, {reports[0]['test']} test clips.\n")
    heads = [f"seed {r['seed']}" for r in reports]
    for what, key in (("seconds", "seconds"), ("CPU seconds", "cpu_seconds")):
        print(markdown(what, heads, {title: [dict(r[key])[title] for r in reports] for title, _ in reports[0][key]},
                       "{:.0f}"))
    print(markdown("score, s", heads, {name: [r["scores"]["all"][name]["score"] for r in reports]
                                       for name in reports[0]["scores"]["all"]}, "{:.2f}"))
    ratios = [r["scores"]["all"]["fused"]["score"] / r["scores"]["all"]["best constant"]["score"] for r in reports]
    print(markdown("ratio", heads, {"fused / best constant": ratios}, "{:.2f}"))
    print(markdown("fused, share within", heads,
                   {f"{s} s": [r["scores"]["all"]["fused"][f"within_{s}s"] for r in reports] for s in (1, 2, 5)},
                   "{:.0%}"))
    return 0


def markdown(title: str, heads: list[str], rows: dict[str, list[float]], form: str) -> str:
    return markdown_table([title, *heads], [[name, *map(form.format, values)] for name, values in rows.items()]) + "\n"


if __name__ == "__main__":
    run_command(main)
