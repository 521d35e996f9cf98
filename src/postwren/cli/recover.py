"""`postwren recover`, and what `postwren sync undo` shares with it: what was deleted within 30 days comes back."""

import re
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, find_account, print_json, with_store
from postwren.mailstore.errors import BodyCorrupt
from postwren.mailstore.model import Account, Expunged
from postwren.mailstore.port import Reader, Store
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import FlagSets
from postwren.mailstore.service.mailboxname import canonical
from postwren.mailstore.service.undelete import recover, recoverable
from postwren.message.encodedword import decode_words
from postwren.message.header import read_header
from postwren.sync.run import last_run
from postwren.terms import INBOX, AccountId, MailboxId, SpecialUse

__all__ = ["CopiesOption", "ListOption", "MailboxOption", "SinceOption", "bring_back", "moment", "recover_", "wanted"]

AT_ONCE: Final = 500
_HEAD: Final = 16_384  # octets in which the subject is looked for
_AGO: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}

SinceOption = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="30m, 2h, 3d, 1w, 2026-11-24 or last-run. [default: 30 days]")
]
MailboxOption = Annotated[str, typer.Option("--mailbox", metavar="NAME", help="Only from this one. [default: all]")]
ListOption = Annotated[bool, typer.Option("--list", help="Only show what would come back.")]
CopiesOption = Annotated[
    bool, typer.Option("--copies", help="Also what another mailbox (but the trash) still holds: it was moved, as a rule.")
]


def recover_(
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The account.")],
    since: SinceOption = "",
    mailbox: MailboxOption = "",
    only_list: ListOption = False,
    copies: CopiesOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Bring back deleted mail, whoever deleted it, into its mailbox with its flags and dates."""

    async def work(store: Store, _: Place) -> None:
        account = find_account(store.reader, login)
        rows = await store.read(partial(wanted, account, since=since, mailbox=mailbox, copies=copies))
        await bring_back(store, account, rows, only_list=only_list, as_json=as_json)

    with_store(data, config, work, only_reads=only_list)


def moment(text: str, now: float, last: dict[str, Any] | None) -> int:
    """Seconds since 1970 of a WHEN; `last` is the last run. Raises BadParameter."""
    if not text:
        return 0
    if text == "last-run":
        if last is None:
            raise typer.BadParameter("no run of `postwren sync` is known: say 2h, 3d or a date")
        return int(min(last.get("begun", last["at"]), last["at"] - last.get("seconds", 0)))
    if found := re.fullmatch(r"([0-9]{1,6})([mhdw])", text):
        return int(now) - int(found[1]) * _AGO[found[2]]
    with suppress(ValueError):
        return int(datetime.fromisoformat(text).timestamp())
    raise typer.BadParameter(f"{text!r} is no moment: say 30m, 2h, 3d, 1w, 2026-11-24 or last-run")


def wanted(account: Account, reader: Reader, *, since: str, mailbox: str, copies: bool) -> list[Expunged]:
    """What is to come back."""
    account_id = account.account_id
    begin = moment(since, time.time(), last_run(reader, account_id))
    mailbox_id: MailboxId | None = None
    if mailbox:
        found = reader.mailbox_by_name(account_id, canonical(mailbox))
        if found is None:
            raise typer.BadParameter(f"no mailbox {mailbox!r}; what was in a deleted one comes back to INBOX without --mailbox")
        mailbox_id = found.mailbox_id
    rows = [row for row in recoverable(reader, account_id, mailbox_id) if row.expunged >= begin]
    if copies or not rows:
        return rows
    held = _held(reader, account_id)
    return [row for row in rows if row.email_id not in held]


def _held(reader: Reader, account_id: AccountId) -> set[int]:
    """Emails that some mailbox but the trash holds."""
    held: set[int] = set()
    for mailbox in reader.mailboxes(account_id):
        if mailbox.special_use is not SpecialUse.TRASH:
            held.update(reader.pick(account_id, mailbox.mailbox_id, None, ("email_id",))[0])
    return held


async def bring_back(store: Store, account: Account, rows: Sequence[Expunged], *, only_list: bool, as_json: bool) -> None:
    """Do it, or with `only_list` show it. A quota that is too small is raised; what came before stays."""
    if only_list:
        await _show(store, account.account_id, rows, as_json=as_json)
        return
    by_mailbox: dict[MailboxId, list[int]] = defaultdict(list)
    for row in rows:
        by_mailbox[row.mailbox_id].append(row.uid)
    came: dict[str, int] = defaultdict(int)
    for mailbox_id, uids in by_mailbox.items():
        for start in range(0, len(uids), AT_ONCE):
            unit = recover(account.account_id, mailbox_id, uidrange.of(uids[start : start + AT_ONCE]), int(time.time()))
            done = await store.perform(unit)
            where = store.reader.mailbox(account.account_id, done.mailbox_id)
            came[where.name if where is not None else INBOX] += len(done.destination)
    if as_json:
        print_json({"account": account.login, "recovered": sum(came.values()), "mailboxes": came})
        return
    where_to = ", ".join(f"{count:,} in {name}" for name, count in sorted(came.items()) if count)
    print(f"{account.login}: {sum(came.values()):,} messages brought back{': ' if where_to else ''}{where_to}")


async def _show(store: Store, account_id: AccountId, rows: Sequence[Expunged], *, as_json: bool) -> None:
    shown = []
    for start in range(0, len(rows), AT_ONCE):
        some = await store.read(partial(_described, store, account_id, rows[start : start + AT_ONCE]))
        if as_json:
            shown += some
        for row in some if not as_json else ():
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["deleted"]))
            print(f"{when}\t{row['mailbox'] or INBOX}\t{row['size']:,} octets\t{row['subject']}")
    if as_json:
        print_json(shown)


def _described(store: Store, account_id: AccountId, rows: Sequence[Expunged], reader: Reader) -> list[dict[str, Any]]:
    """Each as `--json` has it; `mailbox` is None where that was deleted."""
    names = {mailbox.mailbox_id: mailbox.name for mailbox in reader.mailboxes(account_id)}
    flagsets = FlagSets(reader, account_id)
    emails = {email.email_id: email for email in reader.emails_of(account_id, sorted({row.email_id or 0 for row in rows}))}
    described: list[dict[str, Any]] = []
    for row in rows:
        email = None if row.email_id is None else emails.get(row.email_id)
        subject = b""
        with suppress(BodyCorrupt, OSError):
            head = b"" if email is None else store.read_body(email.body, 0, min(email.body.size, _HEAD))
            subject = read_header(head).first(b"subject") or b""
        text = "".join(letter if letter.isprintable() else " " for letter in decode_words(subject)).strip()
        described.append(
            {
                "mailbox": names.get(row.mailbox_id),
                "deleted": row.expunged,
                "date": row.internaldate,
                "size": row.size,
                "flags": sorted(flagsets[row.flagset_id]),
                "subject": text,
            }
        )
    return described
