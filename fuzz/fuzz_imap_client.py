"""Whatever a server sends, in whatever cut, the IMAP client's core neither raises nor says two different things; what its strict
reader takes, its tolerant reader takes too, and what was read can be written and is read again as the same.

The first octet chooses the cut and the state; the rest is what the server sends.
"""

from typing import Any

from postwren.protocols.imap.client import (
    ClientConnection,
    Greeted,
    IdleBegan,
    LiteralReceived,
    ServerFault,
    Unreadable,
)
from postwren.protocols.imap.command import Command, Fetch, Idle, Login, Noop, Select, StartTls
from postwren.protocols.imap.command.fetch import Section
from postwren.protocols.imap.limits import ClientLimits
from postwren.protocols.imap.response import format_response, parse_response
from postwren.wire.core import NEED_DATA
from postwren.wire.secret import Secret

SELECTED = (
    b"* OK [CAPABILITY IMAP4rev1 LITERAL+] hi\r\np1 OK in\r\n* 3 EXISTS\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 3] x\r\n"
    b"p2 OK [READ-WRITE]\r\n* 1 FETCH (UID 7 FLAGS (\\Seen) RFC822.SIZE 3 BODY[] {40}\r\n" + b"x" * 40 + b" MODSEQ (4))\r\n"
    b"* 2 EXPUNGE\r\np3 OK\r\n+ idling\r\n* 4 EXISTS\r\n"
)
DATA = (
    b'* PREAUTH x\r\n* LIST (\\Sent) "/" "a b" ("CHILDINFO" ("SUBSCRIBED"))\r\n* STATUS x (MESSAGES 1 MAILBOXID (a))\r\n'
    b'* SEARCH 1 2 (MODSEQ 3)\r\n* ESEARCH (TAG "a") UID COUNT 3 ALL 1:2,4 PARTIAL (1:2 NIL) ADDTO (0 3)\r\n'
    b'* THREAD (1 2 (3)(4 5))((6)(7))\r\n* VANISHED (EARLIER) 1:9\r\n* NAMESPACE (("" "/")) NIL NIL\r\n'
    b'* ID ("name" {3}\r\nabc)\r\n'
    b'* ACL x a lr\r\n* QUOTA "" (STORAGE 1 2)\r\n* METADATA "" (/private/a ~{2}\r\n\x00a)\r\n'
)
FETCH = (
    b'* OK x\r\n* 1 FETCH (ENVELOPE ("d" "s" (("n" NIL "m" "h")) NIL NIL NIL NIL NIL NIL "i") BODYSTRUCTURE (("text" "plain" '
    b'("charset" "x") NIL NIL "7bit" 3 1 NIL ("inline" NIL) NIL NIL)("message" "rfc822" NIL NIL NIL "7bit" 3 '
    b'(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("a" "b" NIL NIL NIL "8bit" 1) 2) "mixed" ("boundary" "x") NIL NIL NIL) '
    b'INTERNALDATE " 1-Feb-2019 11:52:33 +0000" SAVEDATE NIL PREVIEW "x" BINARY.SIZE[1.2] 3)\r\n'
)
SEEDS: list[bytes] = [b"\0" + SELECTED, b"\2" + DATA, b"\4" + FETCH, b"\1* OK x\r\np1 OK go\r\n* OK injected\r\n"]
COMMANDS: tuple[Command, ...] = (Login("a", Secret("b")), Select("INBOX"), Fetch(True, ((1, 9),), (Section(),)), Noop(), Idle())


def play(core: ClientConnection, commands: tuple[Command, ...], pieces: list[bytes]) -> list[Any]:
    """All events; octets of sections joined."""
    events: list[Any] = []
    for piece in [*pieces, b""]:
        core.receive_data(piece)
        while (event := core.next_event()) is not NEED_DATA:
            if isinstance(event, LiteralReceived) and isinstance(events[-1], LiteralReceived):
                event = LiteralReceived(events.pop().data + event.data)
            events.append(event)
            if isinstance(event, Greeted) and event.condition.status.value == "OK":
                for command in commands:
                    core.send(command)
            elif isinstance(event, IdleBegan):
                core.done()
        core.data_to_send()
    return events


def target(data: bytes) -> None:
    """See the module."""
    choice, sent = data[0] if data else 0, data[1:]
    step = choice // 2 % 16 + 1
    needs_tls = bool(choice & 1)
    commands = (StartTls(),) if needs_tls else COMMANDS
    limits = ClientLimits(line=5000, literal=200, literals=20, response=8000, section=20, message=2000)
    cut, whole = (
        play(ClientConnection(limits, needs_tls=needs_tls), commands, pieces)
        for pieces in ([sent[start : start + step] for start in range(0, len(sent), step)], [sent] if sent else [])
    )
    assert cut == whole or needs_tls  # what comes in the same read as the answer to STARTTLS is refused
    assert not needs_tls or not any(isinstance(event, Unreadable) for event in whole)
    check_lines(sent)
    if isinstance(whole[-1], ServerFault):
        assert whole.count(whole[-1]) == 1


def check_lines(sent: bytes) -> None:
    """Each line by itself, and again as we would write it."""
    for line in sent.split(b"\r\n")[:50]:
        read = parse_response(line)
        strict = parse_response(line, is_strict=True)
        assert isinstance(strict, Unreadable) or type(strict) is type(read), (line, strict, read)
        if not isinstance(strict, Unreadable):
            again = parse_response(format_response(strict, True)[:-2], is_utf8=True)
            assert type(again) is type(strict), (line, strict, again)
