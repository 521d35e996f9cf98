"""The queue: mail on its way to other hosts."""

import pytest

from postwren.mailstore.invariant import check
from postwren.mailstore.model import Account, ChangeKind
from postwren.mailstore.port import Transaction
from postwren.mailstore.queue import QUEUE_LOGIN, DeliveryState, QueuedMessage, QueuedRecipient
from postwren.mailstore.service.accounts import canonical_login, remove_account, resolve
from postwren.mailstore.service.queue import KEPT_CHANGES, change_recipients, enqueue, queue_mailbox
from postwren.terms import AccountId, Address, ModSeq, Uid
from postwren.testing.contract.scene import Scene, story

__all__ = ["QueueContract"]

DAY = 86_400


def a_message(**change: object) -> QueuedMessage:
    message = QueuedMessage(Uid(0), "ann@example.org", AccountId(1), 1_700_000_000, "e1", "HDRS", "8BITMIME", True, False, b"t")
    return message._replace(**change)  # type: ignore[arg-type]


def a_recipient(number: int, domain: str = "b.example", **change: object) -> QueuedRecipient:
    row = QueuedRecipient(
        *(Uid(0), number, f"r{number}@{domain}", domain, "FAILURE,DELAY", "rfc822;x@y.example"),
        *(DeliveryState.WAITING, 0, 0, 5 * DAY, False, ""),
    )
    return row._replace(**change)  # type: ignore[arg-type]


async def queued(scene: Scene, *recipients: QueuedRecipient, data: bytes = b"Subject: out\r\n\r\nhello\r\n") -> Uid:
    body = scene.body(data)
    return await scene.perform(lambda tx: enqueue(tx, a_message(), recipients, body, scene.now), [body])


def the_queue(scene: Scene) -> Account:
    account = scene.reader.account_by_login(QUEUE_LOGIN)
    assert account is not None
    return account


class QueueContract:
    """Rows of the queue beside their entries."""

    @story
    async def test_a_queued_message_is_an_entry_with_rows_of_the_same_uid(self, scene: Scene) -> None:
        assert queue_mailbox(scene.reader) is None
        uid = await queued(scene, a_recipient(1), a_recipient(2, "c.example", state=DeliveryState.HELD))
        assert scene.contents(the_queue(scene)) == [b"Subject: out\r\n\r\nhello\r\n"]
        assert scene.uids(the_queue(scene)) == [uid] == [1]
        assert queue_mailbox(scene.reader) == (the_queue(scene).account_id, 1)
        assert scene.reader.queued_message(uid) == a_message(uid=uid)
        held = a_recipient(2, "c.example", state=DeliveryState.HELD, uid=uid)
        assert scene.reader.queued_recipients(uid) == [a_recipient(1, uid=uid), held]
        assert scene.reader.queue_size() == (1, 2)
        assert scene.reader.next_due() == [("b.example", 0)]

    @story
    async def test_the_queue_is_no_account_that_anybody_sees(self, scene: Scene) -> None:
        ann = await scene.account()
        await queued(scene, a_recipient(1))
        assert list(scene.reader.accounts()) == [ann]
        assert scene.reader.only_domain() == "example.org"
        assert [row.account_id for row in scene.reader.addresses()] == [ann.account_id]
        assert canonical_login(scene.reader, QUEUE_LOGIN) == f"{QUEUE_LOGIN}@example.org"  # who logs in so is somebody else
        assert resolve(scene.reader, Address(QUEUE_LOGIN, "")) is None

    @story
    async def test_what_is_due_comes_by_domain_the_longest_due_first(self, scene: Scene) -> None:
        for number, (domain, due) in enumerate([("b.example", 30), ("a.example", 20), ("b.example", 10), ("b.example", 40)], 1):
            await queued(scene, a_recipient(number, domain, next_attempt=due))
        await queued(scene, a_recipient(5, "d.example", state=DeliveryState.HELD))
        assert scene.reader.next_due() == [("a.example", 20), ("b.example", 10)]
        assert [row.next_attempt for row in scene.reader.due_recipients("b.example", 30, 10)] == [10, 30]
        assert [row.next_attempt for row in scene.reader.due_recipients("b.example", 99, 2)] == [10, 30]
        assert scene.reader.due_recipients("d.example", 99, 10) == []

    @story
    async def test_what_expires_is_found_and_what_nobody_was_warned_of(self, scene: Scene) -> None:
        await queued(scene, a_recipient(1, expires=100, next_attempt=10**9), a_recipient(2, expires=100, warned=True))
        await queued(scene, a_recipient(3, expires=200), a_recipient(4, expires=50, state=DeliveryState.HELD))
        assert sorted(row.number for row in scene.reader.expiring_recipients("b.example", 100, 9)) == [1, 2]
        assert len(scene.reader.expiring_recipients("b.example", 100, 1)) == 1
        assert scene.reader.expiring_recipients("b.example", 99, 9) == []
        assert [row.number for row in scene.reader.unwarned_recipients("b.example", 201, 9)] == [1, 3]
        assert [row.number for row in scene.reader.unwarned_recipients("b.example", 200, 9)] == [1]

    @story
    async def test_a_message_goes_with_its_last_recipient_and_leaves_nothing_to_recover(self, scene: Scene) -> None:
        uid = await queued(scene, a_recipient(1), a_recipient(2))
        row = a_recipient(2, uid=uid, attempts=1, next_attempt=600, reply="450 4.2.0 later", warned=True)
        assert await scene.perform(lambda tx: change_recipients(tx, [row], [(uid, 1)])) == []
        assert scene.reader.queued_recipients(uid) == [row]
        assert await scene.perform(lambda tx: change_recipients(tx, [], [(uid, 2), (uid, 7)])) == [uid]
        queue = the_queue(scene)
        assert (scene.reader.queued_message(uid), scene.uids(queue), queue.used) == (None, [], 0)
        assert list(scene.reader.emails(queue.account_id)) == []
        assert scene.reader.expunged_since(queue.account_id, scene.mailbox(queue).mailbox_id, ModSeq(0)) == []
        assert await queued(scene, a_recipient(1)) == 2
        kinds = [change.kind for change in scene.reader.changes(queue.account_id, ModSeq(0))]
        assert kinds == [
            *(ChangeKind.MAILBOX_CREATED, ChangeKind.APPENDED, ChangeKind.QUEUE),
            *(ChangeKind.EXPUNGED, ChangeKind.APPENDED),
        ]

    @story
    async def test_subscribers_hear_what_comes_and_changes(self, scene: Scene) -> None:
        uid = await queued(scene, a_recipient(1))
        heard: list[ChangeKind] = []
        subscription = scene.store.subscribe(the_queue(scene).account_id, lambda changes: heard.extend(c.kind for c in changes))
        await queued(scene, a_recipient(1))
        await scene.perform(lambda tx: change_recipients(tx, [a_recipient(1, uid=uid, next_attempt=9)], []))
        assert heard == [ChangeKind.APPENDED, ChangeKind.QUEUE]
        subscription.cancel()

    @story
    async def test_a_unit_that_fails_leaves_the_queue_as_it_was(self, scene: Scene) -> None:
        uid = await queued(scene, a_recipient(1))
        before = the_queue(scene)
        body = scene.body(b"another\r\n")

        def unit(tx: Transaction) -> None:
            tx.put_token(AccountId(1), b"t", 5)
            enqueue(tx, a_message(), [a_recipient(1, "z.example")], body, scene.now)
            change_recipients(tx, [], [(uid, 1)])
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await scene.perform(unit, [body])
        body.discard()
        assert (the_queue(scene), scene.reader.queue_size()) == (before, (1, 1))
        assert scene.reader.next_due() == [("b.example", 0)]
        assert not scene.reader.submission_by_token(AccountId(1), b"t")
        with pytest.raises(KeyError):
            await scene.perform(lambda tx: tx.put_recipients([a_recipient(9, uid=uid)]))

    @story
    async def test_tokens_outlive_their_messages_until_they_are_forgotten(self, scene: Scene) -> None:
        ann, ben = await scene.account(), await scene.account("ben@example.org")
        await scene.perform(lambda tx: tx.put_token(ann.account_id, b"one", 100))
        await scene.perform(lambda tx: tx.put_token(ann.account_id, b"two", 200))
        assert scene.reader.submission_by_token(ann.account_id, b"one")
        assert not scene.reader.submission_by_token(ben.account_id, b"one")
        await scene.perform(lambda tx: tx.forget_tokens(200))
        assert not scene.reader.submission_by_token(ann.account_id, b"one")
        assert scene.reader.submission_by_token(ann.account_id, b"two")
        await scene.perform(remove_account(ann.account_id))
        assert not scene.reader.submission_by_token(ann.account_id, b"two")

    @story
    async def test_a_queue_that_many_messages_pass_does_not_grow(self, scene: Scene) -> None:
        first = await queued(scene, a_recipient(1))
        queue = the_queue(scene)
        step = KEPT_CHANGES // 8

        def burst(tx: Transaction) -> None:  # as many units in one, so that the test is quick
            for _ in range(step):
                change_recipients(tx, [a_recipient(1, uid=first, next_attempt=9)], [])

        for _ in range(26):
            await scene.perform(burst)
            assert len(scene.reader.changes(queue.account_id, ModSeq(0), 10**6)) <= 2 * KEPT_CHANGES + step
        heard = scene.reader.changes(queue.account_id, ModSeq(5))
        assert (heard[0].kind, heard[-1].kind) == (ChangeKind.SKIPPED, ChangeKind.QUEUE)

    @story
    async def test_whatever_is_without_its_counterpart_is_found_by_the_check(self, scene: Scene) -> None:
        uids = [await queued(scene, a_recipient(1), a_recipient(2)) for _ in range(4)]

        def damage(tx: Transaction) -> None:
            tx.delete_queued(uids[0])
            tx.delete_queued(uids[3])
            tx.delete_recipients([(uids[1], 1), (uids[1], 2)])
            tx.insert_queued(a_message(uid=Uid(99)), [a_recipient(1, uid=Uid(99))])

        await scene.perform(damage)
        found = [violation.detail for violation in check(scene.reader) if violation.rule == "queue"]
        for detail in (
            "message 1 has no row",
            "message 2 has no recipient",
            "message 4 has no row",
            "message 99 has a row and no",
        ):
            assert sum(each.startswith(detail) for each in found) == 1, (detail, found)
        assert "4 recipients are of no message" in found

        def repair(tx: Transaction) -> None:
            tx.delete_queued(Uid(99))
            for uid in (uids[0], uids[3]):
                tx.delete_recipients([(uid, 1), (uid, 2)])
                tx.insert_queued(a_message(uid=uid), [a_recipient(1, uid=uid)])
            tx.delete_recipients([(Uid(99), 1)])
            tx.delete_queued(uids[1])
            tx.insert_queued(a_message(uid=uids[1]), [a_recipient(1, uid=uids[1])])

        await scene.perform(repair)
