"""Publishing a capture file as if a probe had seen it.

The epoch is a hash of the capture's content and of whatever shapes the batches: publishing the same file again sends
the same (epoch, sequence) numbers, and the worker skips what it has.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ingest.capture.reader import CaptureReader
from ingest.probe.batches import DISORDER_NS, FLUSH_NS, FLUSH_SEGMENTS_MAX, SEGMENTS_PER_BATCH, Batcher, Identity
from ingest.probe.producer import ProbeError, SegmentProducer
from schemas.segment_batch import LAYOUT

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Replayed:
    """What was published."""

    probe: str
    epoch: int
    segments: int
    batches: int
    message_bytes: int  # before compression
    problem: str | None  # why the capture could not be read to its end


def epoch_of(path: Path, options: object) -> int:
    """63 bits of a hash of the file's content and `options`. Raises OSError."""
    digest = hashlib.blake2b(digest_size=8)
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    digest.update(repr(options).encode())
    return int.from_bytes(digest.digest(), "big") >> 1


def replay(
    path: Path, producer: SegmentProducer, probe: str, capture: str | None = None, tap_name: str | None = None
) -> Replayed:
    """Publish all segments of a capture file and the end of its observation.

    probe: the probe's id; capture: the file's name as rows show it; tap_name: the tap's name instead of the one the
    file gives, for captures with one tap. Raises :class:`ProbeError` if Kafka does not take the segments,
    ``ingest.capture.errors.CaptureError`` or OSError if the file is no capture.
    """
    partitions = producer.partitions()
    options = (
        probe, capture, tap_name, partitions, LAYOUT, SEGMENTS_PER_BATCH, FLUSH_SEGMENTS_MAX, FLUSH_NS, DISORDER_NS,
    )  # fmt: skip
    identity = Identity(probe, epoch_of(path, options), partitions, replay=True, capture=capture)
    batcher = Batcher(identity)
    segments = batches = message_bytes = 0
    reader = CaptureReader(path)
    try:
        for block in reader:
            for message in batcher.add(block, _taps(reader, tap_name)):
                producer.send(message)
                segments += message.segments
                batches += 1
                message_bytes += len(message.value)
        for message in batcher.end():
            producer.send(message)
            segments += message.segments
            batches += 1
            message_bytes += len(message.value)
    finally:
        reader.close()
    producer.flush()
    return Replayed(probe, identity.epoch, segments, batches, message_bytes, reader.problem)


def _taps(reader: CaptureReader, tap_name: str | None) -> list[str]:
    taps = list(reader.taps)
    if tap_name is None:
        return taps
    if len(taps) > 1:
        raise ProbeError(f"a tap's name was given for a capture with {len(taps)} taps")
    return [tap_name]
