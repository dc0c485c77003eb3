"""A bounded run of the fuzzer with bounds checks compiled in; ``make fuzz`` runs it for longer."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _cache():
    """Kernels with bounds checks, kept between runs; a name of the sources, for numba looks at one file only."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "ingest" / "capture").rglob("*.py"), *(ROOT / "schemas").glob("*.py")]):
        digest.update(path.read_bytes())
    return ROOT / ".pytest_cache" / f"bounds-checked-{digest.hexdigest()[:16]}"


def test_a_million_mutated_packets():
    done = subprocess.run(
        [sys.executable, "-m", "tests.ingest.fuzz_capture", "--bounded"], capture_output=True, text=True, check=False,
        cwd=ROOT, env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(_cache())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert counts["packets"] == 1_000_000 and counts["captures"] == 2000
    assert counts["segments"] > 100_000  # mutations that nothing survives would test nothing
    assert counts["grown_kib"] < 64 << 10
