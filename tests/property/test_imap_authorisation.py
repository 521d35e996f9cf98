"""Who may do what with whose mailbox (A-45; RFC 4314 section 4): every command, every argument that names a mailbox or
an account.

A row says how a command is written, which rights it needs, and what stands in the answer when it did its work. From that follow
all cases: one's own; shared with just these rights, with all, with all but one of them; rights that are taken during the
session, also while the mailbox is selected; and hidden ones, which are there without any rights: these and those that are not
there must be answered with the same octets, after as many look-ups, and leave everything as it was. A command without a row
fails.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import pytest
from tests.scripts.imap_world import ImapWorld

from postwren.mailstore.service.acl import ALL, in_order
from postwren.protocols.imap.command import append, fetch, login, mailbox, notify, nullary, search, select, sharing, store, url
from postwren.protocols.imap.command import list as listing
from postwren.server.imap.commands import COMMANDS
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink

ANN, BOB, CAT, EVE = (f"{name}@example.org" for name in ("ann", "bob", "cat", "eve"))  # there is no eve
OWNERS: Final = "!"  # what no right gives to anybody else
TO_PUB: Final = f'"Other Users/{ANN}/Pub/New"'  # where bob may create
OF_PUB: Final = f'"Other Users/{ANN}/Pub/Old"'  # which bob may delete


@dataclass(frozen=True, slots=True)
class Row:
    """`NAME` in a command stands for the mailbox, `BARE` for the same without quotes, `URL` for its name in a URL, `OWNER` for
    whose it is there. `own`: how the command is written of one's own. `is_selected`: it is about the selected mailbox."""

    kind: type[Any]
    line: str
    needs: frozenset[str]
    shows: str = r"^a OK"
    own: str = ""
    first: str = ""
    is_selected: bool = False


def row(kind: type[Any], line: str, needs: str, shows: str = r"^a OK", **options: Any) -> Row:
    return Row(kind, line, frozenset(needs), shows, **options)


SIGNED: Final = "imap://OWNER@host/URL/;UID=1;URLAUTH=anonymous"
TEXT: Final = "{9+}\r\nA: b\r\n\r\nc"
IN_INBOX: Final = "SELECT INBOX"

ROWS: Final = [
    row(select.Select, "SELECT NAME", "lr"),
    row(select.Select, "EXAMINE NAME", "lr"),
    row(listing.Status, "STATUS NAME (MESSAGES UIDNEXT DELETED-STORAGE MAILBOXID HIGHESTMODSEQ)", "lr"),
    row(listing.List, 'LIST "" NAME', "l", r"^\* LIST"),
    row(listing.List, 'LIST "" (NAME "nothing") RETURN (MYRIGHTS)', "l", r"^\* MYRIGHTS"),
    row(listing.List, 'LIST "" NAME RETURN (STATUS (MESSAGES))', "lr", r"^\* STATUS"),
    row(listing.List, 'LIST "" NAME RETURN (METADATA (/shared/comment))', "lr", r"^\* METADATA"),
    row(listing.List, 'LIST "" "BARE/%"', "l", r"^\* LIST [^\r]*Below"),
    row(listing.Lsub, 'LSUB "" NAME', "l", r"^\* LSUB", first="SUBSCRIBE NAME"),
    row(mailbox.Create, "CREATE \"BARE/New\"", "k"),
    row(mailbox.Create, "CREATE \"BARE/New/Newer\"", "k"),
    row(mailbox.Delete, "DELETE NAME", "lx"),
    row(mailbox.Rename, f"RENAME NAME {TO_PUB}", "lx", own="RENAME NAME Other"),
    row(mailbox.Rename, f"RENAME {OF_PUB} \"BARE/New\"", "k", own="RENAME Mine \"BARE/New\""),
    row(mailbox.Rename, "RENAME Mine \"BARE/New\"", OWNERS),
    row(mailbox.Subscribe, "SUBSCRIBE NAME", "l"),
    row(mailbox.Unsubscribe, "UNSUBSCRIBE NAME", "l", first="SUBSCRIBE NAME"),
    row(append.Append, f"APPEND NAME {TEXT}", "li"),
    row(append.Append, f"APPEND NAME CATENATE (TEXT {TEXT})", "li"),
    row(append.Append, 'APPEND INBOX CATENATE (URL "/URL/;UID=1")', "lr"),
    row(append.Append, 'APPEND INBOX CATENATE (URL "/URL/;UID=1/;SECTION=TEXT")', "lr"),
    row(append.Replace, f"REPLACE 1 NAME {TEXT}", "li", first=IN_INBOX),
    row(append.Replace, 'UID REPLACE 1 INBOX CATENATE (URL "/URL/;UID=1")', "lr", first=IN_INBOX),
    row(append.Replace, f"REPLACE 1 INBOX {TEXT}", "lrte", is_selected=True),
    row(store.Copy, "COPY 1 NAME", "li", first=IN_INBOX),
    row(store.Copy, "UID COPY 1:* NAME", "li", first=IN_INBOX),
    row(store.Copy, "COPY 1 INBOX", "lr", is_selected=True),
    row(store.Move, "MOVE 1 NAME", "li", first=IN_INBOX),
    row(store.Move, "UID MOVE 1:* NAME", "li", first=IN_INBOX),
    row(store.Move, "MOVE 1 INBOX", "lrte", is_selected=True),
    row(store.Store, "STORE 1 +FLAGS (\\Flagged)", "lrw", is_selected=True),
    row(store.Store, "STORE 1 FLAGS.SILENT (key)", "lrw", is_selected=True),
    row(store.Store, "UID STORE 1 +FLAGS (\\Seen)", "lrs", is_selected=True),
    row(store.Store, "STORE 1 +FLAGS (\\Deleted)", "lrt", is_selected=True),
    row(nullary.Expunge, "EXPUNGE", "lre", is_selected=True),
    row(store.UidExpunge, "UID EXPUNGE 1:*", "lre", is_selected=True),
    row(nullary.Close, "CLOSE", "lr", is_selected=True),
    row(nullary.Unselect, "UNSELECT", "lr", is_selected=True),
    row(nullary.Check, "CHECK", "lr", is_selected=True),
    row(fetch.Fetch, "FETCH 1 (BODY.PEEK[] ENVELOPE FLAGS)", "lr", r"^\* 1 FETCH", is_selected=True),
    row(fetch.Fetch, "FETCH 1 BODY[]", "lrs", r"FLAGS \([^)]*\\Seen", is_selected=True),
    row(search.Search, "SEARCH ALL", "lr", r"^\* SEARCH 1", is_selected=True),
    row(search.Search, 'UID SEARCH TEXT "wren"', "lr", r"^\* SEARCH 1", is_selected=True),
    row(search.Sort, "SORT (SIZE) UTF-8 ALL", "lr", r"^\* SORT 1", is_selected=True),
    row(search.Thread, "THREAD REFERENCES UTF-8 ALL", "lr", r"^\* THREAD \(", is_selected=True),
    row(search.CancelUpdate, 'CANCELUPDATE "x"', "lr", is_selected=True),
    row(search.Esearch, "ESEARCH IN (MAILBOXES NAME) ALL", "lr", r"^\* ESEARCH"),
    row(search.Esearch, 'ESEARCH IN (SUBTREE NAME) BODY "wren"', "lr", r"^\* ESEARCH"),
    row(search.Esearch, "ESEARCH IN (SELECTED) ALL", "lr", r"^\* ESEARCH", is_selected=True),
    row(sharing.MyRights, "MYRIGHTS NAME", "l"),
    row(sharing.GetAcl, "GETACL NAME", "la"),
    row(sharing.SetAcl, f"SETACL NAME {CAT} lr", "la"),
    row(sharing.DeleteAcl, f"DELETEACL NAME {CAT}", "la"),
    row(sharing.ListRights, f"LISTRIGHTS NAME {CAT}", "la"),
    row(sharing.GetQuotaRoot, "GETQUOTAROOT NAME", "lr"),
    row(sharing.GetQuotaRoot, "GETQUOTAROOT \"BARE/New\"", "k"),
    row(sharing.GetMetadata, "GETMETADATA NAME (/shared/comment)", "lr"),
    row(sharing.SetMetadata, 'SETMETADATA NAME (/private/comment "b")', "lr"),
    row(sharing.SetMetadata, 'SETMETADATA NAME (/shared/comment "b")', "lrw"),
    row(notify.Notify, "NOTIFY SET STATUS (MAILBOXES NAME (MessageNew MessageExpunge))", "lr", r"^\* STATUS"),
    row(notify.Notify, "NOTIFY SET STATUS (SUBTREE NAME (MessageNew MessageExpunge))", "lr", r"^\* STATUS"),
    row(url.GenUrlAuth, f'GENURLAUTH "{SIGNED}" INTERNAL', OWNERS),
    row(url.ResetKey, "RESETKEY NAME", OWNERS),
    row(url.UrlFetch, f'URLFETCH "{SIGNED}:internal:01{"0" * 64}"', OWNERS, r'"[^"]+" "', own="NOOP"),
]  # fmt: skip

OF_NO_MAILBOX: Final[frozenset[type[Any]]] = frozenset({
    login.Authenticate, login.Compress, login.Enable, login.Id, login.Login, nullary.Capability, nullary.Idle, nullary.Logout,
    nullary.Namespace, nullary.Noop, nullary.StartTls, nullary.Unauthenticate,
})  # fmt: skip
OF_AN_ACCOUNT: Final = [
    (sharing.GetQuota, "GETQUOTA WHO"),
    (sharing.SetQuota, "SETQUOTA WHO (STORAGE 10)"),
    (sharing.SetAcl, "SETACL Mine WHO lr"),
    (sharing.DeleteAcl, "DELETEACL Mine WHO"),
    (sharing.ListRights, "LISTRIGHTS Mine WHO"),
    (listing.List, 'LIST "" "Other Users/WHO/%"'),
    (mailbox.Create, 'CREATE "Other Users/WHO"'),
    (mailbox.Create, 'CREATE "Other Users/WHO/a//b"'),
    (mailbox.Rename, 'RENAME Mine "Other Users/WHO/a//b"'),
    (sharing.GetQuotaRoot, 'GETQUOTAROOT "Other Users/WHO/a//b"'),
]

HIDDEN: Final = {  # names as long as each other
    "there": (ANN, "Work"),
    "not there": (ANN, "Nope"),
    "another's": (CAT, "Work"),
    "nobody's": (EVE, "Work"),
}


def name_of(each: Row) -> str:
    return re.sub(r"\W+", " ", f"{each.kind.__name__} {each.line}")


every_row = pytest.mark.parametrize("each", ROWS, ids=name_of)
others_rows = pytest.mark.parametrize("each", [each for each in ROWS if OWNERS not in each.needs], ids=name_of)
named_rows = pytest.mark.parametrize("each", [each for each in ROWS if not each.is_selected], ids=name_of)


class Session:
    """A logged-in connection."""

    def __init__(self, link: LoopbackLink) -> None:
        self.link = link

    async def say(self, line: str) -> bytes:
        """What comes up to the end of the turn."""
        self.link.take()
        self.link.receive(f"a {line}\r\n".encode())
        await self.link.settled()
        return self.link.take()

    async def do(self, line: str) -> None:
        answer = await self.say(line)
        assert re.search(rb"^a OK", answer, re.MULTILINE), (line, answer)

    async def prepare(self, each: Row, owner: str, local: str) -> None:
        """What comes before the row's command."""
        first = "SELECT NAME" if each.is_selected else each.first
        if first:
            await self.say(fill(first, owner, local))

    async def about(self, each: Row, owner: str, local: str) -> bytes:
        """The row's command of this mailbox; the answer with NAME where it is named."""
        return anonymous(await self.say(fill(each.line, owner, local)), owner, local)


def fill(text: str, owner: str, local: str) -> str:
    name = f"Other Users/{owner}/{local}" if owner != BOB else local
    text = re.sub(r"\bNAME\b", f'"{name}"', text).replace("BARE", name)
    return text.replace("URL/", quote(name) + "/").replace("OWNER", quote(owner))


def anonymous(answer: bytes, owner: str, local: str) -> bytes:
    """The rest of a name tells nothing that was not said."""
    name = f"Other Users/{owner}/{local}"
    answer = answer.replace(name.encode(), b"NAME").replace(quote(name).encode(), b"URL")
    return answer.replace(quote(owner).encode(), b"OWNER").replace(f"Other Users/{owner}".encode(), b"OWNER")


class Scene:
    """ann's, bob's and cat's accounts, and a session of bob's. ann's Work is what he may do something with, or not."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.world = ImapWorld(self.store)
        self.ann: Session
        self.bob: Session

    async def begin(self) -> None:
        for name in (ANN, BOB, CAT):
            await self.world.account(name, 100_000)
            session = await self.session(name)
            for work in ("Work", "Mine", "Pub", "Pub/Old"):
                await session.do(f"CREATE {work}")
            await session.do("CREATE Work/Below")
            for place in ("INBOX", "Work"):
                await session.do(f"APPEND {place} (\\Deleted) {{22+}}\r\nSubject: wren\r\n\r\nwren\r")
                await session.do(f"APPEND {place} {{22+}}\r\nSubject: bird\r\n\r\nbird\r")
            await session.do('SETMETADATA Work (/shared/comment "theirs")')
        self.ann, self.bob = await self.session(ANN), await self.session(BOB)
        await (await self.session(BOB)).do("EXAMINE INBOX")  # what a process looks up once is known
        await self.ann.do(f"SETACL Pub {BOB} lk")
        await self.ann.do(f"SETACL Pub/Old {BOB} lxk")

    async def session(self, name: str) -> Session:
        session = Session(self.world.link())
        await session.do(f"LOGIN {name} secret")
        return session

    async def grant(self, rights: frozenset[str]) -> None:
        await self.ann.do(f'SETACL Work {BOB} "{in_order(rights)}"')
        await self.ann.do(f'SETACL Work/Below {BOB} "{in_order(rights & frozenset("l"))}"')

    def state(self) -> list[object]:
        """All that is kept, of everybody."""
        reader, rows = self.store.reader, list[object]()
        for account in reader.accounts():
            rows += [account, reader.property_count(account.account_id)]
            for box in reader.mailboxes(account.account_id):
                where = account.account_id, box.mailbox_id
                rows += [box, *reader.entries(*where), *reader.grants(*where), *reader.expunged(*where)]
        return rows


def play(scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene()
        try:
            await scene.begin()
            await scenario(scene)
            scene.world.end()
        finally:
            scene.world.authenticator.close()
            scene.store.close()

    asyncio.run(run())


def did(each: Row, answer: bytes) -> bool:
    return re.search(each.shows.encode(), answer, re.MULTILINE) is not None


def test_every_command_has_a_row() -> None:
    assert {each.kind for each in ROWS} | OF_NO_MAILBOX | {kind for kind, _ in OF_AN_ACCOUNT} == set(COMMANDS)


@every_row
def test_it_is_done_with_ones_own(each: Row) -> None:
    async def scenario(scene: Scene) -> None:
        own = replace(each, line=each.own, shows="^a OK") if each.own else each
        await scene.bob.prepare(own, BOB, "Work")
        answer = await scene.bob.about(own, BOB, "Work")
        assert did(own, answer), answer

    play(scenario)


@others_rows
@pytest.mark.parametrize("with_all", [False, True], ids=["with what it needs", "with all rights"])
def test_it_is_done_with_the_rights_for_it(each: Row, with_all: bool) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.grant(ALL if with_all else each.needs)
        await scene.bob.prepare(each, ANN, "Work")
        answer = await scene.bob.about(each, ANN, "Work")
        assert did(each, answer), answer

    play(scenario)


@every_row
def test_it_is_not_done_without_one_of_its_rights(each: Row) -> None:
    """However many others are there. Without l it is as if the mailbox were not there."""

    async def scenario(scene: Scene) -> None:
        await scene.bob.prepare(each, ANN, "Nope")
        absent = await scene.bob.about(each, ANN, "Nope")
        for right in each.needs:
            bob = await scene.session(BOB)
            await scene.grant(ALL)
            if each.is_selected:
                await bob.prepare(each, ANN, "Work")
            await scene.grant(ALL - {right})
            if not each.is_selected:
                await bob.prepare(each, ANN, "Work")
            before = scene.state()
            answer = await bob.about(each, ANN, "Work")
            assert not did(each, answer) or each.kind is nullary.Close, (right, answer)
            assert scene.state() == before or right == "s", right
            if right == "l" and not each.is_selected:
                assert answer == absent
        await scene.grant(ALL)

    play(scenario)


@named_rows
def test_what_is_hidden_is_as_what_is_not_there(each: Row) -> None:
    async def scenario(scene: Scene) -> None:
        answers, looks = {}, {}
        for kind, (owner, local) in HIDDEN.items():
            bob = await scene.session(BOB)
            await bob.prepare(each, owner, local)
            before = scene.state()
            with counted(scene.store) as reads:
                answers[kind] = await bob.about(each, owner, local)
            looks[kind] = reads
            assert not did(each, answers[kind]), answers
            assert scene.state() == before
        assert len(set(answers.values())) == 1, answers
        assert all(reads == looks["there"] for reads in looks.values()), looks  # so the time tells nothing either

    play(scenario)


class counted:  # noqa: N801 - reads as a verb where it stands
    """How often each look-up of the store is done meanwhile."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.reads = store, Counter[str]()

    def __enter__(self) -> Counter[str]:
        self.reader = self.store._reader
        self.store._reader = CountingReader(self.reader, self.reads)  # type: ignore[assignment]
        return self.reads

    def __exit__(self, *_: object) -> None:
        self.store._reader = self.reader


class CountingReader:
    def __init__(self, reader: object, reads: Counter[str]) -> None:
        self.reader, self.reads = reader, reads

    def __getattr__(self, name: str) -> object:
        self.reads[name] += 1
        return getattr(self.reader, name)


@others_rows
def test_rights_that_are_taken_count_at_once(each: Row) -> None:
    """Whatever the session saw before; and a mailbox that is selected is left."""

    async def scenario(scene: Scene) -> None:
        await scene.grant(ALL)
        await scene.bob.do(fill("SELECT NAME", ANN, "Work"))
        await scene.bob.do("FETCH 1:* (FLAGS ENVELOPE)")
        if not each.is_selected:
            await scene.bob.do("UNSELECT")
            await scene.bob.do(fill("MYRIGHTS NAME", ANN, "Work"))
        await scene.ann.do(f"DELETEACL Work {BOB}")
        await scene.ann.do(f"DELETEACL Work/Below {BOB}")
        before = scene.state()
        if not each.is_selected:
            await scene.bob.prepare(each, ANN, "Work")
            assert await scene.bob.about(each, ANN, "Work") == await scene.bob.about(each, EVE, "Work")
        else:
            closed = b"* OK [CLOSED] the mailbox is not to be read any more\r\n"
            answer = await scene.bob.say(each.line)
            assert answer.removeprefix(closed) in (b"a NO [NONEXISTENT] no such mailbox\r\n", b"a OK ESEARCH done\r\n")
            assert (await scene.bob.say("FETCH 1 FLAGS")).startswith(b"a BAD")
        assert scene.state() == before
        await scene.bob.do(f"APPEND INBOX {TEXT}")  # nothing of the refused command is left

    play(scenario)


@pytest.mark.parametrize(("kind", "line"), OF_AN_ACCOUNT, ids=[line for _, line in OF_AN_ACCOUNT])
def test_whether_somebody_has_an_account_is_not_told(kind: type[Any], line: str) -> None:
    async def scenario(scene: Scene) -> None:
        answers = []
        for who in (CAT, EVE):
            bob = await scene.session(BOB)
            with counted(scene.store) as reads:
                answer = await bob.say(line.replace("WHO", who))
            answers.append((answer.replace(who.encode(), b"WHO"), {**reads}))
            await bob.say(f"DELETEACL Mine {who}")
        assert answers[0] == answers[1]

    play(scenario)


# -- news, which nobody asks for


NEWS: Final = {
    "IDLE": ["SELECT NAME", "IDLE"],
    "NOTIFY of the selected mailbox": [
        "SELECT NAME",
        "NOTIFY SET (SELECTED (MessageNew (FLAGS BODY.PEEK[]) MessageExpunge FlagChange))",
    ],
    "NOTIFY of others": ["NOTIFY SET (MAILBOXES NAME (MessageNew MessageExpunge FlagChange MailboxMetadataChange))"],
    "NOTIFY of all names": ["NOTIFY SET (PERSONAL (MailboxName)) (SUBTREE NAME (MailboxName SubscriptionChange))"],
}


def happenings() -> Iterator[str]:
    yield "APPEND Work {22+}\r\nSubject: late\r\n\r\nlate\r"
    yield "SELECT Work"
    yield "STORE 1 +FLAGS (\\Flagged)"
    yield "EXPUNGE"
    yield 'SETMETADATA Work (/shared/comment "later")'
    yield "CREATE Work/Later"


@pytest.mark.parametrize("what", NEWS)
def test_whose_rights_were_taken_hears_no_news(what: str) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.grant(frozenset("lrswite"))
        for line in NEWS[what]:
            await scene.bob.say(fill(line, ANN, "Work"))
        await scene.ann.do("APPEND Work {22+}\r\nSubject: more\r\n\r\nmore\r")
        await asyncio.sleep(0)
        assert scene.bob.link.take() or "names" in what
        await scene.ann.do(f"DELETEACL Work {BOB}")
        await scene.ann.do(f"DELETEACL Work/Below {BOB}")
        await asyncio.sleep(0)
        scene.bob.link.take()
        for line in happenings():
            await scene.ann.do(line)
            await asyncio.sleep(0)
        heard = scene.bob.link.take()
        if what == "IDLE":
            scene.bob.link.receive(b"DONE\r\n")
        heard += await scene.bob.say("NOOP")
        assert [line for line in heard.splitlines() if line.startswith(b"*") and b"CLOSED" not in line] == []

    play(scenario)


def test_who_may_look_up_only_hears_nothing_of_what_is_in_a_mailbox() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.grant(frozenset("l"))
        await scene.bob.do(fill(NEWS["NOTIFY of others"][0], ANN, "Work"))
        for line in happenings():
            await scene.ann.do(line)
            await asyncio.sleep(0)
        assert scene.bob.link.take() == b""
        assert await scene.bob.say("NOOP") == b"a OK done\r\n"

    play(scenario)


@pytest.mark.parametrize("line", ["LOGOUT", "NOOP", f"APPEND INBOX {TEXT}", "SELECT INBOX", "UNAUTHENTICATE"])
def test_what_has_nothing_to_do_with_a_lost_mailbox_is_done(line: str) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.grant(frozenset("lr"))
        await scene.bob.do(fill("SELECT NAME", ANN, "Work"))
        await scene.ann.do(f"DELETEACL Work {BOB}")
        await scene.bob.do(line)

    play(scenario)


def test_who_creates_below_anothers_mailbox_gives_it_no_use_there() -> None:
    r"""RFC 6154: ann's programs would keep what she sends where bob may read it."""

    async def scenario(scene: Scene) -> None:
        answer = await scene.bob.say(f"CREATE {TO_PUB} (USE (\\Sent))")
        assert re.match(rb"a NO \[USEATTR\]", answer), answer

    play(scenario)
