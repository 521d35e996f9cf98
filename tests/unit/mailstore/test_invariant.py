"""Every rule of `invariant` finds what breaks it: rows are damaged behind the services' back."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from postwren.mailstore import invariant
from postwren.mailstore.errors import BodyCorrupt
from postwren.mailstore.invariant import check
from postwren.mailstore.model import AddressRow, BodyRef, Change, ChangeKind, Expunged, Mailbox
from postwren.mailstore.port import Store, Transaction
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.housekeeping import RECOVERY_TERM, end_recovery
from postwren.storage.memory import MemoryStore
from postwren.storage.memory.body import MemoryBody
from postwren.terms import AccountId, Address, EmailId, FlagSetId, MailboxId, ModSeq, Uid, UidValidity
from postwren.testing.contract.scene import Scene

A, INBOX_ID = AccountId(1), MailboxId(1)


class Opener:
    async def open_store(self, path: Path) -> Store:
        return MemoryStore()


def account(**change: object) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        row = tx.account(A)
        assert row is not None
        tx.update_account(row._replace(**change))  # type: ignore[arg-type]

    return unit


def inbox(**change: object) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        row = tx.mailbox(A, INBOX_ID)
        assert row is not None
        tx.update_mailbox(row._replace(**change))  # type: ignore[arg-type]

    return unit


def entry(**change: object) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        row = tx.entries(A, INBOX_ID)[0]
        tx.delete_entries(A, INBOX_ID, [(row.uid, row.uid)])
        tx.insert_entries([row._replace(**change)])  # type: ignore[arg-type]

    return unit


def other_mailbox(name: str, mailbox_id: int = 2, uidvalidity: int = 1_700_000_001) -> Callable[[Transaction], None]:
    box = Mailbox(A, MailboxId(mailbox_id), name, UidValidity(uidvalidity), Uid(1), ModSeq(1), 0, 0, 0, 0, None, True, ModSeq(1))
    return lambda tx: tx.insert_mailbox(box)


def tombstone(uid: int, modseq: int = 2, email_id: int | None = None) -> Callable[[Transaction], None]:
    gone = None if email_id is None else EmailId(email_id)
    row = Expunged(A, INBOX_ID, Uid(uid), ModSeq(modseq), 0, gone, FlagSetId(0), 0, 0, 0, None)
    return lambda tx: tx.insert_expunged([row])


def change(modseq: int) -> Callable[[Transaction], None]:
    return lambda tx: tx.insert_changes([Change(A, ModSeq(modseq), ChangeKind.FLAGS, INBOX_ID, Uid(1), Uid(1))])


DAMAGE: list[tuple[str, Callable[[Transaction], None]]] = [
    ("used", account(used=1)),
    ("changes", account(modseq=ModSeq(9))),
    ("modseq", account(modseq=ModSeq(2))),
    ("uidvalidity", account(next_uidvalidity=UidValidity(5))),
    ("mailbox id", account(next_mailbox_id=MailboxId(1))),
    ("email id", account(next_email_id=EmailId(1))),
    ("counters", inbox(messages=1)),
    ("counters", inbox(unseen=1)),
    ("counters", inbox(deleted=1)),
    ("counters", inbox(size=1)),
    ("uid", inbox(uidnext=Uid(2))),
    ("uid", inbox(uidnext=Uid(1))),
    ("modseq", inbox(highestmodseq=ModSeq(2))),
    ("modseq", inbox(highestmodseq=ModSeq(99))),
    ("modseq", inbox(created_modseq=ModSeq(99))),
    ("inbox", inbox(name="Other")),
    ("name", other_mailbox("inbox")),
    ("name", other_mailbox("Cafe\u0301")),
    ("uidvalidity", other_mailbox("Twin", 2, 1_700_000_000)),
    ("mailbox id", other_mailbox("Far", 9)),
    ("uid", entry(uid=Uid(9))),
    ("modseq", entry(modseq=ModSeq(99))),
    ("modseq", entry(created_modseq=ModSeq(99))),
    ("flagset", entry(flagset_id=FlagSetId(77))),
    ("references", entry(email_id=EmailId(2))),
    ("email id", entry(email_id=EmailId(9))),
    ("counters", entry(size=99)),
    ("uid", tombstone(1)),
    ("uid", tombstone(50)),
    ("modseq", tombstone(4, 99)),
    ("email", tombstone(4, 2, 3)),
    ("references", tombstone(4, 2, 1)),
    ("references", lambda tx: tx.add_references(A, [(EmailId(1), 1)])),
    ("email", lambda tx: tx.add_references(A, [(EmailId(1), -1)])),
    ("changes", change(9)),
    ("address", lambda tx: tx.insert_address(AddressRow(Address("x", "example.org"), AccountId(9)))),
]


async def damaged(damage: Callable[[Transaction], None]) -> Scene:
    """A store with two messages and a burnt UID, sound until it is damaged."""
    scene = Scene(Opener(), Path(), MemoryStore())
    ann = await scene.account()
    for data in (b"one\r\n", b".two\r\n", b"three\r\n"):
        await scene.deliver(ann, data)
    await scene.perform(expunge(A, INBOX_ID, [(3, 3)], scene.now, only_deleted=False))
    await scene.perform(end_recovery(A, scene.now + RECOVERY_TERM + 1))
    await scene.perform(inbox(uidnext=Uid(5)))
    await scene.verify()
    await scene.perform(damage)
    return scene


@pytest.mark.parametrize(("rule", "damage"), DAMAGE, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(DAMAGE)])
def test_damage_is_found(rule: str, damage: Callable[[Transaction], None]) -> None:
    scene = asyncio.run(damaged(damage))
    assert rule in [violation.rule for violation in check(scene.reader)]


def corrupt(ref: BodyRef) -> list[bytes]:
    raise BodyCorrupt


def test_octets_are_compared_with_what_is_known_of_them() -> None:
    scene = asyncio.run(damaged(lambda tx: None))
    read = scene.store.body_pieces
    for pieces, why in [
        (lambda ref: [b"one!!"] if ref.size == 5 else read(ref), "content id"),
        (lambda ref: [b"one\r"] if ref.size == 5 else read(ref), "content id"),
        (lambda ref: corrupt(ref) if ref.size == 5 else read(ref), "BodyCorrupt"),
    ]:
        found = list(check(scene.reader, pieces))
        assert [(violation.rule, why in violation.detail) for violation in found] == [("body", True)]


def test_a_wrong_dot_line_is_found() -> None:
    async def story() -> Scene:
        scene = await damaged(lambda tx: None)
        body = MemoryBody(b"no dot", hashlib.sha256(b"no dot").digest(), True)
        await scene.perform(deliver([Target(A)], body, scene.now), [body])
        return scene

    scene = asyncio.run(story())
    assert [violation.detail for violation in check(scene.reader, scene.store.body_pieces)] == ["email 4: has_dot_line is wrong"]


def test_a_window_of_uids_after_the_other_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariant, "WINDOW", 2)
    asyncio.run(damaged(lambda tx: None))
    scene = asyncio.run(damaged(entry(uid=Uid(4))))
    assert list(check(scene.reader)) == []
