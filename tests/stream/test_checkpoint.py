"""Pages in a table: a kill between any two writes leaves a whole state."""

import pytest

from streams.worker import checkpoint
from streams.worker.checkpoint import PAGE_BYTES, read, write
from streams.worker.partition import StateError


class KilledError(Exception):
    """The process is gone."""


class Dying(dict):
    """A table whose process dies after so many writes."""

    def __init__(self, content, writes):
        super().__init__(content)
        self.writes = writes

    def _spend(self):
        if self.writes == 0:
            raise KilledError
        self.writes -= 1

    def __setitem__(self, key, value):
        self._spend()
        super().__setitem__(key, value)

    def pop(self, key, *default):
        self._spend()
        return super().pop(key, *default)


def state(number, pages):
    return bytes([number]) * (PAGE_BYTES * (pages - 1) + 10)


def test_nothing_is_nothing():
    assert read({}) is None


def test_states_of_any_size_come_back_and_leave_little_behind():
    table = {}
    for number, pages in enumerate([1, 3, 2, 1, 1, 4]):
        assert write(table, 10 * number, state(number, pages)) == pages
        assert read(table) == state(number, pages)
        assert all(len(value) <= PAGE_BYTES for value in table.values())
    assert len(table) == 1 + 4 + 1  # directory, the last state, the one before
    write(table, 50, state(7, 1))
    assert read(table) == state(7, 1)


def test_a_kill_between_any_two_writes_leaves_a_whole_state():
    table = {}
    for number in range(3):
        write(table, number, state(number, 3))
    outcomes = []
    for writes in range(20):
        dying = Dying(table, writes)
        try:
            write(dying, 3, state(3, 2))
            done = True
        except KilledError:
            done = False
        survived = dict(dying)
        assert read(survived) in (state(2, 3), state(3, 2))
        outcomes.append(read(survived) == state(3, 2))
        write(survived, 3, state(3, 2))  # the successor gets as far and saves the same
        assert read(survived) == state(3, 2)
        if done:
            break
    assert outcomes == sorted(outcomes)
    assert outcomes[0] is False
    assert outcomes[-1] is True


def test_missing_and_damaged_pages_are_told():
    table = {}
    write(table, 5, state(1, 2))
    page = checkpoint._page(5, 1)
    for damage in ({page: table[page][:-1] + b"\x00"}, {page: b""}):
        with pytest.raises(StateError, match="page 1"):
            read(table | damage)
    with pytest.raises(StateError, match="page 1"):
        read({key: value for key, value in table.items() if key != page})
    with pytest.raises(StateError, match="directory"):
        read({b"directory": b"{"})


def test_a_sleeper_that_writes_an_older_state_breaks_nothing():
    """Its pages have other names, and its directory leads to its own whole state, whose mark tells where to go on."""
    table = {}
    write(table, 100, state(1, 2))
    sleeper = dict(table)
    write(table, 200, state(2, 2))
    write(sleeper, 150, state(3, 1))
    table.update({key: value for key, value in sleeper.items() if key not in table or key == b"directory"})
    assert read(table) == state(3, 1)
    write(table, 300, state(4, 1))
    assert read(table) == state(4, 1)
