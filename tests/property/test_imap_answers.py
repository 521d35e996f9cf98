"""What a mailbox in memory remembers of its answers is dropped by any change: who asks again hears what who asks anew hears."""

import asyncio
import random

import pytest
from tests.scripts.imap_world import ImapWorld

from postwren.mailstore import snapshot
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink

QUESTIONS = (
    "SORT (SUBJECT) UTF-8 ALL",
    "UID SORT (REVERSE DATE) UTF-8 ALL",
    "SORT (DATE) UTF-8 SEEN",
    "THREAD REFERENCES UTF-8 ALL",
    "UID THREAD ORDEREDSUBJECT UTF-8 UNSEEN",
    "SEARCH TEXT word",
    "SEARCH SUBJECT one UNSEEN",
    "SEARCH SUBJECT one MODSEQ 1",
    "SELECT INBOX",
    "EXAMINE INBOX",
)
SUBJECTS = ("one", "Re: one", "two", "Two", "three word")


@pytest.fixture(autouse=True)
def _of_few_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are remembered here, though the mailboxes are small."""
    monkeypatch.setattr(snapshot, "FEW", 0)


class Peer:
    """A session with INBOX selected."""

    def __init__(self, world: ImapWorld) -> None:
        self.link: LoopbackLink = world.link()

    async def begin(self) -> "Peer":
        await self.link.settled()
        for command in ("LOGIN ann@example.org secret", "ENABLE CONDSTORE", "SELECT INBOX"):
            await self.say(command)
        return self

    async def say(self, command: str, literal: bytes = b"") -> bytes:
        self.link.take()
        self.link.receive(b"t " + command.encode() + (b" {%d+}\r\n%b\r\n" % (len(literal), literal) if literal else b"\r\n"))
        await self.link.settled()
        return self.link.take()


def message(dice: random.Random, number: int) -> bytes:
    above = f"References: <{dice.randrange(number)}@example.org>\r\n" if number and dice.random() < 0.6 else ""
    return (
        f"Subject: {dice.choice(SUBJECTS)}\r\nDate: {dice.randint(1, 28)} Jan 2024 10:00:00 +0000\r\n"
        f"Message-ID: <{number}@example.org>\r\n{above}\r\n{dice.choice(('word', 'nothing'))}\r\n"
    ).encode()


@pytest.mark.parametrize("seed", range(4))
def test_an_answer_that_is_remembered_equals_one_that_is_worked_out_anew_after_any_change(seed: int) -> None:
    asyncio.run(ask_and_change(seed))


async def ask_and_change(seed: int) -> None:
    dice = random.Random(seed)
    store = MemoryStore()
    world = ImapWorld(store)
    await world.account("ann@example.org", 0)
    asking, changing = await Peer(world).begin(), await Peer(world).begin()
    said = 0
    for step in range(40):
        number = dice.randint(1, 8)
        change, literal = dice.choice(
            [
                ("APPEND INBOX", message(dice, step)),
                ("APPEND INBOX (\\Seen)", message(dice, step)),
                (f"STORE {number} {dice.choice('+-')}FLAGS (\\Seen)", b""),
                (f"STORE {number} +FLAGS ({dice.choice(('$a', '$b'))})", b""),
                (f"STORE {number} +FLAGS (\\Deleted)", b""),
                ("EXPUNGE", b""),
                ("NOOP", b""),
            ]
        )
        await changing.say(change, literal)
        if dice.random() < 0.7:
            await asking.say("NOOP")  # else it is not told yet, and its numbers are those of before
            fresh = await Peer(ImapWorld(store)).begin()
            for question in dice.sample(QUESTIONS, 4):
                anew = await fresh.say(question)
                for _ in range(2):
                    assert await asking.say(question) == anew, (seed, step, question)
                said += 1
        await asking.say(dice.choice(QUESTIONS))
    assert said > 40
    world.end()


def test_a_message_that_was_not_told_is_in_no_answer() -> None:
    asyncio.run(ask_before_it_was_told())


async def ask_before_it_was_told() -> None:
    store = MemoryStore()
    world = ImapWorld(store)
    await world.account("ann@example.org", 0)
    told, changing = await Peer(world).begin(), await Peer(world).begin()
    for number in range(2):
        await changing.say("APPEND INBOX", message(random.Random(number), number))
    await told.say("NOOP")
    await changing.say("APPEND INBOX", message(random.Random(2), 2))
    assert b" 3" in (await changing.say("SORT (ARRIVAL) UTF-8 ALL")).split(b"\r\n")[0]  # remembered
    answer = await told.say("SORT (ARRIVAL) UTF-8 ALL")
    assert answer.startswith(b"* SORT 1 2\r\n")
    assert b"3 EXISTS" in answer
    world.end()
