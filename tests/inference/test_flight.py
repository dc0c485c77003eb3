"""Data in flight, the window that it bounds, and the congestion state (RFC 5681, 6928, 2861)."""

import pytest

from tests.inference.observed import observe
from tests.traffic.packets import MS, US, Conversation, S

MSS = 1460
INITIAL = 10 * MSS


def established(rtt_ns: int = 10 * MS) -> Conversation:
    talk = Conversation()
    talk.handshake(0, rtt_ns)
    return talk


def flight(talk: Conversation, start_ns: int, segments: int, at: int | None = None) -> None:
    for k in range(segments):
        talk.data(start_ns + k * 10 * US, MSS, at=None if at is None else at + k * MSS)


def test_flight_is_what_is_sent_and_not_acknowledged() -> None:
    talk = established()
    flight(talk, 20 * MS, 3)
    talk.ack(30 * MS, upto=2 * MSS)
    flight(talk, 31 * MS, 1)
    row = observe(talk).flow(talk.client)
    assert row["flight_max_bytes"] == 3 * MSS


def test_the_mean_is_over_time() -> None:
    talk = established()
    talk.data(1 * S, 1000)
    talk.ack(1 * S + 250 * MS)
    talk.data(2 * S, 500)
    talk.ack(2 * S + 100 * MS)
    second = observe(talk).windows(talk.client)[0]
    assert second["flight_mean_bytes"] == 250
    assert second["flight_max_bytes"] == 1000


def test_flight_carried_into_a_window_counts_there() -> None:
    talk = established()
    talk.data(500 * MS, 1000)
    talk.ack(1 * S + 500 * MS)
    talk.data(2 * S, 100)
    _, second, _ = observe(talk).windows(talk.client)
    assert second["payload_bytes"] == 0
    assert second["flight_max_bytes"] == 1000
    assert second["flight_mean_bytes"] == 500


def test_from_a_syn_the_window_is_ten_segments() -> None:
    talk = established()
    flight(talk, 20 * MS, 2)
    assert observe(talk).flow(talk.client)["cwnd_bytes"] == INITIAL


def test_met_midstream_it_is_the_largest_flight() -> None:
    talk = Conversation()
    flight(talk, 0, 3)
    talk.ack(10 * MS)
    flight(talk, 11 * MS, 2)
    assert observe(talk).flow(talk.client)["cwnd_bytes"] == 3 * MSS


def grown(rounds: int = 2) -> Conversation:
    """Doubling flights of 10, 20, 40 ... segments, each acknowledged 10 ms after its first."""
    talk = established()
    talk.data(20 * MS, MSS)
    talk.ack(28 * MS)  # the only sample: an ACK names a segment that is among the eight remembered
    t = 40 * MS
    for k in range(rounds):
        flight(talk, t, 10 << k)
        t += 10 * MS
        talk.ack(t)
    return talk


def test_it_grows_with_the_flight() -> None:
    row = observe(grown(3)).flow(grown().client)
    assert row["cwnd_bytes"] == 40 * MSS


def test_after_fast_recovery_it_is_what_was_in_flight_then() -> None:
    talk = grown(3)
    sent = talk.client.sent
    flight(talk, 80 * MS, 20)
    for k in range(3):
        talk.ack(90 * MS + k * 10 * US, upto=sent)
    talk.data(91 * MS, MSS, at=sent)
    recover = talk.client.sent
    flight(talk, 95 * MS, 10)
    talk.ack(100 * MS, upto=recover)  # ten segments sent during the recovery are out
    seen = observe(talk)
    assert seen.flow(talk.client)["cwnd_bytes"] == 10 * MSS
    assert seen.windows(talk.client)[0]["ssthresh_bytes"] == 10 * MSS


@pytest.mark.parametrize(("silence_ns", "window"), [(150 * MS, 40), (300 * MS, 20), (2 * S, 10)])
def test_a_silence_restarts_it(silence_ns: int, window: int) -> None:
    """The timer is at 213 ms: halved once after one, and down to the initial window after many."""
    talk = grown(3)
    flight(talk, 60 * MS + silence_ns, 1)
    assert observe(talk).flow(talk.client)["cwnd_bytes"] == window * MSS


def states(talk: Conversation) -> list[str]:
    return [row["state"] for row in observe(talk).windows(talk.client)]


def test_slow_start_lasts_from_the_beginning() -> None:
    talk = established()
    for k in range(15):
        talk.data(20 * MS + k * 100 * MS, MSS)
        talk.ack(30 * MS + k * 100 * MS)
    assert states(talk) == ["slow_start", "slow_start"]


def test_a_fast_recovery_ends_it() -> None:
    talk = established()
    flight(talk, 20 * MS, 10)
    for k in range(3):
        talk.ack(30 * MS + k * 10 * US, upto=0)
    talk.data(31 * MS, MSS, at=0)
    talk.ack(41 * MS)
    flight(talk, 42 * MS, 4)
    talk.ack(52 * MS)
    for k in range(4):
        flight(talk, 1 * S + k * 200 * MS, 4)
        talk.ack(1 * S + k * 200 * MS + 10 * MS)
    assert states(talk)[1] == "congestion_avoidance"


def test_while_repairs_are_out_it_is_recovery() -> None:
    talk = established()
    flight(talk, 20 * MS, 10)
    for k in range(3):
        talk.ack(30 * MS + k * 10 * US, upto=0)
    talk.data(31 * MS, MSS, at=0)
    talk.ack(950 * MS)
    assert states(talk) == ["recovery"]


def test_after_a_timer_it_is_timeout_until_all_is_repaired() -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.ack(28 * MS)
    flight(talk, 40 * MS, 10)
    talk.data(300 * MS, MSS, at=MSS)
    talk.ack(950 * MS)
    assert states(talk) == ["timeout"]


def test_two_rounds_that_do_not_grow_end_slow_start() -> None:
    """HyStart's exit: the window limits the sender and grows by less than a quarter twice."""
    talk = established()
    t = 20 * MS
    flight(talk, t, 10)
    for _ in range(150):  # each round as large as the one before, each ACK answered at once
        t += 10 * MS
        talk.ack(t)
        flight(talk, t + 10 * US, 10)
    assert states(talk)[1] == "congestion_avoidance"
