"""Ways that use everything: prints and evidence of each episode, joined over its show.

    ways = season_ways(story=10.0, weights=(Path("work_dir/AVTDist/avnet_bestmodel.pth"),))

The look decodes each episode once. The decision reads a few seconds near the edges again; what it finds there is kept
as notes, so that a new episode does not have the others read once more.
"""

import functools
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from episodes import evidence as evidence_module
from episodes import fingerprint
from episodes.candidates import USUAL_RULES, Rules
from episodes.edge_evidence import places_to_look
from episodes.edges import refine
from episodes.evidence import EpisodeEvidence, Evidence, pack, unpack
from episodes.fingerprint import Prints, make_prints
from episodes.gathering import Means, first_look, second_look
from episodes.joining import WEIGHTS, join
from episodes.markers import Marker
from episodes.repeats import LEAST_SECONDS, runs
from episodes.season_evidence import repeats_of
from episodes.themes import themes
from episodes.ways import Facts, Looked, Notes, PersonsMarkers, Ways
from utils.predict import Predictor

LENGTH = struct.Struct("<Q")      # of the prints, before them; the evidence follows
VERSION = f"prints {fingerprint.VERSION}, evidence {evidence_module.VERSION}"


def season_ways(
    story: float = USUAL_RULES.story, weights: tuple[Path, ...] = (), rules: Rules = USUAL_RULES,
) -> Ways:
    """The ways for a price of a second of story, and boundary networks' checkpoints. Raises UserError for these.

    `rules`: all but the price; others than the usual ones are for short episodes.
    """
    names = [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in weights]
    rules = replace(rules, story=story)
    model = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:16]
    return Ways(" ".join([VERSION, *names]), functools.partial(look, weights=weights), f"{rules} {model}",
                functools.partial(decide, rules=rules))


def look(path: Path, weights: tuple[Path, ...] = ()) -> Facts:
    """Prints, and the first look's evidence. Raises MediaError."""
    prints = make_prints(path).to_bytes()
    found = first_look(path, Means(_predictors(weights)))
    return Facts(found.duration, LENGTH.pack(len(prints)) + prints + pack(found))


@functools.lru_cache(maxsize=1)
def _predictors(weights: tuple[Path, ...]) -> tuple[Predictor, ...]:
    """Loaded once a process."""
    return tuple(Predictor(path, gpus="cpu") for path in weights)


def decide(
    episodes: Sequence[Looked], persons: Mapping[str, PersonsMarkers], notes: Notes, rules: Rules = USUAL_RULES,
) -> dict[str, tuple[Marker, ...]]:
    """The markers of a show's episodes, from what they share and what each of them tells."""
    parts = [_unpacked(episode.facts) for episode in episodes]
    prints = [each for each, _ in parts]
    found = themes(runs(prints, min(LEAST_SECONDS, rules.lengths[0])), prints) if len(prints) > 1 else []
    found = [refine(theme, prints, [Path(episode.path) for episode in episodes]) for theme in found]
    repeats = repeats_of(found, [told.duration for _, told in parts])
    told = {}
    for episode, (_, seen), those in zip(episodes, parts, repeats, strict=True):
        told[episode.path] = _second(Path(episode.path), seen, those, rules, notes).plus(
            EpisodeEvidence(seen.duration, _by_person(persons.get(episode.path, {}))))
    counts = {episode.path: max(1, len(episode.numbers)) for episode in episodes}
    return join(told, {episode.path: those for episode, those in zip(episodes, repeats, strict=True)}, rules,
                counts=counts)


def _unpacked(facts: bytes) -> tuple[Prints, EpisodeEvidence]:
    length, = LENGTH.unpack_from(facts)
    return Prints.from_bytes(facts[LENGTH.size:LENGTH.size + length]), unpack(facts[LENGTH.size + length:])


def _second(path: Path, seen: EpisodeEvidence, repeats, rules: Rules, notes: Notes) -> EpisodeEvidence:
    """The second look, or what it found at the same places before."""
    places = [(round(start, 2), round(end, 2)) for start, end in places_to_look(seen, repeats, rules)]
    key = (str(path), f"second look {VERSION} {json.dumps(places)}")
    content = notes.get(key)
    if content is None:
        content = notes[key] = pack(second_look(path, seen, repeats, rules))
    return unpack(content)


def _by_person(markers: PersonsMarkers) -> tuple[Evidence, ...]:
    given = [Evidence("person", marker.type, marker.start, marker.end)
             for those in markers.values() for marker in those]
    return (*given, *(Evidence("person", kind, None, None) for kind, those in markers.items() if not those))
