"""One IMAP session: what every command needs (RFC 9051 sections 3, 5 and 7). The commands are in the files of their families.

What must stay true: a command has one tagged answer, and before it goes out the selected mailbox says what is new, as far as
this command may (`finish`); a refusal of the mailstore is a NO, and anything else that comes out of a handler is a bug; nothing
is said for a mailbox that was left meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from postwren.mailstore.digester import Digester
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Store
from postwren.mailstore.service.acl import rights_of
from postwren.mailstore.service.find import Finder
from postwren.mailstore.service.keys import Keys
from postwren.mailstore.snapshot import Snapshots
from postwren.protocols.imap import code
from postwren.protocols.imap.code import Code
from postwren.protocols.imap.command import Command
from postwren.protocols.imap.command.fetch import FetchItem
from postwren.protocols.imap.event import (
    AuthAborted,
    AuthResponse,
    CommandReceived,
    CommandRejected,
    Event,
    IdleDone,
    MessageChunk,
    MessageEnded,
    MessageOffered,
    PeerClosed,
    PeerDropped,
)
from postwren.protocols.imap.response import Rendered, Status, Tagged, Untagged
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.server import ServerConnection
from postwren.protocols.imap.state import ALLOWED, State
from postwren.server.imap.fieldtext import FieldTexts
from postwren.server.imap.flagtext import FlagTextsOfAll
from postwren.server.imap.refusal import NO_MAILBOX, Refusal, refusal_of
from postwren.server.imap.selected import TOLD_AT_ONCE, Enabled, Selected
from postwren.server.imap.settings import ImapSettings
from postwren.server.login import Authenticator, LoginExchange
from postwren.terms import AccountId
from postwren.transport.session import Handled, LinkControl, TlsInfo
from postwren.wire.core import Waiting

__all__ = ["Handler", "ImapService", "ImapSession", "Table", "Upload", "numbered", "waiting"]

log = logging.getLogger("postwren.imap")

Later: TypeAlias = Coroutine[Any, Any, None] | None
Handler: TypeAlias = Callable[["ImapSession", str, Any], Later]
"""(session, tag, command): it answers with `finish`, `refuse` or `stream`, at once or later."""
Work: TypeAlias = Callable[["ImapSession", str, Any], Coroutine[Any, Any, None]]

NOT_OFFERED: Final = Refusal("this is not offered here", None, Status.BAD)
READING: Final = frozenset("lrpkxa")
LOST: Final = Condition(Status.OK, "the mailbox is not to be read any more", code.CLOSED)
DELETED: Final = Condition(Status.OK, "the mailbox was deleted", code.CLOSED)
TIMED_OUT: Final = Condition(Status.BYE, "idle for too long")
SERVER_ENDS: Final = Condition(Status.BYE, "the server ends; try again later", code.UNAVAILABLE)
BUG: Final = Condition(Status.BYE, "internal error", code.SERVERBUG)


@dataclass(frozen=True, slots=True)
class ImapService:
    """What all sessions of a process share. `now` gives seconds since 1970; `searching` counts the searches that run."""

    store: Store
    authenticator: Authenticator
    snapshots: Snapshots
    digester: Digester
    finder: Finder
    keys: Keys
    flag_texts: FlagTextsOfAll
    settings: ImapSettings
    now: Callable[[], float]
    random: Callable[[int], bytes]
    searching: dict[AccountId, int]
    field_texts: FieldTexts = field(default_factory=FieldTexts)


class Upload(Protocol):
    """Messages on their way in: what APPEND and REPLACE received before their command came (`append.py`)."""

    def offered(self, event: MessageOffered) -> None:
        """A literal was announced: accept or refuse it."""

    def chunk(self, data: bytes) -> None:
        """Octets of it."""

    def ended(self) -> None:
        """Its last octet came."""

    def discard(self) -> None:
        """Forget all of them."""


class Notifier(Protocol):
    """What NOTIFY asked for (`notify.py`)."""

    def __call__(self) -> bytes:
        """What is to be told now, rendered."""

    def close(self) -> None:
        """Hear no more."""


@dataclass(frozen=True, slots=True)
class Table:
    """What the sessions do: the files of the families, put together in `commands.py`."""

    greet: Callable[["ImapSession"], None]
    auth_response: Callable[["ImapSession", AuthResponse], Handled]
    upload: Callable[["ImapSession"], Upload]
    tell_new: "Callable[[ImapSession, tuple[FetchItem, ...], int], None]"
    commands: Mapping[type[Command], Handler]


class ImapSession:
    """Implements `transport.session.Session`."""

    __slots__ = (
        "_end",
        "_faults",
        "_news",
        "_sent",
        "_table",
        "_upload",
        "account_id",
        "appended",
        "auth_tag",
        "core",
        "enabled",
        "exchange",
        "idle_tag",
        "is_closed",
        "is_watch_delayed",
        "link",
        "login",
        "notifier",
        "selected",
        "service",
        "tells_flags",
        "watched_items",
    )

    def __init__(self, service: ImapService, table: Table) -> None:
        self.core = ServerConnection()
        self.service = service
        self._table = table
        self.link: LinkControl
        self.account_id = AccountId(0)  # 0: nobody is logged in
        self.login = ""
        self.exchange: LoginExchange | None = None
        self.auth_tag = self.idle_tag = ""
        self.enabled = Enabled()
        self.selected: Selected | None = None
        self.notifier: Notifier | None = None  # NOTIFY: what is new outside of the selected mailbox
        self.watched_items: tuple[FetchItem, ...] | None = None  # and what of new messages in it; None: not at once
        self.is_watch_delayed = False
        self.tells_flags = True
        self.appended: list[object] = []  # `append.py`: APPENDs that were begun before their turn
        self._upload: Upload | None = None
        self._news = False  # news of an idling session are on their way
        self._sent: asyncio.Event | None = None  # what `streamed` waits for
        self._faults = 0
        self.is_closed = False
        self._end = "lost"

    # -- what the link tells

    def opened(self, link: LinkControl) -> Handled:
        self.link = link
        self._table.greet(self)
        return None

    def handle(self, event: Event) -> Handled:
        if type(event) is CommandReceived:
            handler = self._table.commands.get(type(event.command))
            if self._has_lost_it() and type(event.command) not in ALLOWED[State.AUTHENTICATED]:
                self.forget_upload()
                self.refuse(event.tag, NO_MAILBOX)
                return None
            if handler is not None:
                return handler(self, event.tag, event.command)
            self.refuse(event.tag, NOT_OFFERED)
            return None
        return EVENTS[type(event)](self, event)

    def tls_started(self, tls: TlsInfo) -> Handled:  # noqa: ARG002 - the link keeps it
        self.exchange = None
        self.core.tls_started()
        return None

    def timed_out(self) -> None:
        self._end = "timed out"
        self.core.last_word(TIMED_OUT)

    def server_ends(self) -> None:
        self._end = "server ended"
        self.core.last_word(SERVER_ENDS)

    def failed(self, error: BaseException) -> None:  # noqa: ARG002 - the link logs it
        self._end = "bug"
        self.core.last_word(BUG)

    def closed(self) -> None:
        self.is_closed = True
        if self._sent is not None:
            self._sent.set()
        self.exchange = None
        self.watch(None)
        self.leave()
        self.forget_upload()
        if self.account_id:
            self.log("closed", end=self._end)

    def end(self, how: str) -> None:
        """Close when everything is written; `how` is for the log."""
        self._end = how
        self.link.close()

    def log(self, what: str, **fields: object) -> None:
        """One line about this session."""
        log.info(what, extra={"fields": {"peer": self.link.peer.address, "login": self.login, **fields}})

    # -- what is said

    def say(self, response: Untagged) -> None:
        """An untagged response."""
        self.core.send(response)

    def render(self, octets: bytes) -> None:
        """Responses that are rendered already; none is no harm."""
        if octets:
            self.core.send(Rendered(octets))

    def tell_news(self, *, may_expunge: bool = True) -> None:
        """What happened in the selected mailbox, and elsewhere where NOTIFY asked for it."""
        if self.selected is not None:
            if not self.selected.is_behind:  # where it is, what is queued already comes before
                self.render(self.selected.news(self.enabled, may_expunge=may_expunge))
            if self.selected.is_gone:
                self._lose(DELETED)
            elif self.selected.is_behind:
                self.core.send(Rendered(self._rest_of_news(self.selected, may_expunge=may_expunge)))
        if self.notifier is not None:
            self.render(self.notifier())

    def _rest_of_news(self, selected: Selected, *, may_expunge: bool) -> Iterator[bytes]:
        """While the peer keeps up. Bounded, for others may change flags for ever: what then is left, the next command tells."""
        for _ in range(selected.view.count // TOLD_AT_ONCE + 4):
            if not selected.is_behind or self.selected is not selected:
                return
            yield selected.news(self.enabled, may_expunge=may_expunge)

    def finish(self, tag: str, text: str, with_code: Code | None = None, *, may_expunge: bool = True) -> None:
        """Tagged OK, behind the news. Without `may_expunge` numbers stay as they are (RFC 9051 section 7.5.1)."""
        self.tell_news(may_expunge=may_expunge or self.enabled.uidonly)
        self.core.send(Tagged(tag, Status.OK, text, with_code))

    def refuse(self, tag: str, refusal: Refusal, *, may_expunge: bool = False) -> None:
        """Tagged NO or BAD, behind the news."""
        self.tell_news(may_expunge=may_expunge)
        self.core.send(Tagged(tag, refusal.status, refusal.text, refusal.code))

    def stream(self, pieces: Iterator[bytes], last: Callable[[], None]) -> None:
        """Send pieces while the peer keeps up, then call `last`, which answers. Nothing may come behind it: the link hands out no
        event until the pieces are out. (A coroutine that has more to say: `streamed`.)"""
        self.core.send(Rendered(self._until(pieces, last)))
        self.link.flush()  # of use to coroutines only, which the link does not watch while they run

    def _until(self, pieces: Iterator[bytes], last: Callable[[], None]) -> Iterator[bytes]:
        yield from pieces
        if not self.is_closed:
            last()

    @property
    def is_administrator(self) -> bool:
        """Whether the operator lets this login set what is otherwise his (`[imap] administrators`)."""
        return self.login in self.service.settings.administrators

    async def streamed(self, pieces: Iterator[bytes]) -> None:
        """As `stream`, for a coroutine: wait until the pieces are out, or the connection is gone."""
        if self.is_closed:
            return
        sent = self._sent = asyncio.Event()
        self.stream(pieces, sent.set)
        await sent.wait()
        self._sent = None

    # -- waiting

    async def attempt(self, tag: str, work: Coroutine[Any, Any, None]) -> None:
        """Work that the mailstore may refuse."""
        try:
            await work
        except MailstoreError as error:
            if not self.is_closed:
                self.refuse(tag, refusal_of(error))

    # -- the selected mailbox

    def _has_lost_it(self) -> bool:
        """Whether the selected mailbox was deleted by another session, or is somebody else's and this session may not read it any
        more: then it is left. Rights that are given or taken count at once (A-45); where it was opened read-only, so it stays.

        RFC 2180 section 3.3 lets a server say BYE to the others when one deletes a mailbox. It was written before there was
        a way to say less: CLOSED ends what is said of this mailbox (RFC 9051 section 7.1), and the connection, with what was
        enabled, compressed and asked of NOTIFY on it, goes on. Whoever passes over it gets NO, and then BAD, not another
        mailbox."""
        selected = self.selected
        if selected is None:
            return False
        if selected.is_gone:
            self._lose(DELETED)
            return True
        if selected.account_id == self.account_id:
            return False
        rights = rights_of(self.service.store.reader, selected.account_id, selected.mailbox_id, self.login)
        selected.rights = rights & READING if selected.is_read_only else rights
        if {"l", "r"} <= rights:
            return False
        self._lose(LOST)
        return True

    def _lose(self, why: Condition) -> None:
        self.leave()
        self.say(why)

    def leave(self) -> None:
        """No mailbox is selected any more."""
        selected, self.selected = self.selected, None
        if selected is not None:
            selected.close()
        if self.core.state is State.SELECTED:
            self.core.enter(State.AUTHENTICATED)

    def watch(
        self,
        notifier: "Notifier | None",
        items: "tuple[FetchItem, ...] | None" = None,
        *,
        is_delayed: bool = False,
        tells_flags: bool = True,
    ) -> None:
        """NOTIFY: whom to ask for news of other mailboxes, and whether those of the selected one are told at once, too (with
        what of new messages; None: not at once)."""
        if self.notifier is not None:
            self.notifier.close()
        self.notifier = notifier
        self.watched_items = items
        self.is_watch_delayed = is_delayed
        self.tells_flags = tells_flags
        self.rouse()

    def rouse(self) -> None:
        """Let the selected mailbox wake the session where news are told at once: it idles, or NOTIFY asked for it."""
        if self.selected is not None:
            self.selected.tells_flags = self.tells_flags
            self.selected.tells_uids = self.notifier is not None
            self.selected.wake = self.push if self.idle_tag or self.watched_items is not None else None

    def push(self) -> None:
        """News for a session that idles or watches, at once; while the peer does not read, they wait and merge (A-46)."""
        if not self._news and not self.is_closed and self.core.waiting_for is Waiting.COMMAND:
            self._news = True
            self.core.send(Rendered(self._all_news()))
            self.link.flush()

    def _all_news(self) -> Iterator[bytes]:
        try:
            while not self.is_closed:
                if self._has_lost_it():
                    continue
                selected = self.selected
                known = selected.view.largest_uid if selected is not None else 0
                news = b""
                if selected is not None and selected.wake is not None:
                    news = selected.news(self.enabled, may_expunge=bool(self.idle_tag) or not self.is_watch_delayed)
                if self.notifier is not None:
                    news += self.notifier()
                if not news and (selected is None or not selected.is_behind):
                    return
                yield news
                if (
                    self.watched_items
                    and selected is not None
                    and selected is self.selected
                    and selected.view.largest_uid > known
                ):
                    self._table.tell_new(self, self.watched_items, known + 1)
        finally:
            self._news = False

    # -- messages on their way in

    def take_upload(self) -> Upload | None:
        """What was received for the command that is there now."""
        upload, self._upload = self._upload, None
        return upload

    def forget_upload(self) -> None:
        """The command will not come."""
        if self._upload is not None:
            self._upload.discard()
            self._upload = None

    def _offered(self, event: MessageOffered) -> Handled:
        if self._upload is None:
            self._upload = self._table.upload(self)
        self._upload.offered(event)
        return None

    def _chunk(self, event: MessageChunk) -> Handled:
        if self._upload is not None:
            self._upload.chunk(event.data)
        return None

    def _message_ended(self, _: MessageEnded) -> Handled:
        if self._upload is not None:
            self._upload.ended()
        return None

    # -- events that are no commands

    def _idle_done(self, _: IdleDone) -> Handled:
        tag, self.idle_tag = self.idle_tag, ""
        self._has_lost_it()
        self.rouse()
        self.finish(tag, "IDLE ends")
        return None

    def _rejected(self, event: CommandRejected) -> Handled:
        """Answered by the core already; whoever goes on like this is no client."""
        self.forget_upload()
        self.idle_tag = ""
        self.rouse()
        if not self.account_id:
            self.log("refused", reason=event.fault.value)
            return None
        self._faults += 1
        if self._faults > self.service.settings.faults:
            self.core.last_word(Condition(Status.BYE, "too many errors"))
            self.end("too many errors")
        return None

    def _auth_response(self, event: AuthResponse) -> Handled:
        return self._table.auth_response(self, event)

    def _auth_aborted(self, event: AuthAborted) -> Handled:
        self.exchange = None
        self.log("refused", reason=event.fault.value)
        return None

    def _dropped(self, event: PeerDropped) -> Handled:
        if not self.account_id:
            self.log("refused", reason=event.fault.value)
        self.end(event.fault.value)
        return None

    def _peer_closed(self, _: PeerClosed) -> Handled:
        self.end("closed by the peer")
        return None


EVENTS: Final[dict[type[Any], Callable[[ImapSession, Any], Handled]]] = {
    MessageOffered: ImapSession._offered,
    MessageChunk: ImapSession._chunk,
    MessageEnded: ImapSession._message_ended,
    IdleDone: ImapSession._idle_done,
    AuthResponse: ImapSession._auth_response,
    AuthAborted: ImapSession._auth_aborted,
    CommandRejected: ImapSession._rejected,
    PeerDropped: ImapSession._dropped,
    PeerClosed: ImapSession._peer_closed,
}


def waiting(work: Work) -> Handler:
    """A handler of a coroutine, whose MailstoreErrors become answers."""

    def handler(session: ImapSession, tag: str, command: Any) -> Later:
        return session.attempt(tag, work(session, tag, command))

    return handler


def numbered(handler: Handler) -> Handler:
    """A handler that needs the selected mailbox's columns: of a large mailbox they may still be on their way."""

    async def later(session: ImapSession, tag: str, command: Any) -> None:
        selected = session.selected
        assert selected is not None
        await selected.handle.loaded()
        if session.selected is selected:
            handled = handler(session, tag, command)
            if handled is not None:
                await handled

    def at_once(session: ImapSession, tag: str, command: Any) -> Later:
        if session.selected is None or session.selected.handle.is_loaded:
            return handler(session, tag, command)
        return session.attempt(tag, later(session, tag, command))

    return at_once
