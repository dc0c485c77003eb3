"""``make demo``: the captures that ship with the product, each verdict beside the truth that is known of it.

The truth is the sending kernel's own account of each flow (demo/README.md). All rows also go into an embedded store,
and one of the named questions is asked of it.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import orjson
from rich.console import Console
from rich.text import Text

from schemas.causes import VERDICTS
from schemas.naming import address
from schemas.rows import Rows
from sinks.clickhouse.embedded import EmbeddedStore
from sinks.clickhouse.errors import StoreError
from sinks.clickhouse.queries import load
from sinks.text.answers import ANSWER_FORMAT, answer_table
from sinks.text.lines import order
from sinks.text.table import STYLES, endpoint
from sinks.text.wording import proof, verdict_of
from tcpblame.diagnosis import Diagnosis, Options, diagnose, joined
from tcpblame.exits import PARTLY, UserError
from tcpblame.kernels import look
from tcpblame.messages import fault, note
from tcpblame.row_buffer import RowBuffer
from tcpblame.store_rows import store, token_of

ROOT = Path(__file__).resolve().parents[1]
CAPTURES = ROOT / "demo"
STORE = ROOT / "build" / "demo-store"
QUESTION = "slow_hosts"


@dataclass(frozen=True)
class Scenario:
    """One shipped capture and what is known of it."""

    name: str
    sentence: str
    capture: Path
    flows: list[dict[str, Any]]


def scenarios(folder: Path = CAPTURES) -> list[Scenario]:
    """The captures with their truth. Raises UserError where there are none (an installed copy has none)."""
    try:
        told = orjson.loads((folder / "truth.json").read_bytes())
    except OSError as error:
        raise UserError(f"{folder}: the demo's captures are not here; run it in a checkout") from error
    return [Scenario(name, one["sentence"], folder / one["capture"], one["flows"]) for name, one in told.items()]


def find(rows: Rows, capture: str, truth: dict[str, Any]) -> np.void | None:
    """The flow row that a known flow of a capture has become."""
    for row in rows.table("flows"):
        source = rows.sources[int(row["source"])]
        ends = (address(row["src_hi"], row["src_lo"]), int(row["src_port"]))
        peer = (address(row["dst_hi"], row["dst_lo"]), int(row["dst_port"]))
        if (
            source.capture == capture
            and ends == (truth["src"], truth["src_port"])
            and peer == (truth["dst"], truth["dst_port"])
        ):
            found: np.void = row
            return found
    return None


def show(rows: Rows, known: list[Scenario], out: TextIO) -> tuple[int, int]:
    """Print each flow's verdict beside the truth; returns (flows that agree, flows)."""
    console = Console(file=out, highlight=False, soft_wrap=True)
    agree = count = 0
    for scenario in known:
        console.print(Text(f"\n{scenario.name}", style="bold").append(f"  {scenario.sentence}", style="not bold"))
        for truth in scenario.flows:
            row = find(rows, scenario.capture.name, truth)
            ours = "nothing" if row is None else verdict_of(row)
            same = ours == truth["verdict"]
            agree, count = agree + same, count + 1
            where = f"{truth['src']}:{truth['src_port']}" if row is None else endpoint(row, "src")
            line = Text(f"  {where:<22}  truth ")
            line.append(f"{truth['verdict']:<8}", STYLES.get(truth["verdict"], ""))
            line.append(f" {truth['shares'].get(truth['verdict'], 0):4.0%}   tcpblame ")
            line.append(f"{ours:<8}", STYLES.get(ours, ""))
            line.append(f" {_share(row, ours):4.0%}   " + ("agree" if same else "differ"))
            console.print(line)
            if row is not None and proof(row):
                console.print(Text(f"      {proof(row)}", style="dim"))
    return agree, count


def _share(row: np.void | None, verdict: str) -> float:
    """The share of the whole time, as the truth's shares are; the kernel's sender includes idle time."""
    if row is None or verdict not in VERDICTS:
        return 0.0
    return float(row[f"time_{verdict}"]) + (float(row["time_idle"]) if verdict == "sender" else 0.0)


def keep(rows: Rows, result: Diagnosis, path: Path) -> EmbeddedStore:
    """Put all rows into a store, which is handed back open."""
    target = EmbeddedStore(path)
    buffers = {}
    for table in ("flows", "windows", "events", "probes"):
        buffers[table] = RowBuffer(table, order)
        buffers[table].add(rows)
    store(target, buffers, token_of(result, ("demo",), rows.ruleset))
    return target


def demonstrate(place: Path) -> None:
    """Diagnose, compare, keep in a store at `place` (build/demo-store is made anew) and ask."""
    known = scenarios()
    if not look().compiled:
        note("compiling the kernels, once for this version; it takes about a minute")
    parts: list[Rows] = []
    result = diagnose([str(scenario.capture) for scenario in known], Options(hashed=True), parts.append)
    rows = joined(parts)
    agree, count = show(rows, known, sys.stdout)
    sys.stdout.write(f"\n{agree} of {count} flows: the verdict is the sending kernel's own.\n")
    if place == STORE and place.exists():  # of an earlier run, maybe of an earlier version; it is the demo's alone
        shutil.rmtree(place)
    with keep(rows, result, place) as target:
        folder = place.relative_to(ROOT) if place.is_relative_to(ROOT) else place
        sys.stdout.write(f"\nAll rows are in a store now. $ tcpblame query {QUESTION} --store {folder}\n")
        ask(target, sys.stdout)
    sys.stdout.write("\nMore questions: tcpblame query --list. All in one table: tcpblame diagnose demo/*.pcap\n")


def ask(target: EmbeddedStore, out: TextIO) -> None:
    """Print the answer to the demo's question, as ``tcpblame query`` does."""
    question = load(QUESTION)
    answer = target.query(question.sql, ANSWER_FORMAT, question.params)
    out.write(answer_table(answer, width=shutil.get_terminal_size((120, 24)).columns, colour=False))


def main() -> None:
    """Run the demo, with a store of its own or at the place named; what stands in its way is said in a line."""
    try:
        demonstrate(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else STORE)
    except (UserError, StoreError) as error:
        fault(str(error))
        sys.exit(PARTLY)


if __name__ == "__main__":
    main()
