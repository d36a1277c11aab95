"""What a demo found and cost: report.txt, report.json and demo.png."""

import json
from pathlib import Path

import numpy as np

from datatools.files import save_text
from datatools.labels import read_truth
from datatools.layout import KINDS, TEST_B, Clip, clips_of_kind
from datatools.scores import best_constant, score_table
from datatools.stages import number_of_cores
from datatools.submission import read_answers
from datatools.tables import text_table
from utils.demo_steps import Cost
from utils.plots import predictions_picture

CLIPS_SHOWN = 4   # strips of frames in the picture


def write_report(work: Path, settings: dict, submissions: dict[str, Path], costs: list[Cost]) -> str:
    """Score the submissions, write the three files into `work`, and return the report's text.

    `settings`: the seed and the numbers of clips, for the picture's title and the JSON; `costs` ends with the total.
    """
    rows = score_rows(submissions, work / "processed")
    title = f"Fused answer on {settings['test']} made clips, seed {settings['seed']}"
    draw(submissions["fused"], work / "processed", work / "demo.png", title)
    told = text_table(["", "s", "CPU s"], [[c.title, f"{c.seconds:.1f}", f"{c.cpu_seconds:.1f}"] for c in costs])
    text = f"{as_table(rows)}\n\nWhat it cost on {number_of_cores()} cores:\n{told}\n"
    save_text(work / "report.txt", text)
    content = {**settings, "scores": rows, "seconds": [(cost.title, cost.seconds) for cost in costs],
               "cpu_seconds": [(cost.title, cost.cpu_seconds) for cost in costs]}
    save_text(work / "report.json", json.dumps(content, indent=2))
    return text


def score_rows(submissions: dict[str, Path], processed: Path) -> dict[str, dict[str, dict[str, float]]]:
    """{"all" | "start" | "end": {submission: its scores}}; the best constant answer counts as a submission."""
    truth = read_truth(processed / TEST_B.folders[0] / "truth.csv")
    answers = {name: read_answers(path) for name, path in submissions.items()}
    answers["best constant"] = best_constant(truth)
    rows = {}
    parts = {"all": list(truth)} | {kind.title: clips_of_kind(truth, kind) for kind in KINDS}
    for part, names in parts.items():
        rows[part] = {title: score_table({n: found[n] for n in names}, {n: truth[n] for n in names})
                      for title, found in answers.items()}
    return rows


def as_table(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """The scores as text for people: all clips, then start and end clips apart."""
    heads = ["", "score", "mean error", "within 1 s", "2 s", "5 s"]
    texts = []
    for part, title in (("all", "all clips"), *((kind.title, f"{kind.title} clips") for kind in KINDS)):
        lines = [[name, f"{table['score']:.2f}", f"{table['mean_error']:.2f}",
                  *(f"{table[f'within_{limit}s']:.0%}" for limit in (1, 2, 5))] for name, table in rows[part].items()]
        texts.append(f"{title} of {TEST_B.folders[0]}; score and mean error in seconds, then shares of clips\n"
                     + text_table(heads, lines))
    fused, constant = rows["all"]["fused"]["score"], rows["all"]["best constant"]["score"]
    ratio = f"{fused / constant:.2f}" if constant else "-"      # of very short clips a constant answers all
    return "\n\n".join([*texts, f"fused score / best constant's score: {ratio}"])


def draw(submission: Path, processed: Path, picture: Path, title: str) -> None:
    """Draw the picture of one submission; its strips show clips from the best to the worst answer."""
    folder = TEST_B.folders[0]
    truth, found = read_truth(processed / folder / "truth.csv"), read_answers(submission)
    by_error = sorted(truth, key=lambda n: abs(found[n] - truth[n]))
    shown = dict.fromkeys(by_error[i] for i in np.linspace(0, len(by_error) - 1, CLIPS_SHOWN).round().astype(int))
    frames = {name: np.load(Clip(folder, name).frames(processed)) for name in shown}
    predictions_picture(picture, truth, found, frames, title)
