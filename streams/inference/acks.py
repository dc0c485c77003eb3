"""What ACKs say of the flow that they acknowledge: progress, duplicates, bytes that the tap never saw.

A duplicate ACK (RFC 5681 section 2): something is outstanding, no payload, no SYN or FIN, the acknowledgement number
is the greatest seen, and the advertised window is unchanged or (RFC 6675) the segment carries SACK blocks.
An ACK above everything seen proves capture loss: the bytes are unseen, and a hole until they show up late.
"""

from schemas.columns import ACK, FIN, RST, SYN, inlined, plain
from streams.inference.sequence import ACKED, PROBED, SENT, STARTED, SYN_SEEN, open_hole
from streams.inference.serial import FAR, diff, i64, u32
from streams.inference.statistic import Statistic

STATISTIC = Statistic(
    name="acks",
    front=("dup_run", "wnd_raw"),
    extends=("sequence",),
    flow={
        "dup_run": "u2",
        "wnd_raw": "u2",
        "duplicate_acks": "u4",
        "triple_duplicate_acks": "u4",
        "acked_bytes": "i8",
        "w_acked_bytes": "i8",
    },
    provides=("advanced", "duplicate"),
    flows=("duplicate_acks", "triple_duplicate_acks"),
)


@plain
def beyond_top(g, t, ack):
    """An ACK above snd_nxt: returns whether it is believable; the missing bytes become unseen."""
    nxt = i64(g["snd_nxt"])
    over = diff(ack, nxt)
    if over > FAR:
        return False
    if g["track"] & SENT and not (over == 1 and g["track"] & PROBED):
        open_hole(g, nxt, ack, t)
    g["track"] = i64(g["track"]) & ~PROBED
    g["snd_nxt"] = u32(ack)
    return True


@plain
def pass_holes(g, old, new):
    """Bytes in [old, new) that were never seen and are acknowledged now."""
    lefts, rights = g["hole_left"], g["hole_right"]
    for k in range(i64(g["hole_n"])):
        left, right = i64(lefts[k]), i64(rights[k])
        low = old if diff(old, left) > 0 else left
        high = new if diff(new, right) < 0 else right
        if diff(high, low) > 0:
            g["unseen_bytes"] += diff(high, low)


@inlined
def on_segment(g, t, flags, ack, payload, window, seg, i):
    advanced = 0
    duplicate = False
    if flags & ACK and not flags & RST:
        track = i64(g["track"])
        una = i64(g["una"])
        if not track & STARTED:
            g["track"] = track | STARTED | ACKED
            g["snd_nxt"] = u32(ack)
            g["una"] = u32(ack)
            g["first_seq"] = u32(ack)
        else:
            ahead = diff(ack, una)
            if ahead > 0:
                believed = True
                if diff(ack, i64(g["snd_nxt"])) > 0:
                    believed = beyond_top(g, t, ack)
                if believed:
                    if i64(g["hole_n"]):
                        pass_holes(g, una, ack)
                    g["una"] = u32(ack)
                    g["track"] = i64(g["track"]) | ACKED
                    g["dup_run"] = 0
                    advanced = ahead
                    g["w_acked_bytes"] += ahead
                    g["acked_bytes"] += ahead
            elif ahead == 0:
                g["track"] = track | ACKED
                if payload == 0 and not flags & (SYN | FIN) and i64(g["snd_nxt"]) != una:
                    if (track & ACKED and window == i64(g["wnd_raw"])) or i64(seg.sack_n[i]):
                        duplicate = True
                        run = min(i64(g["dup_run"]) + 1, 65535)
                        g["dup_run"] = run
                        g["duplicate_acks"] = i64(g["duplicate_acks"]) + 1
                        if run == 3:
                            g["triple_duplicate_acks"] = i64(g["triple_duplicate_acks"]) + 1
            elif not track & ACKED and ahead > -FAR and not g["marks"] & SYN_SEEN:
                # Met mid-stream: data sent before the capture began is still outstanding.
                g["una"] = u32(ack)
                g["track"] = track | ACKED
        if ack == i64(g["una"]):  # windows are taken from acceptable ACKs only (RFC 9293 section 3.10.7.4)
            g["wnd_raw"] = window
    return advanced, duplicate


@plain
def on_close(f, row):
    row["duplicate_acks"] = i64(f["duplicate_acks"])
    row["triple_duplicate_acks"] = i64(f["triple_duplicate_acks"])
