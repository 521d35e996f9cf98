"""Whatever a client sends, in whatever cut, the IMAP core never raises, keeps no more than its limits, and says the same in every
cut; a command that was read is read again from what our client would write, and a mailbox name has one form.

The first octet chooses the state and the cut; the rest is what the client sends.
"""

import contextlib
from typing import Any

from tests.unit.imap.imap_world import core_in, events, output
from tests.unit.imap.test_imap_command_grammar import READ

from postwren.protocols.imap.command.table import format_command
from postwren.protocols.imap.event import CommandReceived
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.mailboxname import decode, encode
from postwren.protocols.imap.state import State
from postwren.protocols.imap.writer import WAIT, Literals, MessageBody

SEEDS: list[bytes] = [
    b"\x00a LOGIN {3+}\r\nann {2}\r\nxy\r\nb AUTHENTICATE PLAIN\r\nAGEAYg==\r\nc STARTTLS\r\n",
    b'\x01a APPEND {1+}\r\nx (\\Seen) "01-Jan-2024 00:00:00 +0000" {3+}\r\none CATENATE (URL /u TEXT ~{2+}\r\nab)\r\n',
    b"\x01b IDLE\r\nDONE\r\nc IDLE\r\nd NOOP {3+}\r\nabc\r\n",
    b"\x03a UID REPLACE 7 x UTF8 (~{2+}\r\nab)\r\nb ODD {3+}\r\nabc {1+}\r\nx\r\nc SELECT &AOk-&AGE-\r\n",
    *(b"\x01a " + line + b"\r\nb NOOP\r\n" for line, _ in READ),
]
LIMITS = Limits(line=1000, literal=500, command=3000, discard=300)


def play(state: State, sent: bytes, step: int | None, *, is_utf8: bool) -> tuple[list[Any], bytes]:
    """Events and words of one cut."""
    core = core_in(state, LIMITS)
    core.is_utf8 = is_utf8
    found = events(core, sent, step) if sent else []
    assert len(core._fragments.buffer) <= 12_288 + 3
    return found, output(core)


def target(data: bytes) -> None:
    """See the module."""
    choice, sent = data[0] if data else 0, data[1:]
    state, is_utf8 = (State.SELECTED if choice & 1 else State.NOT_AUTHENTICATED), bool(choice & 2)
    whole = play(state, sent, None, is_utf8=is_utf8)
    if b"STARTTLS" not in sent.upper() and b"COMPRESS" not in sent.upper():  # what comes in the same read as these is refused
        assert play(state, sent, choice // 4 % 16 + 1, is_utf8=is_utf8) == whole
    for event in whole[0]:
        if isinstance(event, CommandReceived):
            again = b"".join(
                b"x" * piece.size if isinstance(piece, MessageBody) else piece
                for piece in format_command(event.tag, event.command, Literals.PLUS, is_utf8=is_utf8)
                if piece is not WAIT
            )
            assert [e for e in play(state, again, None, is_utf8=is_utf8)[0] if isinstance(e, CommandReceived)] == [event], again
    for name in sent.split(b" ")[:20]:
        with contextlib.suppress(Unparsable):
            assert encode(decode(name, is_utf8=False), is_utf8=False) == name
