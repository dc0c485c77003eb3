"""Opening, establishment, close, reset, expiry, incarnations (RFC 9293, docs/rules.md "Segments and connections")."""

import pytest

from schemas.columns import ACK, SYN
from tests.inference.observed import observe
from tests.traffic.packets import MS, START_NS, Conversation, S


def established(**ends: object) -> Conversation:
    talk = Conversation(**ends)  # type: ignore[arg-type]
    talk.handshake(0)
    return talk


def test_an_orderly_life_from_syn_to_both_fins() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.ack(25 * MS)
    talk.close(30 * MS)
    row = observe(talk).flow(talk.client)
    assert row["opener"] is True
    assert row["syn_seen"] is True
    assert row["ended_by"] == "fin"
    assert row["refused"] is False
    assert row["reset_by"] is None
    assert row["syn_retransmissions"] == 0
    assert (row["start_ns"], row["end_ns"]) == (START_NS, START_NS + 40 * MS)


def test_the_other_direction_has_a_row_only_if_it_carried_payload() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    seen = observe(talk)
    assert len(seen.flows()) == 1
    talk.server.data(30 * MS, 100)
    seen = observe(talk)
    assert seen.flow(talk.server)["opener"] is False
    assert seen.flow(talk.client)["opener"] is True


def test_a_connection_without_payload_has_the_openers_row() -> None:
    talk = established()
    seen = observe(talk)
    assert len(seen.flows()) == 1
    assert seen.flow(talk.client)["opener"] is True


def test_one_fin_is_no_close() -> None:
    talk = established()
    talk.client.fin(20 * MS)
    talk.server.ack(25 * MS)
    talk.server.data(30 * MS, 100)
    row = observe(talk).flow(talk.server)
    assert row["ended_by"] == "observation_ended"


def test_a_fin_sent_again_is_a_retransmission_and_no_second_close() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.ack(25 * MS)
    talk.client.fin(30 * MS)
    talk.client.fin(300 * MS, at=100)
    talk.server.fin(305 * MS, upto=101)
    talk.client.ack(310 * MS)
    row = observe(talk).flow(talk.client)
    assert row["retransmitted_packets"] == 1
    assert row["retransmitted_bytes"] == 0
    assert row["ended_by"] == "fin"


@pytest.mark.parametrize("gap_s", [1, 3])
def test_syns_sent_again_count_whatever_their_spacing(gap_s: int) -> None:
    talk = Conversation()
    talk.syn(0)
    talk.syn(1 * S)
    talk.syn((1 + gap_s) * S)
    talk.synack((1 + gap_s) * S + 5 * MS)
    talk.client.ack((1 + gap_s) * S + 10 * MS)
    row = observe(talk).flow(talk.client)
    assert row["syn_retransmissions"] == 2
    assert row["retransmitted_packets"] == row["retransmitted_segments"] == 2
    assert row["retransmitted_bytes"] == 0


def test_synacks_sent_again_count_for_the_end_that_sent_them() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.synack(5 * MS)
    talk.synack(1 * S)
    talk.client.ack(1 * S + 5 * MS)
    talk.data(1 * S + 5 * MS, 10)
    talk.server.data(1 * S + 20 * MS, 10)
    seen = observe(talk)
    assert seen.flow(talk.server)["syn_retransmissions"] == 1
    assert seen.flow(talk.client)["syn_retransmissions"] == 0


def test_a_reset_in_answer_to_the_syn_is_a_refusal() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.server.rst(5 * MS, seq=0, upto=0)
    row = observe(talk).flow(talk.client)
    assert row["refused"] is True
    assert row["reset_by"] == "receiver"
    assert row["ended_by"] == "reset"


def test_an_opener_that_resets_the_answer_was_not_refused() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.synack(5 * MS)
    talk.client.rst(10 * MS, flags=0x04)
    row = observe(talk).flow(talk.client)
    assert row["refused"] is False
    assert row["reset_by"] == "sender"
    assert row["ended_by"] == "reset"


@pytest.mark.parametrize("by_client", [True, False])
def test_a_reset_later_names_its_side(by_client: bool) -> None:
    talk = established()
    talk.data(20 * MS, 100)
    (talk.client if by_client else talk.server).rst(30 * MS)
    row = observe(talk).flow(talk.client)
    assert row["refused"] is False
    assert row["reset_by"] == ("sender" if by_client else "receiver")
    assert row["ended_by"] == "reset"


def test_the_first_reset_counts() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.server.rst(30 * MS)
    talk.client.rst(31 * MS)
    assert observe(talk).flow(talk.client)["reset_by"] == "receiver"


def test_a_reset_after_an_orderly_close_leaves_it_orderly() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.close(30 * MS)
    talk.server.rst(41 * MS)
    assert observe(talk).flow(talk.client)["ended_by"] == "fin"


def test_a_reset_that_carries_payload_moves_no_sequence_number() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.client.send(30 * MS, 12, flags=0x14)  # RFC 9293 3.10.7.4: a reason as text
    row = observe(talk).flow(talk.client)
    assert row["ended_by"] == "reset"
    assert row["flight_max_bytes"] == 100
    assert row["retransmitted_packets"] == 0


def test_two_crossing_syns_are_one_connection() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.server.syn(2 * MS)
    talk.client.send(5 * MS, at=-1, upto=0, flags=SYN | ACK, mss=1460)
    talk.server.send(7 * MS, at=-1, upto=0, flags=SYN | ACK, mss=1460)
    talk.data(20 * MS, 100)
    talk.ack(25 * MS)
    seen = observe(talk)
    assert seen.counters["created"] == 1
    row = seen.flow(talk.client)
    assert row["opener"] is True  # the sender of the first SYN
    assert row["syn_seen"] is True
    # RFC 9293 figure 8: the SYN-ACKs are first answers.
    assert [row[name] for name in ("syn_retransmissions", "retransmitted_packets", "timeouts")] == [0, 0, 0]
    assert row["ended_by"] == "observation_ended"


def test_crossing_syns_answered_by_pure_acks_establish() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.server.syn(2 * MS)
    talk.client.ack(5 * MS)
    talk.server.ack(7 * MS)
    talk.data(20 * MS, 100)
    seen = observe(talk)
    assert seen.counters["created"] == 1
    assert seen.events("setup_failed") == []


def test_met_midstream_the_opener_is_not_known() -> None:
    talk = Conversation()
    talk.data(0, 100)
    talk.ack(5 * MS)
    row = observe(talk).flow(talk.client)
    assert row["opener"] is None
    assert row["syn_seen"] is False


def test_the_receiver_of_a_synack_is_the_opener() -> None:
    talk = Conversation()
    talk.synack(0)
    talk.client.ack(5 * MS)
    talk.data(6 * MS, 100)
    talk.server.data(9 * MS, 100)
    seen = observe(talk)
    assert seen.flow(talk.client)["opener"] is True
    assert seen.flow(talk.server)["opener"] is False
    assert seen.flow(talk.client)["syn_seen"] is False
    assert seen.flow(talk.server)["syn_seen"] is True


def test_a_new_initial_sequence_number_is_a_new_incarnation() -> None:
    first, second = established(), Conversation(isn=900_000, server_isn=77_000)
    first.data(20 * MS, 100)
    second.handshake(1 * S)
    second.data(1 * S + 20 * MS, 50)
    seen = observe(first, second)
    old, new = seen.flows(first.client)
    assert (old["ended_by"], old["payload_bytes"]) == ("port_reused", 100)
    assert (new["ended_by"], new["payload_bytes"]) == ("observation_ended", 50)
    assert old["conn_id"] != new["conn_id"]
    assert new["start_ns"] == START_NS + 1 * S


def test_a_port_taken_up_again_after_a_close_ends_the_old_one_as_closed() -> None:
    first, second = established(), Conversation(isn=900_000, server_isn=77_000)
    first.data(20 * MS, 100)
    first.close(30 * MS)
    second.handshake(2 * S)  # within TIME-WAIT: RFC 9293 3.6.1 allows a higher ISN
    second.data(2 * S + 20 * MS, 50)
    seen = observe(first, second)
    assert [row["ended_by"] for row in seen.flows(first.client)] == ["fin", "observation_ended"]


def test_a_syn_after_the_close_of_a_connection_met_midstream_opens_anew() -> None:
    first = Conversation()
    first.data(0, 100)
    first.close(10 * MS)
    second = Conversation(isn=5_000, server_isn=6_000)
    second.handshake(1 * S)
    seen = observe(first, second)
    assert seen.counters["created"] == 2


def test_a_syn_captured_after_its_data_is_of_the_same_connection() -> None:
    talk = Conversation()
    talk.data(0, 100, at=0)
    talk.syn(0)
    talk.synack(5 * MS)
    seen = observe(talk)
    assert seen.counters["created"] == 1
    assert seen.flow(talk.client)["syn_seen"] is True


def test_a_syn_with_another_number_than_the_data_met_midstream_opens_anew() -> None:
    first = Conversation()
    first.data(0, 100)
    second = Conversation(isn=123_456_789)
    second.syn(1 * S)
    seen = observe(first, second)
    assert seen.counters["created"] == 2
    assert seen.flows(first.client)[0]["ended_by"] == "port_reused"


@pytest.mark.parametrize(("silence_ns", "connections"), [(7_500 * S, 1), (7_500 * S + 1, 2)])
def test_an_established_connection_expires_after_7500_s(silence_ns: int, connections: int) -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.data(20 * MS + silence_ns, 100)
    seen = observe(talk)
    assert seen.counters["created"] == connections
    assert [row["ended_by"] for row in seen.flows(talk.client)] == ["expired"] * (connections - 1) + [
        "observation_ended"
    ]
    assert seen.counters["expired"] == connections - 1


@pytest.mark.parametrize(("silence_ns", "connections"), [(75 * S, 1), (75 * S + 1, 2)])
def test_a_half_open_one_after_75_s(silence_ns: int, connections: int) -> None:
    talk = Conversation()
    talk.syn(0)
    talk.syn(silence_ns)
    assert observe(talk).counters["created"] == connections


@pytest.mark.parametrize(("silence_ns", "connections"), [(10 * S, 1), (10 * S + 1, 2)])
def test_a_closed_one_after_10_s(silence_ns: int, connections: int) -> None:
    talk = established()
    talk.close(20 * MS)
    talk.client.ack(30 * MS + silence_ns)
    seen = observe(talk)
    assert seen.counters["created"] == connections
    assert seen.flows(talk.client)[0]["ended_by"] == "fin"


def test_time_of_a_connection_is_the_running_maximum() -> None:
    talk = established()
    talk.data(20 * MS, 100)
    talk.data(19 * MS, 100)
    talk.data(21 * MS, 100)
    seen = observe(talk)
    row = seen.flow(talk.client)
    assert row["clock_steps_back"] == seen.counters["clock_steps_back"] == 1
    assert row["end_ns"] == START_NS + 21 * MS


def test_taps_tenants_and_probes_do_not_mix() -> None:
    talks = [
        established(),
        established(tap=1),
        established(tenant=(1 << 28) | 100),
        established(tenant=(1 << 28) | 101),
    ]
    for talk in talks:
        talk.data(20 * MS, 100)
    seen = observe(*talks)
    rows = seen.flows(talks[0].client)
    assert len(rows) == 4
    assert len({row["conn_id"] for row in rows}) == 4
    assert sorted((row["tap"], row["tenant"] & 0xFFF) for row in rows) == [
        ("tap0", 0), ("tap0", 100), ("tap0", 101), ("tap1", 0),
    ]  # fmt: skip
