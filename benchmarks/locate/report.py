"""The benchmark's results as Markdown: all markers, and markers by case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.locate.methods import Answered
from benchmarks.locate.rivals import USUAL_THEME
from benchmarks.locate.seasons import Season
from benchmarks.machine import machine
from datatools.tables import markdown_table
from episodes.judging import Verdict, judge, total
from utils.evaluation import bootstrap_interval

USUAL_CASE = "none of these"
HEADS = ["", "useful", "right within 1 s", "wrong", "missed", "story skipped, s", "edges: median, s", "95%, s",
         "CPU s an episode", "peak memory, MB"]


@dataclass(frozen=True)
class Row:
    """The verdict about one episode by one method."""

    season: int
    cases: tuple[str, ...]
    verdict: Verdict


def judged(seasons: Sequence[Season], answers: Sequence[Answered]) -> list[Row]:
    """A row for each episode, by the answers for each season."""
    return [Row(number, episode.cases, judge(episode.markers, answered.markers.get(episode.path, ())))
            for number, (season, answered) in enumerate(zip(seasons, answers, strict=True))
            for episode in season.episodes]


def share_cell(rows: Sequence[Row], count: Callable[[Verdict], int]) -> str:
    """Share of the true markers, with an interval by bootstrap over the seasons' shares.

    A season counts once, whatever it holds; so the share may differ a little from that of all markers together.
    """
    seasons = [total(row.verdict for row in rows if row.season == number) for number in {row.season for row in rows}]
    shares = np.array([count(each) / each.known for each in seasons if each.known])
    interval = bootstrap_interval(shares)
    return f"{shares.mean():.1%}" + (f" [{interval[0]:.0%}, {interval[1]:.0%}]" if interval else "")


def method_row(title: str, rows: Sequence[Row], answers: Sequence[Answered]) -> list[str]:
    """The cells below HEADS."""
    whole = total(row.verdict for row in rows)
    edges = [f"{value:.2f}" for value in np.percentile(whole.errors, [50, 95])] if whole.errors else ["-", "-"]
    shares = [share_cell(rows, count) for count in (
        lambda verdict: verdict.useful, lambda verdict: verdict.right, lambda verdict: verdict.wrong,
        lambda verdict: verdict.missed)]
    return [title, *shares, f"{whole.story:.0f}", *edges, f"{sum(each.cpu for each in answers) / len(rows):.2f}",
            f"{max(each.peak for each in answers) / 1e6:.0f}"]


def case_table(rows: Mapping[str, Sequence[Row]]) -> str:
    """By case of an episode: how many of the true markers got a useful one, and how many wrong ones were set."""
    first = next(iter(rows.values()))
    cases = list(dict.fromkeys(case for row in first for case in row.cases))
    lines = []
    for case in [*sorted(cases), USUAL_CASE]:
        line = []
        for own in rows.values():
            chosen = [row for row in own if (case in row.cases if case != USUAL_CASE else not row.cases)]
            verdict = total(row.verdict for row in chosen)
            line.append(f"{verdict.useful}, {verdict.wrong}")
        if chosen:
            lines.append([case, str(len(chosen)), str(verdict.known), *line])
    return markdown_table(["useful, wrong; by case", "files", "true markers", *rows], lines)


def report(seasons: Sequence[Season], answers: Mapping[str, Sequence[Answered]]) -> str:
    """Both tables, with what they were measured on."""
    rows = {method: judged(seasons, given) for method, given in answers.items()}
    first = next(iter(rows.values()))
    whole = total(row.verdict for row in first)
    families = ", ".join(dict.fromkeys(season.family for season in seasons))
    minutes = np.median([episode.duration for season in seasons for episode in season.episodes]) / 60
    about = [f"Machine: {machine()}. {len(first)} files of {minutes:.1f} min (median) of {len(seasons)} made seasons "
             f"of the split test ({families}), with {whole.known} true openings and endings. Shares are of these; "
             "intervals: 95%, bootstrap over seasons. CPU: one thread, with decoding."]
    if seasons[0].theme < USUAL_THEME:
        about.append("The episodes are short: all methods' limits of lengths and places are shortened, the tolerances "
                     "are not.")
    return "\n\n".join([" ".join(about), markdown_table(HEADS, [method_row(method, rows[method], answers[method])
                                                      for method in rows]), case_table(rows)]) + "\n"
