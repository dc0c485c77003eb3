"""The name of the probe that each capture argument stands for."""

import os
from collections.abc import Sequence

from schemas.naming import valid_text

STANDARD_INPUT = "-"
_SUFFIXES = (".gz", ".zst")


def capture_name(path: str) -> str:
    """What the `capture` column holds: the file's name without directories; bytes that are no text as U+FFFD."""
    return "stdin" if path == STANDARD_INPUT else valid_text(os.path.basename(path))


def probe_ids(paths: Sequence[str], given: str | None = None) -> list[str]:
    """One id a path: `given`, or the file's name without .gz or .zst; the second of the same name gets ``#2``."""
    taken: set[str] = set()
    ids = []
    for path in paths:
        name = given or capture_name(path)
        if given is None:
            for suffix in _SUFFIXES:
                name = name.removesuffix(suffix) or name
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}#{number}"
        taken.add(unique)
        ids.append(unique)
    return ids
