"""Numbered migrations: plan, apply, record, and refuse what a newer version wrote.

A migration is a file ``NNNN_name.sql`` beside this one, statements ended by a semicolon at a line's end. Applied ones
are recorded with their checksum in ``schema_migrations`` after their last statement, and every statement may run twice
(IF NOT EXISTS), so a migration that was interrupted is simply run again. Files that were released never change.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

import orjson

from sinks.clickhouse.errors import StoreError

_RECORD = """CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32 COMMENT 'number of the migration',
    name String COMMENT 'its name',
    checksum String COMMENT 'SHA-256 of its text',
    applied_at DateTime('UTC') DEFAULT now('UTC') COMMENT 'when its last statement had run'
)
ENGINE = MergeTree
ORDER BY version
COMMENT 'migrations that this store has'"""


class Database(Protocol):
    """What migrations need of a store."""

    name: str

    def execute(self, sql: str) -> None:
        """Run one statement. Raises StoreError."""

    def query(self, sql: str, output_format: str = ...) -> bytes:
        """Run one query. Raises StoreError."""


@dataclass(frozen=True)
class Migration:
    """One numbered step of the schema."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self) -> list[str]:
        """The statements without their semicolons."""
        return [part.strip() for part in (self.text + "\n").split(";\n") if part.strip()]


@cache
def known() -> tuple[Migration, ...]:
    """The migrations of this version of the product, in order."""
    found = []
    for entry in files(__name__).iterdir():
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, entry.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.version))


def applied(database: Database) -> dict[int, str]:
    """Version and checksum of each migration that the store has; none if it is empty."""
    tables = database.query("SELECT name FROM system.tables WHERE database = currentDatabase()", "JSONCompactEachRow")
    if "schema_migrations" not in {orjson.loads(line)[0] for line in tables.splitlines()}:
        return {}
    rows = database.query("SELECT version, checksum FROM schema_migrations", "JSONCompactEachRow")
    return {int(version): str(checksum) for version, checksum in map(orjson.loads, rows.splitlines())}


def plan(database: Database) -> list[Migration]:
    """The migrations that :func:`migrate` would run.

    Raises StoreError if the store is newer than this version, or if a migration that it has is not the one known here.
    """
    have = applied(database)
    newest = max((migration.version for migration in known()), default=0)
    if have and max(have) > newest:
        raise StoreError(
            f"store {database.name}: its schema is version {max(have)}, this tcpblame knows {newest}: use a newer one"
        )
    for migration in known():
        if have.get(migration.version, migration.checksum) != migration.checksum:
            raise StoreError(
                f"store {database.name}: its migration {migration.version:04d} is not this version's: "
                "use the tcpblame that made the store, or a new directory"
            )
    return [migration for migration in known() if migration.version not in have]


def migrate(database: Database) -> list[Migration]:
    """Run what :func:`plan` names and record it; returns what was run. Safe to repeat after an interruption."""
    pending = plan(database)
    if pending:
        database.execute(_RECORD)
    for migration in pending:
        for statement in migration.statements():
            database.execute(statement)
        record = "INSERT INTO schema_migrations (version, name, checksum) SETTINGS async_insert = 0 VALUES"
        database.execute(f"{record} ({migration.version}, '{migration.name}', '{migration.checksum}')")
    return pending
