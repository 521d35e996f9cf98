"""`postwren export`: an account's mail into files."""

import os
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from postwren.archive.item import ArchivedMessage, to_lf
from postwren.archive.maildir import write_maildir
from postwren.archive.mbox import write_mbox
from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, find_account, print_json, with_store
from postwren.mailstore.errors import BodyCorrupt, NoSuchMailbox
from postwren.mailstore.model import Account, Entry, Mailbox
from postwren.mailstore.port import Store
from postwren.mailstore.service.flags import FlagSets
from postwren.mailstore.service.mailboxname import canonical
from postwren.terms import INBOX

WINDOW = 20_000  # UIDs read at once


class Format(StrEnum):
    """What kind of files."""

    MAILDIR = "maildir"
    MBOX = "mbox"
    EML = "eml"


def export(
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The account.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A new folder; or, for one mailbox, a new .mbox or .eml file.")],
    mailbox: Annotated[str | None, typer.Option("--mailbox", metavar="NAME", help="Only this one.")] = None,
    form: Annotated[Format | None, typer.Option("--format", help="By default maildir, or what PATH's ending says.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Copy an account's mail to PATH; nothing is removed from the server."""
    kind = form or {".mbox": Format.MBOX, ".eml": Format.EML}.get(path.suffix.lower(), Format.MAILDIR)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        fail(f"{path} exists already; choose a new name")
    os.umask(0o077)  # what nobody else may read here, nobody else may read there
    damaged: list[str] = []

    async def work(store: Store, _: Place) -> None:
        account = find_account(store.reader, login)
        boxes = _chosen(store, account, mailbox if mailbox or kind is Format.MAILDIR or path.suffix == "" else INBOX)
        count = WRITERS[kind](path, _with_progress(_messages(store, boxes, damaged), sum(box.messages for box in boxes)))
        if as_json:
            print_json({"messages": count, "path": str(path), "damaged": damaged})
        else:
            print(f"{count} messages in {path}")
        if damaged:
            fail(f"{len(damaged)} damaged messages are not there ({', '.join(damaged)}); run `postwren check`")

    with_store(data, config, work, only_reads=True)


def _chosen(store: Store, account: Account, name: str | None) -> list[Mailbox]:
    if name is None:
        return store.reader.mailboxes(account.account_id)
    box = store.reader.mailbox_by_name(account.account_id, canonical(name))
    if box is None:
        raise NoSuchMailbox(name)
    return [box]


def _messages(store: Store, boxes: list[Mailbox], damaged: list[str]) -> Iterator[ArchivedMessage]:
    for box in boxes:
        flagsets = FlagSets(store.reader, box.account_id)
        for entry in _entries(store, box):
            email = store.reader.email(box.account_id, entry.email_id)
            if email is None:
                continue  # expunged meanwhile
            source = f"{box.name}, UID {entry.uid}"
            try:
                octets = store.read_body(email.body)
            except BodyCorrupt:
                damaged.append(source)
                continue
            yield ArchivedMessage(box.name, octets, flagsets[entry.flagset_id], entry.internaldate, source)


def _entries(store: Store, box: Mailbox) -> Iterator[Entry]:
    for lo in range(1, box.uidnext, WINDOW):
        yield from store.reader.entries(box.account_id, box.mailbox_id, [(lo, lo + WINDOW - 1)])


def _with_progress(messages: Iterable[ArchivedMessage], total: int) -> Iterator[ArchivedMessage]:
    for number, message in enumerate(messages, 1):
        yield message
        if sys.stderr.isatty() and (number % 100 == 0 or number == total):
            print(f"\r{number} of {total}", end="\n" if number == total else "", file=sys.stderr, flush=True)


def _write_mbox(path: Path, messages: Iterator[ArchivedMessage]) -> int:
    if path.suffix.lower() == ".mbox":
        with path.open("xb") as file:
            return write_mbox(file, messages)
    path.mkdir(exist_ok=True)
    count = 0
    for message in messages:
        with (path / (message.mailbox.replace("%", "%25").replace("/", "%2F") + ".mbox")).open("ab") as file:
            count += write_mbox(file, [message])
    return count


def _write_eml(path: Path, messages: Iterator[ArchivedMessage]) -> int:
    if path.suffix.lower() == ".eml":
        first = next(messages, None)
        if first is None:
            fail("the mailbox is empty")
        if next(messages, None) is not None:
            fail("more than one message: give a folder for .eml files")
        path.write_bytes(to_lf(first.octets))
        return 1
    path.mkdir(exist_ok=True)
    count = 0
    for count, message in enumerate(messages, 1):
        (path / f"{count:06d}.eml").write_bytes(to_lf(message.octets))
    return count


WRITERS = {Format.MAILDIR: write_maildir, Format.MBOX: _write_mbox, Format.EML: _write_eml}
