"""GENURLAUTH, URLFETCH, RESETKEY (RFC 4467, 5524): the owner of a message signs a URL, and whom it names may fetch that one
thing.

    imap://ann%40example.org@host/INBOX/;UID=1/;SECTION=2;EXPIRE=...;URLAUTH=user+ben%40example.org:internal:01<hex>

The token is an HMAC of all before it under a key of the mailbox, which RESETKEY throws away (A-45, A-49): a URL is worth nothing
without it, whatever host it names. What cannot be fetched is NIL, for whatever reason.
"""

from collections.abc import Iterator
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
from postwren.server.imap.place import find, own_places, reach
from postwren.server.imap.refusal import NO_RIGHTS, Refusal
from postwren.server.imap.section import MessageOctets, UnknownEncoding, without_nul
from postwren.server.imap.session import ImapSession, waiting
from postwren.server.imap.signedurl import KEY_KIND, LONGEST, RUMP, BadUrlFound, follow, key_of, octets_of, token_of
from postwren.terms import AccountId, MailboxId

__all__ = ["COMMANDS"]

MECHANISM: Final = "INTERNAL"
NAME: Final = "key"
MOST_OCTETS: Final = 64 << 20  # of one answer
BAD_URL: Final = Refusal("no URL that can be signed here", None, Status.BAD)
NO_MECHANISM: Final = Refusal("the mechanism is INTERNAL", UrlMech(), Status.BAD)


async def generate(session: ImapSession, tag: str, command: GenUrlAuth) -> None:
    """RFC 4467 section 7: of one's own mailboxes only, as the URL says whose it is."""
    urls = []
    for rump, mechanism in command.urls:
        if mechanism != MECHANISM:
            session.refuse(tag, NO_MECHANISM)
            return
        match = RUMP.fullmatch(rump) if len(rump) <= LONGEST else None
        found = find(session, unquote(match["mailbox"])) if match is not None else None
        if (
            match is None
            or unquote(match["owner"]).lower() != session.login
            or found is None
            or found.account_id != session.account_id
        ):
            session.refuse(tag, BAD_URL)
            return
        key = key_of(session.service.store.reader, *found.mailbox[:2])
        if key is None:
            key = session.service.random(32)
            await session.service.store.perform(_set_keys([found.mailbox], key))
        urls.append(f"{rump}:internal:{token_of(key, rump)}")
    session.say(GeneratedUrls(tuple(urls)))
    session.finish(tag, "GENURLAUTH done")


def _set_keys(mailboxes: list[Mailbox], key: bytes | None) -> Unit[None]:
    def unit(tx: Transaction) -> None:
        for mailbox in mailboxes:
            where: tuple[AccountId, MailboxId] = (mailbox.account_id, mailbox.mailbox_id)
            if key is None:
                tx.delete_property(*where, KEY_KIND, NAME)
            elif tx.mailbox(*where) is not None:
                tx.put_property(Property(*where, KEY_KIND, NAME, key))

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
    """What a URL leads to; BadUrlFound where it is not for this session, too much, or leads to nothing."""
    store = session.service.store
    named = follow(store.reader, item.url, lambda kind, name: _is_for(session, kind, name), session.service.now())
    if named.email.body.size > left:
        raise BadUrlFound
    message = MessageOctets(b"".join(store.body_pieces(named.email.body)))
    return _parts(message, item, named.section, named.partial, is_utf8=session.core.is_utf8)


def _is_for(session: ImapSession, kind: str, name: str) -> bool:
    """RFC 4467 section 3: `submit+` is for submission servers, which this session is none of."""
    return kind in ("anonymous", "authuser") or (kind == "user" and name == session.login)


def _parts(
    message: MessageOctets, item: UrlFetchItem, section: Section, partial: tuple[int, int] | None, *, is_utf8: bool
) -> FetchedUrl:
    if not item.extras:
        return FetchedUrl(item.url, without_nul(octets_of(message, message.section(section), partial)))
    values: list[tuple[str, bytes | None]] = []
    for name in item.extras:
        if name == "BODYPARTSTRUCTURE":
            structure = digest(b"".join(_entity(message, section))).bodystructure
            values.append((name, structure if is_utf8 else seven_bit(structure)))
        elif name == "BINARY":
            values.append((name, octets_of(message, message.binary(section.parts), partial)))
        else:
            values.append((name, without_nul(octets_of(message, message.section(section), partial))))
    return FetchedUrl(item.url, None, tuple(values))


def _entity(message: MessageOctets, section: Section) -> Iterator[bytes]:
    """A part with its own header, as if it were a message."""
    if section.parts:
        yield octets_of(message, message.section(Section(section.parts, SectionText.MIME)), None)
    yield octets_of(message, message.section(Section(section.parts)), None)


COMMANDS: Final = {GenUrlAuth: waiting(generate), UrlFetch: waiting(fetch), ResetKey: waiting(reset)}
