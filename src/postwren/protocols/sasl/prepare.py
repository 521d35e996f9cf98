"""SASLprep (RFC 4013): names and passwords that people see as the same become the same.

One departure: code points that Unicode 3.2 does not know pass in stored strings too (section 2.5 lets only queries
have them), since people put newer characters into passwords. Both sides of a comparison take the same road.
"""

import stringprep
import unicodedata
from collections.abc import Callable
from typing import Final

__all__ = ["NotPreparable", "saslprep"]

_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (  # RFC 4013 section 2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class NotPreparable(ValueError):
    """The text holds what no name or password may: control characters, mixed directions, or nothing at all."""


def saslprep(text: str) -> str:
    """The prepared form; raises `NotPreparable`."""
    if text.isascii():
        if not text or not text.isprintable():
            raise NotPreparable
        return text
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))  # section 2.1
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)  # section 2.2
    if not prepared or any(refuses(c) for c in prepared for refuses in _PROHIBITED):
        raise NotPreparable
    _check_directions(prepared)
    return prepared


def _check_directions(text: str) -> None:
    """RFC 3454 section 6: right-to-left text begins and ends so, and holds nothing left-to-right."""
    if not any(map(stringprep.in_table_d1, text)):
        return
    if any(map(stringprep.in_table_d2, text)):
        raise NotPreparable
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise NotPreparable
