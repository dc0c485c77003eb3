"""The engine's face: segments in, rows out, state as bytes. Pure: no Kafka, no clock, no I/O but the kernel's cache."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.columns import SHARDS, Segments
from schemas.rows import Rows, Source, record_dtype
from streams.inference import table as tables
from streams.inference.compose import ALL, SHARD, Composition, compose
from streams.inference.state import dump, load
from streams.inference.table import HELD_META, NOTHING, Table, blank

# Named in every row: changes whenever a rule, a threshold or the calibration does.
RULESET = "1"
_DONE, _FULL, _NO_SLOT = range(3)
_FIRST_SLOTS = 1024
_OUT_FLOWS, _OUT_WINDOWS, _OUT_EVENTS = 4096, 8192, 4096
_HELD_FIRST, _HELD_MOST = 4096, 1 << 20


@dataclass(frozen=True)
class Settings:
    """What an engine is built for. Limits are per shard of 1024; all of one process hold 1024 times as many."""

    window_ns: int = 1_000_000_000
    connections_per_shard: int = 1024  # established: 1,048,576 in all
    half_open_per_shard: int = 64  # a pool of their own: a SYN flood evicts no established connection
    # Above the usual keep-alive interval of two hours: a connection that is kept alive stays one connection.
    idle_timeout_ns: int = 7_500 * 1_000_000_000
    # How often, in capture time, connections without a segment are looked after: settled, expired, freed. Never more
    # often than once a window; seldom is cheaper where nobody waits for the rows.
    sweep_ns: int = 0
    window_rows: bool = True  # False: flows and events only; the flows are the same
    statistics: tuple[str, ...] = ALL

    def __post_init__(self) -> None:
        if not 10_000_000 <= self.window_ns <= 3_600_000_000_000 or self.window_ns % 1_000_000:
            raise ValueError("a window is 10 ms to 1 h, in whole milliseconds")


class Engine:
    """Connection table and inference of one process or one Kafka partition."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.composition: Composition = compose(self.settings.statistics)
        self._sources: list[Source] = []
        self._source_of: dict[tuple[str, str, str | None], int] = {}
        self._watermark: dict[str, int] = {}
        self._swept: dict[str, int] = {}
        self._parts: dict[str, list[npt.NDArray[np.void]]] = {"flows": [], "windows": [], "events": []}
        self._table = self._new_table()

    # ------------------------------------------------------------------------------------------------------ feeding

    def feed(self, probe: str, taps: Sequence[str], segments: Segments, capture: str | None = None) -> None:
        """Apply segments of one probe; ``segments.tap`` indexes `taps`. Capture order within each connection."""
        sources = np.array([self._source(probe, tap, capture) for tap in taps] or [0], np.int32)
        begin, end = 0, len(segments.time_ns)
        if end == 0:
            return
        if int(segments.tap.max()) >= len(taps):
            raise ValueError("a segment names a tap that is not in the list")
        if int(segments.shard.max()) >= SHARDS:
            raise ValueError("a segment names a shard that does not exist")
        with np.errstate(over="ignore"):
            while begin < end:
                self._grow_held()
                begin, why = self.composition.process(segments, begin, end, sources, self._table)
                if why == _FULL:
                    self._collect()
                elif why == _NO_SLOT:
                    self._grow_slots()
        latest = int(segments.time_ns.max())
        if latest > self._watermark.get(probe, -(2**62)):
            self._watermark[probe] = latest

    def advance(self, probe: str, watermark_ns: int) -> None:
        """Every segment of `probe` captured before `watermark_ns` has been fed: settle what that settles."""
        if watermark_ns > self._watermark.get(probe, -(2**62)):
            self._watermark[probe] = watermark_ns
        if watermark_ns - self._swept.get(probe, -(2**62)) < max(self.settings.window_ns, self.settings.sweep_ns):
            return
        self._swept[probe] = watermark_ns
        self._sweep(probe, watermark_ns, closing=False)

    def end(self, probe: str) -> None:
        """The observation of `probe` has ended at its last watermark: close all its connections."""
        if probe in self._watermark:
            self._sweep(probe, self._watermark[probe], closing=True)
        with np.errstate(over="ignore"):
            shard, why = 0, _FULL
            while why == _FULL:
                shard, why = self.composition.overflow_events(self._table, shard)
                if why == _FULL:
                    self._collect()

    def _sweep(self, probe: str, watermark_ns: int, *, closing: bool) -> None:
        wanted = np.array([source.probe == probe for source in self._sources] or [False])
        slot, why = 0, _FULL
        with np.errstate(over="ignore"):
            while why == _FULL:
                self._grow_held()
                slot, why = self.composition.sweep(self._table, slot, wanted, watermark_ns, closing)
                if why == _FULL:
                    self._collect()

    # --------------------------------------------------------------------------------------------------------- rows

    def drain(self) -> Rows:
        """The rows settled since the last call."""
        self._collect()
        records = {
            name: np.concatenate(parts) if parts else np.empty(0, record_dtype(name))
            for name, parts in self._parts.items()
        }
        self._parts = {name: [] for name in self._parts}
        return Rows(sources=list(self._sources), ruleset=RULESET, records=records)

    def counters(self) -> dict[str, int]:
        """Sizes and totals: connections, half_open, evicted, half_open_evicted, expired, created, segments,
        clock_steps_back, held_rows, held_overflow."""
        scalars = self._table.scalars
        names = {
            "connections": tables.CONNECTIONS,
            "half_open": tables.HALF_OPEN,
            "evicted": tables.EVICTED,
            "half_open_evicted": tables.HALF_OPEN_EVICTED,
            "expired": tables.EXPIRED,
            "created": tables.CREATED,
            "segments": tables.SEGMENTS,
            "clock_steps_back": tables.CLOCK_STEPS,
            "held_rows": tables.HELD_IN_USE,
            "held_overflow": tables.HELD_OVERFLOW,
        }
        return {name: int(scalars[index]) for name, index in names.items()}

    def state_bytes_per_connection(self) -> int:
        """Record bytes of one connection, both directions."""
        return self.composition.conn.itemsize + 2 * self.composition.flow.itemsize

    # -------------------------------------------------------------------------------------------------------- state

    def save(self) -> bytes:
        """The whole state, rows not yet drained excepted."""
        return dump(self)

    @classmethod
    def restore(cls, data: bytes, settings: Settings | None = None) -> "Engine":
        """The engine that :meth:`save` wrote down. Raises ValueError if the bytes are none."""
        engine = cls(settings)
        load(engine, data)
        return engine

    # -------------------------------------------------------------------------------------------------------- table

    def _new_table(self) -> Table:
        scalars = np.zeros(tables.N_SCALARS, np.int64)
        scalars[tables.WINDOW_NS] = self.settings.window_ns
        scalars[tables.NO_WINDOW_ROWS] = not self.settings.window_rows
        scalars[tables.IDLE_NS] = self.settings.idle_timeout_ns
        scalars[tables.CONNECTIONS_PER_SHARD] = self.settings.connections_per_shard
        scalars[tables.HALF_OPEN_PER_SHARD] = self.settings.half_open_per_shard
        scalars[tables.FRONT_BYTES], scalars[tables.HOT_BYTES] = self.composition.flow_parts
        scalars[tables.FREE_SLOT] = NOTHING
        scalars[tables.FREE_HELD] = NOTHING
        scalars[tables.SEED] = int.from_bytes(np.random.default_rng().bytes(7), "little")
        table = Table(
            conn=np.zeros(_FIRST_SLOTS + 1, self.composition.conn),
            flow=np.zeros(2 * _FIRST_SLOTS + 1, self.composition.flow),
            lookup=np.zeros(4 * _FIRST_SLOTS, np.int64),
            shard=np.zeros(SHARDS, SHARD),
            held_row=np.zeros(_HELD_FIRST, record_dtype("windows")),
            held_meta=np.zeros(_HELD_FIRST, HELD_META),
            out_flow=np.zeros(_OUT_FLOWS, record_dtype("flows")),
            out_window=np.zeros(_OUT_WINDOWS, record_dtype("windows")),
            out_event=np.zeros(_OUT_EVENTS, record_dtype("events")),
            blank_flow=blank("flows"),
            blank_window=blank("windows"),
            blank_event=blank("events"),
            scalars=scalars,
            source_hash=np.zeros(64, np.uint64),
            ahead=np.zeros(tables.AHEAD, np.int64),
        )
        link_free(table, 0, _HELD_FIRST - 1)
        return table

    def _source(self, probe: str, tap: str, capture: str | None) -> int:
        key = (probe, tap, capture)
        found = self._source_of.get(key)
        if found is None:
            found = len(self._sources)
            self._sources.append(Source(probe, tap, capture))
            self._source_of[key] = found
            if found >= len(self._table.source_hash):
                self._table = self._table._replace(
                    source_hash=np.concatenate([self._table.source_hash, np.zeros_like(self._table.source_hash)])
                )
            self._table.source_hash[found] = source_hash(probe, tap)
        return found

    def _grow_slots(self) -> None:
        """Twice as many connection slots; one more record than slots, which stays zero."""
        old = self._table
        slots = 2 * (len(old.conn) - 1)
        conn = np.zeros(slots + 1, old.conn.dtype)
        conn[: len(old.conn) - 1] = old.conn[:-1]
        flow = np.zeros(2 * slots + 1, old.flow.dtype)
        flow[: len(old.flow) - 1] = old.flow[:-1]
        self._table = old._replace(
            conn=conn, flow=flow, lookup=reindex(conn, int(old.scalars[tables.FRESH_SLOT]), slots)
        )

    def _grow_held(self) -> None:
        """Keep room in the pool of held rows for any step, up to _HELD_MOST rows."""
        old = self._table
        size = len(old.held_row)
        if int(old.scalars[tables.HELD_IN_USE]) + tables.MARGIN <= size:
            return
        if size >= _HELD_MOST:
            old.scalars[tables.HELD_FULL] = 1
            return
        row = np.zeros(2 * size, old.held_row.dtype)
        row[:size] = old.held_row
        meta = np.zeros(2 * size, old.held_meta.dtype)
        meta[:size] = old.held_meta
        self._table = old._replace(held_row=row, held_meta=meta)
        link_free(self._table, size - 1, 2 * size - 1)

    def _collect(self) -> None:
        scalars = self._table.scalars
        for name, index, out in (
            ("flows", tables.N_FLOWS, self._table.out_flow),
            ("windows", tables.N_WINDOWS, self._table.out_window),
            ("events", tables.N_EVENTS, self._table.out_event),
        ):
            count = int(scalars[index])
            if count:
                self._parts[name].append(out[:count].copy())
                scalars[index] = 0


def link_free(table: Table, begin: int, end: int) -> None:
    """Put places begin..end-1 of the held pool on its free list; the last place of the pool is never on it."""
    head = int(table.scalars[tables.FREE_HELD])
    table.held_meta["next"][begin:end] = np.arange(begin + 1, end + 1)
    table.held_meta["next"][end - 1] = head
    table.scalars[tables.FREE_HELD] = begin


def source_hash(probe: str, tap: str) -> np.uint64:
    """FNV-1a (64 bits) over probe, a zero byte and tap in UTF-8: the source's part of conn_id."""
    value = 0xCBF29CE484222325
    for byte in probe.encode() + b"\0" + tap.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return np.uint64(value)


def reindex(conn: npt.NDArray[np.void], used: int, slots: int) -> npt.NDArray[np.int64]:
    """The index of all live connections, at a load of at most a quarter."""
    size = 1 << (4 * slots - 1).bit_length()
    index = np.zeros(size, np.int64)
    live = np.flatnonzero(conn["state"][:used])
    homes = conn["home"][live].astype(np.int64)
    pending, slot_of = homes & (size - 1), live.astype(np.int64)
    entries = (homes << 32) | (slot_of + 1)
    while len(pending):  # linear probing, all entries a step at a time; the order among equals does not matter
        free = index[pending] == 0
        place, first = np.unique(pending[free], return_index=True)
        index[place] = entries[free][first]
        settled = index[pending] == entries
        pending, entries = (pending[~settled] + 1) & (size - 1), entries[~settled]
    return index
