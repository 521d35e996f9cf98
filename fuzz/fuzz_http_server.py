"""No request makes the server of HTTP raise; no cut changes what it says, and what was refused ends the connection."""

from postwren.protocols.http.server import Answer, Event, Requested, RequestRejected, ServerConnection, ServerLimits
from postwren.wire.core import NEED_DATA

LIMITS = ServerLimits(line=64, head=512, fields=8, requests=3)


def events_of(data: bytes, cut: int) -> tuple[list[Event], bytes]:
    core = ServerConnection(LIMITS)
    events: list[Event] = []
    for piece in [*(data[start : start + cut] for start in range(0, len(data), cut)), b""]:
        core.receive_data(piece)
        while (event := core.next_event()) is not NEED_DATA:
            events.append(event)
            if isinstance(event, Requested):
                core.send(Answer(200, [("Content-Type", "text/plain")], b"ok"))
    return events, b"".join(piece for piece in core.data_to_send() if isinstance(piece, bytes))


def target(data: bytes) -> None:
    events, said = events_of(data, len(data) or 1)
    assert sum(isinstance(event, Requested) for event in events) <= LIMITS.requests
    assert said.count(b"HTTP/1.1 ") == len(events) - 1
    rejected = [number for number, event in enumerate(events) if isinstance(event, RequestRejected)]
    assert rejected in ([], [len(events) - 2])
    if not rejected:  # the limits of a line and a head are noticed at another octet, and then with another word
        assert events_of(data, 7)[1] == said


SEEDS: list[bytes] = [
    b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.org\r\n\r\n",
    b"HEAD http://a.example:80/x?y HTTP/1.0\r\nConnection: close, x\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]
