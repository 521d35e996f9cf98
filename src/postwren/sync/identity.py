"""Which message of ours a message of the server's is, before it is fetched: by its size and its whole header (RFC 5322), if that
has a Message-ID. Octets decide in any case once they are here; this saves fetching them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from postwren.mailstore.port import Reader, Store, Transaction
from postwren.mailstore.replica import LARGEST, Pair, Replica
from postwren.mailstore.service import uidrange
from postwren.message.header import find_empty_line
from postwren.sync.look import Arrived
from postwren.sync.remote import Remote
from postwren.terms import AccountId, EmailId

__all__ = ["HEADER", "email_sizes", "headers_here", "recognise", "repair"]

HEADER: Final = 64 << 10
"""A header is looked for in so many octets."""
AT_ONCE: Final = 1000


async def recognise(
    store: Store, account_id: AccountId, remote: Remote, name: str, new: Mapping[int, Arrived], ours: Mapping[EmailId, int]
) -> dict[int, EmailId]:
    """Of what is new in the remote mailbox `name`: the emails of ours (by id, with their sizes) that it is."""
    by_size: dict[int, list[EmailId]] = defaultdict(list)
    for email_id, size in ours.items():
        by_size[size].append(email_id)
    candidates = [arrived for arrived in new.values() if arrived.size in by_size]
    found: dict[int, EmailId] = {}
    for start in range(0, len(candidates), AT_ONCE):
        batch = candidates[start : start + AT_ONCE]
        email_ids = sorted({email_id for arrived in batch for email_id in by_size[arrived.size]})
        mine = await store.read(partial(headers_here, store, account_id, email_ids))
        theirs = await remote.headers(name, [arrived.uid for arrived in batch])
        for arrived in batch:
            header = theirs.get(arrived.uid, b"").rstrip(b"\r\n")
            alike = [email_id for email_id in by_size[arrived.size] if mine.get(email_id) == header]
            if alike and b"message-id:" in header.lower():
                found[arrived.uid] = alike[0]
    return found


def headers_here(store: Store, account_id: AccountId, email_ids: Sequence[EmailId], reader: Reader) -> dict[EmailId, bytes]:
    """The headers of emails of ours without the line ends behind them, those that are longer than `HEADER` cut."""
    found = {}
    for email in reader.emails_of(account_id, email_ids):
        octets = store.read_body(email.body, 0, min(email.body.size, HEADER))
        empty = find_empty_line(octets, 0, len(octets))
        found[email.email_id] = octets[: len(octets) if empty is None else empty[0]].rstrip(b"\r\n")
    return found


async def repair(store: Store, account_id: AccountId, remote: Remote, replica: Replica, new: Mapping[int, Arrived]) -> int:
    """Another UIDVALIDITY (D-73): pair what is here with what is there anew, each with the base it had; also what was deleted
    here meanwhile, so that it is deleted there and nothing else. What has no counterpart is held. `replica` is kept as it is
    given. Returns how many were found again."""
    where = account_id, replica.mailbox_id
    pairs = await store.read(lambda reader: reader.pairs(*where))
    sizes = await store.read(partial(email_sizes, account_id, {pair.email_id for pair in pairs}))
    known = await recognise(store, account_id, remote, replica.remote_name, new, sizes)
    waiting: dict[EmailId, list[Pair]] = defaultdict(list)
    for pair in reversed(pairs):
        waiting[pair.email_id].append(pair)
    again = [waiting[email_id].pop()._replace(remote_uid=uid) for uid, email_id in sorted(known.items()) if waiting[email_id]]
    lost = {pair.uid: pair for rest in waiting.values() for pair in rest}
    left = await store.read(lambda reader: reader.entries(*where, uidrange.of(lost)))
    held = [lost[entry.uid]._replace(remote_uid=LARGEST + entry.uid) for entry in left]

    def unit(tx: Transaction) -> None:
        tx.delete_pairs(*where, [(1, LARGEST + LARGEST)])
        tx.put_pairs(*where, [*again, *held])
        tx.put_replica(account_id, replica)

    await store.perform(unit)
    return len(again)


def email_sizes(account_id: AccountId, email_ids: Iterable[EmailId], reader: Reader) -> dict[EmailId, int]:
    """Octets of those that are still kept."""
    return {email.email_id: email.body.size for email in reader.emails_of(account_id, sorted(email_ids))}
