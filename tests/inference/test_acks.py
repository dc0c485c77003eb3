"""Progress, duplicate ACKs, ACKs that cannot be (docs/rules.md "ACKs", RFC 5681 section 2)."""

from typing import Any

import pytest

from schemas.columns import ACK, FIN
from tests.inference.observed import live_flow, observe
from tests.traffic.packets import MS, Conversation

FAR = 1 << 30


def sending(segments: int = 5) -> Conversation:
    """Segments of 1000 bytes, the first acknowledged."""
    talk = Conversation()
    talk.handshake(0)
    for k in range(segments):
        talk.data(20 * MS + k, 1000)
    talk.ack(30 * MS, upto=1000)
    return talk


@pytest.mark.parametrize(("duplicates", "triples"), [(1, 0), (2, 0), (3, 1), (4, 1)])
def test_the_third_duplicate_in_a_row_counts_once(duplicates: int, triples: int) -> None:
    talk = sending()
    for k in range(duplicates):
        talk.ack((31 + k) * MS, upto=1000)
    row = observe(talk).flow(talk.client)
    assert row["duplicate_acks"] == duplicates
    assert row["triple_duplicate_acks"] == triples


def test_an_advance_begins_a_new_row_of_duplicates() -> None:
    talk = sending()
    for base in (31, 41):
        for k in range(2):
            talk.ack((base + k) * MS, upto=1000 if base == 31 else 2000)
    talk.ack(50 * MS, upto=2000)
    row = observe(talk).flow(talk.client)
    assert row["duplicate_acks"] == 4  # the ACK of 2000 itself is an advance
    assert row["triple_duplicate_acks"] == 0


@pytest.mark.parametrize(
    ("change", "is_duplicate"),
    [
        ({}, True),
        ({"window": 1000}, False),
        ({"window": 1000, "sack": [(2000, 3000)]}, True),  # RFC 6675: SACK information makes it one
        ({"payload": 10}, False),
        ({"flags": ACK | FIN}, False),
        ({"upto": 500}, False),  # old
        ({"upto": 2000}, False),  # progress
    ],
)
def test_what_makes_a_duplicate(change: dict[str, Any], is_duplicate: bool) -> None:
    talk = sending()
    talk.server.send(31 * MS, **{"upto": 1000} | change)
    assert observe(talk).flow(talk.client)["duplicate_acks"] == is_duplicate


def test_the_window_is_compared_with_that_of_the_ack_before() -> None:
    talk = sending()
    talk.ack(31 * MS, upto=1000, window=1000)
    talk.ack(32 * MS, upto=1000, window=1000)
    assert observe(talk).flow(talk.client)["duplicate_acks"] == 1


def test_without_anything_outstanding_there_is_no_duplicate() -> None:
    talk = sending(1)
    talk.ack(31 * MS, upto=1000)
    talk.ack(32 * MS, upto=1000)
    assert observe(talk).flow(talk.client)["duplicate_acks"] == 0


def test_each_direction_has_its_own() -> None:
    talk = Conversation()
    talk.handshake(0)
    talk.data(15 * MS, 10)
    talk.server.data(20 * MS, 1000)
    talk.server.data(20 * MS, 1000)
    talk.client.ack(30 * MS, upto=1000)
    talk.client.ack(31 * MS, upto=1000)
    seen = observe(talk)
    assert seen.flow(talk.server)["duplicate_acks"] == 1
    assert seen.flow(talk.client)["duplicate_acks"] == 0


@pytest.mark.parametrize(("beyond", "believed"), [(1, True), (FAR, True), (FAR + 1, False), (1 << 31, False)])
def test_an_ack_further_than_any_window_is_not_believed(beyond: int, believed: bool) -> None:
    talk = sending(1)
    talk.ack(31 * MS, upto=1000 + beyond)
    row = observe(talk).flow(talk.client)
    assert row["unseen_bytes"] == (beyond if believed else 0)


def test_the_ack_of_a_reset_says_nothing() -> None:
    talk = sending(2)
    talk.server.rst(31 * MS, upto=99_000)
    row = observe(talk).flow(talk.client)
    assert row["unseen_bytes"] == 0
    assert row["duplicate_acks"] == 0


def test_an_old_ack_takes_nothing_back() -> None:
    talk = sending(3)
    talk.ack(31 * MS, upto=3000)
    talk.ack(32 * MS, upto=1000)
    flow = live_flow(talk, talk.client)
    assert int(flow["una"]) == talk.client.raw(3000)


def test_met_midstream_the_first_ack_may_show_older_data_outstanding() -> None:
    talk = Conversation()
    talk.data(0, 1000, at=1000)
    talk.ack(1 * MS, upto=500)
    talk.data(2 * MS, 1000, at=2000)
    talk.ack(3 * MS, upto=200)  # only the first
    talk.data(4 * MS, 1000, at=3000)
    row = observe(talk).flow(talk.client)
    assert row["flight_max_bytes"] == 4000 - 500
    assert row["retransmitted_packets"] == 0
