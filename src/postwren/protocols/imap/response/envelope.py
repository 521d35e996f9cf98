"""ENVELOPE (RFC 9051 section 7.5.2): as octets, not decoded, as the message has them."""

from dataclasses import dataclass
from typing import TypeAlias

from postwren.message.address import ImapAddress
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Tree
from postwren.protocols.imap.value import format_octets

__all__ = ["Addresses", "Envelope", "envelope_of", "format_envelope"]

Addresses: TypeAlias = tuple[ImapAddress, ...]
"""Empty is NIL."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Undecoded. Sender and Reply-To are From's where the message has none."""

    date: bytes | None = None
    subject: bytes | None = None
    from_: Addresses = ()
    sender: Addresses = ()
    reply_to: Addresses = ()
    to: Addresses = ()
    cc: Addresses = ()
    bcc: Addresses = ()
    in_reply_to: bytes | None = None
    message_id: bytes | None = None


def format_envelope(envelope: Envelope) -> bytes:
    """envelope"""
    lists = (envelope.from_, envelope.sender, envelope.reply_to, envelope.to, envelope.cc, envelope.bcc)
    return b"(%b %b %b %b %b)" % (
        format_octets(envelope.date),
        format_octets(envelope.subject),
        b" ".join([_addresses(addresses) for addresses in lists]),
        format_octets(envelope.in_reply_to),
        format_octets(envelope.message_id),
    )


def _addresses(addresses: Addresses) -> bytes:
    if not addresses:
        return b"NIL"
    return b"(%b)" % b"".join([b"(%b)" % b" ".join(map(format_octets, address)) for address in addresses])


def envelope_of(tree: Tree) -> Envelope:
    """envelope. Short ones are filled up, and what is not a string where one belongs is nothing: it is for people to read."""
    if not isinstance(tree, list):
        raise Unparsable
    fields = [*tree[:10], *[None] * (10 - len(tree))]
    lists = [_addresses_of(value) for value in fields[2:8]]
    return Envelope(octets_of(fields[0]), octets_of(fields[1]), *lists, *map(octets_of, fields[8:]))  # type: ignore[arg-type]


def octets_of(tree: Tree) -> bytes | None:
    """nstring, where a number may be one that lost its quotes"""
    match tree:
        case bytes():
            return tree
        case int():
            return b"%d" % tree
    return None


def _addresses_of(tree: Tree) -> Addresses:
    """ "(" 1*address ")" / nil"""
    if not isinstance(tree, list):
        return ()
    return tuple([ImapAddress(*map(octets_of, address)) for address in tree if isinstance(address, list) and len(address) == 4])
