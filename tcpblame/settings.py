"""All settings of the embedded product in one object: defaults here, then ``TCPBLAME_*``, then flags.

| variable | default | what |
| --- | --- | --- |
| TCPBLAME_WINDOW | 1s | length of a window, of capture time |
| TCPBLAME_CONNECTIONS_PER_SHARD | 1024 | most connections at a time in each of the 1024 shards |
| TCPBLAME_HALF_OPEN_PER_SHARD | 64 | most half-open connections in each shard, a pool of their own |
| TCPBLAME_IDLE_TIMEOUT | 125m | a connection that is silent for so long is forgotten |
| TCPBLAME_CACHE_DIR | the user's cache directory | where compiled kernels are kept |
| TCPBLAME_DEBUG | 0 | 1: show where an error came from |
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tcpblame.exits import USAGE, UserError
from tcpblame.values import SECOND_NS, duration_ns

if TYPE_CHECKING:
    from streams.inference.engine import Settings as EngineSettings

# The engine's own bounds: kernels' clocks tick every 1 to 10 ms; above an hour a window says nothing about "now".
WINDOW_MIN_NS, WINDOW_MAX_NS, WINDOW_STEP_NS = 10_000_000, 3600 * SECOND_NS, 1_000_000


@dataclass(frozen=True)
class Settings:
    """The settings; see the module's table. Durations in nanoseconds of capture time."""

    window_ns: int = SECOND_NS
    connections_per_shard: int = 1024
    half_open_per_shard: int = 64
    idle_timeout_ns: int = 7_500 * SECOND_NS
    cache_dir: Path | None = None  # None: the default place, see default_cache_dir
    debug: bool = False

    def __post_init__(self) -> None:
        if not WINDOW_MIN_NS <= self.window_ns <= WINDOW_MAX_NS or self.window_ns % WINDOW_STEP_NS:
            raise UserError("a window is 10ms to 1h long, in whole milliseconds", USAGE)
        if not 1 <= self.idle_timeout_ns <= 30 * 24 * 3600 * SECOND_NS:
            raise UserError("the idle timeout is at most 30 days (720h)", USAGE)
        if not 1 <= self.connections_per_shard <= 1 << 20:
            raise UserError("connections per shard: 1 to 1048576", USAGE)
        if not 1 <= self.half_open_per_shard <= 1 << 20:
            raise UserError("half-open connections per shard: 1 to 1048576", USAGE)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, *, window_ns: int | None = None) -> "Settings":
        """Defaults, then the environment, then the flags that were given. Raises UserError (status 2)."""
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        for name, read in _READERS.items():
            variable = _variable(name)
            text = environ.get(variable, "")
            if text:
                try:
                    found[name] = read(text)
                except ValueError as error:
                    raise UserError(f"{variable}: {error}", USAGE) from error
        if window_ns is not None:
            found["window_ns"] = window_ns
        return cls(**found)

    def engine(self) -> "EngineSettings":
        """What the inference engine is built for."""
        from streams.inference.engine import Settings as EngineSettings  # noqa: PLC0415 - compiles nothing, costs numba

        return EngineSettings(
            window_ns=self.window_ns,
            connections_per_shard=self.connections_per_shard,
            half_open_per_shard=self.half_open_per_shard,
            idle_timeout_ns=self.idle_timeout_ns,
        )


def default_cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Where compiled kernels go if ``TCPBLAME_CACHE_DIR`` does not say (XDG base directories)."""
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_CACHE_HOME") or ""
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "tcpblame"


def _variable(name: str) -> str:
    return f"TCPBLAME_{name.removesuffix('_ns').upper()}"


def _switch(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(f"{text!r} is neither 0 nor 1")
    return text == "1"


_READERS: dict[str, Callable[[str], Any]] = {
    "window_ns": duration_ns,
    "connections_per_shard": int,
    "half_open_per_shard": int,
    "idle_timeout_ns": duration_ns,
    "cache_dir": Path,
    "debug": _switch,
}
VARIABLES = tuple(_variable(field.name) for field in fields(Settings))
