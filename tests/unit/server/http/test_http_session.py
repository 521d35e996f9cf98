"""A connection of a web client, and what stands on the web (RFC 9110, 9112; RFC 8461 section 3.3; RFC 8555 section 8.3)."""

from typing import Final

import pytest

from postwren.mailauth.mtasts import Mode, Policy, format_policy
from postwren.protocols.http.server import Answer, Requested
from postwren.server.http.autoconfig import Offered
from postwren.server.http.documents import documents
from postwren.server.http.route import Route, find
from postwren.server.http.session import PATIENCE, HttpSession, http_date
from postwren.sync.autoconfig import parse_autoconfig
from postwren.testing.loopback import LoopbackLink
from postwren.transport.deadline import Pace
from postwren.transport.session import TlsInfo
from postwren.wire.core import Waiting

POLICY: Final = Policy(Mode.ENFORCE, ("mx.example.org",), 1_209_600)
OFFERED: Final = (
    Offered("imap", 993, True),
    Offered("imap", 143, False),
    Offered("smtp", 465, True),
    Offered("smtp", 587, False),
)
DOCUMENTS: Final = documents(
    lambda domain: domain in ("example.org", "other.example"), "mx.example.org", OFFERED, POLICY, {"token-1": "token-1.thumb"}
)


def ask(host: str, path: str, query: str = "", *, is_tls: bool = True) -> Answer | None:
    return find(DOCUMENTS, Requested(False, host, path, query, {}), is_tls=is_tls)


def body(answer: Answer | None) -> bytes | None:
    return None if answer is None else answer.body


@pytest.mark.parametrize(
    ("host", "is_tls", "is_there"),
    [
        ("mta-sts.example.org", True, True),
        ("mta-sts.other.example", True, True),
        ("mta-sts.example.org", False, False),
        ("example.org", True, False),
        ("mta-sts.example.net", True, False),
        ("mta-sts.", True, False),
        ("", True, False),
    ],
)
def test_our_policy_is_where_ours_is_looked_for_and_with_tls_only(host: str, is_tls: bool, is_there: bool) -> None:
    answer = ask(host, "/.well-known/mta-sts.txt", is_tls=is_tls)
    assert (body(answer) == format_policy(POLICY)) is is_there
    assert (answer is None) is not is_there
    assert answer is None or ("Content-Type", "text/plain") in answer.fields


def test_a_challenge_is_answered_by_its_token() -> None:
    assert body(ask("any.example", "/.well-known/acme-challenge/token-1", is_tls=False)) == b"token-1.thumb"
    assert ask("any.example", "/.well-known/acme-challenge/token-2") is None
    assert ask("any.example", "/.well-known/acme-challenge/") is None


@pytest.mark.parametrize(
    ("host", "path", "query"),
    [
        ("autoconfig.example.org", "/mail/config-v1.1.xml", "emailaddress=ann%40example.org"),
        ("autoconfig.example.org", "/mail/config-v1.1.xml", ""),
        ("mx.example.org", "/mail/config-v1.1.xml", "emailaddress=ann@EXAMPLE.org"),
        ("example.org", "/.well-known/autoconfig/mail/config-v1.1.xml", ""),
    ],
)
def test_a_mail_program_learns_how_to_reach_us(host: str, path: str, query: str) -> None:
    found = body(ask(host, path, query))
    assert found is not None
    servers = parse_autoconfig(found, "ann@example.org")
    assert [(one.service, one.host, one.port, one.tls.value, one.login) for one in servers] == [
        ("imap", "mx.example.org", 993, "implicit", "ann@example.org"),
        ("imap", "mx.example.org", 143, "starttls", "ann@example.org"),
        ("submission", "mx.example.org", 465, "implicit", "ann@example.org"),
        ("submission", "mx.example.org", 587, "starttls", "ann@example.org"),
    ]


@pytest.mark.parametrize("query", ["emailaddress=ann@example.net", "emailaddress=x", "&".join("abcdefghijk"), "emailaddress=%00"])
def test_nobody_learns_which_domains_there_are_but_by_their_names(query: str) -> None:
    assert ask("autoconfig.example.net", "/mail/config-v1.1.xml", query) is None


def test_a_domain_cannot_break_the_document() -> None:
    odd = documents(lambda _: True, "mx.example.org", OFFERED, None, {})
    answer = find(odd, Requested(False, "", "/mail/config-v1.1.xml", "emailaddress=a@%3Cx%22%26", {}), is_tls=True)
    assert answer is not None
    assert b'id="&lt;x&quot;&amp;"' in answer.body
    assert parse_autoconfig(answer.body, "ann@example.org")


def test_the_path_is_whole_unless_it_is_a_prefix() -> None:
    assert ask("mta-sts.example.org", "/.well-known/mta-sts.txt/") is None
    assert ask("example.org", "/") is None


def test_dates_are_english() -> None:
    assert http_date(784111777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"


def said(*pieces: bytes, tls: TlsInfo | None = None, routes: tuple[Route, ...] = DOCUMENTS) -> tuple[bytes, bool]:
    """All that came back, and whether the connection ended."""
    link = LoopbackLink(HttpSession(routes, lambda: 784111777.0), tls=tls)
    for piece in pieces:
        link.receive(piece)
    return link.take(), link.is_closed


GET: Final = b"GET /.well-known/acme-challenge/token-1 HTTP/1.1\r\nHost: example.org\r\n\r\n"
FOUND: Final = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n"
    b"X-Content-Type-Options: nosniff\r\nContent-Length: 13\r\n\r\ntoken-1.thumb"
)
MISSING: Final = b"HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"


def test_a_connection_is_kept_until_the_client_ends_it() -> None:
    assert said(GET, GET.replace(b"token-1", b"token-2") + GET) == (FOUND + MISSING + FOUND, False)
    assert said(GET, b"") == (FOUND, True)


def test_a_client_that_wants_no_more_is_left_after_the_answer() -> None:
    octets, is_closed = said(GET.replace(b"HTTP/1.1", b"HTTP/1.0"), GET)
    assert (octets, is_closed) == (FOUND.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), True)


def test_the_policy_of_mta_sts_is_there_with_tls_only() -> None:
    request = b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.org\r\n\r\n"
    assert said(request, tls=TlsInfo("TLSv1.3", "x", {}))[0].endswith(format_policy(POLICY))
    assert said(request)[0] == MISSING


def test_a79_a_refusal_ends_the_connection() -> None:
    octets, is_closed = said(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n" + GET)
    assert octets == b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert is_closed


def test_a_bug_is_answered_and_tells_nothing() -> None:
    def broken(request: Requested) -> Answer:
        raise KeyError("secret")

    octets, is_closed = said(GET, routes=(Route("/", broken, is_prefix=True),))
    assert octets == b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert is_closed


def test_a79_a_whole_request_has_its_time_however_it_drips() -> None:
    pace = Pace(0.0, Waiting.COMMAND)
    late = [pace.is_overdue(PATIENCE, float(second), Waiting.COMMAND, 0, second) for second in (1, 15, 16)]
    assert late == [False, False, True]
