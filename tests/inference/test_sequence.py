"""What a segment is to its flow: new, repeat, repair, reordered, keep-alive, probe, stray (docs/rules.md)."""

import pytest

from tests.inference.observed import Row, observe
from tests.traffic.packets import MS, US, Conversation, S

QUIET = {"retransmitted_packets": 0, "retransmitted_bytes": 0, "out_of_order": 0, "unseen_bytes": 0, "keepalives": 0,
         "window_probes": 0, "spurious_retransmissions": 0, "lost_near": 0, "lost_far": 0}  # fmt: skip


def established(**ends: int) -> Conversation:
    talk = Conversation(**ends)  # type: ignore[arg-type]
    talk.handshake(0)
    return talk


def row_of(talk: Conversation) -> Row:
    return observe(talk).flow(talk.client)


def check(talk: Conversation, **expected: int) -> Row:
    """Of all counts of unusual segments only these differ from 0."""
    row = row_of(talk)
    assert {name: row[name] for name in QUIET} == QUIET | expected
    return row


def test_data_in_order_is_new() -> None:
    talk = established()
    for k in range(5):
        talk.data((20 + k) * MS, 1000)
    talk.ack(40 * MS)
    check(talk)


@pytest.mark.parametrize("isn", [0xFFFF_FFFF, 0xFFFF_FE00, 0x7FFF_FF00])
def test_numbers_wrap(isn: int) -> None:
    talk = established(isn=isn, server_isn=0xFFFF_FFF0)
    for k in range(4):
        talk.data((20 + k) * MS, 1000)
    talk.ack(30 * MS, upto=1000)
    talk.data(60 * MS, 1000, at=1000)
    talk.ack(70 * MS)
    talk.close(80 * MS)
    row = check(talk, retransmitted_packets=1, retransmitted_bytes=1000, lost_far=1)
    assert row["flight_max_bytes"] == 4000
    assert row["ended_by"] == "fin"


def test_seen_before_and_not_acknowledged_was_lost_behind_the_tap() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(300 * MS, 1000, at=0)
    check(talk, retransmitted_packets=1, retransmitted_bytes=1000, lost_far=1)


def test_acknowledged_before_it_was_sent_again_is_needless() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.ack(30 * MS)
    talk.data(300 * MS, 1000, at=0)
    check(talk, retransmitted_packets=1, retransmitted_bytes=1000, spurious_retransmissions=1)


def test_half_old_half_new_repeats_the_old_half() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(300 * MS, 1000, at=400)
    row = check(talk, retransmitted_packets=1, retransmitted_bytes=600, lost_far=1)
    assert row["flight_max_bytes"] == 1400


def test_a_super_segment_repeated_counts_its_segments() -> None:
    talk = established()
    talk.data(20 * MS, 100_000)  # BIG TCP: above 64 KB
    talk.data(300 * MS, 100_000, at=0)
    row = check(talk, retransmitted_packets=1, retransmitted_bytes=100_000, lost_far=1)
    assert row["retransmitted_segments"] == -(-100_000 // 1460)
    assert row["flight_max_bytes"] == 100_000
    assert row["payload_bytes"] == 200_000


REORDERED = {"out_of_order": 1}
REPAIRED = {"retransmitted_packets": 1, "retransmitted_bytes": 1000, "lost_near": 1}


@pytest.mark.parametrize(
    ("tsval", "ip_id", "delay_ns", "expected"),
    [
        (400, 13, 500 * MS, REORDERED),  # the older timestamp tells, whatever else
        (600, 11, 10 * US, REPAIRED),  # the newer one too
        (500, 11, 500 * MS, REORDERED),  # equal timestamps: the identification tells
        (500, 13, 10 * US, REPAIRED),
        (None, 11, 500 * MS, REORDERED),
        (None, 13, 10 * US, REPAIRED),
        (None, 0, 3 * MS - 1, REORDERED),  # neither: time tells
        (None, 0, 3 * MS, REPAIRED),
        (500, 0, 3 * MS - 1, REORDERED),
        (500, 0, 3 * MS, REPAIRED),
    ],
)
def test_a_filled_hole_is_reordering_or_repair(
    tsval: int | None, ip_id: int, delay_ns: int, expected: dict[str, int]
) -> None:
    talk = established()
    stamp = {} if tsval is None else {"timestamps": (500, 1)}
    talk.data(20 * MS, 1000, ip_id=10, **stamp)
    talk.data(21 * MS, 1000, at=2000, ip_id=12, **stamp)
    if tsval is not None:
        stamp = {"timestamps": (tsval, 1)}
    talk.data(21 * MS + delay_ns, 1000, at=1000, ip_id=ip_id, **stamp)
    talk.ack(900 * MS)
    check(talk, **expected)


def test_identifications_wrap() -> None:
    talk = established()
    talk.data(20 * MS, 1000, ip_id=0xFFFE)
    talk.data(21 * MS, 1000, at=2000, ip_id=1)
    talk.data(500 * MS, 1000, at=1000, ip_id=0xFFFF)
    check(talk, **REORDERED)


@pytest.mark.parametrize(("delay_ns", "expected"), [(10 * MS - 1, REORDERED), (10 * MS, REPAIRED)])
def test_the_time_allowed_for_reordering_is_a_quarter_of_the_round_trip(
    delay_ns: int, expected: dict[str, int]
) -> None:
    talk = established()
    talk.data(20 * MS, 1000, ip_id=0)
    talk.ack(60 * MS)  # 40 ms from the tap to the receiver and back
    talk.data(100 * MS, 1000, at=2000, ip_id=0)
    talk.data(100 * MS + delay_ns, 1000, at=1000, ip_id=0)
    check(talk, **expected)


def test_a_hole_filled_twice_is_repaired_once() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(21 * MS, 1000, at=2000)
    talk.data(50 * MS, 1000, at=1000)
    talk.data(90 * MS, 1000, at=1000)
    check(talk, retransmitted_packets=2, retransmitted_bytes=2000, lost_near=1, lost_far=1)


def test_a_hole_filled_in_pieces() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(21 * MS, 1000, at=4000)
    for at in (2000, 1000, 3000):  # the middle first, so that two holes remain
        talk.data((50 + at // 100) * MS, 1000, at=at)
    talk.ack(200 * MS)
    check(talk, retransmitted_packets=3, retransmitted_bytes=3000, lost_near=3)


def test_beyond_four_holes_the_lowest_is_forgotten() -> None:
    talk = established()
    for k in range(6):
        talk.data((20 + k) * MS, 1000, at=2000 * k)
    talk.data(50 * MS, 1000, at=1000)  # forgotten: looks like any repeat
    talk.data(51 * MS, 1000, at=3000)
    check(talk, retransmitted_packets=2, retransmitted_bytes=2000, lost_far=1, lost_near=1)


@pytest.mark.parametrize("payload", [0, 1])
def test_keepalives_are_no_losses(payload: int) -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.ack(30 * MS)
    for k in range(3):
        talk.client.keepalive((60 + k * 60) * S, payload)
        talk.ack((60 + k * 60) * S + 10 * MS)
    check(talk, keepalives=3)


def test_the_byte_before_the_next_is_a_repeat_while_data_is_outstanding() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.client.keepalive(300 * MS, 1)
    check(talk, retransmitted_packets=1, retransmitted_bytes=1, lost_far=1)


def test_a_bare_ack_below_the_next_byte_is_nothing_while_data_is_outstanding() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.client.keepalive(300 * MS, 0)
    check(talk)


@pytest.mark.parametrize("payload", [0, 1])
def test_a_zero_window_makes_a_keepalive_a_probe(payload: int) -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.ack(30 * MS, window=0)
    talk.client.keepalive(300 * MS, payload)
    check(talk, window_probes=1)


def test_a_probe_of_one_new_byte_that_is_refused_is_no_data() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.ack(30 * MS, window=0)
    for t in (300, 700):
        talk.data(t * MS, 1, at=1000)
        talk.ack((t + 10) * MS, upto=1000, window=0)
    talk.ack(800 * MS, upto=1000)
    talk.data(801 * MS, 1000, at=1000)  # the probed byte is sent as data for the first time
    talk.ack(810 * MS, upto=2000)
    row = check(talk, window_probes=2)
    assert row["flight_max_bytes"] == 1000


def test_a_probe_of_one_new_byte_that_is_taken_is_not_missing() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.ack(30 * MS, window=0)
    talk.data(300 * MS, 1, at=1000)
    talk.ack(310 * MS, upto=1001)
    talk.data(311 * MS, 1000, at=1001)
    talk.ack(320 * MS, upto=2001)
    check(talk, window_probes=1)


@pytest.mark.parametrize("distance", [(1 << 30) + 1, 1 << 31, (1 << 32) - (1 << 30) - 1])
def test_numbers_of_another_stream_have_no_effect(distance: int) -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(21 * MS, 1000, seq=(talk.client.raw(1000) + distance) & 0xFFFFFFFF)
    talk.data(22 * MS, 1000, at=1000)
    talk.ack(30 * MS, upto=2000)
    row = check(talk)
    assert row["flight_max_bytes"] == 2000


def test_bytes_acknowledged_and_never_seen_are_capture_loss() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.ack(30 * MS, upto=2500)
    talk.data(40 * MS, 1000, at=2500)
    talk.ack(50 * MS)
    check(talk, unseen_bytes=1500)


def test_a_hole_that_is_acknowledged_is_capture_loss() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(21 * MS, 1000, at=2000)
    talk.ack(30 * MS, upto=1500)
    talk.ack(31 * MS, upto=3000)
    check(talk, unseen_bytes=1000)


def test_captured_after_its_acknowledgement_is_the_capture_s_disorder() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.ack(30 * MS, upto=2000)
    talk.data(30 * MS, 1000, at=1000)
    talk.data(31 * MS, 1000, at=2000)
    check(talk, out_of_order=1)


def test_half_acknowledged_half_missing_is_taken_back_by_what_was_acknowledged() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(21 * MS, 1000, at=2000)
    talk.ack(30 * MS, upto=1400)
    talk.data(60 * MS, 1000, at=1000)
    talk.ack(70 * MS)
    check(talk, **REPAIRED)


def test_what_was_sent_before_the_capture_began_is_no_capture_loss() -> None:
    talk = Conversation()
    talk.ack(0, upto=1000)
    talk.ack(1 * MS, upto=2500)
    talk.data(5 * MS, 1000, at=4000)
    talk.ack(10 * MS, upto=5000)
    check(talk)


def test_a_first_segment_at_the_first_ack_is_simply_new() -> None:
    talk = Conversation()
    talk.ack(0, upto=1000)
    talk.data(5 * MS, 1000, at=1000)
    talk.ack(10 * MS, upto=2000)
    check(talk)


def test_a_syn_captured_after_the_data_that_follows_it_is_no_retransmission() -> None:
    talk = Conversation()
    talk.data(0, 1000, at=0)
    talk.syn(10 * US)
    talk.synack(5 * MS)
    talk.ack(6 * MS)
    check(talk)
