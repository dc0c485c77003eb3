"""``make bench``: the figures that the design sets targets for, each beside its target, in one run with its peer.

    python -m tests.bench.run [small|full|modules]

small makes captures of 400,000 packets (a quick look, about two minutes); without a word they have 4 and 20 million;
modules also shows what each statistic adds to the kernel, which compiles it once for each of them. The captures are
made in .bench/ and kept. Every time is CPU time of one core, the median of several runs taken in turn with the peer's;
wall-clock times stand beside it. Nothing here passes or fails.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.bench.measure import ROOT, Cost, core_to_use, diagnose, have, middle, paired, run, tcptrace
from tests.bench.traffic import Traffic, cached

FOLDER = ROOT / ".bench"
MILLION = 1_000_000


class Table:
    """Lines of: what, figure, target, and what to know."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str, str, str]] = []

    def add(self, what: str, figure: str, target: str = "", remark: str = "") -> None:
        """One line, shown at once: a benchmark takes its time."""
        self._lines.append((what, figure, target, remark))
        sys.stderr.write(f"  {what}: {figure}\n")

    def section(self, title: str) -> None:
        """A heading."""
        self._lines.append((title, "", "", ""))

    def text(self) -> str:
        """All lines in columns."""
        widths = [max(len(line[column]) for line in self._lines if line[1]) for column in range(3)]
        head = ("what", "measured", "target", "")
        shown = []
        for what, figure, target, remark in [head, *self._lines]:
            if figure:
                shown.append(f"{what:<{widths[0]}}  {figure:>{widths[1]}}  {target:>{widths[2]}}  {remark}".rstrip())
            else:
                shown.append(f"\n{what}")
        return "\n".join(shown) + "\n"


class Bench:
    """One run of everything."""

    def __init__(self, word: str) -> None:
        self._small = word == "small"
        self._modules = word == "modules"
        self._core = core_to_use()
        self._table = Table()

    def all(self) -> str:
        """Measure everything; returns the table."""
        tiny = cached(Traffic(60, 10, 0, 8), FOLDER)
        run(diagnose(tiny), None)  # compiles, if nobody has yet
        self._start(tiny)
        self._peer()
        self._kernel()
        self._memory()
        return self._table.text()

    def _start(self, tiny: Path) -> None:
        self._table.section("start-up of a second run")
        costs = [run(diagnose(tiny), self._core) for _ in range(5)]
        self._table.add("diagnose, 60 packets", f"{middle(costs).wall_s:.2f} s", "< 1.5 s", "wall-clock, one core")

    def _captures(self) -> Iterable[tuple[Traffic, str]]:
        for packets in (400_000,) if self._small else (4 * MILLION, 20 * MILLION):
            many = min(100_000, packets // 20)
            yield Traffic(packets, 16, 0, 64), "2x"
            yield Traffic(packets, 16, 0.005, 64), "3x"
            yield Traffic(packets, many, 0.005, 8), "10x" if many == 100_000 else ""

    def _peer(self) -> None:
        self._table.section("diagnose --format json against tcptrace -nlr, one core")
        if not have("tcptrace"):
            self._table.add("tcptrace", "not installed", "", "Debian package tcptrace")
        for traffic, target in self._captures():
            capture = cached(traffic, FOLDER)
            commands = [diagnose(capture)] + ([tcptrace(capture)] if have("tcptrace") else [])
            costs = [middle(c) for c in paired(commands, 3 if traffic.packets > 5 * MILLION else 5, self._core)]
            self._compare(traffic, costs, target)
            self._parts(capture, traffic)

    def _compare(self, traffic: Traffic, costs: list[Cost], target: str) -> None:
        name = f"{traffic.packets / MILLION:g} M packets, {traffic.connections:,} connections, {traffic.loss:.1%} loss"
        ours = costs[0]
        if len(costs) == 2:
            peer = costs[1]
            told = (
                f"{_rate(traffic, ours)} against {_rate(traffic, peer)}; wall {ours.wall_s:.2f} and {peer.wall_s:.2f} s"
            )
            self._table.add(name, f"{peer.cpu_s / ours.cpu_s:.2f}x", target, told)
        else:
            self._table.add(name, _rate(traffic, ours), "", f"wall {ours.wall_s:.2f} s")

    def _parts(self, capture: Path, traffic: Traffic) -> None:
        found = phases(capture)
        spent = {name: found[f"{name}_ns"] / traffic.packets for name in ("reading", "kernel", "settling", "rows")}
        parts = ", ".join(f"{name} {value:.0f}" for name, value in spent.items())
        self._table.add("    of it, ns a packet", f"{sum(spent.values()):.0f}", "", f"{parts}; start-up apart")

    def _kernel(self) -> None:
        self._table.section("inference kernel alone, all statistics")
        packets = 400_000 if self._small else 4 * MILLION
        many = 100_000 if self._small else MILLION
        few = phases(cached(Traffic(packets, 16, 0.005, 64), FOLDER))
        self._table.add("16 connections", f"{few['steady_ns']:.1f} ns/segment", "50 ns", "all of them open")
        crowd = phases(cached(Traffic(16 * many, many, 0, 8), FOLDER))
        target = "120 ns" if many == MILLION else ""
        remark = f"all of them open; {crowd['kernel_ns'] / crowd['segments']:.0f} ns with opening and closing"
        self._table.add(f"{many:,} connections", f"{crowd['steady_ns']:.1f} ns/segment", target, remark)
        self._table.add("state of a connection", f"{few['state_bytes']:,.0f} bytes", "1,024 bytes", "both directions")
        if self._modules:
            self._each_statistic(packets)

    def _each_statistic(self, packets: int) -> None:
        from streams.inference.compose import ALL  # noqa: PLC0415

        self._table.section("kernel without one statistic, 16 connections (what needs it cannot be left out)")
        capture = cached(Traffic(packets, 16, 0.005, 64), FOLDER)
        whole = phases(capture)
        for left_out in ALL:
            found = phases(capture, [name for name in ALL if name != left_out])
            if found:
                saved = (whole["kernel_ns"] - found["kernel_ns"]) / whole["segments"]
                self._table.add(f"    {left_out}", f"{saved:.1f} ns/segment")

    def _memory(self) -> None:
        self._table.section("peak memory of diagnose")
        packets = 400_000 if self._small else 2 * MILLION
        short, long = (cached(Traffic(packets * times, 16, 0.005, 64), FOLDER) for times in (1, 10))
        before, after = (run(diagnose(capture), self._core).peak_bytes for capture in (short, long))
        remark = f"{before / 1e6:.0f} MB for {packets:,} packets, {after / 1e6:.0f} MB for ten times as many"
        self._table.add("ten times the packets", f"{after / before:.2f}x", "1.2x", remark)


def phases(capture: Path, statistics: Iterable[str] = ()) -> dict[str, float]:
    """The phases of one diagnosis, in a process of its own; nothing if these statistics do not compose."""
    chosen = [",".join(statistics)] if statistics else []
    command = [sys.executable, "-m", "tests.bench.phases", str(capture), *chosen]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0 and chosen:
        return {}
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _rate(traffic: Traffic, cost: Cost) -> str:
    return f"{traffic.packets / cost.cpu_s / MILLION:.2f} M packets/s"


def main() -> None:
    word = sys.argv[1] if len(sys.argv) > 1 else "full"
    if word not in {"small", "full", "modules"}:
        raise SystemExit(f"{word!r}: small, full or modules")
    sys.stdout.write(Bench(word).all())


if __name__ == "__main__":
    main()
