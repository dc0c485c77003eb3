"""The pcapng file format (draft-ietf-opsawg-pcapng): the kernel that walks the blocks and reads the packets.

Blocks that change how packets are to be read (section, interface, statistics) are handed to the reader
(``ingest.capture.interfaces``); unknown ones are stepped over.
"""

import numpy as np
import numpy.typing as npt

from ingest.capture.freshness import fresh
from ingest.capture.headers.loads import be32, file16, file32
from ingest.capture.packet import BATCH, P_AT, P_CAPTURED, P_LINK, P_TAP, P_TIME_NS, P_WIRE, Scratch, parse_packets
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
# S_FIRST_NS: time of the file's first packet, -1: none yet; S_LAST_NS: time of the packet before.
S_BIG, S_INTERFACES, S_FIRST_NS, S_LAST_NS, S_SIZE = range(5)


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
def time_of(high, low, interfaces, index):
    """Capture time in Unix ns of the two halves of a time stamp; -1 if it is none."""
    units = (high << 32) | low
    if units < 0 or units > interfaces[index, I_UNITS_MAX]:
        return np.int64(-1)
    if interfaces[index, I_SHIFT] >= 0:
        return binary_time(units, interfaces[index, I_SHIFT]) + interfaces[index, I_OFFSET_NS]
    if interfaces[index, I_DIVIDE] > 1:
        return units // interfaces[index, I_DIVIDE] + interfaces[index, I_OFFSET_NS]
    return units * interfaces[index, I_MULTIPLY] + interfaces[index, I_OFFSET_NS]


@inlined
def smallest(kind):
    """The least length that a block of this type can have."""
    if kind in (PACKET_BLOCK, OLD_PACKET_BLOCK):
        return 32
    if kind == SECTION_BLOCK:
        return 28
    return 16 if kind == SIMPLE_PACKET_BLOCK else 12


@kernel
@fresh
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
    scratch: Scratch,
) -> tuple[int, int, int, int]:
    """Read blocks from raw[start:stop] into rows n..capacity of the columns.

    raw: uint8. section: int64[S_SIZE]. interfaces: int64[any, I_SIZE]. dropped: int64[taps], counts what old packet
    blocks say was lost before them. Returns (how it ended, see walk; position of the first block not read; next free
    row; bytes of the block there: to have if MORE, to step over if ASIDE).
    """
    packets = scratch.packets
    at = start
    big = section[S_BIG] != 0
    while True:
        count, room = 0, min(BATCH, capacity - n)
        ended, size = FULL, 0
        while count < room:
            if stop - at < 12:
                ended, size = MORE, 12
                break
            kind = file32(raw, at, big)
            order = big
            if kind == SECTION_BLOCK:  # its type reads alike in both orders, its length does not
                magic = be32(raw, at + 8)
                if magic not in (ORDER_BIG, ORDER_LITTLE):
                    ended = BAD_BLOCK
                    break
                order = magic == ORDER_BIG
            size = file32(raw, at + 4, order)
            if size > MAX_BLOCK_BYTES:
                ended = TOO_LONG
                break
            if size < smallest(kind) or size & 3:
                ended = BAD_BLOCK
                break
            if stop - at < size:
                ended = MORE
                break
            if file32(raw, at + size - 4, order) != size:
                ended = BAD_BLOCK
                break
            if kind in (SECTION_BLOCK, INTERFACE_BLOCK, STATISTICS_BLOCK):
                ended = ASIDE
                break
            if kind in (PACKET_BLOCK, OLD_PACKET_BLOCK):
                index = file32(raw, at + 8, big) if kind == PACKET_BLOCK else file16(raw, at + 8, big)
                captured = file32(raw, at + 20, big)
                if index >= section[S_INTERFACES]:
                    ended = BAD_INTERFACE
                    break
                if captured > size - 32:
                    ended = BAD_BLOCK
                    break
                time_ns = time_of(file32(raw, at + 12, big), file32(raw, at + 16, big), interfaces, index)
                section[S_LAST_NS] = time_ns
                if section[S_FIRST_NS] < 0:
                    section[S_FIRST_NS] = time_ns
                packets[count, P_AT] = at + 28
                packets[count, P_CAPTURED] = captured
                packets[count, P_WIRE] = file32(raw, at + 24, big)
                packets[count, P_TIME_NS] = time_ns
                packets[count, P_TAP] = interfaces[index, I_TAP]
                packets[count, P_LINK] = interfaces[index, I_LINK]
                if kind == OLD_PACKET_BLOCK:
                    lost = file16(raw, at + 10, big)
                    if lost != 0xFFFF:
                        dropped[interfaces[index, I_TAP]] += lost
                count += 1
            elif kind == SIMPLE_PACKET_BLOCK:
                if section[S_INTERFACES] < 1:
                    ended = BAD_INTERFACE
                    break
                wire = file32(raw, at + 8, big)
                captured = min(wire, size - 16)
                if interfaces[0, I_SNAP] > 0:
                    captured = min(captured, interfaces[0, I_SNAP])
                packets[count, P_AT] = at + 12
                packets[count, P_CAPTURED] = captured
                packets[count, P_WIRE] = wire
                packets[count, P_TIME_NS] = section[S_LAST_NS]  # it carries no time: that of the packet before it
                packets[count, P_TAP] = interfaces[0, I_TAP]
                packets[count, P_LINK] = interfaces[0, I_LINK]
                count += 1
            at += size
        n = parse_packets(raw, count, columns, n, tallies, scratch)
        if ended != FULL or n >= capacity:
            return ended, at, n, size
