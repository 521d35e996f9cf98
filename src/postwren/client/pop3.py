"""A device at its maildrop by POP3 (RFC 1939, 2449, 2595).

    async with Pop3Client("mail.example.org", 995) as device:
        await device.login("ann@example.org", Secret("..."))
        for number, uidl in (await device.uidl()).items(): ...
        await device.retr_into(number, file.write)
        await device.dele(number)
        await device.quit()                 # only now the server removes

Leaving the context without `quit` removes nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from postwren.client.conversation import Conversation, Security, ServerFailed, TlsRefused
from postwren.protocols.pop3.client import BodyReceived, ClientConnection, Greeting, ListingReceived, ReplyEnded, ReplyReceived
from postwren.protocols.pop3.command import Command, Dele, List, Pass, Quit, Retr, Stat, Stls, Uidl, User
from postwren.protocols.pop3.reply import Reply, parse_numbers, parse_uidl_line
from postwren.wire.secret import Secret

__all__ = ["Pop3Client", "Refused"]

V = TypeVar("V", int, bytes)
RETR_AHEAD: Final = 64
"""How many RETR are written before the first is answered: enough to hide any round trip."""


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
        if not isinstance(event, Greeting) or not event.reply.is_ok:
            raise ServerFailed(f"greeted with {event}")
        if self._security is Security.STARTTLS:
            try:
                await self._command(Stls())
            except Refused as refused:
                raise TlsRefused(str(refused)) from refused
            await self._talk.start_tls()

    async def login(self, login: str, password: Secret[str]) -> None:
        """USER and PASS."""
        await self._command(User(login))
        await self._command(Pass(password))

    async def stat(self) -> tuple[int, int]:
        """Messages, and their octets."""
        numbers = parse_numbers((await self._command(Stat())).text.encode())
        if numbers is None:
            raise ServerFailed("STAT without numbers")
        return numbers

    async def sizes(self) -> dict[int, int]:
        """LIST: number to octets."""
        return dict(_parsed(parse_numbers(line) for line in await self._listing(List())))

    async def uidl(self) -> dict[int, bytes]:
        """UIDL: number to unique id."""
        return dict(_parsed(parse_uidl_line(line) for line in await self._listing(Uidl())))

    async def retr(self, number: int) -> bytes:
        """One message, whole."""
        pieces: list[bytes] = []
        await self.retr_into(number, pieces.append)
        return b"".join(pieces)

    async def retr_into(self, number: int, write: Callable[[bytes], object]) -> int:
        """One message, given to `write` as it comes (a binary file's `write`); returns its octets."""
        self._send(Retr(number))
        return await self._message(Retr(number), write)

    async def retr_all(self, numbers: Iterable[int], sink: Callable[[int], Callable[[bytes], object]]) -> dict[int, int]:
        """Many messages, with RETR pipelined; `sink(number)` gives the `write` of each. Returns the octets of each."""
        waiting: list[int] = list(numbers)
        got: dict[int, int] = {}
        sent = 0
        for at, number in enumerate(waiting):
            if sent - at <= RETR_AHEAD // 2:
                batch = waiting[sent : at + RETR_AHEAD]
                sent += len(batch)
                for ahead in batch:
                    self._talk.core.send(Retr(ahead))
                self._talk.flush()
            got[number] = await self._message(Retr(number), sink(number))
        return got

    async def dele(self, *numbers: int) -> None:
        """Mark messages; the server removes them when `quit` has succeeded."""
        for start in range(0, len(numbers), RETR_AHEAD):
            batch = [Dele(number) for number in numbers[start : start + RETR_AHEAD]]
            self._send(*batch)
            for command in batch:
                await self._reply(command)

    async def quit(self) -> None:
        """End the session; marked messages are gone when this returns."""
        await self._command(Quit())

    # -- the conversation

    def _send(self, *commands: Command) -> None:
        for command in commands:
            self._talk.core.send(command)
        self._talk.flush()

    async def _command(self, command: Command) -> Reply:
        self._send(command)
        return await self._reply(command)

    async def _reply(self, command: Command) -> Reply:
        event = await self._talk.next_event()
        if not isinstance(event, ReplyReceived):
            raise ServerFailed(f"expected the answer to {type(command).__name__}, the server gave {event}")
        if not event.reply.is_ok:
            raise Refused(command, event.reply)
        return event.reply

    async def _listing(self, command: Command) -> list[bytes]:
        await self._command(command)
        lines: list[bytes] = []
        while isinstance(event := await self._talk.next_event(), ListingReceived):
            lines += event.lines
        _check_end(event)
        return lines

    async def _message(self, command: Retr, write: Callable[[bytes], object]) -> int:
        await self._reply(command)
        octets = 0
        while isinstance(event := await self._talk.next_event(), BodyReceived):
            octets += len(event.data)
            write(event.data)
        _check_end(event)
        return octets


def _check_end(event: object) -> None:
    if not isinstance(event, ReplyEnded):
        raise ServerFailed(f"an answer broke off: {event}")


def _parsed(rows: Iterable[tuple[int, V] | None]) -> Iterator[tuple[int, V]]:
    for row in rows:
        if row is None:
            raise ServerFailed("a line of a listing without its numbers")
        yield row
