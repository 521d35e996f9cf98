"""NOTIFY (RFC 5465)."""

import enum
from dataclasses import dataclass
from typing import Final

from postwren.protocols.imap.command.fetch import FetchItem, format_item, parse_items
from postwren.protocols.imap.command.search import Scope
from postwren.protocols.imap.command.searching import format_scope, parse_scope
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.writer import Writer

__all__ = ["EventGroup", "Notify", "NotifyEvent", "format_notify", "parse_notify"]


class NotifyEvent(enum.Enum):
    """Section 5."""

    MESSAGE_NEW = "MessageNew"
    MESSAGE_EXPUNGE = "MessageExpunge"
    FLAG_CHANGE = "FlagChange"
    ANNOTATION_CHANGE = "AnnotationChange"
    MAILBOX_NAME = "MailboxName"
    SUBSCRIPTION_CHANGE = "SubscriptionChange"
    MAILBOX_METADATA_CHANGE = "MailboxMetadataChange"
    SERVER_METADATA_CHANGE = "ServerMetadataChange"


@dataclass(frozen=True, slots=True)
class EventGroup:
    """`events` and `unknown` empty: NONE. `fetch` goes with MessageNew for the selected mailbox. `unknown`: event names that are
    in no standard we know, as they were written; the answer is NO with BADEVENT."""

    scope: Scope
    events: frozenset[NotifyEvent]
    fetch: tuple[FetchItem, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """NOTIFY NONE has no groups; `with_status` is STATUS."""

    groups: tuple[EventGroup, ...]
    with_status: bool = False


_EVENTS: Final = {event.value.upper().encode(): event for event in NotifyEvent}
_MESSAGE_NEW: Final = NotifyEvent.MESSAGE_NEW


def parse_notify(scanner: Scanner) -> Notify:
    """`notify = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-group *(SP event-group) / "NONE")`."""
    scanner.space()
    word = scanner.keyword()
    if word == b"NONE":
        return Notify(())
    if word != b"SET":
        raise Unparsable
    scanner.space()
    with_status = scanner.skip_word(b"STATUS")
    if with_status:
        scanner.space()
    groups = [_parse_group(scanner)]
    while scanner.skip(b" "):
        scanner.count()
        groups.append(_parse_group(scanner))
    return Notify(tuple(groups), with_status)


def _parse_group(scanner: Scanner) -> EventGroup:
    """`event-group = "(" filter-mailboxes SP events ")"`; `events = ("(" event *(SP event) ")") / "NONE"`."""
    scanner.expect(b"(")
    scope = parse_scope(scanner)
    scanner.space()
    events: set[NotifyEvent] = set()
    fetch: list[FetchItem] = []
    unknown: list[str] = []

    def read() -> None:
        word = scanner.atom()
        event = _EVENTS.get(word.upper())
        if event is None:
            unknown.append(word.decode("ascii"))
            return
        events.add(event)
        if event is _MESSAGE_NEW and scanner.is_at(b" ("):
            scanner.space()
            fetch.extend(parse_items(scanner))

    if scanner.is_at(b"("):
        scanner.parenthesized(read)
    elif scanner.keyword() != b"NONE":
        raise Unparsable
    scanner.expect(b")")
    return EventGroup(scope, frozenset(events), tuple(fetch), tuple(unknown))


def format_notify(writer: Writer, command: Notify) -> None:
    if not command.groups:
        writer.put(b"NOTIFY NONE")
        return
    writer.put(b"NOTIFY SET STATUS " if command.with_status else b"NOTIFY SET ")
    writer.spaced(command.groups, lambda group: _format_group(writer, group))


def _format_group(writer: Writer, group: EventGroup) -> None:
    writer.put(b"(")
    format_scope(writer, group.scope)
    writer.put(b" ")

    def write(name: str) -> None:
        writer.word(name)
        if name == _MESSAGE_NEW.value and group.fetch:
            writer.put(b" ")
            writer.listed(group.fetch, lambda item: format_item(writer, item))

    names = [*sorted(event.value for event in group.events), *group.unknown]
    if names:
        writer.listed(names, write)
    else:
        writer.put(b"NONE")
    writer.put(b")")
