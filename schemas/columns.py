"""The segment columns: what ingest makes of captured packets and what the inference engine reads.

One :class:`Segments` holds a run of captured TCP segments as parallel numpy arrays, in capture order within each
connection. This is the whole contract between ``ingest`` and ``streams``; the wire coding (``schemas.segment_batch``)
carries the same columns. Absent options are encoded by a bit in ``options``, never guessed.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.jit import inlined, kernel, plain
from schemas.shard import SHARDS, mix64

__all__ = [
    "COLUMNS",
    "SHARDS",
    "Segments",
    "concatenate",
    "empty",
    "inlined",
    "kernel",
    "mix64",
    "plain",
    "rows_of",
    "take",
]

# TCP flags as they stand in the header (RFC 9293; AE: RFC 9768).
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE = (1 << bit for bit in range(9))

# Bits of the `options` column: which values of this segment are present.
OPT_MSS = 1 << 0
OPT_WSCALE = 1 << 1
OPT_SACK_PERMITTED = 1 << 2
OPT_TIMESTAMPS = 1 << 3
OPT_SACK = 1 << 4
OPT_FAST_OPEN = 1 << 5
OPT_MPTCP = 1 << 6
OPT_ACC_ECN = 1 << 7
# ... and facts of the packet that decide what may be concluded from it.
SEG_IP_ID = 1 << 8  # `ip_id` is meaningful (IPv4)
SEG_OPTIONS_CUT = 1 << 9  # the snap length cut the TCP options, or they were malformed: absent does not mean not sent
SEG_IPV6 = 1 << 10
SEG_FRAGMENT = 1 << 11  # first fragment of a fragmented datagram: the payload length is that of the fragment

# Tenant: kind in the top 4 bits, identifier below (innermost VLAN/VNI wins). 0: none.
TENANT_NONE, TENANT_VLAN, TENANT_QINQ, TENANT_VXLAN, TENANT_GENEVE, TENANT_GRE = range(6)
TENANT_SHIFT = 28


class Segments(NamedTuple):
    """Parallel columns of n segments (dtypes in :data:`COLUMNS`).

    Addresses are 16 bytes held as two big-endian 64-bit halves; IPv4 is mapped into IPv6 (``::ffff:a.b.c.d``).
    """

    time_ns: npt.NDArray[np.int64]  # capture time, Unix ns
    shard: npt.NDArray[np.uint16]  # schemas.shard: 0..1023, alike for both directions and all taps
    tap: npt.NDArray[np.uint16]  # index into the batch's list of tap names
    tenant: npt.NDArray[np.uint32]
    src_hi: npt.NDArray[np.uint64]
    src_lo: npt.NDArray[np.uint64]
    dst_hi: npt.NDArray[np.uint64]
    dst_lo: npt.NDArray[np.uint64]
    src_port: npt.NDArray[np.uint16]
    dst_port: npt.NDArray[np.uint16]
    seq: npt.NDArray[np.uint32]
    ack: npt.NDArray[np.uint32]  # as sent; meaningful if flags & ACK
    payload_bytes: npt.NDArray[np.uint32]  # from the IP length, whatever was captured; super-segments whole
    wire_bytes: npt.NDArray[np.uint32]  # link header + length of the outermost IP datagram, without padding
    flags: npt.NDArray[np.uint16]
    window: npt.NDArray[np.uint16]  # raw, unscaled
    ip_id: npt.NDArray[np.uint16]
    ttl: npt.NDArray[np.uint8]
    ecn: npt.NDArray[np.uint8]  # 0 not-ECT, 1 ECT(1), 2 ECT(0), 3 CE
    options: npt.NDArray[np.uint16]  # OPT_* and SEG_* bits
    mss: npt.NDArray[np.uint16]  # valid if OPT_MSS
    wscale: npt.NDArray[np.uint8]  # shift count as sent, valid if OPT_WSCALE
    sack_n: npt.NDArray[np.uint8]  # number of SACK blocks, 0..4
    tsval: npt.NDArray[np.uint32]  # valid if OPT_TIMESTAMPS
    tsecr: npt.NDArray[np.uint32]
    sack: npt.NDArray[np.uint32]  # shape (n, 8): left, right edge of each block; undefined beyond sack_n


COLUMNS: dict[str, np.dtype[np.generic]] = {
    "time_ns": np.dtype("<i8"),
    "shard": np.dtype("<u2"),
    "tap": np.dtype("<u2"),
    "tenant": np.dtype("<u4"),
    "src_hi": np.dtype("<u8"),
    "src_lo": np.dtype("<u8"),
    "dst_hi": np.dtype("<u8"),
    "dst_lo": np.dtype("<u8"),
    "src_port": np.dtype("<u2"),
    "dst_port": np.dtype("<u2"),
    "seq": np.dtype("<u4"),
    "ack": np.dtype("<u4"),
    "payload_bytes": np.dtype("<u4"),
    "wire_bytes": np.dtype("<u4"),
    "flags": np.dtype("<u2"),
    "window": np.dtype("<u2"),
    "ip_id": np.dtype("<u2"),
    "ttl": np.dtype("u1"),
    "ecn": np.dtype("u1"),
    "options": np.dtype("<u2"),
    "mss": np.dtype("<u2"),
    "wscale": np.dtype("u1"),
    "sack_n": np.dtype("u1"),
    "tsval": np.dtype("<u4"),
    "tsecr": np.dtype("<u4"),
    "sack": np.dtype("<u4"),
}


def empty(n: int) -> Segments:
    """Uninitialised columns for n segments."""
    return Segments(*(np.empty((n, 8) if name == "sack" else n, dtype) for name, dtype in COLUMNS.items()))


def rows_of(segments: Segments, start: int, stop: int) -> Segments:
    """Segments start..stop as views on the same memory."""
    parts: list[Any] = [column[start:stop] for column in segments]
    return Segments(*parts)


def take(segments: Segments, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Segments:
    """A copy of the segments that a numpy index or mask selects."""
    parts: list[Any] = [column[index] for column in segments]
    return Segments(*parts)


def concatenate(parts: list[Segments]) -> Segments:
    """One block of several; an empty list gives no segments."""
    if not parts:
        return empty(0)
    return Segments(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
