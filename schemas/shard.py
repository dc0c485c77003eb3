"""``mix64-v1``: the hash that places a connection in one of 1024 shards, alike in every language.

All arithmetic is modulo 2**64. An end is (address as two big-endian 64-bit halves, port):

    mix(x)  = splitmix64's finalizer: x ^= x >> 30; x *= 0xBF58476D1CE4E5B9; x ^= x >> 27;
              x *= 0x94D049BB133111EB; x ^= x >> 31
    end     = mix(mix(hi + 0x9E3779B97F4A7C15) ^ lo) + port * 0x9E3779B97F4A7C15
    hash    = mix((mix(end_a) + mix(end_b)) ^ (tenant * 0xD6E8FEB86659FD93))
    shard   = hash >> 54

The sum makes both directions alike. Probe and tap are left out, so that two vantages of a connection meet.
Test vectors: ``tests/schemas/test_shard.py``.
"""

import numpy as np

from schemas.jit import inlined

SHARDS = 1024
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TENANT = np.uint64(0xD6E8FEB86659FD93)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S54 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(54)


@inlined
def mix64(x):
    """splitmix64's finalizer on a uint64."""
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@inlined
def hash_of(tenant, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port):
    """The 64-bit hash; all arguments uint64. Uncompiled callers must silence numpy's overflow warnings."""
    a = mix64(mix64(src_hi + _GOLDEN) ^ src_lo) + src_port * _GOLDEN
    b = mix64(mix64(dst_hi + _GOLDEN) ^ dst_lo) + dst_port * _GOLDEN
    return mix64((mix64(a) + mix64(b)) ^ (tenant * _TENANT))


@inlined
def shard_of(tenant, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port):
    """The shard, 0..1023, as uint64."""
    return hash_of(tenant, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port) >> _S54
