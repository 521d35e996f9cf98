"""What was deleted on the device comes back, and stays back on both sides."""

import pytest
from tests.property.sync_world import FALLBACKS, NOW, Side, World, in_world, letter

from postwren.mailstore.service.undelete import recover, recoverable
from postwren.sync.look import Abilities

OLD = 1_600_000_000


@pytest.fixture(params=list(FALLBACKS))
def abilities(request: pytest.FixtureRequest) -> Abilities:
    return FALLBACKS[request.param]


async def undo(device: Side, name: str) -> None:
    mailbox_id = device.mailbox(name).mailbox_id
    uids = [(row.uid, row.uid) for row in recoverable(device.store.reader, device.account_id, mailbox_id)]
    await device.store.perform(recover(device.account_id, mailbox_id, uids, NOW))


def test_what_a_run_deleted_here_goes_up_again_as_a_new_message(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        uids = await world.server.add("INBOX", letter(1), letter(2), flags=["\\Seen", "$Work"], date=OLD)
        before = world.server.content()
        await world.synchronise(device, abilities)
        await world.server.delete("INBOX", *uids)
        await world.synchronise(device, abilities, accepts_deletions=True)
        assert not device.content()["INBOX"]
        await undo(device, "INBOX")
        outcome = await world.synchronise(device, abilities)
        assert (outcome.is_complete, outcome.counts["pushed"]) == (True, 2)
        assert device.content() == world.server.content() == before
        assert set(world.server.uids("INBOX")).isdisjoint(uids)
        assert (await world.synchronise(device, abilities)).counts == {}
        device.sound()

    in_world(story)


def test_what_was_deleted_here_and_not_yet_there_keeps_its_counterpart(abilities: Abilities) -> None:
    """Otherwise it would be deleted there and sent anew."""

    async def story(world: World) -> None:
        device = await world.device()
        uids = await world.server.add("INBOX", letter(1), letter(2), date=OLD)
        await world.synchronise(device, abilities)
        await device.delete("INBOX", *device.uids("INBOX"))
        await world.server.flag("INBOX", uids[0], "\\Seen")
        await undo(device, "INBOX")
        assert (await world.synchronise(device, abilities)).counts == {"flags": 1}
        assert world.server.uids("INBOX") == uids
        assert device.content() == world.server.content()
        device.sound()

    in_world(story)


def test_what_was_deleted_here_and_there_comes_back_on_both_sides(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.add("INBOX", letter(1), flags=["\\Flagged"], date=OLD)
        before = world.server.content()
        await world.synchronise(device, abilities)
        await device.delete("INBOX", *device.uids("INBOX"))
        await world.synchronise(device, abilities)
        assert not world.server.content()["INBOX"]
        await undo(device, "INBOX")
        await world.synchronise(device, abilities)
        assert device.content() == world.server.content() == before

    in_world(story)
