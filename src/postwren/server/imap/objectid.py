"""Object identifiers (RFC 8474 sections 4 to 6): letters, digits, "-" and "_". No two things of a server ever have the same."""

from postwren.terms import AccountId, EmailId, MailboxId

__all__ = ["email_id", "email_of", "mailbox_id"]


def mailbox_id(account_id: AccountId, mailbox: MailboxId) -> str:
    """MAILBOXID."""
    return f"F{account_id}-{mailbox}"


def email_id(account_id: AccountId, email: int) -> str:
    """EMAILID."""
    return f"E{account_id}-{email}"


def email_of(text: str, account_id: AccountId) -> EmailId | None:
    """The email that an EMAILID names in this account; None where it is nobody's."""
    prefix = email_id(account_id, 0)[:-1]
    digits = text.removeprefix(prefix)
    return (
        EmailId(int(digits)) if text.startswith(prefix) and digits.isascii() and digits.isdigit() and len(digits) < 20 else None
    )
