"""The responses of IMAP: a file a family: dataclass, parser, formatter.

    format_response(response, is_utf8) -> octets with CRLF
    parse_response(text) -> a response, or `Unreadable`; never raises

Mailbox names and flags are decoded text, numbers are ints; what a message says (ENVELOPE, BODYSTRUCTURE, sections) stays octets.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from postwren.protocols.imap import quirk
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.numset import STAR
from postwren.protocols.imap.reader import Reader
from postwren.protocols.imap.response.capability import (
    CapabilityList,
    Enabled,
    ServerId,
    format_capability,
    format_enabled,
    format_id,
    parse_capability,
    parse_enabled,
    parse_id,
)
from postwren.protocols.imap.response.condition import (
    Condition,
    Continuation,
    Status,
    Tagged,
    format_condition,
    format_continuation,
    format_tagged,
    parse_condition,
    parse_continuation,
    parse_tagged,
)
from postwren.protocols.imap.response.fetch import Fetched, format_fetch_flags, format_fetched, parse_fetched
from postwren.protocols.imap.response.list import ListEntry, MailboxStatus, format_list, format_status, parse_list, parse_status
from postwren.protocols.imap.response.search import (
    Esearch,
    SearchResult,
    format_esearch,
    format_search,
    parse_esearch,
    parse_search,
)
from postwren.protocols.imap.response.sharing import (
    Acl,
    ListedRights,
    Metadata,
    MetadataChanged,
    Namespaces,
    OwnRights,
    Quota,
    QuotaRoots,
    format_acl,
    format_listed_rights,
    format_metadata,
    format_metadata_changed,
    format_namespaces,
    format_own_rights,
    format_quota,
    format_quota_roots,
    parse_acl,
    parse_listed_rights,
    parse_metadata,
    parse_namespaces,
    parse_own_rights,
    parse_quota,
    parse_quota_roots,
)
from postwren.protocols.imap.response.size import (
    Exists,
    Expunged,
    FlagList,
    Recent,
    Vanished,
    format_exists,
    format_expunged,
    format_flag_list,
    format_recent,
    format_vanished,
    parse_flag_list,
    parse_vanished,
)
from postwren.protocols.imap.response.thread import ThreadResult, format_thread, parse_thread
from postwren.protocols.imap.response.url import (
    GeneratedUrls,
    UrlsFetched,
    format_generated_urls,
    format_urls_fetched,
    parse_generated_urls,
    parse_urls_fetched,
)

__all__ = [
    "Continuation",
    "Rendered",
    "Response",
    "Status",
    "Tagged",
    "Unreadable",
    "Untagged",
    "format_fetch_flags",
    "format_response",
    "parse_response",
]

Untagged: TypeAlias = (
    Acl
    | CapabilityList
    | Condition
    | Enabled
    | Esearch
    | Exists
    | Expunged
    | Fetched
    | FlagList
    | GeneratedUrls
    | ListEntry
    | ListedRights
    | MailboxStatus
    | Metadata
    | MetadataChanged
    | Namespaces
    | OwnRights
    | Quota
    | QuotaRoots
    | Recent
    | SearchResult
    | ServerId
    | ThreadResult
    | UrlsFetched
    | Vanished
)
"""What a server says by itself or on the way to an answer."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Whole responses that their sender rendered, each with its CRLF; an iterator is pulled while the peer keeps up."""

    octets: bytes | Iterator[bytes]


Response: TypeAlias = Untagged | Tagged | Continuation

_FORMATS: Final[dict[type[Any], Callable[[Any, bool], bytes]]] = {
    Acl: format_acl,
    CapabilityList: format_capability,
    Condition: format_condition,
    Continuation: format_continuation,
    Enabled: format_enabled,
    Esearch: format_esearch,
    Exists: format_exists,
    Expunged: format_expunged,
    Fetched: format_fetched,
    FlagList: format_flag_list,
    GeneratedUrls: format_generated_urls,
    ListEntry: format_list,
    ListedRights: format_listed_rights,
    MailboxStatus: format_status,
    Metadata: format_metadata,
    MetadataChanged: format_metadata_changed,
    Namespaces: format_namespaces,
    OwnRights: format_own_rights,
    Quota: format_quota,
    QuotaRoots: format_quota_roots,
    Recent: format_recent,
    SearchResult: format_search,
    ServerId: format_id,
    Tagged: format_tagged,
    ThreadResult: format_thread,
    UrlsFetched: format_urls_fetched,
    Vanished: format_vanished,
}


def format_response(response: Response, is_utf8: bool) -> bytes:
    """Octets with their CRLF, all of them ASCII but for literals, and quoted strings where `is_utf8`."""
    return _FORMATS[type(response)](response, is_utf8)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line of the server that we cannot read, or a kind of response that we do not know. The next line can be read again."""

    octets: bytes


_PARSES: Final[dict[bytes, Callable[[Reader], Untagged]]] = {
    b"ACL": parse_acl,
    b"CAPABILITY": parse_capability,
    b"ENABLED": parse_enabled,
    b"ESEARCH": parse_esearch,
    b"FLAGS": parse_flag_list,
    b"GENURLAUTH": parse_generated_urls,
    b"ID": parse_id,
    b"LIST": lambda reader: parse_list(reader, is_lsub=False),
    b"LISTRIGHTS": parse_listed_rights,
    b"LSUB": lambda reader: parse_list(reader, is_lsub=True),
    b"METADATA": parse_metadata,
    b"MYRIGHTS": parse_own_rights,
    b"NAMESPACE": parse_namespaces,
    b"QUOTA": parse_quota,
    b"QUOTAROOT": parse_quota_roots,
    b"SEARCH": lambda reader: parse_search(reader, is_sort=False),
    b"SORT": lambda reader: parse_search(reader, is_sort=True),
    b"STATUS": parse_status,
    b"THREAD": parse_thread,
    b"URLFETCH": parse_urls_fetched,
    b"VANISHED": parse_vanished,
    b"XLIST": lambda reader: parse_list(reader, is_lsub=False),
    **{status.value.encode(): partial(parse_condition, status=status) for status in Status},
}
_PARSES_NUMBERED: Final[dict[bytes, Callable[[Reader, int], Untagged]]] = {
    b"EXISTS": lambda _, number: Exists(number),
    b"EXPUNGE": lambda _, number: Expunged(number),
    b"FETCH": partial(parse_fetched, is_uidfetch=False),
    b"RECENT": lambda _, number: Recent(number),
    b"UIDFETCH": partial(parse_fetched, is_uidfetch=True),
}
_START: Final = re.compile(rb"\* (?:([0-9]{1,10}) )?([A-Za-z]+)")
_TAG: Final = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]+) ")


def parse_response(
    text: bytes, *, is_utf8: bool = False, is_strict: bool = False, streamed: Mapping[int, int] | None = None
) -> Response | Unreadable:
    """A response without its CRLF, literals in their places; `streamed` are positions behind announcements whose octets are not
    there, with their sizes. `is_strict`: nothing but the grammar."""
    reader = Reader(text, is_utf8=is_utf8, is_strict=is_strict, streamed=streamed)
    try:
        response = _parse(reader)
        reader.end()
    except (Unparsable, UnicodeDecodeError, OverflowError):
        return Unreadable(text)
    return response


def _parse(reader: Reader) -> Response:
    text = reader.text
    if text.startswith(b"+"):
        if reader.is_strict and not text.startswith(b"+ "):
            raise Unparsable
        reader.position = len(text)
        return parse_continuation(text[1:])
    match = (_START if reader.is_strict else quirk.LINE_START).match(text)
    if match is None:
        tag = reader.match(_TAG)[1].decode()
        return parse_tagged(reader, tag)
    reader.position = match.end()
    word = match[2].upper()
    if match[1] is None:
        parse = _PARSES.get(word)
        if parse is None or (reader.is_strict and word == b"XLIST"):
            raise Unparsable
        return parse(reader)
    number = int(match[1])
    numbered = _PARSES_NUMBERED.get(word)
    if numbered is None or number >= STAR or (number == 0 and word not in (b"EXISTS", b"RECENT")):
        raise Unparsable
    return numbered(reader, number)
