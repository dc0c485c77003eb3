"""The way from a packet's first byte to its innermost TCP header."""

from ingest.capture.headers.found import (
    BROKEN,
    CUT,
    ETHERNET,
    F_AT,
    F_CAPTURED,
    F_FRAGMENTED,
    F_IP,
    F_LIMIT,
    F_START,
    F_TENANT,
    F_VERSION,
    F_VLAN,
    F_WIRE,
    FRAGMENT,
    IP,
    IP_PROTOCOL,
    IPV4,
    IPV6,
    MALFORMED,
    MAX_LAYERS,
    MPLS,
    MPLS_MULTICAST,
    NOT_TCP,
    PPPOE_SESSION,
    QINQ,
    QINQ_OLD,
    SHORT,
    TCP,
    VLAN,
)
from ingest.capture.headers.ip import LATER_FRAGMENT, ip_extension, ipv4, ipv6
from ingest.capture.headers.link import ethernet, from_link, mpls_label, pppoe, vlan_tag
from ingest.capture.headers.loads import byte
from ingest.capture.headers.tunnels import gre, udp
from schemas.jit import plain


@plain
def locate(raw, start, captured, wire, link, found):
    """Find the innermost TCP header of a packet.

    raw: the block (uint8); the packet's captured bytes are raw[start:captured]; wire: its length as sent.
    found: int64[F_SIZE], filled. Returns TCP, NOT_TCP, FRAGMENT, CUT or MALFORMED.
    """
    found[F_AT] = start
    found[F_START] = start
    found[F_CAPTURED] = captured
    found[F_LIMIT] = start + wire
    found[F_TENANT] = 0
    found[F_VLAN] = 0
    found[F_IP] = -1
    found[F_VERSION] = 0
    found[F_FRAGMENTED] = 0
    found[F_WIRE] = 0
    following = from_link(raw, link, found)
    for _ in range(MAX_LAYERS):
        if following == IP:
            if found[F_CAPTURED] - found[F_AT] < 1:
                following = SHORT
            else:
                version = byte(raw, found[F_AT]) >> 4
                following = IPV4 if version == 4 else IPV6 if version == 6 else BROKEN
        if following == IPV4:
            following = ipv4(raw, found)
        elif following == IPV6:
            following = ipv6(raw, found)
        elif following >= IP_PROTOCOL:
            protocol = following - IP_PROTOCOL
            if protocol == 6:
                return TCP
            if protocol == 17:
                following = udp(raw, found)
            elif protocol == 4:
                following = IPV4
            elif protocol == 41:
                following = IPV6
            elif protocol == 47:
                following = gre(raw, found)
            elif protocol == 137:
                following = MPLS
            else:
                following = ip_extension(raw, protocol, found)
        elif following == ETHERNET:
            following = ethernet(raw, found)
        elif following in (VLAN, QINQ, QINQ_OLD):
            following = vlan_tag(raw, found)
        elif following in (MPLS, MPLS_MULTICAST):
            following = mpls_label(raw, found)
        elif following == PPPOE_SESSION:
            following = pppoe(raw, found)
        elif following == SHORT:
            # Fewer bytes than a header needs: the snap length's doing, unless the packet was no longer as sent.
            return CUT if found[F_LIMIT] > found[F_CAPTURED] else MALFORMED
        elif following == BROKEN:
            return MALFORMED
        elif following == LATER_FRAGMENT:
            return FRAGMENT
        else:
            return NOT_TCP
    return MALFORMED
