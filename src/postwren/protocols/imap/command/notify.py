"""NOTIFY (RFC 5465)."""

import enum
from dataclasses import dataclass

from postwren.protocols.imap.command.fetch import FetchItem
from postwren.protocols.imap.command.search import Scope

__all__ = ["EventGroup", "Notify", "NotifyEvent"]


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
    """`events` empty: NONE. `fetch` goes with MessageNew for the selected mailbox."""

    scope: Scope
    events: frozenset[NotifyEvent]
    fetch: tuple[FetchItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """NOTIFY NONE has no groups; `with_status` is STATUS."""

    groups: tuple[EventGroup, ...]
    with_status: bool = False
