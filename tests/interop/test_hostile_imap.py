"""What only IMAP can be attacked with, thrown at one running server (A-40 to A-50), while an honest client goes on.

Behind every attack: the honest client is served, the accounts are as they were. At the end: no traceback, no bug, the memory
back, the store sound.
"""

import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from bench.lab.process import until
from tests.cli.program import postwren
from tests.interop.hostile import (
    ANN,
    MEMORY_TOLERANCE,
    SINK,
    World,
    ask,
    count,
    deliver,
    greeted,
    imap,
    round_trip,
    told,
    transaction,
)
from tests.interop.peer import Peer

from postwren.protocols.imap.response import Unreadable, parse_response

pytestmark = pytest.mark.real

INJECTED: Final = b"x CREATE Injected\r\n"
IDLERS = 1000


@pytest.fixture(autouse=True)
def nothing_is_hurt(world: World) -> Iterator[None]:
    yield
    assert world.server.process.poll() is None
    round_trip(world)
    assert count(world, ANN) == 3
    with imap(world, ANN) as peer:
        assert ask(peer, b'LIST "" *') == b'* LIST (\\HasNoChildren) "/" INBOX\r\nt OK LIST done\r\n'


def strict(said: bytes) -> int:
    """Every response is one of the grammar to a strict client; returns how many there are."""
    number = start = 0
    while start < len(said):
        end = start
        while True:
            stop = said.index(b"\r\n", end) + 2
            announced = re.search(rb"\{(\d+)\}\r\n\Z", said[end:stop])
            if announced is None:
                break
            end = stop + int(announced[1])
        response = said[start : stop - 2]
        assert not isinstance(parse_response(response, is_strict=True), Unreadable), response[:3000]
        number, start = number + 1, stop
    return number


def flood(peer: Peer, data: bytes) -> bytes:
    """Send it all from another hand; everything that comes until the server closes."""
    writer = threading.Thread(target=peer.send, args=(data,))
    writer.start()
    said = peer.finish(half_close=False)
    writer.join(20)
    return said


# -- literals, parentheses, octets


LITERALS: Final = [
    b"a LOGIN {4294967295}\r\n" + INJECTED,
    b"a LOGIN {9999999999999999999}\r\n" + INJECTED,
    b"a LOGIN {99999999999999999999999999999999}\r\n" + INJECTED,
    b"a LOGIN {9999999999999999999+}\r\n" + INJECTED * 10,
    b"a LOGIN {99997+}\r\n" + INJECTED * 5263,
    b"a LOGIN {100000+}\r\n" * 1000,
    b"a XYZZY {1900+}\r\n" + INJECTED * 100,
    b"a ID (" + b"{1+}\r\na " * 1000,
    b"a ID (" + b"{1}\r\na " * 1000,
    b"{10+}\r\n" * 10_000,
    b"a LOGIN {-1}\r\n" + INJECTED,
    b"a LOGIN {0x10}\r\n" + INJECTED,
    b"a LOGIN {00000000000000000000000000000019+}\r\n" + INJECTED + b" b\r\n",
]


CASES: Final = [(number, is_known) for number, data in enumerate(LITERALS) for is_known in (False, True)[: 1 + (b"+}" in data)]]


@pytest.mark.parametrize(("number", "is_known"), CASES)
def test_a40_a_literal_is_never_taken_for_commands(world: World, number: int, is_known: bool) -> None:
    """What stands in it would be run by a server that lost step: CREATE, by somebody who is logged in. (Behind a literal that is
    refused before it comes stands a command.)"""
    before = world.memory()
    with imap(world, ANN) if is_known else greeted(world, "imap", "127.60.0.1") as peer:
        peer.send(LITERALS[number].replace(b"a LOGIN", b"a SELECT") if is_known else LITERALS[number])
        peer.send(b"\r\nz LOGOUT\r\n")
        said = peer.finish()
    strict(said)
    assert not re.search(rb"^x OK", said, re.MULTILINE), said
    assert world.memory() - before < 8 << 20


LONG: Final = 2_000_000
NESTED: Final[dict[str, bytes]] = {
    "parentheses of NOOP": b"NOOP " + b"(" * 4000,
    "parentheses of SEARCH": b"SEARCH " + b"(" * 4000 + b"ALL" + b")" * 4000,
    "NOT": b"SEARCH " + b"NOT " * 15_000 + b"ALL",
    "OR to the left": b"SEARCH " + b"OR " * 8000 + b"ALL " * 8001,
    "OR to the right": b"SEARCH " + b"OR ALL " * 8000 + b"ALL",
    "FUZZY": b"SEARCH " + b"FUZZY " * 10_000 + b"ALL",
    "items": b"FETCH 1 (" + b"UID " * 15_000 + b"UID)",
    "one section again and again": b"FETCH 1:* (" + b" ".join([b"BODY.PEEK[]"] * 5000) + b")",
    "sections": b"FETCH 1:* (" + b" ".join([b"BODY.PEEK[]<%d.9>" % n for n in range(3000)]) + b")",
    "part numbers": b"FETCH 1 BODY.PEEK[" + b".".join([b"1"] * 20_000) + b"]",
    "header fields": b"FETCH 1 BODY.PEEK[HEADER.FIELDS (" + b" ".join([b"a%d" % n for n in range(4000)]) + b")]",
    "a set of all numbers": b"FETCH " + b",".join([b"%d" % n for n in range(1, 10_000)]) + b" UID",
    "a set of everything": b"FETCH " + b",".join([b"1:*"] * 16_000) + b" UID",
    "a set beyond": b"UID FETCH *:4294967295,1:4294967295 UID",
    "a set too large": b"UID FETCH 4294967296 UID",
    "a set that goes down": b"UID FETCH " + b",".join([b"4294967295:1"] * 5000) + b" UID",
    "a set of a megabyte": b"FETCH " + b"1," * (LONG // 2) + b"1 UID",
    "flags": b"STORE 1 FLAGS (" + b" ".join([b"f%d" % n for n in range(9000)]) + b")",
    "a list of patterns": b'LIST "" (' + b" ".join([b"*"] * 4000) + b")",
    "mailboxes of ESEARCH": b"ESEARCH IN (mailboxes (" + b" ".join([b"INBOX"] * 4000) + b")) ALL",
    "sort keys": b"SORT (" + b"SIZE " * 4000 + b"SIZE) UTF-8 ALL",
    "strings of literals": b"SEARCH " + b" ".join([b"TEXT {1+}\r\na"] * 2000),
    "literals of a megabyte": b"SEARCH " + b" ".join([b"TEXT {90000+}\r\n" + b"a" * 90_000] * 30),
    "an envelope of literals": b"APPEND INBOX CATENATE (" + b" ".join([b'URL "/INBOX/;UID=1"'] * 5000) + b")",
}  # fmt: skip


@pytest.mark.parametrize("what", NESTED)
def test_a41_what_nests_or_repeats_is_answered_soon(world: World, what: str) -> None:
    """With BAD, NO, OK or BYE; never with a second of work."""
    before = world.memory()
    with imap(world, SINK) as peer:
        ask(peer, b"CREATE A41") if not number_of(world, b"A41") else ask(peer, b"NOOP")
        ask(peer, b"SELECT A41")
        begun = time.perf_counter()
        writer = threading.Thread(target=peer.send, args=(b"u " + NESTED[what] + b"\r\nz NOOP\r\n",))
        writer.start()
        said = b""
        while not re.search(rb"(^z OK|^\* BYE)[^\r]*\r\n\Z", said, re.MULTILINE):
            said += peer.line()
        writer.join(20)
        took = time.perf_counter() - begun
    assert re.search(rb"^(u (OK|NO|BAD)|\* BYE) ", said, re.MULTILINE)
    strict(said)
    assert took < 3
    assert world.memory() - before < 16 << 20


def number_of(world: World, mailbox: bytes) -> int:
    with imap(world, SINK) as peer:
        return ask(peer, b'LIST "" ' + mailbox).count(b"* LIST")


def test_a41_lines_without_end_hold_no_more_than_their_limit(world: World) -> None:
    """A hundred peers, each with half a megabyte of parentheses and no LF."""
    before = world.memory()
    peers = [imap(world, SINK) for _ in range(100)]
    for peer in peers:
        peer.sock.settimeout(20)
        peer.send(b"a NOOP " + b"(" * 65_000)
    round_trip(world)
    grown = world.memory() - before
    world.report(f"100 lines without end: {grown >> 10} kB")
    assert grown < 100 * 200_000
    for peer in peers:
        peer.send(b"(" * 500_000)
        assert b"* BYE" in peer.finish(half_close=False)


OCTETS: Final = [
    b'a SELECT "IN\0BOX"\r\n',
    b'a SELECT "\xff\xfe"\r\n',
    b"a SELECT {3+}\r\n\0\0\0\r\n",
    b"a SELECT IN\rBOX\r\n",
    b"a SELECT\r\r\n",
    b"a\0 NOOP\r\n",
    b"\x80 NOOP\r\n",
    b"t" * 1_000_000 + b" NOOP\r\n",
    b"a NOOP" + b" " * 100_000 + b"\r\n",
    b"a NOOP\n" * 100,
    b'a SELECT "\\x"\r\na SELECT "\\',
    b"a APPEND INBOX {3+}\r\n\0\0\0\r\n",
    b"a APPEND INBOX ~{3+}\r\n\0\0\r\n",
    b"a IDLE\r\n" + b"x" * 100_000 + b"\r\n",
    b"a IDLE\r\nDONE\0\r\n",
    b"a AUTHENTICATE PLAIN " + b"A" * 100_000 + b"\r\n",
]


@pytest.mark.parametrize("number", range(len(OCTETS)))
def test_a42_odd_octets_are_answered_in_the_protocol(world: World, number: int) -> None:
    with imap(world, SINK) as peer:
        peer.send(OCTETS[number])
        said = peer.finish()
    strict(said)
    assert b"\0" not in said
    assert not re.search(rb"[^\r\n -~]", said)


# -- cost and names


def test_a43_patterns_are_matched_in_linear_time(world: World) -> None:
    with imap(world, SINK) as peer:
        ask(peer, b"CREATE " + b"a" * 250 + b"/" + b"a" * 250)
        for pattern in (b"*%" * 400 + b"x", b"*a" * 400 + b"x", b"%" * 900, b"*" * 900 + b"x"):
            begun = time.perf_counter()
            ask(peer, b'LIST "" "%b"' % pattern)
            ask(peer, b'LSUB "" "%b"' % pattern)
            assert time.perf_counter() - begun < 1


def test_a43_searches_at_once_are_few_and_the_others_are_told(world: World) -> None:
    with imap(world, SINK) as peer:
        ask(peer, b"CREATE A43")
        octets = b"Subject: %d\r\n\r\n" + b"needles in hay\r\n" * 4000
        for number in range(40):
            message = octets % number
            ask(peer, b"APPEND A43 {%d+}\r\n%b" % (len(message), message))
    peers = [imap(world, SINK) for _ in range(30)]
    for peer in peers:
        ask(peer, b"SELECT A43")
    for peer in peers:
        peer.send(b"u SEARCH NOT BODY haystack NOT BODY needlework NOT TEXT nowhere\r\n")
    lines = [peer.line() for peer in peers]
    for peer, line in zip(peers, lines, strict=True):
        assert line.startswith((b"* SEARCH 1 2", b"u NO [LIMIT]")), line
        peer.close()
    assert any(line.startswith(b"* SEARCH") for line in lines)


def clear(world: World) -> None:
    with imap(world, SINK) as peer:
        names = re.findall(rb'^\* LIST \([^)]*\) "/" ("(?:[^"\\]|\\.)+"|\S+)\r\n', ask(peer, b'LIST "" *'), re.MULTILINE)
        for name in names:
            assert told(peer, b"DELETE " + name).startswith(b"t OK") or name == b"INBOX", name


PATHS: Final = [
    *(
        name.encode()
        for name in ("../../x", "..", ".", "/etc/passwd", "a/../../b", "C:\\x", "~root", "x.", "x ", "CON", "a//b", "/")
    ),
    b"x" * 10_000,
    b"/".join([b"x"] * 1000),
    b"a.b.c",
    b"&AGE-",  # is "a"
    b"&AGE",
    b"&-&-",
    b"&2D3eAA-",
    b"&3EDYAA-",
    b"&AAA-",
    b"&//8-",
    b"&ZeVnLIqe",
    b"inbox/",
    b"INBOX ",
    b"inbox",
    b"a&AMQ-b",
    b"\xc3\x84",
]


@pytest.mark.parametrize("name", PATHS, ids=[name[:20].decode("latin1") for name in PATHS])
def test_a44_a_name_of_a_mailbox_is_nothing_but_a_name(world: World, name: bytes) -> None:
    """Made or refused; it is told as it was given, and never becomes a path."""
    files = set(world.server.data.parent.rglob("*"))
    clear(world)
    with imap(world, SINK) as peer:
        quoted = name.replace(b"\\", b"\\\\")
        if b" OK" not in told(peer, b'CREATE "%b"' % quoted):
            assert b"t OK" not in told(peer, b'SELECT "%b"' % quoted) or name.upper().startswith(b"INBOX")
            return
        assert b"t OK" in told(peer, b'SELECT "%b"' % quoted)
        again = told(peer, b'CREATE "%b"' % quoted)
        assert b"t NO" in again, "it is there under another name"
        strict(ask(peer, b'LIST "" *'))
        made = {path.suffix for path in set(world.server.data.parent.rglob("*")) - files}
        assert made <= {".seg", ".db", ".db-wal", ".db-shm"}


# -- who idles


def test_a46_a_thousand_idle_on_one_mailbox_and_one_never_reads(world: World) -> None:
    """They hear of every message, in few lines; the mail goes on as fast as before."""
    with imap(world, SINK) as peer:
        told(peer, b"CREATE A46")
    before = world.memory()
    idlers = [imap(world, SINK) for _ in range(IDLERS)]
    for peer in idlers:
        ask(peer, b"SELECT A46")
        peer.send(b"i IDLE\r\n")
    for peer in idlers:
        assert peer.line() == b"+ idling\r\n"
    held = world.memory() - before
    messages = 100
    begun = time.perf_counter()
    with imap(world, SINK) as peer:
        for number in range(messages):
            ask(peer, b"APPEND A46 (\\Seen f%d) {10+}\r\nA: b\r\n\r\n%02d" % (number % 50, number % 100))
    took = time.perf_counter() - begun
    lines = 0
    for peer in idlers[1:]:  # the first reads nothing, ever
        line = b""
        while line != b"* %d EXISTS\r\n" % messages:
            line = peer.line()
            lines += 1
    grown = world.memory() - before
    world.report(f"{IDLERS} idlers: {held >> 10} kB; {messages} messages in {took:.1f} s, {lines / (IDLERS - 1):.0f} lines each")
    for peer in idlers:
        peer.reset()
    assert grown < IDLERS * 64_000
    assert took < 15


def test_a46_a_peer_that_never_reads_its_news_keeps_little(world: World) -> None:
    before = world.memory()
    with imap(world, SINK) as peer, imap(world, SINK) as other:
        told(peer, b"CREATE A46")
        ask(peer, b"SELECT A46")
        peer.send(b"i IDLE\r\n")
        ask(other, b"SELECT A46")
        told(other, b"APPEND A46 {10+}\r\nA: b\r\n\r\n00")
        for number in range(200):
            ask(other, b"STORE 1:* %cFLAGS.SILENT (\\Flagged f%d)" % (b"+-"[number % 2], number))
        assert world.memory() - before < 8 << 20
        peer.send(b"DONE\r\n")
        said = [peer.line()]
        while not said[-1].startswith(b"i OK"):
            said.append(peer.line())
        strict(b"".join(said))


# -- compression


def test_a48_a_bomb_is_dropped_before_it_is_large(world: World) -> None:
    """A gigabyte of commands in a megabyte, and of a line; each is cut off, and little of it was ever there."""
    before = world.memory()
    for piece in (b"a NOOP\r\n", b"x"):
        deflater = zlib.compressobj(9, wbits=-15)
        bomb = b"".join(deflater.compress(piece * ((1 << 20) // len(piece))) for _ in range(1000)) + deflater.flush()
        with imap(world, SINK) as peer:
            assert told(peer, b"COMPRESS DEFLATE").startswith(b"t OK")
            begun = time.perf_counter()
            said = flood(peer, bomb)
            assert time.perf_counter() - begun < 5
            assert len(said) < 1 << 20
        assert world.memory() - before < 16 << 20
    world.report(f"a gigabyte in {len(bomb)} octets: {(world.memory() - before) >> 10} kB")


def test_a48_compression_is_for_who_has_logged_in_and_begins_once(world: World) -> None:
    with greeted(world, "imap") as peer:
        assert b"COMPRESS" not in ask(peer, b"CAPABILITY")
        assert told(peer, b"COMPRESS DEFLATE").startswith(b"t BAD")
    with imap(world, SINK) as peer:
        peer.send(b"a COMPRESS DEFLATE\r\nb NOOP\r\n")
        assert b"b OK" not in peer.finish()
    with imap(world, SINK) as peer:
        ask(peer, b"COMPRESS DEFLATE")
        deflater, inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
        commands = b"a CAPABILITY\r\nb COMPRESS DEFLATE\r\n"
        peer.send(deflater.compress(commands) + deflater.flush(zlib.Z_SYNC_FLUSH))
        said = inflater.decompress(peer.finish())
    assert b"COMPRESS=" not in said
    assert b"b NO [COMPRESSIONACTIVE]" in said
    strict(said)
    with imap(world, SINK) as peer:
        ask(peer, b"COMPRESS DEFLATE")
        peer.send(b"this is no DEFLATE" * 100)
        assert len(peer.finish()) < 1000


# -- what asks for much


def test_a49_little_is_kept_of_much_that_is_asked(world: World) -> None:
    before = world.memory()
    with imap(world, SINK) as peer:
        told(peer, b"CREATE A49")
        ask(peer, b"SELECT A49")
        message = b"Subject: large\r\n\r\n" + b"x" * 4_000_000
        ask(peer, b"APPEND A49 {%d+}\r\n%b" % (len(message), message))
        for number in range(1000):
            ask(peer, b"NOOP\r\ns%d SEARCH RETURN (UPDATE COUNT) FLAGGED" % number)
        peer.send(b"a SETMETADATA A49 (/private/comment ~{10000000+}\r\n" + b"x" * 10_000_000 + b")\r\n")
        assert b"* BYE" in peer.finish(half_close=False)
    with imap(world, SINK) as peer:
        ask(peer, b"SELECT A49")
        part = b'URL "/A49/;UID=1"'
        assert told(peer, b"APPEND A49 CATENATE (%b)" % b" ".join([part] * 1000)).startswith(b"t NO [TOOBIG]")
        urls = b" ".join([b'"imap://sink%40example.org@h/A49/;UID=1;URLAUTH=anonymous:internal:01"'] * 500)
        assert ask(peer, b"URLFETCH " + urls).count(b" NIL") == 500
        signed = re.search(
            rb'"([^"]+)"\r\n', ask(peer, b'GENURLAUTH "imap://sink%40example.org@h/A49/;UID=1;URLAUTH=anonymous" INTERNAL')
        )
        assert signed
        fetched = ask(peer, b"URLFETCH " + b" ".join([b'"%b"' % signed[1]] * 200))
        assert len(fetched) < 80 << 20
        strict(fetched)
        names = b" ".join(b'"m%d"' % n for n in range(1001))
        assert told(peer, b"NOTIFY SET (MAILBOXES (%b) (MessageNew MessageExpunge))" % names).startswith(b"t NO")
        groups = b" ".join([b"(SUBTREE (INBOX) (MessageNew MessageExpunge))"] * 500)
        assert told(peer, b"NOTIFY SET " + groups)[:4] in (b"t OK", b"t NO", b"t BA", b"* ST")
    assert world.memory() - before < 128 << 20


# -- hostile messages


def nested(levels: int, kind: bytes = b"multipart/mixed; boundary=%d") -> bytes:
    head = b"Content-Type: " + kind + b"\r\n\r\n"
    if b"%d" in kind:
        return b"".join(head % n + b"--%d\r\n" % n for n in range(levels)) + b"\r\ndeep\r\n"
    return head * levels + b"\r\ndeep\r\n"


def parted(number: int, boundary: bytes = b"b") -> bytes:
    part = b"--" + boundary + b"\r\n\r\nx\r\n"
    return b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n' % boundary + part * number + b"--" + boundary + b"--\r\n"


def named(octets: bytes) -> bytes:
    return (
        b'From: "%b" <a@b.example>\r\nTo: %b\r\nSubject: %b\r\nMessage-ID: <%b>\r\nIn-Reply-To: %b\r\n'
        b'Content-Type: text/plain; name="%b"; x=%b\r\nContent-Disposition: attachment; filename="%b"\r\nContent-ID: %b\r\n'
        b"Content-Description: %b\r\nContent-Language: %b\r\nContent-Location: %b\r\nContent-MD5: %b\r\n"
        b"Content-Transfer-Encoding: %b\r\n\r\n%b\r\n" % ((octets,) * 15)
    )


def both(outer: bytes, inner: bytes) -> bytes:
    """A multipart within another."""
    return (
        b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n--%b\r\nContent-Type: multipart/alternative; boundary="%b"\r\n\r\n'
        b"--%b\r\n\r\nx\r\n--%b--\r\n--%b--\r\n" % (outer, outer, inner, inner, inner, outer)
    )


MESSAGES: Final[dict[str, Callable[[], bytes]]] = {
    "multiparts 10,000 deep": lambda: nested(10_000),
    "messages 10,000 deep": lambda: nested(10_000, b"message/rfc822"),
    "globals 3,000 deep": lambda: nested(3_000, b"message/global"),
    "100,000 parts": lambda: parted(100_000),
    "10,000 parts with names": lambda: parted(1).replace(
        b"--b--", b"--b\r\nContent-Type: a/b; name=%C3\r\n\r\nx\r\n" * 10_000 + b"--b--"),
    "an empty boundary": lambda: parted(3, b""),
    "a boundary of 10 kB": lambda: parted(3, b"b" * 10_000),
    "a boundary that begins another": lambda: both(b"ab", b"abc"),
    "a boundary that another begins": lambda: both(b"abc", b"ab"),
    "the same boundary twice": lambda: both(b"ab", b"ab"),
    "a boundary in a header": lambda: parted(1).replace(b"\r\n\r\nx", b"\r\nX-A: y\r\n --b\r\n--b\r\n\r\nx"),
    "a comment without end": lambda: named(b"(comment (in comment \\"),
    "a quoted pair at the end": lambda: named(b'"x\\'),
    "quotes and backslashes": lambda: named(b'a"b\\c\\"d'),
    "parentheses and braces": lambda: named(b"){3}"),
    "a literal's announcement": lambda: named(b"{10}"),
    "NIL": lambda: named(b"NIL"),
    "8-bit": lambda: named(bytes(range(128, 256))),
    "controls": lambda: named(bytes(set(range(1, 32)) - {10, 13}) + b"\x7f"),
    "a bare CR": lambda: named(b"a\rb"),
    "a bare LF": lambda: named(b"a\nb"),
    "encoded words with line ends": lambda: named(b"=?utf-8?Q?a=0D=0Ab=00c=22=5C?="),
    "encoded words in UTF-16": lambda: named(b"=?utf-16?B?AAoADQAiAFwAAA==?="),
    "continuations of RFC 2231": lambda: named(b"x").replace(
        b'name="x"', b"name*0*=utf-8''%0D%0A%22; name*1*=%00; name*999999999=z"),
    "no octet but a line end": lambda: b"\r\n",
    "one octet": lambda: b"x",
    "no header": lambda: b"\r\n\r\nbody\r\n",
    "no body": lambda: b"Subject: x\r\n",
    "addresses without end": lambda: b"To: " + b"a, " * 30_000 + b"\r\nCc: group: " + b"<a@b>, " * 5000 + b"\r\n\r\nx",
    "groups in groups": lambda: b"To: " + b"a: " * 10_000 + b"\r\n\r\nx",
    "routes": lambda: b"From: <" + b"@a," * 5000 + b"@a:x@y>\r\n\r\nx",
    "references in a circle": lambda: b"Message-ID: <a>\r\nReferences: " + b"<a> <b> " * 5000 + b"\r\n\r\nx",
    "a date of another world": lambda: b"Date: Fri, 99 Foo 99999999999 99:99:99 +99999\r\n\r\nx",
    "base64 that is none": lambda:
        b"Content-Transfer-Encoding: base64\r\nContent-Type: text/plain; charset=\xff\r\n\r\n" + b"=A==B" * 9999,
    "quoted-printable that is none": lambda: b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=\r\n==X=" * 9999,
    "a line of a megabyte": lambda: b"Content-Type: text/html\r\n\r\n" + b"<" * 1_000_000,
}  # fmt: skip
ITEMS: Final = (
    b"UID", b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY", b"BODYSTRUCTURE", b"PREVIEW", b"EMAILID",
    b"THREADID", b"MODSEQ", b"SAVEDATE", b"RFC822.HEADER", b"RFC822.TEXT", b"BODY.PEEK[HEADER]", b"BODY.PEEK[TEXT]<5.100>",
    b"BODY.PEEK[HEADER.FIELDS (SUBJECT TO FROM)]", b"BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]", b"BODY.PEEK[1]",
    b"BODY.PEEK[1.MIME]", b"BODY.PEEK[1.1.1.1]", b"BODY.PEEK[1.HEADER]", b"BODY.PEEK[2.TEXT]", b"BODY.PEEK[99999]",
)  # fmt: skip
DECODED: Final = (b"BINARY.PEEK[]", b"BINARY.PEEK[1]", b"BINARY.SIZE[1]", b"BINARY.PEEK[1]<3.9>", b"BINARY.SIZE[]")


@pytest.mark.parametrize("what", MESSAGES)
def test_a50_whatever_is_in_a_message_is_told_in_the_grammar(world: World, what: str) -> None:
    message = MESSAGES[what]()
    mailbox = b'"A50 %b"' % what.encode()
    with imap(world, SINK) as peer:
        ask(peer, b"CREATE " + mailbox)
        literal = b"~{%d+}\r\n%b" % (len(message), message)
        ask(peer, b"APPEND %b (\\Seen) %b" % (mailbox, literal))
        strict(ask(peer, b"SELECT " + mailbox))
        begun = time.perf_counter()
        assert strict(ask(peer, b"FETCH 1 (%b)" % b" ".join(ITEMS))) == 3  # HIGHESTMODSEQ, FETCH, OK
        for item in DECODED:
            strict(told(peer, b"FETCH 1 " + item))
        whole = ask(peer, b"FETCH 1 BODY.PEEK[]")
        assert message in whole
        strict(whole)
        for command in (
            b"SORT (SUBJECT FROM TO CC DATE SIZE ARRIVAL) UTF-8 ALL",
            b"SORT (DISPLAYFROM DISPLAYTO) UTF-8 ALL",
            b"THREAD REFERENCES UTF-8 ALL",
            b"THREAD REFS UTF-8 ALL",
            b"THREAD ORDEREDSUBJECT UTF-8 ALL",
            b'SEARCH OR OR SUBJECT "x" TEXT "deep" OR FROM "a" HEADER Message-ID "<a>"',
            b"SEARCH SENTSINCE 1-Jan-1990",
        ):
            strict(ask(peer, command))
        took = time.perf_counter() - begun
        ask(peer, b"CLOSE")
        ask(peer, b"DELETE " + mailbox)
    assert took < 5
    by_smtp(world, message)


def by_smtp(world: World, message: bytes) -> None:
    """The same by SMTP, where it is taken or refused as a whole; and told alike."""
    with greeted(world, "smtp") as sender:
        answer = transaction(sender, SINK, message if message.endswith(b"\r\n") else message + b"\r\n")
    assert answer[:3] in (b"250", b"550", b"552", b"500"), answer
    if answer.startswith(b"250"):
        with imap(world, SINK) as peer:
            ask(peer, b"SELECT INBOX")
            strict(ask(peer, b"FETCH * (ENVELOPE BODYSTRUCTURE PREVIEW BODY.PEEK[HEADER])"))


def test_the_same_again_takes_no_more_memory(world: World) -> None:
    """What the allocator keeps of the largest attacks is used again."""
    clear(world)
    before = world.memory()
    test_a49_little_is_kept_of_much_that_is_asked(world)
    test_a50_whatever_is_in_a_message_is_told_in_the_grammar(world, "100,000 parts")
    assert world.memory() - before < 24 << 20


def test_a50_nul_leaves_as_literal8_only(world: World) -> None:
    """RFC 3516 section 4.4: such a message comes by APPEND only; SMTP refuses it."""
    message = named(b"a\0b")
    with imap(world, SINK) as peer:
        ask(peer, b"CREATE NUL")
        ask(peer, b"APPEND NUL ~{%d+}\r\n%b" % (len(message), message))
        ask(peer, b"SELECT NUL")
        said = ask(peer, b"FETCH 1 (ENVELOPE BODY BODYSTRUCTURE PREVIEW)")
        strict(said)
        assert b"\0" not in said
        whole = ask(peer, b"FETCH 1 BINARY.PEEK[]")
        strict(whole)
        assert b"~{%d}\r\n%b" % (len(message), message) in whole
    by_smtp(world, message)


def test_at_the_end_the_server_is_as_it_was(world: World) -> None:
    clear(world)
    deliver(world, SINK, b"Subject: last\r\n\r\nx\r\n")
    raw = world.server.log.read_bytes()
    assert b"Traceback" not in raw
    assert re.search(rb"[^\n -~]", raw) is None
    assert max(map(len, raw.splitlines())) < 3000
    assert {line["level"] for line in world.log_lines()} <= {"info"}
    until(lambda: world.memory() - world.baseline < 3 * MEMORY_TOLERANCE, 10, "the memory is back")
    world.report(f"memory after everything: {world.baseline >> 20} MB + {(world.memory() - world.baseline) / 2**20:.1f} MB")
    assert postwren("check", data=Path(world.server.data)).strip().endswith("ok")
