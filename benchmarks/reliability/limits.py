"""One item of a campaign, with a limit on its time: its answer, its refusal, or its fault."""

import contextlib
import signal
import time
import traceback
from collections.abc import Callable, Iterator

from benchmarks.reliability.outcome import Outcome
from datatools.errors import UserError

LONGEST = 30.0      # s; whatever takes longer hangs


class Hang(BaseException):
    """The time is over. No Exception, so that no handler on the way takes it for an item's error."""


@contextlib.contextmanager
def time_limit(seconds: float = LONGEST) -> Iterator[None]:
    """Raise Hang in the block after so many seconds; in the main thread only."""

    def end(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(name: str, function: Callable[[], str]) -> Outcome:
    """Call `function`, which returns its answer in short; UserError and OSError are refusals, all else is a fault."""
    started = time.perf_counter()
    try:
        with time_limit():
            return Outcome(name, "answer", function())
    except (UserError, OSError) as error:
        return Outcome(name, "refused", str(error))
    except Hang:
        return Outcome(name, "fault", f"no end after {time.perf_counter() - started:.0f} s")
    except Exception as error:      # a campaign goes on, whatever an item does
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(name, "fault", f"{type(error).__name__}: {str(error)[:200]} ({place.filename}:{place.lineno})")
