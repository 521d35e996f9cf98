"""The grammar of search keys (RFC 9051 section 6.4.4 and its extensions; the types are in `search`).

What must stay true: neither direction recurses, and a key is never deeper than the limit (A-41).
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from postwren.protocols.imap.command.search import (
    And,
    DateKey,
    DateWhich,
    EmailIdKey,
    FilterKey,
    FlagKey,
    FuzzyKey,
    HeaderKey,
    ModSeqKey,
    Not,
    NumberKey,
    Or,
    SaveDateSupportedKey,
    SearchKey,
    SizeKey,
    TextKey,
    ThreadIdKey,
    WithinKey,
)
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.flag import RECENT
from postwren.protocols.imap.numset import LARGEST
from postwren.protocols.imap.primitive import Scanner, decode_text
from postwren.protocols.imap.writer import Writer, format_date
from postwren.wire.errors import LocalProtocolError

__all__ = ["CHARSETS", "format_keys", "parse_keys"]

_CODECS: Final = {
    "US-ASCII": "utf-8",  # as clients have it that never ask
    "UTF-8": "utf-8",
    "ISO-8859-1": "latin-1",
    "ISO-8859-15": "iso8859-15",
    "WINDOWS-1252": "cp1252",
}
CHARSETS: Final = tuple(_CODECS)
"""What we decode (RFC 9051 section 6.4.4). The texts of a search in another charset mean nothing: answer BADCHARSET."""

Decode: TypeAlias = Callable[[bytes], str]
Leaf: TypeAlias = Callable[[Scanner], SearchKey]

_FLAG_WORDS: Final = {
    b"ANSWERED": "\\Answered",
    b"DELETED": "\\Deleted",
    b"DRAFT": "\\Draft",
    b"FLAGGED": "\\Flagged",
    b"SEEN": "\\Seen",
}
_WORDS_OF_FLAGS: Final = {
    **{(flag, True): word for word, flag in _FLAG_WORDS.items()},
    **{(flag, False): b"UN" + word for word, flag in _FLAG_WORDS.items()},
    (RECENT, True): b"RECENT",
    (RECENT, False): b"OLD",
}
_DATE_WORDS: Final[dict[bytes, tuple[DateWhich, str]]] = {
    prefix + word: (which, relation)
    for prefix, which in ((b"", DateWhich.INTERNAL), (b"SENT", DateWhich.SENT), (b"SAVED", DateWhich.SAVED))
    for word, relation in ((b"BEFORE", "<"), (b"ON", "="), (b"SINCE", ">="))
}
_WORDS_OF_DATES: Final = {pair: word for word, pair in _DATE_WORDS.items()}
_ADDRESS_FIELDS: Final = (b"BCC", b"CC", b"FROM", b"SUBJECT", b"TO")


def _date(which: DateWhich, relation: str) -> Leaf:
    return lambda scanner: DateKey(which, relation, scanner.date())


def _header(field: str) -> Callable[[str], SearchKey]:
    return lambda text: HeaderKey(field, text)


def _parse_modseq(scanner: Scanner) -> SearchKey:
    """`"MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer`: we keep one MODSEQ a message, so the entry says
    nothing (RFC 7162 section 3.1.5)."""
    if scanner.is_at(b'"'):
        scanner.string()
        scanner.space()
        if scanner.keyword() not in (b"PRIV", b"SHARED", b"ALL"):
            raise Unparsable
        scanner.space()
    return ModSeqKey(scanner.number64())


def _parse_filter(scanner: Scanner) -> SearchKey:
    """`"FILTER" SP filter-name`; `filter-name = 1*<any ATOM-CHAR except "/">` (RFC 5466 section 4)."""
    name = scanner.atom()
    if b"/" in name:
        raise Unparsable
    return FilterKey(decode_text(name))


def _uids_between(low: int, high: int) -> SearchKey:
    return NumberKey(((low, high),), is_uid=True) if low <= high else Not(And(()))


_FIXED: Final[dict[bytes, SearchKey]] = {
    b"ALL": And(()),
    b"NEW": And((FlagKey(RECENT), FlagKey("\\Seen", is_set=False))),
    b"SAVEDATESUPPORTED": SaveDateSupportedKey(),
    **{word: FlagKey(flag, is_set) for (flag, is_set), word in _WORDS_OF_FLAGS.items()},
}
"""Keys of one word."""

_LEAVES: Final[dict[bytes, Leaf]] = {
    **{word: _date(which, relation) for word, (which, relation) in _DATE_WORDS.items()},
    b"KEYWORD": lambda scanner: FlagKey(scanner.flag_keyword()),
    b"UNKEYWORD": lambda scanner: FlagKey(scanner.flag_keyword(), is_set=False),
    b"LARGER": lambda scanner: SizeKey(is_larger=True, size=scanner.number64()),
    b"SMALLER": lambda scanner: SizeKey(is_larger=False, size=scanner.number64()),
    b"OLDER": lambda scanner: WithinKey(is_younger=False, seconds=scanner.nz_number()),
    b"YOUNGER": lambda scanner: WithinKey(is_younger=True, seconds=scanner.nz_number()),
    b"UID": lambda scanner: NumberKey(scanner.sequence_set(), is_uid=True),
    b"UIDAFTER": lambda scanner: _uids_between(scanner.nz_number() + 1, LARGEST),  # RFC 9738 section 3.2
    b"UIDBEFORE": lambda scanner: _uids_between(1, scanner.nz_number() - 1),
    b"MODSEQ": _parse_modseq,
    b"EMAILID": lambda scanner: EmailIdKey(scanner.object_id()),
    b"THREADID": lambda scanner: ThreadIdKey(scanner.object_id()),
    b"FILTER": _parse_filter,
}
"""Keys with an argument that is no text."""

_TEXTS: Final[dict[bytes, Callable[[str], SearchKey]]] = {
    **{word: _header(word.decode().lower()) for word in _ADDRESS_FIELDS},
    b"BODY": lambda text: TextKey(is_body=True, text=text),
    b"TEXT": lambda text: TextKey(is_body=False, text=text),
}
"""Keys with a text, which is in the charset of the command."""
_ARITIES: Final = {b"NOT": 1, b"FUZZY": 1, b"OR": 2}


class _Open:
    """A key that waits for its parts: NOT, FUZZY and OR for so many, a parenthesis (and the whole) for its end."""

    __slots__ = ("keys", "word")

    def __init__(self, word: bytes) -> None:
        self.word = word
        self.keys: list[SearchKey] = []

    def is_full(self) -> bool:
        return len(self.keys) == _ARITIES.get(self.word)

    def close(self) -> SearchKey:
        match self.word, self.keys:
            case b"NOT", [key]:
                return Not(key)
            case b"FUZZY", [key]:
                return FuzzyKey(key)
            case b"OR", [left, right]:
                return Or(left, right)
            case _, [key]:
                return key
            case _:
                return And(tuple(self.keys))


def parse_keys(scanner: Scanner, charset: str | None) -> SearchKey:
    """`search-key *(SP search-key)` to the end of the command."""
    decode = decode_text if charset is None else _decoder(charset)
    stack = [_Open(b"")]
    while True:
        key = _begin(scanner, decode, stack)
        if key is None:
            continue
        stack[-1].keys.append(key)
        while stack[-1].is_full() or (stack[-1].word == b"(" and scanner.skip(b")")):
            key = stack.pop().close()
            stack[-1].keys.append(key)
        if scanner.is_ended() and len(stack) == 1:
            return stack[0].close()
        scanner.space()


def _begin(scanner: Scanner, decode: Decode, stack: list[_Open]) -> SearchKey | None:
    """The next key; None when one with parts was opened instead."""
    scanner.count()
    scanner.check_depth(len(stack))
    if scanner.skip(b"("):
        stack.append(_Open(b"("))
        return None
    if scanner.is_digit() or scanner.is_at(b"*") or scanner.is_at(b"$"):
        return NumberKey(scanner.sequence_set(), is_uid=False)
    word = scanner.keyword()
    if word in _ARITIES:
        scanner.space()
        stack.append(_Open(word))
        return None
    fixed = _FIXED.get(word)
    return fixed or _parse_argument(scanner, word, decode)


def _parse_argument(scanner: Scanner, word: bytes, decode: Decode) -> SearchKey:
    scanner.space()
    if word == b"HEADER":  # "HEADER" SP header-fld-name SP astring
        field = scanner.text_string().lower()
        scanner.space()
        return HeaderKey(field, decode(scanner.astring()))
    leaf, text = _LEAVES.get(word), _TEXTS.get(word)
    if leaf is not None:
        return leaf(scanner)
    if text is not None:
        return text(decode(scanner.astring()))
    raise Unparsable


def _decoder(charset: str) -> Decode:
    """Texts in a charset that we do not know are read as something, and mean nothing."""
    codec = _CODECS.get(charset, "latin-1")

    def decode(octets: bytes) -> str:
        try:
            return octets.decode(codec)
        except UnicodeDecodeError as error:
            raise Unparsable from error

    return decode


def format_keys(writer: Writer, key: SearchKey, charset: str | None) -> None:
    """The inverse of `parse_keys`: the keys of an outermost And stand without parentheses, texts in the charset.
    UnicodeEncodeError for a text that it has no octets for."""
    codec = "utf-8" if charset is None else _CODECS.get(charset, "latin-1")
    if isinstance(key, And) and len(key.keys) > 1:
        rest: list[SearchKey | bytes] = _interleave(key.keys)
    else:
        rest = [key]
    while rest:
        match rest.pop():
            case bytes() as octets:
                writer.put(octets)
            case Not(inner):
                rest += (inner, b"NOT ")
            case FuzzyKey(inner):
                rest += (inner, b"FUZZY ")
            case Or(left, right):
                rest += (right, b" ", left, b"OR ")
            case And((_, _, *_) as keys):
                rest += (b")", *_interleave(keys), b"(")
            case And((inner,)):
                rest.append(inner)
            case leaf:
                _format_leaf(writer, leaf, codec)


def _interleave(keys: tuple[SearchKey, ...]) -> list[SearchKey | bytes]:
    """In reverse, with spaces between."""
    parts: list[SearchKey | bytes] = []
    for key in reversed(keys):
        parts += (key, b" ")
    return parts[:-1]


def _format_leaf(writer: Writer, key: SearchKey, codec: str) -> None:
    for octets in _leaf_octets(key):
        writer.put(octets)
    match key:
        case NumberKey(numbers):
            writer.numbers(numbers)
        case FlagKey(flag) if (flag, key.is_set) not in _WORDS_OF_FLAGS:
            writer.word(flag)
        case HeaderKey(field, text):
            if field.upper().encode() not in _ADDRESS_FIELDS:
                writer.text(field)
                writer.put(b" ")
            writer.astring(text.encode(codec))
        case TextKey(_, text):
            writer.astring(text.encode(codec))
        case EmailIdKey(name) | ThreadIdKey(name) | FilterKey(name):
            writer.word(name)


def _leaf_octets(key: SearchKey) -> Iterator[bytes]:
    """The word of a key, and its argument where that is a number or a date."""
    match key:
        case NumberKey(_, is_uid):
            yield b"UID " if is_uid else b""
        case FlagKey(flag, is_set):
            yield _WORDS_OF_FLAGS.get((flag, is_set)) or (b"KEYWORD " if is_set else b"UNKEYWORD ")
        case DateKey(which, relation, day):
            yield _WORDS_OF_DATES[which, relation] + b" " + format_date(day)
        case WithinKey(is_younger, seconds):
            yield b"%b %d" % (b"YOUNGER" if is_younger else b"OLDER", seconds)
        case SizeKey(is_larger, size):
            yield b"%b %d" % (b"LARGER" if is_larger else b"SMALLER", size)
        case HeaderKey(field):
            word = field.upper().encode()
            yield word + b" " if word in _ADDRESS_FIELDS else b"HEADER "
        case TextKey(is_body):
            yield b"BODY " if is_body else b"TEXT "
        case ModSeqKey(modseq):
            yield b"MODSEQ %d" % modseq
        case EmailIdKey():
            yield b"EMAILID "
        case ThreadIdKey():
            yield b"THREADID "
        case SaveDateSupportedKey():
            yield b"SAVEDATESUPPORTED"
        case FilterKey():
            yield b"FILTER "
        case And(()):
            yield b"ALL"
        case _:
            raise LocalProtocolError("a key with parts is no leaf")
