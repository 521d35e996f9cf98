"""No answer makes the client of HTTP raise, tell two things, or keep more than its limits; no cut changes anything."""

from postwren.protocols.http.client import ClientConnection, Event, Get, Limits, Responded
from postwren.wire.core import NEED_DATA

LIMITS = Limits(head=512, body=256)


def events_of(data: bytes, cut: int) -> list[Event]:
    core = ClientConnection(LIMITS)
    core.send(Get("example.org", "/"))
    events: list[Event] = []
    for piece in [*(data[start : start + cut] for start in range(0, len(data), cut)), b""]:
        core.receive_data(piece)
        while (event := core.next_event()) is not NEED_DATA:
            events.append(event)
    return events


def target(data: bytes) -> None:
    at_once = events_of(data, len(data) or 1)
    assert len(at_once) == 1
    if isinstance(at_once[0], Responded):
        assert len(at_once[0].body) <= LIMITS.body
        assert events_of(data, 7) == at_once


SEEDS: list[bytes] = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>",
    b"HTTP/1.0 302 Found\nLocation: https://example.org/x\n\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n4\r\n<a/>\r\n0\r\n\r\n",
]
