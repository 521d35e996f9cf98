"""Submit one message by SMTP or LMTP (RFC 5321, 6409, 2033, 3207, 4954)."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from postwren.client.conversation import Conversation, Security, ServerFailed, TlsRefused
from postwren.protocols.sasl import Abort, ClientCredentials, choose, client_exchange
from postwren.protocols.smtp.client import (
    Answered,
    Challenged,
    ClientConnection,
    Greeted,
    HelloAnswered,
    MessageAnswered,
    TlsReady,
)
from postwren.protocols.smtp.command import Auth, Data, Ehlo, Lhlo, Mail, Quit, Rcpt, StartTls
from postwren.protocols.smtp.lmtp import LMTP
from postwren.protocols.smtp.params import Body, MailParams
from postwren.protocols.smtp.path import is_ascii
from postwren.protocols.smtp.reply import Reply
from postwren.protocols.smtp.state import SMTP
from postwren.terms import Address
from postwren.wire.secret import Secret

__all__ = ["Submission", "submit"]

E = TypeVar("E", Greeted, HelloAnswered, Answered, MessageAnswered)


@dataclass(frozen=True, slots=True)
class Submission:
    """What the server answered. `message` has one reply (none where MAIL or every recipient was refused; in LMTP one for each
    accepted recipient): only a positive one says that the server has the message."""

    mail: Reply
    recipients: tuple[Reply, ...]
    message: tuple[Reply, ...]


async def submit(
    host: str,
    port: int,
    reverse_path: Address | None,
    recipients: Sequence[Address],
    octets: bytes,
    *,
    security: Security = Security.STARTTLS,
    trusted: Path | None = None,
    name: str = "localhost",
    is_lmtp: bool = False,
    login: str = "",
    password: Secret[str] | None = None,
) -> Submission:
    """Hand over one message with CRLF line ends, in one connection. `name` is ours in EHLO; `trusted` a file of certificates to
    trust instead of the system's; with a `password` we log in first, as submission asks for.

    Raises ServerFailed (TlsRefused) when the server did not let it come to MAIL or left the protocol, OSError (ConnectionEnded,
    certificate errors) when the connection failed: the message's fate is unknown if it was sent by then.
    """
    async with Conversation(ClientConnection(variant=LMTP if is_lmtp else SMTP)) as talk:
        await talk.connect(host, port, security, None, trusted)
        greeted = await _expect(talk, Greeted)
        if not greeted.reply.is_positive:
            raise ServerFailed(f"greeted with {greeted.reply}")
        hello = Lhlo(name) if is_lmtp else Ehlo(name)
        extensions = await _say_hello(talk, hello)
        if security is Security.STARTTLS:
            await _start_tls(talk, extensions)
            extensions = await _say_hello(talk, hello)
        if password is not None:
            credentials = ClientCredentials(authcid=login, password=password, host=host, port=port)
            await _log_in(talk, extensions.get("AUTH", ()), credentials, allows_cleartext=security is Security.NONE)
        submission = await _transact(talk, extensions, reverse_path, recipients, octets)
        talk.core.send(Quit())
        talk.flush()
        return submission


async def _expect(talk: Conversation[ClientConnection], kind: type[E]) -> E:
    event = await talk.next_event()
    if not isinstance(event, kind):
        raise ServerFailed(f"expected {kind.__name__}, the server gave {event}")
    return event


async def _say_hello(talk: Conversation[ClientConnection], hello: Ehlo | Lhlo) -> dict[str, tuple[str, ...]]:
    talk.core.send(hello)
    talk.flush()
    answer = await _expect(talk, HelloAnswered)
    if not answer.reply.is_positive:
        raise ServerFailed(f"hello was answered {answer.reply}")
    return answer.extensions


async def _start_tls(talk: Conversation[ClientConnection], extensions: dict[str, tuple[str, ...]]) -> None:
    if "STARTTLS" not in extensions:
        raise TlsRefused("the server does not offer STARTTLS")
    talk.core.send(StartTls())
    talk.flush()
    event = await talk.next_event()
    if not isinstance(event, TlsReady):
        raise TlsRefused(f"STARTTLS was answered {event}")
    await talk.start_tls()


async def _log_in(
    talk: Conversation[ClientConnection], offered: Sequence[str], credentials: ClientCredentials, *, allows_cleartext: bool
) -> None:
    """RFC 4954, by the strongest mechanism that both sides know."""
    bindings = None if talk.tls is None else talk.tls.bindings
    mechanism = choose(offered, credentials, bindings, allows_cleartext=allows_cleartext)
    if mechanism is None:
        raise ServerFailed(f"the server offers {', '.join(offered) or 'nothing'} to log in by")
    exchange = client_exchange(mechanism, credentials, nonce=secrets.token_urlsafe(18), bindings=bindings)
    initial = exchange.start()
    talk.core.send(Auth(mechanism, None if initial is None else Secret(initial)))
    talk.flush()
    abort: Abort | None = None
    while isinstance(event := await talk.next_event(), Challenged):
        answer = exchange.receive(event.data)
        abort = answer if isinstance(answer, Abort) else None
        talk.core.send_auth_response(None if isinstance(answer, Abort) else answer)
        talk.flush()
    if not isinstance(event, Answered):
        raise ServerFailed(f"expected an answer to AUTH, the server gave {event}")
    abort = exchange.finished() if abort is None and event.reply.is_positive else abort
    if abort is not None:
        raise ServerFailed(f"the server cannot be trusted: {abort.reason}")
    if not event.reply.is_positive:
        raise ServerFailed(f"the login was refused: {event.reply.code} {' '.join(event.reply.lines)}")


async def _transact(
    talk: Conversation[ClientConnection],
    extensions: dict[str, tuple[str, ...]],
    reverse_path: Address | None,
    recipients: Sequence[Address],
    octets: bytes,
) -> Submission:
    core = talk.core
    is_unicode = not all(is_ascii(address) for address in [*recipients, *([reverse_path] if reverse_path else [])])
    params = MailParams(
        size=len(octets) if "SIZE" in extensions else None,
        body=Body.EIGHT_BIT if not octets.isascii() and "8BITMIME" in extensions else None,
        smtputf8=is_unicode,
    )
    core.send(Mail(reverse_path, params))
    for recipient in recipients:
        core.send(Rcpt(recipient))
    core.send(Data())
    talk.flush()
    mail = (await _expect(talk, Answered)).reply
    answers = tuple([(await _expect(talk, Answered)).reply for _ in recipients])
    data = (await _expect(talk, Answered)).reply
    if not data.is_positive:
        return Submission(mail, answers, (data,) if any(answer.is_positive for answer in answers) else ())
    if not any(answer.is_positive for answer in answers):
        await _expect(talk, MessageAnswered)  # the core ended the message that nobody was to get (RFC 2920 section 3.1)
        return Submission(mail, answers, ())
    core.send_body(octets)
    talk.flush()
    return Submission(mail, answers, (await _expect(talk, MessageAnswered)).replies)
