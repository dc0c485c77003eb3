"""The smallest packets and capture files, built by hand from the formats' definitions."""

import ipaddress
import struct

TIMESTAMPS = bytes([1, 1, 8, 10]) + struct.pack(">II", 111, 222)

A4, B4 = "10.0.0.1", "10.0.0.2"
A6, B6 = "2001:db8::1", "2001:db8::2"


def tcp(payload=b"", options=b"", *, sport=40000, dport=443, seq=1000, ack=2000, flags=0x10, window=500):
    options += bytes(-len(options) % 4)
    offset = (20 + len(options)) // 4
    return struct.pack(">HHIIHHHH", sport, dport, seq, ack, offset << 12 | flags, window, 0xABCD, 0) + options + payload


def udp(data, dport, sport=50000):
    return struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data


def ip4(data, protocol=6, *, src=A4, dst=B4, total=None, fragment=0x4000, ident=77, ttl=63, tos=0, options=b""):
    header = 20 + len(options)
    return (
        struct.pack(
            ">BBHHHBBH",
            0x40 | header // 4,
            tos,
            header + len(data) if total is None else total,
            ident,
            fragment,
            ttl,
            protocol,
            0,
        )
        + ipaddress.IPv4Address(src).packed
        + ipaddress.IPv4Address(dst).packed
        + options
        + data
    )


def ip6(data, following=6, *, src=A6, dst=B6, length=None, hop_limit=62, traffic_class=0):
    return (
        struct.pack(
            ">IHBB", 6 << 28 | traffic_class << 20, len(data) if length is None else length, following, hop_limit
        )
        + ipaddress.IPv6Address(src).packed
        + ipaddress.IPv6Address(dst).packed
        + data
    )


def extension(data, following, size=8):
    """A hop-by-hop, routing or destination header filled with padding options, in front of `data`."""
    return bytes([following, size // 8 - 1, 1, size - 4]) + bytes(size - 4) + data


def fragment6(data, following, offset=0, more=False):
    return struct.pack(">BBHI", following, 0, offset << 3 | more, 99) + data


def authentication(data, following):
    return struct.pack(">BBHII", following, 4, 0, 1, 1) + bytes(12) + data


def ethernet(data, ethertype=0x0800):
    return bytes.fromhex("020000000001020000000002") + struct.pack(">H", ethertype) + data


def vlan(data, vlan_id, ethertype=0x0800):
    """What follows the ethertype 0x8100 (or 0x88a8, 0x9100)."""
    return struct.pack(">HH", 3 << 13 | vlan_id, ethertype) + data


def mpls(data, *labels):
    stack = b"".join(
        struct.pack(">I", label << 12 | (i == len(labels) - 1) << 8 | 64) for i, label in enumerate(labels)
    )
    return stack + data


def pppoe(data, protocol=0x0021):
    return struct.pack(">BBHHH", 0x11, 0, 1, len(data) + 2, protocol) + data


def gre(data, protocol=0x0800, *, key=None, checksum=False, sequence=False):
    flags = (checksum << 15) | ((key is not None) << 13) | (sequence << 12)
    return (
        struct.pack(">HH", flags, protocol)
        + (bytes(4) if checksum else b"")
        + (struct.pack(">I", key) if key is not None else b"")
        + (bytes(4) if sequence else b"")
        + data
    )


def vxlan(frame, vni):
    return struct.pack(">II", 0x08000000, vni << 8) + frame


def geneve(data, vni, protocol=0x6558, options=b""):
    return struct.pack(">BBHI", len(options) // 4, 0, protocol, vni << 8) + options + data


def pcap(packets, *, link=1, order="<", nano=False, magic=None, snap=262144, times=None):
    """A pcap file; packets: bytes, or (captured bytes, length as sent)."""
    header = struct.pack(order + "IHHiIII", magic or (0xA1B23C4D if nano else 0xA1B2C3D4), 2, 4, 0, 0, snap, link)
    out = [header]
    for i, packet in enumerate(packets):
        data, wire = packet if isinstance(packet, tuple) else (packet, len(packet))
        seconds, fraction = times[i] if times else (1_700_000_000 + i, i)
        out.append(struct.pack(order + "IIII", seconds, fraction, len(data), wire) + data)
    return b"".join(out)


def block(kind, body, order="<"):
    """A pcapng block around a body (padded to 32 bits)."""
    body += bytes(-len(body) % 4)
    size = 12 + len(body)
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def option(code, value, order="<"):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link=1, snap=0, options=b"", order="<"):
    if options:
        options += struct.pack(order + "HH", 0, 0)
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


def enhanced(data, units, index=0, order="<", wire=None, options=b""):
    body = struct.pack(
        order + "IIIII", index, units >> 32, units & 0xFFFFFFFF, len(data), len(data) if wire is None else wire
    )
    return block(6, body + data + bytes(-len(data) % 4) + options, order)


def simple(data, order="<", wire=None):
    return block(3, struct.pack(order + "I", len(data) if wire is None else wire) + data, order)


def old_packet(data, units, index=0, drops=0, order="<"):
    body = struct.pack(order + "HHIIII", index, drops, units >> 32, units & 0xFFFFFFFF, len(data), len(data))
    return block(2, body + data, order)


def statistics(index, dropped, order="<"):
    return block(
        5,
        struct.pack(order + "III", index, 0, 0)
        + option(5, struct.pack(order + "Q", dropped), order)
        + struct.pack(order + "HH", 0, 0),
        order,
    )
