"""The responses of IMAP: a file a family: dataclass, parser, formatter.

    format_response(response, is_utf8) -> octets with CRLF

Mailbox names and flags are decoded text, numbers are ints; what a message says (ENVELOPE, BODYSTRUCTURE, sections) stays octets.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from postwren.protocols.imap.response.capability import (
    CapabilityList,
    Enabled,
    ServerId,
    format_capability,
    format_enabled,
    format_id,
)
from postwren.protocols.imap.response.condition import (
    Condition,
    Continuation,
    Status,
    Tagged,
    format_condition,
    format_continuation,
    format_tagged,
)
from postwren.protocols.imap.response.fetch import Fetched, format_fetch_flags, format_fetched
from postwren.protocols.imap.response.list import ListEntry, MailboxStatus, format_list, format_status
from postwren.protocols.imap.response.search import Esearch, SearchResult, format_esearch, format_search
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
)
from postwren.protocols.imap.response.thread import ThreadResult, format_thread
from postwren.protocols.imap.response.url import GeneratedUrls, UrlsFetched, format_generated_urls, format_urls_fetched

__all__ = ["Continuation", "Rendered", "Response", "Status", "Tagged", "Untagged", "format_fetch_flags", "format_response"]

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
