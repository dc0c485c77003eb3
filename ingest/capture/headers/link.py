"""Link layers: where a capture's packets start, Ethernet, VLAN tags, MPLS, PPPoE.

Link types and their layouts: https://www.tcpdump.org/linktypes.html.
"""

from ingest.capture.headers.found import (
    BROKEN,
    ETHERNET,
    F_AT,
    F_CAPTURED,
    F_LIMIT,
    F_TENANT,
    F_VLAN,
    IP,
    IPV4,
    IPV6,
    SHORT,
    STOP,
    VLAN,
)
from ingest.capture.headers.loads import be16, be32, byte, le32
from schemas.columns import TENANT_QINQ, TENANT_SHIFT, TENANT_VLAN
from schemas.jit import plain

LINK_NULL, LINK_ETHERNET, LINK_LOOP, LINK_SLL, LINK_SLL2 = 0, 1, 108, 113, 276
LINK_RAW = (12, 14, 101)
LINK_RAW_4, LINK_RAW_6 = 228, 229
SUPPORTED_LINKS = frozenset(
    {LINK_NULL, LINK_ETHERNET, LINK_LOOP, LINK_SLL, LINK_SLL2, *LINK_RAW, LINK_RAW_4, LINK_RAW_6}
)

_ETHERTYPE_MIN = 0x0600  # below: a length (IEEE 802.3)
_SNAP_HIGH = 0xAAAA0300  # LLC SAPs AA AA, control 03, first byte of the organisation code 000000
_PPP_IPV4, _PPP_IPV6 = 0x0021, 0x0057


@plain
def from_link(raw, link, found):
    """What the packet starts with; steps over the pseudo-headers of captures that have no Ethernet."""
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    if link == LINK_ETHERNET:
        return ETHERNET
    if link in (12, 14, 101):
        return IP
    if link == LINK_RAW_4:
        return IPV4
    if link == LINK_RAW_6:
        return IPV6
    if link == LINK_SLL:
        if have < 16:
            return SHORT
        found[F_AT] = at + 16
        return after_ethertype(be16(raw, at + 14))
    if link == LINK_SLL2:
        if have < 20:
            return SHORT
        found[F_AT] = at + 20
        return after_ethertype(be16(raw, at))
    if link in (LINK_NULL, LINK_LOOP):
        if have < 4:
            return SHORT
        found[F_AT] = at + 4
        # LINKTYPE_NULL is in the byte order of the machine that captured, which the file does not tell.
        family = be32(raw, at)
        if family > 0xFFFF:
            family = le32(raw, at)
        if family == 2:
            return IPV4
        if family in (10, 23, 24, 28, 30):  # AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin
            return IPV6
        return STOP
    return STOP


@plain
def after_ethertype(ethertype):
    """An ethertype as the next layer; lengths and what is not known carry no TCP."""
    return ethertype if ethertype >= _ETHERTYPE_MIN else STOP


@plain
def ethernet(raw, found):
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    found[F_VLAN] = 0
    if have < 14:
        return SHORT
    ethertype = be16(raw, at + 12)
    if ethertype >= _ETHERTYPE_MIN:
        found[F_AT] = at + 14
        return ethertype
    if have < 22:
        return SHORT
    if be32(raw, at + 14) == _SNAP_HIGH and be16(raw, at + 18) == 0:
        found[F_AT] = at + 22
        return after_ethertype(be16(raw, at + 20))
    return STOP


@plain
def vlan_tag(raw, found):
    """One 802.1Q or 802.1ad tag. VLAN 0 is a priority without a network (802.1Q 9.6)."""
    at = found[F_AT]
    if found[F_CAPTURED] - at < 4:
        return SHORT
    vlan = be16(raw, at) & 0xFFF
    if vlan != 0:
        outer = found[F_VLAN]
        if outer != 0:
            found[F_TENANT] = (TENANT_QINQ << TENANT_SHIFT) | (outer << 12) | vlan
        else:
            found[F_TENANT] = (TENANT_VLAN << TENANT_SHIFT) | vlan
        found[F_VLAN] = vlan
    found[F_AT] = at + 4
    return after_ethertype(be16(raw, at + 2))


@plain
def looks_like_ethernet(raw, at, have):
    """Whether the ethertype position of a frame at `at` holds one that could lead to TCP."""
    if have < 14:
        return False
    ethertype = be16(raw, at + 12)
    return ethertype in (IPV4, IPV6, VLAN)


@plain
def mpls_label(raw, found):
    """One label stack entry (RFC 3032). Below the last one the first nibble tells (RFC 4928): 4, 6, or a pseudowire."""
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    if have < 4:
        return SHORT
    found[F_AT] = at + 4
    if byte(raw, at + 2) & 1 == 0:
        return 0x8847
    if found[F_LIMIT] - at < 5:
        return BROKEN
    if have < 5:
        return SHORT
    version = byte(raw, at + 4) >> 4
    # An address whose first nibble is 4 or 6 makes a frame look like IP (RFC 4928 section 3): IP wins.
    if version in (4, 6):
        return IP
    # A control word before the frame (RFC 4448): its first 16 bits are zero, as no maker's addresses begin.
    if have >= 6 and be16(raw, at + 4) == 0 and looks_like_ethernet(raw, at + 8, have - 8):
        found[F_AT] = at + 8
        return ETHERNET
    if looks_like_ethernet(raw, at + 4, have - 4):
        return ETHERNET
    return STOP


@plain
def pppoe(raw, found):
    """A PPPoE session packet (RFC 2516): six bytes, then PPP's protocol, one byte if compressed (odd; RFC 1661)."""
    at = found[F_AT]
    have = found[F_CAPTURED] - at
    if have < 8:
        return SHORT
    if byte(raw, at) != 0x11:
        return BROKEN
    if byte(raw, at + 1) != 0:
        return STOP
    found[F_LIMIT] = min(found[F_LIMIT], at + 6 + be16(raw, at + 4))
    protocol = byte(raw, at + 6)
    if protocol & 1:
        found[F_AT] = at + 7
    else:
        protocol = be16(raw, at + 6)
        found[F_AT] = at + 8
    if protocol == _PPP_IPV4:
        return IPV4
    if protocol == _PPP_IPV6:
        return IPV6
    return STOP
