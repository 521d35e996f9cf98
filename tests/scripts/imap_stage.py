"""The stage of IMAP dialogues, the same for every server: what `@` and `!` words mean.

@ account LOGIN [QUOTA]         bob and cat, or small with 10240 octets; ann@example.org is always there, passwords are "secret"
@ do COMMAND                    an IMAP command on a connection of its own, answered OK before the dialogue begins
@ as LOGIN                      the words below are done by this account
@ message MAILBOX [(FLAGS)] ["DATE"] TEXT    appended; escapes as in `C:`
@ messages MAILBOX COUNT        so many small messages: Subject: 1, body 1 and so on
@ sample MAILBOX NAME [(FLAGS)] ["DATE"]     appended: a file of samples/
@ login [N] [LOGIN]             connection N (1) begins logged in
@ select [N] MAILBOX            logged in, and with this mailbox selected; the same with `examine`; `@ enable [N] WORDS` too
@ only postwren RFC n           no other server has it
@ not SERVER REASON             this server differs, which the comment judges
@ requires CAPABILITY           played where the server advertises it
@ tls, @ far                    TLS is on from the start; the peer is no loopback address (ours only)

! deliver LOGIN TEXT            a message arrives
! pop3 LOGIN NUMBER             a POP3 session removes this message of the INBOX
! do COMMAND                    as above, in the middle of the dialogue
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from postwren.testing.imapanswer import IMAP
from postwren.testing.pattern import unescape
from postwren.testing.play import Wire, play
from postwren.testing.script import Case, Cut, Step, read_cases, read_step

__all__ = ["CASES", "LOGIN", "PASSWORD", "World", "name_of", "play_case", "why_not"]

HERE: Final = Path(__file__).parent
LOGIN, PASSWORD = "ann@example.org", "secret"
CASES: Final = [case for path in sorted((HERE / "imap").glob("*.script")) for case in read_cases(path)]
_PRELUDE: Final = ("login", "select", "examine", "enable")
_MESSAGE: Final = re.compile(r'("[^"]*"|\S+)(?: (\([^)]*\)))?(?: ("[ \d]\d-[^"]*"))?(?: (.*))?', re.DOTALL)


class World(Protocol):
    """A server with accounts."""

    name: str

    async def account(self, login: str, quota: int) -> None: ...
    async def connect(self, scene: set[str]) -> Wire: ...
    async def deliver(self, login: str, message: bytes) -> None: ...
    async def remove_by_pop3(self, login: str, number: int) -> None: ...


def name_of(case: Case) -> str:
    return f"{case.file.removesuffix('.script')}: {case.name}"


def why_not(case: Case, server: str, capabilities: set[str]) -> str:
    """Why this case is not for this server; "" when it is."""
    for words in case.stage:
        match words:
            case ["only", other, *reason] if other != server:
                return f"only {other}: {' '.join(reason)}"
            case ["not", other, *reason] if other == server:
                return " ".join(reason)
            case ["requires", *wanted] if not set(wanted) <= capabilities:
                return f"{server} has no {' '.join(sorted(set(wanted) - capabilities))}"
    return ""


class Hand:
    """A connection of an account that does what the stage says."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.heard = b""

    async def do(self, command: bytes) -> None:
        await self.wire.send(iter([b"do " + command + b"\r\n"]))
        answer = b""
        while not answer.startswith(b"do "):
            answer = await self.answer()
        assert answer.startswith(b"do OK") or command.startswith(b"LOGOUT"), (command[:200], answer)

    async def answer(self) -> bytes:
        while (size := IMAP.cut(self.heard)) < 0:
            more = await self.wire.hear(True)
            assert more, ("no answer", self.heard)
            self.heard += more
        answer, self.heard = self.heard[:size], self.heard[size + 2 :]
        return answer


@dataclass
class Stage:
    """The hands of a case, by login; they let go before the dialogue begins."""

    world: World
    login: str = LOGIN
    hands: dict[str, Hand] = field(default_factory=dict)

    async def do(self, command: bytes) -> None:
        hand = self.hands.get(self.login)
        if hand is None:
            hand = self.hands[self.login] = Hand(await self.world.connect(set()))
            await hand.answer()
            await hand.do(f"LOGIN {self.login} {PASSWORD}".encode())
        await hand.do(command)

    async def append(self, mailbox: str, flags: str | None, date: str | None, message: bytes) -> None:
        words = " ".join(word for word in (mailbox, flags, date) if word)
        await self.do(f"APPEND {words} {{{len(message)}+}}\r\n".encode() + message)

    async def leave(self) -> None:
        for hand in self.hands.values():
            await hand.do(b"LOGOUT")
        self.hands.clear()

    async def set(self, scene: str) -> None:
        word, _, rest = scene.partition(" ")
        match word:
            case "account":
                login, _, quota = rest.partition(" ")
                await self.world.account(login, int(quota or 0))
            case "as":
                self.login = rest
            case "do":
                await self.do(unescape(rest.encode()))
            case "message" | "sample":
                mailbox, flags, date, text = _message_words(rest, word == "sample")
                await self.append(mailbox, flags, date, text)
            case "messages":
                mailbox, count = rest.rsplit(" ", 1)
                for number in range(1, int(count) + 1):
                    await self.append(mailbox, None, None, b"Subject: %d\r\n\r\nbody %d\r\n" % (number, number))
            case _ if word not in (*_PRELUDE, "only", "not", "requires", "tls", "far"):
                raise ValueError(f"no such stage: {scene}")

    async def deed(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        match word:
            case "deliver":
                login, _, message = rest.partition(" ")
                await self.world.deliver(login, unescape(message.encode()))
            case "pop3":
                login, number = rest.split()
                await self.world.remove_by_pop3(login, int(number))
            case "do" | "message" | "messages" | "sample":
                await self.set(text)
                await self.leave()
            case _:
                raise ValueError(f"no such deed: {text}")


def _message_words(text: str, is_sample: bool) -> tuple[str, str | None, str | None, bytes]:
    if is_sample:
        mailbox, name, *rest = re.findall(r'"[^"]*"|\([^)]*\)|\S+', text)
        flags = next((word for word in rest if word.startswith("(")), None)
        date = next((word for word in rest if word.startswith('"')), None)
        return mailbox, flags, date, sample(name)
    found = _MESSAGE.fullmatch(text)
    assert found, text
    return found[1], found[2], found[3], unescape((found[4] or "").encode())


def sample(name: str) -> bytes:
    """A message of samples/, kept with LF there."""
    return (HERE / "imap" / "samples" / f"{name}.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def prelude(case: Case) -> Iterator[Step]:
    """The steps that `@ login`, `@ select`... stand for."""
    logged_in: set[str] = set()
    for words in case.stage:
        if words[0] not in _PRELUDE:
            continue
        number = words[1] if words[1:] and words[1].isdigit() else ""
        rest = " ".join(words[2:] if number else words[1:])
        if number not in logged_in:
            logged_in.add(number)
            login = rest if words[0] == "login" and rest else LOGIN
            yield read_step(f"S{number}: * OK {{}}")
            yield from _done(number, f"LOGIN {login} {PASSWORD}")
        if words[0] != "login":
            yield from _done(number, f"{words[0].upper()} {rest}")


def _done(number: str, command: str) -> Iterator[Step]:
    yield read_step(f"C{number}: at {command}")
    yield read_step(f"S{number}*")
    yield read_step(f"S{number}: at OK {{}}")


async def play_case(world: World, case: Case, cut: Cut, names: dict[str, bytes] | None = None) -> None:
    """Set the stage, then play."""
    stage = Stage(world)
    await world.account(LOGIN, 0)
    for scene in case.scenes:
        await stage.set(scene)
    await stage.leave()
    stage.login = LOGIN
    options = {words[0] for words in case.stage} & {"tls", "far"}
    whole = Case(case.name, case.file, case.cites, steps=[*prelude(case), *case.steps])

    async def connect(_number: int) -> Wire:
        return await world.connect(options)

    opener: Callable[[int], Awaitable[Wire]] = connect
    await play(whole, opener, cut, IMAP, stage.deed, names)
