"""A device and a server in both directions, with every kind of server (docs/sync.md; D-70 to D-74)."""

import pytest
from tests.property.sync_world import FALLBACKS, LOGIN, Side, World, in_world, letter

from postwren.mailstore.service.flags import FlagAction
from postwren.sync.look import Abilities
from postwren.sync.report import Event, Held, Noted, Step

OLD = 1_600_000_000


@pytest.fixture(params=list(FALLBACKS))
def abilities(request: pytest.FixtureRequest) -> Abilities:
    return FALLBACKS[request.param]


def same(world: World, *devices: Side) -> None:
    for device in devices:
        assert device.content() == world.server.content()
        device.sound()
    world.server.sound()


def test_the_first_run_brings_everything_with_flags_and_dates(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        await world.server.create("Work/Deep")
        await world.server.add("INBOX", *[letter(number) for number in range(600)], flags=["\\Seen", "$Work"], date=OLD)
        await world.server.add("Work/Deep", letter(1), letter(1), b"no header at all", flags=["\\Draft"])
        device = await world.device()
        outcome = await world.synchronise(device, abilities)
        assert (outcome.is_complete, outcome.counts) == (True, {"pulled": 603})
        same(world, device)
        again = await world.synchronise(device, abilities)
        assert (again.is_complete, again.counts) == (True, {})

    in_world(story)


def test_edits_of_both_sides_meet(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        uids = await world.server.add("INBOX", *[letter(number) for number in range(12)])
        await world.synchronise(device, abilities)
        here = device.uids("INBOX")
        await world.server.flag("INBOX", uids[0], "\\Seen")
        await device.flag("INBOX", here[0], "\\Flagged", "mine")
        await device.flag("INBOX", here[1], "\\Answered")
        await world.server.delete("INBOX", uids[2])
        await device.delete("INBOX", here[3])
        await world.server.move("INBOX", uids[4:6], "Work")
        await device.move("INBOX", here[6:8], "Work")
        await device.copy("INBOX", here[8], "Work")
        await device.add("Work", letter(100), flags=["\\Seen"], date=OLD)
        await world.server.add("INBOX", letter(101), flags=["x"])
        outcome = await world.synchronise(device, abilities)
        assert outcome.is_complete
        same(world, device)
        flags = {flags for _, flags, _ in world.server.content()["INBOX"]}
        assert frozenset({"\\Seen", "\\Flagged", "mine"}) in flags
        assert (await world.synchronise(device, abilities)).counts == {}

    in_world(story)


def test_a_message_that_moved_there_while_its_flags_changed_here_keeps_both(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        uids = await world.server.add("INBOX", letter(1), letter(2))
        await world.synchronise(device, abilities)
        await world.server.move("INBOX", uids[:1], "Work")
        await device.flag("INBOX", device.uids("INBOX")[0], "\\Seen")
        await device.move("INBOX", device.uids("INBOX")[1:], "Work")
        await world.server.flag("INBOX", uids[1], "\\Flagged")
        await world.synchronise(device, abilities)
        same(world, device)
        assert {next(iter(flags)) for _, flags, _ in world.server.content()["Work"]} == {"\\Seen", "\\Flagged"}

    in_world(story)


def test_mailboxes_are_made_renamed_and_deleted_on_both_sides(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        for name in ("a", "a/below", "b", "c", "d"):
            await world.server.create(name)
            await world.server.add(name, letter(len(name)))
        await world.synchronise(device, abilities)
        await device.rename("a", "A new name")
        await world.server.rename("b", "b of the server")
        await device.remove("c")
        await world.server.remove("d")
        await device.create("Grüße/tief")
        await device.add("Grüße/tief", letter(9))
        assert (await world.synchronise(device, abilities)).is_complete
        same(world, device)
        names = {"INBOX", "A new name", "A new name/below", "b of the server", "Grüße", "Grüße/tief"}
        assert set(world.server.content()) == names
        assert (await world.synchronise(device, abilities)).counts == {}

    in_world(story)


def test_a_copy_comes_from_a_mailbox_in_which_nothing_else_is_different(abilities: Abilities) -> None:
    """The source is not compared in this run, and has a name all the same."""

    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        await world.server.add("INBOX", letter(1), letter(2))
        for _ in range(2):
            await world.synchronise(device, abilities)
        await device.copy("INBOX", 1, "Work")
        assert (await world.synchronise(device, abilities)).is_complete
        same(world, device)

    in_world(story)


def test_mail_that_came_to_a_mailbox_deleted_here_is_not_lost() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        await world.server.add("Work", letter(1))
        await world.synchronise(device)
        await device.remove("Work")
        await world.server.add("Work", letter(2))
        await world.synchronise(device)
        same(world, device)
        assert sum(device.content()["Work"].values()) == 2

    in_world(story)


def test_what_is_only_here_survives_the_deletion_of_its_mailbox_there() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        await world.server.add("Work", letter(1))
        await world.synchronise(device)
        await device.add("Work", letter(2))
        await world.server.remove("Work")
        await world.synchronise(device)
        same(world, device)
        assert [message for message, _, _ in world.server.content()["Work"]] == [letter(2)]

    in_world(story)


def test_what_lies_on_both_sides_already_is_paired_and_not_fetched(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        letters = [letter(number, 4000) for number in range(100)]
        await world.server.add("INBOX", *letters, flags=["\\Seen"])
        await device.add("INBOX", *letters[:90], flags=["$mine"])
        await device.add("INBOX", letters[5], b"Subject: without an id\r\n\r\nbody\r\n")
        await world.server.add("INBOX", b"Subject: without an id\r\n\r\nbody\r\n")
        outcome = await world.synchronise(device, abilities)
        assert (outcome.counts["pulled"], outcome.counts["pushed"]) == (10, 1)
        same(world, device)
        assert sum(world.server.content()["INBOX"].values()) == 102

    in_world(story)


def test_large_messages_are_resumed_where_the_line_was_cut() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        large = letter(1, 9 << 20)
        await world.server.add("INBOX", large, letter(2))
        cuts = await world.synchronise_until_done(device, lambda: 2 << 20)
        same(world, device)
        assert 3 <= cuts <= 9

    in_world(story)


@pytest.mark.parametrize("way", ["pull", "push"])
def test_d71_a_line_cut_anywhere_doubles_and_loses_nothing(way: str, abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        side = world.server if way == "pull" else device
        await side.create("Work")
        for number in range(0, 300, 10):
            messages = [letter(number + place, world.random.randrange(2000)) for place in range(10)]
            await side.add(world.random.choice(["INBOX", "Work"]), *messages, flags=world.random.choice([[], ["\\Seen"], ["x"]]))
        low, high = (3_000, 60_000) if way == "pull" else (2_000, 45_000 if abilities.uidplus else 120_000)
        cuts = await world.synchronise_until_done(device, lambda: world.random.randrange(low, high), abilities)
        assert cuts >= 1
        same(world, device)
        assert sum(sum(rows.values()) for rows in world.server.content().values()) == 300

    in_world(story, seed=5)


# -- what the server says is not believed


def test_a_run_that_would_delete_much_asks_first() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        uids = await world.server.add("INBOX", *[letter(number) for number in range(100)])
        await world.synchronise(device)
        await world.server.delete("INBOX", *uids[:60])
        await world.server.add("INBOX", letter(1000))
        told: list[Event] = []
        outcome = await world.synchronise(device, told=told)
        assert (outcome.held, outcome.is_complete) == ({"INBOX": 60}, False)
        assert [event for event in told if isinstance(event, Held)] == [Held(LOGIN, {"INBOX": 60})]
        assert sum(device.content()["INBOX"].values()) == 101  # what is new came all the same
        assert not (await world.synchronise(device)).is_complete
        outcome = await world.synchronise(device, accepts_deletions=True)
        assert outcome.is_complete
        same(world, device)
        assert len(device.store.reader.expunged(device.account_id)) == 60  # and can be brought back

    in_world(story)


def test_a_mailbox_deleted_there_with_much_in_it_asks_first() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        await world.server.add("Work", *[letter(number) for number in range(20)])
        await world.synchronise(device)
        await world.server.remove("Work")
        assert (await world.synchronise(device)).held == {"Work": 20}
        assert sum(device.content()["Work"].values()) == 20
        await world.synchronise(device, accepts_deletions=True)
        same(world, device)

    in_world(story)


def test_d73_another_uidvalidity_deletes_and_doubles_nothing(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        letters = [letter(number, number) for number in range(200)]
        for number in range(150, 160):
            letters[number] = b"Subject: a draft\r\n\r\nnumber %d\r\n" % number
        await world.server.add("Work", *letters, flags=["\\Seen"])
        await world.synchronise(device, abilities)
        here = device.uids("Work")
        await device.flag("Work", here[10], "\\Flagged")
        await device.delete("Work", here[11])
        await world.server.remove("Work")
        await world.server.create("Work")
        order = [*letters[2:], letter(5000)]  # two are gone, one is new
        world.random.shuffle(order)
        await world.server.add("Work", *order, flags=["\\Seen"])
        told: list[Event] = []
        outcome = await world.synchronise(device, abilities, told)
        assert outcome.is_complete
        assert sum(device.content()["Work"].values()) == 200  # 199 of before, one of them held ... and the new one
        assert any(isinstance(event, Noted) and "anew" in event.text for event in told)
        flagged = [message for message, flags, _ in world.server.content()["Work"] if "\\Flagged" in flags]
        assert flagged == [letters[10]]
        again = await world.synchronise(device, abilities)
        assert (again.counts, again.is_complete) == ({}, True)
        device.sound()

    in_world(story)


def test_a91_a_server_that_renumbers_at_every_run_is_left_alone() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        await world.server.add("Work", letter(1), letter(2))
        await world.synchronise(device)
        for _ in range(5):
            await world.server.remove("Work")
            await world.server.create("Work")
            await world.server.add("Work", letter(1), letter(2))
            outcome = await world.synchronise(device)
            assert sum(device.content()["Work"].values()) == 2
        assert not outcome.is_complete
        assert (await world.synchronise(device, accepts_renumbering=True)).is_complete

    in_world(story)


def test_a_dry_run_says_what_would_be_and_does_nothing() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.add("INBOX", letter(1))
        await world.synchronise(device)
        await world.server.add("INBOX", letter(2), letter(3))
        await device.flag("INBOX", 1, "\\Seen")
        await device.create("New")
        before = device.content(), world.server.content()
        told: list[Event] = []
        await world.synchronise(device, told=told, is_dry_run=True)
        assert (device.content(), world.server.content()) == before
        lines = [event.line for event in told if isinstance(event, Step)]
        assert lines == ["New: new here; make it on the server", "INBOX: fetch 2", "INBOX: +\\Seen on 1 on the server"]

    in_world(story)


# -- what it costs


def test_nothing_new_is_one_round_trip_for_the_whole_account() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        for number in range(50):
            await world.server.create(f"mailbox {number}")
            await world.server.add(f"mailbox {number}", letter(number))
        await world.synchronise(device)
        await world.synchronise(device)
        turns, _, received = world.line.count()
        assert turns == 1
        assert received <= 51 * 112  # their names, UIDVALIDITY and HIGHESTMODSEQ

    in_world(story)


def test_a_flag_takes_two_round_trips_and_a_move_no_octets() -> None:
    async def story(world: World) -> None:
        device = await world.device()
        await world.server.create("Work")
        await world.server.add("INBOX", *[letter(number, 20_000) for number in range(60)])
        await world.synchronise(device)
        await world.synchronise(device)
        await device.flag("INBOX", device.uids("INBOX")[3], "\\Seen")
        await world.synchronise(device)
        assert world.line.count()[0] <= 2
        await world.synchronise(device)
        await device.move("INBOX", device.uids("INBOX")[:50], "Work")
        await world.synchronise(device)
        assert world.line.count()[1] < 5_000
        same(world, device)

    in_world(story)


def test_flags_are_removed_as_they_are_added(abilities: Abilities) -> None:
    async def story(world: World) -> None:
        device = await world.device()
        uids = await world.server.add("INBOX", letter(1), letter(2), flags=["\\Seen", "x"])
        await world.synchronise(device, abilities)
        await device.flag("INBOX", 1, "x", action=FlagAction.REMOVE)
        await world.server.flag("INBOX", uids[0], "\\Seen", action=FlagAction.REMOVE)
        await world.synchronise(device, abilities)
        same(world, device)
        assert frozenset() in {flags for _, flags, _ in device.content()["INBOX"]}

    in_world(story)
