"""What a message needs, against what a host offers: pure.

A host that lacks what the octets or the addresses need fails the message for good: nothing is converted on the way, for a
signature covers the octets as they are. That is the choice (b) of RFC 6152 section 3, and what RFC 6531 section 3.2 and RFC 8689
section 4.2.2 ask for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.mailstore.queue import QueuedMessage, QueuedRecipient
from postwren.protocols.smtp.params import Body, MailParams, Notify, OriginalRecipient, RcptParams, Ret

__all__ = ["Offer", "Refusal", "mail_params", "rcpt_params", "what_lacks"]

Offer: TypeAlias = Mapping[str, tuple[str, ...]]
"""EHLO keywords of a host, in capitals, each with its words."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a host cannot get the message."""

    code: int
    enhanced: str
    text: str


NO_REQUIRETLS: Final = Refusal(
    554, "5.7.30", "The message requires TLS all the way, and the host does not promise it (REQUIRETLS)"
)
NO_UTF8_ADDRESS: Final = Refusal(553, "5.6.7", "An address has characters that the host does not take (SMTPUTF8)")
NO_UTF8_HEADER: Final = Refusal(554, "5.6.9", "The header has characters that the host does not take (SMTPUTF8)")
NO_BINARY: Final = Refusal(554, "5.6.3", "The message is binary, and the host takes text only (BINARYMIME)")
NO_EIGHT_BIT: Final = Refusal(554, "5.6.3", "The message has 8-bit text, and the host takes 7-bit only (8BITMIME)")


def what_lacks(
    message: QueuedMessage,
    recipients: Sequence[QueuedRecipient],
    size: int,
    offer: Offer,
    header_is_ascii: Callable[[], bool],
) -> Refusal | bool:
    """What the host lacks, or else whether SMTPUTF8 is to be said. A message that was submitted with SMTPUTF8 and holds nothing
    that needs it goes to any host."""
    if message.requires_tls and "REQUIRETLS" not in offer:
        return NO_REQUIRETLS
    if message.body == Body.BINARY.value and not ("BINARYMIME" in offer and "CHUNKING" in offer):
        return NO_BINARY
    if message.body == Body.EIGHT_BIT.value and "8BITMIME" not in offer:
        return NO_EIGHT_BIT
    largest = _number(offer.get("SIZE", ()))
    if largest and size > largest:  # RFC 1870 section 6.1; 0 is no limit
        return Refusal(552, "5.3.4", f"The message has {size} octets, and the host takes {largest}")
    has_utf8 = not (message.reverse_path.isascii() and all(recipient.address.isascii() for recipient in recipients))
    if "SMTPUTF8" in offer:
        return message.is_utf8 or has_utf8
    if has_utf8:
        return NO_UTF8_ADDRESS
    return NO_UTF8_HEADER if message.is_utf8 and not header_is_ascii() else False


def mail_params(message: QueuedMessage, size: int, offer: Offer, *, is_utf8: bool, token: str = "") -> MailParams:
    """Of MAIL: what the host knows of it."""
    offers_dsn = "DSN" in offer
    return MailParams(
        size=size if "SIZE" in offer else None,
        body=_body(message, offer),
        smtputf8=is_utf8,
        ret=Ret(message.ret) if offers_dsn and message.ret else None,
        envid=message.envid if offers_dsn and message.envid else None,
        requiretls=message.requires_tls,
        token=token if token and "XONCE" in offer else None,
    )


def rcpt_params(recipient: QueuedRecipient, offer: Offer) -> RcptParams:
    """Of RCPT: the wishes for reports go on unchanged where the host keeps them (RFC 3461 section 5.2.1)."""
    if "DSN" not in offer or not (recipient.notify or recipient.orcpt):
        return RcptParams()
    notify = frozenset(Notify(word) for word in recipient.notify.split(",") if word)
    kind, found, address = recipient.orcpt.partition(";")
    return RcptParams(notify, OriginalRecipient(kind, address) if found else None)


def _body(message: QueuedMessage, offer: Offer) -> Body | None:
    if message.body == Body.BINARY.value:
        return Body.BINARY
    return Body.EIGHT_BIT if message.body == Body.EIGHT_BIT.value and "8BITMIME" in offer else None


def _number(words: tuple[str, ...]) -> int:
    word = words[0] if words else ""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 20 else 0
