"""Packets captured twice at one tap (bridges, "any" captures, mirrors): counted once and left out of everything else.

IPv4: same identification, sequence and acknowledgement numbers, flags and length as one of the last packets of the same
direction. Without a meaningful identification (IPv6, or 0: RFC 6864) a copy is only believed within a quarter of the
smallest round trip, and a pure ACK only where segments with data or SYN have already shown that this tap doubles:
genuine duplicate ACKs look the same.
"""

from schemas.columns import ACK, SEG_IP_ID, inlined, plain
from streams.inference.serial import MASK, i64, u32
from streams.inference.statistic import Statistic

# Copies follow their original at once; deeper history costs state and finds nothing on the captures at hand.
_DEPTH = 4
# A copy's delay where no round trip is known yet: well below any retransmission timer, above any bridge.
_NEAR_NS = 1_000_000

STATISTIC = Statistic(
    name="copies",
    front=("copy_hash", "copy_at", "copy_ns", "doubled", "captured_twice"),
    flow={"copy_hash": f"({_DEPTH},)u4", "copy_at": "u1", "copy_ns": "i8", "doubled": "u1", "captured_twice": "u4"},
    provides=("captured_twice",),
    gate="captured_twice",
    flows=("captured_twice",),
)


@inlined
def signature(seq, ack, payload, flags, ip_id, window):
    """32 bits over what makes two packets one; never 0."""
    x = (seq * 0x9E3779B1) & MASK
    x = ((x ^ (x >> 15) ^ ack) * 0x85EBCA77) & MASK
    x = ((x ^ (x >> 13) ^ (payload << 9) ^ flags) * 0xC2B2AE3D) & MASK
    x = ((x ^ (x >> 16) ^ (ip_id << 16) ^ window) * 0x27D4EB2F) & MASK
    return (x ^ (x >> 15)) | 1


@plain
def is_copy(f, t, sign, identified, bare_ack):
    """Whether a packet with a signature met before is a copy rather than a repetition by the sender."""
    if identified:
        return True
    if bare_ack and not f["doubled"]:
        return False
    limit = i64(f["rtt_min_ns"]) // 4
    return t - i64(f["copy_ns"]) <= (limit if limit > 0 else _NEAR_NS)


@inlined
def on_segment(f, t, seq, ack, payload, flags, options, window, seg, i):
    ip_id = i64(seg.ip_id[i])
    identified = (options & SEG_IP_ID) != 0 and ip_id != 0
    sign = signature(seq, ack if flags & ACK else 0, payload, flags, ip_id, window)
    hashes = f["copy_hash"]
    captured_twice = False
    for k in range(_DEPTH):
        if i64(hashes[k]) == sign:
            captured_twice = True
    if captured_twice:
        bare_ack = payload == 0 and (flags & 0x7) == 0
        captured_twice = is_copy(f, t, sign, identified, bare_ack)
        if captured_twice:
            f["captured_twice"] = i64(f["captured_twice"]) + 1
            f["doubled"] = 1
    if not captured_twice:
        at = i64(f["copy_at"])
        hashes[at] = u32(sign)
        f["copy_at"] = (at + 1) % _DEPTH
        f["copy_ns"] = t
    return captured_twice


@plain
def on_close(f, row):
    row["captured_twice"] = i64(f["captured_twice"])
