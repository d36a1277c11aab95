"""Ways that use everything: prints and evidence of each episode, joined over its show.

    ways = season_ways(story=10.0, weights=(Path("work_dir/AVTDist/avnet_bestmodel.pth"),))

What they do stands in season_work.py, which is loaded when there is something to look at or to decide: PyTorch alone
would take longer to load than a run over a thousand files that have not changed.
"""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path

from episodes.candidates import USUAL_RULES, Rules
from episodes.evidence import VERSION as EVIDENCE
from episodes.joining import WEIGHTS
from episodes.versions import DECIDING, NETWORKS, PRINTS, RECOGNISERS
from episodes.ways import Late, Ways

VERSION = f"prints {PRINTS}, evidence {EVIDENCE}"


def season_ways(
    story: float = USUAL_RULES.story, weights: tuple[Path, ...] = (), rules: Rules | None = None,
    recognisers: tuple[Path, ...] = (),
) -> Ways:
    """The ways for a price of a second of story, and the checkpoints of boundary networks and of recognisers.

    Raises UserError for a wrong checkpoint.

    `rules`: all but the price (default: the usual ones); others are for short episodes.
    """
    if weights:      # a wrong one is told once, and not as each episode's failure
        Late("episodes.season_work:predictors")(weights)
    if recognisers:
        Late("episodes.season_work:loaded_recognisers")(recognisers)
    names = [*_named(f"networks {NETWORKS}", weights), *_named(f"recognisers {RECOGNISERS}", recognisers)]
    rules = replace(rules or USUAL_RULES, story=story)
    model = _digest(WEIGHTS)
    look = functools.partial(Late("episodes.season_work:look"), weights=weights, recognisers=recognisers)
    return Ways(" ".join([VERSION, *names]), look,
                f"{DECIDING} {rules} {model}", functools.partial(Late("episodes.season_work:decide"), rules=rules))


def _named(word: str, checkpoints: tuple[Path, ...]) -> list[str]:
    """What the version says of these checkpoints: nothing if there are none."""
    return [word, *map(_digest, checkpoints)] if checkpoints else []


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
