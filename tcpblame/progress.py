"""The progress bar of a long capture: on standard error, only if that is a terminal, and not in the first second."""

import sys
import time
from typing import TYPE_CHECKING

from tcpblame.diagnosis import Watch

if TYPE_CHECKING:
    from rich.progress import Progress

# A capture that is read within this time needs no bar, and what needs none should not load rich for it.
PATIENCE_S = 1.0


class Bar(Watch):
    """A bar of the bytes read of one capture after the other."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._progress: Progress | None = None
        self._name = ""
        self._size_bytes: int | None = None

    def start(self, name: str, size_bytes: int | None) -> None:
        """A capture begins."""
        self._name, self._size_bytes = name, size_bytes
        if self._progress is not None:
            self._add()

    def step(self, bytes_read: int) -> None:
        """So many bytes of it have been read."""
        if self._progress is None:
            if time.monotonic() - self._began < PATIENCE_S:
                return
            self._show()
        assert self._progress is not None  # noqa: S101 - shown just now
        self._progress.update(self._progress.task_ids[-1], completed=bytes_read)

    def close(self) -> None:
        """Take the bar away, so that it is not left among the rows."""
        if self._progress is not None:
            self._progress.stop()

    def _show(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only where a bar is shown
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        self._add()

    def _add(self) -> None:
        from schemas.naming import visible  # noqa: PLC0415

        assert self._progress is not None  # noqa: S101 - called while shown
        for task in self._progress.task_ids:
            self._progress.update(task, visible=False)
        self._progress.add_task(visible(self._name), total=self._size_bytes)


def for_terminal() -> Bar | None:
    """A bar, if anybody would see it."""
    return Bar() if sys.stderr.isatty() else None
