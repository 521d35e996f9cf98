"""One POP3 session: login, TLS, the end (RFC 1939 sections 4 and 6, RFC 2449, 2595, 5034, 6856).

What must stay true: the maildrop is the one that stood at the login (D-52); nothing is removed but by QUIT, and QUIT is
not answered +OK before the removal is durable (D-50, D-51); the lock goes with the session, within the same turn of the
loop, or with the removal that it protects (D-53). Messages go out as they are, in UTF-8 mode or not: old mail holds 8-bit
headers too, and a device that does not know UTF8 must still be able to empty its maildrop.
"""

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.model import Change
from postwren.mailstore.port import Store, Subscription
from postwren.mailstore.service.maildrop import remove
from postwren.protocols.pop3 import reply
from postwren.protocols.pop3.capability import Capabilities
from postwren.protocols.pop3.command import Auth, Capa, Lang, Noop, Pass, Quit, Stls, User, Utf8
from postwren.protocols.pop3.reply import err, ok
from postwren.protocols.pop3.server import (
    AuthAborted,
    AuthResponse,
    CommandRejected,
    Event,
    PeerClosed,
    PeerDropped,
    SendListing,
    ServerConnection,
)
from postwren.server.login import Accepted, Authenticator, Challenge, LoginExchange, LoginStep, RefusalReason, Refused
from postwren.server.pop3 import refusal
from postwren.server.pop3.body_reader import BodyReader
from postwren.server.pop3.maildrop_lock import MaildropLock, MaildropLocks
from postwren.server.pop3.maildrop_view import MaildropCache, MaildropView
from postwren.server.pop3.transaction import ANSWERS, OpenMaildrop
from postwren.terms import Uid
from postwren.transport.session import Handled, LinkControl, TlsInfo
from postwren.wire.core import Waiting

__all__ = ["Pop3Service", "Pop3Session"]

log = logging.getLogger("postwren.pop3")

GREETING: Final = ok("Postwren ready")
BYE: Final = ok("bye")
LANGUAGES: Final = b"en English\r\n"


@dataclass(frozen=True, slots=True)
class Pop3Service:
    """What all sessions of a process share. `now` gives seconds since 1970."""

    store: Store
    authenticator: Authenticator
    locks: MaildropLocks
    maildrops: MaildropCache
    now: Callable[[], float]


class Pop3Session:
    """Implements `transport.session.Session`, and `maildrop_lock.Holder`."""

    __slots__ = (
        "_early",
        "_end",
        "_exchange",
        "_is_closed",
        "_is_removing",
        "_link",
        "_lock",
        "_login",
        "_maildrop",
        "_name",
        "_removed",
        "_service",
        "_subscription",
        "core",
    )

    def __init__(self, service: Pop3Service) -> None:
        self.core = ServerConnection()
        self._service = service
        self._link: LinkControl
        self._name = ""  # of USER
        self._exchange: LoginExchange | None = None
        self._login = ""  # once the maildrop is open
        self._lock: MaildropLock | None = None
        self._subscription: Subscription | None = None
        self._early: list[Change] = []  # changes while the maildrop is being read
        self._maildrop: OpenMaildrop | None = None
        self._is_removing = self._is_closed = False
        self._removed = 0
        self._end = "lost"  # how the session ended, for the log

    # -- what the link tells

    def opened(self, link: LinkControl) -> Handled:
        self._link = link
        self.core.send(GREETING)
        return None

    def handle(self, event: Event) -> Handled:
        kind = type(event)
        maildrop = self._maildrop
        if maildrop is not None:
            if maildrop.lock.is_wanted and kind is not Noop and kind is not CommandRejected:
                maildrop.lock.moved()
            answer = ANSWERS.get(kind)  # type: ignore[arg-type]  # the commands among the events
            if answer is not None:
                self.core.send(answer(maildrop, event))
                return None
        return HANDLERS[kind](self, event)

    def tls_started(self, tls: TlsInfo) -> Handled:  # noqa: ARG002 - the link keeps it
        self.core.tls_started()
        self._name = ""
        self._exchange = None
        return None

    def timed_out(self) -> None:
        # RFC 1939 section 3: closed without a word, and without UPDATE.
        self._end = "timed out"

    def server_ends(self) -> None:
        self._end = "server ended"

    def failed(self, error: BaseException) -> None:  # noqa: ARG002 - the link logs it
        self._end = "bug"
        self.core.last_word(refusal.BUG)

    def closed(self) -> None:
        self._is_closed = True
        self._exchange = None
        if self._maildrop is not None:
            self._maildrop.bodies.close()
            counts = {"retrieved": self._maildrop.retrieved, "removed": self._removed, "end": self._end}
            self._log("closed", **counts)
        if not self._is_removing:  # the removal lets go of the maildrop itself
            self._let_go()

    def _has_ended(self) -> bool:
        return self._is_closed

    def _log(self, what: str, **fields: object) -> None:
        log.info(what, extra={"fields": {"peer": self._link.peer.address, "login": self._login or self._name, **fields}})

    # -- login

    def _user(self, command: User) -> Handled:
        if "PLAIN" in self._service.authenticator.mechanisms(self._link):
            self._name = command.name
            self.core.send(ok())
        else:
            self.core.send(refusal.LOGIN_REFUSALS[RefusalReason.PRIVACY_REQUIRED])  # before the password is sent, too
        return None

    def _pass(self, command: Pass) -> Handled:
        return self._judge(self._service.authenticator.password(self._name, command.password, self._link))

    def _auth(self, command: Auth) -> Handled:
        self._name = ""
        begun = self._service.authenticator.begin(command.mechanism, self._link)
        if isinstance(begun, Refused):
            self._refuse(begun)
            return None
        self._exchange = begun
        return self._judge(begun.step(None if command.initial is None else command.initial.reveal()))

    def _auth_response(self, event: AuthResponse) -> Handled:
        assert self._exchange is not None
        return self._judge(self._exchange.step(event.response.reveal()))

    def _auth_aborted(self, event: AuthAborted) -> Handled:
        self._exchange = None
        self._log("refused", reason=event.fault.value)
        return None

    async def _judge(self, judging: Coroutine[Any, Any, LoginStep]) -> None:
        step = await judging
        match step:
            case Challenge(data):
                self.core.send(reply.Challenge(data))
                return
            case Refused():
                self._refuse(step)
            case Accepted():
                await self._open_maildrop(step)
        self._exchange = None

    def _refuse(self, refused: Refused) -> None:
        self._log("refused", reason=refused.reason.value)
        self.core.send(refusal.LOGIN_REFUSALS[refused.reason])

    async def _open_maildrop(self, accepted: Accepted) -> None:
        """RFC 1939 section 4: the lock first, then the maildrop as it stands. A peer that is gone by now gets neither."""
        service, account_id = self._service, accepted.account_id
        if self._has_ended():
            return
        self._name = accepted.login
        if not self._link.authenticated(account_id):
            self._log("refused", reason="too many connections")
            self.core.send(refusal.TOO_MANY_CONNECTIONS)
            return
        self._lock = lock = service.locks.acquire(account_id, self)
        if lock is None:
            self._log("refused", reason="in use")
            self.core.send(refusal.IN_USE)
            return
        self._subscription = service.store.subscribe(account_id, self._changed)
        try:
            view = MaildropView(await service.maildrops.open(account_id))
        except MailstoreError as error:
            self._let_go()
            self._log("refused", reason=type(error).__name__)
            self.core.send(refusal.reply_to(error))
            return
        if self._has_ended():
            return
        view.follow(self._early)
        self._early.clear()
        self._login = accepted.login
        self._maildrop = OpenMaildrop(view, BodyReader(service.store, service.locks.clock), lock)
        self._log("login", messages=view.count, size=view.size, tls=self._link.tls is not None)
        self.core.send(ok(f"{view.count} messages ({view.size} octets)"))

    # -- commands of both states

    def _capa(self, _: Capa) -> Handled:
        self.core.send(SendListing(ok(), self._capabilities().format()))
        return None

    def _capabilities(self) -> Capabilities:
        """RFC 2449 section 6: what holds before login holds after it; STLS alone is named only where it may come."""
        mechanisms = self._service.authenticator.mechanisms(self._link)
        tags: dict[str, tuple[str, ...]] = {
            "TOP": (),
            "UIDL": (),
            "RESP-CODES": (),
            "AUTH-RESP-CODE": (),
            "PIPELINING": (),
            "EXPIRE": ("NEVER",),
            "LOGIN-DELAY": ("0",),
            "UTF8": ("USER",),
            "LANG": (),
            "IMPLEMENTATION": ("Postwren",),
        }
        if "PLAIN" in mechanisms:
            tags["USER"] = ()
        if mechanisms:
            tags["SASL"] = mechanisms
        if self._link.can_start_tls and self._maildrop is None:
            tags["STLS"] = ()
        return Capabilities(tags)

    def _stls(self, _: Stls) -> Handled:
        if self._link.can_start_tls:
            self.core.send(ok("begin TLS"))
            self._link.start_tls()
        else:
            self.core.send(err("TLS is on already, or not to be had"))
        return None

    def _utf8(self, _: Utf8) -> Handled:
        self.core.send(ok())
        return None

    def _lang(self, command: Lang) -> Handled:
        """RFC 6856 section 3: English is all there is."""
        if command.language is None:
            self.core.send(SendListing(ok(), LANGUAGES))
        elif command.language.lower() in ("en", "*"):
            self.core.send(ok("en English it is"))
        else:
            self.core.send(err("no such language"))
        return None

    # -- the end

    def _quit(self, _: Quit) -> Handled:
        uids = self._maildrop.view.to_remove() if self._maildrop is not None else []
        self._end = "quit"
        if self._maildrop is not None and uids:
            return self._remove(self._maildrop, uids)
        self.core.send(BYE)
        self._link.close()
        return None

    async def _remove(self, maildrop: OpenMaildrop, uids: Sequence[Uid]) -> None:
        """RFC 1939 section 6, the UPDATE state: all marked messages go in one unit, and the answer waits for it."""
        drop = maildrop.view.drop
        self._is_removing = True
        try:
            unit = remove(drop.account_id, drop.mailbox_id, uids, int(self._service.now()))
            self._removed = await self._service.store.perform(unit)
            self.core.send(BYE)
        except MailstoreError as error:
            log.warning("not removed", extra={"fields": {"login": self._login, "error": type(error).__name__}})
            self.core.send(refusal.NOT_REMOVED)
        finally:
            self._is_removing = False
            self._let_go()
        self._link.close()

    def _rejected(self, event: CommandRejected) -> Handled:
        """Answered by the core. Before login there are few; a session that is open has its one line at its end."""
        if self._maildrop is None:
            self._log("refused", reason=event.fault.value)
        return None

    def _dropped(self, event: PeerDropped) -> Handled:
        self._end = event.fault.value
        if self._maildrop is None:
            self._log("refused", reason=event.fault.value)
        self._link.close()
        return None

    def _peer_closed(self, _: PeerClosed) -> Handled:
        self._end = "closed by the peer"
        self._link.close()
        return None

    # -- the lock

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.release()
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None

    def give_way(self) -> bool:
        if self.core.waiting_for is Waiting.NOTHING:
            return False
        self._end = "gave way"
        self.core.last_word(refusal.GAVE_WAY)
        self._link.close()
        self._link.flush()
        return True

    def _changed(self, changes: Sequence[Change]) -> None:
        if self._maildrop is not None:
            self._maildrop.view.follow(changes)
        else:
            self._early += changes


HANDLERS: Final[dict[type[Event], Callable[[Pop3Session, Any], Handled]]] = {
    User: Pop3Session._user,
    Pass: Pop3Session._pass,
    Auth: Pop3Session._auth,
    AuthResponse: Pop3Session._auth_response,
    AuthAborted: Pop3Session._auth_aborted,
    Capa: Pop3Session._capa,
    Stls: Pop3Session._stls,
    Utf8: Pop3Session._utf8,
    Lang: Pop3Session._lang,
    Quit: Pop3Session._quit,
    CommandRejected: Pop3Session._rejected,
    PeerDropped: Pop3Session._dropped,
    PeerClosed: Pop3Session._peer_closed,
}
