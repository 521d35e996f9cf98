"""The index: tables, and how an older one becomes a newer one.

Tables are WITHOUT ROWID, `account_id` comes first in every key of what an account owns, and every counter is a row: the
same shape runs on a distributed database. A migration is a numbered function; its number is recorded in the transaction
of its effect (`user_version` lives in the database's first page).
"""

from collections.abc import Callable
from typing import Final

import apsw

from postwren.mailstore.errors import StoreUnusable
from postwren.storage.embedded.index import immediate, value

__all__ = ["APPLICATION_ID", "MIGRATIONS", "VERSION", "SchemaTooNew", "is_current", "migrate"]

APPLICATION_ID: Final = 0x50777265  # "Pwre"


class SchemaTooNew(StoreUnusable):
    """The index was written by a newer Postwren; this one leaves it alone."""

    def __init__(self, found: int) -> None:
        super().__init__(f"the index has schema {found}, this program knows up to {VERSION}: use a newer Postwren")
        self.found = found


TABLES: Final = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counter VALUES ('account', 1), ('segment', 1), ('opened', 0);

CREATE TABLE segment (
    segment_id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,     -- 1 open, 2 sealed, 3 retired
    synced INTEGER NOT NULL,    -- octets known to be on the disk; rows beyond are in doubt after a crash
    retired INTEGER NOT NULL    -- when it was retired
) WITHOUT ROWID;

CREATE TABLE account (
    account_id INTEGER PRIMARY KEY,
    login TEXT NOT NULL,
    credentials TEXT NOT NULL,
    created INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    next_mailbox_id INTEGER NOT NULL,
    next_email_id INTEGER NOT NULL,
    next_uidvalidity INTEGER NOT NULL,
    used INTEGER NOT NULL,
    quota INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX account_login ON account (login);

CREATE TABLE address (
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    account_id INTEGER NOT NULL,
    PRIMARY KEY (domain, local)
) WITHOUT ROWID;
CREATE INDEX address_account ON address (account_id);

CREATE TABLE mailbox (
    account_id INTEGER NOT NULL,
    mailbox_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL,
    highestmodseq INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    unseen INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    size INTEGER NOT NULL,
    special_use TEXT,
    is_subscribed INTEGER NOT NULL,
    created_modseq INTEGER NOT NULL,
    PRIMARY KEY (account_id, mailbox_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX mailbox_name ON mailbox (account_id, name);

CREATE TABLE email (
    account_id INTEGER NOT NULL,
    email_id INTEGER NOT NULL,
    content_id BLOB NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    size INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    has_dot_line INTEGER NOT NULL,
    refs INTEGER NOT NULL,
    PRIMARY KEY (account_id, email_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX email_content ON email (account_id, content_id);
CREATE INDEX email_segment ON email (segment, offset, size);

CREATE TABLE entry (
    account_id INTEGER NOT NULL,
    mailbox_id INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    email_id INTEGER NOT NULL,
    flagset_id INTEGER NOT NULL,
    internaldate INTEGER NOT NULL,
    savedate INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    created_modseq INTEGER NOT NULL,
    size INTEGER NOT NULL,
    uidl TEXT,
    PRIMARY KEY (account_id, mailbox_id, uid)
) WITHOUT ROWID;

CREATE TABLE expunged (
    account_id INTEGER NOT NULL,
    mailbox_id INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    expunged INTEGER NOT NULL,
    email_id INTEGER,
    flagset_id INTEGER NOT NULL,
    internaldate INTEGER NOT NULL,
    savedate INTEGER NOT NULL,
    size INTEGER NOT NULL,
    uidl TEXT,
    PRIMARY KEY (account_id, mailbox_id, uid)
) WITHOUT ROWID;
CREATE INDEX expunged_modseq ON expunged (account_id, mailbox_id, modseq);
CREATE INDEX expunged_kept ON expunged (account_id, expunged) WHERE email_id IS NOT NULL;

CREATE TABLE change (
    account_id INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    part INTEGER NOT NULL,      -- the order of what one unit of work did
    kind INTEGER NOT NULL,
    mailbox_id INTEGER NOT NULL,
    uid_lo INTEGER NOT NULL,
    uid_hi INTEGER NOT NULL,
    PRIMARY KEY (account_id, modseq, part)
) WITHOUT ROWID;

CREATE TABLE flagset (
    account_id INTEGER NOT NULL,
    flagset_id INTEGER NOT NULL,
    flags TEXT NOT NULL,        -- sorted, joined by spaces
    PRIMARY KEY (account_id, flagset_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX flagset_flags ON flagset (account_id, flags);
"""


def _first_tables(connection: apsw.Connection) -> None:
    connection.execute(TABLES)


SHARING: Final = """
CREATE TABLE grant_ (
    account_id INTEGER NOT NULL,
    mailbox_id INTEGER NOT NULL,
    identifier TEXT NOT NULL,
    rights TEXT NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, identifier)
) WITHOUT ROWID;
CREATE INDEX grant_identifier ON grant_ (identifier);

CREATE TABLE property (
    account_id INTEGER NOT NULL,
    mailbox_id INTEGER NOT NULL,  -- 0: the account's
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, kind, name)
) WITHOUT ROWID;
"""


def _sharing(connection: apsw.Connection) -> None:
    connection.execute(SHARING)


COPIES: Final = """
CREATE TABLE replica (
    account_id INTEGER NOT NULL,
    mailbox_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    remote_name TEXT NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL,
    highestmodseq INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    epochs INTEGER NOT NULL,
    object_id TEXT,
    PRIMARY KEY (account_id, mailbox_id)
) WITHOUT ROWID;

CREATE TABLE pair (
    account_id INTEGER NOT NULL,
    mailbox_id INTEGER NOT NULL,
    remote_uid INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    email_id INTEGER NOT NULL,
    flagset_id INTEGER NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, remote_uid)
) WITHOUT ROWID;
CREATE UNIQUE INDEX pair_uid ON pair (account_id, mailbox_id, uid);
CREATE INDEX pair_email ON pair (account_id, email_id);

CREATE TABLE taken (
    account_id INTEGER NOT NULL,
    uidl BLOB NOT NULL,
    size INTEGER NOT NULL,
    content_id BLOB NOT NULL,
    mailbox_id INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    state INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (account_id, uidl)
) WITHOUT ROWID;
"""


def _copies(connection: apsw.Connection) -> None:
    connection.execute(COPIES)


def _message_quota(connection: apsw.Connection) -> None:
    connection.execute("ALTER TABLE account ADD COLUMN message_quota INTEGER NOT NULL DEFAULT 0")


QUEUE: Final = """
CREATE TABLE queued (
    uid INTEGER PRIMARY KEY,
    reverse_path TEXT NOT NULL,
    account_id INTEGER NOT NULL,  -- the sender's: its rows here outlive it
    queued INTEGER NOT NULL,
    envid TEXT NOT NULL,
    ret TEXT NOT NULL,
    body TEXT NOT NULL,
    is_utf8 INTEGER NOT NULL,
    requires_tls INTEGER NOT NULL,
    token BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE queued_recipient (
    uid INTEGER NOT NULL,
    number INTEGER NOT NULL,
    address TEXT NOT NULL,
    domain TEXT NOT NULL,
    notify TEXT NOT NULL,
    orcpt TEXT NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    warned INTEGER NOT NULL,
    reply TEXT NOT NULL,
    PRIMARY KEY (uid, number)
) WITHOUT ROWID;
CREATE INDEX queued_recipient_due ON queued_recipient (domain, next_attempt) WHERE state = 1;
CREATE INDEX queued_recipient_expires ON queued_recipient (domain, warned, expires) WHERE state = 1;

CREATE TABLE submission (
    account_id INTEGER NOT NULL,
    token BLOB NOT NULL,
    submitted INTEGER NOT NULL,
    PRIMARY KEY (account_id, token)
) WITHOUT ROWID;
CREATE INDEX submission_submitted ON submission (submitted);
"""


def queue_tables(connection: apsw.Connection) -> None:
    connection.execute(QUEUE)


DOMAINS: Final = """
CREATE TABLE domain (
    name TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    dmarc TEXT NOT NULL,
    reports TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE dkim_key (
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    state INTEGER NOT NULL,
    created INTEGER NOT NULL,
    public TEXT NOT NULL,
    private BLOB NOT NULL,
    PRIMARY KEY (domain, selector)
) WITHOUT ROWID;
"""


def domain_tables(connection: apsw.Connection) -> None:
    connection.execute(DOMAINS)


MIGRATIONS: Final[tuple[Callable[[apsw.Connection], None], ...]] = (
    _first_tables,
    _sharing,
    _copies,
    _message_quota,
    queue_tables,
    domain_tables,
)
VERSION: Final = len(MIGRATIONS)


def migrate(connection: apsw.Connection) -> None:
    """Bring the index to the newest schema; SchemaTooNew when it is beyond it."""
    while (found := _version(connection)) < VERSION:
        with immediate(connection):
            if _version(connection) != found:  # another process was faster
                continue
            MIGRATIONS[found](connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {found + 1}")
    if found > VERSION:
        raise SchemaTooNew(found)


def is_current(connection: apsw.Connection) -> bool:
    """Whether there is nothing to migrate."""
    return _version(connection) == VERSION


def _version(connection: apsw.Connection) -> int:
    return int(value(connection, "PRAGMA user_version"))
