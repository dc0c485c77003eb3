"""The names of the Kafka topics and the rule that places a connection in a partition."""

from schemas.shard import SHARDS

SEGMENTS = "tcpblame.segments"  # SegmentBatch, partition = shard mod partitions
WINDOWS = "tcpblame.windows"  # WindowBatch, in the partition of the segments it came from
DEAD_LETTERS = "tcpblame.dead-letters"  # what no worker could read: the original bytes, the reason in the headers


def check_partitions(partitions: int) -> int:
    """`partitions` itself; ValueError unless it divides the number of shards, so that shard mod partitions is even."""
    if partitions < 1 or SHARDS % partitions:
        raise ValueError(f"the number of partitions must divide {SHARDS} (1, 2, 4, ...), not {partitions}")
    return partitions
