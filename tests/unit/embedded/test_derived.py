"""What is derived may be lost, damaged or from another life: the store answers as before, or says that it must render again."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path

import apsw
import pytest

from postwren.mailstore.digester import Digester
from postwren.mailstore.model import Credentials
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.deliver import Target, deliver
from postwren.message import digest as renderer
from postwren.storage.embedded import EmbeddedStore, Settings, derived
from postwren.terms import AccountId

ANN = AccountId(1)
SETTINGS = Settings(reserve=0, idle_seconds=0.01)


async def put(store: EmbeddedStore, subject: bytes) -> None:
    writer = store.new_body()
    writer.write(b"Subject: %b\r\n\r\n" % subject)
    body = writer.finish()
    await store.perform(deliver([Target(ANN)], body, 1_700_000_000), [body])


def subjects(store: EmbeddedStore, *ids: int) -> list[str | None]:
    rows = store.digests.columns(ANN, ids, ("subject",))
    return [None if row is None else row[0] for row in rows]


def play(path: Path, act: Callable[[EmbeddedStore], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        store = EmbeddedStore(path, settings=SETTINGS)
        try:
            await act(store)
        finally:
            store.close()

    asyncio.run(run())


async def begin(store: EmbeddedStore) -> None:
    await store.perform(create_account("ann@example.org", Credentials("", {}), 1_700_000_000))
    for subject in (b"one", b"two"):
        await put(store, subject)
    await Digester(store, lambda: 0.0).ensure(ANN, [1, 2])
    assert subjects(store, 1, 2) == ["one", "two"]


async def renders_again(store: EmbeddedStore) -> None:
    assert subjects(store, 1, 2) == [None, None]
    rows = await Digester(store, lambda: 0.0).ensure(ANN, [1, 2])
    assert sorted(row.subject for row in rows.values()) == ["one", "two"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    play(path, begin)
    return path


def test_rows_are_there_after_a_restart_and_for_nobody_else_to_read(data: Path) -> None:
    async def act(store: EmbeddedStore) -> None:
        assert store.digests.column(ANN, [1, 2], "body") == store.digests.column(ANN, [2, 1], "body")
        assert subjects(store, 1, 2) == ["one", "two"]

    play(data, act)
    assert (data / "derived.db").stat().st_mode & 0o077 == 0


def test_the_database_may_be_deleted(data: Path) -> None:
    (data / "derived.db").unlink()
    play(data, renders_again)


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_database_that_is_damaged_is_begun_again(data: Path, damage: bytes) -> None:
    (data / "derived.db").write_bytes(damage)

    async def act(store: EmbeddedStore) -> None:
        await renders_again(store)
        await Digester(store, lambda: 0.0).ensure(ANN, [1, 2])
        assert subjects(store, 1, 2) == ["one", "two"]

    play(data, act)


def test_damage_under_a_running_server_costs_rendering_and_nothing_else(data: Path) -> None:
    async def act(store: EmbeddedStore) -> None:
        with (data / "derived.db").open("r+b") as file:
            file.seek(0)
            file.write(b"\xff" * 50_000)
        store.digests.put([])
        await store.read(lambda _: store.digests.missing(ANN, [1, 2]))
        rows = await Digester(store, lambda: 0.0).ensure(ANN, [1, 2])
        assert {row.subject for row in rows.values()} <= {"one", "two"}
        assert set(subjects(store, 1, 2)) <= {"one", "two", None}

    play(data, act)
    play(data, _any_state)


async def _any_state(store: EmbeddedStore) -> None:
    await Digester(store, lambda: 0.0).ensure(ANN, [1, 2])
    assert subjects(store, 1, 2) == ["one", "two"]


def test_a_restored_backup_is_not_answered_with_the_messages_of_another_life(tmp_path: Path) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"

    async def first(store: EmbeddedStore) -> None:
        await store.perform(create_account("ann@example.org", Credentials("", {}), 1_700_000_000))
        await put(store, b"one")

    async def second(store: EmbeddedStore) -> None:
        await put(store, b"lost")
        await Digester(store, lambda: 0.0).ensure(ANN, [1, 2])
        assert subjects(store, 1, 2) == ["one", "lost"]

    async def third(store: EmbeddedStore) -> None:
        await put(store, b"other")  # the id of the one that was lost
        assert subjects(store, 1, 2) == ["one", None]
        assert store.digests.column(ANN, [1, 2], "envelope")[1] is None
        await Digester(store, lambda: 0.0).ensure(ANN, [1, 2])
        assert subjects(store, 1, 2) == ["one", "other"]

    play(data, first)
    shutil.copytree(data, backup)
    play(data, second)
    shutil.copy(data / "derived.db", backup)  # the newest of everything that need not be backed up
    play(backup, third)


def test_rows_of_another_renderer_are_missing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "VERSION", renderer.VERSION + 1)
    play(data, renders_again)
    monkeypatch.undo()
    play(data, renders_again)


def test_a_table_of_another_layout_is_begun_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "LAYOUT", 99)
    play(data, renders_again)


def test_a_volume_that_takes_nothing_does_not_keep_a_fetch_from_its_answer(tmp_path: Path) -> None:
    async def act(store: EmbeddedStore) -> None:
        await store.perform(create_account("ann@example.org", Credentials("", {}), 1_700_000_000))
        await put(store, b"one")
        await put(store, b"two")
        other = apsw.Connection(str(tmp_path / "derived.db"))  # one that never gives it back
        monkey = pytest.MonkeyPatch()
        monkey.setattr(derived, "LOCK_MILLISECONDS", 1)
        assert store.digests.missing(ANN, [1]) == [1]
        other.execute("BEGIN IMMEDIATE")
        try:
            rows = await Digester(store, lambda: 0.0).ensure(ANN, [1, 2])
        finally:
            monkey.undo()
            other.execute("ROLLBACK")
            other.close()
        assert sorted(row.subject for row in rows.values()) == ["one", "two"]
        assert subjects(store, 1, 2) == [None, None]

    play(tmp_path, act)
