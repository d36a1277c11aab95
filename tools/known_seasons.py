"""Made seasons, with their truth beside them, as what joining.py's weights are learnt from.

    season = read_season(Path("library/drawn0"))
"""

import json
from collections.abc import Sequence
from pathlib import Path

from datatools.errors import UserError
from datatools.paths import read_text
from episodes.candidates import LONGEST, TYPICAL, Rules
from episodes.fingerprint import make_prints
from episodes.gathering import NO_MEANS, Means, first_look, second_look
from episodes.learning import KnownSeason, learn, measure, save_model
from episodes.markers import read_json
from episodes.repeats import LEAST_SECONDS, runs
from episodes.season_evidence import repeats_of
from episodes.themes import themes
from utils.default_weights import or_default
from utils.predict import Predictor

TRUTH = "truth.json"
SHORTEST = 20.0      # s; of a theme of the usual length


def season_rules(theme: float) -> Rules:
    """The rules for a season whose themes are meant to last `theme` s."""
    scale = theme / TYPICAL
    return Rules(lengths=(SHORTEST * scale, LONGEST * scale))


def read_season(folder: Path, means: Means = NO_MEANS) -> KnownSeason:
    """The evidence and the truth of a season that synth/episodes has made. Raises UserError."""
    rules = season_rules(_told(folder)["theme"])
    known = {episode.path: episode for episode in read_json(folder / TRUTH)}
    prints = [make_prints(folder / name) for name in known]
    found = themes(runs(prints, LEAST_SECONDS * min(1.0, rules.scale * 2)), prints)
    repeats = dict(zip(known, repeats_of(found, [each.duration for each in prints]), strict=True))
    episodes = {name: second_look(folder / name, first_look(folder / name, means), repeats[name], rules, means)
                for name in known}
    return KnownSeason(episodes, repeats, {name: episode.markers for name, episode in known.items()}, rules)


def learn_from(folders: Sequence[Path], tests: Sequence[Path], weights: Sequence[Path], output: Path) -> str:
    """Learn the weights from seasons of the training split, write them to `output`, and tell what they are worth.

    Raises UserError where a season to learn from is of the test split.
    """
    means = Means([Predictor(or_default(each)) for each in weights])
    for folder in folders:
        if _told(folder)["split"] != "train":
            raise UserError(f"{folder}: a season of the test split. Measure it with --test, and learn from others.")
    known = [read_season(folder, means) for folder in folders]
    episodes = sum(len(season.episodes) for season in known)
    model = learn(known, f"learnt by tools/learn_joining.py from {len(known)} made seasons, {episodes} episodes"
                  + f", with {len(weights)} boundary networks" * bool(weights))
    save_model(output, model)
    report = [f"learnt from {episodes} episodes:", measure(known, model).text()]
    if tests:
        report += ["measured on seasons that were not learnt from:",
                   measure([read_season(folder, means) for folder in tests], model).text()]
    return "\n".join([*report, f"written: {output}"])


def _told(folder: Path) -> dict:
    """What truth.json tells of a season. Raises UserError."""
    record = folder / TRUTH
    try:
        season = json.loads(read_text(record, "truth of a made season", "Make the season again."))["season"]
        return {"split": str(season["split"]), "theme": float(season["sizes"]["theme"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{record}: no truth of a made season ({error!r}). Make the season again.") from None
