"""``tcpblame doctor``: what this machine has and lacks, and the way out of each lack."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from tcpblame.exits import OK, PARTLY

PYTHON_MIN = (3, 11)
JAVA_MIN = 17
_EPILOG = """\b
Exit status: 0 if 'tcpblame diagnose' and its store work on this machine; 1 if
something that they need is missing.

\b
Examples:
  tcpblame doctor
  tcpblame doctor --quiet && echo ready
"""
# Import name and what it is for; tcpblame[stream] installs all of them.
STREAM_PACKAGES = {
    "fastavro": "Avro schemas",
    "confluent_kafka": "the probe's producer, the sink's consumer",
    "faust": "the worker",
    "aiokafka": "the worker's Kafka client",
    "rocksdict": "the worker's tables",
}


class Finding(NamedTuple):
    """One line: what was looked for, how it stands, and the way out if it is missing."""

    name: str
    found: bool
    needed: bool  # by the embedded product
    text: str
    way_out: str = ""


@click.command(epilog=_EPILOG)
@click.option("--quiet", is_flag=True, help="Only the lines of what is missing.")
def doctor(quiet: bool) -> int:
    """Say what is missing on this machine, and what to do about it."""
    sound = True
    for finding in findings():
        sound = sound and (finding.found or not finding.needed)
        if finding.found and quiet:
            continue
        word = "ok" if finding.found else "missing" if finding.needed else "optional"
        click.echo(f"{word:<9} {finding.name}: {finding.text}" + (f" - {finding.way_out}" if finding.way_out else ""))
    return OK if sound else PARTLY


def findings() -> Iterator[Finding]:
    """All findings: first what diagnosing needs, then the store, the stream and capturing."""
    version = platform.python_version()
    yield Finding("python", sys.version_info >= PYTHON_MIN, True, f"{version} at {sys.executable}",
                  "" if sys.version_info >= PYTHON_MIN else "install Python 3.11 or newer")  # fmt: skip
    yield from _packages()
    if importlib.util.find_spec("numba") is not None:
        yield from _cache()
    yield from _stream()
    yield _capturing()


def _packages() -> Iterator[Finding]:
    for name, use in (("numpy", "columns"), ("numba", "compiled kernels"), ("chdb", "the embedded store")):
        found = importlib.util.find_spec(name) is not None
        yield Finding(name, found, True, use, "" if found else "reinstall tcpblame: pip install tcpblame")


def _cache() -> Iterator[Finding]:
    from tcpblame.kernels import look  # noqa: PLC0415 - loads numba, which may be missing

    kernels = look()
    where = str(kernels.folder) if kernels.problem is None else kernels.problem
    yield Finding(
        "cache", kernels.problem is None, False, where,
        "set TCPBLAME_CACHE_DIR to a directory of yours; without one each run compiles anew" if kernels.problem else "",
    )  # fmt: skip
    yield Finding(
        "kernels", kernels.compiled, False, "compiled" if kernels.compiled else "not compiled yet",
        "" if kernels.compiled else "the first 'tcpblame diagnose' compiles them, once, in about a minute",
    )  # fmt: skip


def _stream() -> Iterator[Finding]:
    for name, use in STREAM_PACKAGES.items():
        found = importlib.util.find_spec(name) is not None
        yield Finding(name, found, False, use, "" if found else "for the stream: pip install 'tcpblame[stream]'")
    java = _java()
    yield Finding(
        "java", java is not None and java >= JAVA_MIN, False,
        "not installed" if java is None else f"version {java}" if java else "installed, its version is not known",
        "" if java is not None and java >= JAVA_MIN
        else f"for 'tcpblame dev up': Java {JAVA_MIN} (Debian: apt-get install default-jre-headless)",
    )  # fmt: skip
    from infra.kafka.libraries import default_directory, kafka_version, present  # noqa: PLC0415

    jars = default_directory()
    yield Finding(
        "kafka", present(jars), False, f"Kafka {kafka_version()} in {jars}",
        "" if present(jars) else "for 'tcpblame dev up': tcpblame dev fetch (needs Maven: apt-get install maven)",
    )  # fmt: skip


def _java() -> int | None:
    """The major version of Java; 0: it does not say; None: there is none."""
    path = shutil.which("java")
    if path is None:
        return None
    try:
        told = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0
    number = (told.stderr + told.stdout).partition('version "')[2].split(".")[0].split('"')[0]
    return int(number) if number.isdigit() else 0


# Linux: CAP_NET_RAW lets a process open a packet socket (capabilities(7)).
_CAP_NET_RAW = 13


def _capturing() -> Finding:
    tool = shutil.which("tcpdump")
    allowed = _has_capability(_CAP_NET_RAW)
    text = f"{'may' if allowed else 'may not'} capture; tcpdump is {'' if tool else 'not '}installed"
    way = "" if allowed and tool else "to capture: install tcpdump and run it as root, or read captures made elsewhere"
    return Finding("capture", allowed and tool is not None, False, text, way)


def _has_capability(number: int) -> bool:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return os.geteuid() == 0
    effective = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff:\t0")
    return bool(int(effective.split()[1], 16) >> number & 1)
