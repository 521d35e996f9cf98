"""Promises that only a running server can keep: never a relay (A-24), a maildrop that is free at once (D-53), and a
delivery that waits for nobody else's (D-06)."""

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.cli.program import Server, postwren
from tests.interop.peer import Peer

pytestmark = pytest.mark.real

ANN, JO, PASSWORD = "ann@example.org", "jo@münchen.example", "sesame"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("promises")
    accounts = "".join(f"{login}\t{PASSWORD}\n" for login in (ANN, JO))
    postwren("account", "add", "--from", "-", data=folder / "data", text=accounts)
    config = folder / "postwren.toml"
    config.write_text("[smtp]\nsize_limit = 200_000_000\n")
    with Server(folder / "data", "--config", str(config)) as server:
        yield server


def sender(server: Server, *, is_lmtp: bool = False, is_authenticated: bool = False) -> Peer:
    peer = Peer(server.port(24 if is_lmtp else 25))
    assert peer.reply().startswith(b"220")
    assert peer.say(b"LHLO x" if is_lmtp else b"EHLO x").startswith(b"250")
    if is_authenticated:
        assert peer.say(b"AUTH PLAIN " + base64.b64encode(f"\0{ANN}\0{PASSWORD}".encode())).startswith(b"235")
    return peer


def device(server: Server, login: str = ANN, *, is_tls: bool = False) -> tuple[Peer, bytes]:
    """A POP3 client, and what its login was answered."""
    peer = Peer(server.port(95 if is_tls else 10), is_tls=is_tls)
    peer.reply()
    peer.say(b"USER " + login.encode())
    return peer, peer.say(b"PASS " + PASSWORD.encode())


def stored(server: Server, login: str) -> int:
    peer, answer = device(server, login)
    with peer:
        assert answer.startswith(b"+OK"), answer
        peer.say(b"QUIT")
    return int(answer.split()[1])


LOCAL: Final = [
    "ann@example.org", "ANN@example.org", "ann@EXAMPLE.ORG", '"ann"@example.org', '"a\\nn"@example.org', "ann+lists@example.org",
    "@far.example,@farther.example:ann@example.org", "jo@xn--mnchen-3ya.example", "jo@münchen.example", "JO@MÜNCHEN.example",
]  # fmt: skip
NOT_LOCAL: Final = [
    "a@far.example", "A@FAR.EXAMPLE", '"a"@far.example', "a+ann@far.example", "ann@sub.example.org",
    "ann@example.org.far.example",
    "a%far.example@example.org", "far.example!a@example.org", "a@far.example@example.org", '"a@far.example"@example.org',
    "@example.org:a@far.example", "@example.org,@far.example:a@far.example", "@[127.0.0.1]:a@far.example",
    "a@far.example%example.org", "ann@example.org.", "ann@.example.org", "ann@example..org", "ann", "a@", "@example.org",
    "ann@[127.0.0.1]", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "ann@127.0.0.1", "a@#2130706433", "ann@localhost",
    "a@münchen.far.example", "a@xn--mnchen-3ya.far.example", "ann@exаmple.org", "ann@example。org.far.example",
    "ann%40example.org@far.example", "|cat", '"|cat"@example.org', "$(id)@example.org", ";id;@example.org",
    "/etc/passwd@example.org",
    '""@example.org', "ann@example.org>,<a@far.example", "ann@example.org a@far.example",
]  # fmt: skip


@pytest.mark.parametrize("who", ["a stranger", "who has logged in", "a relay on LMTP"])
def test_a24_only_local_recipients_are_accepted(server: Server, who: str) -> None:
    """Whoever asks, in whatever spelling, with SMTPUTF8 and without; and what was accepted is in the account."""
    before = {login: stored(server, login) for login in (ANN, JO)}
    accepted = 0
    for recipient in LOCAL + NOT_LOCAL:
        for parameter in (b"", b" SMTPUTF8"):
            with sender(server, is_lmtp=who == "a relay on LMTP", is_authenticated=who == "who has logged in") as peer:
                assert peer.say(b"MAIL FROM:<a@example.net>" + parameter).startswith(b"250")
                answer = peer.say(b"RCPT TO:<%s>" % recipient.encode())
                assert answer.startswith(b"250 " if recipient in LOCAL else b"5"), (recipient, parameter, answer)
                if recipient in LOCAL:
                    assert peer.say(b"DATA").startswith(b"354")
                    peer.send(b"Subject: local\r\n\r\n.\r\n")
                    assert peer.reply().startswith(b"250")
                    accepted += 1
                else:
                    assert peer.say(b"DATA").startswith(b"503")
    assert sum(stored(server, login) - before[login] for login in (ANN, JO)) == accepted


VANISH: Final[dict[str, tuple[bytes, Callable[[Peer], object]]]] = {  # the last it says, and how it goes
    "closes": (b"", Peer.close),
    "resets": (b"", Peer.reset),
    "closes half and waits": (b"", Peer.finish),
    "says QUIT": (b"QUIT\r\n", Peer.reply),
    "closes within a command": (b"DELE 1\r\nRETR", Peer.close),
    "resets within a download": (b"RETR 1\r\n" * 500, Peer.reset),
}


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("how", VANISH)
def test_d53_the_maildrop_is_free_within_a_second(server: Server, how: str, is_tls: bool) -> None:
    if stored(server, ANN) == 0:
        deliver(server, b"Subject: large\r\n\r\n" + b"x" * 998 + b"\r\n" * 2)
    count = stored(server, ANN)
    holder, answer = device(server, is_tls=is_tls)
    assert answer.startswith(b"+OK")
    second, answer = device(server)
    assert answer.startswith(b"-ERR [IN-USE]")
    second.close()
    last, go = VANISH[how]
    holder.send(last)
    go(holder)
    assert seconds_until_free(server) < 1
    assert stored(server, ANN) == count  # D-50
    holder.close()


def test_d53_the_maildrop_of_a_killed_client_is_free_within_a_second(server: Server) -> None:
    program = (
        "import poplib, sys\n"
        "pop = poplib.POP3('127.0.0.1', int(sys.argv[1]))\n"
        "pop.user(sys.argv[2]); pop.pass_(sys.argv[3])\n"
        "print('in', flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", program, str(server.port(10)), ANN, PASSWORD]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"in\n"
        peer, answer = device(server)
        assert answer.startswith(b"-ERR [IN-USE]")
        peer.close()
        os.kill(client.pid, signal.SIGKILL)
        client.wait()
        assert seconds_until_free(server) < 1


def seconds_until_free(server: Server) -> float:
    begun = time.monotonic()
    while True:
        peer, answer = device(server)
        peer.close()
        if answer.startswith(b"+OK"):
            return time.monotonic() - begun
        assert answer.startswith(b"-ERR [IN-USE]")
        assert time.monotonic() - begun < 5


def deliver(server: Server, message: bytes) -> None:
    with sender(server) as peer:
        begin(peer)
        peer.send(message + b".\r\n")
        assert peer.reply().startswith(b"250")


def begin(peer: Peer) -> None:
    peer.say(b"MAIL FROM:<a@example.net>")
    peer.say(b"RCPT TO:<ann@example.org>")
    assert peer.say(b"DATA").startswith(b"354")


def test_d06_an_answer_waits_for_nobody_elses_message_or_hash(server: Server) -> None:
    """100 MB are on their way and logins are being hashed: small messages are answered before either is."""
    line = b"x" * 998 + b"\r\n"
    with sender(server) as large, sender(server) as small:
        begin(large)
        large.send(b"Subject: large\r\n\r\n" + line * 60_000)
        guesses = [Peer(server.port(10), f"127.{9 + n}.0.1") for n in range(40)]
        for n, guess in enumerate(guesses):
            guess.reply()
            guess.send(b"AUTH PLAIN " + base64.b64encode(b"\0nobody%d\0x" % n) + b"\r\n")
        for _ in range(20):
            begin(small)
            small.send(b"Subject: small\r\n\r\n.\r\n")
            assert small.reply().startswith(b"250")
        guesses[-1].sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            guesses[-1].sock.recv(1)  # none of the guesses is answered before its second is over
        large.send(line * 40_000 + b".\r\n")
        assert large.reply().startswith(b"250")
        for guess in guesses:
            guess.close()


def test_a60_failures_by_smtp_close_the_door_of_pop3_too(server: Server) -> None:
    """One count for all protocols: after ten wrong guesses the right password from there must wait; elsewhere it need not."""
    for source in ("127.200.0.1", "127.201.0.1"):
        minute = time.time() // 60
        guess_ten_times(server, source)
        answer = first_answer(server, source)
        if time.time() // 60 == minute:
            break  # counters are those of a minute of the clock: once at most it ends meanwhile
    assert answer.startswith(b"-ERR [SYS/TEMP]")
    assert first_answer(server, "127.210.0.1").startswith(b"+OK")


def guess_ten_times(server: Server, source: str) -> None:
    guesses = [Peer(server.port(25), source) for _ in range(10)]
    for n, guess in enumerate(guesses):
        guess.reply()
        guess.say(b"EHLO x")
        guess.send(b"AUTH PLAIN " + base64.b64encode(b"\0nobody\0wrong %d" % n) + b"\r\n")
    for guess in guesses:
        assert guess.reply().startswith(b"535")
        guess.close()


def first_answer(server: Server, source: str) -> bytes:
    """What the right password is answered."""
    with Peer(server.port(10), source) as peer:
        peer.reply()
        peer.say(b"USER " + ANN.encode())
        return peer.say(b"PASS " + PASSWORD.encode())


def test_the_log_of_all_this_has_no_trace(server: Server) -> None:
    assert "Traceback" not in Path(server.log).read_text()
