"""A made library: seasons to learn from and seasons to measure with, each in a folder with its truth.

    report = make_library(Path("data/library"), train=6, test=3, sizes=SHORT)
    # data/library/train/000_drawn/<series>/..., data/library/train/000_drawn/truth.json, ...
"""

from dataclasses import replace
from pathlib import Path

from datatools.errors import UserError
from datatools.numbers import MOST_SEED, MOST_WORKERS
from datatools.stages import Pool, StageReport
from synth.dataset import MAX_HEIGHT, MIN_HEIGHT
from synth.episodes.plan import TEST_INDEX, SeasonPlan, Sizes, plan_season
from synth.episodes.render import render_seasons
from synth.plan import FAMILIES

ALL = "all"                        # families in turn
MOST_SEASONS = 10_000              # of one split
MINUTES = (0.5, 180.0)
THEME = (8.0, 180.0)               # s
THEME_SHARE = 0.25                 # of an episode, at most
EPISODES = (2, 100)
SEASONS = (1, 20)                 # of a series


def plan_library(train: int, test: int, *, seed: int = 0, family: str = ALL, sizes: Sizes
                 ) -> dict[str, SeasonPlan]:
    """The plans of `train` and `test` seasons, by the folder of each relative to the library's."""
    plans = {}
    for split, count, first in (("train", train, 0), ("test", test, TEST_INDEX)):
        for i in range(count):
            chosen = FAMILIES[i % len(FAMILIES)] if family == ALL else family
            # Families and cases both go by the index: every family meets every case.
            plans[f"{split}/{i:03}_{chosen}"] = plan_season(seed, first + i, chosen, sizes)
    return plans


def make_library(save_root: Path, *, train: int = 3, test: int = 3, seed: int = 0, family: str = ALL, sizes: Sizes,
                 workers: int = 0) -> StageReport:
    """Make what is missing of a library below `save_root`; `workers` 0 is one process a core.

    A season does not depend on how many others there are. Raises UserError for settings that make no sense, and where
    other seasons are there already.
    """
    _check_settings(train, test, seed, sizes, workers)
    plans = plan_library(train, test, seed=seed, family=family, sizes=sizes)
    return render_seasons([(plan, Path(save_root) / folder) for folder, plan in plans.items()], Pool(workers))


def sizes_of(sizes: Sizes, **changes) -> Sizes:
    """`sizes` with those of the changes that are not None."""
    return replace(sizes, **{name: value for name, value in changes.items() if value is not None})


def _check_settings(train: int, test: int, seed: int, sizes: Sizes, workers: int) -> None:
    for flag, value, least, most in (
            ("--train", train, 0, MOST_SEASONS), ("--test", test, 0, MOST_SEASONS), ("--seed", seed, 0, MOST_SEED),
            ("--workers", workers, 0, MOST_WORKERS), ("--minutes", sizes.minutes, *MINUTES),
            ("--theme", sizes.theme, *THEME), ("--episodes", sizes.episodes, *EPISODES),
            ("--seasons", sizes.seasons, *SEASONS), ("--height", sizes.height, MIN_HEIGHT, MAX_HEIGHT)):
        if not least <= value <= most:
            raise UserError(f"{flag} {value:g}: expected {least:g} to {most:g}.")
    if train + test == 0:
        raise UserError("--train and --test are both 0: nothing to make. Ask for a season at least.")
    if sizes.height % 2:
        raise UserError(f"--height {sizes.height}: expected an even number of pixels.")
    if sizes.theme > THEME_SHARE * 60 * sizes.minutes:
        raise UserError(f"--theme {sizes.theme:g} --minutes {sizes.minutes:g}: a theme takes more than a quarter of an "
                        "episode. Ask for shorter themes, or for longer episodes.")
