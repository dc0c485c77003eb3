"""The kernels that turn byte planes back into segments; what the planes mean: ``segment_batch_coding``.

The planes are hostile input: every length was checked before (``segment_batch``), every index is checked here.
"""

from typing import Any

import numpy as np

from schemas.columns import OPT_MSS, OPT_SACK, OPT_TIMESTAMPS, OPT_WSCALE, SEG_IP_ID
from schemas.jit import kernel, plain
from schemas.segment_batch_coding import (
    ACK,
    BAD_DIRECTION,
    BAD_LIST,
    ECN,
    FLAGS,
    HEADER,
    IP_ID,
    MAX_SACK_BLOCKS,
    OPTIONS,
    PAYLOAD,
    SEQ,
    TSECR,
    TSVAL,
    TTL,
    WINDOW,
    unzigzag,
)
from schemas.shard import shard_of

_Z0 = np.uint64(0)
_Z1 = np.uint64(1)


@plain
def _join(planes, n, code):
    """Join whole planes of n bytes (at most 4) to uint32; returns whether there are any."""
    width = len(planes) // n
    if width == 0:
        return False
    a = planes[:n]
    for j in range(n):
        code[j] = np.uint32(a[j])
    for k in range(1, width):
        b = planes[k * n : (k + 1) * n]
        shift = np.uint32(8 * k)
        for j in range(n):
            code[j] |= np.uint32(np.uint32(b[j]) << shift)
    return True


@plain
def _fill(out, direction, starts, firsts, column):
    """A column without residuals: each run's first value all along it."""
    n = len(out)
    for c in range(len(starts) // 2):
        a, b = firsts[column, 2 * c], firsts[column, 2 * c + 1]
        stop = starts[2 * c + 2] if 2 * c + 2 < len(starts) else n
        for j in range(np.uint64(starts[2 * c]), np.uint64(stop)):
            out[j] = b if direction[j] else a


@plain
def _undo_difference(planes, code, bits, out, direction, starts, firsts, column, place):
    """Rebuild a column that was coded as differences modulo 2**bits."""
    n = len(out)
    if not _join(planes, n, code):
        _fill(out, direction, starts, firsts, column)
        return
    mask = (1 << bits) - 1
    for run in range(len(starts)):
        stop = starts[run + 1] if run + 1 < len(starts) else n
        value = int(firsts[column, run])
        for j in range(np.uint64(starts[run]), np.uint64(stop)):
            value = (value + unzigzag(int(code[j]))) & mask
            out[np.uint64(place[j])] = value


@plain
def _undo_change(planes, code, out, direction, starts, firsts, column, place):
    """Rebuild a column that was coded as XOR."""
    n = len(out)
    if not _join(planes, n, code):
        _fill(out, direction, starts, firsts, column)
        return
    for run in range(len(starts)):
        stop = starts[run + 1] if run + 1 < len(starts) else n
        value = int(firsts[column, run])
        for j in range(np.uint64(starts[run]), np.uint64(stop)):
            value ^= int(code[j])
            out[np.uint64(place[j])] = value & 0xFFFF


@plain
def _undo_sums(wire_bytes, payload_bytes, options, tsval, tsecr):
    """Header bytes become wire bytes; timestamps that are not there become 0."""
    for j in range(len(options)):
        wire_bytes[j] = np.uint32((int(wire_bytes[j]) + int(payload_bytes[j])) & 0xFFFFFFFF)
    for j in range(len(options)):
        mask = np.uint32(0xFFFFFFFF) if int(options[j]) & OPT_TIMESTAMPS else np.uint32(0)
        tsval[j] &= mask
        tsecr[j] &= mask


@plain
def _undo_seq(planes, code, seq, payload_bytes, flags, starts, firsts, place):
    n = len(seq)
    if not _join(planes, n, code):
        code[:] = np.uint32(0)
    for run in range(len(starts)):
        stop = starts[run + 1] if run + 1 < len(starts) else n
        value = int(firsts[SEQ, run])
        for j in range(np.uint64(starts[run]), np.uint64(stop)):
            at = np.uint64(place[j])
            value = (value + unzigzag(int(code[j]))) & 0xFFFFFFFF
            seq[at] = value
            value += int(payload_bytes[at]) + (int(flags[at]) & 1) + ((int(flags[at]) >> 1) & 1)


@plain
def _undo_ip_id(planes, code, ip_id, options, starts, firsts, place):
    n = len(ip_id)
    if not _join(planes, n, code):
        code[:] = np.uint32(0)
    for run in range(len(starts)):
        stop = starts[run + 1] if run + 1 < len(starts) else n
        value = int(firsts[IP_ID, run])
        for j in range(np.uint64(starts[run]), np.uint64(stop)):
            at = np.uint64(place[j])
            has_id = (int(options[at]) & SEG_IP_ID) != 0
            value = (value + unzigzag(int(code[j]))) & 0xFFFF if has_id else 0
            ip_id[at] = value
            value += 1 if has_id else 0


@plain
def _decode_ends(s, direction, starts, tap, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port):
    """Fill the columns that a connection's segments share; the shard is made from the ends, not taken from the wire."""
    n = len(direction)
    for c in range(len(tenant)):
        stop = starts[2 * c + 2] if 2 * c + 2 < len(starts) else n
        where = np.uint16(
            shard_of(
                np.uint64(tenant[c]), a_hi[c], a_lo[c], np.uint64(a_port[c]), b_hi[c], b_lo[c], np.uint64(b_port[c])
            )
        )
        tap_c, tenant_c = tap[c], tenant[c]
        a_hi_c, a_lo_c, a_port_c, b_hi_c, b_lo_c, b_port_c = a_hi[c], a_lo[c], a_port[c], b_hi[c], b_lo[c], b_port[c]
        for j in range(np.uint64(starts[2 * c]), np.uint64(stop)):
            s.shard[j] = where
            s.tap[j] = tap_c
            s.tenant[j] = tenant_c
        for j in range(np.uint64(starts[2 * c]), np.uint64(stop)):
            from_b = direction[j] != 0
            s.src_hi[j] = b_hi_c if from_b else a_hi_c
            s.dst_hi[j] = a_hi_c if from_b else b_hi_c
            s.src_lo[j] = b_lo_c if from_b else a_lo_c
            s.dst_lo[j] = a_lo_c if from_b else b_lo_c
        for j in range(np.uint64(starts[2 * c]), np.uint64(stop)):
            from_b = direction[j] != 0
            s.src_port[j] = b_port_c if from_b else a_port_c
            s.dst_port[j] = a_port_c if from_b else b_port_c


@plain
def _decode_time(planes, base, time_ns):
    """Rebuild the capture times; planes: uint8, at most TIME_WIDTH whole planes of len(time_ns) bytes."""
    n = len(time_ns)
    time_ns[:] = 0
    for k in range(len(planes) // max(n, 1)):
        plane = planes[k * n : (k + 1) * n]
        shift = np.uint64(8 * k)
        for j in range(n):
            time_ns[j] = np.int64(np.uint64(time_ns[j]) | (np.uint64(plane[j]) << shift))
    now = base
    for j in range(n):
        step = np.uint64(time_ns[j])
        now += (step >> _Z1) ^ (_Z0 - (step & _Z1))
        time_ns[j] = np.int64(now)


@plain
def _places(direction, starts, place):
    """place[j]: where run order's j-th segment stands in capture order. False if the bits and the lengths disagree."""
    n = len(direction)
    for c in range(len(starts) // 2):
        at_a, at_b = starts[2 * c], starts[2 * c + 1]
        end_a, end_b = at_b, starts[2 * c + 2] if 2 * c + 2 < len(starts) else n
        sent_by_b = 0
        for j in range(np.uint64(at_a), np.uint64(end_b)):
            sent_by_b += int(direction[j])
        if sent_by_b != end_b - end_a:
            return False
        for j in range(at_a, end_b):
            if direction[j]:
                place[at_b] = np.uint32(j)
                at_b += 1
            else:
                place[at_a] = np.uint32(j)
                at_a += 1
    return True


@plain
def _decode_columns(s, direction, starts, firsts, fields, place, code):
    """Rebuild every column but time and the ends; code: uint32 (n), scratch.

    fields: RESIDUALS uint8 arrays, each a whole number of planes of n bytes, no wider than its column.
    """
    _undo_change(fields[FLAGS], code, s.flags, direction, starts, firsts, FLAGS, place)
    _undo_change(fields[ECN], code, s.ecn, direction, starts, firsts, ECN, place)
    _undo_change(fields[TTL], code, s.ttl, direction, starts, firsts, TTL, place)
    _undo_change(fields[OPTIONS], code, s.options, direction, starts, firsts, OPTIONS, place)
    _undo_difference(fields[PAYLOAD], code, 32, s.payload_bytes, direction, starts, firsts, PAYLOAD, place)
    _undo_difference(fields[HEADER], code, 32, s.wire_bytes, direction, starts, firsts, HEADER, place)
    _undo_difference(fields[ACK], code, 32, s.ack, direction, starts, firsts, ACK, place)
    _undo_difference(fields[WINDOW], code, 16, s.window, direction, starts, firsts, WINDOW, place)
    _undo_difference(fields[TSVAL], code, 32, s.tsval, direction, starts, firsts, TSVAL, place)
    _undo_difference(fields[TSECR], code, 32, s.tsecr, direction, starts, firsts, TSECR, place)
    _undo_sums(s.wire_bytes, s.payload_bytes, s.options, s.tsval, s.tsecr)
    _undo_seq(fields[SEQ], code, s.seq, s.payload_bytes, s.flags, starts, firsts, place)
    _undo_ip_id(fields[IP_ID], code, s.ip_id, s.options, starts, firsts, place)


@plain
def _decode_options(s, place, mss, wscale, sack_n, sack):
    """Give the segments the listed option values. Returns 0 or BAD_LIST; never reads beyond a list."""
    s.mss[:] = np.uint16(0)
    s.wscale[:] = np.uint8(0)
    s.sack_n[:] = np.uint8(0)
    n_mss, n_wscale, n_sacks, n_edges = 0, 0, 0, 0
    for j in range(len(place)):
        at = np.uint64(place[j])
        options = int(s.options[at])
        if options & (OPT_MSS | OPT_WSCALE | OPT_SACK):
            if options & OPT_MSS:
                if n_mss >= len(mss):
                    return BAD_LIST
                s.mss[at] = mss[n_mss]
                n_mss += 1
            if options & OPT_WSCALE:
                if n_wscale >= len(wscale):
                    return BAD_LIST
                s.wscale[at] = wscale[n_wscale]
                n_wscale += 1
            if options & OPT_SACK:
                if n_sacks >= len(sack_n):
                    return BAD_LIST
                blocks = int(sack_n[n_sacks])
                n_sacks += 1
                if blocks > MAX_SACK_BLOCKS or n_edges + 2 * blocks > len(sack):
                    return BAD_LIST
                s.sack_n[at] = np.uint8(blocks)
                for b in range(blocks):
                    left = (int(sack[n_edges]) + int(s.ack[at])) & 0xFFFFFFFF
                    right = (int(sack[n_edges + 1]) + left) & 0xFFFFFFFF
                    s.sack[at, 2 * b] = np.uint32(left)
                    s.sack[at, 2 * b + 1] = np.uint32(right)
                    n_edges += 2
    if n_mss != len(mss) or n_wscale != len(wscale) or n_sacks != len(sack_n) or n_edges != len(sack):
        return BAD_LIST
    return 0


@kernel
def decode_segments(
    s: Any,
    run_length: Any,
    ends: Any,
    firsts: Any,
    direction: Any,
    time: Any,
    base: Any,
    fields: Any,
    lists: Any,
    place: Any,
    code: Any,
    starts: Any,
) -> Any:
    """Rebuild the segments of one batch into the columns `s` (n segments).

    run_length: uint32 (2 C), its sum is n; ends: (tap, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port), C each; firsts:
    uint32 (RESIDUALS, 2 C); direction: uint8 (n), 0 or 1; time: uint8, at most TIME_WIDTH whole planes; fields:
    RESIDUALS uint8 arrays of whole planes, no wider than their columns; lists: (mss, wscale, sack_n, sack) of any
    length; place, code: uint32 (n) and starts: int64 (2 C), scratch. Returns 0, BAD_DIRECTION or BAD_LIST; never reads
    beyond an array.
    """
    total = 0
    for run in range(len(run_length)):
        starts[run] = total
        total += int(run_length[run])
    if not _places(direction, starts, place):
        return BAD_DIRECTION
    tap, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port = ends
    _decode_ends(s, direction, starts, tap, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port)
    _decode_time(time, base, s.time_ns)
    _decode_columns(s, direction, starts, firsts, fields, place, code)
    mss, wscale, sack_n, sack = lists
    return _decode_options(s, place, mss, wscale, sack_n, sack)
