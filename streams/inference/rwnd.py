"""The receive window (RFC 9293, RFC 7323): what dst lets src send, its right edge, and zero-window periods.

The scale is known where both SYNs were seen (or the SYN-ACK alone: it carries the option only in answer). Met
mid-stream it is inferred as the smallest shift that the sender never violated: a sender does not pass the right edge.
Until a violation has shown anything, the window in bytes is unknown. A zero window is zero at any scale.
"""

from schemas.columns import ACK, RST, SYN, inlined, plain
from schemas.rows import NULL_INT
from streams.inference.handshake import MAX_SCALE, OFFER_WSCALE, OFFERS_CUT
from streams.inference.sequence import SYN_ACK, SYN_SEEN
from streams.inference.serial import diff, i64, u32
from streams.inference.statistic import Statistic

# Sends that stop right at the edge prove the scale that puts the edge there: chance would pass it or stay away.
_HITS = 8
# f["scale_how"]
SCALE_UNKNOWN, SCALE_SEEN, SCALE_INFERRED = 0, 1, 2

STATISTIC = Statistic(
    name="rwnd",
    front=("edge", "edge_valid", "scale", "scale_how", "rwnd_bytes", "rwnd_min_bytes", "rwnd_max_bytes", "zero_ns"),
    flow={
        "edge": "u4",  # right edge: una + window, only ever moves right
        "edge_hits": "u1",  # sends that left less than a segment of window, at an unproven scale
        "scale": "u1",
        "scale_how": "u1",
        "edge_valid": "u1",
        "rwnd_bytes": "u4",
        "rwnd_min_bytes": "u4",
        "rwnd_max_bytes": "u4",
        "zero_ns": "i8",  # start of the zero-window period under way
        "zero_total_ns": "i8",
        "zero_windows": "u4",
    },
    provides=("window_opened", "zero_ended_ns"),
    windows=("rwnd_bytes",),
    flows=(
        "window_scale", "window_scale_provenance", "rwnd_min_bytes", "rwnd_max_bytes", "zero_windows", "zero_window_ns",
    ),
)  # fmt: skip


@plain
def settle_scale(f, g):
    """Learn the scale of the windows that f's src sends to g's src from the handshake, once it is decided."""
    how = SCALE_UNKNOWN
    scale = 0
    if f["marks"] & SYN_SEEN and not f["offers"] & OFFERS_CUT:
        answered = f["marks"] & SYN_ACK or (g["marks"] & SYN_SEEN and not g["offers"] & OFFERS_CUT)
        if answered:
            asked = g["offers"] & (OFFER_WSCALE | OFFERS_CUT) or not g["marks"] & SYN_SEEN
            both = f["offers"] & OFFER_WSCALE and asked
            how = SCALE_SEEN
            scale = i64(f["wscale_option"]) if both else 0
        elif not f["offers"] & OFFER_WSCALE:
            how = SCALE_SEEN
    elif g["marks"] & SYN_ACK and not g["offers"] & (OFFER_WSCALE | OFFERS_CUT):
        how = SCALE_SEEN  # the answer to f's SYN refused scaling
    if how == SCALE_SEEN:
        g["scale"] = scale
        g["scale_how"] = how


@plain
def infer_scale(f, end):
    """Flow f's sender passed the right edge as we read it: the smallest shift that makes it an honest sender."""
    scale = i64(f["scale"])
    raw = i64(f["wnd_raw"])
    flight = diff(end, i64(f["una"]))
    while scale < MAX_SCALE and (raw << scale) < flight:
        scale += 1
    f["scale"] = scale
    f["scale_how"] = SCALE_INFERRED
    f["edge"] = u32(i64(f["una"]) + (raw << scale))


@inlined
def edge_plausible(f):
    """Whether the right edge as we read it may be the real one: at an unproven scale, a window below two segments is
    far more likely a scaled one of which the shift was not seen."""
    return i64(f["scale_how"]) != SCALE_UNKNOWN or i64(f["rwnd_bytes"]) >= 2 * i64(f["mss"])


@inlined
def on_segment(f, g, t, flags, ack, window, new_bytes, advanced):
    window_opened = False
    zero_ended_ns = 0
    if flags & ACK and window == 0 and not flags & (RST | SYN):
        g["zero_windows"] = i64(g["zero_windows"]) + 1
    if flags & SYN:  # two crossing SYNs decide without any ACK
        if i64(g["scale_how"]) != SCALE_SEEN:
            settle_scale(f, g)
        if i64(f["scale_how"]) != SCALE_SEEN:
            settle_scale(g, f)
    # Windows are taken from acceptable ACKs only (RFC 9293 section 3.10.7.4): those that name una, as it is by now.
    if flags & ACK and not flags & RST and ack == i64(g["una"]):
        if i64(g["scale_how"]) != SCALE_SEEN and (f["marks"] | g["marks"]) & SYN_SEEN:
            settle_scale(f, g)
        rwnd = window if flags & SYN else window << i64(g["scale"])
        edge = ack + rwnd
        if not g["edge_valid"] or diff(edge, i64(g["edge"])) > 0:
            g["edge"] = u32(edge)
            g["edge_valid"] = 1
            window_opened = True
        if not flags & SYN:
            g["rwnd_bytes"] = u32(rwnd)
            if i64(g["scale_how"]) != SCALE_UNKNOWN and rwnd > i64(g["rwnd_max_bytes"]):
                g["rwnd_max_bytes"] = u32(rwnd)
            # One more than the value, so that zero stands for none; a zero window is zero at any scale.
            if i64(g["scale_how"]) != SCALE_UNKNOWN or window == 0:
                if i64(g["rwnd_min_bytes"]) == 0 or rwnd + 1 < i64(g["rwnd_min_bytes"]):
                    g["rwnd_min_bytes"] = u32(rwnd + 1)
            if window == 0:
                if i64(g["zero_ns"]) == 0:
                    g["zero_ns"] = t
            elif i64(g["zero_ns"]):
                zero_ended_ns = i64(g["zero_ns"])
                g["zero_total_ns"] += t - zero_ended_ns
                g["zero_ns"] = 0
    if new_bytes and i64(f["scale_how"]) != SCALE_SEEN and f["edge_valid"]:
        over = diff(i64(f["snd_nxt"]), i64(f["edge"]))
        if over > 0 and i64(f["wnd_raw"]):
            infer_scale(f, i64(f["snd_nxt"]))
        elif -i64(f["mss"]) < over <= 0 and i64(f["edge_hits"]) < _HITS and edge_plausible(f):
            f["edge_hits"] = i64(f["edge_hits"]) + 1
            if i64(f["edge_hits"]) == _HITS:
                f["scale_how"] = SCALE_INFERRED
    return window_opened, zero_ended_ns


@plain
def on_window_close(f, row):
    row["rwnd_bytes"] = NULL_INT
    if i64(f["scale_how"]) != SCALE_UNKNOWN or (i64(f["zero_ns"]) and f["edge_valid"]):
        row["rwnd_bytes"] = i64(f["rwnd_bytes"])


@plain
def on_close(f, c, row):
    how = i64(f["scale_how"])
    row["window_scale_provenance"] = 0 if how == SCALE_SEEN else (1 if how == SCALE_INFERRED else 2)
    if how != SCALE_UNKNOWN:
        row["window_scale"] = i64(f["scale"])
    if i64(f["rwnd_min_bytes"]):
        row["rwnd_min_bytes"] = i64(f["rwnd_min_bytes"]) - 1
    if i64(f["rwnd_max_bytes"]) or (how != SCALE_UNKNOWN and i64(f["rwnd_min_bytes"])):
        row["rwnd_max_bytes"] = i64(f["rwnd_max_bytes"])
    row["zero_windows"] = i64(f["zero_windows"])
    row["zero_window_ns"] = f["zero_total_ns"] + (i64(c["last_ns"]) - i64(f["zero_ns"]) if i64(f["zero_ns"]) else 0)
