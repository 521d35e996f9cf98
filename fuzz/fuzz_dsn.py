"""No message makes the reader of reports raise or keep more than its limits, and what it reads can be reported on again.

The report that is written then has no field more than ours, whatever stood in the message, and is read back.
"""

from postwren.delivery.dsn import Original, compose, is_reportable
from postwren.delivery.dsn_reader import Limits, parse
from postwren.delivery.status import Action, Fate, format_said, parse_said
from postwren.message.compose import LINE
from postwren.protocols.smtp.reply import Reply

LIMITS = Limits(facts=4096, recipients=20, returned=2048)


def target(data: bytes) -> None:
    report = parse(data, LIMITS)
    text = data.decode("utf-8", "replace")
    fates = [Fate("ann@example.org", text[:50], Reply(550, text[:9], text[:300]), text[-40:], attempted=1)]
    if report is not None:
        assert len(report.recipients) <= LIMITS.recipients
        fates += [Fate(r.final or "x@y", r.original, Reply(550, r.status, r.diagnostic), r.remote_mta) for r in report.recipients]
        for recipient in report.recipients:
            parse_said(format_said(Reply(550, recipient.status, recipient.diagnostic), ""))
    if not is_reportable("bob@example.org", data):
        return
    original = Original("bob@example.org", data, len(data), 1, text[:20], is_utf8=bool(len(data) % 2))
    octets = compose(original, Action.FAILED, fates, hostname="mx.example.org", now=2, token="t")
    lines = octets.split(b"\r\n")
    assert all(len(line) <= LINE and b"\r" not in line and b"\n" not in line for line in lines)
    assert b"\0" not in octets
    again = parse(octets)
    assert again is not None
    assert len(again.recipients) == len(fates)


_REPORT = (
    b"Content-Type: multipart/report; report-type=%s; boundary=b\r\nSubject: x\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
    b"Content-Type: message/%s\r\n\r\nReporting-MTA: dns; mx\r\nOriginal-Envelope-Id: Q\r\nArrival-Date: 1 Jan 2024\r\n\r\n"
    b"Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1 (x)\r\nDiagnostic-Code: smtp; 550 no\r\n\r\n--b\r\n"
    b"Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <a@b>\r\n--b--\r\n"
)
SEEDS: list[bytes] = [
    _REPORT % (b"delivery-status", b"delivery-status"),
    _REPORT % (b"x", b"global-delivery-status"),
    b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\nRmluYWwtUmVjaXBpZW50OiB4\r\n",
]
