"""Both adapters give the same answers about the queue, whatever was done to it; and both are sound at the end."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.embedded.disk import SMALL

from postwren.mailstore.invariant import check
from postwren.mailstore.port import Store
from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient
from postwren.mailstore.service.queue import change_recipients, enqueue
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.memory import MemoryStore
from postwren.terms import AccountId, Uid

DOMAINS = ("a.example", "b.example", "c.example")
MESSAGE = QueuedMessage(Uid(0), "ann@example.org", AccountId(1), 0, "", "", "7BIT", False, False, b"")

moments = st.integers(0, 5)
rows = st.builds(
    lambda domain, state, due, expires, warned: QueuedRecipient(
        *(Uid(0), 0, f"r@{domain}", domain, "", "", state, 0, due, expires, warned, "")
    ),
    *(st.sampled_from(DOMAINS), st.sampled_from(DeliveryState), moments, moments, st.booleans()),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), st.lists(rows, min_size=1, max_size=3)),
        st.tuples(st.just("change"), st.tuples(st.integers(0, 30), rows)),
        st.tuples(st.just("done"), st.lists(st.integers(0, 30), max_size=3)),
    ),
    max_size=15,
)


def everything(store: Store) -> list[Any]:
    reader = store.reader
    told: list[Any] = [
        reader.queue_size(),
        reader.next_due(),
        reader.queued_messages(Uid(0), 99),
        reader.queued_messages(Uid(1), 1),
    ]
    for message in reader.queued_messages(Uid(0), 99):
        told += [reader.queued_message(message.uid), reader.queued_recipients(message.uid)]
    for domain in DOMAINS:
        for now in range(6):
            told.append(reader.due_recipients(domain, now, 2))
            told.append(sorted(reader.expiring_recipients(domain, now, 99)))
            told.append(sorted(reader.unwarned_recipients(domain, now, 99)))
    return told


async def play(store: Store, step: tuple[str, Any]) -> None:
    kind, what = step
    known = [row for each in store.reader.queued_messages(Uid(0), 99) for row in store.reader.queued_recipients(each.uid)]
    if kind == "enqueue":
        writer = store.new_body()
        writer.write(b"Subject: out\r\n\r\n")
        body = writer.finish()
        numbered = [row._replace(number=number) for number, row in enumerate(what, 1)]
        await store.perform(lambda tx: enqueue(tx, MESSAGE, numbered, body, 1), [body])
    elif kind == "change" and known:
        old = known[what[0] % len(known)]
        await store.perform(lambda tx: change_recipients(tx, [what[1]._replace(uid=old.uid, number=old.number)], []))
    elif kind == "done" and known:
        keys = {(row.uid, row.number) for row in [known[at % len(known)] for at in what]}
        await store.perform(lambda tx: change_recipients(tx, [], sorted(keys)))


@settings(max_examples=12, deadline=None)
@given(steps)
def test_a_queue_on_disk_and_one_in_memory_tell_the_same(actions: list[tuple[str, Any]]) -> None:
    async def run(folder: str) -> None:
        twins: tuple[Store, ...] = (MemoryStore(), EmbeddedStore(Path(folder), settings=SMALL))
        for action in actions:
            for store in twins:
                await play(store, action)
            assert everything(twins[0]) == everything(twins[1])
        for store in twins:
            assert list(check(store.reader, store.body_pieces)) == []
            store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))
