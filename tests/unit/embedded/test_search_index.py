"""The text index answers as the messages would, whatever is asked; it can be lost, broken or somebody else's at any time."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postwren.mailstore import query as q
from postwren.mailstore.errors import TextIndexFailed
from postwren.mailstore.port import Reader, Store
from postwren.mailstore.service.accounts import remove_account
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.find import Finder, columns_of
from postwren.mailstore.service.housekeeping import end_recovery
from postwren.mailstore.service.indexer import Indexer, Pace
from postwren.mailstore.service.keys import Keys
from postwren.message.fold import fold
from postwren.message.searchtext import NO_TEXT, Needle, Place, SearchText, holds, search_text
from postwren.storage.embedded import EmbeddedStore, Settings, search_index
from postwren.storage.embedded.search_index import SearchIndex
from postwren.terms import AccountId, EmailId
from postwren.testing.contract.scene import Scene

ANN, BEN = AccountId(1), AccountId(2)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SearchIndex]:
    opened = SearchIndex(tmp_path)
    yield opened
    opened.close()


def said(body: str) -> SearchText:
    return SearchText(b"\xffSUBJECT: S", b"", b"\xff" + fold(body))


def body(text: str) -> Needle:
    return Needle(Place.BODY, fold(text))


ALPHABET = st.sampled_from(
    [*"abAB \r\n\"'*^-0", "ä", "Ä", "\u0308", "ß", "я", "中", "文", "\0", "\ufffe", "\uffff", "😀", "AND", "OR", "NEAR("]
)
TEXTS = st.lists(ALPHABET, max_size=12).map("".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(TEXTS, min_size=1, max_size=6), needle=TEXTS, place=st.sampled_from(Place), data=st.data())
def test_it_says_what_the_texts_say(
    index: SearchIndex, bodies: list[str], needle: str, place: Place, data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        whole = fold(data.draw(st.sampled_from(bodies))).decode()
        at = data.draw(st.integers(0, len(whole)))
        needle = whole[at : data.draw(st.integers(at, len(whole)))]
    texts = {
        EmailId(n): SearchText(b"\xffSUBJECT: " + fold(b), fold(b[::-1]), b"\xff" + fold(b)) for n, b in enumerate(bodies, 1)
    }
    wanted = Needle(place, fold(needle), b"SUBJECT")
    index.forget(ANN)
    index.put(ANN, list(texts.items()), (EmailId(len(bodies)), b""))
    among = sorted(data.draw(st.sets(st.sampled_from(list(texts)))))
    assert index.find(ANN, wanted, among) == {each for each in among if holds(texts[each], wanted)}


def test_accounts_do_not_see_each_other(index: SearchIndex) -> None:
    index.put(ANN, [(EmailId(1), said("secret"))], (EmailId(1), b"a"))
    index.put(BEN, [(EmailId(1), said("public")), (EmailId(2), said("secret too"))], (EmailId(2), b"b"))
    assert index.find(ANN, body("SECRET"), [EmailId(1), EmailId(2)]) == {1}
    assert index.find(BEN, body("secret"), [EmailId(1), EmailId(2)]) == {2}
    assert index.progress() == {ANN: (1, b"a"), BEN: (2, b"b")}
    index.forget(ANN)
    assert index.find(BEN, body("secret"), [EmailId(1), EmailId(2)]) == {2}
    assert (index.emails(ANN), index.indexed_up_to(ANN), index.emails(BEN)) == ([], 0, [1, 2])


def test_what_is_forgotten_or_put_again_leaves_no_trace(index: SearchIndex) -> None:
    index.put(ANN, [(EmailId(1), said("first")), (EmailId(2), said("second"))], (EmailId(2), b""))
    index.put(ANN, [(EmailId(1), said("other"))], (EmailId(2), b""))
    index.forget(ANN, [EmailId(2)])
    for text, expected in [("first", set()), ("second", set()), ("other", {1})]:
        assert index.find(ANN, body(text), [EmailId(1)]) == expected
    assert index._rows("SELECT count(*) FROM trigrams") == [(1,)]


def test_a_text_that_is_too_long_is_left_to_those_who_read_messages(index: SearchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "TOO_LONG", 100)
    long, right = SearchText(b"", b"", b"x" * 101), SearchText(b"", b"", b"x" * 100)
    index.put(ANN, [(EmailId(1), long), (EmailId(2), right), (EmailId(3), None)], (EmailId(3), b""))
    assert index.too_long(ANN) == {1, 3}
    assert index.emails(ANN) == [1, 2, 3]
    index.put(ANN, [(EmailId(1), NO_TEXT)], (EmailId(3), b""))
    index.forget(ANN, [EmailId(3)])
    assert index.too_long(ANN) == frozenset()


@pytest.mark.parametrize("damage", ["not a database", "another version", "a table is missing"])
def test_a_file_that_cannot_be_used_is_begun_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "search.db"
    if damage == "not a database":
        path.write_bytes(b"x" * 10_000)
    else:
        first = SearchIndex(tmp_path)
        first.put(ANN, [(EmailId(1), said("old"))], (EmailId(1), b""))
        first.close()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99" if damage == "another version" else "DROP TABLE account")
        connection.close()
    index = SearchIndex(tmp_path)
    assert index.progress() == {}
    index.put(ANN, [(EmailId(1), said("new"))], (EmailId(1), b""))
    assert index.find(ANN, body("new"), [EmailId(1)]) == {1}
    index.close()


def test_it_is_there_after_it_was_closed(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path)
    index.put(ANN, [(EmailId(1), said("kept"))], (EmailId(1), b"id"))
    index.close()
    index = SearchIndex(tmp_path)
    assert index.progress() == {ANN: (1, b"id")}
    assert index.find(ANN, body("kept"), [EmailId(1)]) == {1}
    index.close()


def test_its_faults_are_told_as_such(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path)
    index._reader.execute("DROP TABLE trigrams")
    with pytest.raises(TextIndexFailed):
        index.find(ANN, body("word"), [EmailId(1)])
    with pytest.raises(TextIndexFailed):
        index.put(ANN, [(EmailId(1), said("word"))], (EmailId(1), b""))
    assert index.progress() == {}  # nothing of it was kept
    index.close()


def test_one_that_turns_out_to_be_damaged_is_gone_once_it_is_closed(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path)
    index.put(ANN, [(EmailId(n), said(f"word {n} " * 200)) for n in range(1, 200)], (EmailId(200), b""))
    index.close()
    path = tmp_path / "search.db"
    octets = bytearray(path.read_bytes())
    for at in range(len(octets) // 16384 * 8192, len(octets), 8192):  # not the first ones, which are looked at when it is opened
        octets[at : at + 100] = b"x" * 100
    path.write_bytes(octets)
    index = SearchIndex(tmp_path)
    with pytest.raises(TextIndexFailed):
        index.find(ANN, body("d"), [EmailId(n) for n in range(1, 200)])
    index.close()
    assert not path.exists()


# -- beside a store


class Opener:
    async def open_store(self, path: Path) -> Store:
        return EmbeddedStore(path, settings=Settings(reserve=0))


class Beside:
    """A store with an index beside it."""

    def __init__(self, scene: Scene, path: Path) -> None:
        self.scene = scene
        self.index = SearchIndex(path)
        self.indexer = Indexer(scene.store, self.index, pace=Fast)

    async def found(self, account_id: AccountId, text: str) -> list[int]:
        store = self.scene.store
        account = self.scene.reader.account(account_id)
        assert account is not None
        finder = Finder(store, Keys(store.read_body), self.index)
        return list((await finder.search(account_id, columns_of(self.scene.entries(account)), q.Text(text))).uids)


class Fast(Pace):
    look = wait = rest = trouble = 0.0


async def opened(path: Path) -> Beside:
    return Beside(Scene(Opener(), path / "data", await Opener().open_store(path / "data")), path)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 (threads make it so)
        await asyncio.sleep(0)


def mail(word: str) -> bytes:
    return b"Subject: about %b\r\n\r\ntext\r\n" % word.encode()


def test_it_follows_all_accounts_and_drops_what_is_gone(tmp_path: Path) -> None:
    async def story() -> None:
        here = await opened(tmp_path)
        scene, index = here.scene, here.index
        ann, ben = await scene.account(), await scene.account("ben@example.org")
        await scene.append(ann, mail("apples"), mail("pears"))
        await scene.append(ben, mail("apples"))
        running = asyncio.create_task(here.indexer.run())
        await until(lambda: len(index.progress()) == 2)
        await scene.append(ann, mail("plums"))
        await until(lambda: index.indexed_up_to(ann.account_id) == 3)
        running.cancel()
        assert await here.found(ann.account_id, "APPLES") == [1]
        assert index.find(ann.account_id, Needle(Place.ANYWHERE, fold("plums")), [EmailId(3)]) == {3}

        await scene.perform(expunge(ann.account_id, scene.mailbox(ann).mailbox_id, [(2, 2)], scene.now, only_deleted=False))
        assert await here.indexer.sweep() == 0  # it can be brought back yet
        await scene.perform(end_recovery(ann.account_id, scene.now + 10, 0))
        await scene.perform(remove_account(ben.account_id))
        assert await here.indexer.sweep() == 2
        assert index.emails(ann.account_id) == [1, 3]
        assert list(index.progress()) == [ann.account_id]
        index.close()
        await scene.end()

    asyncio.run(story())


class Once(Fast):
    look = 3_600.0


def test_who_gets_mail_is_indexed_before_the_next_look_at_all_accounts(tmp_path: Path) -> None:
    async def story() -> None:
        here = await opened(tmp_path)
        ann, ben = await here.scene.account(), await here.scene.account("ben@example.org")
        await here.scene.append(ann, mail("apples"))
        here.indexer = Indexer(here.scene.store, here.index, pace=Once)
        running = asyncio.create_task(here.indexer.run())
        async with asyncio.timeout(20):
            await until(lambda: here.index.indexed_up_to(ann.account_id) == 1)
            for number in (1, 2):
                await here.scene.append(ben, mail(f"pears {number}"))
                await until(lambda number=number: here.index.indexed_up_to(ben.account_id) == number)  # type: ignore[misc]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        here.index.close()
        await here.scene.end()

    asyncio.run(story())


def test_it_waits_while_there_are_deliveries(tmp_path: Path) -> None:
    async def story() -> None:
        here = await opened(tmp_path)
        ann = await here.scene.account()
        await here.scene.append(ann, mail("apples"))
        looks: list[bool] = [True] * 50
        here.indexer = Indexer(here.scene.store, here.index, lambda: bool(looks and looks.pop()), Fast)
        running = asyncio.create_task(here.indexer.run())
        await until(lambda: not looks or here.index.progress() != {})
        assert looks == []
        await until(lambda: bool(here.index.progress()))
        running.cancel()
        here.index.close()
        await here.scene.end()

    asyncio.run(story())


def test_the_index_of_another_store_is_dropped_before_anybody_asks_it(tmp_path: Path) -> None:
    async def story() -> None:
        here = await opened(tmp_path)
        scene, index, indexer = here.scene, here.index, here.indexer
        account = await scene.account()
        ann = account.account_id
        await scene.append(account, mail("apples"), mail("pears"))
        await indexer.catch_up(ann)
        assert await indexer.compare() == []
        right = index.progress()[ann]

        index.put(ann, [(EmailId(2), search_text(mail("foreign")))], (EmailId(2), b"another"))
        assert await indexer.compare() == [ann]
        assert await here.found(ann, "foreign") == []
        assert await here.found(ann, "pears") == [2]

        await indexer.catch_up(ann)
        assert index.progress()[ann] == right
        index.put(ann, [(EmailId(3), search_text(mail("later")))], (EmailId(3), b"from a time that never was"))
        index.put(BEN, [(EmailId(1), search_text(mail("nobody's")))], (EmailId(1), b""))
        assert await indexer.compare() == [ann, BEN]
        index.close()
        await scene.end()

    asyncio.run(story())


def test_a_broken_index_takes_no_answer_away(tmp_path: Path) -> None:
    async def story() -> None:
        here = await opened(tmp_path)
        ann = await here.scene.account()
        await here.scene.append(ann, mail("apples"), mail("pears"))
        await here.indexer.catch_up(ann.account_id)
        here.index._reader.execute("DROP TABLE said")
        assert await here.found(ann.account_id, "pears") == [2]
        here.index._reader.execute("DROP TABLE account")
        assert await here.found(ann.account_id, "pears") == [2]
        running = asyncio.create_task(here.indexer.run())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not running.done()
        running.cancel()
        here.index.close()
        await here.scene.end()

    asyncio.run(story())


def test_a_body_that_cannot_be_read_holds_nothing_up(tmp_path: Path) -> None:
    async def story() -> None:
        here = await opened(tmp_path)
        ann = await here.scene.account()
        await here.scene.append(ann, mail("apples"), mail("pears"))
        segment = next((tmp_path / "data" / "segments").iterdir())
        octets = segment.read_bytes()
        segment.write_bytes(octets.replace(b"apples", b"APPLES"))
        assert await here.found(ann.account_id, "apples") == []
        await here.indexer.catch_up(ann.account_id)
        assert await here.found(ann.account_id, "apples") == []
        assert await here.found(ann.account_id, "pears") == [2]
        here.index.close()
        segment.write_bytes(octets)
        await here.scene.end()

    asyncio.run(story())


def test_the_next_emails_are_read_from_where_it_was(tmp_path: Path) -> None:
    async def story() -> None:
        here = await opened(tmp_path)
        ann = await here.scene.account()
        await here.scene.append(ann, *[mail(str(n)) for n in range(5)])

        def unit(reader: Reader) -> list[list[int]]:
            return [[email.email_id for email in reader.emails(ann.account_id, after)] for after in (0, 2, 5, 9)]

        assert await here.scene.store.read(unit) == [[1, 2, 3, 4, 5], [3, 4, 5], [], []]
        here.index.close()
        await here.scene.end()

    asyncio.run(story())


def test_it_leaves_the_room_to_mail(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path, room=1 << 62)
    with pytest.raises(TextIndexFailed):
        index.put(ANN, [(EmailId(1), said("word"))], (EmailId(1), b"content"))
    assert index.indexed_up_to(ANN) == 0
    index.close()
