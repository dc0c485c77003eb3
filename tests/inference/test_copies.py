"""One packet captured twice counts once and is no TCP event (docs/rules.md "Copies")."""

import pytest

from tests.inference.observed import observe
from tests.traffic.packets import MS, US, Conversation

V6 = {"client": "[2001:db8::1]:40000", "server": "[2001:db8::2]:80"}


def established(**ends: str) -> Conversation:
    """A handshake of 10 ms and one round trip of data, 8 ms from tap to receiver."""
    talk = Conversation(**ends)  # type: ignore[arg-type]
    talk.handshake(0)
    return talk


def test_a_copy_with_the_same_identification_counts_nowhere_else() -> None:
    talk = established()
    packet = talk.data(20 * MS, 1000)
    talk.again(packet, 500 * MS)  # however late: the identification tells
    talk.ack(600 * MS)
    row = observe(talk).flow(talk.client)
    assert row["captured_twice"] == 1
    assert row["packets"] == 3
    assert row["payload_bytes"] == 1000
    assert row["retransmitted_packets"] == 0


@pytest.mark.parametrize(("others", "copies"), [(3, 1), (4, 0)])
def test_the_last_four_packets_of_a_direction_are_remembered(others: int, copies: int) -> None:
    talk = established()
    packet = talk.data(20 * MS, 1000)
    for k in range(others):
        talk.data((21 + k) * MS, 1000)
    talk.again(packet, 10 * MS)
    row = observe(talk).flow(talk.client)
    assert row["captured_twice"] == copies
    assert row["retransmitted_packets"] == 1 - copies


def test_copies_take_no_place_among_the_remembered() -> None:
    talk = established()
    first = talk.data(20 * MS, 1000)
    for k in range(3):
        talk.again(talk.data((21 + k) * MS, 1000))
    talk.again(first, 5 * MS)
    assert observe(talk).flow(talk.client)["captured_twice"] == 4


@pytest.mark.parametrize(
    "change",
    [{"ip_id": 99}, {"window": 77}, {"ack": 1}, {"payload_bytes": 999}, {"flags": 0x18}],
    ids=lambda change: next(iter(change)),
)
def test_whatever_differs_makes_it_another_packet(change: dict[str, int]) -> None:
    talk = established()
    talk.again(talk.data(20 * MS, 1000), 100 * US, **change)
    row = observe(talk).flow(talk.client)
    assert row["captured_twice"] == 0
    assert row["packets"] == 4


@pytest.mark.parametrize(("delay_ns", "copies"), [(1 * MS, 1), (1 * MS + 1, 0)])
@pytest.mark.parametrize("identified", ["zero", "ipv6"])
def test_without_identification_a_copy_follows_within_a_millisecond(
    identified: str, delay_ns: int, copies: int
) -> None:
    talk = Conversation(**(V6 if identified == "ipv6" else {}))  # type: ignore[arg-type]
    talk.client.data(0, 1000, ip_id=0)
    talk.again(talk.packets[-1], delay_ns)
    row = observe(talk).flow(talk.client)
    assert row["captured_twice"] == copies
    assert row["retransmitted_packets"] == 1 - copies


@pytest.mark.parametrize(("delay_ns", "copies"), [(2 * MS, 1), (2 * MS + 100 * US, 0)])
def test_with_a_known_round_trip_within_a_quarter_of_it(delay_ns: int, copies: int) -> None:
    talk = established(**V6)
    talk.data(20 * MS, 1000)
    talk.ack(28 * MS)
    talk.again(talk.data(30 * MS, 1000), delay_ns)
    row = observe(talk).flow(talk.client)
    assert row["captured_twice"] == copies


def test_two_like_acks_are_duplicates_not_copies_unless_the_tap_doubles() -> None:
    talk = established(**V6)
    talk.data(20 * MS, 1000)
    talk.data(20 * MS, 1000)
    talk.ack(28 * MS, upto=1000)
    talk.ack(28 * MS + 10 * US, upto=1000)
    row = observe(talk).flow(talk.client)
    assert row["duplicate_acks"] == 1

    talk = established(**V6)
    talk.server.data(15 * MS, 10)
    talk.again(talk.packets[-1], 10 * US)  # the server's direction has shown a copy
    talk.data(20 * MS, 1000)
    talk.data(20 * MS, 1000)
    talk.ack(28 * MS, upto=1000)
    talk.again(talk.packets[-1], 10 * US)
    seen = observe(talk)
    assert seen.flow(talk.client)["duplicate_acks"] == 0
    assert seen.flow(talk.server)["captured_twice"] == 2


def test_the_sender_s_repetition_has_another_identification() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(20 * MS + 10 * US, 1000, at=0)
    row = observe(talk).flow(talk.client)
    assert row["captured_twice"] == 0
    assert row["retransmitted_packets"] == 1


def test_a_tap_that_doubles_everything_shows_one_connection_as_if_it_did_not() -> None:
    once, twice = established(), established()
    for talk in (once, twice):
        for k in range(5):
            talk.data((20 + 10 * k) * MS, 1000)
            talk.ack((28 + 10 * k) * MS)
        talk.close(80 * MS)
    twice.packets[:] = [packet for packet in twice.packets for _ in range(2)]
    row, doubled = observe(once).flow(once.client), observe(twice).flow(twice.client)
    assert doubled.pop("captured_twice") == row["packets"]
    assert row.pop("captured_twice") == 0
    assert doubled == row
