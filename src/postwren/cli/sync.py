"""`postwren sync`: the device. A copy of an account that lives elsewhere, as an account of the same name here."""

import asyncio
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, print_json, with_store
from postwren.cli.credential import credentials_of
from postwren.cli.explanation import explain
from postwren.cli.outbox import app as outbox
from postwren.cli.progress import Teller
from postwren.cli.recover import CopiesOption, ListOption, MailboxOption, SinceOption, bring_back, wanted
from postwren.cli.trouble import said
from postwren.client.conversation import Security
from postwren.mailstore.errors import LoginInvalid, MailstoreError
from postwren.mailstore.port import Reader, Store, Transaction
from postwren.mailstore.service.accounts import canonical_login, create_account
from postwren.sync.report import Failed, size
from postwren.sync.run import account_of, identify, run, try_login, under_lock
from postwren.sync.secret import forget_secret, keep_secret, run_command
from postwren.sync.settings import (
    DEFAULT_PORTS,
    Choices,
    Deletion,
    KeptIn,
    Protocol,
    Settings,
    all_settings,
    file_of,
    is_loopback,
    load_settings,
    remove_settings,
    save_settings,
)
from postwren.wire.secret import Secret

if TYPE_CHECKING:
    from postwren.sync.discover import Server

app = typer.Typer(help="Keep a copy of an account that lives on another server.", no_args_is_help=True)
app.add_typer(outbox, name="outbox")

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="The account, as its address.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
PasswordCommand = Annotated[
    str, typer.Option("--password-command", metavar="CMD", help="What prints the password, run at every run.")
]
TokenCommand = Annotated[
    str, typer.Option("--token-command", metavar="CMD", help="What prints a token (OAUTHBEARER, XOAUTH2), run at every run.")
]


@app.command("add")
def add(
    address: AddressArgument,
    imap: Annotated[str, typer.Option("--imap", metavar="HOST[:PORT]", help="Two ways: the mail stays there.")] = "",
    pop3: Annotated[str, typer.Option("--pop3", metavar="HOST[:PORT]", help="One way: the mail is taken.")] = "",
    tls: Annotated[Security | None, typer.Option(help="[default: as the port has it; none is for this machine only]")] = None,
    smtp: Annotated[
        str, typer.Option("--smtp", metavar="HOST[:PORT]", help="By which mail written here leaves; none: it does not.")
    ] = "",
    login: Annotated[str, typer.Option(metavar="NAME", help="[default: ADDRESS]", show_default=False)] = "",
    password_stdin: PasswordStdin = False,
    password_command: PasswordCommand = "",
    token_command: TokenCommand = "",
    delete: Annotated[str, typer.Option(help="By POP3, when: at-once, never, after:DAYS or with-local.")] = "at-once",
    trust: Annotated[
        str, typer.Option(metavar="FILE", help="Certificates to trust instead of the system's.", show_default=False)
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Agree to what was found, where one would be asked.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Begin to keep a copy: find the server, log in, say what will be done, and remember it. Nothing is fetched yet."""
    if imap and pop3:
        raise typer.BadParameter("--imap or --pop3")
    if tls is not None and not (imap or pop3):
        raise typer.BadParameter("--tls goes with --imap or --pop3; what is found has TLS")
    if sum(map(bool, (password_stdin, password_command, token_command))) > 1:
        raise typer.BadParameter("one of --password-stdin, --password-command and --token-command")
    by_pop3 = Deletion(delete).told()
    given = _server("pop3" if pop3 else "imap", pop3 or imap, tls) if pop3 or imap else None
    kept_in: KeptIn = "password-command" if password_command else "token-command" if token_command else "file"
    command, trusted = password_command or token_command, str(Path(trust).absolute()) if trust else ""

    async def work(store: Store, place: Place) -> None:
        canonical = canonical_login(store.reader, address)
        if canonical is None or "@" not in canonical:
            raise LoginInvalid(address, "not an address")
        if file_of(place.data, canonical, ".toml").exists():
            fail(
                f"{canonical} is synchronised already; `postwren sync list` shows how, `postwren sync remove {canonical}` ends it"
            )
        (protocol, host, port, security, name), submission = (
            (given, ()) if given else await _found(canonical, trusted, by_pop3, is_agreed=yes)
        )
        name = login or name or canonical
        wanted = Settings(canonical, protocol, host, port, security, name, kept_in, "", command, "", trusted, delete)
        secret = run_command(wanted.command) if wanted.command else _password(password_stdin)
        mechanism, version, there = await try_login(wanted, secret)
        wanted, leaves = await _way_out(store, wanted, secret, smtp, tls, submission, is_agreed=yes)
        is_new = store.reader.account_by_login(canonical) is None
        settings = await _write(store, place, msgspec.structs.replace(wanted, mechanism=mechanism), secret)
        print(f"{host}:{port} lets {settings.login} in ({mechanism}, {version or 'no TLS'}): {there}.")
        how = by_pop3 if protocol == "pop3" else "what is changed here or there is changed on the other side by the next run"
        print(f"`postwren sync run {canonical}` brings them here; {how}.")
        print(leaves)
        print(_said_of_account(canonical, is_new, is_token=bool(token_command)))

    with_store(data, config, said(work))


async def _write(store: Store, place: Place, wanted: Settings, secret: Secret[str]) -> Settings:
    """The account and the store's identity in one unit, the secret, and last the settings: without them nothing is."""
    own = Secret(secrets.token_urlsafe(24)) if wanted.kept_in == "token-command" else secret
    credentials = credentials_of(own)
    creating = create_account(wanted.address, credentials, int(time.time()))

    def unit(tx: Transaction) -> str:
        if tx.account_by_login(wanted.address) is None:
            creating(tx)
        return identify(tx)

    identity = await store.perform(unit)
    settings = msgspec.structs.replace(wanted, store=identity)
    try:
        if not settings.command:
            settings = msgspec.structs.replace(settings, kept_in=keep_secret(place.data, settings.address, secret))
        save_settings(place.data, settings)
    except BaseException:
        forget_secret(place.data, settings)
        raise
    return settings


def _said_of_account(address: str, is_new: bool, *, is_token: bool) -> str:
    if not is_new:
        return f"They come into the account {address}, which is here already; its password here stays as it is."
    if is_token:
        return f"They come into an account {address} here; `postwren account password {address}` gives it a password here."
    return f"They come into an account {address} here, which has the same password: `postwren serve` shows it to mail programs."


@app.command("run")
def run_(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="One account. [default: all]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="Carry out deletions that were held because they are many.")
    ] = False,
    accept_renumbering: Annotated[
        bool, typer.Option("--accept-renumbering", help="Look again at mailboxes whose UIDVALIDITY kept changing.")
    ] = False,
    watches: Annotated[
        bool, typer.Option("--watch", help="Stay, and synchronise at once whatever changes here or there, until SIGTERM.")
    ] = False,
    every: Annotated[
        int,
        typer.Option("--every", metavar="MINUTES", min=1, max=25, help="With --watch: how often to look at what nobody tells."),
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line on stdout, as it goes.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Synchronise. It may be interrupted at any moment; the next run goes on from there."""
    if watches and dry_run:
        raise typer.BadParameter("--watch acts, and --dry-run does not: say one of them")
    choices = Choices(accept_deletions, accept_renumbering, dry_run)

    async def work(store: Store, place: Place) -> bool:
        chosen = _chosen(store.reader, place, address)
        with Teller(as_json=as_json) as tell:
            if watches:
                from postwren.cli.sending import sending
                from postwren.sync.alarm import Pace
                from postwren.sync.watch import watch

                stop = _stopped_by_signal()
                async with sending(store, place.data, tell):
                    await watch(store, place.data, chosen, tell, time.time, choices, stop, explain, Pace(poll=60.0 * every))
                return True
            if not dry_run:
                await _send(store, place, chosen, tell)
            outcomes = [await _run(store, place, settings, tell, choices) for settings in chosen]
        return all(outcomes)

    if not with_store(data, config, said(work)):
        raise typer.Exit(1)


def _stopped_by_signal() -> asyncio.Event:
    """Set by SIGTERM and Ctrl-C from now on."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _send(store: Store, place: Place, chosen: Sequence[Settings], tell: Teller) -> None:
    """What waits in the outboxes, before its copies in Sent go up."""
    if store.reader.queue_size() == (0, 0):  # what sends is loaded where there is something to send
        return
    from postwren.cli.sending import send_all

    await send_all(store, place.data, chosen, tell)


async def _run(store: Store, place: Place, settings: Settings, tell: Teller, choices: Choices) -> bool:
    try:
        return await run(store, place.data, settings, tell, time.time, choices)
    except MailstoreError as error:
        tell(Failed(settings.address, explain(error)))
        return False


def _chosen(reader: Reader, place: Place, address: str | None) -> Sequence[Settings]:
    if address is not None:
        return [load_settings(place.data, _canonical(reader, address))]
    found = all_settings(place.data)
    if not found:
        fail("nothing is synchronised here yet; `postwren sync add ADDRESS` begins")
    return found


@app.command("verify")
def verify_(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="One account. [default: all]")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes and headers, not every octet there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line on stdout, as it goes.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Compare the copy with the server, and every message here with what it was. Ends with 1 where they differ."""

    async def work(store: Store, place: Place) -> bool:
        from postwren.sync.verify import verify

        chosen = _chosen(store.reader, place, address)
        with Teller(as_json=as_json) as tell:
            outcomes = [await verify(store, place.data, settings, tell, time.time, is_quick=quick) for settings in chosen]
        return all(outcomes)

    if not with_store(data, config, said(work)):
        raise typer.Exit(1)


@app.command("undo")
def undo(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="The account. [default: the only one]")] = None,
    since: SinceOption = "",
    mailbox: MailboxOption = "",
    only_list: ListOption = False,
    copies: CopiesOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Bring back what a run deleted here, or anybody, within 30 days. By IMAP the next run sends it to the server again."""

    async def work(store: Store, place: Place) -> None:
        chosen = _chosen(store.reader, place, address)
        if len(chosen) > 1:
            fail(f"which one? {', '.join(settings.address for settings in chosen)}")
        with nullcontext() if only_list else under_lock(place.data, chosen[0].address):
            account = account_of(store, chosen[0])
            rows = await store.read(partial(wanted, account, since=since, mailbox=mailbox, copies=copies))
            await bring_back(store, account, rows, only_list=only_list, as_json=as_json)

    with_store(data, config, said(work), only_reads=only_list)


@app.command("list")
def list_(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Show what is synchronised with what."""

    async def work(_: Store, place: Place) -> None:
        rows = [msgspec.to_builtins(settings) | {"delete": settings.delete} for settings in all_settings(place.data)]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            server = f"{row['protocol']}://{row['host']}:{row['port']} ({row['tls']})"
            print(f"{row['address']}\t{server}\tas {row['login']}\tdelete {row['delete']}")

    with_store(data, config, said(work), only_reads=True)


@app.command("status")
def status(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="One account. [default: all]")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Say what is where, and how the last run ended."""

    async def work(store: Store, place: Place) -> None:
        from postwren.sync.status import status_of

        rows = []
        for settings in _chosen(store.reader, place, address):
            account = store.reader.account_by_login(settings.address)
            rows.append(await store.read(partial(status_of, settings=settings, account=account)))
        if as_json:
            print_json(rows)
        for row in rows if not as_json else ():
            here = f"{row['messages']:,} messages here ({size(row['octets'])})"
            print(f"{row['address']}: {here}, {row['there']:,} of them on {row['host']} too; {_said_last(row)}")
            for box in row["mailboxes"]:
                if box["messages"] or box["paired"]:
                    print(_said_mailbox(box))
            for line in _said_outbox(row["outbox"]):
                print(line)

    with_store(data, config, said(work), only_reads=True)


def _said_mailbox(box: dict[str, Any]) -> str:
    more = ((box["not_sent"], "not yet sent"), (box["held"], "held"))
    return f"  {box['mailbox']}\t{box['messages']:,} messages, {box['paired']:,} there too" + "".join(
        f", {count:,} {what}" for count, what in more if count
    )


def _said_outbox(outbox: dict[str, Any]) -> list[str]:
    lines = []
    if outbox["waiting"]:
        why = f": {outbox['why']}" if outbox["why"] else ""
        lines.append(f"  {outbox['waiting']:,} messages wait to be sent{why} (`postwren sync outbox list`)")
    if outbox["doubtful"]:
        lines.append(f"  {outbox['doubtful']:,} messages may have been sent, or not: `postwren sync outbox list` shows them")
    return lines


def _said_last(row: dict[str, Any]) -> str:
    last = row["last"]
    if last is None:
        return "not run yet"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last["at"]))
    if last["event"] == "failed":
        return f"last run {when} failed: {last['text']}"
    return f"last run {when}: {last['fetched']:,} new, {last['deleted']:,} deleted there"


@app.command("password")
def password(
    address: AddressArgument, password_stdin: PasswordStdin = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Change the password by which the server lets us in; it is tried first. The account's password here stays as it is."""

    async def work(store: Store, place: Place) -> None:
        settings = load_settings(place.data, _canonical(store.reader, address))
        secret = _password(password_stdin)
        settings = msgspec.structs.replace(settings, kept_in="file", command="")
        await try_login(settings, secret)
        settings = msgspec.structs.replace(settings, kept_in=keep_secret(place.data, settings.address, secret))
        save_settings(place.data, settings)

    with_store(data, config, said(work))


@app.command("remove")
def remove(address: AddressArgument, data: DataOption = None, config: ConfigOption = None) -> None:
    """Synchronise an account no more. Its mail stays here, and on the server what is there."""

    async def work(store: Store, place: Place) -> None:
        from postwren.sync.status import outbox_state

        settings = load_settings(place.data, _canonical(store.reader, address))
        with under_lock(place.data, settings.address):
            waits = outbox_state(store.reader, settings.address, None)
            if waits["waiting"] or waits["doubtful"]:
                fail("messages wait to be sent by it: `postwren sync outbox list` shows them, `sync outbox drop` forgets them")
            remove_settings(place.data, settings.address)
            forget_secret(place.data, settings)
        print(f"{settings.address} is synchronised no more. Its mail stays here: `postwren account remove` deletes it.")

    with_store(data, config, said(work))


def _canonical(reader: Reader, address: str) -> str:
    return canonical_login(reader, address) or address


Given: TypeAlias = tuple[Protocol, str, int, Security, str]


async def _found(address: str, trusted: str, by_pop3: str, *, is_agreed: bool) -> tuple[Given, tuple["Server", ...]]:
    from postwren.cli.discovery import find_server  # what it needs is loaded for nothing else

    server, submission = await find_server(address, Path(trusted) if trusted else None, by_pop3, is_agreed=is_agreed)
    return ("pop3" if server.service == "pop3" else "imap", server.host, server.port, server.tls, server.login), submission


async def _way_out(
    store: Store,
    settings: Settings,
    secret: Secret[str],
    smtp: str,
    tls: Security | None,
    said_of_it: Sequence["Server"],
    *,
    is_agreed: bool,
) -> tuple[Settings, str]:
    """With the server by which mail leaves, and a sentence about it. The server of the domain sends by itself."""
    from postwren.cli.submission import NO_SUBMISSION, find_submission, given_submission

    domain = settings.address.rpartition("@")[2]
    if smtp == NO_SUBMISSION or (not smtp and any(row.name == domain for row in store.reader.domains())):
        return settings, "Mail written here does not leave by it."
    if smtp:
        host, port = _place(smtp)
        settings, why = await given_submission(settings, secret, host, port, tls), ""
    else:
        guesses = settings.tls is not Security.NONE
        settings, why = await find_submission(settings, secret, said_of_it, is_agreed=is_agreed, guesses=guesses)
    if settings.smtp:
        return settings, f"Mail that mail programs hand in here leaves by {settings.smtp}."
    reasons = f" ({why})" if why else ""
    return settings, f"No server was found that takes mail to be sent{reasons}; `smtp` in its settings names one."


def _place(text: str) -> tuple[str, int]:
    """HOST, HOST:PORT or [ADDRESS]:PORT; 0 where there is no port."""
    host, colon, number = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, number = text, ""
    host = host.strip("[]")
    if not host or not (number.isdigit() or not number) or (number and not 0 < int(number) < 65536):
        raise typer.BadParameter(f"{text!r} is neither HOST nor HOST:PORT")
    return host, int(number or 0)


def _server(protocol: Protocol, text: str, tls: Security | None) -> Given:
    """Where TLS is not said, the port tells."""
    host, port = _place(text)
    if tls is None:
        tls = Security.STARTTLS if port == DEFAULT_PORTS[protocol, Security.STARTTLS] else Security.IMPLICIT
    if tls is Security.NONE and not is_loopback(host):
        raise typer.BadParameter("--tls none is for this machine only: a password never goes over a network in the clear")
    return protocol, host, port or DEFAULT_PORTS[protocol, tls], tls, ""


def _password(from_stdin: bool) -> Secret[str]:
    if from_stdin:
        text = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        text = typer.prompt("Password", hide_input=True)
    else:
        raise typer.BadParameter("no terminal to ask on: say --password-stdin and send the password, or --password-command")
    if not text:
        fail("the password is empty")
    return Secret(text)
