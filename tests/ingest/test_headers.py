"""Each layer by the smallest packet that has it, then any nesting of them."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columns import (
    OPT_ACC_ECN,
    OPT_FAST_OPEN,
    OPT_MPTCP,
    OPT_MSS,
    OPT_SACK,
    OPT_SACK_PERMITTED,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
    SEG_FRAGMENT,
    SEG_IP_ID,
    SEG_IPV6,
    SEG_OPTIONS_CUT,
    TENANT_GENEVE,
    TENANT_GRE,
    TENANT_QINQ,
    TENANT_SHIFT,
    TENANT_VLAN,
    TENANT_VXLAN,
)  # fmt: skip
from schemas.shard import shard_of
from tests.ingest import frames as f
from tests.ingest.reading import read, row


def only(packet, **options):
    """The one segment of a capture of one packet."""
    segments, reader = read(f.pcap([packet], **options))
    assert len(segments.seq) == 1, reader.tally
    assert reader.complete
    return row(segments)


def outcome(packet, **options):
    """What the tally says of a packet that gives no segment."""
    segments, reader = read(f.pcap([packet], **options))
    assert len(segments.seq) == 0
    (tally,) = reader.tally
    assert tally.packets == 1
    return [name for name in ("not_tcp", "fragments", "cut_lost", "malformed") if getattr(tally, name)]


def tenant(kind, identifier):
    return kind << TENANT_SHIFT | identifier


HELLO = f.tcp(b"hello", f.TIMESTAMPS)


def test_every_column_of_a_plain_segment():
    packet = f.ethernet(f.ip4(f.tcp(b"x" * 100, f.TIMESTAMPS, flags=0x1D2, window=321), tos=0xB9, ident=0xFFFE, ttl=7))
    found = only(packet, nano=True, times=[(5, 999_999_999)])
    assert found["time_ns"] == 5_999_999_999
    assert (found["src"], found["src_port"], found["dst"], found["dst_port"]) == (f.A4, 40000, f.B4, 443)
    assert (found["seq"], found["ack"], found["window"], found["flags"]) == (1000, 2000, 321, 0x1D2)
    assert (found["payload_bytes"], found["wire_bytes"]) == (100, 14 + 20 + 32 + 100)
    assert (found["ip_id"], found["ttl"], found["ecn"]) == (0xFFFE, 7, 1)
    assert found["options"] == SEG_IP_ID | OPT_TIMESTAMPS
    assert (found["tsval"], found["tsecr"], found["sack_n"], found["mss"], found["wscale"]) == (111, 222, 0, 0, 0)
    assert (found["tenant"], found["tap"]) == (0, 0)


def test_ipv6_columns_and_shard():
    found = only(f.ethernet(f.ip6(HELLO, traffic_class=0x3, hop_limit=9), 0x86DD))
    assert (found["src"], found["dst"], found["ttl"], found["ecn"]) == (f.A6, f.B6, 9, 3)
    assert found["options"] == SEG_IPV6 | OPT_TIMESTAMPS
    assert (found["payload_bytes"], found["wire_bytes"]) == (5, 14 + 40 + 32 + 5)
    with np.errstate(over="ignore"):
        values = (0, found["src_hi"], found["src_lo"], 40000, found["dst_hi"], found["dst_lo"], 443)
        assert found["shard"] == int(shard_of(*map(np.uint64, values)))


LINKS = {
    "ethernet": (1, f.ethernet, 14),
    "802.3 with SNAP": (
        1, lambda ip, v: f.ethernet(b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", v) + ip, 8 + len(ip)), 22
    ),
    "cooked v1": (113, lambda ip, v: bytes(14) + struct.pack(">H", v) + ip, 16),
    "cooked v2": (276, lambda ip, v: struct.pack(">H", v) + bytes(18) + ip, 20),
    "raw 12": (12, lambda ip, v: ip, 0),
    "raw 14": (14, lambda ip, v: ip, 0),
    "raw 101": (101, lambda ip, v: ip, 0),
    "loopback, little-endian": (0, lambda ip, v: struct.pack("<I", 2 if v == 0x0800 else 30) + ip, 4),
    "loopback, big-endian": (0, lambda ip, v: struct.pack(">I", 2 if v == 0x0800 else 24) + ip, 4),
    "loopback of OpenBSD": (108, lambda ip, v: struct.pack(">I", 2 if v == 0x0800 else 24) + ip, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("version", [4, 6])
def test_link_types(name, version):
    link, wrap, header = LINKS[name]
    ip, ethertype = (f.ip4(HELLO), 0x0800) if version == 4 else (f.ip6(HELLO), 0x86DD)
    found = only(wrap(ip, ethertype), link=link)
    assert (found["payload_bytes"], found["wire_bytes"]) == (5, header + len(ip))
    assert found["src"] == (f.A4 if version == 4 else f.A6)


def test_raw_links_of_one_version():
    assert only(f.ip4(HELLO), link=228)["payload_bytes"] == 5
    assert only(f.ip6(HELLO), link=229)["payload_bytes"] == 5
    assert outcome(f.ip6(HELLO), link=228) == ["malformed"]


PLAIN = f.ip4(HELLO)
INNER = f.ethernet(PLAIN)
ENCAPSULATIONS = {
    "vlan": (f.ethernet(f.vlan(PLAIN, 100), 0x8100), tenant(TENANT_VLAN, 100)),
    "vlan and ipv6": (f.ethernet(f.vlan(f.ip6(HELLO), 4095, 0x86DD), 0x8100), tenant(TENANT_VLAN, 4095)),
    "priority tag": (f.ethernet(f.vlan(PLAIN, 0), 0x8100), 0),
    "priority tag before vlan": (f.ethernet(f.vlan(f.vlan(PLAIN, 5), 0, 0x8100), 0x8100), tenant(TENANT_VLAN, 5)),
    "802.1ad": (
        f.ethernet(f.vlan(f.vlan(PLAIN, 20), 10, 0x8100), 0x88A8), tenant(TENANT_QINQ, 10 << 12 | 20)
    ),
    "qinq of old": (f.ethernet(f.vlan(f.vlan(PLAIN, 2), 1, 0x8100), 0x9100), tenant(TENANT_QINQ, 1 << 12 | 2)),
    "qinq, the customer's tag a priority": (
        f.ethernet(f.vlan(f.vlan(PLAIN, 0), 10, 0x8100), 0x88A8), tenant(TENANT_VLAN, 10)
    ),
    "mpls": (f.ethernet(f.mpls(PLAIN, 16), 0x8847), 0),
    "mpls, three labels, ipv6": (f.ethernet(f.mpls(f.ip6(HELLO), 16, 17, 18), 0x8847), 0),
    "mpls multicast": (f.ethernet(f.mpls(PLAIN, 16), 0x8848), 0),
    "mpls pseudowire": (f.ethernet(f.mpls(f.ethernet(f.vlan(PLAIN, 7), 0x8100), 16), 0x8847), tenant(TENANT_VLAN, 7)),
    "mpls pseudowire, control word": (f.ethernet(f.mpls(bytes(4) + INNER, 16), 0x8847), 0),
    "pppoe": (f.ethernet(f.pppoe(PLAIN), 0x8864), 0),
    "pppoe, ipv6": (f.ethernet(f.pppoe(f.ip6(HELLO), 0x0057), 0x8864), 0),
    "gre": (f.ethernet(f.ip4(f.gre(PLAIN), 47)), 0),
    "gre, all fields": (
        f.ethernet(f.ip4(f.gre(PLAIN, key=1234, checksum=True, sequence=True), 47)), tenant(TENANT_GRE, 1234)
    ),
    "gre, ipv6": (f.ethernet(f.ip4(f.gre(f.ip6(HELLO), 0x86DD), 47)), 0),
    "nvgre": (f.ethernet(f.ip4(f.gre(INNER, 0x6558, key=0x123456 << 8 | 0x99), 47)), tenant(TENANT_GRE, 0x123456)),
    "bridged gre with a small key": (f.ethernet(f.ip4(f.gre(INNER, 0x6558, key=42), 47)), tenant(TENANT_GRE, 42)),
    "erspan I": (f.ethernet(f.ip4(f.gre(INNER, 0x88BE), 47)), 0),
    "erspan II": (f.ethernet(f.ip4(f.gre(bytes(8) + INNER, 0x88BE, sequence=True), 47)), 0),
    "erspan III": (f.ethernet(f.ip4(f.gre(bytes(12) + INNER, 0x22EB, sequence=True), 47)), 0),
    "erspan III with sub-header": (
        f.ethernet(f.ip4(f.gre(bytes(11) + b"\1" + bytes(8) + INNER, 0x22EB, sequence=True), 47)), 0
    ),
    "ip in ip": (f.ethernet(f.ip4(PLAIN, 4)), 0),
    "6in4": (f.ethernet(f.ip4(f.ip6(HELLO), 41)), 0),
    "4in6": (f.ethernet(f.ip6(PLAIN, 4), 0x86DD), 0),
    "mpls in ip": (f.ethernet(f.ip4(f.mpls(PLAIN, 16), 137)), 0),
    "vxlan": (f.ethernet(f.ip4(f.udp(f.vxlan(INNER, 0xABCDEF), 4789), 17)), tenant(TENANT_VXLAN, 0xABCDEF)),
    "vxlan of linux": (f.ethernet(f.ip4(f.udp(f.vxlan(INNER, 1), 8472), 17)), tenant(TENANT_VXLAN, 1)),
    "vxlan over ipv6": (f.ethernet(f.ip6(f.udp(f.vxlan(INNER, 2), 4789), 17), 0x86DD), tenant(TENANT_VXLAN, 2)),
    "vxlan under vlan": (
        f.ethernet(f.vlan(f.ip4(f.udp(f.vxlan(INNER, 3), 4789), 17), 9), 0x8100), tenant(TENANT_VXLAN, 3)
    ),
    "vlan in vxlan": (
        f.ethernet(f.ip4(f.udp(f.vxlan(f.ethernet(f.vlan(PLAIN, 9), 0x8100), 3), 4789), 17)), tenant(TENANT_VLAN, 9)
    ),
    "geneve": (f.ethernet(f.ip4(f.udp(f.geneve(INNER, 77), 6081), 17)), tenant(TENANT_GENEVE, 77)),
    "geneve, options": (
        f.ethernet(f.ip4(f.udp(f.geneve(INNER, 78, options=bytes(12)), 6081), 17)), tenant(TENANT_GENEVE, 78)
    ),
    "geneve, ip": (f.ethernet(f.ip4(f.udp(f.geneve(PLAIN, 79, 0x0800), 6081), 17)), tenant(TENANT_GENEVE, 79)),
    "ipv4 options": (f.ethernet(f.ip4(HELLO, options=bytes([1] * 8))), 0),
    "ipv4 authentication": (f.ethernet(f.ip4(f.authentication(HELLO, 6), 51)), 0),
    "ipv6 hop-by-hop": (f.ethernet(f.ip6(f.extension(HELLO, 6), 0), 0x86DD), 0),
    "ipv6 all extensions": (
        f.ethernet(
            f.ip6(
                f.extension(f.extension(f.fragment6(f.authentication(f.extension(HELLO, 6, 24), 60), 51), 44), 43), 0
            ), 0x86DD,
        ), 0
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENCAPSULATIONS)
def test_encapsulations(name):
    packet, expected = ENCAPSULATIONS[name]
    found = only(packet)
    assert found["tenant"] == expected
    assert (found["payload_bytes"], found["seq"], found["tsecr"]) == (5, 1000, 222)
    assert (found["src_port"], found["dst_port"]) == (40000, 443)
    assert found["src"] in (f.A4, f.A6)
    assert found["wire_bytes"] == len(packet)
    assert found["options"] & (SEG_FRAGMENT | SEG_OPTIONS_CUT) == 0


@pytest.mark.parametrize("name", ENCAPSULATIONS)
def test_padding_is_no_payload_and_snap_lengths_change_nothing(name):
    packet, _ = ENCAPSULATIONS[name]
    whole = only(packet)
    assert only(packet + bytes(20)) == whole
    tcp_header_end = len(packet) - 5
    assert only((packet[:tcp_header_end], len(packet))) == whole
    for captured in range(tcp_header_end):
        segments, reader = read(f.pcap([(packet[:captured], len(packet))]))
        (tally,) = reader.tally
        if captured >= tcp_header_end - len(f.TIMESTAMPS) - 4:  # to the window's end; options not all
            found = row(segments)
            assert found["options"] & SEG_OPTIONS_CUT
            assert tally.cut == 1 and tally.cut_lost == 0
            for same in ("seq", "ack", "window", "flags", "payload_bytes", "wire_bytes", "tenant", "shard"):
                assert found[same] == whole[same]
        else:
            assert len(segments.seq) == 0
            assert tally.cut_lost + tally.not_tcp == 1  # a cut pseudowire cannot be told from what is none


@st.composite
def nestings(draw):
    """(packet, expected tenant, expected inner version) of up to six random layers around a segment."""
    version = draw(st.sampled_from([4, 6]))
    data, kind = (f.ip4(HELLO), 0x0800) if version == 4 else (f.ip6(HELLO), 0x86DD)
    found = 0  # the tenant, decided by the innermost layer that has one
    vlans = []  # tags of the frame being built, innermost first

    def close_frame():
        nonlocal found
        tags = [tag for tag in vlans if tag]
        if not found and tags:
            stacked = len(tags) > 1
            found = tenant(TENANT_QINQ, tags[1] << 12 | tags[0]) if stacked else tenant(TENANT_VLAN, tags[0])
        vlans.clear()

    for _ in range(draw(st.integers(0, 6))):
        layer = draw(st.sampled_from(["vlan", "mpls", "pppoe", "gre", "teb", "ip4", "ip6", "vxlan", "geneve"]))
        if layer == "vlan":
            tag = draw(st.integers(0, 4095))
            data, kind = f.vlan(data, tag, kind), draw(st.sampled_from([0x8100, 0x88A8, 0x9100]))
            vlans.append(tag)
        elif layer == "mpls" and kind in (0x0800, 0x86DD):
            data, kind = f.mpls(data, *draw(st.lists(st.integers(16, 1000), min_size=1, max_size=3))), 0x8847
        elif layer == "pppoe" and kind in (0x0800, 0x86DD):
            data, kind = f.pppoe(data, 0x0021 if kind == 0x0800 else 0x0057), 0x8864
        elif layer in ("ip4", "ip6") and kind in (0x0800, 0x86DD):
            close_frame()
            protocol = 4 if kind == 0x0800 else 41
            data, kind = (f.ip4(data, protocol), 0x0800) if layer == "ip4" else (f.ip6(data, protocol), 0x86DD)
        elif layer == "gre" and kind in (0x0800, 0x86DD):
            close_frame()
            key = draw(st.none() | st.integers(1, 2**20))
            if key is not None and not found:
                found = tenant(TENANT_GRE, key)
            data, kind = f.ip4(f.gre(data, kind, key=key), 47), 0x0800
        elif layer in ("teb", "vxlan", "geneve"):
            close_frame()
            frame, number = f.ethernet(data, kind), draw(st.integers(1, 2**24 - 1))
            if layer == "teb":
                data, named = f.ip4(f.gre(frame, 0x6558), 47), 0
            elif layer == "vxlan":
                data, named = f.ip4(f.udp(f.vxlan(frame, number), 4789), 17), tenant(TENANT_VXLAN, number)
            else:
                data, named = f.ip4(f.udp(f.geneve(frame, number), 6081), 17), tenant(TENANT_GENEVE, number)
            found = found or named
            kind = 0x0800
    close_frame()
    return f.ethernet(data, kind), found, version


@settings(max_examples=300, deadline=None)
@given(nestings())
def test_any_nesting(nesting):
    packet, expected, version = nesting
    found = only(packet)
    assert found["tenant"] == expected
    assert found["src"] == (f.A4 if version == 4 else f.A6)
    assert (found["payload_bytes"], found["wire_bytes"]) == (5, len(packet))


def test_no_nesting_keeps_the_parser():
    packet = PLAIN
    for _ in range(60):
        packet = f.ip4(packet, 4)
    assert outcome(f.ethernet(packet)) == ["malformed"]
    assert outcome(f.ethernet(f.mpls(PLAIN, *range(16, 116)), 0x8847)) == ["malformed"]


def test_fragments_are_counted_and_not_guessed():
    first = only(f.ethernet(f.ip4(HELLO, fragment=0x2000)))
    assert first["options"] & SEG_FRAGMENT and first["payload_bytes"] == 5
    assert outcome(f.ethernet(f.ip4(HELLO, fragment=0x2001))) == ["fragments"]
    assert outcome(f.ethernet(f.ip4(HELLO, fragment=0x0001))) == ["fragments"]
    assert only(f.ethernet(f.ip6(f.fragment6(HELLO, 6, more=True), 44), 0x86DD))["options"] & SEG_FRAGMENT
    assert outcome(f.ethernet(f.ip6(f.fragment6(HELLO, 6, offset=1), 44), 0x86DD)) == ["fragments"]
    # In a tunnel whose own datagrams are fragmented, the inner length is the whole one.
    outer = only(f.ethernet(f.ip4(f.udp(f.vxlan(INNER, 1), 4789), 17, fragment=0x2000)))
    assert outer["options"] & SEG_FRAGMENT == 0


def test_what_is_not_tcp():
    for packet in (
        f.ethernet(f.ip4(f.udp(b"", 53), 17)),
        f.ethernet(f.ip4(bytes(8) + f.ip4(HELLO), 1)),  # a segment quoted by ICMP is not a segment
        f.ethernet(f.ip4(bytes(40), 50)),
        f.ethernet(bytes(46), 0x0806),
        f.ethernet(bytes(46), 46),
        f.ethernet(f.pppoe(bytes(20), 0xC021), 0x8864),
        f.ethernet(f.ip4(f.udp(bytes(8) + INNER, 4789), 17)),  # no network identifier: not VXLAN
    ):
        assert outcome(packet) == ["not_tcp"], packet


def test_impossible_headers_are_malformed():
    for packet in (
        b"",
        f.ethernet(b""),
        f.ethernet(b"\x44" + PLAIN[1:]),
        f.ethernet(b"\x55" + PLAIN[1:]),
        f.ethernet(PLAIN, 0x86DD),
        f.ethernet(f.ip4(HELLO, total=19)),
        f.ethernet(f.ip4(HELLO, total=30)),
        f.ethernet(f.ip4(f.tcp()[:12] + b"\x40" + f.tcp()[13:])),
        f.ethernet(f.ip4(f.tcp()[:12] + b"\x60" + f.tcp()[13:])),
        f.ethernet(f.ip6(HELLO, length=10), 0x86DD),
        f.ethernet(f.ip6(b"\x06\xff" + HELLO, 0), 0x86DD),
        f.ethernet(f.ip4(b"\x00\x00", 47)),
        f.ethernet(f.ip4(f.udp(b"", 4789)[:4], 17)),
    ):
        assert outcome(packet) == ["malformed"], packet


def test_lengths_of_super_segments():
    data = f.tcp(bytes(100_000))
    zero = only(f.ethernet(f.ip4(data, total=0)))
    assert (zero["payload_bytes"], zero["wire_bytes"]) == (100_000, 14 + 20 + 20 + 100_000)
    cut = f.ethernet(f.ip4(data, total=0))
    assert only((cut[:96], len(cut))) == zero
    assert only(f.ethernet(f.ip6(data, length=0), 0x86DD))["payload_bytes"] == 100_000
    jumbo = struct.pack(">BBBBI", 6, 0, 0xC2, 4, 8 + len(data))
    big = f.ethernet(f.ip6(jumbo + data, 0, length=0), 0x86DD)
    assert only(big)["payload_bytes"] == 100_000
    assert only(big + bytes(9))["payload_bytes"] == 100_000
    inner = f.ethernet(f.ip4(f.tcp(bytes(60_000)), total=0))
    assert only(f.ethernet(f.ip4(f.udp(f.vxlan(inner, 1), 4789), 17)))["payload_bytes"] == 60_000


def test_lying_lengths():
    packet = f.ethernet(PLAIN)
    assert only((packet, 0)) == only(packet)  # sent length below the captured one
    assert only((packet, 2**32 - 1)) == only(packet)
    assert outcome((f.ethernet(f.ip4(HELLO, total=0)), 2**32 - 1)) == ["malformed"]
    # An IP length beyond what was sent: no more than that can have arrived.
    assert only(f.ethernet(f.ip4(HELLO, total=1500)))["payload_bytes"] == 5


OPTIONS = {
    "mss": (bytes([2, 4, 5, 180]), OPT_MSS, {"mss": 1460}),
    "window scale": (bytes([1, 3, 3, 14]), OPT_WSCALE, {"wscale": 14}),
    "window scale as sent": (bytes([3, 3, 200]), OPT_WSCALE, {"wscale": 200}),
    "sack permitted": (bytes([4, 2]), OPT_SACK_PERMITTED, {}),
    "timestamps": (bytes([8, 10]) + struct.pack(">II", 7, 9), OPT_TIMESTAMPS, {"tsval": 7, "tsecr": 9}),
    "sack": (bytes([5, 10]) + struct.pack(">II", 1, 2), OPT_SACK, {"sack_n": 1, "sack": [1, 2]}),
    "four sacks": (
        bytes([5, 34]) + struct.pack(">8I", *range(8)), OPT_SACK, {"sack_n": 4, "sack": [0, 1, 2, 3, 4, 5, 6, 7]}
    ),
    "mptcp": (bytes([30, 12]) + bytes(10), OPT_MPTCP, {}),
    "fast open": (bytes([34, 10]) + bytes(8), OPT_FAST_OPEN, {}),
    "fast open, experimental": (bytes([254, 4, 0xF9, 0x89]), OPT_FAST_OPEN, {}),
    "another experiment": (bytes([254, 4, 0xF9, 0x88]), 0, {}),
    "accurate ecn": (bytes([172, 11]) + bytes(9), OPT_ACC_ECN, {}),
    "unknown": (bytes([77, 4, 0, 0]), 0, {}),
    "a syn's": (
        bytes([2, 4, 5, 180, 4, 2, 8, 10]) + struct.pack(">II", 7, 0) + bytes([1, 3, 3, 7]),
        OPT_MSS | OPT_SACK_PERMITTED | OPT_TIMESTAMPS | OPT_WSCALE, {"mss": 1460, "tsval": 7, "tsecr": 0, "wscale": 7},
    ),
    "behind the end": (bytes([0, 2, 4, 5, 180]), 0, {}),
    "length 0": (bytes([2, 0, 5, 180]), SEG_OPTIONS_CUT, {}),
    "length beyond the header": (bytes([1, 1, 1, 1, 8, 10, 0, 0]), SEG_OPTIONS_CUT, {}),
    "no length": (bytes([1, 1, 1, 2]), SEG_OPTIONS_CUT, {}),
    "mss of a wrong length": (bytes([2, 6, 0, 0, 0, 0, 4, 2]), SEG_OPTIONS_CUT | OPT_SACK_PERMITTED, {}),
    "sack of a wrong length": (bytes([5, 12]) + bytes(10), SEG_OPTIONS_CUT, {}),
    "sack of no block": (bytes([5, 2]), SEG_OPTIONS_CUT, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_tcp_options(name):
    option_bytes, bits, values = OPTIONS[name]
    found = only(f.ethernet(f.ip4(f.tcp(b"abc", option_bytes))))
    assert found["options"] == SEG_IP_ID | bits
    expected = {"mss": 0, "wscale": 0, "tsval": 0, "tsecr": 0, "sack_n": 0, "sack": []} | values
    assert {key: found[key] for key in expected} == expected
    assert found["payload_bytes"] == 3
