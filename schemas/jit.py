"""The one place that holds numba's options; every kernel of the product is made by one of these decorators.

With ``NUMBA_DISABLE_JIT=1`` they return the Python function itself and every kernel runs as ordinary Python with the
same results. What makes that true is arithmetic: read every field into int64 (``int(...)``), mask sequence numbers with
0xFFFFFFFF, write back with a cast, divide only what cannot be zero.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

# nogil: a worker's heartbeats run while a kernel does. error_model="numpy": no division check in the packet path.
# _nrt: no reference counts. Kernels allocate nothing (they get all arrays from their callers), and counting references
# to the arrays that records and views come from, atomically and at each access, made the inference kernel 33 times
# slower (2,228 against 66 ns a segment).
_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": False,
    "_nrt": False,
}


def kernel(function: F) -> F:
    """A kernel that is called from Python once for each batch; cached on disk beside the source.

    Where numba can write neither there nor into the user's cache directory it refuses to cache, and the kernel is
    compiled anew by each process.
    """
    try:
        return cast(F, numba.jit(cache=True, **_OPTIONS)(function))
    except RuntimeError:
        return cast(F, numba.jit(**_OPTIONS)(function))


def plain(function: F) -> F:
    """A function that kernels call: compiled, not inlined, for paths that few segments take."""
    return cast(F, numba.jit(**_OPTIONS)(function))


def inlined(function: F) -> F:
    """A small function on every segment's path, inlined by numba into the kernel that calls it."""
    return cast(F, numba.jit(inline="always", **_OPTIONS)(function))
