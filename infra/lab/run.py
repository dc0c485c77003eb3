"""One scenario from start to end: network, relay, capture, both ends, truth."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.lab.capture import Capture
from infra.lab.endpoint import ports
from infra.lab.scenarios import Scenario
from infra.lab.topology import PROGRAMS, SIDES, Hosts, LabError, inside, topology
from infra.lab.truth import Account, FlowTruth, flow_truth

# A run in which the laboratory itself was late says nothing about TCP: the machine had other work.
RELAY_LATE_AT_MOST_US = 8_000
SAMPLE_GAP_AT_MOST_NS = 60_000_000
_LEAD_S = 0.4  # from the word to start until the first SYN, for a capture to be running
_ENDS_WITHIN_S = 20


@dataclass(frozen=True)
class Run:
    """What came of a scenario; `troubles` says why its figures should not be trusted."""

    scenario: Scenario
    flows: tuple[FlowTruth, ...]
    relay: dict[str, Any]
    troubles: tuple[str, ...]


def missing() -> list[str]:
    """What this machine lacks for the laboratory, in words; empty if nothing."""
    if sys.platform != "linux":
        return ["Linux"]
    lacks = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        lacks.append("root")
    if not Path("/dev/net/tun").exists():
        lacks.append("/dev/net/tun")
    return lacks


class _Child:
    """A process of the laboratory that says READY and takes the start time on its standard input."""

    def __init__(self, namespace: str, module: str, *arguments: str) -> None:
        self._name = module
        self._process = subprocess.Popen(  # noqa: S603 (our own words)
            inside(namespace, sys.executable, "-m", module, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self._in, self._out = self._process.stdin, self._process.stdout
        if self._out is None or self._out.readline() != "READY\n":
            self.kill()
            raise LabError(f"{module} did not start")

    def start(self, at_ns: int) -> None:
        if self._in is not None:
            self._in.write(f"{at_ns}\n")
            self._in.flush()

    def wait(self, timeout_s: float) -> str:
        """What it said after READY. Its input is closed, which ends the relay."""
        try:
            said, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self._name} did not end") from None
        if self._process.returncode:
            raise LabError(f"{self._name} failed")
        return said

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def run(scenario: Scenario, pcap: Path) -> Run:
    """Runs a scenario in real time and writes its capture. Raises LabError where the laboratory cannot work."""
    lacks = missing()
    if lacks:
        raise LabError(f"the laboratory needs {', '.join(lacks)}")
    with tempfile.TemporaryDirectory(prefix="tcpblame-lab-") as name, topology(scenario) as hosts:
        lost, relay = _play(scenario, hosts, Path(name), pcap)
        connections = {side: _read_end(Path(name) / side) for side in SIDES}
    return _account(scenario, connections, capture_span(pcap), relay, lost)


def _play(scenario: Scenario, hosts: Hosts, work: Path, pcap: Path) -> tuple[int, dict[str, Any]]:
    """Everything that takes its time; the number of packets that the capture lost and the relay's totals."""
    running: list[_Child | Capture] = []
    try:
        relay = _Child(hosts.path, "infra.lab.relay", scenario.name, "tap_near", "tap_far")
        running.append(relay)
        ends = []
        for side in reversed(SIDES):  # the far end listens first
            ends.append(_Child(hosts.namespace(side), "infra.lab.endpoint", scenario.name, side, str(work / side)))
            running.append(ends[-1])
        start_ns = time.time_ns() + int(_LEAD_S * 1e9)
        for child in (relay, *ends):
            child.start(start_ns)
        if scenario.capture_from_s is not None:
            time.sleep(max(0.0, (start_ns - time.time_ns()) / 1e9 + scenario.capture_from_s))
        capture = Capture(hosts.path, f"port_{scenario.capture_at}", scenario.ipv6, pcap)
        running.append(capture)
        if scenario.capture_from_s is None and time.time_ns() > start_ns:
            raise LabError("the capture began after the first SYN")
        for child in ends:
            child.wait(scenario.seconds + _ENDS_WITHIN_S)
        lost = capture.stop()
        return lost, json.loads(relay.wait(_ENDS_WITHIN_S))
    finally:
        for one in running:
            one.kill()


def _read_end(out: Path) -> list[tuple[dict[str, Any], Account]]:
    """The connections that an endpoint wrote down."""
    facts = json.loads(out.with_suffix(".json").read_text())
    with np.load(out.with_suffix(".npz")) as samples:
        owner, time_ns, info = samples["connection"], samples["time_ns"], samples["info"]
    return [(fact, Account(time_ns[owner == n], info[owner == n])) for n, fact in enumerate(facts)]


def _account(
    scenario: Scenario,
    connections: dict[str, list[tuple[dict[str, Any], Account]]],
    span: tuple[int, int],
    relay: dict[str, Any],
    lost: int,
) -> Run:
    flows, troubles = [], []
    openers = {fact["flow"]: (fact["opened_ns"], fact["established_ns"]) for fact, _ in connections["near"]}
    for fact, account in [one for side in SIDES for one in connections[side]]:
        sent = int(account.info["bytes_sent"][-1]) if len(account.time_ns) else 0
        if sent or (fact["opener"] and fact["established_ns"] is None):
            flows.append(flow_truth(fact, account, openers[fact["flow"]], span))
            if len(account.time_ns) and account.largest_gap_ns() > SAMPLE_GAP_AT_MOST_NS:
                troubles.append(f"no sample for {account.largest_gap_ns() // 1_000_000} ms")
    if relay["late_max_us"] > RELAY_LATE_AT_MOST_US:
        troubles.append(f"the relay was {relay['late_max_us']} us late")
    if lost or relay["unsent"]:
        troubles.append(f"the capture lost {lost} packets, the relay {relay['unsent']}")
    flows.sort(key=lambda flow: (flow.src_port, flow.dst_port))
    troubles += _unlike(scenario, flows)
    return Run(scenario, tuple(flows), relay, tuple(troubles))


def _unlike(scenario: Scenario, flows: Sequence[FlowTruth]) -> list[str]:
    """Where the kernel says something else than the scenario was built for."""
    troubles = []
    for index, flow in enumerate(scenario.flows):
        port = ports(scenario, index)["near"]
        mine = [truth for truth in flows if port in (truth.src_port, truth.dst_port)]
        if not mine:
            troubles.append(f"connection {index} sent nothing")
            continue
        main = max(mine, key=lambda truth: truth.payload_bytes)
        if flow.verdict is not None and main.verdict != flow.verdict:
            troubles.append(f"connection {index} was {main.verdict}, not {flow.verdict}: {main.shares}")
    return troubles


def capture_span(pcap: Path) -> tuple[int, int]:
    """Capture time of the first and the last packet of tcpdump's file (this machine's byte order, ns); 0, 0 if none."""
    data = pcap.read_bytes()
    first, last, at = 0, 0, 24
    while at + 16 <= len(data):
        seconds, fraction, captured, _ = struct.unpack_from("=IIII", data, at)
        last = seconds * 1_000_000_000 + fraction
        first = first or last
        at += 16 + captured
    return first, last
