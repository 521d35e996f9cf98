"""CATENATE: a message put together of texts and of parts of messages that are there (RFC 4469; URLs: RFC 5092 section 5).

Only URLs of this server are followed, with the rights of the session that names them; everything else is a bad one.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import BodyRef
from postwren.message.octets import cut
from postwren.protocols.imap.command.fetch import Section
from postwren.server.imap import place
from postwren.server.imap.section import MessageOctets, narrowed
from postwren.server.imap.session import ImapSession
from postwren.server.imap.signedurl import LONGEST, BadUrlFound, partial_of, section_of

__all__ = ["read_url"]

PIECE: Final = 1 << 18
_URL: Final = re.compile(
    r"(?:imap://[^/]*)?/(?P<mailbox>[^;]+?)(?:;UIDVALIDITY=(?P<uidvalidity>\d{1,10}))?/;UID=(?P<uid>\d{1,10})"
    r"(?:/;SECTION=(?P<section>[^;/]*))?(?:/;PARTIAL=(?P<offset>\d{1,19})(?:\.(?P<length>\d{1,19}))?)?",
    re.IGNORECASE,
)


def read_url(session: ImapSession, url: str) -> Iterator[bytes]:
    """The octets that a URL names, in pieces; BadUrlFound before the first."""
    match = _URL.fullmatch(url) if len(url) <= LONGEST else None
    if match is None:
        raise BadUrlFound
    found = place.find(session, unquote(match["mailbox"], errors="strict"))
    if found is None or "r" not in found.rights:
        raise BadUrlFound
    uidvalidity, uid = match["uidvalidity"], int(match["uid"])
    if uidvalidity is not None and int(uidvalidity) != found.mailbox.uidvalidity:
        raise BadUrlFound
    section = section_of(unquote(match["section"] or ""))
    partial = partial_of(match)
    reader = session.service.store.reader
    for entry in reader.entries(found.account_id, found.mailbox.mailbox_id, [(uid, uid)]):
        email = reader.email(found.account_id, entry.email_id)
        if email is not None:
            return _pieces(session, email.body, section, partial)
    raise BadUrlFound


def _pieces(session: ImapSession, ref: BodyRef, section: Section, partial: tuple[int, int] | None) -> Iterator[bytes]:
    try:
        with session.service.store.mapped_body(ref) as octets:
            found = MessageOctets(octets).section(section)
            if found is None:
                raise BadUrlFound
            if isinstance(found, bytes):
                start, end = narrowed((0, len(found)), partial)
                yield found[start:end]
                return
            start, end = narrowed(found, partial)
            for at in range(start, end, PIECE):
                yield cut(octets, at, min(at + PIECE, end))
    except (BodyCorrupt, MessageGone) as error:
        raise BadUrlFound from error
