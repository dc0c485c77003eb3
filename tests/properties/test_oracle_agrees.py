"""The engine's rows are those of the oracle, column by column, on traffic of every kind."""

from typing import Any

from hypothesis import given, settings

from schemas.columns import Segments
from tests.oracle import oracle
from tests.oracle.flow import WINDOW_COUNTS
from tests.properties.engine_rows import column_of, flows_by_key, run, value, windows_by_key
from tests.properties.strategies import Traffic, captures, chaos, examples


def disagreements(segments: Segments) -> list[tuple[Any, ...]]:
    """Every value that differs: (table, column, key, oracle's, engine's)."""
    rows = run(segments)
    flows, expected = flows_by_key(rows), oracle.flow_rows(segments)
    found: list[tuple[Any, ...]] = [("flows", "a row", key) for key in flows.keys() ^ expected.keys()]
    for key in flows.keys() & expected.keys():
        for name, wanted in expected[key].items():
            got = value(flows[key], column_of("flows", name))
            if got != wanted:
                found.append(("flows", name, key, wanted, got))
    windows, counted = windows_by_key(rows), oracle.window_rows(segments)
    # Windows without payload may have a row too: for the ledger's and the events' reasons.
    found += [("windows", "a row", key) for key in oracle.busy_windows(segments) - windows.keys()]
    for key, record in windows.items():
        for name, wanted in counted.get(key, dict.fromkeys(WINDOW_COUNTS, 0)).items():
            got = value(record, column_of("windows", name))
            if got != wanted:
                found.append(("windows", name, key, wanted, got))
    return found


@settings(max_examples=examples(150))
@given(captures())
def test_on_simulated_connections(traffic: Traffic) -> None:
    assert disagreements(traffic.segments) == []


@settings(max_examples=examples(400))
@given(chaos())
def test_on_packets_without_a_stack_behind_them(traffic: Traffic) -> None:
    assert disagreements(traffic.segments) == []
