"""A partition's engine and marks: the same rows as the engine alone, whatever is repeated, restored or unreadable."""

import dataclasses

import numpy as np
import pytest

from ingest.capture.reader import CaptureReader
from ingest.probe.batches import Batcher, Identity
from schemas import segment_batch, window_batch
from schemas.framing import MessageError
from schemas.rows import Rows
from schemas.segment_batch import BatchHead
from sinks.stream.blocks import merged
from streams.inference.engine import Engine, Settings
from streams.worker.partition import Partition, StateError
from tests.schemas.generated import segments
from tests.stream.conftest import CAPTURES

TOPIC = "tcpblame.segments"
NAMES = ("shared-link.pcap", "network-loss.pcap", "receiver-zero-window.pcap")


def published(name, partitions=1):
    reader = CaptureReader(CAPTURES / name)
    batcher = Batcher(Identity(name, len(name), partitions, True, name))
    messages = []
    for block in reader:
        messages += batcher.add(block, reader.taps)
    return messages + list(batcher.end())


def embedded(names):
    engine = Engine(Settings())
    for name in names:
        reader = CaptureReader(CAPTURES / name)
        for block in reader:
            engine.feed(name, reader.taps, block, name)
            engine.advance(name, int(block.time_ns.max()))
        engine.end(name)
    return engine.drain()


def as_set(rows: Rows):
    return sorted(
        (
            table,
            rows.sources[int(record["source"])].probe,
            rows.sources[int(record["source"])].tap,
            record.tobytes()[4:],
        )
        for table, records in rows.records.items()
        for record in records
    )


def results(outs):
    return [window_batch.decode(out) for out in outs if out is not None]


def test_rows_are_those_of_the_engine_alone():
    partition = Partition(TOPIC, 0, 1)
    messages = [message.value for name in NAMES for message in published(name)]
    found = results(partition.apply(offset, value) for offset, value in enumerate(messages))
    assert as_set(merged(batch.rows for batch in found)) == as_set(embedded(NAMES))
    assert [batch.origin.offset for batch in found] == sorted({batch.origin.offset for batch in found})
    assert sum(batch.end_of_observation for batch in found) == len(NAMES)
    assert {source.capture for batch in found for source in batch.rows.sources} <= set(NAMES)


@pytest.mark.parametrize("every", [1, 3])
def test_a_restored_partition_goes_on_alike(every):
    messages = [message.value for message in published("shared-link.pcap")]
    straight = Partition(TOPIC, 0, 1)
    expected = [straight.apply(offset, value) for offset, value in enumerate(messages)]
    partition = Partition(TOPIC, 0, 1)
    found = []
    for offset, value in enumerate(messages):
        if offset % every == 0:
            partition = Partition.restore(partition.save(), TOPIC, 0, 1)
        found.append(partition.apply(offset, value))
    assert [as_set(batch.rows) for batch in results(found)] == [as_set(batch.rows) for batch in results(expected)]
    assert partition.counts == straight.counts


def test_repetitions_are_skipped():
    messages = [message.value for message in published("network-loss.pcap")]
    partition = Partition(TOPIC, 0, 1)
    for offset, value in enumerate(messages):
        partition.apply(offset, value)
    assert all(partition.apply(offset, value) is None for offset, value in enumerate(messages))
    assert partition.counts.replayed_offsets == len(messages)
    later = len(messages)
    assert all(partition.apply(later + number, value) is None for number, value in enumerate(messages))
    assert partition.counts.repeated == len(messages)
    assert partition.ended
    assert partition.offset == 2 * later - 1


def live(epoch, sequence, **more):
    head = BatchHead("h1", ("eth0", "eth1", ""), epoch, sequence, 0, 1, watermark_ns=0, **more)
    return segment_batch.encode(head, segments(epoch * 100 + sequence, 5, 2, True))


def test_epochs_and_gaps_of_a_live_probe():
    partition = Partition(TOPIC, 0, 1)
    counts = partition.counts
    for offset, (epoch, sequence) in enumerate([(2, 0), (2, 1), (2, 1), (2, 3), (1, 4), (3, 0), (2, 4), (3, 1)]):
        partition.apply(offset, live(epoch, sequence))
    assert (counts.batches, counts.repeated, counts.fenced, counts.gaps) == (5, 1, 2, 1)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"garbage",
        live(1, 0)[:-1],
        segment_batch.encode(BatchHead("h", (), 1, 0, 0, 2, 0), segments(1, 0, 1, True)),
        segment_batch.encode(BatchHead("h", (), 1, 0, 1, 4, 0), segments(1, 0, 1, True)),
    ],
)
def test_unreadable_messages_are_told_and_passed(message):
    partition = Partition(TOPIC, 0, 1)
    with pytest.raises(MessageError):
        partition.apply(0, message)
    assert partition.offset == 0
    assert partition.counts.poisoned == 1
    assert partition.apply(0, message) is None
    partition.apply(1, live(1, 0))
    assert partition.counts.batches == 1


def test_connections_of_another_partition_are_refused():
    made = segments(3, 50, 8, True)
    head = BatchHead("h1", ("eth0", "eth1", ""), 1, 0, 2, 4, watermark_ns=0)
    with pytest.raises(MessageError, match="another partition"):
        Partition(TOPIC, 2, 4).apply(0, segment_batch.encode(head, made))
    right = np.flatnonzero(made.shard % 4 == made.shard[0] % 4).astype(np.uint32)
    number = int(made.shard[0]) % 4
    Partition(TOPIC, number, 4).apply(0, segment_batch.encode(dataclasses.replace(head, partition=number), made, right))


@pytest.mark.parametrize("damage", [b"", b"x", "cut", "flipped", "other"])
def test_damaged_state_is_refused(damage):
    data = Partition(TOPIC, 0, 1).save()
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data = data[:20] + bytes([data[20] ^ 255]) + data[21:]
    elif damage == "other":
        data = Partition(TOPIC, 1, 2).save()
    else:
        data = damage
    with pytest.raises(StateError):
        Partition.restore(data, TOPIC, 0, 1)
