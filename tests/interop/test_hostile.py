"""Everything hostile that we know of, thrown at one running server over sockets, while an honest client goes on.

Behind every attack the same is asked: every octet that came back was an answer in the protocol, the honest client is
served, and the honest account is as it was. At the end: no traceback, no bug, the memory back, the store sound.
"""

import asyncio
import base64
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import pytest
from bench.lab.process import until
from tests.cli.program import postwren
from tests.interop.hostile import (
    ANN,
    CONNECTIONS,
    HELLO,
    MARK,
    MEMORY_TOLERANCE,
    PASSWORD,
    PORTS,
    SINK,
    World,
    ask,
    assert_answers,
    count,
    deliver,
    greeted,
    imap,
    log_in,
    login,
    ready,
    round_trip,
    transaction,
    while_honest,
)
from tests.interop.peer import ANSWER, LEGITIMATE, Peer

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def nothing_is_hurt(world: World) -> Iterator[None]:
    yield
    assert world.server.process.poll() is None
    round_trip(world)
    assert count(world, ANN) == 3
    assert count(world, SINK) == world.sunk


# -- what is sent


def noise() -> bytes:
    return random.Random(4).randbytes(65536)


HTTP = [
    b"%s / HTTP/1.1\r\nHost: %s\r\nContent-Length: 40\r\n\r\nMAIL FROM:<%s@example.net>\r\n" % (verb, MARK, MARK)
    for verb in (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT")
] + [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
NAMES: Final = [
    b"%n%s%x",
    "x\u202eexe.txt".encode(),
    b"x\x1b[2Jx",
    b"x\rINFO forged",
    b"\xff\xfe",
    b"a" * 1000,
    "\u2028\u0085".encode(),
]
SENT: Final[dict[str, list[bytes]]] = {
    "noise": [noise(), noise().replace(b"\n", b"\r\n"), bytes(range(256)) * 100],
    "HTTP": HTTP,
    "a TLS hello in the clear": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600],
    "lines of a megabyte": [MARK * 170_000, MARK * 170_000 + b"\r\n", b"NOOP " + MARK * 170_000 + b"\r\nNOOP\r\n"],
    "NUL": [b"\0" * 100_000 + b"\r\n", b"NOOP\0\r\nNOOP " + MARK + b"\0\r\nQUIT\r\n", b"\0"],
    "bare line ends": [b"NOOP\nNOOP\nQUIT\n", b"NOOP\rNOOP\rQUIT\r\n", b"\n" * 1000, b"\r\n" * 1000],
    "names for the log": [b"%s %s\r\n" % (verb, name) for verb in (b"EHLO", b"LHLO", b"HELO", b"USER") for name in NAMES]
    + [b"USER %s\r\nPASS x\r\n" % name for name in NAMES[1:4]]
    + [b"MAIL FROM:<%s@example.net>\r\nRCPT TO:<%s@example.org>\r\n" % (name, name) for name in NAMES],
}  # fmt: skip
TRIED: Final = (*NAMES, b"'", b"*)(uid=*", b"%{user}", b"honest*honest", b"x" * 8000)  # as logins
EXCHANGES: Final[list[list[bytes]]] = [  # each line waits for the answer to the one before; then the peer is gone
    [b"AUTH PLAIN "],
    [b"AUTH PLAIN =", b""],
    [b"AUTH PLAIN", b"*", b"NOOP"],
    [b"AUTH PLAIN"],
    [b"AUTH PLAIN", b""],
    [b"AUTH PLAIN", b"!!!!"],
    [b"AUTH LOGIN", b"===="],
    [b"AUTH LOGIN", b"YW5u", b"*"],
    [b"AUTH LOGIN", b"YW5u"],
    [b"AUTH PLAIN " + b"A" * 12_290, b"NOOP"],
    [b"AUTH PLAIN", b"A" * 13_000],
    [b"AUTH PLAIN", b"A" * 200_000],
    [b"AUTH SCRAM-SHA-256 biws"],
    [b"AUTH SCRAM-SHA-256 " + base64.b64encode(b"n,,n=@,r=abc")],
    [b"AUTH SCRAM-SHA-256 " + base64.b64encode(b"n,,n=@,r=abc"), b"Yz1iaXdzLHI9YWJjLHA9QUFBQQ=="],
    [b"AUTH " + MARK],
    [b"AUTH PLAIN " + login(b"ann\0x", b"\0")],
    [b"AUTH PLAIN", b"ann@example.org"],
    *([b"AUTH PLAIN", name] for name in TRIED),
]


@pytest.mark.parametrize("protocol", PORTS)
@pytest.mark.parametrize("what", SENT)
def test_whatever_comes_is_answered_in_the_protocol(world: World, what: str, protocol: str) -> None:
    """A-06, A-22, A-33: nothing is echoed, nothing but replies comes back, and the end comes."""
    for number, data in enumerate(SENT[what]):
        for talks_early in (False, True):  # before the greeting
            source = f"127.0.{1 + 8 * (number % 30)}.1"
            with world.peer(protocol, source) if talks_early else greeted(world, protocol, source) as peer:
                peer.send(data)
                said = peer.finish()
            assert_answers(protocol, said)
            assert said or not talks_early


def exchanges(protocol: str) -> Iterator[list[bytes]]:
    """With names of this protocol's own: a login that failed a moment before has to wait (A-60)."""
    scram = base64.b64encode(b"n,,n=%s,r=abc" % protocol.encode())
    for lines in EXCHANGES:
        named = [line.replace(base64.b64encode(b"n,,n=@,r=abc"), scram) for line in lines]
        if named[-1] in TRIED:
            named[-1] = login(named[-1] + protocol.encode(), b"' OR 1=1 --")
        elif named[-1] == ANN.encode():  # the password is right, and it is somebody else's
            named[-1] = base64.b64encode(b"%s\0%s@example.org\0%s" % (named[-1], protocol.encode(), PASSWORD.encode()))
        yield named


def as_imap(line: bytes) -> bytes:
    """The same exchange."""
    return re.sub(rb"^(AUTH|NOOP)\b", lambda match: b"a " + match[1].replace(b"AUTH", b"AUTHENTICATE"), line)


@pytest.mark.parametrize("protocol", [protocol for protocol in PORTS if protocol != "lmtp"])
def test_a29_a64_no_exchange_of_rubbish_gets_in_or_gets_stuck(world: World, protocol: str) -> None:
    for number, lines in enumerate(exchanges(protocol)):
        with greeted(world, protocol, f"127.{2 + PORTS[protocol]}.{8 * (number % 30)}.1") as peer:
            answers = []
            for line in lines:
                answers.append(peer.say(as_imap(line) if protocol.startswith("imap") else line))
                if answers[-1].startswith(b"* BYE"):
                    break
            said = b"".join(answers) + peer.finish()
        assert_answers(protocol, said)
        assert not re.search(rb"^(235|\+OK \d|a OK [^d])", said, re.M), (lines, said)
        if answers[-1][:3] not in (b"334", b"+ \r"):
            refusals = (b"5", b"-ERR", b"334", b"+ ", b"250", b"+OK", b"a NO", b"a OK done", b"* BYE")
            assert answers[-1].startswith(refusals) or b" BAD " in answers[-1], (lines, answers)


@pytest.mark.parametrize("protocol", ["pop3s", "imaps", "submissions"])
def test_a06_http_inside_tls_is_dropped_without_a_word_of_it(world: World, protocol: str) -> None:
    for request in HTTP:
        with world.peer(protocol) as peer:
            peer.send(request)
            said = peer.finish(half_close=False)
        last = [b"421 4.7.0 This is a mail server\r\n"] if protocol == "submissions" else []
        assert said.splitlines(keepends=True)[1:] == last
        assert said.startswith((b"+OK Postwren", b"* OK [CAPABILITY ", b"220 "))


@pytest.mark.parametrize("protocol", ["smtp", "lmtp", "submission", "pop3", "imap"])
def test_a01_nothing_sent_behind_starttls_is_ever_run(world: World, protocol: str) -> None:
    """In one segment, and in two with the cut at every octet; NOOP would be answered with 250 or +OK."""
    command = {"pop3": b"STLS\r\n", "imap": b"a STARTTLS\r\n"}.get(protocol, b"STARTTLS\r\n")
    data = command + (b"b NOOP\r\nb CAPABILITY\r\n" if protocol == "imap" else b"NOOP\r\nNOOP\r\n")
    for cut in range(len(data)):
        with greeted(world, protocol) as peer:
            peer.send(data[:cut])
            peer.send(data[cut:])
            said = peer.finish(half_close=False)
        replies = [line for line in said.splitlines(keepends=True) if ANSWER[protocol].fullmatch(line)]
        assert len(replies) == 1, (cut, said)  # ready, or the refusal; then TLS alerts at most
        assert not replies[0].startswith((b"250", b"b"))


@pytest.mark.parametrize("protocol", ["smtp", "pop3", "imap"])
def test_a02_what_was_said_before_tls_is_forgotten_inside(world: World, protocol: str) -> None:
    with world.peer(protocol, LEGITIMATE) as peer:
        peer.reply()
        if protocol == "smtp":
            peer.say(HELLO["smtp"].rstrip())
            assert peer.say(b"MAIL FROM:<a@example.net>").startswith(b"250")
            assert not peer.say(b"STARTTLS").startswith(b"220")  # not within a transaction
            assert peer.say(b"RSET").startswith(b"250")
            assert peer.say(b"STARTTLS").startswith(b"220")
            peer.secure()
            assert peer.say(b"MAIL FROM:<a@example.net>").startswith(b"503")
        elif protocol == "imap":
            assert peer.say(b"a AUTHENTICATE PLAIN") == b"+ \r\n"
            assert peer.say(b"a STARTTLS").startswith(b"a BAD")  # not within an exchange
            assert peer.say(b"a STARTTLS").startswith(b"a OK")
            peer.secure()
            assert b" STARTTLS" not in ask(peer, b"CAPABILITY")
            assert b" BAD " in peer.say(login(ANN.encode(), PASSWORD.encode()))
            ask(peer, b"LOGIN %s %s" % (ANN.encode(), PASSWORD.encode()))
            assert peer.say(b"a STARTTLS").startswith(b"a BAD")
        else:
            assert peer.say(b"USER " + ANN.encode()).startswith(b"+OK")
            assert peer.say(b"STLS").startswith(b"+OK")
            peer.secure()
            assert peer.say(b"PASS " + PASSWORD.encode()).startswith(b"-ERR")
            peer.say(b"USER " + ANN.encode())
            assert peer.say(b"PASS " + PASSWORD.encode()).startswith(b"+OK")
            assert peer.say(b"STLS").startswith(b"-ERR")


# -- messages


BOMBS: Final[dict[str, tuple[int, Callable[[], bytes]]]] = {
    "a header of 50 MB": (552, lambda: b"Subject: " + b"x" * 49_990_000),
    "a header above the size limit": (552, lambda: b"Subject: " + b"x" * 51_000_000),
    "500,000 headers": (552, lambda: b"X: y\r\n" * 500_000),
    "a header folded to a million lines": (552, lambda: b"Subject: x" + b"\r\n x" * 1_000_000),
    "100,000 addresses": (552, lambda: b"To: " + b",\r\n ".join([b"a@b.example"] * 100_000)),
    "10,000 addresses": (250, lambda: b"To: " + b",\r\n ".join([b"a@b.example"] * 10_000)),
    "6,000 encoded words": (250, lambda: b"Subject: " + b"\r\n ".join([b"=?utf-8?Q?=C3=A4?="] * 6_000)),
    "20,000 encoded words": (552, lambda: b"Subject: " + b"\r\n ".join([b"=?utf-8?Q?=C3=A4?="] * 20_000)),
    "20,000 parameters": (250, lambda: b"Content-Type: a/b" + b"".join(b";\r\n x*%d=y" % n for n in range(18_000))),
    "50,000 empty lines of a folded header": (250, lambda: b"Subject: x" + b"\r\n " * 50_000 + b"y"),
    "8-bit rubbish": (250, lambda: b"Subject: " + bytes(range(128, 256)) * 1000),
    "3,000 levels of multipart": (
        250, lambda: b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(3000))),
}  # fmt: skip


@pytest.mark.parametrize("protocol", ["smtp", "lmtp", "submissions"])
@pytest.mark.parametrize("name", BOMBS)
def test_a31_a_bomb_is_refused_or_kept_and_costs_little(world: World, name: str, protocol: str) -> None:
    code, make = BOMBS[name]
    bomb = make() + b"\r\n\r\nbody\r\n"
    author = b"From: %s\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <a@b.example>\r\n" % SINK.encode()
    with ready(world, protocol) as peer:
        begun = time.perf_counter()
        answer = transaction(peer, SINK, author * (protocol == "submissions") + bomb, SINK)
        took = time.perf_counter() - begun
        if protocol == "submissions" and "empty lines" in name:
            code = 550  # RFC 5322 3.2.2: nobody may write them any more
        assert answer.startswith(b"%d " % code), answer
        assert peer.say(b"NOOP").startswith(b"250")
    assert took < 3
    world.sunk += code == 250
    if code == 250:
        with log_in(world, SINK) as peer:
            assert peer.say(b"RETR %d" % world.sunk).startswith(b"+OK")
            assert peer.listing().endswith(bomb)
            assert peer.say(b"TOP %d 0" % world.sunk).startswith(b"+OK")
            peer.listing()
            peer.say(b"QUIT")


SMUGGLED: Final = [
    b"\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
]


@pytest.mark.parametrize("protocol", ["smtp", "lmtp", "submissions"])
def test_a20_no_false_end_of_data_smuggles_a_message(world: World, protocol: str) -> None:
    for end in SMUGGLED:
        inner = b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\nevil\r\n.\r\n" % (SINK.encode(), SINK.encode())
        with ready(world, protocol) as peer:
            assert peer.say(b"MAIL FROM:<%s>" % SINK.encode()).startswith(b"250")
            assert peer.say(b"RCPT TO:<%s>" % SINK.encode()).startswith(b"250")
            assert peer.say(b"DATA").startswith(b"354")
            peer.send(b"From: %s\r\n\r\nx" % SINK.encode() + end + inner)
            assert peer.reply().startswith(b"550 5.6.11")
            assert peer.say(b"NOOP").startswith(b"250")


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
@pytest.mark.parametrize("recipient", [SINK, "nobody@example.org", "victim@elsewhere.example"])
def test_a32_a_flood_of_20000_recipients_is_bounded(world: World, recipient: str, protocol: str) -> None:
    """A hundred are taken, a harvester is dropped, and our own relay on LMTP is answered to the end."""
    flood = b"MAIL FROM:<>\r\n" + b"RCPT TO:<%s>\r\n" % recipient.encode() * 20_000
    is_dropped = protocol == "smtp" and recipient != SINK
    with greeted(world, protocol) as peer:
        writer = threading.Thread(target=peer.send, args=(flood,))
        writer.start()
        said = peer.finish(half_close=False) if is_dropped else b"".join(peer.reply() for _ in range(20_001))
        writer.join(20)
    replies = re.findall(rb"^(\d\d\d) ([^\r]*)", said, re.M)
    codes = [code for code, _ in replies]
    assert codes.count(b"250") == (101 if recipient == SINK else 1)
    if is_dropped:
        assert replies[-1] == (b"421", b"4.7.0 Too many errors")
        assert len(codes) <= 30
    assert len({text for code, text in replies if code in (b"550", b"452")}) == 1


# -- connections


async def drip(world: World, protocol: str, first: list[bytes], data: bytes, stop: threading.Event) -> None:
    """One octet at a time, for as long as it lasts; what the server says to it does not matter here."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port(PORTS[protocol]))
    place = 0
    with suppress(ConnectionError):
        for line in first:
            while (await reader.readline())[3:4] == b"-":
                pass
            writer.write(line)
        while not stop.is_set():
            if data:
                writer.write(data[place % len(data) :][:1])
                await writer.drain()
                place += 1
            await asyncio.sleep(0.05)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


TO_ANN: Final = [HELLO["smtp"], b"MAIL FROM:<>\r\n", b"RCPT TO:<ann@example.org>\r\n"]
SLOW: Final[list[tuple[str, list[bytes], bytes]]] = [  # what is said in whole lines first, then by the octet
    ("smtp", [], b""),
    ("smtp", [], b"EHLO " + b"x" * 200),
    ("smtp", [*TO_ANN, b"DATA\r\n"], b"Subject: slow\r\n"),
    ("smtp", [*TO_ANN, b"BDAT 100000 LAST\r\n"], b"x"),
    ("smtp", [HELLO["smtp"], b"AUTH PLAIN\r\n"], b"A"),
    ("submission", [HELLO["smtp"]], b"STARTTLS " + b"x" * 200),
    ("submissions", [], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 400),
    ("lmtp", [HELLO["lmtp"]], b"MAIL FROM:<" + b"x" * 64),
    ("pop3", [], b"USER " + b"x" * 400),
    ("pop3", [], b"NOOP\r\n"),
    ("pop3", [b"AUTH PLAIN\r\n"], b"A"),
    ("imap", [], b"a LOGIN " + b"x" * 400),
    ("imap", [], b"a NOOP\r\n"),
    ("imap", [b"a AUTHENTICATE PLAIN\r\n"], b"A"),
    ("imap", [b"a LOGIN {500}\r\n"], b"x"),
    ("imap", [b"a LOGIN {500+}\r\n"], b"x"),
    ("pop3s", [], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 400),
]


def test_a30_three_hundred_dripping_connections_harm_nobody(world: World) -> None:
    def attack(stop: threading.Event) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(drip(world, *SLOW[number % len(SLOW)], stop) for number in range(300)))

        asyncio.run(all_of_them())

    while_honest(world, "300 dripping connections", attack)


def test_a30_peers_that_never_read_cost_little(world: World) -> None:
    """RETR of a large message again and again, and commands without end; not one answer is read."""
    large = b"Subject: large\r\n\r\n" + b"x" * 998 + b"\r\n" + (b"y" * 998 + b"\r\n") * 4000
    deliver(world, SINK, large)
    world.sunk += 1
    before = world.memory()
    fetching = imap(world, SINK)
    ask(fetching, b"SELECT INBOX")
    deaf = [greeted(world, "smtp"), greeted(world, "lmtp"), log_in(world, SINK), fetching]
    floods = [line * 2_000_000 for line in (b"NOOP\r\n", b"NOOP\r\n", b"RETR %d\r\n" % world.sunk, b"a FETCH * BODY[]\r\n")]

    def attack(stop: threading.Event) -> None:
        for peer in deaf:
            peer.sock.setblocking(False)
        places = [0] * len(deaf)
        while not stop.wait(0.01):
            for number, (peer, flood) in enumerate(zip(deaf, floods, strict=True)):
                with suppress(BlockingIOError):
                    places[number] += peer.sock.send(flood[places[number] : places[number] + 65536])
        assert all(place < len(flood) for place, flood in zip(places, floods, strict=True)), "the server took it all"

    try:
        while_honest(world, "peers that never read", attack, rounds=10)
        grown = world.memory() - before
    finally:
        for peer in deaf:
            peer.reset()
    world.report(f"peers that never read: {grown >> 10} kB")
    assert grown < 16 << 20
    until(lambda: is_free(world, SINK), 5, "the maildrop of the peer that never read is free")


def is_free(world: World, login: str) -> bool:
    try:
        log_in(world, login).reset()
    except AssertionError:
        return False
    return True


def test_a30_a_flood_of_connections_meets_the_cap_and_passes(world: World) -> None:
    """Over the cap a line and the end; as soon as they are gone, everybody is served again."""
    peers: list[tuple[Peer, bytes]] = []
    ports = [PORTS[protocol] for protocol in ("smtp", "lmtp", "pop3", "imap")]
    try:
        for number in range(CONNECTIONS + 60):
            peer = Peer(world.server.port(ports[number % 4]))
            peers.append((peer, peer.reply()))
        over = [(peer, said) for peer, said in peers if not said.startswith((b"220", b"+OK", b"* OK"))]
        assert 60 <= len(over) <= 65  # those of earlier tests may still be going
        for peer, said in over:
            assert re.match(rb"(421 4.7.0|-ERR \[SYS/TEMP\]|\* BYE \[UNAVAILABLE\]) too many connections", said, re.IGNORECASE)
            assert peer.finish() == b""
    finally:
        for peer, _ in peers:
            peer.reset()
    until(lambda: admits(world), 5, "the server admits peers again")


def admits(world: World) -> bool:
    with world.peer("smtp") as peer:
        return peer.reply().startswith(b"220")


# -- logins


def test_a60_a62_a_thousand_wrong_logins_at_once_harm_nobody_else(world: World) -> None:
    """Half from one address, half from 500 networks; each is answered, none gets in, the honest device is served on."""
    answers: list[bytes] = []

    async def attempt(number: int) -> None:
        source = "127.0.0.1" if number % 2 else f"127.{1 + number % 90}.{8 * (number // 90)}.1"
        name = f"nobody{number}@example.org" if number % 100 else ANN  # more at ANN would wait for half a minute
        port = world.server.port(PORTS["pop3" if number % 3 else "smtp"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        if not number % 3:
            await reader.readline()
            writer.write(HELLO["smtp"])
            await reader.readuntil(b"250 ")
            await reader.readline()
        writer.write(b"AUTH PLAIN %s\r\n" % login(name.encode(), b"wrong %d" % number))
        writer.write_eof()
        said = await reader.read()
        writer.close()
        answers.append(said.splitlines()[-1])

    def attack(stop: threading.Event) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(attempt(number) for number in range(1000)))

        asyncio.run(all_of_them())
        stop.wait(30)

    while_honest(world, "1,000 wrong logins at once", attack)
    kinds = {b"-ERR [AUTH] wrong", b"-ERR [SYS/TEMP] b", b"535 5.7.8 Authen", b"454 4.7.0 Too ma", b"421"}
    assert len(answers) == 1000
    assert [answer for answer in answers if not answer.startswith(tuple(kind[:16] for kind in kinds))] == []
    assert not any(answer.startswith((b"+OK", b"235")) for answer in answers)
    world.report(
        f"1,000 wrong logins: {sum(answer[:4] in (b'-ERR', b'535 ') and b'AUTH' in answer for answer in answers)} judged"
    )


# -- one line an event, and the end


TO_SINK: Final = b"MAIL FROM:<>\r\nRCPT TO:<sink@example.org>\r\nDATA\r\n"
EVENTS: Final[list[tuple[str, str, list[bytes], dict[str, object]]]] = [
    ("smtp", "accepted", [TO_SINK, b"x\r\n.\r\nQUIT\r\n"], {"code": 250}),
    ("smtp", "refused", [TO_SINK, b"\x1b\n\r\n.\r\nQUIT\r\n"], {"code": 550}),
    ("lmtp", "refused", [TO_SINK, b"\r\n\0\r\n.\r\nQUIT\r\n"], {"code": 550}),
    ("smtp", "refused", [b"MAIL FROM:<>\r\nRCPT TO:<x@elsewhere.example>\r\nQUIT\r\n"], {"code": 550}),
    ("lmtp", "refused", [b"MAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\nQUIT\r\n"], {"code": 550}),
    ("smtp", "refused", [b"XYZZY \x1b[2J\r\nQUIT\r\n"], {"code": 500}),
    ("smtp", "login refused", [b"AUTH PLAIN " + login(b"ann\x1b", b"x") + b"\r\n"], {"reason": "wrong"}),
    ("smtp", "dropped", [HTTP[0]], {"code": 421}),
    ("pop3", "refused", [b"XYZZY \x1b[2J\r\nQUIT\r\n"], {"reason": "unknown command"}),
    ("pop3", "refused", [b"AUTH PLAIN " + login(b"evil\x1b[2J", b"x") + b"\r\n"], {"reason": "wrong"}),
    ("pop3", "refused", [HTTP[0]], {"reason": "not POP3"}),
    ("imap", "refused", [b"a XYZZY \x1b[2J\r\n", b"b LOGOUT\r\n"], {"reason": "unknown command"}),
    ("imap", "refused", [b'a LOGIN "evil\\\x1b[2J" x\r\n'], {"reason": "syntax error"}),
    ("imap", "refused", [b"a AUTHENTICATE PLAIN " + login(b"evil\x1b[2J", b"x") + b"\r\n"], {"reason": "wrong"}),
    ("imap", "refused", [HTTP[0]], {"reason": "not IMAP"}),
]


@pytest.mark.parametrize("number", range(len(EVENTS)))
def test_a33_an_event_is_one_line_of_the_log(world: World, number: int) -> None:
    protocol, event, parts, fields = EVENTS[number]
    source = f"127.50.{8 * number}.1"
    start = world.server.log.stat().st_size
    with greeted(world, protocol, source) as peer:
        for part in parts:
            peer.send(part)
            while part.endswith(b"DATA\r\n") and not peer.reply().startswith(b"354"):
                pass
        peer.finish()
    world.sunk += event == "accepted"
    round_trip(world)  # what is logged before is written
    lines = [line for line in world.log_lines(start) if line.get("peer") == source]
    assert [line["event"] for line in lines] == [event], lines
    assert fields.items() <= lines[0].items()


def test_tls_that_fails_is_one_line_of_the_log(world: World) -> None:
    start = world.server.log.stat().st_size
    with Peer(world.server.port(95), "127.51.0.1") as peer:
        peer.send(HTTP[0])
        assert peer.finish() == b""
    with pytest.raises(ssl.SSLError):
        ssl.create_default_context().wrap_socket(
            Peer(world.server.port(95), "127.51.0.2").sock, server_hostname="foreign.example"
        )
    round_trip(world)
    lines = [line for line in world.log_lines(start) if "127.51.0." in str(line["event"])]
    assert len(lines) == 2


def test_at_the_end_the_server_is_as_it_was(world: World) -> None:
    raw = world.server.log.read_bytes()
    assert b"Traceback" not in raw
    assert re.search(rb"[^\n -~]", raw) is None, "a terminal or a log reader could be led astray"
    assert max(map(len, raw.splitlines())) < 3000
    lines = world.log_lines()  # every line is one JSON object
    assert {line["level"] for line in lines} <= {"info"}
    left = world.memory() - world.baseline
    world.report(f"memory after everything: {world.baseline >> 20} MB + {left / 2**20:.1f} MB")
    assert left < MEMORY_TOLERANCE
    assert postwren("check", data=world.server.data).strip().endswith("ok")
