"""A message in an archive, and the two ways of ending a line."""

import re
from typing import Final, NamedTuple

__all__ = ["ArchivedMessage", "to_crlf", "to_lf"]

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class ArchivedMessage(NamedTuple):
    """One message as an archive holds it; `octets` have CRLF, `internaldate` is seconds since 1970 (0: unknown)."""

    mailbox: str
    octets: bytes
    flags: frozenset[str]
    internaldate: int
    source: str  # where it was found, for errors


def to_crlf(octets: bytes) -> bytes:
    """Every bare LF becomes CRLF."""
    if octets.count(b"\n") == octets.count(b"\r\n"):
        return octets
    if b"\r\n" not in octets:
        return octets.replace(b"\n", b"\r\n")
    return _BARE_LF.sub(b"\r\n", octets)


def to_lf(octets: bytes) -> bytes:
    """Every CRLF becomes LF."""
    return octets.replace(b"\r\n", b"\n")
