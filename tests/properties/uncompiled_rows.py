"""Print the digest of the engine's rows for a few captures; run with and without NUMBA_DISABLE_JIT=1."""

import hashlib
import json
import sys

from tests.properties.engine_rows import TABLES, as_sets, run, run_in_pieces
from tests.traffic.simulated import random_capture

SEEDS = range(12)


def digests() -> dict[str, str]:
    """Digest of every table's rows, fed at once and with a restart in the middle."""
    out: dict[str, str] = {}
    for seed in SEEDS:
        segments = random_capture(seed, connections=2, most_packets=120).segments()
        cuts = [len(segments.time_ns) // 2]
        for how, rows in (("whole", run(segments)), ("restarted", run_in_pieces(segments, cuts, restart=True))):
            sets = as_sets(rows)
            for table in TABLES:
                out[f"{seed} {how} {table} {len(sets[table])} rows"] = hashlib.sha256(b"".join(sets[table])).hexdigest()
    return out


if __name__ == "__main__":
    sys.stdout.write(json.dumps(digests()))
