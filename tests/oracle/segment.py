"""One segment as plain integers, and arithmetic on sequence numbers (RFC 9293, 3.4)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from schemas import columns
from schemas.columns import ACK, FIN, RST, SYN, Segments

MASK = 0xFFFFFFFF
FAR = 1 << 30  # numbers further apart are not of one stream


class End(NamedTuple):
    """Address (both halves) and port of one end."""

    hi: int
    lo: int
    port: int


@dataclass
class Segment:
    time_ns: int
    tap: int
    tenant: int
    src: End
    dst: End
    seq: int
    ack: int
    payload: int
    wire: int
    flags: int
    window: int
    ip_id: int
    ecn: int
    mss: int | None
    wscale: int | None
    sack_permitted: bool
    tsval: int | None
    tsecr: int | None
    sack: list[tuple[int, int]]
    cut: bool
    ipv6: bool

    @property
    def syn(self) -> bool:
        return bool(self.flags & SYN)

    @property
    def fin(self) -> bool:
        return bool(self.flags & FIN)

    @property
    def rst(self) -> bool:
        return bool(self.flags & RST)

    @property
    def has_ack(self) -> bool:
        return bool(self.flags & ACK)

    @property
    def length(self) -> int:
        """Sequence numbers that the segment takes: payload, SYN and FIN; a RST has no sequence effect."""
        return 0 if self.rst else self.payload + self.syn + self.fin

    @property
    def end(self) -> int:
        return (self.seq + self.length) & MASK


def distance(a: int, b: int) -> int:
    """a - b as a signed 32-bit number."""
    d = (a - b) & MASK
    return d - (1 << 32) if d >= 1 << 31 else d


def read(segments: Segments) -> Iterator[Segment]:
    for i in range(len(segments.time_ns)):
        at = {name: getattr(segments, name)[i] for name in columns.COLUMNS}
        sack = [int(edge) for edge in at.pop("sack")]
        v = {name: int(value) for name, value in at.items()}
        has = v["options"]
        stamped = bool(has & columns.OPT_TIMESTAMPS)
        yield Segment(
            v["time_ns"],
            v["tap"],
            v["tenant"],
            End(v["src_hi"], v["src_lo"], v["src_port"]),
            End(v["dst_hi"], v["dst_lo"], v["dst_port"]),
            v["seq"],
            v["ack"],
            v["payload_bytes"],
            v["wire_bytes"],
            v["flags"],
            v["window"],
            v["ip_id"],
            v["ecn"],
            v["mss"] if has & columns.OPT_MSS else None,
            v["wscale"] if has & columns.OPT_WSCALE else None,
            bool(has & columns.OPT_SACK_PERMITTED),
            v["tsval"] if stamped else None,
            v["tsecr"] if stamped else None,
            [(sack[2 * k], sack[2 * k + 1]) for k in range(v["sack_n"])] if has & columns.OPT_SACK else [],
            bool(has & columns.SEG_OPTIONS_CUT),
            bool(has & columns.SEG_IPV6),
        )
