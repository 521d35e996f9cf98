"""Response codes: what stands in brackets in front of a status text (RFC 9051 section 7.1, RFC 5530 and the extensions).

A code without arguments is an `Atom`, whether we know it or not; one with arguments that we do not know is `Other`, kept as text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Reader
from postwren.protocols.imap.value import Ranges, format_astring, format_flags, format_quoted, format_ranges

__all__ = [
    "ALERT",
    "ALREADYEXISTS",
    "APPENDLIMIT",
    "AUTHENTICATIONFAILED",
    "AUTHORIZATIONFAILED",
    "BADCOMPARATOR",
    "CANNOT",
    "CLIENTBUG",
    "CLOSED",
    "COMPRESSIONACTIVE",
    "CONTACTADMIN",
    "CORRUPTION",
    "EXPIRED",
    "EXPUNGEISSUED",
    "HASCHILDREN",
    "INUSE",
    "LIMIT",
    "NOMODSEQ",
    "NONEXISTENT",
    "NOPERM",
    "NOTIFICATIONOVERFLOW",
    "NOTSAVED",
    "OVERQUOTA",
    "PARSE",
    "PRIVACYREQUIRED",
    "READ_ONLY",
    "READ_WRITE",
    "SERVERBUG",
    "TOOBIG",
    "TRYCREATE",
    "UIDNOTSTICKY",
    "UIDREQUIRED",
    "UNAVAILABLE",
    "UNKNOWN_CTE",
    "USEATTR",
    "AppendUid",
    "Atom",
    "BadCharset",
    "BadEvent",
    "BadUrl",
    "Capabilities",
    "Code",
    "CopyUid",
    "HighestModSeq",
    "InProgress",
    "MailboxIdCode",
    "MessageLimit",
    "MetadataCode",
    "Modified",
    "NoUpdate",
    "Other",
    "PermanentFlags",
    "Referral",
    "UidNext",
    "UidValidityCode",
    "UndefinedFilter",
    "Unseen",
    "UrlMech",
    "format_code",
    "parse_code",
]


@dataclass(frozen=True, slots=True)
class Atom:
    """A code without arguments, in capitals."""

    name: str


ALERT: Final = Atom("ALERT")  # RFC 9051 section 7.1, to CLOSED
PARSE: Final = Atom("PARSE")
READ_ONLY: Final = Atom("READ-ONLY")
READ_WRITE: Final = Atom("READ-WRITE")
TRYCREATE: Final = Atom("TRYCREATE")
UIDNOTSTICKY: Final = Atom("UIDNOTSTICKY")
UNAVAILABLE: Final = Atom("UNAVAILABLE")  # RFC 5530, to HASCHILDREN
AUTHENTICATIONFAILED: Final = Atom("AUTHENTICATIONFAILED")
AUTHORIZATIONFAILED: Final = Atom("AUTHORIZATIONFAILED")
EXPIRED: Final = Atom("EXPIRED")
PRIVACYREQUIRED: Final = Atom("PRIVACYREQUIRED")
CONTACTADMIN: Final = Atom("CONTACTADMIN")
NOPERM: Final = Atom("NOPERM")
INUSE: Final = Atom("INUSE")
EXPUNGEISSUED: Final = Atom("EXPUNGEISSUED")
CORRUPTION: Final = Atom("CORRUPTION")
SERVERBUG: Final = Atom("SERVERBUG")
CLIENTBUG: Final = Atom("CLIENTBUG")
CANNOT: Final = Atom("CANNOT")
LIMIT: Final = Atom("LIMIT")
OVERQUOTA: Final = Atom("OVERQUOTA")
ALREADYEXISTS: Final = Atom("ALREADYEXISTS")
NONEXISTENT: Final = Atom("NONEXISTENT")
HASCHILDREN: Final = Atom("HASCHILDREN")
NOTSAVED: Final = Atom("NOTSAVED")  # RFC 5182
CLOSED: Final = Atom("CLOSED")  # RFC 7162 section 3.2.11
NOMODSEQ: Final = Atom("NOMODSEQ")  # RFC 7162 section 3.1.2.2
UNKNOWN_CTE: Final = Atom("UNKNOWN-CTE")  # RFC 3516 section 4.3
TOOBIG: Final = Atom("TOOBIG")  # RFC 4469 section 4.2, RFC 7889 section 4
COMPRESSIONACTIVE: Final = Atom("COMPRESSIONACTIVE")  # RFC 4978 section 3
USEATTR: Final = Atom("USEATTR")  # RFC 6154 section 6
NOTIFICATIONOVERFLOW: Final = Atom("NOTIFICATIONOVERFLOW")  # RFC 5465 section 5.8
UIDREQUIRED: Final = Atom("UIDREQUIRED")  # RFC 9586 section 3.5
BADCOMPARATOR: Final = Atom("BADCOMPARATOR")  # RFC 5255 section 4.9
APPENDLIMIT: Final = Atom("APPENDLIMIT")


@dataclass(frozen=True, slots=True)
class BadCharset:
    """The charsets that are known; none where the server does not say."""

    charsets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """CAPABILITY, as they were written."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermanentFlags:
    """`\\*` among them: new keywords can be made."""

    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UidNext:
    uid: int


@dataclass(frozen=True, slots=True)
class UidValidityCode:
    """UIDVALIDITY."""

    uidvalidity: int


@dataclass(frozen=True, slots=True)
class Unseen:
    """RFC 3501 section 7.1: the first unseen message's sequence number."""

    seqnum: int


@dataclass(frozen=True, slots=True)
class HighestModSeq:
    """RFC 7162 section 3.1.2.1."""

    modseq: int


@dataclass(frozen=True, slots=True)
class Modified:
    """RFC 7162 section 3.1.3: what a STORE left alone; UIDs where the command had them."""

    numbers: Ranges


@dataclass(frozen=True, slots=True)
class AppendUid:
    """RFC 4315 section 3; several UIDs after MULTIAPPEND."""

    uidvalidity: int
    uids: Ranges


@dataclass(frozen=True, slots=True)
class CopyUid:
    """RFC 4315 section 3: the first of `source` became the first of `destination`, and so on."""

    uidvalidity: int
    source: Ranges
    destination: Ranges


@dataclass(frozen=True, slots=True)
class MailboxIdCode:
    """MAILBOXID: RFC 8474 section 4."""

    mailbox_id: str


@dataclass(frozen=True, slots=True)
class MetadataCode:
    """RFC 5464 section 4: `kind` is LONGENTRIES, MAXSIZE (both with a number of octets), TOOMANY or NOPRIVATE."""

    kind: str
    octets: int | None = None


@dataclass(frozen=True, slots=True)
class NoUpdate:
    """RFC 5267 section 4.3.2."""

    tag: str


@dataclass(frozen=True, slots=True)
class UndefinedFilter:
    """RFC 5466 section 3.1."""

    name: str


@dataclass(frozen=True, slots=True)
class MessageLimit:
    """RFC 9738 section 3.1; `uid`: the lowest UID that was processed."""

    limit: int
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class InProgress:
    """RFC 9585: the command of `tag` is at `progress` of `goal`; None is NIL, and three of them are no argument at all."""

    tag: str | None = None
    progress: int | None = None
    goal: int | None = None


@dataclass(frozen=True, slots=True)
class BadEvent:
    """RFC 5465 section 5: the events that can be asked for."""

    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Referral:
    """RFC 2221 and RFC 2193; a client of ours never follows one (A-95)."""

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BadUrl:
    """RFC 4469 section 4.1."""

    url: str


@dataclass(frozen=True, slots=True)
class UrlMech:
    """RFC 4467 section 6: mechanisms behind INTERNAL, each as it was written (with its `=base64`, where there is one)."""

    mechanisms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Other:
    """A code with arguments that we do not know; name in capitals, arguments as they were written."""

    name: str
    arguments: str


Code: TypeAlias = (
    Atom
    | AppendUid
    | BadCharset
    | BadEvent
    | BadUrl
    | Capabilities
    | CopyUid
    | HighestModSeq
    | InProgress
    | MailboxIdCode
    | MessageLimit
    | MetadataCode
    | Modified
    | NoUpdate
    | Other
    | PermanentFlags
    | Referral
    | UidNext
    | UidValidityCode
    | UndefinedFilter
    | Unseen
    | UrlMech
)


def format_code(code: Code) -> bytes:
    """What stands between the brackets. Always ASCII; a bracket inside is impossible by construction of what we send."""
    if isinstance(code, Atom):
        return code.name.encode("ascii", "replace")
    return _format_numbers(code) or _format_names(code)


def _format_numbers(code: Code) -> bytes | None:
    match code:
        case UidNext(uid):
            return b"UIDNEXT %d" % uid
        case UidValidityCode(uidvalidity):
            return b"UIDVALIDITY %d" % uidvalidity
        case Unseen(seqnum):
            return b"UNSEEN %d" % seqnum
        case HighestModSeq(modseq):
            return b"HIGHESTMODSEQ %d" % modseq
        case Modified(numbers):
            return b"MODIFIED " + format_ranges(numbers)
        case AppendUid(uidvalidity, uids):
            return b"APPENDUID %d %b" % (uidvalidity, format_ranges(uids))
        case CopyUid(uidvalidity, source, destination):
            return b"COPYUID %d %b %b" % (uidvalidity, format_ranges(source), format_ranges(destination))
        case MessageLimit(limit, uid):
            return b"MESSAGELIMIT %d" % limit if uid is None else b"MESSAGELIMIT %d %d" % (limit, uid)
        case InProgress(None, None, None):
            return b"INPROGRESS"
        case InProgress(tag, progress, goal):
            return b"INPROGRESS (%b %b %b)" % (b"NIL" if tag is None else format_quoted(tag), _number(progress), _number(goal))
        case MetadataCode(kind, octets):
            return b"METADATA %b" % kind.encode() + (b"" if octets is None else b" %d" % octets)
    return None


def _number(value: int | None) -> bytes:
    return b"NIL" if value is None else b"%d" % value


def _format_names(code: Code) -> bytes:
    match code:
        case BadCharset(charsets):
            return (
                b"BADCHARSET (%b)" % b" ".join([format_astring(name, False) for name in charsets]) if charsets else b"BADCHARSET"
            )
        case Capabilities(names):
            return _words("CAPABILITY", names)
        case PermanentFlags(flags):
            return b"PERMANENTFLAGS " + format_flags(flags)
        case MailboxIdCode(mailbox_id):
            return b"MAILBOXID (%b)" % mailbox_id.encode("ascii", "replace")
        case NoUpdate(tag):
            return b"NOUPDATE " + format_quoted(tag)
        case UndefinedFilter(name):
            return _words("UNDEFINED-FILTER", (name,))
        case BadEvent(events):
            return b"BADEVENT (%b)" % " ".join(events).encode("ascii", "replace")
        case Referral(urls):
            return _words("REFERRAL", urls)
        case BadUrl(url):
            return _words("BADURL", (url,))
        case UrlMech(mechanisms):
            return _words("URLMECH INTERNAL", mechanisms)
        case Other(name, arguments):
            return _words(name, (arguments,))
    raise AssertionError(code)


def _words(name: str, words: tuple[str, ...]) -> bytes:
    """resp-text-code holds no bracket and no control character (RFC 9051 section 9): a peer's words lose them."""
    return " ".join((name, *words)).encode("ascii", "replace").translate(None, delete=b"]\r\n\0")


def parse_code(reader: Reader) -> Code:
    """resp-text-code, up to its "]". What we do not know, or cannot read, is kept as text."""
    start = reader.position
    name = reader.match(_NAME)[0].decode("ascii", "replace").upper()
    parse = _PARSES.get(name)
    if parse is not None and (reader.is_at(b" ") or name in _BARE):
        try:
            code = parse(reader)
            if reader.is_at(b"]"):
                return code
        except (Unparsable, UnicodeDecodeError):
            if reader.is_strict:
                raise
    reader.position = start + len(name)
    if reader.is_at(b"]"):
        return Atom(name)
    return Other(name, reader.match(_ARGUMENTS)[0].strip().decode("utf-8", "replace"))


_NAME: Final = re.compile(rb"[^\x00-\x20\x7f-\xff\]()]+")
_ARGUMENTS: Final = re.compile(rb"[^\]\r\n\x00]*")


def _parse_capabilities(reader: Reader) -> Code:
    return Capabilities(_parse_words(reader))


def _parse_words(reader: Reader) -> tuple[str, ...]:
    """*(SP word), up to "]\""""
    return tuple(reader.match(_ARGUMENTS)[0].decode("ascii", "replace").split())


def _parse_argument(reader: Reader) -> str:
    reader.space()
    return reader.match(_ARGUMENTS)[0].decode("utf-8", "replace")


def _parse_number(reader: Reader) -> int:
    reader.space()
    return reader.number()


def _parse_ranges(reader: Reader) -> Ranges:
    reader.space()
    return reader.ranges()


def _parse_modseq(reader: Reader) -> Code:
    reader.space()
    return HighestModSeq(reader.number64())


def _parse_list(reader: Reader) -> tuple[str, ...]:
    """SP "(" astring *(SP astring) ")\""""
    reader.space()
    return reader.parenthesized(reader.atext)


def _parse_badcharset(reader: Reader) -> Code:
    return BadCharset(_parse_list(reader) if reader.is_at(b" ") else ())


def _parse_permanent_flags(reader: Reader) -> Code:
    reader.space()
    return PermanentFlags(reader.flag_list())


def _parse_mailbox_id(reader: Reader) -> Code:
    reader.space()
    reader.expect(b"(")
    mailbox_id = reader.match(_OBJECT_ID)[0].decode()
    reader.expect(b")")
    return MailboxIdCode(mailbox_id)


_OBJECT_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,255}")


def _parse_metadata(reader: Reader) -> Code:
    reader.space()
    kind = reader.keyword().decode()
    return MetadataCode(kind, _parse_number(reader) if reader.is_at(b" ") else None)


def _parse_no_update(reader: Reader) -> Code:
    reader.space()
    return NoUpdate(reader.atext())


def _parse_message_limit(reader: Reader) -> Code:
    return MessageLimit(_parse_number(reader), _parse_number(reader) if reader.is_at(b" ") else None)


def _parse_in_progress(reader: Reader) -> Code:
    if not reader.is_at(b" "):
        return InProgress()
    reader.space()
    match reader.tree():
        case [(bytes() | int() | None) as tag, (int() | None) as progress, (int() | None) as goal]:
            return InProgress(str(tag) if isinstance(tag, int) else reader.text_of(tag), progress, goal)
    raise Unparsable


def _parse_url_mech(reader: Reader) -> Code:
    words = _parse_words(reader)
    if not words or words[0].upper() != "INTERNAL":
        raise Unparsable
    return UrlMech(words[1:])


_BARE: Final = frozenset({"BADCHARSET", "INPROGRESS"})  # their arguments may be missing
_PARSES: Final[dict[str, Callable[[Reader], Code]]] = {
    "APPENDUID": lambda reader: AppendUid(_parse_number(reader), _parse_ranges(reader)),
    "BADCHARSET": _parse_badcharset,
    "BADEVENT": lambda reader: BadEvent(_parse_list(reader)),
    "BADURL": lambda reader: BadUrl(_parse_argument(reader)),
    "CAPABILITY": _parse_capabilities,
    "COPYUID": lambda reader: CopyUid(_parse_number(reader), _parse_ranges(reader), _parse_ranges(reader)),
    "HIGHESTMODSEQ": _parse_modseq,
    "INPROGRESS": _parse_in_progress,
    "MAILBOXID": _parse_mailbox_id,
    "MESSAGELIMIT": _parse_message_limit,
    "METADATA": _parse_metadata,
    "MODIFIED": lambda reader: Modified(_parse_ranges(reader)),
    "NOUPDATE": _parse_no_update,
    "PERMANENTFLAGS": _parse_permanent_flags,
    "REFERRAL": lambda reader: Referral(_parse_words(reader)),
    "UIDNEXT": lambda reader: UidNext(_parse_number(reader)),
    "UIDVALIDITY": lambda reader: UidValidityCode(_parse_number(reader)),
    "UNDEFINED-FILTER": lambda reader: UndefinedFilter(_parse_argument(reader)),
    "UNSEEN": lambda reader: Unseen(_parse_number(reader)),
    "URLMECH": _parse_url_mech,
}
