"""What a submission's header must be, and what becomes of it (RFC 6409, RFC 5322 section 3.6).

The header decides whom readers see as the author, and our signature vouches for it: there is exactly one From, it is of the
strict grammar, and every address in it, in Sender and in the Resent fields is the account's own (A-25). What readers could
understand in two ways is refused rather than mended: a field twice that may be there once, white space before a colon, a line
that is no field.

Date and Message-ID are added where they are missing; Bcc, Resent-Bcc and Return-Path are taken out. All other octets stay.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from postwren.delivery.trace import date_time
from postwren.message.authorlist import AuthorInvalid, parse_authors
from postwren.message.header import unfold
from postwren.protocols.smtp.path import AddressInvalid, parse_mailbox
from postwren.protocols.smtp.reply import Reply
from postwren.terms import Address

__all__ = ["NOT_YOURS", "Original", "Originator", "originate"]

NOT_YOURS: Final = "must be one of your own addresses"

_FIELD: Final = re.compile(rb"([!-9;-~]++)([ \t]*+):([^\r\n\x00]*+(?:\r\n[ \t][^\r\n\x00]*+)*+)(?:\r\n|\Z)")
_BLANK_FOLD: Final = re.compile(rb"\n[ \t]*+(?:\r\n|\Z)")
_ONCE: Final = frozenset(
    (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"message-id", b"in-reply-to", b"references", b"subject", b"date")
)
_DROPPED: Final = frozenset((b"bcc", b"resent-bcc", b"return-path"))  # RFC 5322 3.6.3; RFC 5321 4.4
_LISTS: Final = {b"from": "From", b"resent-from": "Resent-From"}
_SINGLES: Final = {b"sender": "Sender", b"resent-sender": "Resent-Sender"}
_WORD: Final = r"[^\s\"(),:;<>@\[\]]"
_NAMED: Final = re.compile(rf"(?<!{_WORD}){_WORD}++@{_WORD}*\.{_WORD}++")  # begins at a word only: linear
_SHOWN: Final = 100  # characters of an address in a reply


@dataclass(frozen=True, slots=True)
class Originator:
    """Who submits: which addresses are theirs. `is_free`: From and Sender may name anybody."""

    owns: Callable[[Address], bool]
    is_free: bool = False


class Original(NamedTuple):
    """The header block as it goes out, and the Message-ID it has."""

    header: bytes
    message_id: bytes


class _Field(NamedTuple):
    name: bytes  # in lower case
    value: bytes  # as it stands
    octets: bytes  # the whole field with its line end


class _Objection(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


def originate(block: bytes, originator: Originator, now: float, message_id: bytes) -> Original | Reply:
    """`block`: all lines before the empty one. `message_id`: for a message that has none. A Reply says why not."""
    try:
        fields = list(_fields(block))
        names = {field.name for field in fields}
        if b"from" not in names:
            raise _malformed("The message has no From field: it must say who writes")
        _check_once(fields)
        for field in fields:
            _check_authors(field, originator, has_sender=b"sender" in names)
    except _Objection as objection:
        return objection.reply
    kept = [field.octets for field in fields if field.name not in _DROPPED]
    if b"date" not in names:
        kept.append(f"Date: {date_time(int(now))}\r\n".encode())  # RFC 6409 8.2
    if b"message-id" in names:
        message_id = next(unfold(field.value) for field in fields if field.name == b"message-id")
    else:
        kept.append(b"Message-ID: " + message_id + b"\r\n")  # RFC 6409 8.3
    return Original(b"".join(kept), message_id)


def _fields(block: bytes) -> Iterator[_Field]:
    at = 0
    while at < len(block):
        match = _FIELD.match(block, at)
        if match is None:
            raise _malformed("The header has a line that is no field; an empty line ends the header")
        name, space, value = match.groups()
        if space:
            raise _malformed(f"White space stands between the field name {name.decode()[:_SHOWN]} and its colon")
        if b"\n" in value and _BLANK_FOLD.search(value):
            raise _malformed("A header field goes on with an empty line")  # some readers see the header's end there
        octets = match[0] if match[0].endswith(b"\r\n") else match[0] + b"\r\n"
        yield _Field(name.lower(), value, octets)
        at = match.end()


def _check_once(fields: list[_Field]) -> None:
    """RFC 5322 section 3.6: the table."""
    seen = set()
    for field in fields:
        if field.name in _ONCE and field.name in seen:
            raise _malformed(f"The header has more than one {field.name.decode().title()} field")
        seen.add(field.name)


def _check_authors(field: _Field, originator: Originator, *, has_sender: bool) -> None:
    title = _LISTS.get(field.name) or _SINGLES.get(field.name)
    if title is None:
        return
    try:
        authors = parse_authors(unfold(field.value))
        addresses = [parse_mailbox(author.addr_spec) for author in authors]
    except AuthorInvalid as fault:
        raise _malformed(f"{title} cannot be understood: {fault}") from fault
    except AddressInvalid as fault:
        raise _malformed(f"{title} cannot be understood: it holds an address that cannot be ({fault})") from fault
    if len(authors) > 1 and field.name in _SINGLES:
        raise _malformed(f"{title} has more than one address")
    if len(authors) > 1 and field.name == b"from" and not has_sender:  # RFC 5322 3.6.2
        raise _malformed("From has more than one address: then a Sender field must say which of them sends")
    if originator.is_free:
        return
    for address in addresses:
        if not originator.owns(address):
            raise _foreign(title, str(address))
    for author in authors:
        _check_name(title, author.name, originator)


def _check_name(title: str, name: str, originator: Originator) -> None:
    """Readers show the name, often alone: no address of somebody else, and nothing that would be one decoded too early."""
    if "<" in name or ">" in name:
        raise _malformed(f"The name in {title} holds an angle bracket")
    for found in _NAMED.finditer(name):
        try:
            is_own = originator.owns(parse_mailbox(found[0]))
        except AddressInvalid:
            continue
        if not is_own:
            raise _foreign(f"The name in {title}", found[0])


def _malformed(text: str) -> _Objection:
    return _Objection(Reply(550, "5.6.0", text))  # RFC 3463 3.7


def _foreign(title: str, address: str) -> _Objection:
    """The address is the client's own word, of the strict grammar; not in a reply where it is no ASCII (RFC 6531 3.7.4)."""
    which = f" ({address} is not)" if address.isascii() and address.isprintable() and len(address) <= _SHOWN else ""
    return _Objection(Reply(550, "5.7.1", f"{title} {NOT_YOURS}{which}"))
