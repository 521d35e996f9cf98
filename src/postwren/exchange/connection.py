"""One connection to another host, over which mail goes out (RFC 5321, 2920, 3030, 3207, 3461, 6152, 6531, 8689).

    connection = await Connection.open(target, ours)           greeted, TLS as far as the rule wants it; raises HostFailed
    result = await connection.transact(letter, recipients)     every recipient judged, or left for the next transaction
    await connection.quit()

What must stay true: no message octet leaves before what `target.rule` demands is there; a recipient that has no final answer of
the host to the whole message is deferred, never delivered and never failed (D-06: it may arrive twice, but never not at all);
every wait has an end, whatever the host drips; what the store holds goes out with CRLF line ends or not at all (A-20).
"""

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from postwren.client.conversation import Conversation, TlsRefused
from postwren.delivery.attempt import Fate, Outcome, Verdict, verdict_of
from postwren.exchange.envelope import Refusal, mail_params, rcpt_params, what_lacks
from postwren.exchange.limits import OutboundLimits
from postwren.exchange.policy import Blame, TlsResult, TlsRule, TlsWish
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.queue import QueuedMessage, QueuedRecipient
from postwren.protocols.sasl import Abort, ClientCredentials, choose, client_exchange
from postwren.protocols.smtp.client import (
    Answered,
    Broken,
    Challenged,
    ClientConnection,
    Greeted,
    HelloAnswered,
    MessageAnswered,
    ServerClosed,
    TlsReady,
)
from postwren.protocols.smtp.command import Auth, Data, Ehlo, Mail, Quit, Rcpt, Rset, StartTls
from postwren.protocols.smtp.params import Body
from postwren.protocols.smtp.path import parse_mailbox
from postwren.protocols.smtp.reply import Reply
from postwren.protocols.smtp.state import State
from postwren.transport.deadline import Patience, Watch
from postwren.transport.link import LinkConfig
from postwren.transport.outflow import BodyFailed
from postwren.transport.tls import ClientTls, OpportunisticTls, TlsFault, TlsSide
from postwren.wire.core import Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = ["Connection", "HostFailed", "Letter", "Ours", "Ready", "Result", "Target"]

_NEVER_TAKES_MAIL: Final = 521  # RFC 7504 section 3
Ready: TypeAlias = Callable[[Sequence[QueuedRecipient]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ours:
    """This side of all connections: our name in EHLO, an address to connect from, certificates to trust instead of the system's,
    and what a smarthost wants to know."""

    hostname: str
    watch: Watch = field(default_factory=Watch)
    limits: OutboundLimits = field(default_factory=OutboundLimits)
    source: str | None = None
    trusted: Path | None = None
    credentials: ClientCredentials | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect. `in_the_clear`: TLS failed there lately, and the rule does not insist."""

    host: str
    address: str
    port: int
    rule: TlsRule
    is_implicit_tls: bool = False
    in_the_clear: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A queued message on its way out. `pieces` reads its octets anew at each call, with CRLF line ends; `header_is_ascii` looks
    into them (RFC 6532). `token` names this submission to a host that keeps tokens (docs/adr/0020-submission-token.md)."""

    message: QueuedMessage
    size: int
    pieces: Callable[[], Iterator[bytes]]
    header_is_ascii: Callable[[], bool]
    token: str = ""
    wish: TlsWish = TlsWish.USUAL


@dataclass(frozen=True, slots=True)
class Result:
    """`left` were not asked for, because the host takes fewer at a time: they go next. `is_over`: the connection is of no more
    use. `is_stale`: it ended before the host said anything to this message. `is_in_doubt`: it ended behind the message's last
    octet and before an answer, so that the host may have it (RFC 1047)."""

    outcomes: list[Outcome]
    left: list[QueuedRecipient]
    is_over: bool = False
    is_stale: bool = False
    is_in_doubt: bool = False


class HostFailed(Exception):
    """The host cannot be used now (for this message). `tls` says what was wrong with TLS; `may_be_clear`: the handshake alone
    failed, and the rule allows the host without it. `is_answered`: a host's own words, or a fault of ours, are behind it."""

    def __init__(
        self, verdict: Verdict, tls: Blame | None = None, *, may_be_clear: bool = False, is_answered: bool = True
    ) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict
        self.tls = tls
        self.may_be_clear = may_be_clear
        self.is_answered = is_answered


class CertificateRefused(ssl.SSLError):
    """The rule's judge found fault."""

    reason = "the certificate was refused"

    def __init__(self, blame: Blame) -> None:
        super().__init__(blame.why)
        self.blame = blame


class Connection:
    """One connection that stands. Whoever opened it ends it, with `quit` or `abort`."""

    def __init__(self, target: Target, ours: Ours) -> None:
        self.target = target
        self.transactions = 0
        self.extensions: dict[str, tuple[str, ...]] = {}
        self._ours = ours
        self._limits = ours.limits
        self._talk = Conversation(ClientConnection())

    @classmethod
    async def open(cls, target: Target, ours: Ours) -> "Connection":
        """Raises HostFailed."""
        connection = cls(target, ours)
        try:
            await connection._open()
        except BaseException:
            await connection.abort()
            raise
        return connection

    @property
    def tls_version(self) -> str:
        """ "" in the clear."""
        return "" if self._talk.tls is None else self._talk.tls.version

    @property
    def is_usable(self) -> bool:
        """Another message may go over it."""
        core = self._talk.core
        return self._talk.is_quiet and core.waiting_for is Waiting.NOTHING and core.state is not State.CLOSED

    async def quit(self) -> None:
        """Take leave (RFC 5321 section 4.1.1.10); never raises, never takes long."""
        try:
            async with asyncio.timeout(self._limits.quit):
                if self.is_usable:
                    self._talk.core.send(Quit())
                    self._talk.flush()
                    await self._talk.next_event()
        except (OSError, LocalProtocolError):
            pass
        await self.abort()

    async def abort(self) -> None:
        """Drop it."""
        await self._talk.__aexit__(None, None, None)

    # -- from the call to the first MAIL

    async def _open(self) -> None:
        target, limits = self.target, self._limits
        patience = Patience(
            handshake=limits.handshake,
            command=limits.message,
            slow_reader=limits.block,
            slow_reader_rate=65536 / limits.block,
        )
        config = LinkConfig(self._ours.watch, patience=patience, tls=self._tls_side(), is_implicit_tls=target.is_implicit_tls)
        try:
            await self._talk.open(target.address, target.port, config, limits.connect, self._ours.source)
        except (OSError, TlsFault) as error:
            self._cannot_connect(error)
        greeted = await self._expect(limits.greeting, "the greeting", Greeted)
        if not greeted.reply.is_positive:
            self._unwelcome(greeted.reply)
        await self._say_hello()
        if self._talk.tls is None and await self._start_tls():
            await self._say_hello()
        if self._ours.credentials is not None:
            await self._log_in(self._ours.credentials)

    def _tls_side(self) -> TlsSide:
        rule = self.target.rule
        if rule.is_verified and rule.judge is None:
            return ClientTls(rule.name, None, self._ours.trusted)
        judge = rule.judge

        def look(chain: list[bytes]) -> None:
            blame = None if judge is None else judge(chain)
            if blame is not None:
                raise CertificateRefused(blame)

        return OpportunisticTls(None if rule.name.startswith("[") else rule.name, look)

    def _cannot_connect(self, error: Exception) -> NoReturn:
        if isinstance(error, ssl.SSLError | TlsFault):
            self._tls_failed(error)
        match error:
            case TimeoutError():
                why = "no answer in time"
            case ConnectionRefusedError():
                why = "nothing listens there"
            case OSError():
                why = error.strerror or str(error) or type(error).__name__
            case _:
                why = str(error)
        raise self._failed(421, "4.4.1", f"cannot connect to {self.target.address}: {why}") from error

    def _unwelcome(self, reply: Reply) -> NoReturn:
        """A host that wants no mail now. Only 521 says that it never will (RFC 7504 section 3); others may mean this hour."""
        verdict = verdict_of(reply, self.target.host)
        if reply.code != _NEVER_TAKES_MAIL and verdict.fate is Fate.FAILED:
            verdict = Verdict(Fate.DEFERRED, reply.code, reply.enhanced, verdict.text, verdict.host)
        raise HostFailed(verdict)

    async def _say_hello(self) -> None:
        self._send(Ehlo(self._ours.hostname))
        answer = await self._expect(self._limits.hello, "the answer to EHLO", HelloAnswered)
        if not answer.reply.is_positive:
            self._unwelcome(answer.reply)
        self.extensions = answer.extensions

    async def _start_tls(self) -> bool:
        """Whether TLS is on now. Raises HostFailed where it must be and is not."""
        target = self.target
        if target.in_the_clear:
            return False
        if "STARTTLS" not in self.extensions:
            self._go_without("the host does not offer STARTTLS")
            return False
        self._send(StartTls())
        event = await self._next(self._limits.hello, "the answer to STARTTLS")
        if isinstance(event, Answered):
            self._go_without(f"the host refused STARTTLS: {event.reply.code}")
            return False
        if not isinstance(event, TlsReady):
            self._out_of_step(event, "the answer to STARTTLS")
        try:
            async with asyncio.timeout(self._limits.handshake):
                await self._talk.start_tls()
        except (OSError, TlsRefused) as error:
            self._tls_failed(error)
        return True

    def _go_without(self, why: str) -> None:
        if self.target.rule.is_required:
            raise self._failed(454, "4.7.4", why, Blame(TlsResult.NOT_OFFERED, why))

    def _tls_failed(self, error: BaseException) -> NoReturn:
        blame = _blame(error)
        may_be_clear = not (self.target.rule.is_required or self.target.is_implicit_tls)
        raise self._failed(454, "4.7.5", f"TLS failed: {blame.why}", blame, may_be_clear=may_be_clear) from error

    async def _log_in(self, credentials: ClientCredentials) -> None:
        """RFC 4954, at a smarthost."""
        bindings = None if self._talk.tls is None else self._talk.tls.bindings
        is_here = self.target.address.startswith("127.") or self.target.address == "::1"
        mechanism = choose(self.extensions.get("AUTH", ()), credentials, bindings, allows_cleartext=is_here)
        if mechanism is None:
            raise self._failed(454, "4.7.0", "the smarthost offers no way to log in that can be used")
        exchange = client_exchange(mechanism, credentials, nonce=secrets.token_urlsafe(18), bindings=bindings)
        initial = exchange.start()
        self._send(Auth(mechanism, None if initial is None else Secret(initial)))
        abort: Abort | None = None
        while isinstance(event := await self._next(self._limits.hello, "the answer to AUTH"), Challenged):
            answer = exchange.receive(event.data)
            abort = answer if isinstance(answer, Abort) else None
            self._talk.core.send_auth_response(None if isinstance(answer, Abort) else answer)
            self._talk.flush()
        if not isinstance(event, Answered):
            self._out_of_step(event, "the answer to AUTH")
        abort = exchange.finished() if abort is None and event.reply.is_positive else abort
        if abort is not None:
            raise self._failed(454, "4.7.0", f"the smarthost cannot be trusted: {abort.reason}")
        if not event.reply.is_positive:
            raise self._failed(454, "4.7.8", f"the smarthost refused the login: {event.reply.code}")

    # -- a message

    async def transact(self, letter: Letter, recipients: Sequence[QueuedRecipient], ready: Ready | None = None) -> Result:
        """Hand the message over for these recipients, or as many of them as one transaction takes. `ready` is awaited behind the
        envelope, before the first octet of the message, with whom the host accepted. Never raises for what the host does."""
        refusal = what_lacks(letter.message, recipients, letter.size, self.extensions, letter.header_is_ascii)
        if isinstance(refusal, Refusal):
            verdict = Verdict(Fate.FAILED, refusal.code, refusal.enhanced, refusal.text, self.target.host)
            return Result([Outcome(recipient.number, verdict) for recipient in recipients], [])
        most = min(self._limits.recipients, _most_recipients(self.extensions))
        now, later = recipients[:most], list(recipients[most:])
        self.transactions += 1
        dialogue = _Dialogue(self, letter, now, ready)
        try:
            await dialogue.run(is_utf8=refusal)
        except HostFailed as failed:
            undecided = dialogue.undecided(failed.verdict)
            is_in_doubt = dialogue.is_whole and not failed.is_answered
            left = [*dialogue.left, *later]
            return Result(undecided, left, is_over=True, is_stale=not dialogue.was_heard, is_in_doubt=is_in_doubt)
        return Result(dialogue.outcomes(), [*dialogue.left, *later], is_over=not self.is_usable)

    # -- the conversation

    def _send(self, *commands: Any) -> None:
        try:
            for command in commands:
                self._talk.core.send(command)
        except LocalProtocolError as error:
            raise self._failed(421, "4.5.0", f"out of step: {error}") from error
        self._talk.flush()

    async def _next(self, seconds: float | None, what: str) -> Any:
        """The next event. Raises HostFailed where there is none."""
        try:
            async with asyncio.timeout(seconds):
                return await self._talk.next_event()
        except TimeoutError as error:
            raise self._failed(421, "4.4.2", f"{what} did not come in time") from error
        except OSError as error:
            cause = error.__cause__
            if isinstance(cause, TimeoutError):
                raise self._failed(421, "4.4.2", f"{what} did not come in time") from error
            if isinstance(cause, BodyFailed):
                raise _unreadable(cause.__cause__) from error
            raise self._failed(421, "4.4.2", f"the connection was lost before {what}") from error

    async def _expect(self, seconds: float | None, what: str, kind: type[Any]) -> Any:
        event = await self._next(seconds, what)
        if not isinstance(event, kind):
            self._out_of_step(event, what)
        return event

    def _out_of_step(self, event: object, what: str) -> NoReturn:
        match event:
            case Broken(_, Reply() as reply) if reply.code == 421:
                verdict = verdict_of(reply, self.target.host)
                raise HostFailed(verdict)
            case Broken(why):
                raise self._failed(421, "4.5.0", f"the host left the protocol: {why}")
            case ServerClosed():
                raise self._failed(421, "4.4.2", f"the host closed the connection before {what}")
        raise self._failed(421, "4.5.0", f"the host left the protocol at {what}")

    def _failed(self, code: int, enhanced: str, text: str, tls: Blame | None = None, *, may_be_clear: bool = False) -> HostFailed:
        verdict = Verdict(Fate.DEFERRED, code, enhanced, text, self.target.host)
        return HostFailed(verdict, tls, may_be_clear=may_be_clear, is_answered=False)


class _Dialogue:
    """One transaction under way."""

    def __init__(
        self,
        connection: Connection,
        letter: Letter,
        recipients: Sequence[QueuedRecipient],
        ready: Ready | None,
    ) -> None:
        self._connection = connection
        self._limits = connection._limits
        self._letter = letter
        self._recipients = recipients
        self._ready = ready
        self._verdicts: dict[int, Verdict] = {}
        self._accepted: list[QueuedRecipient] = []
        self.left: list[QueuedRecipient] = []
        self.was_heard = False
        self.is_whole = False  # its end is on its way

    def outcomes(self) -> list[Outcome]:
        """Of all recipients that were judged."""
        return [Outcome(number, verdict) for number, verdict in self._verdicts.items()]

    def undecided(self, verdict: Verdict) -> list[Outcome]:
        """The connection ended: whoever has no final answer has this one."""
        waiting = {recipient.number for recipient in self._recipients} - {recipient.number for recipient in self.left}
        for number in sorted(waiting - self._verdicts.keys()):
            self._verdicts[number] = verdict
        return self.outcomes()

    async def run(self, *, is_utf8: bool) -> None:
        """Raises HostFailed."""
        connection, message = self._connection, self._letter.message
        if connection._talk.core.state is not State.READY:  # RFC 5321 section 4.1.4: the one before was not finished
            connection._send(Rset())
            await self._answer(self._limits.mail, "the answer to RSET")
        sender = parse_mailbox(message.reverse_path) if message.reverse_path else None
        offered = connection.extensions
        params = mail_params(message, self._letter.size, offered, is_utf8=is_utf8, token=self._letter.token)
        is_chunked = params.body is Body.BINARY
        rcpts = [Rcpt(parse_mailbox(each.address), rcpt_params(each, offered)) for each in self._recipients]
        try:
            async with asyncio.timeout(self._limits.envelope):
                connection._send(Mail(sender, params), *rcpts, *(() if is_chunked else (Data(),)))
                await self._envelope_answers()
                data = None if is_chunked else await self._answer(self._limits.data, "the answer to DATA")
        except TimeoutError as error:
            raise connection._failed(421, "4.4.2", "the answers to the envelope did not come in time") from error
        if self._ready is not None and self._accepted:
            await self._ready(self._accepted)
        if is_chunked:
            await self._send_chunks()
        elif data is not None and not data.is_positive:
            self._judge_accepted(data)
        elif self._accepted:
            connection._talk.core.send_body(self._pieces())
            connection._talk.flush()
            await self._message_answer()
        else:  # the core ended the message that nobody was to get (RFC 2920 section 3.1)
            await connection._expect(self._limits.message, "the answer to an empty message", MessageAnswered)

    async def _answer(self, seconds: float, what: str) -> Reply:
        event = await self._connection._expect(seconds, what, Answered)
        self.was_heard = True
        reply: Reply = event.reply
        return reply

    async def _envelope_answers(self) -> None:
        mail = await self._answer(self._limits.mail, "the answer to MAIL")
        host = self._connection.target.host
        for recipient in self._recipients:
            reply = await self._answer(self._limits.recipient, "the answer to RCPT")
            if not mail.is_positive:
                self._verdicts[recipient.number] = verdict_of(mail, host)
            elif reply.is_positive:
                self._accepted.append(recipient)
            elif self._accepted and _is_too_many(reply):
                self.left.append(recipient)
            else:
                self._verdicts[recipient.number] = verdict_of(reply, host)

    async def _send_chunks(self) -> None:
        """RFC 3030 section 2, one chunk after the other: what a host refuses is not sent on."""
        if not self._accepted:
            return
        talk, held = self._connection._talk, b""
        try:
            for piece in self._letter.pieces():
                if held:
                    talk.core.send_chunk(held, is_last=False)
                    talk.flush()
                    reply = await self._answer(self._limits.message, "the answer to BDAT")
                    if not reply.is_positive:
                        self._judge_accepted(reply)
                        return
                held = piece
        except (MailstoreError, OSError) as error:
            raise _unreadable(error) from error
        self.is_whole = True
        talk.core.send_chunk(held, is_last=True)
        talk.flush()
        await self._message_answer()

    def _pieces(self) -> Iterator[bytes]:
        """`is_whole` is said before the end of the data is written, which comes behind the last piece."""
        yield from self._letter.pieces()
        self.is_whole = True

    async def _message_answer(self) -> None:
        # The link's own patience ends this wait: it begins behind the last octet, and a slow network is no fault.
        answered = await self._connection._expect(None, "the answer to the message", MessageAnswered)
        self.was_heard = True
        self._judge_accepted(answered.replies[0])

    def _judge_accepted(self, reply: Reply) -> None:
        offers_dsn = "DSN" in self._connection.extensions
        verdict = verdict_of(reply, self._connection.target.host, offers_dsn=offers_dsn)
        for recipient in self._accepted:
            self._verdicts[recipient.number] = verdict


def _is_too_many(reply: Reply) -> bool:
    """RFC 5321 section 4.5.3.1.10: 452, and the old 552 is to be taken as if it were one."""
    return (reply.code == 452 and reply.enhanced in ("", "4.5.3")) or (reply.code == 552 and reply.enhanced in ("", "5.5.3"))


def _most_recipients(extensions: dict[str, tuple[str, ...]]) -> int:
    """RFC 9422 section 4: RCPTMAX."""
    for word in extensions.get("LIMITS", ()):
        name, _, value = word.partition("=")
        if name.upper() == "RCPTMAX" and value.isascii() and value.isdigit() and 0 < len(value) <= 6:
            return int(value) or 1
    return 1 << 20


def _unreadable(error: BaseException | None) -> HostFailed:
    """Ours, not the host's: octets that must not go out, or that cannot be read."""
    if isinstance(error, LocalProtocolError):
        return HostFailed(Verdict(Fate.FAILED, 554, "5.6.0", "The message has a bare CR, a bare LF or a NUL, and is not sent on"))
    return HostFailed(Verdict(Fate.DEFERRED, 451, "4.3.0", "The message could not be read from the store"))


def _blame(error: BaseException) -> Blame:
    """What was wrong with TLS, in the words of RFC 8460 section 4.3."""
    seen: BaseException | None = error
    while seen is not None:
        match seen:
            case CertificateRefused():
                return seen.blame
            case ssl.SSLCertVerificationError():
                result = _VERIFY_CODES.get(seen.verify_code, TlsResult.NOT_TRUSTED)
                return Blame(result, seen.verify_message or str(seen))
        seen, last = seen.__cause__, seen
    why = "it took too long" if isinstance(last, TimeoutError) else getattr(last, "reason", None) or str(last)
    return Blame(TlsResult.FAILED, str(why))


# X509_V_ERR_CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH
_VERIFY_CODES: Final = {10: TlsResult.EXPIRED, 62: TlsResult.HOST_MISMATCH, 64: TlsResult.HOST_MISMATCH}
