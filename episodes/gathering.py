"""All evidence of one episode, in two looks: before its season is known, and after.

    evidence = first_look(path, Means(predictors=[Predictor(default_weights())]))
    evidence = second_look(path, evidence, repeats)        # near the edges that the season's repeats and this tell
    markers = join({"01": evidence}, {"01": repeats})["01"]

The first look reads chapters, and head and tail where there are networks, recognisers or encoders to ask. The second
decodes a few seconds near each place where a marker may start or end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datatools.encoders import Encoder
from datatools.media import MediaError, read_audio
from episodes.candidates import USUAL_RULES, Rules, candidates, overlap
from episodes.chapter_evidence import chapter_evidence
from episodes.curve_evidence import Recogniser, change_curve, recogniser_evidence
from episodes.edge_evidence import picture_moments, places_to_look, silences
from episodes.evidence import EpisodeEvidence, Evidence, Repeat
from episodes.network_evidence import needed_encoders, network_evidence
from episodes.other_edge_evidence import other_edge_evidence
from episodes.reading import duration_of, read_parts
from episodes.text_evidence import text_evidence
from utils.predict import Predictor

MOST_TEXT_PARTS = 4         # that are looked at for text
SAME_PART = 0.7             # share of their union in which two parts overlap that need one look


@dataclass(frozen=True)
class Means:
    """What an episode is looked at with, beside what costs next to nothing.

    predictors  boundary networks                encoders  for curves of change, datatools.encoders
    recognisers of openings and the like, by curve_evidence.find_recogniser
    detector    of text, datatools.text_detector; it looks at a few pictures
    transnet    whether TransNetV2 says which changes are cuts
    """

    predictors: Sequence[Predictor] = ()
    encoders: Sequence[Encoder] = ()
    recognisers: Sequence[Recogniser] = ()
    detector: Any = None
    transnet: bool = False


NO_MEANS = Means()


def first_look(path: Path, means: Means = NO_MEANS) -> EpisodeEvidence:
    """Chapters, and what networks and encoders say of head and tail. Raises MediaError, and UserError for weights."""
    duration = duration_of(path)
    found = EpisodeEvidence(duration, chapter_evidence(path, duration))
    if not means.predictors and not means.encoders and not means.recognisers:
        return found
    remarks: list[str] = []
    needed = needed_encoders(means.predictors)
    more = (*means.encoders, *(each.encoder for each in means.recognisers))
    encoders = (*needed, *(each for each in more if each not in needed))
    parts = read_parts(path, duration, encoders=encoders, remarks=remarks)
    found = replace(found, remarks=tuple(remarks))
    if means.predictors:
        found = found.plus(network_evidence(parts, duration, means.predictors, needed))
        found = found.plus(other_edge_evidence(parts, found))
    if means.recognisers:
        found = found.plus(recogniser_evidence(parts, duration, means.recognisers))
    curves = [change_curve(part, encoder.name, duration) for encoder in means.encoders for part in parts
              if part.pictures is not None and encoder.name in part.pictures.encoded]
    return replace(found, curves=(*found.curves, *curves))


def second_look(
    path: Path, evidence: EpisodeEvidence, repeats: Sequence[Repeat] = (), rules: Rules = USUAL_RULES,
    means: Means = NO_MEANS, places: Sequence[tuple[float, float]] | None = None,
) -> EpisodeEvidence:
    """The evidence with cuts, black and silence near the places where a marker may start or end; and text, if asked.

    `places`: spans (s) to look at instead, such as wider ones.
    What cannot be read there is told in the remarks. Raises UserError where a package is missing.
    """
    places = places_to_look(evidence, repeats, rules) if places is None else places
    spans: list[Evidence] = []
    remarks: list[str] = []
    try:
        spans += picture_moments(path, places, means.transnet)
    except MediaError as error:
        remarks.append(str(error))
    for start, end in places:
        try:
            spans += silences(read_audio(path, start=start, duration=end - start), start)
        except MediaError as error:
            remarks.append(str(error))
    found = evidence.plus(EpisodeEvidence(evidence.duration, tuple(spans), (), tuple(dict.fromkeys(remarks))))
    if means.detector is None:
        return found
    try:
        return found.plus(text_evidence(path, evidence.duration, _text_parts(evidence, repeats, rules), means.detector))
    except MediaError as error:
        return replace(found, remarks=(*found.remarks, str(error)))


def _text_parts(evidence: EpisodeEvidence, repeats: Sequence[Repeat], rules: Rules) -> list[tuple[float, float]]:
    """The spans of the candidates that are looked at for text: of those that mean the same, one; endings first."""
    found: list[tuple[float, float]] = []
    for each in sorted(candidates(evidence, repeats, rules), key=lambda each: each.kind != "ending"):
        if all(overlap(other, (each.start, each.end)) < SAME_PART for other in found):
            found.append((each.start, each.end))
    return found[:MOST_TEXT_PARTS]
