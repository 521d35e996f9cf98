"""The field's words as types. Everything may import this; it imports nothing of ours.

Identifiers are plain integers at run time (NewType), so that they cost nothing where there are millions.
"""

import enum
import re
from dataclasses import dataclass
from typing import Final, NewType

__all__ = [
    "INBOX",
    "SYSTEM_FLAGS",
    "AccountId",
    "Address",
    "EmailId",
    "Flag",
    "FlagSetId",
    "MailboxId",
    "ModSeq",
    "SpecialUse",
    "Uid",
    "UidValidity",
]

AccountId = NewType("AccountId", int)
MailboxId = NewType("MailboxId", int)
"""Within its account; never reused."""
EmailId = NewType("EmailId", int)
"""One content in one account (RFC 8474 EMAILID); never reused."""
Uid = NewType("Uid", int)
"""RFC 9051 section 2.3.1.1; 1 to 2**32 - 1."""
UidValidity = NewType("UidValidity", int)
ModSeq = NewType("ModSeq", int)
"""RFC 7162 section 3.1; one counter an account, below 2**63."""
FlagSetId = NewType("FlagSetId", int)
"""A set of flags and keywords that occurs in an account, interned; 0 is the empty set."""
Flag = NewType("Flag", str)
"""A system flag (`\\Seen`) or a keyword (`$Junk`); keywords compare without regard to case (RFC 9051 section 2.3.2)."""

INBOX: Final = "INBOX"
SYSTEM_FLAGS: Final = frozenset(map(Flag, ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")))


class SpecialUse(enum.Enum):
    """RFC 6154 section 2 and RFC 8457."""

    ARCHIVE = "\\Archive"
    DRAFTS = "\\Drafts"
    FLAGGED = "\\Flagged"
    IMPORTANT = "\\Important"
    JUNK = "\\Junk"
    SENT = "\\Sent"
    TRASH = "\\Trash"


@dataclass(frozen=True, slots=True)
class Address:
    """`local@domain` (RFC 5321 section 4.1.2): the local part unquoted as people mean it, the domain in lower case
    (A-labels where it is international). `str()` gives the form for the wire without angle brackets."""

    local: str
    domain: str

    def __str__(self) -> str:
        local = self.local
        if _DOT_STRING.fullmatch(local) is None:
            local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{local}@{self.domain}"


# RFC 5321 4.1.2 Dot-string, with RFC 6531's characters beyond ASCII
_DOT_STRING: Final = re.compile(r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+(?:\.[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+)*')
