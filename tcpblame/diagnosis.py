"""Captures in, rows out: what ``tcpblame diagnose`` does, as a function.

:func:`diagnose` hands settled rows over as they come, so its memory does not grow with the capture; :func:`collect`
keeps them all, for tests and for comparison with the stream.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ingest.capture.errors import CaptureError
from ingest.capture.reader import CaptureReader
from ingest.capture.tallies import Tally
from ingest.selection import Selection
from ingest.time_range import TimeRange
from schemas.columns import Segments, empty, take
from schemas.rows import TABLES, Rows, record_dtype
from streams.inference.engine import Engine
from tcpblame.content import ContentHash, opened
from tcpblame.interruption import Interruption
from tcpblame.probe_ids import STANDARD_INPUT, capture_name, probe_ids
from tcpblame.probe_rows import probe_records
from tcpblame.settings import Settings

Receive = Callable[[Rows], None]

# Often enough to free what has ended, seldom enough not to matter with 100,000 connections.
_SWEEP_NS = 5_000_000_000


@dataclass(frozen=True)
class Options:
    """What to read of the captures and how to name them."""

    select: Selection | None = None  # ingest.selection.parse
    times: TimeRange | None = None
    concat: bool = False
    probe_id: str | None = None
    hashed: bool = False  # compute the content's hash while reading
    window_rows: bool = True  # False: nobody wants them, and they are not made
    settings: Settings = field(default_factory=Settings)


@dataclass
class Reading:
    """What became of one probe's captures: one capture, or all of them with `concat`."""

    probe: str
    problems: list[str] = field(default_factory=list)  # one line each; empty: everything was read to its end
    tallies: dict[str, Tally] = field(default_factory=dict)  # by tap
    content: str | None = None  # hash of the captures' bytes, if it was asked for

    @property
    def packets(self) -> int:
        """Packets read, of whatever kind."""
        return sum(tally.packets for tally in self.tallies.values())

    @property
    def segments(self) -> int:
        """TCP segments among them."""
        return sum(tally.segments for tally in self.tallies.values())


@dataclass
class Diagnosis:
    """What became of all captures, beside the rows."""

    readings: list[Reading] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    selected: int = 0  # segments that the filter and the times left
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """Every capture was read to its end."""
        return not self.interrupted and not any(reading.problems for reading in self.readings)


class Watch:
    """Told how far the reading is; this one does nothing. See tcpblame.progress."""

    def start(self, name: str, size_bytes: int | None) -> None:
        """A capture begins; its size as stored, None: not known."""

    def step(self, bytes_read: int) -> None:
        """So many bytes of it have been read."""


def diagnose(
    paths: Sequence[str],
    options: Options,
    receive: Receive,
    watch: Watch | None = None,
    interruption: Interruption | None = None,
) -> Diagnosis:
    """Read captures one after the other and hand over the rows of all tables as they settle.

    paths: file names, ``-`` for standard input. What cannot be read is told in the result, never raised.
    receive: called with settled rows, many times; their `sources` only grow from call to call.
    interruption: looked at between blocks; when asked, what has been read is finished and handed over.
    """
    interruption = interruption or Interruption()
    result = Diagnosis()
    # Rows are shown in order at the end, so nobody waits for them.
    built_for = replace(options.settings.engine(), window_rows=options.window_rows, sweep_ns=_SWEEP_NS)
    engine = Engine(built_for)
    groups = [_in_order(paths)] if options.concat else [[path] for path in paths]
    ids = probe_ids([group[0] for group in groups], options.probe_id)
    for probe, group in zip(ids, groups, strict=True):
        reading = _Probe(engine, probe, group, options, receive)
        result.readings.append(reading.read(watch or Watch(), interruption))
        result.selected += reading.selected
        if interruption.asked:
            result.interrupted = True
            break
    result.counters = engine.counters()
    return result


def collect(paths: Sequence[str], options: Options | None = None) -> tuple[Rows, Diagnosis]:
    """All rows of captures at once, all tables, in the order in which they settled."""
    parts: list[Rows] = []
    result = diagnose(paths, options or Options(), parts.append)
    return joined(parts), result


def joined(parts: Sequence[Rows]) -> Rows:
    """One Rows of several that one diagnosis handed over in turn."""
    records = {}
    for table in TABLES:
        found = [part.records[table] for part in parts if table in part.records and len(part.records[table])]
        records[table] = np.concatenate(found) if found else np.empty(0, record_dtype(table))
    last = parts[-1] if parts else Rows()
    return Rows(last.sources, last.ruleset, records)


def _in_order(paths: Sequence[str]) -> list[str]:
    """Rotated files in the order of their first segments; as given where standard input is among them."""
    if STANDARD_INPUT in paths:
        return list(paths)
    return sorted(paths, key=_first_ns)


def _first_ns(path: str) -> int:
    try:
        reader = CaptureReader(path, max_segments=1)
        for segments in reader:
            return int(segments.time_ns[0])
    except CaptureError:
        pass  # it is read again, and told, in its turn
    return 2**63 - 1


class _Probe:
    """The way of one probe's captures into the engine."""

    def __init__(self, engine: Engine, probe: str, paths: Sequence[str], options: Options, receive: Receive) -> None:
        self.selected = 0
        self._engine, self._probe, self._paths, self._options, self._receive = engine, probe, paths, options, receive
        self._hash = ContentHash() if options.hashed else None
        self._reading = Reading(probe)
        self._capture = capture_name(paths[0])
        self._first_ns: int | None = None
        self._watermark_ns = -(2**63)

    def read(self, watch: Watch, interruption: Interruption) -> Reading:
        """Read all captures, close the probe's connections, hand over its last rows and the row of the probe."""
        for path in self._paths:
            try:
                self._read_one(path, watch, interruption)
            except CaptureError as error:
                self._reading.problems.append(str(error))
            if interruption.asked:
                break
        # No segments, but the names of all taps: a capture without TCP has a row in the probes table too.
        self._engine.feed(self._probe, list(self._reading.tallies), empty(0), self._capture)
        self._engine.end(self._probe)
        rows = self._engine.drain()
        rows.records["probes"] = probe_records(rows.sources, self._probe, self._capture, self._reading.tallies)
        self._receive(rows)
        if self._hash is not None:
            self._reading.content = self._hash.hexdigest()
        return self._reading

    def _read_one(self, path: str, watch: Watch, interruption: Interruption) -> None:
        name = capture_name(path)
        with opened(path, self._hash) as (reader, size_bytes):
            watch.start(name, size_bytes)
            try:
                for segments in _blocks(reader, size_bytes is None, interruption):
                    self._apply(segments, reader)
                    watch.step(reader.bytes_read)
                    if interruption.asked:
                        break
            except KeyboardInterrupt:
                if not interruption.asked:
                    raise
            finally:
                self._count(reader)
            if reader.problem is not None:
                self._reading.problems.append(f"{name}: {reader.problem}")

    def _apply(self, segments: Segments, reader: CaptureReader) -> None:
        if not len(segments.time_ns):
            return
        if self._first_ns is None:
            self._first_ns = min(tally.first_ns for tally in reader.tally if tally.first_ns is not None)
        self._watermark_ns = max(self._watermark_ns, int(segments.time_ns.max()))
        chosen = self._selection(segments)
        self.selected += len(chosen.time_ns)
        if len(chosen.time_ns):
            self._engine.feed(self._probe, reader.taps, chosen, self._capture)
        self._engine.advance(self._probe, self._watermark_ns)
        self._receive(self._engine.drain())

    def _selection(self, segments: Segments) -> Segments:
        options = self._options
        masks: list[npt.NDArray[np.bool_]] = []
        if options.select is not None:
            masks.append(options.select(segments))
        if options.times is not None:
            masks.append(options.times.mask(segments, self._first_ns or 0))
        if not masks:
            return segments
        mask = np.logical_and.reduce(masks)
        return segments if mask.all() else take(segments, mask)

    def _count(self, reader: CaptureReader) -> None:
        for tap, tally in zip(reader.taps, reader.tally, strict=True):
            before = self._reading.tallies.get(tap)
            self._reading.tallies[tap] = tally if before is None else _sum(before, tally)


def _blocks(reader: CaptureReader, may_wait: bool, interruption: Interruption) -> Iterator[Segments]:
    """The reader's blocks; while it waits for input of unknown length, Ctrl-C ends the wait at once."""
    blocks = iter(reader)
    while True:
        if may_wait:
            with interruption.waiting():
                block = next(blocks, None)
        else:
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _sum(one: Tally, other: Tally) -> Tally:
    """The counts of one tap over two captures."""
    first = [tally.first_ns for tally in (one, other) if tally.first_ns is not None]
    last = [tally.last_ns for tally in (one, other) if tally.last_ns is not None]
    dropped = [tally.dropped for tally in (one, other) if tally.dropped is not None]
    counts = ("packets", "segments", "wire_bytes", "not_tcp", "fragments", "cut", "cut_lost", "malformed")
    return replace(
        one,
        **{name: getattr(one, name) + getattr(other, name) for name in counts},
        first_ns=min(first, default=None),
        last_ns=max(last, default=None),
        dropped=sum(dropped) if dropped else None,
    )
