"""What ends a run from outside: Ctrl-C, a reader that goes away, a store that somebody else holds."""

import array
import fcntl
import os
import signal
import subprocess
import termios
import time

import pytest

from sinks.clickhouse.embedded import EmbeddedStore
from tests.cli.running import COMMAND, DEMO, LIMIT_S, ROOT, ZERO_WINDOW, apart, one_line


def started(*arguments):
    """A run that goes on, in a session of its own."""
    pipe = subprocess.PIPE
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, start_new_session=True)


def wait_until_it_reads(child):
    """Until the process has taken all that was written to its standard input, and waits for more."""
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        where = (ROOT / "/proc" / str(child.pid) / "wchan").read_text()
        if "pipe" in where and _unread(child.stdin.fileno()) == 0 and _sleeps(child.pid):
            return
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.05)
    raise AssertionError("it never read its input")


def _unread(descriptor):
    size = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, size)
    return size[0]


def _sleeps(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("stored", [False, True])
def test_ctrl_c_reports_what_was_read_and_stores_nothing(tmp_path, stored):
    store = tmp_path / "store"
    options = ["--store", store] if stored else []
    child = started("diagnose", "-", "--format", "json", *options)
    data = ZERO_WINDOW.read_bytes()
    child.stdin.write(data[:60_000])
    child.stdin.flush()
    wait_until_it_reads(child)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=LIMIT_S)
    lines = [line for line in err.decode().splitlines() if "compiling the kernels" not in line]
    assert child.returncode == 130, err
    assert lines[-1] == "tcpblame: error: interrupted: the rows are of what was read until then"
    assert out.count(b"\n") == 1 and b'"src_port":40400' in out
    assert b"Traceback" not in err
    if stored:
        assert "nothing was stored" in lines[0]
        with EmbeddedStore(store, create=False) as opened:
            assert int(opened.query("SELECT count() FROM flows", "TSV")) == 0
    else:
        assert len(lines) == 1


def test_ctrl_c_before_anything_came_is_quiet_too():
    child = started("diagnose", "-")
    limit = time.monotonic() + LIMIT_S
    while not _sleeps_in_pipe(child.pid) and time.monotonic() < limit:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 130
    assert b"Traceback" not in err and err.count(b"interrupted") == 1


def _sleeps_in_pipe(pid):
    with open(f"/proc/{pid}/wchan") as file:
        return "pipe" in file.read()


def test_a_closed_pipe_is_quiet():
    child = started(
        "diagnose", *sorted(DEMO.glob("*.pcap")), "--rows", "windows", "--format", "json", "--window", "10ms"
    )
    child.stdin.close()
    assert child.stdout.readline().startswith(b"{")
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    assert child.wait(LIMIT_S) == 141
    assert [line for line in err.splitlines() if b"compiling" not in line] == []


def test_head_1_gives_the_first_row_whatever_the_length():
    command = f"{COMMAND[0]} -m tcpblame diagnose {ZERO_WINDOW} --format json --rows windows --window 10ms | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=LIMIT_S, cwd=ROOT, check=False)
    assert done.returncode == 0 and done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


def test_no_standard_output_at_all():
    command = f"{COMMAND[0]} -m tcpblame diagnose {ZERO_WINDOW} >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=LIMIT_S, cwd=ROOT, check=False)
    assert done.stderr == b"tcpblame: error: standard output is closed\n"
    assert done.returncode == 1


def test_a_full_disk_of_the_output_is_said():
    if not os.path.exists("/dev/full"):
        pytest.skip("THIS TEST DID NOT RUN: there is no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "diagnose", str(ZERO_WINDOW), "--format", "json"], stdout=full, stderr=subprocess.PIPE,
            timeout=LIMIT_S, cwd=ROOT, check=False,
        )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if b"compiling" not in line]
    assert done.returncode == 1
    assert said == [b"tcpblame: error: No space left on device"]


def test_a_store_in_use_is_one_clear_line(tmp_path):
    store = tmp_path / "store"
    with EmbeddedStore(store):
        ran = apart("diagnose", ZERO_WINDOW, "--store", store, "--format", "json")
    assert (ran.status, ran.out) == (1, "")
    assert "in use by another process" in one_line(ran)
