"""Every named question runs on a store with rows and on an empty one, and some are asked what is known."""

import json
import re

import numpy as np
import pytest
from sink_rows import BASE_NS, random_rows

from schemas.causes import CAUSE, CAUSE_VERDICT
from schemas.rows import Rows, Source, record_dtype
from sinks.clickhouse import queries
from sinks.clickhouse.embedded import EmbeddedStore
from sinks.text.wording import needed_window


def ask(store, name, **params):
    query = queries.load(name)
    return [json.loads(line) for line in store.query(query.sql, "JSONEachRow", {**query.params, **params}).splitlines()]


def known_rows():
    """Two hosts, one connection each way of being slow, with figures that can be added up by hand."""
    flows = np.zeros(3, record_dtype("flows"))
    windows = np.zeros(3, record_dtype("windows"))
    causes = ("window_full", "slow_producer", "timeout")
    for number, cause in enumerate(causes):
        for table, records in (("flows", flows), ("windows", windows)):
            record = records[number]
            record["conn_id"] = number + 1
            record["src_lo"], record["dst_lo"] = (0xFFFF << 32) | (0x0A000001 + number), (0xFFFF << 32) | 0x0A000009
            record["src_port"], record["dst_port"] = 443, 50000 + number
            record["cause"], record["verdict"] = CAUSE[cause], CAUSE_VERDICT[CAUSE[cause]]
            record["covered_ns"] = 10_000_000_000 if table == "flows" else 1_000_000_000
            record["packets"], record["payload_bytes"] = 1000, 1_000_000
            record["retransmitted_packets"] = 50 if cause == "timeout" else 0
            record[f"time_{('receiver', 'sender', 'network')[number]}"] = 0.75
            record["time_idle"] = 0.25
            record["rtt_p50_ns"] = record["rtt_min_ns"] = 40_000_000
            record["confidence"] = 0.9
    flows["opener"], flows["start_ns"], flows["end_ns"] = 0, BASE_NS, BASE_NS + 10**10
    flows["rtt_p95_ns"] = 400_000_000
    flows["time_active_receiver"] = [0.8, 0, 0]
    flows["time_active_sender"] = [0, 1, 0]
    flows["delivery_rate_bps"], flows["rwnd_max_bytes"] = 20_000_000, 65535
    flows["zero_windows"], flows["zero_window_ns"] = [2, 0, 0], [5_000_000_000, 0, 0]
    windows["window_start_ns"], windows["window_ns"] = BASE_NS // 10**9 * 10**9, 10**9
    windows["secondary_causes"] = np.uint64(1 << CAUSE["small_buffer"])
    return Rows([Source("p", "t")], "r", {"flows": flows, "windows": windows})


@pytest.fixture(scope="module", params=["rows", "empty", "known"])
def store(request, tmp_path_factory):
    with EmbeddedStore(tmp_path_factory.mktemp("store")) as opened:
        opened.kind = request.param
        if request.param == "rows":
            rows = random_rows(500, seed=1)
            rows.records["windows"]["conn_id"] = rows.records["flows"]["conn_id"]
            opened.insert(rows, "a")
        elif request.param == "known":
            opened.insert(known_rows(), "a")
        yield opened


def test_there_are_enough_and_each_says_what_it_is():
    assert len(queries.names()) >= 12
    for name in queries.names():
        query = queries.load(name)
        assert query.title and query.about.endswith(".")
        assert set(re.findall(r"\{(\w+):", query.sql)) == set(query.params)
        assert not query.sql.endswith(";")
    with pytest.raises(KeyError):
        queries.load("../queries/tenants")


@pytest.mark.parametrize("name", queries.names())
def test_runs_and_is_deterministic(store, name):
    found = ask(store, name)
    if store.kind == "empty":
        assert found == []
    elif store.kind == "rows":
        assert found
    assert found == ask(store, name)


def test_known_answers(store):
    if store.kind != "known":
        return
    hosts = {row["host"]: row for row in ask(store, "slow_hosts")}
    assert hosts["10.0.0.2"]["as_sender_s"] == 0.75 and hosts["10.0.0.9"]["as_receiver_s"] == 0.75
    assert hosts["10.0.0.1"]["as_sender_s"] == hosts["10.0.0.1"]["as_receiver_s"] == 0
    assert hosts["10.0.0.3"]["network_s"] == hosts["10.0.0.9"]["network_s"] == 0.75
    (minute,) = ask(store, "verdict_shares")
    assert [minute[f"{side}_percent"] for side in ("sender", "receiver", "network")] == [33.3, 33.3, 33.3]
    assert minute["active_s"] == 2.25 and minute["connections"] == 3
    (spot,) = ask(store, "retransmission_hot_spots")
    assert (spot["sender"], spot["retransmitted_percent"]) == ("10.0.0.3", 5)
    (closed,) = ask(store, "zero_window_receivers")
    assert (closed["receiver"], closed["closed"], closed["closed_s"]) == ("10.0.0.9", 2, 5)
    (fix,) = ask(store, "receivers_to_fix")
    assert fix["needed_bytes"] == needed_window(known_rows().table("flows")[0]) == 500_000
    (slow, *_) = ask(store, "sender_limited_services")
    assert (slow["server"], slow["mostly"], slow["sender_s"]) == ("10.0.0.2", "slow_producer", 7.5)
    line = ask(store, "timeline", conn="0000000000000002")
    assert [row["sender"] for row in line] == ["10.0.0.2 443"]
    # Without a name: the first of the connections that were held back longest.
    assert ask(store, "timeline")[0]["sender"] == "10.0.0.1 443"
    assert len(ask(store, "rtt_outliers")) == 3
    assert ask(store, "rtt_outliers", min_ratio="11") == []
    (masked,) = ask(store, "masked_receivers")
    assert masked["also"] == ["small_buffer"]
    assert [row["conn"] for row in ask(store, "slow_connections", limit="2")] == [
        "0000000000000001",
        "0000000000000003",
    ]
