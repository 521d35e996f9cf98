"""ENVELOPE, BODY and BODYSTRUCTURE as they go over the wire (RFC 9051 section 7.5.2; RFC 3501 has the same form).

Rendered once, at delivery, and stored. Every string is quoted or a literal, whatever a message put
into it: a strict client parses all of it, and nothing in a message can end a string early. NUL, which no IMAP string can
carry, becomes a space. Names of types, encodings and parameters are in lower case. RFC 2231 values are decoded to UTF-8 and
keep the asterisk behind their name, as RFC 9051 asks.
"""

import re
from typing import Final

from postwren.message.address import ImapAddress, parse_addresses
from postwren.message.header import FirstFields, parse_header
from postwren.message.limits import DEFAULT_LIMITS, Limits
from postwren.message.octets import Octets
from postwren.message.parameter import Parameter, parse_disposition
from postwren.message.part import Part

__all__ = ["EnvelopeAddresses", "format_bodies", "format_envelope", "imap_string", "read_envelope_addresses"]

_CLEAN: Final = re.compile(rb"[\t !#-\[\]-~]*+")
_NO_BACKSLASH: Final = re.compile(rb"[\t -\[\]-~]*+")
_QUOTABLE: Final = re.compile(rb"[\t -~]*+")
_SPECIAL: Final = re.compile(rb"([\"\\])")
_TAGS: Final = re.compile(rb"[A-Za-z0-9*-]+")
_COMMENT: Final = re.compile(rb"\([^()]*\)")

EnvelopeAddresses = dict[bytes, list[ImapAddress]]
ADDRESS_FIELDS: Final = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")


def imap_string(value: bytes | None) -> bytes:
    """nstring (RFC 9051 section 9): quoted where it can be, else a literal."""
    if value is None:
        return b"NIL"
    if _CLEAN.fullmatch(value):
        return b'"%b"' % value
    if b"\0" in value:
        value = value.replace(b"\0", b" ")
    if _QUOTABLE.fullmatch(value):
        return b'"%b"' % _SPECIAL.sub(rb"\\\1", value)
    return b"{%d}\r\n%b" % (len(value), value)


def read_envelope_addresses(header: FirstFields, limits: Limits = DEFAULT_LIMITS) -> EnvelopeAddresses:
    """The address lists of an envelope by field name; Sender and Reply-To default to From."""
    found: EnvelopeAddresses = {}
    for name in ADDRESS_FIELDS:
        value = header.first(name)
        found[name] = parse_addresses(value, limits) if value else []
    for name in (b"sender", b"reply-to"):
        found[name] = found[name] or found[b"from"]
    return found


def format_envelope(header: FirstFields, addresses: EnvelopeAddresses | None = None, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The envelope; `addresses` where they have been read already."""
    if addresses is None:
        addresses = read_envelope_addresses(header, limits)
    sender = addresses[b"from"]
    from_list = _address_list(sender)  # nearly always Sender and Reply-To as well
    lists = [
        from_list if (found := addresses[name]) is sender else _address_list(found) if found else b"NIL"
        for name in ADDRESS_FIELDS
    ]
    return b"(%b %b %b %b %b)" % (
        imap_string(header.first(b"date")),
        imap_string(header.first(b"subject")),
        b" ".join(lists),
        imap_string(header.first(b"in-reply-to")),
        imap_string(header.first(b"message-id")),
    )


def _address_list(addresses: list[ImapAddress]) -> bytes:
    if not addresses:
        return b"NIL"
    return b"(%b)" % b"".join(map(_address, addresses))


def _address(address: ImapAddress) -> bytes:
    """The ordinary form is looked at once as a whole, others string by string."""
    name, route, mailbox, host = address
    if route is None and mailbox is not None and host is not None:
        text = b'"%b" NIL "%b" "%b"' % (name, mailbox, host) if name is not None else b'NIL NIL "%b" "%b"' % (mailbox, host)
        if text.count(b'"') == (4 if name is None else 6) and _NO_BACKSLASH.fullmatch(text):
            return b"(%b)" % text
    return b"(%b)" % b" ".join(map(imap_string, address))


def format_bodies(octets: Octets, parts: list[Part], limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, bytes]:
    """BODY and BODYSTRUCTURE. One walk over the rows; a part that holds others waits on a stack with what is said behind them."""
    body: list[bytes] = []
    structure: list[bytes] = []
    waiting: list[tuple[int, bytes, bytes]] = []  # row, and what follows its children in BODY and in BODYSTRUCTURE
    for row, part in enumerate(parts):
        while waiting and waiting[-1][0] != part.parent:
            _close(waiting, body, structure)
        if part.is_multipart:
            head, tail, extension = b"(", b" " + imap_string(part.type.subtype), _parameters(part.type.parameters)
        else:
            head, tail, extension = b"(" + _basic(part), b"", imap_string(part.fields.get(b"content-md5"))
            if part.is_message:
                child = parts[row + 1]
                header = parse_header(octets, child.header_start, child.header_end, child.body_start, limits)
                head += b" %b " % format_envelope(header, None, limits)
            if part.is_message or part.type.maintype == b"text":
                tail = b" %d" % part.lines
        body.append(head)
        structure.append(head)
        waiting.append((row, tail + b")", b"%b %b%b)" % (tail, extension, _extension(part.fields))))
        if not part.children:
            _close(waiting, body, structure)
    while waiting:
        _close(waiting, body, structure)
    return b"".join(body), b"".join(structure)


def _close(waiting: list[tuple[int, bytes, bytes]], body: list[bytes], structure: list[bytes]) -> None:
    _, of_body, of_structure = waiting.pop()
    body.append(of_body)
    structure.append(of_structure)


def _basic(part: Part) -> bytes:
    """media-type SP body-fields"""
    maintype, subtype, parameters = part.type
    fields = part.fields
    if not fields:
        return b"%b %b %b NIL NIL %b %d" % (
            imap_string(maintype),
            imap_string(subtype),
            _parameters(parameters),
            imap_string(part.encoding),
            part.body_end - part.body_start,
        )
    return b"%b %b %b %b %b %b %d" % (
        imap_string(maintype),
        imap_string(subtype),
        _parameters(parameters),
        imap_string(fields.get(b"content-id")),
        imap_string(fields.get(b"content-description")),
        imap_string(part.encoding),
        part.body_end - part.body_start,
    )


def _extension(fields: dict[bytes, bytes]) -> bytes:
    """SP body-fld-dsp SP body-fld-lang SP body-fld-loc"""
    if not fields:
        return b" NIL NIL NIL"
    disposition = parse_disposition(fields.get(b"content-disposition", b""))
    tags = _TAGS.findall(_COMMENT.sub(b" ", fields.get(b"content-language", b"")))
    location = fields.get(b"content-location")
    return b" %b %b %b" % (
        b"(%b %b)" % (imap_string(disposition.type), _parameters(disposition.parameters)) if disposition else b"NIL",
        b"(%b)" % b" ".join(map(imap_string, tags)) if tags else b"NIL",
        imap_string(location if location is None else b"".join(location.split())),
    )


def _parameters(parameters: tuple[Parameter, ...]) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(%b)" % b" ".join(
        [imap_string(name + b"*" if is_extended else name) + b" " + imap_string(value) for name, value, is_extended in parameters]
    )
