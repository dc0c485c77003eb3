"""Choosing segments: filter expressions as tcpdump writes them, and time ranges.

The expressions are the part of pcap-filter(7) that makes sense for TCP connections, and they look at the innermost
headers: ``host``, ``net``, ``port``, ``portrange``, each with ``src`` or ``dst`` and with ``tcp``, ``ip`` or ``ip6``
before it; ``tcp``, ``ip``, ``ip6``, ``vlan [id]``, ``vxlan [vni]``, ``geneve [vni]``; ``and``, ``or``, ``not``, ``&&``,
``||``, ``!`` and parentheses. As there, *and* and *or* bind alike, from left to right, and a bare value after them
takes the qualifiers of the one before (``port 80 or 443``).
"""

import ipaddress
import re
import socket
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from schemas.columns import (
    SEG_IPV6,
    TENANT_GENEVE,
    TENANT_QINQ,
    TENANT_SHIFT,
    TENANT_VLAN,
    TENANT_VXLAN,
    Segments,
)

Mask = npt.NDArray[np.bool_]
Selection = Callable[[Segments], Mask]

_TOKEN = re.compile(r"\s*(\(|\)|!|&&|\|\||[\w.:/\-]+)")
_DEPTH_MAX = 50
_DIRECTIONS = ("src", "dst")
_TYPES = ("host", "net", "port", "portrange")
_PROTOCOLS = ("tcp", "ip", "ip6")
_TENANTS = {"vlan": (TENANT_VLAN, 1 << 12), "vxlan": (TENANT_VXLAN, 1 << 24), "geneve": (TENANT_GENEVE, 1 << 24)}
_WORDS = frozenset({*_DIRECTIONS, *_TYPES, *_PROTOCOLS, *_TENANTS, "and", "or", "not", "&&", "||", "!", "(", ")"})


class SelectionError(ValueError):
    """The expression or time cannot be understood; the message is one line."""


def parse(expression: str) -> Selection:
    """Compile a filter expression into a function from segments to a boolean mask. Raises SelectionError."""
    return _Parser(_tokens(expression)).whole()


def _tokens(expression: str) -> list[str]:
    tokens, at = [], 0
    text = expression.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SelectionError(f'filter: cannot read "{text[at : at + 20].strip()}"')
        tokens.append(match[1])
        at = match.end()
    if not tokens:
        raise SelectionError("filter: the expression is empty")
    return tokens


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._qualifiers: tuple[str, str, str] | None = None  # protocol, direction, type of the last primitive

    def whole(self) -> Selection:
        selection = self._expression(0)
        if self._peek() is not None:
            raise SelectionError(f'filter: "{self._peek()}" is not expected there')
        return selection

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self, wanted: str) -> str:
        token = self._peek()
        if token is None:
            raise SelectionError(f"filter: {wanted} is missing at the end")
        self._at += 1
        return token

    def _accept(self, *words: str) -> str | None:
        token = self._peek()
        if token in words:
            self._at += 1
            return token
        return None

    def _expression(self, depth: int) -> Selection:
        first = self._term(depth)
        rest: list[tuple[bool, Selection]] = []
        while word := self._accept("and", "&&", "or", "||"):
            rest.append((word in ("and", "&&"), self._term(depth)))
        return _chain(first, rest) if rest else first

    def _term(self, depth: int) -> Selection:
        if depth > _DEPTH_MAX:
            raise SelectionError("filter: nested too deeply")
        if self._accept("not", "!"):
            inner = self._term(depth + 1)
            return lambda segments: ~inner(segments)
        if self._accept("("):
            inner = self._expression(depth + 1)
            if not self._accept(")"):
                raise SelectionError('filter: ")" is missing')
            return inner
        return self._primitive()

    def _primitive(self) -> Selection:
        tenant = self._accept(*_TENANTS)
        if tenant:
            return self._tenant(tenant)
        protocol = self._accept(*_PROTOCOLS) or ""
        direction = self._direction()
        kind = self._accept(*_TYPES) or ""
        token = self._peek()
        is_value = token is not None and token not in _WORDS
        if not (protocol or direction or kind):
            if not is_value:
                raise SelectionError(f'filter: "{token}" is not expected there' if token else "filter: ends too early")
            if self._qualifiers is None:
                raise SelectionError(f'filter: "{token}" needs host, net or port before it')
            protocol, direction, kind = self._qualifiers
        elif protocol and not (direction or kind) and not is_value:
            return _protocol(protocol)
        kind = kind or "host"
        value = self._next(f'what "{kind}" is to match')
        if value in _WORDS:
            raise SelectionError(f'filter: "{kind}" needs a value, not "{value}"')
        self._qualifiers = (protocol, direction, kind)
        matches = self._matcher(kind, value)
        selection = _directed(direction, matches)
        if protocol in ("ip", "ip6"):
            return _chain(_protocol(protocol), [(True, selection)])
        return selection

    def _direction(self) -> str:
        """``src``, ``dst``, ``src or dst`` (the default, empty) or ``src and dst``."""
        first = self._accept(*_DIRECTIONS)
        if first is None:
            return ""
        ahead = self._tokens[self._at : self._at + 2]
        if len(ahead) == 2 and ahead[0] in ("or", "and", "||", "&&") and ahead[1] in _DIRECTIONS and ahead[1] != first:
            after = self._tokens[self._at + 2 : self._at + 3]
            # "src or dst port 80" is one qualifier; "src 10.0.0.1 or dst ..." does not come here.
            if after and after[0] not in ("and", "or", "&&", "||", ")"):
                self._at += 2
                return "" if ahead[0] in ("or", "||") else "both"
        return first

    def _tenant(self, word: str) -> Selection:
        kind, limit = _TENANTS[word]
        token = self._peek()
        wanted = None
        if token is not None and token not in _WORDS:
            self._at += 1
            wanted = _number(word, token, limit - 1)
        return lambda segments: _in_tenant(segments, kind, wanted)

    @staticmethod
    def _matcher(kind: str, value: str) -> Callable[[Segments, str], Mask]:
        if kind == "host":
            return _in_network(_host(value))
        if kind == "net":
            return _in_network(_network(value))
        if kind == "port":
            port = _port(value)
            return _in_ports(port, port)
        first, dash, last = value.partition("-")
        if not dash:
            raise SelectionError(f'filter: "{value}" is no range of ports, such as 8000-8080')
        low, high = sorted((_port(first), _port(last)))
        return _in_ports(low, high)


def _chain(first: Selection, rest: list[tuple[bool, Selection]]) -> Selection:
    def evaluate(segments: Segments) -> Mask:
        mask = first(segments)
        for both, selection in rest:
            mask = mask & selection(segments) if both else mask | selection(segments)
        return mask

    return evaluate


def _directed(direction: str, matches: Callable[[Segments, str], Mask]) -> Selection:
    if direction in _DIRECTIONS:
        return lambda segments: matches(segments, direction)
    if direction == "both":
        return lambda segments: matches(segments, "src") & matches(segments, "dst")
    return lambda segments: matches(segments, "src") | matches(segments, "dst")


def _protocol(word: str) -> Selection:
    if word == "tcp":
        return lambda segments: np.ones(len(segments.seq), np.bool_)
    if word == "ip6":
        return lambda segments: (segments.options & SEG_IPV6) != 0
    return lambda segments: (segments.options & SEG_IPV6) == 0


def _in_tenant(segments: Segments, kind: int, wanted: int | None) -> Mask:
    kinds = segments.tenant >> TENANT_SHIFT
    ids = segments.tenant & ((1 << TENANT_SHIFT) - 1)
    mask: Mask = kinds == kind
    if wanted is not None:
        mask &= ids == wanted
    if kind == TENANT_VLAN:  # of two stacked tags either may be meant
        stacked = kinds == TENANT_QINQ
        if wanted is not None:
            stacked &= ((ids & 0xFFF) == wanted) | ((ids >> 12) == wanted)
        mask |= stacked
    return mask


def _in_network(network: ipaddress.IPv6Network) -> Callable[[Segments, str], Mask]:
    address = int(network.network_address)
    netmask = int(network.netmask)
    halves = [(np.uint64(n >> 64), np.uint64(n & (2**64 - 1))) for n in (address, netmask)]
    (high, low), (high_mask, low_mask) = halves

    def matches(segments: Segments, end: str) -> Mask:
        hi, lo = (segments.src_hi, segments.src_lo) if end == "src" else (segments.dst_hi, segments.dst_lo)
        mask: Mask = ((hi & high_mask) == high) & ((lo & low_mask) == low)
        return mask

    return matches


def _in_ports(low: int, high: int) -> Callable[[Segments, str], Mask]:
    def matches(segments: Segments, end: str) -> Mask:
        ports = segments.src_port if end == "src" else segments.dst_port
        mask: Mask = (ports >= low) & (ports <= high)
        return mask

    return matches


def _mapped(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> ipaddress.IPv6Network:
    """The network among the columns' addresses, where IPv4 is mapped into IPv6."""
    if isinstance(network, ipaddress.IPv6Network):
        return network
    return ipaddress.IPv6Network((0xFFFF << 32 | int(network.network_address), 96 + network.prefixlen))


def _host(value: str) -> ipaddress.IPv6Network:
    try:
        return _mapped(ipaddress.ip_network(ipaddress.ip_address(value)))
    except ValueError:
        raise SelectionError(f'filter: "{value}" is no address (names are not looked up)') from None


def _network(value: str) -> ipaddress.IPv6Network:
    """``10.0.0.0/8``, ``2001:db8::/32``; ``10``, ``10.1`` and ``10.1.2`` stand for /8, /16 and /24."""
    address, slash, length = value.partition("/")
    if re.fullmatch(r"\d+(\.\d+){0,2}", address, re.ASCII):
        octets = address.count(".") + 1
        address += ".0" * (4 - octets)
        length = length if slash else str(8 * octets)
        slash = "/"
    try:
        return _mapped(ipaddress.ip_network(address + slash + length, strict=True))
    except ValueError as error:
        why = "it has bits set beyond its prefix" if "host bits" in str(error) else "such as 10.0.0.0/8"
        raise SelectionError(f'filter: "{value}" is no network ({why})') from None


def _port(value: str) -> int:
    if value.isascii() and value.isdigit():
        return _number("port", value, 0xFFFF)
    try:
        return socket.getservbyname(value, "tcp")
    except OSError:
        raise SelectionError(f'filter: "{value}" is no port') from None


def _number(what: str, value: str, largest: int) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 10 or int(value) > largest:
        raise SelectionError(f'filter: "{value}" is no {what} (0 to {largest})')
    return int(value)
