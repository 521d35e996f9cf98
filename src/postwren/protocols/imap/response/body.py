"""BODY and BODYSTRUCTURE (RFC 9051 section 7.5.2). A structure is flat here, a row a part in preorder, so that no depth of
nesting needs a stack. Strings are octets as the server sent them; types and encodings compare without regard to case."""

from dataclasses import dataclass
from typing import TypeAlias

from postwren.protocols.imap.response.envelope import Envelope, format_envelope
from postwren.protocols.imap.response.value import format_octets

__all__ = ["BodyPart", "BodyStructure", "Disposition", "Extension", "Parameters", "format_body"]

Parameters: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Empty is NIL."""


@dataclass(frozen=True, slots=True)
class Disposition:
    kind: bytes
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class Extension:
    """What BODYSTRUCTURE has and BODY has not; what stands behind the location is not kept. A multipart has no `md5`."""

    md5: bytes | None = None
    disposition: Disposition | None = None
    languages: tuple[bytes, ...] = ()
    location: bytes | None = None


@dataclass(frozen=True, slots=True)
class BodyPart:
    """A part at `depth`; its children follow it, one deeper. A multipart has its parameters only with `extension`, and no
    fields in between; `envelope` and a child has only message/rfc822 or message/global, and not from every server."""

    depth: int
    maintype: bytes
    subtype: bytes
    parameters: Parameters = ()
    content_id: bytes | None = None
    description: bytes | None = None
    encoding: bytes = b"7bit"
    size: int = 0
    lines: int | None = None
    envelope: Envelope | None = None
    extension: Extension | None = None

    @property
    def is_multipart(self) -> bool:
        return self.maintype.lower() == b"multipart"


BodyStructure: TypeAlias = tuple[BodyPart, ...]


def format_body(structure: BodyStructure) -> bytes:
    """body"""
    pieces: list[bytes] = []
    waiting: list[tuple[int, bytes]] = []  # depth of each part that is open, and what ends it
    for part in structure:
        while waiting and waiting[-1][0] >= part.depth:
            pieces.append(waiting.pop()[1])
        head, tail = _halves(part)
        pieces.append(head)
        waiting.append((part.depth, tail))
    pieces += [tail for _, tail in reversed(waiting)]
    return b"".join(pieces)


def _halves(part: BodyPart) -> tuple[bytes, bytes]:
    """What stands before a part's children, and behind them."""
    extension = b"" if part.extension is None else _extension(part, part.extension)
    if part.is_multipart:
        return b"(", b" %b%b)" % (format_octets(part.subtype), extension)
    head = b"(%b %b %b %b %b %b %d" % (
        format_octets(part.maintype),
        format_octets(part.subtype),
        _parameters(part.parameters),
        format_octets(part.content_id),
        format_octets(part.description),
        format_octets(part.encoding),
        part.size,
    )
    if part.envelope is not None:
        head += b" %b " % format_envelope(part.envelope)
    return head, b"%b%b)" % (b"" if part.lines is None else b" %d" % part.lines, extension)


def _extension(part: BodyPart, extension: Extension) -> bytes:
    """SP body-ext-1part / SP body-ext-mpart"""
    disposition = extension.disposition
    return b" %b %b %b %b" % (
        _parameters(part.parameters) if part.is_multipart else format_octets(extension.md5),
        b"NIL" if disposition is None else b"(%b %b)" % (format_octets(disposition.kind), _parameters(disposition.parameters)),
        b"(%b)" % b" ".join(map(format_octets, extension.languages)) if extension.languages else b"NIL",
        format_octets(extension.location),
    )


def _parameters(parameters: Parameters) -> bytes:
    """body-fld-param"""
    if not parameters:
        return b"NIL"
    return b"(%b)" % b" ".join([format_octets(name) + b" " + format_octets(value) for name, value in parameters])
