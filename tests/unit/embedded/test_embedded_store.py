"""The store on disk as a whole: files, modes, the schema, what the spool and the reserve do."""

import asyncio
import errno
import shutil
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from tests.crash.faults import Fault, sqlite_files
from tests.unit.embedded.disk import SMALL, ann, contents, message, put, run

from postwren.mailstore import invariant
from postwren.mailstore.errors import BodyCorrupt, MessageGone, StoreFull
from postwren.mailstore.model import BodyRef
from postwren.mailstore.port import Transaction
from postwren.mailstore.service.deliver import Target, deliver
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck
from postwren.storage.embedded.index import connect
from postwren.storage.embedded.schema import MIGRATIONS, VERSION, SchemaTooNew, domain_tables, queue_tables
from postwren.storage.embedded.volume import Volume


async def nothing(store: EmbeddedStore) -> None:
    pass


def test_what_was_acknowledged_is_there_after_opening_again(tmp_path: Path) -> None:
    async def fill(store: EmbeddedStore) -> None:
        await ann(store)
        await asyncio.gather(*(put(store, message(n)) for n in range(20)))
        await put(store, message(20, 50_000))

    run(fill, tmp_path)

    async def look(store: EmbeddedStore) -> None:
        assert sorted(contents(store)) == sorted([*(message(n) for n in range(20)), message(20, 50_000)])
        assert store.recovery.checked == 0

    run(look, tmp_path)


def test_only_the_owner_may_look_into_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"

    async def fill(store: EmbeddedStore) -> None:
        await put(store, message(1))
        await put(store, message(2, 50_000))
        modes = {path: path.stat().st_mode & 0o777 for path in [data, *data.rglob("*")]}
        assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items()), modes
        assert len(modes) == 8

    run(fill, data)


def test_an_index_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    run(nothing, tmp_path)
    connection = apsw.Connection(str(tmp_path / "index.db"))
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(SchemaTooNew, match="newer Postwren"):
        run(nothing, tmp_path)


def test_an_index_from_before_the_queue_gets_its_tables_and_keeps_its_rows(tmp_path: Path) -> None:
    before = MIGRATIONS.index(queue_tables)
    connection = connect(tmp_path / "index.db", 1.0)
    for migration in MIGRATIONS[:before]:
        migration(connection)
    connection.execute("INSERT INTO account VALUES (1, 'ben@example.org', '[\"hash\", {}]', 7, 0, 1, 1, 1, 0, 0, 0)")
    connection.execute(f"PRAGMA user_version = {before}")
    connection.close()

    async def look(store: EmbeddedStore) -> None:
        assert store.reader.queue_size() == (0, 0)
        assert [account.login for account in store.reader.accounts()] == ["ben@example.org"]

    run(look, tmp_path)


def test_an_index_from_before_the_domains_gets_their_tables(tmp_path: Path) -> None:
    before = MIGRATIONS.index(domain_tables)
    connection = connect(tmp_path / "index.db", 1.0)
    for migration in MIGRATIONS[:before]:
        migration(connection)
    connection.execute("INSERT INTO address VALUES ('example.org', 'ben', 1)")
    connection.execute(f"PRAGMA user_version = {before}")
    connection.close()

    async def look(store: EmbeddedStore) -> None:
        assert store.reader.domains() == []
        assert store.reader.domain_exists("example.org")
        assert not store.reader.domain_exists("example.com")
        row = next(store.reader.addresses())
        await store.perform(lambda tx: tx.delete_address(row.address))  # it reaches no account

    run(look, tmp_path)


def test_segments_rotate_and_are_all_read(tmp_path: Path) -> None:
    async def fill(store: EmbeddedStore) -> None:
        for number in range(30):
            await put(store, message(number, 3_000))
        assert contents(store) == [message(number, 3_000) for number in range(30)]
        assert len(list((tmp_path / "segments").iterdir())) == 5

    run(fill, tmp_path, settings=replace(SMALL, open_segments=2))


def test_a_content_that_the_account_has_costs_no_octets(tmp_path: Path) -> None:
    async def fill(store: EmbeddedStore) -> None:
        for _ in range(3):
            await put(store, message(1))
            await put(store, message(2, 50_000))
        assert list((tmp_path / "spool").iterdir()) == []

    run(fill, tmp_path)
    sizes = sorted(path.stat().st_size for path in (tmp_path / "segments").iterdir())
    assert sizes == [356, 50_056]  # a segment that nobody has open ends with its last message


def test_a_message_of_a_refused_unit_costs_no_octets(tmp_path: Path) -> None:
    async def refuse(store: EmbeddedStore) -> None:
        account = await ann(store)

        def refused(tx: Transaction) -> None:
            deliver([Target(account.account_id)], body, 1)(tx)
            raise RuntimeError

        for size in (300, 50_000):
            writer = store.new_body()
            writer.write(message(1, size))
            body = writer.finish()
            with pytest.raises(RuntimeError):
                await store.perform(refused, (body,))
            body.discard()
        assert contents(store) == []
        assert sum(path.stat().st_size for path in (tmp_path / "segments").iterdir()) == 0
        assert list((tmp_path / "spool").iterdir()) == []

    run(refuse, tmp_path)


def test_what_dead_processes_left_in_the_spool_is_swept_and_the_living_ones_stay(tmp_path: Path) -> None:
    async def first(store: EmbeddedStore) -> None:
        writer = store.new_body()
        writer.write(message(1, 50_000))
        (tmp_path / "spool" / "0123.new").write_bytes(b"left over")
        other = EmbeddedStore(tmp_path, settings=SMALL)
        assert other.recovery.swept == 1
        other.close()
        body = writer.finish()
        account = await ann(store)
        await store.perform(deliver([Target(account.account_id)], body, 1), (body,))
        assert contents(store) == [message(1, 50_000)]

    run(first, tmp_path)


class NearlyFull(Volume):
    def __init__(self) -> None:
        self.space = 1_000_000

    def free(self, path: Path) -> int:
        return self.space


@pytest.mark.parametrize("size", [300, 50_000])
def test_d04_mail_is_refused_below_the_reserve_and_removals_are_not(tmp_path: Path, size: int) -> None:
    volume = NearlyFull()

    async def fill(store: EmbeddedStore) -> None:
        await put(store, message(1, size))
        volume.space -= 1
        with pytest.raises(StoreFull):
            await put(store, message(2, size))
        await store.perform(lambda tx: tx.put_setting("a", b"b"))
        volume.space += 1
        await put(store, message(3, size))
        assert contents(store) == [message(1, size), message(3, size)]

    run(fill, tmp_path, settings=replace(SMALL, reserve=1_000_000), volume=volume)


def test_a_flipped_bit_is_reported_and_never_served(tmp_path: Path) -> None:
    async def damage(store: EmbeddedStore) -> None:
        account = await ann(store)
        await put(store, message(1, 9_000))
        row = store.reader.maildrop_rows(account.account_id, store.reader.mailboxes(account.account_id)[0].mailbox_id)[0]
        ref = BodyRef(row[3], row[4], row[1], row[5])
        with (tmp_path / "segments" / "00000001.seg").open("r+b") as file:
            file.seek(ref.offset + 5_000)
            file.write(b"\x00")
        with pytest.raises(BodyCorrupt):
            store.read_body(ref)
        with pytest.raises(BodyCorrupt):
            list(store.body_pieces(ref))
        assert store.read_body(ref, 0, 10) == message(1)[:10]
        (tmp_path / "segments" / "00000001.seg").rename(tmp_path / "away")
        store._files.close()
        with pytest.raises(BodyCorrupt):
            store.read_body(ref)
        with pytest.raises(MessageGone):
            store.read_body(ref._replace(segment=99))

    run(damage, tmp_path)


def test_idle_moments_fold_the_log_in_although_somebody_listens(tmp_path: Path) -> None:
    async def idle(store: EmbeddedStore) -> None:
        account = await ann(store)
        store.subscribe(account.account_id, lambda changes: None)
        folded = asyncio.Event()
        checkpoint = store._writer._checkpoint

        def noted() -> None:
            checkpoint()
            store._loop.call_soon_threadsafe(folded.set)

        store._writer._checkpoint = noted  # type: ignore[method-assign]
        await put(store, message(1))
        async with asyncio.timeout(5):
            await folded.wait()

    run(idle, tmp_path, settings=replace(SMALL, idle_seconds=0.05, look_seconds=0.01))


def test_the_invariants_read_bodies_inside_a_bulk_read(tmp_path: Path) -> None:
    async def check(store: EmbeddedStore) -> None:
        await put(store, message(1))
        assert await store.read(lambda reader: list(invariant.check(reader, store.body_pieces))) == []

    run(check, tmp_path)


def test_a_store_on_a_full_volume_says_so_when_it_is_opened(tmp_path: Path) -> None:
    fault = Fault("write", 1, errno.ENOSPC, lasts=True)
    fault.is_armed = True
    with sqlite_files(fault) as vfs, pytest.raises(StoreFull):
        run(nothing, tmp_path, vfs=vfs)
    run(nothing, tmp_path)


def test_a_crash_leaves_zeros_that_the_next_message_takes_the_place_of(tmp_path: Path) -> None:
    async def die_with_zeros(store: EmbeddedStore) -> None:
        await put(store, message(1))
        await put(store, b"\0" * 300)  # octets that look like what a segment is filled with
        [path] = (tmp_path / "segments").iterdir()
        assert path.stat().st_size == SMALL.segment_size
        copy.write_bytes(path.read_bytes())

    async def go_on(store: EmbeddedStore) -> None:
        await put(store, message(2))
        assert contents(store) == [message(1), b"\0" * 300, message(2)]

    copy = tmp_path / "copy"
    run(die_with_zeros, tmp_path)
    [path] = (tmp_path / "segments").iterdir()
    path.write_bytes(copy.read_bytes())
    run(go_on, tmp_path)
    disk = DiskCheck(tmp_path)
    assert list(disk.run()) == []
    assert disk.orphan_octets == 0


def test_the_log_gets_its_length_in_an_idle_moment_and_keeps_its_frames(tmp_path: Path) -> None:
    async def idle(store: EmbeddedStore) -> None:
        await put(store, message(1))
        log = tmp_path / "index.db-wal"
        while log.stat().st_size < 500_000:  # noqa: ASYNC110 - the writer's own idle moment
            await asyncio.sleep(0.01)
        await put(store, message(2))
        copied.mkdir()
        for name in ("index.db", "index.db-wal"):  # what a crash would leave
            (copied / name).write_bytes((tmp_path / name).read_bytes())
        shutil.copytree(tmp_path / "segments", copied / "segments")

    async def look(store: EmbeddedStore) -> None:
        assert contents(store) == [message(1), message(2)]

    copied = tmp_path / "copied"
    run(idle, tmp_path, settings=replace(SMALL, idle_seconds=0.05, wal_octets=500_000))
    run(look, copied)
