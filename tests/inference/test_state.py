"""State as bytes: saved and restored anywhere it changes nothing, and no byte string does harm."""

import functools
import json
import random
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columns import Segments, rows_of
from streams.inference.engine import Engine, Settings
from streams.inference.state import MAGIC
from tests.inference.observed import PROBE, feed, flow_record
from tests.traffic.packets import MS, Conversation, S
from tests.traffic.simulated import random_capture

HEAD = len(MAGIC)  # then CRC-32, length of the header, header, records


def rows_of_engine(engine: Engine) -> dict[str, list[bytes]]:
    """All rows as bytes, drained; order does not matter."""
    drained = engine.drain()
    return {name: [record.tobytes() for record in drained.table(name)] for name in ("flows", "windows", "events")}


def together(*parts: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    return {name: sorted(row for part in parts for row in part[name]) for name in parts[0]}


def undisturbed(segments: Segments) -> dict[str, list[bytes]]:
    engine = Engine()
    feed(engine, segments)
    engine.end(PROBE)
    return together(rows_of_engine(engine))


def restarted(segments: Segments, cuts: list[int]) -> dict[str, list[bytes]]:
    """Saved, thrown away and restored at each cut."""
    engine, parts, begin = Engine(), [], 0
    for cut in [*cuts, len(segments.time_ns)]:
        feed(engine, rows_of(segments, begin, cut))
        parts.append(rows_of_engine(engine))
        engine = Engine.restore(engine.save())
        begin = cut
    engine.end(PROBE)
    return together(*parts, rows_of_engine(engine))


def test_at_any_cut_of_a_life() -> None:
    talk = Conversation()
    talk.handshake(0)
    for k in range(6):
        talk.data(20 * MS + k, 1460)
    talk.ack(30 * MS, upto=1460, sack=[(2920, 5840)])
    talk.data(31 * MS, 1460, at=1460)
    talk.ack(1 * S, window=0)
    talk.client.keepalive(4 * S)
    talk.ack(4 * S + 10 * MS)
    talk.close(9 * S)
    segments = talk.segments()
    expected = undisturbed(segments)
    for cut in range(len(talk.packets) + 1):
        assert restarted(segments, [cut]) == expected


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_at_any_cuts_of_any_capture(seed: int, data: st.DataObject) -> None:
    segments = random_capture(seed, connections=3, most_packets=60).segments()
    n = len(segments.time_ns)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    assert restarted(segments, cuts) == undisturbed(segments)


@functools.cache
def saved() -> tuple[bytes, Conversation]:
    talk = Conversation()
    talk.handshake(0)
    talk.data(20 * MS, 1460)
    talk.data(20 * MS, 1460, at=0)
    talk.data(2 * S, 1460)  # a window is held
    engine = Engine()
    feed(engine, talk.segments())
    return engine.save(), talk


def test_counters_and_watermarks_survive() -> None:
    state, talk = saved()
    engine = Engine.restore(state)
    assert engine.counters()["segments"] == len(talk.packets)
    assert engine.counters()["connections"] == 1
    assert Engine.restore(engine.save()).counters() == engine.counters()


def test_an_empty_state_is_one_too() -> None:
    engine = Engine.restore(Engine().save())
    assert engine.counters()["connections"] == 0


def test_bytes_cut_short_are_refused() -> None:
    state, _ = saved()
    for size in [*range(0, 64, 3), *random.Random(1).sample(range(64, len(state)), 20), len(state) - 1]:
        with pytest.raises(ValueError, match="state"):
            Engine.restore(state[:size])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_byte_is_noticed(data: st.DataObject) -> None:
    state, _ = saved()
    at = data.draw(st.integers(0, len(state) - 1))
    damaged = bytearray(state)
    damaged[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="state"):
        Engine.restore(bytes(damaged))


@settings(max_examples=20, deadline=None)
@given(junk=st.binary(max_size=300), magic=st.booleans())
def test_any_bytes_are_refused(junk: bytes, magic: bool) -> None:
    with pytest.raises(ValueError, match="state"):
        Engine.restore((MAGIC if magic else b"") + junk)


def test_windows_of_another_length_are_refused() -> None:
    state, _ = saved()
    with pytest.raises(ValueError, match="windows of another length"):
        Engine.restore(state, Settings(window_ns=100 * MS))


def taken_apart(state: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    size = int.from_bytes(state[HEAD + 4 : HEAD + 8], "little")
    header = json.loads(state[HEAD + 8 : HEAD + 8 + size])
    counts = {
        "conn": header["n"],
        "flow": 2 * header["n"],
        "row": header["held"],
        "meta": header["held"],
        "shard": 1024,
    }
    at, records = HEAD + 8 + size, {}
    for name, count in counts.items():
        layout = header[name]
        formats = [np.dtype((base, tuple(shape))) for base, shape in layout["formats"]]
        dtype = np.dtype({"names": layout["names"], "formats": formats, "offsets": layout["offsets"],
                          "itemsize": layout["itemsize"]})  # fmt: skip
        records[name] = np.frombuffer(state, dtype, count, at)
        at += count * dtype.itemsize
    assert at == len(state)
    return header, records


def put_together(header: dict, records: dict[str, np.ndarray]) -> bytes:
    text = json.dumps(header).encode()
    body = len(text).to_bytes(4, "little") + text + b"".join(part.tobytes() for part in records.values())
    return MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def test_taking_a_state_apart_and_putting_it_together_changes_nothing() -> None:
    state, _ = saved()
    header, records = taken_apart(state)
    again = put_together(header, records)
    assert Engine.restore(again).counters() == Engine.restore(state).counters()


def test_another_layout_is_converted_by_name() -> None:
    """Written by a set of statistics with a field more, one less, and all of them in another order and width."""
    state, talk = saved()
    header, records = taken_apart(state)
    old = records["flow"]
    assert old["retransmitted_packets"].max() == 1
    names = sorted(set(old.dtype.names) - {"keepalives"})
    fields = [(name, old.dtype[name].base.str, old.dtype[name].shape) for name in names]
    written = np.zeros(len(old), np.dtype([*fields, ("of_another_day", "<u8")]))
    for name in names:
        written[name] = old[name]
    written["of_another_day"] = 77
    dtype = written.dtype
    header["flow"] = {
        "names": list(dtype.names),
        "formats": [[dtype[name].base.str, list(dtype[name].shape)] for name in dtype.names],
        "offsets": [dtype.fields[name][1] for name in dtype.names],
        "itemsize": dtype.itemsize,
    }
    engine = Engine.restore(put_together(header, records | {"flow": written}))
    assert int(flow_record(engine, talk.client)["keepalives"]) == 0
    engine.end(PROBE)
    reference = Engine.restore(state)
    reference.end(PROBE)
    assert together(rows_of_engine(engine)) == together(rows_of_engine(reference))


@pytest.mark.parametrize(
    "change",
    [
        {"n": -1}, {"n": 1 << 60}, {"n": "many"}, {"n": None}, {"n": 1.5}, {"held": 1 << 40}, {"sources": None},
        {"sources": [["a"]]}, {"sources": [["a", "b", None], ["a", "b", None]]}, {"flow": {}}, {"flow": None},
        {"conn": {"names": ["x"], "formats": [["|O", []]], "offsets": [0], "itemsize": 8}},
        {"watermarks": []}, {"watermarks": {"p": "x"}}, {"totals": 3}, {"window_ns": 5},
    ],
    ids=lambda change: "-".join(f"{k}={str(v)[:20]}" for k, v in change.items()),
)  # fmt: skip
def test_a_header_that_cannot_be_is_refused(change: dict) -> None:
    header, records = taken_apart(saved()[0])
    with pytest.raises(ValueError):
        Engine.restore(put_together(header | change, records))
