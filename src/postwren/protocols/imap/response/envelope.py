"""ENVELOPE (RFC 9051 section 7.5.2): as octets, not decoded, as the message has them."""

from dataclasses import dataclass
from typing import TypeAlias

from postwren.message.address import ImapAddress
from postwren.protocols.imap.response.value import format_octets

__all__ = ["Addresses", "Envelope", "format_envelope"]

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
