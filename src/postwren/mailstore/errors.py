"""Refusals of the mailstore: exceptions with data and no wire text. Each protocol has a table from these to replies.

Anything else that is raised inside a unit of work is a bug.
"""

from postwren.terms import AccountId, Address, SpecialUse

__all__ = [
    "AccountExists",
    "AddressTaken",
    "BodyCorrupt",
    "DomainExists",
    "DomainInvalid",
    "EntryInvalid",
    "IdentifierInvalid",
    "LoginInvalid",
    "MailboxExists",
    "MailboxNameInvalid",
    "MailstoreError",
    "MessageGone",
    "NoSuchAccount",
    "NoSuchAddress",
    "NoSuchDomain",
    "NoSuchMailbox",
    "OverQuota",
    "QueryTooBig",
    "SearchTooLong",
    "SpecialUseTaken",
    "StoreClosed",
    "StoreFailed",
    "StoreFull",
    "StoreUnusable",
    "TextIndexFailed",
    "TooMany",
    "ValueTooBig",
]


class MailstoreError(Exception):
    """The mailstore refused; nothing was changed."""


class NoSuchAccount(MailstoreError):
    """No account has this login or id."""

    def __init__(self, login: str | AccountId) -> None:
        super().__init__(login)
        self.login = login


class AccountExists(MailstoreError):
    """The login is taken."""

    def __init__(self, login: str) -> None:
        super().__init__(login)
        self.login = login


class LoginInvalid(MailstoreError):
    """The login is no address, or not one that mail can reach."""

    def __init__(self, login: str, why: str) -> None:
        super().__init__(login, why)
        self.login = login
        self.why = why


class NoSuchDomain(MailstoreError):
    """The domain has no row."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class DomainExists(MailstoreError):
    """The domain has a row."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class DomainInvalid(MailstoreError):
    """The name is none that mail can be sent to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class NoSuchAddress(MailstoreError):
    """Nobody here receives mail for this address."""

    def __init__(self, address: Address | str) -> None:
        super().__init__(str(address))
        self.address = address


class AddressTaken(MailstoreError):
    """The address already belongs to an account."""

    def __init__(self, address: Address | str) -> None:
        super().__init__(str(address))
        self.address = address


class NoSuchMailbox(MailstoreError):
    """The account has no mailbox of this name or id."""

    def __init__(self, mailbox: str | int) -> None:
        super().__init__(mailbox)
        self.mailbox = mailbox


class MailboxExists(MailstoreError):
    """The name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class MailboxNameInvalid(MailstoreError):
    """The name cannot be a mailbox's."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name = name
        self.why = why


class SpecialUseTaken(MailstoreError):
    """Another mailbox has this use."""

    def __init__(self, special_use: SpecialUse, name: str) -> None:
        super().__init__(special_use, name)
        self.special_use = special_use
        self.name = name


class MessageGone(MailstoreError):
    """The entry was expunged, by this session or another."""


class OverQuota(MailstoreError):
    """The account's limit would be passed."""

    def __init__(self, limit: int, used: int, *, is_messages: bool = False) -> None:
        super().__init__(limit, used)
        self.limit = limit
        self.used = used
        self.is_messages = is_messages  # else octets


class QueryTooBig(MailstoreError):
    """The condition is deeper, or has more parts, than what is evaluated."""


class SearchTooLong(MailstoreError):
    """The search was ended: it took more than its time, or nobody wants the answer any more."""


class StoreFull(MailstoreError):
    """No space on the volume: nothing was kept, and it may work again once there is space."""


class StoreFailed(MailstoreError):
    """The volume failed to sync: nothing more is acknowledged, and the process must end."""


class StoreUnusable(MailstoreError):
    """The store cannot be opened; the text says why, and what to do."""


class TextIndexFailed(MailstoreError):
    """The text index cannot be used at the moment; whatever it would say, the messages say too."""


class StoreClosed(MailstoreError):
    """The store is closing or closed."""


class BodyCorrupt(MailstoreError):
    """A message's octets do not match their checksum: reported, never served as another message."""


class IdentifierInvalid(MailstoreError):
    """Nobody can be meant by this (RFC 4314 section 2)."""

    def __init__(self, identifier: str) -> None:
        super().__init__(identifier)
        self.identifier = identifier


class EntryInvalid(MailstoreError):
    """No name of an annotation (RFC 5464 section 3)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class ValueTooBig(MailstoreError):
    """An annotation's value has more octets than `limit`."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class AlreadySubmitted(MailstoreError):
    """The account submitted something under this token before, and it was kept."""

    def __init__(self, token: bytes) -> None:
        super().__init__(token)
        self.token = token


class TooMany(MailstoreError):
    """There are as many of these as there may be (A-49)."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what = what
        self.limit = limit
