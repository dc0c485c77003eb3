"""Captured packets into rows of the segment columns: the heart of the reading kernels.

A walk over a file or ring lists where its packets lie (``Scratch.packets``); one loop parses them all. The common
packet is parsed in the loop's body; everything else is looked for by ``headers.layers.locate``.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.capture.headers.found import (
    CUT,
    F_AT,
    F_FRAGMENTED,
    F_IP,
    F_LIMIT,
    F_SIZE,
    F_TENANT,
    F_VERSION,
    F_WIRE,
    FRAGMENT,
    IPV4,
    IPV6,
    MALFORMED,
    NOT_TCP,
    TCP,
    VLAN,
)
from ingest.capture.headers.layers import locate
from ingest.capture.headers.link import LINK_ETHERNET
from ingest.capture.headers.loads import be16, be32, be64, byte
from ingest.capture.headers.tcp import (
    V_MSS,
    V_SACK,
    V_SACK_N,
    V_SIZE,
    V_TSECR,
    V_TSVAL,
    V_WSCALE,
    tcp_options,
)
from ingest.capture.tallies import (
    NO_FIRST_NS,
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
from schemas.columns import (
    OPT_TIMESTAMPS,
    SEG_FRAGMENT,
    SEG_IP_ID,
    SEG_IPV6,
    SEG_OPTIONS_CUT,
    TENANT_SHIFT,
    TENANT_VLAN,
)
from schemas.jit import plain
from schemas.shard import shard_of

# Times that the product works with, so that adding a timer never overflows: 1970 to 2116. Every second count of a
# pcap (32 bits, unsigned) lies below.
TIME_MAX_NS = 1 << 62

# Of a TCP header at least this much must have been captured: ports, sequence numbers, flags and window.
_TCP_NEEDED = 16
_TIMESTAMPS_ALONE = 0x0101080A  # NOP, NOP, kind 8, length 10: the options of nearly every segment (RFC 7323 app. A)
_MAPPED = np.uint64(0xFFFF00000000)


# Columns of `packets`, int64[n, P_SIZE]: where a packet lies in the raw block and what its record says.
P_AT, P_CAPTURED, P_WIRE, P_TIME_NS, P_TAP, P_LINK, P_SIZE = range(7)

# Packets listed before they are parsed: the list stays in the processor's first cache.
BATCH = 256


class Scratch(NamedTuple):
    """Memory that the kernels work in; they allocate none."""

    packets: npt.NDArray[np.int64]  # shape (BATCH, P_SIZE)
    found: npt.NDArray[np.int64]  # F_SIZE
    values: npt.NDArray[np.int64]  # V_SIZE


def new_scratch() -> Scratch:
    """Working memory for one reader."""
    return Scratch(np.zeros((BATCH, P_SIZE), np.int64), np.zeros(F_SIZE, np.int64), np.zeros(V_SIZE, np.int64))


@plain
def parse_packets(raw, count, columns, n, tallies, scratch):
    """Parse the packets listed in scratch.packets[:count] into rows from n on; returns the next free row.

    raw: uint8. columns: Segments with room for `count` more rows. tallies: int64[taps, T_SIZE].
    """
    packets, found, values = scratch
    (
        c_time_ns, c_shard, c_tap, c_tenant, c_src_hi, c_src_lo, c_dst_hi, c_dst_lo, c_src_port, c_dst_port, c_seq,
        c_ack, c_payload_bytes, c_wire_bytes, c_flags, c_window, c_ip_id, c_ttl, c_ecn, c_options, c_mss, c_wscale,
        c_sack_n, c_tsval, c_tsecr, c_sack,
    ) = columns  # fmt: skip
    for i in range(count):
        at = packets[i, P_AT]
        captured = packets[i, P_CAPTURED]
        time_ns = packets[i, P_TIME_NS]
        tap = packets[i, P_TAP]
        end = at + captured
        tallies[tap, T_PACKETS] += 1
        timed = 0 <= time_ns <= TIME_MAX_NS
        if timed:
            if tallies[tap, T_FIRST_NS] == NO_FIRST_NS:
                tallies[tap, T_FIRST_NS] = time_ns
            tallies[tap, T_LAST_NS] = max(tallies[tap, T_LAST_NS], time_ns)

        # Ethernet, perhaps one VLAN tag, IPv4 without options or IPv6 without extensions, TCP: read where it stands.
        # Everything else is looked for.
        outcome = NOT_TCP
        ip = at + 14
        tenant = np.int64(0)
        options = np.int64(0)
        if packets[i, P_LINK] == LINK_ETHERNET and captured >= 54:
            ethertype = be16(raw, at + 12)
            if ethertype == VLAN and captured >= 58 and be16(raw, at + 14) & 0xFFF != 0:
                tenant = (TENANT_VLAN << TENANT_SHIFT) | (be16(raw, at + 14) & 0xFFF)
                ethertype = be16(raw, at + 16)
                ip = at + 18
            if ethertype == IPV4:
                if (
                    byte(raw, ip) == 0x45
                    and byte(raw, ip + 9) == 6
                    and be16(raw, ip + 6) & 0x3FFF == 0
                    and be16(raw, ip + 2) >= 40
                ):
                    outcome = TCP
                    options = np.int64(SEG_IP_ID)
            elif (
                ethertype == IPV6
                and end - ip >= 56
                and byte(raw, ip) >> 4 == 6
                and byte(raw, ip + 6) == 6
                and be16(raw, ip + 4) >= 20
            ):
                outcome = TCP
                options = np.int64(SEG_IPV6)
        if outcome == TCP:
            ipv4 = options == SEG_IP_ID
            tcp = ip + (20 if ipv4 else 40)
            limit = ip + be16(raw, ip + 2) if ipv4 else tcp + be16(raw, ip + 4)
            # No more than was sent can have arrived, whatever the length in the IP header.
            limit = min(limit, at + max(packets[i, P_WIRE], captured))
            wire_bytes = limit - at
        else:
            outcome = locate(raw, at, end, max(packets[i, P_WIRE], captured), packets[i, P_LINK], found)
            ip = found[F_IP]
            tcp = found[F_AT]
            limit = found[F_LIMIT]
            wire_bytes = found[F_WIRE]
            tenant = found[F_TENANT]
            ipv4 = found[F_VERSION] == 4
            options = np.int64(SEG_IP_ID if ipv4 else SEG_IPV6)
            if found[F_FRAGMENTED]:
                options |= SEG_FRAGMENT
        header = np.int64(0)
        if outcome == TCP:
            if limit - tcp < 20:
                outcome = MALFORMED
            elif end - tcp < _TCP_NEEDED:
                outcome = CUT
            else:
                header = (byte(raw, tcp + 12) >> 4) * 4
                if header < 20 or header > limit - tcp:
                    outcome = MALFORMED
        if outcome != TCP or not timed:
            count_other(tallies, tap, outcome)
            continue

        c_mss[n] = 0
        c_wscale[n] = 0
        c_sack_n[n] = 0
        if header == 32 and end - tcp >= 32 and be32(raw, tcp + 20) == _TIMESTAMPS_ALONE:
            c_tsval[n] = be32(raw, tcp + 24)
            c_tsecr[n] = be32(raw, tcp + 28)
            options |= OPT_TIMESTAMPS
        else:
            c_tsval[n] = 0
            c_tsecr[n] = 0
            if header > 20:
                options |= tcp_options(raw, tcp + 20, tcp + header, end, values)
                c_tsval[n] = values[V_TSVAL]
                c_tsecr[n] = values[V_TSECR]
                c_mss[n] = values[V_MSS]
                c_wscale[n] = values[V_WSCALE]
                c_sack_n[n] = values[V_SACK_N]
                for edge in range(2 * values[V_SACK_N]):
                    c_sack[n, edge] = values[V_SACK + edge]
                if options & SEG_OPTIONS_CUT:
                    tallies[tap, T_CUT] += 1

        if ipv4:
            src_hi = np.uint64(0)
            dst_hi = np.uint64(0)
            src_lo = _MAPPED | np.uint64(be32(raw, ip + 12))
            dst_lo = _MAPPED | np.uint64(be32(raw, ip + 16))
            c_ip_id[n] = be16(raw, ip + 4)
            c_ttl[n] = byte(raw, ip + 8)
            c_ecn[n] = byte(raw, ip + 1) & 3
        else:
            src_hi = be64(raw, ip + 8)
            src_lo = be64(raw, ip + 16)
            dst_hi = be64(raw, ip + 24)
            dst_lo = be64(raw, ip + 32)
            c_ip_id[n] = 0
            c_ttl[n] = byte(raw, ip + 7)
            c_ecn[n] = (byte(raw, ip + 1) >> 4) & 3
        src_port = be16(raw, tcp)
        dst_port = be16(raw, tcp + 2)
        c_time_ns[n] = time_ns
        c_tap[n] = tap
        c_tenant[n] = tenant
        c_src_hi[n] = src_hi
        c_src_lo[n] = src_lo
        c_dst_hi[n] = dst_hi
        c_dst_lo[n] = dst_lo
        c_src_port[n] = src_port
        c_dst_port[n] = dst_port
        c_shard[n] = shard_of(
            np.uint64(tenant), src_hi, src_lo, np.uint64(src_port), dst_hi, dst_lo, np.uint64(dst_port)
        )
        c_seq[n] = be32(raw, tcp + 4)
        c_ack[n] = be32(raw, tcp + 8)
        c_payload_bytes[n] = limit - tcp - header
        c_wire_bytes[n] = wire_bytes
        c_flags[n] = be16(raw, tcp + 12) & 0x1FF
        c_window[n] = be16(raw, tcp + 14)
        c_options[n] = options
        tallies[tap, T_SEGMENTS] += 1
        tallies[tap, T_WIRE_BYTES] += wire_bytes
        n += 1
    return n


@plain
def count_other(tallies, tap, outcome):
    """Count a packet that gives no segment."""
    if outcome == NOT_TCP:
        tallies[tap, T_NOT_TCP] += 1
    elif outcome == FRAGMENT:
        tallies[tap, T_FRAGMENTS] += 1
    elif outcome == CUT:
        tallies[tap, T_CUT] += 1
        tallies[tap, T_CUT_LOST] += 1
    else:  # impossible headers, or a segment of an impossible time
        tallies[tap, T_MALFORMED] += 1
