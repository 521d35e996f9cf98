"""The envelope of a message on its way in (RFC 5321 2.3.1)."""

from dataclasses import dataclass, field

from postwren.terms import AccountId, Address

__all__ = ["Elsewhere", "Envelope", "Recipient"]


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address that was accepted, as it was given, and whose mail it is. `notify` and `orcpt` as in `mailstore.queue`."""

    address: Address
    account_id: AccountId
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A recipient that lives on another host."""

    address: Address
    notify: str = ""
    orcpt: str = ""


@dataclass(slots=True)
class Envelope:
    """`reverse_path` is None for `<>`. Recipients are in the order of their RCPT; an account may be there twice. The other fields
    are those of `mailstore.queue.QueuedMessage`; `elsewhere` and `token` are filled by submissions only."""

    reverse_path: Address | None
    is_utf8: bool = False
    recipients: list[Recipient] = field(default_factory=list)
    declared_size: int = 0  # RFC 1870; 0 where the sender did not say
    elsewhere: list[Elsewhere] = field(default_factory=list)
    submitter: AccountId | None = None  # whose submission it is
    envid: str = ""
    ret: str = ""
    body: str = "7BIT"
    requires_tls: bool = False
    token: bytes = b""
    is_copied: bool = False  # the submitter has it in Sent already
    hold: int = 0  # seconds before the first attempt (RFC 4865)
    outbox: str = ""  # `mailstore.queue.outbox_of` whom it leaves by, whoever its recipients are

    def accounts(self) -> list[AccountId]:
        """Each account once, in order: two addresses of one account are one copy."""
        return list(dict.fromkeys(recipient.account_id for recipient in self.recipients))
