"""A cached kernel is used again, and no longer once the sources that it was made of have changed."""

import os
import subprocess
import sys

from ingest.capture.freshness import digest_of_sources

_MODULE = """
import sys
import numpy as np
from ingest.capture.freshness import fresh
from schemas.jit import kernel

def _total(values):
    total = 0
    for value in values:
        total += value
    return total

total = kernel(fresh(_total, int(sys.argv[1])))
print(total(np.arange(5)), sum(total.stats.cache_hits.values()), sum(total.stats.cache_misses.values()))
"""


def test_a_kernel_of_other_sources_is_compiled_anew(tmp_path):
    script = tmp_path / "total.py"
    script.write_text(_MODULE)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = [
        subprocess.run(
            [sys.executable, script, sources], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for sources in ("1", "1", "2", "2")
    ]
    assert printed == [["10", "0", "1"], ["10", "1", "0"], ["10", "0", "1"], ["10", "1", "0"]]


def test_the_digest_is_of_real_sources():
    assert digest_of_sources() == digest_of_sources() != 0
