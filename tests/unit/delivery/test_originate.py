"""What a submission's header must be (RFC 6409, RFC 5322 section 3.6), and what becomes of it."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.delivery.originate import Original, Originator, originate
from postwren.protocols.smtp.reply import Reply

NOW = 1_700_000_000
OWN = {"ann@example.org", "a.lee@example.org"}
ANN = Originator(lambda address: f"{address.local.partition('+')[0]}@{address.domain}" in OWN or address.domain == "ann.example")
REST = b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@client>\r\nSubject: x\r\n"


def submit(header: bytes, originator: Originator = ANN) -> Original | Reply:
    return originate(header, originator, NOW, b"<made@mx.example.org>")


def refused(header: bytes) -> Reply:
    found = submit(header)
    assert isinstance(found, Reply), found
    assert found.code == 550
    found.format()
    return found


@pytest.mark.parametrize(
    "value",
    [
        b"ann@example.org",
        b"<ann@example.org>",
        b"Ann Lee <ann@example.org>",
        b"Ann B. Lee <a.lee@EXAMPLE.org>",
        b'"Lee, Ann" <ann@example.org>',
        b'"ann@example.org" <ann@example.org>',
        b"=?utf-8?q?=C3=84nn?= <ann@example.org>",
        "Änn <ann@example.org>".encode(),
        b"ann@example.org (Ann Lee)",
        b"Ann\r\n Lee\r\n\t<ann@example.org>",
        b'"ann"@example.org',
    ],
)
def test_authors_of_the_strict_grammar_are_taken_and_nothing_changes(value: bytes) -> None:
    header = b"From: " + value + b"\r\n" + REST
    assert submit(header) == Original(header, b"<1@client>")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("no From", REST),
        ("no From but Sender", b"Sender: ann@example.org\r\n" + REST),
        ("an empty From", b"From:\r\n" + REST),
        ("From twice", b"From: ann@example.org\r\nFrom: ann@example.org\r\n" + REST),
        ("From in two spellings", b"From: ann@example.org\r\nfROM: ann@example.org\r\n" + REST),
        ("space before the colon", b"From : ann@example.org\r\n" + REST),
        ("a second From behind a space", b"From: ann@example.org\r\nFrom\t: eve@other.example\r\n" + REST),
        ("a space before the name", b" From: eve@other.example\r\nFrom: ann@example.org\r\n" + REST),
        ("a comment with an address", b"From: (eve@other.example) ann@example.org\r\n" + REST),
        ("a comment inside the address", b"From: ann(x)@example.org\r\n" + REST),
        ("a comment inside the brackets", b"From: <ann@example.org(x)>\r\n" + REST),
        ("a comment with an address behind", b"From: ann@example.org (eve@other.example)\r\n" + REST),
        ("a group", b"From: us: ann@example.org;\r\n" + REST),
        ("an empty group", b"From: nobody:;\r\n" + REST),
        ("an encoded word for the address", b"From: =?utf-8?q?ann=40example.org?=\r\n" + REST),
        ("an encoded word that holds an address", b"From: =?utf-8?q?=3Ceve=40other.example=3E=2C?= <ann@example.org>\r\n" + REST),
        ("an encoded line end", b"From: =?utf-8?q?a=0D=0Ab?= <ann@example.org>\r\n" + REST),
        ("an encoded NUL", b"From: =?utf-8?q?eve=40other.example=00?= <ann@example.org>\r\n" + REST),
        ("NUL in From", b"From: ann@example.org\x00eve@other.example\r\n" + REST),
        ("NUL anywhere", b"From: ann@example.org\r\nX: \x00\r\n" + REST),
        ("a bare CR", b"From: ann@example.org\r\nX: a\rFrom: eve@other.example\r\n" + REST),
        ("a bare LF", b"From: ann@example.org\r\nX: a\nFrom: eve@other.example\r\n" + REST),
        ("a bare LF before another field", b"From: ann@example.org\r\nX: a\nY: b\r\n" + REST),
        ("a control character", b"From: \x01ann@example.org\r\n" + REST),
        ("a route", b"From: <@other.example:ann@example.org>\r\n" + REST),
        ("two addresses without a comma", b"From: ann@example.org eve@other.example\r\n" + REST),
        ("two brackets", b"From: <eve@other.example> <ann@example.org>\r\n" + REST),
        ("an address that is no mailbox", b"From: ann\r\n" + REST),
        ("octets that are no text", b"From: \xff <ann@example.org>\r\n" + REST),
        ("several authors and no Sender", b"From: ann@example.org, a.lee@example.org\r\n" + REST),
        ("Sender twice", b"From: ann@example.org\r\nSender: ann@example.org\r\nSender: ann@example.org\r\n" + REST),
        ("several Senders", b"From: ann@example.org\r\nSender: ann@example.org, a.lee@example.org\r\n" + REST),
        ("Subject twice", b"From: ann@example.org\r\nSubject: y\r\n" + REST),
        ("Date twice", b"From: ann@example.org\r\nDate: x\r\n" + REST),
        ("To twice", b"From: ann@example.org\r\nTo: a@b.example\r\nTo: a@c.example\r\n" + REST),
        ("a line that is no field", b"From: ann@example.org\r\nhello\r\nFrom: eve@other.example\r\n" + REST),
        ("a field that is blank for a line", b"From: ann@example.org\r\nX: a\r\n \r\n b\r\n" + REST),
        ("a name that is no ASCII", "From: ann@example.org\r\nFröm: x\r\n".encode() + REST),
    ],
)
def test_a25_a_header_that_two_readers_can_read_in_two_ways_is_refused(name: str, header: bytes) -> None:
    assert refused(header).enhanced == "5.6.0", name


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("From", b"From: eve@other.example\r\n"),
        ("From beside an own one", b"From: ann@example.org, eve@other.example\r\nSender: ann@example.org\r\n"),
        ("Sender", b"From: ann@example.org\r\nSender: eve@other.example\r\n"),
        ("Resent-From", b"Resent-From: eve@other.example\r\nFrom: ann@example.org\r\n"),
        ("Resent-Sender", b"Resent-Sender: eve@other.example\r\nResent-From: ann@example.org\r\nFrom: ann@example.org\r\n"),
        ("From of what is resent", b"Resent-From: ann@example.org\r\nFrom: eve@other.example\r\n"),
        ("the second Resent-From", b"Resent-From: ann@example.org\r\nResent-From: eve@b.example\r\nFrom: ann@example.org\r\n"),
        ("the name", b'From: "eve@other.example" <ann@example.org>\r\n'),
        ("the encoded name", b"From: =?utf-8?q?eve=40other.example?= <ann@example.org>\r\n"),
        ("the comment", b"From: ann@example.org (=?utf-8?b?ZXZlQG90aGVyLmV4YW1wbGU=?=)\r\n"),
        ("a subdomain", b"From: ann@sub.example.org\r\n"),
        ("a domain that looks alike", "From: ann@exämple.org\r\n".encode()),
        ("a local part that looks alike", "From: änn@example.org\r\n".encode()),
    ],
)
def test_a25_every_address_of_an_author_is_the_accounts_own(name: str, header: bytes) -> None:
    reply = refused(header + REST)
    assert reply.enhanced == "5.7.1", name
    assert "own addresses" in reply.lines[0]
    assert reply.lines[0].isascii()


def test_a_refusal_says_which_address_it_is() -> None:
    assert refused(b"From: eve@other.example\r\n" + REST) == Reply(
        550, "5.7.1", "From must be one of your own addresses (eve@other.example is not)"
    )


def test_whoever_may_name_anybody_still_has_one_author_that_can_be_understood() -> None:
    free = Originator(lambda _address: False, is_free=True)
    header = b"From: eve@other.example\r\n" + REST
    assert submit(header, free) == Original(header, b"<1@client>")
    assert isinstance(submit(header + header, free), Reply)
    assert isinstance(submit(b"From: a: eve@other.example;\r\n" + REST, free), Reply)


def test_several_authors_go_with_a_sender() -> None:
    header = b"From: ann@example.org, Ann <x@ann.example>\r\nSender: ann+lists@example.org\r\n" + REST
    assert submit(header) == Original(header, b"<1@client>")


def test_date_and_message_id_are_added_where_they_are_missing() -> None:
    """RFC 6409 sections 8.2 and 8.3."""
    found = submit(b"From: ann@example.org\r\nX-Folded: a\r\n b\r\n")
    assert found == Original(
        b"From: ann@example.org\r\nX-Folded: a\r\n b\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
        b"Message-ID: <made@mx.example.org>\r\n",
        b"<made@mx.example.org>",
    )


def test_bcc_and_return_path_go_and_everything_else_stays() -> None:
    """RFC 5322 section 3.6.3."""
    header = (
        b"Return-Path: <x@y>\r\nFrom: ann@example.org\r\nBCC: a@b.example,\r\n c@d.example\r\nX-Odd:\x80\xff  tail \r\n"
        b"Resent-Bcc: e@f.example\r\n" + REST
    )
    assert submit(header) == Original(b"From: ann@example.org\r\nX-Odd:\x80\xff  tail \r\n" + REST, b"<1@client>")


def test_a_header_whose_last_line_does_not_end_is_ended() -> None:
    found = originate(b"From: ann@example.org\r\n" + REST[:-2], ANN, NOW, b"<m@h>")
    assert found == Original(b"From: ann@example.org\r\n" + REST, b"<1@client>")


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [
                b"From:",
                b"ann@example.org",
                b"eve@other.example",
                b" ",
                b"\r\n",
                b"\r\n ",
                b"(",
                b")",
                b"<",
                b">",
                b'"',
                b"\\",
                b",",
                b";",
                b":",
                b"=?utf-8?q?",
                b"?=",
                b"=40",
                b"\x00",
                b"Sender:",
                b"X",
            ]
        ),
        max_size=30,
    )
)
def test_a25_whatever_is_taken_names_nobody_else_where_an_author_stands(words: list[bytes]) -> None:
    found = submit(b"".join(words) + b"\r\n" + REST)
    if isinstance(found, Original):
        lines = found.header.replace(b"\r\n ", b" ").split(b"\r\n")
        authors = [line for line in lines if line.lower().startswith((b"from:", b"sender:"))]
        assert sum(line.lower().startswith(b"from:") for line in authors) == 1
        assert not any(b"eve@other.example" in line for line in authors)


@pytest.mark.parametrize(
    "piece", [b"a", b'"', b"a.", b"a@", b'"\\', b"a@b.cc ", b"=?utf-8?q?a?= ", b".", b"a@b,", b"\r\n x", b"(("]
)
def test_a31_a_header_of_any_shape_costs_time_in_proportion(piece: bytes) -> None:
    def cost(size: int) -> float:
        header = b"From: " + piece * (size // len(piece)) + b" <ann@example.org>\r\n" + REST
        begun = time.process_time()
        originate(header, Originator(lambda _address: True), NOW, b"<m@h>")
        return time.process_time() - begun

    assert cost(60_000) < 0.5
