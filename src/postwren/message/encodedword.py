"""Encoded words in header fields (RFC 2047, RFC 2231 section 5 for the language tag).

Neighbouring words of one charset are joined as octets before they are decoded, because senders cut characters in two
though RFC 2047 section 5 forbids it. Linear: when no word's end is left, none is looked for again.
"""

import binascii
import re
from typing import Final

from postwren.message.charset import decode_text
from postwren.message.decode import decode_base64
from postwren.message.limits import DEFAULT_LIMITS, Limits

__all__ = ["decode_words", "encode_words", "words_of"]

_OPEN: Final = re.compile(rb"=\?([^?*\s]{1,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?")
_ASCII_TEXT: Final = re.compile(r"[\t -~]*")
_WORD_OCTETS: Final = 45  # base64 makes 60 characters of them; a word has 75 at most


def decode_words(value: bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    """The text of an unfolded field value; what is outside of encoded words is read as UTF-8."""
    value = value[: limits.header_field]
    if b"=?" not in value:
        return value.decode("utf-8", "replace")
    text: list[str] = []
    run: list[bytes] = []  # octets of neighbouring words of one charset
    charset = b""
    at = 0  # what lies before is in `text` or `run`
    for start, end, word_charset, content in _words(value):
        between = value[at:start]
        neighbours = bool(run) and not between.strip()
        if run and not (neighbours and word_charset == charset):
            text.append(decode_text(b"".join(run), charset.decode("ascii", "replace")))
            run = []
        if not neighbours:
            text.append(between.decode("utf-8", "replace"))
        run.append(content)
        charset = word_charset
        at = end
    if run:
        text.append(decode_text(b"".join(run), charset.decode("ascii", "replace")))
    text.append(value[at:].decode("utf-8", "replace"))
    return "".join(text)


def _words(value: bytes) -> list[tuple[int, int, bytes, bytes]]:
    """Every encoded word: start, end, charset in lower case, decoded octets."""
    words = []
    at = 0
    while match := _OPEN.search(value, at):
        end = value.find(b"?=", match.end())
        if end < 0:
            break
        content = value[match.end() : end]
        octets = decode_base64(content) if match[2] in b"bB" else binascii.a2b_qp(content, header=True)
        at = end + 2
        words.append((match.start(), at, match[1].lower(), octets))
    return words


def encode_words(text: str) -> bytes:
    """A field's value for `text`: as it is where it is plain ASCII, else UTF-8 in words of at most 75 octets, with single spaces
    between them where the field may be folded. Control characters become spaces: a value never holds a line end."""
    if _ASCII_TEXT.fullmatch(text) and "=?" not in text:
        return text.encode("ascii")
    return words_of(text)


def words_of(text: str) -> bytes:
    """Encoded words for `text`, whatever it is."""
    words: list[bytes] = []
    octets = b""
    for character in "".join(c if c.isprintable() or c > "\x9f" else " " for c in text):
        encoded = character.encode("utf-8", "replace")
        if len(octets) + len(encoded) > _WORD_OCTETS:
            words.append(octets)
            octets = b""
        octets += encoded
    words.append(octets)
    return b" ".join(b"=?utf-8?b?" + binascii.b2a_base64(word, newline=False) + b"?=" for word in words)
