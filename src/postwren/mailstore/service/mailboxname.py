"""The rules of mailbox names (RFC 9051 section 5.1): NFC, levels joined by "/", INBOX in any case is INBOX."""

import unicodedata
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.errors import MailboxNameInvalid
from postwren.terms import INBOX

__all__ = ["LIMITS", "SEPARATOR", "Limits", "canonical", "is_inferior", "superiors"]

SEPARATOR: Final = "/"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a name: octets in UTF-8 of the whole and of a level, and levels."""

    name: int = 1000
    level: int = 255
    depth: int = 32


LIMITS: Final = Limits()


def canonical(name: str, limits: Limits = LIMITS) -> str:
    """The form in which a name is kept and found; MailboxNameInvalid says what is wrong."""
    if len(name) > limits.name:  # before any work that grows with it
        raise MailboxNameInvalid(name, f"more than {limits.name} octets")
    levels = unicodedata.normalize("NFC", name).split(SEPARATOR)
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    if not all(levels):
        raise MailboxNameInvalid(name, "a level is empty")
    if len(levels) > limits.depth:
        raise MailboxNameInvalid(name, f"more than {limits.depth} levels")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        raise MailboxNameInvalid(name, "a control character")
    if name.startswith("#"):
        raise MailboxNameInvalid(name, "# begins a namespace (RFC 9051 section 5.1.2)")
    sizes = [len(level.encode()) for level in levels]
    if max(sizes) > limits.level:
        raise MailboxNameInvalid(name, f"a level of more than {limits.level} octets")
    if sum(sizes) + len(sizes) - 1 > limits.name:
        raise MailboxNameInvalid(name, f"more than {limits.name} octets")
    return SEPARATOR.join(levels)


def superiors(name: str) -> list[str]:
    """The names above, from the top."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:depth]) for depth in range(1, len(levels))]


def is_inferior(name: str, above: str) -> bool:
    """Whether `name` is below `above`."""
    return name.startswith(above + SEPARATOR)
