"""A partition's state as pages in a table, written so that neither a kill nor a sleeper can spoil it.

Keys begin with the partition and the *writer*, a name that each assignment of a partition makes anew. Its pages are
named by the source offset they were saved at, so a checkpoint overwrites nothing; its directory, written last, says
which pages count and their checksums. What is read is the whole state with the highest mark, whoever wrote it. So a
kill between any two writes leaves the checkpoint before, and a worker that slept through its session (measured: SIGSTOP
for 14 s) writes what it has under its own name, beside its successor's newer state, which counts.

A writer keeps the pages of its last two checkpoints, because a table's local copy and its changelog may be one
checkpoint apart after a kill, and removes what it found when it took over once it has saved a state of its own.

On credit: a page is to become a hash bucket of connections, so that only what changed is written.
"""

import json
import uuid
import zlib
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass

from streams.worker.partition import StateError

PAGE_BYTES = 512 * 1024  # below Kafka's default limit of a message, 1 MiB, whatever the topic's settings

Table = MutableMapping[bytes, bytes]


@dataclass(frozen=True)
class Directory:
    """Which pages hold a state."""

    mark: int  # source offset of the last batch applied
    checksums: list[int]  # CRC-32 of each page
    previous_mark: int | None = None  # the checkpoint before, whose pages are still there
    previous_pages: int = 0


class Checkpoints:
    """The saved states of one partition, as one assignment of it sees them."""

    def __init__(self, table: Table, partition: int) -> None:
        self._table = table
        self._partition = b"%d " % partition
        self._own = self._partition + uuid.uuid4().hex.encode() + b" "
        self._directory: Directory | None = None
        self._left: list[bytes] = []  # what other writers left, to be removed

    def read(self) -> bytes | None:
        """The state with the highest mark that is whole, None if none was ever written.

        To be called once, before the first :meth:`write`. Raises :class:`StateError` if there are states and none is
        whole.
        """
        self._left = [key for key in self._table if key.startswith(self._partition)]
        found = [
            (key.rpartition(b" ")[0] + b" ", self._read_directory(key)) for key in self._left if _is_directory(key)
        ]
        for prefix, directory in sorted(found, key=lambda entry: entry[1].mark, reverse=True):
            data = self._read_pages(prefix, directory)
            if data is not None:
                return data
        if found:
            raise StateError(f"none of the states saved for partition {self._partition.decode()}is whole")
        return None

    def write(self, mark: int, data: bytes) -> int:
        """Save the state at source offset `mark`; returns the number of pages."""
        before = self._directory
        checksums = []
        for number, start in enumerate(range(0, len(data), PAGE_BYTES)):
            page = data[start : start + PAGE_BYTES]
            self._table[_page(self._own, mark, number)] = page
            checksums.append(zlib.crc32(page))
        if before is None or before.mark == mark:
            self._directory = Directory(mark, checksums)
        else:
            self._directory = Directory(mark, checksums, before.mark, len(before.checksums))
        self._table[self._own + b"directory"] = json.dumps(asdict(self._directory)).encode()
        if before is not None and before.previous_mark not in (None, mark):
            for number in range(before.previous_pages):
                self._table.pop(_page(self._own, before.previous_mark or 0, number), None)
        while self._left:
            self._table.pop(self._left.pop(), None)
        return len(checksums)

    def _read_directory(self, key: bytes) -> Directory:
        try:
            return Directory(**json.loads(self._table[key]))
        except (KeyError, ValueError, TypeError):
            return Directory(-1, [0])  # damaged: its page is nowhere

    def _read_pages(self, prefix: bytes, directory: Directory) -> bytes | None:
        pages = []
        for number, checksum in enumerate(directory.checksums):
            page = self._table.get(_page(prefix, directory.mark, number))
            if page is None or zlib.crc32(page) != checksum:
                return None
            pages.append(page)
        return b"".join(pages)


def _page(prefix: bytes, mark: int, number: int) -> bytes:
    return prefix + b"page %d %d" % (mark, number)


def _is_directory(key: bytes) -> bool:
    return key.endswith(b" directory")
