"""Segments that no stack sends: no access out of bounds, and rows that keep what rows must keep."""

import os
import subprocess
import sys

from tests.inference.fuzz_engine import fuzz


def test_nonsense_gives_sound_rows():
    assert fuzz(400_000, seed=1000) == 400_000


def test_nonsense_stays_within_bounds(tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("bounds"))
    checked = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": cache, "TCPBLAME_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-m", "tests.inference.fuzz_engine", "150000", "7"],
        env=checked, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "150000 segments, every row sound\n"), done.stderr
