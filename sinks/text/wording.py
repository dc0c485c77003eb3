"""A verdict in words: one function a cause, each naming the one or two facts of the row that prove it.

All are pure functions of a flow's or a window's record (:mod:`schemas.rows`). A fact that the row does not hold is left
out; nothing is said that the numbers do not support.
"""

from collections.abc import Callable
from typing import Any

from schemas.causes import CAUSE, CAUSE_VERDICT, CAUSES, UNKNOWN, VERDICTS
from sinks.text.units import duration, percent, rate, size, times

Row = Any  # np.void of schemas.rows.record_dtype("flows" | "windows"), or a mapping with the same names
Words = list[str | None]

# Beyond this share of the time, what a connection would do without the limit cannot be told from the rest of its time.
_MOSTLY = 0.95
# Shares are quotients of sums: one may exceed 1 by what floats lose.
_ROUNDING = 1e-6


def integer(row: Row, name: str) -> int | None:
    """A count, size or time span of the row; None if the table has no such column or the value is not known."""
    try:
        value = int(row[name])
    except (KeyError, ValueError, IndexError):
        return None
    return value if value >= 0 else None  # NULL_INT, too, is negative


def share(row: Row, name: str) -> float | None:
    """A share of the row; None if there is none."""
    try:
        value = float(row[name])
    except (KeyError, ValueError, IndexError):
        return None
    return min(value, 1.0) if 0 <= value < 1 + _ROUNDING else None


def held(row: Row, verdict: str) -> float | None:
    """How much of the active time a side held the flow back; of a window's whole time, which is all that it has."""
    active = share(row, f"time_active_{verdict}")
    return share(row, f"time_{verdict}") if active is None else active


def _part(row: Row, verdict: str, what: str) -> str:
    known = held(row, verdict)
    if not known:
        return what
    of = "the time" if share(row, f"time_active_{verdict}") is None else "active time"
    return f"{what} {percent(known)} of {of}"


def _rtt(row: Row) -> str | None:
    """``RTT 42 ms``, or ``RTT 42 -> 180 ms`` where it rises by a quarter or more."""
    least = integer(row, "rtt_min_ns")
    most = integer(row, "rtt_p95_ns") or integer(row, "rtt_p50_ns")
    if least is None:
        return f"RTT {duration(most)}" if most is not None else None
    if most is None or most < 1.25 * least:
        return f"RTT {duration(least)}"
    return f"RTT {_range(duration(least), duration(most))}"


def _range(low: str, high: str) -> str:
    """``42 -> 180 ms``: the unit once if it is the same."""
    number, _, unit = low.partition(" ")
    return f"{number} -> {high}" if high.endswith(f" {unit}") and high.count(" ") == 1 else f"{low} -> {high}"


def _retransmitted(row: Row) -> str | None:
    again, packets = integer(row, "retransmitted_packets"), integer(row, "packets")
    return f"{percent(again / packets)} retransmitted" if again and packets else None


def _counted(row: Row, name: str, one: str, many: str) -> str | None:
    count = integer(row, name)
    return f"{count} {one if count == 1 else many}" if count else None


def _timeouts(row: Row) -> str | None:
    return _counted(row, "timeouts", "timeout", "timeouts")


def _window(row: Row) -> int | None:
    return integer(row, "rwnd_max_bytes") or integer(row, "rwnd_bytes")


def _round_trip(row: Row) -> int | None:
    return integer(row, "rtt_p50_ns") or integer(row, "rtt_min_ns")


def needed_window(row: Row) -> int | None:
    """Bytes of receive window that the flow would fill if its window did not hold it back; None if it cannot be told.

    It delivered its rate although the window held it back for a share of the active time, so without that it delivers
    rate / (1 - share), and keeps that much times the round trip in flight.
    """
    blocked, delivered, rtt = held(row, "receiver"), integer(row, "delivery_rate_bps"), _round_trip(row)
    if not blocked or blocked > _MOSTLY or not delivered or not rtt:
        return None
    needed = round(delivered / 8 / (1 - blocked) * rtt / 1e9)
    return needed if needed > (_window(row) or 0) else None


def _window_facts(row: Row) -> Words:
    window, needed, rtt = _window(row), needed_window(row), _round_trip(row)
    found: Words = [f"{size(window)} window" if window else None]
    if needed is not None and rtt is not None:
        found.append(f"needs {size(needed)} at {duration(rtt)}")
    elif rtt is not None:
        found.append(f"RTT {duration(rtt)}")
    return found


def unexplained(row: Row) -> Words:
    return ["no rule applies"]


def handshake(row: Row) -> Words:
    took = integer(row, "handshake_rtt_ns")
    return [f"handshake took {duration(took)}" if took is not None else "being set up"]


def _sent(row: Row, what: str) -> str:
    again = integer(row, "syn_retransmissions") or integer(row, "retransmitted_packets")
    return f"{what} sent {times(again + 1)}" if again else f"{what} sent again"


def syn_lost(row: Row) -> Words:
    return [_sent(row, "SYN"), *_waited(row)]


def synack_lost(row: Row) -> Words:
    return [_sent(row, "SYN-ACK"), "no answer to it seen"]


def accept_queue(row: Row) -> Words:
    return [_sent(row, "SYN-ACK"), "although it had been answered: full accept queue?"]


def refused(row: Row) -> Words:
    took = integer(row, "covered_ns")
    return [f"refused by a reset after {duration(took)}" if took else "refused by a reset"]


def no_answer(row: Row) -> Words:
    again = integer(row, "syn_retransmissions") or integer(row, "retransmitted_packets") or 0
    return [f"SYN sent {times(again + 1)}", *_waited(row), "nothing answered"]


def _waited(row: Row) -> Words:
    setup, covered = share(row, "time_setup"), integer(row, "covered_ns")
    return [f"{duration(round(setup * covered))} lost"] if setup and covered else []


def slow_setup(row: Row) -> Words:
    took, rtt = integer(row, "handshake_rtt_ns"), integer(row, "rtt_min_ns")
    found: Words = [f"handshake took {duration(took)}" if took is not None else "slow handshake"]
    return [*found, f"smallest RTT {duration(rtt)}" if rtt is not None else None]


def idle(row: Row) -> Words:
    part = share(row, "time_idle")
    return [f"nothing to send {percent(part)} of the time" if part else "nothing to send"]


def await_request(row: Row) -> Words:
    part = share(row, "time_idle")
    return [f"waits for the peer's next request {percent(part)} of the time" if part else "waits for the next request"]


def server_think(row: Row) -> Words:
    return [_part(row, "sender", "answers requests late")]


def slow_producer(row: Row) -> Words:
    return [_part(row, "sender", "application idle or slow")]


def small_writes(row: Row) -> Words:
    return [_part(row, "sender", "waits after each small write"), _rtt(row)]


def send_buffer(row: Row) -> Words:
    flight = integer(row, "flight_max_bytes")
    found: Words = [_part(row, "sender", "constant flight")]
    return [*found, f"never more than {size(flight)} in flight: send buffer or clamp" if flight else None]


def zero_window(row: Row) -> Words:
    count, closed = integer(row, "zero_windows"), integer(row, "zero_window_ns")
    if not count:
        return [_part(row, "receiver", "window closed")]
    return [f"window closed {times(count)}", f"{duration(closed)} in all" if closed else None]


def window_full(row: Row) -> Words:
    return [_part(row, "receiver", "window full"), *_window_facts(row)]


def slow_reader(row: Row) -> Words:
    least, most = integer(row, "rwnd_min_bytes"), integer(row, "rwnd_max_bytes")
    found: Words = [_part(row, "receiver", "application reads slowly")]
    return [*found, f"window {_range(size(most), size(least))}" if least is not None and most is not None else None]


def small_buffer(row: Row) -> Words:
    return [_part(row, "receiver", "buffer too small"), *_window_facts(row)]


def delayed_ack(row: Row) -> Words:
    return [_part(row, "receiver", "waits for delayed ACKs"), _rtt(row)]


def silly_window(row: Row) -> Words:
    mss = integer(row, "mss")
    return [_part(row, "receiver", "window opens by less than a segment"), f"MSS {mss}" if mss else None]


def slow_start(row: Row) -> Words:
    flight = integer(row, "flight_max_bytes")
    return [
        _part(row, "network", "congestion window still growing"),
        f"up to {size(flight)} in flight" if flight else None,
    ]


def initial_window(row: Row) -> Words:
    sent = integer(row, "payload_bytes")
    found: Words = [
        f"{size(sent)} within the first congestion windows" if sent else "within the first congestion windows"
    ]
    return [*found, _rtt(row)]


def idle_restart(row: Row) -> Words:
    return [_part(row, "network", "congestion window restarted after idleness"), _rtt(row)]


def congestion_window(row: Row) -> Words:
    cwnd = integer(row, "cwnd_bytes")
    what = f"congestion window of {size(cwnd)}" if cwnd else "congestion window"
    return [_part(row, "network", what), _retransmitted(row) or _rtt(row)]


def fast_recovery(row: Row) -> Words:
    return [_retransmitted(row) or _part(row, "network", "repairs losses"), _timeouts(row), _rtt(row)]


def timeout(row: Row) -> Words:
    return [_timeouts(row) or _part(row, "network", "waits for timeouts"), _retransmitted(row), _rtt(row)]


def tail_loss(row: Row) -> Words:
    probes = _counted(row, "tail_probes", "tail probe", "tail probes")
    return ["last segments lost", probes or _retransmitted(row), _rtt(row)]


def queueing(row: Row) -> Words:
    return [_part(row, "network", "queueing"), _rtt(row)]


def bandwidth(row: Row) -> Words:
    delivered = integer(row, "delivery_rate_bps")
    what = f"{rate(delivered)} is what the path carries" if delivered else "the path carries no more"
    return [what, _rtt(row)]


def policer(row: Row) -> Words:
    delivered = integer(row, "delivery_rate_bps")
    return [f"rate limited to {rate(delivered)}" if delivered else "rate limited", _retransmitted(row), _rtt(row)]


def ecn_marks(row: Row) -> Words:
    marked = _counted(row, "ce_packets", "packet marked", "packets marked")
    echoed = _counted(row, "ece_packets", "echo", "echoes")
    return [_part(row, "network", "congestion marks"), marked or echoed]


def paced(row: Row) -> Words:
    delivered = integer(row, "delivery_rate_bps")
    return [f"paced at {rate(delivered)}" if delivered else "paced at the path's rate", _rtt(row)]


def open_gap(row: Row) -> Words:
    return ["the silence had not ended"]


def unseen_reverse(row: Row) -> Words:
    return ["only one direction was captured"]


def capture_loss(row: Row) -> Words:
    unseen = integer(row, "unseen_bytes")
    return ["the capture lost segments", f"{size(unseen)} never seen" if unseen else None]


def too_little(row: Row) -> Words:
    packets = integer(row, "packets")
    return [f"only {packets} packets" if packets and packets > 1 else "too few packets"]


def ambiguous(row: Row) -> Words:
    known = ((held(row, name), name) for name in VERDICTS if name not in ("idle", "unknown"))
    best = sorted(((part, name) for part, name in known if part), reverse=True)[:2]
    return ["two explanations are about equally likely", *(f"{name} {percent(part)}" for part, name in best)]


def host_leg(row: Row) -> Words:
    near = integer(row, "near_rtt_min_ns")
    return ["the guest beside the tap answers late", f"{duration(near)} at least" if near else None]


WORDING: dict[str, Callable[[Row], Words]] = {
    function.__name__: function
    for function in (
        unexplained, handshake, syn_lost, synack_lost, accept_queue, refused, no_answer, slow_setup, idle,
        await_request, server_think, slow_producer, small_writes, send_buffer, zero_window, window_full, slow_reader,
        small_buffer, delayed_ack, silly_window, slow_start, initial_window, idle_restart, congestion_window,
        fast_recovery, timeout, tail_loss, queueing, bandwidth, policer, ecn_marks, paced, open_gap, unseen_reverse,
        capture_loss, too_little, ambiguous, host_leg,
    )
}  # fmt: skip


def verdict_of(row: Row) -> str:
    """The verdict's name."""
    number = int(row["verdict"])
    return VERDICTS[number] if number < len(VERDICTS) else "unknown"


def cause_of(row: Row) -> str | None:
    """The cause's name; None if the row has none."""
    number = int(row["cause"])
    return CAUSES[number] if number < len(CAUSES) else None


def proof(row: Row) -> str:
    """What proves the verdict, e.g. ``window full 71 % of active time, 64 KB window, needs 310 KB at 42 ms``."""
    cause, verdict = cause_of(row), verdict_of(row)
    if cause is None:
        confidence = share(row, "confidence")
        if verdict == "unknown" and confidence is not None:
            return f"no cause is likely enough (confidence {percent(confidence)})"
        return _part(row, verdict, "held back") if verdict != "unknown" else "no cause is likely enough"
    words = ", ".join(word for word in WORDING[cause](row) if word)
    if verdict == "unknown" and CAUSE_VERDICT[CAUSE[cause]] != UNKNOWN:
        sure = share(row, "confidence")
        return f"perhaps {words}" + (f", confidence {percent(sure)}" if sure is not None else "")
    return words


def sentence(row: Row) -> str:
    """Verdict and proof, e.g. ``network: 2.1 % retransmitted, 3 timeouts, RTT 42 -> 180 ms``."""
    return f"{verdict_of(row)}: {proof(row)}"
