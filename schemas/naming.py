"""How the numbers of a record are written for people and programs: addresses, tenants, enums, sets, identifiers.

These are the plain definitions; the row writers in ``sinks/text`` have compiled twins that a test holds against them.
"""

import ipaddress
import unicodedata

# Tenants as schemas.columns numbers them. Not imported from there, because that loads numba, and a question to a store
# needs none of it; a test holds both together.
TENANT_NONE, TENANT_VLAN, TENANT_QINQ, TENANT_VXLAN, TENANT_GENEVE, TENANT_GRE = range(6)
TENANT_SHIFT = 28
TENANT_KINDS = {
    TENANT_VLAN: "vlan",
    TENANT_QINQ: "qinq",
    TENANT_VXLAN: "vxlan",
    TENANT_GENEVE: "geneve",
    TENANT_GRE: "gre",
}
_TENANT_MASK = (1 << TENANT_SHIFT) - 1
# The two VLAN tags of QinQ share the identifier: outer above inner, 12 bits each (IEEE 802.1Q).
QINQ_SHIFT = 12
_VLAN_MASK = (1 << QINQ_SHIFT) - 1
_MAPPED = 0xFFFF << 32

# Categories that would move the cursor, colour the terminal, reorder the line or end it.
_UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn")


def address(hi: int, lo: int) -> str:
    """An address from its two big-endian halves: dotted IPv4 if mapped, else IPv6 as RFC 5952 writes it."""
    hi, lo = int(hi), int(lo)
    if hi == 0 and lo >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(lo & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(hi << 64 | lo))


def halves(text: str) -> tuple[int, int]:
    """The two halves of an address in text form (IPv4 is mapped into IPv6). Raises ValueError."""
    parsed = ipaddress.ip_address(text)
    number = int(parsed) | (_MAPPED if parsed.version == 4 else 0)
    return number >> 64, number & 0xFFFFFFFFFFFFFFFF


def tenant(number: int) -> str | None:
    """The tenant network in words, e.g. ``vlan:100``, ``qinq:200.100`` or ``vxlan:5000``; None if there is none."""
    number = int(number)
    kind, identifier = number >> TENANT_SHIFT, number & _TENANT_MASK
    if kind == TENANT_NONE:
        return None
    if kind == TENANT_QINQ:
        return f"qinq:{identifier >> QINQ_SHIFT}.{identifier & _VLAN_MASK}"
    return f"{TENANT_KINDS.get(kind, f'kind{kind}')}:{identifier}"


def connection_id(number: int) -> str:
    """A connection's identifier: 16 hexadecimal digits, because a JSON number is exact below 2^53 only."""
    return f"{int(number):016x}"


def enum_name(number: int, values: tuple[str, ...]) -> str | None:
    """The name of an enum's number; None for unknown (any number that has no name)."""
    number = int(number)
    return values[number] if 0 <= number < len(values) else None


def set_names(mask: int, values: tuple[str, ...]) -> list[str]:
    """The names of a bit mask in the order of `values`; bits without a name are left out."""
    mask = int(mask)
    return [name for bit, name in enumerate(values) if mask >> bit & 1]


def valid_text(text: str) -> str:
    """Text that encodes as UTF-8: bytes of a file name that are none become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def unseen(character: str) -> bool:
    """Whether a character acts on a terminal or a line instead of being shown."""
    return unicodedata.category(character) in _UNSEEN


def visible(text: str) -> str:
    """Text from outside made harmless for a terminal: control, format and line-breaking characters as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii") if unseen(character) else character for character in text
    )
