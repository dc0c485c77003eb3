"""What the engine makes of conversations: feed them, end the observation, and read the rows by name.

    seen = observe(talk)
    seen.flow(talk.client)["retransmitted_packets"]

Rows are dictionaries: enumerations by their names, sets as sets of names, unknown as None.
"""

import ipaddress
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.columns import Segments, rows_of
from schemas.rows import NULL_BOOL, NULL_ENUM, NULL_INT, TABLES, Column, Rows
from streams.inference.engine import Engine, Settings
from tests.traffic.packets import Conversation, Side, interleave, to_segments

Row = dict[str, Any]
PROBE, TAPS = "probe", ["tap0", "tap1"]


def value_of(record: Any, column: Column) -> Any:
    """One column of a record as a Python value."""
    if column.kind == "address":
        value = (int(record[f"{column.name}_hi"]) << 64) | int(record[f"{column.name}_lo"])
        address = ipaddress.IPv6Address(value)
        return str(address.ipv4_mapped or address)
    raw = record[column.name]
    if column.kind == "enum":
        return None if raw == NULL_ENUM else column.values[int(raw)]
    if column.kind == "set":
        return {name for bit, name in enumerate(column.values) if int(raw) >> bit & 1}
    if column.kind == "bool":
        return None if raw == NULL_BOOL else bool(raw)
    if column.kind in ("float", "share"):
        return None if np.isnan(raw) else float(raw)
    return None if column.kind == "int" and raw == NULL_INT else int(raw)


def rows_as_dicts(rows: Rows, table: str) -> list[Row]:
    """The rows of a table by time."""
    columns = [column for column in TABLES[table] if column.kind != "text"]
    found = [
        {column.name: value_of(record, column) for column in columns}
        | {"probe": rows.sources[record["source"]].probe, "tap": rows.sources[record["source"]].tap}
        for record in rows.table(table)
    ]
    return sorted(
        found, key=lambda row: (row.get("window_start_ns", row.get("start_ns")), row["conn_id"], row["src_port"])
    )


def from_side(row: Row, side: Side) -> bool:
    """Whether the row's data sender is this side."""
    return (row["src"], row["src_port"]) == (side.address, side.port)


@dataclass
class Observed:
    """The rows and counters of one observation."""

    rows: Rows
    counters: dict[str, int]

    def flows(self, side: Side | None = None) -> list[Row]:
        return [row for row in rows_as_dicts(self.rows, "flows") if side is None or from_side(row, side)]

    def flow(self, side: Side) -> Row:
        """The one flow row of this sender."""
        (row,) = self.flows(side)
        return row

    def windows(self, side: Side | None = None) -> list[Row]:
        return [row for row in rows_as_dicts(self.rows, "windows") if side is None or from_side(row, side)]

    def events(self, kind: str | None = None) -> list[Row]:
        return [row for row in rows_as_dicts(self.rows, "events") if kind is None or row["kind"] == kind]


def feed(engine: Engine, segments: Segments, probe: str = PROBE) -> None:
    engine.feed(probe, TAPS, segments, "capture.pcap")


def observe(*talks: Conversation, settings: Settings | None = None) -> Observed:
    """Everything that the engine says of these conversations, fed whole, after the observation has ended."""
    packets = interleave(*talks) if len(talks) > 1 else talks[0].packets
    return observe_segments(to_segments(packets), settings)


def observe_segments(segments: Segments, settings: Settings | None = None) -> Observed:
    engine = Engine(settings)
    feed(engine, segments)
    engine.end(PROBE)
    return Observed(engine.drain(), engine.counters())


def live_flow(talk: Conversation, side: Side) -> Any:
    """The state record of one flow of the only connection, after all segments: what no row shows."""
    engine = Engine()
    feed(engine, talk.segments())
    return flow_record(engine, side)


def flow_record(engine: Engine, side: Side) -> Any:
    """The state record of the flow that this side sends, of the only live connection."""
    table = engine._table
    (slot,) = np.flatnonzero(table.conn["state"])
    key = (
        (int(ipaddress.ip_address(side.address)), side.port),
        (int(ipaddress.ip_address(side.peer.address)), side.peer.port),
    )
    return table.flow[2 * slot + (0 if key[0] < key[1] else 1)]


def one_by_one(engine: Engine, segments: Segments) -> None:
    """Each segment in a batch of its own."""
    for at in range(len(segments.time_ns)):
        feed(engine, rows_of(segments, at, at + 1))
