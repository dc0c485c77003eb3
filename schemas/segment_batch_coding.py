"""The coding of segment columns: residuals against what a TCP peer would have sent next, as byte planes.

Capture times stand in the order (shard, connection, capture order), with one direction bit each; every other column in
the order (shard, connection, direction, capture order), so that a value's neighbour is the one that predicts it. A
*run* is one direction of one connection. Residuals, within a run (of time: across the whole batch):

    seq                                  seq - (previous seq + payload + SYN + FIN), zigzag modulo 2**32
    ack payload header tsval tsecr       value - previous, zigzag modulo 2**32; header is wire_bytes - payload_bytes
    window                               value - previous, zigzag modulo 2**16
    ip_id                                value - (previous + 1), zigzag modulo 2**16
    flags ecn ttl options                value XOR previous
    time_ns                              value - previous, zigzag modulo 2**64

Zigzag makes 0, -1, 1, -2, ... 0, 1, 2, 3, ... The values of a run's first segment stand apart, beside its connection,
and its residuals are 0. A residual column is stored as as many byte planes as its widest residual has bytes (plane k
holds byte k of all n residuals): what is predicted exactly takes no room, and lz4 finds the rest of what repeats.
Values of options that a segment does not carry are not coded; they read as 0.

The kernels (``segment_batch_encoding``, ``segment_batch_decoding``) make one pass a column with neighbours in memory:
such loops become vector instructions (measured: half the time of one fused loop over all columns).
"""

from schemas.jit import inlined

# Residual columns; time is apart.
SEQ, ACK, PAYLOAD, HEADER, FLAGS, ECN, WINDOW, IP_ID, TTL, OPTIONS, TSVAL, TSECR = range(12)
RESIDUALS = 12
RESIDUAL_WIDTH = (4, 4, 4, 4, 2, 1, 2, 2, 1, 2, 4, 4)  # bytes of the widest residual of each
TIME_WIDTH = 8

MAX_SACK_BLOCKS = 4

# What a kernel answers when it cannot.
BAD_SACK = -1  # more SACK blocks than a segment has room for
BAD_LIST = -2  # a list of option values is shorter or longer than the options say
BAD_DIRECTION = -3  # the direction bits and the numbers of segments of each run disagree


@inlined
def zigzag(difference, bits):
    """Zigzag of an int64 difference taken modulo 2**bits."""
    mask = (1 << bits) - 1
    low = difference & mask
    return ((low << 1) ^ (-(low >> (bits - 1)))) & mask


@inlined
def unzigzag(code):
    """The difference behind a zigzag code (int64 in, int64 out); callers take it modulo their width."""
    return (code >> 1) ^ (-(code & 1))
