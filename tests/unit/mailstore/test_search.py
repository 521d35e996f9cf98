"""SEARCH (RFC 9051 section 6.4.4, RFC 5032, RFC 7162, RFC 8474, RFC 8514) against an evaluator that looks at one message at a
time, with and without a text index; and what must hold whoever asks (A-43)."""

import asyncio
import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import OpenStore

from postwren.mailstore import query as q
from postwren.mailstore.digester import Digester
from postwren.mailstore.errors import QueryTooBig, SearchTooLong
from postwren.mailstore.model import Entry
from postwren.mailstore.port import Store, TextIndex
from postwren.mailstore.service import find, search
from postwren.mailstore.service.copymove import move
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.find import Bounds, Columns, Finder, columns_of
from postwren.mailstore.service.indexer import Indexer
from postwren.mailstore.service.keys import Keys, thread_id
from postwren.mailstore.service.search import Search
from postwren.mailstore.service.sort import SortKey
from postwren.mailstore.service.textsearch import Texts
from postwren.mailstore.service.thread import Algorithm
from postwren.message.digest import digest
from postwren.message.fold import fold
from postwren.message.searchtext import Needle, Place, holds, search_text
from postwren.storage.embedded.search_index import SearchIndex
from postwren.storage.memory import MemoryStore
from postwren.terms import AccountId, EmailId, ModSeq
from postwren.testing.contract.scene import Scene

DAY = 86_400
MESSAGES = [
    b"From: Ann <ann@example.org>\r\nSubject: one\r\nDate: Tue, 14 Nov 2023 23:30:00 -0800\r\n"
    b"Message-ID: <a@x>\r\n\r\nhello world\r\n",
    b"From: =?utf-8?q?=C3=84nne?= <z@x>\r\nTo: ann@example.org\r\nSubject: Re: one\r\nReferences: <a@x>\r\n\r\nHELLO again\r\n",
    b"Subject: =?koi8-r?b?8NLJ18XU?=\r\nDate: Wed, 15 Nov 2023 08:00:00 +0000\r\nX-Empty:\r\n\r\n"
    b"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xc3\xa4\r\n",
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8gd29ybGQ=\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhel\r\n--b\r\n\r\nlo\r\n--b--\r\n",
    b"Subject: nothing\r\n\r\n",
    b"",
    b"no header at all, just hello\r\n",
    b"Subject: NUL\r\n\r\nhe\0llo world\r\n",
]  # fmt: skip
FLAGS: list[tuple[str, ...]] = [(), ("\\Seen",), ("\\Seen", "$Junk"), ("$junk",), ("\\Flagged",), (), (), ("\\Deleted",), ()]
WORDS = [
    "hello",
    "world",
    "ANN",
    "привет",
    "ä",
    "a\u0308",
    "one",
    "re:",
    "",
    "o",
    "lo",
    "hel\r\nlo",
    "=?koi8",
    "x" * 100,
    "\0",
    '"',
    "не",
]
FIELDS = ["subject", "From", "TO", "x-empty", "content-type", "absent", ""]


class World(NamedTuple):
    """A mailbox that is only read, and its messages as they are."""

    store: Store
    account_id: AccountId
    entries: list[Entry]
    octets: list[bytes]
    flags: list[frozenset[str]]


@pytest.fixture(scope="module")
def world() -> World:
    async def build() -> World:
        scene = Scene(Opener(), Path(), MemoryStore())
        ann = await scene.account()
        for number, (octets, flags) in enumerate(zip(MESSAGES, FLAGS, strict=True)):
            scene.now += DAY // 3 + number
            await scene.append(ann, octets, flags=flags)
        entries = scene.entries(ann)
        some = [entry.email_id for entry in entries if entry.uid % 3]
        assert len(await Digester(scene.store, lambda: 0.0).ensure(ann.account_id, some)) == len(some)
        flag_sets = [scene.reader.flagset(ann.account_id, entry.flagset_id) for entry in entries]
        return World(scene.store, ann.account_id, entries, MESSAGES, flag_sets)

    return asyncio.run(build())


class Opener:
    async def open_store(self, path: Path) -> Store:
        return MemoryStore()


@pytest.fixture(scope="module", params=["scan", "index", "half an index"])
def index(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextIndex | None]:
    index: TextIndex | None = None
    if request.param != "scan":
        index = SearchIndex(tmp_path_factory.mktemp("index"))
        most = len(MESSAGES) if request.param == "index" else len(MESSAGES) // 2
        texts = [(EmailId(n + 1), search_text(octets)) for n, octets in enumerate(MESSAGES[:most])]
        index.put(world.account_id, texts, (EmailId(most), b""))
    yield index
    if index is not None:
        index.close()


def work_on(world: World, index: TextIndex | None, query: q.Query, way: str = "whole") -> Search:
    """ "whole" reads messages one by one, "glance" their headers, "digests" what was rendered of them."""
    store, owner = world.store, world.account_id
    windows = None if way == "whole" else store
    digests = store.digests if way == "digests" else None
    keys = Keys(store.read_body, digests, windows)
    texts = Texts(store.read_body, index, owner, query, windows, digests)
    return Search(owner, columns_of(world.entries), query, keys, texts)


def found(world: World, index: TextIndex | None, query: q.Query) -> list[int]:
    """In whatever way it is looked for."""
    rows: dict[str, list[int]] = {}
    for way in ("whole", "glance", "digests"):
        work = work_on(world, index, query, way)
        assert work.run(world.store.reader, lambda: False)
        rows[way] = [*work.rows]
    assert rows["glance"] == rows["whole"]
    assert rows["digests"] == rows["whole"]
    return rows["whole"]


# -- the evaluator


def is_true(world: World, number: int, query: q.Query) -> bool:
    entry, octets = world.entries[number], world.octets[number]
    match query:
        case q.And(queries):
            return all(is_true(world, number, each) for each in queries)
        case q.Or(queries):
            return any(is_true(world, number, each) for each in queries)
        case q.Not(inner):
            return not is_true(world, number, inner)
        case q.Fuzzy(inner):
            return is_true(world, number, inner)
        case q.Uids(ranges):
            return any(lo <= entry.uid <= hi for lo, hi in ranges)
        case q.HasFlag(flag):
            return flag.lower() in {each.lower() for each in world.flags[number]}
        case q.Larger(size):
            return len(octets) > size
        case q.Smaller(size):
            return len(octets) < size
        case q.Day(of, relation, day):
            return is_day(entry, octets, of, relation, day)
        case q.Younger(seconds, now):
            return entry.internaldate >= now - seconds
        case q.Older(seconds, now):
            return entry.internaldate <= now - seconds
        case q.Header(name, text):
            return holds(search_text(octets), Needle(Place.FIELD, fold(text), fold(name)))
        case q.Body(text):
            return holds(search_text(octets), Needle(Place.BODY, fold(text)))
        case q.Text(text):
            return holds(search_text(octets), Needle(Place.ANYWHERE, fold(text)))
        case q.ModSeqFrom(modseq):
            return entry.modseq >= modseq
        case q.EmailIs(email_id):
            return entry.email_id == email_id
        case q.ThreadIs(wanted):
            return thread(octets) == wanted
        case q.SaveDateSupported():
            return True


def thread(octets: bytes) -> str | None:
    made = digest(octets)
    return thread_id(made.message_id, made.references)


def is_day(entry: Entry, octets: bytes, of: q.DayOf, relation: q.Relation, day: int) -> bool:
    made = digest(octets)
    if of is q.DayOf.SENT and made.sent_date is None:
        return False
    sent = (made.sent_date or 0) + made.sent_offset * 60
    date = {q.DayOf.SENT: sent, q.DayOf.INTERNAL: entry.internaldate, q.DayOf.SAVED: entry.savedate}[of] // DAY
    return {q.Relation.BEFORE: date < day, q.Relation.ON: date == day, q.Relation.SINCE: date >= day}[relation]


DAYS = st.integers(19_674, 19_680)
SIZES = st.integers(0, 250)
RANGES = st.lists(st.integers(1, 12), unique=True, max_size=4).map(
    lambda ends: list(zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False))
)


LEAVES = st.one_of(
    st.builds(q.Uids, RANGES),
    st.sampled_from(["\\seen", "$JUNK", "\\Deleted", "$none"]).map(q.HasFlag),
    SIZES.map(q.Larger),
    SIZES.map(q.Smaller),
    st.builds(q.Day, st.sampled_from(q.DayOf), st.sampled_from(q.Relation), DAYS),
    st.builds(q.Younger, st.integers(1, 4 * DAY), st.just(1_700_000_000 + 3 * DAY)),
    st.builds(q.Older, st.integers(1, 4 * DAY), st.just(1_700_000_000 + 3 * DAY)),
    st.builds(q.Header, st.sampled_from(FIELDS), st.sampled_from(WORDS)),
    st.sampled_from(WORDS).map(q.Body),
    st.sampled_from(WORDS).map(q.Text),
    st.integers(1, 20).map(lambda n: q.ModSeqFrom(ModSeq(n))),
    st.integers(1, 12).map(lambda n: q.EmailIs(EmailId(n))),
    st.sampled_from([thread(MESSAGES[0]) or "", "Tx"]).map(q.ThreadIs),
    st.just(q.SaveDateSupported()),
)
QUERIES: st.SearchStrategy[q.Query] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda some: q.And(tuple(some))),
        st.lists(inner, max_size=4).map(lambda some: q.Or(tuple(some))),
        inner.map(q.Not),
        inner.map(q.Fuzzy),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(query=QUERIES)
def test_it_finds_what_a_look_at_every_message_finds(world: World, index: TextIndex | None, query: q.Query) -> None:
    assert found(world, index, query) == [n for n in range(len(MESSAGES)) if is_true(world, n, query)]


@settings(max_examples=150, deadline=None)
@given(query=QUERIES)
def test_it_finds_the_same_some_messages_at_a_time(world: World, query: q.Query) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "ROWS_AT_ONCE", 2)
        assert found(world, None, query) == [n for n in range(len(MESSAGES)) if is_true(world, n, query)]


@settings(max_examples=100, deadline=None)
@given(query=QUERIES)
def test_it_finds_the_same_with_the_columns_that_it_asks_of(world: World, query: q.Query) -> None:
    """Of a large mailbox no others are copied."""
    finder = Finder(world.store, Keys(world.store.read_body, world.store.digests))
    columns = columns_of(world.entries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MANY", 1)
        patch.setattr(find, "COLUMNS_AT_ONCE", 2)
        answer = asyncio.run(finder.search(world.account_id, _Arrays(columns), query))
    rows = [n for n in range(len(MESSAGES)) if is_true(world, n, query)]
    assert [*answer.uids] == [columns.uids[row] for row in rows]
    if q.is_about_modseq(query):
        assert [*answer.modseqs] == [columns.modseqs[row] for row in rows]
    if q.is_fuzzy(query):
        assert [*answer.internaldates] == [columns.internaldates[row] for row in rows]


class _Arrays:
    """As a snapshot has them."""

    def __init__(self, columns: Columns) -> None:
        self.uids = array("I", columns.uids)
        self.email_ids = array("Q", columns.email_ids)
        self.flagset_ids = array("I", columns.flagset_ids)
        self.modseqs = array("Q", columns.modseqs)
        self.internaldates = array("q", columns.internaldates)
        self.savedates = array("q", columns.savedates)
        self.sizes = array("Q", columns.sizes)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (q.ALL, list(range(9))),
        (q.Or(()), []),
        (q.Body("hello"), [0, 1, 3, 7]),
        (q.Text("example.org"), [0, 1]),
        (q.Header("from", "ÄNNE"), [1]),
        (q.Header("X-Empty", ""), [2]),
        (q.Text("ПРИВЕТ"), [2]),
        (q.And((q.Header("subject", "one"), q.Not(q.HasFlag("\\Seen")))), [0]),
        (q.Or((q.HasFlag("$JUNK"), q.Body("again"))), [1, 2, 3]),
        # 14 November in the zone of the sender, though 15 November in UTC
        (q.Day(q.DayOf.SENT, q.Relation.ON, 19_675), [0]),
        (q.Day(q.DayOf.SENT, q.Relation.SINCE, 0), [0, 2]),
        (q.Not(q.Day(q.DayOf.SENT, q.Relation.SINCE, 0)), [1, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_worked_examples(world: World, index: TextIndex | None, query: q.Query, expected: list[int]) -> None:
    assert found(world, index, query) == expected


# -- bounds


def nested(depth: int) -> q.Query:
    query: q.Query = q.SaveDateSupported()
    for _ in range(depth):
        query = q.Not(query)
    return query


def test_depth_number_and_texts_are_bounded(world: World, index: TextIndex | None) -> None:
    texts = tuple(q.Body(str(n)) for n in range(201))
    for query, too_big in [
        (nested(99), nested(100_000)),
        (q.And((q.ALL,) * 4_999), q.And((q.ALL,) * 5_000)),
        (q.Or(texts[:200]), q.Or(texts)),
    ]:
        q.check_bounds(query)
        found(world, index, query)
        with pytest.raises(QueryTooBig):
            q.check_bounds(too_big)


def test_a_search_pauses_whenever_it_is_told_and_goes_on(world: World, index: TextIndex | None) -> None:
    query = q.And((q.Text("o"), q.Or((q.Body("world"), q.Header("subject", "one"))), q.Not(q.Text("again"))))
    work = work_on(world, index, query)
    pauses = 0
    while not work.run(world.store.reader, lambda: True):
        pauses += 1
    assert pauses >= 4
    assert work.rows == found(world, index, query)


def test_every_message_is_read_once_for_all_texts_of_a_query(world: World) -> None:
    reads: list[object] = []

    def read_body(ref: object, offset: int, length: int | None) -> bytes:
        reads.append(ref)
        return world.store.read_body(ref, offset, length)  # type: ignore[arg-type]

    bodies = [q.Body(word) for word in WORDS if word]
    query = q.Or((*bodies, q.Text("nowhere"), q.Header("subject", "nowhere")))
    owner = world.account_id
    work = Search(owner, columns_of(world.entries), query, Keys(read_body), Texts(read_body, None, owner, query))
    assert work.run(world.store.reader, lambda: False)
    assert len(reads) == len(MESSAGES)


def test_of_a_header_the_whole_message_is_not_read(world: World) -> None:
    octets: list[int] = []
    long = b"Subject: here\r\n\r\n" + b"x" * 300_000

    async def story() -> None:
        scene = Scene(Opener(), Path(), MemoryStore())
        ann = await scene.account()
        await scene.append(ann, long, b"A: b\r\n" * 5_000 + b"Subject: far\r\n\r\n" + b"x" * 300_000)

        def read_body(ref: object, offset: int, length: int | None) -> bytes:
            data = scene.store.read_body(ref, offset, length)  # type: ignore[arg-type]
            octets.append(len(data))
            return data

        columns, owner = columns_of(scene.entries(ann)), ann.account_id
        for word, expected in [("HERE", [0]), ("far", [1])]:
            query = q.Header("subject", word)
            work = Search(owner, columns, query, Keys(read_body), Texts(read_body, None, owner, query))
            assert work.run(scene.reader, lambda: False)
            assert work.rows == expected
        await scene.end()

    asyncio.run(story())
    assert octets.count(16 << 10) == 4  # each message once a search; the second one then in a larger piece
    assert len(octets) == 6


# -- as a coroutine, on every store


async def mailbox(store: Store, count: int) -> tuple[Scene, AccountId]:
    scene = Scene(Opener(), Path(), store)
    ann = await scene.account()
    await scene.append(ann, *[b"Subject: %d\r\n\r\nnumber %d of many\r\n" % (n, n) for n in range(count)])
    return scene, ann.account_id


def seen(scene: Scene, account_id: AccountId) -> Columns:
    return columns_of(entries(scene, account_id))


def entries(scene: Scene, account_id: AccountId) -> Sequence[Entry]:
    account = scene.reader.account(account_id)
    assert account is not None
    return scene.entries(account)


def finder(scene: Scene, index: TextIndex | None = None, now: Callable[[], float] = lambda: 0.0) -> Finder:
    return Finder(scene.store, Keys(scene.store.read_body), index, now)


def test_a_search_ends_when_its_time_is_over_or_nobody_waits(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, owner = await mailbox(open_each_store(), 40)
        box = seen(scene, owner)
        assert (await finder(scene).search(owner, box, q.Body("NUMBER 7 "))).uids == [8]
        ticks = itertools.count()
        in_a_hurry = finder(scene, now=lambda: float(next(ticks)))
        for order in [in_a_hurry.search(owner, box, q.Body("7"), Bounds(3)),
                      in_a_hurry.sort(owner, box, q.ALL, [(SortKey.DATE, False)], Bounds(4)),
                      in_a_hurry.thread(owner, box, q.ALL, Algorithm.REFS, Bounds(4)),
                      finder(scene).search(owner, box, q.Body("7"), Bounds(30, lambda: True))]:  # fmt: skip
            with pytest.raises(SearchTooLong):
                await order
        with pytest.raises(QueryTooBig):
            await finder(scene).search(owner, box, nested(200))
        await scene.end()

    asyncio.run(story())


def test_others_read_between_the_slices_of_a_search(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, owner = await mailbox(open_each_store(), 64)
        order: list[str] = []
        ticks = itertools.count()

        async def searching() -> None:
            slow = finder(scene, now=lambda: float(next(ticks)))
            await slow.search(owner, seen(scene, owner), q.Body("7"), Bounds(1e9))
            order.append("searched")

        async def reading() -> None:
            await scene.store.read(lambda _: order.append("read"))

        await asyncio.gather(searching(), reading())
        assert order == ["read", "searched"]
        await scene.end()

    asyncio.run(story())


def test_a_message_that_went_meanwhile_is_not_found_and_disturbs_nobody(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, owner = await mailbox(open_each_store(), 3)
        first, second, third = entries(scene, owner)
        box = columns_of([first, second._replace(email_id=EmailId(99)), third])
        find = finder(scene)
        assert (await find.search(owner, box, q.Text("number"))).uids == [1, 3]
        assert (await find.search(owner, box, q.Day(q.DayOf.SENT, q.Relation.SINCE, 0))).uids == []
        assert (await find.sort(owner, box, q.ALL, [(SortKey.SUBJECT, True)])).uids == [3, 1, 2]
        forest, found = await find.thread(owner, box, q.ALL, Algorithm.REFERENCES)
        assert (list(forest.rows), found.uids) == ([1, 2, 3], [1, 2, 3])
        await scene.end()

    asyncio.run(story())


def test_columns_may_change_while_they_are_searched(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, owner = await mailbox(open_each_store(), 300)
        box = Snapshot()
        box.uids, box.email_ids = array("I", range(1, 301)), array("Q", range(1, 301))
        for name in ("flagset_ids", "modseqs", "internaldates", "savedates", "sizes"):
            setattr(box, name, array("q", bytes(8 * 300)))
        sorting = asyncio.create_task(finder(scene).sort(owner, box, q.Text("number 7 "), [(SortKey.SUBJECT, False)]))
        threading = asyncio.create_task(finder(scene).thread(owner, box, q.Not(q.HasFlag("x")), Algorithm.ORDEREDSUBJECT))
        await asyncio.sleep(0)
        del box.uids[5:], box.email_ids[5:], box.flagset_ids[:], box.sizes[:], box.internaldates[:]
        assert (await sorting).uids == [8]
        assert len((await threading)[0].rows) == 300
        await scene.end()

    asyncio.run(story())


class Snapshot:
    """Columns that belong to somebody else."""

    uids: "array[int]"
    email_ids: "array[int]"
    flagset_ids: "array[int]"
    modseqs: "array[int]"
    internaldates: "array[int]"
    savedates: "array[int]"
    sizes: "array[int]"


def test_the_highest_modseq_of_what_was_found_is_told(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, owner = await mailbox(open_each_store(), 3)
        account = scene.reader.account(owner)
        assert account is not None
        await scene.add_flags(scene.mailbox(account), 2, "\\Seen")
        box = seen(scene, owner)
        found = await finder(scene).search(owner, box, q.ModSeqFrom(ModSeq(1)))
        assert found.modseq == max(entry.modseq for entry in entries(scene, owner))
        assert (await finder(scene).search(owner, box, q.Not(q.HasFlag("\\Seen")))).modseq == entries(scene, owner)[0].modseq
        assert (await finder(scene).search(owner, box, q.Or(()))).modseq is None
        await scene.end()

    asyncio.run(story())


def test_an_answer_is_given_again_only_while_the_mailbox_has_the_same_messages(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, owner = await mailbox(open_each_store(), 3)
        account = scene.reader.account(owner)
        assert account is not None
        find = finder(scene)
        numbers, order = q.Body("number"), [(SortKey.SUBJECT, True)]

        async def answers() -> list[object]:
            box = seen(scene, owner)
            forest, _ = await find.thread(owner, box, numbers, Algorithm.REFS)
            found = [(await find.search(owner, box, numbers)).uids, (await find.sort(owner, box, numbers, order)).uids]
            return [*found, list(forest.rows), (await find.search(owner, box, q.HasFlag("\\Seen"))).uids]

        for _ in range(2):
            assert await answers() == [[1, 2, 3], [3, 2, 1], [1, 2, 3], []]
        await scene.add_flags(scene.mailbox(account), 2, "\\Seen")
        assert await answers() == [[1, 2, 3], [3, 2, 1], [1, 2, 3], [2]]
        await scene.append(account, b"Subject: 9\r\n\r\nnumber 9\r\n")
        assert await answers() == [[1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 3, 4], [2]]
        await scene.perform(expunge(owner, scene.mailbox(account).mailbox_id, [(1, 1)], scene.now, only_deleted=False))
        assert await answers() == [[2, 3, 4], [4, 3, 2], [2, 3, 4], [2]]
        inbox = scene.mailbox(account).mailbox_id
        await scene.perform(move(owner, inbox, [(2, 4)], inbox, scene.now))  # the same messages by other names
        assert await answers() == [[5, 6, 7], [7, 6, 5], [5, 6, 7], [5]]
        await scene.end()

    asyncio.run(story())


def test_an_answer_is_found_without_looking_again(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        scene, owner = await mailbox(open_store(), 3)
        find, box = finder(scene), seen(scene, owner)
        first = await find.search(owner, box, q.Body("number"))
        monkeypatch.setattr(scene.store.__class__, "read", None)
        assert await find.search(owner, seen(scene, owner), q.Body("number")) == first
        assert (await find.search(owner, box, q.ALL)).uids == [1, 2, 3]
        for _ in range(2):  # a query that cannot be kept is answered all the same
            with pytest.raises(TypeError, match="not callable"):
                await find.search(owner, box, q.Uids([(1, 2)]))
        scene.is_open = False
        scene.store.close()

    asyncio.run(story())


# -- the index


def test_the_indexer_catches_up_and_what_it_has_not_yet_is_read(open_each_store: OpenStore, tmp_path: Path) -> None:
    async def story() -> None:
        scene, owner = await mailbox(open_each_store(), 50)
        index = SearchIndex(tmp_path)
        indexer = Indexer(scene.store, index)
        find, box = finder(scene, index), seen(scene, owner)
        for _ in range(4):
            assert (await find.search(owner, box, q.Body("number 7 "))).uids == [8]
            assert (await find.search(owner, box, q.Text("9"))).uids == [10, 20, 30, 40, 50]
            await indexer.step(owner)
        assert index.indexed_up_to(owner) == 50
        assert not await indexer.step(owner)
        index.close()
        await scene.end()

    asyncio.run(story())
