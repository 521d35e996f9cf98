"""Reports of success on recipients who live here (RFC 3461 section 5.2.3 (a)): composed when the header has come, written in the
unit of work that keeps the message, so that there is never one without the other (D-07).

One report for all of them (A-28), and only for those who logged in: nobody else is offered to ask (`server.smtp.settings`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from postwren.delivery.dsn import Original, compose, is_reportable
from postwren.delivery.envelope import Envelope
from postwren.delivery.inbound import Outcome
from postwren.delivery.intake import Deliver, Keep
from postwren.delivery.queue import Report, send_report
from postwren.delivery.signing import Sign
from postwren.delivery.status import Action, Fate, wants
from postwren.delivery.trace import return_path
from postwren.mailstore.port import NewBody, Store, Transaction, Unit
from postwren.mailstore.service.accounts import resolve
from postwren.protocols.smtp.path import AddressInvalid, parse_mailbox

__all__ = ["Send", "report_here", "with_receipt"]

Send: TypeAlias = Callable[[Transaction, str, Report, int], None]
"""Inside a unit, at the time `now`: a report for a reverse-path."""


def report_here(tx: Transaction, reverse_path: str, report: Report, now: int) -> None:
    """A `Send` where there is no queue: for senders who live here."""
    try:
        address = parse_mailbox(reverse_path)
    except AddressInvalid:
        return
    if resolve(tx, address) is not None:
        send_report(tx, reverse_path, report, now, 0)


def with_receipt(
    keep: Keep, header: bytes, envelope: Envelope, store: Store, send: Send, sign: Sign, hostname: str, now: int, token: str
) -> Keep:
    """How a message is kept, and its sender told, if he asked, that it was delivered here. `header` as in `Treatment`; `token` is
    random. Raises what `store.new_body` raises."""
    octets = header + b"\r\n"
    reverse_path = "" if envelope.reverse_path is None else str(envelope.reverse_path)
    asked = [recipient for recipient in envelope.recipients if wants(recipient.notify, Action.DELIVERED)]
    if not asked or not is_reportable(reverse_path, octets):
        return keep
    fates = [Fate(str(recipient.address), recipient.orcpt) for recipient in asked]
    original = Original(reverse_path, octets, len(octets), now, envelope.envid, envelope.ret, envelope.is_utf8)
    composed = compose(original, Action.DELIVERED, fates, hostname=hostname, now=now, token=token)
    composed = sign(composed, now) + composed
    is_here = envelope.reverse_path is not None and resolve(store.reader, envelope.reverse_path) is not None
    writer = store.new_body()
    writer.write(return_path(None) + composed if is_here else composed)  # RFC 5321 section 4.4: at final delivery only
    is_ascii = composed.isascii()
    report = Report(writer.finish(), "7BIT" if is_ascii else "8BITMIME", envelope.is_utf8 and not is_ascii)
    return replace(keep, deliver=_Receipt(keep.deliver, reverse_path, report, send), others=(report.body,))


@dataclass(frozen=True, slots=True)
class _Receipt:
    """A `Deliver` around another."""

    deliver: Deliver
    reverse_path: str
    report: Report
    send: Send

    def __call__(self, envelope: Envelope, body: NewBody, now: int) -> Unit[list[Outcome]]:
        unit = self.deliver(envelope, body, now)

        def run(tx: Transaction) -> list[Outcome]:
            outcomes = unit(tx)
            self.send(tx, self.reverse_path, self.report, now)
            return outcomes

        return run
