"""Text as it is compared: i;unicode-casemap (RFC 5051), which SEARCH, SORT and THREAD stand on (RFC 5255 section 4.6, RFC 5256).

    fold("Äpfel") == fold("a\\u0308PFEL")

Every character is put in title case and decomposed until neither changes it. Each is mapped for itself, so that
`fold(a + b) == fold(a) + fold(b)`: a substring stays one, and long text may be folded in pieces. The result is UTF-8:
its octets order as the collation orders, and searching octets finds whole characters only.
"""

import unicodedata
from typing import Final

__all__ = ["fold", "fold_ascii"]

_FEW: Final = 16
"""Up to so many different characters beyond ASCII are put in one at a time: German, 11 ns a character; Russian, 55 ns."""


class _Folded(dict[int, str]):
    """By code point; worked out when it is first asked for."""

    def __missing__(self, code: int) -> str:
        text = chr(code)
        while (further := "".join(map(_step, text))) != text:
            text = further
        self[code] = text
        return text


def _step(character: str) -> str:
    """Section 2: the title case, else the decomposition, of the character database (not of SpecialCasing: one for one)."""
    title = character.title()
    if len(title) == 1 and title != character:
        return title
    decomposition = unicodedata.decomposition(character)
    if not decomposition:
        return character
    return "".join([chr(int(code, 16)) for code in decomposition.split() if not code.startswith("<")])


_FOLDED: Final = _Folded()


def fold(text: str) -> bytes:
    """The form under which two texts are the same. Lone surrogates become question marks."""
    if not text.isascii():
        others = [character for character in set(text) if character > "\x7f"]
        if len(others) > _FEW:
            text = text.translate(_FOLDED)
        else:
            for character in others:  # in any order: what comes out folds to itself
                text = text.replace(character, _FOLDED[ord(character)])
    return text.encode("utf-8", "replace").upper()  # octets: only ASCII is put in upper case here


def fold_ascii(octets: bytes) -> bytes:
    """The same for text that is known to be ASCII."""
    return octets.upper()
