"""Window rows: which there are, what time they cover, when they settle (docs/rules.md, the contracts of rows)."""

import numpy as np
import pytest

from schemas.causes import CAUSE_VERDICT, CAUSES, VERDICTS
from schemas.columns import rows_of
from streams.inference.engine import Engine, Settings
from tests.inference.observed import PROBE, Row, feed, observe, observe_segments, one_by_one, rows_as_dicts
from tests.traffic.packets import MS, START_NS, Conversation, S
from tests.traffic.simulated import random_capture

MSS = 1460
SHARES = ("idle", "sender", "receiver", "network", "setup", "unknown")


def established(rtt_ns: int = 10 * MS) -> Conversation:
    talk = Conversation()
    talk.handshake(0, rtt_ns)
    return talk


def starts(rows: list[Row]) -> list[float]:
    """Window starts in seconds after the test's beginning."""
    return [(row["window_start_ns"] - START_NS) / S for row in rows]


# ------------------------------------------------------------------------------------------------- which rows exist


def test_a_window_with_payload_has_a_row() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.ack(30 * MS)
    talk.data(3 * S, 100)
    talk.ack(3 * S + 10 * MS)
    seen = observe(talk)
    assert starts(seen.windows(talk.client)) == [0, 3]  # the idle seconds between have none
    assert [row["payload_bytes"] for row in seen.windows(talk.client)] == [100, 100]


def test_the_flow_without_payload_has_none() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.ack(30 * MS)
    assert observe(talk).windows(talk.server) == []


def test_data_outstanding_makes_rows_of_silent_windows() -> None:
    talk = established()
    talk.data(900 * MS, 100)
    talk.ack(2 * S + 100 * MS)
    rows = observe(talk).windows(talk.client)
    assert starts(rows) == [0, 1, 2]
    assert [row["packets"] for row in rows] == [3, 0, 0]


def test_a_request_outstanding_makes_rows_of_the_side_that_was_asked() -> None:
    talk = established()
    talk.push(500 * MS, 100)
    talk.server.ack(510 * MS)
    talk.server.push(3 * S + 500 * MS, 1000)
    talk.client.ack(3 * S + 510 * MS)
    seen = observe(talk)
    rows = {start: row for start, row in zip(starts(seen.windows(talk.server)), seen.windows(talk.server), strict=True)}
    assert {1, 2, 3} <= set(rows)
    assert starts(seen.windows(talk.client)) == [0]
    assert {(rows[k]["verdict"], rows[k]["cause"]) for k in (1, 2)} == {("sender", "server_think")}


def test_one_byte_outstanding_is_data_too() -> None:
    talk = established()
    talk.push(900 * MS, 1)
    talk.ack(1 * S + 100 * MS)
    rows = observe(talk).windows(talk.client)
    assert starts(rows) == [0, 1]
    assert [row["rtt_samples"] for row in rows] == [0, 1]


def test_an_opening_makes_rows_of_the_opener() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.syn(1 * S)
    talk.syn(3 * S)
    talk.synack(3 * S + 10 * MS)
    talk.client.ack(3 * S + 20 * MS)
    talk.data(3 * S + 20 * MS, 100)
    seen = observe(talk)
    assert starts(seen.windows(talk.client)) == [0, 1, 2, 3]
    rows = seen.windows(talk.client)
    assert {row["verdict"] for row in rows} == {"setup"}
    assert rows[-1]["cause"] == "syn_lost"
    assert [row["retransmitted_packets"] for row in seen.windows(talk.client)] == [0, 1, 0, 1]
    assert seen.windows(talk.server) == []


def test_keepalives_and_bare_acks_make_none() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.ack(30 * MS)
    talk.client.keepalive(5 * S)
    talk.ack(5 * S + 10 * MS)
    assert starts(observe(talk).windows(talk.client)) == [0]


def test_utter_silence_with_data_outstanding_ends_after_130_s() -> None:
    """The largest retransmission timer is 120 s; behind it the sender is gone and only the flow's row goes on."""
    talk = established()
    talk.data(20 * MS, 100)
    talk.data(1000 * S, 100, at=0)
    rows = observe(talk).windows(talk.client)
    assert starts(rows)[-1] == 1000
    silent = [start for start in starts(rows) if 0 < start < 1000]
    assert silent == list(range(1, len(silent) + 1))
    assert 129 <= len(silent) <= 131


# -------------------------------------------------------------------------------------------- what a window covers


@pytest.mark.parametrize("width_ns", [10 * MS, 100 * MS, 1 * S, 10 * S])
def test_windows_are_aligned_to_multiples_of_their_length(width_ns: int) -> None:
    talk = established()
    for t in (20 * MS, 450 * MS, 1_230 * MS, 12_340 * MS):
        talk.data(t, 100)
        talk.ack(t + 1 * MS)
    rows = observe(talk, settings=Settings(window_ns=width_ns)).windows(talk.client)
    assert all(row["window_ns"] == width_ns and row["window_start_ns"] % width_ns == 0 for row in rows)
    with_payload = {row["window_start_ns"] for row in rows if row["payload_bytes"]}
    assert with_payload == {(START_NS + t) // width_ns * width_ns for t in (20 * MS, 450 * MS, 1_230 * MS, 12_340 * MS)}


@pytest.mark.parametrize("width_ns", [0, -1, 10 * MS - 1, 9 * MS, 10 * MS + 1, 3600 * S + 1 * MS, 3601 * S])
def test_other_widths_are_refused(width_ns: int) -> None:
    with pytest.raises(ValueError, match="window"):
        Settings(window_ns=width_ns)


def test_a_window_covers_the_connection_s_time_in_it() -> None:
    talk = Conversation()
    talk.handshake(300 * MS)
    talk.data(500 * MS, 100)
    talk.ack(510 * MS)
    talk.data(1 * S + 500 * MS, 100)
    talk.ack(1 * S + 510 * MS)
    talk.data(2 * S + 250 * MS, 100)
    rows = observe(talk).windows(talk.client)
    assert [row["covered_ns"] for row in rows] == [700 * MS, 1 * S, 250 * MS]


def test_a_segment_whose_clock_went_back_belongs_to_the_window_under_way() -> None:
    talk = established()
    talk.data(900 * MS, 100)
    talk.data(1 * S + 100 * MS, 200)
    talk.data(950 * MS, 300)
    talk.ack(1 * S + 200 * MS)
    rows = observe(talk).windows(talk.client)
    assert [row["payload_bytes"] for row in rows] == [100, 500]


def test_a_flow_s_shares_are_those_of_its_windows() -> None:
    talk = established()
    for k in range(40):
        t = 20 * MS + k * 97 * MS
        talk.data(t, MSS)
        talk.ack(t + 15 * MS)
    seen = observe(talk)
    (flow,), windows = seen.flows(talk.client), seen.windows(talk.client)
    assert sum(row["covered_ns"] for row in windows) == flow["covered_ns"]
    for name in SHARES:
        total = sum(row[f"time_{name}"] * row["covered_ns"] for row in windows)
        assert total / flow["covered_ns"] == pytest.approx(flow[f"time_{name}"], abs=1e-9)


# ------------------------------------------------------------------------------------------------ when they settle


def settled(engine: Engine) -> list[Row]:
    return rows_as_dicts(engine.drain(), "windows")


def test_a_window_waits_for_what_ends_its_silence() -> None:
    talk = established()
    talk.data(900 * MS, MSS)
    talk.data(1 * S + 300 * MS, MSS)  # the silence that began in the first window ends
    segments = talk.segments()
    engine = Engine()
    feed(engine, rows_of(segments, 0, 4))
    engine.advance(PROBE, START_NS + 1 * S)
    assert settled(engine) == []
    feed(engine, rows_of(segments, 4, 5))
    (row,) = settled(engine)
    assert row["window_start_ns"] == START_NS
    assert row["time_unknown"] == 0


def test_a_window_is_held_for_two_windows_at_most_and_never_revised() -> None:
    talk = established()
    talk.data(900 * MS, MSS)
    talk.ack(50 * S)
    segments = talk.segments()
    engine = Engine()
    feed(engine, rows_of(segments, 0, 4))
    for second in (1, 2, 3):
        engine.advance(PROBE, START_NS + second * S)
        assert settled(engine) == []
    engine.advance(PROBE, START_NS + 4 * S)  # the first is held from 1 s to 3 s
    first = settled(engine)
    assert starts(first)[0] == 0
    assert first[0]["time_unknown"] == pytest.approx(0.1)
    assert {row["version"] for row in first} == {1}
    feed(engine, rows_of(segments, 4, 5))
    engine.end(PROBE)
    assert 0 not in starts(settled(engine))


def test_with_short_windows_they_are_held_for_two_timers_of_at_most_two_seconds() -> None:
    talk = established()
    talk.data(150 * MS, MSS)
    talk.ack(10 * S)
    engine = Engine(Settings(window_ns=100 * MS))
    feed(engine, rows_of(talk.segments(), 0, 4))
    engine.advance(PROBE, START_NS + 200 * MS + 1900 * MS)  # without samples the timer is a second
    assert START_NS + 100 * MS not in {row["window_start_ns"] for row in settled(engine)}
    engine.advance(PROBE, START_NS + 200 * MS + 2100 * MS)
    assert START_NS + 100 * MS in {row["window_start_ns"] for row in settled(engine)}


def test_another_probe_s_watermark_settles_nothing_here() -> None:
    talk = established()
    talk.data(900 * MS, MSS)
    engine = Engine()
    feed(engine, talk.segments())
    engine.advance("another", START_NS + 100 * S)
    engine.end("another")
    assert settled(engine) == []
    assert engine.counters()["connections"] == 1


# -------------------------------------------------------------------------------------------------- of any traffic


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("width_ns", [100 * MS, 1 * S])
def test_rows_of_any_traffic_hold_together(seed: int, width_ns: int) -> None:
    segments = random_capture(seed, connections=4, most_packets=80).segments()
    seen = observe_segments(segments, Settings(window_ns=width_ns))
    windows, flows = seen.windows(), seen.flows()
    keys = [(row["conn_id"], row["src"], row["src_port"], row["window_start_ns"]) for row in windows]
    assert len(set(keys)) == len(keys)
    assert flows
    for row in [*windows, *flows]:
        shares = [row[f"time_{name}"] for name in SHARES]
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) == pytest.approx(1, abs=1e-9)
        assert 0 <= row["confidence"] <= 1
        assert row["cause"] is None or VERDICTS[CAUSE_VERDICT[CAUSES.index(row["cause"])]] == row["verdict"]
        assert row["covered_ns"] >= 0
    for row in windows:
        assert row["window_start_ns"] % width_ns == 0
        assert row["covered_ns"] <= width_ns
        assert row["flight_mean_bytes"] is None or row["flight_mean_bytes"] <= row["flight_max_bytes"]
    for flow in flows:
        own = [row for row in windows if (row["conn_id"], row["src"]) == (flow["conn_id"], flow["src"])]
        # What comes after an acknowledged FIN is in no window: the flow's time is over.
        for name in ("packets", "payload_bytes", "rtt_samples", "retransmitted_packets", "timeouts"):
            assert sum(row[name] for row in own) <= flow[name]
        assert sum(row["covered_ns"] for row in own) <= flow["covered_ns"] + 1000 * (len(own) + 1)
        active = [flow[f"time_active_{name}"] for name in SHARES[1:]]
        assert active[0] is None or sum(active) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_batches_change_nothing(seed: int) -> None:
    segments = random_capture(seed, connections=3, most_packets=40).segments()
    whole = observe_segments(segments).rows
    engine = Engine()
    one_by_one(engine, segments)
    engine.end(PROBE)
    single = engine.drain()
    for table in ("flows", "windows", "events"):
        one = sorted(record.tobytes() for record in whole.table(table))
        assert one == sorted(record.tobytes() for record in single.table(table))
    assert np.array_equal(whole.table("flows")["conn_id"], single.table("flows")["conn_id"])


@pytest.mark.parametrize("seed", range(6))
def test_flows_and_events_are_the_same_whether_window_rows_are_made_or_not(seed: int) -> None:
    captured = random_capture(seed, connections=4, most_packets=80).segments()
    made, spared = (observe_segments(captured, Settings(window_rows=wanted)) for wanted in (True, False))
    assert made.flows() == spared.flows()
    assert made.events() == spared.events()
    assert made.windows()
    assert not spared.windows()
