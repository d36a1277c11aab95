"""What markers are worth beside the truth, an episode at a time; verdicts add up.

    verdict = judge(episode.markers, [("opening", 60.3, 150.1)])
    verdict.useful, verdict.missed, verdict.wrong, verdict.story
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from episodes.learning import ENDS_USEFUL, STARTS_USEFUL

KINDS = ("opening", "ending")      # recaps and previews are not compared: the rivals do not look for them
TOLERANCE = 1.0                    # s; a marker that is right is no further off, and one that skips more story is wrong
Told = tuple[str, float, float]    # type, start, end


@dataclass(frozen=True)
class Verdict:
    """Numbers of markers, and what was skipped.

    known   true markers      useful  of them, those with a marker that starts within 15 s and ends within 5 s
    right   of them, those with both edges within 1 s
    given   markers set       wrong   of them, those that skip more than 1 s of anything else
    story   s of anything else that is skipped
    errors  s, absolute, of both edges of each marker set that overlaps a true one of its type
    """

    known: int = 0
    useful: int = 0
    right: int = 0
    given: int = 0
    wrong: int = 0
    story: float = 0.0
    errors: tuple[float, ...] = ()

    @property
    def missed(self) -> int:
        """True markers without a useful one."""
        return self.known - self.useful

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def judge(truth: Iterable[Told], told: Sequence[Told]) -> Verdict:
    """One episode's openings and endings beside its true ones."""
    truth, told = ([marker for marker in markers if marker[0] in KINDS] for markers in (truth, told))
    useful = right = 0
    for kind, start, end in truth:
        errors = [(abs(a - start), abs(b - end)) for other, a, b in told if other == kind]
        useful += any(a <= STARTS_USEFUL and b <= ENDS_USEFUL for a, b in errors)
        right += any(max(pair) <= TOLERANCE for pair in errors)
    stories, errors = [], []
    for kind, start, end in told:
        same = [(a, b) for other, a, b in truth if other == kind and min(b, end) > max(a, start)]
        stories.append(end - start - sum(min(b, end) - max(a, start) for a, b in same))
        if same:
            nearest = min((abs(a - start), abs(b - end)) for a, b in same)
            errors += nearest
    return Verdict(len(truth), useful, right, len(told), sum(story > TOLERANCE for story in stories),
                   float(sum(stories)), tuple(errors))


def total(verdicts: Iterable[Verdict]) -> Verdict:
    """The sum of verdicts."""
    return sum(verdicts, Verdict())
