"""The same packets as real pcap bytes, so that a test can go through a file and tshark can read it too.

Ethernet (with a VLAN tag if the tenant is a VLAN), IPv4 or IPv6, TCP with right checksums, payload of zeros.
"""

import ipaddress
import struct
from collections.abc import Iterable

from schemas.columns import TENANT_SHIFT, TENANT_VLAN
from tests.traffic.packets import Packet

SNAP_ALL = 262_144


def ones_complement(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp_bytes(packet: Packet, source: bytes, destination: bytes) -> bytes:
    options = packet.option_bytes()
    header = struct.pack(
        ">HHIIHHHH",
        packet.src_port,
        packet.dst_port,
        packet.seq,
        packet.ack,
        (5 + len(options) // 4) << 12 | packet.flags,
        packet.window,
        0,
        0,
    )
    segment = header + options + bytes(packet.payload_bytes)
    pseudo = source + destination + struct.pack(">II", len(segment), 6)
    checksum = ones_complement(pseudo + segment)
    return segment[:16] + checksum.to_bytes(2, "big") + segment[18:]


def frame_bytes(packet: Packet) -> bytes:
    """The packet as an Ethernet frame. Raises ValueError for what the header's length field cannot say."""
    source, destination = (ipaddress.ip_address(end).packed for end in (packet.src, packet.dst))
    segment = tcp_bytes(packet, source, destination)
    if packet.ipv6:
        if len(segment) > 0xFFFF:
            raise ValueError("longer than an IPv6 datagram without a jumbo option")
        ip = struct.pack(">IHBB", 6 << 28 | packet.ecn << 20, len(segment), 6, packet.ttl) + source + destination
        ether_type = 0x86DD
    else:
        if len(segment) + 20 > 0xFFFF:
            raise ValueError("longer than an IPv4 datagram")
        ip = struct.pack(">BBHHHBBH", 0x45, packet.ecn, 20 + len(segment), packet.ip_id, 0x4000, packet.ttl, 6, 0)
        ip += source + destination
        ip = ip[:10] + ones_complement(ip).to_bytes(2, "big") + ip[12:]
        ether_type = 0x0800
    tag = b""
    if packet.tenant >> TENANT_SHIFT == TENANT_VLAN:
        tag = struct.pack(">HH", 0x8100, packet.tenant & 0xFFF)
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + tag + struct.pack(">H", ether_type) + ip + segment


def pcap_bytes(
    packets: Iterable[Packet], *, snap: int = SNAP_ALL, nanoseconds: bool = True, big: bool = False
) -> bytes:
    """A pcap file of link type Ethernet.

    snap: capture length; nanoseconds: the magic of nanosecond files (else times are cut to microseconds); big: byte
    order of the file's own headers.
    """
    order = ">" if big else "<"
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, 1)]
    for packet in packets:
        frame = frame_bytes(packet)
        seconds, fraction = divmod(packet.time_ns, 1_000_000_000)
        if not nanoseconds:
            fraction //= 1000
        kept = frame[:snap]
        out.append(struct.pack(order + "IIII", seconds, fraction, len(kept), len(frame)) + kept)
    return b"".join(out)
