"""Where the time of one diagnosis goes: ``python -m tests.bench.phases CAPTURE [STATISTIC,...]`` prints JSON.

Run in a process of its own, warm: a first pass over the capture's beginning loads or compiles the kernels.
"""

import json
import os
import sys
from dataclasses import replace
from time import process_time_ns

from ingest.capture.reader import CaptureReader
from schemas.rows import Rows
from sinks.text.lines import json_lines, order
from streams.inference.engine import Engine, Settings
from tcpblame.row_buffer import RowBuffer

_WARM_SEGMENTS = 20_000


def measure(capture: str, settings: Settings) -> dict[str, float]:
    """CPU nanoseconds of reading, of the inference kernel, and of making rows, and what they were spent on."""
    _warm(capture, settings)
    engine = Engine(settings)
    buffer = RowBuffer("flows", order)
    segments = reading_ns = kernel_ns = settling_ns = rows_ns = settled = 0
    fed_at: list[tuple[int, int]] = []  # (segments so far, kernel_ns so far)
    reader = CaptureReader(capture)
    blocks = iter(reader)
    while True:
        began = process_time_ns()
        block = next(blocks, None)
        read = process_time_ns()
        reading_ns += read - began
        if block is None:
            break
        engine.feed("bench", reader.taps, block)
        fed = process_time_ns()
        kernel_ns += fed - read
        engine.advance("bench", int(block.time_ns[-1]))
        rows = engine.drain()
        drained = process_time_ns()
        settling_ns += drained - fed
        settled += _take(rows, buffer)
        rows_ns += process_time_ns() - drained
        segments += len(block.time_ns)
        fed_at.append((segments, kernel_ns))
    began = process_time_ns()
    engine.end("bench")
    rows = engine.drain()
    ended = process_time_ns()
    settled += _take(rows, buffer)
    written = sum(len(chunk) for rows in buffer.blocks() for chunk in json_lines(rows, "flows"))
    counters = engine.counters()
    return {
        "segments": segments,
        "reading_ns": reading_ns,
        "kernel_ns": kernel_ns,
        "settling_ns": settling_ns + ended - began,
        "rows_ns": rows_ns + process_time_ns() - ended,
        "steady_ns": _steady(fed_at),
        "settled_rows": settled,
        "flow_rows": buffer.count,
        "written_bytes": written,
        "evicted": counters["evicted"] + counters["half_open_evicted"],
        "state_bytes": engine.state_bytes_per_connection(),
    }


def _steady(fed_at: list[tuple[int, int]]) -> float:
    """Kernel nanoseconds a segment in the middle of the capture: all connections are there, none is closing."""
    total = fed_at[-1][0]
    middle = [point for point in fed_at if 0.3 * total <= point[0] <= 0.8 * total]
    (first, before), (last, after) = middle[0], middle[-1]
    return (after - before) / (last - first) if last > first else 0.0


def _take(rows: Rows, buffer: RowBuffer) -> int:
    buffer.add(rows)
    return sum(len(records) for records in rows.records.values())


def _warm(capture: str, settings: Settings) -> None:
    engine = Engine(settings)
    reader = CaptureReader(capture, max_segments=_WARM_SEGMENTS)
    for block in reader:
        engine.feed("warm", reader.taps, block)
        engine.advance("warm", int(block.time_ns[-1]))
        break
    engine.end("warm")
    sum(len(chunk) for chunk in json_lines(order(engine.drain(), "flows"), "flows"))


def main() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    # Twice the default: a million connections fall unevenly on the shards, and evicting is not what is measured here.
    settings = Settings(connections_per_shard=2048)
    if len(sys.argv) > 2:
        settings = replace(settings, statistics=tuple(sys.argv[2].split(",")))
    sys.stdout.write(json.dumps(measure(sys.argv[1], settings)) + "\n")


if __name__ == "__main__":
    main()
