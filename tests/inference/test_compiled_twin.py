"""The kernels compiled and as plain Python write the same rows, byte for byte."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from schemas.columns import rows_of
from schemas.rows import TABLES
from streams.inference.engine import Engine, Settings
from tests.inference.observed import PROBE, feed
from tests.traffic.packets import MS, Conversation, S
from tests.traffic.simulated import random_capture

ROOT = Path(__file__).parents[2]
SEEDS = range(100, 106)


def odd_conversation() -> Conversation:
    """Rare paths that random traffic seldom takes: wraps, super-segments, probes, capture loss, a far-off number."""
    talk = Conversation(isn=0xFFFF_FF00, server_isn=0xFFFF_FFFF)
    talk.handshake(0)
    for k in range(12):
        talk.data(20 * MS + k, 70_000, at=80_000 * k)
    talk.ack(30 * MS, upto=500_000, sack=[(560_000, 630_000), (640_000, 710_000)], window=3)
    talk.data(31 * MS, 1, seq=talk.client.raw(1 << 31))
    talk.ack(1 * S, upto=950_000, window=0)
    talk.client.keepalive(3 * S, 1)
    talk.data(4 * S, 1)
    talk.ack(4 * S + 10 * MS)
    talk.data(200 * S, 100)
    talk.client.rst(201 * S)
    return talk


def digests() -> dict[str, list[str]]:
    """The rows of all captures as sorted digests, fed in two pieces with a save and a restore between."""
    found: dict[str, list[str]] = {table: [] for table in TABLES}
    captures = [random_capture(seed, connections=3, most_packets=50).segments() for seed in SEEDS]
    for segments in [*captures, odd_conversation().segments()]:
        for width_ns in (100 * MS, 1 * S):
            engine = Engine(Settings(window_ns=width_ns, half_open_per_shard=1, connections_per_shard=1))
            half = len(segments.time_ns) // 2
            feed(engine, rows_of(segments, 0, half))
            parts = [engine.drain()]
            engine = Engine.restore(engine.save(), engine.settings)
            feed(engine, rows_of(segments, half, len(segments.time_ns)))
            engine.advance(PROBE, int(segments.time_ns.max()) + 5 * S)
            engine.end(PROBE)
            parts.append(engine.drain())
            for rows in parts:
                for table in TABLES:
                    found[table] += [hashlib.sha256(record.tobytes()).hexdigest()[:16] for record in rows.table(table)]
    return {table: sorted(entries) for table, entries in found.items()}


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="this run is itself uncompiled: nothing to compare with")
def test_compiled_and_uncompiled_rows_are_the_same() -> None:
    code = "import json; from tests.inference.test_compiled_twin import digests; print(json.dumps(digests()))"
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    uncompiled, compiled = json.loads(done.stdout), digests()
    assert compiled == uncompiled
    assert all(compiled[table] for table in ("flows", "windows", "events"))
