"""What the worker does with each event: apply, emit, now and then a checkpoint, then acknowledge.

Order at a checkpoint: window batches delivered, pages written, events acknowledged (Faust commits offsets only after
its producer, changelog included, has been flushed). A table write goes to the partition of the event being processed,
so each partition is checkpointed on its own while one of its own events is current.

The mark in the state rules, not the committed offset: what it covers is skipped.
"""

import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol

from faust.types import EventT, StreamT

from schemas.framing import MessageError
from streams.inference.engine import Settings
from streams.worker.checkpoint import Checkpoints, Table
from streams.worker.partition import Partition

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a partition's state is saved; has no influence on any row."""

    seconds: float = 3.0
    bytes_held: int = 32 << 20  # messages that wait for their acknowledgement stay in memory


class Outlet(Protocol):
    """Where results go; each call returns what to await for their delivery."""

    async def windows(self, partition: int, value: bytes) -> Awaitable[object]:
        """Send a window batch to the same partition of its topic."""
        ...

    async def dead_letter(self, event: EventT[bytes], reason: MessageError) -> Awaitable[object]:
        """Send the original bytes of an unreadable message with the reason."""
        ...


@dataclass
class Holding:
    """One assigned partition in memory."""

    partition: Partition
    checkpoints: Checkpoints
    undelivered: list[Awaitable[object]] = field(default_factory=list)
    unacknowledged: list[EventT[bytes]] = field(default_factory=list)
    bytes_held: int = 0
    saved_at: float = 0.0


class Worker:
    """The events of all assigned partitions, one after the other."""

    def __init__(
        self,
        table: Table,
        outlet: Outlet,
        topic: str,
        partitions: int,
        settings: Settings,
        policy: CheckpointPolicy,
    ) -> None:
        self._table, self._outlet, self._topic, self._partitions = table, outlet, topic, partitions
        self._settings, self._policy = settings, policy
        self._holdings: dict[int, Holding] = {}

    def forget(self, partitions: set[int] | None = None) -> None:
        """Drop what is in memory of partitions (all, if None): they were assigned anew, or taken away."""
        for number in list(self._holdings) if partitions is None else partitions:
            self._holdings.pop(number, None)

    async def on_event(self, stream: StreamT[bytes], event: EventT[bytes]) -> None:
        """Take one event of the segments topic, while it is the current one of its stream."""
        message = event.message
        holding = self._holdings.get(message.partition)
        if holding is None:
            holding = self._holdings[message.partition] = self._load(message.partition)
        if message.offset > holding.partition.offset + 1 and holding.partition.offset >= 0:
            # What was acknowledged is in a state, so those between were removed from the topic before they were read.
            log.error(
                "%s partition %d: batches %d to %d are gone",
                self._topic, message.partition, holding.partition.offset + 1, message.offset - 1,
            )  # fmt: skip
        value = event.value or b""
        try:
            out = holding.partition.apply(message.offset, value)
        except MessageError as reason:
            log.warning("%s partition %d offset %d: %s", self._topic, message.partition, message.offset, reason)
            holding.undelivered.append(await self._outlet.dead_letter(event, reason))
            out = None
        if out is not None:
            holding.undelivered.append(await self._outlet.windows(message.partition, out))
        holding.unacknowledged.append(event)
        holding.bytes_held += len(value)
        due = time.monotonic() - holding.saved_at >= self._policy.seconds
        if holding.partition.ended or due or holding.bytes_held >= self._policy.bytes_held:
            await self._checkpoint(stream, holding)

    def _load(self, number: int) -> Holding:
        checkpoints = Checkpoints(self._table, number)
        data = checkpoints.read()
        if data is None:
            partition = Partition(self._topic, number, self._partitions, self._settings)
        else:
            partition = Partition.restore(data, self._topic, number, self._partitions, self._settings)
        log.info("%s partition %d: state at offset %d", self._topic, number, partition.offset)
        return Holding(partition, checkpoints, saved_at=time.monotonic())

    async def _checkpoint(self, stream: StreamT[bytes], holding: Holding) -> None:
        for delivery in holding.undelivered:
            await delivery
        holding.undelivered.clear()
        pages = holding.checkpoints.write(holding.partition.offset, holding.partition.save())
        for event in holding.unacknowledged:
            await stream.ack(event)
        counts = holding.partition.counts
        log.info(
            "%s partition %d: checkpoint at %d, %d pages, %d events; %s",
            self._topic, holding.partition.number, holding.partition.offset, pages, len(holding.unacknowledged), counts,
        )  # fmt: skip
        holding.unacknowledged.clear()
        holding.bytes_held = 0
        holding.saved_at = time.monotonic()
