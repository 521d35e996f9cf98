"""No octets make a core of SMTP or LMTP raise, hand out a bare line end, or say more than it was asked; cuts change no message.

The first octet picks the role and the variant, the second the size of the reads; the rest is what the peer sends.
"""

import re
from urllib.parse import unquote_to_bytes

from postwren.protocols.smtp import reply as say
from postwren.protocols.smtp.client import Answered, Broken, ClientConnection, Greeted, HelloAnswered, MessageAnswered
from postwren.protocols.smtp.command import Auth, Burl, Data, Ehlo, Lhlo, Mail, Rcpt, StartTls
from postwren.protocols.smtp.data import DataReader
from postwren.protocols.smtp.limits import Limits
from postwren.protocols.smtp.lmtp import LMTP
from postwren.protocols.smtp.params import Body
from postwren.protocols.smtp.server import (
    AuthAborted,
    CommandRejected,
    MessageChunk,
    MessageEnded,
    PeerClosed,
    ServerConnection,
)
from postwren.protocols.smtp.state import SMTP, State, Variant
from postwren.terms import Address
from postwren.wire.core import NEED_DATA, Core

LIMITS = Limits(command_line=200, auth_line=300, message_size=500, recipients=3, reply_line=200, reply_lines=5, hold_seconds=99)
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")


def target(data: bytes) -> None:
    if len(data) < 3:
        return
    role, size, octets = data[0] % 5, data[1] % 16 + 1, data[2:]
    reads = [octets[start : start + size] for start in range(0, len(octets), size)]
    if role == 4:
        _read_data(octets, reads)
    elif role >= 2:
        _drive_client(reads, LMTP if role == 3 else SMTP)
    else:
        _drive_server(reads, LMTP if role == 1 else SMTP)


def _drive_server(reads: list[bytes], variant: Variant) -> None:
    core = ServerConnection("mx.example.org", limits=LIMITS, variant=variant)
    core.open(say.OK, is_tls=False, can_start_tls=True)
    message, is_binary, events, sent = b"", False, 0, 0
    for read in [*reads, b""]:
        core.receive_data(read)
        while (event := core.next_event()) is not NEED_DATA:
            events += 1
            match event:
                case MessageChunk():
                    assert event.data
                    message += event.data
                case MessageEnded():
                    assert len(message) <= LIMITS.message_size
                    assert event.fault is not None or is_binary or BARE.search(message) is None
                    message = b""
                    for _ in range(event.replies):
                        core.send(say.OK if event.fault is None else say.BARE_LINE_END)
                case CommandRejected() | AuthAborted():
                    core.send(event.reply)
                case Ehlo() | Lhlo():
                    core.send(core.hello_reply(["PLAIN"]))
                case Mail():
                    message, is_binary = b"", event.params.body is Body.BINARY
                    core.send(say.OK)
                case Data():
                    core.send(say.START_DATA)
                case Burl(url, _) if "!" in url:
                    core.send(say.URL_UNRESOLVED)
                    message = b""
                case Burl(url, _):
                    for octets in (unquote_to_bytes(url)[:3], unquote_to_bytes(url)[3:]):
                        if core.supply(octets):
                            message += octets
                    core.supplied()
                case Auth():
                    core.send(say.challenge("") if event.initial is None else say.OK)
                case StartTls():
                    core.send(say.READY_FOR_TLS)
                    core.tls_started()
                case PeerClosed():
                    pass
                case _:
                    core.send(say.OK)
        sent += len(_written(core))
    assert events <= sum(map(len, reads)) + 2
    assert sent <= 400 * (sum(map(len, reads)) + 1)
    assert core.next_event() is NEED_DATA


def _drive_client(reads: list[bytes], variant: Variant) -> None:
    client = ClientConnection(LIMITS, variant)
    is_over = False
    for read in [*reads, b""]:
        client.receive_data(read)
        while (event := client.next_event()) is not NEED_DATA:
            assert not is_over, "nothing comes after the end"
            is_over = isinstance(event, Broken)
            if isinstance(event, Greeted | HelloAnswered | Answered | MessageAnswered):
                _say_next(client, variant)
        octets = _written(client)
        assert not (is_over and octets)
        assert BARE.search(octets) is None


def _say_next(client: ClientConnection, variant: Variant) -> None:
    match client.state:
        case State.START:
            client.send(variant.hello("c"))
        case State.READY:
            client.send(Mail(None))
        case State.MAIL:
            client.send(Rcpt(Address("ann", "example.org")))
        case State.RCPT:
            client.send(Data())
        case State.DATA:
            client.send_body(b"Subject: x\r\n\r\n.\r\n")
        case _:
            pass


def _read_data(octets: bytes, reads: list[bytes]) -> None:
    whole, parts = DataReader(), DataReader()
    message, rest = whole.feed(octets)
    pieces, left = b"", None
    for read in reads:
        if left is not None:
            left += read
        else:
            piece, left = parts.feed(read)
            pieces += piece
    assert left == rest
    assert parts.is_clean == whole.is_clean
    assert not whole.is_clean or pieces == message
    assert BARE.search(pieces) is None


def _written(core: Core) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else b"".join(piece) for piece in core.data_to_send())


_ENVELOPE = b"EHLO c\r\nMAIL FROM:<a@x> SIZE=3 BODY=8BITMIME\r\nRCPT TO:<ann@example.org>\r\n"
SEEDS: list[bytes] = [
    b"\0\0" + _ENVELOPE + b"DATA\r\nx\r\n..\r\n.\r\nQUIT\r\n",
    b"\0\x0f" + _ENVELOPE + b"BDAT 3\r\nx\r\nBDAT 0 LAST\r\nRSET\r\n",
    b"\0\x0f" + _ENVELOPE + b"BURL imap://x%0D\r\nBDAT 1\r\n\nBURL imap:y%0D%0A LAST\r\nRSET\r\n",
    b"\0\x0f" + _ENVELOPE + b"BURL imap:!\r\nBDAT 1 LAST\r\nxRSET\r\nMAIL FROM:<a@x> HOLDFOR=5\r\n",
    b"\0\x0f" + _ENVELOPE + b"BURL imap:! LAST\r\nMAIL FROM:<> HOLDUNTIL=2026-01-01T00:00:00Z\r\n",
    b"\0\3EHLO c\r\nAUTH PLAIN\r\nAAAA\r\nAUTH LOGIN =\r\nSTARTTLS\r\nEHLO d\r\n",
    b'\0\7EHLO c\r\nMAIL FROM:<"a b"@[IPv6:::1]> SMTPUTF8 ENVID=a+2B RET=HDRS\r\nRCPT TO:<@a,@b:c@d> ORCPT=rfc822;x\r\n',
    b"\1\1" + _ENVELOPE.replace(b"EHLO", b"LHLO") + b"DATA\r\nx\n.\n\r\n.\r\n",
    b"\2\4220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 SIZE\r\n250 2.1.0 ok\r\n250 ok\r\n354 go\r\n250 kept\r\n",
    b"\3\4220 mx\r\n250 mx\r\n250 ok\r\n550 no\r\n354 go\r\n",
    b"\4\1a\r\n.\r\n.\r\r\n.\r\nx",
    b"\4\2a\r\n..b\r\n\r\n.\r\n",
]
