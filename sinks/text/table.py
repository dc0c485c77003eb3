"""The tables that a person reads: worst connections first, each with its verdict and what proves it in words."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.causes import CAUSE_TEXT
from schemas.naming import address, enum_name, tenant, valid_text, visible
from schemas.rows import EVENT_KINDS, NULL_INT, STATES, Rows
from sinks.text.layout import Column, Line, render, wrap
from sinks.text.lines import order
from sinks.text.units import duration, percent, rate, size
from sinks.text.wording import Row, cause_of, integer, proof, verdict_of

STYLES = {
    "sender": "bold yellow", "receiver": "bold magenta", "network": "bold red", "setup": "bold cyan", "idle": "dim",
    "unknown": "dim",
}  # fmt: skip
# What a second of each kind weighs when connections are put in order: an application that has little to send is seldom
# what somebody looks for, and what is not known is no accusation.
_WEIGHT = {"receiver": 1.0, "network": 1.0, "setup": 1.0, "sender": 0.5, "unknown": 0.1}
WORST_FIRST = "Worst first: most time held back (sender counts half, unknown a tenth, idle nothing)."
# A name from outside takes no more room than this.
_NAME_CELLS = 24
_CONNECTION_CELLS = 46  # the longest of IPv4
_NUMBER_CELLS = 76
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def held_back_ns(records: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The score of flows: weighted time that they were held back, in ns."""
    score = np.zeros(len(records))
    for verdict, weight in _WEIGHT.items():
        score += weight * np.nan_to_num(records[f"time_{verdict}"])
    score *= np.maximum(records["covered_ns"], 0)
    return score


def flows_table(rows: Rows, *, width: int = 80, colour: bool = False, limit: int | None = None) -> str:
    """The flows, worst first, with their verdicts in words; `width` in cells, `limit` in flows."""
    ordered = order(rows, "flows").table("flows")
    records = ordered[np.argsort(-held_back_ns(ordered), kind="stable")]
    shown = records if limit is None else records[:limit]
    columns = [
        Column("CONNECTION"),
        Column("CAPTURE", spare=1),
        Column("TENANT", spare=2),
        Column("TIME", right=True, spare=4),
        Column("PAYLOAD", right=True, spare=3),
        Column("RATE", right=True, spare=5),
        Column("RTT", right=True, spare=6),
        Column("RETR", right=True, spare=7),
    ]
    names = _captures(rows)
    lines = []
    for row in shown:
        cells = [names[int(row["source"])] if names else "", tenant(row["tenant"]) or ""]
        cells += [_text(duration, integer(row, "covered_ns")), _text(size, integer(row, "payload_bytes"))]
        cells += [_text(rate, integer(row, "delivery_rate_bps")), _rtt(row), _again(row)]
        lines.append(_line(row, cells, width, proof(row)))
    text = _render(columns, lines, width, colour)
    if not len(records):
        return "No TCP connections.\n"
    rest = len(records) - len(shown)
    note = WORST_FIRST + (f" {rest} more not shown." if rest else "")
    return text + "".join(f"{part}\n" for part in wrap(note, width)) if len(records) > 1 else text


def windows_table(rows: Rows, *, width: int = 80, colour: bool = False, limit: int | None = None) -> str:
    """The windows by time, with their verdicts in words."""
    records = order(rows, "windows").table("windows")
    if not len(records):
        return "No windows.\n"
    shown = records if limit is None else records[:limit]
    title, starts = _moments([int(ns) for ns in shown["window_start_ns"]])
    columns = [
        Column(title),
        Column("CONNECTION"),
        Column("CAPTURE", spare=1),
        Column("TENANT", spare=2),
        Column("PAYLOAD", right=True, spare=3),
        Column("RATE", right=True, spare=5),
        Column("RTT", right=True, spare=6),
        Column("RETR", right=True, spare=7),
        Column("STATE", spare=8),
    ]
    names = _captures(rows)
    lines = []
    for row, start in zip(shown, starts, strict=True):
        cells = [names[int(row["source"])] if names else "", tenant(row["tenant"]) or ""]
        cells += [_text(size, integer(row, "payload_bytes")), _text(rate, integer(row, "delivery_rate_bps"))]
        cells += [_rtt(row), _again(row), (enum_name(row["state"], STATES) or "").replace("_", " ")]
        lines.append(_line(row, cells, width, proof(row), start))
    return _render(columns, lines, width, colour) + _more(len(records), limit)


def events_table(rows: Rows, *, width: int = 80, colour: bool = False, limit: int | None = None) -> str:
    """The events by time."""
    records = order(rows, "events").table("events")
    if not len(records):
        return "No events.\n"
    shown = records if limit is None else records[:limit]
    title, starts = _moments([int(ns) for ns in shown["start_ns"]])
    columns = [
        Column(title),
        Column("CONNECTION"),
        Column("CAPTURE", spare=1),
        Column("TENANT", spare=2),
        Column("EVENT"),
        Column("TIME", right=True, spare=3),
        Column("BYTES", right=True, spare=4),
    ]
    names = _captures(rows)
    lines = []
    for row, start in zip(shown, starts, strict=True):
        cells = [names[int(row["source"])] if names else "", tenant(row["tenant"]) or ""]
        cells += [(enum_name(row["kind"], EVENT_KINDS) or "").replace("_", " ")]
        cells += [_text(duration, integer(row, "duration_ns")), _text(size, integer(row, "bytes"))]
        why = CAUSE_TEXT.get(cause_of(row) or "", "")
        lines.append(_line(row, cells, width, why, start))
    return _render(columns, lines, width, colour) + _more(len(records), limit)


def probes_table(rows: Rows, *, width: int = 80, colour: bool = False, limit: int | None = None) -> str:
    """What was read from each probe and tap, and what was lost."""
    records = order(rows, "probes").table("probes")
    if not len(records):
        return "No probes.\n"
    counts = ("segments", "not_tcp", "dropped", "cut", "malformed", "fragments")
    columns = [Column("PROBE"), Column("TAP", spare=1), Column("START (UTC)", spare=2)]
    columns += [Column("TIME", right=True, spare=3), Column("PACKETS", right=True)]
    columns += [Column(name.replace("_", " ").upper(), right=True, spare=4 + n) for n, name in enumerate(counts)]
    lines = []
    for row in records if limit is None else records[:limit]:
        source = rows.sources[int(row["source"])]
        start, end = int(row["start_ns"]), int(row["end_ns"])
        seen = NULL_INT not in (start, end)
        cells = [_name(source.capture or source.probe), _name(source.tap), moment(start) if seen else ""]
        cells += [duration(end - start) if seen else ""]
        # A column that is zero everywhere says nothing and is left out, as one that is unknown everywhere.
        cells += [_text(lambda count: str(count) if count else "", integer(row, name)) for name in ("packets", *counts)]
        lines.append(Line(tuple(cells)))
    return _render(columns, lines, width, colour) + _more(len(records), limit)


def endpoint(row: Row, side: str) -> str:
    """``10.0.0.1:443`` or ``[2001:db8::1]:443``."""
    text = address(row[f"{side}_hi"], row[f"{side}_lo"])
    return f"[{text}]:{int(row[f'{side}_port'])}" if ":" in text else f"{text}:{int(row[f'{side}_port'])}"


def moment(ns: int) -> str:
    """A point in capture time, to the millisecond, in UTC."""
    return (_EPOCH + timedelta(microseconds=ns // 1000)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _moments(times_ns: Sequence[int]) -> tuple[str, list[str]]:
    """A title and the times below it: if all are of one day, the day stands in the title only."""
    texts = [moment(ns) for ns in times_ns]
    days = {text[:10] for text in texts}
    return (f"{days.pop()} UTC", [text[11:] for text in texts]) if len(days) == 1 else ("START (UTC)", texts)


def _line(row: Row, cells: list[str], width: int, remark: str, first: str | None = None) -> Line:
    source, sink = endpoint(row, "src"), endpoint(row, "dst")
    verdict = verdict_of(row)
    leading = () if first is None else (first,)
    # A connection that leaves too little room for numbers stands in two lines.
    if len(source) + len(sink) + 3 > max(_CONNECTION_CELLS, width - _NUMBER_CELLS):
        at = len(leading)
        return Line((*leading, f"{source} →", *cells), verdict, remark, STYLES[verdict], (f"  {sink}",), at)
    return Line((*leading, f"{source} → {sink}", *cells), verdict, remark, STYLES[verdict])


def _render(columns: list[Column], lines: list[Line], width: int, colour: bool) -> str:
    """Without the columns that are empty in every line."""
    kept = [index for index in range(len(columns)) if any(line.cells[index] for line in lines)]
    slim = [
        replace(line, cells=tuple(line.cells[index] for index in kept), below_at=kept.index(line.below_at))
        for line in lines
    ]
    return render([columns[index] for index in kept], slim, width=width, colour=colour, remark="VERDICT")


def _more(count: int, limit: int | None) -> str:
    return f"{count - limit} more not shown.\n" if limit is not None and count > limit else ""


def _captures(rows: Rows) -> list[str]:
    """A short harmless name for each source, if there is more than one to tell apart."""
    if len(rows.sources) < 2:
        return []
    return [_name(source.capture or f"{source.probe}/{source.tap}") for source in rows.sources]


def _name(text: str) -> str:
    """A name from outside, harmless and short: its end tells more than its beginning."""
    shown = visible(valid_text(text))
    return shown if len(shown) <= _NAME_CELLS else "…" + shown[1 - _NAME_CELLS :]


def _text(how: Callable[[int], str], value: int | None) -> str:
    return "" if value is None else how(value)


def _rtt(row: Row) -> str:
    return _text(duration, integer(row, "rtt_p50_ns") or integer(row, "rtt_min_ns"))


def _again(row: Row) -> str:
    again, packets = integer(row, "retransmitted_packets"), integer(row, "packets")
    return percent(again / packets) if again and packets else ""
