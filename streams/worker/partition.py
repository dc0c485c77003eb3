"""One partition's engine and the marks of what it has seen: bytes in, bytes out; no Kafka, no clock.

:meth:`Partition.apply` is a pure function of the state and the message: a worker that applies the same messages to the
same state makes the same window batches, so what a killed worker had sent is sent again alike and recognised by its
origin.
"""

import json
import struct
from dataclasses import dataclass, field

import numpy as np
import zstandard

from schemas import columns, segment_batch
from schemas.framing import MessageError
from schemas.rows import Rows
from schemas.segment_batch import WATERMARK_END, BatchHead, decode
from schemas.window_batch import Origin, WindowBatch, encode
from streams.inference.engine import Engine, Settings

_MAGIC = b"TBP1"
_HEAD = struct.Struct("<4sIQ")  # magic, bytes of the marks, bytes of the engine's state
_STATE_BYTES_MAX = 1 << 40
# Replayed epochs whose batches are still recognised: each replay of another file or with other options is one.
_REPLAYS_MAX = 1024


class StateError(Exception):
    """A partition's saved state is not usable."""


@dataclass
class Mark:
    """How far a probe's batches have been applied."""

    epoch: int
    sequence: int


@dataclass
class Counts:
    """What happened to the messages of a partition since its state began."""

    batches: int = 0
    segments: int = 0
    replayed_offsets: int = 0  # read again after a restart
    repeated: int = 0  # sent again by a probe: same epoch and sequence
    fenced: int = 0  # of an epoch before the probe's present one
    gaps: int = 0  # sequence numbers that never came
    poisoned: int = 0  # unreadable


@dataclass
class Partition:
    """An engine, the source offset it has reached and each probe's last batch."""

    topic: str
    number: int
    partitions: int
    settings: Settings = field(default_factory=Settings)
    offset: int = -1  # last applied
    counts: Counts = field(default_factory=Counts)
    ended: bool = False  # the last batch was the end of its probe's observation, new or repeated

    def __post_init__(self) -> None:
        self._engine = Engine(self.settings)
        self._live: dict[str, Mark] = {}
        self._replays: dict[tuple[str, int], int] = {}  # (probe, epoch) -> last sequence, oldest first

    def apply(self, offset: int, message: bytes) -> bytes | None:
        """The window batch that a message at a source offset leads to, None if no row settled.

        Offsets at or below the last one are skipped. Raises :class:`MessageError` if the message is no batch for this
        partition; it counts as applied.
        """
        if offset <= self.offset:
            self.counts.replayed_offsets += 1
            return None
        self.offset = offset
        self.ended = False
        try:
            batch = decode(message)
            self._check(batch.head, batch.segments.shard)
        except MessageError:
            self.counts.poisoned += 1
            raise
        head = batch.head
        self.ended = head.end_of_observation
        if not self._advance_mark(head):
            return None
        self.counts.batches += 1
        self.counts.segments += len(batch.segments.time_ns)
        self._engine.feed(head.probe, head.taps, batch.segments, head.capture)
        if head.end_of_observation:
            self._engine.end(head.probe)
        elif head.watermark_ns < WATERMARK_END:
            self._engine.advance(head.probe, head.watermark_ns)
        rows = self._engine.drain()
        if not head.end_of_observation and not any(len(records) for records in rows.records.values()):
            return None
        origin = Origin(self.topic, self.number, offset)
        return encode(WindowBatch(origin, head.probe, head.end_of_observation, _named_only(rows)))

    def _check(self, head: BatchHead, shards: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> None:
        if head.partitions != self.partitions or head.partition != self.number:
            raise MessageError(
                f"made for partition {head.partition} of {head.partitions}, found in {self.number} of {self.partitions}"
            )
        if (shards % np.uint16(self.partitions) != self.number).any():
            raise MessageError("holds a connection of another partition")

    def _advance_mark(self, head: BatchHead) -> bool:
        """Whether the batch is new; moves its probe's mark."""
        if head.replay:
            key = (head.probe, head.epoch)
            last = self._replays.pop(key, -1)
            self._replays[key] = max(last, head.sequence)
            while len(self._replays) > _REPLAYS_MAX:
                del self._replays[next(iter(self._replays))]
        else:
            mark = self._live.setdefault(head.probe, Mark(head.epoch, -1))
            if head.epoch < mark.epoch:
                self.counts.fenced += 1
                return False
            last = mark.sequence if head.epoch == mark.epoch else -1
            mark.epoch, mark.sequence = head.epoch, max(last, head.sequence)
        if head.sequence <= last:
            self.counts.repeated += 1
            return False
        if head.sequence > last + 1:
            # On credit: the connections of this probe are to be marked interrupted; the engine has no such call yet.
            self.counts.gaps += 1
        return True

    def save(self) -> bytes:
        """Marks and engine as bytes."""
        marks = {
            "topic": self.topic,
            "partition": self.number,
            "partitions": self.partitions,
            "offset": self.offset,
            "counts": vars(self.counts),
            "live": [[probe, mark.epoch, mark.sequence] for probe, mark in self._live.items()],
            "replays": [[probe, epoch, sequence] for (probe, epoch), sequence in self._replays.items()],
        }
        head = json.dumps(marks).encode()
        state = self._engine.save()
        return zstandard.compress(_HEAD.pack(_MAGIC, len(head), len(state)) + head + state, 1)

    @classmethod
    def restore(
        cls, data: bytes, topic: str, number: int, partitions: int, settings: Settings | None = None
    ) -> "Partition":
        """The partition that :meth:`save` wrote down. Raises :class:`StateError` if the bytes are none of it."""
        try:
            plain = zstandard.decompress(data, _STATE_BYTES_MAX)
            magic, head_bytes, state_bytes = _HEAD.unpack_from(plain)
            if magic != _MAGIC or len(plain) != _HEAD.size + head_bytes + state_bytes:
                raise ValueError("not a partition's state")
            marks = json.loads(plain[_HEAD.size : _HEAD.size + head_bytes])
            if (marks["topic"], marks["partition"], marks["partitions"]) != (topic, number, partitions):
                raise ValueError(f"it is that of {marks['topic']} {marks['partition']} of {marks['partitions']}")
            found = cls(topic, number, partitions, settings or Settings(), marks["offset"], Counts(**marks["counts"]))
            found._engine = Engine.restore(plain[_HEAD.size + head_bytes :], settings)
            found._live = {probe: Mark(epoch, sequence) for probe, epoch, sequence in marks["live"]}
            found._replays = {(probe, epoch): sequence for probe, epoch, sequence in marks["replays"]}
        except (ValueError, KeyError, TypeError, struct.error, zstandard.ZstdError) as error:
            raise StateError(f"the state of {topic} partition {number} cannot be restored: {error}") from error
        return found


def warm_up(settings: Settings) -> None:
    """Compile or load all kernels by way of one segment of nobody's: that can take longer than a group's patience."""
    segments = columns.empty(1)
    for column in segments:
        column[:] = 0
    head = BatchHead("", ("",), epoch=0, sequence=0, partition=0, partitions=1, watermark_ns=0)
    Partition("", 0, 1, settings).apply(0, segment_batch.encode(head, segments))


def _named_only(rows: Rows) -> Rows:
    """The rows with the sources that they name: an engine's list holds all that it ever saw."""
    parts = [records["source"] for records in rows.records.values() if len(records)]
    used = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int32)
    renamed = {}
    for table, records in rows.records.items():
        if len(records):
            records = records.copy()  # noqa: PLW2901
            records["source"] = np.searchsorted(used, records["source"])
            renamed[table] = records
    return Rows([rows.sources[number] for number in used.tolist()], rows.ruleset, renamed)
