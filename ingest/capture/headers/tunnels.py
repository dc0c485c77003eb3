"""What carries further packets inside IP: GRE (RFC 2784, 2890, 7637), VXLAN (RFC 7348), Geneve (RFC 8926).

ERSPAN, the mirror ports' encapsulation in GRE: draft-foschiano-erspan-03.
"""

from ingest.capture.headers.found import (
    BROKEN,
    ERSPAN_2,
    ERSPAN_3,
    ETHERNET,
    F_AT,
    F_CAPTURED,
    F_LIMIT,
    F_TENANT,
    SHORT,
    STOP,
    TRANSPARENT_BRIDGING,
)
from ingest.capture.headers.link import after_ethertype
from ingest.capture.headers.loads import be16, be32, byte
from schemas.columns import TENANT_GENEVE, TENANT_GRE, TENANT_SHIFT, TENANT_VXLAN
from schemas.jit import plain

UDP_VXLAN, UDP_VXLAN_OLD, UDP_GENEVE = 4789, 8472, 6081  # 8472: Linux before the assignment, still its default

_GRE_CHECKSUM, _GRE_ROUTING, _GRE_KEY, _GRE_SEQUENCE = 0x8000, 0x4000, 0x2000, 0x1000
_TENANT_MASK = (1 << TENANT_SHIFT) - 1
_NVGRE_FIRST = 0x1000  # virtual subnets below are reserved (RFC 7637 section 3.2)


@plain
def gre(raw, found):
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    if found[F_LIMIT] - at < 4:
        return BROKEN
    if have < 4:
        return SHORT
    flags = be16(raw, at)
    protocol = be16(raw, at + 2)
    if flags & 7 or flags & _GRE_ROUTING:  # version 1 carries PPP (RFC 2637); source routing is gone (RFC 2784)
        return STOP
    size = 4
    if flags & _GRE_CHECKSUM:
        size += 4
    if flags & _GRE_KEY:
        if have < size + 4:
            return SHORT
        key = be32(raw, at + size)
        # NVGRE's low 8 bits tell flows apart, not networks. Linux' bridged GRE looks the same, with small keys.
        if protocol == TRANSPARENT_BRIDGING and key >> 8 >= _NVGRE_FIRST:
            key >>= 8
        found[F_TENANT] = (TENANT_GRE << TENANT_SHIFT) | (key & _TENANT_MASK)
        size += 4
    if flags & _GRE_SEQUENCE:
        size += 4
    if protocol == ERSPAN_2:
        size += 8 if flags & _GRE_SEQUENCE else 0  # without a sequence number: type I, which has no header
        protocol = TRANSPARENT_BRIDGING
    elif protocol == ERSPAN_3:
        if have < size + 12:
            return SHORT
        size += 20 if byte(raw, at + size + 11) & 1 else 12  # the last bit: a platform sub-header follows
        protocol = TRANSPARENT_BRIDGING
    if found[F_LIMIT] - at < size:
        return BROKEN
    found[F_AT] = at + size
    return ETHERNET if protocol == TRANSPARENT_BRIDGING else after_ethertype(protocol)


@plain
def udp(raw, found):
    """Tunnels by their destination port: the source port is chosen at random to spread flows."""
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    if found[F_LIMIT] - at < 8:
        return BROKEN
    if have < 4:
        return SHORT
    port = be16(raw, at + 2)
    if port not in (UDP_VXLAN, UDP_VXLAN_OLD, UDP_GENEVE):
        return STOP
    if have < 16:
        return SHORT
    at += 8
    if port == UDP_GENEVE:
        first = byte(raw, at)
        if first >> 6:
            return STOP
        protocol = be16(raw, at + 2)
        size = 8 + (first & 0x3F) * 4
        found[F_TENANT] = (TENANT_GENEVE << TENANT_SHIFT) | (be32(raw, at + 4) >> 8)
    else:
        if byte(raw, at) & 0x08 == 0:  # no network identifier: not VXLAN
            return STOP
        protocol = TRANSPARENT_BRIDGING
        size = 8
        found[F_TENANT] = (TENANT_VXLAN << TENANT_SHIFT) | (be32(raw, at + 4) >> 8)
    if found[F_LIMIT] - at < size:
        return BROKEN
    found[F_AT] = at + size
    return ETHERNET if protocol == TRANSPARENT_BRIDGING else after_ethertype(protocol)
