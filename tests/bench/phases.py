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
    segments = reading_ns = kernel_ns = rows_ns = settled = 0
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
        settled += _take(engine.drain(), buffer)
        rows_ns += process_time_ns() - fed
        segments += len(block.time_ns)
    began = process_time_ns()
    engine.end("bench")
    settled += _take(engine.drain(), buffer)
    written = sum(len(chunk) for rows in buffer.blocks() for chunk in json_lines(rows, "flows"))
    rows_ns += process_time_ns() - began
    counters = engine.counters()
    return {
        "segments": segments,
        "reading_ns": reading_ns,
        "kernel_ns": kernel_ns,
        "rows_ns": rows_ns,
        "settled_rows": settled,
        "flow_rows": buffer.count,
        "written_bytes": written,
        "evicted": counters["evicted"] + counters["half_open_evicted"],
        "state_bytes": engine.state_bytes_per_connection(),
    }


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
