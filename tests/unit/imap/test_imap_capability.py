"""The table of capabilities: what is shown where, and that nothing is shown that nobody handles (RFC 9051 section 6.1.1)."""

import re

from postwren.protocols.imap.capability import CAPABILITIES, When, missing, shown
from postwren.protocols.imap.command import Idle, List
from postwren.protocols.imap.command.table import FORMATTERS, format_command
from postwren.protocols.imap.state import ALLOWED, State


def test_before_tls_nothing_tells_how_to_log_in() -> None:
    assert "LOGINDISABLED" in shown(When.IN_CLEAR)
    assert "STARTTLS" in shown(When.IN_CLEAR)
    assert not {"STARTTLS", "LOGINDISABLED"} & {*shown(When.BEFORE_LOGIN), *shown(When.AFTER_LOGIN)}


def test_both_revisions_are_named_at_every_point() -> None:
    for when in When:
        assert {"IMAP4rev1", "IMAP4rev2"} <= set(shown(when))


def test_a_name_stands_once_and_is_an_atom() -> None:
    names = [entry.name for entry in CAPABILITIES]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9+=-]+", name) for name in names)


def test_a_capability_without_a_handler_is_found() -> None:
    everything = frozenset().union(*ALLOWED.values())
    assert list(missing(everything)) == []
    assert list(missing(everything - {Idle})) == ["IDLE"]
    assert "LIST-STATUS" in missing(everything - {List})
    assert list(missing(everything - {Idle}, without={"IDLE"})) == []
    assert "IDLE" not in shown(When.AFTER_LOGIN, without={"IDLE"})


def test_every_command_has_a_state_in_which_it_counts() -> None:
    everything = frozenset().union(*ALLOWED.values())
    assert set(FORMATTERS) <= everything
    assert ALLOWED[State.AUTHENTICATED] < ALLOWED[State.SELECTED]
    assert format_command("a", Idle()) == [b"a IDLE\r\n"]
