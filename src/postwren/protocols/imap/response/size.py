"""What a selected mailbox holds: EXISTS, RECENT, EXPUNGE, VANISHED, FLAGS (RFC 9051 sections 7.3.5, 7.4 and 7.5.1, RFC 3501,
RFC 7162 section 3.2.10)."""

from dataclasses import dataclass

from postwren.protocols.imap.reader import Reader
from postwren.protocols.imap.value import Ranges, format_flags, format_ranges

__all__ = [
    "Exists",
    "Expunged",
    "FlagList",
    "Recent",
    "Vanished",
    "format_exists",
    "format_expunged",
    "format_flag_list",
    "format_recent",
    "format_vanished",
    "parse_flag_list",
    "parse_vanished",
]


@dataclass(frozen=True, slots=True)
class Exists:
    count: int


@dataclass(frozen=True, slots=True)
class Recent:
    """RFC 3501 section 7.3.2."""

    count: int


@dataclass(frozen=True, slots=True)
class Expunged:
    """EXPUNGE: every number above it falls by one at once."""

    seqnum: int


@dataclass(frozen=True, slots=True)
class Vanished:
    """UIDs; `is_earlier`: they went before now, and no sequence number changes (VANISHED (EARLIER))."""

    uids: Ranges
    is_earlier: bool = False


@dataclass(frozen=True, slots=True)
class FlagList:
    """FLAGS: what messages of the mailbox may have."""

    flags: tuple[str, ...]


def format_exists(response: Exists, is_utf8: bool) -> bytes:  # noqa: ARG001
    """number SP "EXISTS\""""
    return b"* %d EXISTS\r\n" % response.count


def format_recent(response: Recent, is_utf8: bool) -> bytes:  # noqa: ARG001
    """obsolete-recent-response"""
    return b"* %d RECENT\r\n" % response.count


def format_expunged(response: Expunged, is_utf8: bool) -> bytes:  # noqa: ARG001
    """nz-number SP "EXPUNGE\""""
    return b"* %d EXPUNGE\r\n" % response.seqnum


def format_vanished(response: Vanished, is_utf8: bool) -> bytes:  # noqa: ARG001
    """expunged-resp"""
    return b"* VANISHED %b%b\r\n" % (b"(EARLIER) " if response.is_earlier else b"", format_ranges(response.uids))


def format_flag_list(response: FlagList, is_utf8: bool) -> bytes:  # noqa: ARG001
    """ "FLAGS" SP flag-list"""
    return b"* FLAGS %b\r\n" % format_flags(response.flags)


def parse_vanished(reader: Reader) -> Vanished:
    """expunged-resp, behind the word"""
    reader.space()
    is_earlier = reader.skip(b"(EARLIER)") or (not reader.is_strict and reader.skip(b"(earlier)"))
    if is_earlier:
        reader.space()
    return Vanished(reader.ranges(), is_earlier)


def parse_flag_list(reader: Reader) -> FlagList:
    """SP flag-list"""
    reader.space()
    return FlagList(reader.flag_list())
