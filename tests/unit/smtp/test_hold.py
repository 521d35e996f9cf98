"""FUTURERELEASE (RFC 4865): parameters, what is offered, and what is too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.protocols.smtp.command import Ehlo, Mail
from postwren.protocols.smtp.hold import HoldFor, HoldUntil, format_date_time, hold_seconds, parse_hold_for, parse_hold_until
from postwren.protocols.smtp.limits import Limits
from postwren.protocols.smtp.params import CommandFault, Extension, MailParams, parse_mail_params
from postwren.protocols.smtp.reply import HOLD_TOO_LONG, SENDER_OK, Reply
from postwren.protocols.smtp.server import CommandRejected, ServerConnection

NOW = 1_700_000_000
ALL = frozenset(Extension)


def hello(core: ServerConnection) -> Reply:
    core.open(Reply(220, "", "mx"), is_tls=False, can_start_tls=False)
    core.receive_data(b"EHLO client\r\n")
    assert isinstance(core.next_event(), Ehlo)
    reply = core.hello_reply((), NOW)
    core.send(reply)
    return reply


def test_the_hello_says_how_long_as_seconds_and_as_a_time() -> None:
    assert "FUTURERELEASE 3600 2023-11-14T23:13:20Z" in hello(ServerConnection("mx", limits=Limits(hold_seconds=3600))).lines


def test_it_is_not_offered_where_nothing_is_held() -> None:
    core = ServerConnection("mx")
    assert not any("FUTURERELEASE" in line for line in hello(core).lines)
    core.receive_data(b"MAIL FROM:<a@b> HOLDFOR=1\r\n")
    event = core.next_event()
    assert isinstance(event, CommandRejected)
    assert event.reply.code == 555


@pytest.mark.parametrize(("seconds", "taken"), [(3600, True), (3601, False)])
def test_a_submission_is_held_as_long_as_the_limit_and_not_a_second_longer(seconds: int, taken: bool) -> None:
    core = ServerConnection("mx", limits=Limits(hold_seconds=3600))
    hello(core)
    core.receive_data(f"MAIL FROM:<a@b> HOLDFOR={seconds}\r\n".encode())
    event = core.next_event()
    if taken:
        assert isinstance(event, Mail)
        assert event.params.hold == HoldFor(seconds)
        core.send(SENDER_OK)
    else:
        assert event == CommandRejected(HOLD_TOO_LONG)
    assert hold_seconds(HoldFor(seconds), NOW, 3600) == (seconds if taken else HOLD_TOO_LONG)
    assert hold_seconds(HoldUntil(NOW + seconds), NOW, 3600) == (seconds if taken else HOLD_TOO_LONG)


def test_a_time_that_is_over_is_now() -> None:
    assert hold_seconds(HoldUntil(NOW - 5), NOW, 3600) == 0
    assert hold_seconds(None, NOW, 0) == 0


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14t23:13:20.5+01:00", NOW),
        ("2023-11-14T17:43:20-04:30", NOW),
        ("2024-02-29T00:00:00Z", 1_709_164_800),
    ],
)
def test_a_time_is_one_of_rfc_3339(text: str, epoch: int) -> None:
    assert parse_hold_until(text) == HoldUntil(epoch)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2023-11-14", "2023-11-14T22:13Z", "2023-11-14T22:13:20", "2023-11-14 22:13:20Z", "2023-02-29T00:00:00Z"),
        *("2023-13-01T00:00:00Z", "2023-11-14T24:00:00Z", "2023-11-14T22:60:00Z", "2023-11-14T22:13:20+25:00", "tomorrow"),
    ],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(CommandFault):
        parse_hold_until(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1234567890", "1h", "\u0661"])
def test_an_interval_is_one_to_nine_digits(text: str) -> None:
    assert parse_hold_for("999999999") == HoldFor(999_999_999)
    with pytest.raises(CommandFault):
        parse_hold_for(text)


def test_one_of_the_two_and_once() -> None:
    assert parse_mail_params("HOLDFOR=5", ALL) == MailParams(hold=HoldFor(5))
    for both in ("HOLDFOR=5 HOLDUNTIL=2023-11-14T22:13:20Z", "HOLDFOR=5 HOLDFOR=5", "HOLDFOR"):
        with pytest.raises(CommandFault):
            parse_mail_params(both, ALL)


@given(st.integers(0, 253_402_300_799))
def test_a_time_is_read_back(epoch: int) -> None:
    assert parse_hold_until(format_date_time(epoch)) == HoldUntil(epoch)
