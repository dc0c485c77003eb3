"""Where a capture's bytes come from: a file, standard input or an open stream; plain, gzip or zstd, told by magic.

Each source hands out plain bytes into the reader's own buffer and holds a bounded amount itself, however well the
input compresses.
"""

import errno
import os
import stat
from typing import BinaryIO, Protocol

from ingest.capture.errors import CaptureError


class Damaged(Exception):  # noqa: N818 - not a fault of the program: it ends the reading
    """The compressed data is cut short or broken; the message says how."""


class Stream(Protocol):
    """What a source reads from."""

    def read(self, size: int, /) -> bytes | None: ...


class Source(Protocol):
    """Plain bytes of a capture."""

    def readinto(self, target: memoryview) -> int:
        """Fill some of `target`; 0 only at the end. Raises Damaged, OSError."""


class Input:
    """The bytes as stored, counted, with the first ones at hand to look at."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._readinto = getattr(stream, "readinto", None)
        self._ahead = b""
        self.bytes_read = 0

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end, without consuming them."""
        while len(self._ahead) < size:
            more = self._stream.read(size - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            data = self._stream.read(size) or b""
        self.bytes_read += len(data)
        return data

    def readinto(self, target: memoryview) -> int:
        """Fill some of `target`; 0 at the end."""
        if self._ahead or self._readinto is None:
            data = self.read(len(target))
            target[: len(data)] = data
            return len(data)
        count = self._readinto(target) or 0
        self.bytes_read += count
        return int(count)


def open_stream(path: str | os.PathLike[str] | BinaryIO) -> tuple[BinaryIO, str, int | None, bool]:
    """(stream, name, size in bytes if known, whether to close it). Raises CaptureError."""
    if not isinstance(path, (str, os.PathLike)):
        return path, str(getattr(path, "name", "stream")), None, False
    given = os.fspath(path)
    name = "standard input" if given == "-" else given
    try:
        # The reader closes it. Unbuffered: it reads large blocks into a buffer of its own.
        stream = open(0 if given == "-" else given, "rb", buffering=0, closefd=given != "-")  # noqa: SIM115
        status = os.fstat(stream.fileno())
    except OSError as error:
        raise CaptureError(f"{name}: {_reason(error)}") from error
    except ValueError as error:  # a NUL in the name
        raise CaptureError(f"{name!r}: not a file name") from error
    return stream, name, status.st_size if stat.S_ISREG(status.st_mode) else None, True


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "no such file"
    if error.errno == errno.EISDIR:
        return "is a directory"
    if error.errno == errno.EBADF:
        return "not open"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return error.strerror or str(error)


_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_OTHERS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}


def decompressed(data: Input, name: str) -> Source:
    """The plain bytes of an input. Raises CaptureError if it is compressed in a way that is not read."""
    head = data.peek(6)
    if head[:2] == _GZIP:
        from ingest.capture.gzip import GzipSource  # noqa: PLC0415

        return GzipSource(data)
    if head[:4] == _ZSTD or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        from ingest.capture.zstd import ZstdSource  # noqa: PLC0415

        return ZstdSource(data)
    for magic, kind in _OTHERS.items():
        if head.startswith(magic):
            raise CaptureError(f"{name}: compressed by {kind}; only gzip and zstd are read")
    return data
