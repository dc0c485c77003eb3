"""JSON lines and CSV against a plain rendering in Python."""

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_rows import HOSTILE, extreme_rows, random_rows, unknown_rows

from schemas import columns, naming
from schemas.rows import NULL_INT, TABLES, Rows, Source, record_dtype
from sinks.text.lines import csv_lines, json_lines, order

TABLE_NAMES = list(TABLES)


def plain_value(record, column, rows):
    """A column's value as JSON knows it, from the definitions in schemas.naming."""
    if column.kind == "text":
        source = int(record["source"])
        if not 0 <= source < len(rows.sources):
            return (
                None if column.name != "ruleset" or source < 0 or source >= max(len(rows.sources), 1) else rows.ruleset
            )
        text = rows.ruleset if column.name == "ruleset" else getattr(rows.sources[source], column.name)
        return None if text is None else naming.valid_text(text)
    if column.kind == "address":
        return naming.address(record[f"{column.name}_hi"], record[f"{column.name}_lo"])
    value = record[column.name]
    if column.kind == "int":
        return None if value == NULL_INT else int(value)
    if column.kind in ("share", "float"):
        return float(value) if math.isfinite(value) else None
    if column.kind == "bool":
        return {0: False, 1: True}.get(int(value))
    if column.kind == "enum":
        return naming.enum_name(value, column.values)
    if column.kind == "set":
        return naming.set_names(value, column.values)
    if column.kind == "port":
        return int(value)
    return naming.tenant(value) if column.kind == "tenant" else naming.connection_id(value)


def check(rows, table):
    lines = b"".join(json_lines(rows, table)).decode().splitlines()
    cells = list(csv.reader(io.StringIO(b"".join(csv_lines(rows, table)).decode(), newline="")))
    assert len(lines) == len(rows.table(table)) == len(cells) - 1
    assert cells[0] == [column.name for column in TABLES[table]]
    for record, line, row in zip(rows.table(table), lines, cells[1:], strict=True):
        found = json.loads(line)
        assert list(found) == [column.name for column in TABLES[table]]
        for column, cell in zip(TABLES[table], row, strict=True):
            want = plain_value(record, column, rows)
            got = found[column.name]
            if isinstance(want, float):
                assert got == pytest.approx(want, rel=1e-12, abs=5.000001e-7)
                assert len(str(cell).partition(".")[2]) <= 6
                assert float(cell) == got
                continue
            assert got == want
            assert type(got) is type(want)
            if column.kind == "text" and want is not None:
                shown = naming.visible(want)
                assert cell == shown or (cell == "'" + shown and shown[0] in "=+-@")
            else:
                plain = want if not isinstance(want, list) else " ".join(want)
                assert cell == ("" if want is None else str(plain).lower() if isinstance(want, bool) else str(plain))


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_random_rows(table):
    check(random_rows(300, seed=1), table)


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_unknown_and_extreme_rows(table):
    check(unknown_rows(table, 2), table)
    check(extreme_rows(table), table)


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_any_bytes_are_a_row_and_never_leave_the_buffer(table):
    rng = np.random.default_rng(5)
    size = record_dtype(table).itemsize
    records = np.frombuffer(rng.bytes(size * 200), record_dtype(table)).copy()
    records["source"] %= 5
    check(Rows(HOSTILE, "r", {table: records}), table)


def test_tenants_are_numbered_as_the_columns_number_them():
    for name in ("NONE", "VLAN", "QINQ", "VXLAN", "GENEVE", "GRE", "SHIFT"):
        assert getattr(naming, f"TENANT_{name}") == getattr(columns, f"TENANT_{name}")
    numbers = (0, 1 << 28 | 100, 2 << 28 | 200 << 12 | 100, 3 << 28 | 5000, 4 << 28 | 7, 5 << 28 | 9)
    words = [None, "vlan:100", "qinq:200.100", "vxlan:5000", "geneve:7", "gre:9"]
    assert [naming.tenant(number) for number in numbers] == words


def test_no_rows():
    assert list(json_lines(Rows(), "flows")) == []
    assert b"".join(csv_lines(Rows(), "flows")).count(b"\r\n") == 1


def test_chunks_join_at_row_ends():
    rows = random_rows(3000, seed=2)
    chunks = list(json_lines(rows, "flows"))
    assert len(chunks) > 1
    assert all(chunk.endswith(b"}\n") for chunk in chunks)
    for record, line in zip(rows.table("flows"), b"".join(chunks).splitlines(), strict=True):
        assert json.loads(line)["conn_id"] == naming.connection_id(record["conn_id"])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**64 - 1) | st.just(0) | st.sampled_from([1 << 48, 1 << 16, 0x20010DB8 << 32]),
            st.integers(0, 2**64 - 1) | st.integers(0, 2**17) | st.integers(0xFFFF << 32, (0xFFFF << 32) + 2**32 - 1),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_addresses(pairs):
    records = np.zeros(len(pairs), record_dtype("events"))
    for record, (hi, lo) in zip(records, pairs, strict=True):
        record["src_hi"], record["src_lo"] = hi, lo
        assert naming.halves(naming.address(hi, lo)) == (hi, lo)
    lines = b"".join(json_lines(Rows([Source("p", "t")], "r", {"events": records}), "events")).splitlines()
    assert [json.loads(line)["src"] for line in lines] == [naming.address(*pair) for pair in pairs]


@given(
    st.lists(
        st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf]) | st.floats(0, 1),
        min_size=1,
        max_size=20,
    )
)
def test_floats(values):
    records = np.zeros(len(values), record_dtype("flows"))
    records["confidence"] = values
    for value, line in zip(
        values,
        b"".join(json_lines(Rows([Source("p", "t")], "r", {"flows": records}), "flows")).splitlines(),
        strict=True,
    ):
        text = line.decode().rpartition('"confidence":')[2].rstrip("}")
        found = json.loads(text)
        if not math.isfinite(value):
            assert found is None
        else:
            assert found == pytest.approx(value, rel=1e-12, abs=5.000001e-7)
            assert len(text.partition(".")[2]) <= 6


def test_order_is_total_and_keeps_rows():
    for table, first in (("flows", "start_ns"), ("windows", "window_start_ns"), ("events", "start_ns")):
        rows = random_rows(500, seed=3, span_ns=20_000_000_000)
        records = rows.table(table)
        records["conn_id"] %= 7
        records[first] //= 10**9
        shuffled = records[np.random.default_rng(1).permutation(len(records))]
        one = b"".join(json_lines(order(rows, table), table))
        other = b"".join(json_lines(order(Rows(rows.sources, rows.ruleset, {table: shuffled}), table), table))
        assert one == other
        keys = [(json.loads(line)[first], json.loads(line)["conn_id"]) for line in one.splitlines()]
        assert keys == sorted(keys)


def test_names_from_outside_stay_text():
    rows = random_rows(40, seed=4)
    text = b"".join(csv_lines(rows, "events")) + b"".join(json_lines(rows, "events"))
    assert not set(text) & (set(range(32)) - {10, 13}) and 127 not in text
    assert "\u202e".encode() not in b"".join(csv_lines(rows, "events"))


def test_uncompiled_writer_gives_the_same_bytes(tmp_path):
    rows = random_rows(60, seed=6)
    want = {table: b"".join(json_lines(rows, table)) + b"".join(csv_lines(rows, table)) for table in TABLE_NAMES}
    code = (
        "import sys, pathlib; from sink_rows import random_rows; from schemas.rows import TABLES\n"
        "from sinks.text.lines import csv_lines, json_lines\n"
        "rows = random_rows(60, seed=6)\n"
        "for t in TABLES:\n"
        "    pathlib.Path(sys.argv[1], t).write_bytes(b''.join(json_lines(rows, t)) + b''.join(csv_lines(rows, t)))\n"
    )
    here = str(Path(__file__).parent)
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": here, "PYTHONWARNINGS": "error"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, check=True, timeout=120)
    assert {table: (tmp_path / table).read_bytes() for table in TABLE_NAMES} == want
