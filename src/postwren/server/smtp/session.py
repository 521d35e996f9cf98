"""One SMTP or LMTP connection that receives mail for the accounts of this server (RFC 5321, 2033). Never a relay.

What must stay true: a positive reply to a message is queued only by `_written`, when the store says that it is durable
(D-01); whatever ends a transaction otherwise discards its octets (D-05). No handler of the hot path waits in a task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from postwren.delivery.door import Answer
from postwren.delivery.envelope import Envelope, Recipient
from postwren.delivery.inbound import Outcome, deliver_all, deliver_each
from postwren.delivery.intake import Immediate, Treat, Treatment
from postwren.delivery.trace import Origin, received, return_path
from postwren.mailstore.errors import StoreClosed, StoreFailed
from postwren.mailstore.port import Store
from postwren.protocols.smtp import reply as say
from postwren.protocols.smtp.command import (
    Auth,
    Burl,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    encode_base64,
)
from postwren.protocols.smtp.limits import Limits
from postwren.protocols.smtp.lmtp import LMTP
from postwren.protocols.smtp.path import POSTMASTER
from postwren.protocols.smtp.reply import Reply
from postwren.protocols.smtp.server import (
    AuthAborted,
    AuthResponse,
    CommandRejected,
    MessageChunk,
    MessageEnded,
    PeerClosed,
    ServerConnection,
)
from postwren.protocols.smtp.state import LAST_IN_GROUP, SMTP
from postwren.server.login import Accepted, Authenticator, Challenge, LoginExchange, RefusalReason, Refused
from postwren.server.smtp.directory import Directory
from postwren.server.smtp.reception import Reception
from postwren.server.smtp.refusal import (
    ACCEPTED,
    AUTH_REQUIRED,
    BUG,
    FAULTS,
    LOGINS,
    MAILBOX_FULL,
    NO_RELAY,
    NO_TLS,
    SERVER_ENDS,
    TIMED_OUT,
    UNKNOWN_RECIPIENT,
    store_refusal,
)
from postwren.server.smtp.settings import SmtpSettings
from postwren.terms import AccountId, Address
from postwren.transport.session import SUSPENDED, Handled, LinkControl, TlsInfo

__all__ = ["HANDLERS", "SmtpSession"]

log = logging.getLogger("postwren.smtp")


class SmtpSession:
    """A `transport.session.Session`. `authenticator` is None where AUTH is not offered; `now` gives seconds since 1970;
    `directory` is the server's, or one of its own that remembers nothing; `treat` says what becomes of a message whose first
    octets have come (None: it is kept as it is, for all or, by LMTP, for each), `door` whether the peer may write to a recipient
    (None: it may)."""

    __slots__ = (
        "_account_id",
        "_authenticator",
        "_directory",
        "_door",
        "_envelope",
        "_errors",
        "_exchange",
        "_has_recipient",
        "_hello",
        "_is_closed",
        "_link",
        "_login",
        "_now",
        "_origin",
        "_protocol",
        "_reception",
        "_settings",
        "_store",
        "_treat",
        "core",
    )

    def __init__(
        self,
        settings: SmtpSettings,
        store: Store,
        authenticator: Authenticator | None,
        now: Callable[[], float],
        directory: Directory | None = None,
        treat: Treat | None = None,
        door: Callable[[Envelope, Origin, Address], Answer] | None = None,
    ) -> None:
        self._settings = settings
        self._treat = treat
        self._door = door
        self._directory = directory or Directory(store, settings.separator, now, 0)
        self._store = store
        self._authenticator = authenticator
        self._now = now
        self.core = ServerConnection(
            settings.hostname,
            settings.extensions,
            Limits(
                message_size=settings.size_limit,
                recipients=settings.recipient_limit,
                authenticated_recipients=settings.authenticated_recipient_limit,
                hold_seconds=settings.hold_seconds,
            ),
            LMTP if settings.is_lmtp else SMTP,
        )
        self._link: LinkControl
        self._hello = ""
        self._protocol = ""
        self._origin: Origin | None = None
        self._login = ""
        self._account_id: AccountId | None = None  # who logged in
        self._exchange: LoginExchange | None = None
        self._envelope: Envelope | None = None
        self._reception: Reception | None = None
        self._errors = 0
        self._has_recipient = False  # a valid one was named, ever
        self._is_closed = False

    # -- the contract of a session

    def opened(self, link: LinkControl) -> Handled:
        self._link = link
        protocol = "LMTP" if self._settings.is_lmtp else "ESMTP"
        greeting = Reply(220, "", f"{self._settings.hostname} {protocol} Postwren")
        self.core.open(greeting, is_tls=link.tls is not None, can_start_tls=link.can_start_tls)
        return None

    def handle(self, event: Any) -> Handled:
        if type(event) in LAST_IN_GROUP and self._is_too_early():
            return None
        return HANDLERS[type(event)](self, event)

    def _is_too_early(self) -> bool:
        """A-21: while we thought about a reply, the peer sent what it may only send after it. Then it is dropped."""
        if not self._link.has_heard:
            return False
        self._log("dropped", code=say.PIPELINED.code)
        self._clear()
        self.core.send_last(say.PIPELINED)
        self._link.close()
        return True

    def tls_started(self, tls: TlsInfo) -> Handled:  # noqa: ARG002
        self._clear()
        self._origin = None
        self._hello = ""
        self._exchange = None
        self.core.tls_started()
        return None

    def timed_out(self) -> None:
        self.core.send_last(TIMED_OUT)

    def server_ends(self) -> None:
        self.core.send_last(SERVER_ENDS)

    def failed(self, error: BaseException) -> None:  # noqa: ARG002  # the link logs it
        self._clear()
        self.core.send_last(BUG)

    def closed(self) -> None:
        self._is_closed = True
        self._exchange = None
        self._clear()

    # -- what every command may need

    def _clear(self) -> None:
        """End the transaction; what is in the store's hands already is the store's."""
        if self._reception is not None:
            self._reception.discard()
            self._reception = None
        self._envelope = None

    def _refuse(self, reply: Reply, event: str = "refused", **fields: Any) -> None:
        """An error of the peer, one line in the log: enough of them and the connection is dropped (A-32)."""
        self.core.send(reply)
        self._log(event, code=reply.code, **fields)
        self._errors += 1
        limit = self._settings.errors if self._has_recipient else self._settings.errors_before_recipient
        if self._errors >= limit:
            self._log("dropped", errors=self._errors)
            self.core.send_last(say.TOO_MANY_ERRORS)
            self._link.close()

    def _log(self, message: str, **fields: Any) -> None:
        log.info(message, extra={"fields": {"peer": self._link.peer.address, **fields}})

    # -- commands

    def _hello_said(self, command: Ehlo | Lhlo) -> None:
        self._clear()
        self._origin = None
        self._hello = command.name
        self._protocol = "LMTP" if isinstance(command, Lhlo) else "ESMTP"
        mechanisms = self._authenticator.mechanisms(self._link) if self._authenticator is not None else ()
        self.core.send(self.core.hello_reply(mechanisms, int(self._now())))

    def _helo(self, command: Helo) -> None:
        self._clear()
        self._origin = None
        self._hello = command.name
        self._protocol = "SMTP"
        self.core.send(Reply(250, "", self._settings.hostname))

    def _mail(self, command: Mail) -> None:
        if self._settings.require_auth and not self.core.is_authenticated:
            self._refuse(AUTH_REQUIRED)
            return
        self._envelope = Envelope(command.reverse_path, command.params.smtputf8, declared_size=command.params.size or 0)
        self.core.send(say.SENDER_OK)

    def _rcpt(self, command: Rcpt) -> Handled:
        assert self._envelope is not None
        account_id = self._resolve(command.forward_path)
        if account_id is None:
            domain = command.forward_path.domain
            known = not domain or self._store.reader.domain_exists(domain)
            refusal = UNKNOWN_RECIPIENT if known else NO_RELAY
            recipient = str(command.forward_path)
            if self._settings.is_lmtp:  # the peer is our own relay and keeps its connections: no harvester
                self.core.send(refusal)
                self._log("refused", code=refusal.code, recipient=recipient)
            else:
                self._refuse(refusal, recipient=recipient)
            return None
        # In SMTP the end of the data has one answer for all: who is full is told apart here, and does not hold up the others.
        if not self._settings.is_lmtp and self._directory.is_full(account_id, self._envelope.declared_size):
            self.core.send(MAILBOX_FULL)
            self._log("refused", code=MAILBOX_FULL.code, recipient=str(command.forward_path))
            return None
        found = Recipient(command.forward_path, account_id, *command.params.wishes())
        said = self._door(self._envelope, self._origin or self._where_from(), found.address) if self._door else None
        if said is None or isinstance(said, Reply):
            self._let_in(found, said)
            return None
        return self._ask_first(found, said)

    async def _ask_first(self, recipient: Recipient, asked: Awaitable[Reply | None]) -> None:
        said = await asked
        if not self._is_closed:
            self._let_in(recipient, said)

    def _let_in(self, recipient: Recipient, refusal: Reply | None) -> None:
        assert self._envelope is not None
        if refusal is not None:
            self._refuse(refusal, recipient=str(recipient.address))
            return
        self._envelope.recipients.append(recipient)
        self._has_recipient = True
        self.core.send(say.RECIPIENT_OK)

    def _resolve(self, address: Address) -> AccountId | None:
        """Whose mail this is. The postmaster of a domain of ours always is somebody, if one is configured."""
        reader, account_of = self._store.reader, self._directory.account_of
        if address is POSTMASTER:
            domain = reader.only_domain()
            found = account_of(Address("postmaster", domain)) if domain else None
        else:
            found = account_of(address)
        if found is not None or address.local.lower() != "postmaster" or self._settings.postmaster is None:
            return found
        if address.domain and not reader.domain_exists(address.domain):
            return None
        return account_of(self._settings.postmaster)

    def _data(self, _command: Data) -> None:
        self.core.send(say.START_DATA)

    def _burl(self, _command: Burl) -> Handled:
        """RFC 4468 is for submissions: no URL leads anywhere from here."""
        self._clear()
        self._refuse(say.URL_UNRESOLVED)
        return None

    def _rset(self, _command: Rset) -> None:
        self._clear()
        self.core.send(say.OK)

    def _noop(self, _command: Noop) -> None:
        self.core.send(say.OK)

    def _help(self, _command: Help) -> None:
        self.core.send(say.HELP)

    def _vrfy(self, _command: Vrfy) -> None:
        self.core.send(say.CANNOT_VERIFY)

    def _expn(self, _command: Expn) -> None:
        self._refuse(say.NO_EXPN)

    def _quit(self, _command: Quit) -> None:
        self._clear()
        self.core.send(say.BYE)
        self._link.close()

    def _rejected(self, event: CommandRejected) -> None:
        if event.is_fatal:
            self.core.send(event.reply)
            self._log("dropped", code=event.reply.code)
            self._link.close()
        elif event.reply is say.TOO_MANY_RECIPIENTS:  # RFC 5321 4.5.3.1.10: no fault of theirs; the rest comes again
            self.core.send(event.reply)
        else:
            self._refuse(event.reply)

    def _peer_closed(self, _event: PeerClosed) -> None:
        self._link.close()

    # -- TLS and login

    def _start_tls(self, _command: StartTls) -> None:
        if self._link.can_start_tls:
            self.core.send(say.READY_FOR_TLS)
            self._link.start_tls()
        else:
            self.core.send(NO_TLS)

    def _auth(self, command: Auth) -> Handled:
        if self._authenticator is None:
            self._refuse(say.NOT_OFFERED)
            return None
        exchange = self._authenticator.begin(command.mechanism, self._link)
        if isinstance(exchange, Refused):
            self._refuse(LOGINS[exchange.reason], "login refused", reason=exchange.reason.value)
            return None
        return self._auth_step(exchange, None if command.initial is None else command.initial.reveal())

    def _auth_response(self, event: AuthResponse) -> Handled:
        assert self._exchange is not None
        return self._auth_step(self._exchange, event.data.reveal())

    async def _auth_step(self, exchange: LoginExchange, response: bytes | None) -> None:
        self._exchange = None
        step = await exchange.step(response)
        if self._is_too_early():
            return
        match step:
            case Challenge(data):
                self._exchange = exchange
                self.core.send(say.challenge(encode_base64(data)))
            case Accepted() if not self._link.authenticated(step.account_id):
                self._log("login refused", reason="too many connections")
                self._refuse(LOGINS[RefusalReason.BUSY])
            case Accepted():
                self._login = step.login
                self._account_id = step.account_id
                self._log("login", login=step.login)
                self._origin = None
                self.core.send(say.AUTHENTICATED)
            case Refused(reason):
                self._refuse(LOGINS[reason], "login refused", reason=reason.value)

    def _auth_aborted(self, event: AuthAborted) -> None:
        self._exchange = None
        self._refuse(event.reply)

    # -- the message

    def _chunk(self, event: MessageChunk) -> None:
        (self._reception or self._begin()).write(event.data)

    def _begin(self) -> Reception:
        assert self._envelope is not None
        origin = self._origin or self._where_from()
        treatment = self._treat(self._envelope, origin) if self._treat is not None else None
        self._reception = Reception(self._store, self._envelope, treatment or self._unchanged(self._envelope, origin))
        return self._reception

    def _unchanged(self, envelope: Envelope, origin: Origin) -> Treatment:
        top = return_path(envelope.reverse_path) + received(origin, self._settings.hostname, envelope, self._now())
        stripped_of = self._settings.hostname if origin.is_authenticated else ""
        return Immediate(top, deliver_each if self._settings.is_lmtp else deliver_all, stripped_of)

    def _where_from(self) -> Origin:
        """Kept until the next hello or login: TLS needs a new hello."""
        link = self._link
        origin = Origin(self._hello, link.peer.address, self._protocol, link.tls is not None, self.core.is_authenticated)
        self._origin = origin
        return origin

    def _message_ended(self, event: MessageEnded) -> Handled:
        if event.fault is not None:
            self._answer([FAULTS[event.fault]] * event.replies)
            return None
        reception = self._reception or self._begin()
        reception.end()
        if reception.is_undecided:
            return self._decide(reception, event.replies)
        refusal = reception.keep(int(self._now()), self._written)
        if refusal is None:
            return SUSPENDED
        self._answer([refusal] * event.replies)
        return None

    async def _decide(self, reception: Reception, replies: int) -> None:
        """What is judged or signed at its end. The peer may be gone before or after it is in the store's hands."""
        await reception.decide()
        if self._is_closed:
            self._log("left while judged")  # D-05: nobody was told anything
            return
        kept: asyncio.Future[tuple[list[Outcome] | None, BaseException | None]] = asyncio.get_running_loop().create_future()
        refusal = reception.keep(int(self._now()), lambda outcomes, error: kept.set_result((outcomes, error)))
        if refusal is None:
            self._conclude(*await kept)
        else:
            self._answer([refusal] * replies)

    def _written(self, outcomes: list[Outcome] | None, error: BaseException | None) -> None:
        """The store has kept the message, or not: answer and let the link go on."""
        self._conclude(outcomes, error)
        if not self._is_closed:
            self._link.resume()

    def _conclude(self, outcomes: list[Outcome] | None, error: BaseException | None) -> None:
        """Answer. The peer may be gone meanwhile."""
        if error is not None and store_refusal(error) is BUG:
            log.error("delivery failed", exc_info=error, extra={"fields": {"peer": self._link.peer.address}})
        if self._is_closed:
            self._log("answer lost", kept=error is None)  # D-06: the peer will try again
            return
        assert self._envelope is not None
        if outcomes is None:
            refusal = BUG if error is None else store_refusal(error)
            replies = len(self._envelope.recipients) if self._settings.is_lmtp else 1
            self._answer([refusal] * replies)
        elif self._settings.is_lmtp:
            self._answer([ACCEPTED if outcome is None else store_refusal(outcome) for outcome in outcomes])
        else:
            self._answer([ACCEPTED])
        if isinstance(error, StoreFailed | StoreClosed):
            self._link.close()

    def _answer(self, replies: Sequence[Reply]) -> None:
        """The end of a transaction, one line in the log."""
        worst = replies[0] if len(replies) == 1 else max(replies, key=lambda reply: reply.code)
        reception, envelope = self._reception, self._envelope
        self._log(
            "accepted" if worst.is_positive else "refused",
            code=worst.code,
            size=reception.size if reception is not None else 0,
            recipients=len(envelope.recipients) + len(envelope.elsewhere) if envelope is not None else 0,
            sender=(envelope.reverse_path or "") if envelope is not None else "",
        )
        self._clear()
        for reply in replies:
            self.core.send(reply)


HANDLERS: Final[dict[type, Callable[[SmtpSession, Any], Handled]]] = {
    Ehlo: SmtpSession._hello_said,
    Lhlo: SmtpSession._hello_said,
    Helo: SmtpSession._helo,
    Mail: SmtpSession._mail,
    Rcpt: SmtpSession._rcpt,
    Data: SmtpSession._data,
    Burl: SmtpSession._burl,
    Rset: SmtpSession._rset,
    Noop: SmtpSession._noop,
    Quit: SmtpSession._quit,
    Help: SmtpSession._help,
    Vrfy: SmtpSession._vrfy,
    Expn: SmtpSession._expn,
    StartTls: SmtpSession._start_tls,
    Auth: SmtpSession._auth,
    AuthResponse: SmtpSession._auth_response,
    AuthAborted: SmtpSession._auth_aborted,
    CommandRejected: SmtpSession._rejected,
    MessageChunk: SmtpSession._chunk,
    MessageEnded: SmtpSession._message_ended,
    PeerClosed: SmtpSession._peer_closed,
}
