"""``tcpblame diagnose``: captures in, verdicts out."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from tcpblame.exits import FAIL_ON, INTERRUPTED, OK, PARTLY, UserError
from tcpblame.messages import fault, note
from tcpblame.settings import Settings
from tcpblame.values import FailOn, duration_ns, fail_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.selection import Selection
    from ingest.time_range import Moment
    from schemas.rows import Rows
    from sinks.clickhouse.embedded import EmbeddedStore
    from tcpblame.diagnosis import Diagnosis, Options

TABLES = ("flows", "windows", "events", "probes")
# What is shown of a table to a person who asked for no number: about a screen.
TABLE_ROWS = 20

_EPILOG = """\b
Exit status: 0 all captures were read to their end; 1 one was cut short, or
could not be read (the rows are of what was read); 2 wrong usage; 3 --fail-on
was met; 130 Ctrl-C (the rows are of what was read).

\b
Examples:
  tcpblame diagnose capture.pcap
  tcpblame diagnose capture.pcapng.zst --filter "host 10.1.2.3 and port 443"
  tcpblame diagnose capture.pcap --rows windows --format json --window 100ms
  tcpblame diagnose capture.pcap --from +60s --to +90s --rows events
  tcpblame diagnose capture.pcap --fail-on receiver:0.3 --fail-on network:0.5
  tcpblame diagnose --concat ring.pcap0 ring.pcap1 ring.pcap2 --store blame
  tcpdump -i eth0 -s 128 -w - tcp | tcpblame diagnose -
"""


class _Read(click.ParamType):
    """An option's value read by a function that raises ValueError."""

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _moment(text: str) -> "Moment":
    from ingest.time_range import Moment  # noqa: PLC0415 - loads numba

    return Moment.parse(text)


def _selection(text: str) -> "tuple[str, Selection]":
    from ingest.selection import parse  # noqa: PLC0415 - loads numba

    return text, parse(text)


@click.command(epilog=_EPILOG)
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True)
@click.option(
    "--rows",
    "table",
    type=click.Choice(TABLES),
    default="flows",
    show_default=True,
    help="Which rows: one a flow, one a flow and window, one an event, or one a tap.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(("table", "json", "csv")),
    default="table",
    show_default=True,
    help="table: for people, the worst first; json: one object a line; csv. The last two in order of time.",
)
@click.option(
    "--window",
    "window_ns",
    metavar="DURATION",
    type=_Read("duration", duration_ns),
    help="Length of a window of capture time, 10ms to 1h.  [default: 1s]",
)
@click.option(
    "--store",
    "store",
    metavar="DIR",
    type=click.Path(),
    help="Also keep all rows in this directory, an embedded ClickHouse; ask it with 'tcpblame query'.",
)
@click.option(
    "--filter",
    "chosen",
    metavar="EXPR",
    type=_Read("expression", _selection),
    help="Only these segments, as tcpdump writes it: host, net, port, and, or, not, ...",
)
@click.option(
    "--from",
    "start",
    metavar="TIME",
    type=_Read("time", _moment),
    help="Only segments from here on: 2026-01-31T12:00:00Z, Unix seconds, or +SECONDS from the start.",
)
@click.option("--to", "stop", metavar="TIME", type=_Read("time", _moment), help="Only segments before this time.")
@click.option(
    "--fail-on",
    "conditions",
    metavar="CLASS:SHARE",
    multiple=True,
    type=_Read("condition", fail_on),
    help="Exit with 3 if any flow is held back by CLASS (sender, receiver, network, setup, unknown; idle: of all time) "
    "for at least SHARE of its active time. Can be repeated.",
)
@click.option("--concat", is_flag=True, help="The captures are one, rotated into several files.")
@click.option("--probe-id", metavar="ID", help="Name of the probe in the rows.  [default: the file's name]")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1),
    help=f"At most N rows.  [default: {TABLE_ROWS} in a table, else all]",
)  # fmt: skip
def diagnose(
    captures: tuple[str, ...],
    table: str,
    style: str,
    window_ns: int | None,
    store: str | None,
    chosen: "tuple[str, Selection] | None",
    start: "Moment | None",
    stop: "Moment | None",
    conditions: tuple[FailOn, ...],
    concat: bool,
    probe_id: str | None,
    limit: int | None,
) -> int:
    """Say for each TCP connection in captures which side limited it, and what proves it.

    CAPTURE is a pcap or pcapng file, plain, .gz or .zst, or - for standard input. Each is a probe of its own.
    """
    if probe_id is not None and len(captures) > 1 and not concat:
        raise click.UsageError("--probe-id names one probe: give one CAPTURE, or --concat")
    if captures.count("-") > 1:
        raise click.UsageError("standard input can be read once")
    if table == "probes" and style == "table":
        style = "csv"  # counts of each tap: nothing to put in words
    settings = Settings.load(window_ns=window_ns)

    from ingest.time_range import TimeRange  # noqa: PLC0415 - what follows loads numba
    from tcpblame.diagnosis import Options  # noqa: PLC0415

    options = Options(
        select=chosen[1] if chosen else None,
        times=TimeRange(start, stop) if start or stop else None,
        concat=concat,
        probe_id=probe_id,
        hashed=store is not None,
        settings=settings,
        window_rows=table == "windows" or store is not None,
    )
    shape = (window_ns, settings, chosen[0] if chosen else None, start, stop, concat, probe_id)
    return _Run(options, table, style, limit, store, conditions, shape).run(captures)


class _Run:
    """One run of the command."""

    def __init__(
        self, options: "Options", table: str, style: str, limit: int | None, store: str | None,
        conditions: tuple[FailOn, ...], shape: tuple[object, ...],
    ) -> None:  # fmt: skip
        from sinks.text.lines import order  # noqa: PLC0415 - loads numba
        from tcpblame.conditions import Conditions  # noqa: PLC0415
        from tcpblame.row_buffer import RowBuffer  # noqa: PLC0415

        self._options, self._table, self._style, self._limit = options, table, style, limit
        self._store_path, self._shape = store, shape
        self._conditions = Conditions(conditions)
        self._buffers: Mapping[str, RowBuffer] = {
            name: RowBuffer(name, order) for name in (TABLES if store is not None else (table,))
        }
        self._ruleset = ""

    def run(self, captures: tuple[str, ...]) -> int:
        """Read, print, store; returns the exit status."""
        from tcpblame.diagnosis import diagnose as read_all  # noqa: PLC0415 - loads numba
        from tcpblame.interruption import Interruption  # noqa: PLC0415
        from tcpblame.kernels import look  # noqa: PLC0415
        from tcpblame.progress import for_terminal  # noqa: PLC0415

        with ExitStack() as stack:
            for buffer in self._buffers.values():
                stack.callback(buffer.close)
            target = self._open_store(captures, stack)
            if not look().compiled:
                note("compiling the kernels, once for this version; it takes about a minute")
            bar = for_terminal()
            try:
                with Interruption().installed() as interruption:
                    diagnosis = read_all(captures, self._options, self._receive, bar, interruption)
            finally:
                if bar is not None:
                    bar.close()
            try:
                self._print(diagnosis)
            finally:
                # Whoever reads the output may have gone away (| head): the store gets its rows all the same.
                stored = self._keep(target, diagnosis)
            return self._report(diagnosis, stored)

    def _receive(self, rows: "Rows") -> None:
        self._ruleset = rows.ruleset
        self._conditions.look(rows)
        for buffer in self._buffers.values():
            buffer.add(rows)

    def _open_store(self, captures: tuple[str, ...], stack: ExitStack) -> "EmbeddedStore | None":
        """Open the store before anything is read: whoever waits for a long capture should know that it can be kept."""
        if self._store_path is None or not any(path == "-" or os.path.exists(path) for path in captures):
            return None
        from sinks.clickhouse.embedded import EmbeddedStore  # noqa: PLC0415 - a second and 260 MB
        from sinks.clickhouse.errors import StoreError  # noqa: PLC0415

        try:
            return stack.enter_context(EmbeddedStore(self._store_path))
        except StoreError as error:
            raise UserError(str(error)) from error

    def _print(self, diagnosis: "Diagnosis") -> None:
        buffer = self._buffers[self._table]
        if not any(reading.tallies for reading in diagnosis.readings):
            return  # nothing could be opened: an empty table would look like a finding
        if self._style == "table":
            from tcpblame.tables import show  # noqa: PLC0415 - loads rich

            show(buffer, self._limit or TABLE_ROWS, diagnosis)
            return
        from sinks.text.lines import csv_lines, json_lines  # noqa: PLC0415 - loads numba

        out = sys.stdout.buffer
        for number, rows in enumerate(buffer.blocks(self._limit)):
            lines = (
                json_lines(rows, self._table)
                if self._style == "json"
                else csv_lines(rows, self._table, header=number == 0)
            )
            out.writelines(lines)
        out.flush()

    def _keep(self, target: "EmbeddedStore | None", diagnosis: "Diagnosis") -> bool:
        """Store the rows; False if that was not to be."""
        if target is None:
            return False
        from sinks.clickhouse.errors import StoreError  # noqa: PLC0415
        from tcpblame.store_rows import store, token_of  # noqa: PLC0415

        if diagnosis.interrupted:
            note(f"store {self._store_path}: nothing was stored, because the reading was interrupted")
            return False
        try:
            new, known = store(target, self._buffers, token_of(diagnosis, self._shape, self._ruleset))
        except StoreError as error:
            fault(str(error))
            return False
        note(f"store {self._store_path}: {new} rows stored" + (f", {known} were there already" if known else ""))
        return True

    def _report(self, diagnosis: "Diagnosis", stored: bool) -> int:
        """Say on standard error what was not read; the exit status."""
        for reading in diagnosis.readings:
            for problem in reading.problems:
                fault(problem)
        lost = {name: diagnosis.counters.get(name, 0) for name in ("evicted", "half_open_evicted", "held_overflow")}
        if any(lost.values()):
            note("limits were reached: " + ", ".join(f"{name} {count}" for name, count in lost.items() if count))
        met = self._conditions.messages()
        for message in met:
            note(message)
        if diagnosis.interrupted:
            fault("interrupted: the rows are of what was read until then")
        if met:
            return FAIL_ON
        if diagnosis.interrupted:
            return INTERRUPTED
        return OK if diagnosis.complete and stored == (self._store_path is not None) else PARTLY
