"""`postwren account`: who owns mail."""

import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from postwren.cli.address import show_address
from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, find_account, print_json, with_store
from postwren.cli.credential import credentials_of
from postwren.mailstore.model import Account, Credentials
from postwren.mailstore.port import Reader, Store
from postwren.mailstore.service.accounts import create_account, remove_account, set_credentials, set_quota
from postwren.mailstore.service.placement import messages_of
from postwren.mailstore.service.sent import set_wish, wants_copy
from postwren.wire.secret import Secret

app = typer.Typer(help="Add, list and remove accounts.", no_args_is_help=True)

PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
LoginArgument = Annotated[str, typer.Argument(metavar="LOGIN", help="The account's login: its address.")]
TOGETHER = 50  # accounts made in one unit of work


@app.command("add")
def add(
    login: Annotated[str | None, typer.Argument(metavar="LOGIN", help="The account's login: its address.")] = None,
    password_stdin: PasswordStdin = False,
    source: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="Lines of LOGIN, a tab, password; - is stdin.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Add an account, or many from a file; also while the server runs."""
    if (login is None) == (source is None):
        raise typer.BadParameter("give either a LOGIN or --from FILE")
    if source is not None:
        wanted = list(_lines(source))
    else:
        wanted = [(login or "", _password(password_stdin))]

    async def work(store: Store, _: Place) -> None:
        with ThreadPoolExecutor(2) as pool:
            hashed = pool.map(lambda pair: (pair[0], credentials_of(pair[1])), wanted)
            group: list[tuple[str, Credentials]] = []
            for number, pair in enumerate(hashed, 1):
                group.append(pair)
                if len(group) == TOGETHER or number == len(wanted):
                    await _create(store, group)
                    group = []
                    _progress(number, len(wanted))

    with_store(data, config, work)


async def _create(store: Store, group: list[tuple[str, Credentials]]) -> None:
    now = int(time.time())
    units = [create_account(login, credentials, now) for login, credentials in group]
    await store.perform(lambda tx: [unit(tx) for unit in units])


@app.command("list")
def list_(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Show the accounts with their mail and size."""

    async def work(store: Store, _: Place) -> None:
        rows = []
        for account in list(store.reader.accounts()):
            boxes = store.reader.mailboxes(account.account_id)
            addresses = sorted(show_address(row.address) for row in store.reader.addresses(account.account_id))
            rows.append(
                {
                    "login": account.login,
                    "messages": sum(b.messages for b in boxes),
                    "octets": account.used,
                    "addresses": addresses,
                }
            )
        if as_json:
            print_json(rows)
        for row in rows if not as_json else ():
            print(f"{row['login']}\t{row['messages']} messages\t{row['octets']:,} octets")

    with_store(data, config, work, only_reads=True)


@app.command("password")
def password(
    login: LoginArgument, password_stdin: PasswordStdin = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Change an account's password; the old one stops at once."""
    secret = _password(password_stdin)

    async def work(store: Store, _: Place) -> None:
        account = find_account(store.reader, login)
        await store.perform(set_credentials(account.account_id, credentials_of(secret)))

    with_store(data, config, work)


@app.command("quota")
def quota(
    login: LoginArgument,
    size: Annotated[
        str | None, typer.Argument(metavar="[SIZE|none]", help="Octets, with K, M, G (thousands) or KiB, MiB, GiB (1,024s).")
    ] = None,
    messages: Annotated[str | None, typer.Option(metavar="N|none", help="How many messages it may keep.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Set what an account may keep; without a limit to set, show what it keeps. It counts at once, also in a running server."""
    octets, count = _size(size), _count(messages)

    async def work(store: Store, _: Place) -> None:
        account = find_account(store.reader, login)
        if octets is not None or count is not None:
            new_octets = account.quota if octets is None else octets
            new_count = account.message_quota if count is None else count
            await store.perform(set_quota(account.account_id, new_octets, new_count))
            account = find_account(store.reader, login)
        _show_quota(store.reader, account, as_json)

    with_store(data, config, work, only_reads=octets is None and count is None)


def _show_quota(reader: Reader, account: Account, as_json: bool) -> None:
    messages = messages_of(reader, account)
    if as_json:
        limits = {"octets_limit": account.quota or None, "messages_limit": account.message_quota or None}
        print_json({"login": account.login, "octets": account.used, "messages": messages, **limits})
        return
    octets_limit = f" of {account.quota:,}" if account.quota else ""
    messages_limit = f" of {account.message_quota:,}" if account.message_quota else ""
    print(f"{account.login}\t{account.used:,}{octets_limit} octets\t{messages:,}{messages_limit} messages")


@app.command("sent")
def sent(
    login: LoginArgument,
    wish: Annotated[str | None, typer.Argument(metavar="[on|off]", help="Whether the server keeps the copy.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Keep a copy of what the account submits in its mailbox for sent mail; not where the mail program does that. Without a word,
    show how it is."""
    if wish not in (None, "on", "off"):
        raise typer.BadParameter("say on or off")

    async def work(store: Store, _: Place) -> None:
        account = find_account(store.reader, login)
        if wish is not None:
            await store.perform(set_wish(account.account_id, account.login, wish == "on"))
        is_wanted = wants_copy(store.reader, account.account_id, account.login)
        print(f"{account.login}\t{'the server keeps a copy' if is_wanted else 'no copy is kept by the server'}")

    with_store(data, config, work, only_reads=wish is None)


@app.command("remove")
def remove(
    login: LoginArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove an account with all its mail. This cannot be undone."""

    async def work(store: Store, _: Place) -> None:
        account = find_account(store.reader, login)
        if not yes:
            count = sum(box.messages for box in store.reader.mailboxes(account.account_id))
            if not sys.stdin.isatty():
                fail(f"{account.login} has {count} messages; say --yes to remove them")
            typer.confirm(f"Remove {account.login} and its {count} messages for ever?", abort=True)
        await store.perform(remove_account(account.account_id))

    with_store(data, config, work)


_SIZE = re.compile(r"([0-9]{1,15})\s*(?:([KMGT])(i?)B?)?", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}
MOST = 2**62  # what a limit can be, octets


def _size(text: str | None) -> int | None:
    if text is None or text == "none":
        return None if text is None else 0
    found = _SIZE.fullmatch(text)
    octets = int(found[1]) * (1024 if found[3] else 1000) ** _POWERS.get((found[2] or "").upper(), 0) if found else 0
    if not 0 < octets <= MOST:
        raise typer.BadParameter(f"{text!r} is no size: say 5G, 500M, 1048576 or none")
    return octets


def _count(text: str | None) -> int | None:
    if text is None or text == "none":
        return None if text is None else 0
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 12 and int(text)):
        raise typer.BadParameter(f"{text!r} is no number of messages: say 10000, or none")
    return int(text)


def _password(from_stdin: bool) -> Secret[str]:
    if from_stdin:
        text = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        text = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        raise typer.BadParameter("no terminal to ask on: say --password-stdin and send the password")
    if not text:
        fail("the password is empty")
    return Secret(text)


def _lines(source: str) -> Iterator[tuple[str, Secret[str]]]:
    octets = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        fail(f"{source}, line {line}: not UTF-8")
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        login, tab, word = line.partition("\t")
        if not (tab and login and word):
            fail(f"{source}, line {number}: expected LOGIN, a tab, password")
        yield login, Secret(word)


def _progress(done: int, total: int) -> None:
    if total > TOGETHER and sys.stderr.isatty():
        print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
