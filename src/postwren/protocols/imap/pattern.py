"""LIST's patterns (RFC 9051 section 6.3.9): `*` is anything, `%` anything within one level. Linear in the name, whatever the
pattern
(A-43): all places in the pattern that can have been reached are bits of one number.
"""

from collections import defaultdict
from typing import Final

__all__ = ["MailboxPattern"]

_SEPARATOR: Final = "/"


class MailboxPattern:
    """One pattern. INBOX at its beginning matches in any case."""

    __slots__ = ("_any", "_end", "_letters", "_level", "text")

    def __init__(self, text: str) -> None:
        first, slash, rest = text.partition(_SEPARATOR)
        if first.upper() == "INBOX":
            text = "INBOX" + slash + rest
        self.text = text
        self._letters: dict[str, int] = defaultdict(int)  # by character: the places where it is awaited
        self._any = self._level = 0  # the places of * and of %
        place = 0
        for letter in text:
            if letter == "*":
                self._any |= 1 << place
            elif letter == "%":
                self._level |= 1 << place
            else:
                self._letters[letter] |= 1 << place
            place += 1
        self._end = 1 << place

    @property
    def has_wildcard(self) -> bool:
        """Whether more than one name can match."""
        return bool(self._any | self._level)

    def matches(self, name: str) -> bool:
        """Whether all of the name fits."""
        wild = self._any | self._level
        reached = self._closed(1, wild)
        for letter in name:
            stays = self._any if letter == _SEPARATOR else wild
            reached = self._closed((reached & stays) | ((reached & self._letters.get(letter, 0)) << 1), wild)
            if not reached:
                return False
        return bool(reached & self._end)

    @staticmethod
    def _closed(reached: int, wild: int) -> int:
        """A wildcard may stand for nothing."""
        while more := ((reached & wild) << 1) & ~reached:
            reached |= more
        return reached
