"""What one item of a reliability campaign came to."""

from dataclasses import dataclass

RESULTS = ("answer", "refused", "fault")


@dataclass(frozen=True)
class Outcome:
    """An item's name, one of RESULTS, and what was told: the answer in short, the refusal, or what went wrong."""

    name: str
    result: str
    told: str
