"""Aggregate reports of others on our domains, where they lie: in the mail of the account whose address the domain's record names.

Nothing is kept beside that mail: whoever deletes it deletes the report. Only messages that call themselves a report are looked
at (RFC 7489 section 7.2.1.1: the subject), and attachments are read within `mailauth.aggregate`'s limits.
"""

from collections.abc import Iterator

from postwren.mailauth.aggregate import LIMITS, AggregateReport, ReportInvalid, parse_report, unpack
from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import Email
from postwren.mailstore.port import Reader, Store
from postwren.message.decode import decode_body
from postwren.message.header import read_header
from postwren.message.part import parse_parts
from postwren.terms import AccountId

__all__ = ["reports_in", "reports_of"]

_HEADER = 16_384
_LARGEST = 2 * LIMITS.packed  # base64 and a cover
_TEXTS = (b"plain", b"html")


def reports_of(store: Store, account_id: AccountId, domain: str, since: int) -> Iterator[AggregateReport]:
    """Those on this domain and those below it that came since then (seconds since 1970), in no order; each once."""
    seen: set[tuple[str, str, int]] = set()
    for email in _recent(store.reader, account_id, since):
        for report in _reports_of_email(store, email):
            key = report.reporter, report.report_id, report.begin
            is_ours = report.domain == domain or report.domain.endswith("." + domain)
            if is_ours and key not in seen:
                seen.add(key)
                yield report


def _recent(reader: Reader, account_id: AccountId, since: int) -> Iterator[Email]:
    ids = {
        entry.email_id
        for mailbox in reader.mailboxes(account_id)
        for entry in reader.entries(account_id, mailbox.mailbox_id)
        if entry.internaldate >= since and entry.size <= _LARGEST
    }
    return iter(reader.emails_of(account_id, sorted(ids)))


def _reports_of_email(store: Store, email: Email) -> list[AggregateReport]:
    try:
        subject = read_header(store.read_body(email.body, 0, _HEADER)).first(b"subject") or b""
        return reports_in(store.read_body(email.body)) if b"report domain" in subject.lower() else []
    except (BodyCorrupt, MessageGone):  # `check` tells
        return []


def reports_in(octets: bytes) -> list[AggregateReport]:
    """All that a message carries; what cannot be read is none."""
    found = []
    for part in parse_parts(octets):
        if part.children or (part.type.maintype == b"text" and part.type.subtype in _TEXTS):
            continue
        try:
            found.append(parse_report(unpack(decode_body(octets, part.body_start, part.body_end, part.encoding))))
        except ReportInvalid:
            continue
    return found
