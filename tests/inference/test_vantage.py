"""Where the tap is: by the smallest round trips of both legs (streams/inference/vantage.py, inference.md section 2)."""

import pytest

from tests.inference.observed import observe
from tests.traffic.packets import MS, US, Conversation


def talk_with_legs(sender_ns: int, receiver_ns: int) -> Conversation:
    talk = Conversation()
    talk.syn(0)
    talk.synack(receiver_ns)
    talk.client.ack(receiver_ns + sender_ns)
    talk.data(300 * MS, 1000)
    talk.ack(300 * MS + receiver_ns)
    talk.server.data(600 * MS, 1000)
    talk.client.ack(600 * MS + sender_ns)
    return talk


@pytest.mark.parametrize(
    ("sender_ns", "receiver_ns", "vantage"),
    [
        (1 * MS, 99 * MS, "near_sender"),  # below a fifth of the whole
        (19 * MS, 81 * MS, "near_sender"),
        (20 * MS, 80 * MS, "middle"),
        (50 * MS, 50 * MS, "middle"),
        (80 * MS, 20 * MS, "middle"),
        (81 * MS, 19 * MS, "near_receiver"),
        (400 * US, 600 * US, "near_sender"),  # below half a millisecond, the other larger
        (600 * US, 400 * US, "near_receiver"),
        (520 * US, 600 * US, "middle"),
        (400 * US, 400 * US, "middle"),
    ],
)
def test_the_smaller_leg_tells_and_the_other_direction_sees_the_reverse(
    sender_ns: int, receiver_ns: int, vantage: str
) -> None:
    talk = talk_with_legs(sender_ns, receiver_ns)
    seen = observe(talk)
    mirrored = {"near_sender": "near_receiver", "near_receiver": "near_sender", "middle": "middle"}
    assert seen.flow(talk.client)["vantage"] == vantage
    assert seen.flow(talk.server)["vantage"] == mirrored[vantage]


def test_it_is_not_known_where_a_leg_is_not() -> None:
    talk = Conversation()
    talk.data(0, 1000)
    talk.ack(10 * MS)
    assert observe(talk).flow(talk.client)["vantage"] is None


def test_met_midstream_the_echoes_tell() -> None:
    talk = Conversation()
    talk.client.timestamps = talk.server.timestamps = 1000
    for k in range(4):
        talk.data(k * 100 * MS, 1000)
        talk.ack(k * 100 * MS + 40 * MS)
        talk.client.ack(k * 100 * MS + 41 * MS)
    assert observe(talk).flow(talk.client)["vantage"] == "near_sender"
