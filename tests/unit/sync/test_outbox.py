"""The outbox of a device: a queue in memory, and a host over a real socket that does what a test wrote down (D-71, RFC 1047)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from tests.unit.exchange.outbound_world import CLOSE, USUAL, Host, listening, run
from tests.unit.sync.device import ANN, Device

from postwren.client.conversation import Security
from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.queue import SETTLES, accept, hold, retry
from postwren.mailstore.invariant import check
from postwren.mailstore.queue import NEVER, DeliveryState, outbox_of
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.storage.memory import MemoryStore
from postwren.sync.outbox import Handed, hand_over, set_rows, waiting
from postwren.sync.outgoing import Office, Outgoing, Passed
from postwren.sync.postman import Postman
from postwren.sync.settings import save_settings
from postwren.sync.status import outbox_state
from postwren.terms import Address, SpecialUse, Uid

DAY = 86_400
LETS_IN = (*USUAL, "AUTH PLAIN")
ONCE = (*LETS_IN, "XONCE")
OCTETS = b"From: ann@example.org\r\nTo: bob@b.example\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\n.a dot\r\n"
BOB, CAT = Address("bob", "b.example"), Address("cat", "c.example")


class Outbox:
    """A device with an outbox, its clocks moved by hand."""

    def __init__(self, device: Device, port: int) -> None:
        self.device, self.store, self.clock = device, device.store, 1000
        self.settings = msgspec.structs.replace(device.settings, smtp=f"127.0.0.1:{port}", smtp_tls=Security.NONE)
        save_settings(device.folder, self.settings)
        self.office = Office(self.store, device.folder, lambda: self.clock, lambda: device.now)

    async def put(self, *recipients: Address, octets: bytes = OCTETS) -> None:
        """As a submission does."""
        elsewhere = [Elsewhere(recipient) for recipient in recipients or (BOB,)]
        envelope = Envelope(Address("ann", "example.org"), elsewhere=elsewhere, outbox=outbox_of(ANN), body="8BITMIME")
        envelope.submitter = self.device.account.account_id
        writer = self.store.new_body()
        writer.write(octets)
        body = writer.finish()
        await self.store.perform(accept(envelope, body, int(self.device.now), self.clock), [body])

    async def later(self, seconds: int = SETTLES) -> Passed | None:
        """A pass, so many seconds later."""
        self.clock += seconds
        self.device.now += seconds
        passed = await Outgoing(self.office, self.settings).run()
        assert list(check(self.store.reader)) == []
        return passed

    def states(self) -> list[DeliveryState]:
        return [row.state for each in waiting(self.store.reader, ANN) for row in each.recipients]

    def sent(self) -> list[bytes]:
        """The copies in Sent."""
        reader, account_id = self.store.reader, self.device.account.account_id
        box = reader.mailbox_by_name(account_id, "Sent")
        entries = [] if box is None else reader.entries(account_id, box.mailbox_id)
        emails = [reader.email(account_id, entry.email_id) for entry in entries]
        return [self.store.read_body(email.body) for email in emails if email is not None]


@contextlib.asynccontextmanager
async def outbox(tmp_path: Path, host: Host) -> AsyncIterator[Outbox]:
    async with listening(host) as port:
        store = MemoryStore()
        yield Outbox(await Device(store, tmp_path).begin(), port)
        assert list(check(store.reader)) == []


def mails(host: Host) -> list[bytes]:
    return [line for line in host.heard if line.startswith(b"MAIL")]


def test_what_was_handed_in_is_sent_as_it_is_and_its_copy_is_in_sent_once(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(LETS_IN)
        async with outbox(tmp_path, host) as box:
            await box.put(BOB, CAT)
            assert await box.later(SETTLES - 1) == Passed()  # its mail program may still be at its own copy
            assert await box.later(1) == Passed(sent=1)
            assert [octets for *_, octets in host.messages] == [OCTETS.replace(b"\r\n.", b"\r\n..")]
            assert len(host.messages[0][1]) == 2
            assert box.sent() == [OCTETS]
            assert box.store.reader.queue_size() == (0, 0)
            assert any(line.startswith(b"AUTH PLAIN") for line in host.heard)
            assert await box.later(DAY) == Passed()

    run(work())


def test_the_mail_programs_own_copy_in_sent_is_the_only_one(tmp_path: Path) -> None:
    async def work() -> None:
        async with outbox(tmp_path, Host(LETS_IN)) as box:
            account_id, now = box.device.account.account_id, int(box.device.now)
            await box.put()
            writer = box.store.new_body()
            writer.write(own := OCTETS.replace(b"To:", b"Bcc: dan@d.example\r\nTo:"))
            body = writer.finish()
            await box.store.perform(create_mailbox(account_id, "Sent", now, SpecialUse.SENT))
            await box.store.perform(deliver([Target(account_id, "Sent")], body, now), [body])
            assert await box.later() == Passed(sent=1)
            assert box.sent() == [own]

    run(work())


def test_a_server_that_keeps_sent_mail_gets_no_second_copy(tmp_path: Path) -> None:
    async def work() -> None:
        async with outbox(tmp_path, Host(LETS_IN)) as box:
            box.settings = msgspec.structs.replace(box.settings, sent="server")
            await box.put()
            assert await box.later() == Passed(sent=1)
            assert box.sent() == []

    run(work())


def test_d71_what_had_no_answer_is_told_and_never_sent_again_by_itself(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(LETS_IN, {"END": CLOSE})
        async with outbox(tmp_path, host) as box:
            await box.put()
            assert await box.later() == Passed(doubtful=1)
            for _ in range(3):
                assert await box.later(DAY) == Passed()
            assert len(mails(host)) == 1
            assert box.states() == [DeliveryState.DOUBTFUL]
            (note,) = box.device.messages()
            assert b"Subject: Was it sent? hello" in note
            assert b"sync outbox retry 1" in note
            assert outbox_state(box.store.reader, ANN, box.device.account) == {"waiting": 0, "doubtful": 1, "why": ""}
            assert await box.store.perform(retry([(Uid(1), 1)])) == 0  # `queue retry --all` is no decision about this one
            assert await box.store.perform(hold([(Uid(1), 1)])) == 0
            assert box.sent() == []

    run(work())


def test_what_is_in_doubt_is_sent_again_or_taken_for_sent_as_its_owner_says(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(LETS_IN, {"END": (CLOSE, CLOSE, b"250 2.0.0 queued\r\n")})
        async with outbox(tmp_path, host) as box:
            await box.put()
            await box.later()
            await box.put(CAT, octets=OCTETS.replace(b"<1@", b"<2@"))
            await box.later()
            first, second = waiting(box.store.reader, ANN)
            again = [row._replace(state=DeliveryState.WAITING, next_attempt=0, reply="") for row in first.recipients]
            await box.store.perform(set_rows(first.message.uid, again))
            assert await box.later(0) == Passed(sent=1)
            await Outgoing(box.office, box.settings).was_sent(second.message.uid, second.recipients)
            assert len(host.messages) == 1
            assert len(box.sent()) == 2
            assert box.store.reader.queue_size() == (0, 0)

    run(work())


def test_a_server_that_keeps_tokens_is_asked_again_under_the_same_token(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(ONCE, {"END": (CLOSE, b"250 2.0.0 Message was already accepted\r\n")})
        async with outbox(tmp_path, host) as box:
            await box.put()
            assert await box.later() == Passed(deferred=1)
            assert await box.later(5) == Passed(sent=1)
            tokens = [line.partition(b" XONCE=")[2].strip() for line in mails(host)]
            assert len(tokens) == 2
            assert tokens[0] == tokens[1] != b""
            await box.put()
            assert await box.later() == Passed(sent=1)
            assert mails(host)[2].partition(b" XONCE=")[2].strip() not in (b"", tokens[0])

    run(work())


def test_a_token_is_trusted_for_six_days_and_only_where_it_was_given(tmp_path: Path) -> None:
    async def work(host: Host, after: int, place: str = "") -> None:
        async with outbox(tmp_path / f"{after}{place}{len(host.extensions)}", host) as box:
            (box.device.folder / "sync").mkdir(parents=True, exist_ok=True)
            await box.put()
            (each,) = waiting(box.store.reader, ANN)
            handed = Handed(place or box.settings.smtp, int(box.device.now), "abc")
            assert await box.store.perform(hand_over(each.recipients, handed))
            await box.later(after)
            is_repeated = after < 6 * DAY and not place and "XONCE" in host.extensions
            assert (len(host.messages), box.states()) == ((1, []) if is_repeated else (0, [DeliveryState.DOUBTFUL]))

    for host, after, place in (
        (Host(ONCE), 6 * DAY - 1, ""),
        (Host(ONCE), 6 * DAY, ""),
        (Host(ONCE), 1, "127.0.0.1:9"),
        (Host(LETS_IN), 1, ""),
    ):
        (tmp_path / f"{after}{place}{len(host.extensions)}").mkdir()
        run(work(host, after, place))


def test_a_repeat_that_is_refused_is_in_doubt_for_the_first_may_have_gone(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(ONCE, {"END": (CLOSE, b"451 4.3.0 later\r\n", b"554 5.6.0 no\r\n")})
        async with outbox(tmp_path, host) as box:
            await box.put()
            await box.later()
            assert await box.later(5) == Passed(deferred=1)
            assert await box.later(300) == Passed(doubtful=1)
            tokens = {line.partition(b" XONCE=")[2] for line in mails(host)}
            assert len(tokens) == 1

    run(work())


def test_a_connection_that_breaks_inside_of_a_message_leaves_no_doubt(tmp_path: Path) -> None:
    class Rude(Host):
        async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            writer.write(b"220 host\r\n")
            while line := await reader.readline():
                if line.startswith(b"DATA"):
                    writer.write(b"354 go\r\n")
                    await reader.readexactly(1 << 20)
                    return
                writer.write(b"250-host\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n" if line.startswith(b"EHLO") else b"250 ok\r\n")

    async def work() -> None:
        host = Rude(LETS_IN)
        async with outbox(tmp_path, host) as box:
            await box.put(octets=OCTETS + b"a line of text\r\n" * 2_000_000)
            passed = await box.later()
            assert passed is not None
            assert passed.deferred == 1
            assert box.states() == [DeliveryState.WAITING]
            assert box.device.messages() == []

    run(work())


def test_a_month_without_a_network_ends_nothing_and_costs_no_attempts(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(LETS_IN)
        async with outbox(tmp_path, host) as box:
            await box.put()
            there, box.settings = box.settings, msgspec.structs.replace(box.settings, smtp="127.0.0.1:1")
            for _ in range(31):
                passed = await box.later(DAY)
                assert passed is not None
                assert "nothing listens" in passed.why
            (each,) = waiting(box.store.reader, ANN)
            assert [(row.attempts, row.expires, row.warned) for row in each.recipients] == [(0, NEVER, False)]
            assert "nothing listens" in outbox_state(box.store.reader, ANN, box.device.account)["why"]
            box.settings = there
            assert await box.later(0) == Passed(sent=1)
            assert outbox_state(box.store.reader, ANN, box.device.account)["why"] == ""
            assert box.device.messages() == []

    run(work())


def test_who_is_refused_is_reported_and_the_others_get_it(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(LETS_IN, rcpt={"bob@b.example": b"550 5.1.1 nobody\r\n"})
        async with outbox(tmp_path, host) as box:
            await box.put(BOB, CAT)
            assert await box.later() == Passed(sent=1, refused=1)
            (report,) = box.device.messages()
            assert b"bob@b.example" in report
            assert b"cat@c.example" not in report.partition(b"Content-Type: text/rfc822-headers")[0]
            assert box.sent() == [OCTETS]

    run(work())


def test_what_a_killed_process_left_under_way_is_in_doubt(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(LETS_IN)
        async with outbox(tmp_path, host) as box:
            await box.put()
            (each,) = waiting(box.store.reader, ANN)
            await box.store.perform(hand_over(each.recipients, Handed(box.settings.smtp, int(box.device.now), "")))
            assert await box.later() == Passed(doubtful=1)
            assert host.connections == 0

    run(work())


def test_a_running_process_sends_what_comes_and_looks_for_what_a_crash_left(tmp_path: Path) -> None:
    async def work() -> None:
        host = Host(LETS_IN)
        async with outbox(tmp_path, host) as box:
            told: asyncio.Queue[Passed] = asyncio.Queue()
            await box.put()
            (each,) = waiting(box.store.reader, ANN)
            await box.store.perform(hand_over(each.recipients, Handed(box.settings.smtp, int(box.device.now), "")))
            postman = Postman(box.office, lambda _, passed: told.put_nowait(passed))
            task = asyncio.get_running_loop().create_task(postman.run())
            assert await told.get() == Passed(doubtful=1)
            await box.put(octets=OCTETS.replace(b"<1@", b"<2@"))
            box.clock += SETTLES
            await box.put(octets=OCTETS.replace(b"<1@", b"<3@"))  # a change of the queue is what wakes it
            assert await told.get() == Passed(sent=1)
            task.cancel()
            await postman.close(1)

    run(work())
