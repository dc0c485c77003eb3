"""The Faust application around :class:`streams.worker.agent.Worker`: topics, table and settings, nothing else.

Settings follow measurements of Faust 0.15 on Kafka 4: the default aiokafka driver, no leader topic, no web server, no
waiting for empty streams at a rebalance (it hangs), small stream buffers because each message holds thousands of
segments, RocksDB caches for a table of pages rather than of small values.
"""

import logging
import os
import signal
import threading
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import faust
from faust.streams import Stream
from faust.types import TP, AppT, EventT, StreamT

from schemas.framing import MessageError
from schemas.topics import DEAD_LETTERS, SEGMENTS, WINDOWS, check_partitions
from streams.inference.engine import Settings
from streams.worker.agent import CheckpointPolicy, Worker
from streams.worker.partition import warm_up

log = logging.getLogger(__name__)

# A worker that is told to stop while it joins its group can hang for a minute: after this it ends without ceremony,
# which costs nothing, since it can be killed at any time.
STOP_GRACE_S = 15.0


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker runs; only `engine` shapes rows."""

    brokers: str
    partitions: int  # of the segments topic
    data_directory: Path  # of this worker alone: two on one directory fight for RocksDB's lock
    group: str = "tcpblame-worker"
    instance: str | None = None  # a static group member restarts without a rebalance
    session_timeout_s: float = 20.0
    engine: Settings = field(default_factory=Settings)
    checkpoints: CheckpointPolicy = field(default_factory=CheckpointPolicy)


class _Outlet:
    """The topics that results go to."""

    def __init__(self, app: AppT) -> None:
        self._windows = app.topic(WINDOWS, key_serializer="raw", value_serializer="raw")
        self._dead_letters = app.topic(DEAD_LETTERS, key_serializer="raw", value_serializer="raw")

    async def windows(self, partition: int, value: bytes) -> Awaitable[object]:
        sent: Awaitable[object] = await self._windows.send(value=value, partition=partition)
        return sent

    async def dead_letter(self, event: EventT[bytes], reason: MessageError) -> Awaitable[object]:
        message = event.message
        headers = {
            "error": type(reason).__name__.encode(),
            "reason": str(reason).encode(),
            "topic": message.topic.encode(),
            "partition": str(message.partition).encode(),
            "offset": str(message.offset).encode(),
        }
        sent: Awaitable[object] = await self._dead_letters.send(key=message.key, value=message.value, headers=headers)
        return sent


def create_app(settings: WorkerSettings) -> faust.App:
    """The Faust app of a worker; nothing is opened before it is started."""
    check_partitions(settings.partitions)
    app = faust.App(
        settings.group,
        broker=f"kafka://{settings.brokers}",
        datadir=str(settings.data_directory),
        store="rocksdb://",
        topic_partitions=settings.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=256,
        stream_publish_on_commit=False,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 3,
        broker_commit_interval=1.0,
        broker_max_poll_records=500,
        consumer_max_fetch_size=4 << 20,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.instance,
        producer_acks=-1,
        producer_compression_type="lz4",
        producer_linger=0.02,
        producer_max_batch_size=512 << 10,
        producer_max_request_size=4 << 20,
        table_standby_replicas=0,
        store_check_exists=False,
    )
    segments = app.topic(SEGMENTS, key_serializer="raw", value_serializer="raw", partitions=settings.partitions)
    table = app.Table(
        "state",
        partitions=settings.partitions,
        key_type=bytes,
        value_type=bytes,
        options={
            "driver": "rocksdict",
            "write_buffer_size": 8 << 20,
            "max_write_buffer_number": 2,
            "block_cache_size": 32 << 20,
        },
    )
    worker = Worker(table, _Outlet(app), SEGMENTS, settings.partitions, settings.engine, settings.checkpoints)

    @app.on_partitions_assigned.connect  # type: ignore[arg-type]
    async def assigned(_app: object, *assigned: set[TP], signal: object = None, **_: object) -> None:
        # A partition that comes back may have been another worker's in between.
        worker.forget({tp.partition for tps in assigned for tp in tps if tp.topic == SEGMENTS})

    @app.on_partitions_revoked.connect  # type: ignore[arg-type]
    async def revoked(_app: object, *revoked: set[TP], signal: object = None, **_: object) -> None:
        worker.forget({tp.partition for tps in revoked for tp in tps if tp.topic == SEGMENTS})

    # One event at a time: with more, Faust can commit past an event that is still being processed.
    @app.agent(segments, concurrency=1)
    async def apply(stream: StreamT[bytes]) -> None:
        async for event in cast("Stream[bytes]", stream).noack().events():
            await worker.on_event(stream, event)

    return app


class _FaustWorker(faust.Worker):
    """Faust's worker, with an end to its stopping."""

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        timer = threading.Timer(STOP_GRACE_S, os._exit, [0])
        timer.daemon = True
        timer.start()
        super()._schedule_shutdown(number)


def run(settings: WorkerSettings, log_level: str = "warning") -> None:
    """Run a worker in this process until it is told to stop (SIGTERM, SIGINT); ends the process."""
    settings.data_directory.mkdir(parents=True, exist_ok=True)
    warm_up(settings.engine)  # before the group's clock runs
    app = create_app(settings)
    _FaustWorker(app, loglevel=log_level, redirect_stdouts=False).execute_from_commandline()
