"""A device that stays connected: whatever changes on either side is on the other one at once, however the server tells it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.property.sync_world import LOGIN, PASSWORD, Side, World, in_world, letter

from postwren.client.conversation import Security
from postwren.sync.alarm import Pace
from postwren.sync.imap import Options, synchronise
from postwren.sync.mirror import entered
from postwren.sync.remote import Remote
from postwren.sync.report import Began, Event, Failed, Held, Watching
from postwren.sync.run import identify
from postwren.sync.secret import keep_secret
from postwren.sync.settings import Choices, Settings, save_settings
from postwren.sync.watch import watch
from postwren.wire.secret import Secret

HIDDEN: dict[str, tuple[bytes, ...]] = {
    "notify": (),
    "idle": (b"NOTIFY",),
    "poll": (b"NOTIFY", b"IDLE", b"IMAP4rev2"),
}
QUICK = Pace(poll=0.05, again=0.01, at_most=0.02, answer=5)


class Watched:
    """A device whose account is watched; it tells what it hears."""

    def __init__(self, world: World, device: Side, folder: Path) -> None:
        self.world = world
        self.device = device
        self.folder = folder
        self.events: list[Event] = []
        self.now = 1_700_000_000.0
        self.stop = asyncio.Event()
        self._changed = asyncio.Event()

    def told(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Looked at again behind every event and every change."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()

    async def same(self) -> None:
        await self.until(lambda: self.device.content() == self.world.server.content())

    async def watching(self, times: int = 1) -> None:
        await self.until(lambda: len(self.all(Watching)) >= times)

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def run(self, pace: Pace, **choices: bool) -> None:
        await self.device.store.perform(identify)
        identity = identify_of(self.device)
        place = "127.0.0.1", self.world.port
        settings = Settings(LOGIN, "imap", *place, Security.NONE, LOGIN, "file", identity)
        keep_secret(self.folder, LOGIN, Secret(PASSWORD))
        save_settings(self.folder, settings)
        feeds = [
            side.store.subscribe(side.account_id, lambda _: self._changed.set()) for side in (self.device, self.world.server)
        ]
        accounts = [settings]
        try:
            await watch(
                self.device.store, self.folder, accounts, self.told, lambda: self.now, Choices(**choices), self.stop, pace=pace
            )
        finally:
            for feed in feeds:
                feed.cancel()


def identify_of(side: Side) -> str:
    kept = side.store.reader.setting("sync-identity")
    assert kept is not None
    return kept.decode()


@contextlib.asynccontextmanager
async def watched(world: World, folder: Path, pace: Pace | None = None, **choices: bool) -> AsyncIterator[Watched]:
    one = Watched(world, await world.device(), folder)
    task = asyncio.get_running_loop().create_task(one.run(pace or Pace(), **choices))
    task.add_done_callback(lambda _: one._changed.set())
    try:
        await one.until(lambda: task.done() or bool(one.all(Watching)))
        yield one
        one.stop.set()
        await task
        one.device.sound()
    finally:
        task.cancel()


def pace_of(how: str) -> Pace:
    return QUICK if how == "poll" else Pace()


@pytest.mark.parametrize("how", HIDDEN)
def test_what_changes_on_either_side_is_on_the_other_at_once(how: str, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.line.hidden = HIDDEN[how]
        await world.server.create("Work")
        uids = await world.server.add("INBOX", *[letter(number) for number in range(3)])
        async with watched(world, tmp_path, pace_of(how)) as one:
            assert one.all(Watching)[0].how == how
            await one.same()
            await world.server.add("INBOX", letter(10))
            await one.same()
            await world.server.flag("INBOX", uids[0], "\\Seen", "$Later")
            await one.same()
            await world.server.delete("INBOX", uids[1])
            await one.same()
            here = one.device.uids("INBOX")
            await one.device.flag("INBOX", here[-1], "\\Flagged")
            await one.same()
            await one.device.move("INBOX", here[:1], "Work")
            await one.same()
            await one.device.create("Mine")
            await one.device.add("Mine", letter(11))
            await one.same()
        assert one.all(Failed) == []

    in_world(story)


@pytest.mark.parametrize("how", HIDDEN)
def test_messages_that_come_one_after_the_other_are_all_fetched(how: str, tmp_path: Path) -> None:
    """What was heard of the second was once taken for what had been heard of the first."""

    async def story(world: World) -> None:
        world.line.hidden = HIDDEN[how]
        async with watched(world, tmp_path, pace_of(how)) as one:
            for number in range(4):
                await settled(world)
                await world.server.add("INBOX", letter(number))
                await one.same()

    in_world(story)


def test_notify_tells_of_every_mailbox_without_a_look_at_any(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.server.create("Lists/One")
        async with watched(world, tmp_path) as one:
            await world.server.add("Lists/One", letter(1))
            await one.same()
            world.line.count()
            await world.server.add("Lists/One", letter(2))
            await one.same()
            # one round trip to see what is new, one to fetch it, and the way back to waiting
            assert world.line.count()[0] <= 3
            await world.server.create("New")
            await one.same()
            await world.server.rename("New", "Newer")
            await one.same()
            await world.server.remove("Newer")
            await one.same()

    in_world(story)


@pytest.mark.parametrize("how", HIDDEN)
def test_what_a_run_does_itself_starts_no_other(how: str, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.line.hidden = HIDDEN[how]
        async with watched(world, tmp_path) as one:
            await one.device.add("INBOX", *[letter(number) for number in range(5)])
            if how != "poll":
                await one.same()
                await world.server.add("INBOX", letter(9))
            await one.same()
            await settled(world)
            world.line.count()
            await quiet(one)
            assert world.line.count()[0] == 0

    in_world(story)


async def settled(world: World) -> None:
    """Until nothing goes over the line any more for a good while of the loop's."""
    calm = 0
    while calm < 200:
        await asyncio.sleep(0)
        calm = 0 if sum(world.line.count()) else calm + 1


async def quiet(one: Watched) -> None:
    for _ in range(200):
        await asyncio.sleep(0)


def test_a_lost_connection_is_made_again_and_nothing_is_missed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with watched(world, tmp_path, QUICK) as one:
            for times in range(2, 5):
                world.line.drop()
                await world.server.add("INBOX", letter(times))
                await one.device.add("INBOX", letter(100 + times))
                await one.watching(times)
                await one.same()
            assert len(one.all(Failed)) >= 3
            assert all("tried again in" in failed.text for failed in one.all(Failed))

    in_world(story)


def test_behind_a_sleep_a_dead_connection_is_noticed_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with watched(world, tmp_path, Pace(tick=0.01, answer=0.05, again=0.01)) as one:
            world.line.is_frozen = True  # the server heard nothing of the sleep, and we hear nothing of the server
            one.now += 3600
            await one.until(lambda: bool(one.all(Failed)))
            world.line.drop()
            await world.server.add("INBOX", letter(1))
            await one.same()

    in_world(story)


def test_deletions_that_are_held_are_said_once_and_not_tried_again_and_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        uids = await world.server.add("INBOX", *[letter(number) for number in range(80)])
        async with watched(world, tmp_path) as one:
            await one.same()
            await world.server.delete("INBOX", *uids[:70])
            await one.until(lambda: bool(one.all(Held)))
            await settled(world)
            assert len(one.all(Held)) == 1
            assert len(one.device.uids("INBOX")) == 80
            await world.server.add("INBOX", letter(100))
            await one.until(lambda: len(one.device.uids("INBOX")) == 81)

    in_world(story)


def test_a_wrong_password_is_not_tried_again_soon(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        one = Watched(world, await world.device(), tmp_path)
        task = asyncio.get_running_loop().create_task(one.run(Pace(chance=lambda: 1.0)))
        await one.watching()
        keep_secret(tmp_path, LOGIN, Secret("another"))
        world.line.drop()
        await one.until(lambda: any("refuses the login" in failed.text for failed in one.all(Failed)))
        assert "tried again in 300 s" in one.all(Failed)[-1].text
        one.stop.set()
        await task

    in_world(story)


def test_the_end_comes_at_once_in_the_midst_of_a_first_run(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.server.add("INBOX", *[letter(number, 20_000) for number in range(500)])
        one = Watched(world, await world.device(), tmp_path)
        task = asyncio.get_running_loop().create_task(one.run(Pace(parting=0.0)))
        await one.until(lambda: bool(one.all(Began)))
        one.stop.set()
        await task
        one.device.sound()
        assert one.all(Failed) == []
        await world.synchronise(one.device)
        assert one.device.content() == world.server.content()

    in_world(story)


def test_pauses_grow_and_are_never_alike() -> None:
    pace = Pace(chance=lambda: 1.0)
    assert [pace.delay(failures) for failures in (1, 2, 3, 9, 10_000)] == [2, 4, 8, 300, 300]
    assert Pace(chance=lambda: 0.0).delay(1) == 1
    assert len({Pace().delay(3) for _ in range(10)}) == 10


def test_a_far_server_is_spoken_to_compressed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.server.add("INBOX", *[letter(number) for number in range(300)])
        octets = []
        for is_far in (False, True):
            device = await world.device()
            await device.store.perform(identify)
            settings = Settings(LOGIN, "imap", "127.0.0.1", world.port, Security.NONE, LOGIN, "file", identify_of(device))
            async with entered(settings, Secret(PASSWORD), is_far=is_far) as (client, _):
                world.line.count()
                await synchronise(device.store, device.account_id, await Remote.enter(client), Options(LOGIN, int, tmp_path))
                octets.append(world.line.count()[2])
            assert device.content() == world.server.content()
        assert octets[1] < octets[0] / 3

    in_world(story)
