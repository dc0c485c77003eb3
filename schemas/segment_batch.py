"""SegmentBatch: segments on their way from a probe to the worker of their partition, as one Avro message.

``schemas/avro/segment_batch.avsc`` says what each field holds. :func:`encode` reorders segments to (shard, connection,
capture order) and :func:`decode` gives them back in that order, every value as it was; values of options that a
segment does not carry come back as 0.
"""

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas import segment_batch_coding as coding
from schemas import segment_batch_decoding as decoding
from schemas import segment_batch_encoding as encoding
from schemas.columns import Segments, empty
from schemas.framing import Codec, MessageError, bundled
from schemas.shard import SHARDS

LAYOUT = 1
MAX_SEGMENTS = 65_536  # of one batch: bounds what a reader allocates before it has looked at a single column
WATERMARK_END = 2**63 - 1

# Residual columns in the order of the kernels.
_PLANES = (
    "seq", "ack", "payload", "header", "flags", "ecn", "window", "ip_id", "ttl", "options", "tsval", "tsecr",
)  # fmt: skip
_CONNECTION: dict[str, np.dtype[Any]] = {
    "connection_tap": np.dtype("<u2"),
    "connection_tenant": np.dtype("<u4"),
    "connection_a_hi": np.dtype("<u8"),
    "connection_a_lo": np.dtype("<u8"),
    "connection_a_port": np.dtype("<u2"),
    "connection_b_hi": np.dtype("<u8"),
    "connection_b_lo": np.dtype("<u8"),
    "connection_b_port": np.dtype("<u2"),
}
_SOURCES = ("tap", "tenant", "src_hi", "src_lo", "src_port", "dst_hi", "dst_lo", "dst_port")
_COLUMNS = ("connection_segments", *_CONNECTION, "connection_first", "direction", "time", *_PLANES)
_LISTS: dict[str, np.dtype[Any]] = {
    "mss": np.dtype("<u2"),
    "wscale": np.dtype("u1"),
    "sack_n": np.dtype("u1"),
    "sack": np.dtype("<u4"),
}


@dataclass(frozen=True)
class BatchHead:
    """What a batch says beside its segments; the fields of the Avro record of the same names."""

    probe: str
    taps: tuple[str, ...]
    epoch: int
    sequence: int
    partition: int
    partitions: int
    watermark_ns: int
    replay: bool = False
    capture: str | None = None
    dropped: int | None = None
    end_of_observation: bool = False


@dataclass(frozen=True)
class SegmentBatch:
    """A decoded batch: its head and its segments in the order (shard, connection, capture order)."""

    head: BatchHead
    segments: Segments


@cache
def codec() -> Codec:
    """The Avro codec of the record."""
    known = bundled("segment_batch")
    return Codec(known[0], known)


class _Scratch(threading.local):
    """Working memory of the encoder, kept between batches: fresh memory would cost more than the coding."""

    capacity = 0

    def grow(self, n: int) -> None:
        if n <= self.capacity:
            return
        size = 1 << max(n - 1, 4095).bit_length()
        self.capacity = size
        self.all_rows = np.arange(size, dtype=np.uint32)
        self.table = np.empty(2 * size, np.int32)
        self.connection_of = np.empty(size, np.int32)
        self.direction_of = np.empty(size, np.uint8)
        self.found_row = np.empty(size, np.uint32)
        self.found_length = np.empty(2 * size, np.uint32)
        self.place = np.empty(size, np.int64)
        self.cursor = np.empty(3 * size, np.int64)
        self.shards = np.empty(SHARDS + 1, np.int64)
        self.first_row = np.empty(size, np.uint32)
        self.run_length = np.empty(2 * size, np.uint32)
        self.starts = np.empty(2 * size, np.int64)
        self.capture_order = np.empty(size, np.uint32)
        self.direction = np.empty(size, np.uint8)
        self.run_order = np.empty(size, np.uint32)
        self.numbers = np.empty((4, size), np.uint32)
        self.firsts = np.empty(coding.RESIDUALS * 2 * size, np.uint32)
        self.time = np.empty(size, np.uint64)
        self.planes = np.empty(sum(coding.RESIDUAL_WIDTH) * size, np.uint8)
        self.time_planes = np.empty(coding.TIME_WIDTH * size, np.uint8)
        self.widths = np.zeros(coding.RESIDUALS + 1, np.int64)
        self.mss = np.empty(size, np.uint16)
        self.wscale = np.empty(size, np.uint8)
        self.sack_n = np.empty(size, np.uint8)
        self.sack = np.empty(8 * size, np.uint32)
        self.lengths = np.zeros(4, np.int64)


_scratch = _Scratch()


def encode(head: BatchHead, segments: Segments, rows: npt.NDArray[np.uint32] | None = None) -> bytes:
    """The message of a batch.

    rows: which segments belong to it (uint32 indices, capture order within each connection); all, if None. Raises
    ValueError for more than MAX_SEGMENTS segments and for more than 4 SACK blocks in one.
    """
    n = len(segments.time_ns) if rows is None else len(rows)
    if n > MAX_SEGMENTS:
        raise ValueError(f"a batch holds at most {MAX_SEGMENTS} segments, not {n}")
    record: dict[str, Any] = {
        "layout": LAYOUT,
        "probe": head.probe,
        "taps": list(head.taps),
        "capture": head.capture,
        "replay": head.replay,
        "epoch": head.epoch,
        "sequence": head.sequence,
        "partition": head.partition,
        "partitions": head.partitions,
        "watermark_ns": head.watermark_ns,
        "dropped": head.dropped,
        "end_of_observation": head.end_of_observation,
        "segments": n,
        "base_time_ns": 0,
    }
    if n == 0:
        record |= dict.fromkeys((*_COLUMNS, *_LISTS), b"")
    else:
        _encode_columns(record, segments, rows, n)
    return codec().pack(record)


def _encode_columns(record: dict[str, Any], segments: Segments, rows: npt.NDArray[np.uint32] | None, n: int) -> None:
    s = _scratch
    s.grow(n)
    chosen = s.all_rows[:n] if rows is None else rows
    base = int(segments.time_ns[chosen[0]])
    table = s.table[: 2 << max(n - 1, 1).bit_length()]
    table.fill(-1)
    capture_order, run_order, direction = s.capture_order[:n], s.run_order[:n], s.direction[:n]
    with np.errstate(over="ignore"):  # the uncompiled kernels' arithmetic modulo 2**64
        connections = encoding.group(
            segments, chosen, table,
            (s.connection_of, s.direction_of, s.found_row, s.found_length, s.place, s.cursor, s.shards),
            s.first_row, s.run_length, s.starts, capture_order, direction, run_order,
        )  # fmt: skip
        run_length = s.run_length[: 2 * connections]
        firsts = s.firsts[: coding.RESIDUALS * 2 * connections]
        bad = encoding.encode_segments(
            segments, capture_order, run_order, s.starts[: 2 * connections],
            np.uint64(base % 2**64), tuple(s.numbers[:, :n]),
            s.time[:n], s.planes, s.time_planes, firsts.reshape(coding.RESIDUALS, 2 * connections), s.widths,
            (s.mss, s.wscale, s.sack_n, s.sack), s.lengths,
        )  # fmt: skip
    if bad:
        raise ValueError(f"a segment has more than {coding.MAX_SACK_BLOCKS} SACK blocks")
    opened_by = s.first_row[:connections]
    record["base_time_ns"] = base
    record["connection_segments"] = run_length.tobytes()
    record["connection_first"] = firsts.tobytes()
    for name, source in zip(_CONNECTION, _SOURCES, strict=True):
        record[name] = getattr(segments, source)[opened_by].tobytes()
    record["direction"] = np.packbits(direction, bitorder="little").tobytes()
    *widths, time_width = s.widths.tolist()
    record["time"] = s.time_planes[: time_width * n].tobytes()
    at = 0
    for name, width in zip(_PLANES, widths, strict=True):
        record[name] = s.planes[at : at + width * n].tobytes() if width else b""
        at += width * n
    for name, length in zip(_LISTS, s.lengths.tolist(), strict=True):
        record[name] = getattr(s, name)[:length].tobytes() if length else b""


def decode(message: bytes) -> SegmentBatch:
    """The batch of a message.

    Raises :class:`schemas.framing.MessageError` for whatever is no such batch; no bytes crash it or make it allocate
    more than a batch of MAX_SEGMENTS needs.
    """
    record = codec().unpack(message)
    if record["layout"] != LAYOUT:
        raise MessageError(f"layout {record['layout']} of SegmentBatch is not known to this version")
    head = BatchHead(
        probe=record["probe"],
        taps=tuple(record["taps"]),
        epoch=record["epoch"],
        sequence=record["sequence"],
        partition=record["partition"],
        partitions=record["partitions"],
        watermark_ns=record["watermark_ns"],
        replay=record["replay"],
        capture=record["capture"],
        dropped=record["dropped"],
        end_of_observation=record["end_of_observation"],
    )
    _check_head(head)
    n = record["segments"]
    if not 0 <= n <= MAX_SEGMENTS:
        raise MessageError(f"{n} segments in one batch")
    return SegmentBatch(head, _decode_columns(record, n, len(head.taps)) if n else _no_segments(record))


def _check_head(head: BatchHead) -> None:
    if head.partitions < 1 or SHARDS % head.partitions or not 0 <= head.partition < head.partitions:
        raise MessageError(f"partition {head.partition} of {head.partitions}")
    if head.sequence < 0:
        raise MessageError(f"sequence number {head.sequence}")
    if head.watermark_ns < 0:
        raise MessageError(f"watermark {head.watermark_ns} ns")
    if head.dropped is not None and head.dropped < 0:
        raise MessageError(f"{head.dropped} dropped packets")


def _no_segments(record: dict[str, Any]) -> Segments:
    for name in (*_COLUMNS, *_LISTS):
        if record[name]:
            raise MessageError(f"column {name} in a batch without segments")
    return empty(0)


def _array(record: dict[str, Any], name: str, dtype: np.dtype[Any], length: int | None = None) -> npt.NDArray[Any]:
    data = record[name]
    if len(data) % dtype.itemsize or (length is not None and len(data) != length * dtype.itemsize):
        raise MessageError(f"column {name} has {len(data)} bytes")
    return np.frombuffer(data, dtype)


def _planes(record: dict[str, Any], name: str, n: int, width: int) -> npt.NDArray[np.uint8]:
    data = record[name]
    if len(data) % n or len(data) > width * n:
        raise MessageError(f"column {name} has {len(data)} bytes for {n} segments")
    return np.frombuffer(data, np.uint8)


def _decode_columns(record: dict[str, Any], n: int, taps: int) -> Segments:
    run_length = _array(record, "connection_segments", np.dtype("<u4"))
    connections = len(run_length) // 2
    if len(run_length) % 2 or connections > n or int(run_length.sum(dtype=np.uint64)) != n:
        raise MessageError("the connections' numbers of segments do not add up")
    if not (run_length[::2] | run_length[1::2]).all():
        raise MessageError("a connection without segments")
    ends = tuple(_array(record, name, dtype, connections) for name, dtype in _CONNECTION.items())
    if int(ends[0].max()) >= taps:
        raise MessageError("a connection's tap has no name")
    firsts = _array(record, "connection_first", np.dtype("<u4"), coding.RESIDUALS * 2 * connections)
    direction = np.unpackbits(_array(record, "direction", np.dtype("u1"), (n + 7) // 8), count=n, bitorder="little")
    time = _planes(record, "time", n, coding.TIME_WIDTH)
    fields = tuple(_planes(record, name, n, width) for name, width in zip(_PLANES, coding.RESIDUAL_WIDTH, strict=True))
    lists = tuple(_array(record, name, dtype) for name, dtype in _LISTS.items())
    segments = empty(n)
    place, code = np.empty((2, n), np.uint32)
    with np.errstate(over="ignore"):  # the uncompiled kernels' arithmetic modulo 2**64
        bad = decoding.decode_segments(
            segments, run_length, ends, firsts.reshape(coding.RESIDUALS, 2 * connections), direction, time,
            np.uint64(record["base_time_ns"] % 2**64), fields, lists, place, code,
            np.empty(2 * connections, np.int64),
        )  # fmt: skip
    if bad == coding.BAD_DIRECTION:
        raise MessageError("the segments' directions do not add up")
    if bad:
        raise MessageError("the lists of option values do not match the options")
    return segments
