"""Captures in, segment columns out: pcap and pcapng, plain or compressed, streamed in bounded memory."""

from ingest.capture.errors import CaptureError
from ingest.capture.reader import CaptureReader
from ingest.capture.tallies import Tally

__all__ = ["CaptureError", "CaptureReader", "Tally"]
