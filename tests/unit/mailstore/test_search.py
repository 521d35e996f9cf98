"""SEARCH (RFC 9051 section 6.4.4, RFC 5032, RFC 7162, RFC 8474, RFC 8514) against an evaluator that looks at one message at a
time, with and without a text index; and what must hold whoever asks (A-43)."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import OpenStore

from postwren.mailstore import query as q
from postwren.mailstore.errors import QueryTooBig, SearchTooLong
from postwren.mailstore.model import Entry
from postwren.mailstore.port import Reader, Store, TextIndex
from postwren.mailstore.service.indexer import Indexer
from postwren.mailstore.service.keys import ScannedKeys, keys_of
from postwren.mailstore.service.search import Search, Sources, columns_of, search
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
        flag_sets = [scene.reader.flagset(ann.account_id, entry.flagset_id) for entry in entries]
        return World(scene.store, ann.account_id, entries, MESSAGES, flag_sets)

    return asyncio.run(build())


class Opener:
    async def open_store(self, path: Path) -> Store:
        return MemoryStore()


@pytest.fixture(scope="module", params=["scan", "index", "half an index"])
def sources(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    index: TextIndex | None = None
    if request.param != "scan":
        index = SearchIndex(tmp_path_factory.mktemp("index"))
        most = len(MESSAGES) if request.param == "index" else len(MESSAGES) // 2
        texts = [(EmailId(n + 1), search_text(octets)) for n, octets in enumerate(MESSAGES[:most])]
        index.put(world.account_id, texts, (EmailId(most), b""))
    yield Sources(ScannedKeys(world.store.read_body), world.store.read_body, index)
    if index is not None:
        index.close()


def found(world: World, sources: Sources, query: q.Query) -> list[int]:
    work = Search(sources, world.account_id, columns_of(world.entries), query)
    assert work.run(world.store.reader, lambda: False)
    return [uid - 1 for uid in work.uids()]


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
        case q.ThreadIs(thread_id):
            return keys_of(digest(octets)).thread_id == thread_id
        case q.SaveDateSupported():
            return True


def is_day(entry: Entry, octets: bytes, of: q.DayOf, relation: q.Relation, day: int) -> bool:
    keys = keys_of(digest(octets))
    if of is q.DayOf.SENT and keys.sent is None:
        return False
    sent = (keys.sent or 0) + keys.sent_offset * 60
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
    st.sampled_from([keys_of(digest(MESSAGES[0])).thread_id or "", "Tx"]).map(q.ThreadIs),
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
def test_it_finds_what_a_look_at_every_message_finds(world: World, sources: Sources, query: q.Query) -> None:
    assert found(world, sources, query) == [n for n in range(len(MESSAGES)) if is_true(world, n, query)]


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
def test_worked_examples(world: World, sources: Sources, query: q.Query, expected: list[int]) -> None:
    assert found(world, sources, query) == expected


# -- bounds


def nested(depth: int) -> q.Query:
    query: q.Query = q.SaveDateSupported()
    for _ in range(depth):
        query = q.Not(query)
    return query


def test_depth_number_and_texts_are_bounded(world: World, sources: Sources) -> None:
    texts = tuple(q.Body(str(n)) for n in range(201))
    for query, too_big in [
        (nested(99), nested(100_000)),
        (q.And((q.ALL,) * 4_999), q.And((q.ALL,) * 5_000)),
        (q.Or(texts[:200]), q.Or(texts)),
    ]:
        found(world, sources, query)
        with pytest.raises(QueryTooBig):
            found(world, sources, too_big)


def test_a_search_pauses_whenever_it_is_told_and_goes_on(world: World, sources: Sources) -> None:
    query = q.And((q.Text("o"), q.Or((q.Body("world"), q.Header("subject", "one"))), q.Not(q.Text("again"))))
    work = Search(sources, world.account_id, columns_of(world.entries), query)
    pauses = 0
    while not work.run(world.store.reader, lambda: True):
        pauses += 1
    assert pauses >= 4
    assert [uid - 1 for uid in work.uids()] == found(world, sources, query)


def test_every_message_is_read_once_for_all_texts_of_a_query(world: World) -> None:
    reads: list[object] = []

    def read_body(ref: object, offset: int, length: int | None) -> bytes:
        reads.append(ref)
        return world.store.read_body(ref, offset, length)  # type: ignore[arg-type]

    bodies = [q.Body(word) for word in WORDS if word]
    query = q.Or((*bodies, q.Text("nowhere"), q.Header("subject", "nowhere")))
    found(world, Sources(ScannedKeys(read_body), read_body), query)
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

        columns = columns_of(scene.entries(ann))
        work = Search(Sources(ScannedKeys(read_body), read_body), ann.account_id, columns, q.Header("subject", "HERE"))
        assert work.run(scene.reader, lambda: False)
        assert work.uids() == [1]
        work = Search(Sources(ScannedKeys(read_body), read_body), ann.account_id, columns, q.Header("subject", "far"))
        assert work.run(scene.reader, lambda: False)
        assert work.uids() == [2]
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


def columns(scene: Scene, account_id: AccountId) -> Sequence[Entry]:
    account = scene.reader.account(account_id)
    assert account is not None
    return scene.entries(account)


def test_a_search_ends_when_its_time_is_over_or_nobody_waits(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, account_id = await mailbox(open_each_store(), 40)
        sources = Sources(ScannedKeys(scene.store.read_body), scene.store.read_body)
        seen = columns_of(columns(scene, account_id))
        assert await search(scene.store, sources, account_id, seen, q.Body("NUMBER 7 ")) == [8]
        ticks = itertools.count()
        with pytest.raises(SearchTooLong):
            await search(scene.store, sources, account_id, seen, q.Body("7"), seconds=3, now=lambda: float(next(ticks)))
        with pytest.raises(SearchTooLong):
            await search(scene.store, sources, account_id, seen, q.Body("7"), is_unwanted=lambda: True)
        with pytest.raises(QueryTooBig):
            await search(scene.store, sources, account_id, seen, nested(200))
        await scene.end()

    asyncio.run(story())


def test_others_read_between_the_slices_of_a_search(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, account_id = await mailbox(open_each_store(), 64)
        sources = Sources(ScannedKeys(scene.store.read_body), scene.store.read_body)
        order: list[str] = []
        ticks = itertools.count()

        async def searching() -> None:
            seen = columns_of(columns(scene, account_id))
            await search(scene.store, sources, account_id, seen, q.Body("7"), seconds=1e9, now=lambda: float(next(ticks)))
            order.append("searched")

        async def reading() -> None:
            def unit(reader: Reader) -> None:
                order.append("read")

            await scene.store.read(unit)

        await asyncio.gather(searching(), reading())
        assert order == ["read", "searched"]
        await scene.end()

    asyncio.run(story())


def test_a_message_that_went_meanwhile_is_not_found_and_disturbs_nobody(open_each_store: OpenStore) -> None:
    async def story() -> None:
        scene, account_id = await mailbox(open_each_store(), 3)
        seen = columns(scene, account_id)
        gone = [seen[0], seen[1]._replace(email_id=EmailId(99)), seen[2]]
        sources = Sources(ScannedKeys(scene.store.read_body), scene.store.read_body)
        assert await search(scene.store, sources, account_id, columns_of(gone), q.Text("number")) == [1, 3]
        since = q.Day(q.DayOf.SENT, q.Relation.SINCE, 0)
        assert await search(scene.store, sources, account_id, columns_of(gone), since) == []
        await scene.end()

    asyncio.run(story())


# -- the index


def test_the_indexer_catches_up_and_what_it_has_not_yet_is_read(open_each_store: OpenStore, tmp_path: Path) -> None:
    async def story() -> None:
        scene, account_id = await mailbox(open_each_store(), 50)
        index = SearchIndex(tmp_path)
        indexer = Indexer(scene.store, index)
        sources = Sources(ScannedKeys(scene.store.read_body), scene.store.read_body, index)
        seen = columns_of(columns(scene, account_id))
        for _ in range(4):
            assert await search(scene.store, sources, account_id, seen, q.Body("number 7 ")) == [8]
            assert await search(scene.store, sources, account_id, seen, q.Text("9")) == [10, 20, 30, 40, 50]
            await indexer.step(account_id)
        assert index.indexed_up_to(account_id) == 50
        assert not await indexer.step(account_id)
        index.close()
        await scene.end()

    asyncio.run(story())
