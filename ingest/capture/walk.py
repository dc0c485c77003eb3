"""How a walk over a block of raw bytes ended: shared by the pcap and pcapng kernels and their reader."""

from ingest.capture.headers.found import MAX_PACKET_BYTES

MORE = 0  # the record or block at the position returned is not whole: `needed` bytes from there would tell more
FULL = 1  # the columns are full
ASIDE = 2  # a pcapng block for the reader itself: section, interface, statistics; it is whole
TOO_LONG = 3  # a record or block longer than any that is sane
BAD_BLOCK = 4  # a pcapng block whose lengths contradict each other
BAD_INTERFACE = 5  # a pcapng packet of an interface that was not described

# Longest pcapng block: a packet and its options. Wireshark's limit is the same.
MAX_BLOCK_BYTES = MAX_PACKET_BYTES

DAMAGE = {
    TOO_LONG: "a record claims an impossible length",
    BAD_BLOCK: "a block's lengths contradict each other",
    BAD_INTERFACE: "a packet names an interface that was not described",
}
