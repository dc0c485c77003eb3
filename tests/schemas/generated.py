"""Segments for the coding's tests: any values that the columns can hold, in any interleaving of few connections."""

import numpy as np

from schemas.columns import (
    COLUMNS,
    OPT_MSS,
    OPT_SACK,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
    SEG_IP_ID,
    Segments,
    empty,
    take,
)
from schemas.shard import shard_of

TAPS = ("eth0", "eth1", "")


def segments(seed: int, n: int, connections: int, calm: bool) -> Segments:
    """n segments of `connections` connections; calm: values as bulk transfer has them, else anything."""
    rng = np.random.default_rng(seed)
    made = empty(n)
    for column in made:
        limits = np.iinfo(column.dtype)
        column[...] = rng.integers(limits.min, limits.max, column.shape, dtype=column.dtype, endpoint=True)
    ends = [
        (
            int(rng.integers(0, 3)) << 28, int(rng.integers(0, len(TAPS))),
            *(int(x) for x in rng.integers(0, 2, 2)), int(rng.integers(0, 3)),
            *(int(x) for x in rng.integers(0, 2, 2)), int(rng.integers(0, 3)),
        )
        for _ in range(connections)
    ]  # fmt: skip
    for row in range(n):
        tenant, tap, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port = ends[int(rng.integers(connections))]
        if rng.random() < 0.5:
            src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port = dst_hi, dst_lo, dst_port, src_hi, src_lo, src_port
        made.tenant[row], made.tap[row] = tenant, tap
        made.src_hi[row], made.src_lo[row], made.src_port[row] = src_hi, src_lo, src_port
        made.dst_hi[row], made.dst_lo[row], made.dst_port[row] = dst_hi, dst_lo, dst_port
        key = (tenant, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port)
        with np.errstate(over="ignore"):
            made.shard[row] = int(shard_of(*(np.uint64(part) for part in key)))
    made.sack_n[:] = rng.integers(0, 5, n)
    if calm:
        made.time_ns[:] = 1_700_000_000_000_000_000 + np.cumsum(rng.integers(0, 10_000, n))
        made.seq[:] = np.cumsum(made.payload_bytes % 1500)
        made.payload_bytes[:] = 1448
        made.wire_bytes[:] = 1514
        made.flags[:] = 0x10
        made.options[:] = OPT_TIMESTAMPS | SEG_IP_ID
        made.ttl[:], made.ecn[:], made.window[:] = 64, 0, 501
    return made


def expected(given: Segments) -> Segments:
    """What a batch gives back: the order (shard, connection first seen, capture), values of absent options 0."""
    first_seen: dict[tuple[object, ...], int] = {}
    keys = []
    for row in range(len(given.time_ns)):
        ends = sorted([
            (int(given.src_hi[row]), int(given.src_lo[row]), int(given.src_port[row])),
            (int(given.dst_hi[row]), int(given.dst_lo[row]), int(given.dst_port[row])),
        ])  # fmt: skip
        connection = (int(given.tap[row]), int(given.tenant[row]), *ends)
        keys.append((int(given.shard[row]), first_seen.setdefault(connection, row), row))
    made = take(given, np.array([row for _, _, row in sorted(keys)], np.intp))
    for bit, *columns in (
        (OPT_MSS, made.mss), (OPT_WSCALE, made.wscale), (OPT_TIMESTAMPS, made.tsval, made.tsecr),
        (OPT_SACK, made.sack_n), (SEG_IP_ID, made.ip_id),
    ):  # fmt: skip
        for column in columns:
            column[made.options & bit == 0] = 0
    return made


def differing(one: Segments, other: Segments) -> list[str]:
    """Names of the columns that differ; SACK edges beyond sack_n do not count."""
    found = []
    for name, a, b in zip(COLUMNS, one, other, strict=True):
        if name == "sack":
            used = np.arange(8)[None, :] < 2 * one.sack_n[:, None].astype(int)
            a, b = np.where(used, a, 0), np.where(used, b, 0)  # noqa: PLW2901
        if a.dtype != b.dtype or not np.array_equal(a, b):
            found.append(name)
    return found
