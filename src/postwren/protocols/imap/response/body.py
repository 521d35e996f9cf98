"""BODY and BODYSTRUCTURE (RFC 9051 section 7.5.2). A structure is flat here, a row a part in preorder, so that no depth of
nesting needs a stack. Strings are octets as the server sent them; types and encodings compare without regard to case."""

from dataclasses import dataclass
from typing import TypeAlias

from postwren.protocols.imap import quirk
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Tree
from postwren.protocols.imap.response.envelope import Envelope, envelope_of, format_envelope, octets_of
from postwren.protocols.imap.value import format_octets

__all__ = ["BodyPart", "BodyStructure", "Disposition", "Extension", "Parameters", "body_of", "format_body"]

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


def body_of(tree: Tree) -> BodyStructure:
    """body, of any depth in a loop."""
    parts: list[BodyPart] = []
    waiting: list[tuple[int, Tree]] = [(0, tree)]
    while waiting:
        depth, node = waiting.pop()
        if not isinstance(node, list):
            raise Unparsable
        first = 0
        while first < len(node) and isinstance(node[first], list):
            first += 1
        if first:
            parts.append(_multipart_of(depth, node[first:]))
            waiting += [(depth + 1, child) for child in reversed(node[:first])]
        elif quirk.is_multipart_without_parts(node):
            parts.append(_multipart_of(depth, node if node and node[0] is not None else node[1:]))
        else:
            part, child = _single_of(depth, node)
            parts.append(part)
            waiting += [(depth + 1, child)] if child is not None else []
    return tuple(parts)


def _multipart_of(depth: int, rest: list[Tree]) -> BodyPart:
    """media-subtype [SP body-ext-mpart]"""
    subtype = (octets_of(rest[0]) if rest else None) or b"mixed"
    if len(rest) < 2:
        return BodyPart(depth, b"multipart", subtype)
    return BodyPart(depth, b"multipart", subtype, _parameters_of(rest[1]), extension=_extension_of(None, rest[2:]))


def _single_of(depth: int, node: list[Tree]) -> tuple[BodyPart, Tree]:
    """body-type-1part, and the body inside a message"""
    fields = [*node[:7], *[None] * (7 - len(node))]
    maintype, subtype = octets_of(fields[0]) or b"text", octets_of(fields[1]) or b"plain"
    rest = node[7:]
    envelope: Envelope | None = None
    child: Tree = None
    is_message = maintype.lower() == b"message" and subtype.lower() in (b"rfc822", b"global")
    if is_message and len(rest) > 1 and not quirk.is_without_envelope(rest[0]):
        envelope, child, rest = envelope_of(rest[0]), rest[1], rest[2:]
    lines: int | None = None
    if (is_message or maintype.lower() == b"text") and rest and (envelope or not is_message or isinstance(rest[0], int)):
        lines, rest = _number_of(rest[0]), rest[1:]
    part = BodyPart(
        depth,
        maintype,
        subtype,
        _parameters_of(fields[2]),
        octets_of(fields[3]),
        octets_of(fields[4]),
        octets_of(fields[5]) or b"7bit",
        _number_of(fields[6]),
        lines,
        envelope,
        _extension_of(octets_of(rest[0]), rest[1:]) if rest else None,
    )
    return part, child


def _number_of(tree: Tree) -> int:
    """body-fld-octets, body-fld-lines"""
    if isinstance(tree, int):
        return tree
    match = quirk.LOOSE_NUMBER.fullmatch(tree) if isinstance(tree, bytes) else None
    return quirk.number(match[1]) if match else 0


def _parameters_of(tree: Tree) -> Parameters:
    """body-fld-param"""
    if not isinstance(tree, list):
        return ()
    words = [octets_of(word) or b"" for word in tree]
    return tuple(zip(words[::2], words[1::2], strict=False))


def _extension_of(md5: bytes | None, rest: list[Tree]) -> Extension:
    """[SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc *(SP body-extension)]]]"""
    disposition: Disposition | None = None
    match rest[0] if rest else None:
        case [bytes() as kind, *parameters]:
            disposition = Disposition(kind, _parameters_of(parameters[0]) if parameters else ())
        case bytes() as kind:
            disposition = Disposition(kind)  # without its parentheses
        case _:
            pass
    languages = rest[1] if len(rest) > 1 else None
    words = languages if isinstance(languages, list) else [languages]
    location = octets_of(rest[2]) if len(rest) > 2 else None
    return Extension(md5, disposition, tuple([word for word in words if isinstance(word, bytes)]), location)
