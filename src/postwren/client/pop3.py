"""A device at its maildrop by POP3 (RFC 1939, 2449, 2595, 5034, 6856).

    async with Pop3Client("mail.example.org", 995) as device:
        await device.login("ann@example.org", Secret("..."))
        for number, uidl in (await device.uidl()).items(): ...
        await device.retr_into(number, file.write)
        await device.dele(number)
        await device.quit()                 # only now the server removes

Leaving the context without `quit` removes nothing.

`send` takes any number of commands; their answers are then awaited in the same order with `reply`, `message` or `listing`.
They travel together where the server announced PIPELINING (RFC 2449 section 6.6), and one after the other elsewhere.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from postwren.client.conversation import ConnectionEnded, Conversation, Security, ServerFailed, TlsRefused
from postwren.protocols.pop3.capability import Capabilities
from postwren.protocols.pop3.client import (
    BodyReceived,
    Challenged,
    ClientConnection,
    Greeting,
    LastWord,
    ListingReceived,
    ReplyEnded,
    ReplyReceived,
    Respond,
    ServerClosed,
    ServerFault,
)
from postwren.protocols.pop3.command import Auth, Capa, Command, Dele, List, Pass, Quit, Retr, Stat, Stls, Uidl, User, Utf8
from postwren.protocols.pop3.reply import Reply, parse_numbers, parse_uidl_line
from postwren.protocols.pop3.state import State
from postwren.protocols.sasl import Abort, ClientCredentials, ClientExchange, choose, client_exchange
from postwren.wire.secret import Secret

__all__ = ["RETR_AHEAD", "Pop3Client", "Refused"]

V = TypeVar("V", int, bytes)
RETR_AHEAD: Final = 64
"""How many commands are written before the first of them is answered: enough to hide any round trip."""
USER_PASS: Final = "USER"  # noqa: S105 - a name
"""What `login` returns where no mechanism of SASL was used."""


class Refused(ServerFailed):
    """The server said -ERR; `reply` is what it said (its `code` may be IN-USE, AUTH, SYS/TEMP ...)."""

    def __init__(self, command: Command, reply: Reply) -> None:
        super().__init__(f"{type(command).__name__}: {reply.text}")
        self.command = command
        self.reply = reply


class Pop3Client:
    """One connection. Every method raises Refused, ServerFailed, or OSError (ConnectionEnded) when the connection is gone."""

    def __init__(self, host: str, port: int, *, security: Security = Security.IMPLICIT, trusted: Path | None = None) -> None:
        self._place = host, port
        self._security = security
        self._trusted = trusted
        self._talk = Conversation(ClientConnection())
        self._held: deque[Command] = deque()  # not sent yet, as the server takes one at a time
        self._known: Capabilities | None = None

    async def __aenter__(self) -> "Pop3Client":
        try:
            await self._open()
        except BaseException:
            await self._talk.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self._talk.__aexit__(kind, error, at)

    async def _open(self) -> None:
        await self._talk.connect(*self._place, self._security, b"pop3", self._trusted)
        event = await self._talk.next_event()
        if not isinstance(event, Greeting):
            raise _lost(event, "a greeting")
        if not event.reply.is_ok:
            raise ServerFailed(f"the server greets with a refusal: {event.reply.text}")
        if self._security is Security.STARTTLS:
            try:
                await self._command(Stls())
            except Refused as refused:
                raise TlsRefused(str(refused)) from refused
            await self._talk.start_tls()

    @property
    def tls_version(self) -> str | None:
        """None in the clear."""
        return None if self._talk.tls is None else self._talk.tls.version

    # -- who we are

    async def capabilities(self) -> Capabilities:
        """CAPA, asked once; none where the server does not know it."""
        if self._known is None:
            try:
                self.send(Capa())
                self._known = Capabilities.parse(await self.listing(Capa()))
            except Refused:
                self._known = Capabilities({})
        return self._known

    async def login(
        self, login: str, password: Secret[str] | None = None, *, token: Secret[str] | None = None, pinned: str | None = None
    ) -> str:
        """By the strongest mechanism that both sides know, or by USER and PASS; with a `token` by OAUTHBEARER or XOAUTH2. Returns
        what was used: give it as `pinned` the next time, and nothing weaker is (A-63). UTF8 mode where there is one."""
        known = await self.capabilities()
        credentials = ClientCredentials(authcid=login, password=password, token=token, host=self._place[0], port=self._place[1])
        bindings = None if self._talk.tls is None else self._talk.tls.bindings
        weakest = pinned if pinned != USER_PASS else None
        mechanism = choose(
            known.parameters("SASL"), credentials, bindings, weakest, allows_cleartext=self._security is Security.NONE
        )
        if mechanism is None and (weakest is not None or password is None):
            raise ServerFailed(f"the server offers {_told(known)} to log in by, not {weakest or 'OAUTHBEARER or XOAUTH2'}")
        is_utf8 = "UTF8" in known  # RFC 6856 section 2: messages come as they are, and not in a form for the ASCII world
        if mechanism is None:
            await self._user_pass(login, password or Secret(""), [Utf8()] if is_utf8 else [])
            return USER_PASS
        if is_utf8:
            self.send(Utf8())
        nonce = secrets.token_urlsafe(18)
        await self._authenticate(client_exchange(mechanism, credentials, nonce=nonce, bindings=bindings), is_utf8)
        return mechanism

    async def _user_pass(self, login: str, password: Secret[str], ahead: list[Command]) -> None:
        commands = [*ahead, User(login), Pass(password)]
        self.send(*commands)
        refusal: Refused | None = None
        for command in commands:
            try:
                await self.reply(command)
            except Refused as refused:
                if not isinstance(command, Utf8):
                    refusal = refusal or refused
        if refusal is not None:
            raise refusal

    async def authenticate(self, exchange: ClientExchange) -> None:
        """An exchange of a SASL mechanism (RFC 5034)."""
        await self._authenticate(exchange, False)

    async def _authenticate(self, exchange: ClientExchange, is_utf8_asked: bool) -> None:
        initial = exchange.start()
        command = Auth(exchange.mechanism, None if initial is None else Secret(initial))
        self.send(command)
        if is_utf8_asked:
            await self.reply(Utf8(), is_optional=True)
        self._let_go()
        abort: Abort | None = None
        while isinstance(event := await self._talk.next_event(), Challenged):
            data = event.challenge.data
            answer = Abort("a challenge that is not base64") if data is None else exchange.receive(data)
            abort = answer if isinstance(answer, Abort) else None
            self._talk.core.send(Respond(None if isinstance(answer, Abort) else Secret(answer)))
            self._talk.flush()
        if not isinstance(event, ReplyReceived):
            raise _lost(event, "the answer to AUTH")
        if abort is None and event.reply.is_ok:
            abort = exchange.finished()
        if abort is not None:
            raise ServerFailed(abort.reason)
        if not event.reply.is_ok:
            raise Refused(command, event.reply)

    # -- the maildrop

    async def stat(self) -> tuple[int, int]:
        """Messages, and their octets."""
        numbers = parse_numbers((await self._command(Stat())).text.encode())
        if numbers is None:
            raise ServerFailed("STAT without numbers")
        return numbers

    async def sizes(self) -> dict[int, int]:
        """LIST: number to octets."""
        self.send(List())
        return _sizes(await self.listing(List()))

    async def uidl(self) -> dict[int, bytes]:
        """UIDL: number to unique id. A line that cannot be read is passed over: what is there then has none."""
        self.send(Uidl())
        return _uidls(await self.listing(Uidl()))

    async def maildrop(self) -> tuple[dict[int, int], dict[int, bytes]]:
        """LIST and UIDL in one round trip; no unique ids where the server has no UIDL."""
        self.send(List(), Uidl())
        sizes = _sizes(await self.listing(List()))
        try:
            return sizes, _uidls(await self.listing(Uidl()))
        except Refused:
            return sizes, {}

    async def retr(self, number: int) -> bytes:
        """One message, whole."""
        pieces: list[bytes] = []
        await self.retr_into(number, pieces.append)
        return b"".join(pieces)

    async def retr_into(self, number: int, write: Callable[[bytes], object]) -> int:
        """One message, given to `write` as it comes (a binary file's `write`); returns its octets."""
        self.send(Retr(number))
        return await self.message(Retr(number), write)

    async def retr_all(self, numbers: Iterable[int], sink: Callable[[int], Callable[[bytes], object]]) -> dict[int, int]:
        """Many messages, with RETR pipelined; `sink(number)` gives the `write` of each. Returns the octets of each."""
        waiting: list[int] = list(numbers)
        got: dict[int, int] = {}
        sent = 0
        for at, number in enumerate(waiting):
            if sent - at <= RETR_AHEAD // 2:
                batch = waiting[sent : at + RETR_AHEAD]
                sent += len(batch)
                self.send(*map(Retr, batch))
            got[number] = await self.message(Retr(number), sink(number))
        return got

    async def dele(self, *numbers: int) -> None:
        """Mark messages; the server removes them when `quit` has succeeded."""
        for start in range(0, len(numbers), RETR_AHEAD):
            batch = [Dele(number) for number in numbers[start : start + RETR_AHEAD]]
            self.send(*batch)
            for command in batch:
                await self.reply(command)

    async def quit(self) -> None:
        """End the session; marked messages are gone when this returns."""
        await self._command(Quit())

    # -- the conversation

    def send(self, *commands: Command) -> None:
        """Send, or keep until the answer to the last one is there."""
        self._held += commands
        if self._known is not None and "PIPELINING" in self._known:
            self._let_go(len(self._held))

    def _let_go(self, count: int = 1) -> None:
        if self._talk.core.state is State.CLOSED:
            self._held.clear()  # the server is gone: who waits for the answer is told
        elif self._held:
            for _ in range(count):
                self._talk.core.send(self._held.popleft())
            self._talk.flush()

    async def _command(self, command: Command) -> Reply:
        self.send(command)
        return await self.reply(command)

    async def reply(self, command: Command, *, is_optional: bool = False) -> Reply:
        """The answer to `command`, the next that is owed. Raises Refused, unless it `is_optional`."""
        self._let_go()
        event = await self._talk.next_event()
        if not isinstance(event, ReplyReceived):
            raise _lost(event, f"the answer to {type(command).__name__}")
        if not event.reply.is_ok and not is_optional:
            raise Refused(command, event.reply)
        return event.reply

    async def listing(self, command: Command) -> list[bytes]:
        """The lines of the answer to `command`, the next that is owed."""
        await self.reply(command)
        lines: list[bytes] = []
        while isinstance(event := await self._talk.next_event(), ListingReceived):
            lines += event.lines
        if not isinstance(event, ReplyEnded):
            raise _lost(event, "the end of a listing")
        return lines

    async def message(self, command: Command, write: Callable[[bytes], object]) -> int:
        """The message of the answer to `command` (RETR or TOP), the next that is owed, given to `write`; returns its octets. What
        breaks off raises: a message is whole when this returns. So does what `write` raises, and then the connection is of no use
        any more."""
        await self.reply(command)
        octets = 0
        while isinstance(event := await self._talk.next_event(), BodyReceived):
            octets += len(event.data)
            write(event.data)
        if not isinstance(event, ReplyEnded):
            raise _lost(event, "the end of a message")
        return octets


def _lost(event: object, owed: str) -> Exception:
    """What to raise where something else came than was owed."""
    match event:
        case ServerClosed():
            return ConnectionEnded(f"the server closed the connection before {owed}")
        case LastWord(reply):
            return ServerFailed(f"the server ended the session: {reply.text}")
        case ServerFault(flaw):
            return ServerFailed(f"the server left the protocol: {flaw.value}")
        case _:
            return ServerFailed(f"expected {owed}, the server gave {event}")


def _told(known: Capabilities) -> str:
    return ", ".join([*known.parameters("SASL"), *(["USER"] if "USER" in known else [])]) or "nothing"


def _sizes(lines: list[bytes]) -> dict[int, int]:
    sizes = dict(_parsed(parse_numbers(line) for line in lines))
    if len(sizes) < len(lines):
        raise ServerFailed("LIST names a message twice")
    return sizes


def _uidls(lines: list[bytes]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    twice: set[int] = set()
    for line in lines:
        if (parsed := parse_uidl_line(line)) is not None:
            number, unique_id = parsed
            if number in found:
                twice.add(number)
            found[number] = unique_id
    return {number: unique_id for number, unique_id in found.items() if number not in twice}


def _parsed(rows: Iterable[tuple[int, V] | None]) -> Iterator[tuple[int, V]]:
    for row in rows:
        if row is None:
            raise ServerFailed("a line of a listing without its numbers")
        yield row
