"""Filter expressions: each primitive on a handful of segments, then the grammar, then what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.selection import SelectionError, parse
from tests.ingest import frames as f
from tests.ingest.reading import read

_OPEN = f.tcp(sport=1000, dport=80)
SEGMENTS, _ = read(
    f.pcap([
        f.ethernet(f.ip4(_OPEN, src="10.0.0.1", dst="10.0.1.2")),  # 0
        f.ethernet(f.ip4(f.tcp(sport=80, dport=1000), src="10.0.1.2", dst="10.0.0.1")),  # 1
        f.ethernet(f.ip4(f.tcp(sport=2000, dport=443), src="10.0.0.1", dst="192.168.7.9")),  # 2
        f.ethernet(f.ip6(_OPEN, src="2001:db8::1", dst="2001:db8:1::2"), 0x86DD),  # 3
        f.ethernet(f.vlan(f.ip4(_OPEN, src="172.16.0.1", dst="172.16.0.2"), 100), 0x8100),  # 4
        f.ethernet(f.vlan(f.vlan(f.ip4(_OPEN, src="172.16.0.1", dst="172.16.0.2"), 20), 10, 0x8100), 0x88A8),  # 5
        f.ethernet(f.ip4(f.udp(f.vxlan(f.ethernet(f.ip4(_OPEN, src="10.9.9.9")), 5000), 4789), 17)),  # 6
        f.ethernet(f.ip4(f.udp(f.geneve(f.ethernet(f.ip4(_OPEN, src="10.9.9.9")), 5001), 6081), 17)),  # 7
    ])
)  # fmt: skip

SELECTED = {
    "host 10.0.0.1": [0, 1, 2],
    "src host 10.0.0.1": [0, 2],
    "dst host 10.0.0.1": [1],
    "src 10.0.0.1": [0, 2],
    "host 2001:db8::1": [3],
    "dst host 2001:DB8:1:0::2": [3],
    "net 10.0.0.0/8": [0, 1, 2, 6, 7],
    "net 10": [0, 1, 2, 6, 7],
    "net 10.0.1": [0, 1],
    "src net 192.168": [],
    "dst net 192.168/16": [2],
    "net 192.168.7.8/31": [2],
    "net 0.0.0.0/0": [0, 1, 2, 4, 5, 6, 7],
    "net 2001:db8::/32": [3],
    "net ::/0": [0, 1, 2, 3, 4, 5, 6, 7],
    "dst net 2001:db8:1::/48": [3],
    "net 2001:db8::/127": [3],
    "port 443": [2],
    "src port 80": [1],
    "dst port 80": [0, 3, 4, 5, 6, 7],
    "tcp port 443": [2],
    "tcp dst port 443": [2],
    "src or dst port 443": [2],
    "src and dst port 80": [],
    "portrange 400-500": [2],
    "portrange 500-400": [2],
    "src portrange 1001-2000": [2],
    "tcp": [0, 1, 2, 3, 4, 5, 6, 7],
    "ip": [0, 1, 2, 4, 5, 6, 7],
    "ip6": [3],
    "ip6 port 80": [3],
    "ip host 10.0.0.1": [0, 1, 2],
    "vlan": [4, 5],
    "vlan 100": [4],
    "vlan 10": [5],
    "vlan 20": [5],
    "vlan 1": [],
    "vxlan 5000": [6],
    "vxlan": [6],
    "geneve 5001": [7],
    "geneve 5000": [],
    "not ip": [3],
    "!ip": [3],
    "! ! ip6": [3],
    "not tcp": [],
    "host 10.0.0.1 and port 443": [2],
    "host 10.0.0.1 && port 443": [2],
    "port 443 or port 1000": [0, 1, 2, 3, 4, 5, 6, 7],
    "port 443 or 2000": [2],
    "src port 80 or 2000": [1, 2],
    "host 10.0.0.1 and not 192.168.7.9": [0, 1],
    "port 443||ip6": [2, 3],
    "(host 10.0.0.1)and(port 443)": [2],
    # and, or: alike, from the left
    "port 443 or port 80 and ip6": [3],
    "port 443 or (port 80 and ip6)": [2, 3],
    "ip6 and port 80 or port 443": [2, 3],
    "not port 80 and ip": [2],
    "not (port 80 and ip)": [2, 3],
}


@pytest.mark.parametrize("expression", SELECTED)
def test_expressions(expression):
    mask = parse(expression)(SEGMENTS)
    assert mask.dtype == np.bool_ and mask.shape == (8,)
    assert np.flatnonzero(mask).tolist() == SELECTED[expression]


REFUSED = {
    "": "filter: the expression is empty",
    "  ": "filter: the expression is empty",
    "10.0.0.1": 'filter: "10.0.0.1" needs host, net or port before it',
    "host": 'filter: what "host" is to match is missing at the end',
    "host and": 'filter: "host" needs a value, not "and"',
    "host example.org": 'filter: "example.org" is no address (names are not looked up)',
    "net 10.0.0.1/8": 'filter: "10.0.0.1/8" is no network (it has bits set beyond its prefix)',
    "net 10.0.0.0/33": 'filter: "10.0.0.0/33" is no network (such as 10.0.0.0/8)',
    "net nonsense": 'filter: "nonsense" is no network (such as 10.0.0.0/8)',
    "port 65536": 'filter: "65536" is no port (0 to 65535)',
    "port nosuchservice": 'filter: "nosuchservice" is no port',
    "portrange 80": 'filter: "80" is no range of ports, such as 8000-8080',
    "vlan 4096": 'filter: "4096" is no vlan (0 to 4095)',
    "port 80 and": "filter: ends too early",
    "and port 80": 'filter: "and" is not expected there',
    "port 80 port 81": 'filter: "port" is not expected there',
    "(port 80": 'filter: ")" is missing',
    "port 80)": 'filter: ")" is not expected there',
    "port 80 $ 1": 'filter: cannot read "$ 1"',
    "port 80 and\nport \\": 'filter: cannot read "\\"',
    "(" * 100_000: "filter: nested too deeply",
    "not " * 100_000 + "tcp": "filter: nested too deeply",
}


@pytest.mark.parametrize("expression", REFUSED, ids=lambda text: text[:20])
def test_refusals(expression):
    with pytest.raises(SelectionError) as caught:
        parse(expression)
    assert str(caught.value) == REFUSED[expression]


def test_long_chains_are_no_recursion():
    assert parse(" or ".join(["port 80"] * 20_000))(SEGMENTS).sum() == 7


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([
    "host", "net", "port", "src", "dst", "and", "or", "not", "(", ")", "!", "&&", "||", "tcp", "ip6", "vlan", "10",
    "10.0.0.1", "2001:db8::1", "10.0.0.0/8", "80", "portrange", "1-2", "x",
]), max_size=9))  # fmt: skip
def test_any_words_select_or_are_refused(words):
    try:
        mask = parse(" ".join(words))(SEGMENTS)
    except SelectionError as error:
        assert "\n" not in str(error)
    else:
        assert mask.dtype == np.bool_ and mask.shape == (8,)
