"""Lists of tag=value (RFC 6376 section 3.2): signatures, key records, ARC sets."""

import base64
import binascii
import re
from typing import Final

from postwren.mailauth.dkim.limits import LIMITS, Limits

__all__ = ["TagsInvalid", "decode_base64", "integer", "parse_tags", "words"]

_NAME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_]*+")
_VALUE: Final = re.compile(rb"[!-:<-~\x80-\xff\s]*+")  # tval, and what RFC 8616 section 4 adds
_SPACE: Final = b" \t\r\n"
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*+={0,2}")


class TagsInvalid(Exception):
    """It is no tag list, or a tag's value is none; the text is for the log."""


def parse_tags(text: bytes, limits: Limits = LIMITS) -> dict[str, bytes]:
    """tag-list: tag-spec *( ";" tag-spec ) [ ";" ]. Values lose the white space around them; a tag that comes twice spoils it."""
    specs = text.split(b";", limits.tags + 1)
    if not specs[-1].strip(_SPACE):
        specs.pop()
    if len(specs) > limits.tags:
        raise TagsInvalid("too many tags")
    tags: dict[str, bytes] = {}
    for spec in specs:
        raw, equals, value = spec.partition(b"=")
        name = raw.strip(_SPACE)
        if not equals or _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise TagsInvalid("no tag list")
        if tags.setdefault(name.decode(), value := value.strip(_SPACE)) is not value:
            raise TagsInvalid(f"{name.decode()}= twice")
    return tags


def decode_base64(value: bytes) -> bytes:
    """base64string: white space may be anywhere in it."""
    packed = value.translate(None, _SPACE)
    if _BASE64.fullmatch(packed) is None:
        raise TagsInvalid("no base64")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4))
    except binascii.Error:
        raise TagsInvalid("no base64") from None


def integer(value: bytes, digits: int) -> int:
    """1*DIGIT, so many at most."""
    if not (value.isdigit() and len(value) <= digits):
        raise TagsInvalid("no number")
    return int(value)


def words(value: bytes) -> list[bytes]:
    """A list between colons, in lower case."""
    return [word.strip(_SPACE).lower() for word in value.split(b":")]
