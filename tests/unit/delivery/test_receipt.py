"""Reports of success on recipients who live here: with the message or not at all."""

import asyncio

import pytest

from postwren.delivery.dsn_reader import parse
from postwren.delivery.envelope import Envelope, Recipient
from postwren.delivery.inbound import Outcome, deliver_all
from postwren.delivery.intake import Keep
from postwren.delivery.receipt import report_here, with_receipt
from postwren.delivery.status import Action
from postwren.mailstore.errors import OverQuota
from postwren.mailstore.model import Credentials
from postwren.mailstore.port import NewBody, Store, Transaction, Unit
from postwren.mailstore.service.accounts import create_account
from postwren.storage.memory import MemoryStore
from postwren.terms import AccountId, Address

HEADER = b"From: ann@example.org\r\nSubject: x\r\n"
ANN, BOB = Address("ann", "example.org"), Address("bob", "example.org")
NOW = 1_700_000_000


def envelope(reverse_path: Address | None = ANN, notify: str = "SUCCESS") -> Envelope:
    recipient = Recipient(BOB, AccountId(2), notify, "rfc822;Bob@example.com")
    return Envelope(reverse_path, recipients=[recipient], envid="Q")


def inboxes(store: Store) -> dict[str, list[bytes]]:
    reader = store.reader
    found = {}
    for account in reader.accounts():
        inbox = reader.mailbox_by_name(account.account_id, "INBOX")
        assert inbox is not None
        emails = [reader.email(account.account_id, e.email_id) for e in reader.entries(account.account_id, inbox.mailbox_id)]
        found[account.login] = [store.read_body(email.body) for email in emails if email is not None]
    return found


def submit(of: Envelope, *, breaks: bool = False) -> dict[str, list[bytes]]:
    """What is in the INBOXes after a message with this envelope was kept, or was not because the unit of work `breaks`."""

    def deliver(envelope: Envelope, body: NewBody, now: int) -> Unit[list[Outcome]]:
        unit = deliver_all(envelope, body, now)

        def run(tx: Transaction) -> list[Outcome]:
            outcomes = unit(tx)
            if breaks:
                raise OverQuota(1, 1)
            return outcomes

        return run

    def sign(octets: bytes, now: float) -> bytes:
        return b"X-Of: %d\r\n" % len(octets)

    async def story() -> dict[str, list[bytes]]:
        store = MemoryStore()
        for login in ("ann@example.org", "bob@example.org"):
            await store.perform(create_account(login, Credentials("", {}), NOW))
        keep = with_receipt(Keep(b"", deliver), HEADER, of, store, report_here, sign, "mx.example.org", NOW, "token")
        writer = store.new_body()
        writer.write(HEADER + b"\r\nhello\r\n")
        body = writer.finish()
        try:
            await store.perform(keep.deliver(of, body, NOW), [body, *keep.others])
        except OverQuota:
            assert breaks
        found = inboxes(store)
        store.close()
        return found

    return asyncio.run(story())


def test_who_asked_gets_one_report_with_the_message() -> None:
    found = submit(envelope())
    (octets,) = found["ann@example.org"]
    top, _, signed = octets.partition(b"\r\nFrom: ")
    assert top == b"Return-Path: <>\r\nX-Of: %d" % (len(signed) + len("From: "))  # signed as it leaves
    report = parse(octets)
    assert report is not None
    assert report.envid == "Q"
    (recipient,) = report.recipients
    assert (recipient.final, recipient.original, recipient.action) == ("bob@example.org", "Bob@example.com", Action.DELIVERED)
    assert len(found["bob@example.org"]) == 1


def test_a_message_that_is_not_kept_is_not_reported() -> None:
    assert submit(envelope(), breaks=True) == {"ann@example.org": [], "bob@example.org": []}


@pytest.mark.parametrize(
    "of",
    [
        envelope(notify=""),
        envelope(notify="NEVER"),
        envelope(notify="FAILURE,DELAY"),
        envelope(None),
        envelope(Address("x", "other.example")),
    ],
)
def test_nobody_else_gets_one(of: Envelope) -> None:
    assert submit(of)["ann@example.org"] == []
