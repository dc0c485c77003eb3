"""Runs the engine on the ground-truth corpora beside the project and scores its window rows with their scorer.

    .venv/bin/python tests/lab/score_shared.py CORPUS [NAME ...] [-w 100] [-o DIR] [--scenarios] [--explain NAME]

CORPUS is ``corpus``, ``corpus-hard`` or a directory of the same form (``NAME.pcap`` beside ``NAME.truth.jsonl``). All
scenarios go through one engine in this process, each as a probe of its own, so that a whole corpus takes seconds;
``--cli`` runs the command line for each instead, as a user would.
"""

import argparse
import ipaddress
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ingest.capture import CaptureReader
from schemas.rows import NULL_ENUM, NULL_INT, WINDOWS
from streams.inference.engine import Engine, Settings

PROJECT = Path(__file__).resolve().parents[2]
LAB = PROJECT.parent / "shared" / "lab"
# The kernel names a timeout's recovery "loss"; an unknown state is left out and not scored.
STATE_WORD = {
    "slow_start": "slow_start",
    "congestion_avoidance": "congestion_avoidance",
    "recovery": "recovery",
    "timeout": "loss",
}
NS_PER_MS = 1_000_000

Row = dict[str, Any]  # a window row as JSON has it: None is unknown, enums are words
Key = tuple[str, int, str, int, int]  # src, sport, dst, dport, window start


def corpus_directory(name: str) -> Path:
    """A corpus by its name in the laboratory, or any directory."""
    inside = LAB / name
    return inside if inside.is_dir() else Path(name)


def scenario_names(corpus: Path, wanted: Iterable[str] = ()) -> list[str]:
    """Names of the scenarios that have a capture and truth; `wanted` keeps those that contain one of its words."""
    suffix = ".truth.jsonl"
    names = sorted(path.name[: -len(suffix)] for path in corpus.glob(f"*{suffix}"))
    words = list(wanted)
    return [name for name in names if not words or any(word in name for word in words)]


def engine_rows(engine: Engine, capture: Path) -> list[Row]:
    """The settled window rows of one capture; its probe is the capture's name."""
    probe = capture.name
    reader = CaptureReader(capture)
    for segments in reader:
        engine.feed(probe, reader.taps, segments, capture.name)
    engine.end(probe)
    return [json_row(record) for record in engine.drain().table("windows")]


def command_rows(capture: Path, window_ms: int) -> list[Row]:
    """The same rows from the command line."""
    words = ["diagnose", str(capture), "--rows", "windows", "--window", f"{window_ms}ms", "--format", "json"]
    done = subprocess.run([sys.executable, "-m", "tcpblame", *words], capture_output=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"diagnose ended with {done.returncode}: {done.stderr.decode().strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def json_row(record: Any) -> Row:
    """One window record in the shape of its JSON, without the columns of text."""
    row: Row = {}
    for column in WINDOWS:
        if column.kind == "address":
            row[column.name] = address_text(int(record[f"{column.name}_hi"]), int(record[f"{column.name}_lo"]))
        elif column.kind == "enum":
            number = int(record[column.name])
            row[column.name] = None if number == NULL_ENUM else column.values[number]
        elif column.kind == "share":
            row[column.name] = float(record[column.name])
        elif column.kind in ("int", "port"):
            number = int(record[column.name])
            row[column.name] = None if number == NULL_INT else number
    return row


def address_text(hi: int, lo: int) -> str:
    """The text of an address held as two halves; IPv4 where it is mapped."""
    address = ipaddress.IPv6Address((hi << 64) | lo)
    return str(address.ipv4_mapped or address)


def prediction(row: Row) -> dict[str, Any]:
    """One window row in the scorer's words: unknown is left out, idle is the sender's, setup is nobody's."""
    shares = {
        "sender": row["time_sender"] + row["time_idle"],
        "receiver": row["time_receiver"],
        "network": row["time_network"],
    }
    said: dict[str, Any] = {
        "src": row["src"],
        "sport": row["src_port"],
        "dst": row["dst"],
        "dport": row["dst_port"],
        "start_ns": row["window_start_ns"],
        "len_ns": row["window_ns"],
        "retrans": row["retransmitted_segments"],
    }
    if sum(shares.values()) > 0:
        said["shares"] = shares
    for name, column, unit in (
        ("rtt_us", "srtt_ns", 1000),
        ("cwnd_bytes", "cwnd_bytes", 1),
        ("flight_bytes", "flight_mean_bytes", 1),
        ("mss", "mss", 1),
    ):
        if row[column] is not None:
            said[name] = row[column] // unit
    if row["state"] in STATE_WORD:
        said["state"] = STATE_WORD[row["state"]]
    return said


def predict(corpus: Path, names: Iterable[str], out: Path, window_ms: int, cli: bool = False) -> dict[str, list[Row]]:
    """Writes ``NAME.pred.jsonl`` for each scenario into `out`; returns the window rows by scenario."""
    engine = Engine(Settings(window_ns=window_ms * NS_PER_MS))
    found: dict[str, list[Row]] = {}
    for name in names:
        capture = corpus / f"{name}.pcap"
        rows = found[name] = command_rows(capture, window_ms) if cli else engine_rows(engine, capture)
        with (out / f"{name}.pred.jsonl").open("w") as file:
            file.writelines(json.dumps(prediction(row)) + "\n" for row in rows)
    return found


def score(
    corpus: Path, names: Iterable[str], out: Path, window_ms: int, lines: bool = True
) -> tuple[str, dict[str, Any]]:
    """The scorer's printed text, with a line for each scenario if `lines`, and its numbers (its ``--json``)."""
    numbers = out / "score.json"
    with tempfile.TemporaryDirectory() as chosen:
        for name in names:
            truth = f"{name}.truth.jsonl"
            (Path(chosen) / truth).symlink_to((corpus / truth).resolve())
        command = [
            sys.executable,
            str(LAB / "score.py"),
            str(out),
            "-c",
            chosen,
            "-w",
            str(window_ms),
            "--json",
            str(numbers),
        ]
        command += ["--scenarios"] if lines else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"the scorer failed: {done.stderr.strip()}")
    return done.stdout, json.loads(numbers.read_text())


def truth_windows(corpus: Path, name: str, window_ms: int) -> dict[Key, dict[str, Any]]:
    """The truth's windows of one scenario by flow and start."""
    found: dict[Key, dict[str, Any]] = {}
    with (corpus / f"{name}.truth.jsonl").open() as file:
        for line in file:
            if line.startswith('{"t":"win"'):
                row = json.loads(line)
                if row["w_ms"] == window_ms:
                    found[row["src"], row["sport"], row["dst"], row["dport"], row["start_ns"]] = row
    return found


def explain(corpus: Path, name: str, rows: Iterable[Row], window_ms: int) -> Iterator[str]:
    """One line for each true window: truth beside what was said; ``<<<`` marks another verdict."""
    said: dict[Key, tuple[dict[str, Any], Row]] = {}
    for row in rows:
        p = prediction(row)
        said[p["src"], p["sport"], p["dst"], p["dport"], p["start_ns"]] = (p, row)
    truth = truth_windows(corpus, name, window_ms)
    first = min((key[4] for key in truth), default=0)
    yield f"{name}: shares are sender/receiver/network, true then said; sizes in bytes, true then said"
    for key in sorted(truth, key=lambda k: (k[:4], k[4])):
        true = truth[key]
        shares = [true["shares"][c] for c in ("sender", "receiver", "network")]
        text = f"{key[1]:5d}>{key[3]:<5d} {(key[4] - first) / 1e9:6.2f}s {'/'.join(f'{x:.2f}' for x in shares)}"
        if key not in said:
            yield f"{text} -- {'idle' if true['idle'] else 'no row <<<'}"
            continue
        p, row = said[key]
        mine = p.get("shares", {})
        total = sum(mine.values())
        wrong = not true["idle"] and (not total or max(mine, key=lambda c: mine[c]) != true["verdict"])
        yield (
            f"{text} | {'/'.join(f'{mine.get(c, 0):.2f}' for c in ('sender', 'receiver', 'network'))}"
            f" {row['verdict']}:{row['cause'] or '-'} {row['confidence']:.2f}"
            f" flight {true['flight_bytes']}|{p.get('flight_bytes', '-')}"
            f" cwnd {true['cwnd_bytes']}|{p.get('cwnd_bytes', '-')}"
            f" rtt {true['rtt_us']}|{p.get('rtt_us', '-')} rx {true['retrans']}|{p['retrans']}"
            f" {true['state']}|{p.get('state', '-')} unknown {row['time_unknown']:.2f}{' <<<' if wrong else ''}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("names", nargs="*", help="only scenarios whose name contains one of these")
    parser.add_argument("-w", "--window-ms", type=int, default=100, choices=(100, 1000))
    parser.add_argument(
        "-o", "--out", type=Path, help="where the predictions go (default: a new directory in the system's tmp)"
    )
    parser.add_argument("--scenarios", action="store_true", help="one line for each scenario too")
    parser.add_argument(
        "--explain", metavar="NAME", help="truth beside prediction, window by window, of matching scenarios; no score"
    )
    parser.add_argument("--cli", action="store_true", help="through the command line, one process a scenario")
    given = parser.parse_args()
    corpus = corpus_directory(given.corpus)
    wanted = [given.explain] if given.explain else given.names
    names = scenario_names(corpus, wanted)
    if not names:
        parser.error(f"{corpus}: no scenario there")
    out = given.out or Path(tempfile.mkdtemp(prefix="tcpblame-score-"))
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    found = predict(corpus, names, out, given.window_ms, given.cli)
    seconds = time.perf_counter() - started
    if given.explain:
        for name in names:
            sys.stdout.writelines(line + "\n" for line in explain(corpus, name, found[name], given.window_ms))
    else:
        sys.stdout.write(score(corpus, names, out, given.window_ms, given.scenarios)[0])
    count = sum(len(rows) for rows in found.values())
    sys.stderr.write(f"{len(names)} scenarios, {count} window rows in {seconds:.1f} s; predictions in {out}\n")


if __name__ == "__main__":
    main()
