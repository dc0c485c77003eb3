"""The SACK scoreboard of a flow (RFC 2018, RFC 6675) and duplicate SACKs (RFC 2883).

Ranges above `una` that the receiver reported, at most RANGES; beyond that the lowest two are merged with what lies
between them and the flow is marked: what is counted then is an upper bound. A first block below the cumulative ACK, or
within the second block, reports a duplicate: a retransmission was needless, or the network doubled a packet.
"""

from schemas.columns import ACK, RST, inlined, plain
from streams.inference.serial import FAR, diff, i64, u32
from streams.inference.statistic import Statistic

RANGES = 4

STATISTIC = Statistic(
    name="sack",
    front=("sack_n",),
    flow={
        "sack_n": "u1",
        "sack_overflow": "u1",
        "sack_left": f"({RANGES},)u4",
        "sack_right": f"({RANGES},)u4",
        "sacked_bytes": "u4",
    },
    provides=("newly_sacked", "dsack"),
)


@plain
def add_range(g, left, right):
    """Merge [left, right) into the ordered ranges."""
    lefts, rights = g["sack_left"], g["sack_right"]
    n = i64(g["sack_n"])
    kept = 0
    at = 0
    for k in range(n):  # absorb every range that touches the new one, keep the others in order
        a, b = i64(lefts[k]), i64(rights[k])
        if diff(b, left) < 0 or diff(a, right) > 0:
            lefts[kept] = u32(a)
            rights[kept] = u32(b)
            kept += 1
            if diff(b, left) < 0:
                at = kept
        else:
            left = a if diff(a, left) < 0 else left
            right = b if diff(b, right) > 0 else right
    if kept == RANGES:
        g["sack_overflow"] = 1
        if at == 0:  # below all others: let it reach up to the lowest
            lefts[0] = u32(left)
            g["sack_n"] = kept
            return
        rights[0] = rights[1] if at > 1 else u32(right)
        if at > 1:
            for k in range(1, at - 1):
                lefts[k] = lefts[k + 1]
                rights[k] = rights[k + 1]
            lefts[at - 1] = u32(left)
            rights[at - 1] = u32(right)
        g["sack_n"] = kept
        return
    for k in range(kept, at, -1):
        lefts[k] = lefts[k - 1]
        rights[k] = rights[k - 1]
    lefts[at] = u32(left)
    rights[at] = u32(right)
    g["sack_n"] = kept + 1


@plain
def update(g, ack, seg, i):
    """Take the segment's blocks in and what una passed out; returns (newly sacked bytes, whether it has a DSACK)."""
    una = i64(g["una"])
    nxt = i64(g["snd_nxt"])
    before = i64(g["sacked_bytes"])
    dsack = False
    blocks = i64(seg.sack_n[i])
    edges = seg.sack[i]
    for b in range(blocks):
        left, right = i64(edges[2 * b]), i64(edges[2 * b + 1])
        size = diff(right, left)
        if size <= 0 or size > FAR:
            continue
        if b == 0:
            inside = blocks > 1 and diff(left, i64(edges[2])) >= 0 and diff(right, i64(edges[3])) <= 0
            if diff(right, ack) <= 0 or inside:
                dsack = True
                continue
        if diff(left, una) < 0 or diff(right, nxt) > 0:
            continue  # old, or of data never seen
        add_range(g, left, right)
    lefts, rights = g["sack_left"], g["sack_right"]
    kept = 0
    total = 0
    for k in range(i64(g["sack_n"])):
        a, b2 = i64(lefts[k]), i64(rights[k])
        if diff(b2, una) <= 0:
            continue
        if diff(a, una) < 0:
            a = una
        lefts[kept] = u32(a)
        rights[kept] = u32(b2)
        kept += 1
        total += diff(b2, a)
    g["sack_n"] = kept
    g["sacked_bytes"] = u32(total)
    return max(total - before, 0), dsack


@inlined
def on_segment(g, ack, flags, advanced, seg, i):
    newly_sacked = 0
    dsack = False
    if flags & ACK and not flags & RST and (i64(seg.sack_n[i]) or (advanced and i64(g["sack_n"]))):
        newly_sacked, dsack = update(g, ack, seg, i)
    return newly_sacked, dsack
