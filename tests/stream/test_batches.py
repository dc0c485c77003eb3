"""The probe's batches: every segment once, in its partition, cut alike however the capture is read."""

import itertools

import numpy as np
import pytest

from ingest.capture.reader import CaptureReader
from ingest.probe.batches import DISORDER_NS, SEGMENTS_PER_BATCH, Batcher, Identity
from schemas.columns import concatenate, rows_of
from schemas.segment_batch import WATERMARK_END, decode
from tests.schemas.generated import TAPS, differing, segments
from tests.stream.conftest import CAPTURES


def batches_of(made, partitions, cuts=()):
    batcher = Batcher(Identity("h1", 5, partitions, True, "x.pcap"))
    messages = []
    bounds = [0, *cuts, len(made.time_ns)]
    for start, stop in itertools.pairwise(bounds):
        messages += batcher.add(rows_of(made, start, stop), TAPS)
    return messages + list(batcher.end())


def long_capture(seed, n=30_000):
    made = segments(seed, n, 40, True)
    made.time_ns[:] = 1_700_000_000_000_000_000 + np.cumsum(np.random.default_rng(seed).integers(0, 300_000, n))
    return made


@pytest.mark.parametrize("partitions", [1, 4, 64])
def test_every_segment_once_and_in_its_partition(partitions):
    made = long_capture(1)
    messages = batches_of(made, partitions)
    found = []
    for message in messages:
        batch = decode(message.value)
        assert (batch.segments.shard % partitions == message.partition).all()
        assert len(batch.segments.time_ns) == message.segments <= SEGMENTS_PER_BATCH
        if message.segments:
            assert int.from_bytes(message.key, "big") == batch.segments.shard.min()
        found.append(batch.segments)
    together = concatenate(found)
    order = np.lexsort((made.seq, made.time_ns))
    ours = np.lexsort((together.seq, together.time_ns))
    assert np.array_equal(made.time_ns[order], together.time_ns[ours])
    assert np.array_equal(made.seq[order], together.seq[ours])
    assert np.array_equal(made.shard[order], together.shard[ours])


def test_numbers_and_watermarks():
    made = long_capture(2)
    latest = int(made.time_ns.max())
    for partition in range(4):
        heads = [
            (decode(message.value).head, decode(message.value).segments)
            for message in batches_of(made, 4)
            if message.partition == partition
        ]
        assert [head.sequence for head, _ in heads] == list(range(len(heads)))
        assert [head.end_of_observation for head, _ in heads] == [False] * (len(heads) - 1) + [True]
        marks = [head.watermark_ns for head, _ in heads]
        assert marks == sorted(marks)
        assert marks[-2:] == [latest, WATERMARK_END]
        for mark, (_, later) in zip(marks, heads[1:], strict=False):
            assert not len(later.time_ns) or later.time_ns.min() >= mark
        assert all(mark <= latest - DISORDER_NS for mark in marks[:-2])


@pytest.mark.parametrize("cuts", [(1,), (7, 8, 9), (10_000,), (15_999, 16_000, 16_001), tuple(range(100, 30_000, 700))])
def test_the_cut_of_the_reading_changes_nothing(cuts):
    made = long_capture(3)
    assert batches_of(made, 4, cuts) == batches_of(made, 4)


def test_silence_is_no_flood_and_clocks_may_go_back():
    made = long_capture(4, 100)
    made.time_ns[50:] += 3600 * 10**9
    made.time_ns[60] -= 7200 * 10**9
    messages = batches_of(made, 2)
    assert len(messages) == 2 * 3  # before the silence, after it, the end
    assert sum(message.segments for message in messages) == 100


def test_a_capture_without_segments_still_ends():
    messages = batches_of(segments(1, 0, 1, True), 4)
    heads = [decode(message.value).head for message in messages]
    assert [head.partition for head in heads if head.end_of_observation] == [0, 1, 2, 3]


def test_a_real_capture_comes_out_as_it_went_in():
    reader = CaptureReader(CAPTURES / "shared-link.pcap")
    made = concatenate(list(reader))
    batcher = Batcher(Identity("p", 1, 1, True))
    messages = [*batcher.add(made, reader.taps), *batcher.end()]
    together = concatenate([decode(message.value).segments for message in messages])
    order, ours = np.argsort(made.time_ns, kind="stable"), np.argsort(together.time_ns, kind="stable")
    assert differing(type(made)(*(c[order] for c in made)), type(made)(*(c[ours] for c in together))) == []
