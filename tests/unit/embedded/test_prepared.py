"""Short units run on the loop's thread, and are made durable on the writer's; what is out of the ordinary is all the writer's."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from tests.unit.embedded.disk import SMALL, ann, contents, message, put, run

from postwren.mailstore.model import Account
from postwren.mailstore.port import Transaction
from postwren.mailstore.service.deliver import Target, deliver
from postwren.storage.embedded import EmbeddedStore, writer

CALM = replace(SMALL, idle_seconds=60.0, look_seconds=60.0)


async def put_and_tell(store: EmbeddedStore, data: bytes, also: Callable[[], object] = lambda: None) -> int:
    """Deliver to ann; the thread on which the unit ran. `also` is called at the unit's end."""
    account = await ann(store)
    new = store.new_body()
    new.write(data)
    body = new.finish()
    unit = deliver([Target(account.account_id)], body, 1_700_000_000)

    def told(tx: Transaction) -> int:
        unit(tx)
        also()
        return threading.get_ident()

    return await store.perform(told, (body,))


def test_short_deliveries_and_a_few_rows_run_on_the_loop_and_anything_else_off_it(tmp_path: Path) -> None:
    async def tell(store: EmbeddedStore) -> None:
        here = threading.get_ident()
        await put(store, message(0))  # the first one needs a segment
        assert await put_and_tell(store, message(1)) == here
        assert await put_and_tell(store, message(2, 30_000)) != here
        assert await store.perform(lambda tx: threading.get_ident()) != here
        assert await store.perform(lambda tx: threading.get_ident(), is_small=True) == here
        assert await put_and_tell(store, message(3)) == here
        assert contents(store) == [message(0), message(1), message(2, 30_000), message(3)]

    run(tell, tmp_path, settings=CALM)


def test_units_that_were_slow_run_off_the_loop_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(store: EmbeddedStore) -> None:
        await put(store, message(0))
        monkeypatch.setattr(writer, "SLOW", 0.0)
        assert await put_and_tell(store, message(1)) == threading.get_ident()
        assert await put_and_tell(store, message(2)) != threading.get_ident()

    run(tell, tmp_path, settings=CALM)


def test_the_loop_waits_for_no_other_process(tmp_path: Path) -> None:
    async def deliver_beside_a_lock(store: EmbeddedStore) -> None:
        await put(store, message(0))
        other = apsw.Connection(str(tmp_path / "index.db"))
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(put_and_tell(store, message(1)))
        for _ in range(5):  # turns of the loop, which the lock's holder needs to go on
            await asyncio.sleep(0)
        assert not waiting.done()
        other.execute("ROLLBACK")
        other.close()
        assert await waiting != threading.get_ident()
        assert contents(store) == [message(0), message(1)]

    run(deliver_beside_a_lock, tmp_path, settings=CALM)


def test_a_unit_that_raises_after_it_wrote_takes_nobody_of_its_group_along(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def deliver_together(store: EmbeddedStore) -> None:
        await put(store, message(0))
        outcomes = await asyncio.gather(
            put_and_tell(store, message(1)),
            put_and_tell(store, message(2), fail),
            put_and_tell(store, message(3)),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [int, ZeroDivisionError, int]
        assert contents(store) == [message(0), message(1), message(3)]

    run(deliver_together, tmp_path, settings=CALM)


def test_more_than_the_loop_takes_at_once_are_all_kept_in_order(tmp_path: Path) -> None:
    async def deliver_many(store: EmbeddedStore) -> None:
        account: Account = await ann(store)
        assert account.used == 0
        messages = [message(number) for number in range(2 * writer.PREPARED_UNITS + 3)]
        await asyncio.gather(*(put(store, data) for data in messages))
        assert contents(store) == messages

    run(deliver_many, tmp_path, settings=CALM)


def test_what_is_queued_behind_a_group_that_is_being_kept_is_kept_when_the_store_closes(tmp_path: Path) -> None:
    async def close_at_once() -> list[int | BaseException]:
        store = EmbeddedStore(tmp_path, settings=CALM)
        await put(store, message(0))
        first = [asyncio.ensure_future(put(store, message(number))) for number in (1, 2)]
        await asyncio.sleep(0)  # queued
        await asyncio.sleep(0)  # prepared
        second = asyncio.ensure_future(put(store, message(3)))
        await asyncio.sleep(0)
        store.close()
        return [delivered.uid for delivered in await asyncio.gather(*first, second)]

    assert asyncio.run(close_at_once()) == [2, 3, 4]

    async def look(store: EmbeddedStore) -> None:
        assert contents(store) == [message(number) for number in range(4)]

    run(look, tmp_path)
