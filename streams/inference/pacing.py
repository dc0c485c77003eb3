"""Pacing: sends that are spaced evenly by the sender's own clock, not released by ACKs (BBR, fq).

A paced sender leaves room below its window unused and is not short of data. It shows by small bursts at an even
distance, never an empty path, and a rate near what the path has been seen to carry. The last condition is what tells
it from an application that writes small pieces at even intervals: such a one sends at its own rate, while the spacing
of the ACKs of each piece shows that the path could carry more. Where the piece is a single segment, or the path's
capacity has never shown, the two look alike (inference.md 7.1, rule 6).

Capacity is the largest rate of an ACK interval within the last 5 to 10 s, each ACK counted with at most four segments:
one that fills a hole releases far more than arrived in the interval.
"""

from schemas.columns import inlined, plain
from streams.inference.rtt import recent_min
from streams.inference.sequence import NEW
from streams.inference.serial import i64, u32
from streams.inference.statistic import Statistic

GAPS = 8
_PERIOD_NS = 5_000_000_000
_ACK_SEGMENTS = 4
# Two sends closer than this are one burst: below any paced gap of interest, above a host's time between two segments.
_BURST_NS = 60_000
# An ACK interval shorter than this is the capture's or the receiver's batching, not the path's rate.
_SHORTEST_NS = 20_000
# A gap may be this many times the lower quartile of the last ones (a fraction).
_EVEN_NUM, _EVEN_DEN = 22, 10
# Share of the capacity seen that a paced rate must reach.
_RATE_NUM, _RATE_DEN = 4, 10
# Or the round trip must show a standing queue.
_QUEUE_NUM, _QUEUE_DEN = 3, 2
_BURST_TIME_NS = 2_000_000
_NEVER = 0xFFFFFFFF

STATISTIC = Statistic(
    name="pacing",
    hot=("gap_ns_kb", "gap_at", "gap_n", "capacity_now", "capacity_before", "capacity_since_ns"),
    flow={
        "burst_bytes": "u4",
        "burst_before": "u4",  # the burst before the last gap
        "gap_at": "u1",
        "gap_n": "u1",
        "gap_ns_kb": f"({GAPS},)u4",  # ns of silence per 1024 bytes of the burst before it
        "acked_ns": "i8",  # time of the last advancing ACK
        "capacity_now": "u4",  # bytes per millisecond
        "capacity_before": "u4",
        "capacity_since_ns": "i8",
    },
)


@inlined
def capacity(f):
    """Largest rate that the path has been seen to deliver lately, in bytes per millisecond; 0 if unknown."""
    return max(i64(f["capacity_now"]), i64(f["capacity_before"]))


@plain
def note_capacity(g, t, advanced):
    """An ACK interval as a sample of the path's rate."""
    span = t - i64(g["acked_ns"])
    if span < _SHORTEST_NS:
        return
    nbytes = min(advanced, _ACK_SEGMENTS * max(i64(g["mss"]), 1))
    rate = nbytes * 1_000_000 // span
    if t - i64(g["capacity_since_ns"]) > _PERIOD_NS:
        stale = t - i64(g["capacity_since_ns"]) > 2 * _PERIOD_NS
        g["capacity_before"] = 0 if stale else g["capacity_now"]
        g["capacity_now"] = u32(rate)
        g["capacity_since_ns"] = t
    elif rate > i64(g["capacity_now"]):
        g["capacity_now"] = u32(rate)


@plain
def lower_quartile(f):
    """Lower quartile of the kept gaps: the third smallest of eight."""
    gaps = f["gap_ns_kb"]
    first, second, third = i64(_NEVER), i64(_NEVER), i64(_NEVER)
    for k in range(GAPS):
        value = i64(gaps[k])
        if value < first:
            first, second, third = value, first, second
        elif value < second:
            second, third = value, second
        elif value < third:
            third = value
    return third


@plain
def looks_paced(f, silence, flight_before):
    """Whether the silence that has just ended is the gap of a paced sender; asked where nothing else explains it."""
    if i64(f["gap_n"]) < GAPS or flight_before == 0 or silence <= _BURST_NS:
        return False
    burst = i64(f["burst_before"])
    per_kb = silence * 1024 // max(burst, 1)
    rate = burst * 1_000_000 // silence  # bytes per millisecond
    small = burst <= 2 * i64(f["mss"]) or silence <= _BURST_TIME_NS
    fast = rate * _RATE_DEN >= capacity(f) * _RATE_NUM
    queued = i64(f["srtt_ns"]) * _QUEUE_DEN >= recent_min(f) * _QUEUE_NUM
    return small and per_kb * _EVEN_DEN <= lower_quartile(f) * _EVEN_NUM and (fast or queued)


@inlined
def on_segment(f, g, t, payload, kind, advanced, silence_ns):
    if kind == NEW and payload:
        burst = i64(f["burst_bytes"])
        if silence_ns > _BURST_NS:
            at = i64(f["gap_at"])
            f["gap_ns_kb"][at] = u32(min(silence_ns * 1024 // max(burst, 1), _NEVER))
            f["gap_at"] = (at + 1) % GAPS
            f["gap_n"] = min(i64(f["gap_n"]) + 1, GAPS)
            f["burst_before"] = u32(burst)
            burst = i64(0)
        f["burst_bytes"] = u32(burst + payload)
    if advanced:
        if i64(g["acked_ns"]) and i64(g["flight_bytes"]) > 0:
            note_capacity(g, t, advanced)
        g["acked_ns"] = t
