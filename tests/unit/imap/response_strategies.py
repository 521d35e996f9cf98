"""Responses of every kind, as a server could say them (for properties)."""

from typing import Any

from hypothesis import strategies as st

from postwren.message.address import ImapAddress
from postwren.protocols.imap import code as codes
from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.response import Response, Status, Tagged
from postwren.protocols.imap.response.body import BodyPart, BodyStructure, Disposition, Extension
from postwren.protocols.imap.response.capability import CapabilityList, Enabled, ServerId
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.envelope import Envelope
from postwren.protocols.imap.response.fetch import NIL, BinaryData, BinarySizeData, Fetched, SectionData
from postwren.protocols.imap.response.list import ListEntry, MailboxStatus
from postwren.protocols.imap.response.search import Esearch, PartialResult, SearchResult
from postwren.protocols.imap.response.sharing import (
    Acl,
    ListedRights,
    Metadata,
    MetadataChanged,
    NamespaceEntry,
    Namespaces,
    OwnRights,
    Quota,
    QuotaResource,
    QuotaRoots,
)
from postwren.protocols.imap.response.size import Exists, Expunged, FlagList, Recent, Vanished
from postwren.protocols.imap.response.thread import ThreadResult, ThreadRow
from postwren.protocols.imap.response.url import FetchedUrl, GeneratedUrls, UrlsFetched

ATOMS = st.sampled_from(["IMAP4rev2", "AUTH=PLAIN", "X-A.b", "a]", "$Junk", "NIL", "3"])
WORDS = st.sampled_from(["a", "B-c", "UTF-8", "x.y"])
TAGS = st.sampled_from(["a1", "A.002", "]", "~"])
NUMBERS = st.integers(0, 2**32 - 1)
NZ = st.integers(1, 2**32 - 1)
MODSEQS = st.integers(0, 2**63 - 1)
SECONDS = st.integers(-2_000_000_000, 250_000_000_000)
RANGES = st.lists(st.tuples(NZ, NZ).map(lambda pair: (min(pair), max(pair))), min_size=1, max_size=4).map(tuple)
ODD_TEXTS = st.sampled_from(["", 'a"\\', "NIL", "{3}", "a\r\nb", "é"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | ODD_TEXTS
ODD_NAMES = st.sampled_from(["INBOX", "Entwürfe/2024", "a&b", "x (y)", "~peter/mail/台北/日本語"])
NAMES = TEXTS.filter(lambda name: name.upper() != "INBOX") | ODD_NAMES
FLAG = st.sampled_from(["\\Seen", "\\Recent", "$Forwarded", "NonJunk", "\\Foo", "3"])
FLAGS = st.lists(FLAG, max_size=3).map(tuple)
OCTETS = st.binary(max_size=12) | st.sampled_from([b"", b'"', b"\\", b"\0", b"NIL", b")", b"{3}\r\n", b"\xff", b"a" * 300])
NOCTETS = st.none() | OCTETS
IDS = st.sampled_from(["M1", "12", "a-b_c"])
LINE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10).filter(
    lambda text: not text.startswith(("[", " "))
)


def some(strategy: st.SearchStrategy[Any], most: int = 3, least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


CODES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([codes.ALERT, codes.READ_ONLY, codes.UNKNOWN_CTE, codes.Atom("X-NEW")]),
    st.builds(codes.AppendUid, NZ, RANGES),
    st.builds(codes.BadCharset, some(WORDS | st.just("a b"))),
    st.builds(codes.BadEvent, some(WORDS, least=1)),
    st.builds(codes.BadUrl, st.just("imap://x/;UID=1")),
    st.builds(codes.Capabilities, some(WORDS, least=1)),
    st.builds(codes.CopyUid, NZ, RANGES, RANGES),
    st.builds(codes.HighestModSeq, MODSEQS),
    st.builds(codes.InProgress, st.none() | TAGS, st.none() | MODSEQS, st.none() | MODSEQS),
    st.builds(codes.MailboxIdCode, IDS),
    st.builds(codes.MessageLimit, NZ, st.none() | NZ),
    st.builds(codes.MetadataCode, st.sampled_from(["MAXSIZE", "LONGENTRIES"]), NUMBERS),
    st.builds(codes.MetadataCode, st.sampled_from(["TOOMANY", "NOPRIVATE"])),
    st.builds(codes.Modified, RANGES),
    st.builds(codes.NoUpdate, TAGS),
    st.builds(codes.Other, st.just("X-FOO"), st.sampled_from(["1 2", '"a" (b)', "UIDNEXT"])),
    st.builds(codes.PermanentFlags, some(FLAG | st.just("\\*"))),
    st.builds(codes.Referral, some(st.just("imap://h/"), least=1)),
    st.builds(codes.UidNext, NZ),
    st.builds(codes.UidValidityCode, NZ),
    st.builds(codes.UndefinedFilter, WORDS),
    st.builds(codes.Unseen, NZ),
    st.builds(codes.UrlMech, some(st.sampled_from(["XSAMPLE=P34OKhO7VEkCbsiYY8rGEg==", "X"]))),
)
ADDRESSES = some(st.builds(ImapAddress, NOCTETS, NOCTETS, NOCTETS, NOCTETS), 2)
ENVELOPES = st.builds(
    Envelope, NOCTETS, NOCTETS, ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES, NOCTETS, NOCTETS
)
PARAMETERS = some(st.tuples(OCTETS, OCTETS), 2)


@st.composite
def structures(draw: st.DrawFn, is_extended: bool) -> BodyStructure:
    """Any tree of parts, in preorder."""
    parts: list[BodyPart] = []
    waiting = [0]
    while waiting:
        depth = waiting.pop()
        kind = draw(st.sampled_from(["text", "image", "message", "multipart"] if depth < 3 else ["text"]))
        extension = draw(EXTENSIONS) if is_extended else None
        parameters = draw(PARAMETERS)
        subtype = draw(OCTETS.filter(bool))
        if kind == "multipart":
            if extension is not None:
                extension = Extension(None, extension.disposition, extension.languages, extension.location)
            parts.append(BodyPart(depth, b"multipart", subtype, parameters if is_extended else (), extension=extension))
            waiting += [depth + 1] * draw(st.integers(1, 3))
            continue
        fields = (parameters, draw(NOCTETS), draw(NOCTETS), draw(OCTETS.filter(bool)), draw(NUMBERS))
        if kind == "message":
            parts.append(BodyPart(depth, b"message", b"rfc822", *fields, draw(NUMBERS), draw(ENVELOPES), extension))
            waiting.append(depth + 1)
        else:
            lines = draw(NUMBERS) if kind == "text" else None
            parts.append(BodyPart(depth, kind.encode(), subtype, *fields, lines, None, extension))
    return tuple(parts)


EXTENSIONS = st.builds(
    Extension, NOCTETS, st.none() | st.builds(Disposition, OCTETS.filter(bool), PARAMETERS), some(OCTETS, 2), NOCTETS
)


@st.composite
def threads(draw: st.DrawFn) -> tuple[ThreadRow, ...]:
    """Preorder rows; a missing parent begins a thread and has two children."""
    rows: list[ThreadRow] = []
    for _ in range(draw(st.integers(0, 3))):
        start = 0
        if draw(st.booleans()):
            rows += [(0, 0), (1, draw(NZ)), (1, draw(NZ))]
            start = 1
        else:
            rows.append((0, draw(NZ)))
        for _ in range(draw(st.integers(0, 8))):
            rows.append((draw(st.integers(start + 1, rows[-1][0] + 1)), draw(NZ)))
    return tuple(rows)


LABELS = st.sampled_from(["", "HEADER", "1.2.MIME", "HEADER.FIELDS (DATE FROM)", "TEXT"])
SECTIONS = st.builds(SectionData, LABELS, OCTETS | st.just(NIL), st.none() | NUMBERS) | st.builds(
    SectionData, st.just(""), OCTETS, st.none(), st.sampled_from(["RFC822", "RFC822.TEXT"])
)
PARTS = some(st.integers(1, 99))
FETCHED: st.SearchStrategy[Any] = st.builds(
    Fetched,
    NZ,
    st.just(False),
    st.none() | NZ,
    st.none() | FLAGS,
    st.none() | MODSEQS,
    st.none() | SECONDS,
    st.none() | MODSEQS,
    st.none() | ENVELOPES,
    st.none() | structures(False),
    st.none() | structures(True),
    st.none() | IDS,
    st.none() | IDS | st.just(NIL),
    st.none() | SECONDS | st.just(NIL),
    st.none() | TEXTS | st.just(NIL),
    some(SECTIONS),
    some(st.builds(BinaryData, PARTS, OCTETS | st.just(NIL), st.none() | NUMBERS)),
    some(st.builds(BinarySizeData, PARTS, NUMBERS)),
)
STATUS_ITEMS = some(
    st.tuples(st.sampled_from([item for item in StatusItem if item is not StatusItem.MAILBOXID]), NUMBERS)
    | st.tuples(st.just(StatusItem.MAILBOXID), IDS)
    | st.tuples(st.just(StatusItem.APPENDLIMIT), st.none())
)
CHANGES = some(st.tuples(NUMBERS, RANGES))
DELIMITERS = st.none() | st.sampled_from("/.\\")
NAMESPACES = some(st.builds(NamespaceEntry, NAMES, DELIMITERS, some(st.tuples(st.just("X-P"), some(WORDS, least=1)), 1)), 2)
RESPONSES: st.SearchStrategy[Response] = st.one_of(
    FETCHED,
    FETCHED.map(lambda fetched: Fetched(fetched.number, True, fetched.number, fetched.flags, fetched.modseq)),
    st.builds(Tagged, TAGS, st.sampled_from([Status.OK, Status.NO, Status.BAD]), LINE, st.none() | CODES),
    st.builds(Condition, st.sampled_from(Status), LINE, st.none() | CODES),
    st.builds(CapabilityList, some(WORDS)),
    st.builds(Enabled, some(WORDS)),
    st.builds(ServerId, st.none() | some(st.tuples(TEXTS, st.none() | TEXTS))),
    st.builds(Exists, NUMBERS),
    st.builds(Recent, NUMBERS),
    st.builds(Expunged, NZ),
    st.builds(Vanished, RANGES, st.booleans()),
    st.builds(FlagList, FLAGS),
    st.builds(
        ListEntry,
        NAMES,
        st.none() | st.sampled_from("/.\\"),
        some(st.sampled_from(["\\Noselect", "\\Sent"])),
        some(st.just("SUBSCRIBED"), 1),
        st.none() | NAMES,
    ),
    st.builds(ListEntry, NAMES, is_lsub=st.just(True)),
    st.builds(MailboxStatus, NAMES, STATUS_ITEMS),
    st.builds(SearchResult, some(NZ), st.none(), st.booleans()),
    st.builds(SearchResult, some(NZ, least=1), MODSEQS, st.booleans()),
    st.builds(
        Esearch,
        st.none() | TAGS,
        st.booleans(),
        *[st.none() | NUMBERS] * 3,
        st.none() | RANGES,
        st.none() | st.builds(PartialResult, st.integers(-9, 9), st.integers(-9, 9), st.none() | RANGES),
        st.none() | MODSEQS,
        CHANGES,
        CHANGES,
        st.none() | some(st.integers(1, 100)),
        st.none() | NAMES,
        st.none() | NZ,
    ),
    st.builds(ThreadResult, threads()),
    st.builds(Namespaces, NAMESPACES, NAMESPACES, NAMESPACES),
    st.builds(Acl, NAMES, some(st.tuples(TEXTS, WORDS))),
    st.builds(ListedRights, NAMES, TEXTS, st.sampled_from(["", "l"]), some(WORDS)),
    st.builds(OwnRights, NAMES, st.sampled_from(["", "lrs"])),
    st.builds(Quota, TEXTS, some(st.builds(QuotaResource, st.sampled_from(["STORAGE", "MESSAGE"]), MODSEQS, MODSEQS))),
    st.builds(QuotaRoots, NAMES, some(TEXTS)),
    st.builds(Metadata, NAMES, some(st.tuples(st.just("/private/comment"), NOCTETS), least=1)),
    st.builds(MetadataChanged, NAMES, some(st.just("/shared/comment"), least=1)),
    st.builds(
        UrlsFetched,
        some(
            st.builds(FetchedUrl, TEXTS, NOCTETS)
            | st.builds(FetchedUrl, TEXTS, st.none(), some(st.tuples(st.sampled_from(["BODY", "BINARY"]), NOCTETS), least=1))
        ),
    ),
    st.builds(GeneratedUrls, some(TEXTS)),
)
