"""``make demo-stream``: the shipped captures through a real Kafka and a worker, compared with ``tcpblame diagnose``.

Everything is done by the commands that a user would type, in a directory of its own; only processes that were started
here are ended, and every wait has a limit. Exit status 0 if the rows of both ways are the same.

    python -m infra.demo_stream [--partitions N] [--kill] [CAPTURE...]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("flows", "windows", "events")
_COMMAND_LIMIT_S = 600.0  # the first run on a machine compiles kernels
_WORKER_GRACE_S = 20.0
# A killed worker's partitions are free after its session: the smallest that Kafka allows by default.
_SESSION_S = 6.0
_KILL_AFTER_S = 3.0


class Demo:
    """One run in its own directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environment = os.environ | {"TCPBLAME_DEV_DIR": str(directory / "kafka")}
        self._environment.pop("TCPBLAME_BROKERS", None)
        self._worker: subprocess.Popen[bytes] | None = None
        self._log = directory / "worker.log"

    def run(self, *arguments: str, shown: bool = True) -> str:
        """Run a tcpblame command to its end; returns its output. Raises SystemExit if it fails."""
        if shown:
            say("$ tcpblame " + " ".join(_short(argument) for argument in arguments))
        deadline = time.monotonic() + _COMMAND_LIMIT_S
        with subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "tcpblame", *arguments],
            env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            while True:
                try:
                    output, _ = process.communicate(timeout=1.0)
                    break
                except subprocess.TimeoutExpired:
                    dead = self._worker is not None and self._worker.poll() is not None
                    if dead or time.monotonic() > deadline:
                        process.kill()
                        why = f"the worker ended: {self._last_words()}" if dead else f"over {_COMMAND_LIMIT_S:.0f} s"
                        raise SystemExit(f"tcpblame {arguments[0]}: {why}") from None
        if process.returncode != 0:
            raise SystemExit(f"tcpblame {arguments[0]} failed with exit status {process.returncode}")
        if shown and output:
            say("".join(f"  {line}\n" for line in output.splitlines()).rstrip())
        return output

    def start_worker(self) -> None:
        """Start a worker in the background."""
        say(f"$ tcpblame worker --data-dir worker --session-timeout {_SESSION_S:g} &")
        with self._log.open("ab") as log:
            self._worker = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "tcpblame", "worker", "--data-dir", str(self._directory / "worker"),
                 "--session-timeout", str(_SESSION_S)],
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")

    def kill_worker(self, after_s: float) -> None:
        """SIGKILL, in the middle of whatever it does."""
        assert self._worker is not None  # noqa: S101
        time.sleep(after_s)
        say("$ kill -9 the worker")
        self._worker.kill()
        self._worker.wait(_WORKER_GRACE_S)
        self._worker = None

    def stop(self) -> None:
        """End what was started here."""
        if self._worker is not None:
            self._worker.terminate()
            try:
                self._worker.wait(_WORKER_GRACE_S)
            except subprocess.TimeoutExpired:
                self._worker.kill()
                self._worker.wait(_WORKER_GRACE_S)
        self._worker = None
        self.run("dev", "down")

    def rows(self, store: Path, table: str) -> Counter[str]:
        """The rows of a store's table, all columns but the time of storing."""
        found = self.run(
            "query", f"SELECT * EXCEPT inserted_at FROM {table} ORDER BY ALL", "--store", str(store),  # noqa: S608
            "--format", "json", shown=False,
        )  # fmt: skip
        return Counter(found.splitlines())


def say(line: str) -> None:
    """A line of the demo."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _short(argument: str) -> str:
    return os.path.basename(argument) if os.sep in argument and " " not in argument else argument


def compare(demo: Demo, ours: Path, reference: Path) -> bool:
    """Print how many rows both ways have in common; whether that is all."""
    same = True
    say(f"\n{'table':<8} {'diagnose':>9} {'stream':>9} {'the same':>9}")
    for table in TABLES:
        expected, found = demo.rows(reference, table), demo.rows(ours, table)
        common = (expected & found).total()
        say(f"{table:<8} {expected.total():>9} {found.total():>9} {common:>9}")
        same &= expected == found and expected.total() > 0
    return same


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="demo_stream", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("captures", nargs="*", default=sorted(str(path) for path in (ROOT / "demo").glob("*.pcap")))
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--kill", action="store_true", help="kill the worker once while it works")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tcpblame-demo-") as name:
        directory = Path(name)
        demo = Demo(directory)
        stream, reference = directory / "stream-store", directory / "diagnose-store"
        try:
            # First, because it also compiles the kernels that the worker then loads.
            say("$ tcpblame diagnose ... --store diagnose-store")
            demo.run("diagnose", *chosen.captures, "--store", str(reference), shown=False)
            demo.run("dev", "up")
            demo.run("init", "--partitions", str(chosen.partitions))
            replays = [part for capture in chosen.captures for part in ("--replay", capture)]
            demo.start_worker()
            demo.run("probe", *replays)
            if chosen.kill:
                demo.kill_worker(_KILL_AFTER_S)
                demo.start_worker()
            demo.run("sink", "--store", str(stream), "--until-idle")
        finally:
            demo.stop()
        same = compare(demo, stream, reference)
    say("\nThe rows are the same." if same else "\nThe rows differ.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
