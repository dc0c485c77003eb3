"""A real Apache Kafka on this machine, one node, without containers: for development, demos and tests.

It listens on the loopback address only. Everything it writes lies in one directory: its configuration, its log, its
data and ``state.json``, which says which process runs on which ports. Only that process is ever ended.
"""

import base64
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.kafka import libraries
from infra.kafka.libraries import DevError

# The heap that carried the product's tests with room to spare; the node stays near 200 MB resident.
_JAVA_OPTIONS = (
    "-Xms128m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_START_TRIES = 3  # a port that was free when chosen can be taken before the node binds it
_TERM_GRACE_S = 20.0
_POLL_S = 0.1

_CONFIG = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=4194304
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=false
"""


@dataclass(frozen=True)
class BrokerState:
    """What ``state.json`` says of a started node."""

    pid: int
    started_ticks: int  # the process's start in clock ticks since boot: with the pid it names one process for good
    port: int
    controller_port: int

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self.port}"


def default_directory() -> Path:
    """$TCPBLAME_DEV_DIR, or a directory of the user's state directory."""
    chosen = os.environ.get("TCPBLAME_DEV_DIR")
    if chosen:
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "tcpblame" / "kafka"


def _started_ticks(pid: int) -> int | None:
    """Start time of a living process (field 22 of /proc/PID/stat), None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _read_state(directory: Path) -> BrokerState | None:
    try:
        return BrokerState(**json.loads((directory / "state.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise DevError(f"{directory / 'state.json'} is unreadable: {error}") from error


def running(directory: Path | None = None) -> BrokerState | None:
    """The node that runs on `directory`, None if there is none."""
    state = _read_state(directory or default_directory())
    return state if state is not None and _started_ticks(state.pid) == state.started_ticks else None


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """One `up` or `down` at a time on a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevError(f"another tcpblame dev command works on {directory}") from None
        yield


def _free_port(preferred: int | None) -> int:
    for port in (preferred, 0):
        if port is not None:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
    raise DevError("no free port on 127.0.0.1")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def _last_line(log: Path) -> str:
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    errors = [line for line in lines if "ERROR" in line or "Exception" in line]
    return (errors or lines or [""])[-1].strip()


def _format(java: str, classpath: str, directory: Path, config: Path) -> None:
    if (directory / "data" / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
    # A cluster id may not begin with "-": the tool would read it as an option.
    command = [java, "-cp", classpath, "kafka.tools.StorageTool", "format", "--standalone"]
    command += [f"--cluster-id={cluster}", "--config", str(config)]
    done = subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DevError(f"Kafka's storage could not be formatted: {said[-1] if said else done.returncode}")


def _start_once(
    java: str, classpath: str, directory: Path, previous: BrokerState | None, limit_s: float
) -> BrokerState:
    port = _free_port(previous.port if previous else None)
    controller_port = _free_port(previous.controller_port if previous else None)
    config = directory / "server.properties"
    config.write_text(_CONFIG.format(port=port, controller_port=controller_port, data=directory / "data"), "utf-8")
    _format(java, classpath, directory, config)
    log = directory / "kafka.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [java, *_JAVA_OPTIONS, "-cp", classpath, "kafka.Kafka", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,  # Ctrl-C at the terminal that started it does not end it
        )
    state = BrokerState(process.pid, _started_ticks(process.pid) or 0, port, controller_port)
    scratch = directory / "state.json.new"
    scratch.write_text(json.dumps(asdict(state)), encoding="utf-8")
    scratch.replace(directory / "state.json")
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DevError(f"Kafka ended at its start: {_last_line(log)} (see {log})")
        if _answers(port):
            process.returncode = 0  # it outlives this command: no warning about a child left running
            return state
        time.sleep(_POLL_S)
    _end(state, 2.0)
    raise DevError(f"Kafka did not open its port within {limit_s:.0f} s (see {log})")


def up(directory: Path | None = None, jars: Path | None = None, limit_s: float = 60.0) -> tuple[BrokerState, bool]:
    """Start the node unless it runs; returns its state and whether it was started now.

    Ports are those of its last start where they are free, so that clients find it again; else the kernel chooses.
    Raises :class:`DevError`.
    """
    place = (directory or default_directory()).absolute()
    java = libraries.require("java", "default-jre-headless")
    found = jars or libraries.default_directory()
    if not libraries.present(found):
        raise DevError("Kafka has not been fetched yet: tcpblame dev fetch")
    with _lock(place):
        state = running(place)
        if state is not None:
            return state, False
        for attempt in range(_START_TRIES):
            try:
                previous = _read_state(place) if attempt == 0 else None
                return _start_once(java, f"{found}/*", place, previous, limit_s), True
            except DevError:
                if attempt == _START_TRIES - 1 or "BindException" not in (place / "kafka.log").read_text(
                    errors="replace"
                ):
                    raise
    raise AssertionError("unreachable")


def _end(state: BrokerState, grace_s: float) -> None:
    """SIGTERM, a grace period, SIGKILL; only while the pid still is the process that was started."""
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        if _started_ticks(state.pid) != state.started_ticks:
            return
        os.kill(state.pid, number)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and _started_ticks(state.pid) == state.started_ticks:
            time.sleep(_POLL_S)


def down(directory: Path | None = None) -> bool:
    """End the node that :func:`up` started on `directory`; False if none runs. Its data stays."""
    place = (directory or default_directory()).absolute()
    if not place.is_dir():
        return False
    with _lock(place):
        state = running(place)
        if state is None:
            return False
        _end(state, _TERM_GRACE_S)
        if running(place) is not None:
            raise DevError(f"process {state.pid} does not end")
        return True
