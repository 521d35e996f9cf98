"""Whom From and Sender name, read strictly (RFC 5322 section 3.4 and 3.6.2, RFC 6532): what a submission may say.

    mailbox-list = (mailbox *("," mailbox))      mailbox = name-addr / addr-spec

`address.parse_addresses` makes something of everything, and so does every reader in its own way: that is how one header shows
different authors to different readers (A-25). Here a value is of the grammar or refused. Of the obsolete forms (section 4.4) only
dots in a phrase are read, of comments only a plain one behind an address without brackets: `ann@example.org (Ann Lee)`.
"""

import re
from typing import Final, NamedTuple

from postwren.message.encodedword import decode_words
from postwren.message.limits import DEFAULT_LIMITS, Limits

__all__ = ["Author", "AuthorInvalid", "parse_authors"]

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]"
_QUOTED: Final = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[ -~\t])*+"'
_ADDR_SPEC: Final = rf"(?:{_ATEXT}++(?:\.{_ATEXT}++)*+|{_QUOTED})@(?:{_ATEXT}++(?:\.{_ATEXT}++)*+|\[[0-9A-Za-z:.]++\])"
_MAILBOX: Final = re.compile(
    rf"[ \t]*+(?:(?P<name>(?:{_ATEXT}++|{_QUOTED}|[. \t]++)*+)<(?P<angle>{_ADDR_SPEC})>[ \t]*+"
    rf"|(?P<bare>{_ADDR_SPEC})[ \t]*+(?:\((?P<comment>[^()<>@,;:\\\"\x00-\x1f\x7f]*+)\)[ \t]*+)?+)(,|\Z)"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_QUOTING: Final = re.compile(r'\\(.)|"')


class AuthorInvalid(ValueError):
    """The value is no list of mailboxes; the text says what is wrong, for people."""


class Author(NamedTuple):
    """A mailbox: what is shown (decoded, unquoted), and the addr-spec as it is written."""

    name: str
    addr_spec: str


def parse_authors(value: bytes, limits: Limits = DEFAULT_LIMITS) -> list[Author]:
    """The mailboxes of an unfolded value, one at least; AuthorInvalid."""
    if len(value) > limits.header_field:
        raise AuthorInvalid("it is too long")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise AuthorInvalid("it is not UTF-8") from error
    if _CONTROL.search(text):
        raise AuthorInvalid("it holds a control character")
    authors: list[Author] = []
    at, separator = 0, ","
    while separator:
        match = _MAILBOX.match(text, at)
        if match is None:
            raise AuthorInvalid("it is not a list of addresses like Ann Lee <ann@example.org>")
        if len(authors) == limits.addresses:
            raise AuthorInvalid("it has too many addresses")
        authors.append(_author(match))
        at, separator = match.end(), match[5]
    return authors


def _author(match: re.Match[str]) -> Author:
    name = (match["name"] or match["comment"] or "").strip(" \t")
    shown = decode_words(_QUOTING.sub(r"\1", name).encode()) if name else ""
    if _CONTROL.search(shown):
        raise AuthorInvalid("a name in it hides a control character")
    return Author(shown, match["angle"] or match["bare"])
