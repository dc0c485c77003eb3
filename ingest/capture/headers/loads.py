"""Reads of integers of a byte order at any offset of a uint8 array.

The offset is made unsigned: numba then leaves out its test for negative indices, and the compiler turns the byte
loads into one. Every result is an int64 (``load64``: uint64), so that arithmetic is the same compiled and not.
The caller has checked that the bytes lie within what was captured.
"""

import numpy as np

from schemas.jit import inlined

_1, _2, _3, _4, _5, _6, _7 = (np.uint64(i) for i in range(1, 8))
_S8, _S16, _S24, _S32, _S40, _S48, _S56 = (np.uint64(8 * i) for i in range(1, 8))


@inlined
def byte(raw, at):
    return np.int64(raw[np.uint64(at)])


@inlined
def be16(raw, at):
    u = np.uint64(at)
    return (np.int64(raw[u]) << 8) | np.int64(raw[u + _1])


@inlined
def be32(raw, at):
    u = np.uint64(at)
    return (
        (np.int64(raw[u]) << 24) | (np.int64(raw[u + _1]) << 16) | (np.int64(raw[u + _2]) << 8) | np.int64(raw[u + _3])
    )


@inlined
def le16(raw, at):
    u = np.uint64(at)
    return np.int64(raw[u]) | (np.int64(raw[u + _1]) << 8)


@inlined
def le32(raw, at):
    u = np.uint64(at)
    return (
        np.int64(raw[u]) | (np.int64(raw[u + _1]) << 8) | (np.int64(raw[u + _2]) << 16) | (np.int64(raw[u + _3]) << 24)
    )


@inlined
def be64(raw, at):
    """Eight bytes as uint64: half of an IPv6 address."""
    u = np.uint64(at)
    return (
        (np.uint64(raw[u]) << _S56)
        | (np.uint64(raw[u + _1]) << _S48)
        | (np.uint64(raw[u + _2]) << _S40)
        | (np.uint64(raw[u + _3]) << _S32)
        | (np.uint64(raw[u + _4]) << _S24)
        | (np.uint64(raw[u + _5]) << _S16)
        | (np.uint64(raw[u + _6]) << _S8)
        | np.uint64(raw[u + _7])
    )


@inlined
def file16(raw, at, big):
    """16 bits in the file's byte order."""
    return be16(raw, at) if big else le16(raw, at)


@inlined
def file32(raw, at, big):
    """32 bits in the file's byte order."""
    return be32(raw, at) if big else le32(raw, at)
