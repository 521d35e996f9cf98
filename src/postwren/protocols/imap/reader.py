"""The words of responses: `primitive.Scanner` with the tolerances of `quirk`, and with literals whose octets streamed past.

`tree` reads any parenthesized value without recursion; ENVELOPE, BODYSTRUCTURE, NAMESPACE and the like are made of trees.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.protocols.imap import mailboxname, quirk
from postwren.protocols.imap.fault import Fault, Unparsable
from postwren.protocols.imap.flag import decode_flag
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.numset import STAR
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.value import Ranges

__all__ = ["Reader", "Streamed", "Tree"]

Tree: TypeAlias = bytes | int | None | list["Tree"]
"""A string, a number, NIL, or a list of these."""

_NESTING: Final = Limits(depth=512, items=2_000_000)
"""Of one response, whose octets are bounded where they come in. Our own structures are 100 parts deep, others' may be deeper."""
_TOKEN: Final = re.compile(
    rb'(\()|(\))|"([^"\\\r\n\x00]*+(?:\\["\\][^"\\\r\n\x00]*+)*+)"(?=[ )\r]|\Z)|(~?\{[0-9]{1,20}\}\r\n)|([0-9]{1,20}(?=[ )]|\Z))'
    rb"|([Nn][Ii][Ll](?=[ )]|\Z))|( )"
)
_OPEN, _CLOSE, _STRING, _LITERAL, _NUMBER, _NIL, _SPACE = range(1, 8)
_NUMBERS: Final = re.compile(rb"(?: [0-9]{1,19})*+")
_FLAG_PERM: Final = re.compile(
    rb"\((?:\\\*|\\?[^\x00-\x20\x7f-\xff(){%*\"\\\]]+)?(?: (?:\\\*|\\?[^\x00-\x20\x7f-\xff(){%*\"\\\]]+))*+\)"
)


@dataclass(frozen=True, slots=True)
class Streamed:
    """The octets came before, as events of the client; here is how many they were."""

    size: int


class Reader(Scanner):
    """One response. `streamed`: positions in the text behind announcements whose octets are not in it, with their sizes."""

    __slots__ = ("is_strict", "streamed")

    def __init__(
        self,
        text: bytes,
        position: int = 0,
        *,
        is_utf8: bool = False,
        is_strict: bool = False,
        streamed: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__(text, position, is_utf8=is_utf8, limits=_NESTING)
        self.is_strict = is_strict
        self.streamed = streamed or {}

    def space(self) -> None:
        """SP"""
        if self.is_strict:
            super().space()
        else:
            self.match(quirk.SPACES)

    def end(self) -> None:
        """Nothing is left but what may be ignored."""
        if self.is_strict:
            super().end()

    def string(self) -> bytes:
        """string"""
        if self.is_strict:
            return super().string()
        if self.is_at(b'"'):
            return quirk.unescape(self.match(quirk.QUOTED)[1])
        if self.is_at(b"{") or self.is_at(b"~{"):
            return self.literal(is_binary=True)
        return bytes(self.match(quirk.WORD)[0])

    def astring(self) -> bytes:
        """astring"""
        return super().astring() if self.is_strict else self.string()

    def nstring(self) -> bytes | None:
        """nstring, and literal8"""
        if self.nil():
            return None
        return self.literal(is_binary=True) if self.is_at(b"~{") else self.string()

    def octets(self) -> bytes | Streamed | None:
        """nstring / literal8, whose octets may have streamed past."""
        if self.streamed and (self.is_at(b"{") or self.is_at(b"~{")):
            start = self.text.find(b"\n", self.position) + 1
            if start in self.streamed:
                self.position = start
                return Streamed(self.streamed[start])
        return self.nstring()

    def text_of(self, octets: bytes | None) -> str | None:
        """UTF-8, or what can be read of it."""
        return None if octets is None else octets.decode("utf-8", "strict" if self.is_strict else "replace")

    def ntext(self) -> str | None:
        """nstring as text."""
        return self.text_of(self.nstring())

    def atext(self) -> str:
        """astring as text."""
        return self.astring().decode("utf-8", "strict" if self.is_strict else "replace")

    def size(self) -> int:
        """number64 of something that does not matter when it is wrong."""
        return self.number64() if self.is_strict else quirk.number(self.match(quirk.LOOSE_NUMBER)[1])

    def ranges(self) -> Ranges:
        """uid-set; each range with its smaller number first."""
        numbers = self.known_set()
        if not isinstance(numbers, tuple) or any(STAR in pair for pair in numbers):
            raise Unparsable
        return tuple((low, high) if low <= high else (high, low) for low, high in numbers)

    def numbers(self) -> tuple[int, ...]:
        """*(SP number)"""
        if self.is_strict:
            return tuple(map(int, self.match(_NUMBERS)[0].split()))
        return tuple(map(int, self.match(re.compile(rb"[0-9 ]*+"))[0].split()))

    def mailbox(self) -> str:
        """mailbox"""
        octets = self.astring()
        if octets[:5].upper() == b"INBOX" and len(octets) == 5:
            return "INBOX"
        return mailboxname.decode(octets, is_utf8=self.is_utf8) if self.is_strict else quirk.mailbox_name(octets, self.is_utf8)

    def flag_list(self) -> tuple[str, ...]:
        """flag-list, with flag-perm among them"""
        if self.is_strict:
            words: list[bytes] = self.match(_FLAG_PERM)[0][1:-1].split()
        else:
            self.space()
            words = (self.match(quirk.FLAGS)[1] or b"").split()
            if any(word.startswith(b'"') for word in words):
                words = quirk.unquoted_flags(words)
        return tuple([decode_flag(word) if word.isascii() else quirk.flag(word) for word in words])

    def date_time(self) -> int:
        """date-time"""
        if self.is_strict:
            return super().date_time()
        match = quirk.match_date_time(self.text, self.position)
        at = quirk.loose_date_time(match)
        self.position = match.end() if match else self.position
        return at

    def words(self) -> tuple[str, ...]:
        """*(SP atom), to the end of the line"""
        rest = self.text[self.position :]
        self.position = len(self.text)
        words = rest.split(b" ")
        if self.is_strict and (words[0] or not all(words[1:])):
            raise Unparsable
        return tuple([word.decode("ascii", "strict" if self.is_strict else "replace") for word in words if word])

    def tree(self, *, has_atoms: bool = False) -> Tree:
        """One value: string, number, NIL or list. Strings that are none (atoms) are taken as such where quirks are. Without
        recursion."""
        root: list[Tree] = []
        lists = [root]
        had_space = True  # nothing has to stand before the next value
        while True:
            kind, value = self._token(has_atoms)
            if kind == _SPACE:
                self._check(not had_space)
                had_space = True
                continue
            if kind == _CLOSE:
                self._check(not had_space or not lists[-1])
                lists.pop()
                if not lists:
                    raise Unparsable
                had_space = False
            elif kind == _OPEN:
                inner: list[Tree] = []
                self._check(had_space or isinstance(lists[-1][-1], list))
                lists[-1].append(inner)
                lists.append(inner)
                self.check_depth(len(lists))
                had_space = True
            else:
                self._check(had_space)
                lists[-1].append(value)
                had_space = False
            if len(lists) == 1 and root:
                return root[0]
            self.count()

    def _check(self, is_right: bool) -> None:
        if self.is_strict and not is_right:
            raise Unparsable

    def _token(self, has_atoms: bool) -> tuple[int, Tree]:
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            return _STRING, self._odd_string(has_atoms)
        kind = match.lastindex or 0
        if kind == _LITERAL:
            return kind, self.literal(is_binary=True)
        self.position = match.end()
        if kind == _STRING:
            quoted = match[_STRING]
            if self.is_strict and not quoted.isascii() and not self.is_utf8:
                raise Unparsable
            return kind, quirk.unescape(quoted)
        return kind, int(match[_NUMBER]) if kind == _NUMBER else None

    def _odd_string(self, has_atoms: bool) -> bytes:
        if self.is_strict:
            if not has_atoms:
                raise Unparsable
            return self.astring()  # tagged-ext-comp: `]` too (RFC 9051 section 9)
        if self.is_at(b"\t"):
            self.space()
        return self.string()

    def list_of(self, *, has_atoms: bool = False) -> list[Tree]:
        """A tree that must be a list; NIL is an empty one."""
        tree = self.tree(has_atoms=has_atoms)
        if tree is None:
            return []
        if not isinstance(tree, list):
            raise Unparsable(Fault.SYNTAX)
        return tree
