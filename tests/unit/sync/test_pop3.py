"""The one-way road against a maildrop that keeps to the standard, and against those that do not (A-96)."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from bench.lab.mail import with_crlf
from tests.conftest import OpenStore
from tests.shared import SHARED
from tests.unit.sync.device import Device
from tests.unit.sync.maildrop_server import Maildrop, Session, serving

from postwren.mailstore.replica import TakenState
from postwren.mailstore.service.copymove import move
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.sync.report import Found, Progress
from postwren.sync.run import under_lock
from postwren.terms import SpecialUse

DAY = 24 * 3600
Story = Callable[[Device, Maildrop, int], Awaitable[None]]


def letter(number: int, lines: int = 3) -> bytes:
    head = b"Received: by mx; Mon, 5 Jan 2026 10:00:%02d +0000\r\nMessage-ID: <%d@example.net>\r\n\r\n" % (number % 60, number)
    return head + b".line\r\n" * lines + b"%d\r\n" % number


def play(open_store: OpenStore, folder: Path, story: Story, messages: int = 3, delete: str = "at-once") -> None:
    async def work() -> None:
        store = open_store()
        try:
            device = await Device(store, folder / "data", delete).begin()
            drop = Maildrop(durable=device.holds)
            for number in range(messages):
                drop.put(letter(number))
            await serving(drop, lambda port: story(device, drop, port))
            assert not drop.lost, "a DELE left before its message was kept"
        finally:
            store.close()

    (folder / "data").mkdir()
    asyncio.run(work())


def test_messages_come_as_they_are_and_leave_the_server_when_they_are_durable(open_each_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        sent = list(drop.messages.values())
        assert await device.sync(port)
        assert device.messages() == sent
        assert drop.messages == {}
        assert (device.ended.fetched, device.ended.deleted, device.ended.octets) == (100, 100, sum(map(len, sent)))
        assert device.entries()[7].internaldate == 1767607207  # when the last server said that it came
        assert await device.sync(port)
        assert (device.ended.fetched, device.ended.deleted) == (0, 0)

    play(open_each_store, tmp_path, story, 100)


def test_what_is_to_stay_stays_and_comes_once(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        assert await device.sync(port)
        drop.put(letter(50))
        assert await device.sync(port)
        assert device.messages() == list(drop.messages.values())
        assert drop.retrieved == [1, 2, 3, 4]
        assert b"DELE" not in b"".join(drop.heard)

    play(open_store, tmp_path, story, delete="never")


def test_after_its_days_a_message_is_deleted_there_when_its_header_is_that_of_the_copy(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        assert await device.sync(port)
        device.now += 2 * DAY - 1
        assert await device.sync(port)
        assert len(drop.messages) == 3
        device.now += 1
        assert await device.sync(port)
        assert (drop.messages, drop.retrieved) == ({}, [1, 2, 3])
        assert sum(line.startswith(b"TOP") for line in drop.heard) == 3

    play(open_store, tmp_path, story, delete="after:2")


@pytest.mark.parametrize("without", [frozenset[bytes](), frozenset({b"TOP"})])
def test_a_message_that_has_anothers_name_and_size_is_not_deleted_for_it(
    open_store: OpenStore, tmp_path: Path, without: frozenset[bytes]
) -> None:
    """A server whose UIDLs are numbers: what was message 1 is gone, and a message of the same size is message 1 now."""

    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.sessions = [Session("numbers", without=without)]
        assert await device.sync(port)
        del drop.messages[1]
        device.now += 3 * DAY
        drop.put(letter(4))
        assert {len(octets) for octets in drop.messages.values()} == {len(letter(4))}
        assert await device.sync(port)
        assert sorted(device.messages()) == [*sorted(letter(number) for number in range(3)), letter(4)]
        assert (4 in drop.messages) == (device.ended.fetched == 1)
        device.now += 3 * DAY
        assert await device.sync(port)
        assert drop.messages == {}

    play(open_store, tmp_path, story, delete="after:2")


def test_what_is_deleted_here_is_deleted_there_and_what_is_moved_here_stays(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        await device.sync(port)
        account_id, now = device.account.account_id, int(device.now)
        inbox = device.entries()[0].mailbox_id
        work = await device.store.perform(create_mailbox(account_id, "Work", now))
        bin_ = await device.store.perform(create_mailbox(account_id, "Bin", now, special_use=SpecialUse.TRASH))
        await device.store.perform(expunge(account_id, inbox, [(1, 1)], now, only_deleted=False))
        await device.store.perform(move(account_id, inbox, [(2, 2)], work.mailbox_id, now))
        await device.store.perform(move(account_id, inbox, [(3, 3)], bin_.mailbox_id, now))
        assert await device.sync(port)
        assert list(drop.messages) == [2, 4]

    play(open_store, tmp_path, story, 4, delete="with-local")


def test_a_long_maildrop_is_left_early_so_that_little_is_at_stake(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postwren.sync.pop3.QUIT_AFTER", 50)

    async def story(device: Device, drop: Maildrop, port: int) -> None:
        sent = list(drop.messages.values())
        assert await device.sync(port)
        assert device.messages() == sent
        assert drop.logins == 2
        assert drop.heard.count(b"QUIT") == 2
        last = [event for event in device.told if isinstance(event, Progress)][-1]
        assert last.fetched == last.of

    play(open_store, tmp_path, story, 150)


def test_a_dry_run_says_what_there_is_and_does_nothing(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        assert await device.sync(port, is_dry_run=True)
        found = next(event for event in device.told if isinstance(event, Found))
        assert (found.there, found.fetch, found.delete) == (3, 3, 3)
        assert (device.messages(), device.taken(), drop.retrieved) == ([], [], [])
        assert len(drop.messages) == 3

    play(open_store, tmp_path, story)


@pytest.mark.parametrize("uidls", ["none", "missing", "twice", "numbers", "renamed", "quirky", "swapped"])
@pytest.mark.parametrize("delete", ["at-once", "never"])
def test_whatever_a_server_does_with_its_uidls_nothing_is_lost_or_doubled(
    open_store: OpenStore, tmp_path: Path, uidls: str, delete: str
) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.messages = {number: letter(number, number) for number in range(1, 9)}
        drop.messages[9] = drop.messages[1]  # the same octets are there twice, and are two messages
        drop.next_id = 10
        drop.sessions = [Session(cut_at_quit=True)]
        sent = dict(drop.messages)
        assert await device.sync(port) is False  # the device cannot know what became of it
        drop.messages = sent  # nothing did: they are all there
        for octets in range(20, 40):
            drop.put(letter(octets, octets))
        everything = sorted(drop.messages.values())
        drop.sessions = [Session(uidls)]
        assert await device.sync(port)
        assert await device.sync(port)
        assert sorted(device.messages()) == everything
        assert (drop.messages == {}) == (delete == "at-once")

    play(open_store, tmp_path, story, delete=delete)


def test_a_listing_that_is_empty_for_once_gives_nothing_twice(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        await device.sync(port)
        kept, drop.messages = drop.messages, {}
        assert await device.sync(port)
        assert {row.state for row in device.taken()} == {TakenState.MISSING}
        drop.messages = kept
        device.now += 29 * DAY
        assert await device.sync(port)
        assert (len(device.messages()), drop.retrieved) == (3, [1, 2, 3])
        assert {row.state for row in device.taken()} == {TakenState.LISTED}

    play(open_store, tmp_path, story, delete="never")


def test_what_left_the_server_is_forgotten_after_its_time(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        await device.sync(port)
        assert {row.state for row in device.taken()} == {TakenState.REMOVED}
        device.now += 30 * DAY
        await device.sync(port)
        assert device.taken() == []

    play(open_store, tmp_path, story)


def test_a_server_that_only_says_it_deleted_is_asked_again_and_gives_nothing_twice(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.sessions = [Session(forgets=True), Session(refuses_quit=True), Session()]
        for _ in range(3):
            assert await device.sync(port)
        assert (len(device.messages()), drop.messages, drop.retrieved) == (3, {}, [1, 2, 3])

    play(open_store, tmp_path, story)


def test_the_same_octets_again_after_they_were_deleted_there_are_another_message(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        await device.sync(port)
        drop.put(letter(1))
        assert await device.sync(port)
        assert sorted(device.messages()) == sorted([letter(0), letter(1), letter(1), letter(2)])

    play(open_store, tmp_path, story)


@pytest.mark.parametrize("where", [0, 5, 150, 400, 2_000, 6_000, 9_000])
def test_a_cut_at_any_point_costs_no_message_and_doubles_none(open_store: OpenStore, tmp_path: Path, where: int) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        sent = list(drop.messages.values())
        drop.sessions = [Session(cut_after=where), Session(cut_after=where), Session()]
        assert await device.sync(port) is False
        assert "broke" in device.failed
        await device.sync(port)
        assert await device.sync(port)
        assert sorted(device.messages()) == sorted(sent)
        assert drop.messages == {}

    play(open_store, tmp_path, story, 100)


def test_what_was_whole_before_the_cut_is_not_fetched_again(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.sessions = [Session(cut_after=4_000), Session()]
        await device.sync(port)
        held = len(device.messages())
        assert held > 5
        before, drop.retrieved = drop.retrieved, []
        assert await device.sync(port)
        assert len(drop.retrieved) == 100 - held
        assert len(set(before) & set(drop.retrieved)) <= 64

    play(open_store, tmp_path, story, 100)


@pytest.mark.parametrize("off", [-20, 7, 10**6])
def test_sizes_that_are_wrong_cost_at_most_a_second_look(open_store: OpenStore, tmp_path: Path, off: int) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        sent = sorted(drop.messages.values())
        drop.sessions = [Session(list_off=off)]
        assert await device.sync(port)
        assert sorted(device.messages()) == sent
        assert drop.messages == {}
        assert len(drop.retrieved) <= len(sent) + 64

    play(open_store, tmp_path, story, 100)


def test_a_message_that_came_short_is_asked_for_again_before_anything_is_deleted(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.sessions = [Session(shorter=frozenset({2}))]
        assert await device.sync(port)
        assert drop.retrieved == [1, 2, 3, 2]
        assert device.messages()[0] == letter(0)
        assert letter(1) in device.messages()
        assert len(device.messages()) == 3

    play(open_store, tmp_path, story)


def test_a_message_that_comes_otherwise_every_time_is_kept_and_never_deleted_for_it(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.sessions = [Session(fickle=frozenset({2}))]
        assert await device.sync(port)
        assert (list(drop.messages), len(device.messages())) == ([2], 3)
        assert "not deleted there" in device.noted[0]
        drop.sessions = [Session()]
        assert await device.sync(port)
        assert (drop.messages, letter(1) in device.messages()) == ({}, True)

    play(open_store, tmp_path, story)


@pytest.mark.parametrize("garbled", [b"hello\r\n", b"+OK\r\n.\r\n.\r\n", b"+OK " + b"x" * 9000 + b"\r\n"])
def test_a_server_that_leaves_the_protocol_is_left_without_a_deletion(
    open_store: OpenStore, tmp_path: Path, garbled: bytes
) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        sent = list(drop.messages.values())
        drop.sessions = [Session(garbled=garbled), Session()]
        await device.sync(port)
        assert len(drop.messages) == 3
        await device.sync(port)
        assert set(sent) <= set(device.messages())

    play(open_store, tmp_path, story, delete="never")


def test_a_message_without_end_is_left(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.sessions = [Session(endless=True)]
        assert await device.sync(port) is False
        assert "goes on and on" in device.failed
        assert device.messages() == []

    play(open_store, tmp_path, story)


def test_a_server_that_takes_one_command_at_a_time_gets_one_at_a_time(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.sessions = [Session(without=frozenset({b"PIPELINING"}))]
        sent = list(drop.messages.values())
        assert await device.sync(port)
        assert device.messages() == sent

    play(open_store, tmp_path, story, 70)


def test_a_line_of_a_megabyte_comes_through(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.put(b"Subject: long\r\n\r\n" + b"x" * 1_000_000 + b"\r\n")
        sent = list(drop.messages.values())
        assert await device.sync(port)
        assert device.messages() == sent

    play(open_store, tmp_path, story)


def test_refusals_say_what_to_do_and_change_nothing(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        drop.is_in_use = True
        assert await device.sync(port) is False
        assert "another device holds the maildrop" in device.failed
        drop.is_in_use = False
        with under_lock(device.folder, device.settings.address):
            assert await device.sync(port) is False
        assert "another run synchronises it just now (process" in device.failed
        (secret,) = (device.folder / "sync").glob("*.secret")
        secret.chmod(0o640)
        assert await device.sync(port) is False
        assert "chmod 600" in device.failed
        secret.chmod(0o600)
        secret.write_text("other\n")
        assert await device.sync(port) is False
        assert "refuses the login ann" in device.failed
        assert device.messages() == []

    play(open_store, tmp_path, story)


def test_d72_another_store_is_not_taken_for_an_emptied_one(open_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        await device.store.perform(lambda tx: tx.put_setting("sync-identity", b"another"))
        assert await device.sync(port) is False
        assert "not the store that its settings were made for" in device.failed
        assert (device.messages(), drop.heard) == ([], [])

    play(open_store, tmp_path, story)


ODD = [
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b"no header at all\r\n",
    b"Subject: only a header\r\n",
    b"Subject: folded\r\n\tby a tab\r\n  \r\n\r\nbody\r\n",
    b"Subject:\r\nFrom:\r\n\r\nempty values\r\n",
    b"From mbox@line Thu Jan  1 00:00:00 1970\r\nSubject: x\r\n\r\n>From here\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.x\r\n",
    b".dot: first\r\n\r\n.\r\n",
    b"Subject: bare LF\n\nbody\nwith\n.dots\n..\r\n",
    b"Subject: bare CR\r\n\r\na\rb\r\r\n\r.\r\n",
    b"Subject: LF and a dot\r\n\r\nx\n.\nstill the same message\r\n",
    b"Subject: \xc3\xa4\xff\xfe\r\n\r\n\x80\x81\r\n",
    b"Subject: nul\r\n\r\n\0\0\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nnever closed\r\n",
    b"Subject: " + b"x" * 70_000 + b"\r\n\r\nlong header\r\n",
    b"\r\n".join(b"X-%d: y" % number for number in range(3000)) + b"\r\n\r\nmany fields\r\n",
    b"Subject: spaces  \r\n\r\ntrailing   \t \r\n\t\r\n",
    b"\xef\xbb\xbfSubject: bom\r\n\r\n\r\n",
    b"Received: by x; Thu, 32 Foo 99999 25:61:61 +9999\r\n\r\nno such date\r\n",
    b"Received: ;;;;\r\nReceived: by x; Mon, 1 Jan 2091 00:00:00 +0000\r\n\r\nfuture\r\n",
    b"X-TUID: abcdefghijkl\r\n\r\nsomebody's mark\r\n",
    b"Subject: equal\r\n\r\n" + b"=" * 80_000 + b"\r\n",
    b"a: b\r\n" * 5 + b"\r\n" + b"\r\n" * 500,
    b"Message-ID: <1>\r\nMessage-ID: <1>\r\n\r\ntwice\r\n",
]


def test_26_odd_messages_are_kept_octet_by_octet(open_each_store: OpenStore, tmp_path: Path) -> None:
    async def story(device: Device, drop: Maildrop, port: int) -> None:
        for octets in ODD:
            drop.put(octets)
        assert await device.sync(port)
        assert device.messages() == ODD
        assert drop.messages == {}

    play(open_each_store, tmp_path, story, 0)


def test_the_corpora_are_kept_octet_by_octet(open_store: OpenStore, tmp_path: Path) -> None:
    root = SHARED / "corpora"
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    sent = [with_crlf(path.read_bytes()) for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size < 10**6]

    async def story(device: Device, drop: Maildrop, port: int) -> None:
        for octets in sent:
            drop.put(octets)
        assert await device.sync(port)
        assert device.messages() == sent

    play(open_store, tmp_path, story, 0)
