"""Pages in a table: a kill between any two writes leaves a whole state."""

import pytest

from streams.worker.checkpoint import PAGE_BYTES, Checkpoints
from streams.worker.partition import StateError


class KilledError(Exception):
    """The process is gone."""


class Dying(dict):
    """A table whose process dies after so many writes."""

    def __init__(self, content, writes):
        super().__init__(content)
        self.writes = writes

    def _spend(self):
        """writes: how many are left; below 0 it lives for ever."""
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


def read(table, partition=0):
    return Checkpoints(table, partition).read()


def test_nothing_is_nothing():
    assert read({}) is None


def test_states_of_any_size_come_back_and_leave_little_behind():
    table = {}
    writer = Checkpoints(table, 0)
    assert writer.read() is None
    for number, pages in enumerate([1, 3, 2, 1, 1, 4]):
        assert writer.write(10 * number, state(number, pages)) == pages
        assert read(table) == state(number, pages)
        assert all(len(value) <= PAGE_BYTES for value in table.values())
    assert len(table) == 1 + 4 + 1  # directory, the last state, the one before
    writer.write(50, state(7, 1))
    assert read(table) == state(7, 1)
    successor = Checkpoints(table, 0)
    assert successor.read() == state(7, 1)
    successor.write(60, state(8, 1))
    assert len(table) == 2  # what the writer left is gone
    assert read(table) == state(8, 1)


def test_partitions_do_not_meet():
    table = {}
    for partition in (1, 11):
        Checkpoints(table, partition).write(5, state(partition, 2))
    successor = Checkpoints(table, 1)
    assert successor.read() == state(1, 2)
    successor.write(6, state(2, 1))
    assert read(table, 11) == state(11, 2)


@pytest.mark.parametrize("take_over", [False, True])
def test_a_kill_between_any_two_writes_leaves_a_whole_state(take_over):
    outcomes = []
    for writes in range(40):
        dying = Dying({}, -1)
        writer = Checkpoints(dying, 0)
        writer.read()
        for number in range(3):
            writer.write(number, state(number, 3))
        if take_over:
            writer = Checkpoints(dying, 0)
            assert writer.read() == state(2, 3)
        dying.writes = writes
        try:
            writer.write(3, state(3, 2))
            done = True
        except KilledError:
            done = False
        survived = dict(dying)
        successor = Checkpoints(survived, 0)
        found = successor.read()
        assert found in (state(2, 3), state(3, 2))
        outcomes.append(found == state(3, 2))
        successor.write(3, state(3, 2))  # it gets as far and saves the same
        assert read(survived) == state(3, 2)
        assert len(survived) == 3
        if done:
            break
    assert outcomes == sorted(outcomes)
    assert outcomes[0] is False
    assert outcomes[-1] is True


def test_damage_is_passed_over_while_an_older_state_is_whole_and_told_otherwise():
    table = {}
    Checkpoints(table, 0).write(5, state(1, 2))
    newer = Checkpoints(table, 0)
    newer.write(6, state(2, 2))  # it never looked, so it left the other alone
    assert read(table) == state(2, 2)
    page = next(key for key in table if key.endswith(b"page 6 1"))
    for damaged in (table | {page: table[page][:-1]}, {key: value for key, value in table.items() if key != page}):
        assert read(damaged) == state(1, 2)
    directories = {key: b"{" for key in table if key.endswith(b"directory")}
    with pytest.raises(StateError, match="none of the states"):
        read(table | directories)


def test_a_sleeper_that_writes_an_older_state_changes_nothing():
    """Frozen in the middle of a checkpoint, between a page and the directory; its successor went far ahead."""
    table = {}
    sleeper = Checkpoints(table, 0)
    sleeper.read()
    sleeper.write(100, state(1, 2))
    successor = Checkpoints(table, 0)
    assert successor.read() == state(1, 2)
    for number in range(5):
        successor.write(200 + number, state(10 + number, 2))
    sleeper.write(150, state(3, 1))
    assert read(table) == state(14, 2)
    successor.write(300, state(20, 1))
    assert read(table) == state(20, 1)
    third = Checkpoints(table, 0)
    third.read()
    third.write(301, state(21, 1))
    assert len(table) == 2
