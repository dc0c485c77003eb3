"""One captured packet into one row of the segment columns: the heart of the reading kernels."""

import numpy as np

from ingest.capture.headers.found import (
    CUT,
    F_AT,
    F_FRAGMENTED,
    F_IP,
    F_LIMIT,
    F_TENANT,
    F_VERSION,
    F_WIRE,
    FRAGMENT,
    MALFORMED,
    NOT_TCP,
    TCP,
)
from ingest.capture.headers.layers import locate
from ingest.capture.headers.loads import be16, be32, be64, byte
from ingest.capture.headers.tcp import tcp_options
from ingest.capture.tallies import (
    T_CUT,
    T_CUT_LOST,
    T_FIRST_NS,
    T_FRAGMENTS,
    T_LAST_NS,
    T_MALFORMED,
    T_NOT_TCP,
    T_PACKETS,
    T_SEGMENTS,
    T_WIRE_BYTES,
)
from schemas.columns import OPT_TIMESTAMPS, SEG_FRAGMENT, SEG_IP_ID, SEG_IPV6, SEG_OPTIONS_CUT
from schemas.jit import inlined, plain
from schemas.shard import shard_of

# Times that the product works with, so that adding a timer never overflows: 1970 to 2116. Every second count of a
# pcap (32 bits, unsigned) lies below.
TIME_MAX_NS = 1 << 62

# Of a TCP header at least this much must have been captured: ports, sequence numbers, flags and window.
_TCP_NEEDED = 16
_TIMESTAMPS_ALONE = 0x0101080A  # NOP, NOP, kind 8, length 10: the options of nearly every segment (RFC 7323 app. A)
_MAPPED = np.uint64(0xFFFF00000000)


@inlined
def decode(raw, at, captured, wire, link, time_ns, tap, columns, n, tallies, found):
    """Parse the packet raw[at:at + captured], `wire` bytes long as sent; returns the next free row, n or n + 1.

    raw: uint8, at least at + captured long. columns: Segments with room for row n. tallies: int64[taps, T_SIZE].
    found: int64[F_SIZE], scratch.
    """
    counts = tallies[tap]
    counts[T_PACKETS] += 1
    end = at + captured
    timed = 0 <= time_ns <= TIME_MAX_NS
    if timed:
        counts[T_FIRST_NS] = min(counts[T_FIRST_NS], time_ns)
        counts[T_LAST_NS] = max(counts[T_LAST_NS], time_ns)
    outcome = TCP
    # Ethernet, IPv4 without options, TCP, whole: read where it stands. Everything else is looked for.
    if (
        link == 1
        and captured >= 54
        and be16(raw, at + 12) == 0x0800
        and byte(raw, at + 14) == 0x45
        and byte(raw, at + 23) == 6
        and be16(raw, at + 20) & 0x3FFF == 0
        and be16(raw, at + 16) >= 40
    ):
        ip = at + 14
        tcp = at + 34
        limit = ip + be16(raw, at + 16)
        version = 4
        tenant = 0
        wire_bytes = limit - at
        options = SEG_IP_ID
    else:
        outcome = locate(raw, at, end, max(wire, captured), link, found)
        ip = found[F_IP]
        tcp = found[F_AT]
        limit = found[F_LIMIT]
        version = found[F_VERSION]
        tenant = found[F_TENANT]
        wire_bytes = found[F_WIRE]
        options = SEG_IP_ID if version == 4 else SEG_IPV6
        if found[F_FRAGMENTED]:
            options |= SEG_FRAGMENT
    header = 0
    if outcome == TCP:
        outcome = _tcp_outcome(raw, tcp, end, limit)
        if outcome == TCP:
            header = (byte(raw, tcp + 12) >> 4) * 4
    if outcome != TCP or not timed:
        _count_other(counts, outcome, timed)
        return n

    columns.mss[n] = 0
    columns.wscale[n] = 0
    columns.sack_n[n] = 0
    if header == 32 and end - tcp >= 32 and be32(raw, tcp + 20) == _TIMESTAMPS_ALONE:
        columns.tsval[n] = be32(raw, tcp + 24)
        columns.tsecr[n] = be32(raw, tcp + 28)
        options |= OPT_TIMESTAMPS
    else:
        columns.tsval[n] = 0
        columns.tsecr[n] = 0
        if header > 20:
            options |= tcp_options(raw, tcp + 20, tcp + header, end, columns, n)
            if options & SEG_OPTIONS_CUT:
                counts[T_CUT] += 1

    if version == 4:
        src_hi = dst_hi = np.uint64(0)
        src_lo = _MAPPED | np.uint64(be32(raw, ip + 12))
        dst_lo = _MAPPED | np.uint64(be32(raw, ip + 16))
        columns.ip_id[n] = be16(raw, ip + 4)
        columns.ttl[n] = byte(raw, ip + 8)
        columns.ecn[n] = byte(raw, ip + 1) & 3
    else:
        src_hi = be64(raw, ip + 8)
        src_lo = be64(raw, ip + 16)
        dst_hi = be64(raw, ip + 24)
        dst_lo = be64(raw, ip + 32)
        columns.ip_id[n] = 0
        columns.ttl[n] = byte(raw, ip + 7)
        columns.ecn[n] = (byte(raw, ip + 1) >> 4) & 3
    src_port = be16(raw, tcp)
    dst_port = be16(raw, tcp + 2)
    columns.time_ns[n] = time_ns
    columns.tap[n] = tap
    columns.tenant[n] = tenant
    columns.src_hi[n] = src_hi
    columns.src_lo[n] = src_lo
    columns.dst_hi[n] = dst_hi
    columns.dst_lo[n] = dst_lo
    columns.src_port[n] = src_port
    columns.dst_port[n] = dst_port
    columns.shard[n] = shard_of(
        np.uint64(tenant), src_hi, src_lo, np.uint64(src_port), dst_hi, dst_lo, np.uint64(dst_port)
    )
    columns.seq[n] = be32(raw, tcp + 4)
    columns.ack[n] = be32(raw, tcp + 8)
    columns.payload_bytes[n] = limit - tcp - header
    columns.wire_bytes[n] = wire_bytes
    columns.flags[n] = be16(raw, tcp + 12) & 0x1FF
    columns.window[n] = be16(raw, tcp + 14)
    columns.options[n] = options
    counts[T_SEGMENTS] += 1
    counts[T_WIRE_BYTES] += wire_bytes
    return n + 1


@inlined
def _tcp_outcome(raw, tcp, end, limit):
    """Whether the TCP header at `tcp` is of use: TCP, CUT or MALFORMED."""
    if limit - tcp < 20:
        return MALFORMED
    if end - tcp < _TCP_NEEDED:
        return CUT
    header = (byte(raw, tcp + 12) >> 4) * 4
    if header < 20 or header > limit - tcp:
        return MALFORMED
    return TCP


@plain
def _count_other(counts, outcome, timed):
    """Count a packet that gives no segment."""
    if outcome == NOT_TCP:
        counts[T_NOT_TCP] += 1
    elif outcome == FRAGMENT:
        counts[T_FRAGMENTS] += 1
    elif outcome == CUT:
        counts[T_CUT] += 1
        counts[T_CUT_LOST] += 1
    elif outcome == MALFORMED or not timed:
        counts[T_MALFORMED] += 1
