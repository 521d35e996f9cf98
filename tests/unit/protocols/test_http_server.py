"""Requests as a strict server of HTTP/1.1 sees them (RFC 9110, 9112; A-79), in any cut."""

import pytest

from postwren.protocols.http.server import Answer, Event, PeerClosed, Requested, RequestRejected, ServerConnection, ServerLimits
from postwren.wire.core import NEED_DATA, Waiting
from postwren.wire.errors import LocalProtocolError

LIMITS = ServerLimits(line=60, head=200, fields=4, requests=3)
GET = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def converse(data: bytes, cut: int = 1 << 20, limits: ServerLimits = LIMITS) -> tuple[list[Event], bytes]:
    """What came out, and what was said, with every request answered."""
    core = ServerConnection(limits)
    events: list[Event] = []
    for piece in [*(data[start : start + cut] for start in range(0, len(data), cut)), b""]:
        core.receive_data(piece)
        while (event := core.next_event()) is not NEED_DATA:
            events.append(event)
            if isinstance(event, Requested):
                core.send(Answer(200, (), b"ok"))
    return events, b"".join(piece for piece in core.data_to_send() if isinstance(piece, bytes))


def place(data: bytes) -> tuple[str, str, str]:
    event = converse(data)[0][0]
    assert isinstance(event, Requested), event
    return event.host, event.path, event.query


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
def test_requests_are_read_in_any_cut_one_after_the_other(cut: int) -> None:
    events, said = converse(b"\r\n" + GET + GET.replace(b"GET", b"HEAD"), cut)
    assert events == [
        Requested(False, "a.example", "/x", "", {"host": "a.example"}),
        Requested(True, "a.example", "/x", "", {"host": "a.example"}),
        PeerClosed(False),
    ]
    assert said == OK + OK[:-2]


def test_one_request_at_a_time_is_told_and_its_answer_is_waited_for() -> None:
    core = ServerConnection()
    waits = [core.waiting_for]
    core.receive_data(GET + GET)
    assert isinstance(core.next_event(), Requested)
    assert core.next_event() is NEED_DATA
    waits.append(core.waiting_for)
    assert waits == [Waiting.COMMAND, Waiting.NOTHING]
    core.send(Answer(404))
    assert isinstance(core.next_event(), Requested)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"GET /a/b?c=d&e HTTP/1.1\r\nHost: A.Example:8080\r\n\r\n", ("a.example", "/a/b", "c=d&e")),
        (b"GET http://B.example./x HTTP/1.1\r\nHost: a.example\r\n\r\n", ("b.example", "/x", "")),
        (b"GET http://b.example?x HTTP/1.1\r\nHost: a.example\r\n\r\n", ("b.example", "/", "x")),
        (b"GET / HTTP/1.0\r\n\r\n", ("", "/", "")),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", ("", "/", "")),
        (b"GET / HTTP/1.9\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n", ("[::1]", "/", "")),
    ],
)
def test_where_a_request_goes(data: bytes, wanted: tuple[str, str, str]) -> None:
    assert place(data) == wanted


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\nHost: a\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        (b"CONNECT a:25 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"EHLO / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 417),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
    ],
)
@pytest.mark.parametrize("cut", [1, 1000])
def test_a79_what_is_not_exactly_a_request_is_refused_and_nothing_behind_it_is_read(data: bytes, status: int, cut: int) -> None:
    events, said = converse(data + GET, cut)
    assert [event.status for event in events if isinstance(event, RequestRejected)] == [status]
    assert not any(isinstance(event, Requested) for event in events)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert said.count(b"HTTP/1.1") == 1
    assert b"\r\nConnection: close\r\n" in said


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 37", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", b"Content-Length: +0"]
)
def test_a79_a_body_is_never_read_as_a_request(framing: bytes) -> None:
    events, _ = converse(b"GET / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + GET)
    assert events == [RequestRejected(413, "it has a body"), PeerClosed(False)]


def test_a79_lengths_that_disagree_are_refused() -> None:
    events, _ = converse(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 37\r\n\r\n" + GET)
    assert events[0] == RequestRejected(400, "Content-Length stands there twice")


@pytest.mark.parametrize("ending", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"])
def test_a_connection_ends_when_the_client_does_not_keep_it(ending: bytes) -> None:
    events, said = converse(ending + GET)
    assert [type(event) for event in events] == [Requested, PeerClosed]
    assert b"Connection: close\r\n" in said


def first(data: bytes) -> Event:
    return converse(data)[0][0]


def test_a_requests_line_has_its_limit() -> None:
    def request(length: int) -> bytes:
        return b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * (length - len(b"GET / HTTP/1.1\r\n")))

    assert isinstance(first(request(LIMITS.line)), Requested)
    assert first(request(LIMITS.line + 1)) == RequestRejected(414, "its first line is too long")
    assert first(b"x" * (LIMITS.line + 1)) == RequestRejected(414, "its first line is too long")


def test_a_requests_head_has_its_limit() -> None:
    def request(length: int) -> bytes:
        return b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (
            b"y" * (length - len(b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"))
        )

    assert isinstance(first(request(LIMITS.head)), Requested)
    assert first(request(LIMITS.head + 1)) == RequestRejected(431, "its head is too long")
    assert first(request(LIMITS.head + 9)[:-4]) == RequestRejected(431, "its head is too long"), "whether it ends or not"


def test_a_request_has_so_many_fields_and_not_one_more() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (LIMITS.fields - 1)
    assert isinstance(first(request + b"\r\n"), Requested)
    assert first(request + b"X: y\r\n\r\n") == RequestRejected(431, "it has too many fields")


def test_a_connection_has_so_many_requests_and_not_one_more() -> None:
    events, said = converse(GET * (LIMITS.requests + 1), limits=ServerLimits(requests=LIMITS.requests))
    assert sum(isinstance(event, Requested) for event in events) == LIMITS.requests
    assert said.count(b"Connection: close") == 1


def test_a_request_that_is_cut_short_is_told() -> None:
    assert converse(GET[:-1])[0] == [PeerClosed(True)]


def test_a22_an_answer_cannot_break_its_head() -> None:
    core = ServerConnection()
    core.receive_data(GET)
    core.next_event()
    with pytest.raises(LocalProtocolError):
        core.send(Answer(200, [("Location", "/x\r\nSet-Cookie: y")]))
    with pytest.raises(LocalProtocolError):
        core.send(Answer(200, [("X: y\r\nZ", "")]))


def test_nothing_is_answered_that_was_not_asked() -> None:
    with pytest.raises(LocalProtocolError):
        ServerConnection().send(Answer(200))
    core = ServerConnection()
    core.last_word(408)
    assert core.data_to_send() == [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]
    assert core.is_closing
