"""APPEND, MULTIAPPEND, CATENATE and REPLACE (RFC 9051 section 6.3.12, RFC 3502, 3516, 4469, 6855 section 4, 7889, 8508).

What must stay true: a message is judged (mailbox, rights, size, quota) before its octets come; they go to the store as they come;
all messages of a command are kept, or none (D-30); whatever ends the command otherwise forgets them.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Final

from postwren.mailstore.errors import MailstoreError, MessageGone, OverQuota
from postwren.mailstore.port import BodyWriter, NewBody, Transaction, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.append import Appended, NewMessage, append
from postwren.mailstore.service.expunge import expunge
from postwren.protocols.imap import code
from postwren.protocols.imap.code import AppendUid, BadUrl
from postwren.protocols.imap.command import Append, Replace
from postwren.protocols.imap.command.append import AppendMessage, Octets
from postwren.protocols.imap.event import MessageOffered
from postwren.protocols.imap.numset import STAR
from postwren.protocols.imap.response import Status, Tagged
from postwren.protocols.imap.response.condition import Condition
from postwren.server.imap import place
from postwren.server.imap.catenate import read_url
from postwren.server.imap.copy import TRY_CREATE
from postwren.server.imap.place import Place
from postwren.server.imap.refusal import NO_RIGHTS, NO_SUCH_MESSAGE, READ_ONLY, TOO_BIG, UID_REQUIRED, Refusal, refusal_of
from postwren.server.imap.selected import Selected
from postwren.server.imap.session import ImapSession, Later, numbered
from postwren.server.imap.signedurl import BadUrlFound
from postwren.server.imap.store import NO_SUCH_FLAG, allowed_flags, is_unknown

__all__ = ["COMMANDS", "AppendUpload"]

IN_MEMORY: Final = 1 << 18  # of a text of CATENATE; more of it goes to a file
EMPTY: Final = Refusal("a message without an octet", code.CANNOT)
HAS_NUL: Final = Refusal("NUL needs a literal8", code.CANNOT)
LOST: Final = Refusal("the message was not received", code.CANNOT)
AHEAD: Final = 63
AHEAD_SIZE: Final = 1 << 16
"""APPENDs that have come behind one, and octets of each, which are begun with it."""
Received = BodyWriter | SpooledTemporaryFile[bytes]


class AppendUpload:
    """Implements `session.Upload`. Literals by their number: messages are in the store's hands, texts of CATENATE apart."""

    __slots__ = ("_announced", "_current", "_is_binary", "_room", "_session", "failure", "received")

    def __init__(self, session: ImapSession) -> None:
        self._session = session
        self._announced = 0
        self._room: OverQuota | None = None  # what the account could take when the first message was announced
        self._current: Received | None = None
        self._is_binary = False
        self.received: dict[int, Received] = {}
        self.failure: Refusal | None = None  # while octets came

    def offered(self, event: MessageOffered) -> None:
        refusal = self._objection(event)
        session = self._session
        if refusal is not None:
            session.core.refuse_message(Tagged(event.tag, refusal.status, refusal.text, refusal.code))
            session.forget_upload()
            return
        literal = event.literal
        self._announced += literal.size
        self._is_binary = literal.is_binary or literal.is_utf8
        spool = SpooledTemporaryFile(IN_MEMORY) if literal.is_part else session.service.store.new_body()  # noqa: SIM115
        self._current = self.received[literal.number] = spool
        session.core.accept_message()

    def _objection(self, event: MessageOffered) -> Refusal | None:
        """Before a single octet is taken. What is the same for all messages of the command is asked once: the command asks it
        again when it has come."""
        session = self._session
        if not self._announced:
            refusal = self._first_objection(event)
            if refusal is not None:
                return refusal
        size = self._announced + event.literal.size
        if event.literal.size > session.service.settings.size_limit:
            return TOO_BIG
        if event.literal.size == 0 and not event.literal.is_part:
            return EMPTY
        if self._room is not None and self._room.used + size > self._room.limit:
            return refusal_of(self._room)
        return None

    def _first_objection(self, event: MessageOffered) -> Refusal | None:
        session = self._session
        found = place.find(session, event.mailbox)
        refusal = _may_put(found)
        if refusal is not None or found is None:
            return refusal
        if event.is_replace:  # its quota is judged with the old message gone (RFC 8508 section 3.4), when both are known
            return READ_ONLY if session.selected is not None and session.selected.is_read_only else None
        account = session.service.store.reader.account(found.account_id)
        if account is not None and account.quota:
            self._room = OverQuota(account.quota, account.used)
        return None

    def chunk(self, data: bytes) -> None:
        if self._current is None:
            return
        if not self._is_binary and b"\0" in data:  # RFC 9051 section 9: CHAR8
            self._fail(HAS_NUL)
            return
        try:
            self._current.write(data)
        except MailstoreError as error:
            self._fail(refusal_of(error))

    def _fail(self, refusal: Refusal) -> None:
        self.failure = refusal
        self.discard()

    def ended(self) -> None:
        self._current = None

    def discard(self) -> None:
        self._current = None
        for received in self.received.values():
            _drop(received)
        self.received.clear()


def _drop(received: Received) -> None:
    if isinstance(received, SpooledTemporaryFile):
        received.close()
    else:
        received.discard()


def _may_put(found: Place | None) -> Refusal | None:
    if found is None:
        return TRY_CREATE
    return None if "i" in found.rights else NO_RIGHTS


# -- the commands


@dataclass(frozen=True, slots=True)
class Begun:
    """An APPEND that the store has in hand."""

    command: Append
    outcome: "asyncio.Future[Appended]"


def append_(session: ImapSession, tag: str, command: Append) -> Later:
    begun = session.appended.pop(0) if session.appended else None
    if not isinstance(begun, Begun) or begun.command is not command:
        return session.attempt(tag, _append(session, tag, command))
    if not begun.outcome.done():
        return session.attempt(tag, _append_begun(session, tag, begun))
    error = begun.outcome.exception()
    if isinstance(error, MailstoreError):
        session.refuse(tag, refusal_of(error))
    else:
        session.finish(tag, "APPEND done", _append_uid(begun.outcome.result()))
    return None


async def _append(session: ImapSession, tag: str, command: Append) -> None:
    found, messages = await _prepare(session, tag, command.mailbox, command.messages)
    if found is None:
        return
    begun = _begin(session, command, found, messages)
    if all(message.body.size <= AHEAD_SIZE for message in messages):
        session.appended = [*_following(session, command, found)]
    await _append_begun(session, tag, begun)


async def _append_begun(session: ImapSession, tag: str, begun: Begun) -> None:
    done = await begun.outcome
    if not session.is_closed:
        session.finish(tag, "APPEND done", _append_uid(done))


def _begin(session: ImapSession, command: Append, found: Place, messages: Sequence[NewMessage]) -> Begun:
    bodies = [message.body for message in messages]
    outcome: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()

    def done(result: Appended | None, error: BaseException | None) -> None:
        if error is not None:
            _discard(bodies)
        if outcome.done():  # the wait was cancelled
            return
        if result is not None:
            outcome.set_result(result)
        elif error is not None:
            outcome.set_exception(error)
            outcome.exception()  # who asked may be gone

    unit = append(found.account_id, found.mailbox.mailbox_id, messages, int(session.service.now()))
    session.service.store.write(unit, bodies, done)
    return Begun(command, outcome)


def _following(session: ImapSession, first: Append, found: Place) -> Iterator[Begun]:
    """Messages for the same mailbox that have come behind this one: they are on their way to the disk together. Whatever is
    unusual about one has its own turn."""
    service = session.service
    taken: list[bytes] = []

    def judge(command: Append, octets: bytes) -> bool:
        message = command.messages[0]
        part = message.parts[0]
        is_text = isinstance(part, Octets) and not part.is_binary
        taken[:] = [octets]
        return (
            command.mailbox == first.mailbox
            and 0 < len(octets) <= min(AHEAD_SIZE, service.settings.size_limit)
            and not (is_text and b"\0" in octets)
            and not is_unknown(message.flags)
        )

    for _ in range(AHEAD):
        command = session.core.take_append(judge)
        if command is None:
            return
        writer = service.store.new_body()
        writer.write(taken[0])
        message = command.messages[0]
        date = int(service.now()) if message.internaldate is None else message.internaldate
        flags = frozenset(allowed_flags(message.flags, found.rights))
        yield _begin(session, command, found, [NewMessage(writer.finish(), date, flags)])


async def _prepare(
    session: ImapSession, tag: str, mailbox: str, wanted: Sequence[AppendMessage]
) -> tuple[Place | None, list[NewMessage]]:
    """Where they go, and what; (None, []) when it was refused."""
    upload = session.take_upload()
    received = dict(upload.received) if isinstance(upload, AppendUpload) else {}
    failure = upload.failure if isinstance(upload, AppendUpload) else None
    found = place.find(session, mailbox)
    refusal = failure or _may_put(found)
    if len(wanted) > session.service.settings.save_limit:
        refusal = refusal or Refusal("too many messages at once", code.LIMIT)
    if any(is_unknown(message.flags) for message in wanted):
        refusal = refusal or NO_SUCH_FLAG
    if refusal is not None or found is None:
        if upload is not None:
            upload.discard()
        session.refuse(tag, refusal or TRY_CREATE, may_expunge=True)
        return None, []
    now = int(session.service.now())
    messages: list[NewMessage] = []
    try:
        for message in wanted:
            body = _body(session, message, received)
            date = now if message.internaldate is None else message.internaldate
            messages.append(NewMessage(body, date, frozenset(allowed_flags(message.flags, found.rights))))
    except (BadUrlFound, TooBig, MailstoreError) as error:
        _discard([message.body for message in messages])
        for each in received.values():
            _drop(each)
        session.refuse(tag, _refusal(error), may_expunge=True)
        return None, []
    return found, messages


class TooBig(Exception):
    """What was put together is more than one message may be."""


def _refusal(error: Exception) -> Refusal:
    match error:
        case BadUrlFound():
            return Refusal("nothing is there", BadUrl(str(error)))
        case MailstoreError():
            return refusal_of(error)
        case _:
            return TOO_BIG


def _body(session: ImapSession, message: AppendMessage, received: dict[int, Received]) -> NewBody:
    """A message as it came, or put together."""
    first = message.parts[0]
    if not message.is_catenate and isinstance(first, Octets):
        writer = received.pop(first.number)
        assert not isinstance(writer, SpooledTemporaryFile)
        return writer.finish()
    writer = session.service.store.new_body()
    try:
        for part in message.parts:
            if isinstance(part, Octets):
                spool = received.pop(part.number)
                assert isinstance(spool, SpooledTemporaryFile)
                _copy_spool(spool, writer)
            else:
                _copy_url(session, part.url, writer)
            if writer.size > session.service.settings.size_limit:
                raise TooBig
    except BaseException:
        writer.discard()
        raise
    return writer.finish()


def _copy_spool(spool: SpooledTemporaryFile[bytes], writer: BodyWriter) -> None:
    with spool:
        spool.seek(0)
        while piece := spool.read(IN_MEMORY):
            writer.write(piece)


def _copy_url(session: ImapSession, url: str, writer: BodyWriter) -> None:
    limit = session.service.settings.size_limit
    try:
        for piece in read_url(session, url):
            if writer.size + len(piece) > limit:
                raise TooBig
            writer.write(piece)
    except (BadUrlFound, UnicodeDecodeError):
        raise BadUrlFound(url) from None


def _discard(bodies: Sequence[NewBody]) -> None:
    for body in bodies:
        body.discard()


def _append_uid(done: Appended) -> AppendUid:
    return AppendUid(done.uidvalidity, tuple(uidrange.of(done.uids)))


def replace(session: ImapSession, tag: str, command: Replace) -> Later:
    """RFC 8508 section 3: the old message goes when the new one is kept."""
    selected = session.selected
    assert selected is not None
    uid = _uid_of(session, command)
    refusal = None
    if session.enabled.uidonly and not command.is_uid:
        refusal = UID_REQUIRED
    elif selected.is_read_only:
        refusal = READ_ONLY
    elif uid is None:
        refusal = NO_SUCH_MESSAGE
    elif not {"e", "t"} <= selected.rights:
        refusal = NO_RIGHTS
    if refusal is not None or uid is None:
        upload = session.take_upload()
        if upload is not None:
            upload.discard()
        session.refuse(tag, refusal or NO_SUCH_MESSAGE)
        return None
    return session.attempt(tag, _replace(session, tag, command, uid))


def _uid_of(session: ImapSession, command: Replace) -> int | None:
    selected = session.selected
    assert selected is not None
    view, number = selected.view, command.number
    if command.is_uid:
        uid = view.largest_uid if number == STAR else number
        return uid if view.seqnum(uid) is not None else None
    if number == STAR:
        number = view.count
    return view.uid(number) if 0 < number <= view.count else None


async def _replace(session: ImapSession, tag: str, command: Replace, uid: int) -> None:
    selected = session.selected
    assert selected is not None
    found, messages = await _prepare(session, tag, command.mailbox, [command.message])
    if found is None:
        return
    bodies = [message.body for message in messages]
    put = append(found.account_id, found.mailbox.mailbox_id, messages, int(session.service.now()))
    is_across = found.account_id != selected.account_id
    try:
        done = await _exchange(session, put, _take(session, selected, uid), bodies, is_across=is_across)
    except MailstoreError:
        _discard(bodies)
        raise
    if not session.is_closed:
        session.say(Condition(Status.OK, "replaced", _append_uid(done)))
        session.tell_news(may_expunge=False)  # RFC 8508 section 3.2: the new message is told first
        session.finish(tag, "REPLACE done")


def _take(session: ImapSession, selected: Selected, uid: int) -> Unit[None]:
    """Destroy the old message. MessageGone where somebody was faster: what replaced it then must not come twice."""
    unit = expunge(selected.account_id, selected.mailbox_id, [(uid, uid)], int(session.service.now()), only_deleted=False)

    def take(tx: Transaction) -> None:
        if not tx.flag_columns(selected.account_id, selected.mailbox_id, [(uid, uid)]).uids:
            raise MessageGone
        unit(tx)

    return take


async def _exchange(
    session: ImapSession, put: Unit[Appended], take: Unit[None], bodies: Sequence[NewBody], *, is_across: bool
) -> Appended:
    """RFC 8508 section 3.4. Within an account it is one unit, and what goes makes room for what comes. A mailbox of another
    account is another unit's, and comes first: whatever happens in between, no message is lost."""
    store = session.service.store

    def both(tx: Transaction) -> Appended:
        take(tx)
        return put(tx)

    if not is_across:
        return await store.perform(both, bodies)
    done = await store.perform(put, bodies)
    with contextlib.suppress(MessageGone):  # it is away, as was asked
        await store.perform(take)
    return done


COMMANDS: Final = {
    Append: append_,
    Replace: numbered(replace),
}
