"""From booked time to shares, verdict, cause and confidence of a row.

The verdict is the class with the largest share of the active time (idle apart); idle only where nothing was active.
confidence = visibility x evidence x margin (all in 0..1), below 0.5 the verdict is unknown and the shares stay:

* visibility falls by ten times the share of bytes that the capture missed, and where the tap cannot see the sender's
  reactions (1 beside the sender, 0.85 in the middle, 0.75 beside the receiver), and to a half without the reverse
  direction;
* evidence = 1 - 0.3^k for k booked gaps: a single event is right in about 70 % of the cases;
* margin = how far the largest share leads the second: a lead of a quarter is full.
"""

import numpy as np

from schemas.causes import CAUSE, IDLE, NETWORK, RECEIVER, SENDER, UNKNOWN, VERDICTS
from schemas.causes import SETUP as SETTING_UP
from schemas.columns import plain
from streams.inference.serial import i64
from streams.inference.slots import SETUP, SLOT_CAUSE, SLOT_VERDICT, SLOTS
from streams.inference.vantage import MIDDLE, NEAR_RECEIVER, vantage_of

_VERDICTS = len(VERDICTS)
_SLOT_CAUSE = np.array(SLOT_CAUSE, np.int64)
_SLOT_VERDICT = np.array(SLOT_VERDICT, np.int64)
_TOO_LITTLE = CAUSE["too_little"]
_AMBIGUOUS = CAUSE["ambiguous"]
_CAPTURE_LOSS = CAUSE["capture_loss"]
_ZERO_WINDOW = CAUSE["zero_window"]
_TIMEOUT = CAUSE["timeout"]
_EVIDENCE = 0.3
_ENOUGH = 16
_FULL_LEAD = 0.25
_FLOOR = 0.5
# Active for less than one part in this many of its time, a flow is idle, whatever it did meanwhile.
_RARELY = 50
# Shares below this are noise of the clock, not a secondary cause.
_SECONDARY = 0.02


@plain
def visibility_of(unseen, payload, reverse_seen, near_ns, far_ns):
    """How well this tap sees what it judges: 0..1."""
    seen = 1.0
    if payload > 0:
        seen = min(1.0, max(0.0, 1.0 - 10.0 * unseen / payload))
    if not reverse_seen:
        seen *= 0.5
    where = vantage_of(near_ns, far_ns)
    if where == MIDDLE:
        seen *= 0.85
    elif where == NEAR_RECEIVER:
        seen *= 0.75
    return seen


@plain
def class_of(booked, verdict):
    """The time booked under all slots of a verdict. (No array is made here: kernels count no references.)"""
    value = i64(0)
    for k in range(SLOTS):
        if _SLOT_VERDICT[k] == verdict:
            value += i64(booked[k])
    return value


@plain
def judge(row, booked, setup_cause, visibility, gaps):
    """Fill time_*, verdict, cause and confidence of a window or flow row from booked[SLOTS]; returns covered time in
    the unit of `booked`."""
    total = i64(0)
    for k in range(SLOTS):
        total += i64(booked[k])
    scale = 1.0 / total if total > 0 else 0.0
    row["time_sender"] = class_of(booked, i64(SENDER)) * scale
    row["time_receiver"] = class_of(booked, i64(RECEIVER)) * scale
    row["time_network"] = class_of(booked, i64(NETWORK)) * scale
    row["time_setup"] = class_of(booked, i64(SETTING_UP)) * scale
    row["time_idle"] = class_of(booked, i64(IDLE)) * scale
    row["time_unknown"] = class_of(booked, i64(UNKNOWN)) * scale if total > 0 else 1.0
    active = total - class_of(booked, i64(IDLE))
    best, second = i64(IDLE), i64(0)
    most = i64(0)
    for v in range(_VERDICTS):
        value = class_of(booked, i64(v))
        if v != IDLE and value > most:
            second = most
            most = value
            best = i64(v)
        elif v != IDLE and value > second:
            second = value
    if active * _RARELY < total:
        best = i64(IDLE)
    cause = i64(0)
    share = i64(-1)
    for k in range(SLOTS):
        if _SLOT_VERDICT[k] == best and i64(booked[k]) > share and (i64(booked[k]) > 0 or best == IDLE):
            share = i64(booked[k])
            cause = i64(setup_cause) if k == SETUP and setup_cause else _SLOT_CAUSE[k]
    if total == 0:
        best = i64(UNKNOWN)
        cause = i64(_TOO_LITTLE)
    margin = 1.0
    if active > 0 and best != IDLE:
        margin = min(1.0, (most - second) / active / _FULL_LEAD)
    missed = _EVIDENCE
    for _ in range(1, min(gaps, _ENOUGH)):  # a product, not a power: alike compiled and not
        missed *= _EVIDENCE
    evidence = 1.0 - missed
    # Setup, zero windows, timeouts and idleness are decided by single events.
    if best == SETTING_UP or best == IDLE or cause == _ZERO_WINDOW or cause == _TIMEOUT:
        evidence = 1.0
    if best == SETTING_UP:
        visibility = 1.0  # an opening that fails has no more to show
    confidence = visibility * evidence * margin
    if best == UNKNOWN:
        confidence = 0.0
    elif confidence < _FLOOR:
        if visibility < _FLOOR:
            cause = i64(_CAPTURE_LOSS)
        elif margin * visibility < _FLOOR:
            cause = i64(_AMBIGUOUS)
        else:
            cause = i64(_TOO_LITTLE)
        best = i64(UNKNOWN)
    row["verdict"] = best
    row["cause"] = cause
    row["confidence"] = confidence
    return total


@plain
def secondary_of(booked, cause):
    """Bit mask of the further causes that hold a noticeable share."""
    total = i64(0)
    for k in range(SLOTS):
        total += i64(booked[k])
    mask = i64(0)
    for k in range(SLOTS):
        if i64(booked[k]) > total * _SECONDARY and _SLOT_CAUSE[k] != cause and k != 0:
            mask |= i64(1) << _SLOT_CAUSE[k]
    return mask
