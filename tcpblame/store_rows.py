"""``--store``: the rows of a diagnosis into a store, under names made from data alone.

Rows are stored when everything has been read, in order and in parts of a fixed number of rows, so that the same
captures with the same options always make the same parts: what is in the store already is not stored again, and what
an earlier attempt left unfinished is completed.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from schemas.rows import Rows
from sinks.clickhouse.embedded import EmbeddedStore
from tcpblame.diagnosis import Diagnosis
from tcpblame.row_buffer import RowBuffer

# One transaction of the store (EmbeddedStore cuts it into its inserts): 350 MB of windows, the widest common row.
ROWS_PER_PART = 1_000_000


def token_of(diagnosis: Diagnosis, options: Iterable[object], ruleset: str) -> str:
    """A name for the rows: a hash of the captures' contents and names and of everything that shapes rows."""
    what = [(reading.probe, reading.content) for reading in diagnosis.readings]
    text = "\0".join([repr(what), ruleset, *(repr(option) for option in options)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def store(target: EmbeddedStore, buffers: Mapping[str, RowBuffer], token: str) -> tuple[int, int]:
    """Store all tables' rows; returns (rows stored now, rows that were there already). Raises StoreError."""
    stored = known = 0
    for table, buffer in buffers.items():
        for number, part in enumerate(_parts(buffer)):
            count = len(part.table(table))
            if target.insert(part, f"{token}:{table}:{number}"):
                stored += count
            else:
                known += count
    return stored, known


def _parts(buffer: RowBuffer) -> Iterator[Rows]:
    """The buffer's rows, cut at multiples of ROWS_PER_PART whatever the blocks they come in."""
    waiting: list[Rows] = []
    count = 0
    for block in buffer.blocks():
        waiting.append(block)
        count += len(block.table(buffer.table))
        while count >= ROWS_PER_PART:
            rows = _one(waiting, buffer.table)
            records = rows.table(buffer.table)
            yield Rows(rows.sources, rows.ruleset, {buffer.table: records[:ROWS_PER_PART]})
            waiting = [Rows(rows.sources, rows.ruleset, {buffer.table: records[ROWS_PER_PART:]})]
            count -= ROWS_PER_PART
    if count:
        yield _one(waiting, buffer.table)


def _one(parts: list[Rows], table: str) -> Rows:
    return Rows(parts[-1].sources, parts[-1].ruleset, {table: np.concatenate([part.table(table) for part in parts])})
