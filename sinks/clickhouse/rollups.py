"""Per-minute rollups of the windows: who talks to whom, and what held them back, kept long after the windows are gone.

Sums add up over rows; quantiles and counts of connections are states (``quantilesDDMerge(0.01, ...)``,
``uniqCombined64Merge(14)``). Both are fed from ``windows`` and remember blocks as it does, so that a repeated insert
changes neither.
"""

from dataclasses import dataclass

_VERDICTS = ("idle", "sender", "receiver", "network", "setup", "unknown")


@dataclass(frozen=True)
class Measure:
    """One aggregated column: its type, how a block of windows makes it, and what it is."""

    name: str
    kind: str
    expression: str
    doc: str


def _total(name: str, expression: str, doc: str, kind: str = "Int64") -> Measure:
    return Measure(name, f"SimpleAggregateFunction(sum, {kind})", f"sum({expression})", doc)


_MEASURES = (
    _total("flow_windows", "1", "rows of windows", "UInt64"),
    _total("covered_ns", "windows.covered_ns", "observed time of the flows, the denominator of the times"),
    *(
        _total(f"time_{name}_ns", f"toInt64(round(windows.time_{name} * windows.covered_ns))", f"of it, time of {name}")
        for name in _VERDICTS
    ),
    _total("packets", "windows.packets", "segments sent"),
    _total("payload_bytes", "windows.payload_bytes", "payload sent, repeats included"),
    _total("retransmitted_packets", "windows.retransmitted_packets", "segments sent again"),
    _total(
        "retransmitted_segments", "windows.retransmitted_segments", "the same in segments of one MSS, SYNs included"
    ),
    _total("timeouts", "windows.timeouts", "retransmission timeouts"),
    Measure(
        "rtt_min_ns", "SimpleAggregateFunction(min, Nullable(Int64))", "min(windows.rtt_min_ns)", "smallest round trip"
    ),
    Measure(
        "rtt_p50_ns",
        "AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.99), Nullable(Int64))",
        "quantilesDDState(0.01, 0.5, 0.9, 0.99)(windows.rtt_p50_ns)",
        "median round trips of windows: state of their 0.5, 0.9 and 0.99 quantiles, 1 % relative error",
    ),
    Measure(
        "connections",
        "AggregateFunction(uniqCombined64(14), UInt64)",
        "uniqCombined64State(14)(windows.conn_id)",
        "state of the number of connections",
    ),
)


@dataclass(frozen=True)
class Rollup:
    """A table of measures by minute and key, and the view that fills it."""

    name: str
    key: tuple[tuple[str, str, str, str], ...]  # (name, type, expression, doc)
    order: str
    doc: str
    retention_days: int

    def statements(self, deduplication_window: int) -> list[str]:
        """CREATE of the table and of its materialised view on ``windows``."""
        columns = [f"    {name} {kind} COMMENT '{doc}'" for name, kind, _, doc in self.key]
        columns += [f"    {m.name} {m.kind} COMMENT '{m.doc}'" for m in _MEASURES]
        columns.append(
            "    inserted_at SimpleAggregateFunction(max, DateTime('UTC')) COMMENT 'when it was stored last'"
        )
        table = (
            f"CREATE TABLE IF NOT EXISTS {self.name}\n(\n"
            + ",\n".join(columns)
            + "\n)\nENGINE = AggregatingMergeTree\n"
            f"PARTITION BY toYYYYMM(minute)\nORDER BY {self.order}\n"
            f"TTL inserted_at + INTERVAL {self.retention_days} DAY\n"
            f"SETTINGS ttl_only_drop_parts = 1, allow_nullable_key = 1, "
            f"non_replicated_deduplication_window = {deduplication_window}\n"
            f"COMMENT '{self.doc}'"
        )
        picked = [f"    {expression} AS {name}" for name, _, expression, _ in self.key]
        picked += [f"    {m.expression} AS {m.name}" for m in _MEASURES]
        picked.append("    max(windows.inserted_at) AS inserted_at")
        view = (
            f"CREATE MATERIALIZED VIEW IF NOT EXISTS {self.name}_mv TO {self.name} AS\nSELECT\n"
            + ",\n".join(picked)
            + "\nFROM windows\nGROUP BY "
            + ", ".join(name for name, *_ in self.key)
        )
        return [table, view]


_MINUTE = ("minute", "DateTime('UTC')", "toStartOfMinute(windows.window_start_ns)", "start of the minute, capture time")
_PROBE = ("probe", "LowCardinality(String)", "windows.probe", "the probe")
_TENANT = ("tenant", "LowCardinality(Nullable(String))", "windows.tenant", "tenant network")
_VERDICT = ("verdict", "LowCardinality(String)", "toString(windows.verdict)", "what held the flow back most")
_CAUSE = ("cause", "LowCardinality(String)", "ifNull(toString(windows.cause), '')", "the finer cause, or nothing")

ROLLUPS = (
    Rollup(
        "verdict_1m",
        (_MINUTE, _PROBE, _TENANT, _VERDICT, _CAUSE),
        "(probe, minute, verdict, cause, tenant)",
        "what held flows back, by minute and probe",
        400,
    ),
    Rollup(
        "pair_1m",
        (
            _MINUTE,
            _PROBE,
            _TENANT,
            ("src", "IPv6", "windows.src", "data sender"),
            ("dst", "IPv6", "windows.dst", "data receiver"),
            # Ephemeral ports (RFC 6335: 49152 up; Linux: 32768 up) name no service and would be a row each.
            (
                "service_port",
                "UInt16",
                "if(least(windows.src_port, windows.dst_port) < 32768, least(windows.src_port, windows.dst_port), 0)",
                "the lower port of the connection, 0 if both are ephemeral",
            ),
            _VERDICT,
        ),
        "(probe, minute, src, dst, service_port, verdict, tenant)",
        "who sent to whom and what held it back, by minute",
        90,
    ),
)
