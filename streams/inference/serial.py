"""Arithmetic of 32-bit sequence numbers (RFC 9293 section 3.4) on int64, alike compiled and not."""

import numpy as np

from schemas.columns import inlined

MASK = 0xFFFFFFFF
HALF = 1 << 31
# Two numbers further apart than the largest window (RFC 7323: 2**30) are not of one stream position.
FAR = 1 << 30


@inlined
def i64(value):
    """Any integer field as int64: numba keeps unsigned types otherwise, and their differences wrap."""
    return np.int64(value)


@inlined
def u32(value):
    """An int64 written back to a 32-bit field."""
    return np.uint32(value & MASK)


@inlined
def diff(a, b):
    """a - b as a signed 32-bit distance; arguments int64."""
    return ((a - b + HALF) & MASK) - HALF
