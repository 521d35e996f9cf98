"""SELECT and EXAMINE (RFC 9051 sections 6.3.2 and 6.3.3, RFC 7162 section 3.2.5)."""

from dataclasses import dataclass

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.numset import NumSet
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.writer import Writer

__all__ = ["QresyncState", "Select", "format_select", "parse_select"]


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


def parse_select(scanner: Scanner, *, is_examine: bool = False) -> Select:
    """`select = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"]` (RFC 4466 section 2.4)."""
    scanner.space()
    mailbox = scanner.mailbox()
    if scanner.is_ended():
        return Select(mailbox, is_examine)
    scanner.space()
    condstore, qresync = False, None
    for state in scanner.parenthesized(lambda: _parse_parameter(scanner)):
        if state is None:
            condstore = True
        elif qresync is None:
            qresync = state
        else:
            raise Unparsable
    return Select(mailbox, is_examine, condstore, qresync)


def _parse_parameter(scanner: Scanner) -> QresyncState | None:
    """`select-param = "CONDSTORE" / "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`;
    None is CONDSTORE."""
    keyword = scanner.keyword()
    if keyword == b"CONDSTORE":
        return None
    if keyword != b"QRESYNC":
        raise Unparsable
    scanner.expect(b" (")
    uidvalidity = scanner.nz_number()
    scanner.space()
    modseq = scanner.nz_number((1 << 63) - 1)
    known_uids = match_seqnums = match_uids = None
    if not scanner.is_at(b" (") and scanner.skip(b" "):
        known_uids = scanner.known_set()
    if scanner.skip(b" ("):
        match_seqnums = scanner.known_set()
        scanner.space()
        match_uids = scanner.known_set()
        scanner.expect(b")")
    scanner.expect(b")")
    return QresyncState(uidvalidity, modseq, known_uids, match_seqnums, match_uids)


def format_select(writer: Writer, command: Select) -> None:
    writer.put(b"EXAMINE " if command.is_examine else b"SELECT ")
    writer.mailbox(command.mailbox)
    if command.condstore or command.qresync:
        writer.put(b" (")
        if command.condstore:
            writer.put(b"CONDSTORE", b" " if command.qresync else b"")
        if command.qresync:
            _format_qresync(writer, command.qresync)
        writer.put(b")")


def _format_qresync(writer: Writer, state: QresyncState) -> None:
    writer.put(b"QRESYNC (%d %d" % (state.uidvalidity, state.modseq))
    if state.known_uids is not None:
        writer.put(b" ")
        writer.numbers(state.known_uids)
    if state.match_seqnums is not None and state.match_uids is not None:
        writer.put(b" (")
        writer.numbers(state.match_seqnums)
        writer.put(b" ")
        writer.numbers(state.match_uids)
        writer.put(b")")
    writer.put(b")")
