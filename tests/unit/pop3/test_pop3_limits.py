"""Every limit of the POP3 cores at n and n + 1 (RFC 2449 section 4, RFC 5034 section 4)."""

import base64
from typing import Any

import pytest

from postwren.protocols.pop3.client import (
    ClientConnection,
    Flaw,
    Greeting,
    ListingReceived,
    ReplyReceived,
    ServerClosed,
    ServerFault,
)
from postwren.protocols.pop3.command import Auth, Capa, Fault, Noop, Pass, Quit, Stat, Uidl, User
from postwren.protocols.pop3.limits import Limits
from postwren.protocols.pop3.reply import Challenge, err, ok
from postwren.protocols.pop3.server import AuthAborted, AuthResponse, CommandRejected, PeerDropped, ServerConnection
from postwren.wire.core import NEED_DATA
from postwren.wire.secret import Secret


def greeted(limits: Limits | None = None) -> ServerConnection:
    core = ServerConnection(limits)
    core.send(ok())
    core.data_to_send()
    return core


def logged_in(limits: Limits | None = None) -> ServerConnection:
    core = greeted(limits)
    for line in (b"USER ann\r\n", b"PASS secret\r\n"):
        core.receive_data(line)
        core.next_event()
        core.send(ok())
    core.data_to_send()
    return core


def events(core: ServerConnection, data: bytes, step: int | None = None) -> list[Any]:
    """All events of these octets, read at once or in steps; commands are answered +OK."""
    found: list[Any] = []
    for start in range(0, len(data), step or len(data)):
        core.receive_data(data[start : start + (step or len(data))])
        while (event := core.next_event()) is not NEED_DATA:
            found.append(event)
            if not isinstance(event, CommandRejected | AuthAborted | PeerDropped):
                core.send(ok())
    return found


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("make", [greeted, logged_in])
def test_a_command_has_512_octets_and_not_one_more(make: Any, step: int | None) -> None:
    line = b"CAPA" + b" " * 506 + b"\r\n"
    assert len(line) == 512
    assert events(make(), line, step) == [Capa()]
    core = make()
    assert events(core, b" ".join((line[:4], line[4:])), step) == [CommandRejected(Fault.TOO_LONG)]
    assert events(core, b"QUIT\r\n", step) == [Quit()]


@pytest.mark.parametrize("step", [None, 1000])
def test_an_auth_line_has_12288_octets_and_not_one_more(step: int | None) -> None:
    octets = b"x" * 9204
    line = b"AUTH PLAIN " + base64.b64encode(octets)
    line += b" " * (12286 - len(line)) + b"\r\n"
    assert len(line) == 12288
    assert events(greeted(), line, step) == [Auth("PLAIN", Secret(octets))]
    core = greeted()
    assert events(core, line[:-2] + b" \r\n", step) == [CommandRejected(Fault.TOO_LONG)]
    assert events(core, b"QUIT\r\n") == [Quit()]


def test_a_response_has_12288_octets_and_not_one_more() -> None:
    limits = Limits(auth_line=42)
    for octets, expected in ((b"x" * 30, AuthResponse(Secret(b"x" * 30))), (b"x" * 31, AuthAborted(Fault.TOO_LONG))):
        core = greeted(limits)
        core.receive_data(b"AUTH PLAIN\r\n")
        core.next_event()
        core.send(Challenge(b""))
        core.receive_data(base64.b64encode(octets) + b"\r\n")
        assert core.next_event() == expected


def test_a_line_that_never_ends_is_not_kept() -> None:
    for core, limit in ((greeted(), 12288), (logged_in(), 512)):
        found = [event for _ in range(1000) for event in events(core, b"x" * 10_000)]
        assert found == [CommandRejected(Fault.TOO_LONG)]
        assert len(core._buffer) <= limit
        assert events(core, b"\r\nQUIT\r\n") == [Quit()]


@pytest.mark.parametrize("count", [3, 4])
def test_a06_three_bad_commands_and_not_one_more(count: int) -> None:
    found = events(greeted(), b"BAD\r\n" * count)
    assert found == [CommandRejected(Fault.UNKNOWN)] * 3 + [PeerDropped(Fault.UNKNOWN)] * (count - 3)


def test_a06_after_login_bad_commands_are_answered_for_ever() -> None:
    assert events(logged_in(), b"BAD\r\n" * 100 + b"NOOP\r\n") == [CommandRejected(Fault.UNKNOWN)] * 100 + [Noop()]


def test_a06_a_dropped_peer_is_not_heard_any_more() -> None:
    core = greeted()
    assert events(core, b"GET / HTTP/1.1\r\nUSER ann\r\n") == [PeerDropped(Fault.FOREIGN)]
    assert events(core, b"USER ann\r\n") == []
    assert core.data_to_send() == []


@pytest.mark.parametrize("digits", ["4294967296", "99999999999", "-1", "+1", "1_0", "0x1", "\u0661"])
def test_numbers_have_ten_digits_and_nothing_else(digits: str) -> None:
    found = events(logged_in(), f"RETR {digits}\r\n".encode())
    assert (found == [CommandRejected(Fault.ARGUMENT)]) is (digits != "4294967296")


def client(limits: Limits) -> ClientConnection:
    core = ClientConnection(limits)
    core.receive_data(b"+OK\r\n+OK\r\n+OK\r\n")
    assert isinstance(core.next_event(), Greeting)
    for command in (User("ann"), Pass(Secret("secret"))):
        core.send(command)
        core.next_event()
    return core


def heard(core: ClientConnection, data: bytes) -> list[Any]:
    core.receive_data(data)
    core.receive_data(b"")
    found = []
    while (event := core.next_event()) is not NEED_DATA:
        found.append(event)
    return found


@pytest.mark.parametrize("more", [0, 1])
def test_a_servers_line_has_its_limit(more: int) -> None:
    core = client(Limits(reply_line=40))
    core.send(Stat())
    found = heard(core, b"+OK " + b"x" * (34 + more) + b"\r\n")
    assert isinstance(found[0], ServerFault if more else ReplyReceived)
    assert not more or found[0] == ServerFault(Flaw.LINE_TOO_LONG)


@pytest.mark.parametrize("more", [0, 1])
def test_a_listings_line_has_its_limit(more: int) -> None:
    core = client(Limits(listing_line=40))
    core.send(Uidl())
    found = heard(core, b"+OK\r\n1 " + b"x" * (36 + more) + b"\r\n.\r\n")
    assert found[1] == (ServerFault(Flaw.LINE_TOO_LONG) if more else ListingReceived(Uidl(), [b"1 " + b"x" * 36]))


@pytest.mark.parametrize("more", [0, 1])
def test_a_listing_has_its_limit(more: int) -> None:
    core = client(Limits(listing_lines=3000))
    core.send(Uidl())
    found = heard(core, b"+OK\r\n" + b"1 x\r\n" * (3000 + more) + b".\r\n")
    assert (ServerFault(Flaw.LISTING_TOO_LONG) in found) is bool(more)
    assert isinstance(found[-1], ServerClosed)


def test_nothing_is_kept_behind_quit_or_a_refused_greeting() -> None:
    """Found by fuzzing: what came in the same read stayed in memory as long as the connection."""
    server = greeted()
    assert events(server, b"QUIT\r\n" + b"x" * 100_000) == [Quit()]
    assert len(server._buffer) == 0
    refused = ClientConnection()
    assert heard(refused, b"-ERR no\r\n" + b"x" * 100_000) == [Greeting(err("no")), ServerClosed(())]
    assert len(refused._buffer) == 0
