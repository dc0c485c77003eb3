"""The bounded connection table: floods, eviction, growth, and an index that never loses anything."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columns import ACK, RST, SYN, Segments, concatenate, empty
from streams.inference.engine import Engine, Settings
from tests.inference.observed import PROBE, feed, observe, rows_as_dicts
from tests.traffic.packets import MS, START_NS, US, Conversation, Packet, S, halves, to_segments

# Uncompiled a segment costs 100 us: then the same in small.
FLOOD = 20_000 if numba.config.DISABLE_JIT else 300_000
SERVER = halves("10.0.0.2")
CLIENTS = halves("10.1.0.0")


def from_clients(numbers: np.ndarray, time_ns: np.ndarray, flags: int, shards: int, payload: int = 0) -> Segments:
    """A segment of each client (a number below 2**24) to port 80 of one server, as columns: no object a packet."""
    n = len(numbers)
    out = empty(n)
    for column in out:
        column[...] = 0
    out.time_ns[:] = time_ns
    out.shard[:] = numbers % shards
    out.src_hi[:], out.dst_hi[:] = CLIENTS[0], SERVER[0]
    out.src_lo[:] = CLIENTS[1] + numbers
    out.dst_lo[:] = SERVER[1]
    out.src_port[:], out.dst_port[:] = 1024 + numbers % 60_000, 80
    out.seq[:] = numbers * 1000
    out.payload_bytes[:] = payload
    out.wire_bytes[:] = 54 + payload
    out.flags[:] = flags
    out.window[:] = 65535
    return out


def table_bytes(engine: Engine) -> int:
    return sum(part.nbytes for part in engine._table)


# ----------------------------------------------------------------------------------------------------- half-open


@pytest.fixture(scope="module")
def flooded() -> tuple[Engine, int]:
    """500 established connections, then a flood of SYNs; also the table's bytes after the pool had filled."""
    engine = Engine(Settings(half_open_per_shard=2, connections_per_shard=64))
    established = np.arange(500) + (1 << 22)
    feed(engine, from_clients(established, np.full(500, START_NS), ACK, 1024, payload=100))
    numbers = np.arange(FLOOD)
    times = START_NS + 1 * MS + numbers * (3 * S // FLOOD)  # over three windows
    first = FLOOD // 10
    feed(engine, from_clients(numbers[:first], times[:first], SYN, 1024))
    full = table_bytes(engine)
    feed(engine, from_clients(numbers[first:], times[first:], SYN, 1024))
    return engine, full


def test_a_flood_does_not_grow_the_table(flooded: tuple[Engine, int]) -> None:
    engine, full = flooded
    assert engine.counters()["half_open"] == 2 * 1024
    assert table_bytes(engine) == full
    assert len(engine._table.conn) - 1 <= 4096  # 500 and 2048 of the pool, in powers of two


def test_a_flood_is_counted(flooded: tuple[Engine, int]) -> None:
    engine, _ = flooded
    counters = engine.counters()
    assert counters["created"] == FLOOD + 500
    assert counters["half_open_evicted"] == FLOOD - 2 * 1024
    assert counters["evicted"] == 0
    assert counters["connections"] == 500 + 2 * 1024


def test_established_connections_survive_a_flood(flooded: tuple[Engine, int]) -> None:
    engine, _ = flooded
    again = Engine.restore(engine.save(), engine.settings)
    established = np.arange(500) + (1 << 22)
    feed(again, from_clients(established, np.full(500, START_NS + 5 * S), ACK, 1024, payload=100))
    assert again.counters()["created"] == FLOOD + 500
    again.end(PROBE)
    rows = [row for row in rows_as_dicts(again.drain(), "flows") if row["payload_bytes"]]
    assert len(rows) == 500
    assert {row["packets"] for row in rows} == {2}
    assert {row["ended_by"] for row in rows} == {"observation_ended"}


def test_one_event_for_each_overflowing_shard_and_window() -> None:
    engine = Engine(Settings(half_open_per_shard=4))
    numbers = np.arange(100)
    for second in (0, 1, 3):
        feed(engine, from_clients(numbers + second * 100, np.full(100, START_NS + second * S + 5 * MS), SYN, 2))
    engine.end(PROBE)
    evicted = engine.counters()["half_open_evicted"]
    assert evicted == 300 - 2 * 4
    events = [event for event in rows_as_dicts(engine.drain(), "events") if event["kind"] == "half_open_overflow"]
    assert sum(event["packets"] for event in events) == evicted
    assert {event["duration_ns"] for event in events} == {1 * S}
    assert len({(event["conn_id"], event["start_ns"]) for event in events}) == len(events)
    assert {(event["start_ns"] - START_NS) // S for event in events} == {0, 1, 3}  # of the SYNs that were given up
    assert {event["verdict"] for event in events} == {"setup"}


def test_the_least_recently_active_half_open_one_is_given_up() -> None:
    engine = Engine(Settings(half_open_per_shard=3))
    for t, number in enumerate((0, 1, 2, 0, 3)):  # the first sends its SYN again
        feed(engine, from_clients(np.array([number]), np.array([START_NS + t * MS]), SYN, 1))
    feed(engine, from_clients(np.array([0, 2, 3]), np.full(3, START_NS + 9 * MS), SYN, 1))
    assert engine.counters()["created"] == 4  # 1 was given up, the others are known
    feed(engine, from_clients(np.array([1]), np.array([START_NS + 9 * MS]), SYN, 1))
    assert engine.counters()["created"] == 5


def test_establishing_leaves_the_pool() -> None:
    talks = [Conversation(client=f"10.0.0.{k + 10}:40000") for k in range(20)]
    for talk in talks:
        talk.handshake(0)
        talk.data(20 * MS, 100)
    seen = observe(*talks, settings=Settings(half_open_per_shard=64))
    assert seen.counters["half_open_evicted"] == 0
    assert len(seen.flows()) == 20


# --------------------------------------------------------------------------------------------------- established


def test_the_least_recently_active_established_one_is_evicted() -> None:
    engine = Engine(Settings(connections_per_shard=3))
    for t, number in enumerate((0, 1, 2, 0, 3)):
        feed(engine, from_clients(np.array([number]), np.array([START_NS + t * MS]), ACK, 1, payload=number + 1))
    assert engine.counters()["evicted"] == 1
    (row,) = rows_as_dicts(engine.drain(), "flows")
    assert (row["payload_bytes"], row["ended_by"]) == (2, "evicted")
    assert engine.counters()["connections"] == 3


def test_limits_are_for_each_shard() -> None:
    engine = Engine(Settings(connections_per_shard=2))
    numbers = np.arange(20)
    feed(engine, from_clients(numbers, np.full(20, START_NS), ACK, 10, payload=1))
    assert engine.counters()["evicted"] == 0
    feed(engine, from_clients(np.array([20]), np.array([START_NS]), ACK, 10, payload=1))
    assert engine.counters()["evicted"] == 1


def test_ties_fall_by_key_not_by_order_of_arrival() -> None:
    evicted = set()
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        engine = Engine(Settings(connections_per_shard=3))
        feed(engine, from_clients(np.array(order), np.full(3, START_NS), ACK, 1, payload=1))
        feed(engine, from_clients(np.array([3]), np.array([START_NS + 1 * MS]), ACK, 1, payload=1))
        evicted.add(tuple(row["src"] for row in rows_as_dicts(engine.drain(), "flows")))
    assert len(evicted) == 1


# -------------------------------------------------------------------------------------------------------- growth


def test_it_grows_as_connections_come_and_loses_none() -> None:
    n = 5_000
    engine = Engine()
    numbers = np.random.default_rng(7).permutation(n)
    for turn in range(3):
        feed(engine, from_clients(numbers, START_NS + turn * 10 * MS + np.arange(n) * US, ACK, 1024, payload=10))
    counters = engine.counters()
    assert (counters["created"], counters["connections"]) == (n, n)
    engine.end(PROBE)
    flows = engine.drain().table("flows")
    assert len(flows) == n
    assert set(flows["packets"]) == {3}
    assert engine.counters()["connections"] == 0


def test_more_rows_than_an_output_holds_lose_none() -> None:
    n = 12_000  # flows and windows leave in blocks of a few thousand
    engine = Engine(Settings(connections_per_shard=64))
    numbers = np.arange(n)
    feed(engine, from_clients(numbers, START_NS + numbers, ACK, 1024, payload=10))
    engine.end(PROBE)
    rows = engine.drain()
    assert len(rows.table("flows")) == len(rows.table("windows")) == n
    assert len(np.unique(rows.table("flows")["conn_id"])) == n


# --------------------------------------------------------------------------------------------------------- index


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["data", "data", "data", "rst", "wait"])),
        min_size=1,
        max_size=150,
    )
)
def test_any_coming_and_going_matches_a_dictionary(steps: list[tuple[int, str]]) -> None:
    """Connections of 31 ports: data, resets, and waits of 11 s, after which a closed one's place is free."""
    t, packets = START_NS, []
    live: dict[int, list[int]] = {}  # port -> packets, payload bytes, closed at
    ended: list[tuple[int, int, int, str]] = []
    template = Packet(0, "10.0.0.1", 0, "10.0.0.2", 80, seq=1000)
    for number, (port, what) in enumerate(steps):
        t += 1 * MS
        if what == "wait":
            t += 11 * S
            continue
        known = live.get(port)
        if known is not None and known[2] and t - known[2] > 10 * S:
            ended.append((port, known[0], known[1], "reset"))
            known = None
        if known is None:
            known = live[port] = [0, 0, 0]
        flags, payload = (ACK, 10) if what == "data" else (RST | ACK, 0)
        packets.append(
            replace(template, time_ns=t, src_port=port, flags=flags, payload_bytes=payload, ip_id=number + 1,
                    seq=1000 + 10 * number)
        )  # fmt: skip
        known[0] += 1
        known[1] += payload
        if known[2] or what == "rst":
            known[2] = t  # it lingers 10 s after its last segment
    ended += [(port, p, b, "reset" if closed else "observation_ended") for port, (p, b, closed) in live.items()]
    engine = Engine()
    if packets:
        feed(engine, to_segments(packets))
    assert engine.counters()["connections"] == len(live)
    engine.end(PROBE)
    found = [
        (row["src_port"], row["packets"], row["payload_bytes"], row["ended_by"])
        for row in rows_as_dicts(engine.drain(), "flows")
    ]
    assert sorted(found) == sorted(ended)
    assert not engine._table.lookup.any()  # nothing is left of anyone


@pytest.mark.parametrize("what", ["tap", "shard"])
def test_segments_that_name_what_does_not_exist_are_refused(what: str) -> None:
    segments = from_clients(np.arange(3), np.full(3, START_NS), ACK, 1)
    getattr(segments, what)[1] = 1024 if what == "shard" else 2
    engine = Engine()
    with pytest.raises(ValueError, match=what):
        feed(engine, segments)
    assert engine.counters()["segments"] == 0


def test_no_segments_are_no_error() -> None:
    engine = Engine()
    feed(engine, concatenate([]))
    engine.end(PROBE)
    assert engine.counters()["created"] == 0
