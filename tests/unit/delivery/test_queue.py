"""The queue's units of work: what is accepted, what attempts bring, who hears of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.embedded.disk import SMALL

from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.envelope import Elsewhere, Envelope, Recipient
from postwren.delivery.queue import (
    Accept,
    Concluder,
    Notice,
    Report,
    accept,
    drop,
    hold,
    plan,
    read_clock,
    retry,
    save_clock,
    send_report,
    write,
)
from postwren.delivery.report import Reporter
from postwren.delivery.retry import QueueClock, SavedClock, Schedule
from postwren.delivery.status import Action
from postwren.mailstore.errors import OverQuota
from postwren.mailstore.model import Account
from postwren.mailstore.port import NewBody, Store, Transaction, Unit
from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient
from postwren.mailstore.service.accounts import remove_account
from postwren.message.date import format_date
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.memory import MemoryStore
from postwren.terms import AccountId, Address, Uid
from postwren.testing.contract.scene import Scene

T = TypeVar("T")
SCHEDULE = Schedule()
DATA = b"Subject: out\r\n\r\nhello\r\n"
DELIVERED = Verdict(Fate.DELIVERED, 250, "2.0.0", "ok", "mx.b.example")
DEFERRED = Verdict(Fate.DEFERRED, 450, "4.2.0", "later", "mx.b.example")
FAILED = Verdict(Fate.FAILED, 550, "5.1.1", "nobody", "mx.b.example")


class Opener:
    async def open_store(self, path: Path) -> Store:
        return CrashingStore()


class CrashingStore(MemoryStore):
    """Whose units run and then never happened."""

    crashes = False

    async def perform(self, unit: Unit[T], bodies: Sequence[NewBody] = (), *, is_small: bool = False) -> T:
        def run(tx: Transaction) -> T:
            result = unit(tx)
            if self.crashes:
                raise ZeroDivisionError
            return result

        return await super().perform(run, bodies, is_small=is_small)


class Office:
    """A store with ann, and a queue whose clock is set by hand."""

    def __init__(self, scene: Scene, ann: Account) -> None:
        self.scene = scene
        self.ann = ann
        self.clock = 1_000
        self.told: list[tuple[Action, list[str]]] = []
        self.conclude = Concluder(scene.store, self._compose, lambda: self.clock, lambda: scene.now, lambda: 0.5)

    def _compose(self, message: QueuedMessage, notice: Notice, octets: bytes, size: int) -> bytes | None:
        assert octets == DATA[: len(octets)]
        assert size == len(DATA)
        self.told.append((notice.action, [told.row.address for told in notice.told]))
        return f"Subject: {notice.action.value} {len(self.told)}\r\n\r\n".encode()

    async def submit(self, *addresses: str, sender: str = "ann@example.org", here: bool = False, notify: str = "") -> Uid:
        envelope = self.envelope(sender, here)
        envelope.elsewhere = [Elsewhere(Address(*each.split("@")), notify) for each in addresses]
        body = self.scene.body(DATA)
        await self.scene.perform(accept(envelope, body, self.scene.now, self.clock), [body])
        return self.scene.reader.queued_messages(Uid(0), 1000)[-1].uid

    def envelope(self, sender: str, here: bool) -> Envelope:
        envelope = Envelope(Address(*sender.split("@")) if sender else None, submitter=self.ann.account_id)
        if here:
            envelope.recipients.append(Recipient(Address("ann", "example.org"), self.ann.account_id))
        return envelope

    def rows(self, uid: Uid) -> list[QueuedRecipient]:
        return self.scene.reader.queued_recipients(uid)

    def subjects(self) -> list[bytes]:
        """Of the reports in the INBOX, which come from <> (RFC 5321 section 4.4)."""
        lines = [content.split(b"\r\n") for content in self.scene.contents(self.ann)]
        assert all(line[0] == b"Return-Path: <>" for line in lines)
        return [line[1] for line in lines]


def office(story: Callable[[Office], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene(Opener(), Path(), CrashingStore())
        await story(Office(scene, await scene.account()))
        await scene.end()

    asyncio.run(run())


def test_d02_one_unit_delivers_here_and_queues_for_the_others() -> None:
    async def story(o: Office) -> None:
        uid = await o.submit("Bob@B.example", "cid@c.example", "Bob@B.example", here=True, notify="DELAY")
        assert o.scene.contents(o.ann) == [DATA]
        assert [(row.address, row.domain, row.notify) for row in o.rows(uid)] == [
            ("Bob@B.example", "b.example", "DELAY"),
            ("cid@c.example", "c.example", "DELAY"),
        ]
        row = o.rows(uid)[0]
        assert (row.next_attempt, row.expires, row.attempts) == (1_000, 1_000 + 5 * 86_400, 0)
        message = o.scene.reader.queued_message(uid)
        assert message is not None
        assert (message.reverse_path, message.account_id) == ("ann@example.org", o.ann.account_id)

    office(story)


def test_d02_where_one_copy_here_is_refused_nothing_is_queued() -> None:
    async def story(o: Office) -> None:
        small = await o.scene.account("ben@example.org", quota=3)
        envelope = o.envelope("ann@example.org", here=True)
        envelope.recipients.append(Recipient(Address("ben", "example.org"), small.account_id))
        envelope.elsewhere.append(Elsewhere(Address("bob", "b.example")))
        body = o.scene.body(DATA)
        with pytest.raises(OverQuota):
            await o.scene.perform(Accept(lambda: 1, SCHEDULE)(envelope, body, o.scene.now), [body])
        body.discard()
        assert (o.scene.contents(o.ann), o.scene.reader.queue_size()) == ([], (0, 0))

    office(story)


def test_an_attempt_delivers_defers_and_fails_each_recipient_for_itself() -> None:
    async def story(o: Office) -> None:
        uid = await o.submit("a@b.example", "b@b.example", "c@b.example")
        await o.conclude(uid, [Outcome(1, DELIVERED), Outcome(2, DEFERRED), Outcome(3, FAILED)])
        (row,) = o.rows(uid)
        assert (row.number, row.attempts, row.next_attempt) == (2, 1, 1_000 + 450)
        assert row.reply == "450 4.2.0 later (mx.b.example)"
        assert o.subjects() == [b"Subject: failed 1"]
        assert o.told == [(Action.FAILED, ["c@b.example"])]
        await o.conclude(uid, [Outcome(2, DELIVERED)])
        assert (o.scene.reader.queue_size(), len(o.told)) == ((0, 0), 1)

    office(story)


def test_a28_one_report_speaks_of_all_recipients_of_an_action() -> None:
    async def story(o: Office) -> None:
        uid = await o.submit("a@b.example", "b@b.example", "c@b.example", notify="SUCCESS,FAILURE")
        await o.conclude(uid, [Outcome(1, FAILED), Outcome(2, DELIVERED), Outcome(3, FAILED)])
        assert o.told == [(Action.FAILED, ["a@b.example", "c@b.example"]), (Action.RELAYED, ["b@b.example"])]

    office(story)


def test_d07_the_report_for_a_sender_elsewhere_is_queued_from_nobody() -> None:
    async def story(o: Office) -> None:
        uid = await o.submit("a@b.example", sender="zoe@z.example")
        await o.conclude(uid, [Outcome(1, FAILED)])
        (message,) = o.scene.reader.queued_messages(Uid(0), 9)
        assert (message.reverse_path, message.account_id, message.uid) == ("", 0, 2)
        assert [(row.address, row.notify) for row in o.rows(message.uid)] == [("zoe@z.example", "NEVER")]
        assert o.subjects() == []

    office(story)


def test_a27_nothing_is_ever_reported_to_nobody() -> None:
    async def story(o: Office) -> None:
        uid = await o.submit("a@b.example", "b@b.example", sender="", notify="SUCCESS,FAILURE,DELAY")
        await o.conclude(uid, [Outcome(1, FAILED)])
        o.clock += 6 * 86_400
        await o.conclude(uid, [Outcome(2, DEFERRED)])
        assert (o.told, o.scene.reader.queue_size(), o.subjects()) == ([], (0, 0), [])
        body = o.scene.body(b"report\r\n")
        await o.scene.perform(lambda tx: send_report(tx, "", Report(body, "7BIT", False), o.scene.now, 1), [body])
        assert o.scene.reader.queue_size() == (0, 0)

    office(story)


def test_a_full_mailbox_takes_the_report_and_an_address_nobody_has_any_more_gets_none() -> None:
    async def story(o: Office) -> None:
        ben = await o.scene.account("ben@example.org", quota=1)
        uid = await o.submit("a@b.example", sender="ben@example.org")
        await o.conclude(uid, [Outcome(1, FAILED)])
        assert len(o.scene.contents(ben)) == 1
        uid = await o.submit("a@b.example", sender="ben@example.org")
        await o.scene.perform(remove_account(ben.account_id))
        await o.conclude(uid, [Outcome(1, FAILED)])
        assert o.scene.reader.queue_size() == (0, 0)

    office(story)


@pytest.mark.parametrize(
    ("notify", "verdict", "late", "expected"),
    [
        ("", FAILED, 0, Action.FAILED),
        ("NEVER", FAILED, 0, None),
        ("SUCCESS,DELAY", FAILED, 0, None),
        ("FAILURE", FAILED, 0, Action.FAILED),
        ("", DELIVERED, 0, None),
        ("SUCCESS", DELIVERED, 0, Action.RELAYED),
        ("SUCCESS", Verdict(Fate.DELIVERED, 250, "", "", "mx", offers_dsn=True), 0, None),
        ("", DEFERRED, 0, None),
        ("", DEFERRED, SCHEDULE.warn_after, Action.DELAYED),
        ("DELAY", DEFERRED, SCHEDULE.warn_after, Action.DELAYED),
        ("FAILURE", DEFERRED, SCHEDULE.warn_after, None),
        ("FAILURE", DEFERRED, SCHEDULE.give_up_after - 1, None),
        ("FAILURE", DEFERRED, SCHEDULE.give_up_after, Action.FAILED),
        ("NEVER", DEFERRED, SCHEDULE.give_up_after, None),
    ],
)
def test_who_hears_of_what(notify: str, verdict: Verdict, late: int, expected: Action | None) -> None:
    """RFC 3461 section 4.1 and 5.2."""
    message = QueuedMessage(Uid(1), "ann@example.org", AccountId(1), 0, "", "", "7BIT", False, False, b"")
    row = QueuedRecipient(
        *(Uid(1), 1, "a@b.example", "b.example", notify, "", DeliveryState.WAITING, 0, 0, SCHEDULE.give_up_after, False, "")
    )
    conclusion = plan(message, [row], [Outcome(1, verdict)], late, SCHEDULE, 0.0)
    assert [notice.action for notice in conclusion.notices] == ([expected] if expected else [])
    assert len(conclusion.put) + len(conclusion.gone) == 1
    if conclusion.put and expected is Action.DELAYED:  # never twice
        again = plan(message, conclusion.put, [Outcome(1, verdict)], late + 1, SCHEDULE, 0.0)
        assert not again.notices


def test_a28_success_is_reported_to_our_own_senders_only() -> None:
    row = QueuedRecipient(*(Uid(1), 1, "a@b.example", "b.example", "SUCCESS", "", DeliveryState.WAITING, 0, 0, 9_999, False, ""))
    for account_id, expected in ((1, 1), (0, 0)):
        sender = "zoe@z.example"
        message = QueuedMessage(Uid(1), sender, AccountId(account_id), 0, "", "", "7BIT", False, False, b"")
        assert len(plan(message, [row], [Outcome(1, DELIVERED)], 1, SCHEDULE, 0.0).notices) == expected


def test_a_report_says_who_failed_why_and_until_when_it_is_tried() -> None:
    async def story(o: Office) -> None:
        reporter = Reporter(
            "mx.example.org",
            lambda: o.clock,
            lambda: o.scene.now,
            lambda: "t0ken",
            lambda octets, now: b"X-Of: %d\r\n" % len(octets),
        )
        conclude = Concluder(o.scene.store, reporter, lambda: o.clock, lambda: o.scene.now, lambda: 0.0)
        uid = await o.submit("bob@b.example", "cid@b.example")
        o.clock += SCHEDULE.warn_after
        await conclude(uid, [Outcome(1, FAILED), Outcome(2, DEFERRED)])
        failed, delayed = o.scene.contents(o.ann)
        assert b"Action: failed" in failed
        assert b"X-Of: %d\r\n" % len(failed.partition(b"X-Of: ")[2].partition(b"\r\n")[2]) in failed  # signed as it leaves
        assert b"bob@b.example" in failed
        assert b"550 5.1.1 nobody" in failed
        assert b"cid@b.example" not in failed
        assert b"Action: delayed" in delayed
        until = format_date(o.scene.now + SCHEDULE.give_up_after - SCHEDULE.warn_after)
        assert f"Will-Retry-Until: {until}".encode() in delayed
        o.clock += SCHEDULE.give_up_after
        await conclude(uid, [Outcome(2, Verdict(Fate.DEFERRED, 451, "4.4.1", "No host of b.example answers."))])
        expired = o.scene.contents(o.ann)[2]
        assert b"Status: 4.4.7" in expired
        assert b"No host of b.example answers." in expired
        uid = await o.submit("bob@b.example", sender="Zoe@z.example")
        body = o.scene.body(b"Return-Path: <ann@example.org>\r\n" + DATA)
        envelope = o.envelope("ann@example.org", here=False)
        envelope.elsewhere.append(Elsewhere(Address("bob", "b.example")))
        await o.scene.perform(accept(envelope, body, o.scene.now, o.clock), [body])
        uid = Uid(uid + 1)
        await conclude(uid, [Outcome(1, FAILED)])
        assert b"ann@example.org>\r\n" not in o.scene.contents(o.ann)[3].partition(b"message/rfc822")[2]
        body = o.scene.body(b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x--\r\n")
        envelope = o.envelope("ann@example.org", here=False)
        envelope.elsewhere.append(Elsewhere(Address("bob", "b.example")))
        await o.scene.perform(accept(envelope, body, o.scene.now, o.clock), [body])
        await conclude(Uid(uid + 1), [Outcome(1, FAILED)])  # no report on a report
        assert len(o.scene.contents(o.ann)) == 4

    office(story)


def test_rows_that_changed_since_the_plan_are_planned_again() -> None:
    async def story(o: Office) -> None:
        uid = await o.submit("a@b.example", "b@b.example")
        message = o.scene.reader.queued_message(uid)
        assert message is not None
        stale = plan(message, o.rows(uid), [Outcome(1, FAILED)], o.clock, SCHEDULE, 0.5)
        await o.scene.perform(drop([(uid, 1)]))
        body = o.scene.body(b"report\r\n")
        assert not await o.scene.perform(write(stale, [Report(body, "7BIT", False)], o.scene.now, o.clock), [body])
        body.discard()
        assert o.subjects() == []
        await o.conclude(uid, [Outcome(1, FAILED), Outcome(2, DELIVERED)])  # nothing is said of who was dropped
        assert (o.told, o.scene.reader.queue_size()) == ([], (0, 0))
        await o.conclude(uid, [Outcome(2, FAILED)])  # nor of a message that is gone
        assert o.told == []

    office(story)


def test_rows_that_were_known_and_changed_since_are_read_again() -> None:
    async def story(o: Office) -> None:
        uid = await o.submit("a@b.example", "b@b.example")
        message = o.scene.reader.queued_message(uid)
        assert message is not None
        known = message, o.rows(uid)
        await o.scene.perform(drop([(uid, 1)]))
        await o.conclude(uid, [Outcome(1, FAILED), Outcome(2, DEFERRED)], known)
        (row,) = o.rows(uid)
        assert (row.number, row.attempts, o.subjects()) == (2, 1, [])
        await o.conclude(uid, [Outcome(2, FAILED)], (message, [row]))
        assert (len(o.subjects()), o.scene.reader.queue_size()) == (1, (0, 0))
        await o.conclude(uid, [Outcome(2, DELIVERED)], (message, [row]))  # of a message that is gone nothing is said
        assert len(o.subjects()) == 1

    office(story)


def test_who_is_cancelled_while_a_conclusion_is_written_takes_nothing_from_it(tmp_path: Path) -> None:
    async def story() -> None:
        store = EmbeddedStore(tmp_path, settings=SMALL)
        scene = Scene(Opener(), tmp_path, store)
        o = Office(scene, await scene.account())
        long = b"Subject: report\r\n\r\n" + b"x" * 20_000
        conclude = Concluder(store, lambda *_: long, lambda: o.clock, lambda: scene.now, lambda: 0.5)
        uid = await o.submit("a@b.example")
        task = asyncio.create_task(conclude(uid, [Outcome(1, FAILED)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.close()  # what is on its way is done
        scene.store = EmbeddedStore(tmp_path, settings=SMALL)
        assert [content.endswith(long) for content in o.scene.contents(o.ann)] == [True]
        assert o.rows(uid) == []
        await scene.end()

    asyncio.run(story())


def test_what_is_held_waits_without_expiring_until_it_is_let_go() -> None:
    async def story(o: Office) -> None:
        uid = await o.submit("a@b.example", "b@b.example")
        assert await o.scene.perform(hold([(uid, 1), (uid, 7), (Uid(99), 1)])) == 1
        assert await o.scene.perform(hold([(uid, 1)])) == 0
        assert [row.number for row in o.scene.reader.due_recipients("b.example", o.clock, 9)] == [2]
        assert [row.number for row in o.scene.reader.expiring_recipients("b.example", 10**9, 9)] == [2]
        await o.conclude(uid, [Outcome(1, DEFERRED)])  # an attempt that was under way
        assert o.rows(uid)[0].state is DeliveryState.HELD
        assert await o.scene.perform(retry([(uid, 1), (uid, 2)])) == 2
        assert o.scene.reader.next_due() == [("b.example", 0)]
        assert await o.scene.perform(drop([(uid, 1), (uid, 2), (uid, 3)])) == 2
        assert o.scene.reader.queue_size() == (0, 0)

    office(story)


def test_the_clock_is_kept_and_never_goes_back() -> None:
    async def story(o: Office) -> None:
        ahead = QueueClock(SavedClock(5_000, 100), 0.0, 100.0)
        await o.scene.perform(save_clock(ahead, 10.0, 110.0))
        assert read_clock(o.scene.reader) == SavedClock(5_010, 110)
        behind = QueueClock(SavedClock(1_000, 100), 0.0, 100.0)
        await o.scene.perform(save_clock(behind, 10.0, 999.0))
        assert read_clock(o.scene.reader) == SavedClock(5_010, 110)

    office(story)


steps = st.lists(
    st.tuples(
        st.sampled_from((DELIVERED, DEFERRED, FAILED)), st.integers(1, 4), st.booleans(), st.sampled_from((0, 600, 90_000))
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from(("ann@example.org", "zoe@z.example")))
def test_d07_whoever_has_not_got_it_waits_or_is_reported_once(
    attempts: list[tuple[Verdict, int, bool, int]], sender: str
) -> None:
    """Random outcomes, and crashes: a unit that never happens, after which the attempt is made again."""

    async def story(o: Office) -> None:
        uid = await o.submit("r1@b.example", "r2@b.example", "r3@c.example", "r4@c.example", sender=sender)
        store = o.scene.store
        assert isinstance(store, CrashingStore)
        delivered: set[str] = set()
        for verdict, number, crashes, seconds in attempts:
            o.clock += seconds
            address = next((row.address for row in o.rows(uid) if row.number == number), None)
            if address is None:
                continue
            if crashes:
                told = list(o.told)
                store.crashes = True
                with pytest.raises(ZeroDivisionError):
                    await o.conclude(uid, [Outcome(number, verdict)])
                store.crashes, o.told[:] = False, told
                continue
            await o.conclude(uid, [Outcome(number, verdict)])
            if verdict is DELIVERED:
                delivered.add(address)
        waiting = {row.address for row in o.rows(uid)}
        failed = [address for action, each in o.told if action is Action.FAILED for address in each]
        assert Counter([*delivered, *waiting, *failed]) == Counter([f"r{n}@{'bc'[n > 2]}.example" for n in range(1, 5)])
        reports = len(o.subjects()) + o.scene.reader.queue_size()[0] - bool(waiting)
        assert reports == len(o.told)

    office(story)
