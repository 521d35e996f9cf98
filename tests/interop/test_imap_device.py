"""Our device at its mailboxes, by our IMAP client: at our server, and at Dovecot 2.3 from Debian's packages."""

import asyncio
import itertools
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.lab.dovecot import Dovecot
from bench.lab.process import Unavailable
from tests.interop.house import House

from postwren.client.conversation import Security
from postwren.client.imap import ImapClient, Refused, Step
from postwren.protocols.imap.client import LiteralBegan
from postwren.protocols.imap.code import NONEXISTENT, TRYCREATE, AppendUid
from postwren.protocols.imap.command import Create, Id, Namespace, Noop, Search, Sort, Status, Thread
from postwren.protocols.imap.command.fetch import Binary, BinarySize, Item, Preview, Section, SectionText
from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.command.search import And, FlagKey, ReturnOption, Returns, SortKey, TextKey
from postwren.protocols.imap.command.store import StoreAction
from postwren.protocols.imap.reader import Streamed
from postwren.protocols.imap.response import Untagged
from postwren.protocols.imap.response.body import Disposition
from postwren.protocols.imap.response.capability import ServerId
from postwren.protocols.imap.response.fetch import NIL
from postwren.protocols.imap.response.list import MailboxStatus
from postwren.protocols.imap.response.search import Esearch as EsearchResult
from postwren.protocols.imap.response.search import SearchResult
from postwren.protocols.imap.response.sharing import Namespaces
from postwren.protocols.imap.response.size import Exists
from postwren.protocols.imap.response.thread import ThreadResult
from postwren.wire.secret import Secret

pytestmark = pytest.mark.real

SMALL = b'From: ann@example.org\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?= "and" \\more\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n'
MIXED = (
    b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\nTo: a group: b@example.org, c@example.org;\r\nSubject: Re: things\r\n"
    b'References: <1@x>\r\nMessage-ID: <2@x>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_\\"q"\r\n\r\n'
    b'--=_"q\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: inline; filename="a \\"b\\".txt"\r\n\r\n'
    b"h\xc3\xa4\r\n"
    b'--=_"q\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n'
    b'--=_"q\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--=_"q--\r\n'
)
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 64 + b"\r\n"
LARGE = LARGE + b"line\r\n" * 100_000
EVERYTHING = (*[item for item in Item if item not in (Item.EMAILID, Item.THREADID)], Preview())


@dataclass(frozen=True)
class Peer:
    """A server; `login` makes an account that no other test uses, with the password `pass`."""

    imap: int
    certificate: Path
    login: Callable[[], str]


@pytest.fixture(scope="module", params=["ours", "dovecot"])
def peer(request: pytest.FixtureRequest, folder: Path) -> Iterator[Peer]:
    if request.param == "ours":
        house: House = request.getfixturevalue("house")
        yield Peer(house.imap, house.certificate, house.new_login)
        return
    place = folder / "device"
    place.mkdir(mode=0o755)
    certificate, key = place / "cert.pem", place / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        server = Dovecot(place, "sdbox", certificate, key)
        server.start()
    except Unavailable as error:
        pytest.skip(str(error))
    numbers = itertools.count()
    yield Peer(server.imap, certificate, lambda: f"device{next(numbers)}")
    server.stop()


def play(peer: Peer, scene: Callable[[ImapClient], Awaitable[None]], login: str | None = None) -> None:
    async def run() -> None:
        async with ImapClient("127.0.0.1", peer.imap, security=Security.NONE) as device:
            await device.login(login or peer.login(), Secret("pass"))
            await scene(device)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_message_comes_back_as_it_was_appended(peer: Peer) -> None:
    async def scene(device: ImapClient) -> None:
        inbox = await device.select("INBOX")
        assert (inbox.exists, inbox.is_read_only) == (0, False)
        assert inbox.permanent_flags is not None
        assert "\\*" in inbox.permanent_flags
        for octets in (SMALL, MIXED, LARGE):
            where = await device.append("INBOX", octets, ("\\Seen", "$Junk"), 1_000_000_000)
            assert isinstance(where, AppendUid)
            assert where.uidvalidity == inbox.uidvalidity
        got: dict[int, list[bytes]] = {}

        def sink(began: LiteralBegan) -> Callable[[bytes], object]:
            assert began.uid is not None
            return got.setdefault(began.uid, []).append

        fetched = await device.fetch(((1, 3),), (Item.FLAGS, Item.INTERNALDATE, Item.RFC822_SIZE, Section(is_peek=True)), sink)
        assert [(message.uid, message.size, message.internaldate) for message in fetched] == [
            (uid, len(octets), 1_000_000_000) for uid, octets in ((1, SMALL), (2, MIXED), (3, LARGE))
        ]
        assert [set(message.flags or ()) >= {"\\Seen", "$Junk"} for message in fetched] == [True] * 3
        assert [message.sections[0].octets for message in fetched] == [SMALL, MIXED, Streamed(len(LARGE))]
        assert {uid: b"".join(pieces) for uid, pieces in got.items()} == {3: LARGE}

    play(peer, scene)


def test_everything_that_can_be_fetched_is_read(peer: Peer) -> None:
    async def scene(device: ImapClient) -> None:
        await device.append("INBOX", SMALL)
        await device.append("INBOX", MIXED)
        await device.select("INBOX")
        items = (
            *EVERYTHING,
            Section((), SectionText.HEADER_FIELDS, (b"subject", b"x-none"), is_peek=True),
            Section((2,), SectionText.MIME, is_peek=True),
            Section((2, 1), is_peek=True, partial=(2, 3)),
            Binary((3,), is_peek=True),
            BinarySize((3,)),
        )
        fetched = await device.fetch(((1, 2),), items)  # RFC822 sets \\Seen, which is told apart
        small, mixed = [message for message in fetched if message.envelope]
        assert small.envelope is not None
        assert small.envelope.subject == b'=?utf-8?q?gr=C3=BC=C3=9Fe?= "and" \\more'
        assert mixed.envelope is not None
        assert [address.host for address in mixed.envelope.to] == [None, b"example.org", b"example.org", None]
        assert mixed.bodystructure is not None
        assert [(part.depth, part.maintype.lower(), part.subtype.lower()) for part in mixed.bodystructure] == [
            (0, b"multipart", b"mixed"),
            (1, b"text", b"plain"),
            (1, b"message", b"rfc822"),
            (2, b"text", b"plain"),
            (1, b"application", b"octet-stream"),
        ]
        assert mixed.bodystructure[2].envelope is not None
        assert mixed.bodystructure[2].envelope.subject == b"inner"
        extension = mixed.bodystructure[1].extension
        assert extension is not None
        assert extension.disposition == Disposition(b"inline", ((b"filename", b'a "b".txt'),))
        assert mixed.body is not None
        assert len(mixed.body) == 5
        sections = {section.label: section.octets for section in mixed.sections}
        assert sections["HEADER.FIELDS (SUBJECT X-NONE)"] == b"Subject: Re: things\r\n\r\n"
        assert (sections["2.1"], sections["2.MIME"]) == (b"ner", b"Content-Type: message/rfc822\r\n\r\n")
        assert (mixed.binaries[0].octets, mixed.binary_sizes[0].size) == (b"\0\1\2", 3)
        assert mixed.savedate not in (None, NIL)
        assert small.preview == "hello"

    play(peer, scene)


def test_flags_copies_moves_and_searches(peer: Peer) -> None:
    async def scene(device: ImapClient) -> None:
        await device.run(Create("Entwürfe/&co"))
        assert {"INBOX", "Entwürfe", "Entwürfe/&co"} <= {entry.mailbox for entry in await device.mailboxes()}
        for octets in (SMALL, MIXED, SMALL):
            await device.append("INBOX", octets)
        await device.select("INBOX")
        await device.store(((1, 2),), StoreAction.ADD, ("\\Flagged",))
        assert await device.search(FlagKey("\\Flagged")) == [1, 2]
        assert await device.search(And((FlagKey("\\Seen", False), TextKey(False, "häh")))) == []
        told: list[Untagged] = []
        returns = Returns(frozenset({ReturnOption.MIN, ReturnOption.COUNT, ReturnOption.ALL}))
        await device.run(Search(True, returns, None, And(())), told=told.append)
        await device.run(Sort(True, None, ((SortKey.SIZE, True),), "UTF-8", And(())), told=told.append)
        await device.run(Thread(True, "REFERENCES", "UTF-8", And(())), told=told.append)
        esearch, ordered, threads = told
        assert isinstance(esearch, EsearchResult)
        assert (esearch.min, esearch.count, esearch.all) == (1, 3, ((1, 3),))
        assert isinstance(ordered, SearchResult)
        assert ordered.numbers[0] == 2
        assert isinstance(threads, ThreadResult)
        assert {number for _, number in threads.rows} - {0} == {1, 2, 3}
        copied = await device.copy(((1, 1), (3, 3)), "Entwürfe/&co")
        assert copied is not None
        assert (copied.source, copied.destination) == (((1, 1), (3, 3)), ((1, 2),))
        moved = await device.move(((2, 2),), "Entwürfe/&co")
        assert moved is not None
        assert moved.destination == ((3, 3),)
        await device.store(((3, 3),), StoreAction.ADD, ("\\Deleted",))
        await device.expunge(((3, 3),))
        status = await device.status("Entwürfe/&co", (StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.HIGHESTMODSEQ))
        assert (status[StatusItem.MESSAGES], status[StatusItem.UIDNEXT]) == (3, 4)
        assert (await device.status("INBOX", (StatusItem.MESSAGES,)))[StatusItem.MESSAGES] == 1

    play(peer, scene)


def test_refusals_have_their_codes(peer: Peer) -> None:
    async def scene(device: ImapClient) -> None:
        with pytest.raises(Refused) as refused:
            await device.append("Nowhere", SMALL)
        assert refused.value.answer.code == TRYCREATE
        with pytest.raises(Refused) as refused:
            await device.select("Nowhere")
        assert refused.value.answer.code in (NONEXISTENT, None)  # Dovecot says it in words only
        told: list[Untagged] = []
        await device.run(Id(None), told=told.append)
        await device.run(Namespace(), told=told.append)
        server, namespaces = told
        assert isinstance(server, ServerId)
        assert isinstance(namespaces, Namespaces)
        assert namespaces.personal[0].delimiter == "/"

    play(peer, scene)


def test_an_idling_device_hears_of_new_mail(peer: Peer) -> None:
    login = peer.login()

    async def scene(device: ImapClient) -> None:
        await device.select("INBOX")
        stop = asyncio.Event()
        told: list[Untagged] = []

        def hear(response: Untagged) -> None:
            told.append(response)
            if isinstance(response, Exists):
                stop.set()

        async def deliver() -> None:
            async with ImapClient("127.0.0.1", peer.imap, security=Security.NONE) as other:
                await other.login(login, Secret("pass"))
                await other.append("INBOX", SMALL)
                await other.logout()

        await asyncio.gather(device.idle(stop, hear), deliver())
        assert Exists(1) in told
        assert [message.uid for message in await device.fetch(((1, 1),), (Item.UID,))] == [1]
        await device.logout()

    play(peer, scene, login)


def test_starttls_comes_before_the_login(peer: Peer) -> None:
    async def run() -> None:
        async with ImapClient("localhost", peer.imap, security=Security.STARTTLS, trusted=peer.certificate) as device:
            await device.login(peer.login(), Secret("pass"))
            assert (await device.select("INBOX")).exists == 0

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_wrong_password_is_refused(peer: Peer) -> None:
    login = peer.login()

    async def run() -> None:
        async with ImapClient("127.0.0.1", peer.imap, security=Security.NONE) as device:
            with pytest.raises(Refused):
                await device.login(login, Secret("wrong"))
            await device.login(login, Secret("pass"))

    asyncio.run(asyncio.wait_for(run(), 30))


def test_many_commands_take_one_breath_and_are_answered_in_order(peer: Peer) -> None:
    async def work() -> None:
        async with ImapClient("127.0.0.1", peer.imap, security=Security.STARTTLS, trusted=peer.certificate) as device:
            await device.login(peer.login(), Secret("pass"))
            told: list[Untagged] = []
            names = [f"box{number}" for number in range(100)]
            made = await device.run_all([Step(Create(name)) for name in [*names, "box7"]])
            assert [answer.status.value for answer in made] == ["OK"] * 100 + ["NO"]
            steps = [Step(Status(name, (StatusItem.UIDNEXT,)), told.append) for name in [*names, "nowhere"]]
            asked = await device.run_all(itertools.chain(steps, [Step(Noop())]))
            assert [answer.status.value for answer in asked] == ["OK"] * 100 + ["NO", "OK"]
            assert [answer.mailbox for answer in told if isinstance(answer, MailboxStatus)] == names

    asyncio.run(work())
