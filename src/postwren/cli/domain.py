"""`postwren domain`: domains of ours, the keys that sign their mail, and what the DNS must say about them."""

import re
import socket
import sys
import time
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, print_json, with_store
from postwren.cli.domain_reports import reports as show_reports
from postwren.config.schema import Config, Listen
from postwren.mailauth.dkim import Algorithm, generate_key, load_signing_key
from postwren.mailauth.dkim.key import KeyUnusable, fetch_key, format_key_record, key_name, parse_key_record
from postwren.mailauth.mtasts import id_of
from postwren.mailauth.published import Finding, Setup, Standing, Wanted, ask, compare, wanted, zone_lines
from postwren.mailstore.domain import DkimKey, Domain, KeyState
from postwren.mailstore.port import Reader, Store
from postwren.mailstore.service.domains import (
    NewKey,
    activate_keys,
    add_domain,
    canonical_domain,
    change_domain,
    find_domain,
    new_selectors,
    prepare_keys,
    remove_domain,
)
from postwren.server.http.documents import own_policy
from postwren.transport.resolver import SystemResolver
from postwren.wire.resolver import Resolver, ResolverFailed

__all__ = ["app"]

app = typer.Typer(help="Say which domains are ours: their keys, and what to publish in the DNS.", no_args_is_help=True)
app.command("reports")(show_reports)

NameArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="Such as example.org.")]
DmarcOption = Annotated[
    Literal["none", "quarantine", "reject"] | None,
    typer.Option("--dmarc", help="What others are asked to do with mail that claims to be from it and is not. [default: reject]"),
]
ReportsOption = Annotated[
    str | None,
    typer.Option("--reports", metavar="ADDRESS", help='Where others send their reports about it; "" for nowhere.'),
]
_STATES: Final = {KeyState.NEXT: "next", KeyState.ACTIVE: "active", KeyState.RETIRED: "retired"}


@app.command("add")
def add(
    name: NameArgument,
    dmarc: DmarcOption = None,
    reports: ReportsOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Add a domain: make its keys, and print what to publish. Its mail is signed at once, also by a running server."""
    domain = canonical_domain(name)

    async def work(store: Store, place: Place) -> None:
        now = int(time.time())
        row = Domain(domain, now, dmarc or "reject", _address(reports or ""))
        await store.perform(add_domain(row, _new_keys(store.reader, domain, now)))
        _show(store.reader, row, place, as_json)

    with_store(data, config, work)


@app.command("list")
def list_(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Show all domains that were added, and their keys."""

    async def work(store: Store, _: Place) -> None:
        rows = [(row, store.reader.dkim_keys(row.name)) for row in store.reader.domains()]
        if as_json:
            print_json([_document(row, keys) for row, keys in rows])
        for row, keys in rows if not as_json else ():
            told = [f"{key.selector} {key.algorithm} {_STATES[key.state]}" for key in keys]
            print(f"{row.name}\tdmarc {row.dmarc}\t{', '.join(told)}")

    with_store(data, config, work, only_reads=True)


@app.command("show")
def show(name: NameArgument, as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Print what to publish about a domain, as lines of a zone file."""

    async def work(store: Store, place: Place) -> None:
        _show(store.reader, find_domain(store.reader, name), place, as_json)

    with_store(data, config, work, only_reads=True)


@app.command("set")
def set_(
    name: NameArgument,
    dmarc: DmarcOption = None,
    reports: ReportsOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Change what is to be published about a domain, and print it."""

    async def work(store: Store, place: Place) -> None:
        address = None if reports is None else _address(reports)
        row = await store.perform(change_domain(canonical_domain(name), dmarc=dmarc, reports=address))
        _show(store.reader, row, place, as_json)

    with_store(data, config, work)


@app.command("check")
def check(name: NameArgument, as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Ask the DNS whether all of it is published. Ends with 1 when something is missing that mail needs."""

    async def work(store: Store, place: Place) -> list[Finding]:
        setup = _setup(store.reader, find_domain(store.reader, name), place.config)
        return compare(setup, await ask(_resolver(), setup, int(time.time())))

    findings = with_store(data, config, work, only_reads=True)
    _report(findings, as_json)


@app.command("rotate")
def rotate(
    name: NameArgument,
    is_forced: Annotated[
        bool, typer.Option("--now", help="Sign with the prepared keys whether the DNS has them or not.")
    ] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Change a domain's keys, in two steps: the first time new ones are made, to be published; the second time, when the DNS has
    them, they sign."""

    async def work(store: Store, _: Place) -> None:
        row = find_domain(store.reader, name)
        prepared = [key for key in store.reader.dkim_keys(row.name) if key.state is KeyState.NEXT]
        if not prepared:
            now = int(time.time())
            keys = await store.perform(prepare_keys(row.name, _new_keys(store.reader, row.name, now), now))
            _prepared(row, keys, as_json)
            return
        if not is_forced:
            await _must_be_published(row, prepared)
        retired = await store.perform(activate_keys(row.name))
        if as_json:
            print_json(_document(row, store.reader.dkim_keys(row.name)))
            return
        print(f"{', '.join(key.selector for key in prepared)} sign from now on. Leave the records of the old keys for two weeks:")
        for key in retired:
            print(f"  {key.selector}._domainkey.{row.name}")

    with_store(data, config, work)


@app.command("remove")
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove a domain and its keys: its mail is no longer signed. Accounts and addresses in it stay."""

    async def work(store: Store, _: Place) -> None:
        row = find_domain(store.reader, name)
        if not yes:
            if not sys.stdin.isatty():
                fail(f"the keys of {row.name} cannot be brought back; say --yes to remove them")
            typer.confirm(f"Remove {row.name} and its keys for ever?", abort=True)
        await store.perform(remove_domain(row.name))

    with_store(data, config, work)


def _new_keys(reader: Reader, domain: str, now: int) -> list[NewKey]:
    taken = [key.selector for key in reader.dkim_keys(domain)]
    selectors = new_selectors(taken, time.strftime("%Y%m", time.gmtime(now)), len(Algorithm))
    keys = []
    for selector, algorithm in zip(selectors, Algorithm, strict=True):
        private = generate_key(algorithm)
        keys.append(NewKey(selector, algorithm.value, format_key_record(load_signing_key(domain, selector, private)), private))
    return keys


def _setup(reader: Reader, row: Domain, config: Config) -> Setup:
    host = config.hostname or socket.getfqdn()
    keys = [(key.selector, key.public) for key in reader.dkim_keys(row.name) if key.state is not KeyState.RETIRED]
    policy = own_policy(config.mta_sts, host)
    policy_id = "" if policy is None else id_of(policy)
    return Setup(row.name, host, tuple(keys), row.dmarc, row.reports, policy_id, _services(config.listen))


def _services(listen: Listen) -> tuple[tuple[str, int], ...]:
    """What mail programs may use, with its port."""
    places = (
        ("_submissions", listen.submissions),
        ("_submission", listen.submission),
        ("_imaps", listen.imaps),
        ("_pop3s", listen.pop3s),
    )
    return tuple((name, int(port)) for name, where in places if where and (port := where[0].rpartition(":")[2]).isdigit())


def _show(reader: Reader, row: Domain, place: Place, as_json: bool) -> None:
    setup = _setup(reader, row, place.config)
    records = wanted(setup)
    if as_json:
        print_json(_document(row, reader.dkim_keys(row.name)) | {"records": [_record(record) for record in records]})
        return
    if "." not in setup.hostname:
        print(f"; hostname is not set: say in postwren.toml what {setup.hostname} is called on the internet", file=sys.stderr)
    print(f"; What to publish about {row.name}. First what mail needs:")
    _print_zone(record for record in records if record.is_needed)
    print(f"; and {setup.hostname}. IN A, AAAA: the addresses of this server. Their provider sets the way back (PTR).")
    print("; What helps:")
    _print_zone(record for record in records if not record.is_needed)
    print(f"; Then: postwren domain check {row.name}")


def _print_zone(records: Iterable[Wanted]) -> None:
    for record in records:
        print("\n".join(zone_lines(record)))


def _document(row: Domain, keys: list[DkimKey]) -> dict[str, Any]:
    return {
        "domain": row.name,
        "created": row.created,
        "dmarc": row.dmarc,
        "reports": row.reports or None,
        "keys": [
            {"selector": key.selector, "algorithm": key.algorithm, "state": _STATES[key.state], "record": key.public}
            for key in keys
        ],
    }


def _record(record: Wanted) -> dict[str, Any]:
    return {
        "what": record.what,
        "name": record.name,
        "type": record.kind,
        "data": record.data,
        "zone": list(zone_lines(record)),
        "needed": record.is_needed,
    }


def _report(findings: list[Finding], as_json: bool) -> None:
    lacking = [each for each in findings if each.is_needed and each.standing is not Standing.OK]
    if as_json:
        rows = [
            {
                "what": each.what,
                "state": each.standing.value,
                "line": each.line,
                "publish": list(each.publish),
                "needed": each.is_needed,
            }
            for each in findings
        ]
        print_json({"ok": not lacking, "findings": rows})
    for each in findings if not as_json else ():
        print(f"{each.standing.value:8}{each.what}: {each.line}")
        for line in each.publish:
            print(f"        {line}")
    if lacking:
        fail(f"not in order, and mail needs it: {', '.join(each.what for each in lacking)}")


def _prepared(row: Domain, keys: list[DkimKey], as_json: bool) -> None:
    records = _key_records(row, keys)
    if as_json:
        print_json(_document(row, keys) | {"records": [_record(record) for record in records]})
        return
    print("; Publish these, and leave the old ones:")
    _print_zone(records)
    print(f"; When they are there: postwren domain rotate {row.name}")


def _key_records(row: Domain, keys: list[DkimKey]) -> list[Wanted]:
    setup = Setup(row.name, row.name, tuple((key.selector, key.public) for key in keys))
    return [record for record in wanted(setup) if record.name.endswith(f"._domainkey.{row.name}")]


async def _must_be_published(row: Domain, keys: list[DkimKey]) -> None:
    lacking = []
    for key in keys:
        try:
            record = await fetch_key(_resolver(), key.selector, row.name)
        except KeyUnusable as error:
            lacking.append((key, error.reason))
        else:
            if record.public != parse_key_record(key.public.encode()).public:
                lacking.append((key, "another key is published"))
    for key, reason in lacking:
        print(f"{key_name(key.selector, row.name)}: {reason}")
        _print_zone(_key_records(row, [key]))
    if lacking:
        fail("the prepared keys are not published; the old ones go on signing (--now changes anyway)")


def _resolver() -> Resolver:
    try:
        return SystemResolver()
    except ResolverFailed as error:
        fail(str(error))


def _address(text: str) -> str:
    if text and not re.fullmatch(r"[^\s@,;!]+@[^\s@,;!]+", text):
        raise typer.BadParameter(f"{text!r} is no address; expected local@domain")
    return text
