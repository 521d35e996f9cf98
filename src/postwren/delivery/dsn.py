"""Delivery status notifications as we write them (RFC 3461 section 6, RFC 3464, RFC 6522, RFC 6533).

One report for all recipients of a message that share an action (A-28): a text for people, the facts for programs, and the
header of the message or, of a failure, all of it where it is short. It goes from <> to the reverse-path, is marked as an
automatic answer (RFC 3834 section 5), and is never written about a message from <> or about a report (A-27).

A report on a message that travelled with SMTPUTF8 has its facts in UTF-8; every other report is ASCII but for what the returned
message itself has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postwren.delivery.dsn_text import SUBJECTS, explain
from postwren.delivery.status import Action, Fate, printable, status_of
from postwren.message.compose import (
    LINE,
    Part,
    as_lines,
    encoded_part,
    field,
    mailbox,
    message,
    multipart,
    structured_field,
    text_part,
)
from postwren.message.date import format_date
from postwren.message.encodedword import decode_words
from postwren.message.header import Header, read_header
from postwren.message.parameter import find_parameter, parse_content_type
from postwren.protocols.smtp.params import encode_unitext
from postwren.wire.errors import LocalProtocolError

__all__ = ["DEFAULT_LIMITS", "Limits", "Original", "compose", "is_reportable"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a report."""

    returned: int = 64 << 10  # octets of the message that go back with it
    diagnostic: int = 500  # characters of what a host said
    subject: int = 200  # characters of the message's own


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Original:
    """The message that is reported on. `octets` is its beginning: `Limits.returned` of it are enough. `size` is that of the
    whole. `arrived` is in seconds since 1970."""

    reverse_path: str  # as on the wire without brackets
    octets: bytes
    size: int
    arrived: int
    envid: str = ""  # decoded
    ret: str = ""  # "FULL", "HDRS" or ""
    is_utf8: bool = False  # SMTPUTF8


def is_reportable(reverse_path: str, octets: bytes) -> bool:
    """Whether any report may be written on a message: not from <>, and no report itself whatever its sender says (A-27,
    RFC 3464 section 2)."""
    if not reverse_path:
        return False
    content_type = parse_content_type(read_header(octets).first(b"content-type") or b"")
    if content_type is None or (content_type.maintype, content_type.subtype) != (b"multipart", b"report"):
        return True
    return (find_parameter(content_type.parameters, b"report-type") or b"").lower() != b"delivery-status"


def compose(
    original: Original,
    action: Action,
    recipients: Sequence[Fate],
    *,
    hostname: str,
    now: int,
    token: str,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """The report, for `original.reverse_path` and from <>. `token` is random, of characters that a Message-ID may have; `now` is
    in seconds since 1970. Raises LocalProtocolError where `is_reportable` says no or there is nobody to report on."""
    if not recipients or not is_reportable(original.reverse_path, original.octets):
        raise LocalProtocolError("a report that must not be")
    header = read_header(original.octets)
    returned, is_whole = _returned(original, action, header, limits)
    about = [(name, decode_words(header.first(name.lower().encode()) or b"")) for name in ("Subject", "Date", "To", "Message-ID")]
    text = explain(action, recipients, hostname, original.arrived, about, is_whole=is_whole)
    facts = _facts(original, action, recipients, hostname, limits)
    kind = "message/delivery-status" if facts.isascii() else "message/global-delivery-status"
    parts = [text_part(text, is_8bit=original.is_utf8), encoded_part(kind, facts, is_8bit=True), returned]
    fields = _fields(original, action, header, hostname, now, token, limits)
    return message(fields, multipart("report", token, parts, "report-type=delivery-status"))


def _fields(
    original: Original, action: Action, header: Header, hostname: str, now: int, token: str, limits: Limits
) -> list[bytes]:
    subject = printable(decode_words(header.first(b"subject") or b"")[: limits.subject])
    message_id = header.first(b"message-id") or b""
    fields = [
        structured_field("From", mailbox(f"mailer-daemon@{hostname}", "Mail delivery")),
        structured_field("To", original.reverse_path),
        field("Subject", f"{SUBJECTS[action]}: {subject}" if subject else SUBJECTS[action], is_utf8=original.is_utf8),
        structured_field("Date", format_date(now)),
        structured_field("Message-ID", f"<{token}@{hostname}>"),
        structured_field("Auto-Submitted", "auto-replied"),  # RFC 3834 section 5
    ]
    if message_id.isascii() and len(message_id) < 250 and message_id[:1] == b"<" and message_id[-1:] == b">":
        fields += [structured_field(name, printable(message_id.decode())) for name in ("In-Reply-To", "References")]
    return fields


# -- the facts (RFC 3464 section 2)


def _facts(original: Original, action: Action, recipients: Sequence[Fate], hostname: str, limits: Limits) -> bytes:
    is_ascii = not original.is_utf8
    groups = [
        [
            # RFC 3461 section 6.3 (a): decoded, and only where there was one
            structured_field("Original-Envelope-Id", printable(original.envid, is_ascii=True)) if original.envid else b"",
            structured_field("Reporting-MTA", f"dns; {hostname}"),
            structured_field("Arrival-Date", format_date(original.arrived)) if original.arrived else b"",
        ]
    ]
    groups += [_recipient_facts(recipient, action, is_ascii, limits) for recipient in recipients]
    return b"\r\n".join([b"".join(group) for group in groups])


def _recipient_facts(recipient: Fate, action: Action, is_ascii: bool, limits: Limits) -> list[bytes]:
    fields = []
    kind, semicolon, original = recipient.orcpt.partition(";")
    if semicolon:  # RFC 3461 section 6.3 (d)
        fields.append(structured_field("Original-Recipient", _typed(printable(kind, is_ascii=True), original, is_ascii)))
    fields += [
        structured_field(
            "Final-Recipient", _typed("rfc822" if recipient.address.isascii() else "utf-8", recipient.address, is_ascii)
        ),
        structured_field("Action", action.value),
        structured_field("Status", status_of(recipient, action)),
    ]
    if recipient.host:
        fields.append(structured_field("Remote-MTA", f"dns; {printable(recipient.host, is_ascii=True)}"))
    if recipient.reply is not None:
        words = [str(recipient.reply.code), recipient.reply.enhanced, *recipient.reply.lines]
        said = printable(" ".join([word for word in words if word])[: limits.diagnostic], is_ascii=is_ascii)
        fields.append(structured_field("Diagnostic-Code", f"smtp; {said}"))
    if recipient.attempted:
        fields.append(structured_field("Last-Attempt-Date", format_date(recipient.attempted)))
    if recipient.retry_until and action is Action.DELAYED:  # RFC 3464 section 2.3.9: of these only
        fields.append(structured_field("Will-Retry-Until", format_date(recipient.retry_until)))
    return fields


def _typed(kind: str, address: str, is_ascii: bool) -> str:
    """address-type ";" generic-address; in an ASCII report utf-8 addresses as RFC 6533 section 3 writes them."""
    if kind.lower() == "utf-8" and is_ascii:
        return f"{kind};{encode_unitext(address)}"
    return f"{kind};{printable(address, is_ascii=is_ascii)}"


# -- the message, or its header


def _returned(original: Original, action: Action, header: Header, limits: Limits) -> tuple[Part, bool]:
    """RFC 3461 section 4.3 and 6.2: all of it only with a failure, and where nobody said HDRS."""
    octets = original.octets
    is_short = original.size <= limits.returned and len(octets) >= original.size
    if action is Action.FAILED and original.ret != "HDRS" and is_short and _is_sound(octets):
        is_global = original.is_utf8 and not octets[: header.end].isascii() and _is_utf8(octets[: header.end])
        kind = "message/global" if is_global else "message/rfc822"
        encoding = "7bit" if octets.isascii() else "8bit"  # RFC 2046 section 5.2.1: nothing else may be
        fields = structured_field("Content-Type", kind) + structured_field("Content-Transfer-Encoding", encoding)
        return Part(fields, as_lines(octets)), True
    block = as_lines(_first_fields(octets, header.end, limits.returned))
    is_global = original.is_utf8 and not block.isascii() and _is_utf8(block)
    kind = "message/global-headers" if is_global else "text/rfc822-headers"
    return encoded_part(kind, block, is_8bit=is_global), False


def _first_fields(octets: bytes, end: int, most: int) -> bytes:
    """The header, or as many whole fields of it as there is room for."""
    if end <= most:
        return octets[:end]
    at = octets.rfind(b"\n", 0, most) + 1
    while at > 0 and octets[at : at + 1] in (b" ", b"\t"):
        at = octets.rfind(b"\n", 0, at - 1) + 1
    return octets[:at]


def _is_sound(octets: bytes) -> bool:
    """Whether it can stand inside another message as it is: CRLF only, no NUL, no line too long."""
    return b"\0" not in octets and all(
        len(line) <= LINE and b"\r" not in line and b"\n" not in line for line in octets.split(b"\r\n")
    )


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
