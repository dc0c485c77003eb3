"""The compiled coding of segment columns: residuals against what a TCP peer would have sent next, as byte planes.

Capture times stand in the order (shard, connection, capture order), with one direction bit each; every other column in
the order (shard, connection, direction, capture order), so that a value's neighbour is the one that predicts it. A
*run* is one direction of one connection. Residuals, within a run (of time: across the whole batch):

    seq                                  seq - (previous seq + payload + SYN + FIN), zigzag modulo 2**32
    ack payload header tsval tsecr       value - previous, zigzag modulo 2**32; header is wire_bytes - payload_bytes
    window                               value - previous, zigzag modulo 2**16
    ip_id                                value - (previous + 1), zigzag modulo 2**16
    flags ecn ttl options                value XOR previous
    time_ns                              value - previous, zigzag modulo 2**64

Zigzag makes 0, -1, 1, -2, ... 0, 1, 2, 3, ... The values of a run's first segment stand apart, beside its connection,
and its residuals are 0. A residual column is stored as as many byte planes as its widest residual has bytes (plane k
holds byte k of all n residuals): what is predicted exactly takes no room at all, and lz4 finds the rest of what repeats.
Values of options that a segment does not carry are not coded; they read as 0.

One pass a column, neighbours in memory: the loops below become vector instructions (measured: half the time of one
fused loop over all columns).
"""

import numpy as np

from schemas.columns import OPT_MSS, OPT_SACK, OPT_TIMESTAMPS, OPT_WSCALE, SEG_IP_ID
from schemas.jit import inlined, kernel, plain
from schemas.shard import shard_of

# Residual columns; time is apart.
SEQ, ACK, PAYLOAD, HEADER, FLAGS, ECN, WINDOW, IP_ID, TTL, OPTIONS, TSVAL, TSECR = range(12)
RESIDUALS = 12
RESIDUAL_WIDTH = (4, 4, 4, 4, 2, 1, 2, 2, 1, 2, 4, 4)  # bytes of the widest residual of each
TIME_WIDTH = 8

MAX_SACK_BLOCKS = 4

# What a kernel answers instead of a count.
BAD_SACK = -1  # more SACK blocks than a segment has room for
BAD_DIRECTION = -3  # the direction bits and the numbers of segments of each run disagree
BAD_LIST = -2  # a list of option values is shorter or longer than the options say

_Z0, _Z1, _Z63, _S33 = np.uint64(0), np.uint64(1), np.uint64(63), np.uint64(33)
_BYTE = np.uint64(0xFF)
_HASH = np.uint64(0x9E3779B97F4A7C15)


@inlined
def _zigzag(difference, bits):
    """Zigzag of an int64 difference taken modulo 2**bits."""
    mask = (1 << bits) - 1
    low = difference & mask
    return ((low << 1) ^ (-(low >> (bits - 1)))) & mask


@inlined
def _unzigzag(code):
    """The difference behind a zigzag code (int64 in, int64 out); callers take it modulo their width."""
    return (code >> 1) ^ (-(code & 1))


@kernel
def group(s, rows, table, connection_of, direction_of, run_length, first_row, capture_order, direction, run_order):
    """Order `rows` of the segments `s` by (shard, connection), capture order kept within a connection.

    rows: uint32 (n), capture order within each connection. table: int32, a power of two at least twice n, all -1.
    connection_of: int32 (n) and direction_of: uint8 (n) are scratch. For the C connections in their final order
    `first_row` gets the row whose src is end a, and run_length (uint32, 2 C) the numbers of segments that a and b sent.
    capture_order, direction (n): the rows and whether a (0) or b (1) sent them; run_order (n): the rows by run.
    Returns C.
    """
    # Locals: an array taken out of a tuple inside a loop costs a reference count each time.
    column_src_lo, column_dst_lo, column_src_hi, column_dst_hi = s.src_lo, s.dst_lo, s.src_hi, s.dst_hi
    column_src_port, column_dst_port, column_tenant, column_tap = s.src_port, s.dst_port, s.tenant, s.tap
    column_shard = s.shard
    n = len(rows)
    mask = len(table) - 1
    found = 0
    shards = np.zeros(1025, np.int64)
    for j in range(n):
        i = np.uint64(rows[j])  # unsigned: numba adds a branch for negative indices to every access otherwise
        src_lo, dst_lo, src_hi, dst_hi = column_src_lo[i], column_dst_lo[i], column_src_hi[i], column_dst_hi[i]
        src_port, dst_port = int(column_src_port[i]), int(column_dst_port[i])
        network = (int(column_tenant[i]) << 16) | int(column_tap[i])
        # Not the shard's hash: the order within a batch needs speed only. Crafted addresses cost n**2 / 2 compares.
        hash_ = (src_lo + dst_lo) ^ (src_hi + dst_hi) ^ np.uint64(src_port * dst_port + (int(column_shard[i]) << 32))
        slot = int((hash_ * _HASH) >> _S33) & mask
        while True:
            c = int(table[np.uint64(slot)])
            if c < 0:
                c = found
                found += 1
                table[np.uint64(slot)] = np.int32(c)
                first_row[c] = rows[j]
                run_length[2 * c] = np.uint32(0)
                run_length[2 * c + 1] = np.uint32(0)
                shards[(int(column_shard[i]) & 1023) + 1] += 1
                reverse = False
                break
            f = np.uint64(first_row[np.uint64(c)])
            f_src_port, f_dst_port = int(column_src_port[f]), int(column_dst_port[f])
            other = network ^ ((int(column_tenant[f]) << 16) | int(column_tap[f]))
            # All compares at once: one branch that is nearly always taken, instead of twelve.
            along = (src_lo ^ column_src_lo[f]) | (dst_lo ^ column_dst_lo[f]) | (src_hi ^ column_src_hi[f]) | (dst_hi ^ column_dst_hi[f])
            against = (src_lo ^ column_dst_lo[f]) | (dst_lo ^ column_src_lo[f]) | (src_hi ^ column_dst_hi[f]) | (dst_hi ^ column_src_hi[f])
            along |= np.uint64(other | (src_port ^ f_src_port) | (dst_port ^ f_dst_port))
            against |= np.uint64(other | (src_port ^ f_dst_port) | (dst_port ^ f_src_port))
            reverse = along != _Z0
            if not (reverse & (against != _Z0)):
                break
            slot = (slot + 1) & mask
        connection_of[j] = np.int32(c)
        direction_of[j] = np.uint8(reverse)
        run_length[np.uint64(2 * c + int(reverse))] += np.uint32(1)
    for shard in range(1024):
        shards[shard + 1] += shards[shard]
    place = np.empty(found, np.int64)  # connection as found -> its final number
    rows_found = first_row[:found].copy()
    lengths_found = run_length[: 2 * found].copy()
    for c in range(found):
        shard = int(column_shard[np.uint64(first_row[c])]) & 1023
        place[c] = shards[shard]
        shards[shard] += 1
    for c in range(found):
        first_row[place[c]] = rows_found[c]
        run_length[2 * place[c]] = lengths_found[2 * c]
        run_length[2 * place[c] + 1] = lengths_found[2 * c + 1]
    begin = np.empty(found, np.int64)
    total = 0
    for c in range(found):
        begin[c] = total
        total += int(run_length[2 * c]) + int(run_length[2 * c + 1])
    cursor = np.empty(3 * found, np.int64)  # by connection as found: next place in capture order, in run a, in run b
    for c in range(found):
        cursor[3 * c] = begin[place[c]]
        cursor[3 * c + 1] = begin[place[c]]
        cursor[3 * c + 2] = begin[place[c]] + int(lengths_found[2 * c])
    for j in range(n):
        c = np.uint64(3 * int(connection_of[j]))
        run = np.uint64(3 * int(connection_of[j]) + 1 + int(direction_of[j]))
        at, at_run = np.uint64(cursor[c]), np.uint64(cursor[run])
        cursor[c] += 1
        cursor[run] += 1
        capture_order[at] = rows[j]
        direction[at] = direction_of[j]
        run_order[at_run] = rows[j]
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
        code[j] = np.uint32(_zigzag(int(value[j]) - int(value[j - 1]), bits))


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
        code[j] = np.uint32(_zigzag(int(value[j]) - int(other[j - 1]), 32))
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
        code[j] = np.uint32(_zigzag(int(value[j]) - int(value[j - 1]) - step, 16))
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
    """Write the planes of capture times in capture order; `base` and `code` (scratch, n) uint64. Returns their number."""
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
    s, capture_order, run_order, run_length, base, numbers, time, planes, time_planes, firsts, widths, lists, lengths
):
    """Code the segments `s` in the orders (uint32, n) that :func:`group` found; run_length: uint32 (2 C).

    numbers: four uint32 (n) and time: uint64 (n), scratch; planes, time_planes: room for n * RESIDUAL_WIDTH and n *
    TIME_WIDTH bytes; firsts: uint32 (RESIDUALS, 2 C), filled; widths: int64 (RESIDUALS + 1), planes of each column,
    time last; lists: (mss, wscale, sack_n, sack), filled up to lengths (4). Returns 0 or BAD_SACK.
    """
    starts = np.empty(len(run_length), np.int64)
    total = 0
    for run in range(len(run_length)):
        starts[run] = total
        total += int(run_length[run])
    value, other, options, code = numbers
    _code_columns(s, run_order, starts, firsts, value, other, options, code, widths, planes)
    widths[RESIDUALS] = _code_time(s.time_ns, capture_order, base, time, time_planes)
    mss, wscale, sack_n, sack = lists
    return _list_options(s, run_order, options, mss, wscale, sack_n, sack, lengths)


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
            value = (value + _unzigzag(int(code[j]))) & mask
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
            value = (value + _unzigzag(int(code[j]))) & 0xFFFFFFFF
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
            value = (value + _unzigzag(int(code[j]))) & 0xFFFF if has_id else 0
            ip_id[at] = value
            value += 1 if has_id else 0


@plain
def _decode_ends(s, direction, starts, tap, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port):
    """Fill the columns that a connection's segments share. The shard is made from the ends, never taken from the wire."""
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
def decode_segments(s, run_length, ends, firsts, direction, time, base, fields, lists, place, code):
    """Rebuild the segments of one batch into the columns `s` (n segments).

    run_length: uint32 (2 C), its sum is n; ends: (tap, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port), C each; firsts:
    uint32 (RESIDUALS, 2 C); direction: uint8 (n), 0 or 1; time: uint8, at most TIME_WIDTH whole planes; fields:
    RESIDUALS uint8 arrays of whole planes, no wider than their columns; lists: (mss, wscale, sack_n, sack) of any
    length; place, code: uint32 (n), scratch. Returns 0, BAD_DIRECTION or BAD_LIST; never reads beyond an array.
    """
    starts = np.empty(len(run_length), np.int64)
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
