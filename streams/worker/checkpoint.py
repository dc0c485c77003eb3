"""A partition's state as pages in a table: written so that a kill between any two writes leaves a whole state.

Pages are named by the source offset they were saved at, so a later checkpoint never overwrites the pages of an earlier
one; the directory, written last, says which pages count and their checksums. Pages of the last but one checkpoint are
removed: a table's local copy and its changelog may be one checkpoint apart after a kill.

On credit: a page is to become a hash bucket of connections, so that only what changed is written; and a worker that
slept through its session may write an older directory over a newer one, which costs a longer replay, not correctness:
the mark inside the pages rules (see ``agent``).
"""

import json
import zlib
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass

from streams.worker.partition import StateError

PAGE_BYTES = 512 * 1024  # below Kafka's default limit of a message, 1 MiB, whatever the topic's settings
_DIRECTORY = b"directory"

Table = MutableMapping[bytes, bytes]


def _page(mark: int, number: int) -> bytes:
    return b"page %d %d" % (mark, number)


@dataclass(frozen=True)
class Directory:
    """Which pages hold a partition's state."""

    mark: int  # source offset of the last batch applied
    checksums: list[int]  # CRC-32 of each page
    previous_mark: int | None = None  # the checkpoint before, whose pages are still there
    previous_pages: int = 0


def write(table: Table, mark: int, data: bytes) -> int:
    """Write the state saved at source offset `mark`; returns the number of pages."""
    before = _directory(table)
    checksums = []
    for number, start in enumerate(range(0, len(data), PAGE_BYTES)):
        page = data[start : start + PAGE_BYTES]
        table[_page(mark, number)] = page
        checksums.append(zlib.crc32(page))
    if before is None or before.mark == mark:
        directory = Directory(mark, checksums)
    else:
        directory = Directory(mark, checksums, before.mark, len(before.checksums))
    table[_DIRECTORY] = json.dumps(asdict(directory)).encode()
    if before is not None and before.previous_mark not in (None, mark):
        for number in range(before.previous_pages):
            table.pop(_page(before.previous_mark or 0, number), None)
    return len(checksums)


def read(table: Table) -> bytes | None:
    """The state last written whole, None if there is none. Raises :class:`StateError` if pages are missing."""
    directory = _directory(table)
    if directory is None:
        return None
    pages = []
    for number, checksum in enumerate(directory.checksums):
        page = table.get(_page(directory.mark, number))
        if page is None or zlib.crc32(page) != checksum:
            raise StateError(f"page {number} of the state at offset {directory.mark} is missing or damaged")
        pages.append(page)
    return b"".join(pages)


def _directory(table: Table) -> Directory | None:
    data = table.get(_DIRECTORY)
    if data is None:
        return None
    try:
        return Directory(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise StateError(f"the state's directory is damaged: {error}") from error
