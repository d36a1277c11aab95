"""Made seasons, with their truth beside them, as what joining.py's weights are learnt from.

    season = read_season(Path("library/drawn0"))
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.paths import read_text
from episodes import judging
from episodes.candidates import LONGEST, TYPICAL, Rules
from episodes.edges import refine
from episodes.fingerprint import make_prints
from episodes.gathering import NO_MEANS, Means, first_look, second_look
from episodes.joining import load_model
from episodes.learning import KnownSeason, Measured, learn, measure, save_model
from episodes.markers import read_json
from episodes.repeats import LEAST_SECONDS, runs
from episodes.season_evidence import repeats_of
from episodes.themes import themes
from synth.episodes.plan import TEST_INDEX, Sizes, plan_season
from synth.plan import FAMILIES
from tools.planned_seasons import LACKS, planned_season
from utils.default_weights import or_default
from utils.predict import Predictor

TRUTH = "truth.json"
HELD = 5             # every fifth season is held out; what planned seasons lack comes round in eight
SHORTEST = 20.0      # s; of a theme of the usual length


def season_rules(theme: float) -> Rules:
    """The rules for a season whose themes are meant to last `theme` s."""
    scale = theme / TYPICAL
    return Rules(lengths=(SHORTEST * scale, LONGEST * scale))


@dataclass(frozen=True)
class Seasons:
    """Folders of made seasons, and a number of planned ones."""

    folders: Sequence[Path] = ()
    planned: int = 0


def read_season(folder: Path, means: Means = NO_MEANS) -> KnownSeason:
    """The evidence and the truth of a season that synth/episodes has made. Raises UserError.

    As locate.py does, it leaves a movie to itself, and compares one version of an episode with the season.
    """
    told = _told(folder)
    rules = season_rules(told.theme)
    known = {each.path: each for each in read_json(folder / TRUTH) if each.path in told.counts}
    prints = [make_prints(folder / name) for name in known]
    found = [refine(theme, prints, [folder / name for name in known])
             for theme in themes(runs(prints, min(LEAST_SECONDS, rules.lengths[0])), prints)]
    repeats = dict(zip(known, repeats_of(found, [each.duration for each in prints]), strict=True))
    episodes = {name: second_look(folder / name, first_look(folder / name, means), repeats[name], rules, means)
                for name in known}
    return KnownSeason(episodes, repeats, {name: each.markers for name, each in known.items()}, rules, told.counts)


def learn_from(train: Seasons, test: Seasons, weights: Sequence[Path], seed: int, output: Path) -> str:
    """Learn the weights from `train` but for every fifth season, and tell what they are worth there and on `test`.

    They are written to `output` where they are better on the seasons held out. `weights`: checkpoints of boundary
    networks. Raises UserError where a season to learn from is of the test split, or where there are too few.
    """
    means = Means([Predictor(or_default(each)) for each in weights])
    for folder in train.folders:
        if _told(folder).split != "train":
            raise UserError(f"{folder}: a season of the test split. Measure it with --test, and learn from others.")
    if not train.folders and not train.planned:
        raise UserError("No seasons to learn from. Name folders of made seasons, or ask for some with --planned.")
    known = _known(train, 0, means, seed)
    held, others = known[HELD - 1::HELD], [each for place, each in enumerate(known) if (place + 1) % HELD]
    if not held:
        raise UserError(f"{len(known)} seasons to learn from, expected {HELD} at least: one of {HELD} is held out.")
    episodes = sum(len(season.episodes) for season in others)
    networks = f", with {len(weights)} boundary networks" * bool(weights)
    model = learn(others, f"learnt by tools/learn_joining.py from {len(train.folders)} made seasons{networks} and "
                  f"{train.planned} planned ones (seed {seed}), but for every {HELD}th, {episodes} episodes")
    before, after = measure(held, load_model()), measure(held, model)
    report = ["held out, with the weights so far:", before.text(), "with those learnt:", after.text()]
    if test.folders or test.planned:
        report += ["on seasons of the test split:", measure(_known(test, TEST_INDEX, means, seed), model).text()]
    if not is_better(after, before):
        return "\n".join([*report, "the weights so far are kept: those learnt are not better on what was held out"])
    save_model(output, model)
    return "\n".join([*report, f"written: {output}"])


def is_better(after: Measured, before: Measured) -> bool:
    """Whether markers cost less, with no more wrong ones, and no fewer useful openings and endings."""
    useful = [sum(found.kinds[kind].useful for kind in judging.KINDS) for found in (after, before)]
    return after.price < before.price and after.total.wrong <= before.total.wrong and useful[0] >= useful[1]


def _known(seasons: Seasons, first: int, means: Means, seed: int) -> list[KnownSeason]:
    """The seasons of the folders, and planned ones from the index `first` on; networks looked at every second.

    What they lack, changes every two seasons.
    """
    plans = [plan_season(seed, first + number, FAMILIES[number % len(FAMILIES)], Sizes())
             for number in range(seasons.planned)]
    return [*(read_season(folder, means) for folder in seasons.folders),
            *(planned_season(plan, plan.index % 2 == 1, LACKS[plan.index // 2 % len(LACKS)]) for plan in plans)]


@dataclass(frozen=True)
class _Told:
    """What truth.json tells of a season: split, theme (s), and {path: number of episodes} of those to compare."""

    split: str
    theme: float
    counts: dict[str, int]


def _told(folder: Path) -> _Told:
    """Raises UserError."""
    record = folder / TRUTH
    try:
        content = json.loads(read_text(record, "truth of a made season", "Make the season again."))
        season = content["season"]
        counts = {str(each["path"]): len(each["numbers"]) for each in content["episodes"]
                  if each["numbers"] and "second version" not in each["cases"]}
        return _Told(str(season["split"]), float(season["sizes"]["theme"]), counts)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{record}: no truth of a made season ({error!r}). Make the season again.") from None
