"""WindowBatch: rows of all tables as packed columns."""

import copy

import numpy as np
import pytest

from schemas import window_batch
from schemas.framing import Codec, MessageError, bundled
from schemas.rows import NULL_BOOL, NULL_ENUM, NULL_INT, TABLES, Rows, Source, record_dtype
from schemas.window_batch import Origin, WindowBatch, decode, encode

SOURCES = [Source("h1", "eth0", None), Source("h2", "tap1", "x.pcap")]


def rows(seed, **counts):
    rng = np.random.default_rng(seed)
    found = Rows(list(SOURCES), "1")
    for table, count in counts.items():
        dtype = record_dtype(table)
        records = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).copy()
        records["source"] = rng.integers(0, len(SOURCES), count)
        found.records[table] = records
    return found


def batch(given, end=False):
    return WindowBatch(Origin("tcpblame.segments", 3, 2**40), "h1", end, given)


@pytest.mark.parametrize("counts", [{}, {"flows": 3}, {"windows": 5, "events": 1}, dict.fromkeys(TABLES, 2)])
def test_what_goes_in_comes_out(counts):
    given = rows(1, **counts)
    found = decode(encode(batch(given, True)))
    assert (found.origin, found.probe, found.end_of_observation) == (Origin("tcpblame.segments", 3, 2**40), "h1", True)
    assert found.rows.sources == SOURCES
    assert found.rows.ruleset == "1"
    for table in TABLES:
        assert found.rows.table(table).tobytes() == given.table(table).tobytes()


def test_columns_of_a_former_version_read_as_unknown():
    today = bundled("window_batch")[0]
    former = copy.deepcopy(today)
    for field in former["fields"]:
        if field["name"] == "flows":
            columns = field["type"][1]["fields"]
            field["type"][1]["fields"] = [
                column for column in columns if column["name"] not in ("mss", "opener", "ended_by", "time_idle")
            ]
    record = window_batch.codec().unpack(encode(batch(rows(2, flows=4))))
    message = Codec(former, []).pack(record)
    with pytest.MonkeyPatch.context() as patch:
        codec = Codec(today, [former])
        patch.setattr(window_batch, "codec", lambda: codec)
        found = decode(message).rows.table("flows")
    assert set(found["mss"]) == {NULL_INT}
    assert set(found["opener"]) == {NULL_BOOL}
    assert set(found["ended_by"]) == {NULL_ENUM}
    assert np.isnan(found["time_idle"]).all()
    assert found["packets"].tobytes() == rows(2, flows=4).table("flows")["packets"].tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["flows"].update(rows=5),
        lambda record: record["flows"].update(rows=-1),
        lambda record: record["flows"].update(rows=2**31 - 1),
        lambda record: record["flows"].update(packets=b"\x00" * 7),
        lambda record: record["flows"].update(source=b"\x02\x00\x00\x00" * 4),
        lambda record: record["flows"].update(source=b"\xff\xff\xff\xff" * 4),
        lambda record: record.update(layout=2),
        lambda record: record.update(source_offset=-1),
        lambda record: record.update(source_partition=-1),
    ],
)
def test_impossible_messages_are_refused(change):
    codec = window_batch.codec()
    record = codec.unpack(encode(batch(rows(3, flows=4))))
    change(record)
    with pytest.raises(MessageError):
        decode(codec.pack(record))


def test_fuzzed_messages_never_crash():
    rng = np.random.default_rng(4)
    message = encode(batch(rows(5, flows=2, events=3)))
    refused = 0
    for _ in range(1500):
        data = bytearray(message)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        if rng.random() < 0.3:
            del data[rng.integers(len(data)) :]
        try:
            decode(bytes(data))
        except MessageError:
            refused += 1
    assert refused > 300
