"""The embedded store: a ClickHouse data directory that this process alone opens, by way of chdb.

chdb is imported when a store is opened (260 MB and a second), and allows one directory a process. Its streaming insert
is not used: it reports success when a materialised view fails (chdb 4.4). Rows go through a file in memory instead.
"""

import fcntl
import os
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from schemas.naming import valid_text
from schemas.rows import TABLES, Rows
from sinks.clickhouse import migrations
from sinks.clickhouse.ddl import STAGING, quoted, record_columns, text_columns
from sinks.clickhouse.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Rows of one INSERT. Large blocks make few parts (ClickHouse's advice: 10,000 to 1,000,000); 200,000 flows are 140 MB.
ROWS_PER_INSERT = 200_000

# Set for each insert because servers' defaults differ: one thread and one block a chunk, so that a repeated insert
# makes the same blocks; hostile capture times may lie in any number of partitions.
_INSERT_SETTINGS = (
    "async_insert = 0, insert_deduplicate = 1, deduplicate_blocks_in_dependent_materialized_views = 1, "
    f"max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = {2 * ROWS_PER_INSERT}, "
    "min_insert_block_size_bytes = 0, max_partitions_per_insert_block = 0"
)
# What a data directory holds; one that holds only other things is somebody's own.
_MARKS = {"metadata", "store", "status"}
_DISK_FULL = ("NOT_ENOUGH_SPACE", "No space left on device", "Cannot reserve", "errno: 28")


class EmbeddedStore:
    """A store in a directory, created and migrated when opened."""

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True, migrate: bool = True) -> None:
        """Open the store at `path`.

        create: make the directory if there is none. migrate: bring its schema up to date. Raises StoreError if it
        cannot be opened, is held by another process, or was made by a newer version.
        """
        self.path = Path(path)
        self.name = str(path)
        self._session: Any = None
        self._check_directory(create)
        self._check_lock()
        self._open()
        try:
            if migrate:
                self.migrate()
            else:
                migrations.plan(self)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "EmbeddedStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def migrate(self) -> list[migrations.Migration]:
        """Run pending migrations; returns them."""
        done = migrations.migrate(self)
        if done:
            self._keep_everything()
        return done

    def insert(self, rows: Rows, token: str) -> bool:
        """Store all rows; False if an insert of this token is complete already.

        token: names the content, made from data alone (capture's hash, options, part): the same token must come with
        the same rows in the same order. An insert that failed midway is completed by repeating it. Raises StoreError.
        """
        if self._is_complete(token):
            return False
        count = 0
        for table in TABLES:
            records = rows.table(table)
            for chunk, start in enumerate(range(0, len(records), ROWS_PER_INSERT)):
                self._insert(rows, table, start, f"{token}:{STAGING[table]}:{chunk}")
            count += len(records)
        audit = "INSERT INTO ingest_audit (token, rows) SETTINGS async_insert = 0 VALUES"
        self.execute(f"{audit} ({quoted(token)}, {count})")
        return True

    def query(self, sql: str, output_format: str = "JSONEachRow", params: Mapping[str, object] | None = None) -> bytes:
        """The result of a query in one of ClickHouse's formats; params fill ``{name:Type}``. Raises StoreError."""
        if self._session is None:
            raise StoreError(f"store {self.name}: it is closed")
        try:
            return bytes(self._session.query(sql, output_format, params=dict(params) if params else None).bytes())
        except Exception as error:  # chdb raises RuntimeError, its own ChdbError, or what pybind makes of C++
            raise self._explain(error) from None

    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing. Raises StoreError."""
        self.query(sql, "Null")

    def close(self) -> None:
        """Close the store; it may be opened again, by this process or another."""
        if self._session is not None:
            session, self._session = self._session, None
            session.close()

    def _insert(self, rows: Rows, table: str, start: int, token: str) -> None:
        records = np.ascontiguousarray(rows.table(table)[start : start + ROWS_PER_INSERT])
        structure = ", ".join(f"{name} {kind}" for name, kind in [("source", "Int32"), *record_columns(table)])
        names = [name for name, _ in [*text_columns(table), *record_columns(table)]]
        values = [f"{_names(rows, name)} AS {name}" for name, _ in text_columns(table)]
        values += [name for name, _ in record_columns(table)]
        with _memory_file() as file:
            file.write(records.view(np.uint8).data)
            file.flush()
            into = f"INSERT INTO {STAGING[table]} ({', '.join(names)})"
            rows_from = f"FROM file('/dev/fd/{file.fileno()}', 'RowBinary', {quoted(structure)})"
            settings = f"SETTINGS {_INSERT_SETTINGS}, insert_deduplication_token = {quoted(token)}"
            self.execute(f"{into} SELECT {', '.join(values)} {rows_from} {settings}")

    def _is_complete(self, token: str) -> bool:
        found = self.query("SELECT count() FROM ingest_audit WHERE token = {token:String}", "TSV", {"token": token})
        return int(found) > 0

    def _keep_everything(self) -> None:
        """Take the retention off: what somebody loads into a directory of their own stays until they remove it."""
        found = self.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine_full LIKE '% TTL %'", "TSV"
        )
        for table in found.decode().split():
            self.execute(f"ALTER TABLE {table} REMOVE TTL")

    def _check_directory(self, create: bool) -> None:
        if "?" in str(self.path.resolve()):
            raise StoreError(f"store {self.name}: chdb cannot open a path with a question mark")
        try:
            if self.path.exists():
                if not self.path.is_dir():
                    raise StoreError(f"store {self.name}: not a directory")
                entries = {entry.name for entry in self.path.iterdir()}
                if entries and not entries & _MARKS:
                    raise StoreError(f"store {self.name}: the directory holds other files than a store's")
            elif not create:
                raise StoreError(f"store {self.name}: there is none; make one with: tcpblame diagnose --store")
            else:
                self.path.mkdir(parents=True)
        except OSError as error:
            raise StoreError(f"store {self.name}: {error.strerror}") from None
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise StoreError(f"store {self.name}: no permission to write there")

    def _check_lock(self) -> None:
        """Refuse politely what the engine would refuse noisily: it locks the file ``status`` in the directory."""
        try:
            with (self.path / "status").open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = file.readline().removeprefix(b"PID:").strip().decode(errors="replace")
                    if holder != str(os.getpid()):  # sessions of one process share an engine
                        raise StoreError(f"store {self.name}: in use by another process ({holder})") from None
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"store {self.name}: {error.strerror}") from None

    def _open(self) -> None:
        from chdb.session import Session  # noqa: PLC0415 - a second and 260 MB that only a store needs

        try:
            self._session = Session(str(self.path.resolve()))  # type: ignore[no-untyped-call]
        except Exception as error:
            raise self._explain(error) from None

    def _explain(self, error: Exception) -> StoreError:
        text = str(error)
        if any(sign in text for sign in _DISK_FULL):
            return StoreError(f"store {self.name}: the disk is full; make room and run the same again to complete it")
        if "already initialized with path" in text:
            return StoreError(f"store {self.name}: this process has another store open")
        if "Cannot lock file" in text or "Error initializing EmbeddedServer: ." in text:
            return StoreError(f"store {self.name}: in use by another process")
        message = " ".join(text.partition("Stack trace")[0].split())
        message = message.removeprefix("Code: ").partition(" DB::Exception: ")[2] or message
        return StoreError(f"store {self.name}: {message}")


def _names(rows: Rows, column: str) -> str:
    """An expression that gives a text column's value for a record's `source`."""
    if column == "ruleset":
        return quoted(valid_text(rows.ruleset))
    values = [getattr(source, column) for source in rows.sources]
    return f"[{', '.join('NULL' if text is None else quoted(valid_text(text)) for text in values)}][source + 1]"


@contextmanager
def _memory_file() -> "Iterator[IO[bytes]]":
    """A file without a name: in memory where the system can, else on disk and already unlinked."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("rows"), "wb") as file:
            yield file
    else:
        with tempfile.TemporaryFile() as file:
            yield file
