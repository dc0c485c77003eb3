"""Finding a segment's connection: a keyed hash of its key into an open-addressing table, with a look ahead.

An entry holds the low 31 bits of the identity (its home) above the slot + 1; 0 is empty. Deletion moves what follows
back, so that no graves pile up under a flood.
"""

import numpy as np

from schemas.columns import inlined, mix64, plain
from streams.inference import table as tables
from streams.inference.prefetch import prefetch
from streams.inference.serial import i64


@plain
def identity(table, source, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port):
    """Keyed hash of a connection's key for the index: an outsider cannot aim at its chains."""
    x = mix64(np.uint64(table.scalars[tables.SEED]) ^ a_hi)
    x = mix64(x ^ a_lo)
    x = mix64(x ^ b_hi)
    x = mix64(x ^ b_lo)
    x = mix64(x ^ (np.uint64(a_port) << np.uint64(48)) ^ (np.uint64(b_port) << np.uint64(32)) ^ np.uint64(tenant))
    return mix64(x ^ np.uint64(source))


@plain
def find(table, home, source, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port):
    """The slot of a connection, or -1. `home` is the low 31 bits of its identity."""
    mask = i64(table.lookup.shape[0] - 1)
    at = home & mask
    while True:
        entry = table.lookup[at]
        if entry == 0:
            return i64(-1)
        if entry >> 32 == home:
            slot = (entry & 0xFFFFFFFF) - 1
            c = table.conn[slot]
            if (
                c["a_lo"] == a_lo
                and c["b_lo"] == b_lo
                and i64(c["a_port"]) == a_port
                and i64(c["b_port"]) == b_port
                and c["a_hi"] == a_hi
                and c["b_hi"] == b_hi
                and i64(c["tenant"]) == tenant
                and i64(c["source"]) == source
            ):
                return slot
        at = (at + 1) & mask


@plain
def index_add(table, home, slot):
    """Enter a slot into the index (linear probing)."""
    mask = i64(table.lookup.shape[0] - 1)
    at = home & mask
    while table.lookup[at]:
        at = (at + 1) & mask
    table.lookup[at] = (home << 32) | (slot + 1)


@plain
def index_drop(table, home, slot):
    """Take a slot out of the index; what follows moves back, so that no graves pile up."""
    mask = i64(table.lookup.shape[0] - 1)
    at = home & mask
    while table.lookup[at] != (home << 32) | (slot + 1):
        at = (at + 1) & mask
    hole = at
    while True:
        at = (at + 1) & mask
        entry = table.lookup[at]
        if entry == 0:
            break
        if (at - ((entry >> 32) & mask)) & mask >= (at - hole) & mask:
            table.lookup[hole] = entry
            hole = at
    table.lookup[hole] = 0


@inlined
def backwards(src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port):
    """Whether src is the higher end, b."""
    if src_hi != dst_hi:
        return src_hi > dst_hi
    if src_lo != dst_lo:
        return src_lo > dst_lo
    return src_port > dst_port


@inlined
def home_of(seg, i, source_of_tap, table):
    """The index home of a segment's connection."""
    src_hi, src_lo, src_port = seg.src_hi[i], seg.src_lo[i], i64(seg.src_port[i])
    dst_hi, dst_lo, dst_port = seg.dst_hi[i], seg.dst_lo[i], i64(seg.dst_port[i])
    if backwards(src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port):
        src_hi, dst_hi = dst_hi, src_hi
        src_lo, dst_lo = dst_lo, src_lo
        src_port, dst_port = dst_port, src_port
    source = i64(source_of_tap[seg.tap[i]])
    x = identity(table, source, i64(seg.tenant[i]), src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port)
    return i64(x & np.uint64(0x7FFFFFFF))


@plain
def look_ahead(seg, begin, end, source_of_tap, table):
    """Identities of segments begin..end into table.ahead, and their records on the way into the cache."""
    mask = i64(table.lookup.shape[0] - 1)
    for i in range(begin, end):
        home = home_of(seg, i, source_of_tap, table)
        table.ahead[i - begin] = home
        prefetch(table.lookup, home & mask, i64(0))
    front, hot = i64(table.scalars[tables.FRONT_BYTES]), i64(table.scalars[tables.HOT_BYTES])
    for i in range(begin, end):
        home = table.ahead[i - begin]
        at = home & mask
        entry = table.lookup[at]
        while entry and entry >> 32 != home:
            at = (at + 1) & mask
            entry = table.lookup[at]
        if entry:
            slot = (entry & 0xFFFFFFFF) - 1
            prefetch(table.conn, slot, i64(0))
            prefetch(table.conn, slot, i64(64))
            d = 0
            if backwards(
                seg.src_hi[i], seg.src_lo[i], i64(seg.src_port[i]), seg.dst_hi[i], seg.dst_lo[i], i64(seg.dst_port[i])
            ):
                d = 1
            # The record that the data belongs to: this segment's flow, or for a bare ACK the one that it acknowledges.
            if i64(seg.payload_bytes[i]) == 0:
                d = 1 - d
            for line in range(0, hot, 64):
                prefetch(table.flow, 2 * slot + d, i64(line))
            for line in range(0, front, 64):
                prefetch(table.flow, 2 * slot + 1 - d, i64(line))
