"""Who is told of what, and as which status."""

import pytest

from postwren.delivery.status import Action, Fate, format_said, parse_said, printable, status_of, wants, wants_relayed
from postwren.protocols.smtp.reply import Reply

ASKED = ["", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE", "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"]


@pytest.mark.parametrize("notify", ASKED)
def test_a_report_is_written_only_where_it_was_asked_for_and_of_failures_by_default(notify: str) -> None:
    """RFC 3461 section 5.2.3, 5.2.5, 5.2.6, cell by cell."""
    assert wants(notify, Action.FAILED) == (notify == "" or "FAILURE" in notify)
    assert wants(notify, Action.DELAYED) == ("DELAY" in notify)
    assert wants(notify, Action.DELAYED, warns=True) == (notify == "" or "DELAY" in notify)
    for action in (Action.DELIVERED, Action.RELAYED, Action.EXPANDED):
        assert wants(notify, action, warns=True) == ("SUCCESS" in notify)


@pytest.mark.parametrize("notify", ASKED)
def test_relayed_is_reported_where_success_was_asked_for_and_the_next_host_will_not_tell(notify: str) -> None:
    """RFC 3461 section 5.2.2 (b)."""
    assert wants_relayed(notify, has_dsn=False) == ("SUCCESS" in notify)
    assert not wants_relayed(notify, has_dsn=True)


@pytest.mark.parametrize(
    ("reply", "action", "status"),
    [
        (Reply(550, "5.1.1", "no"), Action.FAILED, "5.1.1"),
        (Reply(550, "", "no"), Action.FAILED, "5.2.0"),  # RFC 3463 for what RFC 5321 means by it
        (Reply(552, "", "no"), Action.FAILED, "5.2.2"),
        (Reply(599, "", "no"), Action.FAILED, "5.0.0"),
        (Reply(450, "4.2.0", "later"), Action.FAILED, "4.2.0"),  # time is up: RFC 3463 section 2 has 4 with a failure too
        (Reply(450, "", "later"), Action.DELAYED, "4.2.0"),
        (Reply(550, "5.1.1", "no"), Action.DELAYED, "4.0.0"),  # of the wrong class
        (Reply(250, "2.1.5", "yes"), Action.RELAYED, "2.1.5"),
        (Reply(250, "", "yes"), Action.DELIVERED, "2.0.0"),
        (None, Action.FAILED, "5.4.0"),
        (None, Action.DELAYED, "4.4.0"),
        (None, Action.DELIVERED, "2.0.0"),
    ],
)
def test_a_status_is_the_hosts_or_else_what_its_code_means(reply: Reply | None, action: Action, status: str) -> None:
    assert status_of(Fate("a@b", reply=reply), action) == status


def test_what_we_know_better_than_the_reply_comes_first_and_time_that_is_up_has_its_own_status() -> None:
    assert status_of(Fate("a@b", reply=Reply(550, "5.1.1", "x"), status="5.7.1"), Action.FAILED) == "5.7.1"
    assert status_of(Fate("a@b", status="nonsense"), Action.FAILED) == "5.4.0"
    assert status_of(Fate("a@b", is_expired=True), Action.FAILED) == "4.4.7"


@pytest.mark.parametrize(
    "reply", [Reply(450, "4.2.0", "Try (later)"), Reply(550, "", "no"), Reply(421, "", ""), Reply(250, "2.0.0", "")]
)
@pytest.mark.parametrize("host", ["mx.example.org", "[ipv6:2001:db8::1]", ""])
def test_what_a_host_said_is_read_back_from_the_queues_row(reply: Reply, host: str) -> None:
    said, by = parse_said(format_said(reply, host))
    assert said is not None
    assert (said.code, said.enhanced, " ".join(said.lines), by) == (reply.code, reply.enhanced, " ".join(reply.lines), host)


def test_a_sentence_of_ours_is_no_reply() -> None:
    assert parse_said("No host of example.net could be reached.") == (None, "")


def test_a33_control_characters_and_bent_directions_are_question_marks() -> None:
    assert printable("a\x1b[31m\r\n\0\u202eb\u2028") == "a?[31m????b?"
    assert printable("Grüße", is_ascii=True) == "Gr??e"
    assert "\n" not in format_said(Reply(550, "5.1.1", "a", "b\x1b"), "mx")
