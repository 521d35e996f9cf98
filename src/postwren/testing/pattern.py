"""What a dialogue expects of an answer: text with placeholders, names that were kept, and the grammar of plain lines.

A placeholder stands in braces: `{}` any text, `{v=}` keeps it, `{v}` is what was kept, `{v+1}` and `{v-1}` count from it,
`{w>v}` keeps a number above v, `{>v}` only compares, `{a|b}` is one of several. `script` describes the whole language.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

__all__ = ["LINES", "Grammar", "Names", "fill", "matches_text", "unescape"]

Names = Mapping[str, bytes]
_KEPT: Final = re.compile(rb"\{([a-z]\w*)([+-]\d+)?\}")
_PLACEHOLDER: Final = re.compile(rb"\{(?:|([a-z]\w*)=|([a-z]\w*)?>([a-z]\w*)|([^{}|]*(?:\|[^{}|]*)+))\}")
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|[rnt\\])")
_SHORT: Final = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


class Grammar(Protocol):
    """How a server's octets are cut into answers, and what makes an answer the expected one."""

    def cut(self, heard: bytes) -> int:
        """Octets of the first answer without its line end, or -1 while it is not whole."""

    def match(self, pattern: bytes, answer: bytes, names: Names) -> dict[str, bytes] | None:
        """The names that are kept now (none is {}), or None where the answer is another."""

    def is_noise(self, answer: bytes) -> bool:
        """Whether a server may say this at any time, so that only a script which asks for it sees it."""

    def goes_on(self, answer: bytes) -> bool:
        """Whether more may follow that belongs to it, so that it may be skipped (a tagged response may not)."""

    def expunged(self, answer: bytes) -> int | None:
        """The number that goes, where the answer says that a message is gone."""


def unescape(data: bytes) -> bytes:
    r"""Undo \r \n \t \\ and \xHH."""
    return _ESCAPE.sub(lambda found: _SHORT.get(found[1]) or bytes([int(found[1][1:], 16)]), data)


def fill(data: bytes, names: Names) -> bytes:
    """Put kept names in; one that nobody kept stays as it is (`{abc}` may be meant)."""

    def value(found: re.Match[bytes]) -> bytes:
        kept = names.get(found[1].decode())
        if kept is None:
            return found[0]
        return b"%d" % (int(kept) + int(found[2])) if found[2] else kept

    return _KEPT.sub(value, data)


def matches_text(pattern: bytes, text: bytes, names: Names) -> dict[str, bytes] | None:
    """Match text against a pattern whose names are filled in; what it keeps, or None."""
    expression, kept, above = b"", [], []
    place = 0
    for found in _PLACEHOLDER.finditer(pattern):
        expression += re.escape(pattern[place : found.start()])
        place = found.end()
        if found[3]:
            expression += rb"(\d+)"
            kept.append((found[2] or b"").decode())
            above.append(int(names[found[3].decode()]))
        elif found[4]:
            expression += b"(?:" + b"|".join(map(re.escape, found[4].split(b"|"))) + b")"
        elif found[1]:
            expression += b"(.*?)"
            kept.append(found[1].decode())
            above.append(-1)
        else:
            expression += b".*?"
    match = re.fullmatch(expression + re.escape(pattern[place:]), text, re.DOTALL)
    if match is None:
        return None
    if any(low >= 0 and int(value) <= low for low, value in zip(above, match.groups(), strict=True)):
        return None
    return {name: value for name, value in zip(kept, match.groups(), strict=True) if name}


class _Lines:
    """An answer is a line."""

    def cut(self, heard: bytes) -> int:
        return heard.find(b"\r\n")

    def match(self, pattern: bytes, answer: bytes, names: Names) -> dict[str, bytes] | None:
        pattern = fill(pattern, names)
        kept = matches_text(pattern, answer, names)
        return matches_text(pattern[:-3], answer, names) if kept is None and pattern.endswith(b" {}") else kept

    def is_noise(self, answer: bytes) -> bool:
        return False

    def goes_on(self, answer: bytes) -> bool:
        return True

    def expunged(self, answer: bytes) -> int | None:
        return None


LINES: Final[Grammar] = _Lines()
