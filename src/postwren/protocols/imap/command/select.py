"""SELECT and EXAMINE (RFC 9051 sections 6.3.2 and 6.3.3, RFC 7162 section 3.2.5)."""

from dataclasses import dataclass

from postwren.protocols.imap.numset import NumSet

__all__ = ["QresyncState", "Select"]


@dataclass(frozen=True, slots=True)
class QresyncState:
    """What the client knows: RFC 7162 section 3.2.5. `known_uids` and the match data are None where they are absent."""

    uidvalidity: int
    modseq: int
    known_uids: NumSet | None = None
    match_seqnums: NumSet | None = None
    match_uids: NumSet | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """`is_examine`: EXAMINE. `condstore` is the parameter of that name."""

    mailbox: str
    is_examine: bool = False
    condstore: bool = False
    qresync: QresyncState | None = None
