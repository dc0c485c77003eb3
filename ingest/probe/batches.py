"""Cutting a probe's segments into batches: by number and capture time only, so that a replay cuts them alike.

A *flush* takes the segments since the last one and makes at least one batch for every partition: a batch without
segments carries the watermark to a partition where nothing happened.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from schemas.columns import Segments, concatenate, rows_of
from schemas.segment_batch import WATERMARK_END, BatchHead, encode
from schemas.topics import check_partitions

# Segments in one batch: about 40 KB in the topic, so that a worker's ceiling of some 10,000 messages a second is far.
SEGMENTS_PER_BATCH = 4000
FLUSH_SEGMENTS_MAX = 1 << 18  # 32 MB of columns waiting at most
FLUSH_NS = 1_000_000_000  # a window's length: what settles in a second of capture leaves with its end
# Packets of several queues or interfaces reach a capture slightly out of order: the watermark stays behind by more.
DISORDER_NS = 1_000_000_000


class Message(NamedTuple):
    """One message for the segments topic."""

    partition: int
    key: bytes
    value: bytes
    segments: int


@dataclass(frozen=True)
class Identity:
    """Who sends: the fields of each batch that do not change within an epoch."""

    probe: str
    epoch: int
    partitions: int
    replay: bool
    capture: str | None = None


class Batcher:
    """Segments in, messages out; numbers the batches of each partition."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        partitions = check_partitions(identity.partitions)
        self._sequence = [0] * partitions
        self._flush_segments = min(SEGMENTS_PER_BATCH * partitions, FLUSH_SEGMENTS_MAX)
        self._waiting: list[Segments] = []
        self._count = 0
        self._start_ns = 0  # capture time of the first waiting segment
        self._latest_ns: int | None = None
        self._watermark_ns = 0  # of the last flush
        self._taps: tuple[str, ...] = ()

    def add(self, segments: Segments, taps: Sequence[str]) -> Iterator[Message]:
        """Take segments in capture order; ``segments.tap`` indexes `taps`. Yields what that fills."""
        self._taps = tuple(taps)
        n = len(segments.time_ns)
        if n == 0:
            return
        times = np.maximum.accumulate(segments.time_ns)
        if self._latest_ns is not None:
            times = np.maximum(times, self._latest_ns)
        begin = 0
        while begin < n:
            if self._count == 0:
                self._start_ns = int(times[begin])
            # Cut before the first segment that is too late, or behind the last one that fits.
            late = begin + int(np.searchsorted(times[begin:], self._start_ns + FLUSH_NS))
            end = min(late, begin + self._flush_segments - self._count, n)
            if end > begin:
                self._waiting.append(rows_of(segments, begin, end))
                self._count += end - begin
                self._latest_ns = int(times[end - 1])
            if end == late < n or self._count == self._flush_segments:
                yield from self._flush(max(self._watermark_ns, (self._latest_ns or 0) - DISORDER_NS))
            begin = end

    def end(self) -> Iterator[Message]:
        """The observation has ended: what waits, with its exact watermark, then the final batch of each partition."""
        yield from self._flush(max(self._watermark_ns, self._latest_ns or 0))
        for partition in range(self._identity.partitions):
            yield self._message(partition, None, None, WATERMARK_END, end=True)

    def _flush(self, watermark_ns: int) -> Iterator[Message]:
        segments = self._waiting[0] if len(self._waiting) == 1 else concatenate(self._waiting)
        self._waiting = []
        self._count = 0
        partitions = self._identity.partitions
        of = segments.shard % np.uint16(partitions)
        order = np.argsort(of, kind="stable").astype(np.uint32)
        bounds = np.searchsorted(of[order], np.arange(partitions + 1))
        for partition in range(partitions):
            rows = order[bounds[partition] : bounds[partition + 1]]
            for start in range(0, max(len(rows), 1), SEGMENTS_PER_BATCH):
                last = start + SEGMENTS_PER_BATCH >= len(rows)
                chosen = rows[start : start + SEGMENTS_PER_BATCH]
                yield self._message(partition, segments, chosen, watermark_ns if last else self._watermark_ns)
        self._watermark_ns = watermark_ns

    def _message(
        self,
        partition: int,
        segments: Segments | None,
        rows: np.ndarray[tuple[int, ...], np.dtype[np.uint32]] | None,
        watermark_ns: int,
        end: bool = False,
    ) -> Message:
        identity = self._identity
        head = BatchHead(
            probe=identity.probe,
            taps=self._taps,
            epoch=identity.epoch,
            sequence=self._sequence[partition],
            partition=partition,
            partitions=identity.partitions,
            watermark_ns=watermark_ns,
            replay=identity.replay,
            capture=identity.capture,
            end_of_observation=end,
        )
        self._sequence[partition] += 1
        lowest = partition
        if segments is None or rows is None:
            segments = concatenate([])
        elif len(rows):
            lowest = int(segments.shard[rows].min())
        count = 0 if rows is None else len(rows)
        return Message(partition, lowest.to_bytes(2, "big"), encode(head, segments, rows), count)
