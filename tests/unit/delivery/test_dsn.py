"""Reports as they are written and read: RFC 3461 section 6, RFC 3464, RFC 6522, RFC 6533, RFC 3834."""

import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.shared import SHARED

from postwren.delivery.dsn import DEFAULT_LIMITS, Original, compose, is_reportable
from postwren.delivery.dsn_reader import DEFAULT_LIMITS as READER_LIMITS
from postwren.delivery.dsn_reader import Limits as ReaderLimits
from postwren.delivery.dsn_reader import Report, parse
from postwren.delivery.status import Action, Fate
from postwren.message.compose import LINE
from postwren.protocols.smtp.reply import Reply
from postwren.wire.errors import LocalProtocolError

HEADER = b"From: ann@example.org\r\nTo: bob@example.net\r\nSubject: Hello\r\nMessage-ID: <1@example.org>\r\n"
MESSAGE = HEADER + b"\r\nHow are you?\r\n"
T = 1_700_000_000
BOB = Fate("bob@example.net", reply=Reply(550, "5.1.1", "No such user"), host="mx.example.net", attempted=T + 60)
HOSTILE = st.text(st.sampled_from('ab \t\r\n\0\x1b\x85\u2028\u202e:;<>()"\\=?-ü\ud800') | st.characters(), max_size=60)


def original(octets: bytes = MESSAGE, **changes: object) -> Original:
    return replace(Original("ann@example.org", octets, len(octets), T), **changes)  # type: ignore[arg-type]


def write(of: Original, action: Action, *fates: Fate) -> bytes:
    octets = compose(of, action, fates, hostname="mx.example.org", now=T + 100, token="token")
    assert all(len(line) <= LINE and b"\r" not in line and b"\n" not in line for line in octets.split(b"\r\n"))
    return octets


def read(octets: bytes) -> Report:
    report = parse(octets)
    assert report is not None
    return report


def parts_of(octets: bytes) -> list[EmailMessage]:
    oracle = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(oracle, EmailMessage)
    assert oracle.get_content_type() == "multipart/report"
    assert oracle.get_param("report-type") == "delivery-status"
    return [part for part in oracle.iter_parts() if isinstance(part, EmailMessage)]


def types_of(octets: bytes) -> list[str]:
    return [part.get_content_type() for part in parts_of(octets)]


def text_of(octets: bytes) -> str:
    return str(parts_of(octets)[0].get_content())


def test_a_failure_is_told_to_people_and_to_programs_with_the_message() -> None:
    fate = replace(BOB, orcpt="rfc822;Bob@example.com")
    octets = write(original(envid="QQ314159"), Action.FAILED, fate)
    assert types_of(octets) == ["text/plain", "message/delivery-status", "message/rfc822"]
    text = text_of(octets)
    assert "bob@example.net (you wrote to Bob@example.com)" in text
    for words in ("mx.example.net answered", "> 550 5.1.1 No such user", "Check its spelling", "not be tried again"):
        assert words in text
    assert octets.split(b"\r\n\r\n--=_token--")[0].split(b"message/delivery-status")[1].split(b"--=_token")[0] == (
        b"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        b"Original-Envelope-Id: QQ314159\r\nReporting-MTA: dns; mx.example.org\r\n"
        b"Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n"
        b"Original-Recipient: rfc822;Bob@example.com\r\nFinal-Recipient: rfc822;bob@example.net\r\nAction: failed\r\n"
        b"Status: 5.1.1\r\nRemote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
        b"Last-Attempt-Date: Tue, 14 Nov 2023 22:14:20 +0000\r\n\r\n"
    )
    assert MESSAGE in octets


def test_it_is_an_automatic_answer_to_the_reverse_path_and_belongs_to_the_message() -> None:
    octets = write(original(), Action.FAILED, BOB)
    oracle = email.message_from_bytes(octets, policy=email.policy.default)
    assert oracle["To"] == "ann@example.org"
    assert oracle["From"].addresses[0].addr_spec == "mailer-daemon@mx.example.org"
    assert oracle["Auto-Submitted"] == "auto-replied"  # RFC 3834 section 5
    assert oracle["In-Reply-To"] == oracle["References"] == "<1@example.org>"
    assert oracle["Subject"] == "Not delivered: Hello"
    assert oracle["Message-ID"] == "<token@mx.example.org>"


def test_a_delay_says_when_it_is_tried_again_and_given_up() -> None:
    fate = Fate(
        "bob@example.net",
        reply=Reply(450, "4.2.0", "Later"),
        host="mx.example.net",
        next_attempt=T + 1800,
        retry_until=T + 432_000,
    )
    octets = write(original(), Action.DELAYED, fate)
    text = " ".join(text_of(octets).split())
    assert "tried again at about Tue, 14 Nov 2023 22:43:20 +0000" in text
    assert "given up at Sun, 19 Nov 2023 22:13:20 +0000" in text
    (recipient,) = read(octets).recipients
    assert (recipient.action, recipient.status, recipient.retry_until) == (Action.DELAYED, "4.2.0", T + 432_000)


@pytest.mark.parametrize("action", Action)
def test_will_retry_until_is_of_delays_alone(action: Action) -> None:
    """RFC 3464 section 2.3.9."""
    octets = write(original(), action, replace(BOB, retry_until=T + 1000))
    assert (b"Will-Retry-Until" in octets) == (action is Action.DELAYED)


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.FAILED])
def test_only_a_failure_brings_the_message_back(action: Action) -> None:
    """RFC 3461 section 4.3."""
    octets = write(original(ret="FULL"), action, Fate("bob@example.net"))
    assert types_of(octets)[2] == "text/rfc822-headers"
    assert b"How are you?" not in octets
    assert HEADER in octets


def test_hdrs_brings_only_the_header_back() -> None:
    octets = write(original(ret="HDRS"), Action.FAILED, BOB)
    assert types_of(octets)[2] == "text/rfc822-headers"
    assert b"How are you?" not in octets


@pytest.mark.parametrize(("extra", "kind"), [(0, "message/rfc822"), (1, "text/rfc822-headers")])
def test_a28_a_message_above_64_kb_comes_back_as_its_header_whatever_ret_says(extra: int, kind: str) -> None:
    octets = MESSAGE + (b"x" * 70 + b"\r\n") * 1000
    octets = octets[: DEFAULT_LIMITS.returned - 2 + extra] + b"\r\n"
    report = write(original(octets, ret="FULL"), Action.FAILED, BOB)
    assert types_of(report)[2] == kind
    assert types_of(write(original(octets[:40_000], size=len(octets) + 70_000), Action.FAILED, BOB))[2] == "text/rfc822-headers"


def test_a28_a_thousand_recipients_are_one_report_and_their_answer_stands_in_it_once_for_people() -> None:
    fates = [replace(BOB, address=f"bob{number}@example.net") for number in range(1000)]
    octets = write(original(), Action.FAILED, *fates)
    assert len(read(octets).recipients) == 1000
    assert text_of(octets).count("No such user") == 1


def test_a28_a_thousand_long_answers_do_not_make_a_huge_report() -> None:
    fates = [Fate(f"b{n}@example.net", reply=Reply(550, "5.1.1", *[f"{n} " + "x" * 2000] * 100), host="mx") for n in range(1000)]
    octets = write(original(), Action.FAILED, *fates)
    assert len(octets) < 1_200_000
    assert len(read(octets).recipients) == 1000


@pytest.mark.parametrize(("length", "kept"), [(500, 500), (501, 500)])
def test_what_a_host_said_is_cut_at_its_limit(length: int, kept: int) -> None:
    said = "550 " + "x" * (length - 4)
    octets = write(original(), Action.FAILED, replace(BOB, reply=Reply(550, "", said[4:])))
    assert len("".join(read(octets).recipients[0].diagnostic.split(" "))) == kept - 1


@pytest.mark.parametrize(("length", "kept"), [(200, 200), (201, 200)])
def test_a_subject_is_cut_at_its_limit(length: int, kept: int) -> None:
    octets = write(original(b"Subject: " + b"y" * length + b"\r\n\r\n"), Action.FAILED, BOB)
    subject = email.message_from_bytes(octets, policy=email.policy.default)["Subject"]
    assert subject == "Not delivered: " + "y" * kept


def test_a27_nothing_is_reported_to_the_null_reverse_path() -> None:
    with pytest.raises(LocalProtocolError):
        write(original(reverse_path=""), Action.FAILED, BOB)


def test_a27_a_report_is_never_reported_on_whoever_says_he_sent_it() -> None:
    report = write(original(), Action.FAILED, BOB)
    assert not is_reportable("ann@example.org", report)
    assert is_reportable("ann@example.org", MESSAGE)
    assert is_reportable("a@b", b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n")
    with pytest.raises(LocalProtocolError):
        write(original(report), Action.FAILED, BOB)


@settings(max_examples=50)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.booleans())
def test_a22_a33_nothing_that_others_say_breaks_a_field_or_adds_one(
    said: str, host: str, envid: str, subject: str, utf8: bool
) -> None:
    fate = Fate("bob@example.net", f"rfc822;{said}", Reply(550, "5.1.1", said, host), host, attempted=T)
    octets = HEADER.replace(
        b"Hello", subject.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"") or b"x"
    )
    report = write(original(octets + b"\r\nbody\r\n", envid=envid, is_utf8=utf8), Action.FAILED, fate)
    text, _, returned = parts_of(report)
    block = report.split(b"delivery-status\r\n", 1)[1].split(b"\r\n\r\n--=_token", 1)[0]
    names = [name.decode() for name in re.findall(rb"^([A-Za-z-]+):", block, re.MULTILINE) if not name.startswith(b"Content-")]
    expected = ["Original-Envelope-Id"] if envid else []
    expected += ["Reporting-MTA", "Arrival-Date", "Original-Recipient", "Final-Recipient", "Action", "Status"]
    expected += ["Remote-MTA"] if host else []
    assert names == [*expected, "Diagnostic-Code", "Last-Attempt-Date"]
    assert b"\0" not in report
    before = report[: report.index(f"Content-Type: {returned.get_content_type()}".encode())]
    assert b"\x1b" not in before
    assert "\u202e" not in str(text.get_content())
    assert [recipient.final for recipient in read(report).recipients] == ["bob@example.net"]


# -- RFC 6533


def test_facts_are_utf8_where_the_message_travelled_with_smtputf8() -> None:
    octets = MESSAGE.replace(b"Hello", "Grüße".encode())
    report = write(original(octets, is_utf8=True), Action.FAILED, Fate("jürgen@example.net", "utf-8;jürgen@example.com"))
    assert types_of(report) == ["text/plain", "message/global-delivery-status", "message/global"]
    (recipient,) = read(report).recipients
    assert (recipient.final, recipient.original) == ("jürgen@example.net", "jürgen@example.com")
    headers = write(original(octets, is_utf8=True, ret="HDRS"), Action.FAILED, Fate("jürgen@example.net"))
    assert types_of(headers)[2] == "message/global-headers"


def test_an_ascii_report_writes_a_utf8_address_in_ascii() -> None:
    """RFC 6533 section 3: utf-8-addr-xtext."""
    report = write(original(), Action.FAILED, Fate("bob@example.net", "utf-8;jürgen@example.com"))
    assert b"Original-Recipient: utf-8;j\\x{FC}rgen@example.com\r\n" in report
    assert report.isascii()


def test_a_header_with_octets_that_are_no_utf8_comes_back_in_quoted_printable() -> None:
    report = write(original(MESSAGE.replace(b"Hello", b"H\xe9llo"), ret="HDRS"), Action.FAILED, BOB)
    assert report.isascii()
    assert b"Subject: H=E9llo" in report


def test_a_binary_message_comes_back_as_its_header() -> None:
    report = write(original(MESSAGE + b"bare\nLF"), Action.FAILED, BOB)
    assert types_of(report)[2] == "text/rfc822-headers"


# -- reading


EXPECTED = {
    "multi_address_bounce1.eml": (5, Action.FAILED, "5.1.1", "lvmail01.LL.com"),
    "multi_address_bounce2.eml": (5, Action.FAILED, "5.1.1", "lvmail01.LL.com"),
    "multipart_report_multiple_status.eml": (1, Action.FAILED, "5.3.0", "schemailmta04.ci.com"),
    "report_422.eml": (1, Action.DELAYED, "4.2.2", "mail11.ttttt.com.au"),
    "report_530.eml": (1, Action.FAILED, "5.3.0", "mail12.rrrr.com.au"),
}


@pytest.mark.skipif(not SHARED.exists(), reason="the shared corpora are not beside the repository")
@pytest.mark.parametrize("name", EXPECTED)
def test_reports_of_other_servers_are_read(name: str) -> None:
    report = read((SHARED / "corpora/imap-tools/multipart_report_emails" / name).read_bytes())
    first = report.recipients[0]
    assert (len(report.recipients), first.action, first.status, report.reporting_mta) == EXPECTED[name]
    assert report.message_id.startswith("<")
    assert first.final.count("@") == 1


@pytest.mark.parametrize("action", Action)
def test_what_we_write_we_read(action: Action) -> None:
    fate = Fate("bob@example.net", "rfc822;Bob@example.com", Reply(250, "2.0.0", "OK"), "mx.example.net", attempted=T)
    report = read(write(original(envid="a+b c"), action, fate))
    assert (report.reporting_mta, report.envid, report.arrived, report.message_id) == (
        "mx.example.org",
        "a+b c",
        T,
        "<1@example.org>",
    )
    (recipient,) = report.recipients
    assert (recipient.final, recipient.original, recipient.action) == ("bob@example.net", "Bob@example.com", action)
    assert (recipient.remote_mta, recipient.diagnostic, recipient.last_attempt) == ("mx.example.net", "250 2.0.0 OK", T)


def test_other_mail_is_no_report() -> None:
    assert parse(MESSAGE) is None
    assert parse(b"Content-Type: message/delivery-status\r\n\r\nThis was not delivered.\r\n") is None
    assert parse(b"") is None


def test_a_report_inside_of_a_message_is_not_that_messages() -> None:
    report = write(original(), Action.FAILED, BOB)
    assert parse(b"Content-Type: message/rfc822\r\n\r\n" + report) is None


def facts(body: bytes) -> bytes:
    return b"Content-Type: message/delivery-status\r\n\r\n" + body


def test_recipients_of_a_report_are_read_up_to_the_cap() -> None:
    limits = ReaderLimits(recipients=3)
    group = b"\r\nFinal-Recipient: rfc822; a@b\r\n"
    for count, kept in ((3, 3), (4, 3)):
        report = parse(facts(b"Reporting-MTA: dns; x\r\n" + group * count), limits)
        assert report is not None
        assert len(report.recipients) == kept


def test_octets_of_facts_and_of_what_came_back_are_read_up_to_the_caps() -> None:
    block = b"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; a@b\r\n"
    for room, found in ((len(block), "a@b"), (len(block) - 3, "a@")):
        report = parse(facts(block), replace(READER_LIMITS, facts=room))
        assert report is not None
        assert report.recipients[0].final == found
    octets = write(original(), Action.FAILED, BOB)
    for room, message_id in ((len(HEADER), "<1@example.org>"), (len(HEADER) - 3, "<1@example.org")):
        report = parse(octets, replace(READER_LIMITS, returned=room))
        assert report is not None
        assert report.message_id == message_id
