"""Rows of one table on their way from settling to the output, put in order in bounded memory.

Rows settle roughly by time, but a connection can close long after its windows; the order of the output is exact. So
rows wait until the captures are read. Beyond `limit_bytes` the waiting ones are sorted and moved to a temporary file
without a name, as a run; the output merges the runs, one stretch of time after the other.
"""

import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from schemas.rows import Rows, record_dtype

# The leading key of each table's order (sinks.text.lines.order breaks its ties).
TIME = {"flows": "start_ns", "windows": "window_start_ns", "events": "start_ns", "probes": "start_ns"}
LIMIT_BYTES = 64 << 20

Order = Callable[[Rows, str], Rows]
Records = npt.NDArray[Any]


class RowBuffer:
    """Rows of one table. `order` sorts one block of them, by `TIME` first."""

    def __init__(self, table: str, order: Order, limit_bytes: int = LIMIT_BYTES) -> None:
        self.table = table
        self.count = 0
        self._order = order
        self._limit_bytes = limit_bytes
        self._time = TIME[table]
        self._waiting: list[Records] = []
        self._waiting_bytes = 0
        self._runs: list[tuple[int, int]] = []  # (first row, rows) in the file
        self._file: IO[bytes] | None = None
        self._names = Rows()

    def add(self, rows: Rows) -> None:
        """Take over the table's records; `rows.sources` only grow from call to call."""
        self._names = Rows(rows.sources, rows.ruleset)
        records = rows.table(self.table)
        if len(records):
            self.count += len(records)
            self._waiting.append(records)
            self._waiting_bytes += records.nbytes
            if self._waiting_bytes > self._limit_bytes:
                self._spill()

    def blocks(self, most: int | None = None) -> Iterator[Rows]:
        """The rows in order, at most `most` of them, at least one block; can be called again."""
        left = self.count if most is None else min(most, self.count)
        for number, rows in enumerate(self._merged() if self._runs else [self._sorted(self._waiting)]):
            if left <= 0 and number:
                break
            records = rows.table(self.table)[:left]
            left -= len(records)
            yield self._rows(records)

    def close(self) -> None:
        """Give back the temporary file."""
        if self._file is not None:
            self._file.close()

    def _rows(self, records: Records) -> Rows:
        return Rows(self._names.sources, self._names.ruleset, {self.table: records})

    def _sorted(self, parts: list[Records]) -> Rows:
        joined = np.concatenate(parts) if parts else np.empty(0, record_dtype(self.table))
        return self._order(self._rows(joined), self.table)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="tcpblame-")  # noqa: SIM115 - closed by close()
        run = np.ascontiguousarray(self._sorted(self._waiting).table(self.table))
        first = self._runs[-1][0] + self._runs[-1][1] if self._runs else 0
        self._file.seek(first * run.dtype.itemsize)
        self._file.write(run.view(np.uint8).data)
        self._file.flush()
        self._runs.append((first, len(run)))
        self._waiting, self._waiting_bytes = [], 0

    def _merged(self) -> Iterator[Rows]:
        if self._waiting:
            self._spill()
        assert self._file is not None  # noqa: S101 - there are runs
        total = sum(rows for _, rows in self._runs)
        stored = np.memmap(self._file, record_dtype(self.table), "r", shape=(total,))
        runs = [stored[first : first + rows] for first, rows in self._runs]
        times = [np.ascontiguousarray(run[self._time]) for run in runs]  # 8 bytes a row stay in memory
        # About one run's share of rows from all runs together at a time; rows of one time are never parted.
        step = max(1, total // len(runs))
        edges = np.sort(np.concatenate(times))[step::step]
        begins = [0] * len(runs)
        for edge in [*np.unique(edges).tolist(), None]:
            ends = [len(t) if edge is None else int(np.searchsorted(t, edge)) for t in times]
            parts = [np.array(run[b:e]) for run, b, e in zip(runs, begins, ends, strict=True) if e > b]
            begins = ends
            if parts:
                yield self._sorted(parts)
