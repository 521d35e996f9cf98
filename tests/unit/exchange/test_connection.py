"""One connection to a host, over real sockets: what it is told and never told, and what every answer of it comes to."""

import asyncio
import datetime
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.exchange.outbound_world import CLOSE, OCTETS, SILENCE, USUAL, Deaf, Host, a_letter, a_recipient, listening, run

from postwren.delivery.attempt import Fate
from postwren.exchange.connection import Connection, HostFailed, Ours, Result, Target
from postwren.exchange.limits import OutboundLimits
from postwren.exchange.policy import Blame, TlsResult, TlsRule
from postwren.protocols.smtp.params import Body
from postwren.transport.certificate import development_certificate
from postwren.transport.deadline import Watch, Watched

RULE = TlsRule("mx.b.example")
MUST = TlsRule("mx.b.example", is_required=True)
OURS = Ours("mx.a.example", limits=OutboundLimits(quit=0.5))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    names = ["mx.b.example"]
    return development_certificate(tmp_path_factory.mktemp("tls"), names, datetime.datetime.now(datetime.UTC))


@pytest.fixture(scope="module")
def context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificate)
    return made


async def call(port: int, rule: TlsRule = RULE, ours: Ours = OURS, **fields: Any) -> Connection:
    return await Connection.open(Target("mx.b.example", "127.0.0.1", port, rule, **fields), ours)


def send(host: Host, *recipients: str, ours: Ours = OURS, rule: TlsRule = RULE, octets: bytes = OCTETS, **fields: Any) -> Result:
    found: list[Result] = []

    async def scene() -> None:
        async with listening(host) as port:
            connection = await call(port, rule, ours)
            rows = [a_recipient(number, address) for number, address in enumerate(recipients or ("bob@b.example",), 1)]
            found.append(await connection.transact(a_letter(octets, **fields), rows))
            await connection.quit()

    run(scene())
    return found[0]


def told(result: Result) -> list[tuple[int, Fate, int, str]]:
    return [(each.number, each.verdict.fate, each.verdict.code, each.verdict.enhanced) for each in result.outcomes]


@pytest.mark.parametrize("extensions", [USUAL, ("SIZE",), ()])
def test_a_message_arrives_as_it_is_with_and_without_pipelining(extensions: tuple[str, ...]) -> None:
    host = Host(extensions)
    result = send(host, "bob@b.example", "eve@b.example", body="7BIT")
    assert told(result) == [(1, Fate.DELIVERED, 250, "2.0.0"), (2, Fate.DELIVERED, 250, "2.0.0")]
    ((mail, rcpts, body),) = host.messages
    assert mail == b"MAIL FROM:<ann@a.example>" + (b" SIZE=%d" % len(OCTETS) if extensions else b"") + b"\r\n"
    assert rcpts == [b"RCPT TO:<bob@b.example>\r\n", b"RCPT TO:<eve@b.example>\r\n"]
    assert body.replace(b"\r\n..", b"\r\n.") == OCTETS
    assert host.heard[-1] == b"QUIT\r\n"


def test_wishes_for_reports_go_on_where_the_host_keeps_them() -> None:
    """RFC 3461 sections 4 and 5.2.1."""
    row = a_recipient(notify="SUCCESS,DELAY", orcpt="rfc822;bob+x@a.example")
    letter = a_letter(envid="QQ 3", ret="HDRS")

    async def scene() -> None:
        for extensions, is_told in ((("DSN",), True), ((), False)):
            host = Host((*USUAL, *extensions))
            async with listening(host) as port:
                connection = await call(port)
                result = await connection.transact(letter, [row])
                await connection.quit()
            assert result.outcomes[0].verdict.offers_dsn is is_told
            ((mail, rcpts, _),) = host.messages
            assert (b" RET=HDRS ENVID=QQ+203" in mail) is is_told
            assert (rcpts[0] == b"RCPT TO:<bob@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+2Bx@a.example\r\n") is is_told

    run(scene())


def test_every_recipient_has_the_answer_it_was_given() -> None:
    host = Host(rcpt={"no@b.example": b"550 5.1.1 nobody\r\n", "later@b.example": b"450 4.2.0 later\r\n"})
    result = send(host, "no@b.example", "bob@b.example", "later@b.example")
    assert told(result) == [(1, Fate.FAILED, 550, "5.1.1"), (3, Fate.DEFERRED, 450, "4.2.0"), (2, Fate.DELIVERED, 250, "2.0.0")]
    assert not result.left


@pytest.mark.parametrize("reply", [b"452 4.5.3 too many\r\n", b"452 too many\r\n", b"552 5.5.3 too many\r\n"])
def test_recipients_beyond_what_a_host_takes_at_once_are_left_for_the_next_transaction(reply: bytes) -> None:
    """RFC 5321 section 4.5.3.1.10."""
    host = Host(rcpt={"c@b.example": reply, "d@b.example": reply})
    result = send(host, "bob@b.example", "c@b.example", "d@b.example")
    assert told(result) == [(1, Fate.DELIVERED, 250, "2.0.0")]
    assert [row.number for row in result.left] == [2, 3]


def test_a_mailbox_that_is_full_is_not_one_recipient_too_many() -> None:
    host = Host(rcpt={"c@b.example": b"452 4.2.2 full\r\n"})
    result = send(host, "bob@b.example", "c@b.example")
    assert [row[:3] for row in told(result)] == [(2, Fate.DEFERRED, 452), (1, Fate.DELIVERED, 250)]


@pytest.mark.parametrize("more", [0, 1])
def test_a_transaction_has_so_many_recipients_and_not_one_more(more: int) -> None:
    ours = replace(OURS, limits=OutboundLimits(recipients=3, quit=0.5))
    result = send(Host(), *(f"r{n}@b.example" for n in range(3 + more)), ours=ours)
    assert (len(result.outcomes), len(result.left)) == (3, more)


def test_a_host_says_how_many_recipients_it_takes() -> None:
    """RFC 9422 section 4."""
    result = send(Host((*USUAL, "LIMITS MAILMAX=9 RCPTMAX=2")), *(f"r{n}@b.example" for n in range(3)))
    assert (len(result.outcomes), len(result.left)) == (2, 1)


REFUSALS = [("MAIL", 451, Fate.DEFERRED), ("MAIL", 550, Fate.FAILED), ("DATA", 451, Fate.DEFERRED), ("DATA", 554, Fate.FAILED)]


@pytest.mark.parametrize(("word", "code", "fate"), [*REFUSALS, ("END", 451, Fate.DEFERRED), ("END", 552, Fate.FAILED)])
def test_a_refusal_of_the_whole_is_each_recipients(word: str, code: int, fate: Fate) -> None:
    host = Host(says={word: b"%d no\r\n" % code})
    result = send(host, "bob@b.example", "eve@b.example")
    assert told(result) == [(1, fate, code, ""), (2, fate, code, "")]
    assert not result.is_over
    assert not host.messages


PHASES = ("MAIL", "RCPT", "DATA", "END")
ODDITIES = (
    CLOSE,
    b"421 4.3.2 bye\r\n",
    b"nonsense\r\n",
    b"250\x00\r\n",
    b"250-a\r\n550 b\r\n",
    b"250 " + b"x" * 3000,
    b"250-x\r\n" * 300,
)


@pytest.mark.parametrize("word", PHASES)
@pytest.mark.parametrize("says", [*ODDITIES, b"350 more\r\n", b"250 ok\r\n250 and more\r\n"], ids=range(9))
def test_d06_a_host_that_leaves_the_protocol_has_neither_taken_nor_refused_anything(word: str, says: bytes) -> None:
    host = Host(says={word: says})
    result = send(host, "bob@b.example", "eve@b.example")
    fates = {each.verdict.fate for each in result.outcomes}
    if says.startswith(b"250 ok") and word == "END":
        assert fates == {Fate.DELIVERED}  # what it says behind is another matter: the connection is not used again
        return
    assert fates == {Fate.DEFERRED}
    assert len(result.outcomes) == 2
    assert result.is_over
    assert not any(each.verdict.text for each in result.outcomes if "\n" in each.verdict.text)


@pytest.mark.parametrize("word", ["GREETING", "EHLO"])
@pytest.mark.parametrize("says", [*ODDITIES, b"554 5.7.1 go away\r\n", b"450 later\r\n"], ids=range(9))
def test_a_host_that_does_not_greet_is_not_used(word: str, says: bytes) -> None:
    with pytest.raises(HostFailed) as failed:
        send(Host(says={word: says, "HELO": b"502 no\r\n"}))
    assert failed.value.verdict.fate is Fate.DEFERRED


def test_only_521_says_that_a_host_never_takes_mail() -> None:
    """RFC 7504 section 3."""
    with pytest.raises(HostFailed) as failed:
        send(Host(says={"GREETING": b"521 no mail here\r\n"}))
    assert failed.value.verdict.fate is Fate.FAILED


def test_a_host_without_ehlo_is_spoken_to_by_helo() -> None:
    host = Host(says={"EHLO": b"502 what\r\n"})
    assert told(send(host, body="7BIT"))[0][1] is Fate.DELIVERED
    assert b"HELO mx.a.example\r\n" in host.heard


LIMITED = [
    ("greeting", "GREETING"), ("hello", "EHLO"), ("mail", "MAIL"), ("recipient", "RCPT"), ("data", "DATA"), ("envelope", "RCPT"),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "word"), LIMITED)
def test_a30_a_host_has_so_long_for_each_answer(limit: str, word: str) -> None:
    short: dict[str, Any] = {limit: 0.1}
    ours = replace(OURS, limits=replace(OURS.limits, **short))
    began = time.monotonic()
    if word in ("GREETING", "EHLO"):
        with pytest.raises(HostFailed) as failed:
            send(Host(says={word: SILENCE}), ours=ours)
        assert failed.value.verdict.enhanced == "4.4.2"
    else:
        assert told(send(Host(says={word: SILENCE}), ours=ours)) == [(1, Fate.DEFERRED, 421, "4.4.2")]
    assert 0.09 < time.monotonic() - began < 2


class FastWatch(Watch):
    """Ten thousand seconds a second."""

    def __init__(self) -> None:
        super().__init__(lambda: time.monotonic() * 10_000)

    def add(self, link: Watched) -> None:
        super().add(link)
        asyncio.get_running_loop().call_later(0.02, self._hasten)

    def _hasten(self) -> None:
        self.tick()
        if self._links:
            asyncio.get_running_loop().call_later(0.02, self._hasten)


def test_a30_a_host_has_so_long_for_the_answer_to_a_message() -> None:
    ours = replace(OURS, watch=FastWatch(), limits=replace(OURS.limits, message=900))
    result = send(Host(says={"END": SILENCE}), ours=ours)
    assert told(result) == [(1, Fate.DEFERRED, 421, "4.4.2")]


def test_a30_a_host_that_does_not_read_is_left() -> None:
    async def scene() -> None:
        ours = replace(OURS, watch=FastWatch(), limits=replace(OURS.limits, block=900))
        async with listening(Deaf(), limit=1000) as port:
            connection = await call(port, ours=ours)
            octets = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"x" * 998 + b"\r\n") * 20_000
            result = await connection.transact(a_letter(octets, body="7BIT"), [a_recipient()])
            await connection.abort()
        assert [each.verdict.fate for each in result.outcomes] == [Fate.DEFERRED]
        assert result.is_over

    run(scene())


def test_a_host_that_does_not_answer_the_call_is_left() -> None:
    async def scene() -> None:
        with pytest.raises(HostFailed) as failed:
            await Connection.open(Target("x", "192.0.2.1", 25, RULE), replace(OURS, limits=OutboundLimits(connect=0.05)))
        assert failed.value.verdict.enhanced == "4.4.1"

    run(scene())


def test_leaving_takes_no_longer_than_its_limit() -> None:
    async def scene() -> None:
        async with listening(Host(says={"QUIT": SILENCE})) as port:
            connection = await call(port, ours=replace(OURS, limits=OutboundLimits(quit=0.1)))
            began = time.monotonic()
            await connection.quit()
            assert 0.09 < time.monotonic() - began < 1

    run(scene())


def test_several_messages_go_over_one_connection_whatever_became_of_the_first() -> None:
    async def scene() -> None:
        host = Host(rcpt={"no@b.example": b"550 5.1.1 nobody\r\n"})
        async with listening(host) as port:
            connection = await call(port)
            fates = []
            for address in ("bob@b.example", "no@b.example", "bob@b.example"):
                result = await connection.transact(a_letter(), [a_recipient(1, address)])
                assert not result.is_over
                fates.append(result.outcomes[0].verdict.fate)
            await connection.quit()
        assert fates == [Fate.DELIVERED, Fate.FAILED, Fate.DELIVERED]
        assert (host.connections, len(host.messages)) == (1, 2)

    run(scene())


# -- what must not go out


@pytest.mark.parametrize("octets", [b"a\nb\r\n", b"a\r.\r\nb\r\n", b"a\x00b\r\n", b"Subject: x\r\n\r\n\r\n.\n", b"x\r"])
def test_a20_no_bare_line_end_goes_out(octets: bytes) -> None:
    host = Host()
    result = send(host, octets=octets)
    assert told(result) == [(1, Fate.FAILED, 554, "5.6.0")]
    assert not host.messages


@pytest.mark.parametrize(
    "address", ["bob@b.example>\r\nRCPT TO:<eve@b.example", "bob\r\n@b.example", "b\u2028b@b.example", "b\x85b@b.example", "bob"]
)
def test_a22_an_address_that_would_be_two_lines_is_never_said(address: str) -> None:
    host = Host()
    with pytest.raises(ValueError, match=r"."):
        send(host, address)
    assert not any(b"eve" in line or b"RCPT" in line for line in host.heard)


def test_a33_what_a_host_says_is_cut() -> None:
    host = Host(says={"MAIL": b"550-" + b"x" * 2000 + b"\r\n550-" + b"y" * 2000 + b"\r\n550 z\r\n"})
    assert len(send(host).outcomes[0].verdict.text) == 1000


# -- TLS


def test_tls_is_used_where_it_is_offered_whatever_the_certificate(context: ssl.SSLContext) -> None:
    host = Host((*USUAL, "STARTTLS"), context=context)
    assert told(send(host, rule=TlsRule("another.example")))[0][1] is Fate.DELIVERED
    assert [line.split()[0] for line in host.heard[:4]] == [b"EHLO", b"STARTTLS", b"EHLO", b"MAIL"]


@pytest.mark.parametrize(
    ("extensions", "says", "result"),
    [
        (USUAL, b"", TlsResult.NOT_OFFERED),
        ((*USUAL, "STARTTLS"), b"454 4.7.0 no\r\n", TlsResult.NOT_OFFERED),
        ((*USUAL, "STARTTLS"), b"502 what\r\n", TlsResult.NOT_OFFERED),
        ((*USUAL, "STARTTLS"), b"220 go\r\n250 injected\r\n", None),
        ((*USUAL, "STARTTLS"), b"220 go\r\n", TlsResult.FAILED),  # and then no TLS
    ],
)
def test_a04_a_host_that_must_have_tls_and_has_none_gets_nothing(
    extensions: tuple[str, ...], says: bytes, result: TlsResult | None
) -> None:
    host = Host(extensions, {"STARTTLS": says} if says else {})
    with pytest.raises(HostFailed) as failed:
        send(host, rule=MUST, ours=replace(OURS, limits=replace(OURS.limits, handshake=0.2)))
    assert (failed.value.tls and failed.value.tls.result) == result
    assert not failed.value.may_be_clear
    assert not any(line.startswith(b"MAIL") for line in host.heard)


def test_a_host_may_refuse_tls_where_nothing_asks_for_it() -> None:
    assert told(send(Host((*USUAL, "STARTTLS"), {"STARTTLS": b"454 no\r\n"})))[0][1] is Fate.DELIVERED


def test_a_handshake_has_so_long_and_its_failure_may_be_forgiven() -> None:
    host = Host((*USUAL, "STARTTLS"))
    with pytest.raises(HostFailed) as failed:
        send(host, ours=replace(OURS, limits=replace(OURS.limits, handshake=0.1)))
    assert failed.value.may_be_clear
    assert failed.value.tls is not None


@pytest.mark.parametrize(
    ("name", "trusts", "result"),
    [
        ("mx.b.example", True, None),
        ("mx.c.example", True, TlsResult.HOST_MISMATCH),
        ("mx.b.example", False, TlsResult.NOT_TRUSTED),
    ],
)
def test_a09_a_certificate_that_must_be_good_is_looked_at(
    context: ssl.SSLContext, certificate: tuple[Path, Path], name: str, trusts: bool, result: TlsResult | None
) -> None:
    host = Host((*USUAL, "STARTTLS"), context=context)
    rule = TlsRule(name, is_required=True, is_verified=True)
    ours = replace(OURS, trusted=certificate[0] if trusts else None)
    if result is None:
        assert told(send(host, rule=rule, ours=ours))[0][1] is Fate.DELIVERED
        return
    with pytest.raises(HostFailed) as failed:
        send(host, rule=rule, ours=ours)
    assert failed.value.tls is not None
    assert failed.value.tls.result is result
    assert not host.messages


def test_tls_from_the_first_octet_is_verified_too(context: ssl.SSLContext, certificate: tuple[Path, Path]) -> None:
    """RFC 8314 section 3.3: a smarthost on port 465."""

    async def scene() -> None:
        host = Host()
        rule = TlsRule("mx.b.example", is_required=True, is_verified=True)
        async with listening(host, tls=context) as port:
            connection = await call(port, rule, replace(OURS, trusted=certificate[0]), is_implicit_tls=True)
            assert connection.tls_version
            result = await connection.transact(a_letter(), [a_recipient()])
            await connection.quit()
            with pytest.raises(HostFailed) as failed:
                await call(port, rule, is_implicit_tls=True)
        assert told(result)[0][1] is Fate.DELIVERED
        assert failed.value.tls is not None
        assert failed.value.tls.result is TlsResult.NOT_TRUSTED
        assert not failed.value.may_be_clear

    run(scene())


def test_a_judge_sees_the_chain_before_anything_is_said(context: ssl.SSLContext, certificate: tuple[Path, Path]) -> None:
    leaf = ssl.PEM_cert_to_DER_cert(certificate[0].read_text())
    seen: list[bytes] = []
    bad = Blame(TlsResult.TLSA_INVALID, "no record matches")
    host = Host((*USUAL, "STARTTLS"), context=context)
    assert told(send(host, rule=replace(MUST, judge=lambda chain: seen.extend(chain))))[0][1] is Fate.DELIVERED
    assert seen == [leaf]
    heard = len(host.heard)
    with pytest.raises(HostFailed) as failed:
        send(host, rule=replace(MUST, judge=lambda _: bad))
    assert failed.value.tls == bad
    assert [line.split()[0] for line in host.heard[heard:]] == [b"EHLO", b"STARTTLS"]


# -- what a message needs


def test_a_binary_message_goes_by_chunks() -> None:
    """RFC 3030 section 3."""
    host = Host((*USUAL, "BINARYMIME", "CHUNKING"))
    octets = b"Subject: x\r\n\r\n" + b"\n\x00\r" * 50_000
    assert told(send(host, octets=octets, body="BINARYMIME"))[0][1] is Fate.DELIVERED
    words = [line for line in host.heard if line.startswith(b"BDAT")]
    assert words[-1].endswith(b" LAST\r\n")
    assert sum(int(line.split()[1]) for line in words) == len(octets)
    assert any(line.startswith(b"MAIL") and b"BODY=BINARYMIME" in line for line in host.heard)


E8, UTF8 = "8BITMIME", "SMTPUTF8"
ASCII_HEAD, UTF8_HEAD = b"Subject: x\r\n\r\n\xc3\xa9\r\n", b"Subject: \xc3\xa9\r\n\r\nx\r\n"


@pytest.mark.parametrize(
    ("lacks", "fields", "recipient", "octets", "expected"),
    [
        (None, {"requires_tls": True}, "bob", OCTETS, "5.7.30"),
        (None, {"body": Body.BINARY.value}, "bob", OCTETS, "5.6.3"),
        (E8, {"body": E8}, "bob", OCTETS, "5.6.3"),
        (E8, {"body": "7BIT"}, "bob", OCTETS, ""),
        (UTF8, {}, "böb", OCTETS, "5.6.7"),
        (UTF8, {"reverse_path": "änn@a.example"}, "bob", OCTETS, "5.6.7"),
        (UTF8, {"is_utf8": True}, "bob", UTF8_HEAD, "5.6.9"),
        (UTF8, {"is_utf8": True}, "bob", ASCII_HEAD, ""),
        (None, {"is_utf8": True}, "böb", UTF8_HEAD, ""),
        (None, {}, "bob", b"x" * 1_000_001, "5.3.4"),
        (None, {}, "bob", b"x" * 1_000_000, ""),
    ],
)
def test_what_a_host_lacks_is_known_before_anything_is_sent(
    lacks: str | None, fields: dict[str, Any], recipient: str, octets: bytes, expected: str
) -> None:
    """RFC 6152 section 3, RFC 6531 section 3.2, RFC 1870 section 6.1, RFC 8689 section 4.2.2, RFC 3030 section 3."""
    host = Host([word for word in USUAL if word != lacks])
    result = send(host, f"{recipient}@b.example", octets=octets, **fields)
    verdict = result.outcomes[0].verdict
    assert (verdict.fate, verdict.enhanced) == ((Fate.FAILED, expected) if expected else (Fate.DELIVERED, "2.0.0"))
    assert any(line.startswith(b"MAIL") for line in host.heard) is not bool(expected)
    if not expected:
        is_utf8 = b" SMTPUTF8" in host.messages[0][0]
        assert is_utf8 is (lacks != UTF8 and bool(fields.get("is_utf8") or not recipient.isascii()))
