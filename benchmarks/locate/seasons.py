"""The made seasons that are measured: their folders, episodes, cases and truth."""

import json
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.paths import read_text
from episodes.judging import Told
from synth.episodes.render import TRUTH


@dataclass(frozen=True)
class Episode:
    """A file of a season, by its path below the season's folder, with what is true of it. Seconds."""

    path: str
    duration: float
    numbers: tuple[int, ...]
    cases: tuple[str, ...]
    markers: tuple[Told, ...]


@dataclass(frozen=True)
class Season:
    """A made season in `folder`; `theme`: usual length of an opening or ending in seconds."""

    folder: Path
    family: str
    theme: float
    episodes: tuple[Episode, ...]


def read_seasons(library: Path) -> list[Season]:
    """All seasons for measuring below a folder. Raises UserError where there is none."""
    found = [read_season(record.parent) for record in sorted(library.rglob(TRUTH))]
    seasons = [season for season in found if season is not None]
    if not seasons:
        raise UserError(f"{library}: no made season of the split test below it ({len(found)} of other splits). Make "
                        "some: python synth/make_episodes.py --save_root FOLDER --train 0 --test 6")
    return seasons


def read_season(folder: Path) -> Season | None:
    """The season in a folder; None for one that others learn from. Raises UserError for anything else."""
    record = folder / TRUTH
    text = read_text(record, "truth of made episodes", "Make the season again.")
    try:
        content = json.loads(text)
        season = content["season"]
        if season["split"] != "test":
            return None
        episodes = [Episode(each["path"], float(each["duration"]), tuple(each["numbers"]), tuple(each["cases"]),
                            tuple((m["type"], m["start"], m["end"]) for m in each["markers"]))
                    for each in content["episodes"]]
        read = Season(folder, season["family"], float(season["sizes"]["theme"]), tuple(episodes))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{record}: no truth of made episodes ({error!r}). Make the season again.") from None
    if missing := [each.path for each in episodes if not (folder / each.path).is_file()]:
        raise UserError(f"{folder}: {len(missing)} of its {len(episodes)} episodes are missing ({missing[0]}, ...). "
                        "Make the season again.")
    return read
