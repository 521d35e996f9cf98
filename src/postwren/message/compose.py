"""Messages that we write: header fields (RFC 5322 section 2.2, RFC 2047, RFC 6532) and MIME parts (RFC 2045, 2046, 6522).

    message([field("Subject", "..."), ...], multipart("report", boundary, [text_part("..."), ...], "report-type=..."))

Whatever text goes in, what comes out has CRLF line ends only, no line above 998 octets and no field that ends early: control
characters become spaces, fields are folded at 78 where they have white space, and text that no plain line can hold is encoded.
Nothing here draws randomness: boundaries and tokens are arguments.
"""

import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from postwren.message.encodedword import words_of

__all__ = [
    "LINE",
    "Part",
    "as_lines",
    "encoded_part",
    "field",
    "mailbox",
    "message",
    "multipart",
    "structured_field",
    "text_part",
]

LINE: Final = 998  # RFC 5322 section 2.1.1, without CRLF
_FOLD_AT: Final = 78
_FOLD_ENCODED_AT: Final = 76  # RFC 2047 section 2
_WORD: Final = 900  # no word of a field is longer: with the field's name it fits a line
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TOKEN: Final = re.compile(rb"[ \t]*+[^ \t]*+")  # a word with the white space before it
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+)*")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_TEXT_LINE_END: Final = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Part:
    """`header`: its Content- fields, each with its line end. `body` ends in a line end or is empty."""

    header: bytes
    body: bytes


def field(name: str, text: str, *, is_utf8: bool = False) -> bytes:
    """An unstructured field for any text. `is_utf8`: the message travels with SMTPUTF8, so that UTF-8 may stand as it is."""
    text = _CONTROL.sub(" ", text).strip(" \t")
    is_plain = (text.isascii() or (is_utf8 and text.isprintable())) and "=?" not in text
    value = text.encode() if is_plain else b""
    if not is_plain or max(map(len, _TOKEN.findall(value))) > _WORD:
        value = words_of(text)
    return _folded(name, value)


def structured_field(name: str, value: str) -> bytes:
    """A field whose value has a grammar (addresses, parameters, reports): as it is, folded at white space. A word that no line
    can hold is broken by a space."""
    octets = _CONTROL.sub(" ", value).strip(" \t").encode()
    if len(octets) > _WORD:
        octets = b"".join(_broken(token[0]) for token in _TOKEN.finditer(octets))
    return _folded(name, octets)


def _broken(token: bytes) -> bytes:
    """Never inside of a UTF-8 character."""
    pieces = []
    while len(token) > _WORD:
        at = _WORD
        while token[at] & 0xC0 == 0x80:
            at -= 1
        pieces.append(token[:at].rstrip(b" \t"))
        token = token[at:].strip(b" \t")
    return b" ".join([*pieces, token]) if pieces else token


def _folded(name: str, value: bytes) -> bytes:
    """Lines of at most 78 octets where there is white space to fold at (RFC 5322 section 2.2.3); it stays, so that unfolding
    gives the value back."""
    lines = []
    line = name.encode("ascii") + b":"
    words = 0
    for token in _TOKEN.findall(b" " + value):
        if not token:
            continue
        is_encoded = token.startswith(b" =?")
        if len(line) + len(token) > (_FOLD_ENCODED_AT if is_encoded else _FOLD_AT) and (words or is_encoded):
            lines.append(line)
            line = b""
        line += token
        words += 1
    return b"\r\n".join([*lines, line]) + b"\r\n"


def mailbox(address: str, display: str = "", *, is_utf8: bool = False) -> str:
    """mailbox of RFC 5322 section 3.4: for a structured field."""
    display = _CONTROL.sub(" ", display).strip(" \t")
    if not display:
        return address
    if (not display.isascii() and not is_utf8) or "=?" in display:
        return f"{words_of(display).decode()} <{address}>"
    if _ATOMS.fullmatch(display) is None:
        display = '"' + display.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{display} <{address}>"


def as_lines(octets: bytes) -> bytes:
    """The same text with CRLF line ends only and at the end, NULs taken out."""
    octets = _LINE_END.sub(b"\r\n", octets.replace(b"\0", b""))
    return octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"


def text_part(text: str, *, is_8bit: bool = False) -> Part:
    """A text/plain part: 7bit where that will do, 8bit where it may be, else quoted-printable."""
    text = _TEXT_LINE_END.sub("\n", text).replace("\0", "")
    octets = as_lines(text.encode("utf-8", "replace"))
    charset = "us-ascii" if octets.isascii() else "utf-8"
    return encoded_part(f"text/plain; charset={charset}", octets, is_8bit=is_8bit)


def encoded_part(content_type: str, octets: bytes, *, is_8bit: bool = False) -> Part:
    """A part of lines (`as_lines`) in the plainest encoding that holds them. message/rfc822 must not be encoded."""
    is_short = _longest_line(octets) <= LINE
    if is_short and octets.isascii():
        encoding = "7bit"
    elif is_short and is_8bit:
        encoding = "8bit"
    else:
        encoding, octets = "quoted-printable", _quoted_printable(octets)
    return Part(
        structured_field("Content-Type", content_type) + structured_field("Content-Transfer-Encoding", encoding),
        octets,
    )


def _longest_line(octets: bytes) -> int:
    return max(map(len, octets.split(b"\r\n")))


def _quoted_printable(octets: bytes) -> bytes:
    """RFC 2045 section 6.7, line for line: what the standard library takes for a line end is not always ours."""
    lines = octets.split(b"\r\n")
    return b"\r\n".join([binascii.b2a_qp(line).replace(b"=\n", b"=\r\n") for line in lines])


def multipart(subtype: str, boundary: str, parts: Sequence[Part], *parameters: str) -> Part:
    """A multipart of parts. `boundary` is a random token; where it occurs in a part all the same, it is lengthened until it does
    not. `parameters` are written `name=value`."""
    inner = [part.header + b"\r\n" + part.body for part in parts]
    number = 0
    chosen = f"=_{boundary}"  # "=_" is in no quoted-printable and in no base64
    while any(f"--{chosen}".encode() in octets for octets in inner):
        number += 1
        chosen = f"=_{boundary}_{number}"
    value = "; ".join([f"multipart/{subtype}", *parameters, f'boundary="{chosen}"'])
    delimiter = f"--{chosen}".encode()
    body = b"".join([delimiter + b"\r\n" + octets + b"\r\n" for octets in inner]) + delimiter + b"--\r\n"
    header = structured_field("Content-Type", value)
    if any(b"Content-Transfer-Encoding: 8bit" in part.header for part in parts):
        header += structured_field("Content-Transfer-Encoding", "8bit")  # RFC 2045 section 6.4
    return Part(header, body)


def message(fields: Iterable[bytes], part: Part) -> bytes:
    """The whole message."""
    return b"".join([*fields, b"MIME-Version: 1.0\r\n", part.header, b"\r\n", part.body])
