"""The receive window: scale seen or inferred, smallest and largest, zero-window periods (docs/rules.md, RFC 7323)."""

from typing import Any

import pytest

from tests.inference.observed import observe
from tests.traffic.packets import MS, START_NS, Conversation, S

NONE: dict[str, Any] = {"wscale": None}


def opened(client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> Conversation:
    talk = Conversation()
    talk.syn(0, **client or {})
    talk.synack(4 * MS, **server or {})
    talk.client.ack(10 * MS)
    return talk


@pytest.mark.parametrize(
    ("client", "server", "scale"),
    [
        ({"wscale": 3}, {"wscale": 9}, 9),  # of the windows that dst advertises
        ({"wscale": 3}, {"wscale": 0}, 0),
        (NONE, {"wscale": 9}, 0),  # both must carry it
        ({"wscale": 3}, NONE, 0),
        ({"wscale": 3}, {"wscale": 15}, 14),  # RFC 7323 2.3: more than 14 is taken as 14
    ],
)
def test_the_scale_of_the_handshake(client: dict[str, Any], server: dict[str, Any], scale: int) -> None:
    talk = opened(client, server)
    talk.data(20 * MS, 100)
    talk.ack(25 * MS, window=1000)
    talk.ack(26 * MS, window=500)
    row = observe(talk).flow(talk.client)
    assert (row["window_scale"], row["window_scale_provenance"]) == (scale, "seen")
    # The windows of the SYN-ACK are never scaled and not counted.
    assert (row["rwnd_min_bytes"], row["rwnd_max_bytes"]) == (500 << scale, 1000 << scale)


def test_each_direction_has_the_scale_of_the_other_s_syn() -> None:
    talk = opened({"wscale": 3}, {"wscale": 9})
    talk.data(20 * MS, 100)
    talk.server.data(25 * MS, 100)
    talk.client.ack(30 * MS, window=800)
    seen = observe(talk)
    assert seen.flow(talk.client)["window_scale"] == 9
    assert seen.flow(talk.server)["window_scale"] == 3
    assert seen.flow(talk.server)["rwnd_min_bytes"] == 800 << 3


@pytest.mark.parametrize("wscale", [6, None])
def test_the_synack_alone_tells_its_sender_s_scale(wscale: int | None) -> None:
    talk = Conversation()
    talk.synack(0, wscale=wscale)
    talk.client.ack(5 * MS)
    talk.data(6 * MS, 100)
    talk.server.data(9 * MS, 100)
    seen = observe(talk)
    row = seen.flow(talk.client)
    assert (row["window_scale"], row["window_scale_provenance"]) == (wscale or 0, "seen")
    # ... and that the opener does not scale, if it answers without the option.
    row = seen.flow(talk.server)
    expected = (0, "seen") if wscale is None else (None, "unknown")
    assert (row["window_scale"], row["window_scale_provenance"]) == expected


def test_the_syn_alone_tells_only_that_nothing_is_scaled() -> None:
    for wscale, expected in ((None, (0, "seen")), (7, (None, "unknown"))):
        talk = Conversation()
        talk.syn(0, wscale=wscale)
        talk.client.ack(10 * MS, upto=0)
        talk.server.data(20 * MS, 100, at=0)
        row = observe(talk).flow(talk.server)
        assert (row["window_scale"], row["window_scale_provenance"]) == expected


def test_options_cut_leave_the_scale_unknown() -> None:
    talk = opened({"options_cut": True, "wscale": None}, {"wscale": 7, "options_cut": True})
    talk.data(20 * MS, 100)
    row = observe(talk).flow(talk.client)
    assert (row["window_scale"], row["window_scale_provenance"]) == (None, "unknown")
    assert row["rwnd_max_bytes"] is None


def midstream(window: int) -> Conversation:
    talk = Conversation()
    talk.server.window = window
    talk.data(0, 100)
    talk.ack(1 * MS)
    return talk


@pytest.mark.parametrize(
    ("flight", "scale"), [(1000, None), (1001, 1), (2000, 1), (2001, 2), (65_000, 7), (64_001, 7), (64_000, 6)]
)
def test_midstream_the_smallest_scale_that_the_sender_never_violates(flight: int, scale: int | None) -> None:
    talk = midstream(1000)
    talk.data(2 * MS, flight)
    row = observe(talk).flow(talk.client)
    assert row["window_scale"] == scale
    assert row["window_scale_provenance"] == ("unknown" if scale is None else "inferred")


def test_a_window_in_bytes_is_known_from_the_inference_on() -> None:
    talk = midstream(1000)
    talk.data(2 * MS, 3000)
    talk.ack(3 * MS, window=500)
    row = observe(talk).flow(talk.client)
    assert (row["rwnd_min_bytes"], row["rwnd_max_bytes"]) == (2000, 2000)


@pytest.mark.parametrize(("rounds", "scale"), [(7, None), (8, 0)])
def test_stopping_right_at_the_edge_eight_times_proves_the_scale(rounds: int, scale: int | None) -> None:
    talk = midstream(4000)  # at least two segments
    for k in range(rounds):
        talk.data((2 + 10 * k) * MS, 1448)
        talk.data((2 + 10 * k) * MS, 1448)  # leaves 1104 bytes, less than a segment
        talk.ack((7 + 10 * k) * MS)
    row = observe(talk).flow(talk.client)
    assert row["window_scale"] == scale
    assert row["window_scale_provenance"] == ("unknown" if scale is None else "inferred")


def test_windows_of_old_acks_are_not_taken() -> None:
    """RFC 9293 3.10.7.4: an ACK below what was acknowledged is an old duplicate."""
    talk = opened()
    talk.data(20 * MS, 100)
    talk.data(20 * MS, 100)
    talk.ack(30 * MS, window=500)
    talk.ack(31 * MS, upto=100, window=0)
    talk.ack(32 * MS, upto=100, window=3)
    talk.data(40 * MS, 100)
    seen = observe(talk)
    row = seen.flow(talk.client)
    assert row["zero_windows"] == 1  # the segment is counted, as other tools do
    assert row["zero_window_ns"] == 0
    assert row["rwnd_min_bytes"] == 500 << 7
    assert seen.events("zero_window") == []


def test_repetitions_violate_nothing() -> None:
    talk = midstream(1000)
    talk.data(2 * MS, 900)
    talk.ack(3 * MS, upto=100, window=100)  # shrunk: RFC 9293 3.8.6 discourages it, receivers do it
    talk.data(300 * MS, 900, at=100)
    assert observe(talk).flow(talk.client)["window_scale"] is None


def test_the_right_edge_never_moves_left() -> None:
    talk = midstream(1000)
    talk.ack(2 * MS, window=10)
    talk.data(3 * MS, 1000)  # up to the edge as it was
    assert observe(talk).flow(talk.client)["window_scale"] is None


def test_zero_windows_and_how_long_they_last() -> None:
    talk = opened()
    talk.data(20 * MS, 100)
    talk.ack(30 * MS, window=0)
    talk.ack(100 * MS, window=0)
    talk.ack(330 * MS, window=10)
    talk.data(340 * MS, 100)
    talk.ack(350 * MS, window=0)
    talk.ack(400 * MS)
    seen = observe(talk)
    row = seen.flow(talk.client)
    assert row["zero_windows"] == 3  # segments, as other tools count them
    assert row["zero_window_ns"] == 300 * MS + 50 * MS
    assert row["rwnd_min_bytes"] == 0
    assert [
        (e["start_ns"] - START_NS, e["duration_ns"], e["verdict"], e["cause"]) for e in seen.events("zero_window")
    ] == [
        (30 * MS, 300 * MS, "receiver", "zero_window"),
        (350 * MS, 50 * MS, "receiver", "zero_window"),
    ]
    assert all(event["src_port"] == talk.client.port for event in seen.events("zero_window"))


def test_a_zero_window_at_the_end_lasts_to_the_last_segment() -> None:
    talk = opened()
    talk.data(20 * MS, 100)
    talk.ack(30 * MS, window=0)
    talk.client.keepalive(1 * S)
    talk.ack(1 * S + 5 * MS, window=0)
    seen = observe(talk)
    assert seen.flow(talk.client)["zero_window_ns"] == 1 * S + 5 * MS - 30 * MS
    (event,) = seen.events("zero_window")
    assert event["duration_ns"] == 1 * S + 5 * MS - 30 * MS


def test_zero_in_a_syn_or_a_reset_is_no_zero_window() -> None:
    talk = opened(server={"window": 0})
    talk.data(20 * MS, 100)
    talk.server.rst(30 * MS, window=0)
    assert observe(talk).flow(talk.client)["zero_windows"] == 0


def test_a_zero_window_is_zero_at_any_scale() -> None:
    talk = midstream(1000)
    talk.ack(2 * MS, window=0)
    talk.client.keepalive(500 * MS)
    seen = observe(talk)
    row = seen.flow(talk.client)
    assert row["window_scale"] is None
    assert row["rwnd_min_bytes"] == 0
    assert row["zero_windows"] == 1
    assert seen.windows(talk.client)[0]["rwnd_bytes"] == 0


def test_a_window_row_shows_the_last_advertised() -> None:
    talk = opened({"wscale": 2}, {"wscale": 2})
    talk.data(20 * MS, 100)
    talk.ack(30 * MS, window=700)
    talk.ack(40 * MS, window=900)
    assert observe(talk).windows(talk.client)[0]["rwnd_bytes"] == 3600
