"""The laboratory itself, for a few seconds: real connections in namespaces that are gone afterwards."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.lab.__main__ import main
from infra.lab.demo import make
from infra.lab.run import missing, run
from infra.lab.scenarios import by_name
from infra.lab.topology import LabError
from tests.lab.lab_captures import flows_of


def _namespaces() -> set[str]:
    """Those that this process made: other runs may be going on."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines() if line.startswith(f"tcpblame-{os.getpid()}-")}


@pytest.fixture(autouse=True)
def laboratory() -> Iterator[None]:
    """Skips, loudly, where no namespace can be made; afterwards ours must be gone."""
    lacks = missing()
    if lacks:
        pytest.skip(f"the laboratory is NOT tested: this machine lacks {', '.join(lacks)}")
    probe = f"tcpblame-{uuid.uuid4().hex[:8]}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the laboratory is NOT tested: no namespace can be made ({made.stderr.strip()})")
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=True)
    yield
    assert not _namespaces()


def test_lost_syns_are_captured_and_known_as_setup(tmp_path: Path) -> None:
    done = run(by_name("setup-lost-syn"), tmp_path / "live.pcap")
    (truth,) = done.flows
    assert truth.verdict == "setup"
    assert truth.retransmissions >= 2
    assert truth.payload_bytes == 30_000
    assert done.relay["dropped"][0]["syn"] == 2
    captured = flows_of(tmp_path / "live.pcap")
    forth = captured[truth.src, truth.src_port, truth.dst, truth.dst_port]
    assert forth.syns >= 3
    assert forth.distinct_bytes == 30_000
    assert captured[truth.dst, truth.dst_port, truth.src, truth.src_port].payload_bytes == 0


def test_the_demo_is_made_by_one_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["make-demo", str(tmp_path), "setup-refused"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("setup-refused            setup ")
    assert {path.name for path in tmp_path.iterdir()} == {"setup-refused.pcap", "truth.json"}


def test_an_unknown_scenario_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no scenario is called nonsense"):
        list(make(tmp_path, ["nonsense"]))
    result = CliRunner().invoke(main, ["make-demo", str(tmp_path), "nonsense"])
    assert result.exit_code == 1
    assert result.output.strip() == "Error: no scenario is called nonsense"
