"""From booked time to verdict, cause and confidence (streams/inference/verdict.py, inference.md section 6)."""

from typing import Any

import numpy as np
import pytest

from schemas.causes import CAUSES, VERDICTS
from streams.inference.slots import (
    CWND,
    FAST_RECOVERY,
    IDLE,
    OPEN_GAP,
    PRODUCER,
    SETUP,
    SLOTS,
    SMALL,
    WINDOW_FULL,
    ZERO_WINDOW,
)
from streams.inference.verdict import judge, secondary_of, visibility_of
from tests.inference.observed import observe
from tests.traffic.packets import MS, US, Conversation

MSS = 1460
ENOUGH_GAPS = 16


def plain(function: Any) -> Any:
    """The Python function behind a kernel's."""
    return getattr(function, "py_func", function)


def judged(times_us: dict[int, int], *, visibility: float = 1.0, gaps: int = ENOUGH_GAPS, setup_cause: int = 0) -> Any:
    booked = np.zeros(SLOTS, np.int64)
    for slot, value in times_us.items():
        booked[slot] = value
    row: dict[str, Any] = {}
    total = plain(judge)(row, booked, setup_cause, visibility, gaps)
    assert total == sum(times_us.values())
    row["verdict"], row["cause"] = VERDICTS[row["verdict"]], CAUSES[row["cause"]]
    return row


def test_shares_are_of_the_whole_time() -> None:
    row = judged({IDLE: 500, PRODUCER: 100, SMALL: 100, WINDOW_FULL: 150, CWND: 100, OPEN_GAP: 50})
    shares = {name: row[f"time_{name}"] for name in ("idle", "sender", "receiver", "network", "setup", "unknown")}
    assert shares == pytest.approx(
        {"idle": 0.5, "sender": 0.2, "receiver": 0.15, "network": 0.1, "setup": 0, "unknown": 0.05}
    )


@pytest.mark.parametrize(
    ("times", "verdict", "cause"),
    [
        ({PRODUCER: 600, CWND: 400}, "sender", "slow_producer"),
        ({PRODUCER: 300, SMALL: 350, CWND: 350}, "sender", "small_writes"),  # two causes of one verdict together
        ({WINDOW_FULL: 100, ZERO_WINDOW: 700, CWND: 200}, "receiver", "zero_window"),
        ({FAST_RECOVERY: 700, CWND: 200, IDLE: 9_000}, "network", "fast_recovery"),  # of the active time
        ({SETUP: 900, CWND: 100}, "setup", "handshake"),
        ({IDLE: 1000}, "idle", "idle"),
        ({IDLE: 981, CWND: 19}, "idle", "idle"),  # active for less than a fiftieth
        ({IDLE: 980, CWND: 20}, "network", "congestion_window"),
        ({OPEN_GAP: 700, CWND: 300}, "unknown", "open_gap"),
    ],
)
def test_the_largest_share_of_the_active_time_rules(times: dict[int, int], verdict: str, cause: str) -> None:
    row = judged(times)
    assert (row["verdict"], row["cause"]) == (verdict, cause)


def test_no_time_is_too_little() -> None:
    row = judged({})
    assert (row["verdict"], row["cause"], row["confidence"], row["time_unknown"]) == ("unknown", "too_little", 0, 1)


@pytest.mark.parametrize(("gaps", "confidence"), [(1, 0.7), (2, 0.91), (3, 0.973), (100, 1.0)])
def test_evidence_grows_with_every_gap(gaps: int, confidence: float) -> None:
    assert judged({PRODUCER: 100}, gaps=gaps)["confidence"] == pytest.approx(confidence, abs=1e-6)


def test_setup_and_idleness_are_decided_by_one_event() -> None:
    assert judged({SETUP: 100}, gaps=1)["confidence"] == 1
    assert judged({IDLE: 100}, gaps=1)["confidence"] == 1


@pytest.mark.parametrize(("lead", "confidence"), [(250, 1.0), (200, 0.8), (150, 0.6)])
def test_a_lead_of_a_quarter_is_full(lead: int, confidence: float) -> None:
    row = judged({PRODUCER: 500 + lead // 2, CWND: 500 - lead // 2})
    assert row["confidence"] == pytest.approx(confidence, abs=1e-6)


@pytest.mark.parametrize(
    ("times", "visibility", "gaps", "cause"),
    [
        ({PRODUCER: 550, CWND: 450}, 1.0, ENOUGH_GAPS, "ambiguous"),
        ({PRODUCER: 1000}, 0.4, ENOUGH_GAPS, "capture_loss"),
        ({PRODUCER: 1000}, 0.6, 1, "too_little"),
    ],
)
def test_below_a_half_the_verdict_is_unknown_and_the_shares_stay(
    times: dict[int, int], visibility: float, gaps: int, cause: str
) -> None:
    row = judged(times, visibility=visibility, gaps=gaps)
    assert row["confidence"] < 0.5
    assert (row["verdict"], row["cause"]) == ("unknown", cause)
    assert row["time_sender"] == times[PRODUCER] / 1000


def test_further_causes_above_noise() -> None:
    booked = np.zeros(SLOTS, np.int64)
    booked[PRODUCER], booked[CWND], booked[ZERO_WINDOW], booked[IDLE] = 600, 300, 10, 90
    found = plain(secondary_of)(booked, CAUSES.index("slow_producer"))
    assert {name for bit, name in enumerate(CAUSES) if found >> bit & 1} == {"congestion_window"}


@pytest.mark.parametrize(
    ("unseen", "payload", "reverse", "near_ns", "far_ns", "visibility"),
    [
        (0, 1000, True, 1 * MS, 99 * MS, 1.0),
        (0, 1000, True, 50 * MS, 50 * MS, 0.85),
        (0, 1000, True, 99 * MS, 1 * MS, 0.75),
        (10, 1000, True, 1 * MS, 99 * MS, 0.9),
        (200, 1000, True, 1 * MS, 99 * MS, 0.0),
        (0, 1000, False, 0, 0, 0.5),
        (0, 0, True, 0, 0, 1.0),
    ],
)
def test_visibility(unseen: int, payload: int, reverse: bool, near_ns: int, far_ns: int, visibility: float) -> None:
    assert plain(visibility_of)(unseen, payload, reverse, near_ns, far_ns) == pytest.approx(visibility)


def test_a_capture_that_lost_a_tenth_claims_nothing() -> None:
    talk = Conversation()
    talk.syn(0, wscale=None)
    talk.synack(50 * MS, wscale=None)
    talk.client.ack(50 * MS + 50 * US)
    for k in range(20):
        t = 60 * MS + k * 100 * MS
        talk.data(t, MSS)
        talk.client.sent += MSS // 9  # never captured
        talk.ack(t + 50 * MS)
    row = observe(talk).flow(talk.client)
    assert row["unseen_bytes"] > 0.1 * row["payload_bytes"]
    assert (row["verdict"], row["cause"]) == ("unknown", "capture_loss")


def test_one_direction_alone_is_half_seen() -> None:
    talk = Conversation()
    for k in range(20):
        talk.data(k * 10 * MS, MSS)
    assert observe(talk).flow(talk.client)["confidence"] <= 0.5
