"""IPv4 (RFC 791) and IPv6 with extension headers (RFC 8200, 4302, 2675)."""

from ingest.capture.headers.found import (
    BROKEN,
    F_AT,
    F_CAPTURED,
    F_FRAGMENTED,
    F_IP,
    F_LIMIT,
    F_START,
    F_VERSION,
    F_WIRE,
    IP_PROTOCOL,
    MAX_PACKET_BYTES,
    SHORT,
    STOP,
)
from ingest.capture.headers.loads import be16, be32, byte
from schemas.jit import plain

# A fragment other than the first.
LATER_FRAGMENT = 7

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION, _MOBILITY, _HIP, _SHIM6 = (
    0,
    43,
    44,
    51,
    60,
    135,
    139,
    140,
)
_JUMBO = 0xC2


@plain
def entered(found, at, version, end):
    """Note an IP header at `at` whose datagram ends at `end`, or with what carries it: no more can have arrived."""
    end = min(end, found[F_LIMIT])
    if found[F_IP] < 0:
        found[F_WIRE] = end - found[F_START]
    found[F_IP] = at
    found[F_VERSION] = version
    found[F_LIMIT] = end
    found[F_FRAGMENTED] = 0


@plain
def ipv4(raw, found):
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    if found[F_LIMIT] - at < 20:
        return BROKEN
    if have < 20:
        return SHORT
    first = byte(raw, at)
    header = (first & 0xF) * 4
    if first >> 4 != 4 or header < 20:
        return BROKEN
    total = be16(raw, at + 2)
    # A length of 0 is a super-segment beyond 64 KiB, or one caught before the card fills it in: all there is counts.
    end = at + total if total != 0 else found[F_LIMIT]
    if end - at < header or end - at > MAX_PACKET_BYTES:
        return BROKEN
    entered(found, at, 4, end)
    if found[F_LIMIT] - at < header:
        return BROKEN
    fragment = be16(raw, at + 6)
    if fragment & 0x1FFF:
        return LATER_FRAGMENT
    if fragment & 0x2000:
        found[F_FRAGMENTED] = 1
    found[F_AT] = at + header
    return IP_PROTOCOL + byte(raw, at + 9)


@plain
def ipv6(raw, found):
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    if found[F_LIMIT] - at < 40:
        return BROKEN
    if have < 40:
        return SHORT
    if byte(raw, at) >> 4 != 6:
        return BROKEN
    length = be16(raw, at + 4)
    following = byte(raw, at + 6)
    # A length of 0: a jumbo payload option says it (RFC 2675), or, as with IPv4, all there is counts.
    end = at + 40 + length if length != 0 else found[F_LIMIT]
    if length == 0 and following == _HOP_BY_HOP:
        jumbo = jumbo_payload(raw, at + 40, found[F_CAPTURED])
        if jumbo > 0:
            end = at + 40 + jumbo
    if end - at > MAX_PACKET_BYTES:
        return BROKEN
    entered(found, at, 6, end)
    found[F_AT] = at + 40
    return IP_PROTOCOL + following


@plain
def jumbo_payload(raw, at, captured):
    """The length in the jumbo payload option of the hop-by-hop header at `at`; 0: none captured."""
    if captured - at < 8:
        return 0
    end = min(captured, at + 8 + byte(raw, at + 1) * 8)
    option = at + 2
    while option + 2 <= end:
        kind = byte(raw, option)
        if kind == 0:
            option += 1
            continue
        size = byte(raw, option + 1)
        if kind == _JUMBO and size == 4 and option + 6 <= end:
            return be32(raw, option + 2)
        option += 2 + size
    return 0


@plain
def ip_extension(raw, protocol, found):
    """Step over one extension header (AH: IPv4's too); STOP if `protocol` is none."""
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    if protocol in (_HOP_BY_HOP, _ROUTING, _DESTINATION, _MOBILITY, _HIP, _SHIM6):
        size = 8
        if have >= 2:
            size = 8 + byte(raw, at + 1) * 8
    elif protocol == _FRAGMENT:
        size = 8
    elif protocol == _AUTHENTICATION:
        size = 12
        if have >= 2:
            size = 8 + byte(raw, at + 1) * 4
    else:
        return STOP
    if found[F_LIMIT] - at < size:
        return BROKEN
    if have < 8:
        return SHORT
    if protocol == _FRAGMENT:
        fragment = be16(raw, at + 2)
        if fragment & 0xFFF8:
            return LATER_FRAGMENT
        if fragment & 1:
            found[F_FRAGMENTED] = 1
    found[F_AT] = at + size
    return IP_PROTOCOL + byte(raw, at)
