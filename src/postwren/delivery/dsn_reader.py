"""Delivery status notifications as we read them, from whoever wrote them (RFC 3464, RFC 6522, RFC 6533).

Tolerant and bounded: fields may be missing or broken, groups may be many, and nothing raises.
"""

from dataclasses import dataclass
from typing import Final

from postwren.delivery.status import Action
from postwren.message.date import parse_date
from postwren.message.decode import decode_body
from postwren.message.header import Header, read_header
from postwren.message.limits import DEFAULT_LIMITS as MESSAGE_LIMITS
from postwren.message.part import Part, parse_parts

__all__ = ["DEFAULT_LIMITS", "Limits", "Report", "ReportedRecipient", "parse"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is looked at of a report."""

    facts: int = 1 << 20  # octets of the delivery-status part, encoded
    recipients: int = 2000
    returned: int = 256 << 10  # octets of the returned header, encoded


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """Texts are as they stand there, without their type; "" and 0 are missing. Times are seconds since 1970."""

    final: str
    original: str = ""
    action: Action | None = None  # None: a word that RFC 3464 does not have
    status: str = ""
    remote_mta: str = ""
    diagnostic: str = ""
    last_attempt: int = 0
    retry_until: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """`message_id` is that of the message reported on, from what came back of it."""

    reporting_mta: str
    envid: str
    arrived: int
    recipients: tuple[ReportedRecipient, ...]
    message_id: str


_FACTS: Final = (b"delivery-status", b"global-delivery-status")
_HEADERS: Final = (
    (b"text", b"rfc822-headers"),
    (b"message", b"global-headers"),
    (b"message", b"rfc822"),
    (b"message", b"global"),
)


def parse(octets: bytes, limits: Limits = DEFAULT_LIMITS) -> Report | None:
    """The report in a message; None where it is none. What people call a report without saying multipart/report is one too, if it
    has the facts."""
    parts = _own_parts(parse_parts(octets))
    facts = [part for part in parts if part.type.maintype == b"message" and part.type.subtype in _FACTS]
    groups: list[Header] = []
    room = limits.facts
    for part in facts:  # one, but some write several, and words for people into the first
        body = _body(octets, part, room)
        room -= len(body)
        groups += _groups(body, limits.recipients + 1 - len(groups))
    if not groups:
        return None
    head = next((group for group in groups if b"reporting-mta" in group), None)
    recipients = tuple([_recipient(group) for group in groups if b"final-recipient" in group][: limits.recipients])
    if head is None and not recipients:
        return None
    return Report(
        reporting_mta=_typed(head, b"reporting-mta"),
        envid=_text(head, b"original-envelope-id"),
        arrived=_time(head, b"arrival-date"),
        recipients=recipients,
        message_id=_message_id(octets, parts, facts[-1], limits),
    )


def _own_parts(parts: list[Part]) -> list[Part]:
    """Without those of messages inside: a report that somebody forwards or that came back is not this message's."""
    foreign: list[bool] = []
    for part in parts:
        foreign.append(part.parent >= 0 and (foreign[part.parent] or parts[part.parent].is_message))
    return [part for part, is_foreign in zip(parts, foreign, strict=True) if not is_foreign]


def _body(octets: bytes, part: Part, most: int) -> bytes:
    return decode_body(octets, part.body_start, min(part.body_end, part.body_start + most), part.encoding)


def _groups(block: bytes, most: int) -> list[Header]:
    """Groups of fields with empty lines between them; empty ones do not count."""
    groups: list[Header] = []
    for piece in block.replace(b"\r\n", b"\n").split(b"\n\n"):
        if len(groups) >= most:
            break
        header = read_header(piece.strip(b"\n") + b"\n")
        if header.fields:
            groups.append(header)
    return groups


def _recipient(group: Header) -> ReportedRecipient:
    action = _text(group, b"action").lower()
    return ReportedRecipient(
        final=_typed(group, b"final-recipient").strip("<>"),
        original=_typed(group, b"original-recipient").strip("<>"),
        action=next((known for known in Action if known.value == action), None),
        status=_text(group, b"status").partition(" ")[0],
        remote_mta=_typed(group, b"remote-mta"),
        diagnostic=_typed(group, b"diagnostic-code"),
        last_attempt=_time(group, b"last-attempt-date"),
        retry_until=_time(group, b"will-retry-until"),
    )


def _text(group: Header | None, name: bytes) -> str:
    return "" if group is None else (group.first(name) or b"").decode("utf-8", "replace")


def _typed(group: Header | None, name: bytes) -> str:
    """Behind the type (RFC 3464 section 2.1.2); all of it where there is none."""
    text = _text(group, name)
    kind, semicolon, value = text.partition(";")
    return value.strip() if semicolon and kind.strip().replace("-", "").isalnum() else text


def _time(group: Header | None, name: bytes) -> int:
    date = None if group is None else parse_date(group.first(name) or b"")
    return 0 if date is None else date.epoch


def _message_id(octets: bytes, parts: list[Part], facts: Part, limits: Limits) -> str:
    """From the first part behind the facts that has a header in it."""
    for part in parts:
        if part.header_start > facts.header_start and (part.type.maintype, part.type.subtype) in _HEADERS:
            body = _body(octets, part, min(limits.returned, MESSAGE_LIMITS.header_block))
            return (read_header(body).first(b"message-id") or b"").decode("utf-8", "replace")
    return ""
