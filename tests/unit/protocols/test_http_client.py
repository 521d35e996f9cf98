"""One exchange of HTTP as a client sees it (RFC 9110, 9112), in any cut."""

import pytest

from postwren.protocols.http.client import ClientConnection, Event, Get, Limits, Post, Responded, ServerFault
from postwren.wire.core import NEED_DATA
from postwren.wire.errors import LocalProtocolError

LIMITS = Limits(head=200, body=20)


def exchange(answer: bytes, cut: int = 1 << 20, *, ends: bool = True) -> Event | None:
    core = ClientConnection(LIMITS)
    core.send(Get("example.org", "/x?y"))
    core.data_to_send()
    pieces = [answer[start : start + cut] for start in range(0, len(answer), cut)]
    for piece in [*pieces, b""] if ends else pieces:
        core.receive_data(piece)
        if (event := core.next_event()) is not NEED_DATA:
            return event
    return None


def test_the_request_is_one_that_must_be_answered_in_one_piece() -> None:
    core = ClientConnection()
    core.send(Get("example.org", "/x?y"))
    assert core.data_to_send() == [
        b"GET /x?y HTTP/1.0\r\nHost: example.org\r\nAccept-Encoding: identity\r\nConnection: close\r\n"
        b"User-Agent: postwren\r\n\r\n"
    ]


def test_a_request_may_bring_something() -> None:
    core = ClientConnection()
    core.send(Post("example.org", "/x", "application/jose+json", b"{}"))
    (request,) = core.data_to_send()
    assert isinstance(request, bytes)
    assert request.startswith(b"POST /x HTTP/1.0\r\nHost: example.org\r\n")
    assert request.endswith(b"\r\nContent-Type: application/jose+json\r\nContent-Length: 2\r\n\r\n{}")
    with pytest.raises(LocalProtocolError):
        ClientConnection().send(Post("example.org", "/x", "a/b\r\nX: y", b""))


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_an_answer_is_read_in_any_cut(cut: int, end: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\ncontent-type: other\r\n".replace(b"\r\n", end)
    wanted = Responded(200, {"content-type": "text/xml"}, b"<a/>\r\n\r\n")
    assert exchange(head + end + wanted.body, cut) == wanted
    with_length = exchange(head + b"Content-Length: 8" + end * 2 + wanted.body + b"more", cut, ends=False)
    assert isinstance(with_length, Responded)
    assert with_length.body == wanted.body


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "cut short"),
        (b"HTTP/1.1 200 OK\r\n", "cut short"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345678", "cut short"),
        (b"+OK POP3 here\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 999 x\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/2 200\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0x9\r\n\r\n", "no number"),
    ],
)
def test_an_answer_that_cannot_be_trusted_is_a_fault(answer: bytes, reason: str) -> None:
    for cut in (1, 1000):
        event = exchange(answer, cut)
        assert isinstance(event, ServerFault)
        assert reason in event.reason


def test_the_head_ends_at_its_limit() -> None:
    head = b"HTTP/1.1 200 OK\r\nX: "
    for cut in (1, 1000):
        assert isinstance(exchange(head + b"x" * (LIMITS.head - len(head) - 4) + b"\r\n\r\n", cut), Responded)
        assert exchange(head + b"x" * (LIMITS.head - len(head) - 3) + b"\r\n\r\n", cut) == ServerFault("its head is too long")
    assert isinstance(exchange(head + b"x" * 1000, 10, ends=False), ServerFault), "before it is whole"


def test_the_body_ends_at_its_limit() -> None:
    for cut in (1, 1000):
        assert isinstance(exchange(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * LIMITS.body, cut), Responded)
        assert exchange(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMITS.body + 1), cut) == ServerFault("its answer is too long")
    announced = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    assert exchange(announced % LIMITS.body, ends=False) is None
    assert exchange(announced % (LIMITS.body + 1), ends=False) == ServerFault("its answer is too long")


def test_what_nobody_asked_for_is_a_fault() -> None:
    core = ClientConnection()
    core.receive_data(b"HTTP/1.1 200 OK\r\n\r\n")
    assert isinstance(core.next_event(), ServerFault)


@pytest.mark.parametrize(("host", "target"), [("a\r\nb", "/"), ("a", "/ x"), ("", "/"), ("a", "/\r\nX: y"), ("ä", "/")])
def test_nothing_can_be_slipped_into_the_request(host: str, target: str) -> None:
    with pytest.raises(LocalProtocolError):
        ClientConnection().send(Get(host, target))
