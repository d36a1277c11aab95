"""What became of one hostile input: answered, refused with a message, or a fault of ours."""

from dataclasses import dataclass

RESULTS = ("answer", "refused", "fault")


@dataclass(frozen=True)
class Outcome:
    name: str
    result: str
    told: str
