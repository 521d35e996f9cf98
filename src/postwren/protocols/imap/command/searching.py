"""The grammar of SEARCH, SORT, THREAD, ESEARCH and CANCELUPDATE (the types are in `search`, the grammar of keys in
`searchkey`)."""

from collections.abc import Callable
from typing import Final

from postwren.protocols.imap.command.fetch import parse_range
from postwren.protocols.imap.command.search import (
    CancelUpdate,
    Esearch,
    ReturnOption,
    Returns,
    Scope,
    ScopeKind,
    Search,
    SearchKey,
    Sort,
    SortKey,
    Thread,
)
from postwren.protocols.imap.command.searchkey import format_keys, parse_keys
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.primitive import Scanner, decode_text
from postwren.protocols.imap.writer import Writer

__all__ = [
    "format_cancel_update",
    "format_esearch",
    "format_scope",
    "format_search",
    "format_sort",
    "format_thread",
    "parse_cancel_update",
    "parse_esearch",
    "parse_scope",
    "parse_search",
    "parse_sort",
    "parse_thread",
]

_RETURN_OPTIONS: Final = {option.value.encode(): option for option in ReturnOption}
_SORT_KEYS: Final = {key.value.encode(): key for key in SortKey}
_SCOPES: Final = {kind.value.upper().encode(): kind for kind in ScopeKind}
_WITH_MAILBOXES: Final = (ScopeKind.SUBTREE, ScopeKind.SUBTREE_ONE, ScopeKind.MAILBOXES)


def parse_search(scanner: Scanner, *, is_uid: bool = False) -> Search:
    """`search = "SEARCH" [search-return-opts] SP search-program`."""
    scanner.space()
    returns = _parse_returns(scanner)
    charset, key = _parse_program(scanner)
    return Search(is_uid, returns, charset, key)


def _parse_program(scanner: Scanner) -> tuple[str | None, SearchKey]:
    """`search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)`."""
    charset = None
    if scanner.skip_word(b"CHARSET"):
        scanner.space()
        charset = _parse_charset(scanner)
        scanner.space()
    return charset, parse_keys(scanner, charset)


def _parse_charset(scanner: Scanner) -> str:
    """`charset = atom / quoted`."""
    return decode_text(scanner.astring()).upper()


def _parse_returns(scanner: Scanner) -> Returns | None:
    """`search-return-opts = "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")" SP`, None where it is absent."""
    if not scanner.skip_word(b"RETURN"):
        return None
    scanner.space()
    options: set[ReturnOption] = set()
    partial: list[tuple[int, int]] = []

    def read() -> None:
        word = scanner.keyword()
        option = _RETURN_OPTIONS.get(word)
        if option is not None:
            options.add(option)
        elif word == b"PARTIAL" and not partial:
            scanner.space()
            partial.append(parse_range(scanner))
        else:
            raise Unparsable

    scanner.parenthesized(read, may_be_empty=True)
    scanner.space()
    # RFC 9394 section 3.1: PARTIAL and ALL exclude each other
    if partial and ReturnOption.ALL in options:
        raise Unparsable
    if not options and not partial:
        options.add(ReturnOption.ALL)  # RFC 9051 section 6.4.4: an empty list is (ALL)
    return Returns(frozenset(options), partial[0] if partial else None)


def _format_returns(writer: Writer, returns: Returns | None) -> None:
    if returns is None:
        return
    words = sorted(option.value.encode() for option in returns.options)
    if returns.partial is not None:
        words.append(b"PARTIAL %d:%d" % returns.partial)
    writer.put(b"RETURN (", b" ".join(words), b") ")


def format_search(writer: Writer, command: Search) -> None:
    writer.put(b"UID SEARCH " if command.is_uid else b"SEARCH ")
    _format_returns(writer, command.returns)
    _format_program(writer, command.charset, command.key)


def _format_program(writer: Writer, charset: str | None, key: SearchKey) -> None:
    if charset is not None:
        writer.put(b"CHARSET ")
        writer.text(charset)
        writer.put(b" ")
    format_keys(writer, key, charset)


def parse_sort(scanner: Scanner, *, is_uid: bool = False) -> Sort:
    """`sort = "SORT" [search-return-opts] SP sort-criteria SP search-criteria` (RFC 5256 section 5, RFC 5267), with
    `search-criteria = charset 1*(SP search-key)`."""
    scanner.space()
    returns = _parse_returns(scanner)
    order = scanner.parenthesized(lambda: _parse_criterion(scanner))
    scanner.space()
    charset = _parse_charset(scanner)
    scanner.space()
    return Sort(is_uid, returns, order, charset, parse_keys(scanner, charset))


def _parse_criterion(scanner: Scanner) -> tuple[SortKey, bool]:
    """`sort-criterion = ["REVERSE" SP] sort-key`."""
    is_reversed = scanner.skip_word(b"REVERSE")
    if is_reversed:
        scanner.space()
    return scanner.choice(_SORT_KEYS), is_reversed


def format_sort(writer: Writer, command: Sort) -> None:
    writer.put(b"UID SORT " if command.is_uid else b"SORT ")
    _format_returns(writer, command.returns)

    def write(criterion: tuple[SortKey, bool]) -> None:
        key, is_reversed = criterion
        writer.put(b"REVERSE " if is_reversed else b"", key.value.encode())

    writer.listed(command.order, write)
    writer.put(b" ")
    writer.text(command.charset)
    writer.put(b" ")
    format_keys(writer, command.key, command.charset)


def parse_thread(scanner: Scanner, *, is_uid: bool = False) -> Thread:
    """`thread = "THREAD" SP thread-alg SP search-criteria`."""
    scanner.space()
    algorithm = scanner.atom().decode("ascii").upper()
    scanner.space()
    charset = _parse_charset(scanner)
    scanner.space()
    return Thread(is_uid, algorithm, charset, parse_keys(scanner, charset))


def format_thread(writer: Writer, command: Thread) -> None:
    writer.put(b"UID THREAD " if command.is_uid else b"THREAD ")
    writer.word(command.algorithm)
    writer.put(b" ")
    writer.text(command.charset)
    writer.put(b" ")
    format_keys(writer, command.key, command.charset)


def parse_esearch(scanner: Scanner) -> Esearch:
    """`esearch = "ESEARCH" [SP "IN" SP "(" source-mbox ")"] [SP search-return-opts] SP search-program` (RFC 7377 section 4)."""
    scanner.space()
    scopes: tuple[Scope, ...] = ()
    if scanner.skip_word(b"IN"):
        scanner.space()
        # RFC 7377 section 4 forbids selected-delayed here
        scopes = scanner.parenthesized(lambda: parse_scope(scanner))
        if any(scope.kind is ScopeKind.SELECTED_DELAYED for scope in scopes):
            raise Unparsable
        scanner.space()
    returns = _parse_returns(scanner)
    charset, key = _parse_program(scanner)
    return Esearch(scopes, returns, charset, key)


def parse_scope(scanner: Scanner) -> Scope:
    """`filter-mailboxes` of RFC 5465 section 8 and RFC 7377; `one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")"`."""
    kind = scanner.choice(_SCOPES)
    if kind not in _WITH_MAILBOXES:
        return Scope(kind)
    scanner.space()
    read: Callable[[], str] = scanner.mailbox
    return Scope(kind, scanner.parenthesized(read) if scanner.is_at(b"(") else (read(),))


def format_esearch(writer: Writer, command: Esearch) -> None:
    writer.put(b"ESEARCH ")
    if command.scopes:
        writer.put(b"IN ")
        writer.listed(command.scopes, lambda scope: format_scope(writer, scope))
        writer.put(b" ")
    _format_returns(writer, command.returns)
    _format_program(writer, command.charset, command.key)


def format_scope(writer: Writer, scope: Scope) -> None:
    """`filter-mailboxes`."""
    writer.put(scope.kind.value.encode())
    if scope.kind in _WITH_MAILBOXES:
        writer.put(b" ")
        writer.listed(scope.mailboxes, writer.mailbox)


def parse_cancel_update(scanner: Scanner) -> CancelUpdate:
    """`"CANCELUPDATE" 1*(SP quoted)` (RFC 5267 section 5)."""
    tags = []
    while not scanner.is_ended():
        scanner.count()
        scanner.space()
        tags.append(decode_text(scanner.string()))
    if not tags:
        raise Unparsable
    return CancelUpdate(tuple(tags))


def format_cancel_update(writer: Writer, command: CancelUpdate) -> None:
    writer.put(b"CANCELUPDATE")
    for tag in command.tags:
        writer.put(b" ")
        writer.string(tag.encode())
