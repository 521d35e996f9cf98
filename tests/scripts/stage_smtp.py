"""The stage of SMTP and LMTP dialogues: a store with accounts, a session on a loopback link, and what must be kept.

@ lmtp                       an LMTP session          @ tls          TLS is on from the start
@ submission                 a submission session; `@ free`: of any author; `@ stays`: nothing leaves; `@ shown`: the client is
@ login                      AUTH is offered          @ set N V      a setting of `SmtpSettings`
@ account LOGIN [QUOTA]      ann and bob are there    @ address A L  another address (`*@domain`: catch-all)
@ whole                      not cut: the case is about octets that come together
@ keeps LOGIN N              afterwards, so many messages (0 for all accounts that are not named)
@ sent LOGIN                 the account wants a copy of what it submits       @ hourly LIMIT N   of `Allowance`
@ copies LOGIN N             afterwards, so many in its mailbox for sent mail, all read
@ queue N                    afterwards, so many recipients wait in the queue
@ holds LOGIN TEXT           afterwards, the last message ends in this (escapes as in `C:`, `_` for a space)
@ refuses ERROR              the store refuses every write     @ peer ADDRESS   where the client is
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from postwren.delivery.queue import Accept
from postwren.delivery.signing import Signers
from postwren.mailstore import invariant
from postwren.mailstore.errors import OverQuota, StoreClosed, StoreFailed, StoreFull
from postwren.mailstore.model import Credentials
from postwren.mailstore.port import NewBody, Store, Unit, WriteDone
from postwren.mailstore.service.accounts import add_address, create_account
from postwren.mailstore.service.sent import set_wish
from postwren.server.login import Authenticator, LoginPolicy, make_credentials
from postwren.server.smtp.allowance import Allowance
from postwren.server.smtp.allowance import Limits as AllowanceLimits
from postwren.server.smtp.directory import Directory
from postwren.server.smtp.session import SmtpSession
from postwren.server.smtp.settings import SUBMISSION, SmtpSettings
from postwren.server.smtp.submission import Desk, SubmissionSession
from postwren.terms import Address
from postwren.testing.loopback import PLAYED_TLS, LoopbackLink
from postwren.testing.pattern import unescape
from postwren.testing.play import play
from postwren.testing.script import Case, Cut
from postwren.transport.session import Peer
from postwren.wire.secret import Secret

NOW: Final = 1_700_000_000
HOLD: Final = 86_400
QUEUE_NOW: Final = 1_000_000
CREDENTIALS: Final = Credentials("", {})
ACCEPT: Final = Accept(lambda: QUEUE_NOW)
_ERRORS: Final[dict[str, Exception]] = {
    "StoreFull": StoreFull(),
    "StoreFailed": StoreFailed(),
    "StoreClosed": StoreClosed(),
    "OverQuota": OverQuota(1, 1),
    "bug": ZeroDivisionError(),
}
_proved: list[Credentials] = []


class RefusingStore:
    """A store whose writes all end in `error`, before or after they happened."""

    def __init__(self, store: Store, error: Exception) -> None:
        self._store = store
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, unit: Unit[Any], bodies: Sequence[NewBody], done: WriteDone[Any]) -> None:
        def refuse(_tx: Any) -> Any:
            raise self._error

        self._store.write(refuse, bodies, done)


def credentials_of(password: str) -> Credentials:
    """Of "secret", hashed once: it takes its time."""
    if not _proved:
        _proved.append(make_credentials(Secret(password), os.urandom))
    return _proved[0]


async def make_accounts(store: Store, case: Case) -> None:
    proof = credentials_of("secret") if ["login"] in case.stage else CREDENTIALS
    accounts = [["ann@example.org"], ["bob@example.org"], *(words[1:] for words in case.stage if words[0] == "account")]
    for login, *quota in accounts:
        await store.perform(create_account(login, proof, NOW, *map(int, quota)))
    for words in case.stage:
        if words[0] == "address":
            local, _, domain = words[1].rpartition("@")
            account = store.reader.account_by_login(words[2])
            assert account is not None
            await store.perform(add_address(account.account_id, Address("" if local == "*" else local, domain)))
        if words[0] == "sent":
            account = store.reader.account_by_login(words[1])
            assert account is not None
            await store.perform(set_wish(account.account_id, account.login, True))


def make_settings(case: Case) -> SmtpSettings:
    settings = SmtpSettings("mx.example.org", is_lmtp=["lmtp"] in case.stage, postmaster=Address("bob", "example.org"))
    for words in case.stage:
        if words[0] == "set":
            changed: dict[str, Any] = {words[1]: int(words[2])}
            settings = replace(settings, **changed)
    return settings


def make_submission(case: Case, store: Store, login: Authenticator | None) -> SmtpSession:
    assert login is not None, "a submission needs @ login"
    settings = replace(make_settings(case), require_auth=True, extensions=SUBMISSION, hold_seconds=HOLD)
    limits = {words[1]: int(words[2]) for words in case.stage if words[0] == "hourly"}
    desk = Desk(
        settings,
        store,
        Directory(store, settings.separator, lambda: NOW, 0),
        login,
        Allowance(AllowanceLimits(**limits), lambda: NOW),
        Signers(store.reader),
        ACCEPT,
        lambda: NOW,
        bytes,
        is_relaying=["stays"] not in case.stage,
        is_free=["free"] in case.stage,
        shows_client=["shown"] in case.stage,
    )
    return SubmissionSession(desk)


async def no_sleep(_seconds: float) -> None:
    """Failed logins are slowed down elsewhere."""


async def run(case: Case, cut: Cut, store: Store) -> None:
    """Play it, then see what was kept, that no bug came up, and that the store is in order."""
    await make_accounts(store, case)
    login = (
        Authenticator(store, LoginPolicy(), now=lambda: NOW, random=os.urandom, sleep=no_sleep)
        if ["login"] in case.stage
        else None
    )
    refused = [_ERRORS[words[1]] for words in case.stage if words[0] == "refuses"]
    front: Any = RefusingStore(store, refused[0]) if refused else store
    peer = next((Peer(words[1], 4000) for words in case.stage if words[0] == "peer"), Peer("192.0.2.1", 4000))
    session = make_submission(case, front, login) if ["submission"] in case.stage else None
    session = session or SmtpSession(make_settings(case), front, login, lambda: NOW)
    link = LoopbackLink(session, peer, PLAYED_TLS if ["tls"] in case.stage else None)
    await play(case, link, cut)
    if not link.is_closed:
        link.drop()
    check_kept(case, store)
    if login is not None:
        login.close()
    store.close()


def kept(store: Store, login: str) -> list[bytes]:
    """The messages in an account's INBOX."""
    account = store.reader.account_by_login(login)
    assert account is not None
    inbox = store.reader.mailbox_by_name(account.account_id, "INBOX")
    assert inbox is not None
    emails = [
        store.reader.email(account.account_id, entry.email_id)
        for entry in store.reader.entries(account.account_id, inbox.mailbox_id)
    ]
    return [store.read_body(email.body) for email in emails if email is not None]


def check_kept(case: Case, store: Store) -> None:
    expected = {words[1]: int(words[2]) for words in case.stage if words[0] == "keeps"}
    copies = {words[1]: int(words[2]) for words in case.stage if words[0] == "copies"}
    assert store.reader.queue_size()[1] == sum(int(words[1]) for words in case.stage if words[0] == "queue"), case.name
    for account in store.reader.accounts():
        sent = store.reader.mailbox_by_name(account.account_id, "Sent")
        assert (sent.messages if sent is not None else 0) == copies.get(account.login, 0), (case.name, account.login)
        assert sent is None or sent.unseen == 0
        assert len(kept(store, account.login)) == expected.get(account.login, 0), (case.name, account.login)
    for words in case.stage:
        if words[0] == "holds":
            text = unescape(words[2].replace("_", " ").encode())
            assert kept(store, words[1])[-1].endswith(text), (case.name, kept(store, words[1])[-1])
    assert list(invariant.check(store.reader, store.body_pieces)) == []


class Records(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


OpenStore = Callable[[], Store]
