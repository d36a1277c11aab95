"""The accuracy benchmark's results as Markdown: scores by family and case, rivals, missing modalities, damage."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.accuracy import clips
from benchmarks.accuracy.clips import CLIP_CASES, SEASON_CASES
from benchmarks.accuracy.seed import ABLATIONS, NEW, WITHOUT, Seed
from benchmarks.machine import machine
from datatools.scores import competition_score, frame_f1
from datatools.submission import read_answers, read_predictions
from datatools.tables import markdown_table
from utils.calibration import conformal_scale, half_width, scale_by_confidence
from utils.evaluation import bootstrap_interval, compare, evaluate
from utils.run_folder import read_records

SCORE_HEADS = ["score, s", "mean error", "median", "in 0.5 s", "in 1 s", "in 5 s", "F1 of seconds"]
LEFT_OUT = "the other families, each left out"
SUREST = 0.8                           # share of the clips of the short table's last line
SHARES = (0.5, 0.7, 0.8, 0.9, 1.0)     # shares of the clips that are answered, the most confident first


def joined(
    seeds: list[Seed], title: str, families: list[str], variant: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(answers, truth) of the families' test clips over all seeds, (N,) each, in seconds."""
    parts = [seed.arrays(title, families, variant) for seed in seeds]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def interval_text(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.2f}" if interval is None else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def score_cells(found: np.ndarray, truth: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> list[str]:
    """The cells below SCORE_HEADS, from arrays (N,) as `frame_f1` of scores.py takes them."""
    table = evaluate(found, truth)
    return [interval_text(table["score"], table["score_interval"]), f"{table['mean_error']:.2f}",
            f"{table['median_error']:.2f}", *(f"{table[f'within_{limit}s']:.0%}" for limit in ("0.5", "1", "5")),
            f"{frame_f1(found, truth, starts, lengths):.1%}"]


def score_table(seeds: list[Seed], titles: list[str], groups: dict[str, list[str]]) -> str:
    """Accuracy of each title by group of families: score over all seeds and of each seed, and shares of clips."""
    rows = []
    for name, families in groups.items():
        marks = [np.concatenate(parts) for parts in zip(*(seed.marks(families) for seed in seeds), strict=True)]
        for title in titles:
            each = [competition_score(*seed.arrays(title, families)) for seed in seeds]
            score, *others = score_cells(*joined(seeds, title, families), *marks)
            rows.append([title, name, score, ", ".join(f"{score:.2f}" for score in each), *others])
    return markdown_table(["", "families", SCORE_HEADS[0], "by seed", *SCORE_HEADS[1:]], rows)


def comparison_table(seeds: list[Seed], others: list[str], groups: dict[str, list[str]]) -> str:
    rows = []
    for title in others:
        row = [title]
        for families in groups.values():
            ours, truth = joined(seeds, NEW, families)
            theirs, _ = joined(seeds, title, families)
            table = compare(theirs, ours, truth)
            ratio = table["score_against"] / table["score"] if table["score"] else float("nan")
            row += [interval_text(table["difference"], table["difference_interval"]), f"{ratio:.2f}"]
        rows.append(row)
    heads = ["another's score less AVTDist's"]
    for name in groups:
        heads += [name, "AVTDist's share of it"]
    return markdown_table(heads, rows)


def case_table(seeds: list[Seed], titles: list[str], groups: dict[str, list[str]]) -> str:
    """Score by hard case, over all clips of a case."""
    rows = []
    for case in ("", *SEASON_CASES, *CLIP_CASES):
        row = [case.replace("_", " ") or "usual"]
        for families in groups.values():
            names = [(seed, clips.folder_of(family), name) for seed in seeds for family in families
                     for name in seed.truth[clips.folder_of(family)] if seed.facts[name]["case"] == case]
            row.append(str(len(names)))
            for title in titles:
                found = [seed.answer(title, folder, name) for seed, folder, name in names]
                truth = [seed.truth[folder][name] for seed, folder, name in names]
                row.append(f"{competition_score(found, truth):.2f}" if names else "-")
        if set(row[1:]) != {"0", "-"}:
            rows.append(row)
    return markdown_table(["score, s, by case", *(f"{name}: {head}" for name in groups for head in ("clips", *titles))],
                          rows)


def missing_table(seeds: list[Seed], groups: dict[str, list[str]]) -> str:
    rows = []
    for variant in (None, *WITHOUT):
        row = [variant or "all three"]
        for families in groups.values():
            table = evaluate(*joined(seeds, NEW, families, variant))
            row += [interval_text(table["score"], table["score_interval"]), f"{table['within_1s']:.0%}"]
        rows.append(row)
    heads = ["AVTDist, modality missing in the test"]
    for name in groups:
        heads += [f"{name}: score, s", "in 1 s"]
    return markdown_table(heads, rows)


def damaged_answers(seeds: list[Seed], damage: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(answers, truth) of the copies with one kind of damage, and of the same clips undamaged; (N,) each, in s."""
    rows = []
    for seed in seeds:
        folder, source = clips.damage_folder(seed.damaged_family, damage), clips.folder_of(seed.damaged_family)
        answers, originals = read_answers(seed.path(NEW, folder)), read_answers(seed.path(NEW, source))
        by_copy = {clips.damage_name(name, damage): name for name in seed.truth[source]}
        rows += [(answers[copy], seconds, originals[by_copy[copy]], seed.truth[source][by_copy[copy]])
                 for copy, seconds in seed.truth[folder].items()]
    return tuple(np.array(rows).T)


def damage_table(seeds: list[Seed]) -> str:
    rows = []
    for damage in clips.DAMAGES:
        found, truth, *clean = damaged_answers(seeds, damage)
        table = evaluate(found, truth)
        rows.append([damage, str(len(found)), interval_text(table["score"], table["score_interval"]),
                     f"{table['mean_error']:.2f}", f"{table['within_1s']:.0%}"])
    table = evaluate(*clean)
    rows.insert(0, ["the same clips, clean", str(len(clean[0])), interval_text(table["score"], table["score_interval"]),
                    f"{table['mean_error']:.2f}", f"{table['within_1s']:.0%}"])
    return markdown_table([f"{NEW}, damaged clips of {seeds[0].damaged_family}", "clips", "score, s", "mean error",
                           "in 1 s"], rows)


def predictions_path(seed: Seed, folder: str) -> Path:
    path = seed.path(NEW, folder)
    return path.with_name(f"{path.stem}_predictions.csv")


def certain_rows(seeds: list[Seed], families: list[str]) -> list[tuple[dict[str, float], float]]:
    """(what AVTDist told, truth) of each test clip of the families over all seeds."""
    return [(row, seed.truth[folder][name]) for seed in seeds for folder in map(clips.folder_of, families)
            for name, row in read_predictions(predictions_path(seed, folder)).items()]


def sureness_tables(groups: dict[str, list[tuple[dict[str, float], float]]]) -> str:
    """How often the 90% intervals hold the truth, and the score of the most confident answers, by `certain_rows`."""
    coverage, curve = [], []
    for title, rows in groups.items():
        inside = np.mean([row["low"] <= truth <= row["high"] for row, truth in rows])
        width = np.median([row["high"] - row["low"] for row, _ in rows])
        coverage.append([title, str(len(rows)), f"{inside:.1%}", f"{width:.2f}"])
        rows = sorted(rows, key=lambda item: -item[0]["confidence"])
        cells = []
        for share in SHARES:
            kept = rows[:max(1, round(share * len(rows)))]
            score = competition_score([row["seconds"] for row, _ in kept], [truth for _, truth in kept])
            cells.append(f"{score:.2f} (from {kept[-1][0]['confidence']:.2f})")
        curve.append([title, *cells])
    return (markdown_table(["90% intervals", "clips", "hold the truth", "median width, s"], coverage) + "\n\n"
            + markdown_table(["score of the surest (least confidence)", *(f"{share:.0%}" for share in SHARES)], curve))


def calibration_table(seeds: list[Seed], groups: dict[str, list[str]]) -> str:
    """How often 90% intervals hold the truth when they are made from other clips than the checkpoint's own.

    Their widths are learnt, for each seed, from the test seasons of the families seen, which no training saw: from all
    of them for the unseen family, and for each seen season from the others.
    """
    rows = []
    for title, families in groups.items():
        asked = [Certain.of(seed, families) for seed in seeds]
        found = [scales_of(one, Certain.of(seed, list(seed.families))) for one, seed in zip(asked, seeds, strict=True)]
        for way in found[0]:
            inside = np.concatenate([one.score <= scales[way] for one, scales in zip(asked, found, strict=True)])
            width = np.concatenate([2 * one.half * scales[way] for one, scales in zip(asked, found, strict=True)])
            rows.append([title, way, str(len(inside)), share_text(inside), f"{np.median(width):.2f}"])
    return markdown_table(["90% intervals, widths learnt from", "", "clips", "hold the truth", "median width, s"], rows)


def scales_of(asked: "Certain", known: "Certain") -> dict[str, np.ndarray]:
    """{way: by what each of the `asked` intervals is widened, (N,)}; no clip's own season is among the `known` ones."""
    ways = {"its validation clips": np.ones(len(asked.score))}
    others = [known.season != season for season in asked.season]
    if not all(other.any() for other in others):
        return ways
    return ways | {
        "seasons of the families seen": np.array([conformal_scale(known.score[other]) for other in others]),
        "the same, by confidence": np.array([
            scale_by_confidence(known.score[other], known.confidence[other], asked.confidence[i:i + 1])[0]
            for i, other in enumerate(others)])}


def share_text(inside: np.ndarray) -> str:
    low, high = bootstrap_interval(inside.astype(float)) or (inside.mean(), inside.mean())
    return f"{inside.mean():.1%} [{low:.1%}, {high:.1%}]"


@dataclass(frozen=True)
class Certain:
    """AVTDist's test answers of one seed, (N,) each: errors in half widths, half widths in s, confidence, season."""

    score: np.ndarray
    half: np.ndarray
    confidence: np.ndarray
    season: np.ndarray

    @classmethod
    def of(cls, seed: Seed, families: list[str]) -> "Certain":
        rows = [(row, seed.truth[folder][name], f"{folder} {seed.facts[name]['season']}")
                for folder in map(clips.folder_of, families)
                for name, row in read_predictions(predictions_path(seed, folder)).items()]
        half = np.array([half_width(row["seconds"], row["low"], row["high"]) for row, _, _ in rows])
        error = np.array([abs(row["seconds"] - truth) for row, truth, _ in rows])
        return cls(error / half, half, np.array([row["confidence"] for row, _, _ in rows]),
                   np.array([season for *_, season in rows]))


def short_rows(seeds: list[Seed], others: list[list[Seed]] | None = None) -> list[tuple[str, str]]:
    """(what, figure) of what matters most of AVTDist on the families that it has not seen.

    `others` are seeds that left out the other families: their errors on what they had not seen widen the intervals too.
    """
    families = seeds[0].unseen
    found, truth = joined(seeds, NEW, families)
    table = evaluate(found, truth)
    asked = [Certain.of(seed, families) for seed in seeds]
    scales = [scales_of(one, Certain.of(seed, list(seed.families))) for one, seed in zip(asked, seeds, strict=True)]
    if others:
        strange = conformal_scale(np.concatenate([Certain.of(seed, seed.unseen).score
                                                  for group in others for seed in group]))
        scales = [scale | {LEFT_OUT: np.full(len(one.score), strange)}
                  for one, scale in zip(asked, scales, strict=True)]
    sure = sorted(certain_rows(seeds, families), key=lambda item: -item[0]["confidence"])
    sure = sure[:max(1, round(SUREST * len(sure)))]
    rows = [("all modalities, score", f"{table['score']:.2f} s"),
            ("worst answer", f"{np.abs(found - truth).max():.1f} s off"),
            ("within 0.5 s", f"{table['within_0.5s']:.0%}")]
    rows += [(variant, f"{competition_score(*joined(seeds, NEW, families, variant)):.2f} s") for variant in WITHOUT]
    rows += [(damage, f"{competition_score(*damaged_answers(seeds, damage)[:2]):.2f} s") for damage in clips.DAMAGES]
    rows += [(f"90% intervals hold, widths learnt from {way}", share_text(np.concatenate(
        [one.score <= scale[way] for one, scale in zip(asked, scales, strict=True)]))) for way in scales[0]]
    score = competition_score([row["seconds"] for row, _ in sure], [truth for _, truth in sure])
    return [*rows, (f"score of the surest {SUREST:.0%}", f"{score:.2f} s")]


def short_table(seeds: list[Seed]) -> str:
    heads = [f"{NEW}, {', '.join(seeds[0].unseen)} left out", f"{len(joined(seeds, NEW, seeds[0].unseen)[0])} answers"]
    return markdown_table(heads, short_rows(seeds))


def left_out_table(runs: dict[str, list[Seed]]) -> str:
    """`short_rows` of each family left out, side by side; `runs` is {family: its seeds}."""
    columns = [dict(short_rows(seeds, [other for name, other in runs.items() if name != family]))
               for family, seeds in runs.items()]
    heads = [f"{family} ({len(joined(seeds, NEW, [family])[0])} answers)" for family, seeds in runs.items()]
    return markdown_table([f"{NEW}, family left out", *heads],
                          [[title, *(column[title] for column in columns)] for title in columns[0]])


def seeds_text(seeds: list[Seed]) -> str:
    """How many clips and trainings there are; answers of several trainings to one clip each count as one of a clip."""
    if len(seeds) > 1 and len({seed.seed for seed in seeds}) == 1:
        return f"the same clips for {len(seeds)} trainings, so each clip has {len(seeds)} answers"
    return f"{len(seeds)} seeds of clips and trainings"


def report(seeds: list[Seed], ablations: list[str]) -> str:
    trained = list(seeds[0].families)
    groups = {f"seen ({', '.join(trained)})": trained}
    if seeds[0].unseen:
        groups[f"unseen ({', '.join(seeds[0].unseen)})"] = seeds[0].unseen
    titles = [*seeds[0].rivals, *(name for name in seeds[0].networks if name != NEW), *seeds[0].fusions, NEW]
    texts = [f"Machine: {machine()}. {seeds[0].sizes.train} training clips of each family seen, "
             f"{seeds[0].sizes.seasons * clips.EPISODES * 2} test clips of each family; "
             f"{seeds_text(seeds)}. Intervals: 95%, bootstrap over clips."
             + (f" AVTDist takes vectors of {', '.join(seeds[0].encoders)} too." if seeds[0].encoders else ""),
             score_table(seeds, titles, groups), case_table(seeds, [*seeds[0].fusions[:1], NEW], groups),
             comparison_table(seeds, titles[:-1], groups),
             missing_table(seeds, groups), damage_table(seeds),
             sureness_tables({title: certain_rows(seeds, families) for title, families in groups.items()}),
             calibration_table(seeds, groups)]
    if seeds[0].unseen:
        texts.insert(1, short_table(seeds))
    if ablations:
        shown = [title for name in (NEW, "AVTNet") for title in (name, *ablations)
                 if title == name or ABLATIONS.get(title, [""])[0] == name]
        texts.append(f"Seed {seeds[0].seed}, each trained anew:\n\n" + score_table(seeds[:1], shown, groups))
    for seed in seeds:
        took = {name: read_seconds(seed.prefix(name)) for name in seed.networks}
        minutes = ", ".join(f"{title} {seconds / 60:.1f}" for title, seconds in seed.seconds.items())
        texts.append(f"Seed {seed.training}, minutes: {minutes}"
                     + "; each training by itself: " + ", ".join(f"{n} {s / 60:.1f}" for n, s in took.items()) + ".")
    return "\n\n".join(texts) + "\n"


def read_seconds(prefix: Path) -> float:
    """Total seconds of a training's epochs."""
    return sum(record["seconds"] for record in read_records(prefix))
