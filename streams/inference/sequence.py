"""Sequence tracking of what each end sends: new data, repeats, repairs, reordering, keep-alives, window probes.

The tap's own view (RFC 9293 serial arithmetic): `snd_nxt` is the highest sequence end seen, `holes` are ranges below it
that were never seen. A segment whose bytes were all seen is a repetition: lost behind the tap, or needless. One that
fills a hole was either reordered before the tap or repairs a loss before the tap: older timestamp (RFC 7323) or older
IP identification than what followed the hole, or, where neither tells, arrival within max(rtt_min / 4, 3 ms) of the
hole (RFC 8985's initial reordering window), means reordered. Bytes acknowledged and never seen are capture loss; seen
late after all, they are taken off again.
"""

from schemas.columns import ACK, FIN, OPT_TIMESTAMPS, RST, SEG_IP_ID, SYN, inlined, plain
from streams.inference.serial import FAR, MASK, diff, i64, u32
from streams.inference.statistic import Statistic

HOLES = 4
# What a segment is to its flow.
NONE, NEW, REPEAT, REPAIR, REORDERED, KEEPALIVE, PROBE, STRAY = range(8)
_REORDER_NS = 3_000_000
# f["marks"], which lifecycle owns and writes after this statistic has seen the segment
SYN_SEEN, SYN_ACK = 2, 4
# f["track"]
STARTED = 1  # snd_nxt and una are valid
ACKED = 2  # an ACK of dst for this flow was seen
DATA_SEEN = 4
PROBED = 8  # a one-byte window probe beyond snd_nxt is out
SENT = 16  # a segment of src was seen: snd_nxt is its own, not only what an ACK says

STATISTIC = Statistic(
    name="sequence",
    front=("track", "snd_nxt", "una", "ts_top", "ip_id_top", "hole_n"),
    flow={
        "track": "u1",
        "snd_nxt": "u4",
        "una": "u4",
        "first_seq": "u4",
        "ts_top": "u4",
        "ip_id_top": "u2",
        "hole_n": "u1",
        "hole_left": f"({HOLES},)u4",
        "hole_right": f"({HOLES},)u4",
        "hole_ns": "i8",  # when the newest hole opened
        "unseen_bytes": "i8",
        "out_of_order": "u4",
        "keepalives": "u4",
        "window_probes": "u4",
    },
    provides=("kind", "new_bytes", "old_bytes"),
    flows=("unseen_bytes", "out_of_order", "keepalives", "window_probes"),
)


@plain
def open_hole(f, left, right, t):
    """Remember [left, right) as never seen; beyond HOLES the lowest is forgotten."""
    n = i64(f["hole_n"])
    lefts, rights = f["hole_left"], f["hole_right"]
    if n == HOLES:
        for k in range(HOLES - 1):
            lefts[k] = lefts[k + 1]
            rights[k] = rights[k + 1]
        n -= 1
    lefts[n] = u32(left)
    rights[n] = u32(right)
    f["hole_n"] = n + 1
    f["hole_ns"] = t


@plain
def fill_holes(f, start, end):
    """Take [start, end) out of the holes; returns how many of its bytes had never been seen, and of those how many had
    been acknowledged meanwhile."""
    lefts, rights = f["hole_left"], f["hole_right"]
    n = i64(f["hole_n"])
    una = i64(f["una"])
    filled = 0
    acked = 0
    kept = 0
    k = 0
    while k < n:
        left, right = i64(lefts[k]), i64(rights[k])
        low = start if diff(start, left) > 0 else left
        high = end if diff(end, right) < 0 else right
        if diff(high, low) > 0:
            filled += diff(high, low)
            top = una if diff(una, high) < 0 else high
            acked += max(diff(top, low), 0)
            if diff(low, left) > 0:  # a piece below stays
                if diff(right, high) > 0 and n < HOLES:  # and one above: insert
                    for m in range(n, k + 1, -1):
                        lefts[m] = lefts[m - 1]
                        rights[m] = rights[m - 1]
                    lefts[k + 1] = u32(high)
                    rights[k + 1] = u32(right)
                    n += 1
                    lefts[kept] = u32(left)
                    rights[kept] = u32(low)
                    kept += 1
                else:
                    lefts[kept] = u32(left)
                    rights[kept] = u32(low)
                    kept += 1
            elif diff(right, high) > 0:
                lefts[kept] = u32(high)
                rights[kept] = u32(right)
                kept += 1
        else:
            lefts[kept] = u32(left)
            rights[kept] = u32(right)
            kept += 1
        k += 1
    f["hole_n"] = kept
    return filled, acked


@plain
def below_top(f, t, start, end, options, seg, i):
    """The kind of a segment that ends at or below snd_nxt."""
    if i64(f["hole_n"]) == 0:
        return REPEAT
    filled, acked = fill_holes(f, start, end)
    if filled == 0:
        return REPEAT
    f["unseen_bytes"] -= acked
    if acked == filled:
        return REORDERED  # seen after its own ACK: the capture's order, not the sender's repetition
    if options & OPT_TIMESTAMPS:
        age = diff(i64(seg.tsval[i]), i64(f["ts_top"]))
        if age < 0:
            return REORDERED
        if age > 0:
            return REPAIR
    ip_id = i64(seg.ip_id[i])
    if options & SEG_IP_ID and ip_id and i64(f["ip_id_top"]):
        back = ((ip_id - i64(f["ip_id_top"]) + 0x8000) & 0xFFFF) - 0x8000
        return REORDERED if back < 0 else REPAIR
    limit = i64(f["rtt_min_ns"]) // 4
    return REORDERED if t - i64(f["hole_ns"]) < max(limit, _REORDER_NS) else REPAIR


@plain
def first_answer(f, end, length, flags):
    """Whether a SYN below snd_nxt was sent for the first time all the same: captured after the data that follows it, or
    the SYN-ACK of a simultaneous open (RFC 9293 figure 8), which takes the number of the SYN before it; or whether it
    is a stray."""
    if f["marks"] & SYN_SEEN and i64(f["isn"]) != (end - length) & MASK:
        return True  # of another connection: an end never changes its initial sequence number
    if diff(end, i64(f["snd_nxt"])) > 0:
        return False
    return not f["marks"] & SYN_SEEN or (flags & ACK != 0 and not f["marks"] & SYN_ACK)


@plain
def meet(f, seq, length):
    """The first segment of an end of which only ACKs were known: what lies between was sent before the capture."""
    if abs(diff(seq, i64(f["snd_nxt"]))) > FAR:
        return STRAY
    f["track"] = i64(f["track"]) | SENT
    f["first_seq"] = u32(seq)
    if diff(seq, i64(f["snd_nxt"])) >= 0:
        f["snd_nxt"] = u32(seq + length)
        return NEW if length else NONE
    if diff(seq + length, i64(f["snd_nxt"])) > 0:
        f["snd_nxt"] = u32(seq + length)
    return NEW if length else NONE


@plain
def unusual(f, t, seq, payload, length, options, zero_window, seg, i):
    """The kind of a segment that is not simply the next one; returns (kind, new payload bytes, old payload bytes)."""
    nxt = i64(f["snd_nxt"])
    end = seq + length
    from_top = diff(seq, nxt)
    if abs(from_top) > FAR:
        return STRAY, 0, 0
    settled = i64(f["una"]) == nxt
    if payload <= 1 and length == payload and from_top == -1 and (settled or zero_window):
        if zero_window:
            f["window_probes"] = i64(f["window_probes"]) + 1
            return PROBE, 0, 0
        f["keepalives"] = i64(f["keepalives"]) + 1
        return KEEPALIVE, 0, 0
    if payload == 1 and length == 1 and from_top == 0 and zero_window:
        f["window_probes"] = i64(f["window_probes"]) + 1
        f["track"] = i64(f["track"]) | PROBED
        return PROBE, 0, 0
    if length == 0:
        return NONE, 0, 0
    above = diff(end, nxt)
    if from_top >= 0:
        if from_top > 0:
            open_hole(f, nxt, seq, t)
        f["snd_nxt"] = u32(end)
        return NEW, payload, 0
    if above > 0:
        if i64(f["hole_n"]):
            _, acked = fill_holes(f, seq, nxt)
            f["unseen_bytes"] -= acked
        f["snd_nxt"] = u32(end)
        fresh = min(max(above - (length - payload), 0), payload)  # a FIN stands above the payload
        return REPEAT, fresh, payload - fresh
    kind = below_top(f, t, seq, end, options, seg, i)
    if kind == REORDERED:
        f["out_of_order"] = i64(f["out_of_order"]) + 1
    return kind, 0, payload


@inlined
def on_segment(f, g, t, seq, ack, payload, flags, options, seg, i):
    kind = NONE
    new_bytes = 0
    old_bytes = 0
    if not flags & RST:
        length = payload
        if flags & SYN:
            length += 1
        if flags & FIN:
            length += 1
        track = i64(f["track"])
        if not track & STARTED:
            f["track"] = track | STARTED | SENT
            f["first_seq"] = u32(seq)
            f["snd_nxt"] = u32(seq + length)
            f["una"] = u32(seq)
            if length:
                kind = NEW
                new_bytes = payload
        elif not track & SENT:
            kind = meet(f, seq, length)
            new_bytes = payload if kind == NEW else 0
        elif flags & SYN and first_answer(f, seq + length, length, flags):
            kind = NONE
        elif seq == i64(f["snd_nxt"]) and (length > 1 or (length == 1 and not i64(f["zero_ns"]))):
            f["snd_nxt"] = u32(seq + length)
            kind = NEW
            new_bytes = payload
        elif length or seq != i64(f["snd_nxt"]):
            kind, new_bytes, old_bytes = unusual(f, t, seq, payload, length, options, i64(f["zero_ns"]) != 0, seg, i)
        if payload:
            f["track"] = i64(f["track"]) | DATA_SEEN
        if kind == NEW or kind == REPEAT or kind == REPAIR:
            if options & OPT_TIMESTAMPS:
                top = i64(f["ts_top"])
                if top == 0 or diff(i64(seg.tsval[i]), top) > 0:
                    f["ts_top"] = seg.tsval[i]
            if options & SEG_IP_ID:
                f["ip_id_top"] = i64(seg.ip_id[i])
    return kind, new_bytes, old_bytes


@plain
def on_close(f, row):
    row["unseen_bytes"] = max(f["unseen_bytes"], 0)
    row["out_of_order"] = i64(f["out_of_order"])
    row["keepalives"] = i64(f["keepalives"])
    row["window_probes"] = i64(f["window_probes"])
