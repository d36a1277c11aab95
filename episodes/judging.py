"""What markers are worth beside the truth, an episode at a time; verdicts add up.

    verdict = judge([("opening", 60.0, 150.0)], [("opening", 60.3, 150.1)])
    verdict.useful, verdict.missed, verdict.wrong, verdict.story

Learning the weights (learning.py) and comparing with other programs (benchmarks/locate) both count this way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STARTS_USEFUL, ENDS_USEFUL = 15.0, 5.0      # s; a marker this near helps, though it is not exact
KINDS = ("opening", "ending")      # recaps and previews are left out unless asked for: other programs find none
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


def judge(
    truth: Iterable[Told], told: Sequence[Told], kinds: Sequence[str] = KINDS, tolerance: float = TOLERANCE
) -> Verdict:
    """One episode's markers of these kinds beside its true ones; `tolerance` in seconds.

    Of parts of other kinds nothing is lost to the viewer who skips openings but not endings; they count as story.
    """
    truth, told = ([marker for marker in markers if marker[0] in kinds] for markers in (truth, told))
    useful = right = 0
    for kind, start, end in truth:
        errors = [(abs(a - start), abs(b - end)) for other, a, b in told if other == kind]
        useful += any(a <= STARTS_USEFUL and b <= ENDS_USEFUL for a, b in errors)
        right += any(max(pair) <= tolerance for pair in errors)
    stories, errors = [], []
    for kind, start, end in told:
        same = [(a, b) for other, a, b in truth if other == kind and min(b, end) > max(a, start)]
        stories.append(end - start - sum(min(b, end) - max(a, start) for a, b in same))
        if same:
            nearest = min((abs(a - start), abs(b - end)) for a, b in same)
            errors += nearest
    return Verdict(len(truth), useful, right, len(told), sum(story > tolerance for story in stories),
                   float(sum(stories)), tuple(errors))


def total(verdicts: Iterable[Verdict]) -> Verdict:
    """The sum of verdicts."""
    return sum(verdicts, Verdict())
