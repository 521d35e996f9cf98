"""Reverse-path, forward-path and mailbox: the one validator of envelope addresses (RFC 5321 4.1.2, 4.1.3, RFC 6531 3.3).

    Path    = "<" [ A-d-l ":" ] Mailbox ">"
    Mailbox = Local-part "@" ( Domain / address-literal )

No address has a branch of its own: `%`, `!`, shell characters and the like are ordinary or refused by the grammar.
Source routes are checked and ignored. What comes out is an `Address` whose domain is in lower case A-labels.
Non-ASCII is allowed here; whether the transaction may use it (SMTPUTF8) is judged by who knows the parameters.
"""

import ipaddress
import re
import unicodedata
from functools import lru_cache
from typing import Final

import idna

from postwren.terms import Address

__all__ = ["POSTMASTER", "AddressInvalid", "format_path", "is_ascii", "parse_domain", "parse_mailbox", "parse_path"]

LOCAL_OCTETS: Final = 64  # RFC 5321 4.5.3.1.1
DOMAIN_OCTETS: Final = 255  # RFC 5321 4.5.3.1.2

POSTMASTER: Final = Address("postmaster", "")
"""The forward-path `<Postmaster>` without a domain (RFC 5321 4.1.1.3)."""

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_MAILBOX: Final = re.compile(
    rf'(?:(?P<dots>{_ATOM}(?:\.{_ATOM})*)|"(?P<quoted>(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*+)")@(?P<domain>[^@"<>\\ ]+)'
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# White space, line and paragraph separators, controls, unassigned and private code points have no place in an address;
# the bidirectional controls would make it look like another one.
_FORBIDDEN_CATEGORIES: Final = frozenset(("Cc", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"))
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


class AddressInvalid(ValueError):
    """The text is not an address of the grammar."""


def is_ascii(address: Address) -> bool:
    """Whether it can travel without SMTPUTF8 (the domain always can)."""
    return address.local.isascii()


@lru_cache(maxsize=1024)  # the same few recipients, mostly; an error is not kept
def parse_path(text: str) -> Address | None:
    """Path / "<>" / "<Postmaster>"; None is the null reverse-path."""
    if text[:1] != "<" or text[-1:] != ">":
        raise AddressInvalid("no angle brackets")
    inside = text[1:-1]
    if not inside:
        return None
    if inside[0] == "@":
        route, colon, inside = inside.partition(":")
        if not colon:
            raise AddressInvalid("a route without a mailbox")
        for hop in route.split(","):
            if hop[:1] != "@":
                raise AddressInvalid("a route that is no list of domains")
            parse_domain(hop[1:])
    if "@" not in inside and inside.lower() == "postmaster":
        return POSTMASTER
    return parse_mailbox(inside)


def parse_mailbox(text: str) -> Address:
    """Mailbox = Local-part "@" ( Domain / address-literal )"""
    match = _MAILBOX.fullmatch(text)
    if match is None:
        raise AddressInvalid("not local@domain")
    local, quoted, domain = match.groups()
    if local is None:
        if not quoted:  # the grammar allows "" and nobody can have it; an empty local part is also the catch-all's row
            raise AddressInvalid("an empty local part")
        local = _QUOTED_PAIR.sub(r"\1", quoted)
        octets = len(quoted.encode()) + 2
    else:
        octets = len(local) if local.isascii() else len(local.encode())
    if octets > LOCAL_OCTETS:
        raise AddressInvalid("a local part above 64 octets")
    if not local.isascii():
        _check_unicode(local)
    return Address(local, parse_domain(domain))


def parse_domain(text: str) -> str:
    """Domain / address-literal, as lower case A-labels."""
    if text[:1] == "[":
        return _parse_literal(text)
    if len(text) > DOMAIN_OCTETS:
        raise AddressInvalid("a domain above 255 octets")
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except UnicodeError as error:
            raise AddressInvalid("not an international domain") from error
        if len(text) > DOMAIN_OCTETS:
            raise AddressInvalid("a domain above 255 octets")
    if _DOMAIN.fullmatch(text) is None:
        raise AddressInvalid("not a domain")
    return text.lower()


def format_path(address: Address | None) -> bytes:
    """The path for the wire; None is the null reverse-path, a mailbox without domain is `<postmaster>`."""
    if address is None:
        return b"<>"
    if not address.domain:
        return b"<postmaster>"
    return f"<{address}>".encode()


def _parse_literal(text: str) -> str:
    """address-literal = "[" ( IPv4-address-literal / IPv6-address-literal ) "]"

    No other standardized tag exists, so General-address-literal has no member.
    """
    inside = text[1:-1]
    try:
        if text[-1] != "]" or "%" in inside:  # the standard library takes scope ids, SMTP has none
            raise ValueError(text)
        if inside[:5].lower() == "ipv6:":
            return f"[ipv6:{ipaddress.IPv6Address(inside[5:]).compressed}]"
        return f"[{ipaddress.IPv4Address(inside)}]"
    except ValueError as error:
        raise AddressInvalid("not an address literal") from error


def _check_unicode(text: str) -> None:
    for char in text:
        if char > "\x7f" and (unicodedata.category(char) in _FORBIDDEN_CATEGORIES or char in _BIDI):
            raise AddressInvalid("a code point that has no place in an address")
