"""Lifecycle of a connection: opening, establishment, close, reset (RFC 9293 section 3.3.2), seen from outside.

Every segment belongs to the connection of its 5-tuple unless it opens a new incarnation (:func:`opens_anew`): a SYN
whose initial sequence number is not the one that this end used. Two SYNs that cross are one simultaneous open.
"""

from schemas.columns import ACK, FIN, RST, SYN, inlined, plain
from streams.inference.sequence import STARTED, SYN_ACK, SYN_SEEN
from streams.inference.serial import diff, i64, u32
from streams.inference.statistic import Statistic

# c["state"]
FREE, SYN_SENT, SYN_RECEIVED, ESTABLISHED, CLOSED = range(5)
# f["marks"]
SEEN = 1  # a segment of src was seen
# SYN_SEEN = 2, SYN_ACK = 4 (its SYN carried ACK): defined where they are read first, in sequence
FIN_SENT = 8
FIN_ACKED = 16
# c["reset_by"], c["opener"]: end + 1, 0 unknown
REFUSED = 1  # c["facts"]
MIDSTREAM = 2

STATISTIC = Statistic(
    name="lifecycle",
    front=("marks", "fin_seq"),
    connection={"facts": "u1", "reset_by": "u1", "syn_ns": "i8", "established_ns": "i8"},
    flow={"marks": "u1", "isn": "u4", "fin_seq": "u4", "syn_again": "u2"},
    provides=("syn_repeated",),
    flows=("opener", "syn_seen", "syn_retransmissions", "refused", "reset_by"),
)


@plain
def opens_anew(c, f, flags, seq):
    """Whether this segment begins a new incarnation of the 5-tuple of connection c (f: the segment's own flow)."""
    if flags & (SYN | ACK | RST) != SYN:
        return False
    if f["marks"] & SYN_SEEN:
        return i64(f["isn"]) != seq
    if i64(c["state"]) in (SYN_SENT, SYN_RECEIVED):
        return False  # simultaneous open
    if i64(c["state"]) == CLOSED:
        return True
    # Met without its SYN: the same connection if the SYN was merely captured late.
    return not (f["track"] & STARTED) or diff(i64(f["first_seq"]), seq) != 1


@inlined
def on_segment(c, f, g, t, d, flags, seq, ack, payload):
    syn_repeated = False
    state = i64(c["state"])
    marks = i64(f["marks"])
    if flags & SYN:
        if marks & SYN_SEEN:
            if i64(f["isn"]) == seq and (marks & SYN_ACK or not flags & ACK):
                syn_repeated = True
                f["syn_again"] = min(i64(f["syn_again"]) + 1, 65535)
        else:
            marks |= SYN_SEEN
            f["isn"] = u32(seq)
            if i64(c["syn_ns"]) == 0:
                c["syn_ns"] = t
        if flags & ACK:
            marks |= SYN_ACK
            if i64(c["opener"]) == 0:
                c["opener"] = 2 - d  # the receiver of a SYN-ACK opened
            if state == SYN_SENT:
                c["state"] = SYN_RECEIVED
        elif i64(c["opener"]) == 0:
            c["opener"] = d + 1
    if state in (SYN_SENT, SYN_RECEIVED) and not flags & (SYN | RST) and flags & ACK:
        # The opener's ACK of the SYN-ACK, or anything that only an established end sends.
        if i64(c["state"]) == SYN_RECEIVED or g["marks"] & SYN_SEEN or g["track"] & STARTED or payload > 0:
            c["state"] = ESTABLISHED
            c["established_ns"] = t
    if flags & FIN:
        marks |= FIN_SENT
        f["fin_seq"] = u32(seq + payload)
    if flags & ACK and g["marks"] & FIN_SENT and diff(ack, i64(g["fin_seq"])) > 0:
        g["marks"] = i64(g["marks"]) | FIN_ACKED
        if marks & FIN_ACKED:
            c["state"] = CLOSED
    if flags & RST and i64(c["reset_by"]) == 0 and state != CLOSED:
        c["reset_by"] = d + 1
        if state in (SYN_SENT, SYN_RECEIVED) and not (marks & SYN_SEEN and not marks & SYN_ACK):
            c["facts"] = i64(c["facts"]) | REFUSED
        c["state"] = CLOSED
    f["marks"] = marks | SEEN
    return syn_repeated


@plain
def on_close(f, g, c, d, row):
    opener = i64(c["opener"])
    if opener:
        row["opener"] = 1 if opener == d + 1 else 0
    row["syn_seen"] = 1 if f["marks"] & SYN_SEEN else 0
    row["syn_retransmissions"] = i64(f["syn_again"])
    row["refused"] = 1 if c["facts"] & REFUSED else 0
    reset_by = i64(c["reset_by"])
    if reset_by:
        row["reset_by"] = 0 if reset_by == d + 1 else 1
