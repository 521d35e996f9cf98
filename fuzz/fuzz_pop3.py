"""Whatever a peer sends, in whatever cut, neither POP3 core raises, keeps more than its limits, or says two different things.

The first octet chooses the role and the cut; the rest is what the peer sends.
"""

from typing import Any

from postwren.protocols.pop3.client import ClientConnection, Greeting, ReplyReceived
from postwren.protocols.pop3.command import Auth, Capa, Command, List, Pass, Quit, Retr, Stls, Uidl, User
from postwren.protocols.pop3.reply import Challenge, ok
from postwren.protocols.pop3.server import AuthAborted, CommandRejected, PeerClosed, PeerDropped, SendMessage, ServerConnection
from postwren.protocols.pop3.state import State
from postwren.wire.core import NEED_DATA
from postwren.wire.secret import Secret

SEEDS: list[bytes] = [
    b"\x00USER ann\r\nPASS secret\r\nSTAT\r\nLIST\r\nRETR 1\r\nTOP 1 2\r\nDELE 1\r\nQUIT\r\n",
    b"\x00AUTH PLAIN AGEAYg==\r\nAUTH PLAIN\r\nAGEAYg==\r\n*\r\nUIDL 1\r\nRSET\r\nLANG en\r\nUTF8\r\n",
    b"\x00CAPA\r\nSTLS\r\nCAPA\r\n",
    b"\x01+OK\r\n"
    + b"+OK\r\n" * 3
    + b"TOP\r\n.\r\n+OK\r\n1 2\r\n.\r\n+OK\r\n1 a\r\n.\r\n+OK\r\nSubject: x\r\n\r\n..\r\n.\r\n+OK\r\n",
]
PIPELINE: tuple[Command, ...] = (User("a"), Pass(Secret("b")), Capa(), List(), Uidl(), Retr(1), Quit())
SILENT = (CommandRejected, AuthAborted, PeerDropped, PeerClosed)


def play(core: Any, pieces: list[bytes]) -> list[Any]:
    """All events, answered."""
    events: list[Any] = []
    for piece in [*pieces, b""]:
        core.receive_data(piece)
        while (event := core.next_event()) is not NEED_DATA:
            events.append(event)
            if isinstance(core, ServerConnection) and not isinstance(event, SILENT):
                answer = SendMessage(b".x", has_dot_line=True) if isinstance(event, Retr) else ok()
                core.send(Challenge(b"?") if isinstance(event, Auth) and event.initial is None else answer)
                if isinstance(event, Stls) and core.state is State.TLS:
                    core.tls_started()
            elif isinstance(event, Greeting) and event.reply.is_ok:
                for command in PIPELINE:
                    core.send(command)
        assert len(core._buffer) <= 12288
    return events


def target(data: bytes) -> None:
    """See the module."""
    choice, sent = data[0] if data else 0, data[1:]
    step = choice // 2 % 16 + 1
    kind = ClientConnection if choice & 1 else ServerConnection
    cut = play(_greeted(kind()), [sent[start : start + step] for start in range(0, len(sent), step)])
    whole = play(_greeted(kind()), [sent] if sent else [])
    if kind is ClientConnection:  # chunks of a body and of a listing come as the reads do
        cut, whole = ([event for event in events if isinstance(event, Greeting | ReplyReceived)] for events in (cut, whole))
    elif b"STLS" in sent.upper():  # what comes in the same read as STLS is refused
        return
    assert cut == whole


def _greeted(core: Any) -> Any:
    if isinstance(core, ServerConnection):
        core.send(ok())
    return core
