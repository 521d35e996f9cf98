"""What the queue is asked costs the same, however many wait for a domain."""

from collections.abc import Callable
from pathlib import Path

from tests.unit.embedded.disk import run

from postwren.mailstore.port import Reader, Transaction
from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.reader import EmbeddedReader
from postwren.terms import AccountId, Uid

DOMAINS = ("a.example", "b.example", "c.example")
LOOKUPS: dict[str, Callable[[Reader], object]] = {
    "next_due": lambda reader: reader.next_due(),
    "due": lambda reader: reader.due_recipients("b.example", 1_000_000, 5),
    "not due": lambda reader: reader.due_recipients("b.example", 0, 5),
    "expiring": lambda reader: reader.expiring_recipients("b.example", 400_000, 5),
    "unwarned": lambda reader: reader.unwarned_recipients("b.example", 400_000, 5),
    "message": lambda reader: reader.queued_recipients(Uid(3)),
}


def fill(count: int) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        for uid in range(1, count + 1):
            message = QueuedMessage(Uid(uid), "ann@example.org", AccountId(1), 0, "", "", "7BIT", False, False, b"")
            rows = [
                QueuedRecipient(
                    *(
                        Uid(uid),
                        number,
                        f"r@{domain}",
                        domain,
                        "",
                        "",
                        DeliveryState.WAITING,
                        0,
                        100 + uid,
                        432_000 + uid,
                        False,
                        "",
                    )
                )
                for number, domain in enumerate(DOMAINS, 1)
            ]
            tx.insert_queued(message, rows)

    return unit


def steps(store: EmbeddedStore, look: Callable[[Reader], object]) -> int:
    """How many instructions of SQLite's machine it takes."""
    reader = store.reader
    assert isinstance(reader, EmbeddedReader)
    taken = 0

    def count() -> bool:
        nonlocal taken
        taken += 1
        return False

    look(reader)  # compiled, and remembered
    reader._connection.set_progress_handler(count, 1)
    look(reader)
    reader._connection.set_progress_handler(None)
    return taken


def test_no_lookup_passes_the_rows_that_it_does_not_return(tmp_path: Path) -> None:
    async def measure(store: EmbeddedStore, count: int) -> dict[str, int]:
        await store.perform(fill(count))
        return {name: steps(store, look) for name, look in LOOKUPS.items()}

    few = run(lambda store: measure(store, 20), tmp_path / "few")
    many = run(lambda store: measure(store, 2_000), tmp_path / "many")
    assert min(few.values()) > 5, few
    assert {name: many[name] <= few[name] + 10 for name in LOOKUPS} == dict.fromkeys(LOOKUPS, True), (few, many)
