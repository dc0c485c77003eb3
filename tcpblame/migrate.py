"""``tcpblame migrate``: bring a store's tables to this version, or say what that would do."""

import os

import click

from tcpblame.exits import UserError

_EPILOG = """\b
Exit status: 0 up to date, or planned; 1 the store could not be opened, or a
newer version made it; 2 wrong usage.

\b
Examples:
  tcpblame migrate --store blame --plan
  tcpblame migrate --store blame
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--store",
    "store",
    metavar="DIR",
    type=click.Path(),
    envvar="TCPBLAME_STORE",
    show_envvar=True,
    required=True,
    help="The store; it is made if there is none.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Say which migrations are pending; change nothing.")
def migrate(store: str, only_plan: bool) -> None:
    """Create a store's tables or bring them to this version. Every command that opens a store does the same."""
    from sinks.clickhouse import migrations  # noqa: PLC0415
    from sinks.clickhouse.embedded import EmbeddedStore  # noqa: PLC0415 - a second and 260 MB
    from sinks.clickhouse.errors import StoreError  # noqa: PLC0415

    try:
        if only_plan and not os.path.exists(store):
            pending = list(migrations.known())
        else:
            with EmbeddedStore(store, create=not only_plan, migrate=False) as opened:
                pending = migrations.plan(opened) if only_plan else opened.migrate()
    except StoreError as error:
        raise UserError(str(error)) from error
    for migration in pending:
        click.echo(f"{migration.version:04d} {migration.name}: {'pending' if only_plan else 'done'}")
    if not pending:
        click.echo("up to date")
