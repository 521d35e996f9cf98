"""The port itself: units of work, the change feed, bodies, closing."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from postwren.mailstore.errors import BodyCorrupt, OverQuota, StoreClosed
from postwren.mailstore.model import Change, ChangeKind
from postwren.mailstore.port import Transaction
from postwren.mailstore.service.accounts import set_credentials
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.terms import FlagSetId, ModSeq, Uid
from postwren.testing.contract.scene import NOBODY, Scene, dump, story

__all__ = ["StoreContract"]

SIZES = (0, 1, 1000, 70_000, 3_000_000)


class StoreContract:
    """What the port promises whoever uses it."""

    @story
    async def test_a_unit_that_raises_changes_nothing(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.deliver(ann, b"one\r\n")
        before = dump(scene.reader, ann.account_id)
        body = scene.body(b"two\r\n")

        def unit(tx: Transaction) -> None:
            deliver([Target(ann.account_id)], body, scene.now)(tx)
            create_mailbox(ann.account_id, "Archive/2024", scene.now)(tx)
            expunge(ann.account_id, scene.mailbox(ann).mailbox_id, None, scene.now, only_deleted=False)(tx)
            tx.flagset_id(ann.account_id, frozenset({"new"}))
            tx.put_setting("name", b"value")
            raise OverQuota(1, 2)

        with pytest.raises(OverQuota):
            await scene.perform(unit, [body])
        body.discard()
        assert dump(scene.reader, ann.account_id) == before
        assert scene.reader.setting("name") is None

    @story
    async def test_a_refusal_does_not_undo_its_neighbours_in_the_group(self, scene: Scene) -> None:
        ann = await scene.account(quota=10)
        bodies = [scene.body(data) for data in (b"one\r\n", b"far too long\r\n", b"two\r\n")]
        units = [scene.perform(deliver([Target(ann.account_id)], body, scene.now), [body]) for body in bodies]
        outcomes = await asyncio.gather(*units, return_exceptions=True)
        assert [isinstance(outcome, OverQuota) for outcome in outcomes] == [False, True, False]
        assert scene.contents(ann) == [b"one\r\n", b"two\r\n"]
        assert scene.uids(ann) == [1, 2]
        bodies[1].discard()

    @story
    async def test_done_is_called_after_write_returned_and_in_order(self, scene: Scene) -> None:
        calls: list[object] = []
        told = asyncio.Event()

        def done(result: object, error: BaseException | None) -> None:
            calls.append(result or error)
            if len(calls) == 4:
                told.set()

        def fail(tx: Transaction) -> None:
            raise fault

        fault = ValueError("a bug in a unit")
        scene.store.write(lambda tx: "first", (), done)
        scene.store.write(fail, (), done)
        scene.store.write(lambda tx: "third", (), done)
        calls.append("written")
        await told.wait()
        assert calls == ["written", "first", fault, "third"]

    @story
    async def test_a_unit_sees_its_own_effects(self, scene: Scene) -> None:
        ann = await scene.account()
        bodies = [scene.body(b"same\r\n"), scene.body(b"same\r\n")]

        def unit(tx: Transaction) -> list[Uid]:
            for body in bodies:
                deliver([Target(ann.account_id)], body, scene.now)(tx)
            inbox = tx.mailbox(ann.account_id, scene.mailbox(ann).mailbox_id)
            assert inbox is not None
            assert inbox.messages == 2
            assert len(tx.maildrop_rows(ann.account_id, inbox.mailbox_id)) == 2
            assert len(list(tx.emails(ann.account_id))) == 1
            assert tx.changes(ann.account_id, ModSeq(0))[-1].uid_hi == 2
            return [entry.uid for entry in tx.entries(ann.account_id, inbox.mailbox_id)]

        assert await scene.perform(unit, bodies) == [1, 2]

    @story
    async def test_the_reader_sees_what_is_committed_when_done_is_called(self, scene: Scene) -> None:
        ann = await scene.account()
        for number in range(1, 20):
            await scene.deliver(ann, b"%d\r\n" % number)
            assert scene.mailbox(ann).messages == number
            assert await scene.store.read(lambda r: r.mailbox(ann.account_id, ann.next_mailbox_id)) is None
            assert len(await scene.store.read(lambda r: r.changes(ann.account_id, ModSeq(0)))) == number + 1

    @story
    async def test_a_cancelled_wait_does_not_undo_the_unit(self, scene: Scene) -> None:
        ann = await scene.account()
        task = asyncio.ensure_future(scene.perform(create_mailbox(ann.account_id, "Kept", scene.now)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await scene.perform(lambda tx: None)
        assert scene.mailbox(ann, "Kept").messages == 0

    @story
    async def test_changes_are_published_before_done_and_in_commit_order(self, scene: Scene) -> None:
        ann, ben = await scene.account(), await scene.account("ben@example.org")
        heard: list[Change] = []
        scene.store.subscribe(ann.account_id, heard.extend)
        for number in range(5):
            done = await scene.deliver(ann, b"%d\r\n" % number)
            assert heard[-1] == Change(
                ann.account_id, ModSeq(number + 2), ChangeKind.APPENDED, done.mailbox_id, done.uid, done.uid
            )
            await scene.deliver(ben, b"%d\r\n" % number)
        assert heard == scene.reader.changes(ann.account_id, ModSeq(1))

    @story
    async def test_a_failed_unit_publishes_nothing_and_a_cancelled_subscription_hears_nothing(self, scene: Scene) -> None:
        ann = await scene.account(quota=10)
        heard: list[Sequence[Change]] = []
        subscription = scene.store.subscribe(ann.account_id, heard.append)
        with pytest.raises(OverQuota):
            await scene.deliver(ann, b"far too long\r\n")
        assert heard == []
        subscription.cancel()
        subscription.cancel()
        await scene.deliver(ann, b"short\r\n")
        assert heard == []

    @story
    async def test_a_subscriber_that_raises_hurts_nobody_and_is_reported(self, scene: Scene) -> None:
        ann = await scene.account()
        reported: list[dict[str, Any]] = []
        heard: list[Change] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

        def raising(changes: Sequence[Change]) -> None:
            raise ValueError("a bug in a subscriber")

        scene.store.subscribe(ann.account_id, raising)
        scene.store.subscribe(ann.account_id, heard.extend)
        await scene.deliver(ann)
        assert len(heard) == len(reported) == 1

    @story
    async def test_the_feed_never_cuts_a_modseq(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        await scene.append(ann, *[b"%d\r\n" % n for n in range(10)])
        await scene.perform(  # one ModSeq, five ranges
            expunge(ann.account_id, inbox.mailbox_id, [(n, n) for n in range(1, 10, 2)], scene.now, only_deleted=False)
        )
        assert [c.modseq for c in scene.reader.changes(ann.account_id, ModSeq(0), 1)] == [1]
        assert [c.modseq for c in scene.reader.changes(ann.account_id, ModSeq(1), 2)] == [2, 3, 3, 3, 3, 3]
        assert scene.reader.changes(ann.account_id, ModSeq(3)) == []

    @story
    async def test_bodies_come_back_byte_for_byte_whatever_the_cut(self, scene: Scene) -> None:
        ann = await scene.account()
        for size in SIZES:
            data = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000) or b"x" * size
            for step in (max(size, 1), max(size // 7, 1)):
                writer = scene.store.new_body()
                for start in range(0, size, step):
                    writer.write(data[start : start + step])
                assert writer.size == size
                body = writer.finish()
                assert body.size == size
                assert body.content_id == hashlib.sha256(data).digest()
                done = (await scene.perform(deliver([Target(ann.account_id)], body, scene.now), [body]))[0]
                email = scene.reader.email(ann.account_id, done.email_id)
                assert email is not None
                assert scene.store.read_body(email.body) == data
                assert b"".join(scene.store.body_pieces(email.body)) == data
                assert all(0 < len(piece) <= 1 << 20 for piece in scene.store.body_pieces(email.body))
                assert scene.store.read_body(email.body, size // 3, 10) == data[size // 3 :][:10]
                assert scene.store.read_body(email.body, size // 3) == data[size // 3 :]
                assert scene.store.read_body(email.body, size + 5, 10) == b""

    @story
    async def test_what_is_known_last_may_stand_in_front(self, scene: Scene) -> None:
        ann = await scene.account()
        for size in SIZES:
            for prefix in (b"", b"Top: 1\r\n\r\n", b"Top: 2\r\n" * 90):
                data = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000) or b"x" * size
                writer = scene.store.new_body(1000)
                writer.write(data[: size // 2])
                writer.write(data[size // 2 :])
                body = writer.finish(prefix)
                assert body.size == len(prefix) + size
                done = (await scene.perform(deliver([Target(ann.account_id)], body, scene.now), [body]))[0]
                email = scene.reader.email(ann.account_id, done.email_id)
                assert email is not None
                assert email.content_id == hashlib.sha256(prefix + data).digest()
                assert scene.store.read_body(email.body) == prefix + data

    @story
    async def test_more_than_there_is_room_for_does_not_come_in_front(self, scene: Scene) -> None:
        for room, prefix in ((0, b"x"), (5, b"123456")):
            writer = scene.store.new_body(room)
            with pytest.raises(ValueError, match="room"):
                writer.finish(prefix)
            writer.discard()

    @story
    async def test_a_line_in_front_that_begins_with_a_dot_is_seen(self, scene: Scene) -> None:
        for prefix, data, expected in [
            (b".a\r\n", b"", True),
            (b"a\n.b\n", b"", True),
            (b"a\n", b".", True),
            (b"a.\n", b"a", False),
        ]:
            for size in (0, max(SIZES)):
                writer = scene.store.new_body(100)
                writer.write(data + b"x" * size)
                body = writer.finish(prefix)
                assert body.has_dot_line is expected, (prefix, data, size)
                body.discard()

    @story
    async def test_neighbours_are_read_together(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.append(ann, *[b"message %d\r\n" % n for n in range(10)])
        emails = sorted(scene.reader.emails(ann.account_id), key=lambda email: email.body)
        offset, octets = scene.store.read_window(emails[0].body, 100_000)
        for email in emails:
            start = email.body.offset - offset
            assert octets[start : start + email.body.size].startswith(b"message ")

    @story
    async def test_a_line_that_begins_with_a_dot_is_seen_whatever_the_cut(self, scene: Scene) -> None:
        for data, expected in [
            (b".", True),
            (b"a\r\n.b\r\n", True),
            (b"a\n.b", True),
            (b"a.b\r\n", False),
            (b"a\r.b", False),
            (b"a\r\n\r\nb.\r\n", False),
            (b"", False),
        ]:
            for step in (1, 2, 3, 100):
                writer = scene.store.new_body()
                for start in range(0, len(data), step):
                    writer.write(data[start : start + step])
                body = writer.finish()
                assert body.has_dot_line is expected, (data, step)
                body.discard()

    @story
    async def test_what_is_discarded_leaves_nothing_and_may_be_discarded_twice(self, scene: Scene) -> None:
        for size in SIZES:
            writer = scene.store.new_body()
            writer.write(b"x" * size)
            writer.discard()
            writer.discard()
            body = scene.body(b"x" * size)
            body.discard()
            body.discard()

    @story
    async def test_octets_that_do_not_match_their_checksum_never_look_complete(self, scene: Scene) -> None:
        ann = await scene.account()
        done = await scene.deliver(ann, b"x" * 2_500_000)
        email = scene.reader.email(ann.account_id, done.email_id)
        assert email is not None
        bad = email.body._replace(crc=email.body.crc ^ 1)
        with pytest.raises(BodyCorrupt):
            scene.store.read_body(bad)
        got: list[bytes] = []
        with pytest.raises(BodyCorrupt):
            got.extend(scene.store.body_pieces(bad))
        assert sum(map(len, got)) < bad.size

    @story
    async def test_a_unit_that_failed_may_be_tried_again_with_the_same_body(self, scene: Scene) -> None:
        ann, ben = await scene.account(quota=3), await scene.account("ben@example.org")
        for data in (b"hello\r\n", b"x" * 3_000_000):
            body = scene.body(data)
            with pytest.raises(OverQuota):
                await scene.perform(deliver([Target(ben.account_id), Target(ann.account_id)], body, scene.now), [body])
            await scene.perform(deliver([Target(ben.account_id)], body, scene.now), [body])
        assert scene.contents(ben) == [b"hello\r\n", b"x" * 3_000_000]

    @story
    async def test_settings_and_credentials_are_replaced_whole(self, scene: Scene) -> None:
        assert scene.reader.setting("identity") is None
        for value in (b"one", b"\0two\xff", b""):
            await scene.perform(_put("identity", value))
            assert scene.reader.setting("identity") == value
        ann = await scene.account()
        other = NOBODY.__class__("$argon2id$...", {})
        await scene.perform(set_credentials(ann.account_id, other))
        assert scene.row(ann) == ann._replace(credentials=other)

    @story
    async def test_entries_are_found_by_ranges_in_ascending_order(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        await scene.append(ann, *[b"%d\r\n" % n for n in range(20)])
        await scene.perform(expunge(ann.account_id, inbox.mailbox_id, [(5, 8)], scene.now, only_deleted=False))
        for ranges, expected in [
            ([(1, 2)], [1, 2]),
            ([(4, 9)], [4, 9]),
            ([(3, 3), (6, 6), (10, 11)], [3, 10, 11]),
            ([(19, 2**32 - 1)], [19, 20]),
            ([(21, 30)], []),
            ([], []),
            ([(n, n) for n in range(1, 5000, 2)], [1, 3, 9, 11, 13, 15, 17, 19]),
        ]:
            found = scene.reader.entries(ann.account_id, inbox.mailbox_id, ranges)
            assert [entry.uid for entry in found] == expected

    @story
    async def test_a_thousand_keywords_are_interned(self, scene: Scene) -> None:
        ann = await scene.account()
        sets = [frozenset({"\\Seen", f"keyword-{number}"}) for number in range(1000)]

        def unit(tx: Transaction) -> list[FlagSetId]:
            return [tx.flagset_id(ann.account_id, flags) for flags in sets]

        ids = await scene.perform(unit)
        assert ids == await scene.perform(unit)
        assert len(set(ids)) == 1000
        assert [scene.reader.flagset(ann.account_id, flagset_id) for flagset_id in ids] == sets
        assert scene.reader.flagset(ann.account_id, FlagSetId(0)) == frozenset()
        with pytest.raises(KeyError):
            scene.reader.flagset(ann.account_id, FlagSetId(max(ids) + 1))

    @story
    async def test_emails_are_streamed_in_order(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.append(ann, *[b"%d\r\n" % n for n in range(50)])
        ids = [email.email_id for email in scene.reader.emails(ann.account_id)]
        assert all(a < b for a, b in pairwise(ids))
        assert len(ids) == 50
        for at in (0, 30, 49):
            assert [email.email_id for email in scene.reader.emails(ann.account_id, ids[at])] == ids[at + 1 :]

    @story
    async def test_a_closing_store_finishes_what_is_queued_and_refuses_the_rest(self, scene: Scene) -> None:
        ann = await scene.account()
        calls: list[object] = []
        scene.store.write(create_mailbox(ann.account_id, "Queued", scene.now), (), _note(calls))
        scene.store.close()
        scene.store.close()
        scene.is_open = False
        scene.store.write(lambda tx: None, (), _note(calls))
        for _ in range(10):
            await asyncio.sleep(0)
        assert getattr(calls[0], "name", None) == "Queued"
        assert isinstance(calls[1], StoreClosed)
        with pytest.raises(StoreClosed):
            await scene.perform(lambda tx: None)
        with pytest.raises(StoreClosed):
            await scene.store.read(lambda reader: None)


def _put(name: str, value: bytes) -> Callable[[Transaction], None]:
    return lambda tx: tx.put_setting(name, value)


def _note(calls: list[object]) -> Callable[[object, BaseException | None], None]:
    return lambda result, error: calls.append(result if error is None else error)
