"""gzip (RFC 1952): members one after the other, zero padding allowed, in bounded memory."""

import zlib

from ingest.capture.source import Damaged, Input

_CHUNK_BYTES = 256 << 10
_GZIP_ONLY = 31  # zlib's window bits for: gzip header required, 32 KiB window


class GzipSource:
    """The plain bytes of a gzip input."""

    def __init__(self, data: Input) -> None:
        self._input = data
        self._member = zlib.decompressobj(_GZIP_ONLY)
        self._pending = b""  # compressed bytes not yet taken

    def readinto(self, target: memoryview) -> int:
        """Fill some of `target`; 0 at the end. Raises Damaged, OSError."""
        while True:
            if self._member.eof and not self._next_member():
                return 0
            if not self._pending:
                self._pending = self._input.read(_CHUNK_BYTES)
                if not self._pending:
                    raise Damaged("the gzip data is cut short")
            try:
                # The limit is what keeps a bomb small: zlib stops there and keeps the rest compressed.
                plain = self._member.decompress(self._pending, len(target))
            except zlib.error as error:
                raise Damaged(f"the gzip data is damaged ({error})") from error
            self._pending = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if plain:
                target[: len(plain)] = plain
                return len(plain)

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
