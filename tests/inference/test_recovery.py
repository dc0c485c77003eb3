"""Why data was sent again: fast, timeout, tail probe, needless (docs/rules.md "Repetitions' triggers")."""

import pytest

from tests.inference.observed import Row, observe
from tests.traffic.packets import MS, US, Conversation, S

MSS = 1460
# One sample of 8 ms: srtt 8 ms, rttvar 4 ms; the sender's leg of 5 ms added; RFC 6298 with Linux's floor.
RTT = 13 * MS
RTO = RTT + 200 * MS
QUIET = RTO * 8 // 10
COUNTS = ("retransmitted_packets", "fast_retransmissions", "timeouts", "tail_probes", "spurious_retransmissions",
          "lost_near", "lost_far")  # fmt: skip


def sending(segments: int = 10, start_ns: int = 100 * MS) -> Conversation:
    """One round trip measured, then a flight of full segments."""
    talk = Conversation()
    talk.handshake(0)
    talk.data(20 * MS, MSS)
    talk.ack(28 * MS)
    for k in range(segments):
        talk.data(start_ns + k * 10 * US, MSS)
    return talk


def check(talk: Conversation, **expected: int) -> Row:
    row = observe(talk).flow(talk.client)
    assert {name: row[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0) | expected
    return row


def duplicates(talk: Conversation, count: int, upto: int = MSS, start_ns: int = 108 * MS) -> None:
    for k in range(count):
        talk.ack(start_ns + k * 10 * US, upto=upto)


def test_after_three_duplicate_acks_it_is_fast() -> None:
    talk = sending()
    duplicates(talk, 3)
    talk.data(109 * MS, MSS, at=MSS)
    check(talk, retransmitted_packets=1, fast_retransmissions=1, lost_far=1)


@pytest.mark.parametrize("sacked_segments", [1, 3])
def test_after_sack_it_is_fast(sacked_segments: int) -> None:
    talk = sending()
    talk.ack(108 * MS, upto=MSS, sack=[(2 * MSS, (2 + sacked_segments) * MSS)])
    talk.data(109 * MS, MSS, at=MSS)
    check(talk, retransmitted_packets=1, fast_retransmissions=1, lost_far=1)


def test_a_repaired_hole_was_lost_before_the_tap() -> None:
    talk = sending(0)
    talk.data(100 * MS, MSS)
    for k in range(2, 6):
        talk.data(100 * MS + k * 10 * US, MSS, at=(k + 1) * MSS)
    duplicates(talk, 3, upto=2 * MSS)
    talk.data(116 * MS, MSS, at=2 * MSS)
    check(talk, retransmitted_packets=1, fast_retransmissions=1, lost_near=1)


@pytest.mark.parametrize(("silence_ns", "timeouts"), [(QUIET - 1 * MS, 0), (QUIET, 1), (RTO, 1)])
def test_silence_of_most_of_the_timer_is_a_timeout(silence_ns: int, timeouts: int) -> None:
    talk = sending(2)
    sent = talk.packets[-1].time_ns - talk.packets[0].time_ns
    talk.data(sent + silence_ns, MSS, at=MSS)  # the first of two: no tail
    check(talk, retransmitted_packets=1, timeouts=timeouts, lost_far=1)


def test_progress_meanwhile_makes_it_none() -> None:
    talk = sending(4)
    talk.ack(200 * MS, upto=2 * MSS)
    talk.data(300 * MS, MSS, at=2 * MSS)
    check(talk, retransmitted_packets=1, lost_far=1)


def test_three_duplicates_and_then_silence_is_a_timeout() -> None:
    talk = sending()
    duplicates(talk, 3)
    talk.data(108 * MS + RTO, MSS, at=MSS)
    check(talk, retransmitted_packets=1, timeouts=1, lost_far=1)


def test_backoff_is_a_timeout_each_time() -> None:
    talk = sending(1)
    t = 100 * MS
    for k in range(4):
        t += RTO << k
        talk.data(t, MSS, at=MSS)
    row = check(talk, retransmitted_packets=4, timeouts=4, lost_far=4)
    assert row["retransmitted_bytes"] == 4 * MSS


def test_what_follows_a_timeout_belongs_to_its_episode() -> None:
    talk = sending(4)
    talk.data(100 * MS + RTO, MSS, at=MSS)
    talk.ack(108 * MS + RTO, upto=2 * MSS)
    talk.data(109 * MS + RTO, MSS, at=2 * MSS)
    talk.data(109 * MS + RTO + US, MSS, at=3 * MSS)
    check(talk, retransmitted_packets=3, timeouts=1, lost_far=3)


def test_what_follows_a_fast_one_is_fast_too() -> None:
    talk = sending()
    duplicates(talk, 3)
    talk.data(109 * MS, MSS, at=MSS)
    talk.ack(117 * MS, upto=4 * MSS)  # partial: RFC 6582
    talk.data(118 * MS, MSS, at=4 * MSS)
    check(talk, retransmitted_packets=2, fast_retransmissions=2, lost_far=2)


def test_a_timeout_within_a_fast_episode() -> None:
    talk = sending()
    duplicates(talk, 3)
    talk.data(109 * MS, MSS, at=MSS)
    talk.data(109 * MS + RTO, MSS, at=MSS)
    check(talk, retransmitted_packets=2, fast_retransmissions=1, timeouts=1, lost_far=2)


def test_an_episode_ends_when_all_sent_before_it_is_acknowledged() -> None:
    talk = sending()
    duplicates(talk, 3)
    talk.data(109 * MS, MSS, at=MSS)
    talk.ack(117 * MS, upto=11 * MSS)
    for k in range(5):
        talk.data(120 * MS + k * 10 * US, MSS)
    talk.data(140 * MS, MSS, at=11 * MSS)  # nothing shows why: not an episode's
    check(talk, retransmitted_packets=2, fast_retransmissions=1, lost_far=2)


@pytest.mark.parametrize(
    ("silence_ns", "probes"), [(RTT * 3 // 2, 1), (2 * RTT, 1), (RTT * 3 // 2 - 1 * MS, 0), (QUIET, 0)]
)
def test_the_last_segment_after_two_round_trips_is_a_tail_probe(silence_ns: int, probes: int) -> None:
    talk = sending(1)
    talk.data(100 * MS + silence_ns, MSS, at=MSS)
    row = observe(talk).flow(talk.client)
    assert row["tail_probes"] == probes
    assert row["timeouts"] == (silence_ns >= QUIET)
    assert row["fast_retransmissions"] == 0


def test_a_tail_probe_is_no_episode() -> None:
    talk = sending(3)
    talk.data(100 * MS + 2 * RTT, MSS, at=3 * MSS)
    duplicates(talk, 3, start_ns=140 * MS)
    talk.data(142 * MS, MSS, at=MSS)
    check(talk, retransmitted_packets=2, tail_probes=1, fast_retransmissions=1, lost_far=2)


def test_repeating_what_was_acknowledged_is_needless() -> None:
    talk = sending(1)
    talk.ack(108 * MS)
    talk.data(100 * MS + RTO, MSS, at=MSS)
    check(talk, retransmitted_packets=1, spurious_retransmissions=1)


@pytest.mark.parametrize("end", ["syn", "fin"])
def test_a_syn_or_fin_alone_is_repeated_by_its_timer(end: str) -> None:
    talk = Conversation()
    talk.syn(0)
    if end == "syn":
        talk.syn(1 * S)
        talk.syn(3 * S)
    else:
        talk.synack(5 * MS)
        talk.client.ack(10 * MS)
        talk.client.fin(1 * S)
        talk.client.fin(2 * S, at=0)  # no round trip was measured: the timer is at its initial second
        talk.client.fin(4 * S, at=0)
    check(talk, retransmitted_packets=2, timeouts=2, lost_far=2)


def test_without_any_ack_ever_a_timeout_is_still_one() -> None:
    talk = Conversation()  # met mid-stream, the other direction unseen
    for k in range(4):
        talk.data(k, MSS)
    for t in (1 * S, 3 * S, 7 * S):
        talk.data(t, MSS, at=0)
    check(talk, retransmitted_packets=3, timeouts=3, lost_far=3)


def test_windows_count_their_own() -> None:
    talk = sending()
    duplicates(talk, 3)
    talk.data(109 * MS, MSS, at=MSS)
    talk.ack(117 * MS)
    talk.data(1 * S + 100 * MS, 3 * MSS)
    talk.data(1 * S + 100 * MS + RTO, 3 * MSS, at=11 * MSS)
    first, second = observe(talk).windows(talk.client)
    names = ("retransmitted_packets", "retransmitted_segments", "fast_retransmissions", "timeouts")
    assert [first[name] for name in names] == [1, 1, 1, 0]
    assert [second[name] for name in names] == [1, 3, 0, 1]


@pytest.mark.parametrize(("payload", "segments"), [(1, 1), (MSS, 1), (MSS + 1, 2), (65_160, -(-65_160 // MSS))])
def test_segments_of_a_repeated_super_segment(payload: int, segments: int) -> None:
    talk = sending(0)
    talk.data(100 * MS, payload)
    talk.data(100 * MS + RTO, payload, at=MSS)
    row = observe(talk).flow(talk.client)
    assert row["retransmitted_packets"] == 1
    assert row["retransmitted_segments"] == segments
    assert row["retransmitted_bytes"] == payload
