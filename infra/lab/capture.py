"""tcpdump at a host's port: nanosecond time stamps, headers only."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from infra.lab.topology import LabError, inside

# Ethernet, IPv4 or IPv6, and a TCP header with all its options
SNAP_BYTES = {False: 14 + 20 + 60 + 2, True: 14 + 40 + 60 + 2}
_SETTLE_S = 0.2  # after the last packet, for what is still in the ring


class Capture:
    """A running capture; :meth:`stop` ends it and gives the number of packets that it lost."""

    def __init__(self, namespace: str, interface: str, ipv6: bool, file: Path) -> None:
        words = ["tcpdump", "-i", interface, "-s", str(SNAP_BYTES[ipv6]), "--time-stamp-precision=nano", "-U"]
        # immediate mode: tcpdump's ring hands over whole blocks, and the last one would be lost
        words += ["--immediate-mode", "-B", "8192", "-Z", "root", "-w", str(file), "tcp"]
        self._process = subprocess.Popen(  # noqa: S603 (our own words)
            inside(namespace, *words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        os.sched_setscheduler(self._process.pid, os.SCHED_RR, os.sched_param(6))
        heard = self._process.stderr.readline() if self._process.stderr else ""
        if "listening on" not in heard:
            self.kill()
            raise LabError(f"tcpdump did not start: {heard.strip()}")

    def stop(self) -> int:
        time.sleep(_SETTLE_S)
        self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate(timeout=10)
        return sum(int(count) for count in re.findall(r"(\d+) packets? dropped", said))

    def kill(self) -> None:
        """Ends it whatever its state."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
