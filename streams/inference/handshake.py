"""Handshake constants: options of both SYNs, ECN as negotiated, the MSS of a full segment, and the legs' first RTTs.

Sources: RFC 9293 (MSS), RFC 7323 (window scale, timestamps: in use only if both SYNs carry them), RFC 2018 (SACK),
RFC 3168 and RFC 9768 (ECN). A SYN-ACK answers options that the SYN carried, so it alone shows what is in use.
Karn's rule holds for the handshake too: a leg is measured only if what it answers was sent once.
"""

from schemas.columns import (
    ACK,
    AE,
    CWR,
    ECE,
    OPT_MSS,
    OPT_SACK_PERMITTED,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
    PSH,
    RST,
    SEG_OPTIONS_CUT,
    SYN,
    inlined,
    plain,
)
from streams.inference.lifecycle import ESTABLISHED
from streams.inference.sequence import SYN_ACK, SYN_SEEN
from streams.inference.serial import diff, i64
from streams.inference.statistic import Statistic

# f["offers"]: what the end's SYN carried
OFFER_MSS, OFFER_WSCALE, OFFER_SACK, OFFER_TS, OFFERS_CUT, OFFER_ECN, OFFER_ACC_ECN = 1, 2, 4, 8, 16, 32, 64
MAX_SCALE = 14  # RFC 7323 section 2.3
# RFC 9293's default where nothing is known is 536; a path met mid-stream is more likely Ethernet with timestamps.
MSS_ASSUMED = 1448
_MSS_PLAUSIBLE = 1200
# Payload above any Ethernet MSS means a super-segment (TSO/GRO), whose size says nothing.
_MSS_LARGEST = 9000
_TIMESTAMP_BYTES = 12

STATISTIC = Statistic(
    name="handshake",
    front=("offers", "leg_handshake_ns", "mss", "mss_top"),
    connection={"ecn": "u1", "synack_ns": "i8", "ts_used": "u1"},
    flow={
        "offers": "u1",
        "mss_option": "u2",
        "wscale_option": "u1",
        "mss": "u2",
        "mss_top": "u2",
        "leg_handshake_ns": "i8",  # RTT tap - src - tap as the handshake shows it
    },
    windows=("mss",),
    flows=(
        "mss", "mss_provenance", "mss_option", "window_scale_option", "sack_permitted", "timestamps", "ecn",
        "handshake_rtt_ns",
    ),
)  # fmt: skip


@plain
def on_syn(c, f, g, d, t, flags, options, syn_repeated, seg, i):
    """Note what a SYN or SYN-ACK offers and, for a SYN-ACK, how long its end took to answer."""
    offers = 0
    if options & OPT_MSS:
        offers |= OFFER_MSS
        f["mss_option"] = i64(seg.mss[i])
    if options & OPT_WSCALE:
        offers |= OFFER_WSCALE
        f["wscale_option"] = min(i64(seg.wscale[i]), MAX_SCALE)
    if options & OPT_SACK_PERMITTED:
        offers |= OFFER_SACK
    if options & OPT_TIMESTAMPS:
        offers |= OFFER_TS
    if options & SEG_OPTIONS_CUT:
        offers |= OFFERS_CUT
    if flags & ACK:
        # RFC 3168: SYN-ACK with ECE and without CWR accepts; RFC 9768: any other of the three bits set is accurate ECN,
        # but for all three: an answer that merely reflects the SYN.
        reflected = flags & (AE | CWR | ECE) == (AE | CWR | ECE)
        if g["offers"] & OFFER_ACC_ECN and flags & (AE | CWR) and not reflected:
            c["ecn"] = 2
        elif flags & (ECE | CWR) == ECE and (g["offers"] & (OFFER_ECN | OFFER_ACC_ECN) or not g["marks"] & SYN_SEEN):
            c["ecn"] = 1
        if not syn_repeated:
            c["synack_ns"] = t
            # The opener's own SYN-ACK (simultaneous open) does not answer the SYN that syn_ns is of.
            answers = g["marks"] & SYN_SEEN and i64(c["opener"]) != d + 1
            if answers and i64(g["syn_again"]) == 0 and i64(c["syn_ns"]):
                f["leg_handshake_ns"] = max(t - i64(c["syn_ns"]), 1)
        if offers & OFFER_TS and (g["offers"] & (OFFER_TS | OFFERS_CUT) or not g["marks"] & SYN_SEEN):
            c["ts_used"] = 1
    elif flags & (ECE | CWR) == (ECE | CWR):
        offers |= OFFER_ACC_ECN if flags & AE else OFFER_ECN
    f["offers"] = offers


@plain
def learn_mss(f, g, payload, flags, ts):
    """The payload of a full segment of flow f: from both SYNs, else from the largest segment seen."""
    both = 0
    if f["offers"] & OFFER_MSS and g["offers"] & OFFER_MSS:
        both = min(i64(f["mss_option"]), i64(g["mss_option"]))
    elif g["offers"] & OFFER_MSS:
        both = i64(g["mss_option"])
    if both:
        mss = both - (_TIMESTAMP_BYTES if ts else 0)
        # Options of single segments and smaller path MTUs show as a smaller full size; super-segments do not count.
        f["mss"] = max(mss, 1)
        return
    top = i64(f["mss_top"])
    if top < payload <= _MSS_LARGEST:
        f["mss_top"] = payload
        top = payload
    # Writes that are all small and pushed show the write size, not the MSS.
    f["mss"] = top if top >= _MSS_PLAUSIBLE or (top and not flags & PSH) else max(top, MSS_ASSUMED)


@inlined
def on_segment(c, f, g, d, t, flags, seq, ack, payload, options, syn_repeated, seg, i):
    if flags & SYN:
        if (
            not flags & RST and i64(c["established_ns"]) == 0 and i64(f["isn"]) == seq
        ):  # a stray SYN changes nothing that is in use
            on_syn(c, f, g, d, t, flags, options, syn_repeated, seg, i)
    elif i64(c["established_ns"]) == t and i64(f["leg_handshake_ns"]) == 0 and i64(c["synack_ns"]) > 0:
        answers = diff(ack, i64(g["isn"]) + 1) >= 0
        if answers and g["marks"] & SYN_ACK and i64(g["syn_again"]) == 0 and i64(c["state"]) == ESTABLISHED:
            f["leg_handshake_ns"] = max(t - i64(c["synack_ns"]), 1)
    if options & OPT_TIMESTAMPS and not flags & SYN:
        c["ts_used"] = 1
    if payload and (i64(f["mss"]) == 0 or payload > i64(f["mss_top"])):
        learn_mss(f, g, payload, flags, i64(c["ts_used"]))


@plain
def on_window_close(f, row):
    if i64(f["mss"]):
        row["mss"] = i64(f["mss"])


@plain
def on_close(c, f, g, row):
    if f["offers"] & OFFER_MSS:
        row["mss_option"] = i64(f["mss_option"])
    if f["offers"] & OFFER_WSCALE:
        row["window_scale_option"] = i64(f["wscale_option"])
    row["mss_provenance"] = 2
    if i64(f["mss"]):
        row["mss"] = i64(f["mss"])
        row["mss_provenance"] = 0 if g["offers"] & OFFER_MSS else 1
    seen = f["marks"] & g["marks"] & SYN_SEEN
    acceptor_seen = (f["marks"] | g["marks"]) & SYN_ACK
    cut = (f["offers"] | g["offers"]) & OFFERS_CUT
    if (seen or acceptor_seen) and not cut:
        if seen:
            row["sack_permitted"] = 1 if f["offers"] & g["offers"] & OFFER_SACK else 0
            row["timestamps"] = 1 if f["offers"] & g["offers"] & OFFER_TS else 0
        else:
            answer = f["offers"] if f["marks"] & SYN_ACK else g["offers"]
            row["sack_permitted"] = 1 if answer & OFFER_SACK else 0
            row["timestamps"] = 1 if answer & OFFER_TS else 0
    elif c["ts_used"]:
        row["timestamps"] = 1
    if acceptor_seen:
        row["ecn"] = i64(c["ecn"])
    if i64(f["leg_handshake_ns"]) and i64(g["leg_handshake_ns"]):
        row["handshake_rtt_ns"] = i64(f["leg_handshake_ns"]) + i64(g["leg_handshake_ns"])
