"""Housekeeping, check and repair."""

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from tests.unit.embedded.disk import SMALL, ann, contents, message, put, run

from postwren.mailstore import invariant
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.housekeeping import RECOVERY_TERM, end_recovery
from postwren.mailstore.service.maildrop import open_maildrop, remove
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck, repair
from postwren.storage.embedded.housekeeping import Housekeeping
from postwren.storage.embedded.volume import Volume

NOW = 1_800_000_000


async def thin_out(store: EmbeddedStore, keep_every: int) -> None:
    """Thirty messages over several segments, most of them removed beyond recovery."""
    account = await ann(store)
    for number in range(30):
        await put(store, message(number, 3_000))
    drop = await open_maildrop(store, account.account_id)
    gone = [uid for index, uid in enumerate(drop.uids) if index % keep_every]
    await store.perform(remove(account.account_id, drop.mailbox_id, gone, NOW - RECOVERY_TERM - 1))
    await store.perform(end_recovery(account.account_id, NOW))


def octets(path: Path) -> int:
    return sum(file.stat().st_size for file in (path / "segments").iterdir())


def test_mostly_empty_segments_are_compacted_and_their_files_go_later(tmp_path: Path) -> None:
    async def keep(store: EmbeddedStore) -> None:
        await thin_out(store, 6)
        kept = [message(number, 3_000) for number in range(0, 30, 6)]
        before = octets(tmp_path)
        report = await store.housekeep(NOW)
        assert (report.compacted, report.deleted, report.corrupt) == (4, 0, 0)
        assert contents(store) == kept
        assert octets(tmp_path) > before
        report = await store.housekeep(NOW + SMALL.retired_seconds)
        assert report.deleted == 4
        assert octets(tmp_path) < before / 2
        assert contents(store) == kept
        assert await store.housekeep(NOW + SMALL.retired_seconds) == Housekeeping()
        assert list(invariant.check(store.reader, store.body_pieces)) == []

    run(keep, tmp_path)
    assert list(DiskCheck(tmp_path).run()) == []


def deleted_and_held() -> list[str]:
    held = [path.readlink().name for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [name for name in held if name.endswith(".seg (deleted)")]


def test_space_of_deleted_segments_is_free_at_once(tmp_path: Path) -> None:
    """They were held open, up to 128 of 64 MB."""

    async def keep(store: EmbeddedStore) -> None:
        await thin_out(store, 6)
        assert await store.read(lambda reader: list(invariant.check(reader, store.body_pieces))) == []
        assert len(contents(store)) == 5
        await store.housekeep(NOW)
        assert (await store.housekeep(NOW + SMALL.retired_seconds)).deleted == 4
        assert deleted_and_held() == []

    run(keep, tmp_path)


def test_a_reader_of_old_rows_still_reads_a_retired_segment(tmp_path: Path) -> None:
    async def keep(store: EmbeddedStore) -> None:
        await thin_out(store, 6)
        drop = await open_maildrop(store, (await ann(store)).account_id)
        await store.housekeep(NOW)
        assert store.read_body(drop.body(1)) == message(6, 3_000)

    run(keep, tmp_path)


def test_a_kill_between_any_two_steps_of_compaction_loses_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    copies: list[Path] = []

    async def keep(store: EmbeddedStore) -> None:
        await thin_out(store, 6)
        perform = store.perform

        def snap() -> None:
            copies.append(tmp_path / f"killed{len(copies)}")
            shutil.copytree(data, copies[-1], ignore=shutil.ignore_patterns("*-shm"))

        async def watched(*arguments: object) -> object:
            snap()  # the copy is synced in the spool, and no row names it
            result: object = await perform(*arguments)  # type: ignore[arg-type]
            snap()
            return result

        store.perform = watched  # type: ignore[method-assign, assignment]
        await store.housekeep(NOW)
        await store.housekeep(NOW + SMALL.retired_seconds)

    run(keep, data)
    assert len(copies) == 24
    for copy in copies:

        async def look(store: EmbeddedStore) -> None:
            assert contents(store) == [message(number, 3_000) for number in range(0, 30, 6)]
            await store.housekeep(NOW)
            await store.housekeep(NOW + SMALL.retired_seconds)
            assert contents(store) == [message(number, 3_000) for number in range(0, 30, 6)]

        run(look, copy)
        assert list(DiskCheck(copy).run()) == []


def test_a_segment_with_a_bad_record_is_left_alone(tmp_path: Path) -> None:
    async def keep(store: EmbeddedStore) -> None:
        await thin_out(store, 6)
        with (tmp_path / "segments" / "00000001.seg").open("r+b") as file:
            file.seek(100)
            file.write(b"\x00")
        assert (await store.housekeep(NOW)).corrupt == 1
        assert (tmp_path / "segments" / "00000001.seg").exists()

    run(keep, tmp_path)
    assert [finding.rule for finding in DiskCheck(tmp_path).run()] == ["body"]


def test_files_that_no_row_names_are_swept_after_a_week(tmp_path: Path) -> None:
    async def keep(store: EmbeddedStore) -> None:
        orphan = tmp_path / "segments" / "00000777.seg"
        orphan.write_bytes(b"x" * 100)
        os.utime(orphan, (NOW, NOW))
        check = DiskCheck(tmp_path)
        assert list(check.run()) == []
        assert (check.orphan_files, check.orphan_octets) == (1, 100)
        await store.housekeep(NOW + SMALL.orphan_seconds)
        assert orphan.exists()
        await store.housekeep(NOW + SMALL.orphan_seconds + 1)
        assert not orphan.exists()

    run(keep, tmp_path)


def test_a_file_whose_rows_are_about_to_be_committed_is_not_swept(tmp_path: Path) -> None:
    """However old a clock that jumped makes it look."""

    async def keep(store: EmbeddedStore) -> None:
        path = tmp_path / "segments" / "00000777.seg"
        fd = Volume().create(path)
        await store.housekeep(NOW * 2)
        assert path.exists()
        os.close(fd)
        await store.housekeep(NOW * 2)
        assert not path.exists()

    run(keep, tmp_path)


def test_check_finds_a_missing_file_and_a_short_one(tmp_path: Path) -> None:
    async def fill(store: EmbeddedStore) -> None:
        for number in range(9):
            await put(store, message(number, 3_000))

    run(fill, tmp_path)
    os.truncate(tmp_path / "segments" / "00000001.seg", 9_000)
    (tmp_path / "segments" / "00000002.seg").unlink()
    findings = list(DiskCheck(tmp_path).run())
    assert {finding.rule for finding in findings} == {"segment", "body"}
    assert len([finding for finding in findings if finding.rule == "segment"]) == 2


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE mailbox SET messages = messages + 1",
        "UPDATE mailbox SET unseen = 0, size = 7",
        "UPDATE account SET used = 0",
        "UPDATE email SET refs = refs + 1",
        "UPDATE mailbox SET uidnext = 1",
        "UPDATE account SET next_email_id = 1",
    ],
)
def test_repair_puts_counters_right_beside_a_running_server(tmp_path: Path, damage: str) -> None:
    async def fill(store: EmbeddedStore) -> None:
        for number in range(3):
            await put(store, message(number))
        connection = apsw.Connection(str(tmp_path / "index.db"))
        connection.execute(damage)
        connection.close()
        assert await asyncio.to_thread(repair, tmp_path)
        assert list(invariant.check(store.reader, store.body_pieces)) == []
        assert await asyncio.to_thread(repair, tmp_path) == []
        assert (await put(store, message(4))).uid == 4
        assert list(invariant.check(store.reader, store.body_pieces)) == []

    run(fill, tmp_path, settings=replace(SMALL, idle_seconds=60.0))


def test_the_hole_before_a_long_message_costs_no_space_and_is_no_orphan(tmp_path: Path) -> None:
    """Its beginning was shorter than the room that was left for it."""
    whole = message(1, 50_000)

    async def deliver_late(store: EmbeddedStore) -> None:
        account = await ann(store)
        writer = store.new_body(64 * 1024)
        writer.write(whole[100:])
        body = writer.finish(whole[:100])
        await store.perform(deliver([Target(account.account_id)], body, NOW), [body])
        assert contents(store) == [whole]

    async def keep(store: EmbeddedStore) -> None:
        assert contents(store) == [whole]
        await store.housekeep(NOW)  # less than half of the file's length is the message
        assert contents(store) == [whole]
        await store.housekeep(NOW + SMALL.retired_seconds)
        assert contents(store) == [whole]
        assert list(invariant.check(store.reader, store.body_pieces)) == []

    run(deliver_late, tmp_path)
    (file,) = [path for path in (tmp_path / "segments").iterdir() if path.stat().st_size]
    assert file.stat().st_blocks * 512 < 65_536
    disk = DiskCheck(tmp_path)
    assert (list(disk.run()), disk.orphan_octets) == ([], 0)
    run(keep, tmp_path)
