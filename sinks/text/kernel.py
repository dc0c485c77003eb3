"""The compiled row writer: packed records in, text out, driven by a column plan.

It knows no table and no format. A plan (``sinks.text.plan``) says for each column which bytes come before the value,
where the value lies in the record and how it is written; names are pieces of one blob. Records are read byte by byte,
so nothing depends on alignment, and every number fits into int64 compiled and uncompiled alike.
"""

import math

import numpy as np
import numpy.typing as npt

from schemas.jit import inlined, kernel, plain
from schemas.naming import QINQ_SHIFT, TENANT_KINDS, TENANT_QINQ, TENANT_SHIFT

# Columns of a plan's row.
KIND, OFFSET, OTHER, BEFORE, BEFORE_SIZE, PIECES, COUNT, FIELDS = range(8)
# Kinds of value.
K_INT, K_HEX, K_FLOAT, K_FLAG, K_ENUM, K_SET, K_ADDRESS, K_PORT, K_TENANT, K_SOURCE = range(10)
# Pieces that every plan's blob begins with.
P_NULL, P_QUOTE, P_OPEN, P_BETWEEN, P_CLOSE, P_END, P_VLAN, P_QINQ, P_VXLAN, P_GENEVE, P_GRE, P_OTHER = range(12)

SLACK = 7  # bytes that the blob is padded with and that a row's bound leaves free
# An index masked with this is provably not negative: numba's test for Python's negative indices falls away.
_INDEX = 0x7FFFFFFF
_NULL_INT = -(2**63)
_TENANT_MASK = (1 << TENANT_SHIFT) - 1
_INNER_MASK = (1 << QINQ_SHIFT) - 1
_LAST_TENANT = max(TENANT_KINDS)
_PAIRS = np.frombuffer("".join(f"{number:02d}" for number in range(100)).encode(), np.uint8)
_HUGE = 1e18  # beyond it a float is written with an exponent


@inlined
def _put(out, at, blob, start, size):
    """Copy `size` bytes, eight at a time: all are read before one is written, which compiles to one move.

    Up to SLACK bytes behind the end are written too; whatever comes next writes over them.
    """
    done = 0
    while done < size:
        i = (start + done) & _INDEX
        a, b, c, d = blob[i], blob[i + 1], blob[i + 2], blob[i + 3]
        e, f, g, h = blob[i + 4], blob[i + 5], blob[i + 6], blob[i + 7]
        i = (at + done) & _INDEX
        out[i], out[i + 1], out[i + 2], out[i + 3] = a, b, c, d
        out[i + 4], out[i + 5], out[i + 6], out[i + 7] = e, f, g, h
        done += 8
    return at + size


@inlined
def _piece(out, at, blob, pieces, number):
    return _put(out, at, blob, pieces[number, 0], pieces[number, 1])


@inlined
def _unsigned(record, at, size):
    """A little-endian unsigned number of at most 7 bytes."""
    value = 0
    at &= _INDEX
    for i in range(size):
        value |= int(record[at + i]) << (8 * i)
    return value


@inlined
def _signed(record, at):
    """A little-endian int64."""
    top = int(record[(at + 7) & _INDEX])
    if top >= 128:
        top -= 256
    return (top << 56) | _unsigned(record, at, 7)


@inlined
def _decimal(out, at, value):
    """A number of 0..2^63-1 in decimal, from its last digit back, two digits a division."""
    size = 1
    limit = 10
    while value >= limit and size < 18:
        limit *= 10
        size += 1
    if value >= limit:
        size = 19
    at &= _INDEX
    end = at + size
    spot = end
    while value >= 100:
        rest = value // 100
        pair = (2 * (value - rest * 100)) & 0xFF
        value = rest
        spot = (spot - 2) & _INDEX
        out[spot] = _PAIRS[pair]
        out[spot + 1] = _PAIRS[pair + 1]
    if value >= 10:
        out[at] = _PAIRS[2 * value]
        out[at + 1] = _PAIRS[2 * value + 1]
    else:
        out[at] = 48 + value
    return end


@inlined
def _hex_digit(value):
    return 48 + value if value < 10 else 87 + value


@plain
def _float(out, at, record, offset):
    """A finite float64 with at most 6 decimals, without trailing zeros; 0 bytes written if it is not finite."""
    low = _unsigned(record, offset, 6)
    high = int(record[offset + 6]) | int(record[offset + 7]) << 8
    exponent = (high >> 4) & 0x7FF
    mantissa = ((high & 0xF) << 48) | low
    if exponent == 0x7FF:
        return at
    if exponent == 0:
        exponent = 1
    else:
        mantissa |= 1 << 52
    value = math.ldexp(float(mantissa), exponent - 1075)
    power = 0
    while value >= _HUGE:
        value /= 10.0
        power += 1
    whole = int(value)
    millionths = math.floor((value - float(whole)) * 1e6 + 0.5)
    if millionths >= 1000000:
        whole += 1
        millionths -= 1000000
    if high >= 0x8000 and (whole > 0 or millionths > 0):
        out[at] = 45
        at += 1
    at = _decimal(out, at, whole)
    if power > 0:
        out[at] = 101
        return _decimal(out, at + 1, power)
    if millionths > 0:
        out[at] = 46
        at += 1
        width = 6
        while millionths % 10 == 0:
            millionths //= 10
            width -= 1
        for i in range(width - 1, -1, -1):
            out[at + i] = 48 + millionths % 10
            millionths //= 10
        at += width
    return at


@inlined
def _address_byte(record, hi, lo, number):
    """Byte 0..15 of an address in network order, from two little-endian halves."""
    return int(record[hi + 7 - number]) if number < 8 else int(record[lo + 15 - number])


@plain
def _address(out, at, record, hi, lo):
    """IPv4 if mapped, else RFC 5952: lower case, no leading zeros, the first longest run of zero groups as ``::``."""
    mapped = _address_byte(record, hi, lo, 10) == 255 and _address_byte(record, hi, lo, 11) == 255
    for i in range(10):
        if _address_byte(record, hi, lo, i) != 0:
            mapped = False
    if mapped:
        for i in range(12, 16):
            if i > 12:
                out[at] = 46
                at += 1
            at = _decimal(out, at, _address_byte(record, hi, lo, i))
        return at
    best = -1
    best_size = 1  # a single zero group is not shortened
    start = -1
    for i in range(8):
        if _address_byte(record, hi, lo, 2 * i) == 0 and _address_byte(record, hi, lo, 2 * i + 1) == 0:
            if start < 0:
                start = i
            if i - start + 1 > best_size:
                best = start
                best_size = i - start + 1
        else:
            start = -1
    i = 0
    while i < 8:
        if i == best:
            out[at] = 58
            out[at + 1] = 58
            at += 2
            i += best_size
            continue
        if i > 0 and i != best + best_size:
            out[at] = 58
            at += 1
        group = (_address_byte(record, hi, lo, 2 * i) << 8) | _address_byte(record, hi, lo, 2 * i + 1)
        begun = False
        for shift in (12, 8, 4, 0):
            digit = (group >> shift) & 15
            if digit != 0 or begun or shift == 0:
                out[at] = _hex_digit(digit)
                at += 1
                begun = True
        i += 1
    return at


@plain
def _tenant(out, at, number, blob, pieces):
    kind = number >> TENANT_SHIFT
    identifier = number & _TENANT_MASK
    at = _piece(out, at, blob, pieces, P_QUOTE)
    if kind <= _LAST_TENANT:
        at = _piece(out, at, blob, pieces, P_VLAN + kind - 1)
    else:
        at = _piece(out, at, blob, pieces, P_OTHER)
        at = _decimal(out, at, kind)
        out[at] = 58
        at += 1
    if kind == TENANT_QINQ:
        at = _decimal(out, at, identifier >> QINQ_SHIFT)
        out[at] = 46
        at = _decimal(out, at + 1, identifier & _INNER_MASK)
    else:
        at = _decimal(out, at, identifier)
    return _piece(out, at, blob, pieces, P_QUOTE)


@plain
def _set(out, at, record, offset, first, count, blob, pieces):
    at = _piece(out, at, blob, pieces, P_OPEN)
    begun = False
    for bit in range(count):
        if (int(record[offset + (bit >> 3)]) >> (bit & 7)) & 1:
            if begun:
                at = _piece(out, at, blob, pieces, P_BETWEEN)
            at = _piece(out, at, blob, pieces, first + bit)
            begun = True
    return _piece(out, at, blob, pieces, P_CLOSE)


@kernel
def write_rows(
    records: npt.NDArray[np.uint8],
    start: int,
    plan: npt.NDArray[np.int64],
    blob: npt.NDArray[np.uint8],
    pieces: npt.NDArray[np.int64],
    bound: int,
    out: npt.NDArray[np.uint8],
) -> tuple[int, int]:
    """Write rows from `start` on into `out` as long as a row of at most `bound` bytes surely fits.

    records: uint8 (n, bytes of a record); plan: int64 (columns, FIELDS); blob: uint8; pieces: int64 (k, 2), start and
    size in the blob. Returns (row after the last one written, bytes written).
    """
    at = 0
    row = start
    room = out.shape[0]
    while row < records.shape[0] and at + bound <= room:
        record = records[row]
        for column in range(plan.shape[0]):
            at = _put(out, at, blob, plan[column, BEFORE], plan[column, BEFORE_SIZE])
            kind = plan[column, KIND]
            offset = plan[column, OFFSET]
            null = False
            if kind == K_INT:
                value = _signed(record, offset)
                if value == _NULL_INT:
                    null = True
                else:
                    if value < 0:
                        out[at] = 45
                        at += 1
                        value = -value
                    at = _decimal(out, at, value)
            elif kind == K_FLOAT:
                before = at
                at = _float(out, at, record, offset)
                null = at == before
            elif kind in (K_ENUM, K_FLAG):
                number = int(record[offset])
                if number < plan[column, COUNT]:
                    at = _piece(out, at, blob, pieces, plan[column, PIECES] + number)
                else:
                    null = True
            elif kind == K_PORT:
                at = _decimal(out, at, _unsigned(record, offset, 2))
            elif kind == K_ADDRESS:
                at = _piece(out, at, blob, pieces, P_QUOTE)
                at = _address(out, at, record, offset, plan[column, OTHER])
                at = _piece(out, at, blob, pieces, P_QUOTE)
            elif kind == K_SOURCE:
                number = _unsigned(record, offset, 4)
                if number < plan[column, COUNT]:
                    at = _piece(out, at, blob, pieces, plan[column, PIECES] + number)
                else:
                    null = True
            elif kind == K_HEX:
                at = _piece(out, at, blob, pieces, P_QUOTE)
                for i in range(7, -1, -1):
                    byte = int(record[offset + i])
                    out[at] = _hex_digit(byte >> 4)
                    out[at + 1] = _hex_digit(byte & 15)
                    at += 2
                at = _piece(out, at, blob, pieces, P_QUOTE)
            elif kind == K_TENANT:
                number = _unsigned(record, offset, 4)
                if number >> TENANT_SHIFT == 0:
                    null = True
                else:
                    at = _tenant(out, at, number, blob, pieces)
            else:
                at = _set(out, at, record, offset, plan[column, PIECES], plan[column, COUNT], blob, pieces)
            if null:
                at = _piece(out, at, blob, pieces, P_NULL)
        at = _piece(out, at, blob, pieces, P_END)
        row += 1
    return row, at
