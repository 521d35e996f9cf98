"""What `sync verify` says of a copy: every difference, and none where there is none."""

from collections import Counter
from typing import Any

import pytest
from tests.property.sync_world import LOGIN, PASSWORD, Side, World, in_world, letter

from postwren.client.conversation import Security
from postwren.client.imap import ImapClient
from postwren.mailstore.replica import LARGEST
from postwren.storage.memory import MemoryStore
from postwren.sync import intact
from postwren.sync.report import Differs, Event
from postwren.sync.verify import Tally
from postwren.sync.verify_imap import compare_all
from postwren.wire.secret import Secret


@pytest.fixture(params=[False, True], ids=["octets", "quick"])
def is_quick(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def differences(
    world: World, device: Side, *, is_quick: bool = False
) -> list[tuple[str, str, int | str | None, int | None]]:
    told: list[Event] = []
    async with ImapClient("127.0.0.1", world.port, security=Security.NONE) as client:
        await client.login(LOGIN, Secret(PASSWORD))
        await compare_all(device.store, device.account_id, client, Tally(LOGIN, told.append), is_quick=is_quick)
    return [(event.mailbox, event.difference.value, event.there, event.here) for event in told if isinstance(event, Differs)]


def test_a_copy_just_made_is_the_same(is_quick: bool) -> None:
    async def story(world: World) -> None:
        await world.server.create("Work/Deep")
        messages = [letter(1), letter(1), b"no header at all", b"\r\nbody only", letter(2, 300_000), b"", b"Subject: x\r\n\r\n"]
        await world.server.add("INBOX", *messages, *[letter(number) for number in range(600)], flags=["\\Seen", "$Work"])
        await world.server.add("Work/Deep", *messages)
        device = await world.device()
        await world.synchronise(device)
        assert await differences(world, device, is_quick=is_quick) == []

    in_world(story)


def test_each_kind_of_difference_is_told_with_its_place(is_quick: bool) -> None:
    async def story(world: World) -> None:
        await world.server.create("Only there later")
        there = await world.server.add("INBOX", *[letter(number) for number in range(5)])
        device = await world.device()
        await world.synchronise(device)
        here = device.uids("INBOX")
        await world.server.flag("INBOX", there[0], "\\Seen")
        await device.flag("INBOX", here[1], "$Mine")
        await world.server.delete("INBOX", there[2])
        await device.delete("INBOX", here[3])
        new_there = await world.server.add("INBOX", letter(50))
        new_here = await device.add("INBOX", letter(60))
        await world.server.create("There")
        await device.create("Here")
        assert sorted(await differences(world, device, is_quick=is_quick), key=str) == sorted(
            [
                ("INBOX", "flags", there[0], here[0]),
                ("INBOX", "flags", there[1], here[1]),
                ("INBOX", "missing-there", there[2], here[2]),
                ("INBOX", "missing-here", there[3], None),
                ("INBOX", "missing-here", new_there[0], None),
                ("INBOX", "unpaired", None, new_here[0]),
                ("There", "mailbox-missing-here", None, None),
                ("Here", "mailbox-missing-there", None, None),
            ],
            key=str,
        )
        await world.synchronise(device)
        assert await differences(world, device, is_quick=is_quick) == []

    in_world(story)


def test_other_octets_under_the_same_uid_are_found() -> None:
    async def story(world: World) -> None:
        await world.server.add("INBOX", letter(1), letter(2))
        device = await world.device()
        await world.synchronise(device)
        mailbox_id = device.mailbox("INBOX").mailbox_id

        def swap(tx: Any) -> None:
            one, two = tx.pairs(device.account_id, mailbox_id)
            tx.delete_pairs(device.account_id, mailbox_id, [(1, LARGEST)])
            tx.put_pairs(
                device.account_id, mailbox_id, [one._replace(remote_uid=two.remote_uid), two._replace(remote_uid=one.remote_uid)]
            )

        await device.store.perform(swap)
        for is_quick in (False, True):
            assert Counter(row[1] for row in await differences(world, device, is_quick=is_quick)) == {"octets": 2}

    in_world(story)


def test_a_mailbox_that_is_numbered_anew_is_told_once() -> None:
    async def story(world: World) -> None:
        await world.server.create("Work")
        await world.server.add("Work", letter(1))
        device = await world.device()
        await world.synchronise(device)
        await world.server.remove("Work")
        await world.server.create("Work")
        await world.server.add("Work", letter(2))
        assert await differences(world, device) == [("Work", "renumbered", None, None)]

    in_world(story)


def test_what_is_held_is_told_as_held() -> None:
    async def story(world: World) -> None:
        await world.server.add("INBOX", letter(1))
        device = await world.device()
        await world.synchronise(device)
        mailbox_id = device.mailbox("INBOX").mailbox_id

        def hold(tx: Any) -> None:
            (pair,) = tx.pairs(device.account_id, mailbox_id)
            tx.delete_pairs(device.account_id, mailbox_id, [(1, LARGEST)])
            tx.put_pairs(device.account_id, mailbox_id, [pair._replace(remote_uid=LARGEST + pair.uid)])

        await device.store.perform(hold)
        assert [row[1] for row in await differences(world, device)] == ["held", "missing-here"]

    in_world(story)


def test_random_edits_on_one_side_are_each_told_and_a_run_ends_them() -> None:
    """As many differences as edits, whatever they are."""

    async def story(world: World) -> None:
        device = await world.device()
        there = await world.server.add("INBOX", *[letter(number) for number in range(300)])
        await world.synchronise(device)
        chosen = world.random.sample(there, 60)
        for uid in chosen[:30]:
            await world.server.flag("INBOX", uid, "\\Flagged")
        await world.server.delete("INBOX", *chosen[30:])
        await world.server.add("INBOX", *[letter(number) for number in range(300, 310)])
        found = await differences(world, device)
        assert Counter(row[1] for row in found) == {"flags": 30, "missing-there": 30, "missing-here": 10}
        assert {row[2] for row in found if row[1] != "missing-here"} == set(chosen)
        await world.synchronise(device)
        assert await differences(world, device) == []

    for seed in range(3):
        in_world(story, seed)


def test_a_flipped_bit_and_lost_octets_are_found() -> None:
    class Rotten(MemoryStore):
        """Some of its bodies are not what they were."""

        def body_pieces(self, ref: Any) -> Any:
            octets = b"".join(super().body_pieces(ref))
            if b"letter 1\r" in octets:
                octets = bytes([octets[0] ^ 1]) + octets[1:]
            if b"letter 2\r" in octets:
                raise OSError("a bad sector")
            yield octets

    async def story(world: World) -> None:
        device = await world.device(Rotten())
        await device.create("Work")
        await device.add("INBOX", *[letter(number) for number in range(4)])
        await device.copy("INBOX", 2, "Work")
        read: list[intact.Read] = []
        found = await intact.find_damaged(device.store, device.account_id, read.append)
        assert (found.emails, read[-1]) == (4, found)
        places = intact.places_of(device.account_id, found.damaged, device.store.reader)
        assert sorted(places) == [("INBOX", 2), ("INBOX", 3), ("Work", 1)]

    in_world(story)
