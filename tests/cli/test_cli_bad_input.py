"""Bad input: one clear line, the documented status, what could be read is reported, and the store stays whole."""

import gzip
import os
import random
import shutil
import subprocess

import pytest
import zstandard

from sinks.clickhouse.embedded import EmbeddedStore
from tests.cli.running import COMMAND, LIMIT_S, ROOT, ZERO_WINDOW, apart, here, one_line

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts a file system or drops privileges")
FILE_HEADER = ZERO_WINDOW.read_bytes()[:24]


def record(length: int, captured: int, data: bytes) -> bytes:
    """A pcap record of the demo's byte order."""
    return (0).to_bytes(8, "little") + captured.to_bytes(4, "little") + length.to_bytes(4, "little") + data


def bad_files(folder):
    """(name, contents or None for none, words that the line must hold)"""
    whole = ZERO_WINDOW.read_bytes()
    noise = random.Random(1).randbytes(5000)
    return [
        ("missing.pcap", None, "no such file"),
        ("empty.pcap", b"", "empty file"),
        ("noise.pcap", noise, "not a pcap or pcapng capture"),
        ("text.pcap", b"hello world, this is no capture\n", "not a pcap or pcapng capture"),
        ("header.pcap", whole[:10], "cut short in the file header"),
        ("magic.pcap", whole[:4], "cut short in the file header"),
        ("xz.pcap.xz", b"\xfd7zXZ\x00" + noise, "only gzip and zstd are read"),
        ("noise.gz", b"\x1f\x8b\x08\x00" + noise, "the gzip data is damaged"),
        ("cut.gz", gzip.compress(whole)[:50], "cut short"),
    ]


@pytest.mark.parametrize("number", range(9))
def test_what_is_no_capture_is_one_line_and_status_1(tmp_path, number):
    name, contents, words = bad_files(tmp_path)[number]
    path = tmp_path / name
    if contents is not None:
        path.write_bytes(contents)
    ran = here("diagnose", path, "--format", "json")
    assert (ran.status, ran.out) == (1, "")
    assert name in one_line(ran) and words in one_line(ran)


def test_a_directory_is_told_apart_and_no_empty_table_is_shown(tmp_path):
    ran = here("diagnose", tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert "is a directory" in one_line(ran)


def test_a_bad_capture_does_not_stop_the_others(tmp_path):
    ran = here("diagnose", tmp_path / "missing.pcap", ZERO_WINDOW, "--format", "json")
    assert ran.status == 1
    assert len(ran.rows) == 1 and "no such file" in one_line(ran)


def zstd_in_blocks(data: bytes) -> bytes:
    """Compressed as a writer does that flushes now and then: what is cut off costs no more than a block."""
    packer = zstandard.ZstdCompressor().compressobj()
    parts = []
    for begin in range(0, len(data), 8192):
        parts += [packer.compress(data[begin : begin + 8192]), packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize("form", ["plain", "gz", "zst"])
def test_a_capture_cut_in_the_middle_is_read_up_to_there(tmp_path, form):
    whole = ZERO_WINDOW.read_bytes()
    pack = {"plain": bytes, "gz": gzip.compress, "zst": zstd_in_blocks}[form]
    data = pack(whole)
    path = tmp_path / f"cut.pcap.{form}"
    path.write_bytes(data[: len(data) * 2 // 3 + 5])
    ran = here("diagnose", path, "--rows", "probes", "--format", "json")
    assert ran.status == 1
    assert 0 < ran.rows[0]["packets"] < 1125
    assert "cut" in one_line(ran) or "damaged" in one_line(ran)
    assert f"after {ran.rows[0]['packets']} packets" in one_line(ran)


def test_a_length_of_4_gigabytes_costs_nothing(tmp_path):
    path = tmp_path / "lie.pcap"
    path.write_bytes(FILE_HEADER + record(2**32 - 1, 2**32 - 1, b"x" * 100))
    ran = apart("diagnose", path)
    assert ran.status == 1 and "lie.pcap" in one_line(ran)


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_compressed_bomb_is_read_in_bounded_memory(tmp_path, form):
    bomb = FILE_HEADER + record(2**20, 2**20, bytes(2**20)) * 600
    path = tmp_path / f"bomb.pcap.{form}"
    path.write_bytes(gzip.compress(bomb, 6) if form == "gz" else zstandard.compress(bomb))
    del bomb
    assert path.stat().st_size < 700_000
    peak = peak_bytes("diagnose", path)
    plain = peak_bytes("diagnose", ZERO_WINDOW)
    assert peak < plain + 150_000_000, (peak, plain)


def peak_bytes(*arguments):
    """Peak memory of a run that must end by itself, whatever its status."""
    child = subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode in (0, 1)
    return usage.ru_maxrss * 1024


def test_a_file_name_cannot_act_on_the_terminal(tmp_path):
    ran = here("diagnose", tmp_path / "x\x1b[31m\nred.pcap")
    assert "\\x1b[31m red.pcap" in one_line(ran) or "\\x1b[31m\\nred.pcap" in one_line(ran)
    path = os.fsencode(tmp_path) + b"/\xff.pcap"
    shutil.copy(ZERO_WINDOW, path)
    shown = apart("diagnose", os.fsdecode(path), ZERO_WINDOW)
    assert shown.status == 0, shown.err


@ROOT_ONLY
def test_no_permission_is_said(tmp_path):
    path = tmp_path / "secret.pcap"
    shutil.copy(ZERO_WINDOW, path)
    path.chmod(0)
    # root without the right to read everything: what a user's own process is, in a checkout that only root may read
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *COMMAND, "diagnose", path],
        capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"tcpblame: error: {path}: permission denied\n"


def test_the_same_capture_stored_twice_changes_no_count(tmp_path):
    store = tmp_path / "store"
    first = here("diagnose", ZERO_WINDOW, "--store", store, "--format", "json")
    assert first.status == 0 and "rows stored" in one_line(first)
    before = counts(store)
    again = here("diagnose", ZERO_WINDOW, "--store", store, "--format", "json")
    assert again.rows == first.rows and again.status == 0
    assert "0 rows stored, " in one_line(again) and "were there already" in one_line(again)
    assert counts(store) == before
    assert before["flows"] == len(first.rows)
    other = here("diagnose", ZERO_WINDOW, "--store", store, "--window", "100ms", "--format", "json")
    assert "0 rows stored" not in one_line(other)
    assert counts(store)["windows"] > before["windows"]


def counts(store):
    """Rows in each table of a store, and the rollup's sum."""
    with EmbeddedStore(store, create=False) as opened:
        return {
            table: int(opened.query(f"SELECT count() FROM {table}", "TSV"))  # noqa: S608 - constants
            for table in ("flows", "windows", "events", "probes", "verdict_1m")
        }


def test_a_cut_capture_is_stored_as_far_as_it_goes(tmp_path):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(ZERO_WINDOW.read_bytes()[:-10])
    ran = here("diagnose", cut, "--store", tmp_path / "store", "--format", "json")
    assert ran.status == 1 and "cut short" in ran.err and "rows stored" in ran.err
    assert counts(tmp_path / "store")["flows"] == len(ran.rows) == 1


def test_a_directory_of_other_files_is_no_store(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    ran = here("diagnose", ZERO_WINDOW, "--store", tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert "other files" in one_line(ran)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_missing_capture_makes_no_store(tmp_path):
    ran = here("diagnose", tmp_path / "missing.pcap", "--store", tmp_path / "store")
    assert ran.status == 1
    assert not (tmp_path / "store").exists()


@ROOT_ONLY
def test_a_full_disk_is_said_and_a_second_run_completes_the_store(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("THIS TEST DID NOT RUN: a tmpfs cannot be mounted here")
    try:
        first = apart("diagnose", ZERO_WINDOW, "--store", disk / "store", "--format", "json")
        assert first.status == 0, first.err
        ballast = disk / "ballast"
        with ballast.open("wb") as file:
            free = os.statvfs(disk)
            file.write(bytes(free.f_bavail * free.f_bsize))
        full = apart("diagnose", ZERO_WINDOW, "--store", disk / "store", "--format", "json", "--window", "50ms")
        assert full.status == 1
        assert full.rows == first.rows or len(full.rows) == len(first.rows)  # what was read is reported all the same
        assert "the disk is full" in one_line(full)
        ballast.unlink()
        done = apart("diagnose", ZERO_WINDOW, "--store", disk / "store", "--format", "json", "--window", "50ms")
        assert done.status == 0, done.err
        undisturbed = apart("diagnose", ZERO_WINDOW, "--rows", "windows", "--format", "json", "--window", "50ms")
        with EmbeddedStore(disk / "store", create=False) as opened:
            stored = int(opened.query("SELECT count() FROM windows WHERE window_ns = 50000000", "TSV"))
        assert stored == len(undisturbed.rows)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
