"""GENURLAUTH, URLFETCH, RESETKEY (RFC 4467, 5524): the owner of a message signs a URL, and whom it names may fetch that one
thing.

    imap://ann%40example.org@host/INBOX/;UID=1/;SECTION=2;EXPIRE=...;URLAUTH=user+ben%40example.org:internal:01<hex>

The token is an HMAC of all before it under a key of the mailbox, which RESETKEY throws away (A-45, A-49): a URL is worth nothing
without it, whatever host it names. What cannot be fetched is NIL, for whatever reason.
"""

import hmac
import re
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

from postwren.mailstore.model import Mailbox, Property
from postwren.mailstore.port import Transaction, Unit
from postwren.message.digest import digest
from postwren.message.sevenbit import seven_bit
from postwren.protocols.imap.code import UrlMech
from postwren.protocols.imap.command.fetch import Section, SectionText
from postwren.protocols.imap.command.url import GenUrlAuth, ResetKey, UrlFetch, UrlFetchItem
from postwren.protocols.imap.response import Status
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.url import FetchedUrl, GeneratedUrls, UrlsFetched
from postwren.server.imap.catenate import BadUrlFound, partial_of, section_of
from postwren.server.imap.place import NOBODY, NOTHING, find, own_places, reach
from postwren.server.imap.refusal import NO_RIGHTS, Refusal
from postwren.server.imap.section import MessageOctets, UnknownEncoding, narrowed, without_nul
from postwren.server.imap.session import ImapSession, waiting
from postwren.terms import AccountId, MailboxId

__all__ = ["COMMANDS"]

MECHANISM: Final = "INTERNAL"
KIND, NAME = "urlauth", "key"
LONGEST: Final = 8_192
MOST_OCTETS: Final = 64 << 20  # of one answer
BAD_URL: Final = Refusal("no URL that can be signed here", None, Status.BAD)
NO_MECHANISM: Final = Refusal("the mechanism is INTERNAL", UrlMech(), Status.BAD)

_RUMP: Final = re.compile(
    r"imap://(?P<owner>[^@/]+)@[^/]+/(?P<mailbox>[^;]+?)(?:;UIDVALIDITY=(?P<uidvalidity>\d{1,10}))?/;UID=(?P<uid>\d{1,10})"
    r"(?:/;SECTION=(?P<section>[^;/]*))?(?:/;PARTIAL=(?P<offset>\d{1,19})(?:\.(?P<length>\d{1,19}))?)?"
    r"(?:;EXPIRE=(?P<expire>[0-9T:.Z+-]{20,35}))?;URLAUTH=(?P<access>anonymous|authuser|(?:user|submit)\+[^:;/]+)",
    re.IGNORECASE,
)


def _key_of(session: ImapSession, account_id: AccountId, mailbox_id: MailboxId) -> bytes | None:
    rows = session.service.store.reader.properties(account_id, mailbox_id, KIND)
    return rows[0].value if rows else None


def _token(key: bytes, rump: str) -> str:
    return "01" + hmac.new(key, rump.encode(), sha256).hexdigest()


async def generate(session: ImapSession, tag: str, command: GenUrlAuth) -> None:
    """RFC 4467 section 7: of one's own mailboxes only, as the URL says whose it is."""
    urls = []
    for rump, mechanism in command.urls:
        if mechanism != MECHANISM:
            session.refuse(tag, NO_MECHANISM)
            return
        match = _RUMP.fullmatch(rump) if len(rump) <= LONGEST else None
        found = find(session, unquote(match["mailbox"])) if match is not None else None
        if (
            match is None
            or unquote(match["owner"]).lower() != session.login
            or found is None
            or found.account_id != session.account_id
        ):
            session.refuse(tag, BAD_URL)
            return
        key = _key_of(session, *found.mailbox[:2])
        if key is None:
            key = session.service.random(32)
            await session.service.store.perform(_set_keys([found.mailbox], key))
        urls.append(f"{rump}:internal:{_token(key, rump)}")
    session.say(GeneratedUrls(tuple(urls)))
    session.finish(tag, "GENURLAUTH done")


def _set_keys(mailboxes: list[Mailbox], key: bytes | None) -> Unit[None]:
    def unit(tx: Transaction) -> None:
        for mailbox in mailboxes:
            where: tuple[AccountId, MailboxId] = (mailbox.account_id, mailbox.mailbox_id)
            if key is None:
                tx.delete_property(*where, KIND, NAME)
            elif tx.mailbox(*where) is not None:
                tx.put_property(Property(*where, KIND, NAME, key))

    return unit


async def reset(session: ImapSession, tag: str, command: ResetKey) -> None:
    """Section 7: the next GENURLAUTH makes another key; URLs that were signed with this one lead nowhere."""
    if command.mailbox is None:
        mailboxes = [place.mailbox for place in own_places(session)]
    else:
        found = reach(session, command.mailbox)
        if found.account_id != session.account_id:
            session.refuse(tag, NO_RIGHTS)
            return
        mailboxes = [found.mailbox]
    await session.service.store.perform(_set_keys(mailboxes, None))
    if command.mailbox is not None:
        session.say(Condition(Status.OK, "signed with this", UrlMech((MECHANISM,))))
    session.finish(tag, "RESETKEY done")


async def fetch(session: ImapSession, tag: str, command: UrlFetch) -> None:
    left = MOST_OCTETS
    fetched = []
    for item in command.items:
        try:
            answer = _fetched(session, item, left)
        except (BadUrlFound, UnknownEncoding, UnicodeDecodeError):
            answer = FetchedUrl(item.url, None, tuple((name, None) for name in item.extras))
        left -= len(answer.octets or b"") + sum(len(octets or b"") for _, octets in answer.extras)
        fetched.append(answer)
    session.say(UrlsFetched(tuple(fetched)))
    session.finish(tag, "URLFETCH done")


def _fetched(session: ImapSession, item: UrlFetchItem, left: int) -> FetchedUrl:
    """What a URL leads to; BadUrlFound where it is not signed, over, not for this session, or leads to nothing."""
    rump, _, rest = item.url.rpartition(":internal:")
    match = _RUMP.fullmatch(rump) if len(item.url) <= LONGEST else None
    if match is None or not _is_for(session, match["access"]) or _is_over(session, match["expire"]):
        raise BadUrlFound
    reader = session.service.store.reader
    owner = reader.account_by_login(unquote(match["owner"]).lower())
    mailbox = reader.mailbox_by_name(owner.account_id if owner is not None else NOBODY, unquote(match["mailbox"]))
    key = _key_of(session, *(mailbox[:2] if mailbox is not None else (NOBODY, NOTHING)))
    token = _token(key or b"", rump)  # made in any case: the time tells nothing
    if mailbox is None or key is None or not hmac.compare_digest(token.encode(), rest.lower().encode()):
        raise BadUrlFound
    if match["uidvalidity"] is not None and int(match["uidvalidity"]) != mailbox.uidvalidity:
        raise BadUrlFound
    uid = int(match["uid"])
    for entry in reader.entries(mailbox.account_id, mailbox.mailbox_id, [(uid, uid)]):
        email = reader.email(entry.account_id, entry.email_id)
        if email is not None and email.body.size <= left:
            message = MessageOctets(b"".join(session.service.store.body_pieces(email.body)))
            return _parts(
                message, item, section_of(unquote(match["section"] or "")), partial_of(match), is_utf8=session.core.is_utf8
            )
    raise BadUrlFound


def _is_for(session: ImapSession, access: str) -> bool:
    """RFC 4467 section 3: `submit+` is for submission servers, which this session is none of."""
    kind, _, name = access.partition("+")
    kind = kind.lower()
    return kind in ("anonymous", "authuser") or (kind == "user" and unquote(name).lower() == session.login)


def _is_over(session: ImapSession, expire: str | None) -> bool:
    if expire is None:
        return False
    try:
        return datetime.fromisoformat(expire.replace("Z", "+00:00").replace("z", "+00:00")).timestamp() < session.service.now()
    except ValueError:
        return True


def _parts(
    message: MessageOctets, item: UrlFetchItem, section: Section, partial: tuple[int, int] | None, *, is_utf8: bool
) -> FetchedUrl:
    if not item.extras:
        return FetchedUrl(item.url, without_nul(_octets(message, message.section(section), partial)))
    values: list[tuple[str, bytes | None]] = []
    for name in item.extras:
        if name == "BODYPARTSTRUCTURE":
            structure = digest(b"".join(_entity(message, section))).bodystructure
            values.append((name, structure if is_utf8 else seven_bit(structure)))
        elif name == "BINARY":
            values.append((name, _octets(message, message.binary(section.parts), partial)))
        else:
            values.append((name, without_nul(_octets(message, message.section(section), partial))))
    return FetchedUrl(item.url, None, tuple(values))


def _octets(message: MessageOctets, found: tuple[int, int] | bytes | None, partial: tuple[int, int] | None) -> bytes:
    if found is None:
        raise BadUrlFound
    octets = found if isinstance(found, bytes) else bytes(message.octets[found[0] : found[1]])
    start, end = narrowed((0, len(octets)), partial)
    return octets[start:end]


def _entity(message: MessageOctets, section: Section) -> Iterator[bytes]:
    """A part with its own header, as if it were a message."""
    if section.parts:
        yield _octets(message, message.section(Section(section.parts, SectionText.MIME)), None)
    yield _octets(message, message.section(Section(section.parts)), None)


COMMANDS: Final = {GenUrlAuth: waiting(generate), UrlFetch: waiting(fetch), ResetKey: waiting(reset)}
