"""When the loop stays awake, and when it sleeps."""

from collections.abc import Callable

import pytest
from tests.unit.transport.transport_echo import LOOPS, Clock, Stage, run, until

from postwren.transport.vigil import PROVEN, QUICK, STAY, Vigil


class Turns:
    """A loop as far as a vigil sees it, and a peer behind it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.due: list[Callable[[], None]] = []
        self.vigil = Vigil(self.due.append, self.clock)

    def command(self, after: float) -> None:
        """A command that comes so long after the last answer; the loop turns meanwhile, where it is awake."""
        self.turn_for(after)
        self.vigil.heard()
        self.vigil.answered()

    def turn_for(self, seconds: float) -> float:
        """Let this time pass; how long the loop was awake."""
        end, awake = self.clock.now + seconds, 0.0
        while self.clock.now < end:
            if self.due:
                self.due.pop()()
                awake += 1e-6
            self.clock.now += 1e-6
        return awake


def proven() -> Turns:
    turns = Turns()
    for _ in range(PROVEN + 1):
        turns.command(after=QUICK / 2)
    return turns


def test_the_loop_stays_awake_for_a_moment_for_a_peer_that_proved_quick() -> None:
    turns = Turns()
    turns.vigil.answered()
    for _ in range(PROVEN):
        assert not turns.due
        turns.command(after=QUICK / 2)
    assert turns.turn_for(1.0) == pytest.approx(STAY, abs=5e-6)
    assert not turns.due


def test_the_loop_is_awake_as_long_as_commands_come_at_once() -> None:
    turns = proven()
    for _ in range(1000):
        assert turns.turn_for(STAY / 2) == pytest.approx(STAY / 2, abs=5e-6)
        turns.command(after=0)


def test_no_time_is_lost_on_a_peer_behind_a_network() -> None:
    turns = Turns()
    for _ in range(100):
        turns.command(after=2 * QUICK)
        assert not turns.due


def test_a_peer_that_is_never_quick_enough_costs_less_and_less() -> None:
    turns = Turns()
    awake = 0.0
    for _ in range(10_000):
        turns.vigil.heard()
        turns.vigil.answered()
        awake += turns.turn_for(QUICK - 10e-6)  # quick by the rule, and yet always after the moment
    assert awake < 20 * STAY


def test_a_peer_that_was_slow_once_is_soon_trusted_again() -> None:
    turns = proven()
    turns.command(after=1.0)
    for _ in range(2 * PROVEN):
        turns.command(after=QUICK / 2)
    assert turns.due
    for _ in range(3):  # each success forgives
        turns.command(after=STAY / 2)
        turns.command(after=1.0)
        for _ in range(2 * PROVEN):
            turns.command(after=QUICK / 2)
        assert turns.due


def test_the_loop_sleeps_while_a_session_waits_for_another_thread() -> None:
    turns = proven()
    turns.turn_for(STAY / 2)
    turns.vigil.waiting = 1
    turns.command(after=0)
    turns.turn_for(3e-6)
    assert not turns.due


@pytest.mark.parametrize("loop", LOOPS)
def test_every_wait_of_a_session_ends_however_it_ends(loop: str) -> None:
    async def work() -> None:
        vigil = Vigil(lambda _: None)
        async with Stage(vigil=vigil) as stage:
            for number, (line, ends_by_itself) in enumerate(
                ((b"SUSPEND", True), (b"SUSPEND", False), (b"WAIT on", True), (b"WAIT on", False))
            ):
                caller = await stage.call()
                caller.send(line + b"\r\n")
                assert await caller.line() == b"hello"
                session = stage.sessions[number]
                await session.suspended.wait()
                assert vigil.waiting == 1
                if not ends_by_itself:
                    await caller.close()
                    session.link.abort()
                    await session.gone.wait()
                if line == b"SUSPEND":
                    session.link.resume()
                session.gate.set()
                await until(lambda: vigil.waiting == 0)
                await caller.close()

    run(loop, work())
