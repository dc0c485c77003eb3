"""The kernels that turn segments into byte planes; what the planes mean: ``segment_batch_coding``."""

from typing import Any

import numpy as np

from schemas.columns import OPT_MSS, OPT_SACK, OPT_TIMESTAMPS, OPT_WSCALE, SEG_IP_ID
from schemas.jit import inlined, kernel, plain
from schemas.segment_batch_coding import (
    ACK,
    BAD_SACK,
    ECN,
    FLAGS,
    HEADER,
    IP_ID,
    MAX_SACK_BLOCKS,
    OPTIONS,
    PAYLOAD,
    RESIDUALS,
    SEQ,
    TIME_WIDTH,
    TSECR,
    TSVAL,
    TTL,
    WINDOW,
    zigzag,
)
from schemas.shard import SHARDS

_Z0 = np.uint64(0)
_Z1 = np.uint64(1)
_Z63 = np.uint64(63)
_S33 = np.uint64(33)
_BYTE = np.uint64(0xFF)
_HASH = np.uint64(0x9E3779B97F4A7C15)


@kernel
def group(
    s: Any,
    rows: Any,
    table: Any,
    scratch: Any,
    first_row: Any,
    run_length: Any,
    starts: Any,
    capture_order: Any,
    direction: Any,
    run_order: Any,
) -> Any:
    """Order `rows` of the segments `s` by (shard, connection), capture order kept within a connection.

    rows: uint32 (n), capture order within each connection. table: int32, a power of two at least twice n, all -1.
    scratch: connection_of int32 (n), direction_of uint8 (n), found_row uint32 (n), found_length uint32 (2 n), place
    int64 (n), cursor int64 (3 n), shards int64 (SHARDS + 1). For the C connections in their final order first_row gets
    the row whose src is end a, run_length (uint32, 2 C) the numbers of segments that a and b sent and starts (int64,
    2 C) where those runs begin. capture_order, direction (n): the rows and whether a (0) or b (1) sent them; run_order
    (n): the rows by run. Returns C.
    """
    connection_of, direction_of, found_row, found_length, place, cursor, shards = scratch
    n = len(rows)
    shards[:] = 0
    found = _find(s, rows, table, connection_of, direction_of, found_row, found_length, shards)
    for shard in range(SHARDS):
        shards[shard + 1] += shards[shard]
    for c in range(found):
        shard = int(s.shard[np.uint64(found_row[c])]) & (SHARDS - 1)
        final = shards[shard]
        shards[shard] += 1
        place[c] = final
        first_row[final] = found_row[c]
        run_length[2 * final] = found_length[2 * c]
        run_length[2 * final + 1] = found_length[2 * c + 1]
    total = 0
    for run in range(2 * found):
        starts[run] = total
        total += int(run_length[run])
    for c in range(found):  # by connection as found: the next place in capture order, in run a, in run b
        cursor[3 * c] = starts[2 * place[c]]
        cursor[3 * c + 1] = starts[2 * place[c]]
        cursor[3 * c + 2] = starts[2 * place[c] + 1]
    for j in range(n):
        both = np.uint64(3 * int(connection_of[j]))
        sender = np.uint64(3 * int(connection_of[j]) + 1 + int(direction_of[j]))
        at, at_run = np.uint64(cursor[both]), np.uint64(cursor[sender])
        cursor[both] += 1
        cursor[sender] += 1
        capture_order[at] = rows[j]
        direction[at] = direction_of[j]
        run_order[at_run] = rows[j]
    return found


@plain
def _find(s, rows, table, connection_of, direction_of, found_row, found_length, shards):
    """Number the connections as they are first seen; shards[k + 1] counts those of shard k. Returns how many."""
    mask = len(table) - 1
    found = 0
    for j in range(len(rows)):
        i = np.uint64(rows[j])  # unsigned: numba adds a branch for negative indices to every access otherwise
        src_lo, dst_lo, src_hi, dst_hi = s.src_lo[i], s.dst_lo[i], s.src_hi[i], s.dst_hi[i]
        src_port, dst_port = int(s.src_port[i]), int(s.dst_port[i])
        network = (int(s.tenant[i]) << 16) | int(s.tap[i])
        # Not the shard's hash: the order within a batch needs speed only. Crafted addresses cost n**2 / 2 compares.
        hash_ = (src_lo + dst_lo) ^ (src_hi + dst_hi) ^ np.uint64(src_port * dst_port + (int(s.shard[i]) << 32))
        slot = int((hash_ * _HASH) >> _S33) & mask
        while True:
            c = int(table[np.uint64(slot)])
            if c < 0:
                c = found
                found += 1
                table[np.uint64(slot)] = np.int32(c)
                found_row[c] = rows[j]
                found_length[2 * c] = np.uint32(0)
                found_length[2 * c + 1] = np.uint32(0)
                shards[(int(s.shard[i]) & (SHARDS - 1)) + 1] += 1
                reverse = False
                break
            f = np.uint64(found_row[np.uint64(c)])
            f_src_lo, f_dst_lo, f_src_hi, f_dst_hi = s.src_lo[f], s.dst_lo[f], s.src_hi[f], s.dst_hi[f]
            f_src_port, f_dst_port = int(s.src_port[f]), int(s.dst_port[f])
            other = network ^ ((int(s.tenant[f]) << 16) | int(s.tap[f]))
            # All compares at once: one branch that is nearly always taken, instead of twelve.
            along = (src_lo ^ f_src_lo) | (dst_lo ^ f_dst_lo) | (src_hi ^ f_src_hi) | (dst_hi ^ f_dst_hi)
            along |= np.uint64(other | (src_port ^ f_src_port) | (dst_port ^ f_dst_port))
            against = (src_lo ^ f_dst_lo) | (dst_lo ^ f_src_lo) | (src_hi ^ f_dst_hi) | (dst_hi ^ f_src_hi)
            against |= np.uint64(other | (src_port ^ f_dst_port) | (dst_port ^ f_src_port))
            reverse = along != _Z0
            if not (reverse & (against != _Z0)):
                break
            slot = (slot + 1) & mask
        connection_of[j] = np.int32(c)
        direction_of[j] = np.uint8(reverse)
        found_length[np.uint64(2 * c + int(reverse))] += np.uint32(1)
    return found


@plain
def _gather(column, order, out):
    """out[j] = column[order[j]] as uint32."""
    for j in range(len(order)):
        out[j] = np.uint32(column[np.uint64(order[j])])


@plain
def _store(code, starts, values, firsts, widths, column, planes, at):
    """Take the runs' first values apart and write the column's planes from `at` on; returns where they end."""
    n = len(code)
    for run in range(len(starts)):
        start = starts[run]
        firsts[column, run] = np.uint32(0)
        if start < n and (run + 1 == len(starts) or start < starts[run + 1]):
            firsts[column, run] = values[start]
            code[start] = np.uint32(0)
    seen = np.uint32(0)
    for j in range(n):
        seen |= code[j]
    width = 0
    while int(seen) >> (8 * width):
        plane = planes[at : at + n]
        shift = np.uint32(8 * width)
        for j in range(n):
            plane[j] = np.uint8((code[j] >> shift) & np.uint32(0xFF))
        at += n
        width += 1
    widths[column] = width
    return at


@inlined
def _difference(value, code, bits):
    code[0] = np.uint32(0)
    for j in range(1, len(value)):
        code[j] = np.uint32(zigzag(int(value[j]) - int(value[j - 1]), bits))


@inlined
def _change(value, code):
    code[0] = np.uint32(0)
    for j in range(1, len(value)):
        code[j] = np.uint32(value[j] ^ value[j - 1])


@plain
def _code_columns(s, order, starts, firsts, value, other, options, code, widths, planes):
    """Code every column but time of the segments in run order.

    order: uint32 (n); starts: int64 (2 C), where each run begins; firsts: uint32 (RESIDUALS, 2 C), filled. value,
    other, options, code: int64 (n), scratch. planes: uint8, room for n * sum(RESIDUAL_WIDTH) bytes; widths: int64
    (RESIDUALS), the number of planes of each. Returns the number of bytes written.
    """
    n = len(order)
    payload_bytes, wire_bytes = s.payload_bytes, s.wire_bytes
    _gather(s.options, order, options)
    _gather(s.flags, order, other)
    _gather(s.seq, order, value)
    at = 0
    # `other` becomes what follows each segment: seq + payload + SYN + FIN.
    for j in range(n):
        i = np.uint64(order[j])
        flags = int(other[j])
        after = int(value[j]) + int(payload_bytes[i]) + (flags & 1) + ((flags >> 1) & 1)
        other[j] = np.uint32(after & 0xFFFFFFFF)
    code[0] = np.uint32(0)
    for j in range(1, n):
        code[j] = np.uint32(zigzag(int(value[j]) - int(other[j - 1]), 32))
    at = _store(code, starts, value, firsts, widths, SEQ, planes, at)
    _gather(s.ack, order, value)
    _difference(value, code, 32)
    at = _store(code, starts, value, firsts, widths, ACK, planes, at)
    _gather(s.payload_bytes, order, value)
    _difference(value, code, 32)
    at = _store(code, starts, value, firsts, widths, PAYLOAD, planes, at)
    for j in range(n):
        value[j] = np.uint32((int(wire_bytes[np.uint64(order[j])]) - int(value[j])) & 0xFFFFFFFF)
    _difference(value, code, 32)
    at = _store(code, starts, value, firsts, widths, HEADER, planes, at)
    _gather(s.flags, order, value)
    _change(value, code)
    at = _store(code, starts, value, firsts, widths, FLAGS, planes, at)
    _gather(s.ecn, order, value)
    _change(value, code)
    at = _store(code, starts, value, firsts, widths, ECN, planes, at)
    _gather(s.window, order, value)
    _difference(value, code, 16)
    at = _store(code, starts, value, firsts, widths, WINDOW, planes, at)
    _gather(s.ip_id, order, value)
    for j in range(n):
        value[j] = value[j] if int(options[j]) & SEG_IP_ID else np.uint32(0)
    code[0] = np.uint32(0)
    for j in range(1, n):
        step = 1 if int(options[j - 1]) & SEG_IP_ID else 0
        code[j] = np.uint32(zigzag(int(value[j]) - int(value[j - 1]) - step, 16))
    at = _store(code, starts, value, firsts, widths, IP_ID, planes, at)
    _gather(s.ttl, order, value)
    _change(value, code)
    at = _store(code, starts, value, firsts, widths, TTL, planes, at)
    _change(options, code)
    at = _store(code, starts, options, firsts, widths, OPTIONS, planes, at)
    _gather(s.tsval, order, value)
    for j in range(n):
        value[j] = value[j] if int(options[j]) & OPT_TIMESTAMPS else np.uint32(0)
    _difference(value, code, 32)
    at = _store(code, starts, value, firsts, widths, TSVAL, planes, at)
    _gather(s.tsecr, order, value)
    for j in range(n):
        value[j] = value[j] if int(options[j]) & OPT_TIMESTAMPS else np.uint32(0)
    _difference(value, code, 32)
    return _store(code, starts, value, firsts, widths, TSECR, planes, at)


@plain
def _code_time(time_ns, order, base, code, planes):
    """Write the planes of capture times, `base` and `code` (scratch, n) uint64; returns their number."""
    n = len(order)
    seen = _Z0
    before = base
    for j in range(n):
        now = np.uint64(time_ns[np.uint64(order[j])])
        step = now - before
        before = now
        step = (step << _Z1) ^ (_Z0 - (step >> _Z63))
        code[j] = step
        seen |= step
    width = 0
    while width < TIME_WIDTH and (seen >> np.uint64(8 * width)) != _Z0:
        plane = planes[width * n : (width + 1) * n]
        shift = np.uint64(8 * width)
        for j in range(n):
            plane[j] = np.uint8((code[j] >> shift) & _BYTE)
        width += 1
    return width


@plain
def _list_options(s, order, all_options, mss, wscale, sack_n, sack, lengths):
    """List the values of the options that few segments carry, in run order; capacities n, n, n, 8 n.

    all_options: the options column in run order.
    lengths: int64 (4), filled. Returns 0, or BAD_SACK.
    """
    n_mss, n_wscale, n_sacks, n_edges = 0, 0, 0, 0
    for j in range(len(order)):
        options = int(all_options[j])
        if options & (OPT_MSS | OPT_WSCALE | OPT_SACK):
            i = np.uint64(order[j])
            if options & OPT_MSS:
                mss[n_mss] = s.mss[i]
                n_mss += 1
            if options & OPT_WSCALE:
                wscale[n_wscale] = s.wscale[i]
                n_wscale += 1
            if options & OPT_SACK:
                blocks = int(s.sack_n[i])
                if blocks > MAX_SACK_BLOCKS:
                    return BAD_SACK
                sack_n[n_sacks] = np.uint8(blocks)
                n_sacks += 1
                for b in range(blocks):
                    left, right = int(s.sack[i, 2 * b]), int(s.sack[i, 2 * b + 1])
                    sack[n_edges] = np.uint32((left - int(s.ack[i])) & 0xFFFFFFFF)
                    sack[n_edges + 1] = np.uint32((right - left) & 0xFFFFFFFF)
                    n_edges += 2
    lengths[0], lengths[1], lengths[2], lengths[3] = n_mss, n_wscale, n_sacks, n_edges
    return 0


@kernel
def encode_segments(
    s: Any,
    capture_order: Any,
    run_order: Any,
    starts: Any,
    base: Any,
    numbers: Any,
    time: Any,
    planes: Any,
    time_planes: Any,
    firsts: Any,
    widths: Any,
    lists: Any,
    lengths: Any,
) -> Any:
    """Code the segments `s` in the orders (uint32, n) that :func:`group` found; starts: int64 (2 C).

    numbers: four uint32 (n) and time: uint64 (n), scratch; planes, time_planes: room for n * RESIDUAL_WIDTH and n *
    TIME_WIDTH bytes; firsts: uint32 (RESIDUALS, 2 C), filled; widths: int64 (RESIDUALS + 1), planes of each column,
    time last; lists: (mss, wscale, sack_n, sack), filled up to lengths (4). Returns 0 or BAD_SACK.
    """
    value, other, options, code = numbers
    _code_columns(s, run_order, starts, firsts, value, other, options, code, widths, planes)
    widths[RESIDUALS] = _code_time(s.time_ns, capture_order, base, time, time_planes)
    mss, wscale, sack_n, sack = lists
    return _list_options(s, run_order, options, mss, wscale, sack_n, sack, lengths)
