"""Reading a capture file or stream: :class:`CaptureReader`."""

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from ingest.capture.errors import CaptureError
from ingest.capture.headers.link import SUPPORTED_LINKS
from ingest.capture.interfaces import Interfaces, TooMany
from ingest.capture.packet import new_scratch
from ingest.capture.pcap import FILE_HEADER_BYTES, PcapHeader, read_header, walk_pcap
from ingest.capture.pcapng import S_FIRST_NS, SECTION_BLOCK, walk_pcapng
from ingest.capture.source import Damaged, Input, decompressed, open_stream
from ingest.capture.tallies import NO_FIRST_NS, T_FIRST_NS, T_PACKETS, Tally, tally_of
from ingest.capture.walk import ASIDE, DAMAGE, FULL, MAX_BLOCK_BYTES, MORE
from schemas.columns import Segments, empty, rows_of

# Small enough to lie in the processor's cache between being filled and being walked, large enough that refilling
# costs nothing.
BLOCK_BYTES = 1 << 20
_BLOCK_BYTES_MIN = 64


class CaptureReader:
    """The TCP segments of a capture, read as a stream in bounded memory.

    path: a file name, ``-`` for standard input, or a binary stream. pcap and pcapng, plain or compressed by gzip or
    zstd; what it is is told by its content. Raises CaptureError if it cannot be read as a capture at all.
    block_bytes: size of the buffer of raw bytes (it grows to hold a longer record, at most 16 MiB).
    max_segments: most segments in a block that iteration yields.
    """

    def __init__(
        self, path: str | os.PathLike[str] | BinaryIO, *, block_bytes: int = BLOCK_BYTES, max_segments: int = 65536
    ) -> None:
        if max_segments < 1:
            raise ValueError("max_segments must be at least 1")
        self.complete = False
        self.problem: str | None = None
        stream, self.name, self.size_bytes, self._owned = open_stream(path)
        self._stream = stream
        self._max_segments = max_segments
        self._buffer = np.empty(max(block_bytes, _BLOCK_BYTES_MIN), np.uint8)
        self._start = self._stop = 0  # of the bytes in the buffer that are not yet read
        self._started = False
        self._scratch = new_scratch()
        try:
            self._input = Input(stream)
            self._source = decompressed(self._input, self.name)
            self._walk_state = self._begin()
        except CaptureError:
            self.close()
            raise
        except (OSError, Damaged) as error:
            self.close()
            raise CaptureError(f"{self.name}: {_words(error)}") from error

    @property
    def bytes_read(self) -> int:
        """Bytes of the input consumed so far, as stored (compare with `size_bytes`)."""
        return self._input.bytes_read

    @property
    def taps(self) -> list[str]:
        """Names of the taps that ``Segments.tap`` indexes; grows while reading."""
        return self._interfaces.taps

    @property
    def tally(self) -> list[Tally]:
        """The counts of each tap so far."""
        self._interfaces.count_drops()
        return [tally_of(self._interfaces.tallies[tap]) for tap in range(len(self.taps))]

    @property
    def first_ns(self) -> int | None:
        """Capture time of the first packet, Unix ns; None before it was read."""
        if self._walk_state is None:
            first = int(self._interfaces.section[S_FIRST_NS])
            return None if first < 0 else first
        first = int(self._interfaces.tallies[0, T_FIRST_NS])
        return None if first == NO_FIRST_NS else first

    def close(self) -> None:
        """Close the file, if the reader opened it. Iterating to the end does so too."""
        if self._owned:
            self._stream.close()

    def __iter__(self) -> Iterator[Segments]:
        """Blocks of segments in file order. Can be iterated once."""
        if self._started:
            raise RuntimeError("a capture can be read once")
        self._started = True
        try:
            yield from self._blocks()
        finally:
            self.close()

    def _begin(self) -> PcapHeader | None:
        """Look at the file header; None: pcapng."""
        if not self._input.peek(1):
            raise CaptureError(f"{self.name}: empty file")
        damage: Damaged | None = None
        try:
            while self._stop < FILE_HEADER_BYTES and self._refill():
                pass
        except Damaged as error:
            damage = error
        head = self._buffer[: min(self._stop, FILE_HEADER_BYTES)].tobytes()
        self._interfaces = Interfaces()
        header = read_header(head)
        if header is not None:
            self._interfaces.taps.append("if0")
            self._interfaces.links.append(header.link)
            self._start = FILE_HEADER_BYTES
            return header
        if head[:4] == SECTION_BLOCK.to_bytes(4, "big"):
            return None
        if damage is not None:
            raise CaptureError(f"{self.name}: {damage}")
        if read_header(head + bytes(FILE_HEADER_BYTES)) is not None:
            raise CaptureError(f"{self.name}: cut short in the file header")
        raise CaptureError(f"{self.name}: not a pcap or pcapng capture")

    def _refill(self) -> bool:
        """Move what is left to the buffer's start and read behind it; False at the end. Raises Damaged, OSError."""
        if self._start:
            left = self._stop - self._start
            self._buffer[:left] = self._buffer[self._start : self._stop].copy()
            self._start, self._stop = 0, left
        if self._stop == len(self._buffer):
            # Only now, when that many bytes have come, and never beyond the longest record: a lie costs nothing.
            size = min(2 * len(self._buffer), MAX_BLOCK_BYTES + 4096)
            grown = np.empty(size, np.uint8)
            grown[: self._stop] = self._buffer[: self._stop]
            self._buffer = grown
        count = self._source.readinto(self._buffer[self._stop :].data)
        self._stop += count
        return count > 0

    def _walk(self, columns: Segments, n: int) -> tuple[int, int, int, int]:
        """Run the kernel over the buffer: (how it ended, position, rows, bytes needed)."""
        state, header = self._interfaces, self._walk_state
        with np.errstate(over="ignore"):  # the hash's arithmetic is modulo 2**64
            if header is None:
                result = walk_pcapng(
                    self._buffer, self._start, self._stop, state.section, state.table, columns, n, self._max_segments,
                    state.tallies, state.dropped,
                    self._scratch,
                )  # fmt: skip
            else:
                result = walk_pcap(
                    self._buffer, self._start, self._stop, header.big, header.unit_ns, header.record_header_bytes,
                    header.link, columns, n, self._max_segments, state.tallies, self._scratch,
                )  # fmt: skip
        ended, position, rows, needed = result
        return int(ended), int(position), int(rows), int(needed)

    def _blocks(self) -> Iterator[Segments]:
        columns, n = empty(self._max_segments), 0
        while True:
            ended, self._start, n, needed = self._walk(columns, n)
            if ended == ASIDE:
                block = self._buffer[self._start : self._start + needed].tobytes()
                self._start += needed
                try:
                    self._interfaces.handle(block)
                except TooMany as error:
                    self.problem = f"damaged: {error}"
                    break
            elif ended == FULL:
                yield columns
                columns, n = empty(self._max_segments), 0
            elif ended == MORE:
                if n and self.size_bytes is None:  # what is there may be all for a while
                    yield rows_of(columns, 0, n)
                    columns, n = empty(self._max_segments), 0
                if not self._more():
                    break
            else:
                self.problem = f"damaged: {DAMAGE[ended]}, after {self._packets()} packets"
                break
        if n:
            yield rows_of(columns, 0, n)
        self._finish()

    def _more(self) -> bool:
        """Get more bytes; False if there are none, with `problem` saying so if some should have come."""
        try:
            if self._refill():
                return True
        except (OSError, Damaged) as error:
            self.problem = f"{_words(error)}, after {self._packets()} packets"
            return False
        if self._stop > self._start:
            self.problem = f"cut short in the middle of a packet, after {self._packets()} packets"
        return False

    def _packets(self) -> int:
        return int(self._interfaces.tallies[:, T_PACKETS].sum())

    def _finish(self) -> None:
        """After the last packet: say what could not be read."""
        if self.problem is None:
            links = self._interfaces.links
            packets = self._interfaces.tallies[:, T_PACKETS]
            unread = sorted({link for tap, link in enumerate(links) if link not in SUPPORTED_LINKS and packets[tap]})
            if unread:
                self.problem = f"packets of link type {', '.join(map(str, unread))} are not read"
        self.complete = self.problem is None


def _words(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
