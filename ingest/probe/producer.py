"""Sending batches to Kafka: idempotent, complete, in bounded memory."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from ingest.probe.batches import Message
from schemas.topics import SEGMENTS

_METADATA_LIMIT_S = 30.0
_SETTINGS: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",  # zstd saves a tenth more and costs the probe several times as much
    "linger.ms": 20,
    "batch.size": 1 << 20,
    "message.max.bytes": 4 << 20,
    "queue.buffering.max.kbytes": 64 << 10,
    "delivery.timeout.ms": 60_000,
    "reconnect.backoff.max.ms": 2_000,
    "log_level": 0,
}


class ProbeError(Exception):
    """The segments could not be delivered, in one line."""


class SegmentProducer:
    """A producer for the segments topic that waits when its queue is full and tells what was not delivered."""

    def __init__(self, brokers: str, topic: str = SEGMENTS, limit_s: float = _METADATA_LIMIT_S) -> None:
        """limit_s: how long a broker may take to answer."""
        self._topic = topic
        self._limit_s = limit_s
        self._brokers = brokers
        self._failed: str | None = None
        self.delivered = 0
        self._producer = Producer(_SETTINGS | {"bootstrap.servers": brokers, "error_cb": lambda _error: None})

    def partitions(self) -> int:
        """The topic's number of partitions. Raises :class:`ProbeError` if there is no broker or no topic."""
        try:
            found = self._producer.list_topics(self._topic, timeout=self._limit_s).topics[self._topic]
        except KafkaException as error:
            raise ProbeError(f"no Kafka broker answers at {self._brokers}: {error.args[0].str()}") from error
        if found.error is not None or not found.partitions:
            raise ProbeError(f"topic {self._topic} does not exist at {self._brokers}: tcpblame init creates it")
        return len(found.partitions)

    def send(self, message: Message) -> None:
        """Queue a message; waits while the queue is full. Raises :class:`ProbeError` once any was not delivered."""
        while True:
            try:
                self._producer.produce(
                    self._topic, message.value, message.key, message.partition, on_delivery=self._delivered
                )
                break
            except BufferError:
                self._producer.poll(0.1)  # bounded by delivery.timeout.ms: then the queue empties into _failed
            self._check()
        self._producer.poll(0)
        self._check()

    def flush(self, limit_s: float = 90.0) -> None:
        """Wait until everything is delivered. Raises :class:`ProbeError` if something was not."""
        left = self._producer.flush(limit_s)
        self._check()
        if left:
            raise ProbeError(f"{left} batches were not delivered within {limit_s:.0f} s")

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is None:
            self.delivered += 1
        elif self._failed is None:
            self._failed = error.str()

    def _check(self) -> None:
        if self._failed is not None:
            raise ProbeError(f"a batch was not delivered to {self._brokers}: {self._failed}")
