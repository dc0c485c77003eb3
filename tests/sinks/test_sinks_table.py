"""The person's table and the words of a verdict."""

import re
from itertools import pairwise

import numpy as np
import pytest
from rich.cells import cell_len
from sink_rows import BASE_NS, HOSTILE, extreme_rows, random_rows, unknown_rows

from schemas.causes import CAUSE, CAUSE_VERDICT, CAUSES, VERDICTS
from schemas.rows import NULL_ENUM, NULL_INT, Rows, Source, record_dtype
from sinks.text import units, wording
from sinks.text.layout import wrap
from sinks.text.table import events_table, flows_table, held_back_ns, probes_table, windows_table

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def flow(named, /, **values):
    """One flow with everything unknown but what is given."""
    record = unknown_rows("flows").table("flows")[0]
    record["cause"], record["verdict"] = CAUSE[named], CAUSE_VERDICT[CAUSE[named]]
    record["src_lo"], record["dst_lo"] = (0xFFFF << 32) | 0x0A000001, (0xFFFF << 32) | 0x0A000002
    record["start_ns"] = BASE_NS
    for name, value in values.items():
        record[name] = value
    return record


def rows_of(*records, sources=None):
    return Rows(sources or [Source("p", "t")], "r", {"flows": np.array(list(records), record_dtype("flows"))})


def test_every_cause_has_its_words():
    assert list(wording.WORDING) == list(CAUSES)


@pytest.mark.parametrize("table", ["flows", "windows"])
def test_words_for_any_row(table):
    samples = [
        *random_rows(200, seed=1).table(table),
        *extreme_rows(table).table(table),
        *unknown_rows(table).table(table),
    ]
    for row in samples:
        for number in [*range(len(CAUSES)), NULL_ENUM]:
            row["cause"] = number
            text = wording.sentence(row)
            assert re.fullmatch(r"(sender|receiver|network|setup|idle|unknown): \S.*", text)
            assert text.isprintable()
            assert not re.search(r"None|nan|inf\b|  |, ,|-\d{4}", text), text


def test_a_full_window_and_the_window_that_it_would_need():
    # 20 Mbit/s although the window blocks 71 % of the time: 69 Mbit/s without, which is 354 KB in 42 ms.
    row = flow(
        "window_full",
        time_active_receiver=0.71,
        rwnd_max_bytes=65535,
        delivery_rate_bps=20_000_000,
        rtt_p50_ns=42_000_000,
    )
    assert wording.needed_window(row) == round(20e6 / 8 / 0.29 * 0.042)
    assert wording.sentence(row) == ("receiver: window full 71 % of active time, 64 KB window, needs 354 KB at 42 ms")
    # Blocked nearly all the time: nothing shows what the flow would do without.
    row["time_active_receiver"] = 0.97
    assert wording.sentence(row) == "receiver: window full 97 % of active time, 64 KB window, RTT 42 ms"
    # A window already as large as that is no proof of a need.
    row["time_active_receiver"], row["rwnd_max_bytes"] = 0.1, 6 << 20
    assert "needs" not in wording.sentence(row)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            flow(
                "fast_recovery", packets=1000, retransmitted_packets=21, timeouts=3, rtt_min_ns=42_000_000,
                rtt_p95_ns=180_000_000,
            ),
            "network: 2.1 % retransmitted, 3 timeouts, RTT 42 -> 180 ms",
        ),
        (flow("slow_producer", time_active_sender=0.83), "sender: application idle or slow 83 % of active time"),
        (
            flow("syn_lost", syn_retransmissions=2, time_setup=0.5, covered_ns=6_000_000_000),
            "setup: SYN sent 3 times, 3 s lost",
        ),
        (flow("no_answer", syn_retransmissions=0), "setup: SYN sent once, nothing answered"),
        (flow("refused", covered_ns=350_000), "setup: refused by a reset after 350 us"),
        (
            flow("zero_window", zero_windows=2, zero_window_ns=1_200_000_000),
            "receiver: window closed twice, 1.2 s in all",
        ),
        (flow("queueing", rtt_min_ns=900_000, rtt_p95_ns=42_000_000), "network: queueing, RTT 900 us -> 42 ms"),
        (flow("timeout", timeouts=1, rtt_min_ns=1_000_000, rtt_p95_ns=1_100_000), "network: 1 timeout, RTT 1 ms"),
        (
            flow("ambiguous", time_active_sender=0.45, time_active_network=0.5, time_active_receiver=0.05),
            "unknown: two explanations are about equally likely, network 50 %, sender 45 %",
        ),
        (flow("unseen_reverse"), "unknown: only one direction was captured"),
        (
            flow("slow_producer", verdict=VERDICTS.index("unknown"), time_active_sender=0.4, confidence=0.42),
            "unknown: perhaps application idle or slow 40 % of active time, confidence 42 %",
        ),
        (
            flow("queueing", cause=NULL_ENUM, verdict=VERDICTS.index("network"), time_active_network=0.6),
            "network: held back 60 % of active time",
        ),
        (
            flow("queueing", cause=NULL_ENUM, verdict=VERDICTS.index("unknown"), confidence=0.3),
            "unknown: no cause is likely enough (confidence 30 %)",
        ),
    ],
)  # fmt: skip
def test_sentences(row, words):
    assert wording.sentence(row) == words


def test_units():
    assert [units.size(n) for n in (0, 999, 1000, 65535, 317_440, 4_404_019)] == [
        "0 B",
        "999 B",
        "0.98 KB",
        "64 KB",
        "310 KB",
        "4.2 MB",
    ]
    assert [units.rate(n) for n in (0, 9_600, 93_400_000, 10**10)] == [
        "0 bit/s",
        "9.6 kbit/s",
        "93 Mbit/s",
        "10 Gbit/s",
    ]
    spans = (0, 999, 42_000_000, 1_500_000_000, 119_000_000_000, 200_000_000_000, 7_500_000_000_000)
    assert [units.duration(n) for n in spans] == [
        "0 ns",
        "999 ns",
        "42 ms",
        "1.5 s",
        "119 s",
        "3 min 20 s",
        "2 h 5 min",
    ]
    assert [units.percent(x) for x in (0, 0.0004, 0.0213, 0.02, 0.706, 1)] == [
        "0 %",
        "< 0.1 %",
        "2.1 %",
        "2 %",
        "71 %",
        "100 %",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
@pytest.mark.parametrize("make", [flows_table, windows_table, events_table, probes_table])
def test_lines_fit_and_colour_changes_nothing_else(make, width):
    rows = random_rows(60, seed=2)
    plain = make(rows, width=width, colour=False)
    assert max(map(cell_len, plain.splitlines())) <= width
    assert ANSI.sub("", make(rows, width=width, colour=True)) == plain
    assert all(line.isprintable() and line == line.rstrip() for line in plain.split("\n"))


def test_eighty_columns_show_every_address_whole():
    rows = random_rows(40, seed=3, sources=HOSTILE[:1])
    text = flows_table(rows, width=80)
    assert "…" not in text
    assert len(re.findall(r"^(?:\d+\.|\[)", text, re.MULTILINE)) == 40


def test_wider_shows_more():
    rows = rows_of(
        flow(
            "timeout", covered_ns=12_100_000_000, payload_bytes=4_404_019, delivery_rate_bps=2_800_000,
            rtt_p50_ns=42_000_000, packets=3000, retransmitted_packets=63, timeouts=3, tenant=(1 << 28) | 100,
        )
    )  # fmt: skip
    narrow, wide = flows_table(rows, width=60), flows_table(rows, width=200)
    assert narrow.splitlines()[0].split()[:2] == ["CONNECTION", "TENANT"]
    assert len(narrow.splitlines()[0].split()) < 7
    assert wide.splitlines()[0].split() == ["CONNECTION", "TENANT", "TIME", "PAYLOAD", "RATE", "RTT", "RETR", "VERDICT"]
    assert len(wide.splitlines()) == 2
    for text in ("vlan:100", "12 s", "4.2 MB", "2.8 Mbit/s", "42 ms", "2.1 %", "network: 3 timeouts"):
        assert text in wide


def test_worst_first():
    rows = random_rows(50, seed=4, sources=HOSTILE[:1])
    rows.table("flows")["covered_ns"] = np.random.default_rng(1).integers(1, 10**12, 50)
    flows = rows.table("flows")
    score = held_back_ns(flows)
    assert all(score >= 0)
    best = flows[np.argmax(score)]
    first = flows_table(rows, width=400, limit=1)
    assert f":{best['src_port']} → " in first.splitlines()[1]
    assert "49 more not shown" in first
    # Half an hour of waiting for an application counts less than twenty minutes of loss.
    by_cause = [
        flow("slow_producer", covered_ns=1800, time_sender=1.0),
        flow("timeout", covered_ns=1200, time_network=1.0),
    ]
    quiet = flow("idle", covered_ns=10**9, time_idle=1.0)
    scores = held_back_ns(np.array([*by_cause, quiet]))
    assert scores[1] > scores[0] > scores[2] == 0
    assert all(one >= other for one, other in pairwise(sorted(score, reverse=True)))


def test_names_from_outside_are_harmless():
    text = flows_table(random_rows(60, seed=5), width=250, colour=False)
    assert "\x1b" not in text
    assert "red\\x1b[0m\\n\\r\\x07" in text
    assert "\u202e" not in text


def test_nothing_to_show():
    assert flows_table(Rows()) == "No TCP connections.\n"
    assert windows_table(Rows()) == "No windows.\n"
    assert events_table(Rows()) == "No events.\n"
    assert probes_table(Rows()) == "No probes.\n"
    assert probes_table(unknown_rows("probes")).split() == ["PROBE", "TAP", "p", "t"]
    assert flows_table(rows_of(flow("too_little", covered_ns=NULL_INT))).count("\n") == 2


def test_wrapping_keeps_numbers_with_their_units():
    text = "64 KB window, needs 310 KB at 42 ms, 2.1 % retransmitted"
    for width in range(14, 60):
        lines = wrap(text, width)
        assert " ".join(lines) == text
        assert all(not re.match(r"(KB|ms|%)", line) for line in lines)
        assert all(cell_len(line) <= width for line in lines)
    assert wrap("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
