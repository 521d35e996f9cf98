"""URLs of messages here, and of parts of them (RFC 5092 section 5), signed by their owner (RFC 4467): what IMAP's URLFETCH and
submission's BURL both follow.

    imap://ann%40example.org@host/INBOX/;UID=1/;SECTION=2;EXPIRE=...;URLAUTH=submit+ann%40example.org:internal:01<hex>

The token is an HMAC of all before it under a key of the mailbox (A-45, A-49): a URL is worth nothing without it, whatever host it
names. What leads nowhere is one error, for whatever reason.
"""

import hmac
import re
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import unquote

from postwren.mailstore.model import Email, Mailbox
from postwren.mailstore.port import Reader
from postwren.protocols.imap.command.fetch import Section, SectionText
from postwren.server.imap.section import Found, MessageOctets, narrowed
from postwren.terms import AccountId, MailboxId

__all__ = [
    "KEY_KIND",
    "LONGEST",
    "RUMP",
    "BadUrlFound",
    "SignedUrl",
    "follow",
    "key_of",
    "octets_of",
    "partial_of",
    "section_of",
    "token_of",
]

LONGEST: Final = 8192
KEY_KIND: Final = "urlauth"
RUMP: Final = re.compile(
    r"imap://(?P<owner>[^@/]+)@[^/]+/(?P<mailbox>[^;]+?)(?:;UIDVALIDITY=(?P<uidvalidity>\d{1,10}))?/;UID=(?P<uid>\d{1,10})"
    r"(?:/;SECTION=(?P<section>[^;/]*))?(?:/;PARTIAL=(?P<offset>\d{1,19})(?:\.(?P<length>\d{1,19}))?)?"
    r"(?:;EXPIRE=(?P<expire>[0-9T:.Z+-]{20,35}))?;URLAUTH=(?P<access>anonymous|authuser|(?:user|submit)\+[^:;/]+)",
    re.IGNORECASE,
)
_SECTION: Final = re.compile(r"(?P<parts>\d+(?:\.\d+)*)?(?:(?:^|(?<=\d)\.)(?P<text>HEADER|TEXT|MIME))?", re.IGNORECASE)
_FIELDS: Final = re.compile(
    r"(?:(?P<parts>\d+(?:\.\d+)*)\.)?(?P<text>HEADER\.FIELDS(?:\.NOT)?) ?\((?P<names>[^()]*)\)", re.IGNORECASE
)
_NOBODY, _NOTHING = AccountId(0), MailboxId(0)


class BadUrlFound(Exception):
    """There is no such thing, or it may not be read."""


class SignedUrl(NamedTuple):
    """What a signed URL leads to."""

    mailbox: Mailbox
    email: Email
    section: Section
    partial: tuple[int, int] | None


def follow(reader: Reader, url: str, is_for: Callable[[str, str], bool], now: float) -> SignedUrl:
    """BadUrlFound where it is not signed, over, leads to nothing, or is not for who asks: `is_for` judges its access identifier
    (RFC 4467 section 3) by kind and name, kinds in lower case."""
    rump, _, signature = url.rpartition(":internal:")
    match = RUMP.fullmatch(rump) if len(url) <= LONGEST else None
    if match is None or not _admits(match["access"], is_for) or _is_over(match["expire"], now):
        raise BadUrlFound
    owner = reader.account_by_login(unquote(match["owner"]).lower())
    mailbox = reader.mailbox_by_name(owner.account_id if owner is not None else _NOBODY, unquote(match["mailbox"]))
    key = key_of(reader, *(mailbox[:2] if mailbox is not None else (_NOBODY, _NOTHING)))
    token = token_of(key or b"", rump)  # made in any case: the time tells nothing
    if mailbox is None or key is None or not hmac.compare_digest(token.encode(), signature.lower().encode()):
        raise BadUrlFound
    if match["uidvalidity"] is not None and int(match["uidvalidity"]) != mailbox.uidvalidity:
        raise BadUrlFound
    uid = int(match["uid"])
    for entry in reader.entries(mailbox.account_id, mailbox.mailbox_id, [(uid, uid)]):
        email = reader.email(entry.account_id, entry.email_id)
        if email is not None:
            return SignedUrl(mailbox, email, section_of(unquote(match["section"] or "")), partial_of(match))
    raise BadUrlFound


def _admits(access: str, is_for: Callable[[str, str], bool]) -> bool:
    kind, _, name = access.partition("+")
    return is_for(kind.lower(), unquote(name).lower())


def _is_over(expire: str | None, now: float) -> bool:
    if expire is None:
        return False
    try:
        return datetime.fromisoformat(expire.replace("Z", "+00:00").replace("z", "+00:00")).timestamp() < now
    except ValueError:
        return True


def key_of(reader: Reader, account_id: AccountId, mailbox_id: MailboxId) -> bytes | None:
    """The key of a mailbox's URLs, if any was ever signed since the last RESETKEY."""
    rows = reader.properties(account_id, mailbox_id, KEY_KIND)
    return rows[0].value if rows else None


def token_of(key: bytes, rump: str) -> str:
    """The signature of a URL's rump (RFC 4467 section 6)."""
    return "01" + hmac.new(key, rump.encode(), sha256).hexdigest()


def octets_of(message: MessageOctets, found: Found, partial: tuple[int, int] | None) -> bytes:
    """What a section of a message is; BadUrlFound where there is none."""
    if found is None:
        raise BadUrlFound
    octets = found if isinstance(found, bytes) else bytes(message.octets[found[0] : found[1]])
    start, end = narrowed((0, len(octets)), partial)
    return octets[start:end]


def partial_of(match: "re.Match[str]") -> tuple[int, int] | None:
    """PARTIAL of a URL: the first octet and how many."""
    return None if match["offset"] is None else (int(match["offset"]), int(match["length"] or 1 << 62))


def section_of(text: str) -> Section:
    """SECTION of a URL; BadUrlFound."""
    match = _SECTION.fullmatch(text)
    if match is None:
        match = _FIELDS.fullmatch(text)
        if match is None:
            raise BadUrlFound
        names = tuple(name.lower().encode() for name in match["names"].replace('"', "").split())
        return Section(_numbers(match["parts"]), SectionText(match["text"].upper()), names)
    return Section(_numbers(match["parts"]), SectionText(match["text"].upper()) if match["text"] else None)


def _numbers(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    if len(text) > 200:
        raise BadUrlFound
    return tuple(map(int, text.split(".")))
