"""Which messages hold a text: the index is asked for those that it knows, the others are read, once for all texts of a query.

Where only fields are looked at, ordinary headers are not parsed: what is kept beside the message (`message.usual`) or its first
octets are searched for fields of these names (`message.glance`).
"""

import re
from bisect import bisect_right
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Final

from postwren.mailstore import query as q
from postwren.mailstore.errors import TextIndexFailed
from postwren.mailstore.neighbours import Windows, read_neighbours
from postwren.mailstore.port import Reader, TextIndex
from postwren.mailstore.service.keys import MOST_OCTETS, DigestColumns, ReadBody, read_email
from postwren.message.encodedword import decode_words
from postwren.message.fold import fold
from postwren.message.glance import fields_of, header_block
from postwren.message.header import read_header
from postwren.message.part import parse_parts
from postwren.message.searchtext import NO_TEXT, Needle, Place, SearchText, folded_body, folded_header, holds, search_text
from postwren.message.usual import USUAL_FIELDS
from postwren.terms import AccountId, EmailId

__all__ = ["TextCondition", "Texts", "needle_of"]

TextCondition = q.Header | q.Body | q.Text
ASKED_AT_ONCE: Final = 4_096
READ_AT_ONCE: Final = 16
HEADERS_AT_ONCE: Final = 256
_NAME: Final = re.compile(rb"[!-9;-~]+")
HEADER_OCTETS: Final = (16 << 10, 1 << 20, MOST_OCTETS)
"""Of a message whose header alone is wanted: as much as holds most, then more."""


def needle_of(condition: TextCondition) -> Needle:
    """What a condition looks for."""
    match condition:
        case q.Header(name, text):
            return Needle(Place.FIELD, fold(text), fold(name))
        case q.Body(text):
            return Needle(Place.BODY, fold(text))
        case q.Text(text):
            return Needle(Place.ANYWHERE, fold(text))


class Texts:
    """For one query. `reader` is to be set before each step."""

    def __init__(
        self,
        read_body: ReadBody,
        index: TextIndex | None,
        account_id: AccountId,
        query: q.Query,
        windows: Windows | None = None,
        digests: DigestColumns | None = None,
    ) -> None:
        self._windows = windows  # both or none: without them messages are read one by one
        self._digests = digests
        self._read_body = read_body
        self._index = index
        self._account_id = account_id
        needles = [needle_of(node) for node in q.nodes(query) if isinstance(node, TextCondition)]
        self._needles = list(dict.fromkeys(needles))
        self._is_header_enough = all(needle.place is Place.FIELD for needle in needles)
        self._is_body_enough = all(needle.place is Place.BODY for needle in needles)
        self._read: dict[EmailId, int] = {}  # of messages that were read: a bit a needle
        self._in_headers: dict[EmailId, int] = {}  # the same of needles of fields, of messages of which only these were looked at
        fields = [(1 << bit, needle) for bit, needle in enumerate(self._needles) if needle.place is Place.FIELD]
        self._fields = [(bit, each.field, each.text) for bit, each in fields]
        self._names = frozenset(each.field.lower() for _, each in fields)
        self._are_names_usual = self._names <= USUAL_FIELDS
        self._is_glance_enough = windows is not None and all(map(_NAME.fullmatch, self._names))
        self.reader: Reader | None = None

    def holding(self, needle: Needle, email_ids: list[EmailId]) -> "Generator[None, None, set[EmailId]]":
        """Those of the ascending ids whose messages hold the needle."""
        if needle.place is not Place.FIELD and not needle.text:
            return set(email_ids)
        found: set[EmailId] = set()
        unread = email_ids
        if self._index is not None:
            with suppress(TextIndexFailed):  # then all of them are read
                unread = yield from self._ask(self._index, needle, email_ids, found)
        bit = 1 << self._needles.index(needle)
        if needle.place is Place.FIELD and self._is_glance_enough:
            for start in range(0, len(unread), HEADERS_AT_ONCE):
                some = unread[start : start + HEADERS_AT_ONCE]
                self._look_at_headers([each for each in some if each not in self._in_headers and each not in self._read])
                found.update([each for each in some if self._in_headers.get(each, 0) & bit])
                yield
            unread = [each for each in unread if each not in self._in_headers]
        for start in range(0, len(unread), READ_AT_ONCE):
            some = unread[start : start + READ_AT_ONCE]
            found.update([each for each in some if self._held(each) & bit])
            yield
        return found

    def _ask(
        self, index: TextIndex, needle: Needle, email_ids: list[EmailId], found: set[EmailId]
    ) -> "Generator[None, None, list[EmailId]]":
        """Put what the index finds into `found`; what it does not know of is returned."""
        indexed = email_ids[: bisect_right(email_ids, index.indexed_up_to(self._account_id))]
        too_long = index.too_long(self._account_id)
        known = [each for each in indexed if each not in too_long] if too_long else indexed
        for start in range(0, len(known), ASKED_AT_ONCE):
            found |= index.find(self._account_id, needle, known[start : start + ASKED_AT_ONCE])
            yield
        return [each for each in indexed if each in too_long] + email_ids[len(indexed) :]

    def _look_at_headers(self, email_ids: list[EmailId]) -> None:
        """Judge all needles of fields in these, where they are ordinary."""
        assert self.reader is not None
        assert self._windows is not None
        rows: Sequence[tuple[bytes | None] | None] = [None] * len(email_ids)
        if self._are_names_usual and self._digests is not None:
            rows = self._digests.columns(self._account_id, email_ids, ("header",))
        blocks = {email_id: row[0] for email_id, row in zip(email_ids, rows, strict=True) if row is not None}
        emails = self.reader.emails_of(self._account_id, [each for each in email_ids if each not in blocks])
        for at, octets in read_neighbours(self._windows, [email.body for email in emails]):
            blocks[emails[at].email_id] = None if octets is None else header_block(octets)
        for email_id, block in blocks.items():
            if block is not None:
                self._in_headers[email_id] = self._held_in(block)

    def _held_in(self, block: bytes) -> int:
        held = 0
        for name, value in fields_of(block, self._names):
            folded = b" " + (value.upper() if b"=?" not in value and value.isascii() else fold(decode_words(value)))
            for bit, field, text in self._fields:
                if field == name and text in folded:
                    held |= bit
        return held

    def _held(self, email_id: EmailId) -> int:
        held = self._read.get(email_id)
        if held is None:
            texts = self._texts_of(email_id)
            held = sum(1 << bit for bit, needle in enumerate(self._needles) if holds(texts, needle))
            self._read[email_id] = held
        return held

    def _texts_of(self, email_id: EmailId) -> SearchText:
        assert self.reader is not None
        if self._is_header_enough:
            return self._header_of(self.reader, email_id)
        octets = read_email(self.reader, self._read_body, self._account_id, email_id)
        if octets is None:
            return NO_TEXT
        if self._is_body_enough:
            return SearchText(b"", b"", folded_body(octets, parse_parts(octets)))
        return search_text(octets)

    def _header_of(self, reader: Reader, email_id: EmailId) -> SearchText:
        for length in HEADER_OCTETS:
            octets = read_email(reader, self._read_body, self._account_id, email_id, length)
            if octets is None:
                return NO_TEXT
            header = read_header(octets)
            if len(octets) < length or header.end < len(octets):
                break
        return SearchText(folded_header(header), b"", b"")
