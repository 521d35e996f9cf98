"""What is wrong with what the peer sent, and how the grammar says so inside the cores: `Unparsable` never leaves them."""

import enum

__all__ = ["Fault", "Unparsable"]


class Fault(enum.Enum):
    """The value is fit to be told; it holds nothing of the peer's (A-06)."""

    UNKNOWN = "unknown command"
    SYNTAX = "syntax error"
    NOT_NOW = "not in this state"
    TAG = "a tag is missing or wrong"
    TOO_LONG = "line too long"
    LITERAL_TOO_BIG = "literal too big"
    TOO_DEEP = "too many parentheses or too many items"
    MAILBOX_NAME = "a mailbox name that is not in its canonical encoding"
    BASE64 = "not base64"
    CANCELLED = "authentication cancelled"
    NOT_DONE = "DONE was expected"
    BEHIND_STARTTLS = "octets behind STARTTLS"
    BEHIND_COMPRESS = "octets behind COMPRESS"
    FOREIGN = "not IMAP"
    TOO_MANY_FAULTS = "too many errors"


class Unparsable(Exception):
    """Raised by the parsers of commands, caught by the core."""

    def __init__(self, fault: Fault = Fault.SYNTAX) -> None:
        super().__init__(fault.value)
        self.fault = fault
