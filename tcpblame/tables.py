"""``--format table``: the rows that a person sees, sized and coloured for where they are shown."""

import os
import shutil
import sys
from typing import TextIO

import numpy as np

from schemas.rows import Rows, record_dtype
from sinks.text import table as tables
from tcpblame.diagnosis import Diagnosis
from tcpblame.messages import one_line
from tcpblame.row_buffer import RowBuffer

_RENDER = {
    "flows": tables.flows_table,
    "windows": tables.windows_table,
    "events": tables.events_table,
}
_SHORTCOMINGS = (
    ("cut", "cut by the snap length"),
    ("malformed", "malformed"),
    ("fragments", "IP fragments without a TCP header"),
    ("dropped", "dropped by the capture"),
)
# Of a pipe or a file nobody knows the width; this holds a connection, its numbers and its verdict side by side.
_PIPE_WIDTH = 120


def show(buffer: RowBuffer, limit: int, diagnosis: Diagnosis, out: TextIO | None = None) -> None:
    """Print at most `limit` rows of a table, and what they were made of."""
    out = out or sys.stdout
    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    colour = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    rows = _worst(buffer, limit) if buffer.table == "flows" else _first(buffer, limit)
    out.write(_RENDER[buffer.table](rows, width=width, colour=colour))
    shown = len(rows.table(buffer.table))
    if shown < buffer.count:
        out.write(f"{buffer.count - shown:,} more not shown (--limit).\n")
    out.write(_summary(diagnosis) + "\n")


def _summary(diagnosis: Diagnosis) -> str:
    """What was read, in a line."""
    readings = diagnosis.readings
    tallies = [tally for reading in readings for tally in reading.tallies.values()]
    name = readings[0].probe if len(readings) == 1 else f"{len(readings)} captures"
    parts = [
        f"{sum(t.packets for t in tallies):,} packets",
        f"{sum(t.segments for t in tallies):,} of them TCP segments",
    ]
    if diagnosis.selected < sum(t.segments for t in tallies):
        parts.append(f"{diagnosis.selected:,} selected")
    for field, words in _SHORTCOMINGS:
        count = sum(getattr(tally, field) or 0 for tally in tallies)
        if count:
            parts.append(f"{count:,} {words}")
    return one_line(f"{name}: {', '.join(parts)}.")


def _first(buffer: RowBuffer, limit: int) -> Rows:
    """The first rows in order of time."""
    parts = list(buffer.blocks(limit))
    records = np.concatenate([part.table(buffer.table) for part in parts])
    return Rows(parts[-1].sources, parts[-1].ruleset, {buffer.table: records})


def _worst(buffer: RowBuffer, limit: int) -> Rows:
    """The flows that were held back most, found block by block."""
    kept = np.empty(0, record_dtype("flows"))
    names = Rows()
    for block in buffer.blocks():
        names = block
        kept = np.concatenate([kept, block.table("flows")])
        # As the table itself orders them; stable, so that equals stay in order of time.
        kept = kept[np.argsort(-tables.held_back_ns(kept), kind="stable")[:limit]]
    return Rows(names.sources, names.ruleset, {"flows": kept})
