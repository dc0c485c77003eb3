"""``tcpblame diagnose``: each option, and that the same capture gives the same rows however it is given."""

import csv
import gzip
import io
import json
import shutil

import pytest

from schemas.rows import TABLES
from tcpblame.diagnosis import collect
from tests.cli.running import DEMO, REFUSED, SHARED_LINK, ZERO_WINDOW, apart, here, one_line


def names_off(rows):
    """Rows without what names the capture, in an order of their own."""
    named = ("conn_id", "probe", "capture")
    return sorted(json.dumps({k: v for k, v in row.items() if k not in named}) for row in rows)


def cut_in_two(data: bytes, packets: int) -> tuple[bytes, bytes]:
    """A pcap file as two of them, the first with so many packets."""
    at = 24
    for _ in range(packets):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    return data[:at], data[:24] + data[at:]


@pytest.mark.parametrize("table", TABLES)
def test_json_and_csv_hold_the_same_rows_in_the_same_order(table):
    lines = here("diagnose", SHARED_LINK, "--rows", table, "--format", "json")
    cells = here("diagnose", SHARED_LINK, "--rows", table, "--format", "csv")
    assert (lines.status, cells.status, lines.err, cells.err) == (0, 0, "", "")
    header, *rows = csv.reader(io.StringIO(cells.out, newline=""))
    assert header == [column.name for column in TABLES[table]] == list(lines.rows[0])
    assert len(rows) == len(lines.rows)
    for row, line in zip(rows, lines.rows, strict=True):
        assert [cell == "" for cell in row] == [value in (None, "", []) for value in line.values()]
    start = "window_start_ns" if table == "windows" else "start_ns"
    times = [line[start] for line in lines.rows]
    assert times == sorted(times)


def test_a_person_sees_the_worst_first_and_the_verdict_in_words():
    shown = here("diagnose", ZERO_WINDOW, REFUSED)
    lines = shown.out.splitlines()
    assert shown.status == 0
    assert "10.77.0.11:40400" in lines[1]
    assert lines[2].strip().startswith("receiver: window closed 5 times")
    assert lines[-1] == "2 captures: 1,127 packets, 1,127 of them TCP segments."
    assert "\x1b" not in shown.out


@pytest.mark.parametrize("table", ["flows", "windows", "events"])
def test_a_limit_takes_the_first_rows_and_a_table_says_so(table):
    every = here("diagnose", SHARED_LINK, "--rows", table, "--format", "json").rows
    some = here("diagnose", SHARED_LINK, "--rows", table, "--format", "json", "--limit", 2).rows
    assert some == every[:2] and len(every) > 2
    shown = here("diagnose", SHARED_LINK, "--rows", table, "--limit", 2).out
    assert f"{len(every) - 2} more not shown (--limit)." in shown


def test_a_filter_chooses_connections():
    every = here("diagnose", SHARED_LINK, "--format", "json").rows
    chosen = here("diagnose", SHARED_LINK, "--format", "json", "--filter", "port 41601 or port 41602").rows
    assert chosen == [row for row in every if {41601, 41602} & {row["src_port"], row["dst_port"]}]
    assert chosen
    shown = here("diagnose", SHARED_LINK, "--filter", "host 192.0.2.1")
    assert (shown.status, shown.out.splitlines()[0]) == (0, "No TCP connections.")
    assert ", 0 selected." in shown.out


def test_times_choose_segments_and_may_be_given_in_three_ways():
    tap = here("diagnose", ZERO_WINDOW, "--rows", "probes", "--format", "json").rows[0]
    first = tap["start_ns"]
    whole, fraction = divmod(first + 10**9, 10**9)
    relative = here("diagnose", ZERO_WINDOW, "--format", "json", "--from", "+1", "--to", "+2").rows
    absolute = here("diagnose", ZERO_WINDOW, "--format", "json",
                    "--from", f"{whole}.{fraction:09d}", "--to", f"{whole + 1}.{fraction:09d}").rows  # fmt: skip
    assert relative == absolute
    assert relative[0]["start_ns"] >= first + 10**9
    assert relative[0]["end_ns"] < first + 2 * 10**9
    assert 0 < relative[0]["packets"] < tap["packets"]


def test_windows_have_the_length_asked_for():
    rows = here("diagnose", ZERO_WINDOW, "--rows", "windows", "--format", "json", "--window", "100ms").rows
    assert {row["window_ns"] for row in rows} == {100_000_000}
    assert {row["window_start_ns"] % 100_000_000 for row in rows} == {0}
    for row in rows:
        assert sum(row[f"time_{v}"] for v in ("idle", "sender", "receiver", "network", "setup", "unknown")) == (
            pytest.approx(1, abs=1e-5)
        )


def test_the_window_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TCPBLAME_WINDOW", "500ms")
    rows = here("diagnose", ZERO_WINDOW, "--rows", "windows", "--format", "json").rows
    assert {row["window_ns"] for row in rows} == {500_000_000}


def test_a_met_condition_ends_with_3_and_says_which_flow():
    met = here("diagnose", ZERO_WINDOW, "--format", "json", "--fail-on", "receiver:0.3", "--fail-on", "setup:0.9")
    assert met.status == 3 and len(met.rows) == 1
    assert one_line(met).startswith("tcpblame: fail-on receiver:0.3: met by 1 of 1 flows, most by 10.77.0.11:40400 > ")
    unmet = here("diagnose", ZERO_WINDOW, "--format", "json", "--fail-on", "network:0.99")
    assert (unmet.status, unmet.err) == (0, "")


def test_a_condition_counts_before_a_cut_capture(tmp_path):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(ZERO_WINDOW.read_bytes()[:-10])
    ran = here("diagnose", cut, "--fail-on", "receiver:0.3")
    assert ran.status == 3 and "cut short" in ran.err
    assert here("diagnose", cut, "--fail-on", "setup:0.9").status == 1


def test_rotated_files_are_one_capture_whatever_their_order(tmp_path):
    first, second = cut_in_two(ZERO_WINDOW.read_bytes(), 500)
    (tmp_path / "ring.pcap10").write_bytes(second)
    (tmp_path / "ring.pcap9").write_bytes(first)
    whole = here("diagnose", ZERO_WINDOW, "--format", "json")
    joined = here("diagnose", "--concat", *sorted(tmp_path.iterdir()), "--format", "json", "--probe-id", "ring")
    assert joined.status == 0
    assert names_off(joined.rows) == names_off(whole.rows)
    assert {row["probe"] for row in joined.rows} == {"ring"}
    apart_ = here("diagnose", *sorted(tmp_path.iterdir()), "--format", "json")
    assert len(apart_.rows) > len(joined.rows)
    taps = here("diagnose", "--concat", *sorted(tmp_path.iterdir()), "--rows", "probes", "--format", "json").rows
    assert taps[0]["packets"] == 1125


def test_a_capture_is_the_same_plain_compressed_or_from_a_pipe(tmp_path):
    plain = here("diagnose", ZERO_WINDOW, "--rows", "windows", "--format", "json")
    packed = tmp_path / "receiver-zero-window.pcap.gz"
    packed.write_bytes(gzip.compress(ZERO_WINDOW.read_bytes()))
    assert here("diagnose", packed, "--rows", "windows", "--format", "json").rows[0]["probe"] == ZERO_WINDOW.name
    unpacked = here("diagnose", packed, "--rows", "windows", "--format", "json")
    assert names_off(unpacked.rows) == names_off(plain.rows)
    piped = apart("diagnose", "-", "--rows", "windows", "--format", "json", input=ZERO_WINDOW.read_bytes())
    assert piped.status == 0 and {row["probe"] for row in piped.rows} == {"stdin"}
    assert names_off(piped.rows) == names_off(plain.rows)


def test_captures_of_one_name_are_told_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(REFUSED, tmp_path / folder / "x.pcap")
    rows = here("diagnose", tmp_path / "a" / "x.pcap", tmp_path / "b" / "x.pcap", "--format", "json").rows
    assert sorted({row["probe"] for row in rows}) == ["x.pcap", "x.pcap#2"]
    assert len({row["conn_id"] for row in rows}) == 2


def test_a_capture_without_tcp_is_no_error(tmp_path):
    empty = tmp_path / "none.pcap"
    empty.write_bytes(ZERO_WINDOW.read_bytes()[:24])
    ran = here("diagnose", empty)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "No TCP connections.\nnone.pcap: 0 packets, 0 of them TCP segments.\n"
    assert here("diagnose", empty, "--format", "json").out == ""
    assert here("diagnose", empty, "--format", "csv").out.startswith("conn_id,probe,")
    assert [row["packets"] for row in here("diagnose", empty, "--rows", "probes", "--format", "json").rows] == [0]


def test_the_library_gives_the_rows_of_the_command():
    rows, result = collect([str(ZERO_WINDOW)])
    assert result.complete and result.readings[0].packets == 1125 and result.selected == 1125
    for table in TABLES:
        assert len(rows.table(table)) == len(here("diagnose", ZERO_WINDOW, "--rows", table, "--format", "json").rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["diagnose"], "Missing argument 'CAPTURE...'"),
        (["diagnose", "x", "--rows", "packets"], "'packets' is not one of"),
        (["diagnose", "x", "--window", "soon"], "is not a duration"),
        (["diagnose", "x", "--window", "1ms"], "a window is 10ms to 1h long"),
        (["diagnose", "x", "--filter", "host"], "filter"),
        (["diagnose", "x", "--from", "yesterday"], "is no time"),
        (["diagnose", "x", "--fail-on", "receiver"], "CLASS:SHARE"),
        (["diagnose", "x", "--limit", "0"], "0 is not in the range"),
        (["diagnose", "x", "y", "--probe-id", "p"], "--probe-id names one probe"),
        (["diagnose", "-", "-"], "standard input can be read once"),
        (["diagnose", "x", "--color"], "No such option"),
        (["diagnoze", "x"], "Did you mean 'diagnose'?"),
        ([str(ZERO_WINDOW)], "To read a capture: tcpblame diagnose"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments, words):
    ran = here(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert words in one_line(ran)


def test_every_shipped_capture_is_read_to_its_end():
    ran = here("diagnose", *sorted(DEMO.glob("*.pcap")), "--format", "json")
    assert (ran.status, ran.err) == (0, "")
    assert len({row["probe"] for row in ran.rows}) == len(list(DEMO.glob("*.pcap")))
