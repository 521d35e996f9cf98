"""CAPABILITY, ENABLED, ID (RFC 9051 sections 7.2.1 and 7.2.2, RFC 5161, 2971)."""

from dataclasses import dataclass

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Reader
from postwren.protocols.imap.value import format_string

__all__ = [
    "CapabilityList",
    "Enabled",
    "ServerId",
    "format_capability",
    "format_enabled",
    "format_id",
    "parse_capability",
    "parse_enabled",
    "parse_id",
]


@dataclass(frozen=True, slots=True)
class CapabilityList:
    """Names as they were written."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enabled:
    """What an ENABLE switched on; may be nothing."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerId:
    """RFC 2971; None is NIL."""

    fields: tuple[tuple[str, str | None], ...] | None


def format_capability(response: CapabilityList, is_utf8: bool) -> bytes:  # noqa: ARG001 - names are atoms
    """capability-data"""
    return " ".join(("* CAPABILITY", *response.names)).encode("ascii") + b"\r\n"


def format_enabled(response: Enabled, is_utf8: bool) -> bytes:  # noqa: ARG001 - names are atoms
    """enable-data"""
    return " ".join(("* ENABLED", *response.names)).encode("ascii") + b"\r\n"


def format_id(response: ServerId, is_utf8: bool) -> bytes:
    """id_response (RFC 2971 section 4)"""
    if response.fields is None:
        return b"* ID NIL\r\n"
    pairs = [format_string(field, is_utf8) + b" " + format_string(value, is_utf8) for field, value in response.fields]
    return b"* ID (%b)\r\n" % b" ".join(pairs)


def parse_capability(reader: Reader) -> CapabilityList:
    """capability-data, behind the word"""
    return CapabilityList(reader.words())


def parse_enabled(reader: Reader) -> Enabled:
    """enable-data, behind the word"""
    return Enabled(reader.words())


def parse_id(reader: Reader) -> ServerId:
    """id_response, behind the word"""
    reader.space()
    tree = reader.tree()
    if tree is None:
        return ServerId(None)
    if not isinstance(tree, list) or len(tree) % 2:
        raise Unparsable
    words = [reader.text_of(word) if isinstance(word, bytes) else None if word is None else str(word) for word in tree]
    return ServerId(tuple([(field or "", value) for field, value in zip(words[::2], words[1::2], strict=True)]))
