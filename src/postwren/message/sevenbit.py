"""ENVELOPE, BODY and BODYSTRUCTURE for clients that switched nothing on: without octets above 127 (RFC 6855 section 3).

What such a client knows is encoded words (RFC 2047) and, behind a parameter's name with an asterisk, percent signs (RFC 2231
section 4). An address with letters beyond ASCII becomes one to be read, not to be answered: of that there is none in ASCII.
"""

import binascii
import re
from typing import Final
from urllib.parse import quote_from_bytes

from postwren.message.structure import imap_string

__all__ = ["seven_bit"]

_LITERAL: Final = re.compile(rb"\{([0-9]+)\}\r\n")
_EXTENDED: Final = re.compile(rb'\*" \Z')  # a parameter whose value was decoded: its name is in front
_WORD: Final = 45  # octets: base64 makes 60 characters of them, and a word has 75 at most


def seven_bit(rendered: bytes) -> bytes:
    """The same answer in ASCII. `rendered` is `structure`'s, in which whatever is not ASCII is a literal."""
    pieces: list[bytes] = []
    at = 0
    while found := _LITERAL.search(rendered, at):
        end = found.end() + int(found[1])
        value = rendered[found.end() : end]
        if value.isascii():
            pieces.append(rendered[at:end])
        else:
            before = rendered[max(at, found.start() - 3) : found.start()]
            encoded = b"utf-8''" + quote_from_bytes(value, "").encode() if _EXTENDED.search(before) else _words(value)
            pieces += [rendered[at : found.start()], imap_string(encoded)]
        at = end
    pieces.append(rendered[at:])
    return b"".join(pieces)


def _words(value: bytes) -> bytes:
    """Encoded words, none of which cuts a character in two; what is no UTF-8 has no charset that we could name (RFC 1428)."""
    charset = b"utf-8"
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        charset = b"unknown-8bit"
    words: list[bytes] = []
    start = 0
    while start < len(value):
        end = min(start + _WORD, len(value))
        while charset == b"utf-8" and end < len(value) and value[end] & 0xC0 == 0x80:
            end -= 1
        words.append(b"=?%b?b?%b?=" % (charset, binascii.b2a_base64(value[start:end], newline=False)))
        start = end
    return b" ".join(words)
