"""The embedded store: what goes in comes out, once, whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sink_rows import random_rows, steady_windows

from schemas.rows import TABLES, Rows
from sinks.clickhouse import ddl, embedded, migrations
from sinks.clickhouse.embedded import EmbeddedStore
from sinks.clickhouse.errors import StoreError
from sinks.text.lines import json_lines, order

HERE = str(Path(__file__).parent)
COUNTS = (
    "SELECT (SELECT count() FROM windows), (SELECT sum(flow_windows) FROM verdict_1m), "
    "(SELECT sum(flow_windows) FROM pair_1m), (SELECT count() FROM flows FINAL), (SELECT count() FROM events), "
    "(SELECT count() FROM probes), (SELECT sum(covered_ns) FROM pair_1m)"
)


@pytest.fixture
def store(tmp_path):
    with EmbeddedStore(tmp_path / "store") as opened:
        yield opened


def ask(store, sql, **params):
    return [json.loads(line) for line in store.query(sql, "JSONCompactEachRow", params or None).splitlines()]


def as_json(column):
    """A column of the store as --format json writes it."""
    name = column.name
    return {
        "uint": f"leftPad(lower(hex({name})), 16, '0')",
        "address": f"replaceRegexpOne(toString({name}), '^::ffff:', '')",
        "share": f"round({name}, 6)",
    }.get(column.kind, f"toUnixTimestamp64Nano({name})" if name in ddl.TIMES else name)


def test_rows_come_back_as_they_were_written(store):
    rows = random_rows(400, seed=1)
    assert store.insert(rows, "a")
    for table, columns in TABLES.items():
        # An alias must not stand in for the column it is made of.
        picked = ", ".join(f"{as_json(column)} AS {column.name}" for column in columns)
        final = "FINAL" if table == "flows" else ""
        settings = "output_format_json_quote_64bit_integers = 0, prefer_column_name_to_alias = 1"
        got = store.query(" ".join(["SELECT", picked, "FROM", table, final, "SETTINGS", settings]))
        want = b"".join(json_lines(rows, table))
        found = list(map(json.loads, got.splitlines()))
        wanted = list(map(json.loads, want.splitlines()))
        assert len(found) == len(wanted) == 400
        found.sort(key=lambda row: row.get("conn_id") or json.dumps(row))
        wanted.sort(key=lambda row: row.get("conn_id") or json.dumps(row))
        for one, other in zip(found, wanted, strict=True):
            assert list(one) == list(other)
            for name in one:
                # Rounding to six decimals may differ in the last place between the two programs.
                if isinstance(one[name], float) or isinstance(other[name], float):
                    assert one[name] == pytest.approx(other[name], abs=1.1e-6)
                else:
                    assert (name, one[name]) == (name, other[name])


def test_extreme_times_and_many_days(store):
    rows = random_rows(60, seed=2, tables=("windows", "flows", "events"))
    times = np.array([-(2**63) + 1 + step * ((2**64 - 2) // 59) for step in range(60)], np.int64)
    rows.records["windows"]["window_start_ns"] = rows.records["flows"]["start_ns"] = times
    rows.records["events"]["start_ns"] = times
    store.insert(rows, "a")
    assert ask(
        store, "SELECT (SELECT count() FROM windows), (SELECT count() FROM flows), (SELECT count() FROM events)"
    ) == [[60, 60, 60]]
    assert ask(store, "SELECT arraySort(groupUniqArray(toUnixTimestamp64Nano(window_start_ns))) FROM windows") == [
        [sorted(set(times.tolist()))]
    ]


def test_the_same_twice_changes_no_count(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "ROWS_PER_INSERT", 700)
    rows = random_rows(2000, seed=3)
    rows.records["windows"] = order(steady_windows(20, 100), "windows").table("windows")
    rows.records["windows"]["source"] = 0
    with EmbeddedStore(tmp_path) as store:
        assert store.insert(rows, "capture-1")
        first = ask(store, COUNTS)
        assert first[0][:6] == [2000] * 6
        assert not store.insert(rows, "capture-1")
        assert ask(store, COUNTS) == first
    with EmbeddedStore(tmp_path) as store:
        # Without the audit's word, each table's own memory of blocks is what keeps the counts.
        store.execute("TRUNCATE TABLE ingest_audit")
        assert store.insert(rows, "capture-1")
        assert ask(store, COUNTS) == first
        assert store.insert(rows, "capture-2")
        assert ask(store, COUNTS)[0][:3] == [4000] * 3


def test_an_insert_that_failed_halfway_is_completed_by_repeating_it(tmp_path):
    rows = random_rows(500, seed=4)
    with EmbeddedStore(tmp_path) as store:
        store.execute("ALTER TABLE pair_1m ADD CONSTRAINT broken CHECK flow_windows > 1000000")
        with pytest.raises(StoreError, match="broken") as caught:
            store.insert(rows, "a")
        assert "\n" not in str(caught.value)
        store.execute("ALTER TABLE pair_1m DROP CONSTRAINT broken")
    with EmbeddedStore(tmp_path) as store:
        assert store.insert(rows, "a")
        assert ask(store, COUNTS)[0][:6] == [500] * 6


CHILD = """
import sys
from sink_rows import random_rows, steady_windows
from sinks.clickhouse import embedded
embedded.ROWS_PER_INSERT = 500
rows = random_rows(4000, seed=5)
with embedded.EmbeddedStore(sys.argv[1]) as store:
    print("open", flush=True)
    store.insert(rows, "a")
    print("done", flush=True)
    sys.stdin.read()
"""

HOLDER = """
import sys
from sinks.clickhouse.embedded import EmbeddedStore
with EmbeddedStore(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def child(path, code=CHILD):
    env = {**os.environ, "PYTHONPATH": HERE}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_killed_at_any_moment_and_run_again(tmp_path):
    for delay in (0.0, 0.3):
        with child(tmp_path) as process:
            assert process.stdout.readline() == "open\n"
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
    with child(tmp_path) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["open\n", "done\n"]
        process.stdin.close()
    with EmbeddedStore(tmp_path) as store:
        assert ask(store, COUNTS)[0][:6] == [4000] * 6


def test_another_process_holds_the_store(tmp_path):
    with child(tmp_path, HOLDER) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match=rf"in use by another process \({process.pid}\)"):
            EmbeddedStore(tmp_path)
        process.stdin.close()
    EmbeddedStore(tmp_path).close()


def test_two_stores_in_one_process(tmp_path, store):
    with pytest.raises(StoreError, match="another store open"):
        EmbeddedStore(tmp_path / "other")
    with EmbeddedStore(store.path) as same:
        assert ask(same, "SELECT 1") == [[1]]
    assert ask(store, "SELECT 1") == [[1]]


def test_not_a_store(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(StoreError, match="not a directory"):
        EmbeddedStore(file)
    with pytest.raises(StoreError, match="other files"):
        EmbeddedStore(tmp_path)
    with pytest.raises(StoreError, match="there is none"):
        EmbeddedStore(tmp_path / "absent", create=False)
    assert not (tmp_path / "absent").exists()
    with pytest.raises(StoreError, match="Not a directory"):
        EmbeddedStore(file / "below")
    with pytest.raises(StoreError, match="question mark"):
        EmbeddedStore(tmp_path / "a?mode=ro")


def test_no_permission():
    code = (
        "import os, sys\nfrom sinks.clickhouse.embedded import EmbeddedStore, StoreError\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "for path in (sys.argv[1], sys.argv[1] + '/new'):\n"
        "    try: EmbeddedStore(path)\n"
        "    except StoreError as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", code, directory], capture_output=True, text=True, check=True, timeout=60
        )
        Path(directory).chmod(0o755)
    first, second = done.stdout.splitlines()
    assert "no permission" in first
    assert "Permission denied" in second


@contextmanager
def small_disk(path, size):
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=False)
    if done.returncode:
        pytest.skip("DISK FULL IS NOT TESTED: no small file system can be mounted here (needs root)")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_disk_full_then_repaired(tmp_path):
    rows = random_rows(30_000, seed=6, tables=("windows", "flows"))
    with small_disk(tmp_path / "disk", "14m") as disk:
        with EmbeddedStore(disk / "store") as store:
            with pytest.raises(StoreError, match="the disk is full") as caught:
                store.insert(rows, "a")
            assert "\n" not in str(caught.value)
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        with EmbeddedStore(disk / "store") as store:
            assert store.insert(rows, "a")
            assert ask(store, COUNTS)[0][:4] == [30_000] * 4
            assert not store.insert(rows, "a")


def test_migrations_give_what_the_row_definitions_say(tmp_path, store):
    look = (
        "SELECT table, name, type, comment, position FROM system.columns WHERE database = currentDatabase() "
        "AND table != 'schema_migrations' ORDER BY table, position",
        "SELECT name, engine, partition_key, sorting_key, comment FROM system.tables "
        "WHERE database = currentDatabase() AND name != 'schema_migrations' ORDER BY name",
    )
    migrated = [ask(store, sql) for sql in look]
    store.close()
    with EmbeddedStore(tmp_path / "fresh", migrate=False) as fresh:
        assert [m.version for m in migrations.plan(fresh)] == [m.version for m in migrations.known()]
        for statement in ddl.statements():
            fresh.execute(statement)
        assert [ask(fresh, sql) for sql in look] == migrated
    columns = {(table, name): comment for table, name, _, comment, _ in migrated[0]}
    for table, described in TABLES.items():
        for column in described:
            assert columns[table, column.name] == column.doc
    assert all(comment for (table, _), comment in columns.items() if not table.endswith(("_mv", "_v1")))


def test_released_migrations_do_not_change():
    # The first migration is ddl.script() as of schema version 1. Once it is released, later changes of the row
    # definitions come as further files, and this checksum stays.
    assert [m.version for m in migrations.known()] == list(range(1, len(migrations.known()) + 1))
    if len(migrations.known()) == 1:
        assert migrations.known()[0].text == ddl.script()


def test_retention_counts_from_insertion_and_is_off_in_a_directory(store):
    for statement in ddl.statements():
        if "MergeTree" in statement and "ingest_audit" not in statement:
            assert "\nTTL inserted_at + INTERVAL" in statement
    assert ask(store, "SELECT count() FROM system.tables WHERE engine_full LIKE '% TTL %'") == [[0]]
    rows = random_rows(50, seed=7)
    for name, table in (("start_ns", "flows"), ("window_start_ns", "windows"), ("start_ns", "events")):
        rows.records[table][name] = 10**18  # 2001
    store.insert(rows, "old")
    for table in ("flows", "windows", "events", "pair_1m"):
        store.execute(f"OPTIMIZE TABLE {table} FINAL")
    assert ask(store, COUNTS)[0][:6] == [50] * 6


def test_an_interrupted_migration_is_run_again(tmp_path):
    with EmbeddedStore(tmp_path, migrate=False) as store:
        for statement in migrations.known()[0].statements()[:5]:
            store.execute(statement)
        assert [m.version for m in migrations.migrate(store)] == [m.version for m in migrations.known()]
        assert migrations.plan(store) == []
        assert migrations.migrate(store) == []


def test_newer_and_foreign_schemas_are_refused(tmp_path):
    with EmbeddedStore(tmp_path) as store:
        store.execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'later', 'x')")
    with pytest.raises(StoreError, match="version 99, this tcpblame knows"):
        EmbeddedStore(tmp_path)
    with EmbeddedStore(tmp_path.with_name("other")) as store:
        store.execute(
            "ALTER TABLE schema_migrations UPDATE checksum = 'x' WHERE version = 1 SETTINGS mutations_sync = 1"
        )
    with pytest.raises(StoreError, match="migration 0001 is not this version's"):
        EmbeddedStore(tmp_path.with_name("other"))


def test_errors_are_one_line(store):
    for sql in ("SELEC", "SELECT * FROM absent", "SELECT {x:UInt8}", "SELECT throwIf(1)"):
        with pytest.raises(StoreError) as caught:
            store.query(sql)
        assert "\n" not in str(caught.value)
        assert str(store.path) in str(caught.value)
    assert ask(store, "SELECT {x:UInt8}", x=7) == [[7]]
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.query("SELECT 1")


def test_nothing_to_store(store):
    assert store.insert(Rows(), "empty")
    assert not store.insert(Rows(), "empty")
