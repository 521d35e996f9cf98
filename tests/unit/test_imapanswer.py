"""IMAP answers in dialogues: what the standard leaves free matches, whatever else differs does not."""

import pytest

from postwren.testing.imapanswer import IMAP

SAME = [
    (r"* 1 FETCH (FLAGS (\Seen \Flagged) UID 7)", rb"* 1 FETCH (UID 7 FLAGS (\Flagged \Seen))"),
    (r"* 1 FETCH (FLAGS (\Seen) {})", rb"* 1 FETCH (UID 7 FLAGS (\Seen) MODSEQ (12))"),
    (r"* 1 FETCH (FLAGS ())", rb"* 1 FETCH (FLAGS (\Recent))"),
    (r"* 1 FETCH (FLAGS ($Work))", b"* 1 FETCH (FLAGS ($work))"),
    (r'* 1 FETCH (BODY[] "a\r\n")', b"* 1 FETCH (BODY[] {3}\r\na\r\n)"),
    (r'* 1 FETCH (BODY[HEADER.FIELDS (TO)] "\r\n")', b'* 1 FETCH (BODY[HEADER.FIELDS ("TO")] {2}\r\n\r\n)'),
    (r'* 1 FETCH (BODY ("TEXT" "PLAIN" {} NIL NIL "7BIT" 4 0))', b'* 1 FETCH (BODY ("text" "plain" NIL NIL NIL "7bit" 4 0))'),
    (r'* 1 FETCH (BINARY[1] ~"a\x00")', b"* 1 FETCH (BINARY[1] ~{2}\r\na\0)"),
    (r'* 1 FETCH (ENVELOPE (NIL "a \"b\"" {}))', b'* 1 FETCH (ENVELOPE (NIL "a \\"b\\"" NIL NIL))'),
    (r"* LIST (\HasNoChildren {}) {} Work", b'* LIST (\\Marked \\HasNoChildren) "/" "Work"'),
    (r'* LIST ({}) "/" Work ("CHILDINFO" ("SUBSCRIBED"))', b'* LIST () "/" Work (CHILDINFO ("SUBSCRIBED"))'),
    ("* STATUS INBOX (MESSAGES 2 UNSEEN 1)", b'* STATUS "INBOX" (UNSEEN 1 MESSAGES 2)'),
    ('* ESEARCH (TAG "a") UID ALL 1:3 COUNT 3', b'* ESEARCH (TAG "a") UID COUNT 3 ALL 1,2:3'),
    ('* ESEARCH (TAG "a")', b'* ESEARCH (TAG "a")'),
    ("* VANISHED (EARLIER) 1,3:4", b"* VANISHED (EARLIER) 1,3,4"),
    ("* CAPABILITY IMAP4rev1 IDLE {}", b"* CAPABILITY IDLE LITERAL+ IMAP4rev1"),
    ("* OK [PERMANENTFLAGS (\\Seen \\* {})] {}", b"* OK [PERMANENTFLAGS (\\* \\Draft \\Seen)] all of them"),
    ("* ACL Work ann lrs bob l", b"* ACL Work bob l ann srl"),
    ("* METADATA Work (/a/x NIL /a/y {})", b'* METADATA "Work" (/a/y "2" /a/x NIL)'),
    ("a OK {}", b"a OK [READ-WRITE] done"),
    ("a {NO|BAD} {}", b"a BAD what"),
    ("a OK [COPYUID 7 1:2 5:6] {}", b"a OK [COPYUID 7 1,2 5:6] done"),
    ("+ {}", b"+ OK"),
    ("* THREAD (1 (2 4)(3))", b"* THREAD (1 (2 4)(3))"),
]

DIFFERENT = [
    (r"* 1 FETCH (FLAGS (\Seen))", rb"* 1 FETCH (FLAGS (\Seen \Flagged))"),
    (r"* 1 FETCH (FLAGS (\Seen))", rb"* 1 FETCH (FLAGS (\Seen) UID 7)"),
    (r"* 1 FETCH (UID 7 FLAGS (\Seen))", rb"* 1 FETCH (FLAGS (\Seen))"),
    (r"* 1 FETCH (UID 7)", b"* 2 FETCH (UID 7)"),
    (r"* 1 FETCH (UID 7)", b'* 1 FETCH (UID "7")'),
    (r"* 1 FETCH (FLAGS (\Recent))", b"* 1 FETCH (FLAGS ())"),
    (r'* 1 FETCH (BODY[] "a\r\n")', b"* 1 FETCH (BODY[] {1}\r\na)"),
    (r'* 1 FETCH (BODY[] "a")', b"* 1 FETCH (BODY[] a)"),
    (r"* 1 FETCH (BODY[] NIL)", b'* 1 FETCH (BODY[] "NIL")'),
    (r'* 1 FETCH (BODY[] "")', b"* 1 FETCH (BODY[] NIL)"),
    (r'* 1 FETCH (BODY[TEXT] "a")', b'* 1 FETCH (BODY[] "a")'),
    (r'* 1 FETCH (BODY[]<5> "a")', b'* 1 FETCH (BODY[] "a")'),
    (r'* 1 FETCH (BINARY[1] ~"a")', b"* 1 FETCH (BINARY[1] {1}\r\na)"),
    (r'* 1 FETCH (ENVELOPE (NIL "A"))', b'* 1 FETCH (ENVELOPE (NIL "a"))'),
    (r'* LIST () "/" Work', b'* LIST (\\Marked) "/" Work'),
    (r'* LIST () "/" Work', b'* LIST () "." Work'),
    (r'* LIST ({}) "/" Work', b'* LIST () "/" Work (CHILDINFO ("SUBSCRIBED"))'),
    ("* STATUS INBOX (MESSAGES 2)", b"* STATUS INBOX (MESSAGES 2 UNSEEN 1)"),
    ('* ESEARCH (TAG "a") ALL 1:3', b'* ESEARCH (TAG "a") UID ALL 1:3'),
    ('* ESEARCH (TAG "a") ALL 1:3', b'* ESEARCH (TAG "b") ALL 1:3'),
    ('* ESEARCH (TAG "a") ALL 4,1', b'* ESEARCH (TAG "a") ALL 1,4'),
    ("* SEARCH 1 2", b"* SEARCH 1 2 3"),
    ("* SEARCH", b"* SEARCH 1"),
    ("* VANISHED 1", b"* VANISHED (EARLIER) 1"),
    ("* VANISHED 1:3", b"* VANISHED 1:4"),
    ("* CAPABILITY IMAP4rev1 {}", b"* CAPABILITY IMAP4rev2"),
    ("* OK [PERMANENTFLAGS ()] {}", b"* OK [PERMANENTFLAGS (\\*)] x"),
    ("* ACL Work ann lrs", b"* ACL Work ann lr"),
    ("a OK {}", b"b OK done"),
    ("a OK {}", b"a NO done"),
    ("a OK {}", b"* OK done"),
    ("a OK [COPYUID 7 1:2 5:6] {}", b"a OK done"),
    ("a OK [COPYUID 7 2,1 5:6] {}", b"a OK [COPYUID 7 1:2 5:6] done"),
    ("a NO [TRYCREATE] {}", b"a NO [NONEXISTENT] no"),
    ("* 1 EXPUNGE", b"* OK EXPUNGE"),
    ("+ {}", b"a OK"),
    ("* THREAD (1 (2 4)(3))", b"* THREAD (1 (3)(2 4))"),
    ("* 1 FETCH (UID 1)", b"* 1 FETCH (UID 1"),
    ("* 1 FETCH (UID 1)", b"* 1 FETCH (UID 1))"),
]


@pytest.mark.parametrize(("pattern", "answer"), SAME)
def test_freedom_of_the_standard(pattern: str, answer: bytes) -> None:
    assert IMAP.match(pattern.encode(), answer, {}) is not None


@pytest.mark.parametrize(("pattern", "answer"), DIFFERENT)
def test_a_difference_is_seen(pattern: str, answer: bytes) -> None:
    assert IMAP.match(pattern.encode(), answer, {}) is None


def test_names_are_kept_and_compared() -> None:
    kept = IMAP.match(b"* 1 FETCH (MODSEQ ({m=}))", b"* 1 FETCH (MODSEQ (12))", {})
    assert kept == {"m": b"12"}
    assert IMAP.match(b"* 1 FETCH (MODSEQ ({n>m}))", b"* 1 FETCH (MODSEQ (13))", kept) == {"n": b"13"}
    assert IMAP.match(b"* 1 FETCH (MODSEQ ({>m}))", b"* 1 FETCH (MODSEQ (12))", kept) is None
    assert IMAP.match(b"* OK [UIDNEXT {m+1}] {}", b"* OK [UIDNEXT 13] x", kept) == {}
    assert IMAP.match(b"* OK [UIDNEXT {m}] {}", b"* OK [UIDNEXT 13] x", kept) is None


@pytest.mark.parametrize(
    ("heard", "size"),
    [
        (b"* OK hello\r\nmore", 10),
        (b"* 1 FETCH (BODY[] {4}\r\na\r\nb)\r\n", 28),
        (b"* 1 FETCH (BODY[] {4}\r\na\r\n", -1),
        (b"* 1 FETCH (BODY[] {4}\r\na\r\nb", -1),
        (b"a OK {3}\r\n", 8),
        (b"* OK half", -1),
        (b"* 1 FETCH (A {1}\r\n\r B {2}\r\n\r\n)\r\n", 30),
    ],
)
def test_an_answer_has_its_literals(heard: bytes, size: int) -> None:
    assert IMAP.cut(heard) == size


def test_what_is_noise_and_what_goes() -> None:
    assert IMAP.is_noise(b"* 3 RECENT")
    assert not IMAP.is_noise(b"* 3 EXISTS")
    assert IMAP.expunged(b"* 3 EXPUNGE") == 3
    assert IMAP.expunged(b"* 3 EXISTS") is None
