"""The sink process: reads the windows topic from its beginning and gives each batch to :class:`Blocks`.

It has no consumer group: which offsets are done stands in the store alone, with the rows.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.framing import MessageError
from schemas.topics import SEGMENTS, WINDOWS
from schemas.window_batch import decode
from sinks.stream.blocks import Blocks

log = logging.getLogger(__name__)

_METADATA_LIMIT_S = 30.0
_POLL_S = 0.2
_CHECK_S = 0.5  # how often "is anything more to come?" is asked


class SinkError(Exception):
    """The sink cannot go on, in one line."""


@dataclass
class Progress:
    """What a sink has done."""

    batches: int = 0
    unreadable: int = 0


def _consumer(brokers: str, group: str) -> Consumer:
    settings: dict[str, Any] = {
        "bootstrap.servers": brokers,
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "reconnect.backoff.max.ms": 2_000,
        "fetch.message.max.bytes": 4 << 20,
        "queued.max.messages.kbytes": 64 << 10,
        "log_level": 0,
        "error_cb": lambda _error: None,
    }
    return Consumer(settings)


def consume(
    brokers: str,
    blocks: Blocks,
    stopped: Callable[[], bool],
    until_idle: bool = False,
    worker_group: str = "tcpblame-worker",
    limit_s: float = 120.0,
    metadata_limit_s: float = _METADATA_LIMIT_S,
) -> Progress:
    """Take window batches until `stopped` says so.

    until_idle: also stop when nothing more can come: the workers (consumer group `worker_group`) have acknowledged
    all segments and all their windows have been taken. Raises :class:`SinkError` if no broker or topic is there, or,
    with `until_idle`, if that has not come about and nothing has come for `limit_s` seconds.
    """
    progress = Progress()
    consumer = _consumer(brokers, "tcpblame-sink")
    try:
        count = _partitions(consumer, WINDOWS, brokers, metadata_limit_s)
        consumer.assign([TopicPartition(WINDOWS, number, OFFSET_BEGINNING) for number in range(count)])
        taken = [0] * count  # next offset of each partition
        last_news = last_check = time.monotonic()
        while not stopped():
            message = consumer.poll(_POLL_S)
            now = time.monotonic()
            if message is not None:
                if _take(message, blocks, progress):
                    taken[message.partition() or 0] = (message.offset() or 0) + 1
                    last_news = now
                continue
            if until_idle and now - last_check >= _CHECK_S:
                last_check = now
                # The worker's lag first: what it acknowledged it had sent before.
                if workers_are_done(brokers, worker_group) and all(
                    taken[number] >= _high(consumer, WINDOWS, number) for number in range(count)
                ):
                    break
                if now - last_news > limit_s:
                    raise SinkError(f"nothing came for {limit_s:.0f} s and the workers have not taken all segments")
    finally:
        consumer.close()
    return progress


def _take(message: Message, blocks: Blocks, progress: Progress) -> bool:
    error = message.error()
    if error is not None:
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            raise SinkError(f"topic {WINDOWS}: {error.str()}")
        return False  # the broker is away: the client goes on trying
    try:
        blocks.take(decode(message.value() or b""))
        progress.batches += 1
    except MessageError as reason:
        progress.unreadable += 1
        log.warning("%s partition %s offset %s: %s", WINDOWS, message.partition(), message.offset(), reason)
    return True


def _partitions(consumer: Consumer, topic: str, brokers: str, limit_s: float = _METADATA_LIMIT_S) -> int:
    try:
        found = consumer.list_topics(topic, timeout=limit_s).topics[topic]
    except KafkaException as error:
        raise SinkError(f"no Kafka broker answers at {brokers}: {error.args[0].str()}") from error
    if found.error is not None or not found.partitions:
        raise SinkError(f"topic {topic} does not exist at {brokers}: tcpblame init creates it")
    return len(found.partitions)


def _high(consumer: Consumer, topic: str, partition: int) -> int:
    """The offset that the next message of a partition will get."""
    try:
        bounds = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_METADATA_LIMIT_S)
    except KafkaException as error:
        raise SinkError(f"topic {topic}: {error.args[0].str()}") from error
    return int(bounds[1]) if bounds else 0


def workers_are_done(brokers: str, group: str) -> bool:
    """Whether the group has acknowledged every segment batch there is, and there is one."""
    reader = _consumer(brokers, group)  # joins nothing: only asks for the group's offsets
    try:
        count = _partitions(reader, SEGMENTS, brokers)
        committed = reader.committed(
            [TopicPartition(SEGMENTS, number) for number in range(count)], timeout=_METADATA_LIMIT_S
        )
        highs = [_high(reader, SEGMENTS, entry.partition) for entry in committed]
        return any(highs) and all(entry.offset >= high for entry, high in zip(committed, highs, strict=True) if high)
    except KafkaException:
        return False  # the broker is away: not now
    finally:
        reader.close()
