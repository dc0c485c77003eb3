"""The pcap file format (draft-ietf-opsawg-pcap): file header and the kernel that walks the records."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ingest.capture.freshness import fresh
from ingest.capture.headers.found import MAX_PACKET_BYTES
from ingest.capture.headers.loads import file32
from ingest.capture.packet import BATCH, P_AT, P_CAPTURED, P_LINK, P_TAP, P_TIME_NS, P_WIRE, Scratch, parse_packets
from ingest.capture.walk import FULL, MORE, TOO_LONG
from schemas.columns import Segments
from schemas.jit import kernel

FILE_HEADER_BYTES = 24

_MICRO, _NANO, _MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34  # the last: Linux 2.2's libpcap, longer record headers


@dataclass(frozen=True)
class PcapHeader:
    """What a pcap file says of all its records."""

    big: bool  # byte order of the file
    unit_ns: int  # of the records' fractions of a second
    record_header_bytes: int
    link: int


def read_header(data: bytes) -> PcapHeader | None:
    """The file header in the first 24 bytes; None if they are none."""
    if len(data) < FILE_HEADER_BYTES:
        return None
    for big in (False, True):
        order: Literal["big", "little"] = "big" if big else "little"
        magic = int.from_bytes(data[:4], order)
        if magic in (_MICRO, _NANO, _MODIFIED):
            # The upper half of the field tells of frame check sequences: moot, since lengths come from IP.
            link = int.from_bytes(data[20:24], order) & 0xFFFF
            return PcapHeader(big, 1 if magic == _NANO else 1000, 24 if magic == _MODIFIED else 16, link)
    return None


@kernel
@fresh
def walk_pcap(
    raw: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    big: bool,
    unit_ns: int,
    record_header: int,
    link: int,
    columns: Segments,
    n: int,
    capacity: int,
    tallies: npt.NDArray[np.int64],
    scratch: Scratch,
) -> tuple[int, int, int, int]:
    """Read records from raw[start:stop] into rows n..capacity of the columns, as tap 0.

    raw: uint8. Returns (how it ended: walk.MORE, FULL or TOO_LONG; position of the first record not read;
    next free row; bytes needed from that position on, if MORE).
    """
    packets = scratch.packets
    at = start
    while True:
        count, room = 0, min(BATCH, capacity - n)
        ended, needed = FULL, 0
        while count < room:
            if stop - at < record_header:
                ended, needed = MORE, record_header
                break
            captured = file32(raw, at + 8, big)
            if captured > MAX_PACKET_BYTES:
                ended = TOO_LONG
                break
            if stop - at - record_header < captured:
                ended, needed = MORE, record_header + captured
                break
            packets[count, P_TIME_NS] = file32(raw, at, big) * 1_000_000_000 + file32(raw, at + 4, big) * unit_ns
            packets[count, P_WIRE] = file32(raw, at + 12, big)
            at += record_header
            packets[count, P_AT] = at
            packets[count, P_CAPTURED] = captured
            packets[count, P_TAP] = 0
            packets[count, P_LINK] = link
            at += captured
            count += 1
        n = parse_packets(raw, count, columns, n, tallies, scratch)
        if ended != FULL or n >= capacity:
            return ended, at, n, needed
