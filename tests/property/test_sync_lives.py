"""D-71, D-74: random lives of a server and several devices, over real clients and a line that is cut: in the end all are equal,
what nobody deleted is there, and nothing is there twice that nobody copied or moved.

The clock stands still, and so does the world between two steps: whatever a seed finds is found again.
"""

import os
import random
from collections import Counter

import pytest
from tests.property.sync_world import FALLBACKS, Side, World, in_world, letter

from postwren.client.conversation import ConnectionEnded, ServerFailed
from postwren.mailstore.service.flags import FlagAction
from postwren.sync.look import Abilities

RUNS = int(os.environ.get("SYNC_RUNS", "30"))  # make deep: 1,000
PARTS = 3
MAILBOXES = ["INBOX", "Work", "Work/Deep"]
FLAGS = ["\\Seen", "\\Flagged", "$Junk", "mine"]


class Life:
    """A world and what was done in it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.has_moves = self.chance.random() < 0.5
        self.written: set[bytes] = set()
        self.deleted: set[bytes] = set()
        self.devices: list[Side] = []

    async def begin(self) -> None:
        for name in MAILBOXES[1:]:
            await self.world.server.create(name)
        self.devices = [await self.world.device() for _ in range(self.chance.randrange(1, 4))]
        for device in self.devices:
            await self.world.synchronise(device)

    def abilities(self) -> Abilities:
        return FALLBACKS[self.chance.choice(list(FALLBACKS))]

    async def edit(self, side: Side) -> None:
        name = self.chance.choice(MAILBOXES)
        uids = side.uids(name)
        kinds = ["new", "new", "flag", "flag", "delete"] + ["move", "copy"] * self.has_moves
        kind = self.chance.choice(kinds) if uids else "new"
        if kind == "new":
            message = letter(len(self.written), self.chance.randrange(3000))
            self.written.add(message)
            flags = self.chance.sample(FLAGS, self.chance.randrange(3))
            await side.add(name, message, flags=flags, date=1_500_000_000 + len(self.written))
            return
        uid = self.chance.choice(uids)
        elsewhere = self.chance.choice([other for other in MAILBOXES if other != name])
        match kind:
            case "flag":
                action = self.chance.choice([FlagAction.ADD, FlagAction.REMOVE])
                await side.flag(name, uid, self.chance.choice(FLAGS), action=action)
            case "delete":
                self.deleted.add(self.octets(side, name, uid))
                await side.delete(name, uid)
            case "move":
                await side.move(name, [uid], elsewhere)
            case "copy":
                await side.copy(name, uid, elsewhere)

    def octets(self, side: Side, name: str, uid: int) -> bytes:
        reader = side.store.reader
        (entry,) = reader.entries(side.account_id, side.mailbox(name).mailbox_id, [(uid, uid)])
        email = reader.email(side.account_id, entry.email_id)
        assert email is not None
        return side.store.read_body(email.body)

    async def meet(self, device: Side, cut: int | None = None) -> None:
        """One run; with `cut` the line ends after so many octets from the server."""
        self.world.line.budget = cut
        try:
            await self.world.synchronise(device, self.abilities(), accepts_deletions=True)
        except (ConnectionEnded, ServerFailed, ConnectionError):
            assert cut is not None
        finally:
            self.world.line.budget = None
        device.sound()

    async def live(self) -> None:
        sides = [self.world.server, *self.devices]
        for _ in range(self.chance.randrange(5, 50)):
            if self.chance.random() < 0.25:
                await self.meet(self.chance.choice(self.devices), self.chance.choice([None, self.chance.randrange(300, 6000)]))
            else:
                await self.edit(self.chance.choice(sides))
        for device in self.devices * 3:
            await self.meet(device)

    def judge(self) -> None:
        there = self.world.server.content()
        for device in self.devices:
            assert device.content() == there
        found = Counter(message for rows in there.values() for message, _, _ in rows.elements())
        assert self.written - self.deleted <= found.keys(), "a message that nobody deleted is gone"
        assert found.keys() <= self.written, "octets that nobody wrote"
        if not self.has_moves:
            assert set(found.values()) <= {1}, "doubled"
            assert found.keys() == self.written - self.deleted, "a message that was deleted is back"
        self.world.server.sound()


@pytest.mark.parametrize("part", range(PARTS))
def test_d74_devices_and_a_server_become_equal_whatever_is_done_and_cut(part: int) -> None:
    for seed in range(part, RUNS, PARTS):

        async def story(world: World, seed: int = seed) -> None:
            life = Life(world, seed)
            await life.begin()
            await life.live()
            life.judge()

        try:
            in_world(story, seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
