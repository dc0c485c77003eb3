"""Zstandard (RFC 8878), block by block.

The frame is walked here, so that each call decompresses one block (at most 128 KiB plain) and a frame that ends
early is noticed; the library's stream reader is silent about that, and its decompression object has no limit.
"""

from typing import Protocol

import zstandard

from ingest.capture.source import Damaged, Input

_MAGIC = 0xFD2FB528
_BLOCK_MAX = 128 << 10
_WINDOW_MAX = 128 << 20  # as the zstd command: larger windows need --long=N there
_SKIPPED_AT_ONCE = 64 << 10


class _Frame(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


class ZstdSource:
    """The plain bytes of a zstd input."""

    def __init__(self, data: Input) -> None:
        self._input = data
        self._plain = memoryview(b"")
        self._frame: _Frame | None = None
        self._checksum = False

    def readinto(self, target: memoryview) -> int:
        """Fill some of `target`; 0 at the end. Raises Damaged, OSError."""
        while not self._plain:
            if self._frame is None and not self._begin_frame():
                return 0
            self._block()
        count = min(len(target), len(self._plain))
        target[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def _exactly(self, size: int) -> bytes:
        data = self._input.read(size)
        while len(data) < size:
            more = self._input.read(size - len(data))
            if not more:
                raise Damaged("the zstd data is cut short")
            data += more
        return data

    def _begin_frame(self) -> bool:
        """Read the next frame's header; False at the end of the input."""
        while True:
            if not self._input.peek(1):
                return False
            head = self._exactly(4)
            magic = int.from_bytes(head, "little")
            if magic == _MAGIC:
                break
            if magic & 0xFFFFFFF0 != 0x184D2A50:
                raise Damaged("bytes that are no zstd data follow the zstd data")
            left = int.from_bytes(self._exactly(4), "little")
            while left:
                left -= len(self._exactly(min(left, _SKIPPED_AT_ONCE)))
        descriptor = self._exactly(1)
        flags = descriptor[0]
        single = flags >> 5 & 1
        size = (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
        self._checksum = bool(flags & 4)
        self._frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX).decompressobj()
        self._feed(head + descriptor + self._exactly(size))
        return True

    def _block(self) -> None:
        header = self._exactly(3)
        word = int.from_bytes(header, "little")
        kind, size = word >> 1 & 3, word >> 3
        if kind == 3 or size > _BLOCK_MAX:
            raise Damaged("the zstd data is damaged (impossible block)")
        data = header + self._exactly(1 if kind == 1 else size)
        last = bool(word & 1)
        if last and self._checksum:
            data += self._exactly(4)
        self._feed(data)
        if last:
            self._frame = None

    def _feed(self, data: bytes) -> None:
        assert self._frame is not None  # noqa: S101 - narrows the type
        try:
            self._plain = memoryview(self._frame.decompress(data))
        except zstandard.ZstdError as error:
            raise Damaged(f"the zstd data is damaged ({error})") from error
