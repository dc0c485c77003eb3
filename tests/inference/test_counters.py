"""Packets, bytes and congestion marks of each direction."""

import pytest

from schemas.columns import ACK, CWR, ECE, SYN
from tests.inference.observed import observe
from tests.traffic.packets import MS, Conversation

CE = 3


def test_packets_and_bytes_count_repeats_of_the_sender() -> None:
    talk = Conversation()
    talk.handshake(0)
    talk.data(20 * MS, 1000)
    talk.data(400 * MS, 1000, at=0)
    row = observe(talk).flow(talk.client)
    assert row["packets"] == 4
    assert row["payload_bytes"] == 2000
    assert row["wire_bytes"] == sum(p.wire_bytes for p in talk.packets if p.src == talk.client.address)


def ecn_conversation(syn_flags: int, answer_flags: int) -> Conversation:
    talk = Conversation()
    talk.syn(0, flags=SYN | syn_flags)
    talk.synack(5 * MS, flags=SYN | ACK | answer_flags)
    talk.client.ack(10 * MS)
    return talk


def test_ce_marks_count_for_the_flow_that_carries_them() -> None:
    talk = ecn_conversation(ECE | CWR, ECE)
    talk.data(20 * MS, 1000, ecn=2)
    talk.data(21 * MS, 1000, ecn=CE)
    talk.data(22 * MS, 1000, ecn=1)
    row = observe(talk).flow(talk.client)
    assert row["ce_packets"] == 1


@pytest.mark.parametrize(("syn_flags", "answer_flags", "counted"), [(ECE | CWR, ECE, 2), (ECE | CWR, 0, 0), (0, 0, 0)])
def test_ece_counts_for_the_flow_that_it_answers_where_ecn_was_agreed(
    syn_flags: int, answer_flags: int, counted: int
) -> None:
    talk = ecn_conversation(syn_flags, answer_flags)
    talk.data(20 * MS, 1000)
    talk.ack(25 * MS, flags=ACK | ECE)
    talk.ack(26 * MS, flags=ACK | ECE)
    row = observe(talk).flow(talk.client)
    assert row["ece_packets"] == counted


def test_with_accurate_ecn_ece_is_a_bit_of_a_counter() -> None:
    talk = ecn_conversation(ECE | CWR | 0x100, CWR)
    talk.data(20 * MS, 1000)
    talk.ack(25 * MS, flags=ACK | ECE)
    row = observe(talk).flow(talk.client)
    assert row["ecn"] == "acc_ecn"
    assert row["ece_packets"] == 0
