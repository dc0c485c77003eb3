"""The kernels run as ordinary Python with the same rows, byte for byte."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.properties.uncompiled_rows import digests

ROOT = Path(__file__).parents[2]


def test_rows_are_the_same_uncompiled() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.properties.uncompiled_rows"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == digests()
