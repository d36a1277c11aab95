"""What became of one hostile input.

    answer   it was read, and the answer is right
    refused  a message says what is wrong with it; of a media file, what could be read may be kept as partial
    unseen   it was read, and what it holds has been changed in a way that nothing in the file tells of
    fault    a fault of ours: a traceback, a crash, a hang, an answer that is not finite, a wrong answer called right
"""

from dataclasses import dataclass

RESULTS = ("answer", "refused", "unseen", "fault")


@dataclass(frozen=True)
class Outcome:
    """An item's name, one of RESULTS, and what was told: the answer in short, the refusal, or what went wrong."""

    name: str
    result: str
    told: str
