"""Options of both SYNs, what is in use then, and the handshake's round trips (RFC 9293, 7323, 2018, 3168, 9768)."""

from typing import Any

import pytest

from schemas.columns import ACK, AE, CWR, ECE, SYN
from tests.inference.observed import Row, observe
from tests.traffic.packets import MS, Conversation, S


def opened(client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> Conversation:
    talk = Conversation()
    talk.syn(0, **client or {})
    talk.synack(4 * MS, **server or {})
    talk.client.ack(10 * MS)
    return talk


def row_of(talk: Conversation) -> Row:
    talk.data(20 * MS, 500)
    return observe(talk).flow(talk.client)


@pytest.mark.parametrize(
    ("ours", "theirs", "mss"), [(1460, 1460, 1460), (1460, 1400, 1400), (8960, 1460, 1460), (1380, 1460, 1380)]
)
def test_the_smaller_mss_option_holds(ours: int, theirs: int, mss: int) -> None:
    row = row_of(opened({"mss": ours}, {"mss": theirs}))
    assert (row["mss"], row["mss_provenance"], row["mss_option"]) == (mss, "seen", ours)


def test_timestamps_in_use_take_twelve_bytes_of_each_segment() -> None:
    talk = opened({"timestamps": (100, 0)}, {"timestamps": (200, 100)})
    talk.client.timestamps = 1000
    row = row_of(talk)
    assert row["timestamps"] is True
    assert row["mss"] == 1460 - 12


@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (False, True)])
def test_an_option_that_one_side_offers_is_not_in_use(ours: bool, theirs: bool) -> None:
    row = row_of(
        opened(
            {"sack_permitted": ours, "timestamps": (1, 0) if ours else None},
            {"sack_permitted": theirs, "timestamps": (1, 0) if theirs else None},
        )
    )
    assert row["sack_permitted"] is False
    assert row["timestamps"] is False
    assert row["mss"] == 1460


def test_each_flow_shows_its_own_sender_s_options() -> None:
    talk = opened({"mss": 1400, "wscale": 3}, {"mss": 1300, "wscale": 9})
    talk.server.data(15 * MS, 10)
    talk.data(20 * MS, 500)
    seen = observe(talk)
    assert (seen.flow(talk.client)["mss_option"], seen.flow(talk.client)["window_scale_option"]) == (1400, 3)
    assert (seen.flow(talk.server)["mss_option"], seen.flow(talk.server)["window_scale_option"]) == (1300, 9)


def test_options_not_sent_are_unknown_as_options_and_known_as_not_in_use() -> None:
    bare = {"mss": None, "wscale": None, "sack_permitted": False}
    row = row_of(opened(bare, bare))
    assert row["mss_option"] is None
    assert row["window_scale_option"] is None
    assert row["sack_permitted"] is False
    assert row["timestamps"] is False


def test_the_synack_alone_shows_what_is_in_use() -> None:
    talk = Conversation()
    talk.synack(0, timestamps=(1, 1))
    talk.client.ack(5 * MS)
    row = row_of(talk)
    assert row["sack_permitted"] is True
    assert row["timestamps"] is True
    assert row["mss_option"] is None
    assert (row["mss"], row["mss_provenance"]) == (1460 - 12, "seen")


def test_the_syn_alone_shows_nothing_of_what_is_in_use() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.client.ack(10 * MS, upto=0)
    row = row_of(talk)
    assert row["sack_permitted"] is None
    assert row["ecn"] is None


def test_options_cut_by_the_snap_length_are_not_taken_as_absent() -> None:
    row = row_of(opened({"sack_permitted": False, "options_cut": True}))
    assert row["sack_permitted"] is None


def test_met_midstream_nothing_is_known_but_what_segments_show() -> None:
    talk = Conversation()
    talk.client.timestamps = 1000
    talk.data(0, 1448)
    row = observe(talk).flow(talk.client)
    assert row["timestamps"] is True  # in use: seen on segments
    assert row["sack_permitted"] is None
    assert row["ecn"] is None
    assert (row["mss"], row["mss_provenance"]) == (1448, "inferred")


@pytest.mark.parametrize(
    ("payloads", "mss"),
    [
        ([100, 1380, 700], 1380),  # the largest seen
        ([1448, 65160], 1448),  # a super-segment says nothing
        ([8948], 8948),  # jumbo frames are full segments
    ],
)
def test_midstream_the_mss_is_the_largest_segment(payloads: list[int], mss: int) -> None:
    talk = Conversation()
    for k, payload in enumerate(payloads):
        talk.data(k * MS, payload)
    assert observe(talk).flow(talk.client)["mss"] == mss


def test_midstream_small_writes_are_not_the_mss() -> None:
    talk = Conversation()
    for k in range(3):
        talk.push(k * MS, 300)
    assert observe(talk).flow(talk.client)["mss"] == 1448


@pytest.mark.parametrize(
    ("syn", "answer", "ecn"),
    [
        (0, 0, "none"),
        (ECE | CWR, ECE, "ecn"),
        (ECE | CWR, 0, "none"),
        (ECE | CWR, ECE | CWR, "none"),  # an answer that merely reflects (RFC 3168 6.1.1)
        (AE | CWR | ECE, CWR, "acc_ecn"),
        (AE | CWR | ECE, CWR | ECE, "acc_ecn"),
        (AE | CWR | ECE, AE, "acc_ecn"),
        (AE | CWR | ECE, AE | CWR, "acc_ecn"),
        (AE | CWR | ECE, ECE, "ecn"),  # the server knows RFC 3168 only
        (AE | CWR | ECE, 0, "none"),
        (AE | CWR | ECE, AE | CWR | ECE, "none"),  # RFC 9768, table 2: broken, not ECN
    ],
)
def test_ecn_as_negotiated(syn: int, answer: int, ecn: str) -> None:
    assert row_of(opened({"flags": SYN | syn}, {"flags": SYN | ACK | answer}))["ecn"] == ecn


def test_the_handshake_s_round_trip_is_both_legs() -> None:
    row = row_of(opened())
    assert row["handshake_rtt_ns"] == 10 * MS
    assert row["near_rtt_min_ns"] == 6 * MS  # SYN-ACK to ACK: the opener's leg


def test_a_leg_that_was_sent_twice_is_not_measured() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.syn(1 * S)
    talk.synack(1 * S + 4 * MS)
    talk.client.ack(1 * S + 10 * MS)
    talk.data(2 * S, 500)
    row = observe(talk).flow(talk.client)
    assert row["handshake_rtt_ns"] is None
    assert row["near_rtt_min_ns"] == 6 * MS  # this leg is clear

    talk = Conversation()
    talk.syn(0)
    talk.synack(4 * MS)
    talk.synack(1 * S)
    talk.client.ack(1 * S + 6 * MS)
    talk.data(2 * S, 500)
    row = observe(talk).flow(talk.client)
    assert row["handshake_rtt_ns"] is None
    assert row["near_rtt_min_ns"] is None


def test_a_syn_with_data_is_one_new_segment() -> None:
    talk = Conversation()
    talk.syn(0, payload=300, fast_open=True)
    talk.client.sent = 300
    talk.synack(4 * MS, upto=300)
    talk.client.ack(10 * MS)
    talk.data(20 * MS, 500)
    talk.ack(25 * MS)
    row = observe(talk).flow(talk.client)
    assert row["payload_bytes"] == 800
    assert row["retransmitted_packets"] == 0
    assert row["unseen_bytes"] == 0
    assert row["handshake_rtt_ns"] == 10 * MS


def test_data_of_a_syn_that_was_not_taken_is_sent_again() -> None:
    talk = Conversation()
    talk.syn(0, payload=300, fast_open=True)
    talk.synack(4 * MS)
    talk.client.ack(10 * MS)
    talk.data(10 * MS, 300, at=0)
    talk.ack(15 * MS)
    row = observe(talk).flow(talk.client)
    assert row["retransmitted_packets"] == 1
    assert row["retransmitted_bytes"] == 300
    assert row["syn_retransmissions"] == 0
