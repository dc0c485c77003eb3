"""Whole commands, measured: pinned to one core, with the CPU time and the peak memory that the kernel accounts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
TCPBLAME = (sys.executable, "-m", "tcpblame")


@dataclass(frozen=True)
class Cost:
    """One run of a command."""

    wall_s: float
    cpu_s: float  # user and system
    peak_bytes: int  # largest resident set


def run(command: Sequence[str], core: int | None) -> Cost:
    """Run a command to its end, its output thrown away, pinned to a core. Raises SystemExit if it fails."""
    began = perf_counter()
    child = subprocess.Popen(
        list(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT
    )
    if core is not None:
        os.sched_setaffinity(child.pid, {core})
    assert child.stderr is not None
    told = child.stderr.read()
    child.stderr.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit status {child.returncode}\n{told.decode(errors='replace')}")
    return Cost(perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def paired(commands: Sequence[Sequence[str]], runs: int, core: int) -> list[list[Cost]]:
    """Several runs of each command, taken in turn, so that what else the machine does meets all of them alike."""
    costs: list[list[Cost]] = [[] for _ in commands]
    for turn in range(runs):
        order = range(len(commands)) if turn % 2 == 0 else reversed(range(len(commands)))
        for number in order:
            costs[number].append(run(commands[number], core))
    return costs


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        median(cost.wall_s for cost in costs),
        median(cost.cpu_s for cost in costs),
        int(median(cost.peak_bytes for cost in costs)),
    )


def core_to_use() -> int:
    """The last core that this process may use: the first one serves most interrupts."""
    return max(os.sched_getaffinity(0))


def have(program: str) -> bool:
    """Whether a peer is installed."""
    return shutil.which(program) is not None


def diagnose(capture: Path, *options: str) -> list[str]:
    """The command line of the product."""
    return [*TCPBLAME, "diagnose", "--format", "json", *options, str(capture)]


def tcptrace(capture: Path) -> list[str]:
    """The command line of the peer: numeric, long output, RTT statistics."""
    return ["tcptrace", "-nlr", str(capture)]
