"""The clients without asyncio in the caller's code: the same names, each call returns when it is done.

    with Imap("mail.example.org", 993) as device:
        device.login("ann@example.org", password)
        inbox = device.select("INBOX")
        for message in device.fetch(((1, STAR),), (Item.FLAGS, Item.RFC822_SIZE)): ...

    with Pop3("mail.example.org", 995) as maildrop: ...
    submit("mail.example.org", 587, ann, [bob], octets)

Each connection has an event loop of its own, which runs while a call lasts and stands still between calls: no thread, and nothing
happens behind the caller's back. So they cannot be used where a loop runs already (there use `client.imap` and its like), nor by
two threads at once. What a call raises is what the asyncio clients raise; with `timeout` also TimeoutError. Behind anything but a
refusal the conversation is out of step: the connection is then closed, and every further call raises ConnectionEnded.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from postwren.client import smtp
from postwren.client.conversation import ConnectionEnded, Security, ServerFailed
from postwren.client.imap import ImapClient, Selected, Sink
from postwren.client.pop3 import Pop3Client
from postwren.client.smtp import Submission
from postwren.protocols.imap import code as codes
from postwren.protocols.imap.command import Command
from postwren.protocols.imap.command.fetch import FetchItem
from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.command.search import SearchKey
from postwren.protocols.imap.command.select import QresyncState
from postwren.protocols.imap.command.store import StoreAction
from postwren.protocols.imap.outgoing import Body
from postwren.protocols.imap.response import Tagged, Untagged
from postwren.protocols.imap.response.fetch import Fetched
from postwren.protocols.imap.response.list import ListEntry, StatusValue
from postwren.protocols.imap.value import Ranges
from postwren.terms import Address
from postwren.wire.secret import Secret

__all__ = ["Imap", "Pop3", "submit"]

T = TypeVar("T")
Password = str | Secret[str]


class _Client(Protocol):
    async def __aenter__(self) -> Any: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


C = TypeVar("C", bound=_Client)


class _Connection(Generic[C]):
    """A client and its loop."""

    def __init__(self, client: C, timeout: float | None) -> None:
        self._client = client
        self._timeout = timeout
        self._runner: asyncio.Runner | None = None
        self._is_lost = False

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        try:
            self._wait(self._client.__aenter__())
        except BaseException:
            self._runner.close()
            self._runner = None
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._runner is not None
        try:
            if not self._is_lost:
                self._runner.run(self._client.__aexit__(kind, error, at))
        finally:
            self._runner.close()
            self._runner = None

    def _wait(self, work: Coroutine[Any, Any, T], meant_to_last: float = 0) -> T:
        _refuse_within_loop(work)
        if self._runner is None or self._is_lost:
            work.close()
            raise ConnectionEnded("the connection is closed" if self._is_lost else "use it in a with block")
        try:
            return self._runner.run(_within(work, None if self._timeout is None else self._timeout + meant_to_last))
        except ServerFailed:
            raise
        except BaseException:
            self._is_lost = True
            self._runner.run(self._client.__aexit__(None, None, None))
            raise


def _refuse_within_loop(work: Coroutine[Any, Any, object]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    work.close()
    raise RuntimeError("here runs an event loop already: use the clients of client.imap, client.pop3 and client.smtp")


async def _within(work: Coroutine[Any, Any, T], seconds: float | None) -> T:
    async with asyncio.timeout(seconds):
        return await work


def _secret(password: Password | None) -> Secret[str] | None:
    return Secret(password) if isinstance(password, str) else password


class Imap(_Connection[ImapClient]):
    """`client.imap.ImapClient`; `timeout` is in seconds and for each call."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Security = Security.IMPLICIT,
        trusted: Path | None = None,
        unsolicited: Callable[[Untagged], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(ImapClient(host, port, security=security, trusted=trusted, unsolicited=unsolicited), timeout)

    def capabilities(self) -> frozenset[str]:
        """In capitals; asks only where they are not known."""
        return self._wait(self._client.capabilities())

    @property
    def tls_version(self) -> str | None:
        """None in the clear."""
        return self._client.tls_version

    def login(
        self, login: str, password: Password | None = None, *, token: Password | None = None, pinned: str | None = None
    ) -> str:
        """By the strongest mechanism that both sides know, which is returned: give it as `pinned` the next time."""
        return self._wait(self._client.login(login, _secret(password), token=_secret(token), pinned=pinned))

    def compress(self) -> None:
        """RFC 4978: both ways are compressed from here on."""
        self._wait(self._client.compress())

    def mailboxes(self, pattern: str = "*", reference: str = "") -> list[ListEntry]:
        """LIST."""
        return self._wait(self._client.mailboxes(pattern, reference))

    def status(self, mailbox: str, items: Sequence[StatusItem]) -> dict[StatusItem, StatusValue]:
        """What a mailbox that need not be selected holds."""
        return self._wait(self._client.status(mailbox, items))

    def select(self, mailbox: str, *, is_examine: bool = False, qresync: QresyncState | None = None) -> Selected:
        """SELECT or EXAMINE; with CONDSTORE where the server has it."""
        return self._wait(self._client.select(mailbox, is_examine=is_examine, qresync=qresync))

    def fetch(
        self, uids: Ranges, items: Sequence[FetchItem], sink: Sink | None = None, *, changed_since: int | None = None
    ) -> list[Fetched]:
        """What is said of the messages; large sections go to the sink, and without one are an error."""
        return self._wait(self._client.fetch(uids, items, sink, changed_since=changed_since))

    def search(self, key: SearchKey) -> list[int]:
        """UIDs, ascending."""
        return self._wait(self._client.search(key))

    def store(self, uids: Ranges, action: StoreAction, flags: Iterable[str], *, unchanged_since: int | None = None) -> Tagged:
        """Flags; the answer's code is `Modified` where `unchanged_since` left some alone."""
        return self._wait(self._client.store(uids, action, flags, unchanged_since=unchanged_since))

    def append(
        self, mailbox: str, octets: Body, flags: Iterable[str] = (), internaldate: int | None = None, *, size: int | None = None
    ) -> codes.AppendUid | None:
        """A message, as octets or as an iterator that gives `size` of them; where it lies now, if the server tells."""
        return self._wait(self._client.append(mailbox, octets, flags, internaldate, size=size))

    def copy(self, uids: Ranges, mailbox: str) -> codes.CopyUid | None:
        """Where the copies lie, if the server tells."""
        return self._wait(self._client.copy(uids, mailbox))

    def move(self, uids: Ranges, mailbox: str) -> codes.CopyUid | None:
        """Where the messages lie now, if the server tells."""
        return self._wait(self._client.move(uids, mailbox))

    def expunge(self, uids: Ranges | None = None) -> None:
        r"""Of what is \Deleted: these (RFC 4315), or all."""
        self._wait(self._client.expunge(uids))

    def idle(self, seconds: float) -> list[Untagged]:
        """Wait until the server says something (RFC 2177), but not longer than this; what it said."""
        return self._wait(_idle(self._client, seconds), seconds)

    def run(
        self,
        command: Command,
        bodies: Sequence[Body] = (),
        told: Callable[[Untagged], object] | None = None,
        sink: Sink | None = None,
    ) -> Tagged:
        """Any command: `told` hears what comes before its answer. Raises Refused."""
        return self._wait(self._client.run(command, bodies, told, sink))

    def logout(self) -> None:
        """The server closes the connection."""
        self._wait(self._client.logout())


async def _idle(client: ImapClient, seconds: float) -> list[Untagged]:
    said: list[Untagged] = []
    stop = asyncio.Event()

    def told(response: Untagged) -> None:
        said.append(response)
        stop.set()

    alarm = asyncio.get_running_loop().call_later(seconds, stop.set)
    try:
        await client.idle(stop, told)
    finally:
        alarm.cancel()
    return said


class Pop3(_Connection[Pop3Client]):
    """`client.pop3.Pop3Client`; `timeout` is in seconds and for each call."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Security = Security.IMPLICIT,
        trusted: Path | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(Pop3Client(host, port, security=security, trusted=trusted), timeout)

    @property
    def tls_version(self) -> str | None:
        """None in the clear."""
        return self._client.tls_version

    def login(
        self, login: str, password: Password | None = None, *, token: Password | None = None, pinned: str | None = None
    ) -> str:
        """By the strongest mechanism that both sides know, which is returned: give it as `pinned` the next time."""
        return self._wait(self._client.login(login, _secret(password), token=_secret(token), pinned=pinned))

    def stat(self) -> tuple[int, int]:
        """Messages, and their octets."""
        return self._wait(self._client.stat())

    def sizes(self) -> dict[int, int]:
        """LIST: number to octets."""
        return self._wait(self._client.sizes())

    def uidl(self) -> dict[int, bytes]:
        """UIDL: number to unique id."""
        return self._wait(self._client.uidl())

    def retr(self, number: int) -> bytes:
        """One message, whole."""
        return self._wait(self._client.retr(number))

    def retr_into(self, number: int, write: Callable[[bytes], object]) -> int:
        """One message, given to `write` as it comes; returns its octets."""
        return self._wait(self._client.retr_into(number, write))

    def retr_all(self, numbers: Iterable[int], sink: Callable[[int], Callable[[bytes], object]]) -> dict[int, int]:
        """Many messages, pipelined; `sink(number)` gives the `write` of each. Returns the octets of each."""
        return self._wait(self._client.retr_all(numbers, sink))

    def dele(self, *numbers: int) -> None:
        """Mark messages; the server removes them when `quit` has succeeded."""
        self._wait(self._client.dele(*numbers))

    def quit(self) -> None:
        """End the session; marked messages are gone when this returns."""
        self._wait(self._client.quit())


def submit(
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
    password: Password | None = None,
    timeout: float | None = None,
) -> Submission:
    """`client.smtp.submit`: one message with CRLF line ends, in one connection."""
    work = smtp.submit(
        host,
        port,
        reverse_path,
        recipients,
        octets,
        security=security,
        trusted=trusted,
        name=name,
        is_lmtp=is_lmtp,
        login=login,
        password=_secret(password),
    )
    _refuse_within_loop(work)
    with asyncio.Runner() as runner:
        return runner.run(_within(work, timeout))
