"""Rows in order, whether they stayed in memory or went through a file."""

import numpy as np
import pytest

from schemas.rows import TABLES, Rows, record_dtype
from sinks.text.lines import order
from tcpblame.row_buffer import TIME, RowBuffer


def some_rows(table, count, seed, *, times):
    """Random rows with few distinct times, so that ties matter."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, count * record_dtype(table).itemsize, np.uint8)
    records = raw.view(record_dtype(table)).copy()
    records["source"] = 0
    records[TIME[table]] = rng.integers(-times, times, count)
    return records


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("times", [1, 50, 10**15])
def test_the_order_is_the_same_with_and_without_a_file(table, times):
    records = some_rows(table, 2000, 7, times=times)
    whole = order(Rows([], "r", {table: records}), table).table(table)
    buffer = RowBuffer(table, order, limit_bytes=300 * records.dtype.itemsize)
    for begin in range(0, 2000, 130):
        buffer.add(Rows([], "r", {table: records[begin : begin + 130]}))
    assert buffer.count == 2000
    for _ in range(2):
        blocks = [block.table(table) for block in buffer.blocks()]
        assert np.concatenate(blocks).tobytes() == whole.tobytes()
    assert len(blocks) > 1 or times == 1
    first = np.concatenate([block.table(table) for block in buffer.blocks(701)])
    assert first.tobytes() == whole[:701].tobytes()
    buffer.add(Rows([], "r", {table: records[:5]}))  # still open for more
    assert sum(len(block.table(table)) for block in buffer.blocks()) == 2005
    buffer.close()


def test_nothing_is_one_empty_block_that_names_its_columns():
    blocks = list(RowBuffer("flows", order).blocks())
    assert [len(block.table("flows")) for block in blocks] == [0]


def test_memory_holds_no_more_than_the_limit():
    records = some_rows("windows", 1000, 1, times=10**15)
    buffer = RowBuffer("windows", order, limit_bytes=100 * records.dtype.itemsize)
    for begin in range(0, 1000, 50):
        buffer.add(Rows([], "r", {"windows": records[begin : begin + 50]}))
        assert buffer._waiting_bytes <= 100 * records.dtype.itemsize
    assert max(len(block.table("windows")) for block in buffer.blocks()) < 300
    buffer.close()
