"""Runs of the command line: in this process, where only its words and rows matter, or as a process of its own."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from tcpblame.cli import run

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo"
ZERO_WINDOW = DEMO / "receiver-zero-window.pcap"
REFUSED = DEMO / "setup-refused.pcap"
SHARED_LINK = DEMO / "shared-link.pcap"
COMMAND = (sys.executable, "-m", "tcpblame")
# For a process that has to load everything on a busy machine, and may be the first to compile the kernels.
LIMIT_S = 300


class Ran(NamedTuple):
    """What a run left behind."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def here(*arguments: object) -> Ran:
    """A run in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        status = run([str(argument) for argument in arguments])
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Ran(status, texts[0], _said(texts[1]))


def apart(*arguments: object, input: bytes | None = None, **environ: str) -> Ran:
    """A run as a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=input, stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True, timeout=LIMIT_S, env={**os.environ, **environ}, cwd=ROOT, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout.decode(), _said(done.stderr.decode()))


def _said(text: str) -> str:
    """Standard error without the line that any first run may have."""
    return "".join(line for line in text.splitlines(keepends=True) if "compiling the kernels" not in line)


def one_line(ran: Ran) -> str:
    """The only line on standard error; nothing of it may look like a traceback."""
    lines = ran.err.splitlines()
    assert len(lines) == 1, ran.err
    assert "Traceback" not in ran.err
    return lines[0]
