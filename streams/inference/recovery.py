"""Why data was sent again, and the sender's recovery episodes (RFC 5681, RFC 6675, RFC 8985, RFC 6298).

The trigger of a repetition is read from what the sender had seen: three duplicate ACKs or three segments' worth of SACK
above the hole mean fast recovery; silence of about a retransmission timeout without progress means timeout; the last
segment sent again after one and a half to two round trips of silence is a tail loss probe. Within an episode further
repetitions belong to it. An episode ends when everything outstanding at its start is acknowledged.
"""

from schemas.columns import inlined, plain
from streams.inference.rtt import sender_rtt
from streams.inference.sequence import NEW, REPAIR, REPEAT
from streams.inference.serial import MASK, diff, i64
from streams.inference.statistic import Statistic

OPEN, FAST, TIMEOUT = range(3)
# Why the segment at hand was sent again.
NO_REPEAT, BY_FAST, BY_TIMEOUT, BY_PROBE, NEEDLESS, BY_EPISODE, BY_UNKNOWN = range(7)

# Linux's floor of the timeout above srtt is 200 ms (RFC 6298 says 1 s); timers tick late, never early.
_RTO_FLOOR_NS = 200_000_000
_RTO_INITIAL_NS = 1_000_000_000
# A probe timer is 2 srtt (RFC 8985); measured RTT and the sender's own differ, hence 1.5.
_PROBE_NUM, _PROBE_DEN = 3, 2
_DUPTHRESH = 3

STATISTIC = Statistic(
    name="recovery",
    front=("phase",),
    flow={
        "phase": "u1",
        "recover": "u4",
        "sent_ns": "i8",  # last time that data was sent, new or again
        "progress_ns": "i8",  # last time that an ACK or SACK made progress
        "retransmitted_packets": "u4",
        "retransmitted_segments": "u4",
        "retransmitted_bytes": "i8",
        "fast_retransmissions": "u4",
        "timeouts": "u4",
        "tail_probes": "u4",
        "spurious": "u4",
        "spurious_known": "u2",  # needless ones whose DSACK has not come yet
        "lost_near": "u4",
        "lost_far": "u4",
        "w_retransmitted_packets": "u4",
        "w_retransmitted_segments": "u4",
        "w_fast": "u4",
        "w_timeouts": "u4",
    },
    provides=("trigger", "recovered", "silence_ns", "phase_before", "phase_acked"),
    windows=("retransmitted_packets", "retransmitted_segments", "fast_retransmissions", "timeouts"),
    flows=(
        "retransmitted_packets", "retransmitted_segments", "retransmitted_bytes", "fast_retransmissions", "timeouts",
        "tail_probes", "spurious_retransmissions", "lost_near", "lost_far",
    ),
)  # fmt: skip


@inlined
def timeout_ns(f):
    """The sender's retransmission timeout as RFC 6298 and Linux compute it."""
    rtt = sender_rtt(f)
    if rtt == 0:
        return i64(_RTO_INITIAL_NS)
    return rtt + max(4 * i64(f["rttvar_ns"]), _RTO_FLOOR_NS)


@plain
def why(f, t, end, silence):
    """The trigger of a repetition that ends at `end`."""
    if diff(end, i64(f["una"])) <= 0:
        return NEEDLESS
    mss = max(i64(f["mss"]), 1)
    phase = i64(f["phase"])
    rto = timeout_ns(f)
    above = 0
    if i64(f["sack_n"]):
        above = diff(i64(f["sack_right"][i64(f["sack_n"]) - 1]), end)
    # Without any progress yet progress_ns is 0, and ten times the time since then overflows: scale the timer instead.
    enough = (rto * 8 + 9) // 10
    quiet = silence >= enough and t - i64(f["progress_ns"]) >= enough
    if phase == FAST:
        return BY_TIMEOUT if quiet else BY_EPISODE
    if phase == TIMEOUT:
        return BY_TIMEOUT if quiet else BY_EPISODE
    if i64(f["dup_run"]) >= _DUPTHRESH or above >= _DUPTHRESH * mss:
        return BY_FAST if not quiet else BY_TIMEOUT
    if quiet:
        return BY_TIMEOUT
    if above > 0 or i64(f["sacked_bytes"]) > 0 or i64(f["dup_run"]) > 0:
        return BY_FAST
    rtt = sender_rtt(f)
    if end == i64(f["snd_nxt"]) and rtt and silence * _PROBE_DEN >= rtt * _PROBE_NUM:
        return BY_PROBE
    return BY_UNKNOWN


@plain
def count(f, trigger, kind, old_bytes, syn_fin):
    """Count a repetition by its trigger and place."""
    mss = max(i64(f["mss"]), 1)
    segments = max((old_bytes + mss - 1) // mss, 1)
    f["retransmitted_packets"] = i64(f["retransmitted_packets"]) + 1
    f["retransmitted_segments"] = i64(f["retransmitted_segments"]) + segments
    f["retransmitted_bytes"] += old_bytes
    f["w_retransmitted_packets"] = i64(f["w_retransmitted_packets"]) + 1
    f["w_retransmitted_segments"] = i64(f["w_retransmitted_segments"]) + segments
    if trigger == NEEDLESS:
        f["spurious"] = i64(f["spurious"]) + 1
        f["spurious_known"] = min(i64(f["spurious_known"]) + 1, 65535)
    elif kind == REPAIR:
        f["lost_near"] = i64(f["lost_near"]) + 1
    else:
        f["lost_far"] = i64(f["lost_far"]) + 1
    if trigger == BY_TIMEOUT:
        f["timeouts"] = i64(f["timeouts"]) + 1
        f["w_timeouts"] = i64(f["w_timeouts"]) + 1
    elif trigger == BY_PROBE:
        f["tail_probes"] = i64(f["tail_probes"]) + 1
    elif trigger == BY_FAST or (trigger == BY_EPISODE and i64(f["phase"]) == FAST):
        f["fast_retransmissions"] = i64(f["fast_retransmissions"]) + 1
        f["w_fast"] = i64(f["w_fast"]) + 1
    if trigger == BY_TIMEOUT:
        f["phase"] = TIMEOUT
        f["recover"] = f["snd_nxt"]
    elif trigger == BY_FAST or (trigger == BY_UNKNOWN and not syn_fin):
        f["phase"] = FAST
        f["recover"] = f["snd_nxt"]


@plain
def on_repeat(f, t, seq, payload, flags, kind, old_bytes, silence):
    """A segment of f sent again."""
    syn_fin = flags & 0x3
    end = (seq + payload + (1 if flags & 1 else 0) + (1 if flags & 2 else 0)) & MASK
    trigger = why(f, t, end, silence)
    if payload == 0 and trigger == BY_UNKNOWN:
        trigger = BY_TIMEOUT  # a SYN or FIN alone is only ever repeated by its timer
    count(f, trigger, kind, old_bytes, syn_fin)
    return trigger


@inlined
def on_segment(f, g, t, seq, payload, flags, kind, old_bytes, advanced, newly_sacked, dsack):
    trigger = NO_REPEAT
    recovered = False
    silence_ns = i64(0)
    phase_before = i64(f["phase"])
    phase_acked = i64(g["phase"])
    if kind == NEW or kind == REPEAT or kind == REPAIR:
        if i64(f["sent_ns"]):
            silence_ns = t - i64(f["sent_ns"])
        if kind != NEW:
            trigger = on_repeat(f, t, seq, payload, flags, kind, old_bytes, silence_ns)
        f["sent_ns"] = t
    if advanced or newly_sacked:
        g["progress_ns"] = t
        if i64(g["phase"]) and diff(i64(g["una"]), i64(g["recover"])) >= 0:
            g["phase"] = OPEN
            recovered = True
    if dsack:
        if i64(g["spurious_known"]):
            g["spurious_known"] = i64(g["spurious_known"]) - 1
        elif i64(g["lost_far"]):
            g["lost_far"] = i64(g["lost_far"]) - 1
            g["spurious"] = i64(g["spurious"]) + 1
    return trigger, recovered, silence_ns, phase_before, phase_acked


@plain
def on_window_close(f, row):
    row["retransmitted_packets"] = i64(f["w_retransmitted_packets"])
    row["retransmitted_segments"] = i64(f["w_retransmitted_segments"])
    row["fast_retransmissions"] = i64(f["w_fast"])
    row["timeouts"] = i64(f["w_timeouts"])


@plain
def on_close(f, row):
    row["retransmitted_packets"] = i64(f["retransmitted_packets"])
    row["retransmitted_segments"] = i64(f["retransmitted_segments"])
    row["retransmitted_bytes"] = f["retransmitted_bytes"]
    row["fast_retransmissions"] = i64(f["fast_retransmissions"])
    row["timeouts"] = i64(f["timeouts"])
    row["tail_probes"] = i64(f["tail_probes"])
    row["spurious_retransmissions"] = i64(f["spurious"])
    row["lost_near"] = i64(f["lost_near"])
    row["lost_far"] = i64(f["lost_far"])
