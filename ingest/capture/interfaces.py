"""The blocks of a pcapng file that say how its packets are to be read: sections, interfaces, statistics.

Ordinary Python: there are few of them. Each interface is a tap. A tap's name is the interface's, or ``if<N>``;
where several interfaces of a section have the same name, ``#2`` and so on tells them apart. Sections of a file that
name the same interface (rotated files put together) share its tap.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from ingest.capture.packet import TIME_MAX_NS
from ingest.capture.pcapng import (
    I_DIVIDE,
    I_LINK,
    I_MULTIPLY,
    I_OFFSET_NS,
    I_SHIFT,
    I_SIZE,
    I_SNAP,
    I_TAP,
    I_UNITS_MAX,
    INTERFACE_BLOCK,
    ORDER_BIG,
    S_BIG,
    S_FIRST_NS,
    S_INTERFACES,
    S_SIZE,
    SECTION_BLOCK,
    STATISTICS_BLOCK,
)
from ingest.capture.tallies import DROPPED_UNKNOWN, T_DROPPED, new_tallies

_SECOND_NS = 1_000_000_000
_OPTION_END, _OPTION_NAME, _OPTION_RESOLUTION, _OPTION_OFFSET = 0, 2, 9, 14
_OPTION_INTERFACE_DROPS, _OPTION_SYSTEM_DROPS = 5, 7
_NAME_LENGTH_MAX = 64
_TAPS_MAX = 1 << 16  # the tap column is 16 bits wide
# Blocks that are no packets, in a whole file. Real captures have a handful for each interface and rotation; each
# costs the reader a round through Python, so a file made of nothing else would keep it busy for hours.
_BLOCKS_MAX = 1 << 20


class TooMany(Exception):  # noqa: N818 - it ends the reading, it is no programming error
    """More interfaces, or blocks that describe them, than any capture has."""


class Interfaces:
    """The state of a pcapng file between packets; the arrays are the kernel's."""

    def __init__(self) -> None:
        self.section = np.zeros(S_SIZE, np.int64)
        self.section[S_FIRST_NS] = -1
        self.table = np.zeros((8, I_SIZE), np.int64)
        self.tallies = new_tallies(8)
        self.dropped = np.zeros(8, np.int64)  # per tap, as old packet blocks say
        self.taps: list[str] = []
        self.links: list[int] = []  # link type of each tap
        self._blocks = 0
        self._tap_of: dict[tuple[str, int, int], int] = {}  # by name, link type, how many-th of these in its section
        self._in_section: Counter[tuple[str, int]] = Counter()
        self._names: Counter[str] = Counter()
        self._dropped_before: dict[int, int] = {}  # per tap: what the statistics of earlier sections said

    def handle(self, block: bytes) -> None:
        """Take a whole section, interface or statistics block. Raises TooMany."""
        self._blocks += 1
        if self._blocks > _BLOCKS_MAX:
            raise TooMany(f"more than {_BLOCKS_MAX} sections, interfaces and statistics")
        kind = self._u32(block, 0)
        if kind == SECTION_BLOCK:
            self._begin_section(block)
        elif kind == INTERFACE_BLOCK:
            self._add_interface(block)
        elif kind == STATISTICS_BLOCK:
            self._add_statistics(block)

    def count_drops(self) -> None:
        """Bring what old packet blocks say was lost into the tallies."""
        lost = np.flatnonzero(self.dropped)
        known = np.maximum(self.tallies[lost, T_DROPPED], 0)
        self.tallies[lost, T_DROPPED] = known + self.dropped[lost]
        self.dropped[lost] = 0

    @property
    def _order(self) -> Literal["big", "little"]:
        return "big" if self.section[S_BIG] else "little"

    def _u32(self, data: bytes, at: int) -> int:
        return int.from_bytes(data[at : at + 4], self._order)

    def _options(self, block: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        """Code and value of each option; ends quietly where they make no sense."""
        end = len(block) - 4
        order = self._order
        while at + 4 <= end:
            code = int.from_bytes(block[at : at + 2], order)
            size = int.from_bytes(block[at + 2 : at + 4], order)
            at += 4
            if code == _OPTION_END or at + size > end:
                return
            yield code, block[at : at + size]
            at += (size + 3) & ~3

    def _begin_section(self, block: bytes) -> None:
        self.section[S_BIG] = int.from_bytes(block[8:12], "big") == ORDER_BIG
        self.section[S_INTERFACES] = 0
        self._in_section.clear()
        for tap in range(len(self.taps)):
            said = int(self.tallies[tap, T_DROPPED])
            if said != DROPPED_UNKNOWN:
                self._dropped_before[tap] = said

    def _add_interface(self, block: bytes) -> None:
        index = int(self.section[S_INTERFACES])
        if len(block) < 20:
            return self._append(index, self._tap(f"if{index}", -1), -1, 0, 6, 0)
        link = int.from_bytes(block[8:10], self._order)
        name, resolution, offset_s = "", 6, 0
        for code, value in self._options(block, 16):
            if code == _OPTION_NAME:
                text = value.decode("utf-8", "replace").split("\0")[0]
                name = "".join(c for c in text if c.isprintable())[:_NAME_LENGTH_MAX]
            elif code == _OPTION_RESOLUTION and len(value) == 1:
                resolution = value[0]
            elif code == _OPTION_OFFSET and len(value) == 8:
                offset_s = int.from_bytes(value, self._order, signed=True)
        tap = self._tap(name or f"if{index}", link)
        return self._append(index, tap, link, self._u32(block, 12), resolution, offset_s)

    def _tap(self, name: str, link: int) -> int:
        """The tap of the present section's next interface."""
        self._in_section[name, link] += 1
        key = (name, link, self._in_section[name, link])
        found = self._tap_of.get(key)
        if found is not None:
            return found
        if len(self.taps) >= _TAPS_MAX:
            raise TooMany(f"more than {_TAPS_MAX} interfaces")
        label = name
        while self._names[label]:
            self._names[name] += 1
            label = f"{name}#{self._names[name]}"
        self._names[label] += 1
        tap = len(self.taps)
        self._tap_of[key] = tap
        self.taps.append(label)
        self.links.append(link)
        if tap >= len(self.tallies):
            self.tallies = np.concatenate([self.tallies, new_tallies(len(self.tallies))])
            self.dropped = np.concatenate([self.dropped, np.zeros_like(self.dropped)])
        return tap

    def _append(self, index: int, tap: int, link: int, snap: int, resolution: int, offset_s: int) -> None:
        if index >= len(self.table):
            self.table = np.concatenate([self.table, np.zeros_like(self.table)])
        row = self.table[index]
        row[I_LINK], row[I_TAP], row[I_SNAP] = link, tap, snap
        set_clock(row, resolution, offset_s)
        self.section[S_INTERFACES] = index + 1

    def _add_statistics(self, block: bytes) -> None:
        if len(block) < 24:
            return
        index = self._u32(block, 8)
        if index >= self.section[S_INTERFACES]:
            return
        tap = int(self.table[index, I_TAP])
        said: list[int] = []
        for code, value in self._options(block, 20):
            if code in (_OPTION_INTERFACE_DROPS, _OPTION_SYSTEM_DROPS) and len(value) == 8:
                said.append(int.from_bytes(value, self._order))
        if said:
            # Statistics count from the section's start, and may come more than once.
            total = self._dropped_before.get(tap, 0) + sum(said)
            self.tallies[tap, T_DROPPED] = min(max(int(self.tallies[tap, T_DROPPED]), total), 2**62)


def set_clock(row: npt.NDArray[np.int64], resolution: int, offset_s: int) -> None:
    """Fill the clock of an interface's row from if_tsresol (top bit: binary) and if_tsoffset."""
    exponent = resolution & 0x7F
    row[I_MULTIPLY], row[I_DIVIDE], row[I_SHIFT] = 1, 1, -1
    if resolution & 0x80:
        row[I_SHIFT] = exponent
        units_max = (TIME_MAX_NS // _SECOND_NS) << exponent
    elif exponent <= 9:
        row[I_MULTIPLY] = 10 ** (9 - exponent)
        units_max = TIME_MAX_NS // int(row[I_MULTIPLY])
    else:
        row[I_DIVIDE] = min(10 ** (exponent - 9), 2**63 - 1)
        units_max = TIME_MAX_NS * int(row[I_DIVIDE])
    if abs(offset_s) >= TIME_MAX_NS // _SECOND_NS:
        units_max = -1  # no time stamp of this interface means anything
        offset_s = 0
    row[I_UNITS_MAX] = min(units_max, 2**63 - 1)
    row[I_OFFSET_NS] = offset_s * _SECOND_NS
