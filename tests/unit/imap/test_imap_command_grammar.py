"""Commands as they stand on the wire: what is read from them, and what is refused. (What our formatters write is read back in
tests/property/test_imap_commands.py.)

RFC 3501 and 9051, and 2342, 2971, 3348, 3502, 3516, 3691, 4314, 4467, 4469, 4731, 4978, 5032, 5161, 5182, 5256, 5258, 5267, 5464,
5465, 5466, 5524, 5819, 5957, 6154, 6203, 6851, 6855, 7162, 7377, 7889, 8437, 8438, 8440, 8474, 8508, 8514, 8970, 9208, 9394,
9586, 9590.
"""

import pytest
from tests.unit.imap.imap_world import core_in, events

from postwren.protocols.imap.command import Command
from postwren.protocols.imap.command.append import Append, AppendMessage, Replace, Url
from postwren.protocols.imap.command.fetch import Binary, BinarySize, Fetch, Item, Preview, Section, SectionText
from postwren.protocols.imap.command.list import List, ListReturn, ListSelect, Lsub, Status, StatusItem
from postwren.protocols.imap.command.login import Enable, Id
from postwren.protocols.imap.command.mailbox import Create, Rename
from postwren.protocols.imap.command.notify import EventGroup, Notify, NotifyEvent
from postwren.protocols.imap.command.search import (
    And,
    CancelUpdate,
    DateKey,
    DateWhich,
    Esearch,
    FilterKey,
    FlagKey,
    FuzzyKey,
    HeaderKey,
    ModSeqKey,
    Not,
    NumberKey,
    Or,
    ReturnOption,
    Returns,
    Scope,
    ScopeKind,
    Search,
    Sort,
    SortKey,
    TextKey,
    Thread,
    WithinKey,
)
from postwren.protocols.imap.command.select import QresyncState, Select
from postwren.protocols.imap.command.sharing import Depth, GetMetadata, GetQuota, SetAcl, SetMetadata, SetQuota
from postwren.protocols.imap.command.store import Copy, Move, Store, StoreAction, UidExpunge
from postwren.protocols.imap.command.url import GenUrlAuth, ResetKey, UrlFetch, UrlFetchItem
from postwren.protocols.imap.event import CommandReceived, CommandRejected
from postwren.protocols.imap.fault import Fault
from postwren.protocols.imap.numset import SAVED, STAR
from postwren.protocols.imap.state import State

ALL = ((1, STAR),)
SEEN, UNSEEN, DELETED = FlagKey("\\Seen"), FlagKey("\\Seen", is_set=False), FlagKey("\\Deleted")
HEADER_FIELDS = SectionText.HEADER_FIELDS


def search(*keys: object, **fields: object) -> Search:
    key = keys[0] if len(keys) == 1 else And(keys)  # type: ignore[arg-type]
    return Search(**{"is_uid": False, "returns": None, "charset": None, "key": key, **fields})  # type: ignore[arg-type]


READ: list[tuple[bytes, Command]] = [
    # RFC 9051 section 6.3
    (b"ENABLE condstore Utf8=Accept", Enable(("CONDSTORE", "UTF8=ACCEPT"))),
    (b'ID ("name" "sodr" "version" NIL)', Id((("name", "sodr"), ("version", None)))),
    (b"ID NIL", Id(None)),
    (b"ID ()", Id(())),
    (b"SELECT inbox", Select("inbox")),
    (b'EXAMINE "a \\"b\\\\"', Select('a "b\\', is_examine=True)),
    (b"SELECT x (CONDSTORE)", Select("x", condstore=True)),
    (
        b"SELECT x (QRESYNC (67890007 20050715194045000 41,43:211 (1:2 7,9)))",
        Select(
            "x",
            qresync=QresyncState(67890007, 20050715194045000, ((41, 41), (43, 211)), ((1, 2),), ((7, 7), (9, 9))),
        ),
    ),
    (b"SELECT x (QRESYNC (1 2 (1 7)))", Select("x", qresync=QresyncState(1, 2, None, ((1, 1),), ((7, 7),)))),
    (b"SELECT x (QRESYNC (1 2) CONDSTORE)", Select("x", condstore=True, qresync=QresyncState(1, 2))),
    (b"CREATE a/", Create("a/")),
    (b"CREATE a (USE (\\Drafts \\Sent))", Create("a", ("\\Drafts", "\\Sent"))),
    (b"RENAME a &AOk-", Rename("a", "é")),
    (b'LIST "" ""', List("", ("",))),
    (b'LIST "" *', List("", ("*",))),
    (b'LSUB "#news." "comp.mail.*"', Lsub("#news.", "comp.mail.*")),
    (b'LIST () "" %', List("", ("%",), is_extended=True)),
    (b'LIST "" (INBOX "a/%")', List("", ("INBOX", "a/%"), is_extended=True)),
    (
        b'LIST (SUBSCRIBED RECURSIVEMATCH) "" % RETURN (CHILDREN STATUS (MESSAGES MAILBOXID) METADATA ("/private/x"))',
        List(
            "",
            ("%",),
            frozenset({ListSelect.SUBSCRIBED, ListSelect.RECURSIVEMATCH}),
            ListReturn(
                children=True, status=(StatusItem.MESSAGES, StatusItem.MAILBOXID), metadata=("/private/x",)
            ),
            is_extended=True,
        ),
    ),
    (b'LIST "" % RETURN ()', List("", ("%",), returned=ListReturn(), is_extended=True)),
    (
        b'list (special-use) "" "*" return (special-use myrights subscribed)',
        List(
            "",
            ("*",),
            frozenset({ListSelect.SPECIAL_USE}),
            ListReturn(subscribed=True, special_use=True, my_rights=True),
            is_extended=True,
        ),
    ),
    (b"STATUS x (messages DELETED-STORAGE)", Status("x", (StatusItem.MESSAGES, StatusItem.DELETED_STORAGE))),
    # RFC 9051 section 6.4
    (b"UID EXPUNGE 3000:3002", UidExpunge(((3000, 3002),))),
    (b"COPY 2:4 x", Copy(False, ((2, 4),), "x")),
    (b"uid move $ x", Move(True, SAVED, "x")),
    (b"FETCH 2 FAST", Fetch(False, ((2, 2),), (Item.FLAGS, Item.INTERNALDATE, Item.RFC822_SIZE))),
    (b"UID FETCH 1:* body", Fetch(True, ALL, (Item.BODY,))),
    (b"FETCH 1:* RFC822.HEADER", Fetch(False, ALL, (Item.RFC822_HEADER,))),
    (
        b"FETCH 1:* (BODY[] body.peek[1.2.mime]<5.7> BODYSTRUCTURE)",
        Fetch(
            False,
            ALL,
            (
                Section(),
                Section((1, 2), SectionText.MIME, (), (5, 7), is_peek=True, label=b"1.2.MIME"),
                Item.BODYSTRUCTURE,
            ),
        ),
    ),
    (
        b'FETCH 1:* BODY[HEADER.FIELDS (Date "From" "x(y")]',
        Fetch(
            False,
            ALL,
            (Section((), HEADER_FIELDS, (b"date", b"from", b"x(y"), label=b'HEADER.FIELDS (Date From "x(y")'),),
        ),
    ),
    (
        b"FETCH 1:* (BINARY[] BINARY.PEEK[1]<0.9> BINARY.SIZE[2.1] PREVIEW (LAZY) PREVIEW)",
        Fetch(
            False,
            ALL,
            (Binary(()), Binary((1,), (0, 9), is_peek=True), BinarySize((2, 1)), Preview(is_lazy=True), Preview()),
        ),
    ),
    (b"FETCH 1:* PREVIEW", Fetch(False, ALL, (Preview(),))),
    (b"FETCH 1:* PREVIEW (CHANGEDSINCE 7)", Fetch(False, ALL, (Preview(),), changed_since=7)),
    (
        b"UID FETCH 1:* FLAGS (CHANGEDSINCE 12345 VANISHED)",
        Fetch(True, ALL, (Item.FLAGS,), changed_since=12345, vanished=True),
    ),
    (b"UID FETCH 1:* FLAGS (PARTIAL -30:-1)", Fetch(True, ALL, (Item.FLAGS,), partial=(-1, -30))),
    (b"UID FETCH 1:* FLAGS (PARTIAL 30:1)", Fetch(True, ALL, (Item.FLAGS,), partial=(1, 30))),
    (b"STORE 2:4 +FLAGS (\\deleted)", Store(False, ((2, 4),), StoreAction.ADD, ("\\Deleted",))),
    (b"STORE 1 -FLAGS.SILENT $x \\Seen", Store(False, ((1, 1),), StoreAction.REMOVE, ("$x", "\\Seen"), is_silent=True)),
    (b"STORE 1 flags ()", Store(False, ((1, 1),), StoreAction.REPLACE, ())),
    (
        b"UID STORE 1 (UNCHANGEDSINCE 0) FLAGS.SILENT (x)",
        Store(True, ((1, 1),), StoreAction.REPLACE, ("x",), is_silent=True, unchanged_since=0),
    ),
    # SEARCH and what is like it
    (b"SEARCH ALL", search(And(()))),
    (b"SEARCH 1:* UID 7 $", search(NumberKey(ALL, False), NumberKey(((7, 7),), True), NumberKey(SAVED, False))),
    (b"SEARCH (SEEN)", search(SEEN)),
    (b"SEARCH ((SEEN) DELETED) UNSEEN", search(And((SEEN, DELETED)), UNSEEN)),
    (b"SEARCH OR NOT SEEN (DELETED UNSEEN)", search(Or(Not(SEEN), And((DELETED, UNSEEN))))),
    (b"SEARCH OR OR SEEN DELETED NOT NOT UNSEEN", search(Or(Or(SEEN, DELETED), Not(Not(UNSEEN))))),
    (b"SEARCH NEW OLD KEYWORD $x UNKEYWORD y", search(
        And((FlagKey("\\Recent"), UNSEEN)), FlagKey("\\Recent", is_set=False), FlagKey("$x"), FlagKey("y", is_set=False)
    )),
    (b'SEARCH SINCE 1-Feb-1994 SENTON "29-feb-2000" SAVEDBEFORE 02-Jan-1970', search(
        DateKey(DateWhich.INTERNAL, ">=", 8797), DateKey(DateWhich.SENT, "=", 11016), DateKey(DateWhich.SAVED, "<", 1)
    )),
    (b'SEARCH FROM "Smith" HEADER X-Y "" TEXT {4+}\r\n\xc3\xa9\r\n', search(
        HeaderKey("from", "Smith"), HeaderKey("x-y", ""), TextKey(is_body=False, text="é\r\n")
    )),
    (b"SEARCH YOUNGER 259200 FUZZY BODY x FILTER on-the-road", search(
        WithinKey(is_younger=True, seconds=259200), FuzzyKey(TextKey(is_body=True, text="x")), FilterKey("on-the-road")
    )),
    (b'SEARCH MODSEQ "/flags/\\\\draft" all 620162338', search(ModSeqKey(620162338))),
    (b"SEARCH MODSEQ 0", search(ModSeqKey(0))),
    (b"SEARCH CHARSET utf-8 TEXT {2+}\r\n\xc3\xa9", search(TextKey(is_body=False, text="é"), charset="UTF-8")),
    (b"SEARCH CHARSET KOI8-R TEXT {2+}\r\n\xc3\xa9", search(TextKey(is_body=False, text="Ã©"), charset="KOI8-R")),
    (b"SEARCH RETURN () ALL", search(And(()), returns=Returns(frozenset({ReturnOption.ALL})))),
    (
        b"UID SEARCH RETURN (min SAVE PARTIAL 500:1) CHARSET US-ASCII SEEN",
        search(
            SEEN,
            is_uid=True,
            charset="US-ASCII",
            returns=Returns(frozenset({ReturnOption.MIN, ReturnOption.SAVE}), (1, 500)),
        ),
    ),
    (
        b"SORT (SUBJECT REVERSE DATE) UTF-8 SEEN",
        Sort(False, None, ((SortKey.SUBJECT, False), (SortKey.DATE, True)), "UTF-8", SEEN),
    ),
    (
        b"UID SORT RETURN (COUNT) (REVERSE DISPLAYFROM) us-ascii ALL",
        Sort(True, Returns(frozenset({ReturnOption.COUNT})), ((SortKey.DISPLAYFROM, True),), "US-ASCII", And(())),
    ),
    (b"THREAD references UTF-8 SEEN", Thread(False, "REFERENCES", "UTF-8", SEEN)),
    (
        b'ESEARCH IN (mailboxes "a" subtree-one (b c) personal) RETURN (ALL) SEEN',
        Esearch(
            (
                Scope(ScopeKind.MAILBOXES, ("a",)),
                Scope(ScopeKind.SUBTREE_ONE, ("b", "c")),
                Scope(ScopeKind.PERSONAL),
            ),
            Returns(frozenset({ReturnOption.ALL})),
            None,
            SEEN,
        ),
    ),
    (b'CANCELUPDATE "B01" "B02"', CancelUpdate(("B01", "B02"))),
    # sharing
    (b"SETACL x ann +rda", SetAcl("x", "ann", "+", "rda")),
    (b'SETACL x ann ""', SetAcl("x", "ann", "", "")),
    (b'GETQUOTA ""', GetQuota("")),
    (b'SETQUOTA "" (storage 512)', SetQuota("", (("STORAGE", 512),))),
    (b'GETMETADATA "" /shared/comment', GetMetadata("", ("/shared/comment",))),
    (
        b'GETMETADATA (MAXSIZE 1024 DEPTH Infinity) "x" (/shared/a /private/b)',
        GetMetadata("x", ("/shared/a", "/private/b"), Depth.INFINITY, 1024),
    ),
    (b"GETMETADATA x (DEPTH 1) /a", GetMetadata("x", ("/a",), Depth.ONE)),  # as the examples of RFC 5464 have it
    (b"SETMETADATA x (/private/a NIL)", SetMetadata("x", (("/private/a", None),))),
    (b'SETMETADATA x (/private/a "NIL" /b ~{2+}\r\n\x00\xff)', SetMetadata("x", (("/private/a", b"NIL"), ("/b", b"\0\xff")))),
    # NOTIFY, URLs, REPLACE
    (b"NOTIFY NONE", Notify(())),
    (
        b"NOTIFY SET STATUS (selected (MessageNew (UID FLAGS) MessageExpunge)) (subtree a NONE)",
        Notify(
            (
                EventGroup(
                    Scope(ScopeKind.SELECTED),
                    frozenset({NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE}),
                    (Item.UID, Item.FLAGS),
                ),
                EventGroup(Scope(ScopeKind.SUBTREE, ("a",)), frozenset()),
            ),
            with_status=True,
        ),
    ),
    (
        b"NOTIFY SET (personal (messagenew Odd))",
        Notify((EventGroup(Scope(ScopeKind.PERSONAL), frozenset({NotifyEvent.MESSAGE_NEW}), (), ("Odd",)),)),
    ),
    (b'GENURLAUTH "imap://x" internal', GenUrlAuth((("imap://x", "INTERNAL"),))),
    (
        b'URLFETCH "imap://x" ("imap://y" body BINARY)',
        UrlFetch((UrlFetchItem("imap://x"), UrlFetchItem("imap://y", ("BODY", "BINARY")))),
    ),
    (b"RESETKEY", ResetKey()),
    (b"RESETKEY x internal", ResetKey("x", ("INTERNAL",))),
    (b'APPEND x CATENATE (URL "/u")', Append("x", (AppendMessage((), None, (Url("/u"),), is_catenate=True),))),
    (
        b'UID REPLACE * {1+}\r\nx (\\Seen) catenate (url "/u")',
        Replace(True, STAR, "x", AppendMessage(("\\Seen",), None, (Url("/u"),), is_catenate=True)),
    ),
]  # fmt: skip


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(("line", "command"), READ, ids=lambda value: value.decode("latin-1") if isinstance(value, bytes) else "")
def test_a_command_is_read(line: bytes, command: Command, step: int | None) -> None:
    assert events(core_in(State.SELECTED), b"a1 " + line + b"\r\n", step) == [CommandReceived("a1", command)]


REFUSED = [
    b"NOOP ",
    b"NOOP x",
    b" NOOP",
    b"CHECK  ",
    b"ENABLE",
    b"ENABLE  X",
    b'ENABLE "X"',
    b"ID",
    b'ID ("name")',
    b'ID (name "x")',
    b"ID nilx",
    b"SELECT",
    b"SELECT ",
    b"SELECT a b",
    b"SELECT  a",
    b'SELECT "a',
    b'SELECT "a\\x"',
    b'SELECT "\xc3\xa9"',
    b"SELECT \xc3\xa9",
    b"SELECT a\0b",
    b'SELECT "a\0b"',
    b'SELECT "a\rb"',
    b"SELECT a\rb",
    b"SELECT a%b",
    b"SELECT a (QRESYNC (0 1))",
    b"SELECT a (QRESYNC (1 0))",
    b"SELECT a (QRESYNC (1 2 $))",
    b"SELECT a (QRESYNC (1 2) QRESYNC (1 2))",
    b"SELECT a (ODD)",
    b"SELECT a ()",
    b"CREATE a (USE (Sent))",
    b"CREATE a (USE \\Sent)",
    b'LIST ""',
    b'LIST (RECURSIVEMATCH) "" %',
    b'LIST (REMOTE RECURSIVEMATCH) "" %',
    b'LIST (ODD) "" %',
    b'LIST "" ()',
    b'LIST "" % RETURN (ODD)',
    b'LIST "" % RETURN (STATUS ())',
    b'LIST "" % RETURN',
    b"STATUS x ()",
    b"STATUS x MESSAGES",
    b"STATUS x (ODD)",
    b"FETCH",
    b"FETCH 1",
    b"FETCH 0 FLAGS",
    b"FETCH 1 ()",
    b"FETCH 1 (FLAGS",
    b"FETCH 1 (FLAGS))",
    b"FETCH 1 (FLAGS  UID)",
    b"FETCH 1 (ALL)",
    b"FETCH 1 ODD",
    b"FETCH 1 BODY[MIME]",
    b"FETCH 1 BODY[0]",
    b"FETCH 1 BODY[01]",
    b"FETCH 1 BODY[1.]",
    b"FETCH 1 BODY[1HEADER]",
    b"FETCH 1 BODY[HEADER.FIELDS ()]",
    b"FETCH 1 BODY[HEADER.FIELDS]",
    b"FETCH 1 BODY[HEADER.FIELDS (a:b)]",
    b'FETCH 1 BODY[HEADER.FIELDS ("a b")]',
    b"FETCH 1 BODY[TEXT (a)]",
    b"FETCH 1 BODY[",
    b"FETCH 1 BODY.PEEK",
    b"FETCH 1 BODY[]<0.0>",
    b"FETCH 1 BODY[]<1>",
    b"FETCH 1 BODY[]<0.9223372036854775808>",
    b"FETCH 1 BINARY",
    b"FETCH 1 BINARY[TEXT]",
    b"FETCH 1 BINARY.SIZE[]<0.1>",
    b"FETCH 1 FLAGS (VANISHED)",
    b"FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
    b"UID FETCH 1 FLAGS (VANISHED)",
    b"FETCH 1 FLAGS (CHANGEDSINCE -1)",
    b"FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
    b"FETCH 1 FLAGS (PARTIAL -1:2)",
    b"FETCH 1 FLAGS (PARTIAL 0:2)",
    b"STORE 1 FLAGS",
    b"STORE 1 FLAGS ",
    b"STORE 1 +FLAGS.LOUD (x)",
    b"STORE 1 FLAGS (\\)",
    b"STORE 1 FLAGS (a  b)",
    b"STORE 1 FLAGS (a]b)",
    b"STORE 1 FLAGS (\\*)",
    b"STORE 1 (ODD 1) FLAGS (x)",
    b"COPY 1",
    b"COPY x y",
    b"UID",
    b"UID NOOP",
    b"UID COPY 1",
    b"UID EXPUNGE",
    b"SEARCH",
    b"SEARCH ",
    b"SEARCH ()",
    b"SEARCH (SEEN",
    b"SEARCH SEEN)",
    b"SEARCH (SEEN))",
    b"SEARCH NOT",
    b"SEARCH NOT ",
    b"SEARCH OR SEEN",
    b"SEARCH (OR SEEN) SEEN",
    b"SEARCH (NOT) SEEN",
    b"SEARCH ODD",
    b"SEARCH FROM",
    b"SEARCH SINCE 31-Feb-2020",
    b"SEARCH SINCE 1-Feb-20",
    b'SEARCH SINCE "1-Feb-2020',
    b"SEARCH SINCE 1-Odd-2020",
    b"SEARCH SINCE 1-Jan-0000",
    b"SEARCH KEYWORD \\Seen",
    b"SEARCH YOUNGER 0",
    b"SEARCH FILTER a/b",
    b"SEARCH MODSEQ odd 1",
    b"SEARCH CHARSET",
    b"SEARCH CHARSET UTF-8",
    b"SEARCH TEXT {1+}\r\n\xff",
    b"SEARCH TEXT {3+}\r\na\0b",
    b"SEARCH RETURN (ODD) ALL",
    b"SEARCH RETURN (ALL PARTIAL 1:2) ALL",
    b"SEARCH RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL",
    b"SEARCH RETURN (PARTIAL 1:*) ALL",
    b"SORT () UTF-8 ALL",
    b"SORT (REVERSE) UTF-8 ALL",
    b"SORT (DATE) ALL",
    b"THREAD REFERENCES ALL",
    b"ESEARCH IN () ALL",
    b"ESEARCH IN (selected-delayed) ALL",
    b"CANCELUPDATE",
    b"CANCELUPDATE B01",
    b"SETACL x ann",
    b"SETACL x ann R",
    b"SETACL x ann *r",
    b"SETQUOTA x (STORAGE -1)",
    b"SETQUOTA x (STORAGE)",
    b"GETMETADATA x",
    b"GETMETADATA x ()",
    b"GETMETADATA x a",
    b"GETMETADATA x /a*",
    b"GETMETADATA (DEPTH 2) x /a",
    b"GETMETADATA x (DEPTH 2) /a",
    b"SETMETADATA x ()",
    b"SETMETADATA x (/a)",
    b"SETMETADATA x (/a atom)",
    b"NOTIFY",
    b"NOTIFY SET",
    b"NOTIFY SET STATUS",
    b"NOTIFY SET (selected)",
    b"NOTIFY SET (selected ())",
    b"NOTIFY SET (odd NONE)",
    b"GENURLAUTH",
    b"GENURLAUTH x",
    b"URLFETCH",
    b"URLFETCH (x ODD)",
    b"APPEND x",
    b"APPEND x ",
    b"APPEND x atom",
    b"APPEND x CATENATE ()",
    b"APPEND x CATENATE (URL)",
    b'APPEND x "32-Jan-2020 00:00:00 +0000" CATENATE (URL /u)',
    b'APPEND x "01-Jan-2020 24:00:00 +0000" CATENATE (URL /u)',
    b'APPEND x "1-Jan-2020 00:00:00 +0000" CATENATE (URL /u)',
    b"REPLACE 0 x CATENATE (URL /u)",
    b"REPLACE 1:2 x CATENATE (URL /u)",
    b"REPLACE 1 x CATENATE (URL /u) CATENATE (URL /u)",
]


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_no_command_is_refused_and_the_next_one_is_read(line: bytes) -> None:
    core = core_in(State.SELECTED)
    first, *rest = events(core, b"a1 " + line + b"\r\na2 SELECT x\r\n")
    assert isinstance(first, CommandRejected)
    assert rest == [CommandReceived("a2", Select("x"))]


def test_quoted_strings_hold_utf_8_once_the_client_said_so() -> None:
    """RFC 9051 section 4.3, RFC 6855 section 3."""
    core = core_in(State.AUTHENTICATED)
    core.is_utf8 = True
    assert events(core, 'a1 SELECT "é&-"\r\n'.encode()) == [CommandReceived("a1", Select("é&-"))]
    assert events(core, b'a2 SELECT "\xc3"\r\n') == [CommandRejected(Fault.SYNTAX)]


def test_a44_a_mailbox_name_in_another_form_is_refused() -> None:
    core = core_in(State.AUTHENTICATED)
    assert events(core, b"a1 SELECT &AGE-\r\n") == [CommandRejected(Fault.MAILBOX_NAME)]
