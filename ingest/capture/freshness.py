"""Cached kernels that notice an edit in the functions they call.

numba keeps a compiled kernel until the kernel's own file changes; an edit in a file of a *called* function (here: of
the header kernels) would go unnoticed, and old code would run on after an update. But numba's cache is also keyed by
the values in a kernel's closure: giving it one, a digest of all sources that go into it, makes a stale kernel a miss.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import CellType, FunctionType
from typing import Any, TypeVar, cast

from numba import config

F = TypeVar("F", bound=Callable[..., Any])

_HERE = Path(__file__).resolve().parent
_SCHEMAS = ("columns.py", "jit.py", "shard.py")  # what the kernels take from there


def digest_of_sources() -> int:
    """A 62-bit digest of the sources of the reading kernels; 0 where there are none to read."""
    digest = hashlib.blake2b(digest_size=8)
    try:
        called = [_HERE.parents[1] / "schemas" / name for name in _SCHEMAS]
        for path in [*sorted(_HERE.rglob("*.py")), *called]:
            digest.update(path.read_bytes())
    except OSError:
        return 0
    return int.from_bytes(digest.digest(), "big") >> 2


_SOURCES = digest_of_sources()


def fresh(function: F, sources: int = _SOURCES) -> F:
    """The same function with `sources` in its closure; goes between ``@kernel`` and the function."""
    if config.DISABLE_JIT:  # type: ignore[attr-defined]  # then the function itself runs, and it must be as it was written
        return function
    code = function.__code__.replace(co_freevars=(*function.__code__.co_freevars, "_sources"))
    closure = (*(function.__closure__ or ()), CellType(sources))
    copy = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    copy.__doc__, copy.__qualname__ = function.__doc__, function.__qualname__
    return cast(F, copy)
