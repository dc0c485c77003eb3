"""Data in flight, the congestion window that it bounds, and the congestion state (RFC 5681).

flight = snd_nxt - una at the tap. `cwnd_bytes` is the largest flight since the last reduction: always a lower bound of
the window, its value where the sender is limited by it. From a SYN it starts at ten segments (RFC 6928); a silence
above the retransmission timeout restarts it (RFC 2861: halved for each timeout, down to the initial window).
Slow start lasts from the beginning to the first reduction, or until two window-limited rounds in a row grow by less
than a quarter (HyStart, RFC 9406); after a timeout until the window is back at ssthresh.
"""

from schemas.columns import inlined, plain
from streams.inference.recovery import BY_FAST, BY_TIMEOUT, OPEN, timeout_ns
from streams.inference.sequence import DATA_SEEN, NEW, SYN_SEEN
from streams.inference.serial import diff, i64, u32
from streams.inference.statistic import Statistic

INITIAL_SEGMENTS = 10
# Growth that two rounds must miss to count as the end of slow start, as a fraction.
_GROWTH_NUM, _GROWTH_DEN = 5, 4

STATISTIC = Statistic(
    name="flight",
    front=("flight_bytes",),
    hot=("round_before", "round_free", "flat_rounds", "rounds"),
    flow={
        "flight_bytes": "u4",
        "flight_max_bytes": "u4",
        "cwnd_bytes": "u4",
        "ssthresh_bytes": "u4",
        "accrued_ns": "i8",
        "reduced": "u1",  # slow start has ended
        "round_seq": "u4",
        "round_top": "u4",
        "round_before": "u4",
        "round_free": "u1",  # within the round something else than the window limited the sender
        "flat_rounds": "u1",
        "rounds": "u4",
        "w_flight_area": "i8",  # byte-nanoseconds
        "w_flight_ns": "i8",
        "w_flight_max": "u4",
        "w_phase_us": "(4,)u4",  # time in slow start, congestion avoidance, fast recovery, timeout
    },
    provides=("flight_before",),
    windows=("flight_mean_bytes", "flight_max_bytes", "ssthresh_bytes", "state"),
    flows=("flight_max_bytes", "cwnd_bytes"),
)


@inlined
def accrue(f, t, phase):
    """Book the time since the last change under the flight and the state that held in it."""
    since = i64(f["accrued_ns"])
    if since:
        span = t - since
        f["w_flight_area"] += i64(f["flight_bytes"]) * span
        f["w_flight_ns"] += span
        at = phase + 1 if phase else i64(f["reduced"])
        f["w_phase_us"][at] = u32(i64(f["w_phase_us"][at]) + t // 1000 - since // 1000)
    f["accrued_ns"] = t


@plain
def end_round(g):
    """A round is over: everything outstanding at its start is acknowledged."""
    top, before = i64(g["round_top"]), i64(g["round_before"])
    g["rounds"] = i64(g["rounds"]) + 1
    if not g["reduced"] and not g["round_free"] and before and i64(g["phase"]) == OPEN:
        if top * _GROWTH_DEN < before * _GROWTH_NUM:
            g["flat_rounds"] = i64(g["flat_rounds"]) + 1
            if i64(g["flat_rounds"]) >= 2:
                g["reduced"] = 1
        else:
            g["flat_rounds"] = 0
    g["round_before"] = g["round_top"] if not g["round_free"] else 0
    g["round_top"] = 0
    g["round_free"] = 0
    g["round_seq"] = g["snd_nxt"]


@plain
def restart(f, silence):
    """The window after a silence with nothing in flight (RFC 2861, Linux's tcp_slow_start_after_idle)."""
    rto = timeout_ns(f)
    floor = INITIAL_SEGMENTS * i64(f["mss"])
    window = i64(f["cwnd_bytes"])
    while silence > rto and window > floor:
        window = max(window // 2, floor)
        silence -= rto
    f["cwnd_bytes"] = u32(window)


@plain
def reduce_window(f, trigger):
    """A loss was answered: slow start is over, or begins anew after a timeout."""
    if trigger == BY_TIMEOUT:
        f["ssthresh_bytes"] = u32(max(i64(f["cwnd_bytes"]) // 2, 2 * i64(f["mss"])))
        f["reduced"] = 0
    else:
        f["reduced"] = 1


@inlined
def on_segment(f, g, t, payload, kind, trigger, recovered, advanced, silence_ns, phase_before, phase_acked):
    flight_before = i64(f["flight_bytes"])
    if kind and kind <= 4:
        accrue(f, t, phase_before)
        if kind == NEW and payload and flight_before == 0:
            if i64(f["cwnd_bytes"]) == 0 and f["marks"] & SYN_SEEN:
                f["cwnd_bytes"] = u32(INITIAL_SEGMENTS * i64(f["mss"]))
            elif silence_ns > 200_000_000:
                restart(f, silence_ns)
        flight = max(diff(i64(f["snd_nxt"]), i64(f["una"])), 0)
        f["flight_bytes"] = u32(flight)
        if trigger == BY_FAST or trigger == BY_TIMEOUT:
            reduce_window(f, trigger)
        if flight > i64(f["flight_max_bytes"]):
            f["flight_max_bytes"] = u32(flight)
        if flight > i64(f["w_flight_max"]):
            f["w_flight_max"] = u32(flight)
        if flight > i64(f["cwnd_bytes"]) and i64(f["phase"]) == OPEN and f["track"] & DATA_SEEN:
            f["cwnd_bytes"] = u32(flight)
        if payload:
            if i64(f["rounds"]) == 0 and i64(f["round_top"]) == 0:
                f["round_seq"] = f["snd_nxt"]  # the first round
            if flight > i64(f["round_top"]):
                f["round_top"] = u32(flight)
    if advanced:
        accrue(g, t, phase_acked)
        flight = max(diff(i64(g["snd_nxt"]), i64(g["una"])), 0)
        g["flight_bytes"] = u32(flight)
        if recovered:
            window = max(flight, 2 * i64(g["mss"]))
            if i64(g["ssthresh_bytes"]) == 0 or g["reduced"]:
                g["ssthresh_bytes"] = u32(window)
            g["cwnd_bytes"] = u32(window)
        if not g["reduced"] and i64(g["ssthresh_bytes"]) and i64(g["cwnd_bytes"]) >= i64(g["ssthresh_bytes"]):
            g["reduced"] = 1
        begun = i64(g["rounds"]) or i64(g["round_top"])
        if begun and diff(i64(g["una"]), i64(g["round_seq"])) >= 0:
            end_round(g)
    return flight_before


@plain
def on_window_close(f, row, end_ns):
    accrue(f, end_ns, i64(f["phase"]))
    if f["w_flight_ns"] > 0:
        row["flight_mean_bytes"] = f["w_flight_area"] // f["w_flight_ns"]
    row["flight_max_bytes"] = i64(f["w_flight_max"])
    if i64(f["ssthresh_bytes"]):
        row["ssthresh_bytes"] = i64(f["ssthresh_bytes"])
    best = 4
    most = 0
    for k in range(4):
        if i64(f["w_phase_us"][k]) > most:
            most = i64(f["w_phase_us"][k])
            best = k
    row["state"] = best


@plain
def on_close(f, row):
    row["flight_max_bytes"] = i64(f["flight_max_bytes"])
    if i64(f["cwnd_bytes"]):
        row["cwnd_bytes"] = i64(f["cwnd_bytes"])
