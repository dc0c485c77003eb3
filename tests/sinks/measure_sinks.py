"""What the sinks cost: CPU time of a row as text, wall time of a window into the store. Run as a script."""

import sys
import tempfile
import time

from sink_rows import random_rows, steady_windows

from sinks.clickhouse.embedded import EmbeddedStore
from sinks.text.lines import csv_lines, json_lines, order

ROWS = 200_000


def main() -> None:
    sets = {"windows": steady_windows(ROWS // 10, 10), "flows": random_rows(ROWS, tables=("flows",))}
    for style in (json_lines, csv_lines):
        list(style(random_rows(10), "events"))  # the kernel is compiled or loaded
        for table, rows in sets.items():
            start = time.thread_time()
            size = sum(map(len, style(rows, table)))
            cost = (time.thread_time() - start) / ROWS
            sys.stdout.write(
                f"{style.__name__} {table}: {cost * 1e9:.0f} ns of CPU and {size / ROWS:.0f} bytes a row\n"
            )
    with tempfile.TemporaryDirectory() as directory, EmbeddedStore(directory) as store:
        for number in range(3):
            rows = order(steady_windows(ROWS // 10, 10, number), "windows")
            start, used = time.perf_counter(), time.process_time()
            store.insert(rows, str(number))
            rate, cpu = ROWS / (time.perf_counter() - start), (time.process_time() - used) / ROWS
            sys.stdout.write(f"store: {rate:,.0f} windows/s, {cpu * 1e6:.1f} us of CPU a window, all threads\n")
        start = time.perf_counter()
        store.close()
        EmbeddedStore(directory).close()
        sys.stdout.write(f"close and open again: {(time.perf_counter() - start) * 1000:.0f} ms\n")


if __name__ == "__main__":
    main()
