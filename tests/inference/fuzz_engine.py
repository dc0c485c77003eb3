"""Feeds the engine segments that no stack would send, with bounds checks, and holds its rows to what rows must keep.

    NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=D TCPBLAME_CACHE_DIR=D python -m tests.inference.fuzz_engine [SEGMENTS [SEED]]

The cache directory must be one of its own: a cached kernel ignores the bounds checks.
"""

import os
import sys

import numpy as np

from schemas import columns
from schemas.columns import Segments, empty
from schemas.rows import Rows
from streams.inference.engine import Engine, Settings

BLOCK = 50_000
SHARES = ("idle", "sender", "receiver", "network", "setup", "unknown")
FLAGS = [columns.ACK] * 4 + [columns.ACK | columns.PSH] * 2 + [17, columns.SYN, 18, columns.RST, 20]
# Never twice the same nanosecond: two incarnations of one 5-tuple that begin in the same one have the same key.
STEPS_NS = [1, 1_000, 100_000, 1_000_000, 10_000_000, 300_000_000, 1_000_000_000]
STEP_ODDS = [0.2, 0.2, 0.2, 0.2, 0.1, 0.05, 0.05]


def nonsense(rng: np.random.Generator, n: int, connections: int) -> Segments:
    """n segments of some connections: every field random, three quarters of them near one another in the sequence."""
    segments = empty(n)
    for column in segments:
        info = np.iinfo(column.dtype)
        column[...] = rng.integers(info.min, info.max, column.shape, dtype=column.dtype, endpoint=True)
    which, back = rng.integers(0, connections, n), rng.integers(0, 2, n).astype(bool)
    segments.tap[:], segments.tenant[:] = rng.integers(0, 2, n), rng.integers(0, 2, n)
    segments.src_hi[:], segments.dst_hi[:] = 0, 0
    low, high = which.astype(np.uint64), np.full(n, 10**6, np.uint64)
    segments.src_lo[:], segments.dst_lo[:] = np.where(back, high, low), np.where(back, low, high)
    segments.src_port[:], segments.dst_port[:] = np.where(back, 80, 1000), np.where(back, 1000, 80)
    segments.shard[:] = which % columns.SHARDS
    mode = rng.integers(0, 4, n)
    segments.seq[:] = np.where(mode > 0, rng.integers(0, 40_000, n), segments.seq)
    segments.ack[:] = np.where(mode > 0, rng.integers(0, 40_000, n), segments.ack)
    sizes = np.where(mode == 1, 0, segments.payload_bytes)
    segments.payload_bytes[:] = np.where(mode > 1, rng.integers(0, 3_000, n), sizes)
    segments.flags[:] = np.where(rng.integers(0, 20, n) > 0, rng.choice(FLAGS, n), segments.flags)
    segments.sack_n[:] = rng.integers(0, 5, n)
    near = rng.integers(0, 40_000, (n, 8))
    segments.sack[:] = np.where(rng.integers(0, 3, (n, 8)) > 0, near, segments.sack)
    segments.time_ns[:] = 10**18 + np.cumsum(rng.choice(STEPS_NS, n, p=STEP_ODDS))
    return segments


def check(rows: Rows) -> None:
    """What every row keeps, whatever was sent."""
    for table in ("flows", "windows"):
        records = rows.table(table)
        total = sum(records[f"time_{name}"] for name in SHARES)
        assert np.allclose(total, 1)
        assert ((records["confidence"] >= 0) & (records["confidence"] <= 1)).all()
        assert (records["covered_ns"] >= 0).all()
    windows = rows.table("windows")
    keys = np.stack(
        [windows["conn_id"].view(np.int64), windows["window_start_ns"], windows["src_port"].astype(np.int64)]
    )
    assert len(np.unique(keys, axis=1).T) == len(windows), "two rows of one key"


def fuzz(total: int, seed: int = 0) -> int:
    """Feed about `total` segments in engines of several shapes; returns how many were fed."""
    fed = 0
    while fed < total:
        rng = np.random.default_rng(seed)
        window_ns = 100_000_000 if seed % 3 == 0 else 1_000_000_000
        engine = Engine(Settings(window_ns=window_ns, connections_per_shard=4, half_open_per_shard=2))
        n = min(BLOCK, total - fed)
        engine.feed("p", ["a", "b"], nonsense(rng, n, (5, 300, 5_000)[seed % 3]))
        check(engine.drain())
        if seed % 2:
            engine = Engine.restore(engine.save(), engine.settings)
        engine.end("p")
        check(engine.drain())
        assert engine.counters()["connections"] == 0
        fed += n
        seed += 1
    return fed


def main() -> None:
    """Command line of ``make fuzz``."""
    own = os.environ.get("TCPBLAME_CACHE_DIR")
    if os.environ.get("NUMBA_BOUNDSCHECK") != "1" or not own or os.environ.get("NUMBA_CACHE_DIR") != own:
        sys.exit("fuzz_engine: set NUMBA_BOUNDSCHECK=1 and one cache directory of its own for numba and tcpblame")
    arguments = [int(word) for word in sys.argv[1:3]]
    sys.stdout.write(f"{fuzz(*(arguments or [1_000_000]))} segments, every row sound\n")


if __name__ == "__main__":
    main()
