"""gzip (RFC 1952): members one after the other, zero padding allowed, in bounded memory."""

import zlib
from typing import Protocol

from ingest.capture.source import Damaged, Input

_CHUNK_BYTES = 256 << 10  # read at once, and decompressed at most at once: what keeps a bomb small
_RESCUED_BYTES = 256
_GZIP_ONLY = 31  # zlib's window bits for: gzip header required, 32 KiB window


class _Member(Protocol):
    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class GzipSource:
    """The plain bytes of a gzip input."""

    def __init__(self, data: Input) -> None:
        self._input = data
        self._member = zlib.decompressobj(_GZIP_ONLY)
        self._pending = b""  # compressed bytes not yet taken
        self._plain = memoryview(b"")
        self._damage: Damaged | None = None

    def readinto(self, target: memoryview) -> int:
        """Fill some of `target`; 0 at the end. Raises Damaged, OSError."""
        while not self._plain:
            if self._damage is not None:
                raise self._damage
            if self._member.eof and not self._next_member():
                return 0
            if not self._pending:
                self._pending = self._input.read(_CHUNK_BYTES)
                if not self._pending:
                    raise Damaged("the gzip data is cut short")
            self._decompress()
        count = min(len(target), len(self._plain))
        target[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def _decompress(self) -> None:
        before = self._member.copy()
        try:
            self._plain = memoryview(self._member.decompress(self._pending, _CHUNK_BYTES))
        except zlib.error as error:
            self._damage = Damaged(f"the gzip data is damaged ({error})")
            self._plain = memoryview(_rescued(before, self._pending))
            return
        self._pending = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def _next_member(self) -> bool:
        """Go to the next member; False at the end. Raises Damaged on anything that is none."""
        while True:
            self._pending = self._pending.lstrip(b"\0")
            if self._pending:
                break
            self._pending = self._input.read(_CHUNK_BYTES)
            if not self._pending:
                return False
        if self._pending[0] != 0x1F:
            raise Damaged("bytes that are no gzip data follow the gzip data")
        self._member = zlib.decompressobj(_GZIP_ONLY)
        return True


def _rescued(member: _Member, pending: bytes) -> bytes:
    """What a member gives before its damage: zlib drops the output of the call that fails, so the calls are small."""
    plain = b""
    try:
        while True:
            more = member.decompress(pending, _RESCUED_BYTES)
            if not more:
                return plain
            plain += more
            pending = member.unconsumed_tail
    except zlib.error:
        return plain
