"""Paths, parameters, commands, replies: what is parsed can be written, and is parsed alike again. Enhanced codes are those of
RFC 3463 and its registry (RFC 5248)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.protocols.smtp.command import (
    COMMANDS,
    Auth,
    Bdat,
    Burl,
    Command,
    Data,
    Ehlo,
    Mail,
    Noop,
    Rcpt,
    StartTls,
    Vrfy,
    format_command,
)
from postwren.protocols.smtp.hold import HoldFor, HoldUntil
from postwren.protocols.smtp.params import (
    Body,
    CommandFault,
    Extension,
    MailParams,
    Notify,
    OriginalRecipient,
    RcptParams,
    Ret,
    decode_xtext,
    encode_xtext,
)
from postwren.protocols.smtp.path import POSTMASTER, AddressInvalid, format_path, parse_mailbox, parse_path
from postwren.protocols.smtp.reply import Reply, ReplyInvalid, ReplyReader
from postwren.terms import Address
from postwren.wire.errors import LocalProtocolError

ALL = frozenset(Extension)
addresses = st.builds(
    Address,
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=25),
    st.sampled_from(["example.org", "x", "xn--bcher-kva.example", "[192.0.2.1]", "[ipv6:2001:db8::1]"]),
)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
mail_params = st.builds(
    MailParams,
    size=st.none() | st.integers(0, 10**19),
    body=st.none() | st.sampled_from(Body),
    smtputf8=st.booleans(),
    ret=st.none() | st.sampled_from(Ret),
    envid=st.none() | printable,
    auth=st.none() | st.just("") | addresses,
    requiretls=st.booleans(),
    token=st.none() | printable.filter(str.strip),
    hold=st.none() | st.builds(HoldFor, st.integers(1, 10**9 - 1)) | st.builds(HoldUntil, st.integers(0, 4 * 10**9)),
)
rcpt_params = st.builds(
    RcptParams,
    notify=st.just(frozenset([Notify.NEVER])) | st.frozensets(st.sampled_from([Notify.SUCCESS, Notify.FAILURE, Notify.DELAY])),
    orcpt=st.none()
    | st.builds(OriginalRecipient, st.just("rfc822"), printable)
    | st.builds(OriginalRecipient, st.just("utf-8"), st.text(st.sampled_from("aя€\U0001f600+=\\ x"), min_size=1, max_size=9)),
)


def parse(line: bytes) -> Command:
    verb, _, text = line.removesuffix(b"\r\n").decode().partition(" ")
    return COMMANDS[verb][1](text, ALL)


@given(
    st.builds(Mail, st.none() | addresses, mail_params)
    | st.builds(Rcpt, addresses | st.just(POSTMASTER), rcpt_params)
    | st.builds(Bdat, st.integers(0, 10**19), st.booleans())
    | st.builds(Burl, st.just("imap://ann@x/INBOX;uid=1/;urlauth=submit+ann:internal:91"), st.booleans())
    | st.sampled_from([Ehlo("c"), Data(), Noop(), StartTls(), Vrfy("ann"), Auth("PLAIN")])
)
def test_what_is_formatted_parses_back(command: Command) -> None:
    assert parse(format_command(command)) == command


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_mailbox(text)
    except AddressInvalid:
        return
    assert parse_mailbox(str(address)) == address
    assert parse_path(format_path(address).decode()) == address


@given(printable)
def test_xtext_reads_back(text: str) -> None:
    """RFC 3461 4."""
    assert decode_xtext(encode_xtext(text)) == text


@pytest.mark.parametrize("text", ["+0D+0A", "+00", "+2b", "+", "+2", "a b", "a=b", "+7F", "+80", "é"])
def test_xtext_is_strict_and_hides_no_control(text: str) -> None:
    """A-22."""
    with pytest.raises(CommandFault):
        decode_xtext(text)


@pytest.mark.parametrize(
    "params",
    [
        "NOTIFY=NEVER,SUCCESS",
        "NOTIFY=",
        "NOTIFY=SOMETIMES",
        "ORCPT=rfc822",
        "ORCPT=;x",
        "ORCPT=rfc822;a+0Ab",
        "ORCPT=utf-8;\\x{0A}",
        "ORCPT=utf-8;\\x{D800}",
        "ORCPT=utf-8;\\x{110000}",
        "ORCPT=rfc822;" + "x" * 500,
    ],
)
def test_bad_dsn_parameters_are_refused(params: str) -> None:
    """RFC 3461 4.1, 4.2; RFC 6533 3."""
    with pytest.raises(CommandFault):
        parse(f"RCPT TO:<a@x> {params}\r\n".encode())


def test_envid_has_a_limit() -> None:
    """RFC 3461 4.4."""
    assert parse(b"MAIL FROM:<> ENVID=" + b"x" * 100) == Mail(None, MailParams(envid="x" * 100))
    with pytest.raises(CommandFault):
        parse(b"MAIL FROM:<> ENVID=" + b"x" * 101)


@pytest.mark.parametrize("command", [Ehlo("a\r\nMAIL FROM:<>"), Vrfy("x\ny"), Mail(Address("a\r\nb", "x")), Ehlo("a\x85b")])
def test_a_command_is_one_line_whatever_is_in_it(command: Command) -> None:
    """A-22."""
    with pytest.raises(LocalProtocolError):
        format_command(command)


def test_a_reply_is_one_reply_whatever_is_in_it() -> None:
    """A-22."""
    for text in ("a\r\n250 b", "a\nb", "a\rb"):
        with pytest.raises(LocalProtocolError):
            Reply(250, "2.0.0", text).format()


def test_replies_read_back() -> None:
    """RFC 5321 4.2.1, RFC 2034 4."""
    for reply in (Reply(250, "2.1.5", "a", "b", ""), Reply(354, "", "go"), Reply(250, "", "4.1.1 not ours", "x")):
        reader = ReplyReader(10)
        *before, last = reply.format().splitlines()
        assert [reader.line(line + b"\r") for line in before] == [None] * len(before)
        assert reader.line(last + b"\r") == reply


@pytest.mark.parametrize(
    "line", [b"", b"25", b"2500 x", b"199 x", b"600 x", b"250_x", b"250 a\x00b", b"abc", b" 250 x", b"250 a\rb"]
)
def test_what_is_no_reply_is_said_so(line: bytes) -> None:
    with pytest.raises(ReplyInvalid):
        ReplyReader(10).line(line + b"\r")


def test_a_reply_has_one_code_and_so_many_lines() -> None:
    reader = ReplyReader(2)
    assert reader.line(b"250-a") is None
    with pytest.raises(ReplyInvalid):
        reader.line(b"251 b")
    reader = ReplyReader(2)
    assert reader.line(b"250-a") is None
    assert reader.line(b"250-b") is None
    with pytest.raises(ReplyInvalid):
        reader.line(b"250 c")
