"""Exactly once into a store: repetitions dropped, inserts cut by the data, killed inserts completed."""

import numpy as np
import pytest

from schemas.rows import Rows, Source, record_dtype
from schemas.window_batch import Origin, WindowBatch
from sinks.clickhouse.embedded import EmbeddedStore
from sinks.stream.blocks import BLOCK_OFFSETS, Blocks, merged, stored_marks

TOPIC = "tcpblame.segments"


def batch(offset, partition=0, end=False, ruleset="1", probe="h1"):
    """A batch of one window row whose packets column is the offset."""
    records = np.zeros(1, record_dtype("windows"))
    records["conn_id"], records["packets"] = offset + 1, offset
    records["window_start_ns"], records["window_ns"] = 1_700_000_000_000_000_000 + offset * 10**9, 10**9
    rows = Rows([Source(probe, "eth0")], ruleset, {"windows": records})
    return WindowBatch(Origin(TOPIC, partition, offset), probe, end, rows)


def stored(store):
    return [int(line) for line in store.query("SELECT packets FROM windows ORDER BY packets", "TSV").split()]


def test_repetitions_and_cuts(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        blocks = Blocks(store)
        for offset in (0, 1, 1, 0, 5):
            blocks.take(batch(offset))
        assert blocks.repeated == 2
        assert stored(store) == []
        blocks.take(batch(BLOCK_OFFSETS + 3))  # behind a multiple: what was before is stored
        assert stored(store) == [0, 1, 5]
        assert stored_marks(store) == {(TOPIC, 0): BLOCK_OFFSETS - 1}
        blocks.take(batch(BLOCK_OFFSETS + 4, end=True))
        assert stored(store) == [0, 1, 5, BLOCK_OFFSETS + 3, BLOCK_OFFSETS + 4]
        blocks.take(batch(2, partition=1))
        assert blocks.waiting_rows == 1
    with EmbeddedStore(tmp_path / "store") as store:
        again = Blocks(store)  # another sink: everything comes again from the beginning
        for offset in (0, 1, 5, BLOCK_OFFSETS + 3, BLOCK_OFFSETS + 4, BLOCK_OFFSETS + 9):
            again.take(batch(offset, end=offset == BLOCK_OFFSETS + 9))
        again.take(batch(2, partition=1, end=True))
        assert stored(store) == [0, 1, 2, 5, BLOCK_OFFSETS + 3, BLOCK_OFFSETS + 4, BLOCK_OFFSETS + 9]
        assert stored_marks(store) == {(TOPIC, 0): BLOCK_OFFSETS + 9, (TOPIC, 1): 2}


class KilledError(Exception):
    """The process is gone."""


class DyingStore(EmbeddedStore):
    """A store whose process dies in the middle of its n-th insert: the rows are in, their completion is not noted."""

    inserts_left = 2

    def execute(self, sql):
        if "INSERT INTO ingest_audit" in sql:
            self.inserts_left -= 1
            if self.inserts_left == 0:
                raise KilledError
        super().execute(sql)


def test_a_sink_killed_in_an_insert_completes_it(tmp_path):
    offsets = [0, 3, BLOCK_OFFSETS, BLOCK_OFFSETS + 1, 2 * BLOCK_OFFSETS, 2 * BLOCK_OFFSETS + 1]
    with DyingStore(tmp_path / "store") as store:
        blocks = Blocks(store)
        with pytest.raises(KilledError):
            for offset in offsets:
                blocks.take(batch(offset, end=offset == offsets[-1]))
        assert stored(store) == offsets[:4]
        assert stored_marks(store) == {(TOPIC, 0): BLOCK_OFFSETS - 1}
    with EmbeddedStore(tmp_path / "store") as store:
        blocks = Blocks(store)
        for offset in offsets:
            blocks.take(batch(offset, end=offset == offsets[-1]))
        assert stored(store) == offsets
        count = store.query("SELECT sum(windows) FROM verdict_1m", "TSV") if _has_rollup(store) else b"6"
        assert int(count) == len(offsets)


def _has_rollup(store):
    names = store.query("SELECT name FROM system.columns WHERE table = 'verdict_1m'", "TSV").decode().split()
    return "windows" in names


def test_another_ruleset_makes_another_insert(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        blocks = Blocks(store)
        blocks.take(batch(0))
        blocks.take(batch(1, ruleset="2"))
        assert stored(store) == [0]
        blocks.take(batch(2, ruleset="2", end=True))
        found = store.query("SELECT ruleset, count() FROM windows GROUP BY ruleset ORDER BY ruleset", "TSV")
        assert found.split() == [b"1", b"1", b"2", b"2"]


def test_merged_rows_keep_their_sources():
    rows = merged([batch(1, probe="a").rows, batch(2, probe="b").rows, batch(3, probe="a").rows])
    assert [(rows.sources[r["source"]].probe, int(r["packets"])) for r in rows.table("windows")] == [
        ("a", 1), ("b", 2), ("a", 3),
    ]  # fmt: skip
    assert len(rows.sources) == 2
