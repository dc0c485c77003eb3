"""Words shared by the header kernels: what comes next in a packet, how the search ended, where its results stand."""

# How the search for a TCP header ended.
TCP = 0
NOT_TCP = 1
FRAGMENT = 2  # a fragment other than the first: its TCP header is in another packet
CUT = 3  # the snap length cut a header that was needed
MALFORMED = 4  # impossible: a length or version that contradicts the headers around it

# What comes next. Ethertypes stand for themselves (1536 and above); below them:
ETHERNET = 1
IP = 2  # version 4 or 6, as the first nibble says
STOP = 4  # nothing that could carry TCP
BROKEN = 5  # MALFORMED
SHORT = 6  # more bytes needed than there are
IP_PROTOCOL = 1 << 20  # plus an IP protocol number

IPV4, IPV6 = 0x0800, 0x86DD
VLAN, QINQ, QINQ_OLD = 0x8100, 0x88A8, 0x9100
MPLS, MPLS_MULTICAST = 0x8847, 0x8848
PPPOE_SESSION = 0x8864
TRANSPARENT_BRIDGING = 0x6558
ERSPAN_2, ERSPAN_3 = 0x88BE, 0x22EB

# A packet has at most this many layers: no nesting keeps the parser longer. (Real ones: VLAN, VLAN, IP, UDP, VXLAN,
# Ethernet, IP, TCP; MPLS stacks and IPv6 extension headers count each.)
MAX_LAYERS = 40

# No captured packet or datagram is larger (BIG TCP: below 1 MiB on Linux): what claims to be is damaged.
MAX_PACKET_BYTES = 16 << 20

# Slots of the int64 array `found` by which the layer kernels hand on what they see. Offsets index the raw block.
F_AT = 0  # the header looked at; at the end the TCP header
F_LIMIT = 1  # end of the innermost datagram or frame, by its own length fields
F_CAPTURED = 2  # end of the captured bytes
F_START = 3  # start of the packet
F_TENANT = 4
F_VLAN = 5  # innermost VLAN of the Ethernet header being read, 0: none
F_IP = 6  # the innermost IP header, -1: none yet
F_VERSION = 7  # its version
F_FRAGMENTED = 8  # 1: the first fragment of a datagram (the innermost one)
F_WIRE = 9  # bytes from the packet's start to the end of its outermost IP datagram
F_SIZE = 10
