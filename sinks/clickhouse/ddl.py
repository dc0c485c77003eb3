"""The table definitions, made from ``schemas.rows``: staging, materialised views, targets and rollups.

Writers insert into a Null-engine staging table (``window_in_v1``, ...) of plain integers, floats and names: the packed
record, column for column, with the source's names joined. A materialised view casts that into the target table:
IPv6, Enum8, DateTime64(9), Nullable, names of tenants. The statements are what a ClickHouse server takes; the embedded
store runs the same. They are written out as numbered migrations; a test holds both together.

Retention counts from ``inserted_at``, not from capture time: a capture of last year would vanish as it is loaded. The
embedded store takes the TTLs off (``sinks.clickhouse.embedded``): it holds what its owner chose to load.

Rows of one capture diagnosed with other options (window length, rules) are other rows and stand beside the first:
``window_ns`` and ``ruleset`` tell them apart in ``windows``, ``ruleset`` in ``flows``; the rollups add them up.
"""

from schemas.naming import QINQ_SHIFT, TENANT_KINDS, TENANT_QINQ, TENANT_SHIFT
from schemas.rows import NULL_BOOL, NULL_ENUM, NULL_INT, TABLES, Column
from sinks.clickhouse.rollups import ROLLUPS

STAGING = {"flows": "flow_in_v1", "windows": "window_in_v1", "events": "event_in_v1", "probes": "probe_in_v1"}

# Points in time: DateTime64(9) under the same name, so that `start_ns > '2024-05-01 12:00:00'` works.
TIMES = ("start_ns", "end_ns", "window_start_ns")

# Blocks that a table remembers for deduplication; far more than one retry needs, as every table keeps them in one file.
DEDUPLICATION_WINDOW = 10_000

_STAGING_TYPE = {
    "int": "Int64", "uint": "UInt64", "float": "Float64", "share": "Float64", "bool": "Int8", "enum": "UInt8",
    "set": "UInt64", "port": "UInt16", "tenant": "UInt32",
}  # fmt: skip
_TABLE_DOC = {
    "flows": "one row per direction of data of a connection: totals, shares of time, verdict",
    "windows": "one row per flow and window in which something happened",
    "events": "stalls, loss episodes, zero-window periods, resets, failed setups",
    "probes": "health of each probe and tap: what was read, what was lost",
}
# Windows are many and mostly asked for by time; the rest is kept longer.
_RETENTION_DAYS = {"flows": 30, "windows": 14, "events": 30, "probes": 90}
_SKIP_INDEXES = (
    "INDEX by_src src TYPE bloom_filter(0.01) GRANULARITY 4",
    "INDEX by_dst dst TYPE bloom_filter(0.01) GRANULARITY 4",
)
_LAYOUT = {
    # Written in this order already (sinks.text.lines.order), and found by it: one probe's rows of a time span.
    "windows": (
        "MergeTree", "toYYYYMMDD(window_start_ns)", "(probe, window_start_ns, conn_id)",
        (
            *_SKIP_INDEXES, "INDEX by_cause cause TYPE set(64) GRANULARITY 4",
            "PROJECTION by_conn (SELECT _part_offset ORDER BY conn_id, window_start_ns)",
        ),
    ),
    # A flow is refreshed while it lives: the row that reaches furthest wins. Read it with FINAL.
    "flows": (
        "ReplacingMergeTree(end_ns)", "toYYYYMM(start_ns)", "(probe, start_ns, conn_id, src, src_port, ruleset)",
        (*_SKIP_INDEXES, "INDEX by_conn conn_id TYPE bloom_filter(0.01) GRANULARITY 4"),
    ),
    "events": (
        "MergeTree", "toYYYYMM(start_ns)", "(probe, start_ns, conn_id)",
        (*_SKIP_INDEXES, "INDEX by_conn conn_id TYPE bloom_filter(0.01) GRANULARITY 4"),
    ),
    "probes": ("MergeTree", "tuple()", "(probe, tap)", ()),
}  # fmt: skip


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _enum(values: tuple[str, ...]) -> str:
    return "Enum8(" + ", ".join(f"{quoted(name)} = {number}" for number, name in enumerate(values)) + ")"


def record_columns(table: str) -> list[tuple[str, str]]:
    """(name, type) of the packed record's fields behind `source`: the RowBinary that ``records.tobytes()`` is."""
    found: list[tuple[str, str]] = []
    for column in TABLES[table]:
        if column.kind == "address":
            found += [(f"{column.name}_hi", "UInt64"), (f"{column.name}_lo", "UInt64")]
        elif column.kind != "text":
            found.append((column.name, _STAGING_TYPE[column.kind]))
    return found


def text_columns(table: str) -> list[tuple[str, str]]:
    """(name, type) of the columns that come from the source's names."""
    return [
        (column.name, f"LowCardinality({'Nullable(String)' if column.nullable else 'String'})")
        for column in TABLES[table]
        if column.kind == "text"
    ]


def target_type(column: Column) -> str:
    """The type of a column in its target table."""
    if column.kind == "text":
        return f"LowCardinality({'Nullable(String)' if column.nullable else 'String'})"
    if column.kind == "tenant":
        return "LowCardinality(Nullable(String))"
    if column.kind == "set":
        return f"Array({_enum(column.values)})"
    plain = {
        "uint": "UInt64",
        "float": "Float64",
        "share": "Float64",
        "bool": "Bool",
        "address": "IPv6",
        "port": "UInt16",
    }
    if column.kind == "int":
        found = "DateTime64(9, 'UTC')" if column.name in TIMES else "Int64"
    elif column.kind == "enum":
        found = _enum(column.values)
    else:
        found = plain[column.kind]
    return f"Nullable({found})" if column.nullable else found


def _codec(column: Column) -> str:
    if column.kind == "int":
        # Times of neighbours differ little; counters use few of their 64 bits, which T64 crops.
        return "Delta(8), ZSTD(1)" if column.name in TIMES else "T64, ZSTD(1)"
    return "ZSTD(1)"


def _tenant_cast(name: str) -> str:
    identifier = f"bitAnd({name}, {(1 << TENANT_SHIFT) - 1})"
    arms = []
    for kind, word in TENANT_KINDS.items():
        text = f"toString({identifier})"
        if kind == TENANT_QINQ:
            mask = (1 << QINQ_SHIFT) - 1
            text = f"toString(bitShiftRight({identifier}, {QINQ_SHIFT})), '.', toString(bitAnd({name}, {mask}))"
        arms.append(f"bitShiftRight({name}, {TENANT_SHIFT}) = {kind}, concat('{word}:', {text})")
    other = f"concat('kind', toString(bitShiftRight({name}, {TENANT_SHIFT})), ':', toString({identifier}))"
    return f"multiIf({name} < {1 << TENANT_SHIFT}, NULL, {', '.join(arms)}, {other})"


def cast(column: Column) -> str:
    """The expression that makes a target column of the staging table's."""
    name = column.name
    if column.kind == "address":
        return f"CAST(bitOr(bitShiftLeft(toUInt128({name}_hi), 64), toUInt128({name}_lo)), 'IPv6')"
    if column.kind == "int":
        known = f"nullIf({name}, toInt64('{NULL_INT}'))" if column.nullable else name
        return f"fromUnixTimestamp64Nano({known}, 'UTC')" if name in TIMES else known
    if column.kind in ("float", "share"):
        return f"if(isNaN({name}), NULL, {name})" if column.nullable else name
    if column.kind == "bool":
        known = f"nullIf({name}, {NULL_BOOL})" if column.nullable else name
        return f"CAST({known}, {quoted(target_type(column))})"
    if column.kind == "enum":
        known = f"nullIf({name}, {NULL_ENUM})" if column.nullable else name
        return f"CAST({known}, {quoted(target_type(column))})"
    if column.kind == "set":
        return f"CAST(bitPositionsToArray({name}), {quoted(target_type(column))})"
    return _tenant_cast(name) if column.kind == "tenant" else name


def staging_statement(table: str) -> str:
    """CREATE of a table's staging table."""
    lines = [f"    {name} {kind}" for name, kind in [*text_columns(table), *record_columns(table)]]
    return (
        f"CREATE TABLE IF NOT EXISTS {STAGING[table]}\n(\n" + ",\n".join(lines) + "\n)\nENGINE = Null\n"
        f"COMMENT {quoted(f'Rows of {table} as their writers hold them; read {table} instead')}"
    )


def target_statement(table: str) -> str:
    """CREATE of a target table."""
    engine, partition, key, extras = _LAYOUT[table]
    lines = [
        f"    {column.name} {target_type(column)} COMMENT {quoted(column.doc)} CODEC({_codec(column)})"
        for column in TABLES[table]
    ]
    lines.append("    inserted_at DateTime('UTC') DEFAULT now('UTC') COMMENT 'when the row was stored' CODEC(ZSTD(1))")
    lines += [f"    {extra}" for extra in extras]
    return (
        f"CREATE TABLE IF NOT EXISTS {table}\n(\n" + ",\n".join(lines) + f"\n)\nENGINE = {engine}\n"
        f"PARTITION BY {partition}\nORDER BY {key}\nTTL inserted_at + INTERVAL {_RETENTION_DAYS[table]} DAY\n"
        f"SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}\n"
        f"COMMENT {quoted(_TABLE_DOC[table])}"
    )


def view_statement(table: str) -> str:
    """CREATE of the materialised view between them."""
    lines = []
    for column in TABLES[table]:
        expression = cast(column)
        lines.append("    " + (expression if expression == column.name else f"{expression} AS {column.name}"))
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {STAGING[table]}_mv TO {table} AS\nSELECT\n"
        + ",\n".join(lines)
        + f"\nFROM {STAGING[table]}"
    )


_AUDIT = """CREATE TABLE IF NOT EXISTS ingest_audit
(
    token String COMMENT 'what was stored: content, options, part',
    rows UInt64 COMMENT 'rows of all tables',
    inserted_at DateTime('UTC') DEFAULT now('UTC') COMMENT 'when its last row was stored'
)
ENGINE = MergeTree
ORDER BY token
COMMENT 'inserts that are complete, so that none is repeated'"""


def statements() -> list[str]:
    """Every statement of an empty store, in order."""
    found = [_AUDIT]
    found += [make(table) for table in TABLES for make in (staging_statement, target_statement, view_statement)]
    return found + [statement for rollup in ROLLUPS for statement in rollup.statements(DEDUPLICATION_WINDOW)]


def script() -> str:
    """The statements as the text of a migration."""
    return "\n\n".join(f"{statement};" for statement in statements()) + "\n"
