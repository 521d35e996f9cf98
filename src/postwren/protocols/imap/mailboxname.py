"""Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3), or UTF-8 once the client has enabled it (RFC 6855 section
3, RFC 9051 section 5.1).

What must stay true (A-44): one name has one form. Of the many ways in which modified UTF-7 could write a name only the one is
read that `encode` writes: no shift around what stands for itself, none that could have been one with its neighbour, no half
surrogates, nothing left over in the last sextet."""

import binascii
import re
from typing import Final

from postwren.protocols.imap.fault import Fault, Unparsable

__all__ = ["decode", "encode"]

_SHIFT: Final = re.compile(rb"&([A-Za-z0-9+,]*)-")
_ITSELF: Final = re.compile(rb"[\x20-\x25\x27-\x7e]*")
_NEEDS_SHIFT: Final = re.compile(r"&|[^\x20-\x7e]+")


def decode(octets: bytes, *, is_utf8: bool) -> str:
    """The name, or a pattern of LIST. Raises Unparsable for any form but the canonical one."""
    try:
        if is_utf8:
            return octets.decode()
        if _ITSELF.fullmatch(octets):  # nearly all names
            return octets.decode()
        name = b"".join(map(_unshift, enumerate(_SHIFT.split(octets)))).decode("utf-16-be")
    except (UnicodeDecodeError, binascii.Error) as error:
        raise Unparsable(Fault.MAILBOX_NAME) from error
    if _shift(name) != octets:
        raise Unparsable(Fault.MAILBOX_NAME)
    return name


def _unshift(part: tuple[int, bytes]) -> bytes:
    place, octets = part
    if place % 2 == 0:
        return octets.decode("ascii").encode("utf-16-be")
    return binascii.a2b_base64(octets.replace(b",", b"/") + b"=" * (-len(octets) % 4)) if octets else b"\0&"


def encode(name: str, *, is_utf8: bool) -> bytes:
    """The octets of a name, not yet quoted."""
    return name.encode() if is_utf8 else _shift(name)


def _shift(name: str) -> bytes:
    return _NEEDS_SHIFT.sub(_shifted, name).encode("ascii")


def _shifted(match: "re.Match[str]") -> str:
    text = match[0]
    if text == "&":
        return "&-"
    encoded = binascii.b2a_base64(text.encode("utf-16-be"), newline=False)
    return f"&{encoded.rstrip(b'=').replace(b'/', b',').decode()}-"
