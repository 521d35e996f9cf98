"""Content-Transfer-Encodings back to octets (RFC 2045 section 6), tolerant and in pieces of bounded size.

Base64 ends at its first padding; characters outside of its alphabet are passed over. Quoted-printable leaves an escape that is
none as it stands, and drops white space before line ends. Everything else is identity.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final

from postwren.message.octets import Octets, cut

__all__ = ["decode_base64", "decode_body", "decode_quoted_printable", "decoded_pieces"]

_PIECE: Final = 64 << 10
_NOT_BASE64: Final = bytes(c for c in range(256) if not (chr(c).isascii() and (chr(c).isalnum() or chr(c) in "+/=")))
_SPACED_ENDS: Final = (b" \n", b" \r\n", b"\t\n", b"\t\r\n")
_TRAILING_SPACE: Final = re.compile(rb"(?<![ \t])[ \t]++(\r?\n)")  # the look-behind: long runs of space are seen once


def decode_base64(data: bytes) -> bytes:
    """Octets of a whole base64 text, however broken."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        clean = data.translate(None, _NOT_BASE64).partition(b"=")[0]
        if len(clean) % 4 == 1:
            clean = clean[:-1]
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def decode_quoted_printable(data: bytes) -> bytes:
    """Octets of a whole quoted-printable text, however broken."""
    if any(end in data for end in _SPACED_ENDS):  # seldom, and looking is a tenth of the work
        data = _TRAILING_SPACE.sub(rb"\1", data)
    return binascii.a2b_qp(data)


def decoded_pieces(octets: Octets, start: int, end: int, encoding: bytes) -> Iterator[bytes]:
    """The decoded octets of a range, piece by piece; `encoding` in lower case."""
    if encoding == b"base64":
        return _base64_pieces(octets, start, end)
    if encoding == b"quoted-printable":
        return _quoted_printable_pieces(octets, start, end)
    return (cut(octets, at, min(at + _PIECE, end)) for at in range(start, end, _PIECE))


def decode_body(octets: Octets, start: int, end: int, encoding: bytes) -> bytes:
    """The decoded octets of a range at once; for bodies that are known to be small."""
    return b"".join(decoded_pieces(octets, start, end, encoding))


def _base64_pieces(octets: Octets, start: int, end: int) -> Iterator[bytes]:
    rest = b""
    for at in range(start, end, _PIECE):
        rest += cut(octets, at, min(at + _PIECE, end)).translate(None, _NOT_BASE64)
        if b"=" in rest:
            break
        whole = len(rest) & ~3
        yield binascii.a2b_base64(rest[:whole])
        rest = rest[whole:]
    if rest:
        yield decode_base64(rest.partition(b"=")[0])


def _quoted_printable_pieces(octets: Octets, start: int, end: int) -> Iterator[bytes]:
    """A piece ends where no escape and no white space is cut in two."""
    rest = b""
    for at in range(start, end, _PIECE):
        data = rest + cut(octets, at, min(at + _PIECE, end))
        whole = _cut_for_quoted_printable(data)
        rest = data[whole:]
        yield decode_quoted_printable(data[:whole])
    if rest:
        yield decode_quoted_printable(rest)


def _cut_for_quoted_printable(data: bytes) -> int:
    newline = data.rfind(b"\n")
    if newline >= 0:
        return newline + 1
    whole = len(data.rstrip(b" \t\r"))
    escape = data.find(b"=", max(whole - 2, 0), whole)
    if escape >= 0:
        whole = escape
    # A line of nothing but white space longer than a piece is no text: let it go as it is.
    return whole if len(data) - whole < _PIECE else len(data)
