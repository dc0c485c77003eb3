"""``python -m infra.lab``: the laboratory's commands."""

import sys
from pathlib import Path

import click

from infra.lab.demo import make
from infra.lab.run import missing
from infra.lab.scenarios import ALL
from infra.lab.topology import LabError


@click.group()
def main() -> None:
    """Real TCP over an impaired path, captured and explained by the sending kernel (root, Linux)."""


@main.command("list")
def list_scenarios() -> None:
    """The scenarios and what each is about."""
    for scenario in ALL:
        click.echo(f"{scenario.name:24s} {scenario.sentence}")


@main.command()
def check() -> None:
    """Say what this machine lacks for the laboratory."""
    lacks = missing()
    click.echo(f"the laboratory needs {', '.join(lacks)}" if lacks else "nothing is missing")
    sys.exit(1 if lacks else 0)


@main.command("make-demo")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
def make_demo(directory: Path, names: tuple[str, ...]) -> None:
    """Run every scenario (or those NAMES) and write its capture and truth into DIRECTORY; about two minutes."""
    try:
        for done in make(directory, names):
            size = (directory / f"{done.scenario.name}.pcap").stat().st_size
            for flow in done.flows:
                shares = "  ".join(f"{name} {share:.2f}" for name, share in flow.shares.items())
                click.echo(f"{done.scenario.name:24s} {flow.verdict:9s} {shares}  {size // 1000} KB")
    except LabError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
