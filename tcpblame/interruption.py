"""Ctrl-C while captures are read: what has been read so far is still reported.

The first SIGINT asks the reading loop to stop between two blocks, so that the engine is never left in the middle of
one; only while the loop waits for input that may never come (a pipe, a terminal) does it raise at once. The second one
raises wherever the program is.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether the user has asked to stop. Inert until :meth:`installed`."""

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around a read that may block for ever."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    @contextmanager
    def installed(self) -> Iterator["Interruption"]:
        """Take over SIGINT (in the main thread) for the time of the reading."""
        before = signal.signal(signal.SIGINT, self._ask)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or self._waiting:
            self.asked = True
            raise KeyboardInterrupt
        self.asked = True
