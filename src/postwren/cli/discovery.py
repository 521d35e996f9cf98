"""`sync add ADDRESS` without a server: find one, and let its user agree where one must (A-95)."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import typer

from postwren.cli.context import fail
from postwren.client.conversation import Security
from postwren.sync.discover import Ports, Server, discover
from postwren.wire.resolver import ResolverFailed

__all__ = ["find_server"]

NAMES: Final = {"imap": "IMAP", "pop3": "POP3"}
world: Callable[[Path | None], Ports] = Ports.real


async def find_server(address: str, trusted: Path | None, by_pop3: str, *, is_agreed: bool) -> tuple[Server, tuple[Server, ...]]:
    """The best one that answers, and what was said of handing in. Ends the command where there is none, or its user does not
    agree; `by_pop3` says what becomes of the messages there."""
    domain = address.rpartition("@")[2]
    if sys.stderr.isatty():
        print(f"Looking for the servers of {domain} ...", file=sys.stderr)
    try:
        ports = world(trusted)
    except ResolverFailed as error:
        fail(f"{error}: name the server with --imap HOST (or --pop3 HOST)")
    found = await discover(address, ports)
    tried = list(found.tried)
    agreed: set[tuple[str, str]] = set()
    for server in found.servers:
        if (server.service, server.host) not in agreed and not is_agreed:
            _agree(server, domain, by_pop3)
            agreed.add((server.service, server.host))
        why = await ports.knock(server) if server.is_foreign else ""
        if not why:
            place = f"{NAMES[server.service]} at {server.host}:{server.port}"
            print(f"Found by {server.by}: {place} ({'STARTTLS' if server.tls is Security.STARTTLS else 'TLS'}).")
            return server, found.submission
        tried.append(f"{server.host}:{server.port} {why}")
    return _nothing(address, tried)


def _nothing(address: str, tried: list[str]) -> NoReturn:
    reasons = "; ".join(dict.fromkeys(tried))
    fail(
        f"no server was found for {address} ({reasons}). "
        "Name it with --imap HOST or --pop3 HOST, or HOST:PORT where the port is unusual"
    )


def _agree(server: Server, domain: str, by_pop3: str) -> None:
    """Ask, where the server is somebody else's or the mail would leave it."""
    place = f"{NAMES[server.service]} at {server.host}:{server.port}"
    doubts = []
    if server.is_foreign:
        doubts.append(f"{place} (found by {server.by}) does not belong to {domain}: your password would go there")
    if server.service == "pop3":
        doubts.append(f"only POP3 was found ({server.host}), by which messages are taken: {by_pop3}")
    if not doubts:
        return
    doubt = "; ".join(doubts)
    option = f"--{server.service} {server.host}:{server.port}"
    if not sys.stdin.isatty():
        fail(f"{doubt}. If that is right, say --yes, or name it yourself: {option}")
    if not typer.confirm(f"{doubt[0].upper()}{doubt[1:]}. Is that right?"):
        fail("nothing was done; name the right one with --imap HOST (or --pop3 HOST)")
