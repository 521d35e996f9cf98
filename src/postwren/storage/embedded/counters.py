"""Counters as they must be, from the rows that they count: for recovery and repair. Everything else keeps them by addition."""

import apsw

from postwren.storage.embedded.index import rows, value

__all__ = ["recount", "recount_all"]

_SEEN = "\\Seen"
_DELETED = "\\Deleted"


def recount(connection: apsw.Connection, account_id: int, mailbox_id: int) -> bool:
    """Set a mailbox's counters and its account's use; whether any was wrong."""
    sql = "SELECT flagset_id, flags FROM flagset WHERE account_id = ?"
    flags = {flagset_id: text.split(" ") for flagset_id, text in rows(connection, sql, account_id)}
    sql = "SELECT flagset_id, count(*), sum(size) FROM entry WHERE account_id = ? AND mailbox_id = ? GROUP BY flagset_id"
    messages = unseen = deleted = size = 0
    for flagset_id, count, octets in rows(connection, sql, account_id, mailbox_id):
        mine = flags.get(flagset_id, ())
        messages += count
        size += octets
        unseen += 0 if _SEEN in mine else count
        deleted += count if _DELETED in mine else 0
    right = (messages, unseen, deleted, size)
    key = (account_id, mailbox_id)
    sql = "SELECT messages, unseen, deleted, size FROM mailbox WHERE account_id = ? AND mailbox_id = ?"
    was = connection.execute(sql, key).fetchone()
    sql = "UPDATE mailbox SET messages = ?, unseen = ?, deleted = ?, size = ? WHERE account_id = ? AND mailbox_id = ?"
    connection.execute(sql, (*right, *key))
    return recount_used(connection, account_id) or was != right


def recount_used(connection: apsw.Connection, account_id: int) -> bool:
    """Set an account's use from its mailboxes; whether it was wrong."""
    sql = "SELECT coalesce(sum(size), 0) FROM mailbox WHERE account_id = ?"
    used = value(connection, sql, account_id)
    was = value(connection, "SELECT used FROM account WHERE account_id = ?", account_id)
    connection.execute("UPDATE account SET used = ? WHERE account_id = ?", (used, account_id))
    return bool(was != used)


def recount_all(connection: apsw.Connection) -> list[tuple[int, int]]:
    """Recount everything; the mailboxes (account, mailbox) that were wrong."""
    mailboxes = rows(connection, "SELECT account_id, mailbox_id FROM mailbox ORDER BY 1, 2")
    return [(account_id, mailbox_id) for account_id, mailbox_id in mailboxes if recount(connection, account_id, mailbox_id)]
