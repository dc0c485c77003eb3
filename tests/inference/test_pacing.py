"""Paced senders: even gaps between small bursts that no ACK explains, near the path's rate (inference.md 7.1, 6)."""

import pytest

from tests.inference.observed import Row, observe
from tests.traffic.packets import MS, US, Conversation

MSS = 1460


def sender(gap_ns: int, segments: int, capacity_gap_ns: int) -> Row:
    """A backlogged start shows the path's rate in its ACKs; then bursts of `segments` at even gaps, with room left."""
    talk = Conversation()
    talk.syn(0)
    talk.synack(20 * MS)
    talk.client.ack(20 * MS + 50 * US)
    t = 21 * MS
    for k in range(40):
        talk.data(t + k * 10 * US, MSS)
    for k in range(40):
        talk.ack(t + 20 * MS + k * capacity_gap_ns, upto=(k + 1) * MSS)
    t += 20 * MS + 40 * capacity_gap_ns + 1 * MS
    sent = talk.client.sent
    events: list[tuple[int, int]] = []
    for k in range(300):
        for m in range(segments):
            at = sent + (k * segments + m) * MSS
            events.append((t + k * gap_ns + m * 10 * US, at))
            events.append((t + k * gap_ns + m * 10 * US + 20 * MS, -at))
    for time_ns, at in sorted(events):
        if at >= 0:
            talk.data(time_ns, MSS, at=at)
        else:
            talk.ack(time_ns, upto=-at + MSS)
    return observe(talk).flow(talk.client)


def test_even_sends_at_the_path_s_rate_are_the_network_s() -> None:
    row = sender(gap_ns=3 * MS, segments=1, capacity_gap_ns=2_700 * US)
    assert row["time_network"] > 0.7  # 900 of about 1050 ms are paced, at gaps above the reaction allowance
    assert row["cause"] == "paced"


@pytest.mark.parametrize("segments", [1, 2])
def test_even_sends_far_below_it_are_the_sender_s(segments: int) -> None:
    row = sender(gap_ns=12 * MS, segments=segments, capacity_gap_ns=300 * US)
    assert row["time_sender"] > 0.8
