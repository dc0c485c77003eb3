"""Kafka's jars: fetched once with Maven into the user's data directory, used from there without a network."""

import os
import re
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path


class DevError(Exception):
    """What stands in the way of the development broker, in one line for the person who asked."""


def require(program: str, package: str) -> str:
    """The path of a program, or :class:`DevError` that names the Debian package it comes with."""
    found = shutil.which(program)
    if found is None:
        raise DevError(f"{program} is missing: apt-get install {package}")
    return found


def _pom() -> str:
    return resources.files("infra.kafka").joinpath("pom.xml").read_text(encoding="utf-8")


def kafka_version() -> str:
    """The version that pom.xml asks for."""
    found = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([0-9.]+)</version>", _pom())
    if found is None:
        raise DevError("infra/kafka/pom.xml names no version of kafka_2.13")
    return found[1]


def default_directory() -> Path:
    """Where the jars lie: $TCPBLAME_KAFKA_LIBS, or a directory of the version in the user's data directory."""
    chosen = os.environ.get("TCPBLAME_KAFKA_LIBS")
    if chosen:
        return Path(chosen)
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "tcpblame" / f"kafka-{kafka_version()}"


def present(directory: Path) -> bool:
    """Whether the jars of this version lie in `directory`; they are moved there whole or not at all."""
    return (directory / f"kafka_2.13-{kafka_version()}.jar").is_file()


def fetch(directory: Path | None = None, limit_s: float = 900.0) -> tuple[Path, bool]:
    """Make sure that the jars are there; returns their directory and whether they had to be fetched.

    Raises :class:`DevError` if Maven or Java is missing or the download fails.
    """
    target = directory or default_directory()
    if present(target):
        return target, False
    maven = require("mvn", "maven")
    require("java", "default-jre-headless")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kafka-") as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(_pom(), encoding="utf-8")
        jars = Path(scratch) / "jars"
        command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        try:
            done = subprocess.run(  # noqa: S603 - the program was looked up, the arguments are our own
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise DevError(f"fetching Kafka took longer than {limit_s:.0f} s") from None
        if done.returncode != 0 or not present(jars):
            raise DevError(
                f"Maven could not fetch Kafka {kafka_version()} (exit status {done.returncode}): is there a network?"
            )
        if target.exists():
            shutil.rmtree(target)
        jars.rename(target)
    return target, True
