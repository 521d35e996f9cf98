"""The one-way road, exactly once: messages come from a POP3 maildrop into INBOX and are deleted there by a policy, never before
they are durable here (docs/sync.md; D-71, A-96).

    LIST, UIDL                              `maildrop.look` says what is new, and what is due to be deleted
    TOP of what is due from earlier runs    its header must be that of the copy
    RETR of two windows ahead
    a window is here: one unit of work      entries and `taken` rows, durable when it is done
    DELE of it, with the RETR of the next   in one write
    QUIT                                    early: what is marked is deleted, and a new session goes on
    one unit of work                        what QUIT removed
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from postwren.client.conversation import ServerFailed
from postwren.client.pop3 import Pop3Client, Refused
from postwren.mailstore.errors import BodyCorrupt
from postwren.mailstore.port import BodyWriter, NewBody, Reader, Store, Transaction, Unit
from postwren.mailstore.replica import Taken, TakenState
from postwren.mailstore.service.append import NewMessage, append
from postwren.mailstore.service.maildrop import open_maildrop
from postwren.message.date import parse_date
from postwren.message.header import read_header
from postwren.protocols.pop3.command import Dele, Retr, Top
from postwren.sync.maildrop import Book, Listed, Look, Rows, listed, look
from postwren.sync.report import Began, Ended, Found, Noted, Progress, Tell
from postwren.sync.settings import Deletion, Settings, is_loopback
from postwren.sync.trouble import SyncFailed, wrong_login
from postwren.terms import INBOX, AccountId, MailboxId, SpecialUse, Uid
from postwren.wire.secret import Secret

__all__ = ["Totals", "entered", "take_all"]

WINDOW: Final = 32  # messages; two windows are on the wire
WINDOW_OCTETS: Final = 4_000_000
QUIT_AFTER: Final = 1000  # messages marked
QUIT_OCTETS: Final = 256_000_000  # fetched in a session in which something is marked
LONGEST_HEADER: Final = 65_536  # of one that is compared; a longer one is fetched with its message
HEAD: Final = 16_384  # octets in which the date of arrival is looked for
LIST_IS_OFF: Final = 8
"""A message that is shorter than LIST said is asked for again. After so many that came alike twice, LIST is what is wrong."""
_DAY: Final = 24 * 3600


@dataclass(slots=True)
class Totals:
    """What a run did, over all its sessions."""

    fetched: int = 0
    octets: int = 0
    known: int = 0
    deleted: int = 0


class Arrived(NamedTuple):
    """A message whose octets are here. A `doubtful` one is kept, asked for again by the next run, and not deleted there."""

    message: Listed
    body: NewBody
    date: int
    is_doubtful: bool = False


class Entering(NamedTuple):
    """A message on its way into the store: `known` is its row where it is there already."""

    arrived: Arrived
    known: Taken | None
    name: bytes


@asynccontextmanager
async def entered(settings: Settings, secret: Secret[str]) -> AsyncIterator[tuple[Pop3Client, str]]:
    """A client that is logged in, and how. Raises `trouble.TROUBLE`, or SyncFailed where the login is refused."""
    client = Pop3Client(settings.host, settings.port, security=settings.tls, trusted=settings.trusted)
    pinned = settings.mechanism or None
    async with client:
        try:
            if settings.kept_in == "token-command":
                mechanism = await client.login(settings.login, token=secret, pinned=pinned)
            else:
                mechanism = await client.login(settings.login, secret, pinned=pinned)
        except Refused as refused:
            raise SyncFailed(_login_refused(settings, refused.reply.code, refused.reply.text)) from refused
        yield client, mechanism


def _login_refused(settings: Settings, code: str | None, text: str) -> str:
    """RFC 2449 section 8.1.2, RFC 3206."""
    match code:
        case "IN-USE":
            return f"another device holds the maildrop of {settings.login} just now ({text}): try again in a minute"
        case "LOGIN-DELAY":
            return f"{settings.host} wants more time between two logins ({text}): try again later"
        case "SYS/TEMP":
            return f"{settings.host} cannot at the moment ({text}): try again later"
        case "SYS/PERM":
            return f"{settings.host} cannot ({text}): only its operator can help"
    return wrong_login(settings, text)


async def take_all(
    store: Store,
    account_id: AccountId,
    settings: Settings,
    secret: Secret[str],
    tell: Tell,
    clock: Callable[[], float],
    *,
    is_dry_run: bool = False,
) -> Ended:
    """Sessions until nothing new is there. Raises `trouble.TROUBLE`, SyncFailed, or a refusal of the store."""
    begun = clock()
    totals = Totals()
    is_first = True
    while True:
        async with entered(settings, secret) as (client, mechanism):
            if is_first:
                tell(Began(settings.address, "pop3", settings.host, client.tls_version or "", mechanism))
            session = Session(store, account_id, settings, client, totals, tell, clock)
            if is_dry_run:
                await session.only_look()
                break
            goes_on = await session.run(is_first)
        is_first = False
        if not goes_on:
            break
    return Ended(
        settings.address, totals.fetched, totals.octets, totals.known, totals.deleted, clock() - begun, is_dry_run=is_dry_run
    )


class Session:
    """From login to QUIT."""

    def __init__(
        self,
        store: Store,
        account_id: AccountId,
        settings: Settings,
        client: Pop3Client,
        totals: Totals,
        tell: Tell,
        clock: Callable[[], float],
    ) -> None:
        inbox = store.reader.mailbox_by_name(account_id, INBOX)
        assert inbox is not None, "an account has an INBOX"
        self._store = store
        self._account_id = account_id
        self._mailbox_id = inbox.mailbox_id
        self._settings = settings
        self._policy = Deletion(settings.delete)
        self._client = client
        self._totals = totals
        self._tell = tell
        self._clock = clock
        self._now = int(clock())
        self._gone_here: frozenset[tuple[MailboxId, Uid]] = frozenset()
        self._queue: deque[Listed] = deque()
        self._marked: list[bytes] = []
        self._at_stake = 0  # marked, or soon
        self._short: dict[int, bytes] = {}  # content that came shorter than listed, by number
        self._off = 0
        self._octets = 0  # in this session
        self._refused = 0
        self._progress = _Course()

    async def only_look(self) -> None:
        """Say what a run would do."""
        await self._look()
        await self._client.quit()

    async def run(self, is_first: bool) -> bool:
        """Whether there is more, for another session."""
        taken, found = await self._look()
        if is_first:
            await self._refuse_itself(found)
        self._book = Book(taken, found)
        self._queue.extend(found.new)
        await self._delete_proven(found.due)
        await self._fetch()
        try:
            await self._client.quit()
        except Refused as refused:  # RFC 1939 section 6: some were not removed
            self._note(f"the server did not delete what it was asked to ({refused.reply.text}); the next run asks again")
            return False
        await self._settle()
        return bool(self._queue) and bool(self._marked)

    async def _look(self) -> tuple[dict[bytes, Taken], Look]:
        sizes, uidls = await self._client.maildrop()
        rows = await self._store.read(lambda reader: reader.taken(self._account_id))
        if self._policy.kind == "with-local":
            self._gone_here = await self._store.read(lambda reader: gone_here(reader, self._account_id, rows))
        taken = {row.uidl: row for row in rows}
        found = look(listed(sizes, uidls), taken, self._is_due)
        octets = sum(message.size for message in found.new)
        due = len(found.due) + (len(found.new) if self._policy.kind == "at-once" else 0)
        self._tell(Found(self._settings.address, len(sizes), len(found.new), octets, due))
        self._progress = _Course(len(found.new), octets)
        return taken, found

    def _is_due(self, row: Taken) -> bool:
        match self._policy.kind:
            case "at-once":
                return True
            case "after":
                return row.taken + self._policy.seconds <= self._now
            case "with-local":
                return (row.mailbox_id, row.uid) in self._gone_here
        return False

    async def _refuse_itself(self, found: Look) -> None:
        """A maildrop that is this very INBOX would be copied into itself for ever."""
        names = {message.uidl for message in found.new}
        if names and is_loopback(self._settings.host):
            own = await open_maildrop(self._store, self._account_id)
            if names <= {uidl.encode() for uidl in own.uidls()}:
                raise SyncFailed(f"{self._settings.host}:{self._settings.port} serves this very account: it would copy itself")

    # -- deleting what earlier runs took

    async def _delete_proven(self, due: Sequence[tuple[Listed, Taken]]) -> None:
        """Delete what has the header of the copy; fetch what has not, its octets decide."""
        can_top = "TOP" in await self._client.capabilities()
        for start in range(0, len(due), 2 * WINDOW):
            part = due[start : start + 2 * WINDOW]
            proven: list[tuple[int, bytes]] = []
            if can_top:
                self._client.send(*(Top(message.number, 0) for message, _ in part))
            for message, row in part:
                if can_top and await self._is_proven(message.number, row):
                    proven.append((message.number, row.uidl))
                else:
                    self._book.doubt(row)
                    self._queue.append(message)
            self._client.send(*(Dele(number) for number, _ in proven))
            await self._deleted(proven)

    async def _is_proven(self, number: int, row: Taken) -> bool:
        header = bytearray()

        def write(data: bytes) -> None:
            if len(header) <= LONGEST_HEADER:
                header.extend(data)

        try:
            await self._client.message(Top(number, 0), write)
        except Refused:
            return False
        kept = self._kept_header(row)
        return kept is not None and bytes(header).rstrip(b"\r\n") == kept

    def _kept_header(self, row: Taken) -> bytes | None:
        """None where it is not here any more, or could be anybody's."""
        email = self._store.reader.email_by_content(self._account_id, row.content_id)
        if email is None:
            return None
        with suppress(BodyCorrupt):
            octets = self._store.read_body(email.body, 0, min(email.body.size, LONGEST_HEADER))
            header, end, _ = octets.partition(b"\r\n\r\n")
            lower = b"\n" + header.lower()
            if end and (b"\nmessage-id:" in lower or b"\nreceived:" in lower):
                return header.rstrip(b"\r\n")
        return None

    async def _deleted(self, marked: Sequence[tuple[int, bytes]]) -> None:
        """The answers to DELE."""
        for number, name in marked:
            try:
                await self._client.reply(Dele(number))
            except Refused as refused:
                self._refused += 1
                self._note(f"the server does not delete message {number}: {refused.reply.text}")
            else:
                self._marked.append(name)

    # -- fetching

    async def _fetch(self) -> None:
        """Two windows are asked for; when the first is here and durable, its deletion and the next window go out together."""
        sent: deque[tuple[list[tuple[int, bytes]], list[Listed]]] = deque()
        durable: list[tuple[int, bytes]] = []
        while True:
            while len(sent) < 2 and (window := self._next_window()):
                self._client.send(*(Dele(number) for number, _ in durable), *(Retr(message.number) for message in window))
                sent.append((durable, window))
                durable = []
            if not sent:
                break
            marked, window = sent.popleft()
            await self._deleted(marked)
            durable += await self._take(window)
        self._client.send(*(Dele(number) for number, _ in durable))
        await self._deleted(durable)

    def _next_window(self) -> list[Listed]:
        window: list[Listed] = []
        if self._at_stake and (self._at_stake >= QUIT_AFTER or self._octets >= QUIT_OCTETS):
            return window
        room = WINDOW_OCTETS
        while self._queue and len(window) < WINDOW and (room >= self._queue[0].size or not window):
            message = self._queue.popleft()
            room -= message.size
            window.append(message)
        return window

    async def _take(self, window: list[Listed]) -> list[tuple[int, bytes]]:
        """The window's messages, durable; returns what may be deleted. What was whole before the connection broke is kept too."""
        arrived: list[Arrived] = []
        try:
            for message in window:
                if (one := await self._receive(message)) is not None:
                    arrived.append(one)
        except (ServerFailed, OSError):
            await self._keep(arrived)
            raise
        except BaseException:
            for one in arrived:
                one.body.discard()
            raise
        return await self._keep(arrived)

    async def _receive(self, message: Listed) -> Arrived | None:
        """None where the server refuses it, or where it is to be asked again."""
        arriving = Arriving(self._store.new_body(), message.size)
        try:
            octets = await self._client.message(Retr(message.number), arriving.write)
        except Refused as refused:
            arriving.writer.discard()
            self._refused += 1
            self._note(f"the server does not give message {message.number}: {refused.reply.text}")
            return None
        except BaseException:
            arriving.writer.discard()
            raise
        self._octets += octets
        body = arriving.writer.finish()
        arrived = Arrived(message, body, arriving.date(self._now))
        if octets >= message.size or self._off >= LIST_IS_OFF:
            return arrived
        before = self._short.setdefault(message.number, b"")
        self._short[message.number] = body.content_id
        if not before:
            body.discard()
            self._queue.appendleft(message)  # soon: if LIST is what is wrong, few more are to be asked for twice
            return None
        self._off += before == body.content_id
        return arrived._replace(is_doubtful=before != body.content_id)

    async def _keep(self, arrived: list[Arrived]) -> list[tuple[int, bytes]]:
        entering: list[Entering] = []
        for one in arrived:
            entering.append(Entering(one, *self._book.enter(one.message, one.body.content_id)))
        new = [entry.arrived.body for entry in entering if entry.known is None]
        unit = keep(self._account_id, self._mailbox_id, entering, self._book.turn(), self._now)
        try:
            rows = await self._store.perform(unit, new) if entering else []
        except BaseException:
            for body in new:
                body.discard()
            raise
        finally:
            for entry in entering:
                if entry.known is not None:
                    entry.arrived.body.discard()
        self._book.hold(rows)
        self._count(entering)
        pairs = zip(arrived, rows, strict=True)
        due = [(one.message.number, row.uidl) for one, row in pairs if not one.is_doubtful and self._is_due(row)]
        self._at_stake += len(due)
        return due

    def _count(self, entering: list[Entering]) -> None:
        totals, course = self._totals, self._progress
        for entry in entering:
            size = entry.arrived.body.size
            course.octets += size
            if entry.known is None:
                totals.fetched += 1
                totals.octets += size
            else:
                totals.known += 1
            if entry.arrived.is_doubtful:
                self._note(f"message {entry.arrived.message.number} came twice, and not alike: it is kept, and not deleted there")
        course.fetched += len(entering)
        self._tell(Progress(self._settings.address, course.fetched, course.of, course.octets, course.of_octets))

    # -- the end

    async def _settle(self) -> None:
        """QUIT was answered: what it removed, and what is not there any more."""
        is_whole = not self._queue and not self._refused
        rows = self._book.afterwards(self._marked, self._now, is_whole=is_whole)
        self._totals.deleted += len(self._marked)
        if rows.gone or rows.put:
            await self._store.perform(write(self._account_id, rows))

    def _note(self, text: str) -> None:
        self._tell(Noted(self._settings.address, text))


@dataclass(slots=True)
class _Course:
    """How far a session is."""

    of: int = 0
    of_octets: int = 0
    fetched: int = field(default=0)
    octets: int = field(default=0)


class Arriving:
    """Takes the octets of one message. A server that sends far more than it said is left: it may not end."""

    __slots__ = ("_head", "_most", "writer")

    def __init__(self, writer: BodyWriter, size: int) -> None:
        self.writer = writer
        self._head = b""
        self._most = 2 * size + 1_000_000  # one that counts a line end as one octet sends up to twice as much

    def write(self, data: bytes) -> None:
        if len(self._head) < HEAD:
            self._head += data[:HEAD]
        self.writer.write(data)
        if self.writer.size > self._most:
            raise ServerFailed(f"a message goes on and on: more than {self._most:,} octets")

    def date(self, now: int) -> int:
        """When it came to its server, as the topmost Received field says (RFC 5321 section 4.4); now, where that cannot be."""
        trace = read_header(self._head).first(b"received")
        date = parse_date(trace.rpartition(b";")[2]) if trace else None
        return date.epoch if date is not None and 0 < date.epoch < now + _DAY else now


def keep(account_id: AccountId, mailbox_id: MailboxId, entering: Sequence[Entering], others: Rows, now: int) -> Unit[list[Taken]]:
    """A window into the store: entries for what is new, and the rows of all of them, in order."""
    new = [NewMessage(entry.arrived.body, entry.arrived.date) for entry in entering if entry.known is None]

    def unit(tx: Transaction) -> list[Taken]:
        uids = iter(append(account_id, mailbox_id, new, now)(tx).uids)
        rows: list[Taken] = []
        for (message, body, _, is_doubtful), known, name in entering:
            size = body.size if is_doubtful else message.size
            if known is None:
                rows.append(Taken(name, size, body.content_id, mailbox_id, next(uids), now, TakenState.LISTED, now))
            else:
                rows.append(known._replace(uidl=name, size=size, state=TakenState.LISTED, since=now))
        tx.delete_taken(account_id, others.gone)
        tx.put_taken(account_id, [*others.put, *rows])
        return rows

    return unit


def write(account_id: AccountId, rows: Rows) -> Unit[None]:
    """Rows alone."""

    def unit(tx: Transaction) -> None:
        tx.delete_taken(account_id, rows.gone)
        tx.put_taken(account_id, rows.put)

    return unit


def gone_here(reader: Reader, account_id: AccountId, rows: Sequence[Taken]) -> frozenset[tuple[MailboxId, Uid]]:
    """Messages that were deleted here: their entries are gone, and no mailbox but the trash holds their content."""
    there = {
        mailbox_id: set(reader.pick(account_id, mailbox_id, None, ("uid",))[0])
        for mailbox_id in {row.mailbox_id for row in rows}
        if reader.mailbox(account_id, mailbox_id) is not None
    }
    missing = [row for row in rows if row.uid not in there.get(row.mailbox_id, ())]
    if not missing:
        return frozenset()
    elsewhere: set[int] = set()
    for mailbox in reader.mailboxes(account_id):
        if mailbox.special_use is not SpecialUse.TRASH:
            elsewhere.update(reader.pick(account_id, mailbox.mailbox_id, None, ("email_id",))[0])
    gone = []
    for row in missing:
        email = reader.email_by_content(account_id, row.content_id)
        if email is None or email.email_id not in elsewhere:
            gone.append((row.mailbox_id, row.uid))
    return frozenset(gone)
