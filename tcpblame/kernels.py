"""Whether the compiled kernels are at hand, so that nobody wonders what the first run is doing for a minute."""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from streams.inference.compose import cache_directory, compose


@dataclass(frozen=True)
class Kernels:
    """How the inference kernel of all statistics stands."""

    folder: Path
    problem: str | None  # why nothing can be kept there
    compiled: bool


def look() -> Kernels:
    """Compose the kernel (which compiles nothing yet) and look for its compiled form in the cache."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        composition = compose()
    folder = cache_directory()
    if caught:
        return Kernels(folder, str(caught[0].message), False)
    path = getattr(sys.modules[composition.process.__module__], "__file__", None)
    if path is None:
        return Kernels(folder, "the kernel has no file", False)
    name = Path(path).stem
    return Kernels(folder, None, any(Path(path).parent.glob(f"__pycache__/{name}.process-*.nbc")))
