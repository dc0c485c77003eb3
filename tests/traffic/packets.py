"""Packets written by hand: the smallest sequence that shows a rule, as :class:`schemas.columns.Segments`.

    talk = Conversation("10.0.0.1:40000", "10.0.0.2:80")
    talk.handshake(0, rtt_ns=10 * MS)
    talk.data(20 * MS, 1448)  # client to server; talk.server.data(...) goes the other way
    talk.data(20 * MS, 1448)
    talk.ack(30 * MS, upto=1448, sack=[(2896, 4344)])
    talk.data(31 * MS, 1448, at=1448)  # sent again
    segments = talk.segments()

Stream positions (`at`, `upto`, `sack`) count payload bytes of the stream from 0: the sequence number of the first
byte is ISN + 1. ``seq=`` and ``ack=`` override with raw 32-bit numbers. Times are ns after `start_ns`.
"""

import ipaddress
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from schemas import columns
from schemas.columns import ACK, FIN, PSH, RST, SYN, Segments
from schemas.shard import shard_of

US, MS, S = 1_000, 1_000_000, 1_000_000_000
START_NS = 1_700_000_000 * S  # a multiple of a second, so that windows start where tests begin

MASK = 0xFFFFFFFF


@dataclass
class Packet:
    """One captured TCP packet; absent options are None, False or empty."""

    time_ns: int
    src: str
    src_port: int
    dst: str
    dst_port: int
    seq: int
    ack: int = 0
    payload_bytes: int = 0
    flags: int = ACK
    window: int = 65535
    mss: int | None = None
    wscale: int | None = None
    sack_permitted: bool = False
    timestamps: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()
    fast_open: bool = False
    mptcp: bool = False
    acc_ecn: bool = False
    ip_id: int = 0
    ttl: int = 64
    ecn: int = 0
    tap: int = 0
    tenant: int = 0
    options_cut: bool = False
    # What a simulation knows and a capture does not say.
    truth: dict[str, Any] = field(default_factory=dict)

    @property
    def ipv6(self) -> bool:
        return ":" in self.src

    @property
    def seq_end(self) -> int:
        """The raw sequence number after this packet (SYN and FIN count one)."""
        return (self.seq + self.payload_bytes + bool(self.flags & SYN) + bool(self.flags & FIN)) & MASK

    def option_bytes(self) -> bytes:
        """The TCP options as they stand in the header, padded to a multiple of four."""
        out = b""
        if self.mss is not None:
            out += b"\x02\x04" + self.mss.to_bytes(2, "big")
        if self.sack_permitted:
            out += b"\x04\x02"
        if self.timestamps is not None:
            out += b"\x08\x0a" + b"".join(value.to_bytes(4, "big") for value in self.timestamps)
        if self.wscale is not None:
            out += b"\x03\x03" + bytes([self.wscale])
        if self.sack:
            edges = b"".join(edge.to_bytes(4, "big") for block in self.sack for edge in block)
            out += bytes([5, 2 + len(edges)]) + edges
        if self.fast_open:
            out += b"\x22\x02"
        if self.mptcp:
            out += b"\x1e\x0c\x01\x81" + bytes(8)  # MP_CAPABLE, version 1, with a key
        if self.acc_ecn:
            out += b"\xac\x05" + bytes(3)
        out += b"\x01" * (-len(out) % 4)
        if len(out) > 40:
            raise ValueError(f"{len(out)} bytes of options do not fit into a TCP header")
        return out

    @property
    def wire_bytes(self) -> int:
        """Ethernet header (with its tag, if the tenant is a VLAN) and IP datagram."""
        tag = 4 if self.tenant >> columns.TENANT_SHIFT == columns.TENANT_VLAN else 0
        return 14 + tag + (40 if self.ipv6 else 20) + 20 + len(self.option_bytes()) + self.payload_bytes

    def option_bits(self) -> int:
        present = {
            columns.OPT_MSS: self.mss is not None,
            columns.OPT_WSCALE: self.wscale is not None,
            columns.OPT_SACK_PERMITTED: self.sack_permitted,
            columns.OPT_TIMESTAMPS: self.timestamps is not None,
            columns.OPT_SACK: bool(self.sack),
            columns.OPT_FAST_OPEN: self.fast_open,
            columns.OPT_MPTCP: self.mptcp,
            columns.OPT_ACC_ECN: self.acc_ecn,
            columns.SEG_IP_ID: not self.ipv6,
            columns.SEG_OPTIONS_CUT: self.options_cut,
            columns.SEG_IPV6: self.ipv6,
        }
        return sum(bit for bit, is_set in present.items() if is_set)


def halves(address: str) -> tuple[int, int]:
    """An address as the two 64-bit halves of the segment columns (IPv4 mapped into IPv6)."""
    parsed = ipaddress.ip_address(address)
    value = int(parsed) if parsed.version == 6 else 0xFFFF_0000_0000 | int(parsed)
    return value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF


def to_segments(packets: Sequence[Packet]) -> Segments:
    """The columns of the packets, in the order given."""
    out = columns.empty(len(packets))
    out.sack[:] = 0
    for i, p in enumerate(packets):
        (src_hi, src_lo), (dst_hi, dst_lo) = halves(p.src), halves(p.dst)
        tsval, tsecr = p.timestamps or (0, 0)
        values = {
            "time_ns": p.time_ns, "tap": p.tap, "tenant": p.tenant,
            "src_hi": src_hi, "src_lo": src_lo, "dst_hi": dst_hi, "dst_lo": dst_lo,
            "src_port": p.src_port, "dst_port": p.dst_port, "seq": p.seq, "ack": p.ack,
            "payload_bytes": p.payload_bytes, "wire_bytes": p.wire_bytes, "flags": p.flags, "window": p.window,
            "ip_id": p.ip_id, "ttl": p.ttl, "ecn": p.ecn, "options": p.option_bits(),
            "mss": p.mss or 0, "wscale": p.wscale or 0, "sack_n": len(p.sack), "tsval": tsval, "tsecr": tsecr,
        }  # fmt: skip
        for name, value in values.items():
            getattr(out, name)[i] = value
        flat = list(itertools.chain.from_iterable(p.sack))
        out.sack[i, : len(flat)] = flat
        key = (p.tenant, src_hi, src_lo, p.src_port, dst_hi, dst_lo, p.dst_port)
        with np.errstate(over="ignore"):
            out.shard[i] = int(shard_of(*(np.uint64(part) for part in key)))
    return out


class Side:
    """One end of a conversation; every method sends one packet and returns it."""

    def __init__(self, address: str, port: int, isn: int, packets: list[Packet], start_ns: int) -> None:
        self.address, self.port, self.isn = address, port, isn
        self.peer: Side = self
        self.sent = 0  # stream position after the highest byte sent, the FIN counted
        self.syn_sent = False
        self.window = 65535
        self.timestamps: int | None = None  # ticks a second; None: no timestamps on later packets
        self.last_tsval = 0
        self.ip_id = 1
        self.defaults: dict[str, Any] = {}  # tap, tenant, ttl, ecn for every packet
        self._packets, self._start_ns = packets, start_ns

    def raw(self, position: int) -> int:
        """The 32-bit sequence number of a position in this side's stream."""
        return (self.isn + 1 + position) & MASK

    def send(self, t_ns: int, payload: int = 0, *, at: int | None = None, upto: int | None = None, flags: int = ACK,
             sack: Iterable[tuple[int, int]] = (), **overrides: Any) -> Packet:  # fmt: skip
        """One packet of this side.

        at: stream position of its first byte (default: after all sent so far); upto: position in the peer's stream that
        it acknowledges (default: all that the peer has sent); sack: blocks as positions in the peer's stream;
        overrides: any field of :class:`Packet`.
        """
        at = self.sent if at is None else at
        upto = self.peer.sent if upto is None else upto
        fields: dict[str, Any] = {
            "seq": self.raw(at),
            "ack": self.peer.raw(upto) if flags & ACK else 0,
            "window": self.window,
            "sack": tuple((self.peer.raw(left), self.peer.raw(right)) for left, right in sack),
            "ip_id": 0 if ":" in self.address else self.ip_id,
            **self.defaults,
        }
        if self.timestamps is not None:
            fields["timestamps"] = (t_ns * self.timestamps // S + 1000 & MASK, self.peer.last_tsval)
        fields.update(overrides)
        packet = Packet(self._start_ns + t_ns, self.address, self.port, self.peer.address, self.peer.port,
                        payload_bytes=payload, flags=flags, **fields)  # fmt: skip
        if packet.timestamps is not None:
            self.last_tsval = packet.timestamps[0]
        self.ip_id = (self.ip_id + 1) & 0xFFFF
        if not flags & SYN and "seq" not in overrides:
            self.sent = max(self.sent, at + payload + bool(flags & FIN))
        self._packets.append(packet)
        return packet

    def syn(self, t_ns: int, **overrides: Any) -> Packet:
        """The opening SYN (again, if it is not the first)."""
        return self.send(t_ns, **{"at": -1, "flags": SYN, "mss": 1460, "sack_permitted": True, "wscale": 7} | overrides)

    def synack(self, t_ns: int, **overrides: Any) -> Packet:
        """The answer to the peer's SYN."""
        return self.syn(t_ns, **{"flags": SYN | ACK, "upto": 0} | overrides)

    def data(self, t_ns: int, payload: int, **overrides: Any) -> Packet:
        """Payload; ``at=`` an earlier position sends it again."""
        return self.send(t_ns, payload, **overrides)

    def push(self, t_ns: int, payload: int, **overrides: Any) -> Packet:
        """Payload with PSH, as at the end of a write."""
        return self.send(t_ns, payload, **{"flags": ACK | PSH} | overrides)

    def ack(self, t_ns: int, upto: int | None = None, **overrides: Any) -> Packet:
        """A pure ACK."""
        return self.send(t_ns, upto=upto, **overrides)

    def fin(self, t_ns: int, payload: int = 0, **overrides: Any) -> Packet:
        return self.send(t_ns, payload, **{"flags": FIN | ACK} | overrides)

    def rst(self, t_ns: int, **overrides: Any) -> Packet:
        return self.send(t_ns, **{"flags": RST | ACK} | overrides)

    def keepalive(self, t_ns: int, payload: int = 0, **overrides: Any) -> Packet:
        """A keep-alive: the byte before the next one, with 0 or 1 byte of payload."""
        return self.send(t_ns, payload, **{"at": self.sent - 1} | overrides)


class Conversation:
    """Both directions of one connection; packets are captured in the order of the calls.

    client, server: ``"10.0.0.1:40000"`` or ``"[2001:db8::1]:40000"``. The short methods send the client's data and the
    server's ACKs; ``.client`` and ``.server`` have all of them.
    """

    def __init__(
        self,
        client: str = "10.0.0.1:40000",
        server: str = "10.0.0.2:80",
        *,
        isn: int = 1_000,
        server_isn: int = 500_000,
        start_ns: int = START_NS,
        tap: int = 0,
        tenant: int = 0,
    ) -> None:
        self.packets: list[Packet] = []
        self.client = Side(*split(client), isn, self.packets, start_ns)
        self.server = Side(*split(server), server_isn, self.packets, start_ns)
        self.client.peer, self.server.peer = self.server, self.client
        self.server.ip_id = 20_001
        for side in (self.client, self.server):
            side.defaults = {"tap": tap, "tenant": tenant}

    def handshake(self, t_ns: int, rtt_ns: int = 10 * MS, **options: Any) -> None:
        """SYN, SYN-ACK half a round trip later, ACK after the other half; options go into both SYNs."""
        self.client.syn(t_ns, **options)
        self.server.synack(t_ns + rtt_ns // 2, **options)
        self.client.ack(t_ns + rtt_ns)

    def syn(self, t_ns: int, **overrides: Any) -> Packet:
        return self.client.syn(t_ns, **overrides)

    def synack(self, t_ns: int, **overrides: Any) -> Packet:
        return self.server.synack(t_ns, **overrides)

    def data(self, t_ns: int, payload: int, **overrides: Any) -> Packet:
        return self.client.data(t_ns, payload, **overrides)

    def push(self, t_ns: int, payload: int, **overrides: Any) -> Packet:
        return self.client.push(t_ns, payload, **overrides)

    def ack(self, t_ns: int, upto: int | None = None, **overrides: Any) -> Packet:
        return self.server.ack(t_ns, upto, **overrides)

    def again(self, packet: Packet, delay_ns: int = 0, **overrides: Any) -> Packet:
        """The same packet captured once more, e.g. at a bridge; overrides make it another."""
        copy = replace(packet, time_ns=packet.time_ns + delay_ns, truth=dict(packet.truth), **overrides)
        self.packets.append(copy)
        return copy

    def close(self, t_ns: int, rtt_ns: int = 10 * MS) -> None:
        """An orderly close by the client."""
        self.client.fin(t_ns)
        self.server.fin(t_ns + rtt_ns // 2)
        self.client.ack(t_ns + rtt_ns)

    def segments(self) -> Segments:
        return to_segments(self.packets)


def split(end: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port``."""
    host, _, port = end.rpartition(":")
    return host.strip("[]"), int(port)


def interleave(*conversations: Conversation | Sequence[Packet]) -> list[Packet]:
    """The packets of several conversations by time; each keeps its own order, also where its clock steps back."""
    queue: list[tuple[int, int, int, Packet]] = []
    for number, talk in enumerate(conversations):
        latest = -(2**62)
        for position, packet in enumerate(talk.packets if isinstance(talk, Conversation) else talk):
            latest = max(latest, packet.time_ns)
            queue.append((latest, number, position, packet))
    return [packet for _, _, _, packet in sorted(queue, key=lambda entry: entry[:3])]
