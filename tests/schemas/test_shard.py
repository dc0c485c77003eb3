"""The shard hash mix64-v1: vectors that any other implementation must give too."""

import os
import subprocess
import sys

import numpy as np
import pytest

from schemas.shard import hash_of, shard_of

MASK = 2**64 - 1
MAPPED = 0xFFFF << 32  # ::ffff:a.b.c.d, lower half


def slow_hash(tenant, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port):
    """mix64-v1 in Python integers, from its definition."""

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        return x ^ (x >> 31)

    def end(hi, lo, port):
        return (mix(mix((hi + 0x9E3779B97F4A7C15) & MASK) ^ lo) + port * 0x9E3779B97F4A7C15) & MASK

    ends = (mix(end(src_hi, src_lo, src_port)) + mix(end(dst_hi, dst_lo, dst_port))) & MASK
    return mix(ends ^ ((tenant * 0xD6E8FEB86659FD93) & MASK))


# (tenant, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port), hash, shard
VECTORS = (
    ((0, 0, 0, 0, 0, 0, 0), 0x82E3CB58275DC09D, 523),
    ((0, 0, MAPPED | 0x0A000001, 40000, 0, MAPPED | 0x0A000002, 443), 0xCA77184D4A717720, 809),
    ((0, 0, MAPPED | 0x0A000002, 443, 0, MAPPED | 0x0A000001, 40000), 0xCA77184D4A717720, 809),
    (((1 << 28) | 100, 0, MAPPED | 0x0A000001, 40000, 0, MAPPED | 0x0A000002, 443), 0xF92DC998500E53B6, 996),
    (((3 << 28) | 5000, 0x20010DB8 << 32, 1, 65535, (0x20010DB8 << 32) | 1, MASK, 22), 0x9B8BECBCF993BD82, 622),
    ((0xFFFFFFFF, MASK, MASK, 65535, MASK, MASK, 65535), 0x8E6517ECD878E5F3, 569),
)


def _call(function, key):
    with np.errstate(over="ignore"):
        return int(function(*(np.uint64(part) for part in key)))


@pytest.mark.parametrize(("key", "expected", "shard"), VECTORS)
def test_vectors(key, expected, shard):
    assert slow_hash(*key) == expected
    assert _call(hash_of, key) == expected
    assert _call(shard_of, key) == shard


def test_both_directions_are_alike_and_everything_counts():
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(200):
        tenant, src_hi, src_lo, dst_hi, dst_lo = (int(x) for x in rng.integers(0, 2**64, 5, dtype=np.uint64))
        src_port, dst_port = (int(x) for x in rng.integers(0, 2**16, 2))
        tenant &= 0xFFFFFFFF
        key = (tenant, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port)
        back = (tenant, dst_hi, dst_lo, dst_port, src_hi, src_lo, src_port)
        assert slow_hash(*key) == slow_hash(*back)
        assert _call(hash_of, key) == _call(hash_of, back) == slow_hash(*key)
        for place in range(7):
            changed = list(key)
            changed[place] ^= 1
            assert slow_hash(*changed) != slow_hash(*key)
        seen.add(_call(shard_of, key))
    assert len(seen) > 150  # 200 keys in 1024 shards: 182 expected


def test_uncompiled_gives_the_same():
    script = (
        "import numpy as np\n"
        "from schemas.shard import hash_of\n"
        "from tests.schemas.test_shard import VECTORS, _call\n"
        "assert all(_call(hash_of, key) == value for key, value, _ in VECTORS)\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=True,
        timeout=60,
    )
