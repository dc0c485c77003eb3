"""The engine's face: segments in, rows out, state as bytes. Pure: no Kafka, no clock, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.columns import Segments
from schemas.rows import Rows


@dataclass(frozen=True)
class Settings:
    """What an engine is built for. Part of the layout: state of other settings is converted, never guessed."""

    window_ns: int = 1_000_000_000
    connections_per_shard: int = 1024  # established, per shard: 1,048,576 in all
    half_open_per_shard: int = 64  # a pool of their own: a SYN flood cannot evict established connections
    idle_timeout_ns: int = 600 * 1_000_000_000


class Engine:
    """Connection table and inference of one process or one Kafka partition."""

    def __init__(self, settings: Settings | None = None) -> None: ...

    def feed(self, probe: str, taps: Sequence[str], segments: Segments, capture: str | None = None) -> None:
        """Apply segments of one probe; ``segments.tap`` indexes `taps`. Capture order within each connection."""

    def advance(self, probe: str, watermark_ns: int) -> None:
        """Every segment of `probe` captured before `watermark_ns` has been fed: settle what that settles."""

    def end(self, probe: str) -> None:
        """The observation of `probe` has ended: close all its connections (observation_ended)."""

    def drain(self) -> Rows:
        """The rows settled since the last call."""

    def save(self) -> bytes:
        """The whole state, rows not yet drained excepted."""

    @classmethod
    def restore(cls, data: bytes, settings: Settings | None = None) -> "Engine":
        """The engine that :meth:`save` wrote down. Raises ValueError if the bytes are none."""

    def counters(self) -> dict[str, int]:
        """connections, half_open, evicted, half_open_evicted, expired, segments, ..."""
