"""What is where, as far as this side knows it: per mailbox, without asking the server."""

from collections import Counter
from typing import Any

from postwren.mailstore.model import Account
from postwren.mailstore.port import Reader
from postwren.mailstore.queue import DeliveryState
from postwren.mailstore.replica import TakenState
from postwren.mailstore.service import uidrange
from postwren.sync.replica import HELD
from postwren.sync.run import last_complete, last_run
from postwren.sync.settings import Settings

__all__ = ["outbox_state", "status_of"]


def status_of(reader: Reader, settings: Settings, account: Account | None) -> dict[str, Any]:
    """As `--json` has it. Of a mailbox: its messages here, those that are there too, that were not sent yet, that are held, and
    when it was last compared with the server (seconds since 1970; None: never)."""
    row: dict[str, Any] = {"address": settings.address, "protocol": settings.protocol, "host": settings.host}
    row |= {"messages": 0, "octets": 0, "there": 0, "last": None, "mailboxes": []}
    row["outbox"] = outbox_state(reader, settings.address, account)
    if account is not None:
        row["octets"] = account.used
        row["last"] = last_run(reader, account.account_id)
        row["mailboxes"] = _mailboxes(reader, account, settings)
        row["messages"] = sum(box["messages"] for box in row["mailboxes"])
        row["there"] = sum(box["paired"] for box in row["mailboxes"])
    return row


def outbox_state(reader: Reader, login: str, account: Account | None) -> dict[str, Any]:
    """Messages that wait to be sent and that may have been, and why the server could not be used ("" where it could)."""
    found: dict[str, Any] = {"waiting": 0, "doubtful": 0, "why": ""}
    if reader.queue_size() == (0, 0):
        return found
    from postwren.sync.outbox import trouble_of, waiting  # what sends is loaded where there is something to send

    for each in waiting(reader, login):
        is_doubtful = any(row.state is DeliveryState.DOUBTFUL for row in each.recipients)
        found["doubtful" if is_doubtful else "waiting"] += 1
    if account is not None:
        found["why"] = (trouble_of(reader, account.account_id) or {}).get("text", "")
    return found


def _mailboxes(reader: Reader, account: Account, settings: Settings) -> list[dict[str, Any]]:
    account_id = account.account_id
    compared = last_complete(reader, account_id)
    replicas = {row.mailbox_id: row for row in reader.replicas(account_id)}
    left = Counter(taken.mailbox_id for taken in reader.taken(account_id) if taken.state is TakenState.LISTED)
    found = []
    for mailbox in reader.mailboxes(account_id):
        where = account_id, mailbox.mailbox_id
        replica = replicas.get(mailbox.mailbox_id)
        held = len(reader.entries(*where, uidrange.of([pair.uid for pair in reader.pairs(*where, HELD)])))
        is_two_way = settings.protocol == "imap"
        found.append(
            {
                "mailbox": mailbox.name,
                "there_as": None if replica is None else replica.remote_name,
                "messages": mailbox.messages,
                "paired": reader.pair_count(*where) if is_two_way else left[mailbox.mailbox_id],
                "not_sent": len(reader.unpaired(*where)) if is_two_way else 0,
                "held": held,
                "compared": compared if (replica is not None and replica.uidvalidity) or not is_two_way else None,
            }
        )
    return found
