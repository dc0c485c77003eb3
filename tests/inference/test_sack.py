"""The scoreboard against a set of byte positions, and duplicate SACKs (RFC 2018, 6675, 2883)."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.inference.engine import Engine
from tests.inference.observed import feed, flow_record, live_flow, observe
from tests.traffic.packets import MS, Conversation

RANGES = 4
SEGMENTS = 30
MSS = 1000


def sending(segments: int = SEGMENTS, isn: int = 1_000) -> Conversation:
    talk = Conversation(isn=isn)
    talk.handshake(0)
    for k in range(segments):
        talk.data(20 * MS + k, MSS)
    return talk


def sacked(talk: Conversation) -> int:
    return int(live_flow(talk, talk.client)["sacked_bytes"])


def test_blocks_add_up_and_merge() -> None:
    talk = sending()
    talk.ack(30 * MS, upto=0, sack=[(1000, 2000)])
    assert sacked(talk) == 1000
    talk.ack(31 * MS, upto=0, sack=[(3000, 4000), (1000, 2000)])
    assert sacked(talk) == 2000
    talk.ack(32 * MS, upto=0, sack=[(2000, 3000), (1000, 2000)])
    flow = live_flow(talk, talk.client)
    assert int(flow["sacked_bytes"]) == 3000
    assert int(flow["sack_n"]) == 1


def test_what_the_cumulative_ack_passes_is_no_longer_sacked() -> None:
    talk = sending()
    talk.ack(30 * MS, upto=0, sack=[(1000, 4000)])
    talk.ack(31 * MS, upto=2500)
    assert sacked(talk) == 1500
    talk.ack(32 * MS, upto=4000)
    assert sacked(talk) == 0


def test_blocks_of_data_never_sent_or_already_acknowledged_are_not_taken() -> None:
    talk = sending(5)
    talk.ack(30 * MS, upto=2000)
    talk.ack(31 * MS, upto=2000, sack=[(4000, 6000), (1000, 1500)])
    talk.ack(32 * MS, upto=2000, sack=[(4000, 3000)])  # right below left
    assert sacked(talk) == 0


@settings(max_examples=60, deadline=None)
@given(
    isn=st.sampled_from([1_000, 0xFFFF_FFFF - 12_345]),
    acks=st.lists(
        st.tuples(
            st.integers(0, 4),
            st.lists(st.tuples(st.integers(0, SEGMENTS - 1), st.integers(1, 3)), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_any_sequence_of_blocks_is_their_union_or_an_upper_bound_of_it(
    isn: int, acks: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    talk = sending(isn=isn)
    una, union = 0, set[int]()
    for k, (step, blocks) in enumerate(acks):
        una = min(una + step, SEGMENTS)
        inside = [(a, min(a + n, SEGMENTS)) for a, n in blocks if a > una]
        # The first block must not look like a DSACK: not within the second.
        if len(inside) > 1 and inside[1][0] <= inside[0][0] and inside[0][1] <= inside[1][1]:
            inside = inside[:1]
        union |= {s for a, b in inside for s in range(a, b)}
        union = {s for s in union if s >= una}
        talk.ack((30 + k) * MS, upto=una * MSS, sack=[(a * MSS, b * MSS) for a, b in inside])
    engine = Engine()
    feed(engine, talk.segments())
    flow = flow_record(engine, talk.client)
    n = int(flow["sack_n"])
    ranges = [(int(flow["sack_left"][k]), int(flow["sack_right"][k])) for k in range(n)]
    positions = [tuple((edge - talk.client.raw(0)) & 0xFFFFFFFF for edge in pair) for pair in ranges]
    assert n <= RANGES
    assert all(left < right for left, right in positions)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(positions))
    covered = {s for left, right in positions for s in range(left // MSS, right // MSS)}
    assert int(flow["sacked_bytes"]) == sum(right - left for left, right in positions)
    if flow["sack_overflow"]:
        assert covered >= union
        assert not union or max(covered) == max(union)
    else:
        assert covered == union


def lost_and_needless(talk: Conversation) -> tuple[int, int]:
    row = observe(talk).flow(talk.client)
    return row["lost_far"], row["spurious_retransmissions"]


def retransmitted() -> Conversation:
    talk = sending(5)
    talk.ack(30 * MS, upto=1000)
    talk.data(300 * MS, 1000, at=1000)
    return talk


def test_a_duplicate_below_the_cumulative_ack_shows_a_needless_repetition() -> None:
    talk = retransmitted()
    talk.ack(310 * MS, upto=5000, sack=[(1000, 2000)])
    assert lost_and_needless(talk) == (0, 1)


def test_a_duplicate_within_the_second_block_too() -> None:
    talk = retransmitted()
    talk.ack(310 * MS, upto=1000, sack=[(1000, 2000), (1000, 5000)])
    assert lost_and_needless(talk) == (0, 1)


def test_an_ordinary_first_block_shows_none() -> None:
    talk = retransmitted()
    talk.ack(310 * MS, upto=1000, sack=[(2000, 3000)])
    talk.ack(311 * MS, upto=1000, sack=[(3000, 4000), (2000, 3000)])
    assert lost_and_needless(talk) == (1, 0)


def test_a_duplicate_of_a_repetition_known_to_be_needless_moves_nothing() -> None:
    talk = retransmitted()
    talk.ack(310 * MS, upto=5000)
    talk.data(320 * MS, 1000, at=3000)  # all of it acknowledged: needless
    assert lost_and_needless(talk) == (1, 1)
    talk.ack(330 * MS, upto=5000, sack=[(3000, 4000)])
    assert lost_and_needless(talk) == (1, 1)
    talk.ack(331 * MS, upto=5000, sack=[(1000, 2000)])
    assert lost_and_needless(talk) == (0, 2)


def test_a_duplicate_without_any_repetition_was_the_network_s() -> None:
    talk = sending(5)
    talk.ack(30 * MS, upto=5000)
    talk.ack(31 * MS, upto=5000, sack=[(1000, 2000)])
    assert lost_and_needless(talk) == (0, 0)
