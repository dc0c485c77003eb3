"""Events: stalls, loss episodes, zero-window periods, resets and failed openings, each with its cause."""

import numpy as np

from schemas.causes import CAUSE, NETWORK, RECEIVER, SENDER, SETUP
from schemas.columns import inlined, plain
from schemas.rows import EVENT_KINDS
from streams.inference.lifecycle import CLOSED, ESTABLISHED, REFUSED
from streams.inference.recovery import NO_REPEAT, OPEN, TIMEOUT
from streams.inference.serial import i64
from streams.inference.slots import SLOT_CAUSE, SLOT_VERDICT
from streams.inference.statistic import Statistic
from streams.inference.table import emit_event

# A silence worth an event of its own: longer than any delayed ACK and most round trips.
STALL_NS = 200_000_000
_STALL, _LOSS, _ZERO, _RESET, _FAILED = (
    EVENT_KINDS.index(name) for name in ("stall", "loss", "zero_window", "reset", "setup_failed")
)
_ZERO_WINDOW = CAUSE["zero_window"]
_FAST = CAUSE["fast_recovery"]
_TIMEOUT = CAUSE["timeout"]
_REFUSED = CAUSE["refused"]
_NO_ANSWER = CAUSE["no_answer"]
_SLOT_CAUSE = np.array(SLOT_CAUSE, np.int64)
_SLOT_VERDICT = np.array(SLOT_VERDICT, np.int64)

STATISTIC = Statistic(
    name="events",
    connection={"reset_told": "u1"},
    flow={"episode_ns": "i8", "episode_packets": "u4", "episode_bytes": "u4", "episode_timeout": "u1"},
)


@plain
def note_stall(table, c, f, d, start, t, slot):
    """A long silence of flow f from `start` to t that had data in flight or requested."""
    if i64(f["quiet_ns"]) and not i64(f["request_ns"]):
        return  # idle: no stall
    emit_event(
        table, c, d, i64(_STALL), start, t, _SLOT_VERDICT[slot], _SLOT_CAUSE[slot], i64(0), i64(f["flight_bytes"])
    )


@plain
def end_episode(table, c, g, d, t):
    """A loss episode of flow g (src: end d) is over at t."""
    cause = _TIMEOUT if g["episode_timeout"] else _FAST
    emit_event(
        table,
        c,
        d,
        i64(_LOSS),
        i64(g["episode_ns"]),
        t,
        i64(NETWORK),
        i64(cause),
        i64(g["episode_packets"]),
        i64(g["episode_bytes"]),
    )
    g["episode_ns"] = 0
    g["episode_packets"] = 0
    g["episode_bytes"] = 0
    g["episode_timeout"] = 0


@plain
def zero_period(table, c, d, start, end):
    """A period in which the receiver of the flow whose src is end d kept its window closed."""
    emit_event(table, c, d, i64(_ZERO), start, end, i64(RECEIVER), i64(_ZERO_WINDOW), i64(0), i64(0))


@inlined
def on_segment(table, c, f, g, d, t, payload, trigger, recovered, zero_ended_ns):
    if trigger != NO_REPEAT:
        if i64(f["episode_ns"]) == 0:
            f["episode_ns"] = t
        f["episode_packets"] = i64(f["episode_packets"]) + 1
        f["episode_bytes"] = i64(f["episode_bytes"]) + payload
        if i64(f["phase"]) == TIMEOUT:
            f["episode_timeout"] = 1
        if i64(f["phase"]) == OPEN:  # a probe or a needless repetition: an episode of one segment
            end_episode(table, c, f, d, t)
    if recovered and i64(g["episode_ns"]):
        end_episode(table, c, g, 1 - d, t)
    if zero_ended_ns:
        zero_period(table, c, i64(1 - d), zero_ended_ns, t)
    if i64(c["reset_by"]) and not c["reset_told"] and i64(c["state"]) == CLOSED:
        c["reset_told"] = 1
        if not c["facts"] & REFUSED:
            side = i64(c["reset_by"]) - 1
            emit_event(table, c, side, i64(_RESET), t, t, i64(SENDER), i64(0), i64(1), i64(0))


@plain
def on_end(table, c, f, d):
    """Events that only the connection's end decides."""
    if i64(f["episode_ns"]):
        end_episode(table, c, f, d, i64(c["last_ns"]))
    if i64(f["zero_ns"]):
        zero_period(table, c, d, i64(f["zero_ns"]), i64(c["last_ns"]))
    if i64(c["opener"]) == d + 1 and i64(c["established_ns"]) == 0:
        refused = c["facts"] & REFUSED
        if refused or i64(c["state"]) < ESTABLISHED:
            cause = i64(_REFUSED if refused else _NO_ANSWER)
            start, end = i64(c["start_ns"]), i64(c["last_ns"])
            emit_event(table, c, d, i64(_FAILED), start, end, i64(SETUP), cause, 1 + i64(f["syn_again"]), i64(0))
