"""Fuzz the reading of captures: ``python -m tests.ingest.fuzz_capture [SECONDS] [SEED]``; endless without SECONDS.

Run it with NUMBA_BOUNDSCHECK=1 and a NUMBA_CACHE_DIR of its own (a kernel cached without bounds checks stays so);
it refuses to run without. With ``--bounded`` it does the fixed work of the test suite: a million mutated packets and
two thousand mutated captures.
"""

import itertools
import random
import resource
import sys
import time

import numpy as np

from schemas.jit import kernel
from tests.ingest.mutated import base_captures, check_capture, check_headers

PACKETS_A_ROUND = 4000
CAPTURES_A_ROUND = 8


@kernel
def _beyond(raw, at):
    return raw[np.uint64(at)]


def bounds_are_checked() -> bool:
    """Whether a compiled read beyond an array's end raises."""
    try:
        _beyond(np.zeros(1, np.uint8), 5)
    except IndexError:
        return True
    return False


def main(arguments: list[str]) -> int:
    if not bounds_are_checked():
        sys.stderr.write("fuzz_capture: set NUMBA_BOUNDSCHECK=1 and NUMBA_CACHE_DIR to a directory of its own\n")
        return 2
    bounded = "--bounded" in arguments
    numbers = [float(argument) for argument in arguments if argument != "--bounded"]
    seconds = numbers[0] if numbers else float("inf")
    first = int(numbers[1]) if len(numbers) > 1 else 0
    seeds = range(first, first + 250) if bounded else itertools.count(first)
    bases = base_captures()
    packets = captures = segments = 0
    started = time.monotonic()
    memory = 0
    for seed in seeds:
        try:
            segments += check_headers(np.random.default_rng(seed), PACKETS_A_ROUND)
            chance = random.Random(seed)
            for _ in range(CAPTURES_A_ROUND):
                check_capture(chance, bases)
        except BaseException:
            sys.stderr.write(f"fuzz_capture: seed {seed}\n")
            raise
        packets += PACKETS_A_ROUND
        captures += CAPTURES_A_ROUND
        if seed == first + 20:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if time.monotonic() - started > seconds:
            break
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory if memory else 0
    sys.stdout.write(f"packets {packets} segments {segments} captures {captures} grown_kib {grown}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
