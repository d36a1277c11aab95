"""What the ways of season_ways.py do: look at an episode, and decide about a show.

The look decodes each episode once. The decision reads a few seconds near the edges again; what it finds there, and what
two episodes share, is kept as notes, so that a new episode does not have the others read or compared once more.
"""

import functools
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from datatools.errors import UserError
from episodes.candidates import USUAL_RULES, Rules
from episodes.comparing import kept_runs
from episodes.curve_evidence import Recogniser, find_recogniser
from episodes.edge_evidence import merged, places_to_look
from episodes.edges import refine
from episodes.evidence import EpisodeEvidence, Evidence, pack, unpack
from episodes.fingerprint import Prints, make_prints
from episodes.gathering import Means, first_look, second_look
from episodes.joining import join
from episodes.markers import Marker
from episodes.repeats import LEAST_SECONDS, without_copies
from episodes.season_evidence import repeats_of
from episodes.theme_parts import cut_by_pictures
from episodes.themes import themes
from episodes.versions import SECOND
from episodes.ways import Facts, Looked, Notes, PersonsMarkers
from utils.predict import Predictor

LENGTH = struct.Struct("<Q")      # of the first of two parts, before it
MARGIN = 0.5                      # s around the places of the second look: a new episode moves the others' edges a bit


def look(path: Path, weights: tuple[Path, ...] = (), recognisers: tuple[Path, ...] = ()) -> Facts:
    """Prints, and the first look's evidence. Raises MediaError."""
    prints = make_prints(path).to_bytes()
    found = first_look(path, Means(predictors(weights), recognisers=loaded_recognisers(recognisers)))
    return Facts(found.duration, _together(prints, pack(found)))


@functools.lru_cache(maxsize=1)
def predictors(weights: tuple[Path, ...]) -> tuple[Predictor, ...]:
    """Loaded once a process. Raises UserError for what is no checkpoint of a boundary network."""
    loaded = tuple(Predictor(path, gpus="cpu") for path in weights)
    for each in loaded:
        if each.inputs == ("video",):
            raise UserError(f"{each.checkpoint}: holds {each.network.__name__}, a video recogniser, which names what "
                            "it sees. Expected a boundary network, such as AVTDist, which tells where openings end.")
    return loaded


@functools.lru_cache(maxsize=1)
def loaded_recognisers(checkpoints: tuple[Path, ...]) -> tuple[Recogniser, ...]:
    """Found once a process. Raises UserError for what is no recogniser of openings, endings, recaps or previews."""
    return tuple(map(find_recogniser, checkpoints))


def decide(
    episodes: Sequence[Looked], persons: Mapping[str, PersonsMarkers], notes: Notes, rules: Rules = USUAL_RULES,
) -> dict[str, tuple[Marker, ...]]:
    """The markers of a show's episodes, from what they share and what each of them tells.

    People's markers teach the other episodes; their own episodes' answers are without them.
    """
    parts = [_unpacked(episode.facts) for episode in episodes]
    prints, paths = [each for each, _ in parts], [episode.path for episode in episodes]
    least = min(LEAST_SECONDS, rules.lengths[0])
    runs = without_copies(kept_runs(prints, paths, notes, least), prints) if len(prints) > 1 else []
    whole = themes(runs, prints)
    songs = [part for theme in whole for part in cut_by_pictures(theme, prints)]
    songs = [refine(theme, prints, [Path(path) for path in paths], notes) for theme in songs]
    repeats = repeats_of(songs, [seen.duration for _, seen in parts])
    told = {path: _second(Path(path), seen, those, rules, notes)
            for path, (_, seen), those in zip(paths, parts, repeats, strict=True)}
    shared = dict(zip(paths, repeats, strict=True))
    counts = {episode.path: max(1, len(episode.numbers)) for episode in episodes}
    found = join(told, shared, rules, counts=counts)
    if not persons:
        return found
    by_people = {path: each.plus(EpisodeEvidence(each.duration, _by_person(persons.get(path, {}))))
                 for path, each in told.items()}
    # A corrected episode's own answer is what was found without the correction: locating.py needs both.
    return join(by_people, shared, rules, counts=counts) | {path: found[path] for path in persons}


def _unpacked(facts: bytes) -> tuple[Prints, EpisodeEvidence]:
    prints, found = _split(facts)
    return Prints.from_bytes(prints), unpack(found)


def _together(one: bytes, other: bytes) -> bytes:
    return LENGTH.pack(len(one)) + one + other


def _split(both: bytes) -> tuple[bytes, bytes]:
    """What `_together` got."""
    length, = LENGTH.unpack_from(both)
    return both[LENGTH.size:LENGTH.size + length], both[LENGTH.size + length:]


def _second(path: Path, seen: EpisodeEvidence, repeats, rules: Rules, notes: Notes) -> EpisodeEvidence:
    """The second look, or an earlier one that looked at these places."""
    wanted = places_to_look(seen, repeats, rules)
    key = (str(path), f"second look {SECOND}")
    if key in notes:
        places, content = _split(notes[key])
        if all(any(first <= start and end <= last for first, last in json.loads(places)) for start, end in wanted):
            return unpack(content)
    places = merged((max(0.0, start - MARGIN), min(seen.duration, end + MARGIN)) for start, end in wanted)
    content = pack(second_look(path, seen, repeats, rules, places=places))
    notes[key] = _together(json.dumps(places).encode(), content)
    return unpack(content)


def _by_person(markers: PersonsMarkers) -> tuple[Evidence, ...]:
    given = [Evidence("person", marker.type, marker.start, marker.end)
             for those in markers.values() for marker in those]
    return (*given, *(Evidence("person", kind, None, None) for kind, those in markers.items() if not those))
