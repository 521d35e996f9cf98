"""The server as a whole: how it starts, what it says of the store, and how it ends when the disk fails."""

import asyncio
import logging
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.embedded.disk import LOGIN, ann, message, put

from postwren.app.server import Server, run_server
from postwren.config.loader import ConfigError
from postwren.config.schema import Config, Listen
from postwren.mailstore.errors import StoreFull
from postwren.mailstore.service import housekeeping
from postwren.mailstore.service.expunge import expunge
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.housekeeping import Housekeeping
from postwren.storage.embedded.volume import Volume
from postwren.terms import AccountId, MailboxId

CONFIG = Config(hostname="mx.example.org", listen=Listen(smtp=("127.0.0.1:0",), pop3=("127.0.0.1:0",), pop3s=()))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, whoever set it up before."""
    logger = logging.getLogger("postwren")
    handlers, propagate = logger.handlers[:], logger.propagate
    logger.handlers[:], logger.propagate = [], True
    caplog.set_level(logging.INFO, "postwren")
    yield caplog
    logger.handlers[:], logger.propagate = handlers, propagate


async def fill(data: Path) -> EmbeddedStore:
    store = EmbeddedStore(data)
    await put(store, message(1))
    return store


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Each would lock maildrops, and count failed logins, for itself only."""

    async def both() -> None:
        first = Server(tmp_path, CONFIG)
        await first.start()
        with pytest.raises(ConfigError, match="another server"):
            await Server(tmp_path, CONFIG).start()
        await first.close()
        again = Server(tmp_path, CONFIG)
        await again.start()
        await again.close()

    asyncio.run(both())


def test_what_recovery_found_is_told(tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        (await fill(tmp_path)).close()
        (tmp_path / "segments/00000001.seg").unlink()
        (tmp_path / "spool/0123.new").write_bytes(b"half a message")
        server = Server(tmp_path, CONFIG)
        await server.start()
        await server.close()

    asyncio.run(story())
    levels = {record.getMessage(): record.levelno for record in told.records}
    assert levels["segments are missing: restore them from a backup"] == logging.ERROR
    assert levels["recovered"] == logging.INFO


def test_a_full_volume_does_not_end_housekeeping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    rounds: list[int] = []

    async def round_(*_: object) -> int:
        rounds.append(1)
        if len(rounds) == 1:
            raise StoreFull("no space")
        seen.set()
        return 0

    async def story() -> None:
        server = Server(tmp_path, CONFIG)
        await server.start()
        async with asyncio.timeout(10):
            await seen.wait()
        await server.close()

    seen = asyncio.Event()
    monkeypatch.setattr("postwren.app.server.HOUSEKEEPING_EVERY", 0.01)
    monkeypatch.setattr("postwren.app.server.end_all_recovery", round_)
    asyncio.run(story())
    assert any("housekeeping" in record.getMessage() for record in told.records)


def test_ending_recovery_touches_only_accounts_that_have_something_to_end(tmp_path: Path) -> None:
    async def story() -> None:
        store = await fill(tmp_path)
        for number in range(2, 6):
            await put(store, message(number))
        account = await ann(store)
        now = 2_000_000_000
        assert await housekeeping.end_all_recovery(store, now, 100) == 0
        await store.perform(expunge(account.account_id, MailboxId(1), None, now, only_deleted=False))
        assert store.reader.ending(now) == []
        assert store.reader.ending(now + 1) == [account.account_id]
        assert await housekeeping.end_all_recovery(store, now + 101, 100, at_once=2) == 5
        assert list(store.reader.emails(account.account_id)) == []
        store.close()

    asyncio.run(story())


def test_a_failing_disk_ends_the_process_with_1_and_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    failing: list[int] = []

    def fdatasync(self: Volume, fd: int) -> None:
        if failing:
            raise OSError(5, "Input/output error")

    def send(port: int) -> int:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
            try:
                smtp.sendmail("a@b.example", [LOGIN], message(2))
            except smtplib.SMTPResponseException as refused:
                return refused.smtp_code
            except smtplib.SMTPServerDisconnected:
                return 0
            return 250

    async def story() -> None:
        (await fill(tmp_path)).close()
        ports: asyncio.Future[dict[str, list[int]]] = asyncio.get_running_loop().create_future()
        running = asyncio.ensure_future(run_server(tmp_path, CONFIG, True, ports.set_result))
        port = (await ports)["smtp"][0]
        failing.append(1)
        code = await asyncio.to_thread(send, port)
        assert code in (0, 421, 451, 452)
        async with asyncio.timeout(30):
            assert await running == 1

    monkeypatch.setattr(Volume, "fdatasync", fdatasync)
    asyncio.run(story())
    assert any(record.levelno == logging.CRITICAL for record in told.records)


def test_maildrops_are_read_anew_once_their_messages_were_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that polls a maildrop in which nothing changes was kept at addresses whose file is deleted a day later."""
    rounds = asyncio.Semaphore(0)

    async def housekeep(*_: object) -> Housekeeping:
        rounds.release()
        return Housekeeping(compacted=1)

    async def story() -> None:
        (await fill(tmp_path)).close()
        server = Server(tmp_path, CONFIG)
        await server.start()
        async with asyncio.timeout(10):
            await rounds.acquire()
            assert server.services is not None
            before = await server.services.maildrops.open(AccountId(1))
            await rounds.acquire()
            await rounds.acquire()
            assert await server.services.maildrops.open(AccountId(1)) is not before
        await server.close()

    monkeypatch.setattr("postwren.app.server.HOUSEKEEPING_EVERY", 0.01)
    monkeypatch.setattr(EmbeddedStore, "housekeep", housekeep)
    asyncio.run(story())
