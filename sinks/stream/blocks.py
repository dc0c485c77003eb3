"""Exactly once into a store: which window batches make one insert, and which are repetitions.

A window batch names the source offset that led to it. Offsets of a partition only grow, so what is at or below the
highest one seen is a repetition (a worker was restarted) and is dropped. Inserts are cut where the data says so and
nowhere else: behind an end of observation, before a batch of another ruleset, and at multiples of BLOCK_OFFSETS. So a
sink that was killed in the middle of an insert makes the same insert again, under the same token, and the store
recognises it. The token names the range of source offsets; the highest one per partition is read back from the store.

On credit: between two multiples rows wait for the next window batch of their partition, however long that takes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from schemas.rows import Rows, Source
from schemas.window_batch import WindowBatch

# Source offsets in one insert: at 4000 segments a batch a quarter of a million segments, a few thousand rows.
BLOCK_OFFSETS = 64
_PREFIX = "stream"
_TOKEN = re.compile(rf"{_PREFIX}/(?P<topic>[\w.-]+)/(?P<partition>\d+)/(?P<first>\d+)-(?P<last>\d+)")


class Store(Protocol):
    """What a sink needs of a store: ``sinks.clickhouse.embedded.EmbeddedStore`` has it."""

    def insert(self, rows: Rows, token: str) -> bool:
        """Store rows under a token; False if they are there already."""
        ...

    def query(self, sql: str, output_format: str = ...) -> bytes:
        """The result of a query."""
        ...


@dataclass
class _Block:
    """The batches of one source partition that wait for their insert."""

    mark: int = -1  # the highest source offset stored
    seen: int = -1  # ... taken
    waiting: list[WindowBatch] = field(default_factory=list)


def stored_marks(store: Store) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the highest source offset whose rows are stored."""
    marks: dict[tuple[str, int], int] = {}
    for line in (
        store.query("SELECT token FROM ingest_audit WHERE startsWith(token, 'stream/')", "TSV").decode().splitlines()
    ):
        found = _TOKEN.fullmatch(line)
        if found:
            key = found["topic"], int(found["partition"])
            marks[key] = max(marks.get(key, -1), int(found["last"]))
    return marks


class Blocks:
    """Takes window batches in the order of their topic's partitions and stores their rows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._blocks = {key: _Block(mark, mark) for key, mark in stored_marks(store).items()}
        self.repeated = 0  # batches dropped
        self.inserts = 0
        self.rows = 0

    def take(self, batch: WindowBatch) -> None:
        """Take one batch; may store those before it, or it too."""
        origin = batch.origin
        block = self._blocks.setdefault((origin.topic, origin.partition), _Block())
        if origin.offset <= block.seen:
            self.repeated += 1
            return
        block.seen = origin.offset
        if block.waiting:
            before = block.waiting[-1]
            if before.origin.offset // BLOCK_OFFSETS != origin.offset // BLOCK_OFFSETS:
                end_of_block = (before.origin.offset // BLOCK_OFFSETS + 1) * BLOCK_OFFSETS - 1
                self._store_block(block, end_of_block)
            elif before.rows.ruleset != batch.rows.ruleset:
                self._store_block(block, before.origin.offset)
        block.waiting.append(batch)
        if batch.end_of_observation:
            self._store_block(block, origin.offset)

    @property
    def waiting_rows(self) -> int:
        """Rows taken and not yet stored."""
        return sum(
            len(records)
            for block in self._blocks.values()
            for batch in block.waiting
            for records in batch.rows.records.values()
        )

    def _store_block(self, block: _Block, last: int) -> None:
        origin = block.waiting[0].origin
        rows = merged(batch.rows for batch in block.waiting)
        token = f"{_PREFIX}/{origin.topic}/{origin.partition}/{block.mark + 1}-{last}"
        self._store.insert(rows, token)
        self.inserts += 1
        self.rows += sum(len(records) for records in rows.records.values())
        block.waiting = []
        block.mark = last


def merged(parts: Iterable[Rows]) -> Rows:
    """One Rows of several of one ruleset; equal sources become one."""
    numbers: dict[Source, int] = {}
    tables: dict[str, list[np.ndarray[tuple[int, ...], np.dtype[np.void]]]] = {}
    ruleset = ""
    for rows in parts:
        ruleset = rows.ruleset or ruleset
        renamed = np.array([numbers.setdefault(source, len(numbers)) for source in rows.sources] or [0], np.int32)
        for table, records in rows.records.items():
            if len(records):
                copy = records.copy()
                copy["source"] = renamed[copy["source"]]
                tables.setdefault(table, []).append(copy)
    return Rows(list(numbers), ruleset, {table: np.concatenate(found) for table, found in tables.items()})
