"""The topics: created by an explicit command, checked against what exists, never created by accident.

The number of partitions never changes in a topic's life: a connection's place is its shard modulo that number, and the
worker's state lies where its segments lie.
"""

from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.kafka.libraries import DevError
from schemas.topics import DEAD_LETTERS, SEGMENTS, WINDOWS, check_partitions

_HOUR_MS = 3_600_000
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# Segments outlive the longest pause of a worker that is expected to catch up; windows the longest of a sink.
_RETENTION_MS = {SEGMENTS: 6 * _HOUR_MS, WINDOWS: 24 * _HOUR_MS, DEAD_LETTERS: 7 * 24 * _HOUR_MS}
_LIMIT_S = 30.0


def admin(brokers: str) -> AdminClient:
    """An admin client that does not fill the terminal while the broker is away."""
    settings: dict[str, Any] = {
        "bootstrap.servers": brokers,
        "reconnect.backoff.max.ms": 2000,
        "log_level": 0,
        "error_cb": lambda _error: None,  # without it librdkafka writes each failed attempt to stderr
    }
    return AdminClient(settings)


def partitions_of(brokers: str, limit_s: float = _LIMIT_S) -> dict[str, int]:
    """Topic -> number of partitions. Raises :class:`DevError` if no broker answers."""
    try:
        found = admin(brokers).list_topics(timeout=limit_s).topics
    except KafkaException as error:
        raise DevError(f"no Kafka broker answers at {brokers}: {error.args[0].str()}") from error
    return {name: len(topic.partitions) for name, topic in found.items() if not name.startswith("__")}


def create(brokers: str, partitions: int, replication: int = 1, limit_s: float = _LIMIT_S) -> dict[str, bool]:
    """Create the product's topics; topic -> whether it was created now.

    Raises :class:`DevError` if one exists with another number of partitions, ValueError if `partitions` does not
    divide the number of shards.
    """
    check_partitions(partitions)
    existing = partitions_of(brokers, limit_s)
    wanted = {SEGMENTS: partitions, WINDOWS: partitions, DEAD_LETTERS: 1}
    for topic, count in wanted.items():
        if existing.get(topic, count) != count:
            raise DevError(
                f"topic {topic} has {existing[topic]} partitions, not {count}: the number never changes in its life"
            )
    missing = [
        NewTopic(
            topic,
            count,
            replication,
            config={
                "retention.ms": str(_RETENTION_MS[topic]),
                "cleanup.policy": "delete",
                "max.message.bytes": str(_MAX_MESSAGE_BYTES),
            },
        )
        for topic, count in wanted.items()
        if topic not in existing
    ]
    if missing:
        client = admin(brokers)  # held until its futures are done
        for topic, future in client.create_topics(missing, operation_timeout=limit_s).items():
            try:
                future.result(limit_s)
            except KafkaException as error:
                raise DevError(f"topic {topic} cannot be created: {error.args[0].str()}") from error
    return {topic: topic not in existing for topic in wanted}
