"""The demo's captures and their truth, made by running every scenario."""

import json
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.lab.run import Run, run
from infra.lab.scenarios import ALL, Scenario
from infra.lab.topology import LabError

ATTEMPTS = 5
TRUTH_FILE = "truth.json"


def make(directory: Path, names: Iterable[str] = ()) -> Iterator[Run]:
    """Runs the scenarios (all, or those named) and replaces their files in `directory`; yields each as it is done.

    A run that the machine disturbed, or whose truth is not what the scenario was built for, is repeated; LabError
    when that does not help.
    """
    directory.mkdir(parents=True, exist_ok=True)
    wanted = set(names)
    unknown = wanted - {scenario.name for scenario in ALL}
    if unknown:
        raise LabError(f"no scenario is called {', '.join(sorted(unknown))}")
    for scenario in ALL:
        if not wanted or scenario.name in wanted:
            done = _good_run(scenario, directory)
            _record(directory, done)
            yield done


def _good_run(scenario: Scenario, directory: Path) -> Run:
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix=".lab-", dir=directory) as work:
            pcap = Path(work) / f"{scenario.name}.pcap"
            done = run(scenario, pcap)
            if not done.troubles:
                pcap.chmod(0o644)
                os.replace(pcap, directory / pcap.name)
                return done
    raise LabError(f"{scenario.name}: {ATTEMPTS} runs failed, the last one so: {'; '.join(done.troubles)}")


def _record(directory: Path, done: Run) -> None:
    """Puts a run's truth into the truth file, in the order of the scenarios."""
    file = directory / TRUTH_FILE
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    known[done.scenario.name] = {
        "sentence": done.scenario.sentence,
        "capture": f"{done.scenario.name}.pcap",
        "captured_beside": done.scenario.capture_at,
        "met_midstream": done.scenario.capture_from_s is not None,
        "origin": "made by infra/lab",
        "kernel": platform.release(),
        "date": datetime.now(UTC).date().isoformat(),
        "flows": [asdict(flow) for flow in done.flows],
    }
    lines = [f"{json.dumps(one.name)}: {json.dumps(known[one.name])}" for one in ALL if one.name in known]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")  # a scenario a line: what a new run changes can be read
