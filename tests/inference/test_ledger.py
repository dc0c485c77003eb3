"""The time ledger: every silence under what was true when it began and what ended it (docs/rules.md "The ledger").

Times are in ms of a class, from the flow's share of the time that it covers. All conversations run beside the sender
unless they say otherwise: its leg takes 50 us, the other 50 ms, so that the reaction allowance is 2 ms. Where data
begins a ms after the handshake, that ms goes with what follows or to the network: the tolerances hold it.
"""

import pytest

from tests.inference.observed import Row, observe
from tests.traffic.packets import MS, US, Conversation, S, Side

MSS = 1460
RTT = 50 * MS
LEG = 50 * US
OPEN = RTT + LEG  # the handshake is over
CLASSES = ("idle", "sender", "receiver", "network", "setup", "unknown")


def opened(window: int = 65535, near_sender: bool = True) -> Conversation:
    """Without window scaling: windows are as they stand."""
    talk = Conversation()
    talk.server.window = window
    talk.syn(0, wscale=None)
    talk.synack(RTT if near_sender else LEG, wscale=None)
    talk.client.ack(OPEN)
    return talk


def burst(talk: Conversation, t: int, segments: int) -> None:
    for k in range(segments):
        talk.data(t + k * 10 * US, MSS)


def spent(row: Row) -> dict[str, float]:
    """ms of each class that has any."""
    parts = {name: row[f"time_{name}"] * row["covered_ns"] / MS for name in CLASSES}
    assert sum(parts.values()) == pytest.approx(row["covered_ns"] / MS)
    return {name: ms for name, ms in parts.items() if ms > 0}


def flow(talk: Conversation, side: Side | None = None) -> Row:
    return observe(talk).flow(side or talk.client)


def rounds(talk: Conversation, segments: int, count: int, answer_ns: int) -> int:
    """Bursts that are acknowledged whole, each following the ACK by answer_ns; returns the end of the last one."""
    t = OPEN + 1 * MS
    for k in range(count):
        burst(talk, t, segments)
        talk.ack(t + RTT, upto=talk.client.sent - (segments - 1) * MSS)  # of the first: a round trip to measure
        talk.ack(t + RTT)
        t += RTT + (answer_ns if k + 1 < count else 0)
    return t


# ------------------------------------------------------------------------------------------------------ receiver


@pytest.mark.parametrize(
    ("answer_ns", "limited_by"), [(100 * US, "receiver"), (2 * MS, "receiver"), (3 * MS, "sender")]
)
def test_a_window_filled_and_its_opening_answered_at_once_is_the_receiver_s(answer_ns: int, limited_by: str) -> None:
    talk = opened(window=2 * MSS)
    rounds(talk, 2, 11, answer_ns)
    row = flow(talk)
    assert spent(row)[limited_by] == pytest.approx(10 * (RTT + answer_ns) / MS + (limited_by == "sender") * 50, abs=1.5)
    assert row["verdict"] == limited_by
    if limited_by == "receiver":
        assert row["cause"] == "window_full"


def test_a_zero_window_is_the_receiver_s_until_it_opens() -> None:
    talk = opened(window=2 * MSS)
    burst(talk, OPEN + 1 * MS, 2)
    talk.ack(OPEN + 51 * MS, window=0)
    talk.ack(OPEN + 551 * MS)
    burst(talk, OPEN + 551 * MS + 100 * US, 1)
    row = flow(talk)
    assert spent(row)["receiver"] == pytest.approx(550, abs=1)
    assert (row["verdict"], row["cause"]) == ("receiver", "zero_window")


def test_a_window_probe_is_part_of_the_wait() -> None:
    talk = opened(window=2 * MSS)
    burst(talk, OPEN + 1 * MS, 2)
    talk.ack(OPEN + 51 * MS, window=0)
    for t in (300, 700):
        talk.client.keepalive(OPEN + t * MS)
        talk.ack(OPEN + t * MS + RTT, window=0)
    talk.ack(OPEN + 1000 * MS)
    burst(talk, OPEN + 1000 * MS + 100 * US, 1)
    row = flow(talk)
    assert spent(row)["receiver"] == pytest.approx(999, abs=1)
    assert (row["verdict"], row["cause"]) == ("receiver", "zero_window")


# ------------------------------------------------------------------------------------------------------- network


@pytest.mark.parametrize(("answer_ns", "limited_by"), [(100 * US, "network"), (2 * MS, "network"), (3 * MS, "sender")])
def test_room_that_an_ack_makes_and_that_is_used_at_once_was_waited_for(answer_ns: int, limited_by: str) -> None:
    talk = opened()
    rounds(talk, 10, 11, answer_ns)  # ten segments: the initial window
    row = flow(talk)
    # The last round's data was all there was to send: the sender's.
    assert spent(row)[limited_by] >= 10 * (RTT + answer_ns) / MS - 2
    assert row["verdict"] == limited_by
    if limited_by == "network":
        assert row["cause"] in ("slow_start", "congestion_window")


def test_room_used_before_any_ack_made_it_was_the_window_s_growth() -> None:
    talk = opened()
    burst(talk, OPEN + 1 * MS, 10)
    burst(talk, OPEN + 21 * MS, 1)  # no ACK came: nothing but the congestion window held it
    talk.ack(OPEN + 22 * MS)
    assert spent(flow(talk))["network"] == pytest.approx(20, abs=1)


@pytest.mark.parametrize(("answer_ns", "limited_by"), [(60 * MS, "network"), (65 * MS, "sender")])
def test_beside_the_receiver_the_answer_takes_the_sender_s_leg_and_a_quarter_more(
    answer_ns: int, limited_by: str
) -> None:
    talk = opened(near_sender=False)  # the sender's leg takes 50 ms: 62.5 ms are allowed
    t = OPEN + 1 * MS
    for _ in range(6):
        burst(talk, t, 10)
        talk.ack(t + 100 * US)
        t += 100 * US + answer_ns
    parts = spent(flow(talk))
    assert max(parts, key=lambda name: parts[name]) == limited_by


def test_a_silence_within_a_recovery_is_repair() -> None:
    talk = opened()
    t = OPEN + 1 * MS
    burst(talk, t, 10)
    for k in range(3):
        talk.ack(t + RTT + k * 10 * US, upto=0)
    talk.data(t + RTT + 100 * US, MSS, at=0)
    talk.ack(t + 2 * RTT, upto=5 * MSS)
    talk.data(t + 2 * RTT + 100 * US, MSS, at=5 * MSS)
    talk.ack(t + 3 * RTT)
    burst(talk, t + 3 * RTT + 100 * US, 1)
    row = flow(talk)
    assert spent(row)["network"] == pytest.approx(150, abs=1.3)
    assert (row["verdict"], row["cause"]) == ("network", "fast_recovery")


def test_a_timeout_while_the_window_was_full_is_the_network_s_whole() -> None:
    talk = opened()
    t = OPEN + 1 * MS
    burst(talk, t, 10)
    talk.data(t + 1100 * MS, MSS, at=0)
    talk.ack(t + 1150 * MS)
    burst(talk, t + 1150 * MS + 100 * US, 1)
    row = flow(talk)
    assert spent(row)["network"] == pytest.approx(1150, abs=1.3)
    assert (row["verdict"], row["cause"]) == ("network", "timeout")


def test_a_lost_tail_is_the_sender_s_before_its_repair_and_the_network_s_after() -> None:
    """As the sending kernel sees it: until the timer fires it had nothing more to send."""
    talk = opened()
    t = OPEN + 1 * MS
    burst(talk, t, 2)
    talk.data(t + 1100 * MS, MSS, at=0)
    talk.ack(t + 1150 * MS)
    burst(talk, t + 1150 * MS + 100 * US, 1)
    parts = spent(flow(talk))
    assert parts["sender"] == pytest.approx(1100, abs=1.1)
    assert parts["network"] == pytest.approx(50, abs=1.3)


# -------------------------------------------------------------------------------------------------------- sender


def test_room_left_unused_is_the_sender_s() -> None:
    talk = opened()
    for k in range(11):
        t = OPEN + 1 * MS + k * 100 * MS
        talk.data(t, MSS)
        talk.ack(t + RTT)
    row = flow(talk)
    assert spent(row)["sender"] == pytest.approx(1050, abs=1.1)
    assert (row["verdict"], row["cause"]) == ("sender", "slow_producer")


@pytest.mark.parametrize(
    ("payload", "pushed", "limited_by"),
    [(500, True, "sender"), (MSS, True, "network"), (500, False, "network"), (3 * MSS + 500, True, "network")],
)
def test_a_small_last_segment_with_push_is_all_there_was(payload: int, pushed: bool, limited_by: str) -> None:
    talk = opened()
    t = OPEN + 1 * MS
    burst(talk, t, 9)
    (talk.push if pushed else talk.data)(t + 100 * US, payload)  # no room for two more: rule 4 says network
    talk.ack(t + 100 * US + RTT)
    burst(talk, t + 200 * US + RTT, 1)
    parts = spent(flow(talk))
    assert parts[limited_by] == pytest.approx(50, abs=1.3)


@pytest.mark.parametrize(
    ("uses_push", "limited_by"),
    [
        (True, "network"),
        (False, "sender"),
    ],
)
def test_a_full_last_segment_without_push_has_more_behind_it(uses_push: bool, limited_by: str) -> None:
    talk = opened()
    t = OPEN + 1 * MS
    (talk.push if uses_push else talk.data)(t, MSS)
    talk.ack(t + RTT)
    burst(talk, t + RTT + 100 * US, 1)
    burst(talk, t + RTT + 20 * MS, 1)  # before its ACK, with room all the time
    parts = spent(flow(talk))
    assert parts[limited_by] >= 19


def test_after_everything_was_acknowledged_a_long_silence_is_idle() -> None:
    talk = opened()
    t = OPEN + 1 * MS
    talk.data(t, MSS)
    talk.ack(t + RTT)
    talk.data(t + 1 * S, MSS)
    parts = spent(flow(talk))
    assert parts["sender"] == pytest.approx(50, abs=1.1)
    # the round trip of the handshake is nobody's either
    assert parts["idle"] == pytest.approx(950 + 50, abs=1.2)


def test_an_answer_that_is_late_is_think_time_from_the_request_on() -> None:
    talk = opened()
    t = OPEN + 100 * MS
    talk.push(t, 200)
    talk.server.ack(t + RTT)
    talk.server.push(t + 400 * MS, 500)
    talk.client.ack(t + 400 * MS + LEG)
    row = flow(talk, talk.server)
    assert spent(row)["sender"] == pytest.approx(400, abs=0.1)
    assert spent(row)["idle"] == pytest.approx((OPEN + 100 * MS) / MS, abs=0.1)
    assert (row["verdict"], row["cause"]) == ("sender", "server_think")


def test_the_opener_that_waits_for_its_answer_is_idle() -> None:
    talk = opened()
    t = OPEN + 1 * MS
    talk.push(t, 200)
    talk.server.push(t + RTT, 500)
    talk.client.push(t + 800 * MS, 200)
    parts = spent(flow(talk))
    assert parts["idle"] >= 750


# ---------------------------------------------------------------------------------------------- setup and unknown


def test_a_syn_sent_again_is_setup() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.syn(1 * S)
    talk.synack(1 * S + RTT)
    talk.client.ack(1 * S + RTT + LEG)
    talk.data(1 * S + RTT + LEG, MSS)
    row = flow(talk)
    assert spent(row)["setup"] == pytest.approx(
        1000, abs=51
    )  # one round trip, of which one leg is not measured, is due
    assert (row["verdict"], row["cause"]) == ("setup", "syn_lost")


def test_a_syn_ack_sent_again_is_setup() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.synack(RTT)
    talk.synack(1 * S + RTT)
    talk.client.ack(1 * S + RTT + LEG)
    talk.data(1 * S + RTT + LEG, MSS)
    row = flow(talk)
    assert spent(row)["setup"] == pytest.approx(1000, abs=51)
    assert (row["verdict"], row["cause"]) == ("setup", "synack_lost")


@pytest.mark.parametrize("refused", [True, False])
def test_an_opening_that_fails_is_all_setup(refused: bool) -> None:
    talk = Conversation()
    talk.syn(0)
    talk.syn(1 * S)
    if refused:
        talk.server.rst(1 * S + RTT, seq=0, upto=0)
    row = flow(talk)
    assert set(spent(row)) == {"setup"}
    assert (row["verdict"], row["cause"]) == ("setup", "refused" if refused else "no_answer")


def test_a_normal_handshake_is_no_setup_time() -> None:
    talk = opened()
    talk.data(OPEN, MSS)
    talk.ack(OPEN + RTT)
    assert "setup" not in spent(flow(talk))


def test_what_is_outstanding_at_the_end_is_open() -> None:
    talk = opened()
    t = OPEN + 1 * MS
    burst(talk, t, 2)
    talk.server.data(t + 300 * MS, 10, upto=0)  # the observation goes on a little
    row = flow(talk)
    assert spent(row)["unknown"] == pytest.approx(300, abs=0.1)


def test_met_midstream_the_time_before_the_first_segment_of_an_end_is_open() -> None:
    talk = Conversation()
    talk.data(0, MSS)
    talk.server.data(100 * MS, MSS)
    assert spent(flow(talk, talk.server))["unknown"] == pytest.approx(100, abs=0.1)


def test_an_acknowledged_fin_ends_a_flow_s_time() -> None:
    talk = opened()
    t = OPEN + 1 * MS
    talk.data(t, MSS)
    talk.client.fin(t + 10 * US)
    talk.ack(t + RTT)
    talk.server.data(t + 900 * MS, MSS)
    assert flow(talk)["covered_ns"] == t + RTT
