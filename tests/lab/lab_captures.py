"""What the tests of the laboratory ask a capture: by flow, from the segment columns."""

import ipaddress
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ingest.capture import CaptureReader
from schemas.columns import RST, SYN

FlowKey = tuple[str, int, str, int]


@dataclass
class Seen:
    """What one direction of a connection sent past the tap."""

    syns: int = 0
    resets: int = 0
    payload_bytes: int = 0
    distinct_bytes: int = 0
    largest_bytes: int = 0
    times_ns: list[int] = field(default_factory=list)


def flows_of(pcap: Path) -> dict[FlowKey, Seen]:
    """Every direction in the capture. Sequence numbers must not wrap twice: small captures only."""
    found: dict[FlowKey, Seen] = defaultdict(Seen)
    ranges: dict[FlowKey, list[tuple[int, int]]] = defaultdict(list)
    base: dict[FlowKey, int] = {}
    reader = CaptureReader(pcap)
    for block in reader:
        for n in range(len(block.time_ns)):
            src, dst = _text(block.src_hi[n], block.src_lo[n]), _text(block.dst_hi[n], block.dst_lo[n])
            key = (src, int(block.src_port[n]), dst, int(block.dst_port[n]))
            seen, size = found[key], int(block.payload_bytes[n])
            seen.times_ns.append(int(block.time_ns[n]))
            seen.syns += bool(block.flags[n] & SYN)
            seen.resets += bool(block.flags[n] & RST)
            seen.payload_bytes += size
            seen.largest_bytes = max(seen.largest_bytes, size)
            first = base.setdefault(key, int(block.seq[n]))
            at = (int(block.seq[n]) - first + (1 << 31)) % (1 << 32) - (1 << 31)
            ranges[key].append((at, at + size))
    assert reader.problem is None, reader.problem
    for key, seen in found.items():
        seen.distinct_bytes = _union(ranges[key])
    return dict(found)


def _text(hi: object, lo: object) -> str:
    address = ipaddress.IPv6Address((int(hi) << 64) | int(lo))  # type: ignore[call-overload]
    return str(address.ipv4_mapped or address)


def _union(ranges: list[tuple[int, int]]) -> int:
    total, end = 0, -(1 << 40)
    for start, stop in sorted(ranges):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total
