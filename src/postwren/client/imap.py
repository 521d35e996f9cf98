"""A device at its mailboxes by IMAP (RFC 9051, 3501, 2177, 4315, 4959).

    async with ImapClient("mail.example.org", 993) as device:
        await device.login("ann@example.org", Secret("..."))
        inbox = await device.select("INBOX")
        for message in await device.fetch(((1, STAR),), (Item.FLAGS, Item.RFC822_SIZE)): ...
        await device.fetch(((7, 9),), (Section(is_peek=True),), sink)       # large sections go to files as they come
        await device.append("Sent", octets, ("\\\\Seen",))
        await device.idle(stop, told)
        await device.run_all([Step(Status(name, items)) for name in names])      # any commands, in one round trip
        await device.logout()

Numbers are UIDs throughout. What a server says by itself goes to `told` of the method that runs, and otherwise to `unsolicited`.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

from postwren.client.conversation import ConnectionEnded, Conversation, Security, ServerFailed, TlsRefused
from postwren.protocols.imap import code as codes
from postwren.protocols.imap.client import (
    Challenged,
    ClientConnection,
    Completed,
    Greeted,
    IdleBegan,
    LiteralBegan,
    LiteralEnded,
    LiteralReceived,
    Received,
    ServerClosed,
    ServerFault,
    Unreadable,
)
from postwren.protocols.imap.command import (
    Append,
    Authenticate,
    Capability,
    Command,
    Compress,
    Copy,
    Expunge,
    Fetch,
    Idle,
    List,
    Login,
    Logout,
    Move,
    Search,
    Select,
    StartTls,
    Status,
    Store,
    UidExpunge,
)
from postwren.protocols.imap.command.append import AppendMessage, Octets
from postwren.protocols.imap.command.fetch import FetchItem
from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.command.search import SearchKey
from postwren.protocols.imap.command.select import QresyncState
from postwren.protocols.imap.command.store import StoreAction
from postwren.protocols.imap.outgoing import Body
from postwren.protocols.imap.response import Status as AnswerStatus
from postwren.protocols.imap.response import Tagged, Untagged
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.fetch import Fetched
from postwren.protocols.imap.response.list import ListEntry, MailboxStatus, StatusValue
from postwren.protocols.imap.response.search import Esearch, SearchResult
from postwren.protocols.imap.response.size import Exists, FlagList, Vanished
from postwren.protocols.imap.state import State
from postwren.protocols.imap.value import Ranges
from postwren.protocols.sasl import Abort, ClientCredentials, ClientExchange, choose, client_exchange
from postwren.wire.secret import Secret

__all__ = ["AHEAD", "ImapClient", "Refused", "Selected", "Sink", "Step"]

Told: TypeAlias = Callable[[Untagged], object]
Write: TypeAlias = Callable[[bytes], object]
Sink: TypeAlias = Callable[[LiteralBegan], Write]
"""Where the octets of a large section go: called at its beginning, gives what writes it."""


PLAIN_LOGIN: Final = "LOGIN"
AHEAD: Final = 64
"""Commands that are sent before the first of them is answered."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of many (`run_all`): who hears what comes before its answer, where large sections go, its messages, and what is
    to be done when it is answered (the server may go on meanwhile, as far as buffers let it)."""

    command: Command
    told: Told | None = None
    sink: Sink | None = None
    bodies: Sequence[Body] = ()
    done: Callable[[Tagged], Awaitable[None]] | None = None


class Refused(ServerFailed):
    """The server said NO or BAD; `answer.code` may say why."""

    def __init__(self, command: Command, answer: Tagged) -> None:
        super().__init__(f"{type(command).__name__}: {answer.text}")
        self.command = command
        self.answer = answer


@dataclass(slots=True)
class Selected:
    """What SELECT said; `vanished` and `fetched` are QRESYNC's (RFC 7162 section 3.2.5)."""

    exists: int = 0
    uidvalidity: int = 0
    uidnext: int | None = None
    highestmodseq: int | None = None
    flags: tuple[str, ...] = ()
    permanent_flags: tuple[str, ...] | None = None
    mailbox_id: str | None = None
    is_read_only: bool = False
    vanished: list[tuple[int, int]] = field(default_factory=list)
    fetched: list[Fetched] = field(default_factory=list)

    def take(self, response: Untagged) -> None:
        """One of the responses to SELECT."""
        match response:
            case Exists(count):
                self.exists = count
            case FlagList(flags):
                self.flags = flags
            case Vanished(uids):
                self.vanished += uids
            case Fetched():
                self.fetched.append(response)
            case Condition(code=code):
                self._learn(code)

    def _learn(self, code: codes.Code | None) -> None:
        match code:
            case codes.UidValidityCode(uidvalidity):
                self.uidvalidity = uidvalidity
            case codes.UidNext(uid):
                self.uidnext = uid
            case codes.HighestModSeq(modseq):
                self.highestmodseq = modseq
            case codes.PermanentFlags(flags):
                self.permanent_flags = flags
            case codes.MailboxIdCode(mailbox_id):
                self.mailbox_id = mailbox_id
            case codes.CLOSED:  # what came before belongs to the mailbox that was selected (RFC 7162 section 3.2.11)
                self.exists, self.vanished, self.fetched = 0, [], []


_NO_SINK: Final = "a section that is too large for memory, and no sink for it"


class ImapClient:
    """One connection, one method at a time. Every method raises Refused, ServerFailed, or OSError (ConnectionEnded) when the
    connection is gone."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Security = Security.IMPLICIT,
        trusted: Path | None = None,
        unsolicited: Told | None = None,
        overheard: Told | None = None,
    ) -> None:
        """`overheard` is told every untagged response, whoever else hears it."""
        self._place = host, port
        self._security = security
        self._trusted = trusted
        self._unsolicited = unsolicited or _ignore
        self._overheard = overheard
        self._talk = Conversation(ClientConnection(needs_tls=security is Security.STARTTLS))
        self._idling = asyncio.Event()

    async def __aenter__(self) -> "ImapClient":
        try:
            await self._open()
        except BaseException:
            await self._talk.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self._talk.__aexit__(kind, error, at)

    async def _open(self) -> None:
        await self._talk.connect(*self._place, self._security, b"imap", self._trusted)
        event = await self._talk.next_event()
        if not isinstance(event, Greeted) or event.condition.status is AnswerStatus.BYE:
            raise ServerFailed(f"greeted with {event}")
        if self._security is Security.STARTTLS:
            try:
                await self.run(StartTls())
            except Refused as refused:
                raise TlsRefused(str(refused)) from refused
            await self._talk.start_tls()

    async def capabilities(self) -> frozenset[str]:
        """In capitals; asks only where they are not known."""
        core = self._talk.core
        if core.capabilities is None:
            await self.run(Capability())
        return core.capabilities or frozenset()

    @property
    def tls_version(self) -> str | None:
        """None in the clear."""
        return None if self._talk.tls is None else self._talk.tls.version

    async def login(
        self, login: str, password: Secret[str] | None = None, *, token: Secret[str] | None = None, pinned: str | None = None
    ) -> str:
        """By the strongest mechanism that both sides know, or by LOGIN; with a `token` by OAUTHBEARER or XOAUTH2. Returns what
        was used: give it as `pinned` the next time, and nothing weaker is (A-63)."""
        offered = [name.removeprefix("AUTH=") for name in await self.capabilities() if name.startswith("AUTH=")]
        credentials = ClientCredentials(authcid=login, password=password, token=token, host=self._place[0], port=self._place[1])
        bindings = None if self._talk.tls is None else self._talk.tls.bindings
        weakest = pinned if pinned != PLAIN_LOGIN else None
        mechanism = choose(offered, credentials, bindings, weakest, allows_cleartext=self._security is Security.NONE)
        if mechanism is not None:
            nonce = secrets.token_urlsafe(18)
            await self.authenticate(client_exchange(mechanism, credentials, nonce=nonce, bindings=bindings))
            return mechanism
        if weakest is not None or password is None:
            told = ", ".join(sorted(offered)) or "LOGIN"
            raise ServerFailed(f"the server offers {told} to log in by, not {weakest or 'OAUTHBEARER or XOAUTH2'}")
        await self.run(Login(login, password))
        return PLAIN_LOGIN

    async def authenticate(self, exchange: ClientExchange) -> None:
        """An exchange of a SASL mechanism."""
        initial = exchange.start()
        command = Authenticate(exchange.mechanism, None if initial is None else Secret(initial))
        abort: Abort | None = None
        self._talk.core.send(command)
        self._talk.flush()
        while not isinstance(event := await self._talk.next_event(), Completed):
            match event:
                case Challenged(data):
                    answer = Abort("not base64") if data is None else exchange.receive(data)
                    abort = answer if isinstance(answer, Abort) else None
                    self._talk.core.respond(None if isinstance(answer, Abort) else Secret(answer))
                    self._talk.flush()
                case _:
                    self._told(event, self._unsolicited)
        if abort is None and event.answer.status is AnswerStatus.OK:
            abort = exchange.finished()
        if abort is not None:
            raise ServerFailed(abort.reason)
        _check(event.command, event.answer)

    async def compress(self) -> None:
        """RFC 4978: both ways are compressed from here on. Refused where the server will not."""
        await self.run(Compress("DEFLATE"))
        self._talk.start_compression(self._talk.core.compression_started())

    # -- mailboxes

    async def mailboxes(self, pattern: str = "*", reference: str = "") -> list[ListEntry]:
        """LIST."""
        return await self._gather(List(reference, (pattern,)), ListEntry)

    async def status(self, mailbox: str, items: Sequence[StatusItem]) -> dict[StatusItem, StatusValue]:
        """What a mailbox that need not be selected holds."""
        answers = await self._gather(Status(mailbox, tuple(items)), MailboxStatus)
        return dict(answers[-1].items) if answers else {}

    async def select(self, mailbox: str, *, is_examine: bool = False, qresync: QresyncState | None = None) -> Selected:
        """SELECT or EXAMINE; with CONDSTORE where the server has it."""
        has_condstore = bool({"CONDSTORE", "QRESYNC"} & await self.capabilities())
        selected = Selected()
        command = Select(mailbox, is_examine, condstore=has_condstore and qresync is None, qresync=qresync)
        answer = await self.run(command, told=selected.take)
        selected.is_read_only = answer.code == codes.READ_ONLY
        return selected

    # -- messages

    async def fetch(
        self, uids: Ranges, items: Sequence[FetchItem], sink: Sink | None = None, *, changed_since: int | None = None
    ) -> list[Fetched]:
        """What is said of the messages, changes of others among it; large sections go to the sink, and without one are an
        error."""
        return await self._gather(Fetch(True, uids, tuple(items), changed_since), Fetched, sink)

    async def search(self, key: SearchKey) -> list[int]:
        """UIDs, ascending."""
        uids: list[int] = []

        def take(response: Untagged) -> None:
            match response:
                case SearchResult(numbers):
                    uids.extend(numbers)
                case Esearch(all=ranges) if ranges:
                    for first, last in ranges:
                        uids.extend(range(first, last + 1))
                case _:
                    self._unsolicited(response)

        await self.run(Search(True, None, "UTF-8" if not _is_ascii(key) else None, key), told=take)
        return sorted(uids)

    async def store(
        self, uids: Ranges, action: StoreAction, flags: Iterable[str], *, unchanged_since: int | None = None
    ) -> Tagged:
        """Flags; the answer's code is `Modified` where `unchanged_since` left some alone."""
        return await self.run(Store(True, uids, action, tuple(flags), True, unchanged_since))

    async def append(
        self, mailbox: str, octets: Body, flags: Iterable[str] = (), internaldate: int | None = None, *, size: int | None = None
    ) -> codes.AppendUid | None:
        """A message, as octets or as an iterator that gives `size` of them; where it lies now, if the server tells."""
        length = size if size is not None else len(octets) if isinstance(octets, bytes) else 0
        message = AppendMessage(tuple(flags), internaldate, (Octets(0, length),))
        answer = await self.run(Append(mailbox, (message,)), [octets])
        return answer.code if isinstance(answer.code, codes.AppendUid) else None

    async def copy(self, uids: Ranges, mailbox: str) -> codes.CopyUid | None:
        """Where the copies lie, if the server tells."""
        answer = await self.run(Copy(True, uids, mailbox))
        return answer.code if isinstance(answer.code, codes.CopyUid) else None

    async def move(self, uids: Ranges, mailbox: str) -> codes.CopyUid | None:
        """RFC 6851: COPYUID comes in an untagged OK, or with the answer."""
        found: list[codes.CopyUid] = []

        def take(response: Untagged) -> None:
            if isinstance(response, Condition) and isinstance(response.code, codes.CopyUid):
                found.append(response.code)
            else:
                self._unsolicited(response)

        answer = await self.run(Move(True, uids, mailbox), told=take)
        return answer.code if isinstance(answer.code, codes.CopyUid) else found[0] if found else None

    async def expunge(self, uids: Ranges | None = None) -> None:
        """Of what is \\Deleted: these (RFC 4315), or all."""
        await self.run(Expunge() if uids is None else UidExpunge(uids))

    async def idle(self, stop: asyncio.Event, told: Told) -> None:
        """Hear what the server says, until `stop` is set. RFC 2177 asks to begin anew every 29 minutes."""
        self._idling.clear()
        ender = asyncio.get_running_loop().create_task(self._end_idle(stop))
        try:
            await self.run(Idle(), told=told)
        finally:
            ender.cancel()

    async def listen(self, stop: asyncio.Event, told: Told) -> None:
        """Hear what the server says unasked and outside IDLE (NOTIFY, RFC 5465), until `stop` is set."""
        while (event := await self._talk.next_event_before(stop)) is not None:
            self._told(event, told)

    async def _end_idle(self, stop: asyncio.Event) -> None:
        await self._idling.wait()
        await stop.wait()
        self._talk.core.done()
        self._talk.flush()

    async def logout(self) -> None:
        """The server closes the connection."""
        await self.run(Logout())

    # -- the conversation

    async def run(
        self, command: Command, bodies: Sequence[Body] = (), told: Told | None = None, sink: Sink | None = None
    ) -> Tagged:
        """Any command: `told` hears what comes before its answer. Raises Refused."""
        return _check(command, (await self.run_all([Step(command, told, sink, bodies)]))[0])

    async def run_all(self, steps: Iterable[Step]) -> list[Tagged]:
        """Many commands, each sent while those before it are not answered yet: one round trip for all. The answers in order, NO
        and BAD among them. What the server says meanwhile is told to the first that waits for its answer."""
        ahead = iter(steps)
        waiting: deque[Step] = deque()
        answers: list[Tagged] = []
        early: dict[int, Tagged] = {}  # answered before one that was sent before
        while True:
            waiting.extend(sent := list(islice(ahead, AHEAD - len(waiting))))
            if sent and self._talk.core.state is State.LOGOUT:
                raise ConnectionEnded("the server closed the connection")
            for step in sent:
                self._talk.core.send(step.command, step.bodies)
            self._talk.flush()
            if not waiting:
                return answers
            done = await self._until_completed(waiting[0])
            early[id(done.command)] = done.answer
            while waiting and (answer := early.pop(id(waiting[0].command), None)) is not None:
                answers.append(answer)
                if (then := waiting.popleft().done) is not None:
                    await then(answer)

    async def _until_completed(self, first: Step) -> Completed:
        write: Write | None = None
        while not isinstance(event := await self._talk.next_event(), Completed):
            match event:
                case LiteralBegan():
                    if first.sink is None:
                        raise ServerFailed(_NO_SINK)
                    write = first.sink(event)
                case LiteralReceived(data) if write is not None:
                    write(data)
                case LiteralEnded():
                    write = None
                case IdleBegan():
                    self._idling.set()
                case _:
                    self._told(event, first.told or self._unsolicited)
            self._talk.flush()  # a literal may have got its leave
        return event

    def _told(self, event: object, told: Told) -> None:
        match event:
            case Received(response):
                if self._overheard is not None:
                    self._overheard(response)
                told(response)
            case Unreadable():
                pass
            case ServerFault(flaw):
                raise ServerFailed(flaw.value)
            case ServerClosed():
                raise ServerFailed("the server closed the connection")
            case _:
                raise ServerFailed(f"unexpected: {event}")

    async def _gather(self, command: Command, kind: type[Any], sink: Sink | None = None) -> list[Any]:
        found: list[Any] = []

        def take(response: Untagged) -> None:
            if isinstance(response, kind):
                found.append(response)
            else:
                self._unsolicited(response)

        await self.run(command, told=take, sink=sink)
        return found


def _check(command: Command, answer: Tagged) -> Tagged:
    if answer.status is not AnswerStatus.OK:
        raise Refused(command, answer)
    return answer


def _ignore(response: Untagged) -> None:
    """Nobody listens."""


def _is_ascii(key: SearchKey) -> bool:
    return repr(key).isascii()
