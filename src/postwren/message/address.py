"""Address lists (RFC 5322 section 3.4 and the obsolete forms of section 4.4; RFC 6532: UTF-8) as IMAP's ENVELOPE wants them.

    Ann <ann@example.org>    (b"Ann", None, b"ann", b"example.org")
    friends: a@b;            (None, None, b"friends", None), (None, None, b"a", b"b"), (None, None, None, None)

Names stay as they are written, encoded words and all; quotes and comments are taken off. A host is None in the markers of
groups only: an address without one has b"". The ordinary forms are read by one regular expression; what it refuses goes,
one address at a time, through a tokenizer. Comments nest to any depth and are counted, not recursed.
"""

import re
from typing import Final, NamedTuple

from postwren.message.limits import DEFAULT_LIMITS, Limits

__all__ = ["GROUP_END", "ImapAddress", "parse_addresses"]


class ImapAddress(NamedTuple):
    """RFC 9051 section 7.5.2, "address structure"."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END: Final = ImapAddress(None, None, None, None)

_ATOM = rb"[^\x00-\x20()<>@,;:\\\".\[\]]"
_DOTTED = rb"(?:" + _ATOM + rb"|\.)++"
_ORDINARY: Final = re.compile(
    rb"[ \t]*+(?:(?:\"([^\"\\\r\n]*+)\"|(" + _ATOM + rb"++(?:[ \t]++" + _ATOM + rb"++)*+))?+[ \t]*+"
    rb"<(" + _DOTTED + rb")@(" + _DOTTED + rb")>|(" + _DOTTED + rb")@(" + _DOTTED + rb"))[ \t]*+(?:,|\Z)"
)
_TOKEN: Final = re.compile(
    rb"(?P<space>[\x00-\x20]++)"
    rb"|(?P<quoted>\"(?:[^\"\\]|\\.)*+\"?)"
    rb"|(?P<literal>\[[^\[\]\\,;<>]*+\]?)"
    rb"|(?P<atom>(?:" + _ATOM + rb"|\\.)++)"
    rb"|(?P<special>.)",
    re.DOTALL,
)
_COMMENT: Final = re.compile(rb"[^()\\]++|\\.|[()\\]", re.DOTALL)
_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)


class _Token(NamedTuple):
    kind: str  # "word", "special" or "end"
    text: bytes
    spaced: bool  # white space or a comment stands before it


def parse_addresses(value: bytes, limits: Limits = DEFAULT_LIMITS) -> list[ImapAddress]:
    """The addresses of an unfolded field value, at most `limits.addresses` of them."""
    reader = _Reader(value)
    found = reader.found
    at, end, most = 0, len(value), limits.addresses
    while at < end and len(found) < most:
        match = _ORDINARY.match(value, at)
        if match is None:
            at = reader.read_address(at)
            continue
        quoted, atoms, local, host, bare_local, bare_host = match.groups()
        name = atoms if quoted is None else quoted
        found.append(ImapAddress(name or None, None, local or bare_local, host or bare_host))
        at = match.end()
    if reader.in_group or len(found) > most:
        del found[most - 1 :]  # room for the end of a group that is cut
        if _is_group_open(found):
            found.append(GROUP_END)
    return found


def _is_group_open(found: list[ImapAddress]) -> bool:
    """Whether the last marker is the head of a group."""
    for address in reversed(found):
        if address.host is None:
            return address.mailbox is not None
    return False


class _Reader:
    """The tokenizer for everything that is not ordinary."""

    __slots__ = ("_at", "_comment", "_value", "found", "in_group")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._at = 0
        self._comment = b""  # the last one: the name in `a@b (Name)`
        self.found: list[ImapAddress] = []
        self.in_group = False

    def read_address(self, at: int) -> int:
        """Read one address, or the head or end of a group, at `at`; where it ends."""
        self._at = at
        self._comment = b""
        words: list[_Token] = []
        has_at = False
        while True:
            token = self._next()
            match token.kind, token.text:
                case "special", b":" if not self.in_group and not has_at:
                    self.in_group = True
                    self.found.append(ImapAddress(None, None, _phrase(words), None))
                    return self._at
                case "special", b"<":
                    self._read_angle(_phrase(words))
                    return self._at
                case ("special", b"," | b";") | ("end", _):
                    self._add_bare(words, has_at)
                    if token.text == b";" and self.in_group:
                        self.in_group = False
                        self.found.append(GROUP_END)
                    return self._at
                case "special", b">":
                    continue
                case _:
                    words.append(token)
                    has_at |= _is_at(token)

    def _next(self) -> _Token:
        spaced = False
        while match := _TOKEN.match(self._value, self._at):
            kind, text = match.lastgroup, match[0]
            self._at = match.end()
            match kind:
                case "space":
                    spaced = True
                case "quoted":
                    inner = text[1:-1] if len(text) > 1 and text.endswith(b'"') and not _ends_in_pair(text) else text[1:]
                    return _Token("word", _PAIR.sub(rb"\1", inner), spaced)
                case "special" if text == b"(":
                    self._skip_comment()
                    spaced = True
                case "special" if text in b"<>@,;:":
                    return _Token("special", text, spaced)
                case _:
                    return _Token("word", _PAIR.sub(rb"\1", text), spaced)
        return _Token("end", b"", spaced)

    def _skip_comment(self) -> None:
        start, depth = self._at, 1
        for match in _COMMENT.finditer(self._value, start):
            text = match[0]
            depth += (text == b"(") - (text == b")")
            if depth == 0:
                self._comment = _PAIR.sub(rb"\1", self._value[start : match.start()]).strip()
                self._at = match.end()
                return
        self._comment = self._value[start:].strip(b"( \t")  # it never ends
        self._at = len(self._value)

    def _read_angle(self, name: bytes) -> None:
        """[obs-route] addr-spec ">", and all that follows up to the next separator."""
        route: list[bytes] = []
        words: list[_Token] = []
        token = self._next()
        while token.kind != "end" and token.text not in (b">", b";"):
            if token == (token.kind, b":", token.spaced) and token.kind == "special":
                route = [t.text for t in words]
                words = []
            elif token.text == b"," and token.kind == "special" and not (words and _is_at(words[0])):
                break  # the closing bracket was forgotten
            else:
                words.append(token)
            token = self._next()
        local, host = _split_at(words)
        if not name and self._comment:
            name = self._comment
        self.found.append(ImapAddress(name or None, b"".join(route) or None, local, host))
        while token.kind != "end" and not (token.kind == "special" and token.text in b",;"):
            token = self._next()
        if token.kind == "special" and token.text == b";" and self.in_group:
            self.in_group = False
            self.found.append(GROUP_END)

    def _add_bare(self, words: list[_Token], has_at: bool) -> None:
        if not words:
            return
        if not has_at:
            self.found.append(ImapAddress(self._comment or None, None, _phrase(words), b""))
            return
        before, address, behind = _single_out(words)
        local, host = _split_at(address)
        self.found.append(ImapAddress(_phrase(before + behind) or self._comment or None, None, local, host))


def _ends_in_pair(text: bytes) -> bool:
    """Whether the quote at the end is escaped."""
    backslashes = len(text) - 1 - len(text[:-1].rstrip(b"\\"))
    return backslashes % 2 == 1


def _is_at(token: _Token) -> bool:
    return token.kind == "special" and token.text == b"@"


def _phrase(words: list[_Token]) -> bytes:
    return b"".join((b" " if token.spaced else b"") + token.text for token in words).strip()


def _single_out(words: list[_Token]) -> tuple[list[_Token], list[_Token], list[_Token]]:
    """What stands before the address, the address around the last "@", and what stands behind: it ends at white space that is not
    beside a dot or an "@", so that `Ann Lee ann@example.org` keeps its name."""
    at = max(index for index, token in enumerate(words) if _is_at(token))
    first = max(at - 1, 0)
    while first > 0 and not _is_gap(words, first):
        first -= 1
    behind = at + 2
    while behind < len(words) and not _is_gap(words, behind):
        behind += 1
    return words[:first], words[first:behind], words[behind:]


def _is_gap(words: list[_Token], index: int) -> bool:
    return words[index].spaced and not _is_joint(words[index]) and not _is_joint(words[index - 1])


def _is_joint(token: _Token) -> bool:
    return token.text == b"." or _is_at(token)


def _split_at(words: list[_Token]) -> tuple[bytes, bytes]:
    """Local part and domain around the last "@"."""
    for index in range(len(words) - 1, -1, -1):
        if _is_at(words[index]):
            return b"".join(t.text for t in words[:index]), b"".join(t.text for t in words[index + 1 :])
    return b"".join(t.text for t in words), b""
