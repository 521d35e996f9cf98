"""Lines in the manner of real servers that break the grammar, and what we make of them. A strict reader takes none."""

from typing import Any

import pytest

from postwren.protocols.imap import code as codes
from postwren.protocols.imap.response import Status, Tagged, Unreadable, parse_response
from postwren.protocols.imap.response.body import BodyPart, BodyStructure, Disposition
from postwren.protocols.imap.response.condition import Condition, Continuation
from postwren.protocols.imap.response.fetch import Fetched
from postwren.protocols.imap.response.list import ListEntry, MailboxStatus
from postwren.protocols.imap.response.search import SearchResult
from postwren.protocols.imap.response.sharing import Quota
from postwren.protocols.imap.response.size import Exists, FlagList

AT = 1_549_021_953  # 1 Feb 2019 11:52:33 UTC


@pytest.mark.parametrize(
    ("line", "response"),
    [
        ("*  3   EXISTS", Exists(3)),
        ("* SEARCH 1 2 3 ", SearchResult((1, 2, 3))),  # David.fx
        ("* SEARCH ", SearchResult(())),
        ("* SEARCH  4", SearchResult((4,))),
        ("a OK", Tagged("a", Status.OK, "")),
        ("* OK [UNSEEN 25]", Condition(Status.OK, "", codes.Unseen(25))),  # QQ; IMAP4rev2 asks for the space
        ("* OK[ALERT] x", Condition(Status.OK, "x", codes.ALERT)),
        ("* OK [UIDVALIDITY  9]x", Condition(Status.OK, "x", codes.UidValidityCode(9))),
        ("* OK [BROKEN ", None),
        ("* OK [UIDNEXT x] y", Condition(Status.OK, "y", codes.Other("UIDNEXT", "x"))),
        ("a OK APPENDUID 5 7 done", Tagged("a", Status.OK, "APPENDUID 5 7 done", codes.AppendUid(5, ((7, 7),)))),
        ("* FLAGS (\\Seen \\Answered )", FlagList(("\\Seen", "\\Answered"))),
        ("* FLAGS NIL", FlagList(())),
        ('* FLAGS ("\\\\Deleted" \\Seen)', FlagList(("\\Deleted", "\\Seen"))),  # InterMail
        ("* FLAGS (OIB-Seen-[Gmail]/All Mail)", FlagList(("OIB-Seen-[Gmail]/All", "Mail"))),  # Gmail
        ('* LIST (\\HasNoChildren) "/" [Gmail]/All Mail', ListEntry("[Gmail]/All Mail", "/", ("\\HasNoChildren",))),
        ('* LIST () "/" INBOX/Da\tOggetto\tCategorie\t', ListEntry("INBOX/Da\tOggetto\tCategorie\t")),  # Exchange
        ('* LIST () "/" Archiv (2010)', ListEntry("Archiv (2010)")),
        ('* LIST () "/" "Entwürfe"', ListEntry("Entwürfe")),
        ('* LIST () "" INBOX', ListEntry("INBOX", None)),
        ('* list () "/" inbox', ListEntry("INBOX")),
        ('* XLIST (\\HasNoChildren \\Sent) "/" "Sent"', ListEntry("Sent", "/", ("\\HasNoChildren", "\\Sent"))),  # Gmail, once
        ('* LIST () "/" "a&b"', ListEntry("a&b")),
        ("* STATUS INBOX (MESSAGES 1 UIDNEXT 2 )", MailboxStatus("INBOX", ())),
        ('* QUOTA "" ()', Quota("", ())),
        ("* 11487 FETCH (UID 19436 )", Fetched(11487, uid=19436)),  # QQ
        ("* 1 FETCH ( FLAGS () UID 3)", Fetched(1, uid=3, flags=())),
        ("* 1 FETCH (RFC822.SIZE -1)", Fetched(1, size=0)),
        ('* 1 FETCH (X-GM-MSGID 12 X-GM-LABELS ("\\\\Sent" a) UID 2)', Fetched(1, uid=2)),  # Gmail
        ('* 1 FETCH (INTERNALDATE "1-Feb-2019 11:52:33 +0000")', Fetched(1, internaldate=AT)),
        ('* 1 FETCH (INTERNALDATE "01-Feb-2019 12:52:33 +01:00")', Fetched(1, internaldate=AT)),
        ('* 1 FETCH (INTERNALDATE "01-Feb-2019 11:52:33")', Fetched(1, internaldate=AT)),
        ("+", Continuation("", b"")),  # Exchange
        ("+OK", Continuation("OK", None)),
    ],
)
def test_other_servers_are_understood(line: str, response: Any) -> None:
    read = parse_response(line.encode())
    if response is None:
        assert isinstance(read, Unreadable)
    elif isinstance(response, MailboxStatus):
        assert isinstance(read, MailboxStatus)
        assert [value for _, value in read.items] == [1, 2]
    else:
        assert read == response
    assert parse_response(line.encode(), is_strict=True) != response or "UNSEEN" in line or "QUOTA" in line or "inbox" in line


def body(structure: str) -> BodyStructure:
    read = parse_response(b"* 1 FETCH (UID 7 BODYSTRUCTURE " + structure.encode() + b" FLAGS ())")
    assert isinstance(read, Fetched), read
    assert (read.uid, read.flags) == (7, ())
    assert read.bodystructure is not None
    assert isinstance(parse_response(b"* 1 FETCH (BODYSTRUCTURE " + structure.encode() + b")", is_strict=True), Unreadable)
    return read.bodystructure


def kinds(structure: BodyStructure) -> list[tuple[int, bytes]]:
    return [(part.depth, part.maintype.lower() + b"/" + part.subtype.lower()) for part in structure]


def test_a_parameter_without_value() -> None:  # mail.ru
    structure = body('(("text" "plain" NIL NIL NIL "8bit" 5 0 NIL NIL NIL NIL) "alternative" ("boundary" NIL))')
    assert structure[0].parameters == ((b"boundary", b""),)


def test_a_disposition_without_parentheses() -> None:  # Exchange
    (part,) = body('("text" "plain" NIL NIL NIL "7bit" 850 31 NIL "inline" NIL NIL)')
    assert part.extension is not None
    assert part.extension.disposition == Disposition(b"inline")


@pytest.mark.parametrize("empty", ['("ALTERNATIVE")', '(NIL "ALTERNATIVE")', '("ALTERNATIVE" ("boundary" "x") NIL)'])
def test_a_multipart_without_parts(empty: str) -> None:  # Gmail
    envelope = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    structure = body(
        f'(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 2 {envelope} {empty} 51) "REPORT")'
    )
    assert kinds(structure) == [
        (0, b"multipart/report"),
        (1, b"text/plain"),
        (1, b"message/rfc822"),
        (2, b"multipart/alternative"),
    ]
    assert structure[2].lines == 51


def test_spaces_and_nothing_at_all() -> None:  # Domino
    inner = '("message" "rfc822"  NIL NIL NIL "7BIT" 787 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) () 0 NIL NIL NIL)'
    structure = body(
        f'(("text" "plain"  ("charset" "UTF-8") NIL NIL "base64" 232 4 NIL NIL NIL) {inner} "report" ("a" "b") NIL NIL)'
    )
    assert kinds(structure)[:3] == [(0, b"multipart/report"), (1, b"text/plain"), (1, b"message/rfc822")]


def test_a_message_without_its_envelope() -> None:  # Gmail, where the message is encoded
    (part,) = body('("MESSAGE" "RFC822" ("NAME" "x.eml") NIL NIL "BASE64" 5000 NIL ("ATTACHMENT" ("FILENAME" "x.eml")) NIL NIL)')
    assert (part.envelope, part.size) == (None, 5000)
    assert part.extension is not None
    assert part.extension.disposition == Disposition(b"ATTACHMENT", ((b"FILENAME", b"x.eml"),))


def test_quotation_marks_that_are_not_escaped() -> None:  # NetEase
    structure = body(
        '(("text" "html"" NIL NIL NIL "8bit" 7 1)("application" "pdf" ("name" "a"b") NIL """" "base64" 65322) "MIXED")'
    )
    assert structure[1].subtype == b'html"'
    assert structure[2].description == b'""'


def test_lines_that_nobody_counted() -> None:  # Exchange, Yahoo
    for lines in ("-1", "NIL", '"0"'):
        assert body(f'("text" "plain" NIL NIL NIL "7bit" 5 {lines})')[0].lines == 0


def test_an_item_in_parentheses_of_its_own() -> None:  # Domino
    read = parse_response(b"* 2 FETCH (UID 14935 (ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)) RFC822.SIZE 3)")
    assert isinstance(read, Fetched)
    assert (read.uid, read.size, read.envelope is not None) == (14935, 3, True)


def test_a_literal_that_is_longer_than_what_it_announced() -> None:
    read = parse_response(b"* 9 FETCH (UID 17 BODY[] {4}\r\nBODY")
    assert isinstance(read, Fetched)
    assert (read.uid, read.sections[0].octets) == (17, b"BODY")


def test_an_empty_list_of_addresses_and_short_envelopes() -> None:
    read = parse_response(b'* 1 FETCH (ENVELOPE (12 "s" () (("a" NIL "b")) NIL NIL NIL NIL NIL))')
    assert isinstance(read, Fetched)
    assert read.envelope is not None
    assert (read.envelope.date, read.envelope.subject, read.envelope.from_, read.envelope.sender) == (b"12", b"s", (), ())


def test_numbers_that_matter_are_not_guessed() -> None:
    for line in (
        b"* 1 FETCH (UID -1)",
        b"* 1 FETCH (UID 99999999999)",
        b"* 0 EXPUNGE",
        b"* 4294967296 EXISTS",
        b"* VANISHED 3:*",
    ):
        assert isinstance(parse_response(line), Unreadable), line
    assert parse_response(b"a OK [COPYUID 0 1:2 ] x") == Tagged("a", Status.OK, "x", codes.Other("COPYUID", "0 1:2"))


def test_a_body_of_depth_200_is_read() -> None:
    nested = "(" * 200 + '("text" "plain" NIL NIL NIL "7bit" 1 1)' + ' "mixed")' * 200
    read = parse_response(b"* 1 FETCH (BODY " + nested.encode() + b")", is_strict=True)
    assert isinstance(read, Fetched)
    assert read.body is not None
    assert read.body[-1] == BodyPart(200, b"text", b"plain", (), None, None, b"7bit", 1, 1)
