"""From the queue's rows to the octets of a report."""

import pytest

from postwren.delivery.attempt import Fate, Verdict
from postwren.delivery.queue import Notice, Told
from postwren.delivery.report import Reporter
from postwren.delivery.status import Action
from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient
from postwren.terms import AccountId, Uid

OCTETS = b"From: ann@example.org\r\nSubject: hello\r\n\r\nthe secret\r\n"


@pytest.mark.parametrize(("requires_tls", "is_whole"), [(False, True), (True, False)])
def test_a_report_on_a_message_that_requires_tls_returns_its_header_only(requires_tls: bool, is_whole: bool) -> None:
    """RFC 8689 section 5: whatever RET says, for the way back may have no TLS."""
    message = QueuedMessage(Uid(1), "ann@example.org", AccountId(1), 0, "", "FULL", "7BIT", False, requires_tls, b"")
    row = QueuedRecipient(Uid(1), 1, "bob@b.example", "b.example", "", "", DeliveryState.WAITING, 1, 0, 9, False, "")
    notice = Notice(
        Action.FAILED, (Told(row, Verdict(Fate.FAILED, 550, "5.7.30", "no REQUIRETLS there", "mx.b.example"), False),)
    )
    reporter = Reporter("mx.example.org", lambda: 0, lambda: 0.0, lambda: "token")
    report = reporter(message, notice, OCTETS, len(OCTETS))
    assert report is not None
    assert b"Subject: hello" in report
    assert (b"the secret" in report) is is_whole
