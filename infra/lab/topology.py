"""The hosts and the path as network namespaces: made anew for a scenario, removed at its end, reaching nothing else.

    near eth0 == port_near [bridge_near] tap_near -- relay -- tap_far [bridge_far] port_far == eth0 far

Captures are taken at a host's port, where a hypervisor has its guest's virtual NIC: before super-segments are cut.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from infra.lab.scenarios import Scenario

PROGRAMS = ("ip", "ethtool", "tcpdump", "sysctl")
SIDES = ("near", "far")
_MAC = {"near": "02:00:0a:4d:00:01", "far": "02:00:0a:4d:00:02"}
_TAP_QUEUE_FRAMES = 10_000


class LabError(Exception):
    """The laboratory cannot be built or a run of it went wrong; the text says why."""


@dataclass(frozen=True)
class Hosts:
    """Names of the namespaces and the addresses of one scenario's hosts."""

    near: str
    far: str
    path: str
    addresses: dict[str, str]  # by side

    def namespace(self, side: str) -> str:
        return self.near if side == "near" else self.far


def addresses(scenario: Scenario) -> dict[str, str]:
    """Every scenario has a far host of its own, so that hosts can be told apart where captures are put together."""
    if scenario.ipv6:
        return {"near": "fd77::11", "far": f"fd77::1:{scenario.number:x}"}
    return {"near": "10.77.0.11", "far": f"10.77.1.{scenario.number}"}


def command(*words: str, lines: str | None = None) -> str:
    """Runs a program, `lines` as its input; its output, or LabError with what it complained about."""
    done = subprocess.run(words, input=lines, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    if done.returncode:
        raise LabError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def inside(namespace: str, *words: str) -> list[str]:
    """The command line that runs `words` in a namespace."""
    return ["ip", "netns", "exec", namespace, *words]


@contextmanager
def topology(scenario: Scenario) -> Iterator[Hosts]:
    """The scenario's network. The names carry this process's number: runs do not meet and only ours are removed."""
    stem = f"tcpblame-{os.getpid()}"
    hosts = Hosts(f"{stem}-near", f"{stem}-far", f"{stem}-path", addresses(scenario))
    made = []
    try:
        for namespace in (hosts.near, hosts.far, hosts.path):
            command("ip", "netns", "add", namespace)
            made.append(namespace)
        _build(hosts, scenario)
        yield hosts
    finally:
        for namespace in made:
            with suppress(LabError):
                command("ip", "netns", "del", namespace)


def _build(hosts: Hosts, scenario: Scenario) -> None:
    command(
        *inside(hosts.path, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    )
    lines = []
    for side in SIDES:
        lines += [
            f"link add bridge_{side} type bridge forward_delay 0 mcast_snooping 0",
            f"link add port_{side} type veth peer name eth0 address {_MAC[side]} netns {hosts.namespace(side)}",
            f"tuntap add tap_{side} mode tap",
            f"link set tap_{side} txqueuelen {_TAP_QUEUE_FRAMES}",
        ]
        lines += [f"link set {name}_{side} master bridge_{side} up" for name in ("port", "tap")]
        lines.append(f"link set bridge_{side} up")
    command("ip", "-n", hosts.path, "-batch", "-", lines="\n".join(lines))
    for side, other in (SIDES, SIDES[::-1]):
        _configure(hosts, side, other, scenario)


def _configure(hosts: Hosts, side: str, other: str, scenario: Scenario) -> None:
    namespace, prefix = hosts.namespace(side), "64" if scenario.ipv6 else "16"
    lines = [
        "link set lo up",
        "link set eth0 up",
        f"addr add {hosts.addresses[side]}/{prefix} dev eth0 {'nodad' if scenario.ipv6 else ''}",
        # no address resolution in the way of the first segment
        f"neigh replace {hosts.addresses[other]} lladdr {_MAC[other]} dev eth0 nud permanent",
    ]
    command("ip", "-n", namespace, "-batch", "-", lines="\n".join(lines))
    # each connection starts without what earlier ones taught the kernel about the path
    command(*inside(namespace, "sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1"))
    if not (scenario.tso and side == "near"):
        command(*inside(namespace, "ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off"))
