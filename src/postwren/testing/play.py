"""Plays a dialogue (`script`) over wires: a link in memory, or anything that can send octets and hear some.

A mismatch shows the whole dialogue so far, what was expected, and what had come instead.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

from postwren.testing.loopback import LoopbackLink
from postwren.testing.pattern import LINES, Grammar, fill
from postwren.testing.script import Case, Cut, Step

__all__ = ["Deed", "LoopbackWire", "ScriptMismatch", "Wire", "play"]

Deed = Callable[[str], Awaitable[None]]
PATIENCE: Final = 5.0
"""Seconds until what is expected from a session in memory must have come."""


class ScriptMismatch(AssertionError):
    """The server said something else."""


class Wire(Protocol):
    """One connection of a dialogue."""

    async def send(self, pieces: Iterator[bytes]) -> None:
        """Octets to the server; no pieces is the end of our stream."""

    async def hear(self, expected: bool) -> bytes:
        """More octets from the server. b"" is none: none at the moment, or none within its patience when they are expected."""

    async def closes(self) -> bool:
        """Whether the server closes the connection without another octet."""

    async def has_tls(self) -> bool:
        """Whether TLS is on now (a real wire may shake hands here)."""


class LoopbackWire:
    """Drives a link in memory; what the session calls a bug is raised."""

    def __init__(self, link: LoopbackLink) -> None:
        self.link = link

    async def send(self, pieces: Iterator[bytes]) -> None:
        ended = True
        for piece in pieces:
            ended = False
            self.link.receive(piece)
            await self.link.settled()
        if ended:
            self.link.receive(b"")
            await self.link.settled()

    async def hear(self, expected: bool) -> bytes:
        """What a session says of another's doings comes by way of the loop: it may turn until something is there."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while True:
            await self.link.settled()
            if self.link.bugs:
                raise self.link.bugs[0]
            heard = self.link.take()
            if heard or not expected or self.link.is_closed or asyncio.get_running_loop().time() > end:
                return heard
            await asyncio.sleep(0.001)

    async def closes(self) -> bool:
        return self.link.is_closed and not await self.hear(False)

    async def has_tls(self) -> bool:
        return self.link.tls is not None


async def play(
    case: Case,
    wires: LoopbackLink | Callable[[int], Awaitable[Wire]],
    cut: Cut,
    grammar: Grammar = LINES,
    deed: Deed | None = None,
    names: dict[str, bytes] | None = None,
) -> None:
    """Play a dialogue; raises ScriptMismatch with the whole dialogue so far. `wires(n)` opens connection n when it is
    first named; `deed` does what `!` steps say; `names` are known from the start."""
    link = wires if isinstance(wires, LoopbackLink) else None
    opener = _only(link) if link else wires
    assert not isinstance(opener, LoopbackLink)
    player = _Player(case, opener, cut, grammar, deed, dict(names or {}))
    await player.run()
    if link and link.bugs:
        raise link.bugs[0]


def _only(link: LoopbackLink) -> Callable[[int], Awaitable[Wire]]:
    async def open_wire(session: int) -> Wire:
        assert session == 1, "there is one connection"
        return LoopbackWire(link)

    return open_wire


class _Session:
    """One connection: what it said and nobody expected yet, and what it must not say."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.heard = b""
        self.never: list[Step] = []
        self.skips = False


class _Player:
    def __init__(
        self,
        case: Case,
        open_wire: Callable[[int], Awaitable[Wire]],
        cut: Cut,
        grammar: Grammar,
        deed: Deed | None,
        names: dict[str, bytes],
    ) -> None:
        self.case = case
        self.open_wire = open_wire
        self.cut = cut
        self.grammar = grammar
        self.deed = deed
        self.names = names
        self.said: list[str] = []
        self.sessions: dict[int, _Session] = {}
        self.step = Step("end", b"", 0)

    async def run(self) -> None:
        steps = [*self.case.steps, self.step]
        place = 0
        while steps[place].kind != "end":
            self.step = steps[place]
            end = place + 1
            while self._goes_with(steps[end]):
                end += 1
            await self._perform(steps[place:end])
            place = end

    def _goes_with(self, other: Step) -> bool:
        """C steps of a session go out together; a group of `S~` has its `S*` wherever it stands."""
        together = {"C": ("C",), "any": ("any", "skip")}.get(self.step.kind, ())
        return other.kind in together and other.session == self.step.session

    async def _perform(self, steps: list[Step]) -> None:
        step, session = steps[0], await self._session(steps[0].session)
        match step.kind:
            case "C":
                await self._say(session, steps)
            case "S":
                await self._expect(session, step)
            case "any":
                await self._expect_in_any_order(session, steps)
            case "gone":
                await self._expect_expunged(session, step)
            case "skip":
                session.skips = True
            case "never":
                session.never.append(step)
            case "deed":
                assert self.deed, f"{self.case.file}:{step.line}: nothing happens elsewhere"
                self.said.append(f"!  {step.data.decode()}")
                await self.deed(fill(step.data, self.names).decode())
            case _:
                await self._observe(session, step)

    async def _session(self, number: int) -> _Session:
        session = self.sessions.get(number)
        if session is None:
            session = self.sessions[number] = _Session(await self.open_wire(number))
        return session

    def _mark(self) -> str:
        return str(self.step.session) if len(self.sessions) > 1 else ""

    async def _say(self, session: _Session, steps: list[Step]) -> None:
        session.never.clear()
        data = b"".join(fill(step.data, self.names) for step in steps)
        self.said += [f"C{self._mark()}: {fill(step.data, self.names)!r}" for step in steps]
        await session.wire.send(self.cut(data))

    async def _answer(self, session: _Session, why: str) -> bytes:
        """The next answer that is not noise to this step."""
        while (size := self.grammar.cut(session.heard)) < 0:
            more = await session.wire.hear(True)
            if not more:
                raise self._mismatch(session, why)
            session.heard += more
        answer, session.heard = session.heard[:size], session.heard[size + 2 :]
        self.said.append(f"S{self._mark()}: {answer!r}")
        for step in session.never:
            if self.grammar.match(step.data, answer, self.names) is not None:
                raise self._mismatch(session, f"line {step.line}: {step.data!r} must not come")
        return answer

    def _keeps(self, pattern: bytes, answer: bytes) -> bool:
        kept = self.grammar.match(pattern, answer, self.names)
        if kept is not None:
            self.names |= kept
        return kept is not None

    async def _expect(self, session: _Session, step: Step) -> None:
        skips, session.skips = session.skips, False
        while True:
            answer = await self._answer(session, f"expected {step.data!r}")
            if self._keeps(step.data, answer):
                return
            if not ((skips and self.grammar.goes_on(answer)) or self.grammar.is_noise(answer)):
                raise self._mismatch(session, f"expected {step.data!r}, got {answer!r}")

    async def _expect_in_any_order(self, session: _Session, steps: list[Step]) -> None:
        skips = session.skips or any(step.kind == "skip" for step in steps)
        session.skips = any(step.kind == "skip" for step in steps)
        waiting = [step.data for step in steps if step.kind == "any"]
        while waiting:
            missing = "expected " + ", ".join(map(repr, waiting))
            answer = await self._answer(session, missing)
            found = next((pattern for pattern in waiting if self._keeps(pattern, answer)), None)
            if found is not None:
                waiting.remove(found)
            elif not ((skips and self.grammar.goes_on(answer)) or self.grammar.is_noise(answer)):
                raise self._mismatch(session, f"{missing}; got {answer!r}")

    async def _expect_expunged(self, session: _Session, step: Step) -> None:
        """Each number counts without those that went before, in whatever order they go."""
        awaited = {int(number) for number in step.data.split(b",")}
        gone: list[int] = []
        while awaited - set(gone):
            answer = await self._answer(session, f"expected that {sorted(awaited - set(gone))} go")
            number = self.grammar.expunged(answer)
            if number is None:
                if self.grammar.is_noise(answer):
                    continue
                raise self._mismatch(session, f"expected that {sorted(awaited - set(gone))} go, got {answer!r}")
            for earlier in sorted(gone):
                number += earlier <= number
            if number not in awaited:
                raise self._mismatch(session, f"{number} (once) was not to go")
            gone.append(number)

    async def _observe(self, session: _Session, step: Step) -> None:
        match step.kind:
            case "close":
                if session.heard or not await session.wire.closes():
                    raise self._mismatch(session, "expected that the server closes")
            case "silence":
                session.heard += await session.wire.hear(False)
                while (size := self.grammar.cut(session.heard)) >= 0 and self.grammar.is_noise(session.heard[:size]):
                    session.heard = session.heard[size + 2 :]
                if session.heard:
                    raise self._mismatch(session, "expected silence")
            case "tls":
                if not await session.wire.has_tls():
                    raise self._mismatch(session, "expected TLS")
            case _:
                await session.wire.send(iter(()))

    def _mismatch(self, session: _Session, why: str) -> ScriptMismatch:
        dialogue = "\n  ".join(self.said)
        where = f"{self.case.file}:{self.step.line} ({self.case.name})"
        return ScriptMismatch(f"{where}: {why}\n  {dialogue}\n  then: {session.heard!r}")
