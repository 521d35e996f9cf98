"""APPEND and REPLACE (RFC 9051 section 6.3.12, RFC 3502, 4469, 6855, 8508). Messages do not travel in these: their octets come as
`event.MessageOffered`, `MessageChunk`, `MessageEnded` before the command; here is what goes with them."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.numset import STAR
from postwren.protocols.imap.primitive import Scanner, decode_text
from postwren.protocols.imap.writer import MessageBody, Writer, format_date_time

__all__ = [
    "Append",
    "AppendMessage",
    "CatenatePart",
    "Octets",
    "Offer",
    "Reading",
    "Replace",
    "Url",
    "format_append",
    "format_replace",
    "parse_append",
    "parse_replace",
    "read_append",
    "read_replace",
]


@dataclass(frozen=True, slots=True)
class Octets:
    """A literal of a message, `number` counting the command's message literals from 0; `is_binary`: literal8 (RFC 3516), NUL
    allowed."""

    number: int
    size: int
    is_binary: bool = False
    is_utf8: bool = False  # UTF8 (~{n}) of RFC 6855 section 4
    is_part: bool = field(default=False, compare=False)  # of CATENATE: where it stands says so already


@dataclass(frozen=True, slots=True)
class Url:
    """URL of CATENATE (RFC 4469), as it was written."""

    url: str


CatenatePart: TypeAlias = Octets | Url


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """One message. `internaldate`: seconds since 1970, None where it was not given. `parts` has exactly one `Octets` without
    CATENATE."""

    flags: tuple[str, ...]
    internaldate: int | None
    parts: tuple[CatenatePart, ...]
    is_catenate: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """All of it, when its last octet has come."""

    mailbox: str
    messages: tuple[AppendMessage, ...]


@dataclass(frozen=True, slots=True)
class Replace:
    """RFC 8508: `number` is a sequence number or, with `is_uid`, a UID; `numset.STAR` is `*`."""

    is_uid: bool
    number: int
    mailbox: str
    message: AppendMessage


@dataclass(frozen=True, slots=True)
class Offer:
    """A message literal that ends the text that has come so far, and the mailbox that was read before it."""

    mailbox: str
    literal: Octets


T = TypeVar("T")
Reading: TypeAlias = Generator[Offer | None, None, T]
"""A command that is read while it comes. It yields where its text ends in a literal's announcement: an `Offer` for a message,
whose octets the core streams, None for an argument, whose octets the core gathers. The core extends the scanner's text behind the
literal and goes on."""


def read_append(scanner: Scanner) -> Reading[Append]:
    """`append = "APPEND" SP mailbox 1*append-message` (RFC 3502, 4466)."""
    mailbox = yield from _read_mailbox(scanner)
    messages: list[AppendMessage] = []
    number = 0
    while not scanner.is_ended():
        scanner.count()
        message = yield from _read_message(scanner, mailbox, number)
        messages.append(message)
        number += sum(1 for part in message.parts if isinstance(part, Octets))
    if not messages:
        raise Unparsable
    return Append(mailbox, tuple(messages))


def read_replace(scanner: Scanner, *, is_uid: bool = False) -> Reading[Replace]:
    """`replace = "REPLACE" SP seq-number SP mailbox append-message` (RFC 8508 section 5)."""
    scanner.space()
    number = STAR if scanner.skip(b"*") else scanner.nz_number()
    mailbox = yield from _read_mailbox(scanner)
    message = yield from _read_message(scanner, mailbox, 0)
    scanner.end()
    return Replace(is_uid, number, mailbox, message)


def _read_mailbox(scanner: Scanner) -> Reading[str]:
    scanner.space()
    if scanner.is_at(b"{"):
        yield None
    return scanner.mailbox()


def _read_message(scanner: Scanner, mailbox: str, number: int) -> Reading[AppendMessage]:
    """`append-message = [SP flag-list] [SP date-time] SP append-data`; `append-data = literal / literal8 / "CATENATE" SP "("
    cat-part *(SP cat-part) ")" / "UTF8" SP "(" literal8 ")"` (RFC 4469, 6855, 3516)."""
    scanner.space()
    flags: tuple[str, ...] = ()
    internaldate = None
    if scanner.is_at(b"("):
        flags = scanner.flag_list()
        scanner.space()
    if scanner.is_at(b'"'):
        internaldate = scanner.date_time()
        scanner.space()
    if not scanner.skip_word(b"CATENATE"):
        octets = yield from _read_octets(scanner, mailbox, number)
        return AppendMessage(flags, internaldate, (octets,))
    scanner.expect(b" (")
    parts: list[CatenatePart] = []
    while not parts or scanner.skip(b" "):
        scanner.count()
        part = yield from _read_part(scanner, mailbox, number)
        number += isinstance(part, Octets)
        parts.append(part)
    scanner.expect(b")")
    return AppendMessage(flags, internaldate, tuple(parts), is_catenate=True)


def _read_octets(scanner: Scanner, mailbox: str, number: int, *, is_part: bool = False) -> Reading[Octets]:
    """`literal / literal8 / "UTF8" SP "(" literal8 ")"`. In UTF8 the tilde is optional: `UTF8 ({n}` cannot mean anything else."""
    is_utf8 = scanner.skip_word(b"UTF8")
    if is_utf8:
        scanner.expect(b" (")
    announced = scanner.message_literal()
    octets = Octets(number, announced.size, announced.is_binary, is_utf8, is_part)
    yield Offer(mailbox, octets)
    if is_utf8:
        scanner.expect(b")")
    return octets


def _read_part(scanner: Scanner, mailbox: str, number: int) -> Reading[CatenatePart]:
    """`cat-part = "URL" SP astring / "TEXT" SP literal / utf8-literal` (RFC 4469 section 5, RFC 6855 section 4)."""
    if scanner.skip_word(b"URL"):
        scanner.space()
        if scanner.is_at(b"{"):
            yield None
        return Url(decode_text(scanner.astring()))
    if scanner.skip_word(b"TEXT"):
        scanner.space()
    elif not scanner.is_at_word(b"UTF8"):
        raise Unparsable
    return (yield from _read_octets(scanner, mailbox, number, is_part=True))


def parse_append(scanner: Scanner) -> Append:
    """An APPEND without literals: all of it comes by URL."""
    return _read_whole(read_append(scanner))


def parse_replace(scanner: Scanner, *, is_uid: bool = False) -> Replace:
    """A REPLACE without literals."""
    return _read_whole(read_replace(scanner, is_uid=is_uid))


def _read_whole(reading: Reading[T]) -> T:
    try:
        next(reading)
    except StopIteration as end:
        command: T = end.value
        return command
    raise Unparsable  # a literal whose octets are not there


def format_append(writer: Writer, command: Append) -> None:
    writer.put(b"APPEND ")
    writer.mailbox(command.mailbox)
    for message in command.messages:
        _format_message(writer, message)


def format_replace(writer: Writer, command: Replace) -> None:
    writer.put(b"UID REPLACE " if command.is_uid else b"REPLACE ")
    writer.put(b"* " if command.number == STAR else b"%d " % command.number)
    writer.mailbox(command.mailbox)
    _format_message(writer, command.message)


def _format_message(writer: Writer, message: AppendMessage) -> None:
    if message.flags:
        writer.put(b" ")
        writer.flag_list(message.flags)
    if message.internaldate is not None:
        writer.put(b" ", format_date_time(message.internaldate))
    writer.put(b" ")
    if message.is_catenate:
        writer.put(b"CATENATE ")
        writer.listed(message.parts, lambda part: _format_part(writer, part, is_catenate=True))
    else:
        _format_part(writer, message.parts[0], is_catenate=False)


def _format_part(writer: Writer, part: CatenatePart, *, is_catenate: bool) -> None:
    if isinstance(part, Url):
        writer.put(b"URL ")
        writer.text(part.url)
    elif part.is_utf8:
        writer.put(b"UTF8 (")
        writer.message(MessageBody(part.number, part.size), is_binary=part.is_binary)
        writer.put(b")")
    else:
        writer.put(b"TEXT " if is_catenate else b"")
        writer.message(MessageBody(part.number, part.size), is_binary=part.is_binary)
