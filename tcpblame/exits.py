"""Exit statuses, and the one error class that ends a command with a line for its user.

0   everything was read to its end and done
1   an input could not be read, or not to its end, or a command failed: what could be done was done, the rest is said
2   wrong usage
3   a --fail-on condition was met (whatever else was wrong: the condition counts first)
130 interrupted by Ctrl-C: what had been read until then is reported
141 the reader of the output went away, as in ``| head -1`` (what a shell reports of a program that SIGPIPE ended)
"""

OK = 0
PARTLY = 1
USAGE = 2
FAIL_ON = 3
INTERRUPTED = 130
CLOSED_PIPE = 141


class UserError(Exception):
    """A command cannot go on; the message is one line that says what is wrong and, where there is one, the way out."""

    def __init__(self, message: str, status: int = PARTLY) -> None:
        super().__init__(message)
        self.status = status


class ClosedPipeError(Exception):
    """The reader of the output went away."""
