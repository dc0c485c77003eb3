"""The pcapng file format (draft-ietf-opsawg-pcapng): the kernel that walks the blocks and reads the packets.

Blocks that change how packets are to be read (section, interface, statistics) are handed to the reader
(``ingest.capture.interfaces``); unknown ones are stepped over.
"""

import numpy as np
import numpy.typing as npt

from ingest.capture.headers.found import F_SIZE
from ingest.capture.headers.loads import be32, file16, file32
from ingest.capture.packet import decode
from ingest.capture.walk import ASIDE, BAD_BLOCK, BAD_INTERFACE, FULL, MAX_BLOCK_BYTES, MORE, TOO_LONG
from schemas.columns import Segments
from schemas.jit import inlined, kernel, plain

SECTION_BLOCK, INTERFACE_BLOCK, OLD_PACKET_BLOCK, SIMPLE_PACKET_BLOCK = 0x0A0D0D0A, 1, 2, 3
STATISTICS_BLOCK, PACKET_BLOCK = 5, 6
ORDER_BIG, ORDER_LITTLE = 0x1A2B3C4D, 0x4D3C2B1A  # the byte-order magic, read as big-endian

# Columns of the int64 array of the section's interfaces.
(
    I_LINK,
    I_TAP,
    I_SNAP,  # snap length, 0: none
    I_MULTIPLY,  # ns per unit, units of at least 1 ns
    I_DIVIDE,  # units per ns otherwise
    I_SHIFT,  # units are 2**-shift s; -1: decimal
    I_UNITS_MAX,  # more units than this are no time the product can hold
    I_OFFSET_NS,
    I_SIZE,
) = range(9)

# Slots of the int64 array of the section's state.
S_BIG, S_INTERFACES, S_LAST_NS, S_SIZE = range(4)


@plain
def binary_time(units, shift):
    """Units of 2**-shift s as ns; the caller has checked that the seconds fit."""
    if shift > 32:
        # Cut to units of 2**-32 s (0.23 ns), which leaves room to multiply.
        units = units >> (shift - 32) if shift - 32 < 63 else np.int64(0)
        shift = 32
    seconds = units >> shift
    return seconds * 1_000_000_000 + (((units - (seconds << shift)) * 1_000_000_000) >> shift)


@inlined
def time_of(high, low, interface):
    """Capture time in Unix ns of the two halves of a time stamp; -1 if it is none."""
    units = (high << 32) | low
    if units < 0 or units > interface[I_UNITS_MAX]:
        return np.int64(-1)
    if interface[I_SHIFT] >= 0:
        return binary_time(units, interface[I_SHIFT]) + interface[I_OFFSET_NS]
    if interface[I_DIVIDE] > 1:
        return units // interface[I_DIVIDE] + interface[I_OFFSET_NS]
    return units * interface[I_MULTIPLY] + interface[I_OFFSET_NS]


@kernel
def walk_pcapng(
    raw: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    section: npt.NDArray[np.int64],
    interfaces: npt.NDArray[np.int64],
    columns: Segments,
    n: int,
    capacity: int,
    tallies: npt.NDArray[np.int64],
    dropped: npt.NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Read blocks from raw[start:stop] into rows n..capacity of the columns.

    raw: uint8. section: int64[S_SIZE]. interfaces: int64[any, I_SIZE]. dropped: int64[taps], counts what old packet
    blocks say was lost before them. Returns (how it ended, see walk; position of the first block not read; next free
    row; bytes of the block there: to have if MORE, to step over if ASIDE).
    """
    found = np.zeros(F_SIZE, np.int64)
    at = start
    while True:
        if stop - at < 12:
            return MORE, at, n, 12
        big = section[S_BIG] != 0
        kind = file32(raw, at, big)
        if kind == SECTION_BLOCK:
            order = be32(raw, at + 8)
            if order not in (ORDER_BIG, ORDER_LITTLE):
                return BAD_BLOCK, at, n, 0
            big = order == ORDER_BIG
        size = file32(raw, at + 4, big)
        if size < 12 or size & 3:
            return BAD_BLOCK, at, n, 0
        if size > MAX_BLOCK_BYTES:
            return TOO_LONG, at, n, 0
        if stop - at < size:
            return MORE, at, n, size
        if file32(raw, at + size - 4, big) != size:
            return BAD_BLOCK, at, n, 0
        if kind in (SECTION_BLOCK, INTERFACE_BLOCK, STATISTICS_BLOCK):
            return ASIDE, at, n, size
        if kind not in (PACKET_BLOCK, SIMPLE_PACKET_BLOCK, OLD_PACKET_BLOCK):
            at += size
            continue
        if n >= capacity:
            return FULL, at, n, 0
        if kind == SIMPLE_PACKET_BLOCK:
            if size < 16:
                return BAD_BLOCK, at, n, 0
            if section[S_INTERFACES] < 1:
                return BAD_INTERFACE, at, n, 0
            interface = interfaces[0]
            data = at + 12
            wire = file32(raw, at + 8, big)
            captured = min(wire, size - 16)
            if interface[I_SNAP] > 0:
                captured = min(captured, interface[I_SNAP])
            time_ns = section[S_LAST_NS]  # it carries no time: that of the packet before it
        else:
            if size < 32:
                return BAD_BLOCK, at, n, 0
            index = file32(raw, at + 8, big) if kind == PACKET_BLOCK else file16(raw, at + 8, big)
            if index >= section[S_INTERFACES]:
                return BAD_INTERFACE, at, n, 0
            interface = interfaces[index]
            data = at + 28
            captured = file32(raw, at + 20, big)
            if captured > size - 32:
                return BAD_BLOCK, at, n, 0
            wire = file32(raw, at + 24, big)
            time_ns = time_of(file32(raw, at + 12, big), file32(raw, at + 16, big), interface)
            section[S_LAST_NS] = time_ns
            if kind == OLD_PACKET_BLOCK:
                lost = file16(raw, at + 10, big)
                if lost != 0xFFFF:
                    dropped[interface[I_TAP]] += lost
        n = decode(raw, data, captured, wire, interface[I_LINK], time_ns, interface[I_TAP], columns, n, tallies, found)
        at += size
