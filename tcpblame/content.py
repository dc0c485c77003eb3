"""The hash of captures' contents, computed while they are read.

It names what was read (deduplication of inserts, the epoch of a replay), so it covers the bytes as stored.
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO, cast

from ingest.capture.reader import CaptureReader
from ingest.capture.source import open_stream


class ContentHash:
    """BLAKE2b of all bytes that went through, 16 bytes long."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        self._hash.update(data)

    def hexdigest(self) -> str:
        """The hash of what has gone through so far."""
        return self._hash.hexdigest()


class _HashedStream:
    """A binary stream whose bytes are hashed as they are read."""

    def __init__(self, stream: BinaryIO, name: str, content: ContentHash, owned: bool) -> None:
        self.name = name
        self._stream, self._content, self._owned = stream, content, owned

    def read(self, size: int, /) -> bytes | None:
        data = self._stream.read(size)
        if data:
            self._content.update(data)
        return data

    def readinto(self, target: memoryview) -> int | None:
        count = int(self._stream.readinto(target) or 0)  # type: ignore[attr-defined]
        self._content.update(target[:count])
        return count

    def close(self) -> None:
        if self._owned:
            self._stream.close()


@contextmanager
def opened(path: str, content: ContentHash | None) -> Iterator[tuple[CaptureReader, int | None]]:
    """A reader of the capture and its size as stored, if known; every byte that it reads goes into `content`."""
    if content is None:
        reader = CaptureReader(path)
        with closing(reader):
            yield reader, reader.size_bytes
        return
    stream, name, size_bytes, owned = open_stream(path)
    with closing(_HashedStream(stream, name, content, owned)) as hashed:
        yield CaptureReader(cast(BinaryIO, hashed)), size_bytes
