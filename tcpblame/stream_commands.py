"""The commands of the stream: dev, init, probe, worker, sink. What they need is imported when one runs."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TypeVar

import click

from tcpblame.exits import PARTLY, USAGE, UserError
from tcpblame.messages import fault, note

T = TypeVar("T")

_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_BROKERS = click.option(
    "--brokers",
    metavar="HOST:PORT[,...]",
    envvar="TCPBLAME_BROKERS",
    help="Kafka brokers.  [default: the broker of 'tcpblame dev up', if it runs]",
)
_DEV_DIRECTORY = click.option(
    "--dir",
    "directory",
    type=_DIRECTORY,
    envvar="TCPBLAME_DEV_DIR",
    help="Where the broker keeps everything.  [default: the user's state directory]",
)


def _brokers(given: str | None) -> str:
    if given:
        return given
    from infra.kafka import broker  # noqa: PLC0415

    state = broker.running()
    if state is None:
        raise UserError("no brokers: give --brokers HOST:PORT, or start one with 'tcpblame dev up'", USAGE)
    return state.address


@click.group("dev")
def dev() -> None:
    """Run a Kafka broker on this machine, for trying the stream.

    A real Apache Kafka, one node, no container, reachable from this machine only. It needs Java; fetching it needs
    Maven (Debian: default-jre-headless, maven).
    """


@dev.command("fetch")
def dev_fetch() -> None:
    """Fetch Kafka's jars once, into the user's data directory."""
    from infra.kafka import libraries  # noqa: PLC0415

    directory, fetched = _infra(libraries.fetch)
    click.echo(f"Kafka {libraries.kafka_version()}: {'fetched to' if fetched else 'is in'} {directory}")


@dev.command("up")
@_DEV_DIRECTORY
def dev_up(directory: Path | None) -> None:
    """Start the broker, unless it runs."""
    from infra.kafka import broker  # noqa: PLC0415

    state, started = _infra(lambda: broker.up(directory))
    click.echo(f"Kafka {'started' if started else 'runs'}: {state.address} (process {state.pid})")


@dev.command("down")
@_DEV_DIRECTORY
def dev_down(directory: Path | None) -> None:
    """Stop the broker that 'up' started. Its data stays."""
    from infra.kafka import broker  # noqa: PLC0415

    click.echo("Kafka stopped" if _infra(lambda: broker.down(directory)) else "Kafka does not run")


@dev.command("status")
@_DEV_DIRECTORY
@click.pass_context
def dev_status(context: click.Context, directory: Path | None) -> None:
    """Say whether the broker runs, where, and its topics. Exit status 1 if it does not run."""
    from infra.kafka import broker  # noqa: PLC0415

    state = _infra(lambda: broker.running(directory))
    if state is None:
        click.echo("Kafka does not run")
        context.exit(PARTLY)
    click.echo(f"Kafka runs: {state.address} (process {state.pid})")
    from infra.kafka import topics  # noqa: PLC0415

    for topic, count in sorted(_infra(lambda: topics.partitions_of(state.address)).items()):
        click.echo(f"  {topic}: {count} partition{'s' if count != 1 else ''}")


@click.command("init")
@_BROKERS
@click.option("--partitions", type=int, default=4, show_default=True, help="Of segments and windows; divides 1024.")
@click.option("--replication", type=int, default=1, show_default=True, help="Copies of each partition.")
def init(brokers: str | None, partitions: int, replication: int) -> None:
    """Create the topics of the stream. What exists stays; a topic's number of partitions never changes."""
    from infra.kafka import topics  # noqa: PLC0415

    address = _brokers(brokers)
    try:
        done = _infra(lambda: topics.create(address, partitions, replication))
    except ValueError as error:
        raise UserError(str(error), USAGE) from error
    for topic, created in done.items():
        click.echo(f"{topic}: {'created' if created else 'exists'}")


@click.command("probe")
@_BROKERS
@click.option(
    "--replay", "captures", metavar="CAPTURE", multiple=True, required=True, help="A capture file; may be repeated."
)
@click.option("--probe-id", metavar="ID", help="Name of the probe in the rows.  [default: the file's name]")
@click.option("--tap-name", metavar="NAME", help="Name of the tap, for captures with one.  [default: the file's]")
def probe(brokers: str | None, captures: tuple[str, ...], probe_id: str | None, tap_name: str | None) -> None:
    """Publish the segments of captures to Kafka, as a probe would have.

    Publishing a file again changes nothing: its batches carry the same numbers and are recognised.
    """
    from ingest.capture.errors import CaptureError  # noqa: PLC0415
    from ingest.probe.producer import ProbeError, SegmentProducer  # noqa: PLC0415
    from ingest.probe.replay import replay  # noqa: PLC0415
    from tcpblame.probe_ids import capture_name, probe_ids  # noqa: PLC0415

    if probe_id is not None and len(captures) > 1:
        raise click.UsageError("--probe-id names one probe: give one --replay")
    producer = SegmentProducer(_brokers(brokers))
    problems = 0
    for path, name in zip(captures, probe_ids(captures, probe_id), strict=True):
        try:
            done = replay(Path(path), producer, name, capture_name(path), tap_name)
        except ProbeError as error:
            raise UserError(str(error)) from error
        except OSError as error:
            fault(f"{path}: {error.strerror or error}")
            problems += 1
            continue
        except CaptureError as error:
            fault(str(error))
            problems += 1
            continue
        if done.problem is not None:
            fault(f"{path}: {done.problem}")
            problems += 1
        click.echo(f"{name}: {done.segments} segments in {done.batches} batches")
    if problems:
        sys.exit(PARTLY)


@click.command("worker")
@_BROKERS
@click.option("--data-dir", "directory", type=_DIRECTORY, required=True, help="Of this worker alone.")
@click.option("--group", default="tcpblame-worker", show_default=True, help="Workers that share the partitions.")
@click.option("--instance", metavar="NAME", help="Static member of the group: restarts without a rebalance.")
@click.option("--session-timeout", type=float, default=20.0, show_default=True, help="Seconds until a worker is dead.")
@click.option("--checkpoint", type=float, default=3.0, show_default=True, help="Seconds between a partition's savings.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="How much the worker tells on standard error.",
)
def worker(
    brokers: str | None,
    directory: Path,
    group: str,
    instance: str | None,
    session_timeout: float,
    checkpoint: float,
    log_level: str,
) -> None:
    """Diagnose the segments of Kafka, as windows in Kafka; until it is told to stop."""
    from infra.kafka import topics  # noqa: PLC0415
    from schemas.topics import SEGMENTS  # noqa: PLC0415
    from streams.worker.agent import CheckpointPolicy  # noqa: PLC0415
    from streams.worker.app import WorkerSettings, run  # noqa: PLC0415
    from tcpblame.settings import Settings  # noqa: PLC0415

    address = _brokers(brokers)
    found = _infra(lambda: topics.partitions_of(address))
    if SEGMENTS not in found:
        raise UserError(f"topic {SEGMENTS} does not exist at {address}: tcpblame init creates it")
    run(
        WorkerSettings(
            brokers=address,
            partitions=found[SEGMENTS],
            data_directory=directory,
            group=group,
            instance=instance,
            session_timeout_s=session_timeout,
            engine=Settings.load().engine(),
            checkpoints=CheckpointPolicy(seconds=checkpoint),
        ),
        log_level,
    )


@click.command("sink")
@_BROKERS
@click.option("--store", "directory", type=_DIRECTORY, required=True, help="The store's directory; made if missing.")
@click.option("--until-idle", is_flag=True, help="Stop when nothing more can come.")
@click.option("--group", default="tcpblame-worker", show_default=True, help="The workers' group, for --until-idle.")
@click.option("--limit", type=float, default=120.0, show_default=True, help="Seconds without news, for --until-idle.")
def sink(brokers: str | None, directory: Path, until_idle: bool, group: str, limit: float) -> None:
    """Write the windows of Kafka into a store, each row once; until it is told to stop."""
    from sinks.clickhouse.embedded import EmbeddedStore  # noqa: PLC0415
    from sinks.clickhouse.errors import StoreError  # noqa: PLC0415
    from sinks.stream.blocks import Blocks  # noqa: PLC0415
    from sinks.stream.consume import SinkError, consume  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, format="tcpblame: %(message)s")
    stopping = _Stopping()
    address = _brokers(brokers)
    try:
        with EmbeddedStore(directory) as store:
            blocks = Blocks(store)
            progress = consume(address, blocks, stopping, until_idle, group, limit)
    except (SinkError, StoreError) as error:
        raise UserError(str(error)) from error
    click.echo(f"{blocks.rows} rows in {blocks.inserts} inserts, {blocks.repeated} batches were there already")
    if blocks.waiting_rows:
        note(f"{blocks.waiting_rows} rows wait for the batches after them; they are read again at the next start")
    if progress.unreadable:
        fault(f"{progress.unreadable} window batches could not be read")
        sys.exit(PARTLY)


class _Stopping:
    """True once SIGTERM or SIGINT has come: what is being inserted is finished first."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self._asked

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)
        self._asked = True


def _infra(call: Callable[[], T]) -> T:
    """What `call` returns; its errors as lines for the user."""
    from infra.kafka.libraries import DevError  # noqa: PLC0415

    try:
        return call()
    except (DevError, OSError) as error:
        raise UserError(str(error)) from error
