"""The time ledger: every silence of a sender is booked under what was true when it began and what ended it.

Rules, in order (inference.md 3.1 and 7.1), applied when a sender sends again after a silence:

1. A silence within an episode of recovery is repair: the network.
2. The usable window was below one segment when the silence began: the receiver, if the data follows the opening within
   the reaction allowance or a repetition or probe ends the wait; an opening left unused was the sender's choice.
3. A last segment below the MSS with PSH, not larger than the MSS: the sender had nothing more to send.
4. First opportunity: with room for two segments below the largest flight since the last reduction, a sender that has
   data sends at once. Opportunity is the silence's start if there was room then, else the first ACK that made room.
   Data within the allowance of it, or no opportunity at all: the congestion window. Later: the sender, for all of it.
5. A full last segment without PSH, from a sender that uses PSH, means that more was queued: not the application.

The sender's time splits where everything became acknowledged: before it a slow producer; after it think time from the
peer's last request on, else idleness if longer than max(3 RTT, 50 ms).

The allowance is clamp(RTT / 10, 0.2 ms, 2 ms) beside the sender; elsewhere the sender's leg and a quarter of it (at
least 1 ms) more, because what the tap sees the sender saw half a leg earlier and its answer takes half a leg back.
"""

from schemas.causes import CAUSE
from schemas.columns import FIN, PSH, SYN, inlined, plain
from streams.inference.events import STALL_NS, note_stall
from streams.inference.lifecycle import FIN_ACKED, MIDSTREAM, REFUSED
from streams.inference.pacing import looks_paced
from streams.inference.recovery import BY_PROBE, BY_TIMEOUT, FAST, NO_REPEAT, OPEN
from streams.inference.rtt import near_leg, recent_min
from streams.inference.rwnd import edge_plausible
from streams.inference.sequence import DATA_SEEN, NEW, PROBE, REPAIR, REPEAT, SYN_ACK
from streams.inference.serial import diff, i64
from streams.inference.settling import book
from streams.inference.slots import (
    CWND,
    FAST_RECOVERY,
    IDLE,
    OPEN_GAP,
    PACED,
    PRODUCER,
    SETUP,
    SLOW_START,
    SMALL,
    TAIL,
    THINK,
    TIMEOUT,
    WINDOW_FULL,
    ZERO_WINDOW,
)
from streams.inference.statistic import Statistic

_ALLOW_LOW_NS = 200_000
_ALLOW_HIGH_NS = 2_000_000
_NEAR_LEG_NS = 500_000
_IDLE_NS = 50_000_000
_HANDSHAKE = CAUSE["handshake"]
_SYN_LOST = CAUSE["syn_lost"]
_SYNACK_LOST = CAUSE["synack_lost"]
_REFUSED = CAUSE["refused"]
_NO_ANSWER = CAUSE["no_answer"]
# f["tail"]
SMALL_TAIL, OPEN_TAIL = 1, 2

STATISTIC = Statistic(
    name="ledger",
    front=("blocked", "zeroed", "request_ns"),
    extends=("settling", "flight"),
    connection={"opened": "u1"},
    flow={
        "begun": "u1",  # the sender has been seen to act: silences have a known beginning
        "blocked": "u1",  # the usable window was below one segment at the silence's start
        "tail": "u1",
        "pushes": "u1",  # the sender uses PSH
        "zeroed": "u1",  # the window was zero at some time of the silence
        "opportunity_ns": "i8",
        "opened_ns": "i8",
        "quiet_ns": "i8",  # everything was acknowledged, 0: not since the last send
        "request_ns": "i8",  # last payload from the peer since the last send
    },
)


@plain
def allowance_ns(f, g):
    """How late after its trigger a segment still counts as the answer to it."""
    near = near_leg(f)
    far = recent_min(f)
    if far == 0:
        far = near_leg(g)  # before the first sample: what the handshake or an echo has shown of the receiver's leg
    if near > _NEAR_LEG_NS and near * 5 > near + far:
        return near + max(near // 4, 1_000_000)
    return max(_ALLOW_LOW_NS, min((near + far) // 10, _ALLOW_HIGH_NS))


@plain
def divide(c, f, d, t):
    """How the sender's own time up to t divides: (slot until `first`, `first`, slot until `second`, `second`, slot
    until t): a producer while in flight, then think time from the peer's request on, or idleness."""
    quiet = i64(f["quiet_ns"])
    own = i64(SMALL if f["tail"] & SMALL_TAIL else PRODUCER)
    if quiet == 0:
        return own, t, own, t, own
    request = i64(f["request_ns"])
    if request and i64(c["opener"]) != d + 1:
        return own, quiet, i64(IDLE), max(request, quiet), i64(THINK)
    rtt = recent_min(f) + near_leg(f)
    if request or t - quiet > max(3 * rtt, _IDLE_NS):
        return own, quiet, i64(IDLE), t, i64(IDLE)
    return own, t, own, t, own


@inlined
def book_sender(table, c, f, d, t):
    """Book the sender's own time up to t."""
    before, first, between, second, after = divide(c, f, d, t)
    book(table, f, first, before)
    book(table, f, second, between)
    book(table, f, t, after)


@plain
def explain(f, g, t, kind, trigger, phase_before, silence_ns, flight_before):
    """The slot of the silence of flow f that its segment at t ends; -1: the sender's own, to be divided."""
    if not f["begun"]:
        return i64(OPEN_GAP)
    if phase_before != OPEN:
        return i64(FAST_RECOVERY if phase_before == FAST else TIMEOUT)
    allow = allowance_ns(f, g)
    if f["blocked"]:
        opened = i64(f["opened_ns"])
        if opened == 0 or trigger != NO_REPEAT or t - opened <= allow:
            return i64(ZERO_WINDOW if f["zeroed"] else WINDOW_FULL)
        return i64(-1)
    chance = i64(f["opportunity_ns"])
    if kind == NEW:
        if f["tail"] & SMALL_TAIL:
            return i64(-1)
        if chance == 0 or t - chance <= allow or (f["tail"] & OPEN_TAIL and not i64(f["quiet_ns"])):
            return i64(CWND if f["reduced"] else SLOW_START)
        if looks_paced(f, silence_ns, flight_before):
            return i64(PACED)
        return i64(-1)
    if chance:
        return i64(-1)
    # Sent again, and there was no room for anything new.
    if trigger == BY_TIMEOUT:
        return i64(TIMEOUT)
    return i64(TAIL if trigger == BY_PROBE else FAST_RECOVERY)


@inlined
def end_silence(table, c, f, g, d, t, kind, trigger, phase_before, silence_ns, flight_before):
    """Book the silence of flow f that its segment at t ends."""
    start = i64(f["ledger_ns"])
    slot = explain(f, g, t, kind, trigger, phase_before, silence_ns, flight_before)
    if slot >= 0:
        book(table, f, t, slot)
    else:
        book_sender(table, c, f, d, t)
    if slot != SLOW_START and slot != CWND:
        f["round_free"] = 1  # the window was not the limit: what the round shows is not the window's growth
    if t - start > STALL_NS and f["track"] & DATA_SEEN:
        note_stall(table, c, f, d, start, t, slot if slot >= 0 else i64(PRODUCER))


@plain
def open_ledger(table, c, f, g, t):
    """The connection is established (or was met so): the handshake is booked and both senders may act from now on.

    Setup is what the handshake took beyond one round trip; that round trip counts as idle, for nobody could do better.
    """
    start = i64(c["start_ns"])
    c["opened"] = 1
    if not i64(c["established_ns"]):
        return
    cause = _HANDSHAKE
    for k in range(2):
        end = f if k == 0 else g
        if i64(end["syn_again"]):
            cause = _SYN_LOST if not end["marks"] & SYN_ACK else _SYNACK_LOST
    normal = i64(f["leg_handshake_ns"]) + i64(g["leg_handshake_ns"])
    if normal == 0 and i64(c["synack_ns"]):
        normal = t - i64(c["synack_ns"])
    set_up = max(start, t - normal)
    f["setup_cause"] = cause
    book(table, f, set_up, i64(SETUP))
    book(table, f, t, i64(IDLE))
    begin_waiting(f, t)
    g["setup_cause"] = cause
    book(table, g, set_up, i64(SETUP))
    book(table, g, t, i64(IDLE))
    begin_waiting(g, t)


@inlined
def begin_waiting(f, t):
    """From t on the sender may send and has not: its first silence."""
    f["begun"] = 1
    f["opportunity_ns"] = t
    f["quiet_ns"] = t


@plain
def settle_open(table, c, f, d, t):
    """The silence has outlasted the time that a window may be held: book up to t what is known of it."""
    quiet = i64(f["quiet_ns"])
    if f["blocked"] and i64(f["zero_ns"]):
        book(table, f, t, i64(ZERO_WINDOW))
        return
    if not c["opened"]:
        book(table, f, t, i64(SETUP))
        return
    if not f["begun"] or not quiet:
        book(table, f, t, i64(OPEN_GAP))
        return
    book(table, f, min(quiet, t), i64(SMALL if f["tail"] & SMALL_TAIL else OPEN_GAP))
    request = i64(f["request_ns"])
    if request and i64(c["opener"]) != d + 1:
        book(table, f, min(max(request, quiet), t), i64(IDLE))
        book(table, f, t, i64(THINK))
    else:
        book(table, f, t, i64(IDLE))


@plain
def finish(table, c, f, d, t, how):
    """Book what is left of flow f's time up to t, its end."""
    if not f["done"]:
        if not c["opened"]:
            f["setup_cause"] = _REFUSED if c["facts"] & REFUSED else _NO_ANSWER
            book(table, f, t, i64(SETUP))
        elif i64(f["flight_bytes"]) == 0 and i64(f["quiet_ns"]) == 0:
            book(table, f, t, i64(IDLE))
        elif i64(f["flight_bytes"]) == 0 or how:
            book_sender(table, c, f, d, t)
        else:
            book(table, f, t, i64(OPEN_GAP))
        f["done"] = 1


@inlined
def begin_silence(f, t, flags, payload):
    """After a send at t: what is true while the sender is silent from here on."""
    mss = max(i64(f["mss"]), 1)
    flight = i64(f["flight_bytes"])
    blocked = 0
    if f["edge_valid"] and diff(i64(f["edge"]), i64(f["snd_nxt"])) < mss and edge_plausible(f):
        blocked = 1
    if i64(f["zero_ns"]):
        blocked = 1
    f["blocked"] = blocked
    f["zeroed"] = 1 if i64(f["zero_ns"]) else 0
    tail = 0
    if flags & PSH:
        f["pushes"] = 1
        if payload < mss:
            tail = SMALL_TAIL
    elif payload and payload % mss == 0 and f["pushes"]:
        tail = OPEN_TAIL
    if flags & FIN:
        tail = SMALL_TAIL
    f["tail"] = tail
    f["begun"] = 1
    room = flight + 2 * mss <= i64(f["cwnd_bytes"])
    f["opportunity_ns"] = t if room and not blocked else 0
    f["opened_ns"] = 0
    f["quiet_ns"] = 0
    f["request_ns"] = 0


@inlined
def on_segment(
    table,
    c,
    f,
    g,
    d,
    t,
    flags,
    payload,
    kind,
    trigger,
    advanced,
    window_opened,
    phase_before,
    phase_acked,
    recovered,
    syn_repeated,
    silence_ns,
    flight_before,
):
    if not c["opened"] and (i64(c["established_ns"]) or c["facts"] & MIDSTREAM):
        open_ledger(table, c, f, g, t)
    if c["opened"]:
        if (kind == NEW and (payload or flags & FIN)) or kind == REPEAT or kind == REPAIR:
            if not flags & SYN:
                end_silence(table, c, f, g, d, t, kind, trigger, phase_before, silence_ns, flight_before)
                begin_silence(f, t, flags, payload)
        elif kind == PROBE and i64(f["blocked"]):
            end_silence(table, c, f, g, d, t, kind, trigger, phase_before, silence_ns, flight_before)
            f["opened_ns"] = 0
        if payload:
            g["request_ns"] = t
    if recovered and c["opened"] and g["begun"]:
        # Repair is over: what was silence in it is the network's, and the sender's next chance begins here.
        book(table, g, t, i64(FAST_RECOVERY if phase_acked == FAST else TIMEOUT))
        g["opportunity_ns"] = 0
    if advanced or window_opened:
        if g["blocked"] and i64(g["opened_ns"]) == 0:
            if diff(i64(g["edge"]), i64(g["snd_nxt"])) >= i64(g["mss"]) and not i64(g["zero_ns"]):
                g["opened_ns"] = t
        if advanced:
            flight = i64(g["flight_bytes"])
            if i64(g["opportunity_ns"]) == 0 and not g["blocked"]:
                if flight + 2 * i64(g["mss"]) <= i64(g["cwnd_bytes"]):
                    g["opportunity_ns"] = t
            if flight == 0 and i64(g["quiet_ns"]) == 0:
                g["quiet_ns"] = t
    if i64(g["zero_ns"]):
        g["zeroed"] = 1
    if g["marks"] & FIN_ACKED and not g["done"] and c["opened"]:
        finish(table, c, g, 1 - d, t, True)
