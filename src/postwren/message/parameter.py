"""Content-Type and Content-Disposition values with their parameters (RFC 2045 section 5.1, RFC 2183, RFC 2231).

Tolerant: values without their quotes, comments, stray semicolons. The first parameter of a name wins. Continuations are put
in order and joined as octets, then read in their charset; a gap ends them. Linear but for one sort.
"""

import functools
import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from postwren.message.charset import decode_text

__all__ = ["ContentType", "Disposition", "Parameter", "find_parameter", "parse_content_type", "parse_disposition"]


class Parameter(NamedTuple):
    """`is_extended`: it was written `name*=` (RFC 2231), and the value is decoded to UTF-8."""

    name: bytes  # in lower case, without asterisks
    value: bytes
    is_extended: bool


class ContentType(NamedTuple):
    """Names in lower case."""

    maintype: bytes
    subtype: bytes
    parameters: tuple[Parameter, ...]


class Disposition(NamedTuple):
    """The type in lower case."""

    type: bytes
    parameters: tuple[Parameter, ...]


_SHORT: Final = 64  # octets of a value that is worth remembering: one with a boundary is longer, and never comes again
_TOKEN = rb"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]++"
_TYPE: Final = re.compile(rb"[\s\"]*+(" + _TOKEN + rb")(?:\s*+/\s*+(" + _TOKEN + rb"))?")
_NAME: Final = re.compile(rb"[^\s=;\"()]++")
_GAP: Final = re.compile(rb"[\s;]*+")
_EQUALS: Final = re.compile(rb"\s*+=\s*+")
_QUOTED: Final = re.compile(rb"\"((?:[^\"\\]|\\.)*+)\"?", re.DOTALL)
_BARE: Final = re.compile(rb"[^;\"(\s]*+(?:[ \t]++[^;\"(\s]++|(?<=[^\s;])\([^;\"(\s]*+)*+")
_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT: Final = re.compile(rb"[^()\\]++|\\.|[()\\]", re.DOTALL)
_SECTION: Final = re.compile(rb"(.+?)\*(?:(\d{1,6})(\*)?)?\Z", re.DOTALL)
_EXTENDED: Final = re.compile(rb"([^']*+)'[^']*+'(.*)\Z", re.DOTALL)


def parse_content_type(value: bytes) -> ContentType | None:
    """None where it says no type: RFC 2045 section 5.2 takes such a part as text/plain."""
    return _remembered_type(value) if len(value) <= _SHORT else _content_type(value)


def _content_type(value: bytes) -> ContentType | None:
    match = _TYPE.match(value)
    if match is None:
        return None
    maintype, subtype = match[1].lower(), match[2]
    if subtype is None and maintype != b"text":
        return None
    return ContentType(maintype, b"plain" if subtype is None else subtype.lower(), _parameters(value, match.end()))


_remembered_type = functools.lru_cache(maxsize=256)(_content_type)  # a few dozen values make up nearly all mail


def parse_disposition(value: bytes) -> Disposition | None:
    """None where it says no type."""
    match = _TYPE.match(value)
    return None if match is None else Disposition(match[1].lower(), _parameters(value, match.end()))


def find_parameter(parameters: tuple[Parameter, ...], name: bytes) -> bytes | None:
    """The value of a parameter; the extended form is preferred."""
    plain = None
    for parameter in parameters:
        if parameter.name == name:
            if parameter.is_extended:
                return parameter.value
            plain = parameter.value
    return plain


def _parameters(value: bytes, at: int) -> tuple[Parameter, ...]:
    if b"=" not in value:
        return ()
    plain: dict[bytes, bytes] = {}
    sections: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, text in _pairs(value, at):
        match = _SECTION.match(name) if b"*" in name else None
        if match is None:
            plain.setdefault(name, text)
        elif match[2] is None:
            sections.setdefault(match[1], {}).setdefault(0, (text, True))
        else:
            sections.setdefault(match[1], {}).setdefault(int(match[2]), (text, match[3] is not None))
    found = [Parameter(name, text, False) for name, text in plain.items()]
    for name, pieces in sections.items():
        parameter = _join(name, pieces)
        if parameter is not None and (parameter.is_extended or name not in plain):
            found.append(parameter)
    return tuple(found)


def _join(name: bytes, pieces: dict[int, tuple[bytes, bool]]) -> Parameter | None:
    """RFC 2231 sections 3 and 4.1."""
    if 0 not in pieces:
        return None
    charset = "utf-8"
    first, is_extended = pieces[0]
    if is_extended and (match := _EXTENDED.match(first)):
        charset, first = match[1].decode("ascii", "replace"), match[2]
    joined = [unquote_to_bytes(first) if is_extended else first]
    number = 1
    while (piece := pieces.get(number)) is not None:
        joined.append(unquote_to_bytes(piece[0]) if piece[1] else piece[0])
        number += 1
    octets = b"".join(joined)
    if is_extended:
        octets = decode_text(octets, charset).encode("utf-8")
    return Parameter(name, octets, is_extended)


def _pairs(value: bytes, at: int) -> list[tuple[bytes, bytes]]:
    """Every name (in lower case) with its value, quotes and comments taken off."""
    pairs = []
    end = len(value)
    while at < end:
        match = _GAP.match(value, at)
        at = match.end() if match else at
        if at < end and value[at] == 0x28:
            at = _skip_comment(value, at)
            continue
        name = _NAME.match(value, at)
        if name is None:
            at += 1
            continue
        equals = _EQUALS.match(value, name.end())
        if equals is None:
            at = name.end()
            continue
        text, at = _value(value, equals.end())
        pairs.append((name[0].lower(), text))
    return pairs


def _value(value: bytes, at: int) -> tuple[bytes, int]:
    quoted = _QUOTED.match(value, at)
    if quoted is not None:
        return _PAIR.sub(rb"\1", quoted[1]) if b"\\" in quoted[1] else quoted[1], quoted.end()
    bare = _BARE.match(value, at)
    return (bare[0].strip(), bare.end()) if bare else (b"", at)


def _skip_comment(value: bytes, at: int) -> int:
    depth = 0
    for match in _COMMENT.finditer(value, at):
        depth += (match[0] == b"(") - (match[0] == b")")
        if depth == 0:
            return match.end()
    return len(value)
