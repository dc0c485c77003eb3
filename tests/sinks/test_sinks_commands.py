"""``tcpblame query`` and ``tcpblame migrate`` as their users run them."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from sink_rows import HOSTILE, random_rows

from sinks.clickhouse import migrations
from sinks.clickhouse.embedded import EmbeddedStore
from sinks.clickhouse.queries import names


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store")
    with EmbeddedStore(path) as opened:
        opened.insert(random_rows(200, seed=1, sources=HOSTILE), "a")
    return path


def tcpblame(*arguments, **environ):
    env = {**os.environ, **environ}
    command = [sys.executable, "-m", "tcpblame.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)


def test_a_named_question_in_each_format(store):
    shown = tcpblame("query", "tenants", "--store", store, "--param", "limit=5")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0].split()[:3] == ["network", "connections", "payload_bytes"]
    assert len(shown.stdout.splitlines()) == 6
    lines = tcpblame("query", "tenants", "--format", "json", TCPBLAME_STORE=str(store)).stdout.splitlines()
    assert len(lines) == 100 and set(json.loads(lines[0])) >= {"network", "connections"}
    cells = list(csv.reader(io.StringIO(tcpblame("query", "tenants", "--store", store, "--format", "csv").stdout)))
    assert [row[0] for row in cells] == ["network", *(json.loads(line)["network"] for line in lines)]


def test_names_from_outside_are_harmless(store):
    sql = "SELECT DISTINCT probe, tap, capture FROM flows ORDER BY ALL"
    shown = tcpblame("query", sql, "--store", store).stdout
    assert "\\x1b[31mred" in shown and "\x1b" not in shown and "\u202e" not in shown
    cells = list(csv.reader(io.StringIO(tcpblame("query", sql, "--store", store, "--format", "csv").stdout)))
    assert len(cells) == 5
    assert any(row[0].startswith("'=cmd") for row in cells)


def test_listing_and_sql_need_no_store():
    listed = tcpblame("query", "--list")
    assert listed.returncode == 0
    assert [line for line in listed.stdout.splitlines() if not line.startswith(" ")] == list(names())
    assert tcpblame("query", "tenants", "--sql").stdout.startswith("WITH")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["query"], 2, "say what to ask"),
        (["query", "tenants"], 2, "which store"),
        (["query", "tenant"], 2, "did you mean 'tenants'"),
        (["query", "tenants", "--param", "x"], 2, "NAME=VALUE"),
        (["query", "tenants", "--param", "x=1"], 2, "no parameter 'x'"),
        (["query", "SELECT 1", "--store", "/nonexistent/store"], 1, "there is none"),
        (["query", "SELEC 1", "--store", "STORE"], 1, "Syntax error"),
        (["query", "DROP TABLE flows", "--store", "STORE"], 1, "readonly"),
        (["query", "tenants", "--store", "STORE", "--param", "limit=many"], 1, "limit"),
        (["migrate"], 2, "--store"),
        (["migrate", "--store", "/dev/null"], 1, "not a directory"),
    ],
)
def test_errors_are_one_line(store, arguments, status, message):
    done = tcpblame(*(store if part == "STORE" else part for part in arguments))
    assert done.returncode == status, done
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_statements_that_change_the_store_must_be_allowed(tmp_path):
    path = tmp_path / "store"
    assert tcpblame("migrate", "--store", path).returncode == 0
    drop = ["query", "DROP TABLE events", "--store", path]
    assert tcpblame(*drop).returncode == 1
    assert tcpblame(*drop, "--write").returncode == 0
    assert "events" not in tcpblame("query", "SHOW TABLES", "--store", path).stdout.split()


def test_migrate_plans_then_does(tmp_path):
    path = tmp_path / "store"
    planned = tcpblame("migrate", "--store", path, "--plan")
    assert planned.stdout.splitlines() == [f"{m.version:04d} {m.name}: pending" for m in migrations.known()]
    assert not path.exists()
    assert "done" in tcpblame("migrate", "--store", path).stdout
    assert tcpblame("migrate", "--store", path).stdout == "up to date\n"
    assert tcpblame("migrate", "--store", path, "--plan").stdout == "up to date\n"
