"""Ctrl-C and SIGTERM, noted so that the current step is finished and saved first."""

import signal
import threading


class Stop:
    """Whether SIGINT or SIGTERM asked the training to stop.

    With `at_once` a second Ctrl-C ends the process without waiting. It is off under torchrun: on one Ctrl-C, the
    terminal and torchrun each send a SIGINT.
    """

    def __init__(self, at_once: bool = True):
        self.at_once = at_once
        self.number = 0
        self.before: dict = {}

    def __enter__(self) -> "Stop":
        # Only the main thread can set handlers; a training in another thread is stopped from outside.
        if threading.current_thread() is threading.main_thread():
            self.before = {n: signal.signal(n, self._note) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _frame) -> None:
        if self.number == number == signal.SIGINT and self.at_once:
            raise KeyboardInterrupt
        self.number = self.number or number

    def asked(self) -> bool:
        return bool(self.number)

    @property
    def signal(self) -> signal.Signals:
        """The signal that this process got; SIGTERM if only another process got one."""
        return signal.Signals(self.number or signal.SIGTERM)
