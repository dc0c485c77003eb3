"""A real Kafka for each test that asks for one: one node on the loopback address, ended by its own process id."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.kafka import broker, libraries, topics
from infra.kafka.libraries import DevError

CAPTURES = Path(__file__).resolve().parents[2] / "demo"


@pytest.fixture(scope="session")
def jars() -> Path:
    """Kafka's jars, fetched if they are not there yet."""
    try:
        libraries.require("java", "default-jre-headless")
        return libraries.fetch(limit_s=600)[0]
    except DevError as error:
        pytest.skip(f"NO KAFKA, SO THE STREAM IS NOT TESTED: {error}")


@pytest.fixture
def kafka(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], str]]:
    """A function that starts a broker whose topics have so many partitions; gives its address."""
    started = []

    def start(partitions: int) -> str:
        directory = tmp_path_factory.mktemp("kafka")
        started.append(directory)
        state, _ = broker.up(directory, jars)
        topics.create(state.address, partitions)
        return state.address

    yield start
    for directory in started:
        broker.down(directory)
