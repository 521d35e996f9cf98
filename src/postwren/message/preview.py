"""A preview of a message's text (RFC 8970): the first words of its first text/plain part, or of its first text/html part.

Only so many octets are looked at. HTML goes through a tokenizer that walks from "<" to ">" once: tags, comments and what is
between style, script and title tags is dropped. Quoted lines are passed over unless there is nothing else.
"""

import html
import re
from collections.abc import Iterable
from typing import Final

from postwren.message.charset import decode_text
from postwren.message.decode import decode_body
from postwren.message.limits import DEFAULT_LIMITS, Limits
from postwren.message.octets import Octets
from postwren.message.parameter import find_parameter
from postwren.message.part import Part

__all__ = ["preview", "text_of_html"]

_FIRST_LOOK: Final = 2048  # octets; enough for most, the whole bound is looked at where it is not
# Fillers that senders put behind their own preview text, and controls (direction overrides among them).
_DROPPED: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u17b4\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+"
)
_DROPPED_ASCII: Final = dict.fromkeys([*range(9), *range(0x0E, 0x20), 0x7F])  # the same: `translate` is many times quicker
_HUGE_REFERENCE: Final = re.compile("&#[xX]?[0-9a-fA-F]{8,};?")  # no character, and no number that Python would read
_QUOTED: Final = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_SILENT: Final = re.compile(r"(script|style|title|head|noscript|template)\b", re.IGNORECASE)
_SILENT_END: Final = {
    name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style", "title", "head", "noscript", "template")
}
_INLINE: Final = re.compile(r"/?(?:a|abbr|b|big|em|font|i|small|span|strong|sub|sup|tt|u)\b", re.IGNORECASE)


def preview(octets: Octets, parts: list[Part], limits: Limits = DEFAULT_LIMITS) -> str:
    """At most `limits.preview` characters; empty where the message has no text."""
    part = _first_text(parts)
    if part is None or part.body_start == part.body_end:
        return ""
    size = part.body_end - part.body_start
    text = ""
    for most in (_FIRST_LOOK, limits.preview_input):
        text = _text(octets, part, min(size, most))
        if len(text) >= limits.preview or size <= most:
            break
    return text[: limits.preview].rstrip()


def _first_text(parts: list[Part]) -> Part | None:
    first_html = None
    for part in parts:
        if part.is_message and first_html:
            break  # the message's own text goes before an embedded one's
        if part.parent >= 0 and parts[part.parent].is_message and parts[part.parent].encoding in (b"base64", b"quoted-printable"):
            continue  # an embedded message that is encoded, against RFC 2046 section 5.2.1: no text to be read
        if part.type.maintype != b"text" or part.fields.get(b"content-disposition", b"")[:10].lower() == b"attachment":
            continue
        if part.type.subtype == b"html":
            first_html = first_html or part
        elif part.type.subtype in (b"plain", b"enriched", b"markdown"):
            return part
    return first_html


def _text(octets: Octets, part: Part, size: int) -> str:
    """The readable text of the first octets of a part's body, white space collapsed."""
    data = decode_body(octets, part.body_start, part.body_start + size, part.encoding)
    label = find_parameter(part.type.parameters, b"charset") or b"utf-8"
    text = decode_text(data, label.decode("ascii", "replace"))
    if size < part.body_end - part.body_start:
        text = text.rstrip("\ufffd")  # a character was cut in two
    if part.type.subtype == b"html":
        return _words(text_of_html(text))
    return (_words(_QUOTED.sub("", text)) if ">" in text else "") or _words(text)


def _words(text: str) -> str:
    return " ".join((text.translate(_DROPPED_ASCII) if text.isascii() else _DROPPED.sub("", text)).split())


def text_of_html(source: str) -> str:
    """What a reader would see of HTML, roughly, in linear time."""
    return html.unescape(_HUGE_REFERENCE.sub("\ufffd", "".join(_html_text(source))))


def _html_text(source: str) -> Iterable[str]:
    at, end = 0, len(source)
    while at < end:
        tag = source.find("<", at)
        if tag < 0:
            yield source[at:]
            return
        yield source[at:tag]
        if source.startswith("<!--", tag):
            close = source.find("-->", tag + 4)
            at = end if close < 0 else close + 3
            continue
        if not (source[tag + 1 : tag + 2].isalpha() or source[tag + 1 : tag + 2] in ("/", "!", "?")):
            yield "<"
            at = tag + 1
            continue
        if not _INLINE.match(source, tag + 1):
            yield " "
        close = source.find(">", tag + 1)
        at = end if close < 0 else close + 1
        if silent := _SILENT.match(source, tag + 1):
            stop = _SILENT_END[silent[1].lower()].search(source, at)
            at = stop.start() if stop else end
